/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Register writes against a worker that is at work. The bench's hook holds the worker inside a write to
 * memory (gate 1), so that what comes next comes at the worst time.
 */
#include "devices/ioat/test_rig.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#define BIG   (1u << 20)
#define FAR   0x400000u
#define COMPL (IOAT_DESC_COMPL | IOAT_DESC_INT)

static void sleep_ms(long ms)
{
	struct timespec ts = { 0, ms * 1000000 };

	nanosleep(&ts, NULL);
}

/* Tell that the worker is here, once, and stay until what comes next has been done to the channel. */
static void linger(struct rig *rig, uint64_t iova)
{
	uint64_t ctl = atomic_load(&rig->ioat->ctl);

	if (rig->arg ? iova != RIG_CMP : iova == RIG_CMP)
		return;
	if (atomic_exchange(&rig->gate, 1))
		return;
	while (atomic_load(&rig->ioat->ctl) == ctl)
		sched_yield();
	sleep_ms(2);
}

static void hold(struct rig *rig, bool completion)
{
	rig->arg = completion ? rig : NULL;
	rig->before_write = linger;
	atomic_store(&rig->gate, 0);
}

static void await_gate(struct rig *rig)
{
	while (!atomic_load(&rig->gate))
		sched_yield();
}

static struct rig *busy_rig(bool completion)
{
	struct rig *rig = rig_new("3.3", 20);

	rig_pattern(rig->memory + RIG_DATA, BIG, 9);
	rig_desc(rig, 0, IOAT_OP_COPY, COMPL, BIG, RIG_DATA, FAR);
	rig_desc(rig, 1, IOAT_OP_COPY, COMPL, BIG, RIG_DATA, FAR + BIG);
	hold(rig, completion);
	rig_start(rig);
	rig_go(rig, 2);
	await_gate(rig);
	return rig;
}

/* Nothing of the old chain is written from now on: mark memory, and look again later. */
static void assert_quiet(struct rig *rig)
{
	unsigned int pieces = atomic_load(&rig->pieces);

	memset(rig->memory + FAR, 0x22, 2 * BIG);
	memset(rig->memory + RIG_CMP, 0x22, 8);
	sleep_ms(10);
	for (uint32_t i = 0; i < 2 * BIG; i++)
		if (rig->memory[FAR + i] != 0x22)
			fail_msg("byte %u was written", i);
	assert_int_equal(rig_completion(rig), 0x2222222222222222);
	assert_int_equal(atomic_load(&rig->pieces), pieces);
}

static void end_chain(bool completion, unsigned int offset, uint64_t value, uint64_t sts)
{
	struct rig *rig = busy_rig(completion);

	rig_write(rig, offset, value, offset == IOAT_REG_CHAINADDR ? 8 : 1);
	assert_int_equal(rig_sts(rig), sts);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCMD, 1), 0);
	assert_quiet(rig);
	assert_int_equal(rig_sts(rig), sts);
	assert_int_equal(rig_chanerr(rig), 0);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCTRL, 2), CTRL_ALL & ~IOAT_CTRL_REARM);
	/* The channel is as good as new. */
	rig->before_write = NULL;
	rig_go(rig, 2);
	rig_await(rig, IOAT_IDLE);
	assert_int_equal(rig_sts(rig), SLOT(1) | IOAT_IDLE);
	assert_memory_equal(rig->memory + FAR + BIG, rig->memory + RIG_DATA, BIG);
	rig_free(rig);
}

static void test_end_in_flight(void **state)
{
	(void)state;
	for (unsigned int completion = 0; completion < 2; completion++) {
		end_chain(completion, IOAT_REG_CHANCMD, IOAT_CMD_RESET, IOAT_HALTED);
		end_chain(completion, IOAT_REG_CHANCMD, IOAT_CMD_ABORT, IOAT_HALTED);
		end_chain(completion, IOAT_REG_CHAINADDR, SLOT(0), IOAT_ARMED);
	}
}

