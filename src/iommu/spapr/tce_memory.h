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
 * there.
 *
 * How many entries point into a region is counted in stripes (base/stripe.h), so that threads which map and
 * unmap at the same time do not meet. Who wants to point into it first counts himself in, then looks whether
 * the region is there (live). Who wants it to go first makes it leave, then adds up. Both with full ordering:
 * so who was right to count himself in has done so before the adding begins. From then on entries are only
 * counted out, whatever stripe that is in, and those out again that came too late, in the stripe where they
 * counted themselves in. A sum of 0 is the truth then; another one can be too large, never too small. When it
 * is not 0 the region is live again. Who finds it leaving cannot tell: he asks for a caller that may wait
 * (-EAGAIN), who waits for the lock under which that is decided.
 *
 * A region that a container leaves behind is noted as left before its entries are added up. So who counts
 * out, and looks at that (tce_memory_has_left()) afterwards, was added up without or is told to reap.
 */
#ifndef UVFIO_IOMMU_SPAPR_TCE_MEMORY_H
#define UVFIO_IOMMU_SPAPR_TCE_MEMORY_H

#include "base/stripe.h"
#include "iommu/domain.h"

#include <urcu/list.h>

struct tce_mm;

#define TCE_PLACES 32u /* of regions, in each array */

enum tce_memory_state {
	TCE_MEMORY_NONE,
	TCE_MEMORY_LEAVING, /* while the lock is held */
	TCE_MEMORY_LIVE,
};

struct tce_memory {
	_Atomic uint64_t ua, size;   /* bytes; stay the same while there is a region */
	_Atomic uint32_t state;      /* enum tce_memory_state; changed under the lock of tce_mm */
	_Atomic uint32_t page_shift; /* pages of tables can be as large as this */
	_Atomic uint64_t *entries;   /* of the first stripe; the next one's is TCE_PLACES behind; set once */
	unsigned int used;           /* by containers; under the lock of tce_mm */
	_Atomic uint32_t version;    /* another one for each region that stands here, before ua and size */
	_Atomic(const void *) payer; /* which of these lists its charge; NULL: the next one that is asked */
};

/* Does this container list the charge? One of those that use the region does. */
static inline bool tce_memory_pays(struct tce_memory *mem, const void *container)
{
	const void *payer = NULL;

	return atomic_compare_exchange_strong(&mem->payer, &payer, container) || payer == container;
}

/* It is going to use it no more. */
static inline void tce_memory_pays_no_more(struct tce_memory *mem, const void *container)
{
	atomic_compare_exchange_strong(&mem->payer, &container, NULL);
}

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
 * The region that has all of [ua, ua+size), with one entry more in it: 0; -ENOENT: there is none; -EAGAIN:
 * one is being unregistered, and may_wait is false, so no lock is taken. hint: where it was last time, or
 * NULL.
 */
int tce_memory_lookup(struct tce_mm *tmm, uint64_t ua, uint64_t size, struct tce_memory *hint, bool may_wait,
		      struct tce_memory **mem);
/* Is [ua, ua+size) in it? It stays the same while one has an entry in it. */
static inline bool tce_memory_has(const struct tce_memory *mem, uint64_t ua, uint64_t size)
{
	uint64_t start = atomic_load_explicit(&mem->ua, memory_order_relaxed);
	uint64_t len = atomic_load_explicit(&mem->size, memory_order_relaxed);

	return ua >= start && size <= len && ua - start <= len - size;
}

/* The calling thread's part of how many entries point into it. */
static inline _Atomic uint64_t *tce_memory_stripe(const struct tce_memory *mem)
{
	return mem->entries + (size_t)stripe() * TCE_PLACES;
}

/* Who has an entry in it: so many more. 0, or -EAGAIN as for tce_memory_lookup(). */
int tce_memory_add(struct tce_mm *tmm, struct tce_memory *mem, uint64_t entries, bool may_wait);
/* So many less. No lock. */
static inline void tce_memory_sub(struct tce_memory *mem, uint64_t entries)
{
	atomic_fetch_sub(tce_memory_stripe(mem), entries);
}
/* How many there are, roughly while others change that. */
uint64_t tce_memory_entries(const struct tce_memory *mem);
/* Is there, at the moment, one with all of the page of 2^page_shift at ua, and for such pages? No lock. */
static inline bool tce_memory_place_is_for(const struct tce_memory *mem, uint64_t ua, unsigned int page_shift)
{
	return tce_memory_has(mem, ua, BIT64(page_shift)) &&
	       atomic_load_explicit(&mem->state, memory_order_acquire) &&
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
void tce_unmapping_elsewhere(struct tce_unmapping *unmapping, uint64_t ua);
static inline void tce_unmapping_note(struct tce_unmapping *unmapping, uint64_t ua)
{
	if (unlikely(!unmapping->mem || !tce_memory_has(unmapping->mem, ua, 1)))
		tce_unmapping_elsewhere(unmapping, ua);
	unmapping->entries++;
}
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
