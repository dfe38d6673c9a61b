/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads: drivers that pin, unpin, read and write, against unmapping, and against devices of both kinds that
 * come and go. In the end nothing is pinned nor charged. Two who unmap at a time tell a driver once each.
 * Meant for the thread sanitizer, and of use without.
 */
#include "iommu/test_type1_pin.h"

#include <time.h>

#define SPAN    64u
#define SECONDS 1

struct race {
	struct fixture *f;
	_Atomic bool stop;
	_Atomic unsigned int pinned, unmapped, attached, told;
};

struct driver {
	struct race *race;
	pthread_mutex_t lock; /* protects pins: a driver's own lock, which its unmap function takes, too */
	struct type1_pinner *pinner;
	unsigned int pins[SPAN];
};

static void driver_unmap(void *owner, uint64_t iova, uint64_t size)
{
	struct driver *driver = owner;

	driver->race->told++;
	pthread_mutex_lock(&driver->lock);
	for (uint64_t i = (iova - BASE) / PG; i < (iova + size - BASE) / PG; i++)
		for (; driver->pins[i]; driver->pins[i]--)
			assert_int_equal(type1_unpin_pages(driver->pinner, BASE + i * PG, 1), 0);
	pthread_mutex_unlock(&driver->lock);
}

static unsigned int next(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % below;
}

static void pin_some(struct driver *driver, unsigned int *seed)
{
	unsigned int page = next(seed, SPAN - 4), n = 1 + next(seed, 4);
	struct mm_page pages[4];

	pthread_mutex_lock(&driver->lock);
	if (!type1_pin_pages(driver->pinner, BASE + page * PG, n, RW, pages)) {
		driver->race->pinned++;
		for (unsigned int i = 0; i < n; i++)
			driver->pins[page + i]++;
	}
	pthread_mutex_unlock(&driver->lock);
}

static void unpin_some(struct driver *driver, unsigned int *seed)
{
	unsigned int page = next(seed, SPAN);

	pthread_mutex_lock(&driver->lock);
	if (driver->pins[page]) {
		assert_int_equal(type1_unpin_pages(driver->pinner, BASE + page * PG, 1), 0);
		driver->pins[page]--;
	}
	pthread_mutex_unlock(&driver->lock);
}

/* A mediated device joins, works, and is closed with pins left. */
static void *driver_thread(void *arg)
{
	struct race *race = arg;
	struct driver driver = { .race = race, .lock = PTHREAD_MUTEX_INITIALIZER };
	unsigned int seed = (unsigned int)(uintptr_t)&driver;
	uint64_t word = 0;

	while (!race->stop) {
		if (type1_attach_emulated(race->f->iommu))
			continue;
		driver.pinner = type1_pinner_new(race->f->iommu, "racer", driver_unmap, &driver);
		for (unsigned int i = 0; i < 300; i++) {
			pin_some(&driver, &seed);
			unpin_some(&driver, &seed);
			type1_dma_rw(driver.pinner, BASE + next(&seed, SPAN) * PG, &word, sizeof(word),
				     false);
		}
		type1_pinner_free(driver.pinner);
		type1_detach_emulated(race->f->iommu);
		memset(driver.pins, 0, sizeof(driver.pins));
	}
	return NULL;
}

static void *map_thread(void *arg)
{
	struct race *race = arg;
	unsigned int seed = 7;

	while (!race->stop) {
		unsigned int page = next(&seed, SPAN / 4) * 4;
		uint64_t got;

		type1_map(race->f->iommu, race->f->mm, BASE + page * PG, race->f->va + page * PG, 4 * PG, RW,
			  false);
		page = next(&seed, SPAN / 4) * 4;
		assert_int_equal(type1_unmap(race->f->iommu, BASE + page * PG, 4 * PG, 0, NULL, &got), 0);
		race->unmapped += got != 0;
	}
	return NULL;
}

static void *attach_thread(void *arg)
{
	struct race *race = arg;

	while (!race->stop) {
		if (type1_attach(race->f->iommu, race->f->devs, 1))
			continue;
		race->attached++;
		type1_detach(race->f->iommu, race->f->devs, 1);
	}
	return NULL;
}

static void test_race(void **state)
{
	static void *(*const threads[])(void *) = { driver_thread, driver_thread, map_thread, attach_thread };
	struct timespec nap = { .tv_sec = SECONDS };
	struct race race = { .f = *state };
	pthread_t ids[ARRAY_SIZE(threads)];
	struct fixture *f = race.f;

	/* one that stays, so that mappings do */
	assert_int_equal(type1_attach_emulated(f->iommu), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&ids[i], NULL, threads[i], &race), 0);
	nanosleep(&nap, NULL);
	race.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(ids[i], NULL);
	type1_detach_emulated(f->iommu);
	assert_true(race.pinned && race.unmapped && race.attached && race.told);
}

/* ---- two threads that unmap at a time, and a driver that takes long to let go */

struct slow {
	struct type1_pinner *pinner;
	_Atomic unsigned int told;
};

static void slow_unmap(void *owner, uint64_t iova, uint64_t size)
{
	struct slow *slow = owner;

	/* A call that is one too many lasts no time, so that the test ends. */
	if (++slow->told <= 20)
		usleep(20000);
	for (uint64_t i = 0; i < size / PG; i++)
		(void)type1_unpin_pages(slow->pinner, iova + i * PG, 1);
}

static void *unmap_late(void *arg)
{
	usleep(10000);
	assert_int_equal(unmap(arg, 4, 1), 1);
	return NULL;
}

static void test_two_unmaps(void **state)
{
	struct fixture *f = *state;
	struct slow slow = { 0 };
	struct mm_page page;
	pthread_t thread;

	assert_int_equal(type1_attach_emulated(f->iommu), 0);
	slow.pinner = type1_pinner_new(f->iommu, "slow", slow_unmap, &slow);
	for (unsigned int i = 0; i <= 4; i += 4) {
		assert_int_equal(type1_map(f->iommu, f->mm, BASE + i * PG, f->va, PG, RW, false), 0);
		assert_int_equal(type1_pin_pages(slow.pinner, BASE + i * PG, 1, RW, &page), 0);
	}
	pthread_create(&thread, NULL, unmap_late, f);
	assert_int_equal(unmap(f, 0, 1), 1);
	pthread_join(thread, NULL);
	assert_int_equal(slow.told, 2);
	type1_pinner_free(slow.pinner);
	type1_detach_emulated(f->iommu);
}

/* ---- a pinner that is freed while it is told */

static void *unmap_first(void *arg)
{
	assert_int_equal(unmap(arg, 0, 1), 1);
	return NULL;
}

static _Atomic bool telling;

static void unmap_and_stay(void *owner, uint64_t iova, uint64_t size)
{
	telling = true;
	slow_unmap(owner, iova, size);
	usleep(20000);
	telling = false;
}

static void test_freed_while_told(void **state)
{
	struct fixture *f = *state;
	struct slow slow = { 0 };
	struct mm_page page;
	pthread_t thread;

	assert_int_equal(type1_attach_emulated(f->iommu), 0);
	slow.pinner = type1_pinner_new(f->iommu, "slow", unmap_and_stay, &slow);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, PG, RW, false), 0);
	assert_int_equal(type1_pin_pages(slow.pinner, BASE, 1, RW, &page), 0);
	pthread_create(&thread, NULL, unmap_first, f);
	while (!telling)
		usleep(100);
	type1_pinner_free(slow.pinner);
	assert_false(telling);
	pthread_join(thread, NULL);
	assert_int_equal(slow.told, 1);
	type1_detach_emulated(f->iommu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_unmaps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_while_told, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
