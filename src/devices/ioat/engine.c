/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker: goes through the chain, descriptor by descriptor, while the channel is active.
 *
 * Order of what a driver sees of a descriptor: its data, what is written to CHANCMP, CHANSTS, the interrupt.
 * Of an error: CHANERR, CHANSTS, what is written to CHANCMP, the interrupt.
 */
#include "devices/ioat/ioat.h"

#define IRQ_BATCH 16   /* interrupts that may become one */
#define SECTION   32   /* descriptors in one DMA section */
#define IRQ_HURRY 4096 /* bytes: an operation that is not begun before the interrupts are delivered */

/*
 * How long a chain waits that begins after an error, as hardware has to collect itself too. DPDK (22.11 to
 * 24.11) relies on it: asked for the status of the operation that has failed, right after it has restarted
 * the channel, its driver forgets the next operation if that is already done. A program on a busy machine may
 * be put aside just there, so this is more than the moment that hardware takes.
 */
#define RECOVERY_NS 1000000

#define FATAL       (IOAT_ERR_NEXT | IOAT_ERR_ALIGN | IOAT_ERR_COUNT) /* there is no way on */
#define RESERVED    0x00fff800u                                       /* control bits of copy and fill */

/* Is the chain still the driver's current one? It may be suspended, not ended. */
static bool owns(struct ioat *ioat)
{
	uint64_t ctl = atomic_load(&ioat->ctl);

	return ioat_gen(ctl) == ioat->gen && ioat_state(ctl) != IOAT_HALTED;
}

static bool active(struct ioat *ioat, uint64_t ctl)
{
	return ioat_gen(ctl) == ioat->gen && ioat_state(ctl) == IOAT_ACTIVE &&
	       !uvfio_worker_stopping(ioat->worker);
}

void ioat_breathe(struct ioat *ioat)
{
	uvfio_dma_end(ioat->worker->dma);
	uvfio_dma_begin(ioat->worker->dma);
}

bool ioat_may_go_on(struct ioat *ioat)
{
	return active(ioat, atomic_load(&ioat->ctl));
}

/* ---- interrupts */

static void interrupt(struct ioat *ioat)
{
	uint64_t intrctrl = atomic_load(IOAT_REG64(ioat, IOAT_REG_INTRCTRL)) >> 24;
	enum uvfio_irq_mode mode = uvfio_pci_irq_mode(ioat->func);

	if (mode == UVFIO_IRQ_MSIX) {
		uvfio_pci_irq(ioat->func, 0);
		return;
	}
	atomic_store(&ioat->attention, 1);
	if (!(intrctrl & IOAT_INTRCTRL_MASTER))
		return;
	if (mode == UVFIO_IRQ_MSI)
		uvfio_pci_irq(ioat->func, 0);
	else
		uvfio_pci_intx(ioat->func, true);
}

static void flush_irqs(struct ioat *ioat)
{
	if (!ioat->irqs)
		return;
	ioat->irqs = 0;
	interrupt(ioat);
}

/* ---- one descriptor */

static uint32_t fetch(struct ioat *ioat)
{
	if (ioat->next % IOAT_DESC_SIZE)
		return IOAT_ERR_ALIGN;
	atomic_store_explicit(IOAT_REG64(ioat, IOAT_REG_CDAR), ioat->next, memory_order_relaxed);
	if (uvfio_dma_read(ioat->worker->dma, ioat->next, &ioat->desc, sizeof(ioat->desc), "descriptor"))
		return IOAT_ERR_NEXT;
	ioat->offset = 0;
	ioat->wrong = 0;
	ioat->fetched = true;
	return 0;
}

static uint32_t copy(struct ioat *ioat)
{
	const struct ioat_desc *desc = &ioat->desc;
	bool dst_failed = false;

	if (ioat_wraps(desc->src, desc->size))
		return IOAT_ERR_READ;
	if (ioat_wraps(desc->dst, desc->size))
		return IOAT_ERR_WRITE;
	while (ioat->offset < desc->size) {
		uint32_t n = MIN(desc->size - ioat->offset, IOAT_PIECE);

		if (!ioat_may_go_on(ioat))
			return IOAT_CUT;
		if (uvfio_dma_copy(ioat->worker->dma, desc->dst + ioat->offset, desc->src + ioat->offset, n,
				   "copy", &dst_failed))
			return dst_failed ? IOAT_ERR_WRITE : IOAT_ERR_READ;
		ioat->offset += n;
		if (n == IOAT_PIECE)
			ioat_breathe(ioat);
	}
	return 0;
}

