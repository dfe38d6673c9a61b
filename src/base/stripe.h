/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters in several cache lines, so that threads which count at the same time do not meet.
 *
 * A thread counts in the stripe that it was given when it first asked. Threads take turns at them, and there
 * can be more threads than stripes: a stripe is changed by atomic operations all the same. The counter is the
 * sum; one stripe of it says nothing, and wraps when what is counted there is taken back elsewhere.
 */
#ifndef UVFIO_BASE_STRIPE_H
#define UVFIO_BASE_STRIPE_H

#include "base/base.h"

#define STRIPES 8u

extern __thread unsigned int stripe_chosen __attribute__((visibility("hidden"))); /* 0: not yet */
unsigned int stripe_choose(void);

/* The calling thread's, below STRIPES. */
static inline unsigned int stripe(void)
{
	unsigned int chosen = stripe_chosen;

	if (unlikely(!chosen))
		chosen = stripe_choose();
	return chosen % STRIPES;
}

#endif
