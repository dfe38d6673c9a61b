/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies, fills, and descriptors that do nothing. */
#include "client.h"

#include <string.h>

#define FROM DATA
#define TO   (DATA + 2 * MIB)
#define ROOM (64 * KIB) /* around what is written */

/* dst and ROOM bytes on either side are blank but for size bytes, which are those of seed. */
static void expect_only(uint64_t dst, uint32_t size, uint64_t seed)
{
	const uint8_t *at = memory(dst);

	CHECK(painted(at, size, seed));
	for (uint64_t i = 1; i <= ROOM; i++)
		CHECK(at[-(int64_t)i] == 0xee && at[size + i - 1] == 0xee);
}

static void copy_one(struct engine *e, uint32_t size, unsigned int from, unsigned int to)
{
	memset((uint8_t *)memory(TO + to) - ROOM, 0xee, size + 2 * ROOM);
	paint(memory(FROM + from), size, size);
	put(e, 0, D_COMPL, size, FROM + from, TO + to);
	run(e, 1);
	expect_only(TO + to, size, size);
	EQUAL(completion(e) & ~7ull, slot(e, 0));
	EQUAL(r64(e, CHANSTS), slot(e, 0) | IDLE);
}

static void copies(struct engine *e)
{
	static const uint32_t sizes[] = { 1,  2,   3,    7,    8,    9,    63,    64,
					  65, 255, 1000, 4095, 4096, 4097, 65536, 100001 };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (unsigned int n = 0; n < 6; n++)
			copy_one(e, sizes[i], n * 5 % 16, n * 11 % 64);
	for (unsigned int n = 0; n < 64; n++)
		copy_one(e, 77, n, 4096 - n);
}

static void largest(struct engine *e)
{
	copy_one(e, 1u << e->xfercap, 0, 0);
	copy_one(e, (1u << e->xfercap) - 1, 3, 1);
}

/* From one mapping into the next, whose memory is elsewhere. */
static void across(struct engine *e)
{
	uint8_t *low = (uint8_t *)memory(MIDDLE - 1) - 4999, *high = memory(MIDDLE);

	paint(low, 5000, 1);
	paint(high, 5000, 2);
	put(e, 0, 0, 10000, MIDDLE - 5000, TO);
	run(e, 1);
	CHECK(painted(memory(TO), 5000, 1) && painted(memory(TO + 5000), 5000, 2));
	memset(low, 0, 5000);
	memset(high, 0, 5000);
	put(e, 0, 0, 10000, TO, MIDDLE - 5000);
	run(e, 1);
	CHECK(painted(low, 5000, 1) && painted(high, 5000, 2));
	put(e, 0, D_OP(OP_FILL), 101, 0x0807060504030201ull, MIDDLE - 13);
	run(e, 1);
	for (unsigned int i = 0; i < 101; i++)
		EQUAL(*(uint8_t *)memory(MIDDLE - 13 + i), i % 8 + 1);
}

/* A completion and a descriptor have their place at the end of a mapping too; one permission is enough. */
static void one_permission(struct engine *e)
{
	paint(read_only_memory(), 4096, 5);
	memset(write_only_memory(), 0, 65536);
	put(e, 0, D_COMPL, 4096, READ_ONLY, WRITE_ONLY + 100);
	channel_reset(e);
	arm(e, CTRL_ALL);
	w64(e, CHANCMP, WRITE_ONLY + 65528);
	w16(e, DMACOUNT, 1);
	await(e, IDLE);
	CHECK(painted((uint8_t *)write_only_memory() + 100, 4096, 5));
	EQUAL(((uint64_t *)write_only_memory())[65528 / 8] & ~7ull, slot(e, 0));
	memcpy((uint8_t *)read_only_memory() + 65472, memory(slot(e, 0)), 64);
	channel_reset(e);
	arm(e, CTRL_ALL);
	w64(e, CHAINADDR, READ_ONLY + 65472);
	w16(e, DMACOUNT, 1);
	EQUAL(await(e, IDLE), (READ_ONLY + 65472) | IDLE);
	EQUAL(completion(e) & ~7ull, READ_ONLY + 65472);
}

static void fills(struct engine *e)
{
	static const uint32_t sizes[] = { 1, 2, 7, 8, 9, 50, 64, 89, 100, 1024, 4096, 70001 };
	uint64_t pattern = 0xfedcba9876543210ull;

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (unsigned int off = 0; off < 10; off++) {
			uint8_t *at = memory(TO + off);

			memset(at - 8, 0xee, sizes[i] + 16u);
			put(e, 0, D_OP(OP_FILL), sizes[i], pattern, TO + off);
			run(e, 1);
			for (unsigned int n = 0; n < sizes[i]; n++)
				EQUAL(at[n], (uint8_t)(pattern >> n % 8 * 8));
			for (unsigned int n = 0; n < 8; n++)
				CHECK(at[-1 - (int)n] == 0xee && at[sizes[i] + n] == 0xee);
		}
}

/* Addresses do not matter, completion and interrupt do. */
static void nulls(struct engine *e)
{
	put(e, 0, D_NULL | D_COMPL, 1, NOWHERE, NOWHERE);
	put(e, 1, D_NULL | D_OP(OP_FILL), 8, 0, NOWHERE);
	put(e, 2, D_NULL | D_COMPL | D_FENCE, 1u << e->xfercap, 0, 0);
	run(e, 3);
	EQUAL(completion(e) & ~7ull, slot(e, 2));
	EQUAL(r64(e, CHANSTS), slot(e, 2) | IDLE);
}

/* A descriptor is the driver's: the engine changes no bit of it, and lets its hints pass. */
static void untouched(struct engine *e)
{
	const uint32_t hints = 0x2 | 0x4 | D_FENCE | 0x40 | 0x80 | 0x100 | 0x200 | 0x400;
	struct desc before[3];

	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int n = 0; n < 4; n++)
			put(e, i, hints | (i == 1 ? D_OP(OP_FILL) : 0), 512, FROM, TO)->arg[n] = ~0ull
												 << i * n;
	memcpy(before, memory(slot(e, 0)), sizeof(before));
	run(e, 3);
	CHECK(!memcmp(before, memory(slot(e, 0)), sizeof(before)));
}

/* A chain goes through descriptors in the order of their links, whatever their addresses. */
static void any_order(struct engine *e)
{
	const unsigned int n = 500;
	unsigned int at = 0;

	memset(memory(TO), 0, 8);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int next = (at + 317) % 4096;

		put(e, at, D_OP(OP_FILL), 1, i, TO + i)->next = slot(e, next);
		at = next;
	}
	run(e, (uint16_t)n);
	for (unsigned int i = 0; i < n; i++)
		EQUAL(*(uint8_t *)memory(TO + i), (uint8_t)i);
}

const struct test operation_tests[] = {
	{ "copy: sizes and alignments", copies, ANY },
	{ "copy: the largest transfer", largest, ANY },
	{ "copy, fill: across mappings", across, ANY },
	{ "copy: from read-only to write-only memory", one_permission, MAPPINGS },
	{ "fill: sizes, alignments and nothing beside", fills, ANY },
	{ "null descriptors", nulls, ANY },
	{ "a descriptor is not modified", untouched, ANY },
	{ "a chain in any order", any_order, ANY },
	{ NULL, NULL, ANY },
};
