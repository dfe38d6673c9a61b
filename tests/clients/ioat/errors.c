/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes wrong, each cause in the middle of a chain and at its beginning: exactly one bit of CHANERR, what
 * is written back, what is not done any more, and how the channel comes back.
 */
#include "client.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FROM  DATA
#define TO    (DATA + MIB)
#define MARK  (DATA + 2 * MIB) /* what the descriptor behind the wrong one would fill */
#define BLANK 0x5a5a5a5a5a5a5a5aull

static const struct cause {
	const char *name;
	uint32_t error;
	uint32_t ctl, size;
	uint64_t src, dst;
	uint64_t next; /* of the descriptor before it, with 0 the right one; 1: one that is not aligned */
	uint64_t cmp;  /* or 0: the right one */
} causes[] = {
	{ "the source is not mapped", ERR_READ_DATA, 0, 64, NOWHERE, TO, 0, 0 },
	{ "the source is at 0", ERR_READ_DATA, 0, 64, 0, TO, 0, 0 },
	{ "the source cannot be read", ERR_READ_DATA, 0, 64, WRITE_ONLY, TO, 0, 0 },
	{ "the source ends too early", ERR_READ_DATA, 0, 4097, READ_ONLY + 61440, TO, 0, 0 },
	{ "the source wraps around", ERR_READ_DATA, 0, 64, ~0ull - 8, TO, 0, 0 },
	{ "neither can be reached", ERR_READ_DATA, 0, 64, NOWHERE, NOWHERE, 0, 0 },
	{ "the destination is not mapped", ERR_WRITE_DATA, 0, 64, FROM, NOWHERE, 0, 0 },
	{ "the destination cannot be written", ERR_WRITE_DATA, 0, 64, FROM, READ_ONLY, 0, 0 },
	{ "the destination ends too early", ERR_WRITE_DATA, 0, 9000, FROM, WRITE_ONLY + 60000, 0, 0 },
	{ "the destination wraps around", ERR_WRITE_DATA, 0, 64, FROM, ~0ull - 8, 0, 0 },
	{ "fill where nothing is", ERR_WRITE_DATA, D_OP(OP_FILL), 64, BLANK, NOWHERE, 0, 0 },
	{ "fill what is read-only", ERR_WRITE_DATA, D_OP(OP_FILL), 64, BLANK, READ_ONLY, 0, 0 },
	{ "no descriptor there", ERR_NEXT_ADDR, 0, 64, FROM, TO, NOWHERE, 0 },
	{ "a descriptor that cannot be read", ERR_NEXT_ADDR, 0, 64, FROM, TO, WRITE_ONLY, 0 },
	{ "a descriptor that is not aligned", ERR_NEXT_ALIGN, 0, 64, FROM, TO, 1, 0 },
	{ "no such operation", ERR_CONTROL, D_OP(0x7f), 64, FROM, TO, 0, 0 },
	{ "the last operation", ERR_CONTROL, D_OP(0xff), 64, FROM, TO, 0, 0 },
	{ "a reserved bit", ERR_CONTROL, 1u << 23, 64, FROM, TO, 0, 0 },
	{ "nothing to copy", ERR_LENGTH, 0, 0, FROM, TO, 0, 0 },
	{ "a null descriptor of size 0", ERR_LENGTH, D_NULL, 0, 0, 0, 0, 0 },
	{ "more than a transfer", ERR_LENGTH, 0, (1u << 20) + 1, FROM, TO, 0, 0 },
	{ "much more than a transfer", ERR_LENGTH, D_OP(OP_FILL), ~0u, BLANK, TO, 0, 0 },
	{ "the completion is nowhere", ERR_COMPL_ADDR, D_COMPL, 64, FROM, TO, 0, NOWHERE },
	{ "the completion is read-only", ERR_COMPL_ADDR, D_COMPL, 64, FROM, TO, 0, READ_ONLY },
};

/* Slots before the wrong one, it, and one more that must not be reached. */
static void make_chain(struct engine *e, const struct cause *cause, unsigned int before)
{
	for (unsigned int i = 0; i < before; i++)
		put(e, i, cause->cmp ? 0 : D_COMPL, 512, FROM, TO);
	put(e, before, cause->ctl | D_INT, cause->size, cause->src, cause->dst);
	put(e, before + 1, D_OP(OP_FILL) | D_COMPL | D_INT, 8, ~BLANK, MARK);
	if (cause->next && before)
		((struct desc *)memory(slot(e, before - 1)))->next =
			cause->next == 1 ? slot(e, before) + 32 : cause->next;
	*(uint64_t *)memory(MARK) = BLANK;
	paint(memory(FROM), 16384, 3);
}

static void go_wrong(struct engine *e, const struct cause *cause, unsigned int before, uint16_t control)
{
	make_chain(e, cause, before);
	channel_reset(e);
	arm(e, control);
	*(uint64_t *)memory(e->cmp) = BLANK;
	if (cause->cmp)
		w64(e, CHANCMP, cause->cmp);
	if (cause->next && !before)
		w64(e, CHAINADDR, cause->next == 1 ? slot(e, 0) + 32 : cause->next);
	w16(e, DMACOUNT, (uint16_t)(before + 2));
}

