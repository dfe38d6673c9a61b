/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver that does with an edu device whatever comes to its mind, from two threads: accesses of every width
 * everywhere, commands with addresses inside, across and outside of what there is, interrupts switched on and
 * off, resets, memory that comes and goes.
 *
 *     hostile_edu BDF OPERATIONS
 */
#include "vfio_driver.h"

#include <pthread.h>

#define IOVA 0x100000
#define SIZE 0x4000

struct hostile {
	struct vfio_driver vfio;
	volatile uint8_t *regs;
	uint64_t bar;
	uint8_t *memory;
	unsigned int seed;
	unsigned long operations;
};

static uint64_t any(struct hostile *h)
{
	static const uint64_t interesting[] = { 0,
						1,
						3,
						7,
						0x80,
						0x100,
						4095,
						4096,
						0x40000,
						0x40fff,
						0x41000,
						IOVA,
						IOVA + SIZE - 1,
						UINT32_MAX,
						UINT64_MAX,
						UINT64_MAX - 4095 };
	uint64_t value = interesting[rand_r(&h->seed) % 16];

	return rand_r(&h->seed) % 4 ? value : value + (uint64_t)(rand_r(&h->seed) % 64) - 32;
}

static uint64_t offset(struct hostile *h)
{
	static const uint64_t known[] = { 0x00, 0x04, 0x08, 0x20, 0x24, 0x60, 0x64, 0x80, 0x84,    0x88,
					  0x8c, 0x90, 0x94, 0x98, 0x98, 0x98, 0x9c, 0xa0, 0x40000, 0xffff8 };

	return rand_r(&h->seed) % 8 ? known[rand_r(&h->seed) % 20] : (uint64_t)rand_r(&h->seed) % 0x100000;
}

static void access_file(struct hostile *h)
{
	uint64_t value = any(h);
	size_t size = (size_t)(rand_r(&h->seed) % 8) + 1;
	off_t at = (off_t)(h->bar + offset(h));
	ssize_t n = rand_r(&h->seed) % 2 ? pread(h->vfio.device, &value, size, at)
					 : pwrite(h->vfio.device, &value, size, at);

	check(n > 0 || errno == EIO, "an access to the BAR");
}

static void access_mapping(struct hostile *h)
{
	volatile uint8_t *reg = h->regs + (offset(h) & ~7ull);
	uint64_t value = any(h);

	switch (rand_r(&h->seed) % 6) {
	case 0:
		*reg = (uint8_t)value;
		break;
	case 1:
		(void)*(volatile uint16_t *)reg;
		break;
	case 2:
		writel((uint32_t)value, reg);
		break;
	case 3:
		readl(reg);
		break;
	case 4:
		writeq(value, reg);
		break;
	default:
		readq(reg);
	}
}

static void command(struct hostile *h)
{
	writeq(any(h), h->regs + 0x80);
	writeq(any(h), h->regs + 0x88);
	writeq(any(h), h->regs + 0x90);
	writel((uint32_t)any(h) | 1, h->regs + 0x98);
}

static void irqs(struct hostile *h)
{
	static const uint32_t flags[] = {
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK,
		VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK,
		VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK,
	};
	uint32_t index = (uint32_t)rand_r(&h->seed) % 2;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	vfio_set_irqs(&h->vfio, index, flags[rand_r(&h->seed) % 5], &fd);
	if (rand_r(&h->seed) % 2) {
		struct vfio_irq_set none = { .argsz = sizeof(none), .flags = flags[1], .index = index };

		ioctl(h->vfio.device, VFIO_DEVICE_SET_IRQS, &none);
	}
	close(fd);
}

/* The other thread does the same at the same address: one of them gets an error. */
static void memory(struct hostile *h)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)h->memory,
						.iova = 0,
						.size = 4096 };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = 0, .size = 4096 };

	ioctl(h->vfio.container, VFIO_IOMMU_MAP_DMA, &map);
	command(h);
	ioctl(h->vfio.container, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

static void *work(void *arg)
{
	struct hostile *h = arg;

	for (unsigned long i = 0; i < h->operations; i++) {
		int what = rand_r(&h->seed) % 100;

		if (what < 40)
			access_file(h);
		else if (what < 80)
			access_mapping(h);
		else if (what < 94)
			command(h);
		else if (what < 96)
			memory(h);
		else if (what < 97)
			ioctl(h->vfio.device, VFIO_DEVICE_RESET);
		else
			irqs(h);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct hostile first = { .seed = 1 }, second;
	pthread_t thread;

	check(argc == 3, "hostile_edu BDF OPERATIONS");
	vfio_driver_open(&first.vfio, argv[1]);
	vfio_enable_dma(&first.vfio);
	first.regs = vfio_map_bar(&first.vfio, 0);
	first.bar = vfio_region(&first.vfio, 0).offset;
	first.memory = vfio_dma_memory(&first.vfio, IOVA, SIZE);
	first.operations = strtoul(argv[2], NULL, 0) / 2;
	second = first;
	second.seed = 2;
	check(!pthread_create(&thread, NULL, work, &second), "a thread");
	work(&first);
	pthread_join(thread, NULL);
	vfio_dma_free(&first.vfio, IOVA, first.memory, SIZE);
	vfio_driver_close(&first.vfio);
	return 0;
}
