/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call in whose middle memory is short: each allocation that it makes is made to fail, one after the other.
 * Then it says so, and what is mapped, pinned and charged is what it was; when none fails, it does its work.
 */
#include "iommu/test_type1_pin.h"

#include "base/failpoint.h"
#include "base/why.h"

#ifdef UVFIO_IOMMUFD_TEST

struct figures {
	uint64_t locked, mapped, by_domains, by_drivers, charged;
};

struct scenario {
	void (*prepare)(struct fixture *f);
	int (*act)(struct fixture *f);
	struct figures after;  /* when it has worked */
	unsigned int failures; /* allocations that it cannot do without, at least */
};

static struct figures look(struct fixture *f)
{
	struct figures now = { .locked = f->mm->locked_pages };
	struct mm_usages usages = { 0 };

	type1_get_usages(f->iommu, &usages);
	if (usages.nr) {
		now.mapped = usages.usage->mapped / PG;
		now.by_domains = usages.usage->pinned_by_domains;
		now.by_drivers = usages.usage->pinned_by_drivers;
		now.charged = usages.usage->charged;
	}
	assert_int_equal(now.locked, now.charged);
	mm_usages_free(&usages);
	return now;
}

static int map(struct fixture *f, uint64_t page, uint64_t n)
{
	return type1_map(f->iommu, f->mm, BASE + page * PG, f->va + page * PG, n * PG, RW, false);
}

/* ---- what is there before, and what is done */

static void prepare_mediated(struct fixture *f)
{
	assert_int_equal(attach_mediated(f, 0), 0);
	for (uint64_t page = 0; page < 400; page += 10)
		assert_int_equal(map(f, page, 10), 0);
}

/* Mappings of a page: what cannot be pinned in one go is tried again page by page, and these are not. */
static void prepare_small(struct fixture *f)
{
	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(attach_mediated(f, 1), 0);
	for (uint64_t page = 0; page < 100; page++)
		assert_int_equal(map(f, page, 1), 0);
}

static void prepare_small_pinned(struct fixture *f)
{
	prepare_small(f);
	assert_int_equal(pin(f, 1, 30, 20), 0);
}

static void prepare_small_backed(struct fixture *f)
{
	prepare_small_pinned(f);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
}

static void prepare_pinned(struct fixture *f)
{
	prepare_mediated(f);
	assert_int_equal(attach_mediated(f, 1), 0);
	assert_int_equal(pin(f, 0, 5, 30), 0);
	assert_int_equal(pin(f, 1, 30, 20), 0);
	assert_int_equal(pin(f, 1, 30, 5), 0);
}

static void prepare_backed(struct fixture *f)
{
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	prepare_mediated(f);
}

static void prepare_both(struct fixture *f)
{
	prepare_pinned(f);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
}

/* Far from the others: it needs parts of the tables that are not there yet. */
static int do_map(struct fixture *f)
{
	return type1_map(f->iommu, f->mm, BASE + BIT64(35), f->va, 5 * PG, RW, false);
}

static int do_map_many(struct fixture *f)
{
	int ret = 0;

	for (uint64_t page = 400; !ret && page < 490; page++)
		ret = map(f, page, 1);
	if (ret)
		type1_unmap(f->iommu, BASE + 400 * PG, 90 * PG, 0, NULL, &(uint64_t){ 0 });
	return ret;
}

static int do_pin(struct fixture *f)
{
	int ret;

	why_clear();
	why_say("of another call");
	ret = pin(f, 0, 20, 50);
	if (ret) /* it has a reason of its own */
		assert_string_not_equal(why_text(), "of another call");
	return ret;
}

static int do_attach(struct fixture *f)
{
	return type1_attach(f->iommu, f->devs, 1);
}

static int do_open(struct fixture *f)
{
	struct type1_pinner *pinner = type1_pinner_new(f->iommu, "late", NULL, NULL);

	if (pinner)
		type1_pinner_free(pinner);
	return pinner ? 0 : -ENOMEM;
}

/* Nothing in these can fail. */
static int do_unpin(struct fixture *f)
{
	return unpin(f, 0, 5, 30);
}

static int do_unmap(struct fixture *f)
{
	return unmap(f, 0, 400) == 400 ? 0 : -EINVAL;
}

