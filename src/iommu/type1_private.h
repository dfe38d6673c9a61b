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
#include "iommu/pgtable.h"
#include "iommu/type1.h"

#include <pthread.h>

#define MAPPING_VADDR_INVALID ((uint64_t)4)

#define TYPE1_RECENT          16u

struct type1 {
	const struct iommu_params *params;
	bool v2;
	bool limited; /* locked memory is charged */
	uint64_t pgsize;
	struct iommu_range ranges[32];
	unsigned int nr_ranges;

	pthread_mutex_t lock; /* protects what follows; inside it: users_lock of dma.c */
	struct range_map mappings;
	struct iommu_domain *domain; /* while groups > 0; changed by attach and detach only, one at a time */
	unsigned int groups;
	uint64_t avail;
	uint64_t vaddr_invalid; /* mappings */
	bool dirty_tracking;
	struct iommu_range recent[TYPE1_RECENT]; /* unmapped last: a ring, for fault reports */
	unsigned int nr_recent;
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

/* Remove the mappings that start in [start, last], under the lock. Returns the bytes. */
uint64_t type1_remove(struct type1 *iommu, uint64_t start, uint64_t last);

/* -EINVAL, and why. */
int type1_misaligned(const struct type1 *iommu, const char *what, uint64_t value);

/* Does [iova, last] cut a mapping at either end? Under the lock. */
bool type1_cuts(struct type1 *iommu, uint64_t iova, uint64_t last);
int type1_cut(struct type1 *iommu, uint64_t iova, uint64_t last); /* -EINVAL, and why */

int type1_bitmap_check(const struct type1_bitmap *bitmap, uint64_t size);
/* Allocate and fill the bitmap for [iova, last], under the lock. 0 or -ENOMEM. */
int type1_bitmap_fill(struct type1 *iommu, uint64_t iova, uint64_t last, struct type1_bitmap *bitmap);

/* Charge and check the memory of a mapping as pinning it page by page would. *io: some of it is a BAR. */
int type1_pin(struct type1 *iommu, struct mm *mm, uint64_t va, uint64_t size, unsigned int prot, bool *io);
int type1_charge(struct type1 *iommu, struct mm *mm, uint64_t pages);

void type1_describe(void *owner, uint64_t iova, char *buf, size_t len);

#endif
