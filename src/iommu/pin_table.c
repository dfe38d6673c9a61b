/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts of pinned pages, in leaves of 64, by directories of at most 64 leaves. A directory without a pin is
 * there only as table->empty. A leaf has counts only while a page of it is pinned more than once.
 */
#include "iommu/pin_table.h"

#include "base/failpoint.h"
#include "base/why.h"

#include <stdlib.h>

#define LEAF_PAGES 64u
#define DIR_LEAVES 64u
#define DIR_PAGES  (LEAF_PAGES * DIR_LEAVES)
#define CACHED     512u

/* How often pages of a leaf are pinned besides the first time. */
struct pin_counts {
	uint64_t many; /* those with a count above 0 */
	uint32_t counts[LEAF_PAGES];
};

struct pin_leaf {
	uint64_t pinned;
	struct pin_counts *more; /* NULL: each page once at most */
};

struct pin_dir {
	uint64_t number; /* of its first page, by DIR_PAGES */
	uint32_t used;   /* leaves with a pin */
	uint32_t nr_leaves;
	struct pin_leaf leaves[];
};

/* A part of a range of pages that is in one leaf: its number, and the pages' bits. */
struct part {
	uint64_t number, mask;
	uint32_t n;
};

static struct part part_at(uint64_t page, uint64_t n)
{
	uint32_t first = page % LEAF_PAGES, pages = (uint32_t)MIN(n, (uint64_t)(LEAF_PAGES - first));

	return (struct part){ page / LEAF_PAGES, UINT64_MAX >> (LEAF_PAGES - pages) << first, pages };
}

void pin_table_init(struct pin_table *table, uint64_t size)
{
	*table = (struct pin_table){ .size = size };
	range_map_init(&table->dirs);
}

static bool free_dir(void *arg, struct range *range)
{
	struct pin_dir *dir = range->value;

	(void)arg;
	for (unsigned int i = 0; i < dir->nr_leaves; i++)
		free(dir->leaves[i].more);
	free(dir);
	return true;
}

void pin_table_destroy(struct pin_table *table)
{
	range_map_each(&table->dirs, 0, UINT64_MAX, free_dir, NULL);
	range_map_destroy(&table->dirs);
	free(table->cache);
	free(table->spare);
}

/* ---- directories */

static inline void use_dir(struct pin_table *table, struct pin_dir *dir)
{
	table->dir = dir;
	if (table->cache)
		table->cache[dir->number % CACHED] = dir;
}

static inline struct pin_dir *find_dir(struct pin_table *table, uint64_t number)
{
	struct range range;
	struct pin_dir *dir = table->dir;

	if (dir && dir->number == number)
		return dir;
	dir = table->cache ? table->cache[number % CACHED] : NULL;
	if (!dir || dir->number != number) {
		if (!range_map_find(&table->dirs, number, &range))
			return NULL;
		dir = range.value;
	}
	use_dir(table, dir);
	return dir;
}

static inline struct pin_leaf *find_leaf(struct pin_table *table, uint64_t number)
{
	struct pin_dir *dir = find_dir(table, number / DIR_LEAVES);

	return dir ? &dir->leaves[number % DIR_LEAVES] : NULL;
}

void pin_table_prefetch(struct pin_table *table, uint64_t page)
{
	const struct pin_leaf *leaf = find_leaf(table, page / LEAF_PAGES);

	if (leaf)
		__builtin_prefetch(leaf);
}

/* The last directory of a table of known size has no leaves beyond it. */
static uint32_t leaves_of(const struct pin_table *table, uint64_t number)
{
	uint64_t pages = table->size - number * DIR_PAGES;

	return (uint32_t)((MIN(pages, (uint64_t)DIR_PAGES) + (LEAF_PAGES - 1)) / LEAF_PAGES);
}

static struct pin_dir *make_dir(struct pin_table *table, uint64_t number)
{
	uint32_t nr_leaves = leaves_of(table, number);
	struct pin_dir *dir =
		failpoint() ? NULL : calloc(1, sizeof(*dir) + nr_leaves * sizeof(dir->leaves[0]));