static int do_detach(struct fixture *f)
{
	type1_detach(f->iommu, f->devs, 1);
	return 0;
}

static const struct scenario map_backed = { prepare_backed, do_map, { 405, 405, 405, 0, 405 }, 1 };
static const struct scenario map_many = { prepare_backed, do_map_many, { 490, 490, 490, 0, 490 }, 1 };
static const struct scenario map_mediated = { prepare_mediated, do_map_many, { 0, 490, 0, 0, 0 }, 1 };
static const struct scenario first_pins = { prepare_small, do_pin, { 50, 100, 0, 50, 50 }, 2 };
static const struct scenario more_pins = { prepare_small_pinned, do_pin, { 50, 100, 0, 50, 50 }, 2 };
static const struct scenario backed_pins = { prepare_small_backed, do_pin, { 100, 100, 100, 50, 100 }, 2 };
static const struct scenario hot_add = { prepare_pinned, do_attach, { 400, 400, 400, 45, 400 }, 2 };
static const struct scenario open_device = { prepare_pinned, do_open, { 45, 400, 0, 45, 45 }, 1 };
static const struct scenario unpins = { prepare_pinned, do_unpin, { 20, 400, 0, 20, 20 }, 0 };
static const struct scenario unmaps = { prepare_pinned, do_unmap, { 0 }, 0 };
static const struct scenario hot_remove = { prepare_both, do_detach, { 45, 400, 0, 45, 45 }, 0 };

/* ---- */

static void assert_same(const struct figures *now, const struct figures *want)
{
	assert_memory_equal(now, want, sizeof(*now));
}

/* The nth allocation fails. True: there was one. */
static bool try(const struct scenario *s, unsigned int nth, unsigned int *failures)
{
	struct figures before, now;
	struct fixture *f;
	bool failed;
	int ret;

	setup((void **)&f);
	s->prepare(f);
	before = look(f);
	failpoint_set(nth);
	ret = s->act(f);
	failed = !failpoint_get();
	failpoint_set(0);
	now = look(f);
	assert_true(!ret || (failed && ret == -ENOMEM));
	*failures += ret != 0;
	assert_same(&now, ret ? &before : &s->after);
	if (ret) { /* and then it works */
		assert_int_equal(s->act(f), 0);
		now = look(f);
		assert_same(&now, &s->after);
	}
	if (now.by_domains)
		type1_detach(f->iommu, f->devs, 1);
	for (unsigned int i = 0; i < NR_MEDIATED; i++)
		if (f->mediated[i].pinner)
			detach_mediated(f, i);
	assert_int_equal(f->mm->locked_pages, 0);
	teardown((void **)&f);
	return failed;
}

static void test_scenario(void **state)
{
	const struct scenario *s = *state;
	unsigned int nth = 1, failures = 0;

	while (try(s, nth, &failures))
		nth++;
	assert_true(failures >= s->failures);
	if (!s->failures)
		assert_int_equal(failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "map, backed", test_scenario, NULL, NULL, (void *)(uintptr_t)&map_backed },
		{ "many maps, backed", test_scenario, NULL, NULL, (void *)(uintptr_t)&map_many },
		{ "many maps, mediated", test_scenario, NULL, NULL, (void *)(uintptr_t)&map_mediated },
		{ "first pins", test_scenario, NULL, NULL, (void *)(uintptr_t)&first_pins },
		{ "pinned twice, by several", test_scenario, NULL, NULL, (void *)(uintptr_t)&more_pins },
		{ "pins, backed", test_scenario, NULL, NULL, (void *)(uintptr_t)&backed_pins },
		{ "backed device added to pins", test_scenario, NULL, NULL, (void *)(uintptr_t)&hot_add },
		{ "device opened", test_scenario, NULL, NULL, (void *)(uintptr_t)&open_device },
		{ "unpin", test_scenario, NULL, NULL, (void *)(uintptr_t)&unpins },
		{ "unmap of pinned memory", test_scenario, NULL, NULL, (void *)(uintptr_t)&unmaps },
		{ "last backed device removed", test_scenario, NULL, NULL, (void *)(uintptr_t)&hot_remove },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
	return 77; /* skipped: a build without failpoints */
}

#endif
