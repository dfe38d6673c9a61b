/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_lowest_first(void **state)
{
	struct id_allocator ids;
	uint32_t id;

	(void)state;
	id_init(&ids, 200);
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(id_alloc(&ids, &id), 0);
		assert_int_equal(id, i);
	}
	assert_int_equal(id_alloc(&ids, &id), -ENOSPC);
	id_free(&ids, 150);
	id_free(&ids, 3);
	assert_int_equal(id_alloc(&ids, &id), 0);
	assert_int_equal(id, 3);
	assert_int_equal(id_alloc(&ids, &id), 0);
	assert_int_equal(id, 150);
	id_destroy(&ids);
}

static void test_reserve(void **state)
{
	struct id_allocator ids;
	uint32_t id;

	(void)state;
	id_init(&ids, 300);
	assert_int_equal(id_reserve(&ids, 0), 0);
	assert_int_equal(id_reserve(&ids, 0), -EBUSY);
	assert_int_equal(id_reserve(&ids, 299), 0);
	assert_int_equal(id_reserve(&ids, 300), -EINVAL);
	assert_int_equal(id_alloc(&ids, &id), 0);
	assert_int_equal(id, 1);
	id_free(&ids, 5000);
	id_destroy(&ids);
	assert_int_equal(id_alloc(&ids, &id), 0);
	assert_int_equal(id, 0);
	id_destroy(&ids);
}

/* Against an array of what is in use, with many ids so that several words are full. */
static void test_random(void **state)
{
	enum { NR = 1000 };
	bool used[NR] = { false };
	struct id_allocator ids;
	uint32_t id, expected;

	(void)state;
	srand(1);
	id_init(&ids, NR);
	for (int i = 0; i < 20000; i++) {
		id = (uint32_t)rand() % NR;
		if (used[id]) {
			id_free(&ids, id);
			used[id] = false;
		}
		for (int n = rand() % 3; n; n--) {
			for (expected = 0; expected < NR && used[expected]; expected++)
				;
			assert_int_equal(id_alloc(&ids, &id), expected < NR ? 0 : -ENOSPC);
			if (expected == NR)
				break;
			assert_int_equal(id, expected);
			used[id] = true;
		}
	}
	id_destroy(&ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lowest_first),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