static void expect_halted(struct engine *e, const struct cause *cause, unsigned int before, uint16_t control)
{
	uint64_t good = before ? slot(e, before - 1) : 0, expected = BLANK;

	EQUAL(await(e, HALTED), good | HALTED);
	EQUAL(r32(e, CHANERR), cause->error);
	if (before && !cause->cmp)
		expected = good; /* the last good one's own */
	if (control & CTRL_ERR_COMPL && !cause->cmp)
		expected = good | HALTED;
	/* The report comes after the state. */
	for (uint64_t end = now_ns() + 1000000000; control & CTRL_ERR_COMPL && completion(e) != expected;)
		CHECK(now_ns() < end);
	EQUAL(completion(e), expected);
	EQUAL(*(uint64_t *)memory(MARK), BLANK);
}

static void expect_works(struct engine *e)
{
	put(e, 7, D_COMPL, 333, FROM, TO);
	memset(memory(TO), 0, 333);
	w64(e, CHANCMP, e->cmp);
	w64(e, CHAINADDR, slot(e, 7));
	EQUAL(r64(e, CHANSTS), ARMED);
	w16(e, DMACOUNT, 1);
	EQUAL(await(e, IDLE), slot(e, 7) | IDLE);
	EQUAL(completion(e) & ~7ull, slot(e, 7));
	EQUAL(r32(e, CHANERR), 0);
	CHECK(painted(memory(TO), 333, 3));
}

/* CHANERR is cleared by what is written to it: those bits and no other. */
static void clear_error(struct engine *e, uint32_t error)
{
	w32(e, CHANERR, ~error);
	EQUAL(r32(e, CHANERR), error);
	w32(e, CHANERR, r32(e, CHANERR));
	EQUAL(r32(e, CHANERR), 0);
}

static void each_cause(struct engine *e, int event, uint16_t control, unsigned int before)
{
	for (unsigned int i = 0; i < sizeof(causes) / sizeof(*causes); i++) {
		const struct cause *cause = &causes[i];

		go_wrong(e, cause, before, control);
		expect_halted(e, cause, before, control);
		if (control & CTRL_ERR_INT) {
			wait_event(event);
		} else {
			channel_reset(e); /* nothing is under way behind it */
			EQUAL(drain(event), 0);
			go_wrong(e, cause, before, control);
			expect_halted(e, cause, before, control);
		}
		if (i % 2) {
			channel_reset(e);
		} else {
			clear_error(e, cause->error);
			EQUAL(STATE(r64(e, CHANSTS)), HALTED);
		}
		expect_works(e);
		EQUAL(drain(event), 0);
	}
}

static void with_control(struct engine *e, uint16_t control)
{
	int event = eventfd(0, EFD_NONBLOCK);

	w8(e, INTRCTRL, INTR_MSIX);
	set_irq(e, VFIO_PCI_MSIX_IRQ_INDEX, event);
	each_cause(e, event, control, 0);
	each_cause(e, event, control, 1);
	each_cause(e, event, control, 5);
	set_irq(e, VFIO_PCI_MSIX_IRQ_INDEX, -1);
	close(event);
}

static void report_and_interrupt(struct engine *e)
{
	with_control(e, CTRL_ALL);
}

static void report_only(struct engine *e)
{
	with_control(e, CTRL_ERR_COMPL | CTRL_ERR_ABORT);
}

static void neither(struct engine *e)
{
	with_control(e, CTRL_REARM | CTRL_ERR_ABORT);
}

static void interrupt_only(struct engine *e)
{
	with_control(e, CTRL_ERR_INT | CTRL_ERR_ABORT);
}

/* Without ANY_ERR_ABORT_EN nothing is promised but the bit, and that a reset helps. */
static void without_abort(struct engine *e)
{
	for (unsigned int i = 0; i < sizeof(causes) / sizeof(*causes); i++) {
		go_wrong(e, &causes[i], 1, 0);
		for (uint64_t end = now_ns() + 5000000000ull; !r32(e, CHANERR);)
			CHECK(now_ns() < end);
		EQUAL(r32(e, CHANERR), causes[i].error);
		channel_reset(e);
		w16(e, CHANCTRL, CTRL_ALL);
		expect_works(e);
	}
}

/* What lies before the place that cannot be read or written may be copied; what lies behind it may not. */
static void partly(struct engine *e)
{
	uint8_t *ro = read_only_memory(), *wo = write_only_memory();

	memset(ro, 0x11, 65536);
	memset(memory(TO), 0x22, 16384);
	put(e, 0, 0, 8192, READ_ONLY + 61440, TO);
	start(e, 1);
	await(e, HALTED);
	for (unsigned int i = 4096; i < 8192; i++)
		EQUAL(((uint8_t *)memory(TO))[i], 0x22);
	memset(wo, 0x33, 65536);
	paint(memory(FROM), 16384, 3);
	put(e, 0, 0, 8192, FROM, WRITE_ONLY - 4096);
	start(e, 1);
	await(e, HALTED);
	EQUAL(r32(e, CHANERR), ERR_WRITE_DATA);
	for (unsigned int i = 4096; i < 65536; i++)
		EQUAL(wo[i], 0x33);
}

const struct test error_tests[] = {
	{ "errors: reported and interrupting", report_and_interrupt, ANY },
	{ "errors: reported, no interrupt", report_only, ANY },
	{ "errors: neither reported nor interrupting", neither, ANY },
	{ "errors: interrupting, not reported", interrupt_only, ANY },
	{ "errors: without abort", without_abort, ANY },
	{ "errors: nothing beyond the place", partly, ANY },
	{ NULL, NULL, ANY },
};
