/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XOR and PQ against a plain model.
 *
 * The model multiplies by the book: bit by bit, and the remainder after division by the polynomial.
 */
#include "devices/ioat/test_rig.h"

#include <string.h>

#define COMPL     IOAT_DESC_COMPL
#define SOURCE(i) (RIG_DATA + (uint64_t)(i)*0x20000u + (i)*3u)
#define OUT_P     0x400001u
#define OUT_Q     0x440003u
#define SED       0x8000u
#define MAX_SIZE  70000u

static uint8_t multiply(uint8_t a, uint8_t b)
{
	uint32_t product = 0;

	for (unsigned int i = 0; i < 8; i++)
		if (b >> i & 1)
			product ^= (uint32_t)a << i;
	for (int bit = 14; bit >= 8; bit--)
		if (product >> bit & 1)
			product ^= 0x11du << (bit - 8);
	return (uint8_t)product;
}

static uint8_t sum_at(struct rig *rig, unsigned int nr, const uint8_t *times, uint32_t at)
{
	uint8_t sum = 0;

	for (unsigned int i = 0; i < nr; i++)
		sum ^= multiply(rig->memory[SOURCE(i) + at], times ? times[i] : 1);
	return sum;
}

static void check_sum(struct rig *rig, uint64_t iova, unsigned int nr, const uint8_t *times, uint32_t size)
{
	for (uint32_t at = 0; at < size; at++)
		if (rig->memory[iova + at] != sum_at(rig, nr, times, at))
			fail_msg("%u sources: byte %u is wrong", nr, at);
}

static struct rig *raid_rig(void)
{
	struct rig *rig = rig_new("3.4", 20);

	for (unsigned int i = 0; i < IOAT_MAX_SOURCES; i++)
		rig_pattern(rig->memory + SOURCE(i), MAX_SIZE, i + 1);
	return rig;
}

/* Descriptors by hand, as hardware has them. Returns how many there are. */

static uint64_t *words(struct rig *rig, uint64_t iova)
{
	return (uint64_t *)(void *)(rig->memory + iova);
}

static unsigned int put_xor(struct rig *rig, unsigned int slot, uint32_t op, unsigned int nr, uint32_t size)
{
	static const unsigned int place[] = { 1, 4, 5, 6, 7, 8, 9, 10 };

	rig_desc(rig, slot, op, COMPL | (nr - 2) << 5, size, 0, OUT_P);
	for (unsigned int i = 0; i < nr; i++)
		words(rig, SLOT(slot))[place[i]] = SOURCE(i);
	words(rig, SLOT(slot))[11] = SLOT(slot + 2);
	return nr > 5 ? 2 : 1;
}

static unsigned int put_pq(struct rig *rig, unsigned int slot, uint32_t op, unsigned int nr,
			   const uint8_t *times, uint32_t size, uint32_t flags)
{
	static const unsigned int place[] = { 1, 4, 5, 8, 9, 10, 12, 13 };

	rig_desc(rig, slot, op, COMPL | (nr - 2) << 5 | flags, size, 0, OUT_P);
	for (unsigned int i = 0; i < nr; i++)
		words(rig, SLOT(slot))[place[i]] = SOURCE(i);
	memcpy(&words(rig, SLOT(slot))[6], times, nr);
	words(rig, SLOT(slot))[7] = OUT_Q;
	if (nr > 3)
		words(rig, SLOT(slot))[11] = SLOT(slot + 2);
	return nr > 3 ? 2 : 1;
}

static unsigned int put_pq16(struct rig *rig, unsigned int slot, uint32_t op, unsigned int nr,
			     const uint8_t *times, uint32_t size, uint32_t flags)
{
	rig_desc(rig, slot, op, COMPL | (nr - 9) << 5 | flags, size, SOURCE(0), OUT_P);
	words(rig, SLOT(slot))[4] = SOURCE(1);
	words(rig, SLOT(slot))[5] = SED;
	memcpy(&words(rig, SLOT(slot))[6], times, 8);
	words(rig, SLOT(slot))[7] = OUT_Q;
	memset(rig->memory + SED, 0, 128);
	memcpy(words(rig, SED), times + 8, nr - 8);
	for (unsigned int i = 2; i < nr; i++)
		words(rig, SED)[i - 1] = SOURCE(i);
	return 1;
}

