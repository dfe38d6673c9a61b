/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random chains of copies, fills and XOR, growing and suspended while they run: memory afterwards is what the
 * model's memory is.
 */
#include "devices/ioat/test_rig.h"

#include <stdlib.h>
#include <string.h>

#define COMPL IOAT_DESC_COMPL
#define AREA  (RIG_MEMORY - RIG_DATA)

struct model {
	uint8_t *memory;
	uint32_t x;
};

static uint32_t rnd(struct model *m, uint32_t below)
{
	m->x = m->x * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)m->x * below) >> 32);
}

static void model_move(struct model *m, const struct ioat_desc *desc)
{
	if (desc->ctl & IOAT_DESC_NULL)
		return;
	if (IOAT_DESC_OP(desc->ctl) == IOAT_OP_COPY) {
		memcpy(m->memory + desc->dst, m->memory + desc->src, desc->size);
		return;
	}
	for (uint32_t i = 0; i < desc->size; i++)
		m->memory[desc->dst + i] = (uint8_t)(desc->src >> i % 8 * 8);
}

static void model_xor(struct model *m, const struct ioat_desc *desc)
{
	for (uint32_t i = 0; i < desc->size; i++)
		m->memory[desc->dst + i] = m->memory[desc->src + i] ^ m->memory[desc->arg[0] + i];
}

/* One random descriptor at a slot; source and destination in halves of memory that do not overlap. */
static void random_desc(struct rig *rig, struct model *m, unsigned int slot, unsigned int next)
{
	uint32_t size = 1 + rnd(m, rnd(m, 8) ? 3000 : 300000), kind = rnd(m, 8);
	uint64_t src = RIG_DATA + rnd(m, AREA / 2 - 300000);
	uint64_t dst = RIG_DATA + AREA / 2 + rnd(m, AREA / 2 - 300000);
	struct ioat_desc *desc;

	if (rnd(m, 2)) {
		uint64_t swap = src;

		src = dst;
		dst = swap;
	}
	if (kind == 0)
		desc = rig_desc(rig, slot, IOAT_OP_FILL, 0, size, (uint64_t)m->x << 32 | rnd(m, UINT32_MAX),
				dst);
	else if (kind == 1)
		desc = rig_desc(rig, slot, IOAT_OP_COPY, IOAT_DESC_NULL, size, src, dst);
	else if (kind == 2)
		desc = rig_desc(rig, slot, IOAT_OP_XOR, 0, size, src, dst);
	else
		desc = rig_desc(rig, slot, IOAT_OP_COPY, 0, size, src, dst);
	if (kind == 2)
		desc->arg[0] = src > dst ? RIG_DATA + AREA / 2 + rnd(m, AREA / 2 - 300000)
					 : RIG_DATA + rnd(m, AREA / 2 - 300000);
	desc->ctl |= rnd(m, 2) ? COMPL : 0;
	desc->next = SLOT(next);
	if (kind == 2)
		model_xor(m, desc);
	else
		model_move(m, desc);
}

static void random_chain(struct rig *rig, struct model *m)
{
	unsigned int n = 1 + rnd(m, 40), order[41], first = 0;
	uint64_t last = 0;

	for (unsigned int i = 0; i <= n; i++)
		order[i] = i;
	for (unsigned int i = n; i > 0; i--) {
		unsigned int j = rnd(m, i + 1), swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	first = order[0];
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(first), 8);
	for (unsigned int i = 0; i < n; i++) {
		random_desc(rig, m, order[i], order[i + 1]);
		last = SLOT(order[i]);
		if (rnd(m, 3) == 0 || i + 1 == n)
			rig_write(rig, IOAT_REG_DMACOUNT, i + 1, 2);
		if (rnd(m, 10) == 0) {
			rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_SUSPEND, 1);
			rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESUME, 1);
		}
	}
	rig_await(rig, IOAT_IDLE);
	assert_int_equal(rig_sts(rig), last | IOAT_IDLE);
	assert_int_equal(rig_chanerr(rig), 0);
}

static void test_random(void **state)
{
	struct rig *rig = rig_new("3.4", 20);
	struct model m = { malloc(RIG_MEMORY), 12345 };

	(void)state;
	assert_non_null(m.memory);
	rig_pattern(rig->memory + RIG_DATA, AREA, 1);
	memcpy(m.memory, rig->memory, RIG_MEMORY);
	rig_write(rig, IOAT_REG_CHANCTRL, CTRL_ALL, 2);
	rig_start(rig);
	for (unsigned int i = 0; i < 300; i++) {
		random_chain(rig, &m);
		assert_memory_equal(m.memory + RIG_DATA, rig->memory + RIG_DATA, AREA);
	}
	rig_free(rig);
	free(m.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
