/* SPDX-License-Identifier: BSD-2-Clause */
/* Cdevs without a machine around them: numbers, claims of processes, removal, and all of it at once. */
#include "vfio/test_util.h"

#include "base/base.h"
#include "uapi/iommufd.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void add(struct bench *b, int fake, unsigned int group, unsigned int index)
{
	assert_int_equal(vfio_register_device(b->vfio, &b->fake[fake].vdev, group, false, index), 0);
}

/* ---- */

static void test_indexes(void **state)
{
	struct bench *b = *state;

	for (unsigned int i = 0; i < NR_FAKES; i++)
		assert_int_equal(b->fake[i].vdev.index, i);
	vfio_unregister_device(&b->fake[1].vdev);
	vfio_unregister_device(&b->fake[2].vdev);
	assert_int_equal(vfio_register_device(b->vfio, &b->fake[1].vdev, 1, false, 0), -EBUSY);
	assert_int_equal(vfio_register_device(b->vfio, &b->fake[1].vdev, 1, false, UINT32_MAX - 1), -EINVAL);
	add(b, 2, 2, VFIO_ANY_INDEX);
	assert_int_equal(b->fake[2].vdev.index, 1);
	add(b, 1, 1, 700);
	assert_int_equal(b->fake[1].vdev.index, 700);
}

static void test_no_iommu_no_cdev(void **state)
{
	struct bench *b = *state;
	struct file *file;

	assert_int_equal(vfio_cdev_open(b->vfio, b->fake[3].vdev.index, O_RDWR, &file), -ENODEV);
	assert_int_equal(vfio_cdev_open(b->vfio, 17, O_RDWR, &file), -ENODEV);
}

static void test_domains(void **state)
{
	struct bench *b = *state;
	int iommufd = open_iommufd(b), a = open_cdev(b, 0), sibling = open_cdev(b, 1);
	uint32_t ioas = ioas_alloc(iommufd);

	assert_int_equal(bind_to(a, iommufd), 0);
	assert_int_equal(b->fake[0].opened, 1);
	assert_null(domain_of(b, 0));
	assert_int_equal(attach(a, ioas), 0);
	assert_non_null(domain_of(b, 0));
	assert_int_equal(bind_to(sibling, iommufd), 0);
	assert_ptr_equal(domain_of(b, 0), domain_of(b, 1));
	close_fd(sibling);
	assert_null(domain_of(b, 1));
	/* a device that comes into the group then is translated by nothing */
	vfio_unregister_device(&b->fake[1].vdev);
	add(b, 1, 1, VFIO_ANY_INDEX);
	assert_null(domain_of(b, 1));
	assert_int_equal(detach(a), 0);
	assert_null(domain_of(b, 0));
	assert_int_equal(attach(a, ioas), 0);
	close_fd(iommufd);
	assert_non_null(domain_of(b, 0));
	close_fd(a);
	assert_null(domain_of(b, 0));
	assert_int_equal(b->fake[0].closed, 1);
}

static void test_failing_open(void **state)
{
	struct bench *b = *state;
	int iommufd = open_iommufd(b), a = open_cdev(b, 0), group;

	b->fake[0].open_result = -EIO;
	assert_int_equal(bind_to(a, iommufd), -EIO);
	b->fake[0].open_result = 0;
	group = open_group(b, 1); /* nothing is left of it */
	assert_true(group >= 0);
	close_fd(group);
	assert_int_equal(bind_to(a, iommufd), 0);
	close_fd(a);
	close_fd(iommufd);
}

/* A device without an IOMMU that is open through an IOMMUFD: its group can be closed, and goes nowhere. */
static void test_no_iommu_on_an_iommufd(void **state)
{
	struct bench *b = *state;
	int iommufd = open_iommufd(b), c = open_container(b), group = open_group(b, 9), device;

	assert_int_equal(call_ptr(group, VFIO_GROUP_SET_CONTAINER, &iommufd), 0);
	device = get_device(group, NAME_D);
	assert_true(device >= 0);
	close_fd(group);
	group = open_group(b, 9);
	assert_int_equal(call_ptr(group, VFIO_GROUP_SET_CONTAINER, &c), -EPERM);
	assert_non_null(domain_of(b, 3));
	close_fd(device);
	assert_null(domain_of(b, 3));
	assert_int_equal(call_ptr(group, VFIO_GROUP_SET_CONTAINER, &c), 0);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	device = get_device(group, NAME_D);
	assert_non_null(domain_of(b, 3));
	close_fd(device);
	close_fd(group);
	close_fd(c);
	close_fd(iommufd);
}

/* ---- the session's other processes */

static int claimed, refuse;

static int note_claim(unsigned int group_id, bool noiommu, bool claim)
{
	assert_int_equal(group_id, 1);
	assert_false(noiommu);
	if (claim && refuse)
		return -EBUSY;
	claimed += claim ? 1 : -1;
	return 0;
}

static void test_claims(void **state)
{
	struct bench *b = *state;
	int iommufd = open_iommufd(b), a = open_cdev(b, 0), second = open_cdev(b, 1), group, device;

	vfio_group_claim = note_claim;
	refuse = 1;
	assert_int_equal(bind_to(a, iommufd), -EBUSY);
	refuse = 0;
	assert_int_equal(bind_to(a, iommufd), 0);
	assert_int_equal(bind_to(second, iommufd), 0);
	assert_int_equal(claimed, 1);
	close_fd(a);
	assert_int_equal(claimed, 1);
	close_fd(second);
	assert_int_equal(claimed, 0);
	group = open_group(b, 1);
	assert_int_equal(call_ptr(group, VFIO_GROUP_SET_CONTAINER, &iommufd), 0);
	device = get_device(group, NAME_A);
	assert_true(device >= 0);
	close_fd(group);
	assert_int_equal(claimed, 1); /* by the device */
	close_fd(device);
	assert_int_equal(claimed, 0);
	vfio_group_claim = NULL;
	close_fd(iommufd);
}

