/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registered memory: what of an address space entries of TCE tables may point to.
 *
 * A region is registered once for an address space, and used by all containers that register the same: it is
 * charged once, and goes with the last that unregisters it. While an entry points into it the last one is
 * refused; when it ends all the same, with its container, the region stays until those entries go, which are
 * of other containers. Regions do not overlap.
 *
 * Finding a region takes no lock, allocates nothing and cannot be too late: regions stand in arrays that stay
 * until the address space is forgotten, and a place is used again only when no entry is left in what stood
 * there. mapped is 0 for a place without a region, else one more than the entries that point into it; who
 * wants to point into it first counts himself in, if it is not 0, and then looks whether it is still the
 * same.
 */
#ifndef UVFIO_IOMMU_SPAPR_TCE_MEMORY_H
#define UVFIO_IOMMU_SPAPR_TCE_MEMORY_H

#include "iommu/domain.h"

#include <urcu/list.h>

struct tce_mm;

struct tce_memory {
	_Atomic uint64_t ua, size; /* bytes; stay the same while mapped is not 0 */
	_Atomic uint64_t mapped;
	_Atomic uint32_t page_shift; /* pages of tables can be as large as this */
	unsigned int used;           /* by containers; under the lock of tce_mm */
};

/* What is registered of mm, with a reference; made when there is nothing yet. NULL: no memory. */
struct tce_mm *tce_mm_get(struct mm *mm);
struct tce_mm *tce_mm_ref(struct tce_mm *tmm);
void tce_mm_put(struct tce_mm *tmm);
/* In the child of a fork: the locks are held by nobody. */
void tce_mm_forked(void);

/* How locked memory is limited: by RLIMIT_MEMLOCK, or a number, or not. 0 or -ENOMEM. */
int tce_charge(struct mm *mm, const struct iommu_params *params, uint64_t pages);

/*
 * Register [ua, ua+size), whole pages, or use it once more when just that is registered. ram_shift: how large
 * a page of memory is, physically adjacent. -ENOMEM: also locked memory, or size is 0; -EFAULT: the memory is
 * not there, not writable, or a BAR; -EINVAL: it overlaps what is registered.
 */
int tce_memory_register(struct tce_mm *tmm, const struct iommu_params *params, unsigned int ram_shift,
			uint64_t ua, uint64_t size, struct tce_memory **mem);
/* Use it once less. -EBUSY: it was the last, and entries point into it: nothing is done. */
int tce_memory_unregister(struct tce_mm *tmm, struct tce_memory *mem);
/* The same for a container that ends: the region stays while entries point into it. */
void tce_memory_leave(struct tce_mm *tmm, struct tce_memory *mem);
/* Entries have been taken out: regions that nobody uses, and no entry points into any more, go. */
void tce_memory_reap(struct tce_mm *tmm);
/* Are there any that nobody uses? No lock. */
bool tce_memory_has_left(struct tce_mm *tmm);

/*
 * Devices of domain get to what is registered from now on, or no more: a region goes only when none of them
 * can be using an entry that pointed into it. Once for each domain; *use is the owner's.
 */
struct tce_mm_domain {
	struct cds_list_head node;
	struct iommu_domain *domain;
};
void tce_mm_add_domain(struct tce_mm *tmm, struct tce_mm_domain *use, struct iommu_domain *domain);
void tce_mm_remove_domain(struct tce_mm *tmm, struct tce_mm_domain *use);

/*
 * The region that has all of [ua, ua+size), with one entry more in it; NULL: there is none. hint: where it
 * was last time, or NULL. No lock.
 */
struct tce_memory *tce_memory_lookup(struct tce_mm *tmm, uint64_t ua, uint64_t size, struct tce_memory *hint);
/*
 * The region stays the same while one has an entry in it: many more entries, for [ua, ua+size) that are in
 * it, and as many less. No lock.
 */
static inline bool tce_memory_has(const struct tce_memory *mem, uint64_t ua, uint64_t size)
{
	uint64_t start = atomic_load_explicit(&mem->ua, memory_order_relaxed);
	uint64_t len = atomic_load_explicit(&mem->size, memory_order_relaxed);

	return ua >= start && size <= len && ua - start <= len - size;
}

static inline void tce_memory_add(struct tce_memory *mem, uint64_t entries)
{
	atomic_fetch_add(&mem->mapped, entries);
}
static inline void tce_memory_sub(struct tce_memory *mem, uint64_t entries)
{
	atomic_fetch_sub(&mem->mapped, entries);
}
/* Is there, at the moment, one with all of the page of 2^page_shift at ua, and for such pages? No lock. */
static inline bool tce_memory_place_is_for(const struct tce_memory *mem, uint64_t ua, unsigned int page_shift)
{
	return tce_memory_has(mem, ua, BIT64(page_shift)) &&
	       atomic_load_explicit(&mem->mapped, memory_order_acquire) &&
	       page_shift <= atomic_load_explicit(&mem->page_shift, memory_order_relaxed);
}

bool tce_memory_any_is_for(struct tce_mm *tmm, uint64_t ua, unsigned int page_shift);
static inline bool tce_memory_is_for(struct tce_mm *tmm, uint64_t ua, unsigned int page_shift,
				     const struct tce_memory *hint)
{
	return (hint && tce_memory_place_is_for(hint, ua, page_shift)) ||
	       tce_memory_any_is_for(tmm, ua, page_shift);
}

/* An entry that pointed to ua does so no more. No lock. */
void tce_memory_unmapped(struct tce_mm *tmm, uint64_t ua);

/*
 * The same for many entries, which are one step where they point into one region: note each, then end, before
 * which none of them is counted out for sure. No lock.
 */
struct tce_unmapping {
	struct tce_mm *tmm;
	struct tce_memory *mem; /* NULL at first */
	uint64_t entries;
};
void tce_unmapping_note(struct tce_unmapping *unmapping, uint64_t ua);
void tce_unmapping_end(struct tce_unmapping *unmapping);

struct tce_memory_info {
	uint64_t ua, size;
	uint64_t entries; /* that point into it */
	unsigned int page_shift, used;
};
/* Call fn for each region. A lock is held: fn registers nothing. */
void tce_memory_each(struct tce_mm *tmm, void (*fn)(void *arg, const struct tce_memory_info *info),
		     void *arg);

#endif
