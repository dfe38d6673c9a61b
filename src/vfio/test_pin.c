/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices without an IOMMU of their own, as their drivers and their users see them: on a container, on an
 * IOMMUFD in a container's place, and by cdevs. The same steps with the same charges in each.
 */
#include "vfio/test_util.h"

#include "base/fault.h"
#include "file/fdtable.h"
#include "iommufd/iommufd.h"
#include "uapi/iommufd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PG    UVFIO_PAGE_SIZE
#define BASE  ((uint64_t)0x1000000)
#define RW    (IOMMU_READ | IOMMU_WRITE)
#define PAGES 256u
#define LIMIT 200u
#define NR    2u

enum mode { TYPE1, COMPAT, CDEV, NR_MODES };

struct mdev {
	struct vfio_device vdev;
	uint32_t pins[PAGES];
	unsigned int told;
	bool deaf;    /* unpins nothing when it is told */
	bool forgets; /* leaves its pins when it is closed */
	bool slow;    /* takes its time when it is told */
	bool open;
	_Atomic bool in_call;
};

struct rig {
	struct bench *b;
	enum mode mode;
	int fd; /* the container, or the IOMMUFD */
	uint32_t ioas;
	bool typed;
	struct mdev mdevs[NR];
	int groups[2 * NR], devices[2 * NR]; /* two with an IOMMU, then the mdevs */
	struct mm *mm;
	char *memory;
	struct mm_page pages[PAGES];
};

static struct mdev *to_mdev(struct vfio_device *vdev)
{
	return container_of(vdev, struct mdev, vdev);
}

static void unpin_all(struct mdev *mdev, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= MIN(last, (uint64_t)PAGES - 1); i++)
		while (mdev->pins[i]) {
			mdev->pins[i]--;
			assert_int_equal(vfio_unpin_pages(&mdev->vdev, BASE + i * PG, 1), 0);
		}
}

static int mdev_open(struct vfio_device *vdev)
{
	to_mdev(vdev)->open = true;
	return 0;
}

static void mdev_close(struct vfio_device *vdev)
{
	struct mdev *mdev = to_mdev(vdev);

	assert_false(mdev->in_call);
	if (!mdev->forgets)
		unpin_all(mdev, 0, PAGES - 1);
	memset(mdev->pins, 0, sizeof(mdev->pins));
	mdev->open = false;
}

static void mdev_dma_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	struct mdev *mdev = to_mdev(vdev);

	assert_true(mdev->open);
	mdev->told++;
	if (mdev->deaf)
		return;
	mdev->in_call = true;
	if (mdev->slow)
		usleep(50000);
	if (length == UINT64_MAX)
		unpin_all(mdev, 0, PAGES - 1);
	else
		unpin_all(mdev, (iova - BASE) / PG, (iova - BASE + length - 1) / PG);
	mdev->in_call = false;
}

static const struct vfio_device_ops mdev_ops = {
	.name = "mdev",
	.open_device = mdev_open,
	.close_device = mdev_close,
	.dma_unmap = mdev_dma_unmap,
};

static void add_mdev(struct rig *r, unsigned int i)
{
	struct vfio_device *vdev = &r->mdevs[i].vdev;

	vdev->ops = &mdev_ops;
	snprintf(vdev->name, sizeof(vdev->name), "mdev%u", i);
	assert_int_equal(vfio_register_emulated_iommu_dev(r->b->vfio, vdev, 20 + i, VFIO_ANY_INDEX), 0);
}

static struct rig *start(enum mode mode)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct file *file;
	void *state;

	r->mode = mode;
	bench_setup(&state);
	r->b = state;
	r->b->params.memlock_pages = LIMIT;
	for (unsigned int i = 0; i < NR; i++)
		add_mdev(r, i);
	if (mode == TYPE1) {
		r->fd = open_container(r->b);
	} else if (mode == COMPAT) {
		assert_int_equal(iommufd_open(&r->b->params, true, O_RDWR, &file), 0);
		r->fd = fdtable_install(file, O_CLOEXEC);
	} else {
		r->fd = open_iommufd(r->b);
		r->ioas = ioas_alloc(r->fd);
	}
	r->mm = mm_self();
	r->memory = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return r;
}