/* ---- removal */

static void *remove_it(void *vdev)
{
	vfio_unregister_device(vdev);
	return NULL;
}

static void test_removal(void **state)
{
	struct bench *b = *state;
	int iommufd = open_iommufd(b), bound = open_cdev(b, 2), unbound = open_cdev(b, 2);
	const unsigned int index = b->fake[2].vdev.index;
	struct timespec little = { .tv_nsec = 1000000 };
	struct file *file;
	pthread_t thread;

	assert_int_equal(bind_to(bound, iommufd), 0);
	assert_int_equal(pthread_create(&thread, NULL, remove_it, &b->fake[2].vdev), 0);
	while (!b->fake[2].requested)
		nanosleep(&little, NULL);
	assert_int_equal(vfio_cdev_open(b->vfio, index, O_RDWR, &file), -ENODEV);
	assert_int_equal(attach(bound, ioas_alloc(iommufd)), 0); /* what is open works to the end */
	close_fd(bound);
	assert_int_equal(bind_to(unbound, iommufd), 0);
	close_fd(unbound);
	pthread_join(thread, NULL);
	assert_int_equal(vfio_cdev_open(b->vfio, index, O_RDWR, &file), -ENODEV);
	add(b, 2, 2, index);
	close_fd(iommufd);
}

/* ---- all at once */

struct race {
	struct bench *b;
	int iommufd;
	uint32_t ioas;
	_Atomic bool stop;
	_Atomic unsigned int bound;
	_Atomic long odd;
};

static void note_odd(struct race *race, long rc, const long *fine)
{
	while (*fine != rc && *fine)
		fine++;
	if (rc && *fine != rc)
		race->odd = rc;
}

static void *use_cdev(void *arg)
{
	static const long opens[] = { -ENODEV, 0 }, binds[] = { -EINVAL, -EBUSY, -EPERM, 0 };
	struct race *race = arg;

	while (!race->stop) {
		int fd = open_index(race->b, 0);
		long rc;

		if (fd < 0) {
			note_odd(race, fd, opens);
			continue;
		}
		rc = bind_to(fd, race->iommufd);
		note_odd(race, rc, binds);
		if (!rc) {
			race->bound++;
			note_odd(race, attach(fd, race->ioas), (long[]){ 0 });
			note_odd(race, detach(fd), (long[]){ 0 });
			note_odd(race, attach(fd, race->ioas), (long[]){ 0 });
		}
		close_fd(fd);
	}
	return NULL;
}

static void *use_group(void *arg)
{
	static const long opens[] = { -ENODEV, -EBUSY, 0 };
	struct race *race = arg;
	int group, device;

	while (!race->stop) {
		group = open_group(race->b, 1);
		if (group < 0) {
			note_odd(race, group, opens);
			continue;
		}
		if (!call_ptr(group, VFIO_GROUP_SET_CONTAINER, &race->iommufd)) {
			device = get_device(group, NAME_A);
			if (device >= 0)
				close_fd(device);
			else
				note_odd(race, device, opens);
		}
		close_fd(group);
	}
	return NULL;
}

static void *map_there(void *arg)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	struct race *race = arg;

	while (!race->stop) {
		struct iommu_ioas_map map = { .size = sizeof(map),
					      .flags = 7,
					      .ioas_id = race->ioas,
					      .user_va = (uintptr_t)page,
					      .length = sizeof(page),
					      .iova = 0x10000 };
		struct iommu_ioas_unmap unmap = {
			.size = sizeof(unmap), .ioas_id = race->ioas, .iova = 0x10000, .length = sizeof(page)
		};

		note_odd(race, call_ptr(race->iommufd, IOMMU_IOAS_MAP, &map), (long[]){ 0 });
		note_odd(race, call_ptr(race->iommufd, IOMMU_IOAS_UNMAP, &unmap), (long[]){ 0 });
	}
	return NULL;
}

static void test_race(void **state)
{
	struct bench *b = *state;
	struct race race = { .b = b, .iommufd = open_iommufd(b) };
	void *(*const parts[])(void *) = { use_cdev, use_cdev, use_group, map_there };
	struct timespec start, now, little = { .tv_nsec = 300000 };
	pthread_t threads[ARRAY_SIZE(parts)];

	race.ioas = ioas_alloc(race.iommufd);
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, parts[i], &race), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		nanosleep(&little, NULL);
		vfio_unregister_device(&b->fake[0].vdev);
		add(b, 0, 1, 0);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 2 || !race.bound);
	race.stop = true;
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(race.odd, 0);
	close_fd(race.iommufd);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_indexes),
		TEST(test_no_iommu_no_cdev),
		TEST(test_domains),
		TEST(test_failing_open),
		TEST(test_no_iommu_on_an_iommufd),
		TEST(test_claims),
		TEST(test_removal),
		TEST(test_race),
	};

	return cmocka_run_group_tests_name("cdev", tests, NULL, NULL);
}
