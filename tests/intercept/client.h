/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the small clients of this directory share. Each is an ordinary program that knows nothing of uvfio; it
 * is run with `uvfio run`, and says the first thing that is not as a kernel with an NVMe controller has it.
 */
#ifndef UVFIO_TESTS_CLIENT_H
#define UVFIO_TESTS_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define BDF    "0000:00:01.0"
#define SYSDEV "/sys/bus/pci/devices/" BDF

#define CHECK(what)                                                                                          \
	do {                                                                                                 \
		if (!(what)) {                                                                               \
			fprintf(stderr, "%s:%d: %s (errno %d, %s)\n", __FILE__, __LINE__, #what, errno,      \
				strerror(errno));                                                            \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

/* A call that must fail with this errno. */
#define FAILS(call, code)                                                                                    \
	do {                                                                                                 \
		errno = 0;                                                                                   \
		CHECK((long)(call) == -1 && errno == (code));                                                \
	} while (0)

/* "/dev/vfio/N" of the device, as a client finds it. */
static inline const char *group_path(void)
{
	static char path[64];
	char link[256];
	ssize_t n = readlink(SYSDEV "/iommu_group", link, sizeof(link) - 1);

	CHECK(n > 0);
	link[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	return path;
}

struct client {
	int container, group, device;
};

static inline struct client client_open(void)
{
	struct client c;

	c.container = open("/dev/vfio/vfio", O_RDWR);
	CHECK(c.container >= 0);
	CHECK(ioctl(c.container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	c.group = open(group_path(), O_RDWR);
	CHECK(c.group >= 0);
	CHECK(!ioctl(c.group, VFIO_GROUP_SET_CONTAINER, &c.container));
	CHECK(!ioctl(c.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	c.device = ioctl(c.group, VFIO_GROUP_GET_DEVICE_FD, BDF);
	CHECK(c.device >= 0);
	return c;
}

static inline void client_close(struct client *c)
{
	close(c->device);
	close(c->group);
	close(c->container);
}

static inline long client_map(int container, void *at, uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uint64_t)(uintptr_t)at,
		.iova = iova,
		.size = len,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

/* Bytes unmapped, or -1. */
static inline long client_unmap(int container, uint64_t iova, size_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = len };

	return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -1 : (long)unmap.size;
}

/* Offset of the config region. */
static inline uint64_t client_config(int device)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX };

	CHECK(!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info));
	return info.offset;
}

/* Run fn in a child and check that it ends well. */
static inline void in_child(void (*fn)(void *), void *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