static void run_ok(struct rig *rig, unsigned int used)
{
	rig_desc(rig, used, IOAT_OP_COPY, IOAT_DESC_NULL | COMPL, 1, 0, 0);
	rig_go(rig, (uint16_t)(used + 1));
	rig_run(rig);
	assert_int_equal(rig_chanerr(rig), 0);
	assert_int_equal(rig_sts(rig), SLOT(used) | IOAT_IDLE);
}

static void run_bad(struct rig *rig, unsigned int used, uint32_t error)
{
	rig_desc(rig, used, IOAT_OP_COPY, IOAT_DESC_NULL | COMPL, 1, 0, 0);
	rig_go(rig, (uint16_t)(used + 1));
	rig_run(rig);
	assert_int_equal(rig_chanerr(rig), error);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	assert_int_equal(rig_completion(rig), IOAT_HALTED);
	rig_write(rig, IOAT_REG_CHANERR, UINT32_MAX, 4);
}

static void test_xor(void **state)
{
	static const uint32_t sizes[] = { 1, 100, 8192, MAX_SIZE };
	struct rig *rig = raid_rig();

	(void)state;
	for (unsigned int nr = 2; nr <= 8; nr++) {
		for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
			memset(rig->memory + OUT_P, 0xcc, MAX_SIZE + 1);
			run_ok(rig, put_xor(rig, 0, IOAT_OP_XOR, nr, sizes[s]));
			check_sum(rig, OUT_P, nr, NULL, sizes[s]);
			assert_int_equal(rig->memory[OUT_P + sizes[s]], 0xcc);
			run_ok(rig, put_xor(rig, 0, IOAT_OP_XOR_VAL, nr, sizes[s]));
			rig->memory[OUT_P + sizes[s] / 2] ^= 0x10;
			run_bad(rig, put_xor(rig, 0, IOAT_OP_XOR_VAL, nr, sizes[s]), IOAT_ERR_P);
		}
	}
	rig_free(rig);
}

static const uint8_t coefficients[16] = { 1, 2, 4, 0, 0x8e, 0xff, 29, 58, 116, 3, 1, 0, 0x80, 0x1d, 99, 7 };

static void check_pq(struct rig *rig, unsigned int nr, const uint8_t *times, uint32_t size, uint32_t flags)
{
	if (flags & IOAT_DESC_NO_P)
		assert_int_equal(rig->memory[OUT_P], 0xcc);
	else
		check_sum(rig, OUT_P, nr, NULL, size);
	if (flags & IOAT_DESC_NO_Q)
		assert_int_equal(rig->memory[OUT_Q], 0xcc);
	else
		check_sum(rig, OUT_Q, nr, times, size);
}

typedef unsigned int put_fn(struct rig *rig, unsigned int slot, uint32_t op, unsigned int nr,
			    const uint8_t *times, uint32_t size, uint32_t flags);

static void check_validate(struct rig *rig, put_fn *put, uint32_t op, unsigned int nr, uint32_t flags)
{
	uint32_t p = flags & IOAT_DESC_NO_P ? 0 : IOAT_ERR_P, q = flags & IOAT_DESC_NO_Q ? 0 : IOAT_ERR_Q;

	run_ok(rig, put(rig, 0, op, nr, coefficients, 30000, flags));
	rig->memory[OUT_P + 29999] ^= 1;
	if (p)
		run_bad(rig, put(rig, 0, op, nr, coefficients, 30000, flags), p);
	else
		run_ok(rig, put(rig, 0, op, nr, coefficients, 30000, flags));
	rig->memory[OUT_P + 29999] ^= 1;
	rig->memory[OUT_Q] ^= 0x80;
	if (q)
		run_bad(rig, put(rig, 0, op, nr, coefficients, 30000, flags), q);
	else
		run_ok(rig, put(rig, 0, op, nr, coefficients, 30000, flags));
	rig->memory[OUT_P + 29999] ^= 1;
	if (p && q)
		run_bad(rig, put(rig, 0, op, nr, coefficients, 30000, flags), p | q);
}

