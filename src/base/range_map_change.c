/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changing a range map.
 *
 * Nodes are split so that runs of ascending or descending insertions leave full leaves behind, and merged on
 * removal when they and a neighbour are nearly empty.
 */
#include "base/failpoint.h"
#include "base/range_map_private.h"

#include <stdlib.h>
#include <string.h>

static struct range_node *node_new(const struct range_map *map, bool inner)
{
	size_t size = inner && map->gaps ? sizeof(struct gap_node) : sizeof(struct range_node);
	struct range_node *node = failpoint() ? NULL : aligned_alloc(64, align_up(size, 64));

	if (node)
		node->nr = 0;
	return node;
}

#define MOVE(array, to, from, n)    memmove(&(array)[to], &(array)[from], (n) * sizeof((array)[0]))
#define COPY(dst, to, src, from, n) memcpy(&(dst)[to], &(src)[from], (n) * sizeof((dst)[0]))

static void leaf_insert(struct range_node *leaf, uint64_t pos, const struct range *range)
{
	uint64_t tail = leaf->nr - pos;

	MOVE(leaf->start, pos + 1, pos, tail);
	MOVE(leaf->last, pos + 1, pos, tail);
	MOVE(leaf->value, pos + 1, pos, tail);
	leaf->start[pos] = range->start;
	leaf->last[pos] = range->last;
	leaf->value[pos] = range->value;
	leaf->nr++;
}

/* Move the entries from pos on to the end of another leaf. */
static void leaf_move(struct range_node *to, struct range_node *from, uint64_t pos)
{
	uint64_t n = from->nr - pos;

	COPY(to->start, to->nr, from->start, pos, n);
	COPY(to->last, to->nr, from->last, pos, n);
	COPY(to->value, to->nr, from->value, pos, n);
	to->nr += n;
	from->nr = pos;
}

/* gap: the bound of the child's gaps, for a map with gaps. */
static void inner_insert(const struct range_map *map, struct range_node *node, uint64_t pos, uint64_t key,
			 struct range_node *child, uint64_t gap)
{
	uint64_t tail = node->nr - pos;

	MOVE(node->key, pos + 1, pos, tail);
	MOVE(node->child, pos + 1, pos, tail);
	node->key[pos] = key;
	node->child[pos] = child;
	if (map->gaps) {
		MOVE(node_gaps(node), pos + 1, pos, tail);
		node_gaps(node)[pos] = gap;
	}
	node->nr++;
}

static void inner_move(const struct range_map *map, struct range_node *to, struct range_node *from,
		       uint64_t pos)
{
	uint64_t n = from->nr - pos;

	COPY(to->key, to->nr, from->key, pos, n);
	COPY(to->child, to->nr, from->child, pos, n);
	if (map->gaps)
		COPY(node_gaps(to), to->nr, node_gaps(from), pos, n);
	to->nr += n;
	from->nr = pos;
}

static void inner_remove(const struct range_map *map, struct range_node *node, uint64_t pos)
{
	uint64_t tail = node->nr - pos - 1;

	MOVE(node->key, pos, pos + 1, tail);
	MOVE(node->child, pos, pos + 1, tail);
	if (map->gaps)
		MOVE(node_gaps(node), pos, pos + 1, tail);
	node->nr--;
}

/* A full leaf's edge: put the range into the neighbour under the same parent instead. */
static bool insert_beside(const struct range_map *map, struct cursor *cur, const struct range *range)
{
	struct range_node *leaf = cur->node[0], *parent, *beside;
	uint64_t i;

	if (map->height < 2)
		return false;
	parent = cur->node[1];
	i = cur->index[1];
	if (cur->index[0] == leaf->nr && i + 1 < parent->nr) {
		beside = parent->child[i + 1];
		if (beside->nr == LEAF_MAX)
			return false;
		leaf_insert(beside, 0, range);
		parent->key[i + 1] = range->start;
		if (map->gaps)
			node_gaps(parent)[i + 1] = MAX(node_gaps(parent)[i], node_gaps(parent)[i + 1]);
		return true;
	}
	if (cur->index[0] == 0 && i) {
		beside = parent->child[i - 1];
		if (beside->nr == LEAF_MAX)
			return false;
		leaf_insert(beside, beside->nr, range);
		parent->key[i] = leaf->start[0];
		if (map->gaps)
			node_gaps(parent)[i - 1] = MAX(node_gaps(parent)[i - 1], node_gaps(parent)[i]);
		return true;
	}
	return false;
}

/* Split a full leaf and insert. Returns the lower bound of the new right one. */
static uint64_t split_leaf(struct range_node *leaf, struct range_node *right, uint64_t pos,
			   const struct range *range)
{
	uint64_t keep = pos == leaf->nr ? leaf->nr : pos ? leaf->nr / 2 : 0;

	leaf_move(right, leaf, keep);
	if (pos < keep || !pos)
		leaf_insert(leaf, pos, range);
	else
		leaf_insert(right, pos - keep, range);
	return right->start[0];
}

