/* SPDX-License-Identifier: BSD-2-Clause */
/* What happens to an engine while it works: memory goes away, the device is reset, others work too. */
#include "client.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define FROM   DATA
#define WINDOW 0x400000000ull
#define SIZE   (2 * MIB)
#define RW     (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static uint8_t *window;

static void make_window(void)
{
	window = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(window != MAP_FAILED);
}

/* The engine writes the window without end: copies, fills, completions. */
static void begin_writing(struct engine *e)
{
	CHECK(!dma_map(WINDOW, window, SIZE, RW));
	for (unsigned int i = 0; i < 4; i++)
		put(e, i, D_COMPL | (i % 2 ? D_OP(OP_FILL) : 0), 1u << 20, FROM, WINDOW + i % 3 * 512 * KIB)
			->next = slot(e, (i + 1) % 4);
	channel_reset(e);
	arm(e, CTRL_ALL);
	w64(e, CHANCMP, WINDOW + SIZE - 8);
	w16(e, DMACOUNT, 65535);
}

/* Once the unmap has returned, nothing lands there. */
static void unmap(struct engine *e)
{
	make_window();
	for (unsigned int i = 0; i < 300; i++) {
		begin_writing(e);
		pause_ns(i * 5000);
		EQUAL(dma_unmap(WINDOW, SIZE), SIZE);
		mark(window, SIZE);
		await(e, HALTED);
		EQUAL(r32(e, CHANERR) & (r32(e, CHANERR) - 1), 0);
		CHECK(r32(e, CHANERR) & (ERR_WRITE_DATA | ERR_COMPL_ADDR));
		CHECK(marked(window, SIZE));
	}
	munmap(window, SIZE);
}

/* The same with the memory itself gone: an error for the engine, nothing for the program. */
static void memory_gone(struct engine *e)
{
	for (unsigned int i = 0; i < 20; i++) {
		make_window();
		begin_writing(e);
		pause_ns(i * 20000);
		CHECK(!munmap(window, SIZE));
		await(e, HALTED);
		EQUAL(dma_unmap(WINDOW, SIZE), SIZE);
	}
}

/* All ways to reset a function, and closing it. */

static void by_ioctl(struct engine *e)
{
	CHECK(!ioctl(e->device, VFIO_DEVICE_RESET));
}

static void by_flr(struct engine *e)
{
	uint64_t at = find_capability(e, PCI_CAP_ID_EXP) + (uint64_t)PCI_EXP_DEVCTL;

	config_write(e, at, config_read(e, at, 2) | PCI_EXP_DEVCTL_BCR_FLR, 2);
}

static void by_power(struct engine *e)
{
	uint64_t at = find_capability(e, PCI_CAP_ID_PM) + (uint64_t)PCI_PM_CTRL;

	config_write(e, at, 3, 2);
	config_write(e, at, 0, 2);
}

static void by_closing(struct engine *e)
{
	engine_close(e);
	mark(window, SIZE);
	pause_ns(20000);
	CHECK(marked(window, SIZE));
	engine_open(e);
}

static void resets(struct engine *e)
{
	static void (*const ways[])(struct engine *) = { by_ioctl, by_flr, by_power, by_closing };

	make_window();
	for (unsigned int i = 0; i < 400; i++) {
		begin_writing(e);
		pause_ns(i * 3000);
		ways[i % 4](e);
		mark(window, SIZE);
		bus_master(e);
		EQUAL(r64(e, CHANSTS), HALTED);
		EQUAL(r64(e, CHANCMP), 0);
		pause_ns(50000);
		CHECK(marked(window, SIZE));
		EQUAL(dma_unmap(WINDOW, SIZE), SIZE);
		device_reset(e);
	}
	munmap(window, SIZE);
	put(e, 0, D_COMPL, 8, FROM, FROM + 8);
	run(e, 1);
}

/* Bus mastering off in the middle of a chain: an error like any other. */
static void master_off(struct engine *e)
{
	make_window();
	for (unsigned int i = 0; i < 50; i++) {
		begin_writing(e);
		pause_ns(i * 5000);
		config_write(e, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
		await(e, HALTED);
		config_write(e, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
		EQUAL(dma_unmap(WINDOW, SIZE), SIZE);
		put(e, 0, D_COMPL, 8, FROM, FROM + 8);
		run(e, 1);
	}
	munmap(window, SIZE);
}

/* ---- several engines */

struct work {
	struct engine *e;
	unsigned int seed;
	bool ok;
};

static void *work(void *arg)
{
	struct work *w = arg;
	uint64_t from = DATA + w->seed * MIB, to = from + 512 * KIB;

	for (unsigned int round = 0; round < 300; round++) {
		struct engine *e = w->e;

		paint(memory(from), 64 * KIB, round * 10 + w->seed);
		for (unsigned int i = 0; i < 64; i++)
			put(e, i, i == 63 ? D_COMPL : 0, 1024, from + i * 1024, to + i * 1024);
		w8(e, CHANCMD, CMD_RESET);
		w16(e, CHANCTRL, CTRL_ALL);
		w64(e, CHANCMP, e->cmp);
		w64(e, CHAINADDR, slot(e, 0));
		w16(e, DMACOUNT, 64);
		while (STATE(r64(e, CHANSTS)) == ACTIVE)
			sched_yield();
		if (r64(e, CHANSTS) != (slot(e, 63) | IDLE) ||
		    !painted(memory(to), 64 * KIB, round * 10 + w->seed))
			return NULL;
	}
	w->ok = true;
	return NULL;
}

/* Each with a thread, all in the same memory. */
static void together(struct engine *first)
{
	struct work works[MAX_ENGINES];
	pthread_t threads[MAX_ENGINES];

	CHECK(first == &engines[0]);
	for (unsigned int i = 0; i < nr_engines; i++) {
		device_reset(&engines[i]);
		works[i] = (struct work){ &engines[i], i, false };
		CHECK(!pthread_create(&threads[i], NULL, work, &works[i]));
	}
	for (unsigned int i = 0; i < nr_engines; i++)
		CHECK(!pthread_join(threads[i], NULL));
	for (unsigned int i = 0; i < nr_engines; i++)
		CHECK(works[i].ok);
}

/* What is done to one engine is not seen by another. */
static void apart(struct engine *e)
{
	struct engine *other = &engines[1];

	device_reset(other);
	put(other, 0, D_NULL | D_COMPL, 8, 0, 0);
	run(other, 1);
	put(e, 0, 0, 64, NOWHERE, FROM);
	start(e, 1);
	await(e, HALTED);
	EQUAL(r64(other, CHANSTS), slot(other, 0) | IDLE);
	EQUAL(r32(other, CHANERR), 0);
	device_reset(e);
	EQUAL(r64(other, CHANSTS), slot(other, 0) | IDLE);
	EQUAL(r64(other, CHANCMP), other->cmp);
}

const struct test flight_tests[] = {
	{ "in flight: UNMAP_DMA", unmap, ANY },
	{ "in flight: the memory is unmapped by the program", memory_gone, ANY },
	{ "in flight: resets and closing", resets, ANY },
	{ "in flight: bus mastering is switched off", master_off, ANY },
	{ "several engines at once", together, MANY },
	{ "several engines do not see each other", apart, MANY },
	{ NULL, NULL, ANY },
};
