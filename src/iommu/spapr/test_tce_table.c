/* SPDX-License-Identifier: BSD-2-Clause */
/* TCE tables: every shape, arrays that appear on first use, entries exchanged by many threads, the end. */
#include "iommu/spapr/tce_table.h"

#include "base/failpoint.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PG UVFIO_PAGE_SIZE
#define RW (IOMMU_READ | IOMMU_WRITE)

/* ---- the shape */

static void test_bytes(void **state)
{
	(void)state;
	assert_int_equal(tce_table_bytes(12, BIT64(31), 1), 2 * BIT64(22));
	assert_int_equal(tce_table_bytes(16, BIT64(31), 1), 2 * BIT64(18));
	assert_int_equal(tce_table_bytes(24, BIT64(24), 1), 2 * PG);
	assert_int_equal(tce_table_bytes(34, BIT64(44), 1), 2 * 2 * PG);
	assert_int_equal(tce_table_bytes(12, BIT64(30), 2), 2 * (BIT64(21) + PG));
	assert_int_equal(tce_table_bytes(12, BIT64(39), 3), 2 * (BIT64(30) + BIT64(21) + PG));
	assert_int_equal(tce_table_bytes(12, BIT64(32), 3), 2 * (BIT64(23) + BIT64(14) + PG));
	assert_int_equal(tce_table_bytes(12, BIT64(30), 0), 0);
	assert_int_equal(tce_table_bytes(12, BIT64(30), 5), 0);
	assert_int_equal(tce_table_bytes(12, BIT64(30), 6), 0);
	assert_int_equal(tce_table_bytes(12, BIT64(30) + PG, 1), 0);
	assert_int_equal(tce_table_bytes(12, BIT64(11), 1), 0);
	assert_int_equal(tce_table_bytes(12, 0, 1), 0);
	assert_int_equal(tce_table_bytes(34, BIT64(54), 1), 2 * BIT64(23));
	assert_int_equal(tce_table_bytes(34, BIT64(55), 1), 0);
}

struct shape {
	unsigned int page_shift, size_shift, levels;
};

static const struct shape shapes[] = {
	{ 12, 31, 1 }, { 12, 30, 2 }, { 12, 36, 3 }, { 12, 30, 4 }, { 16, 40, 2 }, { 16, 34, 4 },
	{ 24, 24, 1 }, { 24, 44, 1 }, { 24, 50, 3 }, { 34, 54, 1 }, { 34, 45, 2 }, { 12, 12, 3 },
};

static uint64_t spread(const struct tce_table *table, unsigned int i)
{
	return i ? (i * 0x9e3779b97f4a7c15u) % table->size : table->size - 1;
}

static void check_shape(const struct shape *shape)
{
	const uint64_t start = BIT64(59), page = BIT64(shape->page_shift), ua = BIT64(40);
	struct mm *mm = mm_self();
	struct tce_table *table =
		tce_table_new(mm, NULL, start, shape->page_shift, BIT64(shape->size_shift), shape->levels);
	const uint64_t empty = table->arrays;
	struct pt_leaf leaf;

	assert_int_equal(table->size, BIT64(shape->size_shift - shape->page_shift));
	assert_false(tce_table_has(table, start - 1));
	assert_true(tce_table_has(table, start));
	assert_true(tce_table_has(table, start + BIT64(shape->size_shift) - 1));
	assert_false(tce_table_has(table, start + BIT64(shape->size_shift)));
	for (unsigned int i = 0; i < 50; i++) {
		uint64_t n = spread(table, i), at = start + n * page + page / 2;
		struct tce *entry = tce_entry(table, n, false);

		assert_false(tce_table_walk(table, at, &leaf));
		assert_true(i || !entry);
		entry = tce_entry(table, n, true);
		assert_ptr_equal(entry, tce_entry(table, n, false));
		assert_int_equal(tce_xchg(entry, tce_word(table, ua, RW)), 0);
		assert_true(tce_table_walk(table, at, &leaf));
		assert_int_equal(leaf.first, at - page / 2);
		assert_int_equal(leaf.last, at + page / 2 - 1);
		assert_int_equal(leaf.pte & (PTE_ADDR | RW), ua | RW);
		assert_ptr_equal(leaf.word, &entry->word);
		assert_int_equal(tce_table_clear(table, 0, table->size), 1);
		assert_false(tce_table_walk(table, at, &leaf));
	}
	assert_true(table->arrays >= empty);
	assert_true(table->arrays <= table->bytes);
	tce_table_put(table);
	mm_put(mm);
}

