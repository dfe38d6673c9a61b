/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose turn it is: of a VM's vCPUs one executes guest code at a time. The engine's locked instructions are
 * loads and stores, and would not be atomic otherwise.
 *
 * A vCPU has its turn until it leaves guest code, and may have the next one, too, when it is back before
 * those that wait have woken up. Who has waited for a millisecond ends the turn, and gets the next: each that
 * waits looks after itself, so none is forgotten.
 */
#include "base/base.h"
#include "kvm/vcpu.h"

#include <stdlib.h>
#include <time.h>

#define SLICE_NS 1000000

struct vcpu_turn {
	struct kvm *kvm;
	struct vcpu_turn *next;
	unsigned int users; /* under turns_lock */
	pthread_mutex_t lock;
	struct vcpu *holder;
	bool due; /* the first that waits gets the next turn */
	struct waiter *first, **last;
};

struct waiter {
	struct vcpu *vcpu;
	struct waiter *next;
	pthread_cond_t given;
};

static pthread_mutex_t turns_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vcpu_turn *turns; /* of all VMs */

int vcpu_turn_join(struct vcpu *vcpu)
{
	struct vcpu_turn *turn;

	pthread_mutex_lock(&turns_lock);
	turn = turns;
	while (turn && turn->kvm != vcpu->base.kvm)
		turn = turn->next;
	if (!turn) {
		turn = calloc(1, sizeof(*turn));
		if (!turn) {
			pthread_mutex_unlock(&turns_lock);
			return -ENOMEM;
		}
		turn->kvm = vcpu->base.kvm;
		pthread_mutex_init(&turn->lock, NULL);
		turn->last = &turn->first;
		turn->next = turns;
		turns = turn;
	}
	turn->users++;
	vcpu->turn = turn;
	pthread_mutex_unlock(&turns_lock);
	return 0;
}

void vcpu_turn_leave(struct vcpu *vcpu)
{
	struct vcpu_turn *turn = vcpu->turn, **at = &turns;

	pthread_mutex_lock(&turns_lock);
	if (!--turn->users) {
		while (*at != turn)
			at = &(*at)->next;
		*at = turn->next;
		pthread_mutex_destroy(&turn->lock);
		free(turn);
	}
	pthread_mutex_unlock(&turns_lock);
}

static void slice_end(struct timespec *end)
{
	clock_gettime(CLOCK_MONOTONIC, end);
	end->tv_nsec += SLICE_NS;
	if (end->tv_nsec >= 1000000000) {
		end->tv_nsec -= 1000000000;
		end->tv_sec++;
	}
}

/* lock is held. */
static void add_waiter(struct vcpu_turn *turn, struct waiter *waiter)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&waiter->given, &attr);
	pthread_condattr_destroy(&attr);
	*turn->last = waiter;
	turn->last = &waiter->next;
}

static void remove_waiter(struct vcpu_turn *turn, struct waiter *waiter)
{
	struct waiter **at = &turn->first;

	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
	if (!*at)
		turn->last = at;
	pthread_cond_destroy(&waiter->given);
}

static void wait_for_turn(struct vcpu_turn *turn, struct vcpu *vcpu)
{
	struct waiter self = { .vcpu = vcpu };
	struct timespec end;

	add_waiter(turn, &self);
	slice_end(&end);
	while (turn->holder && turn->holder != vcpu) {
		if (!pthread_cond_timedwait(&self.given, &turn->lock, &end))
			continue;
		slice_end(&end);
		if (turn->holder && turn->holder != vcpu && turn->first == &self) {
			turn->due = true;
			engine_kick(turn->holder->engine);
		}
	}
	remove_waiter(turn, &self);
}

void vcpu_turn_take(struct vcpu *vcpu)
{
	struct vcpu_turn *turn = vcpu->turn;

	pthread_mutex_lock(&turn->lock);
	if (turn->holder)
		wait_for_turn(turn, vcpu);
	turn->holder = vcpu;
	pthread_mutex_unlock(&turn->lock);
}

void vcpu_turn_give(struct vcpu *vcpu)
{
	struct vcpu_turn *turn = vcpu->turn;

	pthread_mutex_lock(&turn->lock);
	turn->holder = turn->due && turn->first ? turn->first->vcpu : NULL;
	turn->due = false;
	if (turn->first)
		pthread_cond_signal(&turn->first->given);
	pthread_mutex_unlock(&turn->lock);
}
