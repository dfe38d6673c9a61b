/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers: values, widths, and what writes do to the channel. */
#include "devices/ioat/test_rig.h"

#include <string.h>

static void check_bytes(struct rig *rig, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += 8) {
		uint64_t word = rig_read(rig, at, 8);

		for (unsigned int size = 1; size < 8; size *= 2)
			for (unsigned int i = 0; i < 8; i += size)
				assert_int_equal(rig_read(rig, at + i, size),
						 word >> i * 8 & (BIT64(size * 8) - 1));
	}
}

static void test_constants(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	assert_int_equal(rig->desc.device, 0x2021);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCNT, 1), 1);
	assert_int_equal(rig_read(rig, IOAT_REG_XFERCAP, 1), 20);
	assert_int_equal(rig_read(rig, IOAT_REG_CBVER, 1), 0x33);
	assert_int_equal(rig_read(rig, IOAT_REG_DMACAP, 4), 0x40);
	assert_int_equal(rig_read(rig, IOAT_REG_DMA_COMP, 2), 2);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCTRL, 2), 0);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCMD, 1), 0);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	for (unsigned int i = 0; i < 8; i++) {
		rig_write(rig, IOAT_REG_CBVER & ~7u, UINT64_MAX, 8);
		rig_write(rig, IOAT_REG_DMACAP, UINT64_MAX, 8);
		rig_write(rig, IOAT_REG_CHANCNT, 0xffff, 2);
		rig_write(rig, IOAT_REG_CHANSTS + i, 0xff, 1);
		rig_write(rig, IOAT_REG_CDAR + i, 0xff, 1);
	}
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCNT, 2), 20 << 8 | 1);
	assert_int_equal(rig_read(rig, IOAT_REG_CBVER, 1), 0x33);
	assert_int_equal(rig_read(rig, IOAT_REG_INTRDELAY, 2), 0x7fff);
	assert_int_equal(rig_read(rig, IOAT_REG_DMACAP, 8), 0x40);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	assert_int_equal(rig_read(rig, IOAT_REG_CDAR, 8), 0);
	check_bytes(rig, 0, 0x200);
	rig_free(rig);
}

static void test_profile_34(void **state)
{
	struct rig *rig = rig_new("3.4", 16);
	char err[128];

	(void)state;
	assert_int_equal(rig->desc.device, 0x0b00);
	assert_int_equal(rig_read(rig, IOAT_REG_XFERCAP, 1), 16);
	assert_int_equal(rig_read(rig, IOAT_REG_CBVER, 1), 0x34);
	assert_int_equal(rig_read(rig, IOAT_REG_DMACAP, 4), 0x820340);
	rig_free(rig);
	assert_int_equal(rig_try("3.2", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "ioat: profile=3.2: give 3.3 or 3.4");
	assert_int_equal(rig_try(NULL, err, sizeof(err)), -EINVAL);
	assert_int_equal(rig_try("3.3", err, sizeof(err)), 0);
}

/* Registers without effect, and places without register, keep what is written in any width. */
static void test_stored(void **state)
{
	static const struct {
		uint16_t offset;
		uint8_t size;
	} kept[] = {
		{ IOAT_REG_GENCTRL, 1 },
		{ IOAT_REG_CHANCMP, 8 },
		{ IOAT_REG_CHANERRMSK, 4 },
		{ IOAT_REG_DCACTRL, 4 },
		{ IOAT_REG_DRSCTL, 2 },
		{ IOAT_REG_LTR_SWSEL, 1 },
		{ IOAT_REG_LTR_ACTIVE, 4 },
		{ IOAT_REG_LTR_IDLE, 4 },
		{ IOAT_REG_CHWPREFLMT, 1 },
		{ 0xff8, 8 },
		{ 0x23e, 2 },
	};
	struct rig *rig = rig_new("3.4", 20);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		uint64_t value = 0x1122334455667788u & (UINT64_MAX >> (64 - kept[i].size * 8));

		rig_write(rig, kept[i].offset, value, kept[i].size);
		assert_int_equal(rig_read(rig, kept[i].offset, kept[i].size), value);
		for (unsigned int b = 0; b < kept[i].size; b++) {
			rig_write(rig, kept[i].offset + b, 0xa0 + b, 1);
			assert_int_equal(rig_read(rig, kept[i].offset + b, 1), 0xa0 + b);
		}
	}
	check_bytes(rig, 0, 0x1000);
	rig_write(rig, 0x1000, 5, 4);
	assert_int_equal(rig_read(rig, 0x1000, 4), 0);
	assert_int_equal(ioat_model.ops.read(&rig->func, 2, IOAT_REG_CHANCNT, 1), 0);
	rig_write(rig, IOAT_REG_INTRCTRL, 0xff, 1);
	assert_int_equal(rig_read(rig, IOAT_REG_INTRCTRL, 1), 0x09);
	rig_write(rig, IOAT_REG_CHANCTRL, 0xffff, 2);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCTRL, 2), 0xfffe);
	ioat_model.ops.reset(&rig->func);
	for (uint64_t at = 0x18; at < 0x1000; at += 8)
		if (at != 0x80 && at != 0x88)
			assert_int_equal(rig_read(rig, at, 8), 0);
	rig_free(rig);
}