	if (!dir)
		return NULL;
	dir->number = number;
	dir->nr_leaves = nr_leaves;
	if (range_map_insert(&table->dirs, number, number, dir)) {
		free(dir);
		return NULL;
	}
	if (!table->cache && table->dirs.count > 2)
		table->cache =
			failpoint() ? NULL : calloc(CACHED, sizeof(table->cache[0])); /* it can do without */
	use_dir(table, dir);
	return dir;
}

static void drop_dir(struct pin_table *table, struct pin_dir *dir)
{
	if (table->dir == dir)
		table->dir = NULL;
	if (table->cache && table->cache[dir->number % CACHED] == dir)
		table->cache[dir->number % CACHED] = NULL;
	range_map_remove(&table->dirs, dir->number);
	free(dir);
}

static void note_empty(struct pin_table *table, struct pin_dir *dir)
{
	if (table->empty && table->empty != dir)
		drop_dir(table, table->empty);
	table->empty = dir;
}

/* ---- pages that are pinned more than once */

static void drop_counts(struct pin_table *table, struct pin_leaf *leaf)
{
	free(table->spare);
	table->spare = leaf->more;
	leaf->more = NULL;
}

static bool make_counts(struct pin_table *table, struct pin_leaf *leaf)
{
	if (leaf->more)
		return true;
	leaf->more = table->spare ? table->spare : failpoint() ? NULL : calloc(1, sizeof(*leaf->more));
	table->spare = NULL;
	return leaf->more;
}

/* False when one of them has been pinned as often as can be counted, or there is no memory. */
static bool count_again(struct pin_table *table, struct pin_leaf *leaf, uint64_t pages)
{
	struct pin_counts *more;

	if (!make_counts(table, leaf))
		return false;
	more = leaf->more;
	for (uint64_t left = pages & more->many; left; left &= left - 1)
		if (unlikely(more->counts[__builtin_ctzll(left)] == UINT32_MAX - 1))
			return false;
	for (uint64_t left = pages; left; left &= left - 1)
		more->counts[__builtin_ctzll(left)]++;
	more->many |= pages;
	return true;
}

/* Each of them is pinned more than once. */
static void count_less(struct pin_table *table, struct pin_leaf *leaf, uint64_t pages)
{
	struct pin_counts *more = leaf->more;

	for (uint64_t left = pages; left; left &= left - 1)
		if (!--more->counts[__builtin_ctzll(left)])
			more->many &= ~(left & -left);
	if (!more->many)
		drop_counts(table, leaf);
}

/* ---- */

static bool get_part(struct pin_table *table, const struct part *part, uint64_t *fresh)
{
	struct pin_dir *dir = find_dir(table, part->number / DIR_LEAVES);
	struct pin_leaf *leaf;
	uint64_t again;

	if (unlikely(!dir)) {
		dir = make_dir(table, part->number / DIR_LEAVES);
		if (!dir)
			return false;
	}
	leaf = &dir->leaves[part->number % DIR_LEAVES];
	again = part->mask & leaf->pinned;
	if (unlikely(again)) {
		if (!count_again(table, leaf, again))
			return false;
		*fresh -= (uint64_t)__builtin_popcountll(again);
	}
	dir->used += !leaf->pinned;
	leaf->pinned |= part->mask;
	*fresh += part->n;
	if (table->empty == dir)
		table->empty = NULL;
	return true;
}

int pin_table_get(struct pin_table *table, uint64_t page, uint64_t n, uint64_t *fresh)
{
	uint64_t done = 0;

	*fresh = 0;
	while (done < n) {
		struct part part = part_at(page + done, n - done);

		if (unlikely(!get_part(table, &part, fresh))) {
			table->pins += done;
			table->pages += *fresh;
			pin_table_put(table, page, done);
			return WHY_ALWAYS(-ENOMEM, "there is no memory to count the pages");
		}
		done += part.n;
	}
	table->pins += n;
	table->pages += *fresh;
	return 0;
}

