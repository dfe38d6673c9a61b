/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What callers do that may neither allocate, lock nor wait: here they cannot, since such calls end the test.
 * And what is left when a window is removed under them.
 */
#include "iommu/spapr/tce_table.h"

#include "iommu/spapr/test_forbid.h"

#include "base/failpoint.h"
#include "iommu/dma.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PG      UVFIO_PAGE_SIZE
#define RW      (IOMMU_READ | IOMMU_WRITE)
#define ENTRIES 1000000u
#define PAGES   4096u /* of memory */

/* ---- a window with a device */

struct fixture {
	struct iommu_params params;
	struct mm *mm;
	char *memory;
	uint64_t ua;
	struct tce_mm *tmm;
	struct tce_mm_domain use;
	struct tce_memory *mem;
	struct tce_table *table;
	struct iommu_domain *domain;
	struct iommu_dev dev;
	struct uvfio_dma *dma;
};

static bool walk(void *arg, uint64_t iova, struct pt_leaf *leaf)
{
	struct tce_table *table = arg;

	return tce_table_has(table, iova) && tce_table_walk(table, iova, leaf);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	iommu_params_default(&f->params);
	f->mm = mm_self();
	f->memory = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f->ua = (uintptr_t)f->memory;
	f->tmm = tce_mm_get(f->mm);
	assert_int_equal(tce_memory_register(f->tmm, &f->params, 12, f->ua, PAGES * PG, &f->mem), 0);
	f->domain = iommu_domain_alloc(&f->params);
	tce_mm_add_domain(f->tmm, &f->use, f->domain);
	f->table = tce_table_new(f->mm, f->tmm, 0, 12, BIT64(36), 3);
	tce_table_set_domain(f->table, f->domain);
	iommu_domain_set_walk(f->domain, walk, f->table);
	iommu_dev_init(&f->dev, "0000:00:01.0");
	atomic_store(&f->dev.enabled, true);
	iommu_dev_attach(&f->dev, f->domain);
	f->dma = dma_user_new(&f->dev, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dma_user_free(f->dma);
	iommu_dev_destroy(&f->dev);
	tce_table_put(f->table);
	tce_mm_remove_domain(f->tmm, &f->use);
	assert_int_equal(tce_memory_entries(f->mem), 0);
	assert_int_equal(tce_memory_unregister(f->tmm, f->mem), 0);
	tce_mm_put(f->tmm);
	iommu_domain_free(f->domain);
	assert_int_equal(f->mm->locked_pages, 0);
	mm_put(f->mm);
	munmap(f->memory, PAGES * PG);
	free(f);
	return 0;
}

/* As who may wait does it. */
static void put(struct fixture *f, uint64_t n, uint64_t page)
{
	struct tce_memory *hint = NULL;
	bool taken = false;

	assert_int_equal(tce_put_registered(f->table, n, f->ua + page * PG, RW, true, &hint, &taken), 0);
	tce_finish(f->table);
}

/* As who must not. */
static int try_put(struct fixture *f, uint64_t n, uint64_t page, struct tce_memory **hint)
{
	bool taken = false;
	int rc;

	forbidden = true;
	rc = tce_put_registered(f->table, n, f->ua + page * PG, RW, false, hint, &taken);
	if (!rc && taken)
		rc = tce_try_finish(f->table);
	forbidden = false;
	return rc;
}

static int try_take(struct fixture *f, uint64_t n)
{
	bool taken = false;
	int rc = 0;

	forbidden = true;
	tce_take(f->table, n, &taken);
	if (taken)
		rc = tce_try_finish(f->table);
	forbidden = false;
	return rc;
}

static uint64_t where(struct fixture *f, uint64_t n)
{
	struct iommu_translation to;

	return iommu_domain_translate(f->domain, n * PG, IOMMU_WRITE, &to) ? 0 : to.va;
}

/* ---- the tests */

#ifndef SANITIZED
/* It would be seen. */
static void test_forbids(void **state)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	void *volatile memory = NULL; /* or a compiler leaves the calls out */
	int status;
	pid_t pid;

	(void)state;
	for (int i = 0; i < 2; i++) {
		pid = fork();
		if (!pid) {
			forbidden = true;
			if (i)
				pthread_mutex_lock(&mutex);
			else
				memory = malloc(1);
			if (memory)
				free(memory);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 1 << 8);
	}
}
#endif

