/* SPDX-License-Identifier: BSD-2-Clause */
/* The habits of four drivers: the kernel's VFIO self-tests, DPDK, SPDK, and the kernel's own. */
#include "client.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FROM DATA
#define TO   (DATA + 2 * MIB)
#define WORK (DATA + 3 * MIB)

/* ---- self-tests: one descriptor that leads to itself, begun again with the same values all the time */

static void selftest_storm(struct engine *e, struct desc *desc, uint16_t count)
{
	desc->next = slot(e, 0);
	w64(e, CHAINADDR, slot(e, 0));
	w16(e, CHANCTRL, CTRL_REARM | CTRL_ERR_ABORT);
	w16(e, DMACOUNT, count);
	EQUAL(await(e, IDLE), slot(e, 0) | IDLE);
}

static void selftest_end(struct engine *e)
{
	w8(e, CHANCMD, CMD_SUSPEND);
	while (STATE(r64(e, CHANSTS)) != SUSPENDED)
		;
}

static void selftest(struct engine *e)
{
	static const uint16_t counts[] = { 1, 1, 1, 2, 1000, 1000, 65535, 65535, 1 };

	memset(memory(e->cmp), 0, 8);
	for (unsigned int i = 0; i < 4096; i++) {
		struct desc *desc = put(e, 0, 0, 1 + i * 13 % 5000, FROM, TO);

		paint(memory(FROM), desc->size, i);
		selftest_storm(e, desc, counts[i % 4]);
		CHECK(painted(memory(TO), desc->size, i));
	}
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		paint(memory(FROM), 4096, i);
		selftest_storm(e, put(e, 0, 0, 4096, FROM, TO), counts[i]);
		CHECK(painted(memory(TO), 4096, i));
	}
	EQUAL(completion(e), 0); /* it never programs CHANCMP */
	selftest_end(e);
}

/* With an operation that doubles in the field of RAID 6, whose powers repeat after 255, and so counts. */
static void selftest_counted(struct engine *e)
{
	static const uint16_t counts[] = { 1, 7, 8, 254, 255, 256, 65534, 65535 };
	struct desc *desc = put(e, 0, D_OP(OP_PQ) | D_SRC(2) | D_NO_P, 1, WORK, 0);

	desc->arg[0] = WORK + 64;
	desc->arg[2] = 0x0102;
	desc->arg[3] = WORK;
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		unsigned int power = 1;

		*(uint8_t *)memory(WORK) = 1;
		*(uint8_t *)memory(WORK + 64) = 0;
		selftest_storm(e, desc, counts[i]);
		for (unsigned int n = 0; n < counts[i] % 255; n++)
			power = power << 1 ^ (power & 0x80 ? 0x11d : 0);
		EQUAL(*(uint8_t *)memory(WORK), power);
	}
	selftest_end(e);
}

/* One interrupt for one that is asked for, none otherwise; a copy that fails raises none. */
static void selftest_msi(struct engine *e)
{
	int event = eventfd(0, EFD_NONBLOCK);

	w8(e, INTRCTRL, INTR_MSIX);
	set_irq(e, VFIO_PCI_MSIX_IRQ_INDEX, event);
	for (unsigned int i = 0; i < 500; i++) {
		selftest_storm(e, put(e, 0, D_INT, 64, FROM, TO), 1);
		EQUAL(wait_event(event), 1);
		selftest_storm(e, put(e, 0, 0, 64, FROM, TO), 1);
		EQUAL(drain(event), 0);
		put(e, 0, 0, 64, NOWHERE, TO);
		w64(e, CHAINADDR, slot(e, 0));
		w16(e, CHANCTRL, CTRL_REARM | CTRL_ERR_ABORT);
		w16(e, DMACOUNT, 1);
		await(e, HALTED);
		channel_reset(e);
		EQUAL(drain(event), 0);
	}
	set_irq(e, VFIO_PCI_MSIX_IRQ_INDEX, -1);
	close(event);
}

/* ---- DPDK: a ring of 32, every descriptor is reported, the completion is all it looks at */

#define DPDK_RING 32u

static struct dpdk {
	uint16_t next_write, next_read, offset;
} dpdk;

static uint64_t dpdk_slot(struct engine *e, uint16_t i)
{
	return slot(e, i % DPDK_RING);
}

static void dpdk_arm(struct engine *e, uint64_t chain)
{
	w16(e, CHANCTRL, CTRL_ERR_ABORT | CTRL_ERR_COMPL);
	w64(e, CHAINADDR, chain);
}

