/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/srcu.h"

#include <sched.h>

void srcu_init(struct kvm_srcu *srcu)
{
	pthread_mutex_init(&srcu->lock, NULL);
}

void srcu_destroy(struct kvm_srcu *srcu)
{
	pthread_mutex_destroy(&srcu->lock);
}

static void wait_for(_Atomic uint32_t *in)
{
	for (unsigned int spins = 0; atomic_load(in); spins++)
		if (spins > 100)
			sched_yield();
}

static void wait_for_phase(struct kvm_srcu *srcu, uint32_t phase)
{
	for (unsigned int i = 0; i < STRIPES; i++)
		wait_for(&srcu->stripe[i].in[phase & 1]);
}

void srcu_synchronize(struct kvm_srcu *srcu)
{
	uint32_t phase;

	atomic_thread_fence(memory_order_seq_cst);
	pthread_mutex_lock(&srcu->lock);
	phase = atomic_load(&srcu->phase);
	wait_for_phase(srcu, phase + 1); /* who chose it before the last change, and came late */
	atomic_store(&srcu->phase, phase + 1);
	wait_for_phase(srcu, phase);
	pthread_mutex_unlock(&srcu->lock);
}
