/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors: each has one bit in CHANERR, and halts where the last good descriptor was. */
#include "devices/ioat/test_rig.h"

#include <string.h>

#define COMPL IOAT_DESC_COMPL
#define FAR   0x400000u /* a destination away from RIG_DATA */

struct cause {
	uint32_t op, flags, size;
	uint64_t src, dst;
	uint32_t error;
};

static const struct cause causes[] = {
	{ IOAT_OP_COPY, COMPL, 64, 0x10, RIG_DATA, IOAT_ERR_READ },
	{ IOAT_OP_COPY, COMPL, 64, RIG_DATA, 0x10, IOAT_ERR_WRITE },
	{ IOAT_OP_COPY, COMPL, 64, UINT64_MAX - 62, RIG_DATA, IOAT_ERR_READ },
	{ IOAT_OP_COPY, COMPL, 64, RIG_DATA, UINT64_MAX - 62, IOAT_ERR_WRITE },
	{ IOAT_OP_COPY, COMPL, 0x10000, RIG_MEMORY - 0x1000, RIG_DATA, IOAT_ERR_READ },
	{ IOAT_OP_COPY, COMPL, 0x10000, RIG_DATA, RIG_MEMORY - 0x1000, IOAT_ERR_WRITE },
	{ IOAT_OP_FILL, COMPL, 64, 1, 0x10, IOAT_ERR_WRITE },
	{ IOAT_OP_FILL, COMPL, 64, 1, UINT64_MAX - 62, IOAT_ERR_WRITE },
	{ IOAT_OP_COPY, COMPL, 0, RIG_DATA, RIG_DATA, IOAT_ERR_LENGTH },
	{ IOAT_OP_COPY, COMPL | IOAT_DESC_NULL, 0, 0, 0, IOAT_ERR_LENGTH },
	{ IOAT_OP_COPY, COMPL, (1u << 16) + 1, RIG_DATA, FAR, IOAT_ERR_LENGTH },
	{ IOAT_OP_FILL, COMPL, UINT32_MAX, 0, FAR, IOAT_ERR_LENGTH },
	{ 0x02, COMPL, 64, RIG_DATA, FAR, IOAT_ERR_CONTROL },
	{ 0xff, COMPL, 64, RIG_DATA, FAR, IOAT_ERR_CONTROL },
	{ IOAT_OP_COPY, COMPL | 0x800, 64, RIG_DATA, FAR, IOAT_ERR_CONTROL },
	{ IOAT_OP_FILL, COMPL | 0x800000, 64, RIG_DATA, FAR, IOAT_ERR_CONTROL },
	/* Version 3.3 does not announce these. */
	{ IOAT_OP_XOR, COMPL, 64, RIG_DATA, FAR, IOAT_ERR_CONTROL },
	{ IOAT_OP_PQ, COMPL, 64, RIG_DATA, FAR, IOAT_ERR_CONTROL },
	{ IOAT_OP_PQ_UPDATE, COMPL, 64, RIG_DATA, FAR, IOAT_ERR_CONTROL },
	{ IOAT_OP_PQ16, COMPL, 64, RIG_DATA, FAR, IOAT_ERR_CONTROL },
};

static void fail_at(struct rig *rig, const struct cause *c, unsigned int good)
{
	uint64_t last = good ? SLOT(good - 1) : 0;

	for (unsigned int i = 0; i < good; i++)
		rig_desc(rig, i, IOAT_OP_COPY, COMPL, 8, RIG_DATA, FAR);
	rig_desc(rig, good, c->op, c->flags, c->size, c->src, c->dst);
	rig_desc(rig, good + 1, IOAT_OP_COPY, COMPL | IOAT_DESC_INT, 8, RIG_DATA, FAR);
	rig->chanerr_int = 0;
	rig->irqs = rig->failed = rig->delays = 0;
	rig_go(rig, (uint16_t)(good + 2));
	rig_run(rig);
	assert_int_equal(rig->delays, 0);
	assert_int_equal(rig_chanerr(rig), c->error);
	assert_int_equal(rig->chanerr_int, c->error);
	assert_int_equal(rig_sts(rig), last | IOAT_HALTED);
	assert_int_equal(rig_completion(rig), last | IOAT_HALTED);
	assert_int_equal(rig->irqs, 1);
	assert_int_equal(rig->failed, 1);
	rig_write(rig, IOAT_REG_CHANERR, c->error, 4);
	/* The rest of the ring goes on after a new CHAINADDR. */
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(good + 1), 8);
	assert_int_equal(rig_sts(rig), IOAT_ARMED);
	rig_write(rig, IOAT_REG_DMACOUNT, 1, 2);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), SLOT(good + 1) | IOAT_IDLE);
	assert_int_equal(rig_chanerr(rig), 0);
	assert_int_equal(rig->irqs, 2);
	/* It does not begin at once. */
	assert_int_equal(rig->delays, 1);
}

static void test_errors(void **state)
{
	struct rig *rig = rig_new("3.3", 16);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
		for (unsigned int good = 0; good < 3; good++)
			fail_at(rig, &causes[i], good);
	rig_free(rig);
}

