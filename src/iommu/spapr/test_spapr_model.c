/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random windows, registered regions, mappings and unmappings, right ones and wrong ones, by two containers
 * of one process, against a model that knows each entry and each region, and from that each answer and
 * charge; compared entry by entry at the end, and after each of many stretches.
 *
 * Meanwhile a device copies within each container's windows: a page that no entry points to stays as it is.
 */
#include "iommu/spapr/spapr_private.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PG         UVFIO_PAGE_SIZE
#define PAGES      256u /* of memory */
#define NR_REGIONS 12u
#define CONTAINERS 2u
#define ENTRIES    64u /* of the largest window */
#define STEPS      1000000u
#define RW         (IOMMU_READ | IOMMU_WRITE)

/* Which memory may be registered: pages. Some overlap. */
static const struct region {
	unsigned int first, pages, shift;
} regions[NR_REGIONS] = {
	{ 0, 64, 16 },   { 64, 64, 16 },  { 32, 64, 16 },  { 128, 16, 16 }, { 144, 1, 12 }, { 145, 15, 12 },
	{ 160, 32, 16 }, { 160, 16, 16 }, { 192, 48, 16 }, { 240, 16, 16 }, { 200, 2, 13 }, { 0, 256, 16 },
};

struct entry {
	uint64_t ua; /* 0: nothing */
	unsigned int prot;
};

struct window {
	bool there;
	unsigned int page_shift, size; /* entries */
	uint64_t bytes;                /* charged */
	struct entry entries[ENTRIES];
};

struct container {
	struct spapr *spapr;
	struct iommu_dev dev;
	struct iommu_dev *devs[1];
	bool pending, enabled;
	bool registered[NR_REGIONS];
	struct window windows[SPAPR_WINDOWS];
	pthread_t thread; /* of the device */
};

struct model {
	struct iommu_params params;
	struct container c[CONTAINERS];
	char *memory;
	struct mm *mm;
	uint64_t seed;
	bool left[NR_REGIONS]; /* nobody's, but entries point into it */
	_Atomic bool stop;
	_Atomic uint64_t copied; /* copies that were made whole */
	unsigned int answers[256];
};

static unsigned int rnd(uint64_t *seed, unsigned int below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (unsigned int)(*seed % below);
}

static uint64_t window_start(unsigned int number)
{
	return number ? SPAPR_WINDOW1 : 0;
}

/* ---- what the model knows */

static bool in_use(const struct model *m, unsigned int region)
{
	return m->c[0].registered[region] || m->c[1].registered[region] || m->left[region];
}

static uint64_t region_ua(const struct model *m, unsigned int region)
{
	return (uintptr_t)m->memory + regions[region].first * PG;
}

/* The region that has all of [ua, ua+size), or NR_REGIONS. */
static unsigned int region_of(const struct model *m, uint64_t ua, uint64_t size)
{
	for (unsigned int i = 0; i < NR_REGIONS; i++)
		if (in_use(m, i) && ua >= region_ua(m, i) &&
		    ua + size <= region_ua(m, i) + regions[i].pages * PG)
			return i;
	return NR_REGIONS;
}

/* Entries of all containers that point into it. */
static uint64_t users_of(const struct model *m, unsigned int region)
{
	uint64_t users = 0;

	for (unsigned int c = 0; c < CONTAINERS; c++)
		for (unsigned int w = 0; w < SPAPR_WINDOWS; w++)
			for (unsigned int i = 0; i < m->c[c].windows[w].size; i++) {
				uint64_t ua = m->c[c].windows[w].entries[i].ua;

				users += ua && region_of(m, ua, 1) == region;
			}
	return users;
}

static uint64_t charge_of(const struct model *m)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < NR_REGIONS; i++)
		pages += in_use(m, i) ? regions[i].pages : 0;
	for (unsigned int c = 0; c < CONTAINERS; c++)
		for (unsigned int w = 0; w < SPAPR_WINDOWS; w++)
			pages += m->c[c].windows[w].there ? m->c[c].windows[w].bytes / PG : 0;
	return pages;
}

static bool overlaps(const struct model *m, unsigned int region)
{
	for (unsigned int i = 0; i < NR_REGIONS; i++)
		if (in_use(m, i) && regions[i].first < regions[region].first + regions[region].pages &&
		    regions[region].first < regions[i].first + regions[i].pages)
			return true;
	return false;
}