static void dpdk_start(struct engine *e)
{
	for (uint16_t i = 0; i < DPDK_RING; i++)
		put(e, i, 0, 0, 0, 0)->next = dpdk_slot(e, (uint16_t)(i + 1));
	w8(e, CHANCMD, CMD_RESET);
	w64(e, CHAINADDR, 0);
	EQUAL(r8(e, CHANCMD) & CMD_RESET, 0);
	EQUAL(r16(e, CHANCTRL) & CTRL_IN_USE, 0);
	memset(memory(e->cmp), 0, 8);
	w64(e, CHANCMP, e->cmp);
	dpdk_arm(e, slot(e, 0));
	CHECK(STATE(r64(e, CHANSTS)) != HALTED);
	dpdk = (struct dpdk){ 0, 0, 0 };
}

static void dpdk_copy(struct engine *e, uint64_t src, uint64_t dst, uint32_t size)
{
	struct desc *desc = memory(dpdk_slot(e, dpdk.next_write++));

	desc->size = size;
	desc->src = src;
	desc->dst = dst;
	desc->ctl = D_COMPL;
}

static void dpdk_submit(struct engine *e)
{
	w16(e, DMACOUNT, (uint16_t)(dpdk.next_write - dpdk.offset));
}

/* How far the engine is, by the completion alone; false when it has halted. */
static bool dpdk_poll(struct engine *e)
{
	uint64_t end = now_ns() + 5000000000ull, status;
	uint16_t last;

	do {
		CHECK(now_ns() < end);
		status = completion(e);
		/* None is done since the chain began: the one before it was the last. */
		last = (uint16_t)((status & ~7ull) ? ((status & ~7ull) - e->ring) / 64 : dpdk.offset - 1u);
	} while (STATE(status) != HALTED && last % DPDK_RING != (dpdk.next_write - 1u) % DPDK_RING);
	CHECK(STATE(status) == HALTED || STATE(status) <= IDLE);
	while (dpdk.next_read % DPDK_RING != (last + 1u) % DPDK_RING)
		dpdk.next_read++;
	return STATE(status) != HALTED;
}

/* After an error: 200 pauses are all the patience it has. */
static void dpdk_recover(struct engine *e)
{
	uint16_t before = (uint16_t)(dpdk.next_read - 1);
	uint32_t error = r32(e, CHANERR);
	unsigned int retry = 0;

	w32(e, CHANERR, error);
	w8(e, CHANCMD, CMD_RESET);
	w64(e, CHAINADDR, dpdk_slot(e, dpdk.next_read));
	w16(e, CHANCTRL, CTRL_ERR_ABORT | CTRL_ERR_COMPL);
	while (r64(e, CHANSTS) != ARMED && retry++ < 200)
		__builtin_ia32_pause();
	EQUAL(r64(e, CHANSTS), ARMED);
	dpdk.offset = dpdk.next_read;
	*(uint64_t *)memory(e->cmp) = dpdk_slot(e, before);
}

static void dpdk_bursts(struct engine *e)
{
	dpdk_start(e);
	for (unsigned int round = 0; round < 2000; round++) {
		unsigned int n = 1 + random_below(DPDK_RING - 1);

		paint(memory(FROM), n * 128, round);
		for (unsigned int i = 0; i < n; i++)
			dpdk_copy(e, FROM + i * 128, TO + i * 128, 128);
		dpdk_submit(e);
		CHECK(dpdk_poll(e));
		EQUAL(dpdk.next_read, dpdk.next_write);
		CHECK(painted(memory(TO), n * 128, round));
	}
	w8(e, CHANCMD, CMD_SUSPEND);
	CHECK(STATE(r64(e, CHANSTS)) == SUSPENDED || STATE(r64(e, CHANSTS)) == HALTED);
}

/* One copy of a burst comes from 0: it fails, at its place, and the rest goes on from the one behind it. */
static void dpdk_errors(struct engine *e)
{
	const unsigned int n = 15;

	dpdk_start(e);
	for (unsigned int round = 0; round < 300; round++) {
		unsigned int bad = round % n;
		uint16_t first = dpdk.next_write;

		paint(memory(FROM), n * 64, round);
		memset(memory(TO), 0, n * 64);
		for (unsigned int i = 0; i < n; i++)
			dpdk_copy(e, i == bad ? 0 : FROM + i * 64, TO + i * 64, 64);
		dpdk_submit(e);
		CHECK(!dpdk_poll(e));
		EQUAL((uint16_t)(dpdk.next_read - first), bad);
		EQUAL(r32(e, CHANERR), ERR_READ_DATA);
		dpdk.next_read++;
		dpdk_recover(e);
		dpdk_submit(e);
		if (bad < n - 1)
			CHECK(dpdk_poll(e));
		EQUAL(dpdk.next_read, dpdk.next_write);
		memset(memory(FROM + bad * 64), 0, 64);
		CHECK(!memcmp(memory(FROM), memory(TO), n * 64));
	}
}

/* ---- SPDK: a null descriptor to begin with, only the last of a batch is reported */

