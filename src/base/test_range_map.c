/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The range map against a plain array: small numbers, so that everything collides, and many operations, so
 * that every split and merge happens. Each slot of the model says which range holds it.
 */
#include "base/range_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SLOTS 6000

static struct range *model[SLOTS]; /* the range over each number, or NULL */
static uint64_t model_count;

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static struct range *model_first(uint64_t start, uint64_t last)
{
	for (uint64_t i = start; i <= last && i < SLOTS; i++)
		if (model[i])
			return model[i];
	return NULL;
}

static void model_add(uint64_t start, uint64_t last)
{
	struct range *range = malloc(sizeof(*range));

	*range = (struct range){ start, last, range };
	for (uint64_t i = start; i <= last; i++)
		model[i] = range;
	model_count++;
}

static void model_del(struct range *range)
{
	for (uint64_t i = range->start; i <= range->last; i++)
		model[i] = NULL;
	model_count--;
	free(range);
}

static void assert_same(bool found, const struct range *got, const struct range *want)
{
	assert_int_equal(found, want != NULL);
	if (!want)
		return;
	assert_int_equal(got->start, want->start);
	assert_int_equal(got->last, want->last);
	assert_ptr_equal(got->value, want->value);
}

static void check_lookups(struct range_map *map)
{
	uint64_t at = rnd(SLOTS), last = MIN(at + rnd(50), (uint64_t)SLOTS - 1);
	struct range got, *want = NULL;

	assert_same(range_map_find(map, at, &got), &got, model[at]);
	assert_same(range_map_first(map, at, last, &got), &got, model_first(at, last));
	for (uint64_t i = at; i-- && !want;)
		if (model[i] && model[i]->last < at)
			want = model[i];
	assert_same(range_map_before(map, at, &got), &got, want);
	want = NULL;
	for (uint64_t i = at + 1; i < SLOTS && !want; i++)
		if (model[i] && model[i]->start > at)
			want = model[i];
	assert_same(range_map_after(map, at, &got), &got, want);
}

/* The lowest gap of size numbers in [from, last], by trying. */
static bool model_gap(uint64_t from, uint64_t last, uint64_t size, uint64_t *start, uint64_t *end)
{
	uint64_t run = 0;

	for (uint64_t i = from; i <= last; i++) {
		if (i < SLOTS && model[i]) {
			if (run >= size)
				return true;
			run = 0;
			continue;
		}
		if (!run++)
			*start = i;
		*end = i;
		if (i >= SLOTS) {
			*end = last;
			return last - *start >= size - 1;
		}
	}
	return run >= size;
}

static void check_gap(struct range_map *map)
{
	uint64_t from = rnd(3) ? rnd(SLOTS) : 0, size = 1 + rnd(rnd(2) ? 4 : 60), want_start = 0,
		 want_end = 0, start, end;
	uint64_t last = rnd(2) ? SLOTS + 1000 : rnd(SLOTS);
	bool want = model_gap(from, last, size, &want_start, &want_end);

	assert_int_equal(range_map_gap(map, from, last, size, &start, &end), want);
	if (!want)
		return;
	assert_int_equal(start, want_start);
	assert_int_equal(end, want_end);
}

static void try_insert(struct range_map *map, uint64_t start, uint64_t last)
{
	struct range *there = model_first(start, last);
	int ret;

	if (there) {
		assert_int_equal(range_map_insert(map, start, last, map), -EEXIST);
		return;
	}
	model_add(start, last);
	ret = range_map_insert(map, start, last, model[start]);
	assert_int_equal(ret, 0);
}

static void try_remove(struct range_map *map, uint64_t start)
{
	struct range *there = model[start] && model[start]->start == start ? model[start] : NULL;

	if (rnd(2)) {
		assert_ptr_equal(range_map_remove(map, start), there ? there->value : NULL);
	} else {
		uint64_t last = there ? there->last : start;
		void *value;

		assert_false(range_map_take(map, start, last + 1, &value));
		assert_int_equal(range_map_take(map, start, last, &value), there != NULL);
		if (there)
			assert_ptr_equal(value, there->value);
	}
	if (there)
		model_del(there);
}

static void try_split(struct range_map *map, uint64_t at)
{
	struct range *there = model[at], *rest;
	uint64_t last;

	if (!there || there->start == at) {
		assert_int_equal(range_map_split(map, at, at, map), -ENOENT);
		return;
	}
	last = there->last;
	rest = malloc(sizeof(*rest));
	*rest = (struct range){ at, last, rest };
	for (uint64_t i = at; i <= last; i++)
		model[i] = rest;
	there->last = at - 1;
	model_count++;
	assert_int_equal(range_map_split(map, there->start, at, rest), 0);
}