/* Memory that hangs: the write gives up waiting, RESET stays set until the worker is back, nothing follows.
 */
static void hang(struct rig *rig, uint64_t iova)
{
	(void)iova;
	atomic_store(&rig->gate, 1);
	while (atomic_load(&rig->gate) == 1)
		sleep_ms(1);
}

static struct rig *hung_rig(uint32_t size)
{
	struct rig *rig = rig_new("3.3", 20);

	rig_desc(rig, 0, IOAT_OP_COPY, COMPL, size, RIG_DATA, FAR);
	rig->before_write = hang;
	rig_start(rig);
	rig_go(rig, 1);
	await_gate(rig);
	return rig;
}

static void reset_hung(uint32_t size)
{
	struct rig *rig = hung_rig(size);
	unsigned int pieces = atomic_load(&rig->pieces);

	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	assert_int_equal(rig_read(rig, IOAT_REG_CHANCMD, 1), IOAT_CMD_RESET);
	atomic_store(&rig->gate, 2);
	while (rig_read(rig, IOAT_REG_CHANCMD, 1))
		sched_yield();
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	assert_int_equal(atomic_load(&rig->pieces), pieces + 1);
	assert_int_equal(rig_completion(rig), 0);
	rig_free(rig);
}

static void test_reset_of_what_hangs(void **state)
{
	(void)state;
	reset_hung(BIG);
	reset_hung(64);
}

/* What hung fails, when nobody cares any more. */
static void test_late_failure(void **state)
{
	struct rig *rig = hung_rig(64);

	(void)state;
	rig_access(rig, FAR, 4096, 0);
	rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
	assert_int_equal(rig_sts(rig), IOAT_ARMED);
	atomic_store(&rig->gate, 2);
	while (rig_read(rig, IOAT_REG_CHANCMD, 1))
		sched_yield();
	assert_int_equal(rig_sts(rig), IOAT_ARMED);
	assert_int_equal(rig_chanerr(rig), 0);
	assert_int_equal(rig_completion(rig), 0);
	assert_int_equal(atomic_load(&rig->irqs), 0);
	rig_free(rig);
}

/* A suspended channel writes nothing, and goes on in the middle of a descriptor. */
static void test_suspend_resume(void **state)
{
	struct rig *rig = busy_rig(false);
	unsigned int pieces;

	(void)state;
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_SUSPEND, 1);
	assert_int_equal(rig_sts(rig), IOAT_SUSPENDED);
	pieces = atomic_load(&rig->pieces);
	sleep_ms(10);
	assert_int_equal(atomic_load(&rig->pieces), pieces);
	assert_int_equal(pieces, 1);
	assert_int_equal(rig_completion(rig), 0);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESUME, 1);
	rig_await(rig, IOAT_IDLE);
	assert_int_equal(atomic_load(&rig->pieces), 2 * (BIG / IOAT_PIECE + 1));
	assert_int_equal(rig_completion(rig), SLOT(1) | IOAT_IDLE);
	assert_memory_equal(rig->memory + FAR, rig->memory + RIG_DATA, BIG);
	assert_memory_equal(rig->memory + FAR + BIG, rig->memory + RIG_DATA, BIG);
	rig_free(rig);
}

/* Suspended while the last word of a descriptor is written: that descriptor is done. */
static void test_suspend_at_completion(void **state)
{
	struct rig *rig = busy_rig(true);

	(void)state;
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_SUSPEND, 1);
	assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_SUSPENDED);
	assert_int_equal(rig_completion(rig), SLOT(0) | IOAT_ACTIVE);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESUME, 1);
	rig_await(rig, IOAT_IDLE);
	assert_int_equal(rig_completion(rig), SLOT(1) | IOAT_IDLE);
	rig_free(rig);
}