/* The first use of an entry's array is for who may wait. */
static void test_first_use(void **state)
{
	struct fixture *f = *state;
	struct tce_memory *hint = NULL;

	assert_int_equal(try_put(f, 7, 1, &hint), -EAGAIN);
	assert_int_equal(tce_memory_entries(f->mem), 0);
	assert_int_equal(try_take(f, 7), 0);
	put(f, 7, 1);
	assert_int_equal(try_put(f, 8, 2, &hint), 0);
	assert_ptr_equal(hint, f->mem);
	assert_int_equal(where(f, 8), f->ua + 2 * PG);
	assert_int_equal(try_put(f, 8, 3, &hint), 0);
	assert_int_equal(where(f, 8), f->ua + 3 * PG);
	assert_int_equal(tce_entry(f->table, 8, false)->ua, f->ua + 3 * PG);
	assert_int_equal(tce_memory_entries(f->mem), 2);
	assert_int_equal(try_take(f, 8), 0);
	assert_int_equal(where(f, 8), 0);
	assert_int_equal(try_put(f, 8, PAGES, &hint), -EINVAL); /* not registered */
	assert_int_equal(tce_memory_entries(f->mem), 1);
	assert_int_equal(tce_memory_unregister(f->tmm, f->mem), -EBUSY);
}

/* While a device is in a section what is taken out is gone, but the waiting is for someone else. */
static void test_section(void **state)
{
	struct fixture *f = *state;
	struct tce_memory *hint = NULL;
	char byte = 1;

	put(f, 7, 1);
	dma_begin(f->dma);
	assert_int_equal(dma_write(f->dma, 7 * PG, &byte, 1, "test"), 0);
	assert_int_equal(try_put(f, 8, 2, &hint), 0); /* nothing was there */
	assert_int_equal(try_put(f, 7, 2, &hint), -EAGAIN);
	assert_int_equal(where(f, 7), f->ua + 2 * PG);
	assert_int_equal(try_take(f, 8), -EAGAIN);
	dma_end(f->dma);
	assert_int_equal(try_put(f, 7, 1, &hint), 0);
	assert_int_equal(dma_write(f->dma, 7 * PG, &byte, 1, "test"), 0);
	iommu_dev_attach(&f->dev, NULL);
	dma_begin(f->dma); /* of a device that is elsewhere */
	assert_int_equal(try_put(f, 7, 2, &hint), 0);
	dma_end(f->dma);
	iommu_dev_attach(&f->dev, f->domain);
}

/* A device that has used an entry does not when it is out, though nobody has waited for it. */
static void test_caches(void **state)
{
	struct fixture *f = *state;
	struct tce_memory *hint = NULL;
	struct uvfio_dma *other = dma_user_new(&f->dev, NULL), *users[2] = { f->dma, other };
	char byte;

	for (uint64_t n = 0; n < 4; n++)
		put(f, n, n);
	for (unsigned int round = 0; round < 50; round++) {
		const uint64_t n = round % 4, next = (round + 1) % 4;
		struct uvfio_dma *dma = users[round / 4 % 2];

		assert_int_equal(dma_read(dma, n * PG, &byte, 1, "test"), 0);
		if (round % 3)
			assert_int_equal(dma_read(users[0], next * PG, &byte, 1, "test"), 0);
		assert_int_equal(try_take(f, n), 0);
		assert_int_equal(try_take(f, next), 0);
		for (unsigned int i = 0; i < 2; i++) {
			assert_int_equal(dma_read(users[i], n * PG, &byte, 1, "test"), -EFAULT);
			assert_int_equal(dma_read(users[i], next * PG, &byte, 1, "test"), -EFAULT);
		}
		assert_int_equal(try_put(f, n, n, &hint), 0);
		assert_int_equal(try_put(f, next, next, &hint), 0);
	}
	dma_user_free(other);
}

static unsigned int crowd(struct fixture *f, struct uvfio_dma **users, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		users[i] = dma_user_new(&f->dev, NULL);
	return count;
}

static void disperse(struct uvfio_dma **users, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		dma_user_free(users[i]);
}

/* However many users there are: each is seen, and none is in the way. */
static void test_crowd(void **state)
{
	struct fixture *f = *state;
	struct tce_memory *hint = NULL;
	struct uvfio_dma *more[100];

	put(f, 7, 1);
	for (unsigned int round = 1; round <= 5; round++) {
		const unsigned int count = crowd(f, more, round * 20);

		for (unsigned int i = 0; i < count; i++) {
			dma_begin(more[i]);
			assert_int_equal(try_put(f, 7, 2, &hint), -EAGAIN);
			dma_end(more[i]);
			assert_int_equal(try_put(f, 7, 2, &hint), 0);
		}
		disperse(more, count);
	}
}

#ifdef UVFIO_IOMMUFD_TEST
/* A user that could not be noted: nobody can tell without waiting. */
static void test_crowd_without_memory(void **state)
{
	struct fixture *f = *state;
	struct tce_memory *hint = NULL;
	struct uvfio_dma *more[40];

	put(f, 7, 1);
	crowd(f, more, 30);
	assert_int_equal(try_put(f, 7, 2, &hint), 0);
	for (unsigned int i = 30; i < 40; i++) {
		failpoint_set(1);
		crowd(f, more + i, 1);
		failpoint_set(0);
	}
	assert_int_equal(try_put(f, 7, 2, &hint), -EAGAIN);
	disperse(more, 40);
}
#endif