static uint64_t expected_next;

static void dropped(void *arg, const struct range *range)
{
	(void)arg;
	assert_true(range->start >= expected_next);
	expected_next = range->last + 1;
	assert_ptr_equal(model[range->start], range->value);
	assert_int_equal(model[range->start]->last, range->last);
	model_del(model[range->start]);
}

static void try_remove_starts(struct range_map *map, uint64_t start, uint64_t last)
{
	uint64_t before = model_count, got;

	expected_next = 0;
	got = range_map_remove_starts(map, start, last, dropped, NULL);
	assert_int_equal(got, before - model_count);
	for (uint64_t i = start; i <= last && i < SLOTS; i++)
		assert_true(!model[i] || model[i]->start < start);
}

static bool walked(void *arg, struct range *range)
{
	uint64_t *next = arg;
	struct range *want = model_first(*next, SLOTS - 1);

	assert_non_null(want);
	assert_int_equal(range->start, want->start);
	assert_ptr_equal(range->value, want->value);
	*next = range->last + 1;
	return true;
}

static void check_walk(struct range_map *map)
{
	uint64_t start = rnd(SLOTS), last = rnd(2) ? SLOTS - 1 : MIN(start + rnd(500), (uint64_t)SLOTS - 1);
	uint64_t next = start;

	range_map_each(map, start, last, walked, &next);
	assert_null(next <= last ? model_first(next, last) : NULL);
}

static void clear(struct range_map *map)
{
	try_remove_starts(map, 0, UINT64_MAX);
	assert_int_equal(model_count, 0);
	assert_null(map->root);
}

/* bias: of 100 operations how many insert. */
static void churn(struct range_map *map, int ops, uint64_t bias)
{
	while (ops--) {
		uint64_t start = rnd(SLOTS), last = MIN(start + rnd(rnd(20) ? 2 : 40), (uint64_t)SLOTS - 1);

		if (rnd(100) < bias)
			try_insert(map, start, last);
		else if (!rnd(4))
			try_split(map, start);
		else if (!rnd(200))
			try_remove_starts(map, start, MIN(start + rnd(400), (uint64_t)SLOTS - 1));
		else
			try_remove(map, model[start] ? model[start]->start : start);
		if (!rnd(4))
			check_lookups(map);
		if (!rnd(500))
			check_walk(map);
		if (map->gaps && !rnd(3))
			check_gap(map);
		assert_int_equal(map->count, model_count);
	}
}

static void rounds(struct range_map *map)
{
	for (int round = 0; round < 6; round++) {
		churn(map, 12000, 85);
		churn(map, 12000, 50);
		churn(map, 12000, 15);
	}
	clear(map);
}

static void test_random(void **state)
{
	struct range_map map;

	(void)state;
	range_map_init(&map);
	rounds(&map);
}

static void test_random_gaps(void **state)
{
	struct range_map map;

	(void)state;
	range_map_init_gaps(&map);
	rounds(&map);
}

/* Whatever the order, what is chosen is the lowest hole, to the last one. */
static void test_gap_fill(void **state)
{
	struct range_map map;
	uint64_t start, end;

	(void)state;
	range_map_init_gaps(&map);
	for (uint64_t i = 0; i < SLOTS; i += 2)
		try_insert(&map, i, i);
	assert_false(range_map_gap(&map, 0, SLOTS - 2, 2, &start, &end));
	for (uint64_t i = 1; i < SLOTS; i += 2) {
		assert_true(range_map_gap(&map, 0, SLOTS - 1, 1, &start, &end));
		assert_int_equal(start, i);
		assert_int_equal(end, i);
		try_insert(&map, i, i);
	}
	assert_false(range_map_gap(&map, 0, SLOTS - 1, 1, &start, &end));
	for (int i = 0; i < 3000; i++) {
		uint64_t at = rnd(SLOTS - 8), n = 1 + rnd(8);

		for (uint64_t k = at; k < at + n; k++)
			try_remove(&map, k);
		assert_true(range_map_gap(&map, 0, UINT64_MAX, n, &start, &end));
		assert_int_equal(start, at);
		assert_int_equal(end, at + n - 1);
		for (uint64_t k = at + n; k-- > at;)
			try_insert(&map, k, k);
	}
	clear(&map);
}