/* ---- steps: each does it, and says what the model expects */

static int step_register(struct model *m, struct container *c)
{
	unsigned int i = rnd(&m->seed, NR_REGIONS);
	int rc = spapr_register(c->spapr, m->mm, region_ua(m, i), regions[i].pages * PG), expected;

	if (c->registered[i])
		expected = -EBUSY;
	else
		expected = !in_use(m, i) && overlaps(m, i) ? -EINVAL : 0;
	assert_int_equal(rc, expected);
	if (!rc) {
		c->registered[i] = c->enabled = true;
		m->left[i] = false;
	}
	return rc;
}

static int step_unregister(struct model *m, struct container *c)
{
	unsigned int i = rnd(&m->seed, NR_REGIONS), wrong = !rnd(&m->seed, 8);
	int rc = spapr_unregister(c->spapr, region_ua(m, i) + wrong * 512 * PG, regions[i].pages * PG),
	    expected;

	if (!c->registered[i] || wrong)
		expected = -ENOENT;
	else if (m->c[0].registered[i] && m->c[1].registered[i])
		expected = 0;
	else
		expected = users_of(m, i) ? -EBUSY : 0;
	assert_int_equal(rc, expected);
	if (!rc)
		c->registered[i] = false;
	return rc;
}

static void default_window(struct container *c)
{
	if (!c->pending)
		return;
	c->pending = false;
	c->windows[0] = (struct window){ true, 12, 0, tce_table_bytes(12, BIT64(26), 1), { { 0, 0 } } };
}

static int step_create(struct model *m, struct container *c)
{
	static const unsigned int shifts[] = { 12, 12, 16, 16, 16, 13 };
	unsigned int shift = shifts[rnd(&m->seed, 6)], size = 1u << rnd(&m->seed, 7);
	unsigned int levels = 1 + rnd(&m->seed, 3), number;
	uint64_t start;
	int rc = spapr_create(c->spapr, m->mm, shift, (uint64_t)size << shift, levels, &start);

	default_window(c);
	number = c->windows[0].there ? 1 : 0;
	if (c->windows[number].there) {
		assert_int_equal(rc, -ENOSPC);
	} else if (shift == 13) {
		assert_int_equal(rc, -EINVAL);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(start, window_start(number));
		c->windows[number].there = true;
		c->windows[number].page_shift = shift;
		c->windows[number].size = size;
		c->windows[number].bytes = tce_table_bytes(shift, (uint64_t)size << shift, levels);
	}
	return rc;
}

static int step_remove(struct model *m, struct container *c)
{
	unsigned int number = rnd(&m->seed, SPAPR_WINDOWS);
	int rc = spapr_remove(c->spapr, m->mm, window_start(number));

	if (!number && c->pending) {
		assert_int_equal(rc, 0);
		c->pending = false;
		return rc;
	}
	assert_int_equal(rc, c->windows[number].there ? 0 : -EINVAL);
	memset(&c->windows[number], 0, sizeof(c->windows[number]));
	return rc;
}

/* What mapping one page says. */
static int page_answer(const struct model *m, const struct window *w, uint64_t ua)
{
	unsigned int region = region_of(m, ua, BIT64(w->page_shift));

	return region == NR_REGIONS || regions[region].shift < w->page_shift ? -EINVAL : 0;
}

/* A stretch of a window, sometimes beyond its end; false: the model's windows are too small for it. */
static struct window *pick(struct model *m, struct container *c, unsigned int *number, unsigned int *first,
			   unsigned int *count)
{
	struct window *w;

	*number = rnd(&m->seed, SPAPR_WINDOWS);
	w = &c->windows[*number];
	*first = rnd(&m->seed, MAX(w->size, 1u));
	*count = rnd(&m->seed, rnd(&m->seed, 4) ? 4 : ENTRIES + 1);
	return w;
}

