/* SPDX-License-Identifier: BSD-2-Clause */
/* The channel's states, one event after the other. */
#include "client.h"

#include <string.h>

#define FROM DATA
#define TO   (DATA + 2 * MIB)

/* A chain of largest copies in a circle, far from its end for as long as a test takes. */
static void begin_long(struct engine *e)
{
	channel_reset(e);
	for (unsigned int i = 0; i < 4; i++)
		put(e, i, D_COMPL, 1u << e->xfercap, FROM, TO)->next = slot(e, (i + 1) % 4);
	arm(e, CTRL_ALL);
	w16(e, DMACOUNT, 60000);
	EQUAL(STATE(r64(e, CHANSTS)), ACTIVE);
}

static void to_state(struct engine *e, unsigned int state)
{
	channel_reset(e);
	if (state == HALTED)
		return;
	put(e, 0, D_NULL | D_COMPL, 8, 0, 0);
	arm(e, CTRL_ALL);
	if (state == ARMED)
		return;
	w16(e, DMACOUNT, 1);
	await(e, IDLE);
	if (state == SUSPENDED) {
		w8(e, CHANCMD, CMD_SUSPEND);
		EQUAL(STATE(r64(e, CHANSTS)), SUSPENDED);
	}
}

static const unsigned int resting[] = { HALTED, ARMED, IDLE, SUSPENDED };
#define NR_RESTING (sizeof(resting) / sizeof(*resting))

static void reset_keeps(struct engine *e)
{
	for (unsigned int i = 0; i < NR_RESTING; i++) {
		to_state(e, resting[i]);
		w16(e, CHANCTRL, CTRL_ERR_ABORT | CTRL_ERR_COMPL);
		w64(e, CHANCMP, e->cmp);
		channel_reset(e);
		EQUAL(r16(e, CHANCTRL), CTRL_ERR_ABORT | CTRL_ERR_COMPL);
		EQUAL(r64(e, CHANCMP), e->cmp);
	}
}

static void device_resets(struct engine *e)
{
	for (unsigned int i = 0; i < NR_RESTING; i++) {
		to_state(e, resting[i]);
		device_reset(e);
		EQUAL(r64(e, CHANSTS), HALTED);
		EQUAL(r16(e, CHANCTRL), 0);
		EQUAL(r64(e, CHANCMP), 0);
		EQUAL(r64(e, CHAINADDR), 0);
		EQUAL(r16(e, DMACOUNT), 0);
	}
}

/* CHAINADDR arms, the same value or another one, 0 among them, and is seen by the next load. */
static void chain_address(struct engine *e)
{
	const uint64_t chains[] = { e->ring, e->ring, e->ring + 64, 0, NOWHERE };

	for (unsigned int i = 0; i < NR_RESTING; i++)
		for (unsigned int n = 0; n < 5; n++) {
			to_state(e, resting[i]);
			w64(e, CHAINADDR, chains[n]);
			EQUAL(r64(e, CHANSTS), ARMED);
			EQUAL(r16(e, DMACOUNT), 0);
			EQUAL(r64(e, CHAINADDR), chains[n]);
		}
}

/* DMACOUNT: active at once, or already done. */
static void active_at_once(struct engine *e)
{
	put(e, 0, D_NULL, 8, 0, 0);
	for (unsigned int i = 0; i < 2000; i++) {
		unsigned int state;

		channel_reset(e);
		arm(e, CTRL_ALL);
		w16(e, DMACOUNT, 1);
		state = STATE(r64(e, CHANSTS));
		CHECK(state == ACTIVE || state == IDLE);
		await(e, IDLE);
	}
}

/* The count runs freely from the write of CHAINADDR on, past 65535. */
static void free_running(struct engine *e)
{
	uint32_t total = 0;
	uint16_t step;

	for (unsigned int i = 0; i < MAX_SLOTS; i++)
		put(e, i, D_NULL | (i % 3 ? 0 : D_COMPL), 8, 0, 0);
	channel_reset(e);
	arm(e, CTRL_ALL);
	while (total < 300000) {
		step = (uint16_t)(1 + random_below(random_below(2) ? 20 : 65535));
		total += step;
		w16(e, DMACOUNT, (uint16_t)total);
		EQUAL(await(e, IDLE), slot(e, total - 1) | IDLE);
		EQUAL(r16(e, DMACOUNT), (uint16_t)total);
	}
	/* The same value again is nothing to do. */
	w16(e, DMACOUNT, (uint16_t)total);
	EQUAL(r64(e, CHANSTS), slot(e, total - 1) | IDLE);
}

/* Descriptors that are appended while the chain is under way. */
static void append(struct engine *e)
{
	const unsigned int n = 2000;

	memset(memory(TO), 0, n);
	channel_reset(e);
	arm(e, CTRL_ALL);
	for (unsigned int i = 0; i < n; i++) {
		put(e, i, D_OP(OP_FILL) | D_COMPL, 1, i * 7, TO + i);
		w16(e, DMACOUNT, (uint16_t)(i + 1));
	}
	while ((completion(e) & ~7ull) != slot(e, n - 1))
		CHECK(STATE(r64(e, CHANSTS)) <= IDLE);
	EQUAL(await(e, IDLE), slot(e, n - 1) | IDLE);
	for (unsigned int i = 0; i < n; i++)
		EQUAL(*(uint8_t *)memory(TO + i), (uint8_t)(i * 7));
}

