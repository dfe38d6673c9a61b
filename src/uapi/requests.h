/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of VFIO's, IOMMUFD's and KVM's (on x86) ioctl requests, and what kind of descriptor each is for.
 * Numbers are used several times: 14 is one thing for a container and another for a device.
 */
#ifndef UVFIO_UAPI_REQUESTS_H
#define UVFIO_UAPI_REQUESTS_H

#include "base/base.h"

struct vfio_request {
	uint32_t cmd;
	const char *name;
	/* "a container", "a container with an IOMMU", "a group", "a device", "an IOMMUFD" */
	const char *kind;
};

/* The request of that number behind prev (NULL: the first), or NULL. */
const struct vfio_request *vfio_request_next(uint32_t cmd, const struct vfio_request *prev);

#endif
