/* SPDX-License-Identifier: BSD-2-Clause */
/* An ordinary program that lets a mediated device use its memory: the driver is the plug-in tally.c. */
#define PARENT "tally"
#include "mdev.h"

enum { PIN = 1, UNPIN, STORE, COPY_IN, COPY_OUT, PIN_TOO_MANY };

static uint32_t get(int device, unsigned int reg)
{
	uint32_t value = 0;

	CHECK(pread(device, &value, 4, 4 * reg) == 4);
	return value;
}

static void put(int device, unsigned int reg, uint32_t value)
{
	CHECK(pwrite(device, &value, 4, 4 * reg) == 4);
}

static int command(int device, uint32_t iova, uint32_t what)
{
	put(device, 0, iova);
	put(device, 1, what);
	return (int)get(device, 2);
}

static void map(int container, void *memory, uint64_t iova, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .vaddr = (uintptr_t)memory, .iova = iova, .size = 4096
	};

	CHECK(!ioctl(container, VFIO_IOMMU_MAP_DMA, &map));
}

static void unmap(int container, uint64_t iova)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = 4096 };

	CHECK(!ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) && unmap.size == 4096);
}

static void instances(void)
{
	CHECK(file_says(TYPES "tally-page/available_instances", "2\n"));
	CHECK(file_says(TYPES "tally-page/description", "One page at a time\n"));
	CHECK(file_says(TYPES "tally-page/name", "page\n"));
	CHECK(!create("tally-page", ONE) && !create("tally-page", TWO));
	CHECK(create("tally-page", "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003") == -EUSERS);
	CHECK(!remove_mdev(TWO));
	CHECK(file_says(TYPES "tally-page/available_instances", "1\n"));
	CHECK(exists("/sys/class/tally/tally/" ONE "/mdev_type/create"));
}

int main(void)
{
	uint32_t *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct client c;
	uint8_t byte;

	instances();
	c = open_mdev(ONE);
	FAILS(pread(c.device, &byte, 1, 0), EFAULT);       /* the driver takes whole registers only */
	CHECK(command(c.device, 0x10000, PIN) == -EINVAL); /* nothing is mapped */
	map(c.container, memory, 0x10000, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	map(c.container, memory + 1024, 0x20000, VFIO_DMA_MAP_FLAG_READ);
	CHECK(command(c.device, 0x20000, PIN) == -EPERM);
	CHECK(command(c.device, 0x10000, UNPIN) == -EINVAL);
	CHECK(command(c.device, 0, PIN_TOO_MANY) == -E2BIG);

	CHECK(command(c.device, 0x10000, PIN) == 1 && command(c.device, 0x10000, PIN) == 1);
	put(c.device, 3, 0x12345678);
	CHECK(!command(c.device, 0x10000, STORE) && memory[0] == 0x12345678);
	CHECK(!command(c.device, 0x10000, UNPIN));

	memory[1025] = 0x55aa;
	CHECK(!command(c.device, 0x20004, COPY_IN) && get(c.device, 3) == 0x55aa);
	CHECK(command(c.device, 0x20004, COPY_OUT) == -EPERM);
	CHECK(!command(c.device, 0x10ffc, COPY_OUT) && memory[1023] == 0x55aa);

	CHECK(get(c.device, 4) == 0);
	unmap(c.container, 0x10000); /* pinned once more: the driver is told, and lets go */
	CHECK(get(c.device, 4) == 1);
	CHECK(command(c.device, 0x10000, UNPIN) == -EINVAL);
	unmap(c.container, 0x20000);
	map(c.container, memory, 0x10000, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
	CHECK(command(c.device, 0x10000, PIN) == 1); /* left over when it is closed */
	CHECK(!close(c.device) && !close(c.group) && !close(c.container));
	CHECK(!remove_mdev(ONE) && !exists(DEVICES ONE));
	return 0;
}
