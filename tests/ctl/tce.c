/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program with sPAPR TCE containers, for `uvfio ctl tce`: it prints a line when something has changed, and
 * goes on when it is given one. Two groups, a container for each; a child of it registers memory, and is
 * killed. With a word it does no more than say that, beside an open container.
 */
#include "../intercept/client.h"

#include "uapi/vfio.h"

#include <signal.h>

#define PAGE 65536
#define HIGH ((uint64_t)1 << 59)
#define RW   (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

struct vfio {
	int container, group;
};

static char *memory;

static void say(const char *what)
{
	puts(what);
	fflush(stdout);
	CHECK(getchar() == '\n');
}

static struct vfio vfio_open(const char *node, unsigned long type)
{
	struct vfio v = { open("/dev/vfio/vfio", O_RDWR), open(node, O_RDWR) };

	CHECK(v.container >= 0 && v.group >= 0);
	CHECK(!ioctl(v.group, VFIO_GROUP_SET_CONTAINER, &v.container));
	CHECK(!ioctl(v.container, VFIO_SET_IOMMU, type));
	return v;
}

static void vfio_close(const struct vfio *v)
{
	CHECK(!close(v->group) && !close(v->container));
}

static int reg(int container, unsigned long cmd, uint64_t pages)
{
	struct vfio_iommu_spapr_register_memory arg = { sizeof(arg), 0, (uintptr_t)memory, pages * PAGE };

	return ioctl(container, cmd, &arg);
}

static int map(int container, uint64_t iova, uint64_t pages)
{
	struct vfio_iommu_type1_dma_map arg = { sizeof(arg), RW, (uintptr_t)memory, iova, pages * PAGE };

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &arg);
}

static int unmap(int container, uint64_t iova, uint64_t pages)
{
	struct vfio_iommu_type1_dma_unmap arg = { sizeof(arg), 0, iova, pages * PAGE };

	return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg);
}

static void version_2(int container)
{
	struct vfio_iommu_spapr_tce_create create = {
		.argsz = sizeof(create), .page_shift = 16, .window_size = 1 << 30, .levels = 2
	};
	struct vfio_iommu_spapr_tce_remove remove = { sizeof(remove), 0, 0 };
	struct vfio_iommu_spapr_register_memory small = { sizeof(small), 0,
							  (uintptr_t)memory + 17 * PAGE + 16384, 16384 };

	say("set");
	CHECK(!reg(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 16));
	CHECK(!ioctl(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &small));
	say("registered");
	CHECK(!ioctl(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, &small));
	CHECK(!ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove));
	CHECK(ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove) == -1 && errno == EINVAL);
	CHECK(!ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &create) && !create.start_addr);
	CHECK(!ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &create) && create.start_addr == HIGH);
	CHECK(ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &create) == -1 && errno == ENOSPC);
	CHECK(map(container, HIGH + PAGE, 17) == -1 && errno == EINVAL); /* not registered */
	CHECK(map(container, HIGH + 1, 1) == -1 && errno == EINVAL);
	CHECK(!map(container, HIGH + PAGE, 8) && !map(container, HIGH + 20 * PAGE, 1));
	CHECK(!unmap(container, HIGH + PAGE, 2));
	CHECK(reg(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 16) == -1 && errno == EBUSY);
	say("mapped");
	remove.start_addr = HIGH;
	CHECK(!ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove));
	CHECK(!reg(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 16));
	say("removed");
}

static void version_1(const char *node)
{
	struct vfio v = vfio_open(node, VFIO_SPAPR_TCE_IOMMU);

	CHECK(!ioctl(v.container, VFIO_IOMMU_ENABLE) && !map(v.container, 0, 1));
	say("enabled");
	vfio_close(&v);
}

/* The container is the killed process's; the other one, and its device, go on. */
static void killed(const char *node, const char *other)
{
	struct vfio v = vfio_open(node, VFIO_SPAPR_TCE_v2_IOMMU),
		    w = vfio_open(other, VFIO_SPAPR_TCE_v2_IOMMU);
	int ready[2];
	char byte;
	pid_t pid;

	CHECK(!pipe(ready));
	pid = fork();
	if (!pid) {
		CHECK(!reg(v.container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 4) && !map(v.container, 0, 4));
		CHECK(write(ready[1], "", 1) == 1);
		for (;;)
			pause();
	}
	CHECK(read(ready[0], &byte, 1) == 1);
	CHECK(map(v.container, 0, 1) == -1 && errno == EPERM);
	CHECK(!reg(w.container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 2));
	say("in a child");
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	CHECK(map(v.container, 0, 1) == -1 && errno == EPERM);
	CHECK(!map(w.container, 0, 2));
	say("without it");
	vfio_close(&v);
	CHECK(!unmap(w.container, 0, 1) && !map(w.container, PAGE, 1));
	say("given back");
	vfio_close(&w);
	v = vfio_open(node, VFIO_SPAPR_TCE_v2_IOMMU);
	CHECK(!reg(v.container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 4) && !map(v.container, 0, 4));
	say("its own");
	vfio_close(&v);
}

/* Two containers use the same memory: it is charged once, to whoever is left. */
static void shared(void)
{
	struct vfio v = vfio_open("/dev/vfio/1", VFIO_SPAPR_TCE_v2_IOMMU),
		    w = vfio_open("/dev/vfio/2", VFIO_SPAPR_TCE_v2_IOMMU);

	CHECK(!reg(v.container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 4));
	CHECK(!reg(w.container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 4));
	say("shared");
	vfio_close(&v);
	say("left");
	vfio_close(&w);
}

int main(int argc, char **argv)
{
	struct vfio v;

	if (argc > 1) {
		CHECK(open("/dev/vfio/vfio", O_RDWR) >= 0);
		say(argv[1]);
		return 0;
	}
	memory = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	memory += -(uintptr_t)memory % PAGE;
	v = vfio_open("/dev/vfio/1", VFIO_SPAPR_TCE_v2_IOMMU);
	version_2(v.container);
	vfio_close(&v);
	version_1("/dev/vfio/1");
	killed("/dev/vfio/1", "/dev/vfio/2");
	shared();
	return 0;
}
