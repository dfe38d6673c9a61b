/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding the lowest gap of a size in a range map.
 *
 * A search goes through the nodes from left to right, past those whose bound is too low. Behind one that was
 * passed over, it has to ask the rightmost leaf in there where the free numbers begin. A child that was
 * looked through from its first range on and had no such gap gets its true maximum as its bound: each raised
 * bound can mislead one search only.
 */
#include "base/range_map_private.h"

void gap_raise(const struct range_map *map, struct cursor *cur, uint64_t gap)
{
	for (unsigned int level = 1; level < map->height; level++) {
		uint64_t *bound = &node_gaps(cur->node[level])[cur->index[level]];

		if (*bound >= gap)
			return;
		*bound = gap;
	}
}

/* The free numbers between the range before the cursor, if any, and start. */
static uint64_t gap_at(const struct range_map *map, const struct cursor *cur, uint64_t start)
{
	struct range before;

	return cursor_before(map, cur, &before) ? start - (before.last + 1) : start;
}

void gap_before_insert(const struct range_map *map, struct cursor *cur, uint64_t start)
{
	gap_raise(map, cur, gap_at(map, cur, start));
}

void gap_after_remove(const struct range_map *map, uint64_t at)
{
	struct range behind;
	struct cursor cur;
	uint64_t gap;

	if (map->height < 2)
		return;
	cursor_seek(map, at, &cur);
	if (!cursor_here(map, &cur, &behind))
		return;
	gap = gap_at(map, &cur, behind.start);
	if (cur.index[0] == cur.node[0]->nr)
		cursor_next_leaf(map, &cur);
	gap_raise(map, &cur, gap);
}

enum verdict { NOT_HERE, FOUND, BEYOND };

struct search {
	uint64_t from, last, size;
	uint64_t free; /* the numbers behind the range passed last begin here, from or not */
	bool full;     /* that range reaches to last */
	uint64_t end;  /* of what was found */
	uint64_t max;  /* the largest gap of what was looked through last */
};

/* The range that ends at last has been passed. */
static bool pass(struct search *s, uint64_t last)
{
	s->full = last >= s->last;
	s->free = last + 1;
	return !s->full;
}

static enum verdict search_leaf(const struct range_node *leaf, struct search *s, bool whole)
{
	uint64_t i = whole ? 0 : count_le(leaf->start, leaf->nr, s->from);

	s->max = 0;
	if (i && !pass(s, leaf->last[i - 1]))
		return BEYOND;
	for (; i < leaf->nr; i++) {
		uint64_t start = leaf->start[i], gap = start - s->free;

		if (start > s->last)
			return BEYOND;
		if (gap >= s->size && start - MAX(s->free, s->from) >= s->size) {
			s->end = start - 1;
			return FOUND;
		}
		s->max = MAX(s->max, gap);
		if (!pass(s, leaf->last[i]))
			return BEYOND;
	}
	return NOT_HERE;
}

static uint64_t rightmost_last(const struct range_node *node, unsigned int level)
{
	for (; level; level--)
		node = node->child[node->nr - 1];
	return node->last[node->nr - 1];
}

/* whole: everything here lies behind from. */
static enum verdict search_node(struct range_node *node, unsigned int level, struct search *s, bool whole)
{
	uint64_t *gap, i, known, max = 0;

	if (!level)
		return search_leaf(node, s, whole);
	gap = node_gaps(node);
	i = whole ? 0 : child_for(node, s->from);
	known = i; /* s->free is right for this child */
	for (; i < node->nr; i++, whole = true) {
		enum verdict verdict;

		if (gap[i] >= s->size) {
			if (i && node->key[i] > s->last)
				break;
			if (known != i && !pass(s, rightmost_last(node->child[i - 1], level - 1)))
				return BEYOND;
			verdict = search_node(node->child[i], level - 1, s, whole);
			if (verdict != NOT_HERE)
				return verdict;
			if (whole)
				gap[i] = s->max;
			known = i + 1;
		}
		max = MAX(max, gap[i]);
	}
	s->max = max;
	if (known != i && !pass(s, rightmost_last(node->child[i - 1], level - 1)))
		return BEYOND;
	return i < node->nr ? BEYOND : NOT_HERE;
}

bool range_map_gap(struct range_map *map, uint64_t from, uint64_t last, uint64_t size, uint64_t *start,
		   uint64_t *end)
{
	struct search s = { .from = from, .last = last, .size = size, .free = from };
	enum verdict verdict = NOT_HERE;
	struct range range;

	if (from > last)
		return false;
	if (range_map_find(map, from, &range)) {
		if (range.last >= last)
			return false;
		s.from = s.free = range.last + 1;
	}
	if (map->root)
		verdict = search_node(map->root, map->height - 1, &s, false);
	*start = MAX(s.free, s.from);
	*end = verdict == FOUND ? s.end : last;
	return !s.full && *end - *start >= size - 1 && *start <= *end;
}