static void spdk(struct engine *e)
{
	uint64_t end;

	if (STATE(r64(e, CHANSTS)) <= IDLE)
		w8(e, CHANCMD, CMD_SUSPEND);
	w32(e, CHANERR, r32(e, CHANERR));
	channel_reset(e);
	put(e, 0, D_NULL | D_COMPL, 8, 0, 0);
	w16(e, CHANCTRL, CTRL_ERR_ABORT);
	w64(e, CHANCMP, e->cmp);
	w64(e, CHAINADDR, slot(e, 0));
	w16(e, DMACOUNT, 1);
	for (end = now_ns() + 10000000; STATE(r64(e, CHANSTS)) != IDLE;)
		CHECK(now_ns() < end);
	EQUAL(r64(e, CHANSTS), slot(e, 0) | IDLE);
	for (unsigned int head = 1, round = 0; round < 800; round++) {
		unsigned int n = 1 + random_below(64);

		paint(memory(FROM), n * 100, round);
		for (unsigned int i = 0; i < n; i++, head++)
			put(e, head, i == n - 1 ? D_COMPL : 0, 100, FROM + i * 100, TO + i * 100);
		w16(e, DMACOUNT, (uint16_t)head);
		for (end = now_ns() + 5000000000ull; (completion(e) & ~7ull) != slot(e, head - 1);)
			CHECK(now_ns() < end);
		CHECK(painted(memory(TO), n * 100, round));
	}
}

/* ---- the kernel: halves of registers, everything enabled, rearmed after each interrupt */

#define KERNEL_CONTROL (CTRL_REARM | CTRL_ERR_INT | CTRL_ERR_COMPL | CTRL_ERR_ABORT)

static void kernel_write64(struct engine *e, unsigned int at, uint64_t value)
{
	w32(e, at, (uint32_t)value);
	w32(e, at + 4, (uint32_t)(value >> 32));
}

static uint64_t kernel_status(struct engine *e)
{
	uint64_t low = r32(e, CHANSTS);

	return low | (uint64_t)r32(e, CHANSTS + 4) << 32;
}

static void kernel_start(struct engine *e, unsigned int head)
{
	kernel_write64(e, CHANCMP, e->cmp);
	put(e, head, D_NULL | D_INT | D_COMPL, 1, 0, 0);
	kernel_write64(e, CHAINADDR, slot(e, head));
	EQUAL(kernel_status(e), ARMED);
	w16(e, DMACOUNT, 1);
	for (unsigned int i = 0; STATE(kernel_status(e)) != ACTIVE && STATE(kernel_status(e)) != IDLE; i++)
		CHECK(i < 20);
}

/* Without a limit, as there. */
static void kernel_restart(struct engine *e)
{
	if (STATE(kernel_status(e)) <= IDLE)
		w8(e, CHANCMD, CMD_SUSPEND);
	while (STATE(kernel_status(e)) <= IDLE)
		;
	w32(e, CHANERR, r32(e, CHANERR));
	w8(e, CHANCMD, CMD_RESET);
	while (r8(e, CHANCMD) & CMD_RESET)
		;
	EQUAL(r16(e, CHANCTRL), KERNEL_CONTROL & ~CTRL_REARM);
}

static void kernel_copies(struct engine *e, int event, unsigned int first)
{
	for (unsigned int i = 0; i < 500; i++) {
		paint(memory(FROM), 2000, i);
		put(e, first + i, D_INT | D_COMPL, 2000, FROM, TO);
		w16(e, DMACOUNT, (uint16_t)(i + 2));
		CHECK(wait_event(event) == 1);
		EQUAL(completion(e) & ~7ull, slot(e, first + i));
		CHECK(painted(memory(TO), 2000, i));
		w16(e, CHANCTRL, KERNEL_CONTROL);
	}
}

static void kernel(struct engine *e)
{
	int event = eventfd(0, EFD_NONBLOCK);

	w8(e, INTRCTRL, INTR_MASTER | INTR_MSIX);
	set_irq(e, VFIO_PCI_MSIX_IRQ_INDEX, event);
	channel_reset(e);
	w32(e, DCACTRL, ~0u);
	w16(e, CHANCTRL, KERNEL_CONTROL);
	for (unsigned int round = 0; round < 3; round++) {
		kernel_start(e, round * 600);
		wait_event(event);
		kernel_copies(e, event, round * 600 + 1);
		kernel_restart(e);
	}
	set_irq(e, VFIO_PCI_MSIX_IRQ_INDEX, -1);
	close(event);
}

const struct test driver_tests[] = {
	{ "VFIO self-tests: one descriptor in a circle", selftest, ANY },
	{ "VFIO self-tests: as often as the count says", selftest_counted, V34 },
	{ "VFIO self-tests: interrupts", selftest_msi, ANY },
	{ "DPDK: bursts in a small ring", dpdk_bursts, ANY },
	{ "DPDK: errors and recovery", dpdk_errors, ANY },
	{ "SPDK: start and batches", spdk, ANY },
	{ "kernel: registers by halves, interrupts, restart", kernel, ANY },
	{ NULL, NULL, ANY },
};
