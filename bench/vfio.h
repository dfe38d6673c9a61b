/* SPDX-License-Identifier: BSD-2-Clause */
/* What the benchmark programs that are VFIO clients share. They know nothing of uvfio. */
#ifndef UVFIO_BENCH_VFIO_H
#define UVFIO_BENCH_VFIO_H

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* A new group of bdf in container, which gets its IOMMU with the first. Returns the device's descriptor. */
static inline int vfio_open_device(int container, const char *bdf)
{
	char link[PATH_MAX], path[PATH_MAX];
	ssize_t n;
	int group, device;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		err(1, "%s", path);
	link[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (group < 0)
		err(1, "%s", path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container))
		err(1, "VFIO_GROUP_SET_CONTAINER");
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) && errno != EINVAL)
		err(1, "VFIO_SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (device < 0)
		err(1, "VFIO_GROUP_GET_DEVICE_FD");
	return device;
}

static inline uint64_t vfio_region_offset(int device, uint32_t index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		err(1, "VFIO_DEVICE_GET_REGION_INFO");
	return info.offset;
}

static inline void vfio_map(int container, uint64_t iova, const void *va, uint64_t size)
{
	struct vfio_iommu_type1_dma_map arg = { .argsz = sizeof(arg),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)va,
						.iova = iova,
						.size = size };

	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &arg))
		err(1, "VFIO_IOMMU_MAP_DMA of %#llx", (unsigned long long)iova);
}

/* Memory and bus mastering on; BAR0 mapped. */
static inline volatile void *vfio_start_device(int device, size_t bar_size)
{
	uint64_t config = vfio_region_offset(device, VFIO_PCI_CONFIG_REGION_INDEX);
	uint16_t command = 6;
	void *bar;

	if (pwrite(device, &command, 2, (off_t)config + 4) != 2)
		err(1, "COMMAND");
	bar = mmap(NULL, bar_size, PROT_READ | PROT_WRITE, MAP_SHARED, device,
		   (off_t)vfio_region_offset(device, VFIO_PCI_BAR0_REGION_INDEX));
	if (bar == MAP_FAILED)
		err(1, "BAR0");
	return bar;
}

#endif