static int step_map(struct model *m, struct container *c)
{
	unsigned int number, first, count, prot = 1 + rnd(&m->seed, 3), i;
	struct window *w = pick(m, c, &number, &first, &count);
	unsigned int shift = w->there ? w->page_shift : 12;
	uint64_t ua = align_down((uintptr_t)m->memory + rnd(&m->seed, PAGES) * PG, BIT64(shift));
	int rc, expected = 0;

	if (c->enabled)
		default_window(c);
	if (!number && w->there && !w->size) /* what is in the large default window is not in the model */
		return c->enabled ? spapr_map(c->spapr, m->mm, 0, 0, 0, prot) : 0;
	rc = spapr_map(c->spapr, m->mm, window_start(number) + ((uint64_t)first << shift), ua,
		       (uint64_t)count << shift, prot);
	if (!c->enabled)
		expected = -EPERM;
	else if (!w->there)
		expected = -ENXIO;
	else if (count > w->size - first)
		expected = -EINVAL;
	for (i = 0; !expected && i < count; i++)
		expected = page_answer(m, w, ua + ((uint64_t)i << shift));
	assert_int_equal(rc, expected);
	if (!w->there || !c->enabled || count > w->size - first)
		return rc;
	if (rc) /* i is one beyond the page that failed: those before it are gone */
		memset(&w->entries[first], 0, (i - 1) * sizeof(w->entries[0]));
	for (unsigned int n = 0; !rc && n < count; n++)
		w->entries[first + n] =
			(struct entry){ ua + ((uint64_t)n << shift), prot & IOMMU_WRITE ? RW : IOMMU_READ };
	return rc;
}

static int step_unmap(struct model *m, struct container *c)
{
	unsigned int number, first, count, shift;
	struct window *w = pick(m, c, &number, &first, &count);
	int rc, expected = 0;

	if (c->enabled)
		default_window(c);
	if (!number && w->there && !w->size)
		return c->enabled ? spapr_unmap(c->spapr, 0, 0) : 0;
	shift = w->there ? w->page_shift : 12;
	rc = spapr_unmap(c->spapr, window_start(number) + ((uint64_t)first << shift),
			 (uint64_t)count << shift);
	if (!c->enabled)
		expected = -EPERM;
	else if (!w->there)
		expected = -ENXIO;
	else if (count > w->size - first)
		expected = -EINVAL;
	assert_int_equal(rc, expected);
	if (!rc)
		memset(&w->entries[first], 0, count * sizeof(w->entries[0]));
	return rc;
}

/* ---- the device */

/* Copies within the windows, from anywhere to anywhere. Faults are what happens most of the time. */
static void *device(void *arg)
{
	struct model *m = ((void **)arg)[0];
	struct container *c = ((void **)arg)[1];
	struct uvfio_dma *dma = dma_user_new(&c->dev, NULL);
	uint64_t seed = 0x9e3779b97f4a7c15u + (uint64_t)(c - m->c);

	while (!atomic_load(&m->stop)) {
		uint64_t at[2];
		bool dst_failed;

		for (unsigned int i = 0; i < 2; i++)
			at[i] = window_start(rnd(&seed, 2)) + rnd(&seed, 64 * PG);
		if (!dma_copy(dma, at[0], at[1], 1 + rnd(&seed, 3 * PG), "test", &dst_failed))
			atomic_fetch_add(&m->copied, 1);
	}
	dma_user_free(dma);
	return NULL;
}

/* A page that no entry can write to is the program's alone. */
static void check_memory(const struct model *m)
{
	bool writable[PAGES] = { false };
	unsigned char pattern[PG];

	for (unsigned int c = 0; c < CONTAINERS; c++)
		for (unsigned int w = 0; w < SPAPR_WINDOWS; w++)
			for (unsigned int i = 0; i < m->c[c].windows[w].size; i++) {
				const struct entry *e = &m->c[c].windows[w].entries[i];
				uint64_t first = (e->ua - (uintptr_t)m->memory) / PG;

				if (e->ua && e->prot & IOMMU_WRITE)
					memset(writable + first, 1,
					       BIT64(m->c[c].windows[w].page_shift) / PG);
			}
	memset(pattern, 0x5a, PG);
	for (unsigned int i = 0; i < PAGES; i++)
		if (!writable[i])
			memset(m->memory + i * PG, 0x5a, PG);
	for (unsigned int i = 0; i < PAGES; i++)
		if (!writable[i])
			assert_memory_equal(m->memory + i * PG, pattern, PG);
}

/* ---- entry by entry */

