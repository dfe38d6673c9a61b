/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts of pinned pages, in leaves of 32. A bit of a leaf's word is set where the count is not 0.
 *
 * A leaf without a bit is in the map only as table->empty, or while pin_table_get() is at work.
 */
#include "iommu/pin_table.h"

#include <stdlib.h>

#define LEAF_PAGES 32u

struct pin_leaf {
	uint64_t number; /* of its first page, by LEAF_PAGES */
	uint32_t pinned;
	uint32_t counts[LEAF_PAGES];
};

/* A part of a range of pages that is in one leaf. */
struct part {
	uint64_t number;
	uint32_t first, n;
};

static struct part part_at(uint64_t page, uint64_t n)
{
	uint32_t first = page % LEAF_PAGES;

	return (struct part){ page / LEAF_PAGES, first, (uint32_t)MIN(n, (uint64_t)(LEAF_PAGES - first)) };
}

static uint32_t part_mask(const struct part *part)
{
	return (uint32_t)((BIT64(part->n) - 1) << part->first);
}

void pin_table_init(struct pin_table *table)
{
	*table = (struct pin_table){ 0 };
	range_map_init(&table->leaves);
}

static bool free_leaf(void *arg, struct range *range)
{
	(void)arg;
	free(range->value);
	return true;
}

void pin_table_destroy(struct pin_table *table)
{
	range_map_each(&table->leaves, 0, UINT64_MAX, free_leaf, NULL);
	range_map_destroy(&table->leaves);
}

static struct pin_leaf *find_leaf(struct pin_table *table, uint64_t number)
{
	struct range range;

	if (likely(table->recent && table->recent->number == number))
		return table->recent;
	if (!range_map_find(&table->leaves, number, &range))
		return NULL;
	table->recent = range.value;
	return table->recent;
}

static struct pin_leaf *make_leaf(struct pin_table *table, uint64_t number)
{
	struct pin_leaf *leaf = find_leaf(table, number);

	if (leaf)
		return leaf;
	leaf = calloc(1, sizeof(*leaf));
	if (!leaf)
		return NULL;
	leaf->number = number;
	if (range_map_insert(&table->leaves, number, number, leaf)) {
		free(leaf);
		return NULL;
	}
	table->recent = leaf;
	return leaf;
}

static void drop_leaf(struct pin_table *table, struct pin_leaf *leaf)
{
	if (table->recent == leaf)
		table->recent = NULL;
	range_map_remove(&table->leaves, leaf->number);
	free(leaf);
}

static void note_empty(struct pin_table *table, struct pin_leaf *leaf)
{
	if (table->empty && table->empty != leaf)
		drop_leaf(table, table->empty);
	table->empty = leaf;
}

/* False when a page of the part has been pinned as often as can be counted. */
static bool can_count(const struct pin_leaf *leaf, const struct part *part)
{
	for (uint32_t i = part->first; i < part->first + part->n; i++)
		if (unlikely(leaf->counts[i] == UINT32_MAX))
			return false;
	return true;
}

static bool get_part(struct pin_table *table, const struct part *part, uint64_t *fresh)
{
	struct pin_leaf *leaf = make_leaf(table, part->number);
	uint32_t mask = part_mask(part);

	if (!leaf || !can_count(leaf, part))
		return false;
	for (uint32_t i = part->first; i < part->first + part->n; i++)
		leaf->counts[i]++;
	*fresh += (uint64_t)__builtin_popcount(mask & ~leaf->pinned);
	leaf->pinned |= mask;
	if (table->empty == leaf)
		table->empty = NULL;
	return true;
}

int pin_table_get(struct pin_table *table, uint64_t page, uint64_t n, uint64_t *fresh)
{
	uint64_t done = 0;

	*fresh = 0;
	while (done < n) {
		struct part part = part_at(page + done, n - done);

		if (!get_part(table, &part, fresh)) {
			table->pins += done;
			table->pages += *fresh;
			pin_table_put(table, page, done);
			return -ENOMEM;
		}
		done += part.n;
	}
	table->pins += n;
	table->pages += *fresh;
	return 0;
}

static uint64_t put_part(struct pin_table *table, const struct part *part)
{
	struct pin_leaf *leaf = find_leaf(table, part->number);
	uint32_t before = leaf->pinned, left = 0;

	for (uint32_t i = part->first; i < part->first + part->n; i++)
		left |= (uint32_t)(--leaf->counts[i] != 0) << i;
	leaf->pinned = (before & ~part_mask(part)) | left;
	if (!leaf->pinned)
		note_empty(table, leaf);
	return (uint64_t)__builtin_popcount(before ^ leaf->pinned);
}

uint64_t pin_table_put(struct pin_table *table, uint64_t page, uint64_t n)
{
	uint64_t gone = 0;

	table->pins -= n;
	for (uint64_t done = 0; done < n;) {
		struct part part = part_at(page + done, n - done);

		gone += put_part(table, &part);
		done += part.n;
	}
	table->pages -= gone;
	return gone;
}

bool pin_table_has(struct pin_table *table, uint64_t page, uint64_t n)
{
	while (n) {
		struct part part = part_at(page, n);
		struct pin_leaf *leaf = find_leaf(table, part.number);

		if (!leaf || part_mask(&part) & ~leaf->pinned)
			return false;
		page += part.n;
		n -= part.n;
	}
	return true;
}

struct search {
	uint64_t first, last;
	uint64_t count;
	const struct pin_leaf *found;
};

/* The bits of those pages of a leaf that are pinned and lie in the range. */
static uint32_t pinned_between(const struct pin_leaf *leaf, uint64_t first, uint64_t last)
{
	uint64_t base = leaf->number * LEAF_PAGES;
	uint32_t bits = leaf->pinned;

	if (first > base)
		bits &= UINT32_MAX << (first - base);
	if (last - base < LEAF_PAGES - 1)
		bits &= (uint32_t)(BIT64(last - base + 1) - 1);
	return bits;
}

static bool count_leaf(void *arg, struct range *range)
{
	struct search *search = arg;

	search->count +=
		(uint64_t)__builtin_popcount(pinned_between(range->value, search->first, search->last));
	return true;
}

uint64_t pin_table_count(struct pin_table *table, uint64_t first, uint64_t last)
{
	struct search search = { first, last, 0, NULL };

	if (table->pages)
		range_map_each(&table->leaves, first / LEAF_PAGES, last / LEAF_PAGES, count_leaf, &search);
	return search.count;
}

static bool find_first(void *arg, struct range *range)
{
	struct search *search = arg;

	if (pinned_between(range->value, search->first, search->last))
		search->found = range->value;
	return !search->found;
}

bool pin_table_first(struct pin_table *table, uint64_t first, uint64_t last, uint64_t *page, uint32_t *count)
{
	struct search search = { first, last, 0, NULL };
	uint32_t i;

	if (table->pages)
		range_map_each(&table->leaves, first / LEAF_PAGES, last / LEAF_PAGES, find_first, &search);
	if (!search.found)
		return false;
	i = (uint32_t)__builtin_ctz(pinned_between(search.found, first, last));
	*page = search.found->number * LEAF_PAGES + i;
	*count = search.found->counts[i];
	return true;
}
