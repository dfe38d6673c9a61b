/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type1 IOMMU back end of a VFIO container, without its ioctls (vfio/container_type1 has those).
 *
 * Mappings are kept in a range map under one mutex, and in the domain that the attached devices are
 * translated by. v1: an unmap may start where a mapping starts and removes it whole; v2: cutting a mapping is
 * refused. All calls take the lock themselves; no other lock of the core is taken inside it, except that
 * attach and detach may wait for DMA sections.
 */
#ifndef UVFIO_IOMMU_TYPE1_H
#define UVFIO_IOMMU_TYPE1_H

#include "iommu/dma.h"
#include "iommu/domain.h"
#include "iommu/mm_usage.h"

struct type1;

struct type1 *type1_new(const struct iommu_params *params, bool v2);
void type1_free(struct type1 *iommu); /* nothing attached; drops every mapping */
/* In the child of a fork; dma_forked() comes first. */
void type1_forked(struct type1 *iommu);

/*
 * A group's devices join: all of them are attached to the domain, which is made at the first group. 0;
 * -ENOMEM; -EINVAL when mappings exist outside of what the group can reach, or while vaddrs are invalid
 * (-EBUSY as the kernel).
 */
int type1_attach(struct type1 *iommu, struct iommu_dev *const *devs, unsigned int nr);
void type1_detach(struct type1 *iommu, struct iommu_dev *const *devs, unsigned int nr);

/*
 * A group without an IOMMU behind it joins and leaves (mediated devices). While there are only such groups
 * nothing is pinned nor charged when it is mapped, and IOVAs have no limits. When the first group with an
 * IOMMU joins, everything is; when the last one leaves, what drivers have pinned stays charged. 0; -EBUSY
 * while vaddrs are invalid.
 */
int type1_attach_emulated(struct type1 *iommu);
void type1_detach_emulated(struct type1 *iommu);
bool type1_has_emulated(struct type1 *iommu);
bool type1_is_backed(struct type1 *iommu); /* false: there are only such groups */

/*
 * A user of the container's memory by page: a mediated device while it is open. unmap: [iova, iova+size) is
 * going to be unmapped, unpin what is pinned there; called without the lock, never after
 * type1_pinner_free() has returned, which waits for it. NULL: it cannot pin. name outlives it.
 */
struct type1_pinner;
typedef void type1_pinner_unmap_fn(void *owner, uint64_t iova, uint64_t size);
struct type1_pinner *type1_pinner_new(struct type1 *iommu, const char *name, type1_pinner_unmap_fn *unmap,
				      void *owner); /* NULL: no memory */
/* Unpins what is left. Returns how many pages that were. */
uint64_t type1_pinner_free(struct type1_pinner *pinner);

/*
 * Pin npage pages, some, from iova on: see vfio_pin_pages(). 0; -EACCES; -EOVERFLOW; -EBUSY; -EINVAL: a hole,
 * or no memory; -EPERM; -EFAULT; -ENODEV: whose memory it was has exited; -ENOMEM. On failure nothing is
 * pinned.
 */
int type1_pin_pages(struct type1_pinner *pinner, uint64_t iova, uint64_t npage, unsigned int prot,
		    struct mm_page *pages);
/* -EINVAL: this pinner has not pinned all of them; nothing is done then. */
int type1_unpin_pages(struct type1_pinner *pinner, uint64_t iova, uint64_t npage);
/* What is mapped near iova, for reports. */
void type1_pinner_describe(struct type1_pinner *pinner, uint64_t iova, char *buf, size_t len);
/* Has it pinned the page at va of this process? In a signal handler. */
bool type1_pinner_holds(struct type1_pinner *pinner, uint64_t va);
/* 0, or -EBUSY, -EINVAL a hole, -EPERM: also whose memory it was has exited, -EFAULT. */
int type1_dma_rw(struct type1_pinner *pinner, uint64_t iova, void *data, size_t len, bool write);

/* What is mapped, pinned and charged, by address space: added to usages. Also what nobody limits is charged.
 */
void type1_get_usages(struct type1 *iommu, struct mm_usages *usages);

/*
 * VFIO_IOMMU_MAP_DMA after the size and flag checks: prot IOMMU_READ|IOMMU_WRITE. Errors in the kernel's
 * order: see docs/errno.md. set_vaddr: VFIO_DMA_MAP_FLAG_VADDR.
 */
int type1_map(struct type1 *iommu, struct mm *mm, uint64_t iova, uint64_t va, uint64_t size,
	      unsigned int prot, bool set_vaddr);

#define TYPE1_UNMAP_ALL   1u
#define TYPE1_UNMAP_VADDR 2u
#define TYPE1_UNMAP_ASK   4u /* with dirty: say what would come of it, and fill the bitmap */
/*
 * VFIO_IOMMU_UNMAP_DMA. *unmapped: bytes really unmapped; 0 on failure, when the kernel does not write the
 * size back. dirty: NULL, or where to note dirty pages before they go.
 */
struct type1_bitmap {
	uint64_t pgsize; /* as the caller gave it, unchecked */
	uint64_t size;   /* of the caller's bitmap in bytes, unchecked */
	/*
	 * NULL on entry; on success an array of ours with a bit for each page of the range, that the ioctl
	 * layer copies to the caller (type1_bitmap_bytes() of it) and frees.
	 */
	uint64_t *bits;
	uint8_t *words; /* behind it: what is done with each of the caller's words */
};
enum type1_bitmap_word {
	TYPE1_WORD_KEPT,  /* no mapping has a bit there */
	TYPE1_WORD_ADDED, /* none begins before it: bits are added to the caller's */
	TYPE1_WORD_WRITTEN,
};
/* The bytes of a bitmap for size bytes of IOVA, in whole words. */
static inline uint64_t type1_bitmap_bytes(uint64_t pgsize, uint64_t size)
{
	return align_up(size / pgsize, 64) / 8;
}
int type1_unmap(struct type1 *iommu, uint64_t iova, uint64_t size, unsigned int flags,
		struct type1_bitmap *dirty, uint64_t *unmapped);

/*
 * VFIO_IOMMU_DIRTY_PAGES. With devices behind an IOMMU every page that is mapped counts as dirty, always, as
 * in the kernel: devices are not asked which pages they wrote. Else those do that drivers have written with
 * type1_dma_rw(), or had pinned at some time since they were asked about last.
 */
int type1_dirty_start(struct type1 *iommu);
void type1_dirty_stop(struct type1 *iommu);
/* What is told of is not dirty any more, but for what is pinned. */
int type1_dirty_get(struct type1 *iommu, uint64_t iova, uint64_t size, struct type1_bitmap *out);
/* The caller has not got it: it is dirty again. */
void type1_dirty_put_back(struct type1 *iommu, uint64_t iova, uint64_t size,
			  const struct type1_bitmap *bitmap);

struct type1_mapping {
	uint64_t iova, va, size;
	unsigned int prot;
};
/* Call fn, under the lock, for the lowest max mappings; the number and the bytes of all of them. */
void type1_each_mapping(struct type1 *iommu, unsigned int max,
			void (*fn)(void *arg, const struct type1_mapping *mapping), void *arg,
			uint64_t *count, uint64_t *bytes);

struct type1_info {
	uint64_t pgsizes;
	uint64_t avail; /* mappings that can still be made */
	unsigned int nr_ranges;
	struct iommu_range ranges[32];
};
void type1_get_info(struct type1 *iommu, struct type1_info *info);

#endif
