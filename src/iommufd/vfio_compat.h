/* SPDX-License-Identifier: BSD-2-Clause */
/* Between vfio_compat.c and vfio_compat_info.c. */
#ifndef UVFIO_IOMMUFD_VFIO_COMPAT_H
#define UVFIO_IOMMUFD_VFIO_COMPAT_H

#include "iommufd/impl.h"

/* The compat IOAS, until iommufd_put_object(). NULL: there is none (-ENODEV). */
struct iommufd_ioas *iommufd_get_compat_ioas(struct iommufd_ctx *ctx);

/* VFIO_IOMMU_GET_INFO. */
long iommufd_vfio_get_info(struct ioctl_call *call, void *arg);

#endif
