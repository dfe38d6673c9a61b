/* SPDX-License-Identifier: BSD-2-Clause */
/* What the KVM side asks sPAPR TCE containers. */
#ifndef UVFIO_VFIO_SPAPR_H
#define UVFIO_VFIO_SPAPR_H

#include "iommu/spapr/spapr.h"
#include "vfio/vfio.h"

/*
 * The table of a window of the container that the group of this file is in, as spapr_get_table(). NULL: no
 * such window, or the file is no group's, or in no such container.
 */
struct tce_table *vfio_spapr_get_table(struct file *group_file, uint64_t start, uint64_t size,
				       unsigned int page_shift);

#endif
