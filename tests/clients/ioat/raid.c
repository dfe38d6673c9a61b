/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XOR and PQ. What is expected is computed here, a byte at a time, with the field's multiplication as schools
 * teach it: polynomial 0x11d.
 */
#include "client.h"

#include <string.h>

#define SIZE      20011u
#define SOURCE(i) (DATA + (uint64_t)(i)*0x8000 + (i)*3)
#define P         (DATA + 0x100000)
#define Q         (DATA + 0x110005)
#define OLD_P     (DATA + 0x120001)
#define OLD_Q     (DATA + 0x130000)
#define SED       (DATA + 0x140000)

static uint8_t coefficient(unsigned int i)
{
	return (uint8_t)(i * 29 + 1);
}

static uint8_t times(uint8_t a, uint8_t b)
{
	unsigned int product = 0;

	for (unsigned int i = 0; i < 8; i++)
		if (b >> i & 1)
			product ^= (unsigned int)a << i;
	for (unsigned int i = 14; i >= 8; i--)
		if (product >> i & 1)
			product ^= 0x11du << (i - 8);
	return (uint8_t)product;
}

static uint8_t *bytes(uint64_t iova)
{
	return memory(iova);
}

static uint8_t expected_p(unsigned int n, unsigned int at)
{
	uint8_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum ^= bytes(SOURCE(i))[at];
	return sum;
}

static uint8_t expected_q(unsigned int n, unsigned int at)
{
	uint8_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum ^= times(bytes(SOURCE(i))[at], coefficient(i));
	return sum;
}

static void make_sources(void)
{
	for (unsigned int i = 0; i < 16; i++)
		paint(memory(SOURCE(i)), SIZE, i + 100);
	memset(bytes(P) - 8, 0x77, SIZE + 16);
	memset(bytes(Q) - 8, 0x77, SIZE + 16);
}

static void expect(unsigned int n, bool p, bool q)
{
	for (unsigned int i = 0; i < SIZE; i++) {
		EQUAL(bytes(P)[i], p ? expected_p(n, i) : 0x77);
		EQUAL(bytes(Q)[i], q ? expected_q(n, i) : 0x77);
	}
	for (unsigned int i = 0; i < 8; i++)
		CHECK(bytes(P)[SIZE + i] == 0x77 && bytes(Q)[SIZE + i] == 0x77 &&
		      bytes(P)[-1 - (int)i] == 0x77);
}

/* ---- descriptors. Each returns how many the operation takes. */

static unsigned int put_xor(struct engine *e, unsigned int n, uint32_t op)
{
	struct desc *desc = put(e, 0, D_OP(op) | D_SRC(n) | D_COMPL, SIZE, SOURCE(0), P);
	uint64_t *ext;

	for (unsigned int i = 0; i < 4; i++)
		desc->arg[i] = i + 1 < n ? SOURCE(i + 1) : NOWHERE;
	if (n <= 5)
		return 1;
	ext = (uint64_t *)put(e, 1, 0, 0, 0, 0);
	for (unsigned int i = 0; i < 3; i++)
		ext[i] = i + 5 < n ? SOURCE(i + 5) : NOWHERE;
	return 2;
}

static unsigned int put_pq(struct engine *e, unsigned int n, uint32_t op, uint32_t flags)
{
	struct desc *desc = put(e, 0, D_OP(op) | D_SRC(n) | D_COMPL | flags, SIZE, SOURCE(0), P);
	uint64_t *ext;

	desc->arg[0] = SOURCE(1);
	desc->arg[1] = n > 2 ? SOURCE(2) : NOWHERE;
	for (unsigned int i = 0; i < 8; i++)
		((uint8_t *)&desc->arg[2])[i] = coefficient(i);
	desc->arg[3] = Q;
	if (n <= 3)
		return 1;
	ext = (uint64_t *)put(e, 1, 0, 0, 0, 0);
	for (unsigned int i = 0; i < 5; i++)
		ext[i < 3 ? i : i + 1] = i + 3 < n ? SOURCE(i + 3) : NOWHERE;
	return 2;
}