static uint32_t fill(struct ioat *ioat)
{
	const struct ioat_desc *desc = &ioat->desc;

	if (ioat_wraps(desc->dst, desc->size))
		return IOAT_ERR_WRITE;
	while (ioat->offset < desc->size) {
		uint32_t n = MIN(desc->size - ioat->offset, IOAT_PIECE);

		if (!ioat_may_go_on(ioat))
			return IOAT_CUT;
		if (uvfio_dma_fill(ioat->worker->dma, desc->dst + ioat->offset, desc->src, n, "fill"))
			return IOAT_ERR_WRITE;
		ioat->offset += n;
		if (n == IOAT_PIECE)
			ioat_breathe(ioat);
	}
	return 0;
}

/* used and next: as for ioat_raid(). */
static uint32_t execute(struct ioat *ioat, uint16_t pending, unsigned int *used, uint64_t *next)
{
	const struct ioat_desc *desc = &ioat->desc;
	unsigned int op = IOAT_DESC_OP(desc->ctl);

	*used = 1;
	*next = desc->next;
	if (op != IOAT_OP_COPY && op != IOAT_OP_FILL)
		return ioat_raid(ioat, pending, used, next);
	if (desc->ctl & RESERVED)
		return IOAT_ERR_CONTROL;
	if (!desc->size || desc->size > BIT32(ioat->xfercap))
		return IOAT_ERR_LENGTH;
	if (desc->ctl & IOAT_DESC_NULL)
		return 0;
	return op == IOAT_OP_COPY ? copy(ioat) : fill(ioat);
}

/* ---- how it ends */

/* One aligned store. */
static uint32_t write_back(struct ioat *ioat, uint64_t value)
{
	uint64_t iova = atomic_load(IOAT_REG64(ioat, IOAT_REG_CHANCMP));

	if (iova % sizeof(value) ||
	    uvfio_dma_write(ioat->worker->dma, iova, &value, sizeof(value), "completion"))
		return IOAT_ERR_CHANCMP;
	return 0;
}

/* `used` descriptors are behind us, and nothing is fresh any more if the first was good. */
static bool advance(struct ioat *ioat, unsigned int used, uint64_t next, bool good)
{
	uint64_t ctl = atomic_load(&ioat->ctl), new;

	if (good)
		atomic_store_explicit(&ioat->last, ioat->next, memory_order_release);
	do {
		uint16_t done = (uint16_t)(ioat_done(ctl) + used);

		if (ioat_gen(ctl) != ioat->gen)
			return false;
		new = ioat_with_done(ctl, done);
		if (good)
			new &= ~IOAT_FRESH;
		if (ioat_state(ctl) == IOAT_ACTIVE && done == ioat_count(ctl))
			new = ioat_with_state(new, IOAT_IDLE);
	} while (!atomic_compare_exchange_weak(&ioat->ctl, &ctl, new));
	ioat->next = next;
	ioat->fetched = false;
	return true;
}

/* Halts the channel; false when the chain is no longer the current one. */
static bool halt(struct ioat *ioat)
{
	uint64_t ctl = atomic_load(&ioat->ctl);

	do {
		if (ioat_gen(ctl) != ioat->gen)
			return false;
	} while (!atomic_compare_exchange_weak(&ioat->ctl, &ctl, ioat_with_state(ctl, IOAT_HALTED)));
	return true;
}

static uint64_t last_good(struct ioat *ioat)
{
	return atomic_load(&ioat->ctl) & IOAT_FRESH ? 0 : atomic_load(&ioat->last);
}

static void fail(struct ioat *ioat, uint32_t error, unsigned int used, uint64_t next)
{
	uint64_t control = atomic_load(IOAT_REG64(ioat, IOAT_REG_CHANCTRL));
	uint32_t masked = (uint32_t)(atomic_load(IOAT_REG64(ioat, IOAT_REG_CHANERRMSK)) >> 32);
	bool fatal = control & IOAT_CTRL_ERR_ABORT || error & FATAL;

	if (!owns(ioat))
		return;
	atomic_fetch_or(IOAT_REG64(ioat, IOAT_REG_CHANERR), error);
	uvfio_pci_config_update(ioat->func, IOAT_CFG_CHANERR_INT, 0,
				error & ~uvfio_pci_config_read(ioat->func, IOAT_CFG_CHANERRMSK_INT));
	ioat->failed = fatal;
	if (!(fatal ? halt(ioat) : advance(ioat, used, next, false)))
		return;
	uvfio_count_command(&ioat->func->dev, true);
	/* The address that has just proved bad is not tried again. */
	if (fatal && control & IOAT_CTRL_ERR_COMPL && error != IOAT_ERR_CHANCMP)
		(void)write_back(ioat, last_good(ioat) | IOAT_HALTED);
	if (control & IOAT_CTRL_ERR_INT && error & ~masked)
		ioat->irqs++;
}

