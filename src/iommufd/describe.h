/* SPDX-License-Identifier: BSD-2-Clause */
/* What an IOMMUFD ioctl was about, for traces. Private to iommufd/. */
#ifndef UVFIO_IOMMUFD_DESCRIBE_H
#define UVFIO_IOMMUFD_DESCRIBE_H

#include "file/ioctl.h"

/* A row's describe, for every ioctl of iommufd. */
void iommufd_describe(const struct ioctl_call *call, const void *arg, char *buf, size_t len);

#endif
