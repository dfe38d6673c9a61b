/* SPDX-License-Identifier: BSD-2-Clause */
/* Dirty bitmaps tell what the driver of a mediated device, the plug-in tally.c, has done. */
#define PARENT "tally"
#include "mdev.h"

enum { PIN = 1, UNPIN, STORE, COPY_IN, COPY_OUT };

#define IOVA  0x10000ull
#define PAGES 4ull

static int command(int device, uint32_t iova, uint32_t what)
{
	uint32_t registers[3] = { iova, what };

	CHECK(pwrite(device, registers, 8, 0) == 8);
	CHECK(pread(device, registers, 12, 0) == 12);
	return (int)registers[2];
}

static void dirty(int container, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = sizeof(arg), .flags = flags };

	CHECK(!ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &arg));
}

static uint64_t get(int container)
{
	uint64_t bits = 0x5555555555555555; /* is overwritten */
	struct {
		uint32_t argsz, flags;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get = { IOVA, PAGES * 4096, { 4096, 8, (void *)&bits } },
	};

	CHECK(!ioctl(container, VFIO_IOMMU_DIRTY_PAGES, &arg));
	return bits;
}

static uint64_t unmap(int container)
{
	uint64_t bits = 0;
	struct {
		uint32_t argsz, flags;
		uint64_t iova, size;
		struct vfio_bitmap bitmap;
	} arg = { sizeof(arg),
		  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
		  IOVA,
		  PAGES * 4096,
		  { 4096, 8, (void *)&bits } };

	CHECK(!ioctl(container, VFIO_IOMMU_UNMAP_DMA, &arg));
	CHECK(arg.size == PAGES * 4096);
	return bits;
}

int main(void)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.iova = IOVA,
						.size = PAGES * 4096 };
	struct client c;

	CHECK(!create("tally-page", ONE));
	c = open_mdev(ONE);
	map.vaddr = (uintptr_t)mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0);
	CHECK(!ioctl(c.container, VFIO_IOMMU_MAP_DMA, &map));
	CHECK(command(c.device, IOVA, PIN) == 1);
	dirty(c.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
	CHECK(!command(c.device, IOVA + 0x2ffc, COPY_OUT) && !command(c.device, IOVA + 0x1ffc, COPY_IN));
	CHECK(get(c.container) == (1 | 1 << 2));
	CHECK(get(c.container) == 1); /* is still pinned */
	CHECK(!command(c.device, IOVA, UNPIN));
	CHECK(get(c.container) == 1);
	CHECK(get(c.container) == 0);
	CHECK(!command(c.device, IOVA + 0x3000, COPY_OUT) && command(c.device, IOVA + 0x1000, PIN) == 1);
	CHECK(unmap(c.container) == (1 << 1 | 1 << 3)); /* the driver has let go for that */
	dirty(c.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
	close_mdev(&c);
	CHECK(!remove_mdev(ONE));
	return 0;
}
