/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's device for teaching driver writers, as docs/specs/edu of QEMU describes it: identification, a
 * liveness check, a factorial that takes its time, interrupts (INTx or MSI) that are raised, read and
 * acknowledged, and DMA between memory and a buffer of 4096 bytes.
 *
 * The specification leaves open what a driver's mistakes do. Here: a register that cannot be read, or not
 * with that width, reads as ones, and writes to those that cannot be written are dropped; a DMA command that
 * leaves the device's buffer moves nothing; an address above dma_mask is cut to it. The last two are logged.
 */
#include <stdatomic.h>
#include <uvfio/pci.h>

enum {
	IDENT = 0x00,
	LIVENESS = 0x04,
	FACTORIAL = 0x08,
	STATUS = 0x20,
	IRQ_STATUS = 0x24,
	IRQ_RAISE = 0x60,
	IRQ_ACK = 0x64,
	DMA_SRC = 0x80, /* from here on registers have 8 bytes, and their halves are registers too */
	DMA_DST = 0x88,
	DMA_COUNT = 0x90,
	DMA_CMD = 0x98,
	DMA_END = 0xa0,
};

#define VERSION_1_0        0x010000edu
#define STATUS_COMPUTING   0x01u
#define STATUS_IRQ         0x80u
#define CMD_RUN            0x01u
#define CMD_FROM_DEVICE    0x02u
#define CMD_IRQ            0x04u
#define CMD_BITS           0x07u
#define IRQ_FACTORIAL_DONE 0x001u
#define IRQ_DMA_DONE       0x100u
#define BUFFER             0x40000u /* where DMA commands find it; it cannot be read as registers */
#define BUFFER_SIZE        4096u

struct edu_options {
	uint64_t dma_mask;
};

struct edu {
	struct uvfio_pci_func *func;
	struct uvfio_worker *factorial_worker, *dma_worker;
	_Atomic uint32_t liveness, factorial, status, irq_status;
	_Atomic uint64_t dma[4];     /* DMA_SRC to DMA_CMD; do not change while DMA_CMD has CMD_RUN */
	uint8_t buffer[BUFFER_SIZE]; /* the DMA worker's */
};

/* ---- interrupts */

/*
 * The line is high while a bit of irq_status is set. Several threads may raise and acknowledge at once: each
 * looks again after it has set the line, so the last one leaves it right.
 */
static void update_line(struct edu *edu)
{
	bool level;

	do {
		level = edu->irq_status != 0;
		uvfio_pci_intx(edu->func, level);
	} while (level != (edu->irq_status != 0));
}

static void raise_irq(struct edu *edu, uint32_t bits)
{
	if (!(atomic_fetch_or(&edu->irq_status, bits) | bits))
		return;
	update_line(edu);
	if (uvfio_pci_irq_mode(edu->func) == UVFIO_IRQ_MSI)
		uvfio_pci_irq(edu->func, 0);
}

static void acknowledge_irq(struct edu *edu, uint32_t bits)
{
	atomic_fetch_and(&edu->irq_status, ~bits);
	update_line(edu);
}

/* ---- the factorial */

/* Modulo 2^32, like the register: 34! and what comes after it is 0, so nobody has to wait for that. */
static uint32_t factorial(uint32_t n)
{
	uint32_t product = 1;

	while (n && product)
		product *= n--;
	return product;
}

static void compute(struct uvfio_worker *worker)
{
	struct edu *edu = worker->arg;
	uint64_t start = uvfio_now();
	uint32_t n = edu->factorial;

	if (!(edu->status & STATUS_COMPUTING))
		return;
	edu->factorial = factorial(n);
	if (uvfio_trace_on(worker->dev))
		uvfio_trace(worker->dev, "factorial", start, "n=%u result=%u", n, (uint32_t)edu->factorial);
	uvfio_count_command(worker->dev, false);
	if (atomic_fetch_and(&edu->status, ~STATUS_COMPUTING) & STATUS_IRQ)
		raise_irq(edu, IRQ_FACTORIAL_DONE);
}

static void write_factorial(struct edu *edu, uint32_t n)
{
	if (edu->status & STATUS_COMPUTING)
		return;
	edu->factorial = n;
	atomic_fetch_or(&edu->status, STATUS_COMPUTING);
	uvfio_worker_kick(edu->factorial_worker);
}

