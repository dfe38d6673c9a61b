/* SPDX-License-Identifier: BSD-2-Clause */
/* Chains of copies and fills: what they do, and what their driver is told. */
#include "devices/ioat/test_rig.h"

#include <stdlib.h>
#include <string.h>

#define COMPL IOAT_DESC_COMPL
#define FAR   0x400000u /* a destination away from RIG_DATA */

static void test_copy(void **state)
{
	static const uint32_t sizes[] = { 1, 7, 64, 4095, 4096, 65536, 300000, 1u << 20 };
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	rig_pattern(rig->memory + RIG_DATA, 2u << 20, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(rig->memory + FAR, 0xee, 2u << 20);
		rig_desc(rig, 0, IOAT_OP_COPY, COMPL, sizes[i], RIG_DATA + 3, FAR + 5);
		rig_go(rig, 1);
		rig_run(rig);
		assert_memory_equal(rig->memory + FAR + 5, rig->memory + RIG_DATA + 3, sizes[i]);
		assert_int_equal(rig->memory[FAR + 4], 0xee);
		assert_int_equal(rig->memory[FAR + 5 + sizes[i]], 0xee);
		assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
		assert_int_equal(rig_completion(rig), SLOT(0) | IOAT_IDLE);
		assert_int_equal(rig_read(rig, IOAT_REG_CDAR, 8), SLOT(0));
		assert_int_equal(rig_chanerr(rig), 0);
	}
	assert_int_equal(rig->done, ARRAY_SIZE(sizes));
	assert_int_equal(rig->failed, 0);
	assert_int_equal(rig->irqs, 0);
	rig_free(rig);
}

static void test_fill(void **state)
{
	static const uint32_t sizes[] = { 1, 8, 50, 89, 100, 1024, 200001 };
	struct rig *rig = rig_new("3.3", 20);
	uint64_t pattern = 0x8877665544332211;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(rig->memory + FAR, 0xee, 1u << 20);
		rig_desc(rig, 0, IOAT_OP_FILL, COMPL, sizes[i], pattern, FAR + 3);
		rig_go(rig, 1);
		rig_run(rig);
		for (uint32_t b = 0; b < sizes[i]; b++)
			assert_int_equal(rig->memory[FAR + 3 + b], (pattern >> b % 8 * 8) & 0xff);
		assert_int_equal(rig->memory[FAR + 2], 0xee);
		assert_int_equal(rig->memory[FAR + 3 + sizes[i]], 0xee);
	}
	rig_free(rig);
}

/* A driver's own words in a descriptor stay as they are; null moves nothing. */
static void test_null_and_private(void **state)
{
	struct rig *rig = rig_new("3.3", 20);
	struct ioat_desc before, *desc;

	(void)state;
	desc = rig_desc(rig, 0, IOAT_OP_COPY, COMPL | IOAT_DESC_NULL, 8, 0, 0);
	rig_pattern((uint8_t *)desc->arg, sizeof(desc->arg), 3);
	before = *desc;
	rig_go(rig, 1);
	rig_run(rig);
	assert_memory_equal(desc, &before, sizeof(before));
	assert_int_equal(rig_completion(rig), SLOT(0) | IOAT_IDLE);
	assert_int_equal(rig_chanerr(rig), 0);
	rig_free(rig);
}

/* ---- interrupts */

static void test_interrupts(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	rig_desc(rig, 0, IOAT_OP_COPY, IOAT_DESC_NULL | IOAT_DESC_INT, 1, 0, 0);
	for (unsigned int i = 1; i <= 10; i++) {
		rig_go(rig, 1);
		rig_run(rig);
		assert_int_equal(rig->irqs, i);
	}
	assert_int_equal(rig_read(rig, IOAT_REG_INTRCTRL, 1), 0);
	/* MSI wants the master bit; the driver sees who it was, and says that it has. */
	rig->mode = UVFIO_IRQ_MSI;
	rig_go(rig, 1);
	rig_run(rig);
	assert_int_equal(rig->irqs, 10);
	assert_int_equal(rig_read(rig, IOAT_REG_INTRCTRL, 1), IOAT_INTRCTRL_STATUS);
	rig_write(rig, IOAT_REG_INTRCTRL, IOAT_INTRCTRL_MASTER, 1);
	rig_go(rig, 1);
	rig_run(rig);
	assert_int_equal(rig->irqs, 11);
	assert_int_equal(rig_read(rig, IOAT_REG_INTRCTRL, 1), 7);
	assert_int_equal(rig_read(rig, IOAT_REG_ATTNSTATUS, 4), 1);
	rig_write(rig, IOAT_REG_INTRCTRL, IOAT_INTRCTRL_MASTER, 1);
	assert_int_equal(rig_read(rig, IOAT_REG_INTRCTRL, 1), 1);
	assert_int_equal(rig_read(rig, IOAT_REG_ATTNSTATUS, 4), 0);
	/* INTx is a level until then. */
	rig->mode = UVFIO_IRQ_INTX;
	rig_go(rig, 1);
	rig_run(rig);
	assert_int_equal(rig->irqs, 11);
	assert_int_equal(rig->line, 1);
	rig_write(rig, IOAT_REG_GENCTRL, 0, 1);
	assert_int_equal(rig->line, 1);
	rig_write(rig, IOAT_REG_INTRCTRL, IOAT_INTRCTRL_MASTER, 1);
	assert_int_equal(rig->line, 0);
	rig_free(rig);
}

