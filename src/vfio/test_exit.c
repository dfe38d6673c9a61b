/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process whose memory is mapped exits, at every stage of its mappings' life: killed, so that its memory
 * goes first. The container and the IOMMUFD work on for the rest, a device's access to what is gone is a
 * fault, and in the end every charge has come back. The memory is mapped by the library's calls, as a program
 * does that serves others.
 */
#include "vfio/test_util.h"

#include "file/fdtable.h"
#include "iommu/dma_fault.h"
#include "iommufd/iommufd.h"
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

#define PG     UVFIO_PAGE_SIZE
#define OWN    ((uint64_t)0x1000000) /* IOVAs of this process's memory, and of the other one's */
#define OTHER  ((uint64_t)0x2000000)
#define PAGES  8u
#define PINNED 3u
#define RW     (IOMMU_READ | IOMMU_WRITE)

enum mode { TYPE1, COMPAT, CDEV, NR_MODES };

/* The child is killed before the step. NEVER: it lives on. */
enum stage { MAP, PLUG, USE, PLUG_MDEV, PIN, COPY, UNPLUG, UNMAP, CLOSE, NEVER };

struct rig {
	struct bench *b;
	enum mode mode;
	struct uvfio_dma *dma;
	struct vfio_device mdev;
	bool pinned[2]; /* own pages, the other's */
	int fd;         /* the container, or the IOMMUFD */
	uint32_t ioas;
	int groups[2], devices[2];
	char *memory;
	pid_t child;
	bool dead;
	struct uvfio_memory *memory_of_child;
	struct mm *self, *other;
};

/* ---- the mediated device: it pins PINNED pages of each */

static struct rig *rig_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct rig, mdev);
}

static void let_go(struct rig *r, unsigned int which)
{
	if (r->pinned[which])
		assert_int_equal(vfio_unpin_pages(&r->mdev, which ? OTHER : OWN, PINNED), 0);
	r->pinned[which] = false;
}

static int mdev_open(struct vfio_device *vdev)
{
	memset(rig_of(vdev)->pinned, 0, sizeof(rig_of(vdev)->pinned));
	return 0;
}

/* With its pins, which the framework finds. */
static void mdev_close(struct vfio_device *vdev)
{
	(void)vdev;
}

static void mdev_dma_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	struct rig *r = rig_of(vdev);

	if (OWN >= iova && OWN - iova < length)
		let_go(r, 0);
	if (OTHER >= iova && OTHER - iova < length)
		let_go(r, 1);
}

static const struct vfio_device_ops mdev_ops = {
	.name = "mdev",
	.open_device = mdev_open,
	.close_device = mdev_close,
	.dma_unmap = mdev_dma_unmap,
};

/* ---- the child */