static void test_shapes(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(shapes); i++)
		check_shape(&shapes[i]);
}

static void test_too_large(void **state)
{
	struct mm *mm = mm_self();
	struct tce_table *table;

	(void)state;
	assert_null(tce_table_new(mm, NULL, 0, 12, BIT64(34), 1));
	table = tce_table_new(mm, NULL, 0, 12, BIT64(33), 1);
	assert_non_null(table);
	tce_table_put(table);
	mm_put(mm);
}

/* A table with a million entries in one place of a window of 2^50 bytes takes what these need. */
static void test_on_demand(void **state)
{
	struct mm *mm = mm_self();
	struct tce_table *table = tce_table_new(mm, NULL, 0, 16, BIT64(50), 4);
	const uint64_t array = 8 << table->level_bits, first = BIT64(33);

	(void)state;
	assert_int_equal(table->arrays, 0);
	assert_null(tce_entry(table, first, false));
	assert_int_equal(tce_table_clear(table, 0, table->size), 0);
	assert_int_equal(table->arrays, 0);
	for (uint64_t i = 0; i < 1000000; i++)
		tce_xchg(tce_entry(table, first + i, true),
			 tce_word(table, BIT64(30) + i * 65536, IOMMU_READ));
	assert_true(table->arrays <= 1000000 * sizeof(struct tce) + 16 * array);
	assert_int_equal(tce_table_clear(table, first - 1000, 2000), 1000);
	assert_int_equal(tce_table_clear(table, 0, table->size), 999000);
	tce_table_put(table);
	mm_put(mm);
}

/* A window as large as there can be is cleared at once where nothing is. */
static void test_vast(void **state)
{
	struct mm *mm = mm_self();
	struct tce_table *table = tce_table_new(mm, NULL, 0, 12, BIT64(52), 4);

	(void)state;
	for (uint64_t n = 0; n < table->size; n += table->size / 8 + 1)
		tce_xchg(tce_entry(table, n, true), tce_word(table, PG, RW));
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(tce_table_clear(table, 0, table->size), i ? 0 : 8);
	tce_table_put(table);
	mm_put(mm);
}

/* A page that devices may write they may read. */
static void test_permissions(void **state)
{
	struct mm *mm = mm_self();
	struct tce_table *table = tce_table_new(mm, NULL, 0, 12, BIT64(20), 1);

	(void)state;
	assert_int_equal(tce_word(table, PG, IOMMU_READ) & RW, IOMMU_READ);
	assert_int_equal(tce_word(table, PG, IOMMU_WRITE) & RW, RW);
	assert_int_equal(tce_word(table, PG, RW) & RW, RW);
	assert_int_equal(tce_address(tce_word(table, 0x7ffffffff000, RW)), 0x7ffffffff000);
	assert_int_equal(tce_word(table, PG, RW) >> PTE_MM_SHIFT, mm->index);
	tce_table_put(table);
	mm_put(mm);
}

/* ---- many threads on the same entries */

#define THREADS 4
#define ROUNDS  200000
#define SHARED  64 /* entries, in arrays that nobody has used yet */

struct race {
	struct tce_table *table;
	struct tce_mm *memory;
	uint64_t ua, seed;
};

