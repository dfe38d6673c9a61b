/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: the copy engine.
 *
 * The input is a little program of register accesses, descriptors and memory contents for a channel of one of
 * the two profiles. The worker's function is called in this thread and told to stop after a number of pieces
 * that the input says too, so that an input always does the same, and an engine is stopped anywhere.
 */
#include "devices/ioat/ioat.h"
#include "input.h"

#include "devices/models.h"

#include "base/options.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define IOVA   0x10000ull
#define MEMORY (128u << 10)
#define RO     (16u << 10) /* at its end, readable only */
#define GUARD  4096u
#define SLOTS  16u
#define RING   (IOVA + 0x1000)
#define CMP    (IOVA + 0x800)
#define PIECES 1000u /* that an input may ask for in all */

static struct iommu_dev iommu;
static struct uvfio_device_calls calls;
static uint8_t *map, *memory;
static unsigned int pieces, budget, irqs;
static bool again;
static uint32_t chanerr_int, chanerrmsk_int;

static struct engine {
	struct uvfio_pci_func func;
	struct model_host host;
	struct ioat_options options;
	struct ioat *ioat;
} engines[2];

/* ---- the function's side */

static void fuzz_irq(struct uvfio_pci_func *f, unsigned int vector)
{
	(void)f;
	irqs++;
	if (vector)
		abort();
}

static void fuzz_intx(struct uvfio_pci_func *f, bool level)
{
	(void)f;
	irqs += level;
}

static enum uvfio_irq_mode fuzz_irq_mode(struct uvfio_pci_func *f)
{
	(void)f;
	return chanerrmsk_int & 1 ? UVFIO_IRQ_INTX : UVFIO_IRQ_MSIX;
}

static uint32_t fuzz_config_read(struct uvfio_pci_func *f, unsigned int offset)
{
	(void)f;
	if (offset != IOAT_CFG_CHANERRMSK_INT)
		abort();
	return chanerrmsk_int;
}

static void fuzz_config_update(struct uvfio_pci_func *f, unsigned int offset, uint32_t clear, uint32_t set)
{
	(void)f;
	if (offset != IOAT_CFG_CHANERR_INT)
		abort();
	chanerr_int = (chanerr_int & ~clear) | set;
}

static const struct uvfio_pci_calls fuzz_calls = {
	.irq = fuzz_irq,
	.intx = fuzz_intx,
	.irq_mode = fuzz_irq_mode,
	.config_read = fuzz_config_read,
	.config_update = fuzz_config_update,
};

/* Each question is a piece of work. */
static bool fuzz_stopping(const struct uvfio_worker *worker)
{
	(void)worker;
	if (!pieces || !budget)
		return true;
	pieces--;
	budget--;
	return false;
}

static void fuzz_kick(struct uvfio_worker *worker)
{
	(void)worker;
}

/* Time passes at once. */
static void fuzz_kick_after(struct uvfio_worker *worker, uint64_t ns)
{
	struct ioat *ioat = worker->arg;

	if (!ns || ns > 1000000000)
		abort();
	ioat->not_before = 0;
	again = true;
}

static void fuzz_count(struct uvfio_device *dev, bool failed)
{
	(void)dev;
	(void)failed;
}

/* ---- set-up, once */

