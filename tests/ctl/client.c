/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plain VFIO program that can part with its device. It prints what happens, a line each.
 *   client orderly BDF    open the device; when it is asked to let go (REQ), close everything
 *   client surprise BDF   open the device, map its BAR; when it has an error (ERR), see what is left of it
 *   client error BDF      open the device; when it has an error, read its vendor id
 *   client late BDF       wait for a line on standard input, then open the device
 *   client forked BDF     the same in the child of a fork, which opens a node before
 *   client orphan BDF     the same in a child that has asked its parent for something and lost it
 * With -cdev behind the first word the device is opened by its own node.
 */
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct vfio {
	bool cdev;
	int container, group, device; /* with cdev: the IOMMUFD, -1, the device */
	int err, req;                 /* eventfds */
	volatile uint32_t *bar;
	volatile uint32_t *plain; /* a page of it that is memory */
};

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

static int fail(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	return 1;
}

static int open_group(const char *bdf)
{
	char path[128], target[256], node[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -1;
	target[n] = 0;
	snprintf(node, sizeof(node), "/dev/vfio/%s", strrchr(target, '/') + 1);
	return open(node, O_RDWR);
}

static int set_eventfd(struct vfio *v, unsigned int index, int *fd)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	struct vfio_irq_set *set = (void *)buf;

	*fd = eventfd(0, EFD_CLOEXEC);
	*set = (struct vfio_irq_set){ .argsz = sizeof(buf),
				      .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				      .index = index,
				      .count = 1 };
	memcpy(set->data, fd, sizeof(int32_t));
	return ioctl(v->device, VFIO_DEVICE_SET_IRQS, set);
}

static uint64_t region(const struct vfio *v, unsigned int index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	return ioctl(v->device, VFIO_DEVICE_GET_REGION_INFO, &info) ? 0 : info.offset;
}

static int enable(const struct vfio *v)
{
	uint16_t command = 6; /* memory, bus master */

	return pwrite(v->device, &command, 2, (off_t)region(v, VFIO_PCI_CONFIG_REGION_INDEX) + 4) == 2 ? 0
												       : -1;
}

static void *memory(void)
{
	return mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int open_node(const char *bdf)
{
	char path[128], node[320] = "/dev/vfio/devices/none";
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (*entry->d_name != '.')
			snprintf(node, sizeof(node), "/dev/vfio/devices/%s", entry->d_name);
	if (dir)
		closedir(dir);
	return open(node, O_RDWR);
}

static int open_cdev(struct vfio *v, const char *bdf)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = 12 };
	struct iommu_ioas_map map = { .size = sizeof(map),
				      .flags = 7,
				      .user_va = (uintptr_t)memory(),
				      .length = 8192,
				      .iova = 0x100000 };
	uint32_t bind[4] = { sizeof(bind) };

	v->group = -1;
	v->container = open("/dev/iommu", O_RDWR);
	v->device = open_node(bdf);
	bind[2] = (uint32_t)v->container;
	if (v->container < 0 || v->device < 0 || ioctl(v->device, VFIO_DEVICE_BIND_IOMMUFD, bind))
		return fail("bind");
	if (ioctl(v->container, IOMMU_IOAS_ALLOC, &alloc))
		return fail("IOAS");
	map.ioas_id = attach.pt_id = alloc.out_ioas_id;
	if (ioctl(v->container, IOMMU_IOAS_MAP, &map) ||
	    ioctl(v->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return fail("map");
	return 0;
}

static int open_by_group(struct vfio *v, const char *bdf)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.iova = 0x100000,
						.size = 8192 };

	v->container = open("/dev/vfio/vfio", O_RDWR);
	v->group = open_group(bdf);
	if (v->container < 0 || v->group < 0)
		return fail("open");
	if (ioctl(v->group, VFIO_GROUP_SET_CONTAINER, &v->container) ||
	    ioctl(v->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return fail("container");
	map.vaddr = (uintptr_t)memory();
	if (ioctl(v->container, VFIO_IOMMU_MAP_DMA, &map))
		return fail("map");
	v->device = ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	return v->device < 0 ? fail("device") : 0;
}

static int open_all(struct vfio *v, const char *bdf)
{
	if (v->cdev ? open_cdev(v, bdf) : open_by_group(v, bdf))
		return 1;
	if (enable(v) || set_eventfd(v, VFIO_PCI_ERR_IRQ_INDEX, &v->err) ||
	    set_eventfd(v, VFIO_PCI_REQ_IRQ_INDEX, &v->req))
		return fail("enable");
	return 0;
}

static void close_all(struct vfio *v)
{
	close(v->device);
	close(v->group);
	close(v->container);
}

/* The first of the two events. */
static const char *wait_event(const struct vfio *v)
{
	struct pollfd polls[2] = { { .fd = v->err, .events = POLLIN }, { .fd = v->req, .events = POLLIN } };

	while (poll(polls, 2, -1) < 0)
		continue;
	return polls[0].revents ? "ERR" : "REQ";
}

static int orderly(struct vfio *v)
{
	say(wait_event(v));
	close_all(v);
	say("closed");
	getchar(); /* the session goes on without the device */
	return 0;
}

static int map_bar(struct vfio *v)
{
	void *bar = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED, v->device,
			 (off_t)region(v, VFIO_PCI_BAR0_REGION_INDEX));

	if (bar == MAP_FAILED)
		return fail("mmap");
	v->bar = bar;
	return 0;
}