static void stop(struct rig *r)
{
	void *state = r->b;

	close_fd(r->fd);
	for (unsigned int i = 0; i < NR; i++)
		vfio_unregister_device(&r->mdevs[i].vdev);
	bench_teardown(&state);
	assert_int_equal(atomic_load(&r->mm->locked_pages), 0);
	mm_put(r->mm);
	munmap(r->memory, PAGES * PG);
	free(r);
}

/* ---- steps */

static struct vfio_device *vdev_of(struct rig *r, unsigned int i)
{
	static const unsigned int fakes[] = { 0, 2 };

	return i < NR ? &r->b->fake[fakes[i]].vdev : &r->mdevs[i - NR].vdev;
}

static int open_by_group(struct rig *r, unsigned int i)
{
	struct vfio_device *vdev = vdev_of(r, i);
	int rc;

	r->groups[i] = open_group(r->b, vfio_group_id(vdev->group));
	assert_true(r->groups[i] >= 0);
	rc = (int)call_ptr(r->groups[i], VFIO_GROUP_SET_CONTAINER, &r->fd);
	if (!rc && !r->typed)
		assert_int_equal(call(r->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	r->typed = true;
	return rc ? rc : get_device(r->groups[i], vdev->name);
}

static int open_by_cdev(struct rig *r, unsigned int i)
{
	int fd = open_index(r->b, vdev_of(r, i)->index), rc;

	assert_true(fd >= 0);
	assert_int_equal(bind_to(fd, r->fd), 0);
	rc = (int)attach(fd, r->ioas);
	if (!rc)
		return fd;
	close_fd(fd);
	return rc;
}

/* Device i joins: 0 and 1 have an IOMMU. */
static int plug(struct rig *r, unsigned int i)
{
	int fd = r->mode == CDEV ? open_by_cdev(r, i) : open_by_group(r, i);

	if (fd < 0 && r->mode != CDEV)
		close_fd(r->groups[i]);
	r->devices[i] = fd;
	return MIN(fd, 0);
}

static void unplug(struct rig *r, unsigned int i)
{
	close_fd(r->devices[i]);
	if (r->mode != CDEV)
		close_fd(r->groups[i]);
}

static long do_map(struct rig *r, uint64_t page, uint64_t n)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = r->ioas,
		.user_va = (uintptr_t)r->memory + page * PG,
		.length = n * PG,
		.iova = BASE + page * PG,
	};

	if (r->mode == CDEV)
		return call_ptr(r->fd, IOMMU_IOAS_MAP, &arg);
	return map(r->fd, BASE + page * PG, r->memory + page * PG, n * PG,
		   VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
}

static long do_unmap(struct rig *r, uint64_t page, uint64_t n)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg),
		.ioas_id = r->ioas,
		.iova = BASE + page * PG,
		.length = n * PG,
	};
	uint64_t size = n * PG;

	if (r->mode == CDEV)
		return call_ptr(r->fd, IOMMU_IOAS_UNMAP, &arg);
	return unmap(r->fd, BASE + page * PG, &size, 0);
}

static int pin(struct rig *r, unsigned int who, uint64_t page, unsigned int n)
{
	struct mdev *mdev = &r->mdevs[who - NR];
	int rc = vfio_pin_pages(&mdev->vdev, BASE + page * PG, n, RW, r->pages);

	for (unsigned int i = 0; rc > 0 && i < n; i++)
		mdev->pins[page + i]++;
	return rc;
}