static void make_memory(void)
{
	static struct iommu_params params;
	struct iommu_domain *domain;

	map = mmap(NULL, MEMORY + 2 * GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		abort();
	memset(map, 0xa7, MEMORY + 2 * GUARD);
	memory = map + GUARD;
	memset(memory, 0, MEMORY - RO);
	iommu_params_default(&params);
	domain = iommu_domain_alloc(&params);
	if (!domain || iommu_domain_map(domain, IOVA, MEMORY - RO, mm_self(), (uintptr_t)memory,
					IOMMU_READ | IOMMU_WRITE))
		abort();
	if (iommu_domain_map(domain, IOVA + MEMORY - RO, RO, mm_self(), (uintptr_t)memory + MEMORY - RO,
			     IOMMU_READ))
		abort();
	iommu_dev_init(&iommu, "fuzz");
	iommu_dev_attach(&iommu, domain);
	atomic_store(&iommu.enabled, true);
	atomic_store(&iommu.faults_reported, UINT32_MAX); /* faults are expected and not worth a line */
}

static void make_engine(struct engine *engine, const char *options)
{
	struct uvfio_pci_func *func = &engine->func;
	struct uvfio_pci_desc desc = ioat_model.desc;
	char err[256];

	if (options_parse(ioat_model.options, "ioat", options, &engine->options, err, sizeof(err)) < 0)
		abort();
	model_host_init(&engine->host, &func->dev, &iommu);
	calls = model_calls;
	calls.worker_stopping = fuzz_stopping;
	calls.worker_kick = fuzz_kick;
	calls.worker_kick_after = fuzz_kick_after;
	calls.count_command = fuzz_count;
	func->calls = &fuzz_calls;
	func->dev.calls = &calls;
	func->dev.name = "fuzz";
	func->dev.options = &engine->options;
	func->dev.priv = engine->ioat = calloc(1, ioat_model.priv_size);
	if (!engine->ioat || ioat_model.ops.create(func, &desc, err, sizeof(err)))
		abort();
	engine->ioat->worker->dma = dma_user_new(&iommu, &func->dev);
	if (!engine->ioat->worker->dma)
		abort();
}

static void run(struct engine *engine, unsigned int n)
{
	worker_dma = engine->ioat->worker->dma; /* this thread is the worker */
	budget = n;
	do {
		again = false;
		ioat_run(engine->ioat->worker);
	} while (again);
}

static void store(struct engine *engine, uint64_t offset, uint64_t value, unsigned int bytes)
{
	ioat_model.ops.write(&engine->func, 0, offset, value, bytes);
}

static uint64_t load(struct engine *engine, uint64_t offset, unsigned int bytes)
{
	return ioat_model.ops.read(&engine->func, 0, offset, bytes);
}

/* A channel that is ready, with a ring of slots that lead to each other. */
static void bring_up(struct engine *engine)
{
	ioat_model.ops.reset(&engine->func);
	pieces = PIECES;
	for (unsigned int i = 0; i < SLOTS; i++) {
		struct ioat_desc desc = { .size = 8,
					  .ctl = IOAT_DESC_COMPL | IOAT_DESC_NULL,
					  .next = RING + (i + 1) % SLOTS * IOAT_DESC_SIZE };

		memcpy(memory + (RING - IOVA) + (size_t)i * IOAT_DESC_SIZE, &desc, sizeof(desc));
	}
	store(engine, IOAT_REG_CHANCMP, CMP, 8);
	store(engine, IOAT_REG_CHANCTRL, IOAT_CTRL_ERR_COMPL | IOAT_CTRL_ERR_ABORT | IOAT_CTRL_ERR_INT, 2);
	store(engine, IOAT_REG_CHAINADDR, RING, 8);
}

/* ---- the input */

/* An address that often means something. */
static uint64_t take_address(struct input *in)
{
	uint64_t value = take(in, 3);

	if (value >> 23)
		return take(in, 1) & 1 ? 0 - (value & 0xffff) : value << 20;
	return IOVA + value % (MEMORY + 8192);
}

static void take_descriptor(struct input *in)
{
	static const uint8_t ops[] = { 0x00, 0x01, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1 };
	unsigned int slot = (unsigned int)take(in, 1), op = (unsigned int)take(in, 1);
	struct ioat_desc desc = { .size = (uint32_t)take(in, 2), .ctl = (uint32_t)take(in, 3) & 0xff1fff };

	if (!(slot & 0x80)) /* mostly no reserved bits */
		desc.ctl &= 0x7ff;
	desc.ctl |= (op & 0x80 ? op : ops[op % sizeof(ops)]) << 24;
	desc.src = take_address(in);
	desc.dst = take_address(in);
	desc.next = slot & 0x40 ? take_address(in) : RING + (slot + 1) % SLOTS * IOAT_DESC_SIZE;
	for (int i = 0; i < 4; i++)
		desc.arg[i] = take_address(in);
	if (slot & 0x20) /* the super extended descriptor */
		desc.arg[1] &= ~(uint64_t)63;
	memcpy(memory + (RING - IOVA) + slot % SLOTS * IOAT_DESC_SIZE, &desc, sizeof(desc));
}

static void take_memory(struct input *in)
{
	uint64_t at = take(in, 3) % (MEMORY - RO);
	size_t want = take(in, 1), have = MIN(want, in->left), room = MEMORY - RO - at;

	take_bytes(in, memory + at, MIN(have, room));
}

static void take_store(struct engine *engine, struct input *in)
{
	unsigned int bytes = 1u << take(in, 1) % 4;
	uint64_t offset = take(in, 2) % (IOAT_REGS_SIZE + 16);

	store(engine, offset & ~(uint64_t)(bytes - 1), take(in, bytes), bytes);
}

static void take_step(struct engine *engine, struct input *in)
{
	unsigned int kind = (unsigned int)take(in, 1), bytes;

	switch (kind % 12) {
	case 0:
		take_store(engine, in);
		break;
	case 1:
	case 2:
	case 3:
		take_descriptor(in);
		break;
	case 4:
		take_memory(in);
		break;
	case 5:
		store(engine, IOAT_REG_CHANCTRL + take(in, 1) % 8, take(in, 1), 1);
		break;
	case 6:
		store(engine, IOAT_REG_CHAINADDR, take_address(in), 8);
		break;
	case 7:
		store(engine, IOAT_REG_CHANCMP, take_address(in), 8);
		break;
	case 8:
		chanerrmsk_int = (uint32_t)take(in, 4);
		break;
	case 9:
		bytes = 1u << take(in, 1) % 4;
		(void)load(engine, take(in, 2) % IOAT_BAR_SIZE & ~(uint64_t)(bytes - 1), bytes);
		break;
	case 10:
		store(engine, IOAT_REG_DMACOUNT, take(in, 1), 2);
		run(engine, 1 + (unsigned int)take(in, 1));
		break;
	default:
		run(engine, 1 + (unsigned int)take(in, 1) * 16);
	}
}

/* What is true whatever the driver has done. */
static void check(struct engine *engine)
{
	uint64_t status = load(engine, IOAT_REG_CHANSTS, 8);

	if ((status & 7) > IOAT_ARMED || status & 0x38)
		abort();
	if (load(engine, IOAT_REG_CHANCMD, 1)) /* nothing hangs here, so nothing is pending */
		abort();
	if (load(engine, IOAT_REG_CHANERR, 4) & ~(uint64_t)0x75f0c)
		abort();
	for (unsigned int i = 0; i < GUARD + RO; i++)
		if (map[i % GUARD] != 0xa7 || memory[MEMORY - RO + i] != 0xa7)
			abort();
}

/* After all that a reset brings it back. */
static void check_works(struct engine *engine)
{
	uint64_t *from = (void *)(memory + 0x4000), *to = (void *)(memory + 0x5000);
	struct ioat_desc desc = {
		.size = 4096, .ctl = IOAT_DESC_COMPL, .src = IOVA + 0x4000, .dst = IOVA + 0x5000
	};

	bring_up(engine);
	memcpy(memory + (RING - IOVA), &desc, sizeof(desc));
	memset(from, 0x5c, 4096);
	to[511] = 0;
	store(engine, IOAT_REG_DMACOUNT, 1, 2);
	run(engine, PIECES);
	if (to[511] != from[511] || load(engine, IOAT_REG_CHANSTS, 8) != (RING | IOAT_IDLE) ||
	    *(uint64_t *)(void *)(memory + (CMP - IOVA)) != (RING | IOAT_IDLE))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct engine *engine = &engines[take(&in, 1) & 1];

	if (!map) {
		make_memory();
		make_engine(&engines[0], "xfercap=13");
		make_engine(&engines[1], "profile=3.4,xfercap=16");
	}
	chanerr_int = chanerrmsk_int = 0;
	bring_up(engine);
	while (in.left)
		take_step(engine, &in);
	run(engine, PIECES);
	check(engine);
	check_works(engine);
	return 0;
}
