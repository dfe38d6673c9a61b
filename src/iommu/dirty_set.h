/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of pages, of an IO address space: those that were written to. A bitmap in pieces of 4096 pages, each
 * of which is there once a page of it is. The owner's lock protects it.
 */
#ifndef UVFIO_IOMMU_DIRTY_SET_H
#define UVFIO_IOMMU_DIRTY_SET_H

#include "base/range_map.h"

struct dirty_set {
	struct range_map pieces; /* by the pages' numbers */
};

void dirty_set_init(struct dirty_set *set);
void dirty_set_destroy(struct dirty_set *set); /* and it is empty */

static inline bool dirty_set_is_empty(const struct dirty_set *set)
{
	return !set->pieces.count;
}

/* Add [first, last]. 0; -ENOMEM: some are not added. */
int dirty_set_add(struct dirty_set *set, uint64_t first, uint64_t last);
/* Remove what there is of [first, last]. */
void dirty_set_remove(struct dirty_set *set, uint64_t first, uint64_t last);
/* Call fn for each 64 pages, from page on, of which some in [first, last] are in the set: those, as bits. */
void dirty_set_each(struct dirty_set *set, uint64_t first, uint64_t last,
		    void (*fn)(void *arg, uint64_t page, uint64_t bits), void *arg);

#endif
