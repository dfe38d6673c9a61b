/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An Intel I/OAT copy engine with one channel.
 *
 * The channel's state is one atomic word, ctl, that is changed by compare-and-exchange alone: by register
 * writes, in whichever thread or signal handler they are, and by the worker that goes through the chain. So
 * nothing waits for a lock that an interrupted thread holds.
 *
 * A chain is what a write of CHAINADDR begins; generation is its number, and that of each reset. The worker
 * looks at the word before each piece of memory it writes, and leaves the chain when the generation is
 * another one or the channel no longer active. `running` is the generation that the worker is going through
 * (plus one), 0 between two runs; who ends a chain waits until it is no longer that, for a while at least: a
 * piece that hangs because memory does would hang the register access too. CHANCMD then shows RESET until it
 * is done.
 *
 * Only the worker writes `last`, and before the word that counts the descriptor as done; while the word says
 * that nothing is done (IOAT_FRESH), last has no meaning. So a status is consistent when the word is the same
 * before and after.
 */
#ifndef UVFIO_DEVICES_IOAT_IOAT_H
#define UVFIO_DEVICES_IOAT_IOAT_H

#include "devices/ioat/spec.h"

#include <uvfio/pci.h>

/* ---- the word */

#define IOAT_FRESH       BIT64(3) /* no descriptor done since CHAINADDR was written */
#define IOAT_DONE_SHIFT  4        /* descriptors done, 16 bits */
#define IOAT_COUNT_SHIFT 20       /* DMACOUNT, 16 bits */
#define IOAT_GEN_SHIFT   36       /* generation, 28 bits */
#define IOAT_GEN_MASK    (BIT32(28) - 1)

static inline unsigned int ioat_state(uint64_t ctl)
{
	return (unsigned int)(ctl & 7);
}

static inline uint16_t ioat_done(uint64_t ctl)
{
	return (uint16_t)(ctl >> IOAT_DONE_SHIFT);
}

static inline uint16_t ioat_count(uint64_t ctl)
{
	return (uint16_t)(ctl >> IOAT_COUNT_SHIFT);
}

static inline uint32_t ioat_gen(uint64_t ctl)
{
	return (uint32_t)(ctl >> IOAT_GEN_SHIFT);
}

static inline uint64_t ioat_with_state(uint64_t ctl, unsigned int state)
{
	return (ctl & ~(uint64_t)7) | state;
}

static inline uint64_t ioat_with_done(uint64_t ctl, uint16_t done)
{
	return (ctl & ~((uint64_t)UINT16_MAX << IOAT_DONE_SHIFT)) | (uint64_t)done << IOAT_DONE_SHIFT;
}

static inline uint64_t ioat_with_count(uint64_t ctl, uint16_t count)
{
	return (ctl & ~((uint64_t)UINT16_MAX << IOAT_COUNT_SHIFT)) | (uint64_t)count << IOAT_COUNT_SHIFT;
}

/* ---- the device */

struct ioat_options {
	char *profile;
	uint64_t xfercap;
};

#define IOAT_BLOCK 8192 /* bytes of each source of XOR and PQ at a time */

struct ioat_raid {
	uint8_t p[IOAT_BLOCK], q[IOAT_BLOCK], source[IOAT_BLOCK];
	uint8_t times[IOAT_MAX_SOURCES][256]; /* products with each source's coefficient */
};

struct ioat {
	struct uvfio_pci_func *func;
	struct uvfio_worker *worker;
	/* Constant after create. */
	uint8_t version;
	uint8_t xfercap;
	uint32_t cap;
	struct ioat_raid *raid; /* the worker's; NULL without XOR and PQ */
	/* Anybody's. */
	_Atomic uint64_t ctl;
	_Atomic uint64_t last; /* IOVA of the last descriptor done; the worker writes it */
	_Atomic uint32_t running;
	_Atomic uint32_t hung;                     /* what `running` was when a write gave up waiting */
	_Atomic uint64_t regs[IOAT_REGS_SIZE / 8]; /* what drivers have written, and CDAR, CHANERR */
	_Atomic uint32_t attention;
	/* The worker's: where in the chain it is. */
	uint32_t gen;
	uint64_t next;         /* IOVA of the next descriptor, or of desc */
	bool fetched;          /* desc is valid and under way */
	struct ioat_desc desc; /* a copy: the driver's can change */
	uint32_t offset;       /* bytes of it done */
	uint32_t wrong;        /* what its validation has found in them */
	unsigned int irqs;     /* interrupts due */
	bool failed;           /* the chain before ended in an error */
	uint64_t not_before;   /* when this one may begin, uvfio_now(); 0: it may */
};

#define IOAT_REG64(ioat, offset) (&(ioat)->regs[(offset) / 8])

/* regs.c: async-signal-safe */
void ioat_regs_reset(struct ioat *ioat);
uint64_t ioat_read(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size);
void ioat_write(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		unsigned int size);

/* engine.c */
void ioat_run(struct uvfio_worker *worker);

/*
 * May the worker go on with its chain? To be asked before each piece of memory that it writes, and a piece is
 * small enough for who waits in a register write.
 */
bool ioat_may_go_on(struct ioat *ioat);

#define IOAT_PIECE ((uint32_t)128 << 10) /* bytes; a multiple of 8 */
#define IOAT_CUT   BIT32(31)             /* among CHANERR's bits: stopped between two pieces */

/* A range that runs past the end of the address space is nowhere. */
static inline bool ioat_wraps(uint64_t iova, uint32_t size)
{
	return (uint64_t)size - 1 > UINT64_MAX - iova;
}

/*
 * raid.c: carry out ioat->desc from ioat->offset on, an XOR or PQ operation.
 * pending: descriptors that may be used, this one included. used: how many it takes. next: IOVA of the one
 * behind them. Returns 0, IOAT_CUT, or CHANERR's bits.
 */
uint32_t ioat_raid(struct ioat *ioat, uint16_t pending, unsigned int *used, uint64_t *next);

/* names.c */
extern const struct uvfio_register ioat_registers[];
const char *ioat_op_name(const struct ioat_desc *desc);

extern const struct uvfio_pci_model ioat_model;

#endif