static int surprise(struct vfio *v, const char *bdf)
{
	uint32_t config = 0, bar = 0;
	int again;

	say(wait_event(v));
	printf("mapped %x\n", v->bar[0]);
	printf("page %x\n", v->bar[0x2000 / 4]);
	v->bar[5] = 1; /* goes nowhere */
	if (pread(v->device, &config, 4, (off_t)region(v, VFIO_PCI_CONFIG_REGION_INDEX)) != 4 ||
	    pread(v->device, &bar, 4, (off_t)region(v, VFIO_PCI_BAR0_REGION_INDEX)) != 4)
		return fail("pread");
	printf("config %x bar %x\n", config, bar);
	printf("reset %d\n", ioctl(v->device, VFIO_DEVICE_RESET));
	again = v->cdev ? open_node(bdf) : ioctl(v->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	printf("again %s\n", again < 0 ? strerror(errno) : "open");
	munmap((void *)(uintptr_t)v->bar, 0x4000);
	close_all(v);
	say("closed");
	getchar();
	return 0;
}

static int error(const struct vfio *v)
{
	uint16_t vendor = 0;

	say(wait_event(v));
	if (pread(v->device, &vendor, 2, (off_t)region(v, VFIO_PCI_CONFIG_REGION_INDEX)) != 2)
		return fail("pread");
	printf("vendor %s\n", vendor && vendor != 0xffff ? "there" : "lost");
	return 0;
}

static int late(struct vfio *v, const char *bdf)
{
	/* The machine is made now, not when the device is opened. */
	close(open("/dev/vfio/vfio", O_RDWR));
	say("ready");
	getchar();
	if (open_all(v, bdf))
		return 1;
	say("open");
	getchar();
	return 0;
}

static int forked(struct vfio *v, const char *bdf)
{
	int status;

	close(open("/dev/vfio/vfio", O_RDWR));
	if (!fork())
		_exit(late(v, bdf));
	wait(&status);
	return status ? 1 : 0;
}

/* Use a file of the parent's, which ends then. Returns when it has. */
static int outlive_parent(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR), asked[2], gone[2];
	char byte = 0;

	if (container < 0 || pipe(asked) || pipe(gone))
		return fail("open");
	if (fork()) {
		close(asked[1]);
		_exit(read(asked[0], &byte, 1) != 1);
	}
	close(gone[1]);
	if (ioctl(container, VFIO_GET_API_VERSION) != VFIO_API_VERSION || write(asked[1], "y", 1) != 1)
		return fail("the parent's file");
	while (read(gone[0], &byte, 1) > 0)
		continue;
	close(container);
	return 0;
}

static int orphan(struct vfio *v, const char *bdf)
{
	int done[2], status;
	char byte = 0;

	if (pipe(done))
		return fail("pipe");
	if (!fork()) {
		if (outlive_parent() || late(v, bdf) || write(done[1], "y", 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(done[1]);
	wait(&status);
	return status || read(done[0], &byte, 1) != 1;
}

int main(int argc, char **argv)
{
	struct vfio v = { .device = -1 };
	char *suffix = argc == 3 ? strstr(argv[1], "-cdev") : NULL;
	bool pulled;

	if (argc != 3)
		return 2;
	v.cdev = suffix;
	if (suffix)
		*suffix = 0;
	if (!strcmp(argv[1], "late"))
		return late(&v, argv[2]);
	if (!strcmp(argv[1], "forked"))
		return forked(&v, argv[2]);
	if (!strcmp(argv[1], "orphan"))
		return orphan(&v, argv[2]);
	pulled = !strcmp(argv[1], "surprise");
	if (open_all(&v, argv[2]) || (pulled && map_bar(&v)))
		return 1;
	say("ready");
	if (!strcmp(argv[1], "orderly"))
		return orderly(&v);
	if (pulled)
		return surprise(&v, argv[2]);
	return error(&v);
}