static void check_all_pq(put_fn *put, uint32_t op, unsigned int from, unsigned int to)
{
	static const uint32_t disable[] = { 0, IOAT_DESC_NO_P, IOAT_DESC_NO_Q,
					    IOAT_DESC_NO_P | IOAT_DESC_NO_Q };
	struct rig *rig = raid_rig();

	for (unsigned int nr = from; nr <= to; nr++) {
		for (size_t i = 0; i < ARRAY_SIZE(disable); i++) {
			memset(rig->memory + OUT_P, 0xcc, 0x80000);
			run_ok(rig, put(rig, 0, op, nr, coefficients, 30000, disable[i]));
			check_pq(rig, nr, coefficients, 30000, disable[i]);
			check_validate(rig, put, op + 1, nr, disable[i]);
		}
	}
	rig_free(rig);
}

static void test_pq(void **state)
{
	(void)state;
	check_all_pq(put_pq, IOAT_OP_PQ, 2, 8);
}

static void test_pq16(void **state)
{
	(void)state;
	check_all_pq(put_pq16, IOAT_OP_PQ16, 9, 16);
}

/* New contents for source 2 of 8: P and Q become what they would be from scratch. */
static void test_pq_update(void **state)
{
	struct rig *rig = raid_rig();
	struct ioat_desc *desc;
	uint64_t old = 0x500000;

	(void)state;
	run_ok(rig, put_pq(rig, 0, IOAT_OP_PQ, 8, coefficients, 20000, 0));
	memcpy(rig->memory + old, rig->memory + SOURCE(2), 20000);
	rig_pattern(rig->memory + SOURCE(2), 20000, 77);
	desc = rig_desc(rig, 0, IOAT_OP_PQ_UPDATE, COMPL | (uint32_t)coefficients[2] << 16, 20000, old,
			OUT_P);
	desc->arg[0] = SOURCE(2);
	desc->arg[1] = OUT_P;
	desc->arg[2] = OUT_Q;
	desc->arg[3] = OUT_Q;
	run_ok(rig, 1);
	check_pq(rig, 8, coefficients, 20000, 0);
	rig_free(rig);
}

