/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IO page table of an IOAS: which IOVA is what memory, and in which domains that stands.
 *
 * Areas are stretches of IOVA; each shows a slice of an iopt_pages: memory at consecutive addresses of one
 * process, or of a file, which areas of several IO page tables may share (IOAS_COPY) and which is charged
 * once. Every area is in every domain of its IO page table. An access (iommufd_access) pins pages of areas
 * one by one. Memory that is in no domain and not pinned is not looked at at all, as in the kernel: a wrong
 * address is found (-EFAULT) when it gets into a domain or is accessed.
 *
 * Private to iommufd/.
 */
#ifndef UVFIO_IOMMUFD_IOPT_H
#define UVFIO_IOMMUFD_IOPT_H

#include "base/range_map.h"
#include "iommufd/iommufd.h"

struct iopt_pages;
struct iopt_area;
struct iommufd_ctx;
struct iommufd_access;

/* How pinned pages are charged: IOMMU_OPTION_RLIMIT_MODE, and VFIO's way. */
enum iopt_account_mode { IOPT_ACCOUNT_NONE, IOPT_ACCOUNT_USER, IOPT_ACCOUNT_MM };

/* Embedded in struct iommufd_ioas. iopt.c says what protects what. */
struct io_pagetable;
#include "iommufd/iopt_struct.h"

void iopt_init(struct io_pagetable *iopt);
void iopt_destroy(struct io_pagetable *iopt); /* nothing attached; every area goes */
void iopt_forked(struct io_pagetable *iopt);

#define IOPT_ALLOC_IOVA 1u /* *iova is chosen: the lowest that is free, allowed and well aligned */

/* IOMMU_IOAS_MAP: len bytes at uptr of mm. prot: IOMMU_READ, IOMMU_WRITE. Errors as the kernel's. */
int iopt_map_user_pages(struct iommufd_ctx *ctx, struct io_pagetable *iopt, struct mm *mm, uint64_t *iova,
			uint64_t uptr, uint64_t len, unsigned int prot, unsigned int flags);
/* IOMMU_IOAS_MAP_FILE: of the caller's memfd. */
int iopt_map_file_pages(struct iommufd_ctx *ctx, struct io_pagetable *iopt, const struct caller *caller,
			uint64_t *iova, int fd, uint64_t start, uint64_t len, unsigned int prot,
			unsigned int flags);
/* IOMMU_IOAS_COPY: share the memory of [src_iova, +len). dst and src may be the same; dst NULL: -ENOENT,
 * after what is wrong with src. */
int iopt_copy(struct io_pagetable *dst, uint64_t *dst_iova, struct io_pagetable *src, uint64_t src_iova,
	      uint64_t len, unsigned int prot, unsigned int flags);
/*
 * Unmap whole areas in the range. *unmapped bytes, also on failure: 0 is no failure. -ENOENT: it would cut
 * one; -EBUSY: pinned for good; -EDEADLOCK: a driver does not let go of its pins.
 */
int iopt_unmap_iova(struct io_pagetable *iopt, uint64_t iova, uint64_t len, uint64_t *unmapped);
int iopt_unmap_all(struct io_pagetable *iopt, uint64_t *unmapped);

/* Fill domain with every area and keep it so; -EFAULT, -ENOMEM, -EADDRINUSE (areas outside what it can map,
 * or not aligned for it). */
int iopt_table_add_domain(struct io_pagetable *iopt, struct iommufd_domain *domain);
void iopt_table_remove_domain(struct io_pagetable *iopt, struct iommufd_domain *domain);

/* A device's windows become unusable (-EADDRINUSE: something is mapped or allowed there), until its owner is
 * removed. */
int iopt_table_enforce_dev_resv_regions(struct io_pagetable *iopt, struct iommufd_hw_dev *dev);
int iopt_reserve_iova(struct io_pagetable *iopt, uint64_t start, uint64_t last, void *owner);
void iopt_remove_reserved_iova(struct io_pagetable *iopt, void *owner);
/* IOMMU_IOAS_ALLOW_IOVAS: replace the allowed ranges by these, ascending and disjoint; -EADDRINUSE, -ENOMEM.
 */
int iopt_set_allow_iova(struct io_pagetable *iopt, const struct iommu_range *ranges, unsigned int nr);
/* IOMMU_IOAS_IOVA_RANGES: the usable ranges, ascending, to be freed, and the alignment. 0 or -ENOMEM. */
int iopt_iova_ranges(struct io_pagetable *iopt, struct iommu_range **ranges, uint32_t *nr,
		     uint64_t *alignment);
uint64_t iopt_iova_alignment(struct io_pagetable *iopt);

/* VFIO compat: areas are cut at these IOVAs; and the v1 type's whole-page domains. */
int iopt_cut_iova(struct io_pagetable *iopt, const uint64_t *iovas, unsigned int nr);
int iopt_disable_large_pages(struct io_pagetable *iopt); /* -EINVAL: domains or areas are there */
void iopt_enable_large_pages(struct io_pagetable *iopt);
bool iopt_large_pages_disabled(struct io_pagetable *iopt);

/* Dirty tracking of one of its domains. */
int iopt_set_dirty_tracking(struct io_pagetable *iopt, struct iommufd_domain *domain, bool on);
/* Call fn for each stretch that was written to, up to a hole: -EINVAL. keep: the domain forgets nothing. */
int iopt_read_dirty(struct io_pagetable *iopt, struct iommufd_domain *domain, uint64_t iova, uint64_t len,
		    bool keep, void (*fn)(void *arg, uint64_t iova, uint64_t size), void *arg);

/* ---- accesses. The access's own lock orders them with attach and detach. */

/* *list_id: to remove it by. -EADDRINUSE: areas are not aligned as it needs. */
int iopt_add_access(struct io_pagetable *iopt, struct iommufd_access *access, uint32_t *list_id);
void iopt_remove_access(struct io_pagetable *iopt, uint32_t list_id);
/* lock_area: the area cannot be unmapped by notification alone until unpinned (internal accesses). */
int iopt_access_pin(struct io_pagetable *iopt, uint64_t iova, uint64_t len, struct mm_page *pages,
		    unsigned int flags, bool lock_area);
void iopt_access_unpin(struct io_pagetable *iopt, uint64_t iova, uint64_t len, bool unlock_area);
/* Call fn, until it says true, for each IOVA that shows the page at va of this process. In a signal handler.
 */
bool iopt_access_find(struct io_pagetable *iopt, uint64_t va, bool (*fn)(void *arg, uint64_t iova),
		      void *arg);
int iopt_access_rw(struct io_pagetable *iopt, uint64_t iova, void *data, size_t len, unsigned int flags);
/* access.c: tell every access that wants to know that [iova, +len) is going. */
void iommufd_access_notify_unmap(struct io_pagetable *iopt, uint64_t iova, uint64_t len);

/* IOAS_CHANGE_PROCESS: the charges of all file-backed memory of these tables go to mm. -EINVAL: other memory
 * is mapped. */
int iopt_change_process(struct io_pagetable *const *iopts, unsigned int nr, struct mm *mm);

/* What these tables, all of one context, have of each address space: added to usages[i] for iopts[i]. */
int iopt_get_usages(struct io_pagetable *const *iopts, unsigned int nr, struct mm_usages *usages);

#endif
