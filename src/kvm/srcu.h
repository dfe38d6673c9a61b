/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sections of readers, and waiting for them: what is replaced for readers is freed when those who may still
 * see it have left.
 *
 * Counters in two phases, in several cache lines so that threads do not meet. A reader counts itself in the
 * current phase before it loads a pointer. Who replaced a pointer waits until each counter, of both phases,
 * has been seen at zero after that; changing the phase in between keeps new readers from holding it up.
 *
 * Either the reader finds what is new, or he is seen: both sides need full ordering between their two
 * accesses. So a pointer that is replaced under this is stored, and in a section loaded, by plain
 * atomic_store() and atomic_load(): an acquiring load may come before the counter on some processors.
 *
 * Not liburcu: a section may be entered by any thread of someone else's program, in a signal handler too, and
 * in the child of a fork, with nothing to register; and only rare changes wait here (ranges, memory slots).
 */
#ifndef UVFIO_KVM_SRCU_H
#define UVFIO_KVM_SRCU_H

#include "base/stripe.h"

#include <pthread.h>

struct kvm_srcu {
	pthread_mutex_t lock; /* innermost: one waits at a time */
	_Atomic uint32_t phase;
	struct {
		_Alignas(64) _Atomic uint32_t in[2];
	} stripe[STRIPES];
};

static inline _Atomic uint32_t *srcu_read_lock(struct kvm_srcu *srcu)
{
	const uint32_t phase = atomic_load_explicit(&srcu->phase, memory_order_relaxed);
	_Atomic uint32_t *in = &srcu->stripe[stripe()].in[phase & 1];

	atomic_fetch_add(in, 1);
	return in;
}

static inline void srcu_read_unlock(_Atomic uint32_t *in)
{
	atomic_fetch_sub_explicit(in, 1, memory_order_release);
}

void srcu_init(struct kvm_srcu *srcu);
void srcu_destroy(struct kvm_srcu *srcu);
/* Returns when every section that was open has been left. Not from within one. */
void srcu_synchronize(struct kvm_srcu *srcu);

#endif
