/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mappings that move to another address space while devices use them: a container's by their virtual
 * addresses, an IOMMUFD's by IOMMU_IOAS_CHANGE_PROCESS. The charge moves with them, or all stays as it was.
 * The old process may have exited, at any time.
 */
#include "vfio/test_util.h"

#include "uapi/iommufd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uvfio/machine.h>

#define PG    UVFIO_PAGE_SIZE
#define IOVA  ((uint64_t)0x1000000)
#define PAGES 8u
#define LIMIT 10u

struct rig {
	struct bench *b;
	struct vfio_device mdev;
	int fd, group, device; /* container or IOMMUFD; the backed device */
	int file;              /* a memfd, which is memory, too */
	char *memory;
	struct uvfio_dma *dma;
	pid_t child;
	struct uvfio_memory *others, *files;
	struct mm *self, *other;
};

static void no_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	(void)vdev;
	(void)iova;
	(void)length;
}

static int mdev_open(struct vfio_device *vdev)
{
	(void)vdev;
	return 0;
}

static void mdev_close(struct vfio_device *vdev)
{
	(void)vdev;
}

static const struct vfio_device_ops mdev_ops = {
	.name = "mdev",
	.open_device = mdev_open,
	.close_device = mdev_close,
	.dma_unmap = no_unmap,
};

static void start_child(struct rig *r)
{
	int pidfd;

	r->child = fork();
	if (!r->child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	pidfd = (int)syscall(SYS_pidfd_open, r->child, 0);
	assert_int_equal(uvfio_memory_of_process(pidfd, &r->others), 0);
	close(pidfd);
	r->other = (struct mm *)r->others;
}

static void kill_child(struct rig *r)
{
	kill(r->child, SIGKILL);
	assert_int_equal(waitpid(r->child, NULL, 0), r->child);
	r->child = 0;
}

static int start(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	void *bench;

	r->file = memfd_create("memory", 0);
	assert_int_equal(ftruncate(r->file, PAGES * PG), 0);
	r->memory = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, MAP_SHARED, r->file, 0);
	strcpy(r->memory, "shared");
	start_child(r);
	bench_setup(&bench);
	r->b = bench;
	r->b->params.memlock_pages = LIMIT;
	r->mdev.ops = &mdev_ops;
	snprintf(r->mdev.name, sizeof(r->mdev.name), "mdev");
	assert_int_equal(vfio_register_emulated_iommu_dev(r->b->vfio, &r->mdev, 20, VFIO_ANY_INDEX), 0);
	atomic_store(&r->b->fake[0].iommu_dev.enabled, true);
	r->dma = dma_user_new(&r->b->fake[0].iommu_dev, NULL);
	r->self = mm_self();
	assert_int_equal(uvfio_memory_of_file(r->file, &r->files), 0);
	*state = r;
	return 0;
}

static int stop(void **state)
{
	struct rig *r = *state;
	void *bench = r->b;

	if (r->child)
		kill_child(r);
	assert_int_equal(r->self->locked_pages + r->self->pinned_pages, 0);
	assert_int_equal(r->other->locked_pages + r->other->pinned_pages, 0);
	assert_int_equal(r->other->refs, 1);
	assert_int_equal(((struct mm *)r->files)->refs, 1);
	uvfio_memory_put(r->others);
	uvfio_memory_put(r->files);
	dma_user_free(r->dma);
	vfio_unregister_device(&r->mdev);
	bench_teardown(&bench);
	mm_put(r->self);
	munmap(r->memory, PAGES * PG);
	close(r->file);
	free(r);
	return 0;
}

static void expect_charge(const struct rig *r, uint64_t own, uint64_t other)
{
	assert_int_equal(r->self->locked_pages, own);
	assert_int_equal(r->other->locked_pages, other);
}

static void expect_dma(struct rig *r)
{
	char back[8];

	assert_int_equal(dma_read(r->dma, IOVA, back, 8, "test"), 0);
	assert_string_equal(back, "shared");
}

/* ---- a container */

static long map_at(struct rig *r, struct uvfio_memory *memory, uint64_t iova, uint64_t vaddr, uint64_t n,
		   uint32_t flags)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg), .flags = flags, .vaddr = vaddr, .size = n * PG, .iova = iova
	};

	return uvfio_map(memory, r->fd, VFIO_IOMMU_MAP_DMA, &arg);
}

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static void open_backed(struct rig *r)
{
	open_all(r->b, 1, VFIO_TYPE1v2_IOMMU, &r->fd, &r->group);
	r->device = get_device(r->group, NAME_A);
	assert_int_equal(map_at(r, r->others, IOVA, (uintptr_t)r->memory, PAGES, RW), 0);
	expect_charge(r, 0, PAGES);
	expect_dma(r);
}