static void test_raid_errors(void **state)
{
	struct rig *rig = raid_rig();
	unsigned int used;

	(void)state;
	/* Nine sources are too many; so is what XFERCAP does not allow. */
	used = put_xor(rig, 0, IOAT_OP_XOR, 8, 64);
	words(rig, SLOT(0))[0] |= (uint64_t)(7 << 5) << 32;
	run_bad(rig, used, IOAT_ERR_CONTROL);
	put_pq(rig, 0, IOAT_OP_PQ, 2, coefficients, 64, 0);
	words(rig, SLOT(0))[0] |= (uint64_t)(7 << 5) << 32;
	run_bad(rig, 1, IOAT_ERR_CONTROL);
	run_bad(rig, put_pq(rig, 0, IOAT_OP_PQ, 2, coefficients, 64, BIT32(15)), IOAT_ERR_CONTROL);
	run_bad(rig, put_pq16(rig, 0, IOAT_OP_PQ16, 9, coefficients, 64, BIT32(16)), IOAT_ERR_CONTROL);
	run_bad(rig, put_xor(rig, 0, IOAT_OP_XOR, 3, 0), IOAT_ERR_LENGTH);
	run_bad(rig, put_xor(rig, 0, IOAT_OP_XOR, 3, (1u << 20) + 1), IOAT_ERR_LENGTH);
	/* Every source, each result. */
	for (unsigned int i = 0; i < 16; i++) {
		rig_access(rig, align_down(SOURCE(i), 4096), 4096, RIG_W);
		run_bad(rig, put_pq16(rig, 0, IOAT_OP_PQ16, 16, coefficients, 64, 0), IOAT_ERR_READ);
		rig_access(rig, align_down(SOURCE(i), 4096), 4096, RIG_R | RIG_W);
	}
	rig_access(rig, OUT_P & ~0xfffu, 4096, RIG_R);
	run_bad(rig, put_pq(rig, 0, IOAT_OP_PQ, 3, coefficients, 64, 0), IOAT_ERR_WRITE);
	run_bad(rig, put_xor(rig, 0, IOAT_OP_XOR, 5, 64), IOAT_ERR_WRITE);
	rig_access(rig, OUT_P & ~0xfffu, 4096, RIG_W);
	run_bad(rig, put_xor(rig, 0, IOAT_OP_XOR_VAL, 5, 64), IOAT_ERR_READ);
	rig_access(rig, OUT_P & ~0xfffu, 4096, RIG_R | RIG_W);
	rig_access(rig, OUT_Q & ~0xfffu, 4096, 0);
	run_bad(rig, put_pq(rig, 0, IOAT_OP_PQ, 3, coefficients, 64, 0), IOAT_ERR_WRITE);
	run_bad(rig, put_pq(rig, 0, IOAT_OP_PQ_VAL, 3, coefficients, 64, IOAT_DESC_NO_P), IOAT_ERR_READ);
	run_ok(rig, put_pq(rig, 0, IOAT_OP_PQ, 3, coefficients, 64, IOAT_DESC_NO_Q));
	put_xor(rig, 0, IOAT_OP_XOR, 3, 64);
	words(rig, SLOT(0))[4] = UINT64_MAX - 5;
	run_bad(rig, 1, IOAT_ERR_READ);
	words(rig, SLOT(0))[4] = RIG_DATA;
	words(rig, SLOT(0))[2] = UINT64_MAX - 5;
	run_bad(rig, 1, IOAT_ERR_WRITE);
	rig_free(rig);
}

/* Extended descriptors that are not where they should be. */
static void test_extensions(void **state)
{
	struct rig *rig = raid_rig();

	(void)state;
	put_xor(rig, 0, IOAT_OP_XOR, 6, 64);
	rig_go(rig, 1);
	rig_run(rig);
	assert_int_equal(rig_chanerr(rig), IOAT_ERR_COUNT);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	rig_write(rig, IOAT_REG_CHANERR, UINT32_MAX, 4);
	put_xor(rig, 0, IOAT_OP_XOR, 6, 64);
	words(rig, SLOT(0))[3] = SLOT(1) + 16;
	run_bad(rig, 2, IOAT_ERR_ALIGN);
	words(rig, SLOT(0))[3] = 64;
	run_bad(rig, 2, IOAT_ERR_NEXT);
	put_pq16(rig, 0, IOAT_OP_PQ16, 9, coefficients, 64, 0);
	words(rig, SLOT(0))[5] = SED + 32;
	run_bad(rig, 1, IOAT_ERR_SED);
	words(rig, SLOT(0))[5] = 64;
	run_bad(rig, 1, IOAT_ERR_SED);
	/* Nine sources need 64 bytes of it, ten 128. */
	put_pq16(rig, 0, IOAT_OP_PQ16, 10, coefficients, 64, 0);
	memcpy(rig->memory + SED + 0xfc0, rig->memory + SED, 64);
	words(rig, SLOT(0))[5] = SED + 0xfc0;
	rig_access(rig, SED + 0x1000, 4096, 0);
	run_bad(rig, 1, IOAT_ERR_SED);
	put_pq16(rig, 0, IOAT_OP_PQ16, 9, coefficients, 64, 0);
	words(rig, SLOT(0))[5] = SED + 0xfc0;
	run_ok(rig, 1);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xor),         cmocka_unit_test(test_pq),
		cmocka_unit_test(test_pq16),        cmocka_unit_test(test_pq_update),
		cmocka_unit_test(test_raid_errors), cmocka_unit_test(test_extensions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