static void write_status(struct edu *edu, uint32_t value)
{
	if (value & STATUS_IRQ)
		atomic_fetch_or(&edu->status, STATUS_IRQ);
	else
		atomic_fetch_and(&edu->status, ~STATUS_IRQ);
}

/* ---- DMA */

/* The end of a command that is memory's. */
static uint64_t masked(struct uvfio_device *dev, uint64_t address)
{
	const struct edu_options *options = dev->options;

	if (address & ~options->dma_mask)
		uvfio_log_once(dev, 1, "DMA address 0x%llx is cut to dma_mask, 0x%llx",
			       (unsigned long long)address, (unsigned long long)options->dma_mask);
	return address & options->dma_mask;
}

/* The end that is the device's: where it is in the buffer. */
static bool in_buffer(struct uvfio_device *dev, uint64_t address, uint64_t count, uint64_t *at)
{
	*at = address - BUFFER;
	if (address >= BUFFER && *at <= BUFFER_SIZE && count <= BUFFER_SIZE - *at)
		return true;
	uvfio_log_once(dev, 2, "DMA of %llu bytes at 0x%llx of the device: its buffer is 0x40000 to 0x40fff",
		       (unsigned long long)count, (unsigned long long)address);
	return false;
}

static bool transfer(struct uvfio_worker *worker, uint64_t cmd)
{
	struct edu *edu = worker->arg;
	uint64_t src = edu->dma[0], dst = edu->dma[1], count = edu->dma[2], at;

	if (cmd & CMD_FROM_DEVICE)
		return in_buffer(worker->dev, src, count, &at) &&
		       !uvfio_dma_write(worker->dma, masked(worker->dev, dst), edu->buffer + at, count,
					"buffer");
	return in_buffer(worker->dev, dst, count, &at) &&
	       !uvfio_dma_read(worker->dma, masked(worker->dev, src), edu->buffer + at, count, "buffer");
}

static void run_dma(struct uvfio_worker *worker)
{
	struct edu *edu = worker->arg;
	uint64_t start = uvfio_now(), cmd = edu->dma[3];
	bool done;

	if (!(cmd & CMD_RUN))
		return;
	done = transfer(worker, cmd);
	if (uvfio_trace_on(worker->dev))
		uvfio_trace(worker->dev, "dma", start, "src=0x%llx dst=0x%llx count=%llu%s",
			    (unsigned long long)edu->dma[0], (unsigned long long)edu->dma[1],
			    (unsigned long long)edu->dma[2], done ? "" : " failed");
	uvfio_count_command(worker->dev, !done);
	edu->dma[3] = cmd & ~(uint64_t)CMD_RUN;
	if (cmd & CMD_IRQ)
		raise_irq(edu, IRQ_DMA_DONE);
}

/* A store of 4 bytes to a register clears its upper half, which drivers of 32-bit addresses never write. */
static void write_dma(struct edu *edu, uint64_t offset, uint64_t value, unsigned int size)
{
	_Atomic uint64_t *reg = &edu->dma[(offset - DMA_SRC) / 8];
	uint64_t idle = edu->dma[3];

	if (idle & CMD_RUN)
		return;
	if (size == 4 && offset & 4)
		value = (uint32_t)*reg | value << 32;
	if ((offset & ~7ull) != DMA_CMD)
		*reg = value;
	else if (value & CMD_RUN && atomic_compare_exchange_strong(reg, &idle, value & CMD_BITS))
		uvfio_worker_kick(edu->dma_worker);
}

/* ---- registers */

static uint64_t edu_read(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size)
{
	struct edu *edu = func->dev.priv;

	(void)bar;
	if (offset >= DMA_SRC && offset < DMA_END && size >= 4)
		return edu->dma[(offset - DMA_SRC) / 8] >> (offset & 4) * 8;
	if (size != 4)
		return UINT64_MAX;
	switch (offset) {
	case IDENT:
		return VERSION_1_0;
	case LIVENESS:
		return edu->liveness;
	case FACTORIAL:
		return edu->factorial;
	case STATUS:
		return edu->status;
	case IRQ_STATUS:
		return edu->irq_status;
	default:
		return UINT64_MAX;
	}
}