static void start_child(struct rig *r)
{
	int ready[2], pidfd;
	char c;

	assert_int_equal(pipe(ready), 0);
	r->child = fork();
	if (!r->child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(r->memory, 'c', PAGES * PG); /* its own copy */
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	pidfd = (int)syscall(SYS_pidfd_open, r->child, 0);
	assert_int_equal(uvfio_memory_of_process(pidfd, &r->memory_of_child), 0);
	close(pidfd);
	r->other = (struct mm *)r->memory_of_child;
	r->dead = false;
}

static void kill_child(struct rig *r)
{
	kill(r->child, SIGKILL);
	assert_int_equal(waitpid(r->child, NULL, 0), r->child);
	r->dead = true;
}

/* ---- */

static void start(struct rig *r, enum mode mode)
{
	struct file *file;
	void *state;

	*r = (struct rig){ .mode = mode, .groups = { -1, -1 }, .devices = { -1, -1 } };
	r->memory = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(r->memory, 'o', PAGES * PG);
	start_child(r);
	bench_setup(&state);
	r->b = state;
	r->b->params.memlock_pages = 1000;
	r->mdev.ops = &mdev_ops;
	snprintf(r->mdev.name, sizeof(r->mdev.name), "mdev");
	assert_int_equal(vfio_register_emulated_iommu_dev(r->b->vfio, &r->mdev, 20, VFIO_ANY_INDEX), 0);
	atomic_store(&r->b->fake[0].iommu_dev.enabled, true);
	r->dma = dma_user_new(&r->b->fake[0].iommu_dev, NULL);
	r->self = mm_self();
	if (mode == COMPAT) {
		assert_int_equal(iommufd_open(&r->b->params, true, O_RDWR, &file), 0);
		r->fd = fdtable_install(file, O_CLOEXEC);
	} else if (mode == CDEV) {
		r->fd = open_iommufd(r->b);
		r->ioas = ioas_alloc(r->fd);
	} else {
		r->fd = open_container(r->b);
	}
}

static void stop(struct rig *r)
{
	void *state = r->b;

	if (!r->dead)
		kill_child(r);
	assert_int_equal(r->self->locked_pages + r->self->pinned_pages, 0);
	assert_int_equal(r->other->locked_pages + r->other->pinned_pages, 0);
	assert_int_equal(r->other->refs, 1);
	uvfio_memory_put(r->memory_of_child);
	dma_user_free(r->dma);
	vfio_unregister_device(&r->mdev);
	bench_teardown(&state);
	mm_put(r->self);
	munmap(r->memory, PAGES * PG);
}

static void expect_charge(struct rig *r, uint64_t own, uint64_t other)
{
	assert_int_equal(r->self->locked_pages, own);
	assert_int_equal(r->other->locked_pages, other);
}

/* ---- steps */

static struct vfio_device *vdev_of(struct rig *r, unsigned int i)
{
	return i ? &r->mdev : &r->b->fake[0].vdev;
}

static int plug_by_group(struct rig *r, unsigned int i)
{
	int rc;

	r->groups[i] = open_group(r->b, vfio_group_id(vdev_of(r, i)->group));
	rc = (int)call_ptr(r->groups[i], VFIO_GROUP_SET_CONTAINER, &r->fd);
	if (!rc && (r->mode == TYPE1 ? !i : true))
		(void)call(r->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	return rc ? rc : get_device(r->groups[i], vdev_of(r, i)->name);
}

/* 0 has an IOMMU, 1 is the mediated one. */
static int plug(struct rig *r, unsigned int i)
{
	int fd = -1, rc;

	if (r->mode != CDEV) {
		r->devices[i] = plug_by_group(r, i);
		if (r->devices[i] < 0)
			close_fd(r->groups[i]);
		return MIN(r->devices[i], 0);
	}
	fd = open_index(r->b, vdev_of(r, i)->index);
	assert_int_equal(bind_to(fd, r->fd), 0);
	rc = (int)attach(fd, r->ioas);
	if (rc)
		close_fd(fd);
	r->devices[i] = rc ? -1 : fd;
	return rc;
}

static void unplug(struct rig *r, unsigned int i)
{
	if (r->devices[i] < 0)
		return;
	close_fd(r->devices[i]);
	if (r->mode != CDEV)
		close_fd(r->groups[i]);
	r->devices[i] = -1;
}

static long do_map(struct rig *r, struct uvfio_memory *memory, uint64_t iova)
{
	struct iommu_ioas_map in_ioas = {
		.size = sizeof(in_ioas),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = r->ioas,
		.user_va = (uintptr_t)r->memory,
		.length = PAGES * PG,
		.iova = iova,
	};
	struct vfio_iommu_type1_dma_map in_container = {
		.argsz = sizeof(in_container),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)r->memory,
		.size = PAGES * PG,
		.iova = iova,
	};

	if (r->mode == CDEV)
		return uvfio_map(memory, r->fd, IOMMU_IOAS_MAP, &in_ioas);
	return uvfio_map(memory, r->fd, VFIO_IOMMU_MAP_DMA, &in_container);
}

static long do_unmap(struct rig *r, uint64_t iova)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = r->ioas, .iova = iova, .length = PAGES * PG
	};
	uint64_t size = PAGES * PG;
	long rc;

	if (r->mode == CDEV)
		return call_ptr(r->fd, IOMMU_IOAS_UNMAP, &arg);
	rc = unmap(r->fd, iova, &size, 0);
	return rc ? rc : size == PAGES * PG ? 0 : -ENOENT;
}

/* The device reads; what it cannot read is a fault. */
static void use(struct rig *r, bool mapped)
{
	uint64_t faults = r->b->fake[0].iommu_dev.faults;
	char byte = 0;

	assert_int_equal(dma_read(r->dma, OWN + 5, &byte, 1, "test"), 0);
	assert_int_equal(byte, 'o');
	if (!mapped)
		return;
	assert_int_equal(dma_read(r->dma, OTHER + PG + 5, &byte, 1, "test"), r->dead ? -EFAULT : 0);
	assert_int_equal(byte, r->dead ? 'o' : 'c');
	assert_int_equal(r->b->fake[0].iommu_dev.faults - faults, r->dead);
}

static bool do_pin(struct rig *r, unsigned int which)
{
	struct mm_page pages[PINNED];
	int rc = vfio_pin_pages(&r->mdev, which ? OTHER : OWN, PINNED, RW, pages);

	r->pinned[which] = rc > 0;
	if (rc > 0) {
		assert_ptr_equal(pages->mm, which ? r->other : r->self);
		assert_ptr_equal(pages->host, which ? NULL : r->memory);
	}
	return rc > 0;
}