static void check_window(const struct container *c, unsigned int number)
{
	const struct window *w = &c->windows[number];
	struct tce_table *table = c->spapr->tables[number];

	assert_int_equal(w->there, table != NULL);
	if (!table)
		return;
	assert_int_equal(table->page_shift, w->page_shift);
	for (unsigned int i = 0; i < w->size; i++) {
		struct tce *entry = tce_entry(table, i, false);
		uint64_t word = entry ? entry->word : 0;
		struct iommu_translation to;
		int rc = iommu_domain_translate(c->spapr->domain,
						table->start + ((uint64_t)i << w->page_shift), 0, &to);

		assert_int_equal(!word, !w->entries[i].ua);
		assert_int_equal(rc, word ? 0 : -ENOENT);
		if (!word)
			continue;
		assert_int_equal(tce_address(word), w->entries[i].ua);
		assert_int_equal(word & RW, w->entries[i].prot);
		assert_int_equal(entry->ua, w->entries[i].ua);
		assert_int_equal(to.va, w->entries[i].ua);
		assert_int_equal(to.prot, w->entries[i].prot);
	}
}

static void check_region(void *arg, const struct tce_memory_info *info)
{
	const struct model *m = arg;
	unsigned int i = 0;

	while (region_ua(m, i) != info->ua || regions[i].pages * PG != info->size)
		assert_true(++i < NR_REGIONS);
	assert_int_equal(info->used, m->c[0].registered[i] + m->c[1].registered[i]);
	assert_int_equal(info->entries, users_of(m, i));
	assert_int_equal(info->page_shift, regions[i].shift);
}

static void check(struct model *m)
{
	for (unsigned int c = 0; c < CONTAINERS; c++)
		for (unsigned int w = 0; w < SPAPR_WINDOWS; w++)
			check_window(&m->c[c], w);
	if (m->c[0].spapr->memory)
		tce_memory_each(m->c[0].spapr->memory, check_region, m);
	check_memory(m);
}

/* ---- all of it */

static void start(struct model *m, struct container *c)
{
	c->spapr = spapr_new(&m->params, true);
	assert_int_equal(spapr_attach(c->spapr, c->devs, 1), 0);
	c->pending = true;
	c->enabled = false;
}

static void end(struct model *m, struct container *c)
{
	spapr_detach(c->spapr, c->devs, 1);
	spapr_free(c->spapr);
	memset(c->windows, 0, sizeof(c->windows));
	for (unsigned int i = 0; i < NR_REGIONS; i++) {
		bool was = c->registered[i];

		c->registered[i] = false;
		if (was && !in_use(m, i)) {
			m->left[i] = true;
			m->answers[255] += users_of(m, i) > 0;
		}
	}
}

/* Regions that only entries kept go with the last of these. */
static void reap(struct model *m)
{
	for (unsigned int i = 0; i < NR_REGIONS; i++)
		if (m->left[i] && !users_of(m, i))
			m->left[i] = false;
}

static int step_restart(struct model *m, struct container *c)
{
	if (rnd(&m->seed, 2000))
		return 1;
	end(m, c);
	start(m, c);
	return 0;
}

static void steps(struct model *m)
{
	static int (*const kinds[])(struct model *, struct container *) = {
		step_register, step_unregister, step_unregister, step_create, step_create,  step_remove,
		step_map,      step_map,        step_map,        step_map,    step_map,     step_map,
		step_map,      step_map,        step_unmap,      step_unmap,  step_restart, step_map,
	};

	for (unsigned int i = 0; i < STEPS; i++) {
		unsigned int kind = rnd(&m->seed, ARRAY_SIZE(kinds));

		/* Windows and regions last for a while. */
		if (kind < 6 && rnd(&m->seed, 8))
			kind = 6 + kind;
		m->answers[-kinds[kind](m, &m->c[rnd(&m->seed, CONTAINERS)]) & 255]++;
		reap(m);
		assert_int_equal(m->mm->locked_pages, charge_of(m));
		if (!(i % 1000))
			check(m);
	}
}

