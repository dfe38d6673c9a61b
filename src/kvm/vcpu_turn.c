/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose turn it is: of a VM's vCPUs one executes guest code at a time. The engine's locked instructions are
 * loads and stores, and would not be atomic otherwise.
 *
 * A vCPU has its turn until it leaves guest code, or, when others wait, for a millisecond.
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
	pthread_cond_t given;
	struct vcpu *holder;
};

static pthread_mutex_t turns_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vcpu_turn *turns; /* of all VMs */

int vcpu_turn_join(struct vcpu *vcpu)
{
	struct vcpu_turn *turn;
	pthread_condattr_t attr;

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
		pthread_condattr_init(&attr);
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		pthread_cond_init(&turn->given, &attr);
		pthread_condattr_destroy(&attr);
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
		pthread_cond_destroy(&turn->given);
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

void vcpu_turn_take(struct vcpu *vcpu)
{
	struct vcpu_turn *turn = vcpu->turn;
	struct timespec end;

	pthread_mutex_lock(&turn->lock);
	while (turn->holder) {
		slice_end(&end);
		if (pthread_cond_timedwait(&turn->given, &turn->lock, &end) && turn->holder) {
			engine_kick(turn->holder->engine);
			pthread_cond_wait(&turn->given, &turn->lock);
		}
	}
	turn->holder = vcpu;
	pthread_mutex_unlock(&turn->lock);
}

void vcpu_turn_give(struct vcpu *vcpu)
{
	struct vcpu_turn *turn = vcpu->turn;

	pthread_mutex_lock(&turn->lock);
	turn->holder = NULL;
	pthread_cond_signal(&turn->given);
	pthread_mutex_unlock(&turn->lock);
}
