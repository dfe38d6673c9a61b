/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that maps, pins and shares memory, for `uvfio ctl memory`: it prints a line when something has
 * changed, and goes on when it is given one.
 */
#define PARENT "tally"
#include "../mdev/mdev.h"

#include "uapi/iommufd.h"

#include <signal.h>

#define PAGE 4096

static char *memory;

static void say(const char *what)
{
	puts(what);
	fflush(stdout);
	CHECK(getchar() == '\n');
}

static int command(int device, uint32_t iova, uint32_t what)
{
	int result;

	CHECK(pwrite(device, &iova, 4, 0) == 4 && pwrite(device, &what, 4, 4) == 4);
	CHECK(pread(device, &result, 4, 8) == 4);
	return result;
}

/* A mediated device, then one with an IOMMU beside it. */
static void container(void)
{
	struct client c;
	int group;

	CHECK(!create("tally-page", ONE));
	c = open_mdev(ONE);
	CHECK(!client_map(c.container, memory, 0x10000, 2 * PAGE));
	say("mapped");
	CHECK(command(c.device, 0x11000, 1) == 1 && command(c.device, 0x11000, 1) == 1);
	say("pinned");
	group = open(group_path(), O_RDWR);
	CHECK(group >= 0 && !ioctl(group, VFIO_GROUP_SET_CONTAINER, &c.container));
	say("plugged");
	CHECK(!close(group));
	say("unplugged");
	CHECK(client_unmap(c.container, 0x10000, 2 * PAGE) == 2 * PAGE);
	say("unmapped");
	close_mdev(&c);
	CHECK(!remove_mdev(ONE));
}

static void map_in_child(void *arg)
{
	CHECK(!client_map(*(int *)arg, memory, 0x20000, PAGE));
	say("in a child");
}

/* What a child has mapped stays when it has exited. */
static void child(void)
{
	struct client c = client_open();

	CHECK(!client_map(c.container, memory, 0x10000, PAGE));
	in_child(map_in_child, &c.container);
	say("without it");
	client_close(&c);
}

static void map_for_ever(int container)
{
	for (uint64_t iova = 0x100000;; iova += PAGE) {
		client_map(container, memory, iova, PAGE);
		if (iova / PAGE % 3)
			client_unmap(container, iova, PAGE);
	}
}

static uint64_t unmap_all(int container)
{
	struct vfio_iommu_type1_dma_unmap all = { .argsz = sizeof(all), .flags = VFIO_DMA_UNMAP_FLAG_ALL };

	CHECK(!ioctl(container, VFIO_IOMMU_UNMAP_DMA, &all));
	return all.size;
}

/* Children are killed in the middle of mapping: the container works on, and all of theirs can be unmapped. */
static void killed(void)
{
	struct client c = client_open();
	unsigned int some = 0;

	for (unsigned int i = 0; i < 20; i++) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			map_for_ever(c.container);
		usleep(1000 * i);
		CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
		CHECK(!client_map(c.container, memory, 0x10000, PAGE));
		CHECK(client_unmap(c.container, 0x10000, PAGE) == PAGE);
		some += unmap_all(c.container) != 0;
	}
	CHECK(some);
	do /* the last one's last call may be under way */
		usleep(100000);
	while (unmap_all(c.container));
	say("killed");
	client_close(&c);
}

static uint32_t ioas_new(int iommufd)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	CHECK(!ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc));
	return alloc.out_ioas_id;
}

/* Two IOASes that share a page, and a device on one of them. */
static void ioases(void)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = 12 };
	int iommufd = open("/dev/iommu", O_RDWR), device = open("/dev/vfio/devices/vfio0", O_RDWR);
	struct iommu_ioas_map map = { .size = sizeof(map),
				      .flags = 7,
				      .user_va = (uintptr_t)memory,
				      .length = 2 * PAGE,
				      .iova = 0x10000 };
	struct iommu_ioas_copy copy = {
		.size = sizeof(copy), .flags = 7, .length = PAGE, .src_iova = 0x10000, .dst_iova = 0x30000
	};
	uint32_t bind[4] = { sizeof(bind), 0, (uint32_t)iommufd };

	CHECK(iommufd >= 0 && device >= 0 && !ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, bind));
	copy.src_ioas_id = map.ioas_id = ioas_new(iommufd);
	attach.pt_id = copy.dst_ioas_id = ioas_new(iommufd);
	CHECK(!ioctl(iommufd, IOMMU_IOAS_MAP, &map) && !ioctl(iommufd, IOMMU_IOAS_COPY, &copy));
	say("shared");
	CHECK(!ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	say("attached");
	CHECK(!close(device) && !close(iommufd));
}

int main(void)
{
	memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED);
	container();
	child();
	killed();
	ioases();
	return 0;
}
