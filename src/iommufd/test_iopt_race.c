/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that map, copy, unmap, pin, read, and attach domains, all on the same two IO page tables; and
 * threads that make, use and destroy IOASes by their ids, without asking who else does. What each call
 * answers depends on the others; that nothing is lost shows in the end, and what races, under TSan. And
 * threads that read so that some read is always under way.
 */
#include "file/fdtable.h"
#include "iommufd/test_iopt.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#define TABLES  2
#define WORKERS 4
#define STEPS   5000
#define PAGES   64

static struct iommu_params params;
static struct iommufd_ctx *ctx;
static struct mm *mm;
static char *memory;
static struct iommufd_ioas *ioas[TABLES];

struct worker {
	pthread_t thread;
	uint64_t seed;
	struct iommufd_access *access;
	pthread_mutex_t lock; /* of the pin; taken by who unmaps, too */
	uint64_t pinned_at, pinned_len;
	unsigned int done; /* what succeeded */
};

static uint64_t rnd(struct worker *w, uint64_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return w->seed % below;
}

static struct io_pagetable *any_table(struct worker *w)
{
	return &ioas[rnd(w, TABLES)]->iopt;
}

static uint64_t any_iova(struct worker *w)
{
	return (1 + rnd(w, PAGES)) * PG;
}

static int map(struct worker *w)
{
	uint64_t iova = any_iova(w), len = (1 + rnd(w, 4)) * PG;

	return iopt_map_user_pages(ctx, any_table(w), mm, &iova,
				   (uint64_t)(uintptr_t)memory + rnd(w, PAGES - 4) * PG, len, RW,
				   rnd(w, 2) ? IOPT_ALLOC_IOVA : 0);
}

static int copy(struct worker *w)
{
	uint64_t iova = any_iova(w);

	return iopt_copy(any_table(w), &iova, any_table(w), any_iova(w), PG, IOMMU_READ,
			 rnd(w, 2) ? IOPT_ALLOC_IOVA : 0);
}

static int unmap(struct worker *w)
{
	uint64_t unmapped;

	if (!rnd(w, 20))
		return iopt_unmap_all(any_table(w), &unmapped);
	return iopt_unmap_iova(any_table(w), any_iova(w), (1 + rnd(w, 8)) * PG, &unmapped);
}

static int attach(struct worker *w)
{
	struct io_pagetable *iopt = any_table(w);
	struct test_domain domain;
	int ret;

	test_domain_init(&domain, PG);
	ret = iopt_table_add_domain(iopt, &domain.base);
	if (!ret) {
		map(w);
		iopt_table_remove_domain(iopt, &domain.base);
	}
	assert_int_equal(domain.maps.count, 0);
	range_map_destroy(&domain.maps);
	return ret;
}

/* Under w->lock. */
static void unpin(struct worker *w)
{
	if (w->pinned_len)
		iommufd_access_unpin_pages(w->access, w->pinned_at, w->pinned_len);
	w->pinned_len = 0;
}

static int pin(struct worker *w)
{
	uint64_t iova = any_iova(w), len = (1 + rnd(w, 2)) * PG;
	struct mm_page pages[2];
	int ret;

	pthread_mutex_lock(&w->lock);
	unpin(w);
	ret = iommufd_access_pin_pages(w->access, iova, len, pages, 0);
	if (!ret) {
		w->pinned_at = iova;
		w->pinned_len = len;
	}
	pthread_mutex_unlock(&w->lock);
	return ret;
}

static void told(void *data, uint64_t iova, uint64_t length)
{
	struct worker *w = data;

	pthread_mutex_lock(&w->lock);
	if (w->pinned_at <= iova + (length - 1) && w->pinned_at + w->pinned_len > iova)
		unpin(w);
	pthread_mutex_unlock(&w->lock);
}

static const struct iommufd_access_ops access_ops = { .needs_pin_pages = true, .unmap = told };

static int move(struct worker *w)
{
	return iommufd_access_replace(w->access, ioas[rnd(w, TABLES)]->obj.id);
}

static int rw(struct worker *w)
{
	char buf[2 * PG];

	return iommufd_access_rw(w->access, any_iova(w) + rnd(w, PG), buf, 1 + rnd(w, sizeof(buf) - 1), 0);
}

