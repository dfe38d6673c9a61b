/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_DEVICE_SET_IRQS: the checks that do not depend on the kind of interrupt. */
#ifndef UVFIO_VFIO_IRQS_H
#define UVFIO_VFIO_IRQS_H

#include "base/base.h"

struct vfio_irq_set;

/*
 * Check *hdr as copied in (its data not yet). num_irqs: how many interrupts the index has; max_irq_type: how
 * many indices there are. 0 and *data_size, the bytes of data that follow the structure; or -EINVAL.
 */
int vfio_set_irqs_validate(const struct vfio_irq_set *hdr, unsigned int num_irqs, unsigned int max_irq_type,
			   size_t *data_size);

#endif
