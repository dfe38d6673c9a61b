/* SPDX-License-Identifier: BSD-2-Clause */
/* Mapping, unmapping, attaching, forking and DMA at once, from several threads. */
#include "iommu/test_dma.h"

#define AREAS 4000u
#define AREA  ((uint64_t)2 << 20)

struct marking {
	struct iommu_dev *dev;
	_Atomic unsigned int turn, done;
};

static void *mark_areas(void *arg)
{
	struct marking *marking = arg;
	struct uvfio_dma *user = dma_user_new(marking->dev, NULL);

	for (unsigned int i = 1; i <= AREAS; i++) {
		while (atomic_load(&marking->turn) != i)
			sched_yield();
		dma_write(user, BASE + i * AREA, "", 1, "mark");
		atomic_store(&marking->done, i);
	}
	dma_user_free(user);
	return NULL;
}

static void count_reports(void *arg, uint64_t iova, uint64_t size)
{
	(void)iova;
	(void)size;
	++*(unsigned int *)arg;
}

#define ROUNDS 100000u

struct rounds {
	struct iommu_dev *dev;
	struct iommu_domain *domain;
	_Atomic unsigned int mapped, near, begun, unmapped, read;
	unsigned int stale;
};

static void wait_for(_Atomic unsigned int *at, unsigned int round)
{
	for (unsigned int spins = 0; atomic_load(at) != round; spins++)
		if (spins > 10000)
			sched_yield();
}

static void *read_twice(void *arg)
{
	struct rounds *rounds = arg;
	struct uvfio_dma *user = dma_user_new(rounds->dev, NULL);
	struct iommu_translation to;
	char byte;

	for (unsigned int i = 1; i <= ROUNDS; i++) {
		wait_for(&rounds->mapped, i);
		iommu_domain_translate(rounds->domain, BASE, IOMMU_READ, &to);
		atomic_store(&rounds->near, i);
		wait_for(&rounds->begun, i);
		for (unsigned int spin = i % 97; spin; spin--)
			__asm__ volatile("");
		dma_read(user, BASE, &byte, 1, "meanwhile");
		wait_for(&rounds->unmapped, i);
		rounds->stale += !dma_read(user, BASE, &byte, 1, "afterwards");
		atomic_store(&rounds->read, i);
	}
	dma_user_free(user);
	return NULL;
}

/* The first section in a generation begins while its only mapping is unmapped: its cache is void then. */
static void test_first_section_in_an_unmap(void **state)
{
	struct fixture *f = *state;
	struct iommu_domain *domain = f->dev.domain;
	struct rounds rounds = { .dev = &f->dev, .domain = domain };
	pthread_t thread;

	f->dev.faults_reported = 1000;
	pthread_create(&thread, NULL, read_twice, &rounds);
	for (unsigned int i = 1; i <= ROUNDS; i++) {
		iommu_domain_map(domain, BASE, PG, f->mm, f->va, RW);
		iommu_domain_map(domain, BASE + PG, PG, f->mm, f->va + PG, RW);
		iommu_domain_unmap(domain, BASE + PG, PG); /* a generation that nobody has seen */
		atomic_store(&rounds.mapped, i);
		wait_for(&rounds.near, i); /* the other processor has the entry in its cache */
		atomic_store(&rounds.begun, i);
		for (unsigned int spin = i * 7 % 797; spin; spin--)
			__asm__ volatile("");
		iommu_domain_unmap(domain, BASE, PG);
		atomic_store(&rounds.unmapped, i);
		wait_for(&rounds.read, i);
	}
	pthread_join(thread, NULL);
	assert_int_equal(rounds.stale, 0);
}