static void copy(struct rig *r, bool mapped)
{
	int gone = r->mode == TYPE1 ? -EPERM : -EFAULT; /* as in the kernel */
	struct dma_fault fault = { .kind = DMA_NO_DOMAIN };
	char byte = 0;

	assert_int_equal(vfio_dma_rw(&r->mdev, OWN + 5, &byte, 1, false), 0);
	assert_int_equal(byte, 'o');
	if (!mapped)
		return;
	assert_int_equal(vfio_dma_rw(&r->mdev, OTHER + 5, &byte, 1, false), r->dead ? gone : 0);
	assert_int_equal(byte, r->dead ? 'o' : 'c');
	if (!r->dead)
		return;
	assert_true(dma_fault_noted(gone, &fault));
	assert_int_equal(fault.kind, DMA_EXITED);
	assert_int_equal(fault.at, OTHER + 5);
}

/* Type 1 cannot be set before there is a group: there the device is plugged in first. */
static bool map_and_plug(struct rig *r, enum stage kill_at)
{
	bool mapped;

	if (r->mode != CDEV)
		assert_int_equal(plug(r, 0), 0);
	if (kill_at == MAP)
		kill_child(r);
	assert_int_equal(do_map(r, (struct uvfio_memory *)r->self, OWN), 0);
	mapped = !do_map(r, r->memory_of_child, OTHER);
	assert_int_equal(mapped, r->mode == CDEV || !r->dead);
	if (kill_at == PLUG)
		kill_child(r);
	if (r->mode != CDEV)
		return mapped;
	if (r->dead) { /* what cannot be pinned keeps the device out */
		assert_int_equal(plug(r, 0), -EFAULT);
		expect_charge(r, 0, 0);
		assert_int_equal(do_unmap(r, OTHER), 0);
		mapped = false;
	}
	assert_int_equal(plug(r, 0), 0);
	return mapped;
}

static void at(struct rig *r, enum stage stage, enum stage kill_at)
{
	if (stage == kill_at)
		kill_child(r);
}

static void live(struct rig *r, enum stage kill_at)
{
	bool mapped = map_and_plug(r, kill_at), pinned;

	expect_charge(r, PAGES, mapped ? PAGES : 0);
	at(r, USE, kill_at);
	use(r, mapped);
	at(r, PLUG_MDEV, kill_at);
	assert_int_equal(plug(r, 1), 0);
	at(r, PIN, kill_at);
	assert_true(do_pin(r, 0));
	pinned = do_pin(r, 1);
	/* A container looks for each page that is pinned first; in an IOAS it is pinned by the domain. */
	assert_int_equal(pinned, mapped && (r->mode != TYPE1 || !r->dead));
	expect_charge(r, PAGES, mapped ? PAGES : 0);
	at(r, COPY, kill_at);
	copy(r, mapped);
	use(r, mapped);
	at(r, UNPLUG, kill_at);
	unplug(r, 0);
	expect_charge(r, PINNED, pinned ? PINNED : 0);
	copy(r, mapped);
	at(r, UNMAP, kill_at);
	assert_int_equal(do_unmap(r, OTHER), mapped ? 0 : -ENOENT);
	expect_charge(r, PINNED, 0);
	at(r, CLOSE, kill_at);
	copy(r, false);
	assert_int_equal(do_unmap(r, OWN), 0);
	expect_charge(r, 0, 0);
}

static void test_unmapped(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode < NR_MODES; mode++)
		for (unsigned int stage = MAP; stage <= NEVER; stage++) {
			struct rig r;

			start(&r, mode);
			live(&r, stage);
			unplug(&r, 1);
			close_fd(r.fd);
			stop(&r);
		}
}

/* Nothing is unmapped and nothing unpinned: closing does it. */
static void test_closed(void **state)
{
	(void)state;
	for (unsigned int mode = 0; mode < NR_MODES; mode++)
		for (unsigned int stage = USE; stage <= NEVER; stage++) {
			struct rig r;

			start(&r, mode);
			assert_true(map_and_plug(&r, stage));
			at(&r, USE, stage);
			assert_int_equal(plug(&r, 1), 0);
			at(&r, PLUG_MDEV, stage);
			do_pin(&r, 0);
			do_pin(&r, 1);
			at(&r, PIN, stage);
			if (stage % 2)
				unplug(&r, 0);
			at(&r, UNPLUG, stage);
			unplug(&r, 1);
			at(&r, UNMAP, stage);
			unplug(&r, 0);
			close_fd(r.fd);
			stop(&r);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unmapped),
		cmocka_unit_test(test_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
