/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Traces and counters.
 *
 * A trace event is one decoded thing that happened: an ioctl with its result, a register access, a command.
 * Events go to two sinks: text for a person (--trace), and JSON in Chrome's trace-event format for Perfetto
 * (--trace-out). Without a sink an event costs one load and one branch: always ask trace_on() first.
 *
 * Counters are always on. They live in memory that the launcher shares with the program (stats_attach), so
 * that the summary can be printed after the program has ended, however it ended.
 */
#ifndef UVFIO_BASE_TRACE_H
#define UVFIO_BASE_TRACE_H

#include "base/base.h"

enum trace_category {
	TRACE_IOCTL = 1 << 0,  /* ioctls, with decoded arguments and result */
	TRACE_FILE = 1 << 1,   /* open, close, mmap, munmap of our files; reads and writes that fail */
	TRACE_CONFIG = 1 << 2, /* PCI config space accesses */
	TRACE_BAR = 1 << 3,    /* BAR accesses, by pread/pwrite or trapped */
	TRACE_DMA = 1 << 4,    /* device accesses to memory, map and unmap */
	TRACE_IRQ = 1 << 5,    /* interrupts signalled, masked, unmasked */
	TRACE_CMD = 1 << 6,    /* device commands (NVMe, ...) */
	TRACE_FAULT = 1 << 7,  /* DMA faults, mappings that went with their container */
	TRACE_ALL = 0xff,
};

extern _Atomic uint32_t trace_mask;
extern uint32_t trace_commands; /* trace_on(TRACE_CMD), for <uvfio/device.h>: read with __atomic_load_n */

static inline bool trace_on(enum trace_category cat)
{
	return unlikely(atomic_load_explicit(&trace_mask, memory_order_relaxed) & (uint32_t)cat);
}

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t trace_now(void);

/*
 * Emit one event. track: the device's name (BDF), or NULL for the calling thread. name: short and constant
 * ("MAP_DMA", "read", "irq"). start_ns: trace_now() at the beginning, or 0 for an instant; the text
 * shows the time of the end and the duration. fmt: the details,
 * "key=value ..." style, one line. Keeps errno. Safe in a signal handler.
 */
void trace_emit(enum trace_category cat, const char *track, const char *name, uint64_t start_ns,
		const char *fmt, ...) __printf(5, 6);

/* Parse "all" or "ioctl,dma,..." into a mask. Returns -EINVAL and points *bad at the unknown word. */
int trace_parse_categories(const char *list, uint32_t *mask, const char **bad);

/*
 * Turn sinks on: text_mask for stderr; json_path (or NULL) a file that the launcher made with
 * trace_json_create(): events are appended to it. 0 or -errno of open.
 */
int trace_start(uint32_t text_mask, uint32_t json_mask, const char *json_path);
int trace_json_create(const char *path); /* truncate, write the opening; -errno */
int trace_json_finish(const char *path); /* close the array, so that the file is valid JSON; -errno */

enum stat_id {
	STAT_IOCTLS,
	STAT_MAPS,
	STAT_UNMAPS,
	STAT_MAPPED_BYTES, /* now mapped */
	STAT_MAPPINGS,     /* now existing */
	STAT_MMIO_TRAPS,
	STAT_CONFIG_ACCESSES,
	STAT_BAR_ACCESSES,
	STAT_DMA_READ_BYTES,  /* device read from memory */
	STAT_DMA_WRITE_BYTES, /* device wrote to memory */
	STAT_IRQS,
	STAT_COMMANDS,
	STAT_COMMAND_ERRORS,
	STAT_FAULTS,
	STAT_LEFT_MAPPINGS, /* existing when their container went */
	STAT_COUNT,
};

extern _Atomic uint64_t *stats; /* STAT_COUNT counters; a private array until stats_attach */

/*
 * Bytes of DMA, counted without locked instructions: whoever copies under a lock of its own takes a slot.
 * What a slot has counted stays in it when it is given back.
 */
struct stat_slot {
	_Atomic uint64_t taken, read, written;
} __attribute__((aligned(64)));

struct stat_slot *stat_slot_take(void); /* NULL: there is none, count with stat_add() */
void stat_slot_give(struct stat_slot *slot);
uint64_t stat_total(enum stat_id id); /* with those of the slots */

static inline void stat_add(enum stat_id id, uint64_t n)
{
	atomic_fetch_add_explicit(&stats[id], n, memory_order_relaxed);
}

static inline void stat_sub(enum stat_id id, uint64_t n)
{
	atomic_fetch_sub_explicit(&stats[id], n, memory_order_relaxed);
}

/* One writer at a time; slot: or NULL. */
static inline void stat_slot_add(struct stat_slot *slot, uint64_t n, bool write)
{
	_Atomic uint64_t *count;

	if (unlikely(!slot)) {
		stat_add(write ? STAT_DMA_WRITE_BYTES : STAT_DMA_READ_BYTES, n);
		return;
	}
	count = write ? &slot->written : &slot->read;
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* Map the counters of path (created when missing), shared between processes. 0 or -errno. */
int stats_attach(const char *path);

#endif