static void test_fetch_errors(void **state)
{
	static const struct {
		uint64_t next;
		uint32_t error;
	} bad[] = {
		{ 0, IOAT_ERR_NEXT },
		{ 0xfc0, IOAT_ERR_NEXT },
		{ RIG_MEMORY, IOAT_ERR_NEXT },
		{ UINT64_MAX - 63, IOAT_ERR_NEXT },
		{ SLOT(1) + 8, IOAT_ERR_ALIGN },
		{ 1, IOAT_ERR_ALIGN },
	};
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		/* These halt with or without ANY_ERR_ABORT_EN. */
		for (unsigned int abort = 0; abort < 2; abort++) {
			rig_desc(rig, 0, IOAT_OP_COPY, COMPL, 8, RIG_DATA, FAR)->next = bad[i].next;
			rig_write(rig, IOAT_REG_CHANCTRL, abort ? CTRL_ALL : IOAT_CTRL_ERR_COMPL, 2);
			rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
			rig_write(rig, IOAT_REG_DMACOUNT, 2, 2);
			rig_run(rig);
			assert_int_equal(rig_chanerr(rig), bad[i].error);
			assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_HALTED);
			assert_int_equal(rig_completion(rig), SLOT(0) | IOAT_HALTED);
			rig_write(rig, IOAT_REG_CHANERR, UINT32_MAX, 4);
			rig_write(rig, IOAT_REG_CHAINADDR, bad[i].next, 8);
			assert_int_equal(rig_sts(rig), IOAT_ARMED);
			rig_write(rig, IOAT_REG_DMACOUNT, 1, 2);
			rig_run(rig);
			assert_int_equal(rig_chanerr(rig), bad[i].error);
			assert_int_equal(rig_completion(rig), IOAT_HALTED);
			rig_write(rig, IOAT_REG_CHANERR, UINT32_MAX, 4);
		}
	}
	rig_free(rig);
}

static void test_completion_errors(void **state)
{
	static const uint64_t bad[] = { 0, RIG_CMP + 4, RIG_CMP + 1, RIG_MEMORY, UINT64_MAX, 0x5000 };
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	rig_access(rig, 0x5000, 4096, RIG_R);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_write(rig, IOAT_REG_CHANCMP, bad[i], 8);
		rig_desc(rig, 0, IOAT_OP_COPY, 0, 8, RIG_DATA, FAR);
		rig_desc(rig, 1, IOAT_OP_COPY, COMPL, 8, RIG_DATA, FAR);
		rig->irqs = rig->pieces = 0;
		rig_go(rig, 2);
		rig_run(rig);
		/* Two copies, and an attempt that is not made twice. */
		assert_int_equal(rig->pieces, bad[i] % 8 ? 2 : 3);
		assert_int_equal(rig_chanerr(rig), IOAT_ERR_CHANCMP);
		assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_HALTED);
		assert_int_equal(rig->irqs, 1);
		rig_write(rig, IOAT_REG_CHANERR, UINT32_MAX, 4);
		/* Another error whose report cannot be written is still that one error. */
		rig_desc(rig, 0, IOAT_OP_COPY, 0, 8, 0, FAR);
		rig_go(rig, 1);
		rig_run(rig);
		assert_int_equal(rig_chanerr(rig), IOAT_ERR_READ);
		rig_write(rig, IOAT_REG_CHANERR, UINT32_MAX, 4);
	}
	rig_free(rig);
}

/* What CHANCTRL and the masks have to do with errors. */
static void test_error_controls(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	memset(rig->memory + RIG_CMP, 0x77, 8);
	rig_desc(rig, 0, IOAT_OP_COPY, 0, 8, 0, FAR);
	rig_desc(rig, 1, IOAT_OP_COPY, 0, 8, RIG_DATA, FAR);
	rig_write(rig, IOAT_REG_CHANCTRL, IOAT_CTRL_REARM | IOAT_CTRL_ERR_ABORT, 2);
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
	rig_write(rig, IOAT_REG_DMACOUNT, 2, 2);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	assert_int_equal(rig_completion(rig), 0x7777777777777777);
	assert_int_equal(rig->irqs, 0);
	/* Without ANY_ERR_ABORT_EN it is passed over. */
	rig_write(rig, IOAT_REG_CHANERR, UINT32_MAX, 4);
	rig_write(rig, IOAT_REG_CHANCTRL, IOAT_CTRL_ERR_INT | IOAT_CTRL_ERR_COMPL, 2);
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
	rig_write(rig, IOAT_REG_DMACOUNT, 2, 2);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), SLOT(1) | IOAT_IDLE);
	assert_int_equal(rig_completion(rig), 0x7777777777777777);
	assert_int_equal(rig_chanerr(rig), IOAT_ERR_READ);
	assert_int_equal(rig->irqs, 1);
	/* CHANERRMSK: no interrupt. CHANERRMSK_INT: nothing in CHANERR_INT. */
	rig->chanerr_int = 0;
	rig->chanerrmsk_int = IOAT_ERR_READ;
	rig_write(rig, IOAT_REG_CHANERRMSK, IOAT_ERR_READ, 4);
	rig_go(rig, 2);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	assert_int_equal(rig->irqs, 1);
	assert_int_equal(rig->chanerr_int, 0);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_fetch_errors),
		cmocka_unit_test(test_completion_errors),
		cmocka_unit_test(test_error_controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