static int unpin(struct rig *r, unsigned int who, uint64_t page, unsigned int n)
{
	struct mdev *mdev = &r->mdevs[who - NR];
	int rc = vfio_unpin_pages(&mdev->vdev, BASE + page * PG, n);

	for (unsigned int i = 0; !rc && i < n; i++)
		mdev->pins[page + i]--;
	return rc;
}

#define expect_charge(r, n) assert_int_equal(atomic_load(&(r)->mm->locked_pages), n)

/* ---- combinations. 2 and 3 are the mediated devices. */

static void mediated_only(struct rig *r)
{
	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(do_map(r, 0, 50), 0);
	assert_int_equal(do_map(r, 50, 50), 0);
	expect_charge(r, 0);
	assert_int_equal(pin(r, 2, 40, 20), 20);
	expect_charge(r, 20);
	assert_ptr_equal(r->pages[19].host, r->memory + 59 * PG);
	assert_int_equal(pin(r, 2, 40, 5), 5);
	expect_charge(r, 20);
	assert_int_equal(unpin(r, 2, 42, 10), 0); /* not what was pinned in one call */
	expect_charge(r, 13);
	assert_int_equal(unpin(r, 2, 44, 3), -EINVAL);
	expect_charge(r, 13);
	assert_int_equal(do_unmap(r, 0, 50), 0);
	assert_true(r->mdevs[0].told > 0);
	expect_charge(r, 8);
	assert_true(pin(r, 2, 48, 4) < 0);
	assert_int_equal(do_map(r, 0, 50), 0);
	expect_charge(r, 8);
	assert_int_equal(pin(r, 2, 0, 1), 1);
	expect_charge(r, 9);
	unplug(r, 2);
	expect_charge(r, 0);
}

static void one_each(struct rig *r)
{
	assert_int_equal(plug(r, 0), 0);
	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(do_map(r, 0, 100), 0);
	expect_charge(r, 100);
	assert_int_equal(pin(r, 2, 10, 30), 30);
	expect_charge(r, 100);
	assert_int_equal(do_map(r, 100, 101), -ENOMEM);
	expect_charge(r, 100);
	assert_int_equal(unpin(r, 2, 10, 30), 0);
	assert_int_equal(do_unmap(r, 0, 100), 0);
	expect_charge(r, 0);
	unplug(r, 2);
	unplug(r, 0);
}

static void hot_plug_mediated(struct rig *r)
{
	assert_int_equal(plug(r, 0), 0);
	assert_int_equal(do_map(r, 0, 100), 0);
	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(plug(r, 3), 0);
	assert_int_equal(pin(r, 2, 0, 10), 10);
	assert_int_equal(pin(r, 3, 5, 10), 10);
	assert_int_equal(unpin(r, 3, 0, 1), -EINVAL); /* the other one's */
	expect_charge(r, 100);
	r->mdevs[0].forgets = true;
	unplug(r, 2);
	expect_charge(r, 100);
	assert_int_equal(do_unmap(r, 0, 100), 0);
	expect_charge(r, 0);
	unplug(r, 3);
	unplug(r, 0);
}

static void hot_plug_backed(struct rig *r)
{
	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(do_map(r, 0, 100), 0);
	assert_int_equal(pin(r, 2, 10, 10), 10);
	assert_int_equal(pin(r, 2, 10, 5), 5);
	expect_charge(r, 10);
	assert_int_equal(plug(r, 0), 0);
	expect_charge(r, 100);
	assert_int_equal(plug(r, 1), 0);
	expect_charge(r, 100);
	assert_int_equal(pin(r, 2, 50, 5), 5);
	unplug(r, 0);
	expect_charge(r, 100);
	unplug(r, 1);
	expect_charge(r, 15);
	assert_int_equal(unpin(r, 2, 10, 10), 0);
	expect_charge(r, 10);
	assert_int_equal(do_unmap(r, 0, 100), 0);
	expect_charge(r, 0);
	unplug(r, 2);
}

