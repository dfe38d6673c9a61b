/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of cdevs and IOMMUFDs for the tests of traces: its first argument says what it does.
 *   calls    mistakes, and calls whose results stand where their arguments were
 *   compat   VFIO's mistakes on /dev/iommu
 *   files    opens, mmap(), pread() and pwrite() that fail
 */
#include "../intercept/client.h"

#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define CDEV "/dev/vfio/devices/vfio0"

static uint8_t memory[16384] __attribute__((aligned(4096)));

static int open_file(const char *path)
{
	int fd = open(path, O_RDWR);

	CHECK(fd >= 0);
	return fd;
}

static int open_bound(int iommufd)
{
	struct {
		uint32_t argsz, flags;
		int32_t iommufd;
		uint32_t devid;
	} bind = { .argsz = 16, .iommufd = iommufd, .devid = 99 };
	int cdev = open_file(CDEV);

	CHECK(!ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind));
	FAILS(ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind), EINVAL);
	return cdev;
}

static uint32_t ioas_alloc(int iommufd)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };

	CHECK(!ioctl(iommufd, IOMMU_IOAS_ALLOC, &arg));
	return arg.out_ioas_id;
}

static int ioas_map(int iommufd, uint32_t ioas, const void *at, uint64_t iova, uint32_t flags,
		    uint32_t reserved)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = flags,
		.ioas_id = ioas,
		.__reserved = reserved,
		.user_va = (uintptr_t)at,
		.length = 4096,
		.iova = iova,
	};

	return ioctl(iommufd, IOMMU_IOAS_MAP, &arg);
}

static int ioas_unmap(int iommufd, uint32_t ioas, uint64_t iova, uint64_t length)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = ioas, .iova = iova, .length = length
	};

	return ioctl(iommufd, IOMMU_IOAS_UNMAP, &arg);
}

static int attach(int cdev, uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = 12, .pt_id = pt };

	return ioctl(cdev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static int hwpt_alloc(int iommufd, uint32_t dev, uint32_t pt, uint32_t flags)
{
	struct iommu_hwpt_alloc arg = {
		.size = sizeof(arg), .flags = flags, .dev_id = dev, .pt_id = pt, .out_hwpt_id = 6
	};

	return ioctl(iommufd, IOMMU_HWPT_ALLOC, &arg);
}

static int get_hw_info(int iommufd, uint32_t flags)
{
	struct iommu_hw_info arg = { .size = sizeof(arg), .flags = flags, .dev_id = 1 };

	return ioctl(iommufd, IOMMU_GET_HW_INFO, &arg);
}

static int calls(void)
{
	const uint32_t all = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE;
	void *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int iommufd = open_file("/dev/iommu"), cdev = open_bound(iommufd);
	uint32_t ioas = ioas_alloc(iommufd);
	struct vfio_region_info region = { .argsz = sizeof(region), .index = 12, .size = 77 };

	CHECK(!attach(cdev, ioas));
	FAILS(attach(cdev, 12345), ENOENT);
	FAILS(hwpt_alloc(iommufd, 1, 12345, 0), EINVAL);
	FAILS(hwpt_alloc(iommufd, 1, ioas, 0x100), EOPNOTSUPP);
	CHECK(!ioas_map(iommufd, ioas, memory, 0x10000, all, 0));
	CHECK(!ioas_map(iommufd, ioas, memory, 0x77000, all & ~IOMMU_IOAS_MAP_FIXED_IOVA, 0));
	FAILS(ioas_map(iommufd, ioas, memory, 0x20000, all | 0x80, 0), EOPNOTSUPP);
	FAILS(ioas_map(iommufd, ioas, memory, 0x20000, all, 1), EOPNOTSUPP);
	FAILS(ioas_map(iommufd, ioas, constant, 0x20000, all, 0), EFAULT);
	FAILS(ioas_map(iommufd, ioas, none, 0x20000, all, 0), EFAULT);
	CHECK(!ioas_unmap(iommufd, ioas, 0x10000, 0x4000));
	CHECK(!ioas_unmap(iommufd, ioas, 0, UINT64_MAX));
	FAILS(ioas_unmap(iommufd, ioas, 0x10000, 0x4000), ENOENT);
	FAILS(get_hw_info(iommufd, 0x11), EOPNOTSUPP);
	FAILS(ioctl(cdev, VFIO_DEVICE_GET_REGION_INFO, &region), EINVAL);
	FAILS(ioctl(iommufd, 0x3ba5, &region), ENOTTY);
	FAILS(ioctl(open_file(CDEV), 0x1234, &region), EINVAL);
	return 0;
}

static int map(int container, uint64_t vaddr, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg), .flags = flags, .vaddr = vaddr, .iova = iova, .size = size
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &arg);
}

static int unmap(int container, uint64_t iova, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg), .flags = flags, .iova = iova, .size = size
	};

	return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg);
}

static int compat(void)
{
	int iommufd = open_file("/dev/iommu"), group = open_file(group_path());
	uint64_t at = (uintptr_t)memory;

	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &iommufd));
	CHECK(!ioctl(iommufd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	CHECK(ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF) >= 0);
	FAILS(map(iommufd, UINT64_MAX - 4095, 0, 8192, 3), EOVERFLOW);
	FAILS(map(iommufd, at, UINT64_MAX - 4095, 8192, 3), EOVERFLOW);
	FAILS(map(iommufd, at, 0, 0, 3), EINVAL);
	FAILS(map(iommufd, at, 0, 4097, 3), EINVAL);
	FAILS(map(iommufd, at + 1, 0, 4096, 3), EINVAL);
	FAILS(map(iommufd, at, 1ull << 60, 4096, 3), EINVAL);
	FAILS(map(iommufd, at, 0, 4096, 0x43), EINVAL);
	CHECK(!map(iommufd, at, 0x10000, 8192, 3));
	FAILS(unmap(iommufd, 0, 0x1000, VFIO_DMA_UNMAP_FLAG_ALL), EINVAL);
	FAILS(unmap(iommufd, 0, 0, 0), EINVAL);
	FAILS(unmap(iommufd, 0x10000, 0x1000, 0), ENOENT);
	CHECK(!unmap(iommufd, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL));
	return 0;
}

static int files(void)
{
	int iommufd = open_file("/dev/iommu"), cdev = open_file(CDEV), group;
	char byte;

	FAILS(pread(cdev, &byte, 1, 0), EINVAL);
	FAILS(pwrite(cdev, &byte, 1, 7ull << 40), EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, cdev, 0) == MAP_FAILED && errno == EINVAL);
	close(cdev);
	group = open_file(group_path());
	FAILS(open(group_path(), O_RDWR), EBUSY);
	FAILS(read(group, &byte, 1), EINVAL);
	close(group);
	cdev = open_bound(iommufd);
	FAILS(open(group_path(), O_RDWR), EBUSY);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, cdev, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, cdev, 0) == MAP_FAILED && errno == EINVAL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "calls"))
		return calls();
	if (!strcmp(what, "compat"))
		return compat();
	return strcmp(what, "files") ? 99 : files();
}