static void edu_write(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		      unsigned int size)
{
	struct edu *edu = func->dev.priv;

	(void)bar;
	if (offset >= DMA_SRC && offset < DMA_END && size >= 4)
		write_dma(edu, offset, value, size);
	if (size != 4)
		return;
	switch (offset) {
	case LIVENESS:
		edu->liveness = ~(uint32_t)value;
		break;
	case FACTORIAL:
		write_factorial(edu, (uint32_t)value);
		break;
	case STATUS:
		write_status(edu, (uint32_t)value);
		break;
	case IRQ_RAISE:
		raise_irq(edu, (uint32_t)value);
		break;
	case IRQ_ACK:
		acknowledge_irq(edu, (uint32_t)value);
		break;
	}
}

/* ---- life */

static void edu_reset(struct uvfio_pci_func *func)
{
	struct edu *edu = func->dev.priv;

	edu->liveness = edu->factorial = edu->status = edu->irq_status = 0;
	for (int i = 0; i < 4; i++)
		edu->dma[i] = 0;
	for (unsigned int i = 0; i < BUFFER_SIZE; i++)
		edu->buffer[i] = 0;
	update_line(edu);
}

static int edu_create(struct uvfio_pci_func *func, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	struct edu *edu = func->dev.priv;

	(void)desc;
	edu->func = func;
	edu->factorial_worker = uvfio_worker_new(&func->dev, "fact", compute, edu);
	edu->dma_worker = uvfio_worker_new(&func->dev, "dma", run_dma, edu);
	if (!edu->factorial_worker || !edu->dma_worker)
		return uvfio_create_error(err, err_len, ENOMEM, "out of memory");
	return 0;
}

/* ---- description */

static const char *const directions[] = { "to-device", "from-device", NULL };
static const struct uvfio_field ident_fields[] = {
	{ 0, 7, "ID", NULL }, { 16, 23, "MINOR", NULL }, { 24, 31, "MAJOR", NULL }, { .name = NULL }
};
static const struct uvfio_field status_fields[] = { { 0, 0, "COMPUTING", NULL },
						    { 7, 7, "IRQ", NULL },
						    { .name = NULL } };
static const struct uvfio_field irq_fields[] = { { 0, 0, "FACTORIAL", NULL },
						 { 8, 8, "DMA", NULL },
						 { .name = NULL } };
static const struct uvfio_field cmd_fields[] = {
	{ 0, 0, "RUN", NULL }, { 1, 1, "DIRECTION", directions }, { 2, 2, "IRQ", NULL }, { .name = NULL }
};

static const struct uvfio_register registers[] = {
	{ IDENT, 4, "IDENT", 0, 0, ident_fields },
	{ LIVENESS, 4, "LIVENESS", 0, 0, NULL },
	{ FACTORIAL, 4, "FACTORIAL", 0, 0, NULL },
	{ STATUS, 4, "STATUS", 0, 0, status_fields },
	{ IRQ_STATUS, 4, "IRQ_STATUS", 0, 0, irq_fields },
	{ IRQ_RAISE, 4, "IRQ_RAISE", 0, 0, irq_fields },
	{ IRQ_ACK, 4, "IRQ_ACK", 0, 0, irq_fields },
	{ DMA_SRC, 8, "DMA_SRC", 0, 0, NULL },
	{ DMA_DST, 8, "DMA_DST", 0, 0, NULL },
	{ DMA_COUNT, 8, "DMA_COUNT", 0, 0, NULL },
	{ DMA_CMD, 8, "DMA_CMD", 0, 0, cmd_fields },
	{ .name = NULL },
};

static const struct uvfio_option options[] = {
	{ .key = "dma_mask",
	  .type = UVFIO_OPTION_UINT,
	  .offset = offsetof(struct edu_options, dma_mask),
	  .preset = "0xfffffff",
	  .min = 0xfff,
	  .max = UINT64_MAX,
	  .help = "mask of the address bits that the device has, 32 of them: 0xffffffff" },
	{ .key = NULL },
};

static const struct uvfio_pci_model edu = {
	.name = "edu",
	.summary = "QEMU's educational device",
	.options = options,
	.options_size = sizeof(struct edu_options),
	.priv_size = sizeof(struct edu),
	.desc = { .vendor = 0x1234,
		  .device = 0x11e8,
		  .subsys_vendor = 0x1af4,
		  .subsys_device = 0x1100,
		  .class_code = 0x00ff00,
		  .revision = 0x10,
		  .bar[0] = { .size = 1 << 20, .registers = registers },
		  .intx = 1,
		  .msi_vectors = 1 },
	.ops = { .create = edu_create, .reset = edu_reset, .read = edu_read, .write = edu_write },
};
UVFIO_PCI_PLUGIN(edu);
