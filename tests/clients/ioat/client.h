/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of copy engines that knows VFIO and the engine's description, nothing else; it would run on real
 * hardware. All engines that it finds share a container. Registers are reached through the mapped BAR.
 *
 * I/O addresses. One area of memory is mapped in two halves that are adjacent for the device and lie the
 * other way round in the process; behind it a stretch that the device can only read and one that it can only
 * write. Everything else is not mapped.
 */
#ifndef UVFIO_TESTS_IOAT_CLIENT_H
#define UVFIO_TESTS_IOAT_CLIENT_H

#include "registers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB        1024ull
#define MIB        (1024 * KIB)
#define GIB        (1024 * MIB)

#define AREA       0x100000000ull
#define HALF       (8 * MIB)
#define MIDDLE     (AREA + HALF)
#define AREA_SIZE  (2 * HALF)
#define READ_ONLY  0x200000000ull /* 64 KiB */
#define WRITE_ONLY 0x210000000ull /* 64 KiB */
#define NOWHERE    0x300000000ull

/* What is where in the area; each engine has a megabyte for its ring. */
#define RINGS       AREA
#define MAX_SLOTS   4096u
#define DATA        (AREA + 4 * MIB)

#define MAX_ENGINES 4

struct engine {
	char bdf[16];
	int group, device;
	uint64_t config; /* offset of the region */
	volatile uint8_t *bar;
	uint64_t ring; /* I/O address of slot 0 */
	uint64_t cmp;  /* of the completion */
	unsigned int xfercap;
	uint32_t cap;
	uint8_t version;
};

extern int container;
extern struct engine engines[MAX_ENGINES];
extern unsigned int nr_engines;

/* ---- main.c: a case ends with the first thing that is wrong */
void wrong(const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4), noreturn));

#define CHECK(what)                                                                                          \
	do {                                                                                                 \
		if (!(what))                                                                                 \
			wrong(__FILE__, __LINE__, "%s", #what);                                              \
	} while (0)

#define EQUAL(got, expected)                                                                                 \
	do {                                                                                                 \
		uint64_t got_ = (uint64_t)(got), expected_ = (uint64_t)(expected);                           \
		if (got_ != expected_)                                                                       \
			wrong(__FILE__, __LINE__, "%s is %#llx, not %#llx", #got, (unsigned long long)got_,  \
			      (unsigned long long)expected_);                                                \
	} while (0)

/* ---- vfio.c: the way to the engines */
void engines_open(void);
void engines_close(void);
extern bool windows; /* the IOMMU has DMA windows, and memory is registered before it is mapped */
long dma_map(uint64_t iova, void *at, uint64_t size, uint32_t flags);
long dma_unmap(uint64_t iova, uint64_t size); /* bytes, or -1 */
void *memory(uint64_t iova);                  /* of the area; contiguous to the middle */
void *read_only_memory(void);
void *write_only_memory(void);
void device_reset(struct engine *e); /* VFIO_DEVICE_RESET, and bus mastering on again */
void bus_master(struct engine *e);
void engine_open(struct engine *e); /* its device; groups and container are open */
void engine_close(struct engine *e);
uint8_t find_capability(struct engine *e, uint8_t id); /* or 0 */
uint32_t config_read(struct engine *e, uint64_t offset, unsigned int size);
void config_write(struct engine *e, uint64_t offset, uint32_t value, unsigned int size);
/* Vector 0 of VFIO_PCI_*_IRQ_INDEX signals this eventfd; -1: the interrupts are disabled. */
void set_irq(struct engine *e, unsigned int index, int event);
uint64_t drain(int event);      /* what it has counted */
uint64_t wait_event(int event); /* the same when something is there, at most 5 seconds later */

/* ---- engine.c: registers and chains */
static inline uint8_t r8(const struct engine *e, unsigned int at)
{
	return *(e->bar + at);
}

static inline uint16_t r16(const struct engine *e, unsigned int at)
{
	return *(volatile uint16_t *)(e->bar + at);
}

static inline uint32_t r32(const struct engine *e, unsigned int at)
{
	return *(volatile uint32_t *)(e->bar + at);
}

static inline uint64_t r64(const struct engine *e, unsigned int at)
{
	return *(volatile uint64_t *)(e->bar + at);
}

static inline void w8(const struct engine *e, unsigned int at, uint8_t value)
{
	*(e->bar + at) = value;
}

static inline void w16(const struct engine *e, unsigned int at, uint16_t value)
{
	*(volatile uint16_t *)(e->bar + at) = value;
}

static inline void w32(const struct engine *e, unsigned int at, uint32_t value)
{
	*(volatile uint32_t *)(e->bar + at) = value;
}

static inline void w64(const struct engine *e, unsigned int at, uint64_t value)
{
	*(volatile uint64_t *)(e->bar + at) = value;
}

#define CTRL_ALL (CTRL_REARM | CTRL_ERR_COMPL | CTRL_ERR_ABORT | CTRL_ERR_INT)

/* By CHANCMD; what a reset promises holds afterwards. */
void channel_reset(struct engine *e);
/* CHANCTRL, CHANCMP (its memory cleared), CHAINADDR = slot 0. */
void arm(struct engine *e, uint16_t control);
/* Reset, arm with everything on, DMACOUNT. */
void start(struct engine *e, uint16_t count);
uint64_t slot(const struct engine *e, unsigned int i);
struct desc *put(struct engine *e, unsigned int i, uint32_t ctl, uint32_t size, uint64_t src, uint64_t dst);
/* Wait until the channel is not active; it must be in that state then. Returns CHANSTS. */
uint64_t await(struct engine *e, unsigned int state);
/* start() and await() a chain that must go well. */
void run(struct engine *e, uint16_t count);
uint64_t completion(const struct engine *e); /* what has been written to CHANCMP */
uint64_t now_ns(void);
void pause_ns(uint64_t ns);

/* Bytes that differ from place to place and from seed to seed; and whether they are there. */
void paint(void *at, size_t size, uint64_t seed);
bool painted(const void *at, size_t size, uint64_t seed);
/* A mark on each page, quickly made: a write that lands afterwards wipes some out. */
void mark(void *at, size_t size);
bool marked(const void *at, size_t size);
uint32_t random_below(uint32_t n);

/* ---- the cases */
struct test {
	const char *name;
	void (*run)(struct engine *e);
	enum { ANY, V33, V34, MANY, MAPPINGS } needs; /* a version; more engines than one; no windows */
};

extern const struct test register_tests[], operation_tests[], raid_tests[], error_tests[], state_tests[],
	driver_tests[], interrupt_tests[], chain_tests[], flight_tests[], big_tests[];

#endif
