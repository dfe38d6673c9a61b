/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts of pinned pages against an array of counters. */
#include "iommu/pin_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 20000u

static uint32_t model[PAGES];
static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static uint64_t length_from(uint64_t page)
{
	return MIN(1 + rnd(rnd(4) ? 4 : 700), PAGES - page);
}

static void get(struct pin_table *table, uint64_t base, uint64_t page)
{
	uint64_t n = length_from(page), fresh, want = 0;

	for (uint64_t i = page; i < page + n; i++)
		want += !model[i]++;
	assert_int_equal(pin_table_get(table, base + page, n, &fresh), 0);
	assert_int_equal(fresh, want);
}

static void put(struct pin_table *table, uint64_t base, uint64_t page)
{
	uint64_t n = length_from(page), want = 0;

	while (page < PAGES && !model[page])
		page++;
	for (uint64_t i = page; i < MIN(page + n, PAGES); i++)
		if (!model[i])
			n = i - page;
	n = MIN(n, PAGES - page);
	assert_true(pin_table_has(table, base + page, n));
	for (uint64_t i = page; i < page + n; i++)
		want += !--model[i];
	assert_int_equal(pin_table_put(table, base + page, n), want);
}

static void compare(struct pin_table *table, uint64_t base)
{
	uint64_t first = rnd(PAGES), last = first + rnd(PAGES - first), pages = 0, page, lowest = PAGES;
	uint32_t count;

	for (uint64_t i = first; i <= last; i++) {
		pages += model[i] != 0;
		lowest = model[i] && lowest == PAGES ? i : lowest;
	}
	assert_int_equal(pin_table_count(table, base + first, base + last), pages);
	assert_int_equal(pin_table_has(table, base + first, last - first + 1), pages == last - first + 1);
	if (!pin_table_first(table, base + first, base + last, &page, &count)) {
		assert_int_equal(lowest, PAGES);
		return;
	}
	assert_int_equal(page, base + lowest);
	assert_int_equal(count, model[lowest]);
}

static void empty(struct pin_table *table)
{
	uint64_t page;
	uint32_t count;

	while (pin_table_first(table, 0, UINT64_MAX, &page, &count))
		while (count--)
			pin_table_put(table, page, 1);
	memset(model, 0, sizeof(model));
	assert_int_equal(table->pages, 0);
	assert_int_equal(table->pins, 0);
}

static void try(uint64_t base, uint64_t size, unsigned int steps)
{
	struct pin_table table;

	pin_table_init(&table, size);
	for (unsigned int i = 0; i < steps; i++) {
		uint64_t page = rnd(4) ? rnd(PAGES) : rnd(100);

		pin_table_prefetch(&table, base + page);
		if (rnd(steps) > i)
			get(&table, base, page);
		else
			put(&table, base, page);
		if (!rnd(100))
			compare(&table, base);
	}
	empty(&table);
	get(&table, base, 7); /* one is left to be freed with the table */
	pin_table_destroy(&table);
	memset(model, 0, sizeof(model));
}

static void test_counts(void **state)
{
	(void)state;
	try(0, UINT64_MAX, 20000);
	try(0, PAGES, 20000);
	try((UINT64_MAX >> 12) - PAGES, UINT64_MAX, 5000);
}

static void test_small(void **state)
{
	struct pin_table table;
	uint64_t fresh;

	(void)state;
	pin_table_init(&table, 1);
	assert_false(pin_table_has(&table, 0, 1));
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(pin_table_get(&table, 0, 1, &fresh), 0);
		assert_int_equal(fresh, !i);
	}
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(pin_table_put(&table, 0, 1), i == 2);
	pin_table_destroy(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