/* A write whose page's neighbour is just being mapped: the mark is not lost with the entry that moves. */
static void test_dirty_beside_map(void **state)
{
	struct fixture *f = *state;
	struct iommu_domain *domain = f->dev.domain;
	struct marking marking = { .dev = &f->dev };
	unsigned int lost = 0;
	pthread_t thread;

	iommu_domain_set_dirty_tracking(domain, true);
	pthread_create(&thread, NULL, mark_areas, &marking);
	for (unsigned int i = 1; i <= AREAS; i++) {
		uint64_t iova = BASE + i * AREA;
		unsigned int seen = 0;

		iommu_domain_map(domain, iova, PG, f->mm, f->va, RW);
		atomic_store(&marking.turn, i);
		for (unsigned int spin = i % 200; spin; spin--)
			__asm__ volatile("");
		iommu_domain_map(domain, iova + PG, PG, f->mm, f->va + PG, RW);
		while (atomic_load(&marking.done) != i)
			sched_yield();
		iommu_domain_read_dirty(domain, iova, PG, true, count_reports, &seen);
		lost += !seen;
	}
	pthread_join(thread, NULL);
	iommu_domain_unmap(domain, BASE, (AREAS + 1) * AREA);
	assert_int_equal(lost, 0);
}

/*
 * Threads. Each page of memory holds its number; a page is unmapped, overwritten, and mapped again. A device
 * thread that reads a page must see its number, or fault: anything else is a translation used after unmap had
 * returned.
 */
#define THREAD_PAGES 32

struct race {
	struct fixture *f;
	_Atomic bool stop;
	_Atomic uint64_t good, wrong;
};

static void *device_thread(void *arg)
{
	struct race *race = arg;
	struct uvfio_dma *user = dma_user_new(&race->f->dev, NULL);
	uint64_t seed = (uintptr_t)user | 1, word, ret;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		uint64_t page;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		page = (seed >> 33) % THREAD_PAGES;
		ret = (uint64_t)dma_read(user, BASE + page * PG + 8 * (seed >> 60), &word, 8, "race");
		if (ret)
			continue;
		atomic_fetch_add(word == page ? &race->good : &race->wrong, 1);
	}
	dma_user_free(user);
	return NULL;
}

static void fill_page(struct fixture *f, uint64_t page, uint64_t value)
{
	uint64_t *words = (uint64_t *)(void *)(f->memory + page * PG);

	for (int i = 0; i < 16; i++)
		words[i] = value;
}

static void *mapping_thread(void *arg)
{
	struct race *race = arg;
	struct fixture *f = race->f;

	for (uint64_t i = 0; i < 1000; i++) {
		uint64_t page = i * 7 % THREAD_PAGES;

		unmap(f, page, 1);
		fill_page(f, page, 1000);
		fill_page(f, page, page);
		map(f, page, page, 1, RW);
	}
	return NULL;
}

static void *attaching_thread(void *arg)
{
	struct race *race = arg;
	struct iommu_domain *domain = race->f->dev.domain;

	while (!atomic_load_explicit(&race->stop, memory_order_relaxed)) {
		iommu_dev_attach(&race->f->dev, NULL);
		iommu_dev_attach(&race->f->dev, domain);
		usleep(100);
	}
	return NULL;
}

