/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers as a driver sees them. Everything here may run in a signal handler.
 *
 * An access of any width lies in one aligned 64-bit word; a narrower write changes only its bytes. A register
 * that nothing is said about keeps what is written to it.
 */
#include "devices/ioat/ioat.h"

#include <sched.h>

#define WAIT_NS              200000000u
#define FIELD(offset, value) ((uint64_t)(value) << ((offset) % 8 * 8))

/* ---- the channel */

/*
 * Wait until the worker has left the run that is `running`; false: it has not, for too long. It yields the
 * CPU meanwhile: the worker may have none.
 */
static bool wait_for_worker(struct ioat *ioat, uint32_t running)
{
	uint64_t end = 0;

	for (;;) {
		for (int i = 0; i < 64; i++) {
			if (atomic_load(&ioat->running) != running)
				return true;
			__builtin_ia32_pause();
		}
		if (!end)
			end = uvfio_now() + WAIT_NS;
		else if (uvfio_now() > end)
			return false;
		sched_yield();
	}
}

/* A new generation, with nothing done; what the worker was at has ended when this returns. */
static void begin_generation(struct ioat *ioat, unsigned int state, bool keep)
{
	uint64_t ctl = atomic_load(&ioat->ctl), new;
	uint32_t gen, running;

	do {
		gen = (ioat_gen(ctl) + 1) & IOAT_GEN_MASK;
		new = (uint64_t)gen << IOAT_GEN_SHIFT | state;
		if (keep)
			new |= ctl &(BIT64(IOAT_GEN_SHIFT) - 8);
		else
			new |= IOAT_FRESH;
	} while (!atomic_compare_exchange_weak(&ioat->ctl, &ctl, new));
	running = atomic_load(&ioat->running);
	if (running && running - 1 != gen && !wait_for_worker(ioat, running))
		atomic_store(&ioat->hung, running);
}

static void channel_reset(struct ioat *ioat)
{
	begin_generation(ioat, IOAT_HALTED, false);
	atomic_fetch_and(IOAT_REG64(ioat, IOAT_REG_CHANERR), ~(uint64_t)UINT32_MAX);
	atomic_store(IOAT_REG64(ioat, IOAT_REG_CDAR), 0);
}

static void suspend(struct ioat *ioat)
{
	uint64_t ctl = atomic_load(&ioat->ctl);
	uint32_t running;

	do {
		if (ioat_state(ctl) == IOAT_HALTED)
			return;
	} while (!atomic_compare_exchange_weak(&ioat->ctl, &ctl, ioat_with_state(ctl, IOAT_SUSPENDED)));
	running = atomic_load(&ioat->running);
	if (running)
		(void)wait_for_worker(ioat, running);
}

static void resume(struct ioat *ioat)
{
	uint64_t ctl = atomic_load(&ioat->ctl);
	unsigned int state;

	do {
		if (ioat_state(ctl) != IOAT_SUSPENDED)
			return;
		if (ioat_count(ctl) != ioat_done(ctl))
			state = IOAT_ACTIVE;
		else
			state = ctl & IOAT_FRESH ? IOAT_ARMED : IOAT_IDLE;
	} while (!atomic_compare_exchange_weak(&ioat->ctl, &ctl, ioat_with_state(ctl, state)));
	if (state == IOAT_ACTIVE)
		uvfio_worker_kick(ioat->worker);
}

static void write_command(struct ioat *ioat, uint8_t command)
{
	if (command & IOAT_CMD_RESET)
		channel_reset(ioat);
	else if (command & IOAT_CMD_ABORT)
		begin_generation(ioat, IOAT_HALTED, true);
	else if (command & IOAT_CMD_SUSPEND)
		suspend(ioat);
	else if (command & IOAT_CMD_RESUME)
		resume(ioat);
}

static void write_count(struct ioat *ioat, uint16_t value, uint16_t mask)
{
	uint64_t ctl = atomic_load(&ioat->ctl), new;

	do {
		uint16_t count = (uint16_t)((ioat_count(ctl) & ~mask) | (value & mask));
		unsigned int state = ioat_state(ctl);

		if (state != IOAT_HALTED && state != IOAT_SUSPENDED && count != ioat_done(ctl))
			state = IOAT_ACTIVE;
		new = ioat_with_state(ioat_with_count(ctl, count), state);
	} while (!atomic_compare_exchange_weak(&ioat->ctl, &ctl, new));
	if (ioat_state(new) == IOAT_ACTIVE)
		uvfio_worker_kick(ioat->worker);
}

static uint64_t status(struct ioat *ioat)
{
	uint64_t ctl, last;

	do {
		ctl = atomic_load(&ioat->ctl);
		last = atomic_load(&ioat->last);
	} while (atomic_load(&ioat->ctl) != ctl);
	return (ctl & IOAT_FRESH ? 0 : last) | ioat_state(ctl);
}

static bool reset_pending(struct ioat *ioat)
{
	uint32_t hung = atomic_load(&ioat->hung);

	return hung && atomic_load(&ioat->running) == hung;
}

/* ---- words */

static uint64_t control_word(struct ioat *ioat, uint64_t stored)
{
	uint64_t word = stored | FIELD(IOAT_REG_DMA_COMP, IOAT_DMA_COMP_V2);

	if (reset_pending(ioat))
		word |= FIELD(IOAT_REG_CHANCMD, IOAT_CMD_RESET);
	return word | FIELD(IOAT_REG_DMACOUNT, ioat_count(atomic_load(&ioat->ctl)));
}

