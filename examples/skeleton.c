/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device to start from. It adds up LEN bytes of memory (at most 4096) from the I/O address ADDR on; a store
 * to LEN starts that. SUM is the result, all ones when it failed; MSI-X vector 0 says that it is there.
 */
#include <stdatomic.h>
#include <uvfio/pci.h>

enum { ADDR, LEN, SUM }; /* registers of 8 bytes */
struct skeleton {
	_Atomic uint64_t reg[4096 / 8];
	struct uvfio_worker *worker;
};

/* The device's thread: it may wait, and it alone reaches memory. */
static void work(struct uvfio_worker *worker)
{
	struct uvfio_pci_func *func = worker->arg;
	struct skeleton *s = func->dev.priv;
	uint64_t len = s->reg[LEN], sum = 0;
	uint8_t data[4096];

	if (len > sizeof(data) || uvfio_dma_read(worker->dma, s->reg[ADDR], data, len, "data"))
		sum = UINT64_MAX;
	else
		for (uint64_t i = 0; i < len; i++)
			sum += data[i];
	s->reg[SUM] = sum;
	uvfio_pci_irq(func, 0);
}

/* Register accesses come from any thread of the program, or a signal handler: store, and kick the worker. */
static uint64_t reg_read(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size)
{
	struct skeleton *s = func->dev.priv;

	return s->reg[offset / 8];
}

static void reg_write(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		      unsigned int size)
{
	struct skeleton *s = func->dev.priv;

	s->reg[offset / 8] = value;
	if (offset / 8 == LEN)
		uvfio_worker_kick(s->worker);
}

static void reset(struct uvfio_pci_func *func)
{
	struct skeleton *s = func->dev.priv;

	s->reg[ADDR] = s->reg[LEN] = s->reg[SUM] = 0;
}

static int create(struct uvfio_pci_func *func, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	struct skeleton *s = func->dev.priv;

	s->worker = uvfio_worker_new(&func->dev, "skeleton", work, func);
	return s->worker ? 0 : uvfio_create_error(err, err_len, ENOMEM, "out of memory");
}

static const struct uvfio_register registers[] = { { 0x00, 8, "ADDR", 0, 0, NULL },
						   { 0x08, 8, "LEN", 0, 0, NULL },
						   { 0x10, 8, "SUM", 0, 0, NULL },
						   { .name = NULL } };

static const struct uvfio_pci_model skeleton = {
	.name = "skeleton",
	.summary = "adds up bytes of memory",
	.priv_size = sizeof(struct skeleton),
	.desc = { .vendor = 0x1234,
		  .device = 0x5e1e,
		  .bar[0] = { .size = 4096, .registers = registers },
		  .msix_vectors = 1 },
	.ops = { .create = create, .reset = reset, .read = reg_read, .write = reg_write },
};
UVFIO_PCI_PLUGIN(skeleton);
