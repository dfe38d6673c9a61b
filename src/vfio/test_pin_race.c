/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads, on a container and on an IOMMUFD: drivers of mediated devices that are opened and closed, pin,
 * unpin, read and write, against mapping and unmapping, a device with an IOMMU that comes and goes, processes
 * whose memory is mapped and that are killed, and somebody who looks at what is charged. In the end nothing
 * is. Meant for the thread sanitizer, and of use without.
 */
#include "vfio/test_util.h"

#include "iommufd/iommufd.h"
#include "uapi/iommufd.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uvfio/machine.h>

#define PG      UVFIO_PAGE_SIZE
#define BASE    ((uint64_t)0x1000000)
#define SPAN    64u /* pages */
#define CHUNK   4u
#define DRIVERS 2u /* and one that stays, so that mappings do */
#define SECONDS 1
#define OTHERS  8u /* processes, one after the other */

struct driver {
	struct rig *rig;
	struct vfio_device vdev;
	pthread_mutex_t lock; /* protects pins: the driver's own, which it takes when it is told, too */
	unsigned int pins[SPAN];
	unsigned int seed;
};

struct rig {
	struct bench *b;
	bool cdev;
	int fd; /* the container, or the IOMMUFD */
	uint32_t ioas;
	char *memory;
	struct driver drivers[DRIVERS + 1];
	struct mm *mms[OTHERS + 1]; /* theirs, and this process's */
	pid_t others[OTHERS];
	_Atomic unsigned int other; /* the one that lives */
	_Atomic bool stop;
	_Atomic unsigned int pinned, unmapped, plugged, told, looked;
};

struct place {
	int group, device;
};

static unsigned int next(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 16) % below;
}

/* ---- the driver */

static struct driver *to_driver(struct vfio_device *vdev)
{
	return container_of(vdev, struct driver, vdev);
}

static int driver_open(struct vfio_device *vdev)
{
	(void)vdev;
	return 0;
}

/* Pins are left for the framework to find. */
static void driver_close(struct vfio_device *vdev)
{
	struct driver *driver = to_driver(vdev);

	pthread_mutex_lock(&driver->lock);
	memset(driver->pins, 0, sizeof(driver->pins));
	pthread_mutex_unlock(&driver->lock);
}

static void driver_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	struct driver *driver = to_driver(vdev);

	driver->rig->told++;
	pthread_mutex_lock(&driver->lock);
	for (uint64_t i = 0; i < SPAN; i++)
		for (; driver->pins[i] && BASE + i * PG >= iova && BASE + i * PG - iova < length;
		     driver->pins[i]--)
			assert_int_equal(vfio_unpin_pages(vdev, BASE + i * PG, 1), 0);
	pthread_mutex_unlock(&driver->lock);
}

static const struct vfio_device_ops driver_ops = {
	.name = "racer",
	.open_device = driver_open,
	.close_device = driver_close,
	.dma_unmap = driver_unmap,
};

static void pin_some(struct driver *driver)
{
	unsigned int page = next(&driver->seed, SPAN - CHUNK), n = 1 + next(&driver->seed, CHUNK);
	struct mm_page pages[CHUNK];

	pthread_mutex_lock(&driver->lock);
	if (vfio_pin_pages(&driver->vdev, BASE + page * PG, n, IOMMU_READ | IOMMU_WRITE, pages) == (int)n) {
		driver->rig->pinned++;
		for (unsigned int i = 0; i < n; i++)
			driver->pins[page + i]++;
	}
	pthread_mutex_unlock(&driver->lock);
}

static void unpin_some(struct driver *driver)
{
	unsigned int page = next(&driver->seed, SPAN);

	pthread_mutex_lock(&driver->lock);
	if (driver->pins[page]) {
		assert_int_equal(vfio_unpin_pages(&driver->vdev, BASE + page * PG, 1), 0);
		driver->pins[page]--;
	}
	pthread_mutex_unlock(&driver->lock);
}

/* ---- devices come and go */

/* 0 or -EFAULT: memory is mapped of a process that has exited, and the device is to have all of it. */
static long join_ioas(struct rig *r, struct vfio_device *vdev, struct place *at)
{
	at->device = open_index(r->b, vdev->index);
	assert_true(at->device >= 0);
	assert_int_equal(bind_to(at->device, r->fd), 0);
	return attach(at->device, r->ioas);
}

