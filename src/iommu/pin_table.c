/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts of pinned pages, in leaves of 32, by directories of 64 leaves. A bit of a leaf's word is set where
 * the count is not 0.
 *
 * A leaf without a bit is there only as table->empty, or while pin_table_get() is at work; a directory
 * without a leaf, never.
 */
#include "iommu/pin_table.h"

#include <stdlib.h>

#define LEAF_PAGES 32u
#define DIR_LEAVES 64u
#define DIR_PAGES  (LEAF_PAGES * DIR_LEAVES)

struct pin_leaf {
	uint64_t number; /* of its first page, by LEAF_PAGES */
	uint32_t pinned;
	uint32_t counts[LEAF_PAGES];
};

struct pin_dir {
	uint64_t number; /* of its first leaf, by DIR_LEAVES */
	unsigned int used;
	struct pin_leaf *leaves[DIR_LEAVES];
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
	range_map_init(&table->dirs);
}

static bool free_dir(void *arg, struct range *range)
{
	struct pin_dir *dir = range->value;

	(void)arg;
	for (unsigned int i = 0; i < DIR_LEAVES; i++)
		free(dir->leaves[i]);
	free(dir);
	return true;
}

void pin_table_destroy(struct pin_table *table)
{
	range_map_each(&table->dirs, 0, UINT64_MAX, free_dir, NULL);
	range_map_destroy(&table->dirs);
}

static struct pin_dir *find_dir(struct pin_table *table, uint64_t number)
{
	struct range range;

	if (table->dir && table->dir->number == number)
		return table->dir;
	if (!range_map_find(&table->dirs, number, &range))
		return NULL;
	table->dir = range.value;
	return table->dir;
}

static struct pin_leaf *find_leaf(struct pin_table *table, uint64_t number)
{
	struct pin_leaf *leaf = NULL;
	struct pin_dir *dir;

	if (likely(table->recent && table->recent->number == number))
		return table->recent;
	dir = find_dir(table, number / DIR_LEAVES);
	if (dir)
		leaf = dir->leaves[number % DIR_LEAVES];
	if (leaf)
		table->recent = leaf;
	return leaf;
}

void pin_table_prefetch(struct pin_table *table, uint64_t page)
{
	struct pin_dir *dir = find_dir(table, page / DIR_PAGES);
	const struct pin_leaf *leaf = dir ? dir->leaves[page / LEAF_PAGES % DIR_LEAVES] : NULL;

	if (!leaf)
		return;
	__builtin_prefetch(leaf);
	__builtin_prefetch(&leaf->counts[page % LEAF_PAGES]);
}

static struct pin_dir *make_dir(struct pin_table *table, uint64_t number)
{
	struct pin_dir *dir = find_dir(table, number);

	if (dir)
		return dir;
	dir = calloc(1, sizeof(*dir));
	if (!dir)
		return NULL;
	dir->number = number;
	if (range_map_insert(&table->dirs, number, number, dir)) {
		free(dir);
		return NULL;
	}
	table->dir = dir;
	return dir;
}

static void drop_dir(struct pin_table *table, struct pin_dir *dir)
{
	if (table->dir == dir)
		table->dir = NULL;
	range_map_remove(&table->dirs, dir->number);
	free(dir);
}

static struct pin_leaf *make_leaf(struct pin_table *table, uint64_t number)
{
	struct pin_leaf *leaf = find_leaf(table, number);
	struct pin_dir *dir;

	if (leaf)
		return leaf;
	dir = make_dir(table, number / DIR_LEAVES);
	if (!dir)
		return NULL;
	leaf = calloc(1, sizeof(*leaf));
	if (!leaf) {
		if (!dir->used)
			drop_dir(table, dir);
		return NULL;
	}
	leaf->number = number;
	dir->leaves[number % DIR_LEAVES] = leaf;
	dir->used++;
	table->recent = leaf;
	return leaf;
}

static void drop_leaf(struct pin_table *table, struct pin_leaf *leaf)
{
	struct pin_dir *dir = find_dir(table, leaf->number / DIR_LEAVES);

	if (table->recent == leaf)
		table->recent = NULL;
	dir->leaves[leaf->number % DIR_LEAVES] = NULL;
	if (!--dir->used)
		drop_dir(table, dir);
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

/* The bits of those pages of a leaf that are pinned and lie in [first, last]. */
static uint32_t pinned_between(const struct pin_leaf *leaf, uint64_t first, uint64_t last)
{
	uint64_t base = leaf->number * LEAF_PAGES;
	uint32_t bits = leaf->pinned;

	if (base > last || base + (LEAF_PAGES - 1) < first)
		return 0;
	if (first > base)
		bits &= UINT32_MAX << (first - base);
	if (last - base < LEAF_PAGES - 1)
		bits &= (uint32_t)(BIT64(last - base + 1) - 1);
	return bits;
}

struct search {
	uint64_t first, last;
	uint64_t count;
	bool one; /* stop at the first one */
	const struct pin_leaf *found;
};

static bool search_dir(void *arg, struct range *range)
{
	const struct pin_dir *dir = range->value;
	struct search *search = arg;
	uint64_t first = MAX(search->first / LEAF_PAGES, dir->number * DIR_LEAVES);
	uint64_t last = MIN(search->last / LEAF_PAGES, dir->number * DIR_LEAVES + DIR_LEAVES - 1);

	for (uint64_t i = first; i <= last && !search->found; i++) {
		const struct pin_leaf *leaf = dir->leaves[i % DIR_LEAVES];
		uint32_t bits = leaf ? pinned_between(leaf, search->first, search->last) : 0;

		search->count += (uint64_t)__builtin_popcount(bits);
		if (search->one && bits)
			search->found = leaf;
	}
	return !search->found;
}

uint64_t pin_table_count(struct pin_table *table, uint64_t first, uint64_t last)
{
	struct search search = { .first = first, .last = last };

	if (table->pages)
		range_map_each(&table->dirs, first / DIR_PAGES, last / DIR_PAGES, search_dir, &search);
	return search.count;
}

bool pin_table_first(struct pin_table *table, uint64_t first, uint64_t last, uint64_t *page, uint32_t *count)
{
	struct search search = { .first = first, .last = last, .one = true };
	uint32_t i;

	if (table->pages)
		range_map_each(&table->dirs, first / DIR_PAGES, last / DIR_PAGES, search_dir, &search);
	if (!search.found)
		return false;
	i = (uint32_t)__builtin_ctz(pinned_between(search.found, first, last));
	*page = search.found->number * LEAF_PAGES + i;
	*count = search.found->counts[i];
	return true;
}