/* A driver that resets at all times: the state is right at once, and never comes back from the dead. */
static void test_reset_storm(void **state)
{
	struct rig *rig = rig_new("3.3", 20);
	uint32_t x = 1;

	(void)state;
	for (unsigned int i = 0; i < 64; i++)
		rig_desc(rig, i, IOAT_OP_COPY, COMPL, i % 4 ? 64 : 200000, RIG_DATA, FAR)->next =
			SLOT((i + 1) % 64);
	rig_start(rig);
	for (unsigned int round = 0; round < 3000; round++) {
		rig_go(rig, (uint16_t)(1 + round % 200));
		x = x * 1664525u + 1013904223u;
		for (volatile uint32_t i = 0; i < x >> 18; i++)
			;
		if (round % 3 == 0)
			rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_SUSPEND, 1);
		if (round % 2) {
			rig_write(rig, IOAT_REG_CHAINADDR, SLOT(0), 8);
			assert_int_equal(rig_sts(rig), IOAT_ARMED);
			continue;
		}
		rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESET, 1);
		assert_int_equal(rig_sts(rig), IOAT_HALTED);
		assert_int_equal(rig_read(rig, IOAT_REG_CHANCMD, 4), 0);
		__atomic_store_n((uint64_t *)(void *)(rig->memory + RIG_CMP), 0x99, __ATOMIC_RELEASE);
		sched_yield();
		assert_int_equal(rig_completion(rig), 0x99);
		assert_int_equal(rig_chanerr(rig), 0);
		assert_int_equal(rig_read(rig, IOAT_REG_CDAR, 8), 0);
	}
	rig_free(rig);
}

/* Several threads of a hostile driver at once; afterwards the channel works. */
static void *hostile(void *arg)
{
	static const uint16_t offsets[] = { IOAT_REG_CHANCMD,       IOAT_REG_DMACOUNT, IOAT_REG_CHAINADDR,
					    IOAT_REG_CHAINADDR + 4, IOAT_REG_CHANERR,  IOAT_REG_CHANCMP,
					    IOAT_REG_INTRCTRL,      IOAT_REG_CHANCTRL };
	struct rig *rig = arg;
	uint32_t x = (uint32_t)(uintptr_t)&x | 1;

	for (unsigned int i = 0; i < 30000; i++) {
		unsigned int size = 1u << (x >> 29 & 3), offset = offsets[x >> 13 & 7];

		x = x * 1664525u + 1013904223u;
		offset &= ~(size - 1);
		if (x >> 20 & 1)
			rig_write(rig, offset, x % 5 ? x >> 8 : SLOT(x >> 16 & 63), size);
		else
			(void)rig_read(rig, offset, size);
	}
	return NULL;
}

static void test_hostile_threads(void **state)
{
	struct rig *rig = rig_new("3.3", 20);
	pthread_t threads[2];

	(void)state;
	for (unsigned int i = 0; i < 64; i++)
		rig_desc(rig, i, i % 9 ? IOAT_OP_COPY : IOAT_OP_FILL, COMPL, 8 + i * 64, RIG_DATA, FAR)
			->next = SLOT((i + 7) % 64);
	rig_start(rig);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hostile, rig), 0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	rig_write(rig, IOAT_REG_CHANCMD, IOAT_CMD_RESET, 1);
	assert_int_equal(rig_sts(rig), IOAT_HALTED);
	rig_write(rig, IOAT_REG_CHANCMP, RIG_CMP, 8);
	rig_desc(rig, 0, IOAT_OP_COPY, COMPL, 64, RIG_DATA, FAR);
	rig_go(rig, 1);
	rig_await(rig, IOAT_IDLE);
	assert_int_equal(rig_sts(rig), SLOT(0) | IOAT_IDLE);
	assert_int_equal(rig_completion(rig), SLOT(0) | IOAT_IDLE);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end_in_flight),         cmocka_unit_test(test_reset_of_what_hangs),
		cmocka_unit_test(test_late_failure),          cmocka_unit_test(test_suspend_resume),
		cmocka_unit_test(test_suspend_at_completion), cmocka_unit_test(test_reset_storm),
		cmocka_unit_test(test_hostile_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