static uint32_t complete(struct ioat *ioat, unsigned int used)
{
	uint64_t ctl = atomic_load(&ioat->ctl);
	bool end = ioat_count(ctl) == (uint16_t)(ioat_done(ctl) + used);

	if (!(ioat->desc.ctl & IOAT_DESC_COMPL))
		return 0;
	return owns(ioat) ? write_back(ioat, ioat->next | (end ? IOAT_IDLE : IOAT_ACTIVE)) : IOAT_CUT;
}

static void trace(struct ioat *ioat, uint64_t iova, uint64_t start, uint32_t error)
{
	const struct ioat_desc *desc = &ioat->desc;

	uvfio_trace(&ioat->func->dev, ioat_op_name(desc), start,
		    "desc=0x%llx size=%u ctl=0x%x src=0x%llx dst=0x%llx next=0x%llx chanerr=0x%x",
		    (unsigned long long)iova, desc->size, desc->ctl, (unsigned long long)desc->src,
		    (unsigned long long)desc->dst, (unsigned long long)desc->next, error);
}

/* ---- the chain */

/* False: the channel is not active any more, or what is left of the chain is not ours. */
static bool step(struct ioat *ioat, uint16_t pending)
{
	bool tracing = uvfio_trace_on(&ioat->func->dev);
	uint64_t start = tracing ? uvfio_now() : 0, iova = ioat->next, next = 0;
	unsigned int used = 1;
	uint32_t error = 0;

	if (!ioat->fetched)
		error = fetch(ioat);
	if (ioat->irqs >= IRQ_BATCH || (ioat->fetched && ioat->desc.size >= IRQ_HURRY))
		flush_irqs(ioat);
	if (!error)
		error = execute(ioat, pending, &used, &next);
	if (!error)
		error = complete(ioat, used);
	if (error & IOAT_CUT)
		return false;
	if (tracing && ioat->fetched)
		trace(ioat, iova, start, error);
	if (error) {
		fail(ioat, error, used, next);
		return true;
	}
	if (!advance(ioat, used, next, true))
		return false;
	if (ioat->desc.ctl & IOAT_DESC_INT)
		ioat->irqs++;
	uvfio_count_command(&ioat->func->dev, false);
	return true;
}

/* Where the chain begins, if it is another one. */
static void begin(struct ioat *ioat, uint64_t ctl)
{
	if (ioat->gen == ioat_gen(ctl))
		return;
	ioat->gen = ioat_gen(ctl);
	ioat->next = atomic_load(IOAT_REG64(ioat, IOAT_REG_CHAINADDR));
	ioat->fetched = false;
	ioat->not_before = ioat->failed ? uvfio_now() + RECOVERY_NS : 0;
	ioat->failed = false;
}

/* True: not yet; we come back. */
static bool too_early(struct ioat *ioat)
{
	uint64_t now;

	if (!ioat->not_before)
		return false;
	now = uvfio_now();
	if (now < ioat->not_before) {
		uvfio_worker_kick_after(ioat->worker, ioat->not_before - now);
		return true;
	}
	ioat->not_before = 0;
	return false;
}

/*
 * Goes through the chain from where it was left. Small operations share a DMA section, which costs as much as
 * they do; long ones let go of it between their pieces.
 */
static void follow(struct ioat *ioat)
{
	unsigned int steps = 0;
	uint64_t ctl;

	uvfio_dma_begin(ioat->worker->dma);
	for (;;) {
		uint16_t pending;

		ctl = atomic_load(&ioat->ctl);
		if (!active(ioat, ctl))
			break;
		pending = (uint16_t)(ioat_count(ctl) - ioat_done(ctl));
		if (!pending)
			atomic_compare_exchange_strong(&ioat->ctl, &ctl, ioat_with_state(ctl, IOAT_IDLE));
		else if (!step(ioat, pending))
			break;
		if (++steps % SECTION == 0)
			ioat_breathe(ioat);
	}
	uvfio_dma_end(ioat->worker->dma);
	flush_irqs(ioat);
}

void ioat_run(struct uvfio_worker *worker)
{
	struct ioat *ioat = worker->arg;

	for (;;) {
		uint64_t ctl = atomic_load(&ioat->ctl);

		if (ioat_state(ctl) != IOAT_ACTIVE || uvfio_worker_stopping(worker))
			return;
		begin(ioat, ctl);
		if (too_early(ioat))
			return;
		atomic_store(&ioat->running, ioat->gen + 1);
		/* Whoever ends this chain from here on sees us in it; who did before is seen now. */
		if (ioat_gen(atomic_load(&ioat->ctl)) == ioat->gen)
			follow(ioat);
		atomic_store(&ioat->running, 0);
	}
}