static int ask(struct worker *w)
{
	struct io_pagetable *iopt = any_table(w);
	struct iommu_range *ranges;
	uint64_t alignment;
	char text[200];
	uint32_t nr;

	assert_int_equal(iopt_iova_ranges(iopt, &ranges, &nr, &alignment), 0);
	free(ranges);
	iopt_describe(iopt, any_iova(w), text, sizeof(text));
	assert_true(nr && alignment && text[0]);
#ifdef UVFIO_IOMMUFD_TEST
	iopt_test_pins(mm, (uint64_t)(uintptr_t)memory);
#endif
	return 0;
}

/* No page is pinned that is not charged, however the tables share it. */
static int sum_up(struct worker *w)
{
	struct io_pagetable *iopts[TABLES];
	struct mm_usages usages[TABLES] = { 0 };
	uint64_t charged = 0, mapped = 0;

	(void)w;
	for (unsigned int i = 0; i < TABLES; i++)
		iopts[i] = &ioas[i]->iopt;
	assert_int_equal(iopt_get_usages(iopts, TABLES, usages), 0);
	for (unsigned int i = 0; i < TABLES; i++) {
		charged += usages[i].nr ? usages[i].usage->charged : 0;
		mapped += usages[i].nr ? usages[i].usage->mapped / PG : 0;
		mm_usages_free(&usages[i]);
	}
	assert_true(charged <= mapped);
	return 0;
}

static void *work(void *arg)
{
	static int (*const steps[])(struct worker * w) = { map,    map, map, copy, copy, unmap, unmap,
							   attach, pin, pin, rw,   ask,  move,  sum_up };
	struct worker *w = arg;

	for (int i = 0; i < STEPS; i++)
		w->done += !steps[rnd(w, ARRAY_SIZE(steps))](w);
	return NULL;
}

/* ---- by ids */

#define IDS 4

static struct file *file;
static _Atomic uint32_t ids[IDS];

static long call(uint32_t cmd, void *arg)
{
	return file_ioctl(file, &self_caller, cmd, (uintptr_t)arg);
}

static uint32_t any_id(struct worker *w)
{
	return atomic_load(&ids[rnd(w, IDS)]);
}

static int make_id(struct worker *w)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_destroy destroy = { .size = sizeof(destroy) };

	if (call(IOMMU_IOAS_ALLOC, &alloc))
		return -1;
	destroy.id = atomic_exchange(&ids[rnd(w, IDS)], alloc.out_ioas_id);
	while (destroy.id && call(IOMMU_DESTROY, &destroy) == -EBUSY)
		; /* a call is under way in it */
	return 0;
}

static int map_id(struct worker *w)
{
	struct iommu_ioas_map cmd = { .size = sizeof(cmd),
				      .flags = IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
				      .ioas_id = any_id(w),
				      .user_va = (uintptr_t)memory + rnd(w, PAGES) * PG,
				      .length = PG };

	return (int)call(IOMMU_IOAS_MAP, &cmd);
}

static int copy_id(struct worker *w)
{
	struct iommu_ioas_copy cmd = { .size = sizeof(cmd),
				       .flags = IOMMU_IOAS_MAP_READABLE,
				       .dst_ioas_id = any_id(w),
				       .src_ioas_id = any_id(w),
				       .length = PG,
				       .src_iova = PG };

	return (int)call(IOMMU_IOAS_COPY, &cmd);
}

static int unmap_id(struct worker *w)
{
	struct iommu_ioas_unmap cmd = { .size = sizeof(cmd), .ioas_id = any_id(w), .iova = PG, .length = PG };

	return (int)call(IOMMU_IOAS_UNMAP, &cmd);
}

static int change_process(struct worker *w)
{
	struct iommu_ioas_change_process cmd = { .size = sizeof(cmd) };

	(void)w;
	return (int)call(IOMMU_IOAS_CHANGE_PROCESS, &cmd);
}

static void *work_by_id(void *arg)
{
	static int (*const steps[])(struct worker * w) = { make_id,  map_id,   map_id,
							   map_id,   copy_id,  copy_id,
							   unmap_id, unmap_id, change_process };
	struct worker *w = arg;

	for (int i = 0; i < STEPS; i++)
		w->done += !steps[rnd(w, ARRAY_SIZE(steps))](w);
	return NULL;
}

