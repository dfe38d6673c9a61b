/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordered map of disjoint ranges [start, last] of 64-bit numbers to pointers: a B+ tree.
 *
 * No locking: the owner's lock protects it. Memory: about 26 to 48 bytes per range.
 * "last" is inclusive, so that a range may end at 2^64 - 1.
 */
#ifndef UVFIO_BASE_RANGE_MAP_H
#define UVFIO_BASE_RANGE_MAP_H

#include "base/base.h"

struct range_node;

struct range_map {
	struct range_node *root;
	unsigned int height; /* 0: empty */
	bool gaps;           /* range_map_gap() may be asked */
	uint64_t count;
};

struct range {
	uint64_t start;
	uint64_t last;
	void *value;
};

void range_map_init(struct range_map *map);
void range_map_init_gaps(
	struct range_map *map);                /* for range_map_gap(): inner nodes are half as large again */
void range_map_destroy(struct range_map *map); /* frees the nodes, not the values */

/* 0; -EEXIST when it overlaps a range that is there; -ENOMEM, map unchanged. */
int range_map_insert(struct range_map *map, uint64_t start, uint64_t last, void *value);

/*
 * The range that starts at start, and has at behind its start, ends before at; what it had from there on is a
 * new one with that value. 0; -ENOENT: there is none; -ENOMEM, map unchanged.
 */
int range_map_split(struct range_map *map, uint64_t start, uint64_t at, void *value);

/* Remove the range that starts exactly at start. Returns its value, or NULL. Needs no memory. */
void *range_map_remove(struct range_map *map, uint64_t start);

/* Remove the range that is exactly [start, last] and fetch its value. False, and nothing done, when there is
 * none. */
bool range_map_take(struct range_map *map, uint64_t start, uint64_t last, void **value);

/*
 * Remove every range whose start lies in [start, last]; fn (may be NULL) is called for each, ascending, and
 * must not touch the map. Walks whole nodes: far cheaper than as many single removals. Returns how many there
 * were.
 */
uint64_t range_map_remove_starts(struct range_map *map, uint64_t start, uint64_t last,
				 void (*fn)(void *arg, const struct range *range), void *arg);

/*
 * Call fn for every range that has any number in [start, last], ascending, until it returns false. fn may
 * change range->value, which is stored back, and must not touch the map otherwise.
 */
void range_map_each(struct range_map *map, uint64_t start, uint64_t last,
		    bool (*fn)(void *arg, struct range *range), void *arg);

/* The first range that has any number in [start, last]: true and *out, or false. */
bool range_map_first(const struct range_map *map, uint64_t start, uint64_t last, struct range *out);

/* The range that contains at: true and *out, or false. */
bool range_map_find(const struct range_map *map, uint64_t at, struct range *out);

/* The last range that ends before at (out->last < at); the first that starts after it (out->start > at). */
bool range_map_before(const struct range_map *map, uint64_t at, struct range *out);
bool range_map_after(const struct range_map *map, uint64_t at, struct range *out);

/*
 * The lowest stretch of at least size (not 0) numbers within [from, last] that no range has, as long as it
 * is within these bounds: true and *start, *end (inclusive), or false. Only for a map made with
 * range_map_init_gaps(). Takes logarithmic time, amortized over the changes of the map: it writes down what
 * it learns about nodes without such a gap, so the map must not be changed or asked by others meanwhile.
 */
bool range_map_gap(struct range_map *map, uint64_t from, uint64_t last, uint64_t size, uint64_t *start,
		   uint64_t *end);

#endif
