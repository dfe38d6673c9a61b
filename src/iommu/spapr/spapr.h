/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sPAPR TCE IOMMU back end of a VFIO container, without its ioctls (vfio/container_spapr has those).
 *
 * Vocabulary: a window is a range of bus addresses that devices can use, with the TCE table that translates
 * it. There can be two: number 0 begins at bus address 0 ("32-bit", the default window), number 1 at
 * SPAPR_WINDOW1 ("64-bit", a dynamic window, DDW). All groups of a container share its windows.
 *
 * v1: memory is pinned when it is mapped; ENABLE charges the whole default window. v2: memory is registered
 * first; windows come and go. In both the default window is pending at first: it is made when something is
 * mapped, or, v2, another window is wanted.
 *
 * A container serves one address space: that of the first call which has to do with memory. It keeps that
 * address space, not the process: calls from other processes are refused, also when that one is gone.
 *
 * All calls take the container's lock. Lock order: the domain's describe_lock, the container's, those of
 * tce_memory, users_lock of dma.c.
 */
#ifndef UVFIO_IOMMU_SPAPR_SPAPR_H
#define UVFIO_IOMMU_SPAPR_SPAPR_H

#include "iommu/dma.h"
#include "iommu/mm_usage.h"
#include "iommu/spapr/tce_table.h"

#define SPAPR_WINDOWS 2
#define SPAPR_WINDOW1 ((uint64_t)1 << 59)

/* What the platform is like: the type's own part of struct iommu_params. */
struct spapr_params {
	uint64_t pgsizes;     /* of windows: a bitmap */
	uint64_t window_size; /* of the default window: a power of two */
	uint32_t max_windows; /* dynamic ones; 0: the platform has none, so there is no v2 */
	uint32_t levels;      /* of tables, at most */
	uint32_t ram_shift;   /* memory is physically adjacent in pages of this size */
};
/* Those of a PHB of a POWER8 or POWER9 machine without a hypervisor. */
void spapr_params_default(struct spapr_params *hw);
void spapr_params_set(struct iommu_params *params, const struct spapr_params *hw);

struct spapr;

struct spapr *spapr_new(const struct iommu_params *params, bool v2);
void spapr_free(struct spapr *spapr); /* nothing attached; drops windows and registered memory */
void spapr_forked(struct spapr *spapr);

/* -EINVAL: v2 without dynamic windows; -EBUSY: v1 has a group already. */
int spapr_attach(struct spapr *spapr, struct iommu_dev *const *devs, unsigned int nr);
void spapr_detach(struct spapr *spapr, struct iommu_dev *const *devs, unsigned int nr);

/* Has any address space made a call that counts? */
bool spapr_has_mm(struct spapr *spapr);
/* May mm make calls? 0 or -EPERM: another one does. */
int spapr_check_mm(struct spapr *spapr, struct mm *mm);
/* v2: it serves mm from now on. 0; -EPERM: another one; -ENOMEM. */
int spapr_serve(struct spapr *spapr, struct mm *mm);
/* Can something be mapped: ENABLE, or memory registered? */
bool spapr_is_enabled(struct spapr *spapr);

/* v1. -EBUSY: it is; -EPERM: another mm; -ENOMEM: locked memory. */
int spapr_enable(struct spapr *spapr, struct mm *mm);
void spapr_disable(struct spapr *spapr);

/* v2. Whole pages of mm's. -EPERM: another mm; -EINVAL: alignment, overlap; -EBUSY: by this container
 * already; see tce_memory_register(). */
int spapr_register(struct spapr *spapr, struct mm *mm, uint64_t ua, uint64_t size);
/* -EINVAL: alignment; -ENOENT: just that is not registered; -EBUSY: entries point into it. */
int spapr_unregister(struct spapr *spapr, uint64_t ua, uint64_t size);

/* v2. -EPERM; -ENOSPC: all windows are taken; -EINVAL; -ENOMEM. *start: where it is. */
int spapr_create(struct spapr *spapr, struct mm *mm, uint32_t page_shift, uint64_t size, uint32_t levels,
		 uint64_t *start);
/* The window that has the address. -EINVAL: none has. */
int spapr_remove(struct spapr *spapr, struct mm *mm, uint64_t address);

/*
 * The window that begins at start, is at least so large, and has pages no larger than that: its table, with a
 * reference, or NULL. It is there for as long as one holds it, and dead when the window has gone.
 */
struct tce_table *spapr_get_table(struct spapr *spapr, uint64_t start, uint64_t size,
				  unsigned int page_shift);

/*
 * Entries for [iova, iova+size) that point to va on, or none. prot: IOMMU_READ, IOMMU_WRITE, not 0. -EPERM:
 * not enabled, or another mm; -ENXIO: no window; -EINVAL: alignment, the window's end, memory that is not
 * registered or not for such pages; -EFAULT: v1, no memory; -ENOMEM. When a page cannot be mapped, those
 * before it are not either, whatever was there.
 */
int spapr_map(struct spapr *spapr, struct mm *mm, uint64_t iova, uint64_t va, uint64_t size,
	      unsigned int prot);
int spapr_unmap(struct spapr *spapr, uint64_t iova, uint64_t size);

struct spapr_info {
	uint64_t window_start, window_size; /* of the default window, as it comes */
	uint64_t pgsizes;
	uint32_t max_windows, levels;
};
void spapr_get_info(struct spapr *spapr, struct spapr_info *info);

/* ---- for who looks from outside */

struct spapr_mapping {
	uint64_t iova, va, size;
	unsigned int prot;
};
/* Call fn, under the lock, for the lowest max mappings: adjacent entries to adjacent memory are one. */
void spapr_each_mapping(struct spapr *spapr, unsigned int max,
			void (*fn)(void *arg, const struct spapr_mapping *mapping), void *arg,
			uint64_t *count, uint64_t *bytes);
void spapr_get_usages(struct spapr *spapr, struct mm_usages *usages);
/* Windows, registered memory and counters, line by line; under the lock. */
void spapr_report(struct spapr *spapr, void (*line)(void *arg, const char *text), void *arg);

#endif