static void close_backed(struct rig *r)
{
	close_fd(r->device);
	close_fd(r->group);
	close_fd(r->fd);
}

static long invalidate(struct rig *r)
{
	uint64_t size = 0;

	return unmap(r->fd, 0, &size, VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR);
}

/* The old process exits before its addresses become invalid, afterwards, or not before it is replaced. */
static void test_vaddr(void **state)
{
	struct rig *r = *state;

	for (unsigned int when = 0; when < 3; when++) {
		open_backed(r);
		if (when == 0)
			kill_child(r);
		assert_int_equal(invalidate(r), 0);
		if (when == 1)
			kill_child(r);
		expect_charge(r, 0, PAGES);
		assert_int_equal(map_at(r, (struct uvfio_memory *)r->self, IOVA, (uintptr_t)r->memory, PAGES,
					VFIO_DMA_MAP_FLAG_VADDR),
				 0);
		expect_charge(r, PAGES, 0);
		if (when == 2)
			kill_child(r);
		expect_dma(r);
		close_backed(r);
		assert_int_equal(r->other->refs, 1);
		uvfio_memory_put(r->others);
		start_child(r);
	}
}

static void test_vaddr_of_a_file(void **state)
{
	struct rig *r = *state;
	uint64_t size = PAGES * PG;

	open_backed(r);
	assert_int_equal(invalidate(r), 0);
	assert_int_equal(map_at(r, r->files, IOVA, 0, PAGES, VFIO_DMA_MAP_FLAG_VADDR), 0);
	expect_charge(r, PAGES, 0); /* a file's are this process's */
	kill_child(r);
	expect_dma(r);
	assert_int_equal(ftruncate(r->file, PG), 0);
	expect_dma(r);
	assert_int_equal(dma_read(r->dma, IOVA + PG, (char[1]){ 0 }, 1, "test"), -EFAULT);
	assert_int_equal(unmap(r->fd, IOVA, &size, 0), 0);
	expect_charge(r, 0, 0);
	assert_int_equal(map_at(r, r->files, IOVA, 0, 2, RW), -EFAULT);
	assert_int_equal(map_at(r, r->files, IOVA, 0, 1, RW), 0);
	expect_charge(r, 1, 0);
	close_backed(r);
}

/* Who takes over cannot be charged: the mapping stays as it is. */
static void test_vaddr_over_limit(void **state)
{
	struct uvfio_memory *self;
	struct rig *r = *state;
	uint64_t size = 4 * PG;

	open_backed(r);
	self = (struct uvfio_memory *)r->self;
	assert_int_equal(map_at(r, self, 0x100000, (uintptr_t)r->memory, 4, RW), 0);
	assert_int_equal(invalidate(r), 0);
	assert_int_equal(map_at(r, self, IOVA, (uintptr_t)r->memory, PAGES, VFIO_DMA_MAP_FLAG_VADDR),
			 -ENOMEM);
	expect_charge(r, 4, PAGES);
	assert_int_equal(unmap(r->fd, 0x100000, &size, 0), 0);
	expect_charge(r, 0, PAGES);
	assert_int_equal(map_at(r, self, IOVA, (uintptr_t)r->memory, PAGES, VFIO_DMA_MAP_FLAG_VADDR), 0);
	expect_charge(r, PAGES, 0);
	close_backed(r);
}

/* From a process to its file: it is the same that is charged, and no limit is in the way. */
static void test_vaddr_same_payer(void **state)
{
	struct rig *r = *state;

	open_all(r->b, 1, VFIO_TYPE1v2_IOMMU, &r->fd, &r->group);
	r->device = get_device(r->group, NAME_A);
	assert_int_equal(map_at(r, (struct uvfio_memory *)r->self, IOVA, (uintptr_t)r->memory, PAGES, RW), 0);
	assert_int_equal(invalidate(r), 0);
	assert_int_equal(map_at(r, r->files, IOVA, 0, PAGES, VFIO_DMA_MAP_FLAG_VADDR), 0);
	expect_charge(r, PAGES, 0);
	assert_int_equal(((struct mm *)r->files)->refs, 2);
	expect_dma(r);
	close_backed(r);
}

