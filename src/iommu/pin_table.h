/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages are pinned, and how often: a count for each page of some space of pages that are numbered from
 * 0. Of an IO address space, page n is at IOVA n * UVFIO_PAGE_SIZE.
 *
 * A leaf has a bit for each of its pages, and counts only where a page is pinned more than once. Neighbouring
 * leaves share a directory, and the directories are in a range map, with a small cache before it: a million
 * pins fit into the processor's, and a lookup misses it once. The last directory that became empty stays, for
 * who pins and unpins one page over and over. The owner's lock protects all of it.
 */
#ifndef UVFIO_IOMMU_PIN_TABLE_H
#define UVFIO_IOMMU_PIN_TABLE_H

#include "base/range_map.h"

struct pin_dir;
struct pin_counts;

struct pin_table {
	struct range_map dirs;
	uint64_t size;            /* pages 0 .. size - 1 */
	struct pin_dir *dir;      /* the directory used last, or NULL */
	struct pin_dir *empty;    /* the one directory without a pin, or NULL */
	struct pin_dir **cache;   /* by their numbers' low bits; NULL while there are few */
	struct pin_counts *spare; /* used last, or NULL */
	uint64_t pages;           /* pinned at least once */
	uint64_t pins;            /* the sum of the counts */
};

/* size: one more than the highest page's number; UINT64_MAX: it is not known. */
void pin_table_init(struct pin_table *table, uint64_t size);
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
/* Call fn for each 64 pages, from page on, of which some in [first, last] are pinned: those, as bits. */
void pin_table_each(struct pin_table *table, uint64_t first, uint64_t last,
		    void (*fn)(void *arg, uint64_t page, uint64_t bits), void *arg);
/* The lowest page of [first, last] that is pinned, and how often. False: none is. */
bool pin_table_first(struct pin_table *table, uint64_t first, uint64_t last, uint64_t *page, uint32_t *count);

#endif
