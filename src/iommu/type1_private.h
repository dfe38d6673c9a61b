/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of type1.
 *
 * A mapping needs no structure of its own: its place is a range of the map, and all the rest of it is the
 * word that is the range's value, laid out as an entry of the page table: the virtual address, protection and
 * flags, and the index of the address space, to which each mapping holds a reference.
 */
#ifndef UVFIO_IOMMU_TYPE1_PRIVATE_H
#define UVFIO_IOMMU_TYPE1_PRIVATE_H

#include "base/range_map.h"
#include "iommu/dirty_set.h"
#include "iommu/pgtable.h"
#include "iommu/pin_table.h"
#include "iommu/type1.h"

#include <assert.h>
#include <pthread.h>
#include <urcu/list.h>

#define MAPPING_VADDR_INVALID ((uint64_t)4)
#define MAPPING_DIRTY         ((uint64_t)8) /* all of it, while dirty pages are tracked */

#define TYPE1_RECENT          16u

struct type1 {
	const struct iommu_params *params;
	bool v2;
	bool limited; /* locked memory is charged */
	struct iommu_range ranges[32];
	unsigned int nr_ranges;

	pthread_mutex_t lock; /* protects what follows; inside it: users_lock of dma.c */
	struct range_map mappings;
	struct iommu_domain *domain; /* while groups > 0; changed by attach and detach only, one at a time */
	unsigned int groups;
	uint64_t avail;
	uint64_t vaddr_invalid; /* mappings */
	bool dirty_tracking;
	struct dirty_set dirty; /* see type1_dirty.c; empty while nothing is tracked */
	uint64_t pgsize;        /* the smallest one: the system's, unless backed */
	bool backed; /* mappings are pinned and charged whole: not while there are only emulated groups */
	struct iommu_range recent[TYPE1_RECENT]; /* unmapped last: a ring, for fault reports */
	unsigned int nr_recent;
	unsigned int emulated; /* groups */
	struct pin_table pins; /* of all pinners, together */
	struct cds_list_head pinners;
	pthread_cond_t let_go; /* with lock: pages were unpinned, or a pinner's call has ended */
	uint64_t charged;      /* pages, by this container; kept only when limited */
	uint64_t mapped;       /* the same */
	struct range_map
		bars;       /* while backed, mappings with pages of BARs, which are not charged: how many */
	uint64_t bar_pages; /* the sum */
};

static inline uint64_t mapping_word(const struct range *range)
{
	return (uint64_t)(uintptr_t)range->value;
}

static inline struct mm *mapping_mm(uint64_t word)
{
	return mm_by_index((uint16_t)(word >> PTE_MM_SHIFT));
}

static inline uint64_t range_size(const struct range *range)
{
	return range->last - range->start + 1;
}

/* Under the lock. */
static inline void type1_note_unmapped(struct type1 *iommu, uint64_t start, uint64_t last)
{
	iommu->recent[iommu->nr_recent++ % TYPE1_RECENT] = (struct iommu_range){ start, last };
}

/* More pages than this in one mapping cannot be tracked. */
#define DIRTY_PAGES_MAX ((uint64_t)INT32_MAX)

/*
 * The mappings that start in [iova, last] are to go: tell the pinners of the first one that has pins. 0: none
 * has; 1: they were told and the lock was dropped, look again; -EBUSY: they do not let go. Under the lock.
 */
struct asking {
	uint64_t start; /* the mapping that they were told about last */
	unsigned int times;
};
void type1_pinners_forked(struct type1 *iommu);
int type1_ask_pinners(struct type1 *iommu, uint64_t iova, uint64_t last, struct asking *asking);