/* Drivers that pin need the addresses: the two exclude each other. */
static void test_vaddr_and_mediated(void **state)
{
	int group, device;
	struct rig *r = *state;

	open_backed(r);
	group = open_group(r->b, 20);
	assert_int_equal(invalidate(r), 0);
	assert_int_equal(call_ptr(group, VFIO_GROUP_SET_CONTAINER, &r->fd), -EBUSY);
	assert_int_equal(map_at(r, r->others, IOVA, (uintptr_t)r->memory, PAGES, VFIO_DMA_MAP_FLAG_VADDR), 0);
	assert_int_equal(call_ptr(group, VFIO_GROUP_SET_CONTAINER, &r->fd), 0);
	device = get_device(group, "mdev");
	assert_int_equal(invalidate(r), -EBUSY);
	expect_charge(r, 0, PAGES);
	close_fd(device);
	close_fd(group);
	assert_int_equal(invalidate(r), 0);
	close_backed(r);
}

/* ---- an IOMMUFD */

static long map_file(struct rig *r, struct uvfio_memory *memory, uint32_t ioas)
{
	struct iommu_ioas_map_file arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = ioas,
		.fd = r->file,
		.length = PAGES * PG,
		.iova = IOVA,
	};

	return uvfio_map(memory, r->fd, IOMMU_IOAS_MAP_FILE, &arg);
}

static long take_over(struct rig *r, struct uvfio_memory *memory)
{
	struct iommu_ioas_change_process arg = { .size = sizeof(arg) };

	return uvfio_map(memory, r->fd, IOMMU_IOAS_CHANGE_PROCESS, &arg);
}

static void test_change_process(void **state)
{
	struct uvfio_memory *self;
	struct mm_page pages[4];
	struct rig *r = *state;
	uint32_t ioas;
	int mdev, backed;

	self = (struct uvfio_memory *)r->self;
	r->fd = open_iommufd(r->b);
	ioas = ioas_alloc(r->fd);
	assert_int_equal(map_file(r, r->others, ioas), 0);
	mdev = open_index(r->b, r->mdev.index);
	assert_int_equal(bind_to(mdev, r->fd), 0);
	assert_int_equal(attach(mdev, ioas), 0);
	assert_int_equal(vfio_pin_pages(&r->mdev, IOVA, 3, IOMMU_READ, pages), 3);
	expect_charge(r, 0, 3);
	assert_int_equal(take_over(r, self), 0);
	expect_charge(r, 3, 0);
	assert_int_equal(vfio_pin_pages(&r->mdev, IOVA + 2 * PG, 2, IOMMU_READ, pages), 2);
	expect_charge(r, 4, 0); /* one of them was pinned */
	assert_int_equal(take_over(r, r->others), 0);
	expect_charge(r, 0, 4);
	kill_child(r);
	backed = open_cdev(r->b, 0);
	assert_int_equal(bind_to(backed, r->fd), 0);
	assert_int_equal(attach(backed, ioas), 0); /* a file is there, whoever is charged */
	expect_charge(r, 0, PAGES);
	expect_dma(r);
	assert_int_equal(mm_charge(r->self, LIMIT - PAGES + 1, LIMIT), 0);
	assert_int_equal(take_over(r, self), -ENOMEM);
	expect_charge(r, LIMIT - PAGES + 1, PAGES);
	mm_uncharge(r->self, LIMIT - PAGES + 1);
	assert_int_equal(take_over(r, self), 0);
	expect_charge(r, PAGES, 0);
	assert_int_equal(take_over(r, r->files), 0); /* a file's are this process's */
	expect_charge(r, PAGES, 0);
	close_fd(backed);
	expect_charge(r, 4, 0);
	assert_int_equal(vfio_unpin_pages(&r->mdev, IOVA, 4), 0);
	expect_charge(r, 1, 0); /* pinned twice */
	close_fd(mdev);
	expect_charge(r, 0, 0);
	close_fd(r->fd);
}

static void test_arguments(void **state)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct rig *r = *state;

	r->fd = open_iommufd(r->b);
	assert_int_equal(uvfio_map(r->others, r->fd, IOMMU_IOAS_ALLOC, &alloc), -EINVAL);
	assert_int_equal(uvfio_map(r->others, r->file, VFIO_IOMMU_MAP_DMA, NULL), -EBADF);
	assert_int_equal(uvfio_map(r->others, r->fd, IOMMU_IOAS_CHANGE_PROCESS, NULL), -EFAULT);
	assert_int_equal(uvfio_memory_of_process(-1, &(struct uvfio_memory *){ NULL }), -EBADF);
	assert_int_equal(uvfio_memory_of_file(-1, &(struct uvfio_memory *){ NULL }), -EBADF);
	uvfio_memory_put(NULL);
	close_fd(r->fd);
}

#define T(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_vaddr),
		T(test_vaddr_of_a_file),
		T(test_vaddr_over_limit),
		T(test_vaddr_same_payer),
		T(test_vaddr_and_mediated),
		T(test_change_process),
		T(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