static uint64_t split_inner(const struct range_map *map, struct range_node *node, struct range_node *right,
			    uint64_t pos, uint64_t key, struct range_node *child, uint64_t gap)
{
	uint64_t keep = pos == node->nr ? node->nr : node->nr / 2;

	inner_move(map, right, node, keep);
	if (pos < keep)
		inner_insert(map, node, pos, key, child, gap);
	else
		inner_insert(map, right, pos - keep, key, child, gap);
	return right->key[0];
}

/* One new node for each full node on the path from the leaf up, and one for a new root: all or none. */
static unsigned int alloc_for_split(const struct range_map *map, const struct cursor *cur,
				    struct range_node **fresh)
{
	unsigned int full = 1, want;

	while (full < map->height && cur->node[full]->nr == INNER_MAX)
		full++;
	want = full + (full == map->height);
	for (unsigned int i = 0; i < want; i++) {
		fresh[i] = node_new(map, i);
		if (!fresh[i]) {
			while (i)
				free(fresh[--i]);
			return 0;
		}
	}
	return want;
}

static int insert_split(struct range_map *map, struct cursor *cur, const struct range *range)
{
	struct range_node *fresh[HEIGHT_MAX + 1], *right;
	unsigned int level = 0;
	uint64_t key;

	if (insert_beside(map, cur, range))
		return 0;
	if (map->height == HEIGHT_MAX || !alloc_for_split(map, cur, fresh))
		return -ENOMEM;
	right = fresh[0];
	key = split_leaf(cur->node[0], right, cur->index[0], range);
	while (++level < map->height) {
		struct range_node *node = cur->node[level];
		uint64_t pos = cur->index[level] + 1;
		uint64_t gap = map->gaps ? node_gaps(node)[pos - 1] : 0; /* right comes out of that child */

		if (node->nr < INNER_MAX) {
			inner_insert(map, node, pos, key, right, gap);
			return 0;
		}
		key = split_inner(map, node, fresh[level], pos, key, right, gap);
		right = fresh[level];
	}
	inner_insert(map, fresh[level], 0, 0, map->root, UINT64_MAX);
	inner_insert(map, fresh[level], 1, key, right, UINT64_MAX);
	map->root = fresh[level];
	map->height++;
	return 0;
}

static int insert_first(struct range_map *map, const struct range *range)
{
	map->root = node_new(map, false);
	if (!map->root)
		return -ENOMEM;
	leaf_insert(map->root, 0, range);
	map->height = 1;
	map->count = 1;
	return 0;
}

int range_map_insert(struct range_map *map, uint64_t start, uint64_t last, void *value)
{
	struct range range = { start, last, value }, other;
	struct cursor cur;
	int ret;

	if (!map->root)
		return insert_first(map, &range);
	cursor_seek(map, start, &cur);
	if (cursor_before(map, &cur, &other) && other.last >= start)
		return -EEXIST;
	if (cursor_here(map, &cur, &other) && other.start <= last)
		return -EEXIST;
	if (map->gaps)
		gap_before_insert(map, &cur, start);
	if (cur.node[0]->nr < LEAF_MAX) {
		leaf_insert(cur.node[0], cur.index[0], &range);
	} else {
		ret = insert_split(map, &cur, &range);
		if (ret)
			return ret;
	}
	map->count++;
	return 0;
}

int range_map_split(struct range_map *map, uint64_t start, uint64_t at, void *value)
{
	struct cursor cur;
	uint64_t *end, last;
	int ret;

	if (!map->root)
		return -ENOENT;
	cursor_seek(map, start, &cur);
	if (!cur.index[0] || cur.node[0]->start[cur.index[0] - 1] != start)
		return -ENOENT;
	end = &cur.node[0]->last[cur.index[0] - 1];
	last = *end;
	if (at <= start || at > last)
		return -ENOENT;
	*end = at - 1;
	ret = range_map_insert(map, at, last, value);
	if (ret)
		*end = last;
	return ret;
}

static void drop_root_chain(struct range_map *map)
{
	while (map->height > 1 && map->root->nr == 1) {
		struct range_node *old = map->root;

		map->root = old->child[0];
		map->height--;
		free(old);
	}
	if (map->root->nr)
		return;
	free(map->root);
	map->root = NULL;
	map->height = 0;
}

/* Merge children i and i + 1 of parent when both fit with room to spare. */
static bool merge_children(const struct range_map *map, struct range_node *parent, uint64_t i,
			   unsigned int level)
{
	struct range_node *left = parent->child[i], *right = parent->child[i + 1];
	uint64_t max = level ? INNER_MAX : LEAF_MAX;

	if (left->nr + right->nr > max - max / 4)
		return false;
	if (level) {
		right->key[0] = parent->key[i + 1];
		inner_move(map, left, right, 0);
	} else {
		leaf_move(left, right, 0);
	}
	free(right);
	if (map->gaps)
		node_gaps(parent)[i] = MAX(node_gaps(parent)[i], node_gaps(parent)[i + 1]);
	inner_remove(map, parent, i + 1);
	return true;
}