static void test_chainaddr(void **state)
{
	static const unsigned int from[] = { IOAT_HALTED, IOAT_SUSPENDED, IOAT_IDLE, IOAT_ARMED };
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		rig_desc(rig, 0, IOAT_OP_COPY, IOAT_DESC_NULL, 1, 0, 0);
		rig_go(rig, 1);
		assert_int_equal(rig_sts(rig), IOAT_ACTIVE);
		rig_run(rig);
		assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
		if (from[i] == IOAT_HALTED)
			rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESET, 1);
		else if (from[i] == IOAT_SUSPENDED)
			rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_SUSPEND, 1);
		else if (from[i] == IOAT_ARMED)
			rig_write(rig, IOAT_REG_CHAINADDR, SLOT(9), 8);
		assert_int_equal(rig_sts(rig) & 7, from[i]);
		rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
		assert_int_equal(rig_sts(rig), IOAT_ARMED);
		assert_int_equal(rig_read(rig, IOAT_REG_DMACOUNT, 2), 0);
		assert_int_equal(rig_read(rig, IOAT_REG_CHAINADDR, 8), SLOT(0));
	}
	rig_write(rig, IOAT_REG_CHAINADDR, 0, 8);
	assert_int_equal(rig_sts(rig), IOAT_ARMED);
	/* By halves, and 0 in the count starts nothing. */
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 4);
	rig_write(rig, IOAT_REG_CHAINADDR + 4, 0, 4);
	rig_write(rig, IOAT_REG_DMACOUNT, 0, 2);
	assert_int_equal(rig_sts(rig), IOAT_ARMED);
	rig_write(rig, IOAT_REG_DMACOUNT, 1, 1);
	assert_int_equal(rig_sts(rig), IOAT_ACTIVE);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
	rig_free(rig);
}

static void test_commands(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	/* Nothing wakes a halted channel but CHAINADDR. */
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_SUSPEND, 1);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESUME, 1);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	rig_write(rig, IOAT_REG_DMACOUNT, 5, 2);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	assert_false(atomic_load(&rig->kicked));
	/* Suspended before it had anything to do. */
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_SUSPEND, 1);
	assert_int_equal(rig_sts(rig), IOAT_SUSPENDED);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESUME, 1);
	assert_int_equal(rig_sts(rig), IOAT_ARMED);
	/* DMACOUNT while suspended counts afterwards. */
	rig_desc(rig, 0, IOAT_OP_COPY, IOAT_DESC_NULL, 1, 0, 0);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_SUSPEND, 1);
	rig_write(rig, IOAT_REG_DMACOUNT, 1, 2);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), IOAT_SUSPENDED);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESUME, 1);
	assert_int_equal(rig_sts(rig), IOAT_ACTIVE);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
	/* ABORT keeps the address; RESET does not, but CHANCTRL and CHANCMP. */
	rig_write(rig, IOAT_REG_CHANCTRL, 0x10c, 2);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_ABORT, 1);
	assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_HALTED);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCTRL, 8), (uint64_t)IOAT_DMA_COMP_V2 << 16 | 0x10c);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCMP, 8), RIG_CMP);
	/* One 64-bit write reaches command and count. */
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
	rig_write(rig, IOAT_REG_CHANCTRL, (uint64_t)1 << 48 | CTRL_ALL, 8);
	assert_int_equal(rig_sts(rig), IOAT_ACTIVE);
	rig_run(rig);
	assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
	rig_free(rig);
}

static void test_chanerr_clears(void **state)
{
	struct rig *rig = rig_new("3.3", 20);

	(void)state;
	rig_desc(rig, 0, IOAT_OP_COPY, 0, 64, 0, RIG_DATA);
	rig_go(rig, 1);
	rig_run(rig);
	assert_int_equal(rig_chanerr(rig), IOAT_ERR_READ);
	rig_write(rig, IOAT_REG_CHANERR, 0xfffffeff, 4);
	assert_int_equal(rig_chanerr(rig), IOAT_ERR_READ);
	rig_write(rig, IOAT_REG_CHANERR + 1, 1, 1);
	assert_int_equal(rig_chanerr(rig), 0);
	rig_go(rig, 1);
	rig_run(rig);
	rig_write(rig, IOAT_REG_CHANERRMSK, 0x100, 4);
	assert_int_equal(rig_chanerr(rig), IOAT_ERR_READ);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANERR, 8), (uint64_t)0x100 << 32);
	rig_free(rig);
}

/* The tables that traces are made with: sorted, within the BAR, fields within their registers. */
static void test_tables(void **state)
{
	uint64_t end = 0;
	unsigned int n = 0;

	(void)state;
	for (const struct uvfio_register *reg = ioat_registers; reg->name; reg++, n++) {
		int bit = -1;

		assert_true(reg->offset >= end);
		end = reg->offset + reg->size;
		assert_true(end <= IOAT_REGS_SIZE);
		for (const struct uvfio_field *field = reg->fields; field && field->name; field++) {
			assert_true(field->first > bit && field->last >= field->first);
			bit = field->last;
			assert_true(bit < (int)reg->size * 8);
		}
	}
	assert_int_equal(n, 26);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constants), cmocka_unit_test(test_profile_34),
		cmocka_unit_test(test_stored),    cmocka_unit_test(test_chainaddr),
		cmocka_unit_test(test_commands),  cmocka_unit_test(test_chanerr_clears),
		cmocka_unit_test(test_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
