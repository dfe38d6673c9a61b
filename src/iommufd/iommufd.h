/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IOMMUFD: what /dev/iommu offers to drivers of devices, that is, to vfio/ and mdev/.
 *
 * An open of /dev/iommu makes a context, in which objects have ids: IO address spaces (IOAS), hardware page
 * tables (HWPT), devices, and more. The ioctls are in main.c's table; this header has what the kernel exports
 * to drivers under the same names. All calls take their own locks; none may be made inside a DMA section.
 */
#ifndef UVFIO_IOMMUFD_IOMMUFD_H
#define UVFIO_IOMMUFD_IOMMUFD_H

#include "file/file.h"
#include "iommu/mm_usage.h"
#include "iommufd/hw.h"

#include <pthread.h>

struct iommufd_ctx;
struct iommufd_device;
struct iommufd_access;

#define IOMMU_NO_PASID 0u

/*
 * An open of /dev/iommu; as_container: of /dev/vfio/vfio, when that is IOMMUFD (it charges like VFIO). params
 * outlive it. *file has one reference. -ENOMEM.
 */
int iommufd_open(const struct iommu_params *params, bool as_container, int oflags, struct file **file);
/* The context behind a file, with a reference on the file; NULL: it is no IOMMUFD. */
struct iommufd_ctx *iommufd_ctx_from_file(struct file *file);
void iommufd_ctx_get(struct iommufd_ctx *ctx);
void iommufd_ctx_put(struct iommufd_ctx *ctx);
/* In the child of a fork, for each file that is one; dma_forked() comes first. */
void iommufd_forked(struct file *file);

/* ---- devices */

/* Claim dev's group for ctx. *idev; *id: its object's. -EPERM: another owner has it; -ENOMEM. */
int iommufd_device_bind(struct iommufd_ctx *ctx, struct iommufd_hw_dev *dev, struct iommufd_device **idev,
			uint32_t *id);
void iommufd_device_unbind(struct iommufd_device *idev);                /* detached before */
struct iommufd_ctx *iommufd_device_to_ctx(struct iommufd_device *idev); /* no reference */
uint32_t iommufd_device_to_id(struct iommufd_device *idev);
/* Is any device of the group bound to ctx? */
bool iommufd_ctx_has_group(struct iommufd_ctx *ctx, struct iommu_group *group);
/*
 * Attach to *pt_id: an HWPT, or an IOAS, for which an HWPT is found or made; *pt_id is then the HWPT's id.
 * -ENOENT no such object; -EINVAL it is of another type, or does not go with the device; others.
 */
int iommufd_device_attach(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id);
int iommufd_device_replace(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id);
void iommufd_device_detach(struct iommufd_device *idev, uint32_t pasid);

/* ---- access by drivers that do without an IOMMU (mediated devices, the mock) */

struct iommufd_access_ops {
	bool needs_pin_pages; /* IOVAs must be page aligned */
	/* [iova, iova+length) is to be unmapped: unpin everything there. No lock is held. */
	void (*unmap)(void *data, uint64_t iova, uint64_t length);
	unsigned int (*group)(void *data); /* the device's, for who looks from outside; NULL: none */
};
#define IOMMUFD_ACCESS_RW_READ      0u
#define IOMMUFD_ACCESS_RW_WRITE     1u
#define IOMMUFD_ACCESS_RW_SLOW_PATH 4u /* for tests */

int iommufd_access_create(struct iommufd_ctx *ctx, const struct iommufd_access_ops *ops, void *data,
			  struct iommufd_access **access, uint32_t *id);
void iommufd_access_destroy(struct iommufd_access *access);
int iommufd_access_attach(struct iommufd_access *access, uint32_t ioas_id);
int iommufd_access_replace(struct iommufd_access *access, uint32_t ioas_id);
void iommufd_access_detach(struct iommufd_access *access);
/* Pin each page of the range. pages: NULL or room for one per page. -ENOENT hole, -EPERM, -EFAULT, -ENOMEM */
int iommufd_access_pin_pages(struct iommufd_access *access, uint64_t iova, uint64_t length,
			     struct mm_page *pages, unsigned int flags);
void iommufd_access_unpin_pages(struct iommufd_access *access, uint64_t iova, uint64_t length);
/* What these two take, outside of all other locks here: for who keeps account of pins under the same lock. */
pthread_mutex_t *iommufd_access_lock(struct iommufd_access *access);
/* The same with it held. */
int iommufd_access_pin_locked(struct iommufd_access *access, uint64_t iova, uint64_t length,
			      struct mm_page *pages, unsigned int flags);
void iommufd_access_unpin_locked(struct iommufd_access *access, uint64_t iova, uint64_t length);
/* With it held: call fn, until it says true, for each IOVA that shows the page at va of this process. */
bool iommufd_access_find_locked(struct iommufd_access *access, uint64_t va,
				bool (*fn)(void *arg, uint64_t iova), void *arg);
int iommufd_access_rw(struct iommufd_access *access, uint64_t iova, void *data, size_t len,
		      unsigned int flags);
/* What is mapped near iova, for reports: "" while it is not attached. */
void iommufd_access_describe(struct iommufd_access *access, uint64_t iova, char *buf, size_t len);

/* ---- what there is, for those who look from outside (list.c) */

struct iommufd_mapping {
	uint64_t iova, size;
	uint64_t va;       /* 0: a file's */
	unsigned int prot; /* IOMMU_READ, IOMMU_WRITE */
};

struct iommufd_ioas_info {
	unsigned int ctx; /* 1, 2, ... in the order in which contexts were made */
	uint32_t id;
	bool compat;                /* it is what VFIO's containers' requests are about */
	const unsigned int *groups; /* of the devices that are bound to the context */
	unsigned int nr_groups;
	uint64_t count, bytes;                  /* of all mappings */
	const struct iommufd_mapping *mappings; /* the first ones */
	unsigned int nr;
};

typedef void iommufd_ioas_fn(void *arg, const struct iommufd_ioas_info *info);
/*
 * Call fn for each IOAS of each context with these params, with up to max of its mappings; no lock is held
 * then. 0 or -ENOMEM.
 */
int iommufd_each_ioas(const struct iommu_params *params, unsigned int max, iommufd_ioas_fn *fn, void *arg);

typedef void iommufd_usage_fn(void *arg, unsigned int ctx, uint32_t id, const struct mm_usages *usages);
/*
 * The same with what is mapped, pinned and charged of each address space. What several IOASes share is
 * charged once: to the first of them, and a page of it that drivers have pinned by one counts in each that
 * has pins of that mapping.
 */
int iommufd_each_usage(const struct iommu_params *params, iommufd_usage_fn *fn, void *arg);

/* ---- for VFIO's containers on IOMMUFD */

/* The context's compat IOAS, made when there is none. */
int iommufd_vfio_compat_ioas_create(struct iommufd_ctx *ctx);
int iommufd_vfio_compat_ioas_get_id(struct iommufd_ctx *ctx, uint32_t *id); /* -ENODEV: none */
/* The context serves groups without an IOMMU. -EINVAL: it has a compat IOAS. */
int iommufd_vfio_compat_set_no_iommu(struct iommufd_ctx *ctx);

#endif
