/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of pages against an array. */
#include "iommu/dirty_set.h"

#include "base/failpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 20000u

static bool model[PAGES], seen[PAGES];
static uint64_t seed = 88172645463325252u, base;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static void see(void *arg, uint64_t page, uint64_t bits)
{
	(void)arg;
	assert_int_equal(page % 64, 0);
	assert_int_not_equal(bits, 0);
	for (; bits; bits &= bits - 1) {
		uint64_t at = page + (unsigned int)__builtin_ctzll(bits) - base;

		assert_true(at < PAGES && !seen[at]);
		seen[at] = true;
	}
}

static void compare(struct dirty_set *set)
{
	uint64_t first = rnd(PAGES), last = first + rnd(PAGES - first);

	memset(seen, 0, sizeof(seen));
	dirty_set_each(set, base + first, base + last, see, NULL);
	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(seen[i], model[i] && i >= first && i <= last);
}

static void add(struct dirty_set *set, uint64_t first, uint64_t last)
{
#ifdef UVFIO_IOMMUFD_TEST
	failpoint_set((unsigned int)rnd(3));
#endif
	while (dirty_set_add(set, base + first, base + last))
		;
#ifdef UVFIO_IOMMUFD_TEST
	failpoint_set(0);
#endif
	memset(&model[first], true, last - first + 1);
}

static void try(uint64_t at)
{
	struct dirty_set set;

	base = at;
	dirty_set_init(&set);
	assert_true(dirty_set_is_empty(&set));
	for (unsigned int i = 0; i < 4000; i++) {
		uint64_t first = rnd(PAGES), last = MIN(first + rnd(rnd(8) ? 200 : PAGES), PAGES - 1);

		if (rnd(2)) {
			add(&set, first, last);
		} else {
			dirty_set_remove(&set, base + first, base + last);
			memset(&model[first], false, last - first + 1);
		}
		if (!rnd(20))
			compare(&set);
	}
	dirty_set_remove(&set, 0, UINT64_MAX);
	memset(model, 0, sizeof(model));
	assert_true(dirty_set_is_empty(&set));
	add(&set, 3, 5000);
	dirty_set_destroy(&set);
	memset(model, 0, sizeof(model));
	compare(&set);
	dirty_set_destroy(&set);
}

static void test_random(void **state)
{
	(void)state;
	try(0);
	try((UINT64_MAX >> 12) - (PAGES - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