static void test_runs(void **state)
{
	struct range_map map;

	(void)state;
	range_map_init(&map);
	for (uint64_t i = 0; i < SLOTS; i++)
		try_insert(&map, i, i);
	assert_true(map.height <= 4);
	check_walk(&map);
	for (uint64_t i = 0; i < SLOTS; i += 2)
		try_remove(&map, i);
	for (int i = 0; i < 3000; i++)
		check_lookups(&map);
	clear(&map);
	for (uint64_t i = SLOTS; i--;)
		try_insert(&map, i, i);
	check_walk(&map);
	try_remove_starts(&map, 100, SLOTS - 100);
	for (uint64_t i = SLOTS; i--;)
		try_insert(&map, i, i);
	for (uint64_t i = 0; i < SLOTS; i++)
		try_remove(&map, i);
	assert_null(map.root);
}

/* A run that was made by appending, as deep as it gets. */
static void test_gap_run(void **state)
{
	const uint64_t n = 100000;
	struct range_map map;
	uint64_t start, end;

	(void)state;
	range_map_init_gaps(&map);
	for (uint64_t i = 0; i < n; i++) {
		assert_true(range_map_gap(&map, 1, UINT64_MAX, 4, &start, &end));
		assert_int_equal(start, 1 + i * 4);
		assert_int_equal(range_map_insert(&map, start, start + 3, &map), 0);
	}
	for (int i = 0; i < 20000; i++) {
		uint64_t at = 1 + rnd(n - 1) * 4;

		assert_ptr_equal(range_map_remove(&map, at), &map);
		assert_true(range_map_gap(&map, 1, UINT64_MAX, 4, &start, &end));
		assert_int_equal(start, at);
		assert_int_equal(end, at + 3);
		assert_int_equal(range_map_insert(&map, at, at + 3, &map), 0);
	}
	range_map_destroy(&map);
}

static void test_edges(void **state)
{
	struct range_map map;
	struct range got;
	int a, b;

	(void)state;
	range_map_init(&map);
	assert_false(range_map_find(&map, 0, &got));
	assert_int_equal(range_map_insert(&map, UINT64_MAX - 9, UINT64_MAX, &a), 0);
	assert_int_equal(range_map_insert(&map, UINT64_MAX, UINT64_MAX, &b), -EEXIST);
	assert_int_equal(range_map_insert(&map, 0, UINT64_MAX, &b), -EEXIST);
	assert_int_equal(range_map_insert(&map, 0, UINT64_MAX - 10, &b), 0);
	assert_true(range_map_find(&map, UINT64_MAX, &got));
	assert_ptr_equal(got.value, &a);
	assert_false(range_map_after(&map, UINT64_MAX, &got));
	assert_false(range_map_before(&map, 0, &got));
	assert_true(range_map_before(&map, UINT64_MAX, &got));
	assert_ptr_equal(got.value, &b);
	assert_null(range_map_remove(&map, 1));
	assert_int_equal(range_map_remove_starts(&map, 1, UINT64_MAX, NULL, NULL), 1);
	assert_int_equal(map.count, 1);
	range_map_destroy(&map);
}

static void test_gap_edges(void **state)
{
	uint64_t start, end;
	struct range_map map;
	int a;

	(void)state;
	range_map_init_gaps(&map);
	assert_true(range_map_gap(&map, 0, UINT64_MAX, UINT64_MAX, &start, &end));
	assert_int_equal(start, 0);
	assert_int_equal(end, UINT64_MAX);
	assert_false(range_map_gap(&map, 1, 0, 1, &start, &end));
	assert_int_equal(range_map_insert(&map, UINT64_MAX - 9, UINT64_MAX, &a), 0);
	assert_false(range_map_gap(&map, UINT64_MAX - 5, UINT64_MAX, 1, &start, &end));
	assert_false(range_map_gap(&map, UINT64_MAX - 19, UINT64_MAX, 11, &start, &end));
	assert_true(range_map_gap(&map, UINT64_MAX - 19, UINT64_MAX, 10, &start, &end));
	assert_int_equal(start, UINT64_MAX - 19);
	assert_int_equal(end, UINT64_MAX - 10);
	assert_int_equal(range_map_insert(&map, 0, UINT64_MAX - 10, &a), 0);
	assert_false(range_map_gap(&map, 0, UINT64_MAX, 1, &start, &end));
	range_map_destroy(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),      cmocka_unit_test(test_runs),
		cmocka_unit_test(test_random_gaps), cmocka_unit_test(test_gap_fill),
		cmocka_unit_test(test_gap_run),     cmocka_unit_test(test_edges),
		cmocka_unit_test(test_gap_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
