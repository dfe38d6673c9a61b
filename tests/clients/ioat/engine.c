/* SPDX-License-Identifier: BSD-2-Clause */
/* A channel as a driver uses it: resets, rings, chains. */
#include "client.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#define LIMIT_NS 20000000000ull

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void pause_ns(uint64_t ns)
{
	for (uint64_t end = now_ns() + ns; now_ns() < end;)
		;
}

void channel_reset(struct engine *e)
{
	w8(e, CHANCMD, CMD_RESET);
	EQUAL(r8(e, CHANCMD), 0);
	EQUAL(r64(e, CHANSTS), HALTED);
	EQUAL(r32(e, CHANERR), 0);
	EQUAL(r16(e, DMACOUNT), 0);
}

void arm(struct engine *e, uint16_t control)
{
	memset(memory(e->cmp), 0, 8);
	w16(e, CHANCTRL, control);
	w64(e, CHANCMP, e->cmp);
	w64(e, CHAINADDR, e->ring);
	EQUAL(r64(e, CHANSTS), ARMED);
}

void start(struct engine *e, uint16_t count)
{
	channel_reset(e);
	arm(e, CTRL_ALL);
	w16(e, DMACOUNT, count);
}

uint64_t slot(const struct engine *e, unsigned int i)
{
	return e->ring + i % MAX_SLOTS * sizeof(struct desc);
}

struct desc *put(struct engine *e, unsigned int i, uint32_t ctl, uint32_t size, uint64_t src, uint64_t dst)
{
	struct desc *desc = memory(slot(e, i));

	*desc = (struct desc){ .size = size, .ctl = ctl, .src = src, .dst = dst, .next = slot(e, i + 1) };
	return desc;
}

uint64_t await(struct engine *e, unsigned int state)
{
	uint64_t end = now_ns() + LIMIT_NS, status;

	while (STATE(status = r64(e, CHANSTS)) == ACTIVE) {
		if (now_ns() > end)
			wrong(__FILE__, __LINE__, "the channel is active for ever, CHANSTS=%#llx",
			      (unsigned long long)status);
		sched_yield();
	}
	if (STATE(status) != state)
		wrong(__FILE__, __LINE__, "CHANSTS is %#llx instead of state %u, CHANERR=%#x",
		      (unsigned long long)status, state, r32(e, CHANERR));
	return status;
}

void run(struct engine *e, uint16_t count)
{
	start(e, count);
	await(e, IDLE);
	EQUAL(r32(e, CHANERR), 0);
}

uint64_t completion(const struct engine *e)
{
	return __atomic_load_n((uint64_t *)memory(e->cmp), __ATOMIC_ACQUIRE);
}

/* ---- contents */

static uint8_t byte_at(uint64_t seed, size_t i)
{
	return (uint8_t)((seed * 0x9e3779b97f4a7c15ull + i * 0xff51afd7ed558ccdull) >> 53);
}

void paint(void *at, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)at)[i] = byte_at(seed, i);
}

bool painted(const void *at, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)at)[i] != byte_at(seed, i))
			return false;
	return true;
}

#define MARK 0x6d61726b6d61726bull

void mark(void *at, size_t size)
{
	for (size_t i = 0; i < size / 4096; i++)
		*(volatile uint64_t *)((uint8_t *)at + i * 4096) = MARK;
}

bool marked(const void *at, size_t size)
{
	for (size_t i = 0; i < size / 4096; i++)
		if (*(const volatile uint64_t *)((const uint8_t *)at + i * 4096) != MARK)
			return false;
	return true;
}

uint32_t random_below(uint32_t n)
{
	static uint64_t state = 0x853c49e6748fea9bull;

	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((state >> 32) * n >> 32);
}