static void suspend(struct engine *e)
{
	static const unsigned int then[] = { HALTED, SUSPENDED, SUSPENDED, SUSPENDED };

	for (unsigned int i = 0; i < NR_RESTING; i++) {
		to_state(e, resting[i]);
		w8(e, CHANCMD, CMD_SUSPEND);
		EQUAL(STATE(r64(e, CHANSTS)), then[i]);
	}
	for (unsigned int i = 0; i < 500; i++) {
		uint64_t before, written;

		begin_long(e);
		pause_ns(i * 2000);
		w8(e, CHANCMD, CMD_SUSPEND);
		/* At rest: neither status nor memory move. */
		mark(memory(TO), 1u << e->xfercap);
		written = completion(e);
		before = r64(e, CHANSTS);
		EQUAL(STATE(before), SUSPENDED);
		pause_ns(100000);
		EQUAL(r64(e, CHANSTS), before);
		EQUAL(completion(e), written);
		CHECK(marked(memory(TO), 1u << e->xfercap));
	}
}

static void resume(struct engine *e)
{
	for (unsigned int i = 0; i < 100; i++)
		put(e, i, D_COMPL, 100 * KIB, FROM, TO);
	start(e, 100);
	for (unsigned int i = 0; i < 30; i++) {
		w8(e, CHANCMD, CMD_SUSPEND);
		CHECK(STATE(r64(e, CHANSTS)) == SUSPENDED);
		w8(e, CHANCMD, CMD_RESUME);
		CHECK(STATE(r64(e, CHANSTS)) <= IDLE);
	}
	EQUAL(await(e, IDLE), slot(e, 99) | IDLE);
	EQUAL(completion(e) & ~7ull, slot(e, 99));
	/* With nothing to do: back to where it was. */
	to_state(e, SUSPENDED);
	w8(e, CHANCMD, CMD_RESUME);
	EQUAL(r64(e, CHANSTS), slot(e, 0) | IDLE);
	to_state(e, ARMED);
	w8(e, CHANCMD, CMD_SUSPEND);
	w8(e, CHANCMD, CMD_RESUME);
	EQUAL(r64(e, CHANSTS), ARMED);
	to_state(e, HALTED);
	w8(e, CHANCMD, CMD_RESUME);
	EQUAL(r64(e, CHANSTS), HALTED);
}

/* A count in a state that has no use for it does nothing now. */
static void count_at_rest(struct engine *e)
{
	to_state(e, HALTED);
	w16(e, DMACOUNT, 5);
	EQUAL(r64(e, CHANSTS), HALTED);
	to_state(e, SUSPENDED);
	memset(memory(e->cmp), 0, 8);
	w16(e, DMACOUNT, 5);
	EQUAL(STATE(r64(e, CHANSTS)), SUSPENDED);
	EQUAL(completion(e), 0);
	channel_reset(e);
	to_state(e, IDLE);
}

static void reset_in_flight(struct engine *e)
{
	for (unsigned int i = 0; i < 500; i++) {
		begin_long(e);
		pause_ns(i * 3000);
		w8(e, CHANCMD, i % 2 ? CMD_RESET : CMD_ABORT);
		/* From here on nothing of before lands. */
		*(uint64_t *)memory(e->cmp) = ~0ull;
		mark(memory(TO), 1u << e->xfercap);
		if (i % 2)
			EQUAL(r64(e, CHANSTS), HALTED);
		EQUAL(STATE(r64(e, CHANSTS)), HALTED);
		pause_ns(100000);
		EQUAL(completion(e), ~0ull);
		CHECK(marked(memory(TO), 1u << e->xfercap));
	}
}

/* A new chain in the middle of another one: as if there were none. */
static void chain_in_flight(struct engine *e)
{
	for (unsigned int i = 0; i < 200; i++) {
		begin_long(e);
		put(e, 100, D_COMPL, 8, FROM, FROM + 64);
		pause_ns(i * 3000);
		w64(e, CHAINADDR, slot(e, 100));
		EQUAL(r64(e, CHANSTS), ARMED);
		EQUAL(r16(e, DMACOUNT), 0);
		w16(e, DMACOUNT, 1);
		EQUAL(await(e, IDLE), slot(e, 100) | IDLE);
		EQUAL(completion(e) & ~7ull, slot(e, 100));
	}
}

const struct test state_tests[] = {
	{ "states: RESET keeps CHANCTRL and CHANCMP", reset_keeps, ANY },
	{ "states: VFIO_DEVICE_RESET keeps nothing", device_resets, ANY },
	{ "states: CHAINADDR arms", chain_address, ANY },
	{ "states: DMACOUNT activates at once", active_at_once, ANY },
	{ "states: DMACOUNT runs freely", free_running, ANY },
	{ "states: appending to a chain under way", append, ANY },
	{ "states: SUSPEND", suspend, ANY },
	{ "states: RESUME", resume, ANY },
	{ "states: DMACOUNT while halted or suspended", count_at_rest, ANY },
	{ "states: RESET and ABORT in flight", reset_in_flight, ANY },
	{ "states: CHAINADDR in flight", chain_in_flight, ANY },
	{ NULL, NULL, ANY },
};
