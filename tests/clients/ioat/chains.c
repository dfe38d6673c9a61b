/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random chains against a model: the same operations, a byte at a time, on a copy of the memory. Some chains
 * have a descriptor that must fail; everything before it is done then and nothing behind it.
 */
#include "client.h"

#include <string.h>

#define WINDOW      (MIDDLE - HALF_WINDOW) /* both sides of the border between mappings */
#define HALF_WINDOW 0x8000u
#define SIZE        (2 * HALF_WINDOW)
#define CHAIN       48u

static uint8_t model[SIZE], before[SIZE];

static void from_window(uint8_t *to)
{
	memcpy(to, memory(WINDOW), HALF_WINDOW);
	memcpy(to + HALF_WINDOW, memory(MIDDLE), HALF_WINDOW);
}

static void expect_model(unsigned int round)
{
	from_window(before);
	for (unsigned int i = 0; i < SIZE; i++)
		if (before[i] != model[i])
			wrong(__FILE__, __LINE__, "chain %u: byte %#x is %#x instead of %#x", round, i,
			      before[i], model[i]);
}

static bool overlap(uint32_t a, uint32_t b, uint32_t size)
{
	return a < b + size && b < a + size;
}

static uint8_t twice(uint8_t a)
{
	return (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
}

/* A random operation at slot i, and the model's. What it writes does not overlap what it reads. */
static uint32_t place(uint32_t size, const uint32_t *others, unsigned int nr)
{
	for (;;) {
		uint32_t at = random_below(SIZE - size);
		bool free = true;

		for (unsigned int i = 0; i < nr; i++)
			free &= !overlap(at, others[i], size);
		if (free)
			return at;
	}
}

static void random_copy(struct engine *e, unsigned int i, uint32_t size, uint32_t flags)
{
	uint32_t at[2] = { place(size, NULL, 0) };

	at[1] = place(size, at, 1);
	put(e, i, flags, size, WINDOW + at[0], WINDOW + at[1]);
	memcpy(model + at[1], model + at[0], size);
}

static void random_fill(struct engine *e, unsigned int i, uint32_t size, uint32_t flags)
{
	uint64_t pattern = ((uint64_t)random_below(~0u) << 32) ^ random_below(~0u);
	uint32_t at = place(size, NULL, 0);

	put(e, i, flags | D_OP(OP_FILL), size, pattern, WINDOW + at);
	for (uint32_t n = 0; n < size; n++)
		model[at + n] = (uint8_t)(pattern >> n % 8 * 8);
}

/* P is the sum of three sources, Q of the first, twice the second and four times the third. */
static void random_pq(struct engine *e, unsigned int i, uint32_t size, uint32_t flags)
{
	uint32_t at[5] = { place(size, NULL, 0) };
	struct desc *desc;

	for (unsigned int n = 1; n < 5; n++)
		at[n] = place(size, at, n);
	desc = put(e, i, flags | D_OP(OP_PQ) | D_SRC(3), size, WINDOW + at[0], WINDOW + at[3]);
	desc->arg[0] = WINDOW + at[1];
	desc->arg[1] = WINDOW + at[2];
	desc->arg[2] = 0x040201;
	desc->arg[3] = WINDOW + at[4];
	for (uint32_t n = 0; n < size; n++) {
		uint8_t a = model[at[0] + n], b = model[at[1] + n], c = model[at[2] + n];

		model[at[3] + n] = a ^ b ^ c;
		model[at[4] + n] = a ^ twice(b) ^ twice(twice(c));
	}
}

static void random_operation(struct engine *e, unsigned int i, uint32_t flags)
{
	uint32_t size = 1 + random_below(random_below(4) ? 300 : 6000);

	switch (random_below(e->cap & CAP_PQ ? 8 : 6)) {
	case 0:
		put(e, i, flags | D_NULL, size, NOWHERE, NOWHERE);
		break;
	case 1:
	case 2:
		random_fill(e, i, size, flags);
		break;
	case 6:
	case 7:
		random_pq(e, i, size, flags);
		break;
	default:
		random_copy(e, i, size, flags);
	}
}

static uint32_t wrong_operation(struct engine *e, unsigned int i, uint32_t flags)
{
	switch (random_below(4)) {
	case 0:
		put(e, i, flags, 100, NOWHERE, WINDOW);
		return ERR_READ_DATA;
	case 1:
		put(e, i, flags, 100, WINDOW, READ_ONLY);
		return ERR_WRITE_DATA;
	case 2:
		put(e, i, flags | D_OP(0x42), 100, WINDOW, WINDOW + 200);
		return ERR_CONTROL;
	default:
		put(e, i, flags, 0, WINDOW, WINDOW + 200);
		return ERR_LENGTH;
	}
}

/* Hand over the chain in random portions. */
static void hand_over(struct engine *e, unsigned int n)
{
	for (unsigned int given = 0; given < n;) {
		given += 1 + random_below(n - given);
		w16(e, DMACOUNT, (uint16_t)given);
	}
}

static void expect_end(struct engine *e, unsigned int n, unsigned int bad, uint32_t error)
{
	uint64_t last = bad < n ? bad ? slot(e, bad - 1) : 0 : slot(e, n - 1);
	uint64_t state = bad < n ? HALTED : IDLE;

	EQUAL(await(e, (unsigned int)state), last | state);
	EQUAL(r32(e, CHANERR), error);
	for (uint64_t end = now_ns() + 1000000000;
	     (completion(e) & ~7ull) != last || STATE(completion(e)) > HALTED;)
		CHECK(now_ns() < end);
	if (bad >= n)
		CHECK(STATE(completion(e)) <= IDLE);
}

static void random_chains(struct engine *e)
{
	for (unsigned int i = 0; i < SIZE; i++)
		*(uint8_t *)memory(WINDOW + i) = (uint8_t)random_below(256);
	from_window(model);
	for (unsigned int round = 0; round < 5000; round++) {
		unsigned int n = 1 + random_below(CHAIN), bad = random_below(4) ? n : random_below(n);
		uint32_t error = 0;

		for (unsigned int i = 0; i < n; i++) {
			uint32_t flags = random_below(2) && i < n - 1 ? 0 : D_COMPL;

			if (i == bad) {
				error = wrong_operation(e, i, flags);
			} else if (i < bad) {
				random_operation(e, i, flags);
			} else {
				put(e, i, flags | D_OP(OP_FILL), 4000, 0, WINDOW + i);
			}
		}
		channel_reset(e);
		arm(e, CTRL_ALL);
		hand_over(e, n);
		expect_end(e, n, bad, error);
		expect_model(round);
	}
}

const struct test chain_tests[] = {
	{ "5000 random chains do what a model does", random_chains, ANY },
	{ NULL, NULL, ANY },
};
