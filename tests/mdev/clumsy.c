/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated driver that makes mistakes when it is told to: it keeps what it has pinned.
 *
 *   0x00  IOVA, low 32 bits
 *   0x04  command: see enum; its result is then in
 *   0x08  result: as the call returned it
 */
#include <string.h>
#include <uvfio/mdev.h>

enum { PIN = 1, PIN_CACHED, PIN_NOTHING, UNPIN, COPY_IN, COPY_OUT, READ_AS_DMA };
enum { IOVA, COMMAND, RESULT, NR_REGISTERS };

struct clumsy {
	uint32_t registers[NR_REGISTERS];
	struct uvfio_worker *worker;
	uint64_t data;
};

static void work(struct uvfio_worker *worker)
{
	struct clumsy *clumsy = worker->arg;

	clumsy->registers[RESULT] =
		(uint32_t)uvfio_dma_read(worker->dma, clumsy->registers[IOVA], &clumsy->data, 8, "data");
}

static int clumsy_create(struct uvfio_mdev *mdev)
{
	struct clumsy *clumsy = mdev->dev.priv;

	clumsy->worker = uvfio_worker_new(&mdev->dev, "work", work, clumsy);
	return clumsy->worker ? 0 : -ENOMEM;
}

static int carry_out(struct uvfio_mdev *mdev, struct clumsy *clumsy, uint32_t command)
{
	uint64_t iova = clumsy->registers[IOVA];
	void *pages[2];

	switch (command) {
	case PIN:
		return uvfio_mdev_pin_pages(mdev, iova, 2, UVFIO_MDEV_PIN_READ | UVFIO_MDEV_PIN_WRITE, pages);
	case PIN_CACHED:
		return uvfio_mdev_pin_pages(mdev, iova, 1, 4, pages);
	case PIN_NOTHING:
		return uvfio_mdev_pin_pages(mdev, iova, 1, 0, pages);
	case UNPIN:
		return uvfio_mdev_unpin_pages(mdev, iova, 1);
	case COPY_IN:
	case COPY_OUT:
		return uvfio_mdev_dma_rw(mdev, iova, &clumsy->data, 8, command == COPY_OUT);
	case READ_AS_DMA:
		uvfio_worker_kick(clumsy->worker);
		return 0;
	default:
		return -ENOSYS;
	}
}

static int clumsy_read(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
		       unsigned int size)
{
	struct clumsy *clumsy = mdev->dev.priv;

	(void)region;
	memcpy(buf, (char *)clumsy->registers + offset, size);
	return 0;
}

static int clumsy_write(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
			unsigned int size)
{
	struct clumsy *clumsy = mdev->dev.priv;
	uint32_t value = 0;

	(void)region;
	memcpy(&value, buf, size);
	if (offset / 4 == COMMAND)
		clumsy->registers[RESULT] = (uint32_t)carry_out(mdev, clumsy, value);
	else
		clumsy->registers[offset / 4] = value;
	return 0;
}

#ifndef UNTOLD
static void clumsy_dma_unmap(struct uvfio_mdev *mdev, uint64_t iova, uint64_t length)
{
	(void)mdev;
	(void)iova;
	(void)length;
}
#define TELL .dma_unmap = clumsy_dma_unmap,
#else
#define TELL
#endif

static const struct uvfio_mdev_type types[] = {
	{ .name = "1", .regions = { [0] = { 4 * NR_REGISTERS } } },
	{ .name = NULL },
};

static const struct uvfio_mdev_driver driver = {
	.name = "clumsy",
	.summary = "a card whose driver makes mistakes",
	.priv_size = sizeof(struct clumsy),
	.device_api = "vfio-pci",
	.max_instances = 2,
	.types = types,
	.ops = { .create = clumsy_create, .read = clumsy_read, .write = clumsy_write, TELL },
};

UVFIO_MDEV_PLUGIN(driver);
