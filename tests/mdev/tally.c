/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated driver as a plug-in, for the tests: a card that does what it is told with one page of memory.
 *
 *   0x00  IOVA, low 32 bits
 *   0x04  command: see enum; its result is then in
 *   0x08  result: as the call returned it
 *   0x0c  data, for COPY_IN and COPY_OUT, and STORE
 *   0x10  how often an unmap has been announced
 */
#include <string.h>
#include <uvfio/mdev.h>

enum { PIN = 1, UNPIN, STORE, COPY_IN, COPY_OUT, PIN_TOO_MANY };
enum { IOVA, COMMAND, RESULT, DATA, UNMAPS, NR_REGISTERS };

struct tally {
	uint32_t registers[NR_REGISTERS];
	void *page;
	uint32_t pins;
	uint64_t pinned; /* its IOVA */
};

static int pin(struct uvfio_mdev *mdev, struct tally *tally)
{
	uint64_t iova = tally->registers[IOVA];
	int rc =
		uvfio_mdev_pin_pages(mdev, iova, 1, UVFIO_MDEV_PIN_READ | UVFIO_MDEV_PIN_WRITE, &tally->page);

	if (rc == 1) {
		tally->pins++;
		tally->pinned = iova;
	}
	return rc;
}

static int carry_out(struct uvfio_mdev *mdev, struct tally *tally, uint32_t command)
{
	uint32_t *regs = tally->registers;
	void *pages[1];
	int rc;

	switch (command) {
	case PIN:
		return pin(mdev, tally);
	case UNPIN:
		rc = uvfio_mdev_unpin_pages(mdev, regs[IOVA], 1);
		tally->pins -= !rc;
		return rc;
	case STORE:
		if (!tally->pins)
			return -EINVAL;
		memcpy(tally->page, &regs[DATA], sizeof(regs[DATA]));
		return 0;
	case COPY_IN:
		return uvfio_mdev_dma_rw(mdev, regs[IOVA], &regs[DATA], sizeof(regs[DATA]), false);
	case COPY_OUT:
		return uvfio_mdev_dma_rw(mdev, regs[IOVA], &regs[DATA], sizeof(regs[DATA]), true);
	case PIN_TOO_MANY:
		return uvfio_mdev_pin_pages(mdev, 0, UVFIO_MDEV_PIN_MAX + 1, UVFIO_MDEV_PIN_READ, pages);
	default:
		return -ENOSYS;
	}
}

static int tally_read(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
		      unsigned int size)
{
	struct tally *tally = mdev->dev.priv;

	(void)region;
	if (size != 4)
		return -EINVAL;
	memcpy(buf, &tally->registers[offset / 4], size);
	return 0;
}

static int tally_write(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
		       unsigned int size)
{
	struct tally *tally = mdev->dev.priv;
	uint32_t value;

	(void)region;
	if (size != 4)
		return -EINVAL;
	memcpy(&value, buf, size);
	if (offset / 4 == COMMAND)
		tally->registers[RESULT] = (uint32_t)carry_out(mdev, tally, value);
	else
		tally->registers[offset / 4] = value;
	return 0;
}

static void tally_dma_unmap(struct uvfio_mdev *mdev, uint64_t iova, uint64_t length)
{
	struct tally *tally = mdev->dev.priv;

	tally->registers[UNMAPS]++;
	while (tally->pins && tally->pinned >= iova && tally->pinned - iova < length) {
		uvfio_mdev_unpin_pages(mdev, tally->pinned, 1);
		tally->pins--;
	}
}

static void tally_close(struct uvfio_mdev *mdev)
{
	memset(mdev->dev.priv, 0, sizeof(struct tally));
}

static const struct uvfio_mdev_type types[] = {
	{ .name = "page", .description = "One page at a time", .regions = { [0] = { 4 * NR_REGISTERS } } },
	{ .name = NULL },
};

static const struct uvfio_mdev_driver driver = {
	.name = "tally",
	.summary = "a card that uses one page of memory",
	.priv_size = sizeof(struct tally),
	.device_api = "vfio-pci",
	.max_instances = 2,
	.types = types,
	.ops = {
		.close = tally_close,
		.read = tally_read,
		.write = tally_write,
		.dma_unmap = tally_dma_unmap,
	},
};

UVFIO_MDEV_PLUGIN(driver);
