/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A callback that never returns: said once, by a thread that looks at the callbacks under way now and then.
 *
 * A call takes a slot, of which there are enough; one that finds none is not watched. A slot's number of
 * calls tells one call from the next. A program that is stopped, by a debugger for instance, does not count:
 * the thread counts how often it has looked, and is stopped, too.
 *
 * Only plug-ins are watched: the models inside uvfio pay for a load and a branch.
 */
#include "base/log.h"
#include "base/thread.h"
#include "base/trace.h"
#include "model/model.h"

#include <stdio.h>

#define LOOKS 5 /* in model_patience */

struct look {
	uint64_t call;
	unsigned int times;
};

unsigned int model_call_slot(struct model_watch *watch, const char *what)
{
	uint32_t now = atomic_load_explicit(&watch->busy, memory_order_relaxed);
	unsigned int n;

	do {
		if (now == UINT32_MAX)
			return MODEL_NO_SLOT;
		n = (unsigned int)__builtin_ctz(~now);
	} while (!atomic_compare_exchange_weak(&watch->busy, &now, now | 1u << n));
	atomic_store_explicit(&watch->calls[n].what, what, memory_order_relaxed);
	atomic_fetch_add_explicit(&watch->calls[n].number, 1, memory_order_relaxed);
	return n;
}

void model_call_over(struct model_watch *watch, unsigned int slot)
{
	atomic_fetch_and(&watch->busy, ~(1u << slot));
}

static void tell(const struct model_host *host, const char *what)
{
	char line[512];

	snprintf(line, sizeof(line),
		 "%s: its %s has not returned for %u seconds, and the program waits for it", host->who, what,
		 (unsigned int)(model_patience / 1000000000));
	uvfio_err("%s", line);
	if (model_waits)
		model_waits(host->dev->name, line);
}

static void look_at(const struct model_host *host, unsigned int n, struct look *look)
{
	const struct model_watch *watch = &host->watch;
	uint64_t call = atomic_load_explicit(&watch->calls[n].number, memory_order_relaxed);

	if (!(atomic_load(&watch->busy) & 1u << n) || call != look->call) {
		*look = (struct look){ .call = call };
		return;
	}
	if (++look->times == LOOKS)
		tell(host, atomic_load_explicit(&watch->calls[n].what, memory_order_relaxed));
}

static void *watch_main(void *arg)
{
	struct model_host *host = arg;
	struct model_watch *watch = &host->watch;
	struct look looks[MODEL_SLOTS] = { { 0 } };

	pthread_mutex_lock(&watch->lock);
	while (!watch->end) {
		uint64_t next = trace_now() + model_patience / LOOKS;
		struct timespec at = { (time_t)(next / 1000000000), (long)(next % 1000000000) };

		if (pthread_cond_timedwait(&watch->cond, &watch->lock, &at) != ETIMEDOUT)
			continue;
		for (unsigned int n = 0; n < MODEL_SLOTS; n++)
			look_at(host, n, &looks[n]);
	}
	pthread_mutex_unlock(&watch->lock);
	return NULL;
}

/* Without the thread nothing is told; that is no reason not to open. */
void model_watch_start(struct model_host *host)
{
	struct model_watch *watch = &host->watch;

	if (!watch->wanted || watch->started)
		return;
	watch->end = false;
	atomic_store(&watch->busy, 0);
	watch->started = !thread_start(&watch->thread, "uvfio-watch", watch_main, host);
}

void model_watch_stop(struct model_host *host)
{
	struct model_watch *watch = &host->watch;

	if (!watch->started)
		return;
	pthread_mutex_lock(&watch->lock);
	watch->end = true;
	pthread_cond_signal(&watch->cond);
	pthread_mutex_unlock(&watch->lock);
	pthread_join(watch->thread, NULL);
	watch->started = false;
}

void model_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

/* Also in the child of a fork, where the thread is gone. */
void model_watch_init(struct model_host *host)
{
	struct model_watch *watch = &host->watch;

	pthread_mutex_init(&watch->lock, NULL);
	model_cond_init(&watch->cond);
	watch->started = false;
	atomic_store(&watch->busy, 0);
}