static unsigned int put_pq16(struct engine *e, unsigned int n, uint32_t op, uint32_t flags)
{
	struct desc *desc = put(e, 0, D_OP(op) | D_SRC16(n) | D_COMPL | flags, SIZE, SOURCE(0), P);
	uint64_t *sed = memory(SED);

	desc->arg[0] = SOURCE(1);
	desc->arg[1] = SED;
	desc->arg[3] = Q;
	memset(sed, 0, 128);
	for (unsigned int i = 0; i < 16; i++)
		((uint8_t *)(i < 8 ? &desc->arg[2] : sed))[i % 8] = coefficient(i);
	for (unsigned int i = 2; i < 16; i++)
		sed[i - 1] = i < n ? SOURCE(i) : NOWHERE;
	return 1;
}

/* ---- cases */

static void go(struct engine *e, unsigned int used)
{
	run(e, (uint16_t)used);
	EQUAL(r64(e, CHANSTS), slot(e, 0) | IDLE);
	EQUAL(completion(e) & ~7ull, slot(e, 0));
}

static void xor_all(struct engine *e)
{
	for (unsigned int n = 2; n <= 8; n++) {
		make_sources();
		go(e, put_xor(e, n, OP_XOR));
		expect(n, true, false);
		go(e, put_xor(e, n, OP_XOR_VAL));
	}
}

static void pq_all(struct engine *e)
{
	for (unsigned int n = 2; n <= 8; n++) {
		make_sources();
		go(e, put_pq(e, n, OP_PQ, 0));
		expect(n, true, true);
		go(e, put_pq(e, n, OP_PQ_VAL, 0));
	}
	make_sources();
	go(e, put_pq(e, 5, OP_PQ, D_NO_P));
	expect(5, false, true);
	make_sources();
	go(e, put_pq(e, 3, OP_PQ, D_NO_Q));
	expect(3, true, false);
}

static void pq16_all(struct engine *e)
{
	for (unsigned int n = 9; n <= 16; n++) {
		make_sources();
		go(e, put_pq16(e, n, OP_PQ16, 0));
		expect(n, true, true);
		go(e, put_pq16(e, n, OP_PQ16_VAL, 0));
	}
	make_sources();
	go(e, put_pq16(e, 16, OP_PQ16, D_NO_P));
	expect(16, false, true);
}

/* Source 0 was, source 1 will be: P and Q of a stripe follow by the difference. */
static void update(struct engine *e)
{
	const uint8_t c = 0x8e;
	struct desc *desc;

	make_sources();
	paint(memory(OLD_P), SIZE, 1);
	paint(memory(OLD_Q), SIZE, 2);
	desc = put(e, 0, D_OP(OP_PQ_UPDATE) | D_COEF(c) | D_COMPL, SIZE, SOURCE(0), P);
	desc->arg[0] = SOURCE(1);
	desc->arg[1] = OLD_P;
	desc->arg[2] = OLD_Q;
	desc->arg[3] = Q;
	go(e, 1);
	for (unsigned int i = 0; i < SIZE; i++) {
		uint8_t change = bytes(SOURCE(0))[i] ^ bytes(SOURCE(1))[i];

		EQUAL(bytes(P)[i], bytes(OLD_P)[i] ^ change);
		EQUAL(bytes(Q)[i], bytes(OLD_Q)[i] ^ times(change, c));
	}
}

/* A wrong byte anywhere is found, and reported as what it is of; nothing is written. */
static void expect_invalid(struct engine *e, unsigned int used, uint32_t error)
{
	start(e, (uint16_t)used);
	EQUAL(await(e, HALTED), HALTED);
	EQUAL(r32(e, CHANERR), error);
	EQUAL(completion(e), HALTED);
}