static long join_container(struct rig *r, struct vfio_device *vdev, struct place *at)
{
	long rc;

	at->group = open_group(r->b, vfio_group_id(vdev->group));
	assert_true(at->group >= 0);
	rc = call_ptr(at->group, VFIO_GROUP_SET_CONTAINER, &r->fd);
	if (rc)
		return rc;
	if (vdev == &r->drivers[DRIVERS].vdev)
		assert_int_equal(call(r->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	at->device = get_device(at->group, vdev->name);
	assert_true(at->device >= 0);
	return 0;
}

static bool plug(struct rig *r, struct vfio_device *vdev, struct place *at)
{
	long rc;

	*at = (struct place){ -1, -1 };
	rc = r->cdev ? join_ioas(r, vdev, at) : join_container(r, vdev, at);
	assert_true(!rc || (rc == -EFAULT && vdev == &r->b->fake[0].vdev));
	return !rc;
}

static void unplug(struct place at)
{
	if (at.device >= 0)
		close_fd(at.device);
	if (at.group >= 0)
		close_fd(at.group);
}

/* ---- threads */

static void *drive(void *arg)
{
	struct driver *driver = arg;
	uint64_t word = 0;

	while (!driver->rig->stop) {
		struct place at;

		plug(driver->rig, &driver->vdev, &at);
		for (unsigned int i = 0; i < 200; i++) {
			pin_some(driver);
			unpin_some(driver);
			vfio_dma_rw(&driver->vdev, BASE + next(&driver->seed, SPAN) * PG, &word, sizeof(word),
				    false);
		}
		unplug(at);
	}
	return NULL;
}

static long do_map(struct rig *r, unsigned int page, struct mm *mm)
{
	struct vfio_iommu_type1_dma_map in_container = {
		.argsz = sizeof(in_container),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)r->memory + page * PG,
		.size = CHUNK * PG,
		.iova = BASE + page * PG,
	};
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = r->ioas,
		.user_va = (uintptr_t)r->memory + page * PG,
		.length = CHUNK * PG,
		.iova = BASE + page * PG,
	};

	if (r->cdev)
		return uvfio_map((struct uvfio_memory *)mm, r->fd, IOMMU_IOAS_MAP, &arg);
	return uvfio_map((struct uvfio_memory *)mm, r->fd, VFIO_IOMMU_MAP_DMA, &in_container);
}

/* Was anything there? */
static bool do_unmap(struct rig *r, unsigned int page)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = r->ioas, .iova = BASE + page * PG, .length = CHUNK * PG
	};
	uint64_t size = CHUNK * PG;
	long rc;

	if (!r->cdev) {
		assert_int_equal(unmap(r->fd, arg.iova, &size, 0), 0);
		return size != 0;
	}
	rc = call_ptr(r->fd, IOMMU_IOAS_UNMAP, &arg);
	assert_true(!rc || rc == -ENOENT);
	return !rc;
}

static void *map_and_unmap(void *arg)
{
	struct rig *r = arg;
	unsigned int seed = 7;

	while (!r->stop) {
		struct mm *mm = r->mms[next(&seed, 3) ? OTHERS : r->other];
		long rc = do_map(r, next(&seed, SPAN / CHUNK) * CHUNK, mm);

		/* memory goes before the process counts as gone */
		assert_true(!rc || rc == -EEXIST || (rc == -EFAULT && !mm->self));
		r->unmapped += do_unmap(r, next(&seed, SPAN / CHUNK) * CHUNK);
	}
	return NULL;
}

static void *plug_backed(void *arg)
{
	struct rig *r = arg;

	while (!r->stop) {
		struct place at;

		r->plugged += plug(r, &r->b->fake[0].vdev, &at);
		unplug(at);
	}
	return NULL;
}

static void kill_other(struct rig *r, unsigned int i)
{
	kill(r->others[i], SIGKILL);
	assert_int_equal(waitpid(r->others[i], NULL, 0), r->others[i]);
}

static void *kill_others(void *arg)
{
	struct timespec nap = { .tv_nsec = SECONDS * 1000000000L / (OTHERS + 2) };
	struct rig *r = arg;

	while (!r->stop && r->other < OTHERS - 1) {
		nanosleep(&nap, NULL);
		kill_other(r, r->other);
		r->other++;
	}
	return NULL;
}