static void test_ids(void **state)
{
	struct worker workers[WORKERS];

	(void)state;
	if (!self_caller.mm)
		self_caller.mm = mm_self();
	iommu_params_default(&params);
	assert_int_equal(iommufd_open(&params, false, O_RDWR, &file), 0);
	memory = test_memory(PAGES);
	for (uint64_t i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .seed = 88172645463325252u * (i + 3) };
		pthread_create(&workers[i].thread, NULL, work_by_id, &workers[i]);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_true(workers[i].done > STEPS / 10);
	}
	file_put(file);
	munmap(memory, PAGES * PG);
}

/* ---- readers that are never all away */

#define READERS    4
#define READ_PAGES 512
#define BASE       ((uint64_t)1 << 30)

static struct io_pagetable busy;
static struct iommufd_ctx local = { .params = &params, .account_mode = IOPT_ACCOUNT_USER };
static _Atomic bool mapped; /* all that was to be mapped */
static _Atomic unsigned int reading;

/* Gives up after a while: true. */
static void *read_always(void *arg)
{
	char *buf = malloc(READ_PAGES * PG);
	struct timespec end, now;

	(void)arg;
	assert_non_null(buf);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 8;
	reading++;
	do {
		assert_int_equal(iopt_access_rw(&busy, BASE, buf, READ_PAGES * PG, 0), 0);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!mapped && now.tv_sec < end.tv_sec);
	free(buf);
	return mapped ? NULL : &busy;
}

static void test_readers_let_maps_in(void **state)
{
	pthread_t threads[READERS];
	uint64_t iova = BASE;
	void *late = NULL;

	(void)state;
	iommu_params_default(&params);
	mm = mm_self();
	memory = test_memory(READ_PAGES);
	iopt_init(&busy);
	assert_int_equal(iopt_map_user_pages(&local, &busy, mm, &iova, (uint64_t)(uintptr_t)memory,
					     READ_PAGES * PG, RW, 0),
			 0);
	for (unsigned int i = 0; i < READERS; i++)
		pthread_create(&threads[i], NULL, read_always, NULL);
	while (reading < READERS)
		sched_yield();
	for (iova = PG; iova < 200 * PG; iova += PG)
		assert_int_equal(
			iopt_map_user_pages(&local, &busy, mm, &iova, (uint64_t)(uintptr_t)memory, PG, RW, 0),
			0);
	mapped = true;
	for (unsigned int i = 0; i < READERS; i++) {
		pthread_join(threads[i], &late);
		assert_null(late);
	}
	iopt_destroy(&busy);
	mm_put(mm);
	munmap(memory, READ_PAGES * PG);
}

/* ---- */

static void start(struct worker *w, uint64_t n)
{
	uint32_t id;

	*w = (struct worker){ .seed = 88172645463325252u * (n + 1) };
	pthread_mutex_init(&w->lock, NULL);
	assert_int_equal(iommufd_access_create(ctx, &access_ops, w, &w->access, &id), 0);
	assert_int_equal(iommufd_access_attach(w->access, ioas[0]->obj.id), 0);
}

static void test_threads(void **state)
{
	struct worker workers[WORKERS];

	(void)state;
	iommu_params_default(&params);
	assert_int_equal(iommufd_open(&params, false, O_RDWR, &file), 0);
	ctx = file->priv;
	mm = mm_self();
	memory = test_memory(PAGES);
	for (unsigned int i = 0; i < TABLES; i++) {
		assert_int_equal(iommufd_ioas_alloc(ctx, &ioas[i]), 0);
		iommufd_object_finalize(ctx, &ioas[i]->obj);
	}
	for (uint64_t i = 0; i < WORKERS; i++)
		start(&workers[i], i);
	for (unsigned int i = 0; i < WORKERS; i++)
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	for (unsigned int i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_true(workers[i].done > STEPS / 10);
	}
	for (unsigned int i = 0; i < WORKERS; i++)
		iommufd_access_destroy(workers[i].access); /* tells it to let go of its pin */
	assert_int_equal(mm->pinned_pages, 0);
	file_put(file);
	mm_put(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_readers_let_maps_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
