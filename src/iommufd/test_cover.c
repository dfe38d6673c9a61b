/* SPDX-License-Identifier: BSD-2-Clause */
/* Counted coverage against an array of counters. */
#include "iommufd/cover.h"

#include "base/failpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 500
#define HELD  80

static unsigned int model[PAGES], pinned[PAGES]; /* covered, and of these by pins */
static struct {
	uint64_t first, last;
} held[HELD];
static unsigned int nr_held;
static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static void add(struct cover *cover)
{
	uint64_t first = rnd(4) ? rnd(PAGES) : 0, last = rnd(4) ? first + rnd(PAGES - first) : PAGES - 1,
		 fresh;
	uint64_t want = 0, before = cover_count(cover);

	if (nr_held && !rnd(4)) { /* one that is there already */
		first = held[0].first;
		last = held[0].last;
	}
#ifdef UVFIO_IOMMUFD_TEST
	failpoint_set(rnd(5) ? 0 : 1 + (unsigned int)rnd(3));
#endif
	if (cover_add(cover, first, last, &fresh)) {
		assert_int_equal(cover_count(cover), before);
		return;
	}
#ifdef UVFIO_IOMMUFD_TEST
	failpoint_set(0);
#endif
	for (uint64_t i = first; i <= last; i++)
		want += !model[i]++;
	assert_int_equal(fresh, want);
	assert_int_equal(cover_count(cover), before + want);
	held[nr_held].first = first;
	held[nr_held++].last = last;
}

static void take_back(struct cover *cover)
{
	uint64_t i = rnd(nr_held), first = held[i].first, last = held[i].last, want = 0;

	held[i] = held[--nr_held];
	for (uint64_t p = first; p <= last; p++)
		want += !--model[p];
	assert_int_equal(cover_remove(cover, first, last), want);
}

static void pin(struct cover *cover)
{
	uint64_t first = rnd(PAGES), last = first + rnd(PAGES - first), fresh, want = 0;
	uint64_t before = cover_count(cover);

	if (rnd(4))
		last = first;
	for (uint64_t i = first; i <= last; i++) {
		want += !model[i]++;
		pinned[i]++;
	}
	assert_int_equal(cover_pin(cover, first, last, &fresh), 0);
	assert_int_equal(fresh, want);
	assert_int_equal(cover_count(cover), before + want);
}

/* Not what a call has pinned, but whatever is. */
static void unpin(struct cover *cover, uint64_t first)
{
	uint64_t last = first, want = 0;

	while (last + 1 < PAGES && pinned[last + 1] && rnd(50))
		last++;
	for (uint64_t i = first; i <= last; i++) {
		want += !--model[i];
		pinned[i]--;
	}
	assert_int_equal(cover_unpin(cover, first, last), want);
}

static void unpin_all(struct cover *cover)
{
	for (uint64_t i = 0; i < PAGES; i++)
		while (pinned[i])
			unpin(cover, i);
}

static void compare_pins(struct cover *cover)
{
	uint64_t first = rnd(PAGES), last = first + rnd(PAGES - first), want = 0;

	for (uint64_t i = first; i <= last; i++)
		want += pinned[i] != 0;
	assert_int_equal(cover_pinned(cover, first, last), want);
}

static void test_random(void **state)
{
	struct cover cover;

	(void)state;
	cover_init(&cover, PAGES);
	for (int i = 0; i < 20000; i++) {
		uint64_t at = rnd(PAGES);

		if (i % 4000 < 2500 && rnd(2)) {
			if (pinned[at])
				unpin(&cover, at);
			else
				pin(&cover);
			compare_pins(&cover);
		}
		if (i % 4000 == 3000)
			unpin_all(&cover);
		if (nr_held < HELD && (!nr_held || rnd(2)))
			add(&cover);
		else
			take_back(&cover);
		assert_int_equal(cover_has(&cover, at), model[at] != 0);
	}
	unpin_all(&cover);
	while (nr_held)
		take_back(&cover);
	assert_int_equal(cover_count(&cover), 0);
	assert_int_equal(cover.points->map.count, 0);
	cover_destroy(&cover);
}

static void test_whole(void **state)
{
	struct cover cover;
	uint64_t fresh;

	(void)state;
	cover_init(&cover, 1);
	assert_false(cover_has(&cover, 0));
	assert_int_equal(cover_add(&cover, 0, 0, &fresh), 0);
	assert_int_equal(fresh, 1);
	assert_int_equal(cover_add(&cover, 0, 0, &fresh), 0);
	assert_int_equal(fresh, 0);
	assert_null(cover.points);
	assert_int_equal(cover_remove(&cover, 0, 0), 0);
	assert_true(cover_has(&cover, 0));
	assert_int_equal(cover_pin(&cover, 0, 0, &fresh), 0);
	assert_int_equal(fresh, 0);
	assert_int_equal(cover_remove(&cover, 0, 0), 0);
	assert_int_equal(cover_add(&cover, 0, 0, &fresh), 0);
	assert_int_equal(fresh, 0);
	assert_int_equal(cover_unpin(&cover, 0, 0), 0);
	assert_int_equal(cover_pinned(&cover, 0, 0), 0);
	assert_int_equal(cover_remove(&cover, 0, 0), 1);
	assert_int_equal(cover_pin(&cover, 0, 0, &fresh), 0);
	assert_int_equal(fresh, 1);
	assert_int_equal(cover_pinned(&cover, 0, 0), 1);
	assert_true(cover_has(&cover, 0));
	assert_int_equal(cover_unpin(&cover, 0, 0), 1);
	assert_null(cover.points);
	cover_destroy(&cover);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