/* Charge or return pages of mm, when they are limited. Under the lock. */
int type1_charge(struct type1 *iommu, struct mm *mm, uint64_t pages);
void type1_uncharge(struct type1 *iommu, struct mm *mm, uint64_t pages);
/* Mappings of mm with so many pages, bars of them of BARs, are no more; drivers have pinned none of them. */
void type1_note_gone(struct type1 *iommu, struct mm *mm, uint64_t pages, uint64_t bars);
/* The mapping at [start, last] has so many pages of BARs, of those that are not pinned. 0 or -ENOMEM. */
int type1_note_bars(struct type1 *iommu, uint64_t start, uint64_t last, uint64_t pages);
/* How many are they? And they are forgotten. */
uint64_t type1_bars_at(const struct type1 *iommu, uint64_t start);
uint64_t type1_forget_bars(struct type1 *iommu, uint64_t start);
uint64_t type1_charge_room(struct type1 *iommu, struct mm *mm);
int type1_no_room(const struct type1 *iommu, uint64_t pages, uint64_t room);
#ifdef UVFIO_CHECK_SUMS
void type1_check_sums(struct type1 *iommu);
#else
static inline void type1_check_sums(struct type1 *iommu)
{
	(void)iommu;
}
#endif
/*
 * After each operation, under the lock. In builds with assertions: what is charged is what is mapped, or what
 * is pinned. With UVFIO_CHECK_SUMS also: these sums are those of the mappings, and of their address spaces.
 */
static inline void type1_check_charge(struct type1 *iommu)
{
	assert(!iommu->limited ||
	       iommu->charged == (iommu->backed ? iommu->mapped - iommu->bar_pages : iommu->pins.pages));
	type1_check_sums(iommu);
}

/* Pin and charge all mappings, less what drivers have pinned: 0 or what failed, and nothing has changed.
 * And back. Under the lock. */
int type1_charge_all(struct type1 *iommu);
void type1_uncharge_all(struct type1 *iommu);

/* Remove the mappings that start in [start, last], under the lock. Returns the bytes. */
uint64_t type1_remove(struct type1 *iommu, uint64_t start, uint64_t last);

/* -EINVAL, and why. */
int type1_misaligned(const struct type1 *iommu, const char *what, uint64_t value);

/* Does [iova, last] cut a mapping at either end? Under the lock. */
bool type1_cuts(struct type1 *iommu, uint64_t iova, uint64_t last);
int type1_cut(struct type1 *iommu, uint64_t iova, uint64_t last); /* -EINVAL, and why */

/*
 * Drivers have written [first, last], pages of mappings, or let go of them. While there is a domain nobody
 * needs to know. Under the lock.
 */
void type1_dirty_add(struct type1 *iommu, uint64_t first, uint64_t last);
static inline void type1_note_dirty(struct type1 *iommu, uint64_t first, uint64_t last)
{
	if (unlikely(iommu->dirty_tracking && !iommu->backed))
		type1_dirty_add(iommu, first, last);
}
/* The last group with an IOMMU leaves: what it may have written is dirty. Under the lock. */
void type1_dirty_add_all(struct type1 *iommu);
/* A mapping goes. Under the lock. */
static inline void type1_forget_dirty(struct type1 *iommu, uint64_t start, uint64_t last)
{
	if (unlikely(!dirty_set_is_empty(&iommu->dirty)))
		dirty_set_remove(&iommu->dirty, start / UVFIO_PAGE_SIZE, last / UVFIO_PAGE_SIZE);
}

int type1_bitmap_check(const struct type1_bitmap *bitmap, uint64_t size);
/* Allocate and fill the bitmap for [iova, last], under the lock. 0 or -ENOMEM. */
int type1_bitmap_fill(struct type1 *iommu, uint64_t iova, uint64_t last, struct type1_bitmap *bitmap);

/* Charge and check the memory of a mapping as pinning it page by page would, but for what are BARs. */
int type1_pin(struct type1 *iommu, struct mm *mm, uint64_t va, uint64_t size, unsigned int prot,
	      struct mm_bars *bars);

void type1_describe(void *owner, uint64_t iova, char *buf, size_t len);

#endif