static void *exchange(void *arg)
{
	struct race *race = arg;
	struct tce_memory *hint = NULL;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t n, ua, old;
		struct tce *entry;

		race->seed = race->seed * 6364136223846793005u + 1442695040888963407u;
		n = (race->seed >> 33) % SHARED * (race->table->size / SHARED);
		ua = race->ua + (race->seed >> 40) % 32 * PG;
		entry = tce_entry(race->table, n, true);
		if (race->seed >> 63) {
			assert_int_equal(tce_memory_lookup(race->memory, ua, PG, hint, false, &hint), 0);
			old = tce_xchg(entry, tce_word(race->table, ua, RW));
		} else {
			old = tce_xchg(entry, 0);
		}
		if (old)
			tce_release(race->table, old);
	}
	return NULL;
}

static bool count_entry(void *arg, uint64_t n, uint64_t word)
{
	(void)n;
	(void)word;
	++*(uint64_t *)arg;
	return true;
}

static void sum_entries(void *arg, const struct tce_memory_info *info)
{
	*(uint64_t *)arg += info->entries;
}

/* Each word is released once: what the regions count is what is in the table. */
static void test_race(void **state)
{
	char *memory = mmap(NULL, 32 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mm *mm = mm_self();
	struct tce_mm *tmm = tce_mm_get(mm);
	struct tce_memory *mem[2];
	struct iommu_params params;
	struct race race[THREADS];
	pthread_t thread[THREADS];
	uint64_t entries = 0, counted = 0;

	(void)state;
	iommu_params_default(&params);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(tce_memory_register(tmm, &params, 12, (uintptr_t)memory + i * 16 * PG,
						     16 * PG, &mem[i]),
				 0);
	race[0].table = tce_table_new(mm, tmm, 0, 12, BIT64(36), 3);
	for (unsigned int i = 0; i < THREADS; i++) {
		race[i] = (struct race){ race[0].table, tmm, (uintptr_t)memory, i + 1 };
		assert_int_equal(pthread_create(&thread[i], NULL, exchange, &race[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	tce_table_each(race[0].table, count_entry, &entries);
	tce_memory_each(tmm, sum_entries, &counted);
	assert_int_equal(entries, counted);
	assert_true(entries > 0);
	assert_int_equal(tce_memory_unregister(tmm, mem[0]), -EBUSY);
	tce_table_put(race[0].table); /* takes the rest out */
	assert_int_equal(tce_memory_unregister(tmm, mem[0]), 0);
	assert_int_equal(tce_memory_unregister(tmm, mem[1]), 0);
	tce_mm_put(tmm);
	assert_int_equal(mm->locked_pages, 0);
	mm_put(mm);
	munmap(memory, 32 * PG);
}

/* ---- regions come and go while others look for them */

struct lookers {
	struct tce_mm *tmm;
	uint64_t ua;
	_Atomic bool stop;
	_Atomic uint64_t found;
};

static void *look(void *arg)
{
	struct lookers *l = arg;
	struct tce_memory *hint = NULL;

	for (uint64_t i = 0; !atomic_load(&l->stop); i++) {
		uint64_t ua = l->ua + i * 7 % 32 * PG;
		struct tce_memory *mem;

		if (tce_memory_lookup(l->tmm, ua, PG, hint, i & 1, &mem))
			continue;
		assert_true(mem->ua <= ua && ua + PG <= mem->ua + mem->size);
		tce_memory_unmapped(l->tmm, ua);
		atomic_fetch_add(&l->found, 1);
		hint = mem;
	}
	return NULL;
}

static void test_lookup_race(void **state)
{
	char *memory = mmap(NULL, 32 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mm *mm = mm_self();
	struct lookers l = { .tmm = tce_mm_get(mm), .ua = (uintptr_t)memory };
	struct iommu_params params;
	pthread_t thread[2];

	(void)state;
	iommu_params_default(&params);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, look, &l), 0);
	for (unsigned int i = 0; i < 20000 || !l.found; i++) {
		struct tce_memory *mem;
		uint64_t first = i * 5 % 24, pages = 1 + i % 8;

		assert_int_equal(tce_memory_register(l.tmm, &params, 12, l.ua + first * PG, pages * PG, &mem),
				 0);
		while (tce_memory_unregister(l.tmm, mem) == -EBUSY)
			;
	}
	atomic_store(&l.stop, true);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	tce_mm_put(l.tmm);
	assert_int_equal(mm->locked_pages, 0);
	mm_put(mm);
	munmap(memory, 32 * PG);
}

/* ---- a region goes only when no entry is left in it, whoever has put it in, and whoever takes it out */

struct mappers {
	struct tce_mm *tmm;
	struct tce_table *table;
	uint64_t ua;
	_Atomic bool stop;
	_Atomic uint64_t puts, waits;
};

static void *map_entries(void *arg)
{
	struct mappers *m = arg;
	struct tce_memory *hint = NULL;
	uint64_t words[8];
	unsigned int count;
	bool taken;

	for (uint64_t i = 0; !atomic_load(&m->stop); i++) {
		const uint64_t n = i * 5 % SHARED;
		int rc;

		count = i % 3 ? 1 : 8;
		for (unsigned int j = 0; j < count; j++)
			words[j] = i % 7 && j % 3 != 2 ? tce_word(m->table, m->ua + j * PG, RW) : 0;
		rc = tce_put_words(m->table, n, words, count, i & 1, &hint, &taken);
		atomic_fetch_add(!rc ? &m->puts : &m->waits, 1);
		if (i % 4 == 3)
			tce_table_clear(m->table, 0, SHARED + 8);
	}
	return NULL;
}

static void test_unregister_race(void **state)
{
	char *memory = mmap(NULL, 8 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mm *mm = mm_self();
	struct mappers m = { .tmm = tce_mm_get(mm), .ua = (uintptr_t)memory };
	struct iommu_params params;
	pthread_t thread[THREADS];

	(void)state;
	iommu_params_default(&params);
	m.table = tce_table_new(mm, m.tmm, 0, 12, BIT64(20), 1);
	assert_non_null(tce_entry(m.table, 0, true));
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, map_entries, &m), 0);
	for (unsigned int i = 0; i < 3000 || m.puts < 3000; i++) {
		struct tce_memory *mem;
		uint64_t entries = 0, before = m.puts;

		assert_int_equal(tce_memory_register(m.tmm, &params, 12, m.ua, 8 * PG, &mem), 0);
		while (i % 8 == 0 && m.puts == before)
			;
		while (tce_memory_unregister(m.tmm, mem))
			tce_table_clear(m.table, 0, SHARED + 8);
		tce_table_each(m.table, count_entry, &entries);
		assert_int_equal(entries, 0);
	}
	atomic_store(&m.stop, true);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	tce_table_put(m.table);
	tce_mm_put(m.tmm);
	assert_int_equal(mm->locked_pages, 0);
	mm_put(mm);
	munmap(memory, 8 * PG);
}

/* ---- no memory */

#ifdef UVFIO_IOMMUFD_TEST

static void test_no_memory(void **state)
{
	struct mm *mm = mm_self();
	struct tce_table *table;
	unsigned int failed = 0;

	(void)state;
	failpoint_set(1);
	assert_null(tce_table_new(mm, NULL, 0, 12, BIT64(36), 3));
	table = tce_table_new(mm, NULL, 0, 12, BIT64(36), 3);
	for (unsigned int nth = 1;; nth++, failed++) {
		failpoint_set(nth);
		if (tce_entry(table, 12345678, true))
			break;
	}
	assert_int_equal(failed, 2);
	failpoint_set(0);
	tce_table_put(table);
	mm_put(mm);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_on_demand),
		cmocka_unit_test(test_vast),
		cmocka_unit_test(test_permissions),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_lookup_race),
		cmocka_unit_test(test_unregister_race),
#ifdef UVFIO_IOMMUFD_TEST
		cmocka_unit_test(test_no_memory),
#endif

	};

	return cmocka_run_group_tests_name("tce_table", tests, NULL, NULL);
}
