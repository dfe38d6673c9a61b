/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of a device that another driver maps, and that the device may take back: what the mock offers to
 * IOMMU_IOAS_MAP_FILE in place of a DMA-BUF. There is no kernel behind us that could share real ones.
 */
#ifndef UVFIO_IOMMUFD_DMABUF_H
#define UVFIO_IOMMUFD_DMABUF_H

#include "iommufd/iopt_private.h"

#ifdef UVFIO_IOMMUFD_TEST

/* size: whole pages. *file: one reference, to be given a descriptor. -ENOMEM. */
int iommufd_dmabuf_create(uint64_t size, struct file **file);
bool iommufd_dmabuf_is(const struct file *file);
/* Take it back: what is mapped of it is lost for good. False: it may be mapped (again). */
void iommufd_dmabuf_revoke(struct file *file, bool revoked);

/* Pages that are [start, +len) of it. -EINVAL: it is shorter; -ENODEV: revoked. */
int iopt_pages_dmabuf(struct iommufd_ctx *ctx, struct file *file, uint64_t start, uint64_t len, bool writable,
		      struct iopt_pages **ppages);
void iommufd_dmabuf_detach(struct iopt_pages *pages);

#else

static inline bool iommufd_dmabuf_is(const struct file *file)
{
	(void)file;
	return false;
}

static inline int iopt_pages_dmabuf(struct iommufd_ctx *ctx, struct file *file, uint64_t start, uint64_t len,
				    bool writable, struct iopt_pages **pages)
{
	(void)ctx, (void)file, (void)start, (void)len, (void)writable, (void)pages;
	return -EOPNOTSUPP;
}

static inline void iommufd_dmabuf_detach(struct iopt_pages *pages)
{
	(void)pages;
}

#endif
#endif