static void run_race(struct fixture *f, bool attaching)
{
	struct race race = { .f = f };
	pthread_t threads[4];

	f->dev.faults_reported = 1000;
	for (uint64_t i = 0; i < THREAD_PAGES; i++) {
		fill_page(f, i, i);
		map(f, i, i, 1, RW);
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, device_thread, &race);
	pthread_create(&threads[2], NULL, mapping_thread, &race);
	if (attaching)
		pthread_create(&threads[3], NULL, attaching_thread, &race);
	pthread_join(threads[2], NULL);
	while (!atomic_load(&race.good))
		usleep(100);
	atomic_store(&race.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	if (attaching)
		pthread_join(threads[3], NULL);
	assert_int_equal(race.wrong, 0);
}

static void test_race(void **state)
{
	run_race(*state, false);
}

static void test_race_with_attach(void **state)
{
	run_race(*state, true);
}

struct held {
	struct fixture *f;
	_Atomic int step;
};

static void *unmapping_thread(void *arg)
{
	struct held *held = arg;

	unmap(held->f, 0, 1);
	atomic_store(&held->step, 1);
	return NULL;
}

/* An unmap returns only when the section that was open is over. */
static void test_unmap_waits(void **state)
{
	struct fixture *f = *state;
	struct held held = { .f = f };
	pthread_t thread;
	char byte;

	map(f, 0, 0, 1, RW);
	f->dev.faults_reported = 1000;
	dma_begin(f->user);
	assert_int_equal(dma_read(f->user, BASE, &byte, 1, "open"), 0);
	pthread_create(&thread, NULL, unmapping_thread, &held);
	usleep(30000);
	assert_int_equal(atomic_load(&held.step), 0);
	assert_int_equal(dma_read(f->user, BASE, &byte, 1, "still"), 0);
	dma_end(f->user);
	pthread_join(thread, NULL);
	assert_int_equal(dma_read(f->user, BASE, &byte, 1, "after"), -EFAULT);
}

static void *unmapping_two_thread(void *arg)
{
	unmap(arg, 0, 2);
	return NULL;
}

static void child_of_an_unmap(struct fixture *f, struct uvfio_dma *other)
{
	char byte = 1;
	uint64_t got;
	int rc;

	dma_forked();
	type1_forked(f->iommu);
	dma_end(f->user);
	dma_user_free(other);
	rc = type1_map(f->iommu, f->mm, BASE + 5 * PG, f->va + 5 * PG, PG, RW, false);
	rc = rc ? rc : dma_write(f->user, BASE + 5 * PG, &byte, 1, "mapped");
	rc = rc ? rc : type1_unmap(f->iommu, BASE + 5 * PG, PG, 0, NULL, &got);
	if (rc || f->memory[5 * PG] != 1)
		_exit(1);
	_exit(dma_read(f->user, BASE + 5 * PG, &byte, 1, "unmapped") != -EFAULT);
}

/* A thread that the child has not got was in the middle of an unmap, with all of its locks. */
static void test_fork_in_an_unmap(void **state)
{
	struct fixture *f = *state;
	struct uvfio_dma *other = dma_user_new(&f->dev, NULL);
	pthread_t thread;
	int status = 0;
	pid_t child;

	map(f, 0, 0, 1, RW);
	map(f, 1, 3, 1, RW);
	f->dev.faults_reported = 1000;
	dma_begin(f->user);
	pthread_create(&thread, NULL, unmapping_two_thread, f);
	usleep(30000);
	child = fork();
	if (!child) {
		alarm(20);
		child_of_an_unmap(f, other);
	}
	dma_end(f->user);
	pthread_join(thread, NULL);
	dma_user_free(other);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

struct section {
	struct uvfio_dma *dma;
	_Atomic bool open, end;
};

static void *section_thread(void *arg)
{
	struct section *section = arg;

	dma_begin(section->dma);
	atomic_store(&section->open, true);
	while (!atomic_load(&section->end))
		usleep(100);
	dma_end(section->dma);
	return NULL;
}

/* A new user in place of the one whose thread is not there: its sections are open when they are. */
static void child_of_a_section(struct fixture *f, struct uvfio_dma *other)
{
	struct iommu_domain *domain = atomic_load(&f->dev.domain);
	struct uvfio_dma *again;
	bool open;

	dma_forked();
	dma_user_free(other);
	again = dma_user_new(&f->dev, NULL);
	if (!iommu_domain_try_sync(domain))
		_exit(1);
	dma_begin(again);
	open = !iommu_domain_try_sync(domain);
	dma_end(again);
	_exit(open && iommu_domain_try_sync(domain) ? 0 : 2);
}

static void test_fork_in_a_section(void **state)
{
	struct fixture *f = *state;
	struct section section = { .dma = dma_user_new(&f->dev, NULL) };
	pthread_t thread;
	int status = 0;
	pid_t child;

	pthread_create(&thread, NULL, section_thread, &section);
	while (!atomic_load(&section.open))
		usleep(100);
	child = fork();
	if (!child) {
		alarm(20);
		child_of_a_section(f, section.dma);
	}
	atomic_store(&section.end, true);
	pthread_join(thread, NULL);
	dma_user_free(section.dma);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_dirty_beside_map),          T(test_race),
		T(test_race_with_attach),          T(test_unmap_waits),
		T(test_fork_in_an_unmap),          T(test_fork_in_a_section),
		T(test_first_section_in_an_unmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