static uint64_t interrupt_word(struct ioat *ioat, uint64_t stored)
{
	uint64_t word = stored | FIELD(IOAT_REG_CHANCNT, 1) | FIELD(IOAT_REG_XFERCAP, ioat->xfercap);

	if (!atomic_load(&ioat->attention))
		return word;
	word |= FIELD(IOAT_REG_INTRCTRL, IOAT_INTRCTRL_STATUS) | FIELD(IOAT_REG_ATTNSTATUS, 1);
	if (word & FIELD(IOAT_REG_INTRCTRL, IOAT_INTRCTRL_MASTER))
		word |= FIELD(IOAT_REG_INTRCTRL, IOAT_INTRCTRL_INT);
	return word;
}

static uint64_t read_word(struct ioat *ioat, uint64_t offset)
{
	uint64_t stored = atomic_load(&ioat->regs[offset / 8]);

	switch (offset) {
	case IOAT_REG_CHANCNT:
		return interrupt_word(ioat, stored);
	case IOAT_REG_CBVER:
		return stored | ioat->version;
	case IOAT_REG_DMACAP:
		return ioat->cap;
	case IOAT_REG_CHANCTRL:
		return control_word(ioat, stored);
	case IOAT_REG_CHANSTS:
		return status(ioat);
	default:
		return stored;
	}
}

/* The bits that are kept as they are written. */
static uint64_t writable(uint64_t offset)
{
	switch (offset) {
	case IOAT_REG_CHANCNT:
		return FIELD(IOAT_REG_GENCTRL, 0xff) |
		       FIELD(IOAT_REG_INTRCTRL, IOAT_INTRCTRL_MASTER | IOAT_INTRCTRL_MSIX);
	case IOAT_REG_CBVER:
		return FIELD(IOAT_REG_INTRDELAY, 0x7fff);
	case IOAT_REG_CHANCTRL:
		return 0xffff & ~IOAT_CTRL_REARM;
	case IOAT_REG_CHANERR:
		return FIELD(IOAT_REG_CHANERRMSK, UINT32_MAX);
	case IOAT_REG_DMACAP:
	case IOAT_REG_CHANSTS:
	case IOAT_REG_CDAR:
		return 0;
	default:
		return UINT64_MAX;
	}
}

static void store(struct ioat *ioat, uint64_t offset, uint64_t value, uint64_t mask)
{
	_Atomic uint64_t *reg = &ioat->regs[offset / 8];
	uint64_t old = atomic_load(reg);

	mask &= writable(offset);
	while (mask && !atomic_compare_exchange_weak(reg, &old, (old & ~mask) | (value & mask)))
		;
}

/* What the driver says with INTRCTRL: it has seen the interrupt. */
static void attention_seen(struct ioat *ioat)
{
	if (atomic_exchange(&ioat->attention, 0))
		uvfio_pci_intx(ioat->func, false);
}

static void write_word(struct ioat *ioat, uint64_t offset, uint64_t value, uint64_t mask)
{
	if (offset == IOAT_REG_CHAINADDR)
		begin_generation(ioat, IOAT_HALTED, false);
	store(ioat, offset, value, mask);
	switch (offset) {
	case IOAT_REG_CHANCNT:
		if (mask & FIELD(IOAT_REG_INTRCTRL, 0xff))
			attention_seen(ioat);
		break;
	case IOAT_REG_CHANCTRL:
		if (mask & FIELD(IOAT_REG_CHANCMD, 0xff))
			write_command(ioat, (uint8_t)(value >> 32));
		if (mask & FIELD(IOAT_REG_DMACOUNT, 0xffff))
			write_count(ioat, (uint16_t)(value >> 48), (uint16_t)(mask >> 48));
		break;
	case IOAT_REG_CHAINADDR:
		begin_generation(ioat, IOAT_ARMED, false);
		break;
	case IOAT_REG_CHANERR:
		atomic_fetch_and(IOAT_REG64(ioat, offset), ~(value & mask & UINT32_MAX));
		break;
	default:
		break;
	}
}

/* ---- accesses */

uint64_t ioat_read(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size)
{
	uint64_t value;

	if (bar != 0 || offset >= IOAT_REGS_SIZE)
		return 0;
	value = read_word(func->dev.priv, align_down(offset, 8)) >> (offset % 8 * 8);
	return size < 8 ? value & (BIT64(size * 8) - 1) : value;
}

void ioat_write(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		unsigned int size)
{
	unsigned int shift = offset % 8 * 8;
	uint64_t mask = size < 8 ? BIT64(size * 8) - 1 : UINT64_MAX;

	if (bar != 0 || offset >= IOAT_REGS_SIZE)
		return;
	write_word(func->dev.priv, align_down(offset, 8), (value & mask) << shift, mask << shift);
}

void ioat_regs_reset(struct ioat *ioat)
{
	uint32_t gen = (ioat_gen(atomic_load(&ioat->ctl)) + 1) & IOAT_GEN_MASK;

	for (size_t i = 0; i < ARRAY_SIZE(ioat->regs); i++)
		atomic_store(&ioat->regs[i], 0);
	atomic_store(&ioat->running, 0);
	atomic_store(&ioat->hung, 0);
	atomic_store(&ioat->last, 0);
	atomic_store(&ioat->ctl, (uint64_t)gen << IOAT_GEN_SHIFT | IOAT_FRESH | IOAT_HALTED);
	attention_seen(ioat);
}