static uint64_t put_part(struct pin_table *table, const struct part *part)
{
	struct pin_dir *dir = find_dir(table, part->number / DIR_LEAVES);
	struct pin_leaf *leaf = &dir->leaves[part->number % DIR_LEAVES];
	uint64_t again = leaf->more ? part->mask & leaf->more->many : 0, gone = part->n;

	if (unlikely(again)) {
		count_less(table, leaf, again);
		gone -= (uint64_t)__builtin_popcountll(again);
	}
	leaf->pinned &= again | ~part->mask;
	if (!leaf->pinned && !--dir->used)
		note_empty(table, dir);
	return gone;
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
		const struct pin_leaf *leaf = find_leaf(table, part.number);

		if (!leaf || part.mask & ~leaf->pinned)
			return false;
		page += part.n;
		n -= part.n;
	}
	return true;
}

/* ---- searches */

struct search {
	uint64_t first, last;
	uint64_t count;
	bool one; /* stop at the first one */
	uint64_t found;
	const struct pin_leaf *leaf; /* of it */
	void (*fn)(void *arg, uint64_t page, uint64_t bits);
	void *arg;
};

/* The bits of those pages of leaf number that are pinned and lie in [first, last]. */
static uint64_t pinned_between(const struct pin_leaf *leaf, uint64_t number, const struct search *search)
{
	uint64_t base = number * LEAF_PAGES, bits = leaf->pinned;

	if (search->first > base)
		bits &= UINT64_MAX << (search->first - base);
	if (search->last - base < LEAF_PAGES - 1)
		bits &= UINT64_MAX >> (LEAF_PAGES - 1 - (search->last - base));
	return bits;
}

static bool search_dir(void *arg, struct range *range)
{
	const struct pin_dir *dir = range->value;
	struct search *search = arg;
	uint64_t base = dir->number * DIR_LEAVES;
	uint64_t first = MAX(search->first / LEAF_PAGES, base);
	uint64_t last = MIN(search->last / LEAF_PAGES, base + dir->nr_leaves - 1);

	for (uint64_t i = first; dir->used && i <= last; i++) {
		const struct pin_leaf *leaf = &dir->leaves[i - base];
		uint64_t bits = leaf->pinned ? pinned_between(leaf, i, search) : 0;

		search->count += (uint64_t)__builtin_popcountll(bits);
		if (search->fn && bits)
			search->fn(search->arg, i * LEAF_PAGES, bits);
		if (search->one && bits) {
			search->found = i * LEAF_PAGES + (unsigned int)__builtin_ctzll(bits);
			search->leaf = leaf;
			return false;
		}
	}
	return true;
}

uint64_t pin_table_count(struct pin_table *table, uint64_t first, uint64_t last)
{
	struct search search = { .first = first, .last = last };

	if (table->pages)
		range_map_each(&table->dirs, first / DIR_PAGES, last / DIR_PAGES, search_dir, &search);
	return search.count;
}

void pin_table_each(struct pin_table *table, uint64_t first, uint64_t last,
		    void (*fn)(void *arg, uint64_t page, uint64_t bits), void *arg)
{
	struct search search = { .first = first, .last = last, .fn = fn, .arg = arg };

	if (table->pages)
		range_map_each(&table->dirs, first / DIR_PAGES, last / DIR_PAGES, search_dir, &search);
}

bool pin_table_first(struct pin_table *table, uint64_t first, uint64_t last, uint64_t *page, uint32_t *count)
{
	struct search search = { .first = first, .last = last, .one = true };

	if (table->pages)
		range_map_each(&table->dirs, first / DIR_PAGES, last / DIR_PAGES, search_dir, &search);
	if (!search.leaf)
		return false;
	*page = search.found;
	*count = 1 + (search.leaf->more ? search.leaf->more->counts[search.found % LEAF_PAGES] : 0);
	return true;
}
