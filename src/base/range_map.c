/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking into a range map. */
#include "base/range_map_private.h"

#include <stdlib.h>

void range_map_init(struct range_map *map)
{
	*map = (struct range_map){ 0 };
}

void range_map_init_gaps(struct range_map *map)
{
	*map = (struct range_map){ .gaps = true };
}

static void free_tree(struct range_node *node, unsigned int level)
{
	if (level)
		for (uint64_t i = 0; i < node->nr; i++)
			free_tree(node->child[i], level - 1);
	free(node);
}

void range_map_destroy(struct range_map *map)
{
	if (map->root)
		free_tree(map->root, map->height - 1);
	*map = (struct range_map){ .gaps = map->gaps };
}

bool range_map_first(const struct range_map *map, uint64_t start, uint64_t last, struct range *out)
{
	struct cursor cur;

	if (!map->root)
		return false;
	cursor_seek(map, start, &cur);
	if (cursor_before(map, &cur, out) && out->last >= start)
		return true;
	return cursor_here(map, &cur, out) && out->start <= last;
}

bool range_map_find(const struct range_map *map, uint64_t at, struct range *out)
{
	struct cursor cur;

	if (!map->root)
		return false;
	cursor_seek(map, at, &cur);
	return cursor_before(map, &cur, out) && out->last >= at;
}

bool range_map_before(const struct range_map *map, uint64_t at, struct range *out)
{
	struct cursor cur;

	if (!map->root || !at)
		return false;
	cursor_seek(map, at - 1, &cur);
	if (!cursor_before(map, &cur, out))
		return false;
	if (out->last < at)
		return true;
	if (!cur.index[0] && !cursor_prev_leaf(map, &cur))
		return false;
	cur.index[0]--;
	return cursor_before(map, &cur, out);
}

bool range_map_after(const struct range_map *map, uint64_t at, struct range *out)
{
	struct cursor cur;

	if (!map->root)
		return false;
	cursor_seek(map, at, &cur);
	return cursor_here(map, &cur, out);
}

void range_map_each(struct range_map *map, uint64_t start, uint64_t last,
		    bool (*fn)(void *arg, struct range *range), void *arg)
{
	struct cursor cur;
	struct range range;

	if (!map->root)
		return;
	cursor_seek(map, start, &cur);
	if (cursor_before(map, &cur, &range) && range.last >= start) {
		if (!cur.index[0])
			cursor_prev_leaf(map, &cur);
		cur.index[0]--;
	}
	do {
		struct range_node *leaf = cur.node[0];

		for (uint64_t i = cur.index[0]; i < leaf->nr; i++) {
			bool more;

			if (leaf->start[i] > last)
				return;
			cursor_get(&cur, i, &range);
			more = fn(arg, &range);
			if (range.value != leaf->value[i]) /* who only looks may share the map */
				leaf->value[i] = range.value;
			if (!more)
				return;
		}
	} while (cursor_next_leaf(map, &cur));
}
