/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated driver as a plug-in, for the tests: a card that does what it is told with a few pages of memory.
 *
 *   0x00  IOVA, low 32 bits
 *   0x04  command: see enum; its result is then in
 *   0x08  result: as the call returned it
 *   0x0c  data, for COPY_IN and COPY_OUT, and STORE
 *   0x10  how often an unmap has been announced
 *   0x14  how many pages PIN and UNPIN take; 0 is 1
 */
#include <string.h>
#include <uvfio/mdev.h>

enum { PIN = 1, UNPIN, STORE, COPY_IN, COPY_OUT, PIN_TOO_MANY };
enum { IOVA, COMMAND, RESULT, DATA, UNMAPS, COUNT, NR_REGISTERS };

#define PINS 32 /* that it can have */

#ifndef DRIVER
#define DRIVER "tally"
#define TYPE   "page"
#endif

struct tally {
	uint32_t registers[NR_REGISTERS];
	void *page; /* the last one that was pinned */
	uint32_t pins;
	uint64_t pinned[PINS]; /* their IOVAs */
};

static unsigned int count(const struct tally *tally)
{
	return tally->registers[COUNT] ? tally->registers[COUNT] : 1;
}

static int pin(struct uvfio_mdev *mdev, struct tally *tally)
{
	unsigned int npage = count(tally);
	uint64_t iova = tally->registers[IOVA];
	void *pages[PINS];
	int rc;

	if (npage > PINS - tally->pins)
		return -ENOSPC;
	rc = uvfio_mdev_pin_pages(mdev, iova, npage, UVFIO_MDEV_PIN_READ | UVFIO_MDEV_PIN_WRITE, pages);
	for (unsigned int i = 0; rc > 0 && i < npage; i++)
		tally->pinned[tally->pins++] = iova + i * UVFIO_MDEV_PAGE_SIZE;
	if (rc > 0)
		tally->page = pages[npage - 1];
	return rc;
}

/* One pin of the page at iova is no more. */
static void forget(struct tally *tally, uint64_t iova)
{
	for (uint32_t i = 0; i < tally->pins; i++)
		if (tally->pinned[i] == iova) {
			tally->pinned[i] = tally->pinned[--tally->pins];
			return;
		}
}

static int unpin(struct uvfio_mdev *mdev, struct tally *tally)
{
	uint64_t iova = tally->registers[IOVA];
	int rc = uvfio_mdev_unpin_pages(mdev, iova, count(tally));

	for (unsigned int i = 0; !rc && i < count(tally); i++)
		forget(tally, iova + i * UVFIO_MDEV_PAGE_SIZE);
	return rc;
}

static int carry_out(struct uvfio_mdev *mdev, struct tally *tally, uint32_t command)
{
	uint32_t *regs = tally->registers;
	void *pages[1];

	switch (command) {
	case PIN:
		return pin(mdev, tally);
	case UNPIN:
		return unpin(mdev, tally);
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
	for (uint32_t i = 0; i < tally->pins;) {
		uint64_t page = tally->pinned[i];

		if (page >= iova && page - iova < length) {
			uvfio_mdev_unpin_pages(mdev, page, 1);
			forget(tally, page);
		} else {
			i++;
		}
	}
}

static void tally_close(struct uvfio_mdev *mdev)
{
	memset(mdev->dev.priv, 0, sizeof(struct tally));
}

static const struct uvfio_mdev_type types[] = {
	{ .name = TYPE, .description = "One page at a time", .regions = { [0] = { 4 * NR_REGISTERS } } },
	{ .name = NULL },
};

static const struct uvfio_mdev_driver driver = {
	.name = DRIVER,
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
