/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of range_map: the nodes of the B+ tree, and the way to an entry.
 *
 * Level 0 holds leaves, level height - 1 the root. key[i] of an inner node is a lower bound of what child[i]
 * holds and above everything in child[i - 1]; key[0] is never compared, but is a true bound wherever the node
 * has a left neighbour. Bounds may be stale (lower than the first start): ranges of the left neighbour may
 * reach past them, so a search that stops at a leaf's edge looks at the neighbour's entry.
 *
 * Invariants: no node is empty; ranges ascend and are disjoint; a root that is an inner node has two children
 * at least.
 *
 * The gap of a range is what is free before it, back to the range before, or to 0. A map that was asked for
 * has an upper bound of the gaps in each child beside the child. A change of the map only raises bounds,
 * where a gap has come into being; a search lowers those that it finds too high. (range_map_gap.c)
 *
 * Vocabulary: a cursor is the path from the root to a leaf; its pos is the number of entries there that start
 * at or below the number sought.
 */
#ifndef UVFIO_BASE_RANGE_MAP_PRIVATE_H
#define UVFIO_BASE_RANGE_MAP_PRIVATE_H

#include "base/range_map.h"

#define LEAF_MAX   20
#define INNER_MAX  31
#define HEIGHT_MAX 16

struct range_node {
	uint64_t nr;
	union {
		struct {
			uint64_t start[LEAF_MAX];
			uint64_t last[LEAF_MAX];
			void *value[LEAF_MAX];
		};
		struct {
			uint64_t key[INNER_MAX];
			struct range_node *child[INNER_MAX];
		};
	};
};

/* An inner node of a map with gaps. */
struct gap_node {
	struct range_node node;
	uint64_t gap[INNER_MAX]; /* of child[i]: none in there is larger */
};

static inline uint64_t *node_gaps(struct range_node *node)
{
	return container_of(node, struct gap_node, node)->gap;
}

struct cursor {
	struct range_node *node[HEIGHT_MAX];
	uint64_t index[HEIGHT_MAX]; /* of the child taken; of the entry at level 0 */
};

/* How many of the ascending a[0..n) are at or below x. */
static inline uint64_t count_le(const uint64_t *a, uint64_t n, uint64_t x)
{
	const uint64_t *base = a;

	if (!n)
		return 0;
	while (n > 1) {
		uint64_t half = n / 2;

		base += half & -(uint64_t)(base[half - 1] <= x); /* a branch here would be mispredicted */
		n -= half;
	}
	return (uint64_t)(base - a) + (*base <= x);
}

static inline uint64_t child_for(const struct range_node *node, uint64_t at)
{
	return count_le(node->key + 1, node->nr - 1, at);
}

/* A search in a large map waits for memory most of the time: fetch what it will look at all at once. */
static inline void prefetch_node(const struct range_node *node)
{
	for (size_t at = 0; at < sizeof(*node); at += 64)
		__builtin_prefetch((const char *)node + at);
}

static inline void cursor_seek(const struct range_map *map, uint64_t at, struct cursor *cur)
{
	struct range_node *node = map->root;

	for (unsigned int level = map->height - 1; level; level--) {
		cur->node[level] = node;
		cur->index[level] = child_for(node, at);
		node = node->child[cur->index[level]];
		prefetch_node(node);
	}
	cur->node[0] = node;
	cur->index[0] = count_le(node->start, node->nr, at);
}

/* To the first entry of the next leaf. False at the end of the map. */
static inline bool cursor_next_leaf(const struct range_map *map, struct cursor *cur)
{
	unsigned int level = 1;

	while (level < map->height && cur->index[level] + 1 == cur->node[level]->nr)
		level++;
	if (level >= map->height)
		return false;
	cur->index[level]++;
	for (; level; level--) {
		cur->node[level - 1] = cur->node[level]->child[cur->index[level]];
		cur->index[level - 1] = 0;
	}
	return true;
}

/* To behind the last entry of the previous leaf. False at the start of the map. */
static inline bool cursor_prev_leaf(const struct range_map *map, struct cursor *cur)
{
	unsigned int level = 1;

	while (level < map->height && cur->index[level] == 0)
		level++;
	if (level >= map->height)
		return false;
	cur->index[level]--;
	for (; level; level--) {
		struct range_node *node = cur->node[level]->child[cur->index[level]];

		cur->node[level - 1] = node;
		cur->index[level - 1] = level == 1 ? node->nr : node->nr - 1;
	}
	return true;
}

static inline bool cursor_get(const struct cursor *cur, uint64_t pos, struct range *out)
{
	const struct range_node *leaf = cur->node[0];

	*out = (struct range){ leaf->start[pos], leaf->last[pos], leaf->value[pos] };
	return true;
}

/* The entry before the cursor's position. */
static inline bool cursor_before(const struct range_map *map, const struct cursor *cur, struct range *out)
{
	struct cursor prev;

	if (cur->index[0])
		return cursor_get(cur, cur->index[0] - 1, out);
	prev = *cur;
	return cursor_prev_leaf(map, &prev) && cursor_get(&prev, prev.index[0] - 1, out);
}

/* The entry at the cursor's position. */
static inline bool cursor_here(const struct range_map *map, const struct cursor *cur, struct range *out)
{
	struct cursor next;

	if (cur->index[0] < cur->node[0]->nr)
		return cursor_get(cur, cur->index[0], out);
	next = *cur;
	return cursor_next_leaf(map, &next) && cursor_get(&next, 0, out);
}

/* For maps with gaps. There is a gap this large in the cursor's leaf. */
void gap_raise(const struct range_map *map, struct cursor *cur, uint64_t gap);
/* A range that starts at start is about to be put at the cursor. */
void gap_before_insert(const struct range_map *map, struct cursor *cur, uint64_t start);
/* Ranges that started at at and after it have gone. */
void gap_after_remove(const struct range_map *map, uint64_t at);

#endif