static void test_model(void **state)
{
	static const int seen[] = { 0, EINVAL, EBUSY, ENOENT, ENOSPC, ENXIO, EPERM };
	struct model *m = calloc(1, sizeof(*m));
	void *args[CONTAINERS][2];
	struct spapr_params hw;
	void *mapped;

	(void)state;
	iommu_params_default(&m->params);
	spapr_params_default(&hw);
	hw.window_size = BIT64(26);
	spapr_params_set(&m->params, &hw);
	m->mm = mm_self();
	m->seed = 88172645463325252u;
	mapped = mmap(NULL, 2 * PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(mapped, MAP_FAILED);
	m->memory = (char *)align_up((uintptr_t)mapped, PAGES * PG);
	for (unsigned int i = 0; i < CONTAINERS; i++) {
		struct container *c = &m->c[i];

		iommu_dev_init(&c->dev, i ? "0000:00:02.0" : "0000:00:01.0");
		atomic_store(&c->dev.enabled, true);
		c->devs[0] = &c->dev;
		start(m, c);
		args[i][0] = m;
		args[i][1] = c;
		assert_int_equal(pthread_create(&c->thread, NULL, device, args[i]), 0);
	}
	steps(m);
	check(m);
	atomic_store(&m->stop, true);
	for (unsigned int i = 0; i < CONTAINERS; i++) {
		pthread_join(m->c[i].thread, NULL);
		end(m, &m->c[i]);
		iommu_dev_destroy(&m->c[i].dev);
	}
	assert_int_equal(m->mm->locked_pages, 0);
	assert_true(m->copied);
	for (unsigned int i = 0; i < ARRAY_SIZE(seen); i++)
		assert_true(m->answers[seen[i]]);
	assert_true(m->answers[255]);
	munmap(mapped, 2 * PAGES * PG);
	mm_put(m->mm);
	free(m);
}

/* Who holds a table when its window goes: everything is given back, and nothing gets into it any more. */
static void test_held_table(void **state)
{
	struct model *m = calloc(1, sizeof(*m));
	struct container *c = &m->c[0];
	struct tce_memory *hint = NULL;
	struct spapr_params hw;
	struct tce_table *table;
	bool taken = false;
	uint64_t start_addr;

	(void)state;
	iommu_params_default(&m->params);
	spapr_params_default(&hw);
	spapr_params_set(&m->params, &hw);
	m->mm = mm_self();
	m->memory = mmap(NULL, 64 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	iommu_dev_init(&c->dev, "0000:00:01.0");
	c->devs[0] = &c->dev;
	start(m, c);
	assert_int_equal(spapr_register(c->spapr, m->mm, (uintptr_t)m->memory, 64 * PG), 0);
	assert_int_equal(spapr_remove(c->spapr, m->mm, 0), 0);
	assert_int_equal(spapr_create(c->spapr, m->mm, 12, BIT64(30), 2, &start_addr), 0);
	assert_null(spapr_get_table(c->spapr, 0, BIT64(31), 12));
	assert_null(spapr_get_table(c->spapr, PG, BIT64(29), 12));
	assert_null(spapr_get_table(c->spapr, 0, BIT64(30), 11));
	assert_null(spapr_get_table(c->spapr, SPAPR_WINDOW1, BIT64(30), 12));
	table = spapr_get_table(c->spapr, 0, BIT64(29), 16);
	assert_ptr_equal(table, c->spapr->tables[0]);
	for (unsigned int round = 0; round < 2; round++) {
		int rc = tce_put_registered(table, 5, (uintptr_t)m->memory, RW, true, &hint, &taken);

		assert_int_equal(rc, round ? -ENXIO : 0);
		if (!round)
			assert_int_equal(spapr_remove(c->spapr, m->mm, 0), 0);
	}
	assert_int_equal(m->mm->locked_pages, 64);
	assert_int_equal(spapr_unregister(c->spapr, (uintptr_t)m->memory, 64 * PG), 0);
	end(m, c);
	assert_int_equal(tce_put_registered(table, 5, (uintptr_t)m->memory, RW, true, &hint, &taken),
			 -EINVAL);
	tce_finish(table);
	tce_table_put(table);
	assert_int_equal(m->mm->locked_pages, 0);
	iommu_dev_destroy(&c->dev);
	munmap(m->memory, 64 * PG);
	mm_put(m->mm);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_model), cmocka_unit_test(test_held_table) };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO); /* reports of DMA faults */
	return cmocka_run_group_tests_name("spapr_model", tests, NULL, NULL);
}
