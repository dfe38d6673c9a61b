/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ioctls, closes and the moves of groups at the same time. Nothing is asked about the order in which they
 * happen, only that each call gives one of the answers it can have, and that everything is whole and free in
 * the end. To be run under -fsanitize=thread and -fsanitize=address.
 */
#include "vfio/test_util.h"

#include "file/fdtable.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#define PG     UVFIO_PAGE_SIZE
#define RW     (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define ROUNDS 300

static char memory[16 * UVFIO_PAGE_SIZE] __attribute__((aligned(UVFIO_PAGE_SIZE)));

struct shared {
	struct bench *bench;
	int c, g;
	struct file *container; /* a reference */
	_Atomic bool stop;
	_Atomic unsigned long maps, odd;
};

static long ioctl_on(struct file *file, unsigned long cmd, const void *arg)
{
	return file_ioctl(file, &self_caller, cmd, (uintptr_t)arg);
}

/* Count an answer that is not among those expected. */
static void expect(struct shared *s, long rc, long a, long b, long c)
{
	if (rc != a && rc != b && rc != c)
		s->odd++;
}

/* Map and unmap one page of one's own until told to stop, whatever happens to the container. */
static void *mapper(void *arg)
{
	static _Atomic int next;
	uint64_t iova = 0x100000 + (uint64_t)(next++ % 8) * PG;
	struct shared *s = arg;

	while (!s->stop) {
		struct vfio_iommu_type1_dma_map m = {
			.argsz = sizeof(m),
			.flags = RW,
			.vaddr = (uintptr_t)memory,
			.iova = iova,
			.size = PG,
		};
		struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = iova, .size = PG };
		long rc = ioctl_on(s->container, VFIO_IOMMU_MAP_DMA, &m);

		expect(s, rc, 0, -EINVAL, -EINVAL);
		s->maps += !rc;
		expect(s, ioctl_on(s->container, VFIO_IOMMU_UNMAP_DMA, &u), 0, -EINVAL, -EINVAL);
	}
	return NULL;
}

static void *asker(void *arg)
{
	struct shared *s = arg;

	while (!s->stop) {
		struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };

		expect(s, ioctl_on(s->container, VFIO_IOMMU_GET_INFO, &info), 0, -EINVAL, -EINVAL);
		expect(s, ioctl_on(s->container, VFIO_CHECK_EXTENSION, (void *)(uintptr_t)VFIO_UPDATE_VADDR),
		       0, 1, 1);
	}
	return NULL;
}

/* Take the group out and bring it back, with everything that this makes and unmakes. */
static void *mover(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t type = i % 2 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;

		expect(s, call(s->g, VFIO_GROUP_UNSET_CONTAINER, 0), 0, -EBUSY, -EINVAL);
		expect(s, call_ptr(s->g, VFIO_GROUP_SET_CONTAINER, &s->c), 0, -EINVAL, -EINVAL);
		expect(s, call(s->c, VFIO_SET_IOMMU, type), 0, -EINVAL, -EINVAL);
	}
	s->stop = true;
	return NULL;
}

static void *opener(void *arg)
{
	struct shared *s = arg;

	while (!s->stop) {
		int d = get_device(s->g, NAME_A);

		if (d >= 0)
			close_fd(d);
		else
			expect(s, d, -EINVAL, -EINVAL, -EINVAL);
	}
	return NULL;
}

static void run_threads(struct shared *s, void *(*const *fns)(void *), size_t nr)
{
	pthread_t threads[8];

	for (size_t i = 0; i < nr; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fns[i], s), 0);
	for (size_t i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(s->odd, 0);
}

static void test_groups_move_under_ioctls(void **state)
{
	static void *(*const fns[])(void *) = { mapper, mapper, asker, mover, opener };
	struct shared s = { .bench = *state };

	open_all(s.bench, 1, VFIO_TYPE1v2_IOMMU, &s.c, &s.g);
	s.container = fdtable_get(s.c);
	run_threads(&s, fns, ARRAY_SIZE(fns));
	assert_true(s.maps > 0);
	file_put(s.container);
	close_fd(s.g);
	close_fd(s.c);
}

/* Both groups come and go in one container: its back end lives as long as either is there. */
static void *second_mover(void *arg)
{
	struct shared *s = arg;
	int g = open_group(s->bench, 2);

	while (!s->stop) {
		expect(s, call_ptr(g, VFIO_GROUP_SET_CONTAINER, &s->c), 0, 0, 0);
		expect(s, call(s->c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0, -EINVAL, -EINVAL);
		expect(s, call(g, VFIO_GROUP_UNSET_CONTAINER, 0), 0, 0, 0);
	}
	close_fd(g);
	return NULL;
}

static void test_two_groups_move(void **state)
{
	static void *(*const fns[])(void *) = { mapper, mover, second_mover, asker };
	struct shared s = { .bench = *state };

	open_all(s.bench, 1, VFIO_TYPE1v2_IOMMU, &s.c, &s.g);
	s.container = fdtable_get(s.c);
	run_threads(&s, fns, ARRAY_SIZE(fns));
	file_put(s.container);
	close_fd(s.g);
	close_fd(s.c);
}

/* Close the descriptor while others are inside an ioctl on the same file. */
static void *close_under(void *arg)
{
	struct shared *s = arg;

	while (s->maps < 20)
		sched_yield();
	close_fd(s->c);
	close_fd(s->g);
	s->stop = true;
	return NULL;
}

static void *descriptor_user(void *arg)
{
	struct shared *s = arg;

	while (!s->stop) {
		long rc = map(s->c, 0x200000, memory, PG, RW);
		uint64_t size = PG;

		expect(s, rc, 0, -EBADF, -EINVAL);
		s->maps += !rc;
		expect(s, unmap(s->c, 0x200000, &size, 0), 0, -EBADF, -EINVAL);
	}
	return NULL;
}

static void test_close_under_ioctls(void **state)
{
	static void *(*const fns[])(void *) = { descriptor_user, close_under };

	for (int i = 0; i < 30; i++) {
		struct shared s = { .bench = *state };

		open_all(s.bench, 1, VFIO_TYPE1v2_IOMMU, &s.c, &s.g);
		run_threads(&s, fns, ARRAY_SIZE(fns));
	}
}

/* Several try to open one group: one at a time has it. */
static _Atomic int holders;

static void *grabber(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		int g = open_group(s->bench, 2);

		if (g < 0) {
			expect(s, g, -EBUSY, -EBUSY, -EBUSY);
			continue;
		}
		if (atomic_fetch_add(&holders, 1))
			s->odd++;
		atomic_fetch_sub(&holders, 1);
		close_fd(g);
	}
	return NULL;
}

static void test_group_has_one_holder(void **state)
{
	static void *(*const fns[])(void *) = { grabber, grabber, grabber };
	struct shared s = { .bench = *state };

	run_threads(&s, fns, ARRAY_SIZE(fns));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_groups_move_under_ioctls),
		TEST(test_two_groups_move),
		TEST(test_close_under_ioctls),
		TEST(test_group_has_one_holder),
	};

	return cmocka_run_group_tests_name("vfio_threads", tests, NULL, NULL);
}