/* The node at level has lost an entry: take it out when empty, merge it when nearly so, and so on upwards. */
static void rebalance(struct range_map *map, struct cursor *cur)
{
	for (unsigned int level = 0; level + 1 < map->height; level++) {
		struct range_node *node = cur->node[level], *parent = cur->node[level + 1];
		uint64_t i = cur->index[level + 1];

		if (node->nr > (level ? INNER_MAX : LEAF_MAX) / 4)
			return;
		if (!node->nr) {
			free(node);
			inner_remove(map, parent, i);
		} else if (!(i && merge_children(map, parent, i - 1, level)) &&
			   !(i + 1 < parent->nr && merge_children(map, parent, i, level))) {
			return;
		}
	}
	drop_root_chain(map);
}

static void *remove_at(struct range_map *map, struct cursor *cur, uint64_t pos)
{
	struct range_node *leaf = cur->node[0];
	void *value = leaf->value[pos];
	uint64_t start = leaf->start[pos], tail = --leaf->nr - pos;

	MOVE(leaf->start, pos, pos + 1, tail);
	MOVE(leaf->last, pos, pos + 1, tail);
	MOVE(leaf->value, pos, pos + 1, tail);
	map->count--;
	if (map->gaps && pos && pos < leaf->nr)
		gap_raise(map, cur, leaf->start[pos] - (leaf->last[pos - 1] + 1));
	if (leaf->nr <= LEAF_MAX / 4)
		rebalance(map, cur);
	if (map->gaps && (!pos || !tail))
		gap_after_remove(map, start);
	return value;
}

void *range_map_remove(struct range_map *map, uint64_t start)
{
	struct cursor cur;

	if (!map->root)
		return NULL;
	cursor_seek(map, start, &cur);
	if (!cur.index[0] || cur.node[0]->start[cur.index[0] - 1] != start)
		return NULL;
	return remove_at(map, &cur, cur.index[0] - 1);
}

bool range_map_take(struct range_map *map, uint64_t start, uint64_t last, void **value)
{
	struct cursor cur;
	uint64_t pos;

	if (!map->root)
		return false;
	cursor_seek(map, start, &cur);
	pos = cur.index[0] - 1;
	if (!cur.index[0] || cur.node[0]->start[pos] != start || cur.node[0]->last[pos] != last)
		return false;
	*value = remove_at(map, &cur, pos);
	return true;
}

struct drop {
	uint64_t start, last;
	uint64_t count;
	bool gaps;
	void (*fn)(void *arg, const struct range *range);
	void *arg;
};

static void drop_from_leaf(struct range_node *leaf, struct drop *drop)
{
	uint64_t lo = drop->start ? count_le(leaf->start, leaf->nr, drop->start - 1) : 0;
	uint64_t hi = count_le(leaf->start, leaf->nr, drop->last), tail = leaf->nr - hi;

	for (uint64_t i = lo; drop->fn && i < hi; i++) {
		struct range range = { leaf->start[i], leaf->last[i], leaf->value[i] };

		drop->fn(drop->arg, &range);
	}
	drop->count += hi - lo;
	MOVE(leaf->start, lo, hi, tail);
	MOVE(leaf->last, lo, hi, tail);
	MOVE(leaf->value, lo, hi, tail);
	leaf->nr -= hi - lo;
}

static void drop_from(struct range_node *node, unsigned int level, struct drop *drop)
{
	uint64_t lo, hi, keep;

	if (!level) {
		drop_from_leaf(node, drop);
		return;
	}
	lo = keep = child_for(node, drop->start);
	hi = child_for(node, drop->last);
	for (uint64_t i = lo; i <= hi; i++) {
		struct range_node *child = node->child[i];

		drop_from(child, level - 1, drop);
		if (!child->nr) {
			free(child);
			continue;
		}
		node->child[keep] = child;
		if (drop->gaps)
			node_gaps(node)[keep] = node_gaps(node)[i];
		node->key[keep++] = node->key[i];
	}
	MOVE(node->key, keep, hi + 1, node->nr - hi - 1);
	MOVE(node->child, keep, hi + 1, node->nr - hi - 1);
	if (drop->gaps)
		MOVE(node_gaps(node), keep, hi + 1, node->nr - hi - 1);
	node->nr -= hi + 1 - keep;
}

uint64_t range_map_remove_starts(struct range_map *map, uint64_t start, uint64_t last,
				 void (*fn)(void *arg, const struct range *range), void *arg)
{
	struct drop drop = { start, last, 0, map->gaps, fn, arg };

	if (!map->root || start > last)
		return 0;
	drop_from(map->root, map->height - 1, &drop);
	map->count -= drop.count;
	drop_root_chain(map);
	if (map->gaps && drop.count)
		gap_after_remove(map, start);
	return drop.count;
}