/* Many interrupts may be fewer, but there is one after the last descriptor. */
static void test_interrupts_merge(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		rig_desc(rig, i, IOAT_OP_COPY, IOAT_DESC_NULL | IOAT_DESC_INT, 1, 0, 0);
	rig_go(rig, 100);
	rig_run(rig);
	assert_in_range(rig->irqs, 1, 100);
	assert_int_equal(rig->done, 100);
	rig_free(rig);
}

static void test_trace(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	rig->trace_on = 1;
	rig_desc(rig, 0, IOAT_OP_FILL, COMPL, 8, 0, FAR);
	rig_desc(rig, 1, 0x55, COMPL, 8, 0, FAR);
	rig_go(rig, 2);
	rig_run(rig);
	assert_int_equal(rig->traces, 2);
	rig_free(rig);
}

/* ---- counting */

/* One descriptor that leads to itself, 65535 times and read anew each time; then the count wraps. */
static void test_self_link(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	rig_desc(rig, 0, IOAT_OP_COPY, 0, 1, RIG_DATA, FAR)->next = SLOT(0);
	for (unsigned int round = 0; round < 2; round++) {
		rig->done = 0;
		rig_go(rig, 65535);
		assert_int_equal(rig_sts(rig), IOAT_ACTIVE);
		rig_run(rig);
		assert_int_equal(rig->done, 65535);
		assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
	}
	for (unsigned int i = 0; i < 40; i++) {
		uint16_t count = (uint16_t)(rig_read(rig, IOAT_REG_DMACOUNT, 2) + 4000);

		rig->done = 0;
		rig_write(rig, IOAT_REG_DMACOUNT, count, 2);
		assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_ACTIVE);
		rig_run(rig);
		assert_int_equal(rig->done, 4000);
		assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
	}
	rig_free(rig);
}

/* It is read each time: a copy over its own size ends it. */
static void test_reread(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	rig_desc(rig, 0, IOAT_OP_COPY, COMPL, 4, RIG_DATA, SLOT(0))->next = SLOT(0);
	rig_go(rig, 5);
	rig_run(rig);
	assert_int_equal(rig_chanerr(rig), IOAT_ERR_LENGTH);
	assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_HALTED);
	assert_int_equal(rig->done, 1);
	rig_free(rig);
}

static void grow_once(struct rig *rig, uint64_t iova)
{
	if (iova != FAR || *(unsigned int *)rig->arg >= 5)
		return;
	++*(unsigned int *)rig->arg;
	rig_write(rig, IOAT_REG_DMACOUNT, rig_read(rig, IOAT_REG_DMACOUNT, 2) + 1, 2);
}

/* DMACOUNT grows while a descriptor is under way. */
static void test_growth(void **state)
{
	struct rig *rig = rig_new("3.3", 20);
	unsigned int grown = 0;

	(void)state;
	rig->arg = &grown;
	rig->before_write = grow_once;
	for (unsigned int i = 0; i < 6; i++)
		rig_desc(rig, i, IOAT_OP_COPY, COMPL, 8, RIG_DATA, FAR);
	rig_go(rig, 1);
	rig_run(rig);
	assert_int_equal(grown, 5);
	assert_int_equal(rig->done, 6);
	assert_int_equal(rig_sts(rig), SLOT(5) | IOAT_IDLE);
	assert_int_equal(rig_completion(rig), SLOT(5) | IOAT_IDLE);
	rig_free(rig);
}

/* When a stop is asked for, what is left is left; a reset then forgets it. */
static void stop_now(struct rig *rig, uint64_t iova)
{
	(void)iova;
	atomic_store(&rig->stopping, true);
}

static void test_stopping(void **state)
{
	static const uint32_t ops[] = { IOAT_OP_COPY, IOAT_OP_FILL, IOAT_OP_XOR };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct rig *rig = rig_new("3.4", 20);

		rig->before_write = stop_now;
		rig_desc(rig, 0, ops[i], COMPL, 1u << 20, RIG_DATA, FAR)->arg[0] = RIG_DATA;
		rig_go(rig, 1);
		rig_run(rig);
		assert_int_equal(rig->pieces, 1);
		assert_int_equal(rig_sts(rig), IOAT_ACTIVE);
		ioat_model.ops.reset(&rig->func);
		atomic_store(&rig->stopping, false);
		atomic_store(&rig->kicked, true);
		rig_run(rig);
		assert_int_equal(rig->pieces, 1);
		assert_int_equal(rig_sts(rig), IOAT_HALTED);
		rig_free(rig);
	}
}

static void test_forked(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	rig->before_write = stop_now;
	rig_pattern(rig->memory + RIG_DATA, 1u << 20, 4);
	rig_desc(rig, 0, IOAT_OP_COPY, COMPL, 1u << 20, RIG_DATA, FAR);
	rig_go(rig, 1);
	rig_run(rig);
	rig->before_write = NULL;
	atomic_store(&rig->ioat->running, rig->ioat->gen + 1);
	atomic_store(&rig->stopping, false);
	ioat_model.ops.forked(&rig->func);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
	assert_memory_equal(rig->memory + RIG_DATA, rig->memory + FAR, 1u << 20);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_fill),
		cmocka_unit_test(test_null_and_private),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_interrupts_merge),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_self_link),
		cmocka_unit_test(test_reread),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_stopping),
		cmocka_unit_test(test_forked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
