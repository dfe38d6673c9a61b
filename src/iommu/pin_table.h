/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages are pinned, and how often: a count for each page of an IO address space. Pages are numbered,
 * page n is at IOVA n * UVFIO_PAGE_SIZE.
 *
 * Neighbouring pages share a leaf, neighbouring leaves a directory, and the directories are in a range map,
 * so that with a million pins a lookup misses the cache twice. The last leaf that became empty stays, for who
 * pins and unpins one page over and over. The owner's lock protects all of it.
 */
#ifndef UVFIO_IOMMU_PIN_TABLE_H
#define UVFIO_IOMMU_PIN_TABLE_H

#include "base/range_map.h"

struct pin_leaf;
struct pin_dir;

struct pin_table {
	struct range_map dirs;
	struct pin_dir *dir;     /* the directory used last, or NULL */
	struct pin_leaf *recent; /* the leaf used last, or NULL */
	struct pin_leaf *empty;  /* the one leaf without a pin, or NULL */
	uint64_t pages;          /* pinned at least once */
	uint64_t pins;           /* the sum of the counts */
};

void pin_table_init(struct pin_table *table);
void pin_table_destroy(struct pin_table *table);

/* Count n pages from page on once more. *fresh: how many were not pinned. 0; -ENOMEM, nothing is counted. */
int pin_table_get(struct pin_table *table, uint64_t page, uint64_t n, uint64_t *fresh);
/* Count them once less; each is pinned. Returns how many are not any more. */
uint64_t pin_table_put(struct pin_table *table, uint64_t page, uint64_t n);

/* That page is asked for soon. */
void pin_table_prefetch(struct pin_table *table, uint64_t page);
/* Are all n pages pinned? */
bool pin_table_has(struct pin_table *table, uint64_t page, uint64_t n);
/* How many pages of [first, last] are pinned? */
uint64_t pin_table_count(struct pin_table *table, uint64_t first, uint64_t last);
/* The lowest page of [first, last] that is pinned, and how often. False: none is. */
bool pin_table_first(struct pin_table *table, uint64_t first, uint64_t last, uint64_t *page, uint32_t *count);

#endif