static void check_usages(const struct mm_usages *usages)
{
	for (unsigned int i = 0; i < usages->nr; i++) {
		const struct mm_usage *usage = &usages->usage[i];

		assert_true(usage->pinned_by_drivers <= usage->charged &&
			    usage->charged <= usage->mapped / PG);
		assert_true(!usage->pinned_by_domains || usage->charged == usage->mapped / PG);
	}
}

static void see_container(void *arg, unsigned int id, const struct mm_usages *usages)
{
	(void)id;
	check_usages(usages);
	((struct rig *)arg)->looked++;
}

static void see_ioas(void *arg, unsigned int number, uint32_t id, const struct mm_usages *usages)
{
	(void)number;
	see_container(arg, id, usages);
}

static void *look(void *arg)
{
	struct timespec nap = { .tv_nsec = 100000 };
	struct rig *r = arg;

	for (; !r->stop; nanosleep(&nap, NULL)) {
		assert_int_equal(vfio_each_container_usage(r->b->vfio, see_container, r), 0);
		assert_int_equal(iommufd_each_usage(&r->b->params, see_ioas, r), 0);
	}
	return NULL;
}

/* ---- */

/* Before there are threads. */
static void start_others(struct rig *r)
{
	for (unsigned int i = 0; i < OTHERS; i++) {
		r->others[i] = fork();
		if (!r->others[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		assert_int_equal(mm_of_pid(r->others[i], &r->mms[i]), 0);
	}
	r->mms[OTHERS] = mm_self();
}

static void stop_others(struct rig *r)
{
	while (r->other < OTHERS)
		kill_other(r, r->other++);
	for (unsigned int i = 0; i <= OTHERS; i++) {
		assert_int_equal(r->mms[i]->locked_pages + r->mms[i]->pinned_pages, 0);
		assert_true(r->mms[i]->refs == 1 || i == OTHERS);
		mm_put(r->mms[i]);
	}
}

static void start(struct rig *r, bool cdev)
{
	void *state;

	bench_setup(&state);
	*r = (struct rig){ .b = state, .cdev = cdev };
	r->b->params.memlock_pages = 100000; /* so that it is counted */
	r->memory = mmap(NULL, SPAN * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned int i = 0; i <= DRIVERS; i++) {
		struct driver *driver = &r->drivers[i];

		*driver = (struct driver){ .rig = r, .lock = PTHREAD_MUTEX_INITIALIZER, .seed = i + 1 };
		driver->vdev.ops = &driver_ops;
		snprintf(driver->vdev.name, sizeof(driver->vdev.name), "racer%u", i);
		assert_int_equal(
			vfio_register_emulated_iommu_dev(r->b->vfio, &driver->vdev, 20 + i, VFIO_ANY_INDEX),
			0);
	}
	start_others(r);
	r->fd = cdev ? open_iommufd(r->b) : open_container(r->b);
	r->ioas = cdev ? ioas_alloc(r->fd) : 0;
}

static void stop(struct rig *r)
{
	void *state = r->b;

	close_fd(r->fd);
	for (unsigned int i = 0; i <= DRIVERS; i++)
		vfio_unregister_device(&r->drivers[i].vdev);
	bench_teardown(&state);
	stop_others(r);
	munmap(r->memory, SPAN * PG);
}

static void race(bool cdev)
{
	void *(*const threads[])(void *) = { drive, drive, map_and_unmap, plug_backed, kill_others, look };
	struct timespec nap = { .tv_sec = SECONDS };
	pthread_t ids[ARRAY_SIZE(threads)];
	struct place stays;
	struct rig r;

	start(&r, cdev);
	plug(&r, &r.drivers[DRIVERS].vdev, &stays);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(
			pthread_create(&ids[i], NULL, threads[i], i < DRIVERS ? (void *)&r.drivers[i] : &r),
			0);
	nanosleep(&nap, NULL);
	r.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(ids[i], NULL);
	unplug(stays);
	stop(&r);
	assert_true(r.pinned && r.unmapped && r.plugged && r.told && r.looked);
}

static void test_container(void **state)
{
	(void)state;
	race(false);
}

static void test_iommufd(void **state)
{
	(void)state;
	race(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_container),
		cmocka_unit_test(test_iommufd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
