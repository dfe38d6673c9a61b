/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/stripe.h"

__thread unsigned int stripe_chosen;

unsigned int stripe_choose(void)
{
	static _Atomic unsigned int next;

	stripe_chosen = STRIPES + atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % STRIPES;
	return stripe_chosen;
}
