/* SPDX-License-Identifier: BSD-2-Clause */
/* A repeatable source of nonsense: xorshift64*. */
#include "hostile.h"

static uint64_t state;

void random_seed(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15ull | 1;
}

uint64_t random64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1dull;
}

uint32_t random_below(uint32_t n)
{
	return (uint32_t)((random64() >> 32) * n >> 32);
}

bool one_in(uint32_t n)
{
	return random_below(n) == 0;
}

uint64_t random_odd_value(void)
{
	switch (random_below(6)) {
	case 0:
		return random_below(8);
	case 1:
		return UINT64_MAX - random_below(8);
	case 2:
		return (1ull << random_below(64)) - random_below(3);
	case 3:
		return random_below(1 << 16);
	default:
		return random64();
	}
}