static void invalid(struct engine *e)
{
	static const unsigned int places[] = { 0, 1, 4096, 8191, 8192, SIZE - 1 };

	make_sources();
	go(e, put_pq16(e, 11, OP_PQ16, 0));
	for (unsigned int i = 0; i < sizeof(places) / sizeof(*places); i++) {
		bytes(P)[places[i]] ^= 1;
		expect_invalid(e, put_pq16(e, 11, OP_PQ16_VAL, 0), ERR_XOR_P);
		go(e, put_pq16(e, 11, OP_PQ16_VAL, D_NO_P));
		bytes(P)[places[i]] ^= 1;
		bytes(Q)[places[i]] ^= 0x80;
		expect_invalid(e, put_pq16(e, 11, OP_PQ16_VAL, 0), ERR_XOR_Q);
		go(e, put_pq16(e, 11, OP_PQ16_VAL, D_NO_Q));
		bytes(Q)[places[i]] ^= 0x80;
	}
	go(e, put_pq(e, 8, OP_PQ, 0));
	bytes(SOURCE(7))[SIZE / 2] ^= 4;
	expect_invalid(e, put_xor(e, 8, OP_XOR_VAL), ERR_XOR_P);
	/* Q of the same stripe is wrong too: both are, and both are told. */
	expect_invalid(e, put_pq(e, 8, OP_PQ_VAL, 0), ERR_XOR_P | ERR_XOR_Q);
}

static void unreadable(struct engine *e)
{
	unsigned int used;

	make_sources();
	used = put_xor(e, 8, OP_XOR);
	((uint64_t *)memory(slot(e, 1)))[2] = NOWHERE;
	expect_invalid(e, used, ERR_READ_DATA);
	used = put_pq(e, 8, OP_PQ, 0);
	((struct desc *)memory(slot(e, 0)))->arg[3] = READ_ONLY;
	expect_invalid(e, used, ERR_WRITE_DATA);
	used = put_pq(e, 3, OP_PQ, 0);
	((struct desc *)memory(slot(e, 0)))->dst = READ_ONLY;
	expect_invalid(e, used, ERR_WRITE_DATA);
	used = put_xor(e, 2, OP_XOR_VAL);
	((struct desc *)memory(slot(e, 0)))->dst = WRITE_ONLY;
	expect_invalid(e, used, ERR_READ_DATA);
	((struct desc *)memory(slot(e, 0)))->dst = ~0ull - 8;
	expect_invalid(e, used, ERR_READ_DATA);
}

/* A chain goes on behind an operation that takes two descriptors, with their count. */
static void in_a_chain(struct engine *e)
{
	make_sources();
	put_pq(e, 6, OP_PQ, 0);
	put(e, 2, D_COMPL, 100, P, DATA + 0x200000);
	run(e, 3);
	EQUAL(r64(e, CHANSTS), slot(e, 2) | IDLE);
	EQUAL(completion(e) & ~7ull, slot(e, 2));
	expect(6, true, true);
	CHECK(!memcmp(memory(P), memory(DATA + 0x200000), 100));
}

/* The older engine has none of these. */
static void unknown(struct engine *e)
{
	static const uint8_t ops[] = { OP_XOR,       OP_XOR_VAL, OP_PQ,      OP_PQ_VAL,
				       OP_PQ_UPDATE, OP_PQ16,    OP_PQ16_VAL };

	make_sources();
	for (unsigned int i = 0; i < sizeof(ops); i++) {
		put_pq(e, 3, ops[i], 0);
		expect_invalid(e, 1, ERR_CONTROL);
	}
	expect(3, false, false);
}

const struct test raid_tests[] = {
	{ "raid: XOR and its validation, 2 to 8 sources", xor_all, V34 },
	{ "raid: PQ and its validation, 2 to 8 sources", pq_all, V34 },
	{ "raid: PQ and its validation, 9 to 16 sources", pq16_all, V34 },
	{ "raid: PQ update", update, V34 },
	{ "raid: validation finds every wrong byte", invalid, V34 },
	{ "raid: memory that is not there", unreadable, V34 },
	{ "raid: in a chain", in_a_chain, V34 },
	{ "raid: not in version 3.3", unknown, V33 },
	{ NULL, NULL, ANY },
};