/* What does not fit changes nothing. */
static void no_room(struct rig *r)
{
	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(do_map(r, 0, 250), 0);
	assert_int_equal(pin(r, 2, 0, 190), 190);
	assert_int_equal(pin(r, 2, 185, 20), -ENOMEM);
	expect_charge(r, 190);
	assert_int_equal(plug(r, 0), -ENOMEM);
	expect_charge(r, 190);
	assert_int_equal(unpin(r, 2, 0, 190), 0);
	expect_charge(r, 0);
	r->mdevs[0].forgets = true;
	assert_int_equal(pin(r, 2, 7, 3), 3);
	unplug(r, 2);
	expect_charge(r, 0);
}

static void arguments(struct rig *r)
{
	struct vfio_device *vdev = &r->mdevs[0].vdev;
	char word[8] = "abcdefg", back[8];

	assert_int_equal(vfio_pin_pages(vdev, BASE, 1, RW, r->pages), -EINVAL); /* not open */
	assert_int_equal(vfio_dma_rw(vdev, BASE, word, 8, true), -EINVAL);
	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(do_map(r, 0, 2), 0);
	assert_int_equal(vfio_pin_pages(vdev, BASE, 0, RW, r->pages), -EINVAL);
	assert_int_equal(vfio_pin_pages(vdev, BASE, 1, RW, NULL), -EINVAL);
	assert_int_equal(vfio_pin_pages(vdev, BASE, 513, RW, r->pages), -E2BIG);
	assert_int_equal(vfio_pin_pages(vdev, BASE, 512, RW, r->pages), r->mode == TYPE1 ? -EINVAL : -ENOENT);
	assert_int_equal(vfio_pin_pages(vdev, -PG, 2, RW, r->pages), -EOVERFLOW);
	assert_int_equal(vfio_unpin_pages(vdev, BASE, 513), -E2BIG);
	assert_int_equal(vfio_unpin_pages(vdev, BASE, 512), -EINVAL);
	assert_int_equal(vfio_unpin_pages(vdev, -PG, 2), -EOVERFLOW);
	assert_int_equal(vfio_pin_pages(vdev, BASE + 2 * PG, 1, RW, r->pages),
			 r->mode == TYPE1 ? -EINVAL : -ENOENT);
	assert_int_equal(vfio_dma_rw(vdev, BASE + PG - 4, word, 8, true), 0);
	assert_memory_equal(r->memory + PG - 4, word, 8);
	assert_int_equal(vfio_dma_rw(vdev, BASE + PG - 4, back, 8, false), 0);
	assert_memory_equal(back, word, 8);
	assert_int_equal(vfio_dma_rw(vdev, BASE + 2 * PG - 4, back, 8, false),
			 r->mode == TYPE1 ? -EINVAL : -ENOENT);
	unplug(r, 2);
}

/* What is printed while a driver keeps its pages. */
static long unmap_and_listen(struct rig *r, char *text, size_t len)
{
	int saved = dup(2), ends[2];
	ssize_t n;
	long rc;

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], 2);
	close(ends[1]);
	rc = do_unmap(r, 0, 10);
	dup2(saved, 2);
	close(saved);
	n = read(ends[0], text, len - 1);
	text[MAX(n, (ssize_t)0)] = '\0';
	close(ends[0]);
	return rc;
}

static void never_lets_go(struct rig *r)
{
	char text[512];

	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(do_map(r, 0, 10), 0);
	assert_int_equal(pin(r, 2, 3, 2), 2);
	r->mdevs[0].deaf = true;
	assert_int_equal(unmap_and_listen(r, text, sizeof(text)), r->mode == TYPE1 ? -EBUSY : -EDEADLOCK);
	assert_non_null(strstr(text, "mdev0 keeps pages of 0x1000000-0x1009fff pinned"));
	expect_charge(r, 2);
	assert_int_equal(vfio_unpin_pages(&r->mdevs[0].vdev, BASE + 3 * PG, 2), 0);
	memset(r->mdevs[0].pins, 0, sizeof(r->mdevs[0].pins));
	assert_int_equal(do_unmap(r, 0, 10), 0);
	expect_charge(r, 0);
	unplug(r, 2);
}