static void test_dead(void **state)
{
	struct fixture *f = *state;
	struct tce_memory *hint = NULL;

	put(f, 7, 1);
	tce_table_kill(f->table);
	assert_int_equal(try_put(f, 7, 2, &hint), -ENXIO);
	assert_int_equal(try_put(f, 8, 2, &hint), -ENXIO);
	assert_int_equal(tce_memory_entries(f->mem), 0);
	assert_int_equal(where(f, 7), 0);
}

/* ---- a window is removed while others put and take */

struct race {
	struct fixture *f;
	uint64_t first;
	_Atomic uint64_t done;
};

static void *put_and_take(void *arg)
{
	struct race *race = arg;
	struct tce_memory *hint = NULL;
	int rc = 0;

	for (uint64_t i = 0; rc != -ENXIO; i++) {
		uint64_t n = race->first + i % 16;

		rc = try_put(race->f, n, i % PAGES, &hint);
		if (i % 3 == 0)
			try_take(race->f, n);
		atomic_fetch_add(&race->done, 1);
	}
	return NULL;
}

static void test_removal(void **state)
{
	for (unsigned int round = 0; round < 200; round++) {
		struct fixture *f;
		struct race race[2];
		pthread_t thread[2];

		setup(state);
		f = *state;
		put(f, 0, 0);
		for (unsigned int i = 0; i < 2; i++) {
			race[i] = (struct race){ f, round % 2 * i * 8, 0 };
			assert_int_equal(pthread_create(&thread[i], NULL, put_and_take, &race[i]), 0);
		}
		while (!race[0].done || !race[1].done)
			;
		tce_table_kill(f->table);
		tce_table_clear(f->table, 0, f->table->size);
		tce_finish(f->table);
		for (unsigned int i = 0; i < 2; i++)
			pthread_join(thread[i], NULL);
		assert_int_equal(tce_memory_entries(f->mem), 0);
		teardown(state);
	}
}

/* ---- how long it takes: told, not judged */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Entries in no order, each once a round. */
static double each(struct fixture *f, unsigned int entries, int (*fn)(struct fixture *f, uint64_t n))
{
	uint64_t start = now();

	for (unsigned int i = 0; i < entries; i++)
		assert_int_equal(fn(f, i * 7919u % entries), 0);
	return (double)(now() - start);
}

static int put_one(struct fixture *f, uint64_t n)
{
	static struct tce_memory *hint;

	return try_put(f, n, n % PAGES, &hint);
}

static void tell(struct fixture *f, unsigned int entries)
{
	const unsigned int rounds = ENTRIES / entries;
	double put = 0, replaced = 0, taken = 0;

	each(f, entries, try_take);
	for (unsigned int i = 0; i < rounds; i++) {
		put += each(f, entries, put_one);
		replaced += each(f, entries, put_one);
		taken += each(f, entries, try_take);
	}
	printf("# %u entries: %.1f ns to put one, %.1f in place of another, %.1f to take one\n", entries,
	       put / ENTRIES, replaced / ENTRIES, taken / ENTRIES);
}

/* 512 neighbours at a time. */
static void tell_many(struct fixture *f)
{
	uint64_t start;

	each(f, ENTRIES, put_one);
	start = now();
	for (unsigned int i = 0; i + 512 <= ENTRIES; i += 512) {
		forbidden = true;
		tce_table_clear(f->table, i, 512);
		tce_try_finish(f->table);
		forbidden = false;
	}
	printf("# 512 at a time: %.1f ns to take one\n", (double)(now() - start) / ENTRIES);
}

static void test_time(void **state)
{
	struct fixture *f = *state;

	for (unsigned int i = 0; i < ENTRIES; i++)
		put(f, i, i % PAGES);
	tell(f, 10);
	tell(f, ENTRIES);
	tell_many(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef SANITIZED
		cmocka_unit_test(test_forbids),
#endif
		cmocka_unit_test_setup_teardown(test_first_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_section, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowd, setup, teardown),
#ifdef UVFIO_IOMMUFD_TEST
		cmocka_unit_test_setup_teardown(test_crowd_without_memory, setup, teardown),
#endif
		cmocka_unit_test_setup_teardown(test_dead, setup, teardown),
		cmocka_unit_test(test_removal),
		cmocka_unit_test_setup_teardown(test_time, setup, teardown),
	};

	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO); /* reports of DMA faults */
	return cmocka_run_group_tests_name("tce_fast", tests, NULL, NULL);
}