static void *unmap_ten(void *arg)
{
	struct rig *r = arg;

	return (void *)(intptr_t)do_unmap(r, 0, 10);
}

/* A driver is not closed while it is told of an unmap. */
static void close_when_told(struct rig *r)
{
	struct mdev *mdev = &r->mdevs[0];
	pthread_t thread;
	void *rc;

	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(plug(r, 3), 0); /* so that mappings stay */
	assert_int_equal(do_map(r, 0, 10), 0);
	assert_int_equal(pin(r, 2, 0, 1), 1);
	mdev->slow = true;
	pthread_create(&thread, NULL, unmap_ten, r);
	while (!mdev->in_call)
		usleep(100);
	unplug(r, 2);
	pthread_join(thread, &rc);
	assert_null(rc);
	expect_charge(r, 0);
	unplug(r, 3);
}

static void run(void (*script)(struct rig *r))
{
	for (unsigned int mode = 0; mode < NR_MODES; mode++) {
		struct rig *r = start(mode);

		script(r);
		stop(r);
	}
}

#define TEST(script)                                                                                         \
	static void test_##script(void **state)                                                              \
	{                                                                                                    \
		(void)state;                                                                                 \
		run(script);                                                                                 \
	}

TEST(mediated_only)
TEST(one_each)
TEST(hot_plug_mediated)
TEST(hot_plug_backed)
TEST(no_room)
TEST(arguments)
TEST(never_lets_go)
TEST(close_when_told)

/* A cdev detaches: what is pinned is let go, or taken away. */
static void test_detach(void **state)
{
	struct rig *r = start(CDEV);
	uint32_t other = ioas_alloc(r->fd);

	(void)state;
	assert_int_equal(plug(r, 2), 0);
	assert_int_equal(do_map(r, 0, 10), 0);
	assert_int_equal(pin(r, 2, 0, 10), 10);
	expect_charge(r, 10);
	assert_int_equal(attach(r->devices[2], other), 0);
	expect_charge(r, 0);
	assert_int_equal(pin(r, 2, 0, 1), -ENOENT);
	assert_int_equal(attach(r->devices[2], r->ioas), 0);
	assert_int_equal(pin(r, 2, 0, 1), 1);
	assert_int_equal(detach(r->devices[2]), 0);
	expect_charge(r, 0);
	assert_int_equal(pin(r, 2, 0, 1), -ENOENT);
	unplug(r, 2);
	stop(r);
}

/* In a child. Returns what is not so: the first pin gets the handler where it may be had, and not before. */
static int want_handler(enum mode mode)
{
	struct rig *r;

	mm_forked();
	r = start(mode);
	if (plug(r, 2) || do_map(r, 0, 10) || pin(r, 2, 0, 1) != 1 || fault_handler_installed())
		return 1;
	fault_handler_offer();
	if (fault_handler_installed() || pin(r, 2, 1, 1) != 1 || !fault_handler_installed())
		return 2;
	return pin(r, 2, 2, 1) != 1 || unpin(r, 2, 0, 3) ? 3 : 0;
}

static void test_fault_handler(void **state)
{
	(void)state;
	for (enum mode mode = 0; mode < NR_MODES; mode++) {
		pid_t pid = fork();
		int status;

		if (!pid)
			_exit(want_handler(mode));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mediated_only),
		cmocka_unit_test(test_one_each),
		cmocka_unit_test(test_hot_plug_mediated),
		cmocka_unit_test(test_hot_plug_backed),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_never_lets_go),
		cmocka_unit_test(test_close_when_told),
		cmocka_unit_test(test_detach),
		cmocka_unit_test(test_fault_handler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
