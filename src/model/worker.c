/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workers: the threads of a device.
 *
 * Sleeping: seq counts kicks. A worker reads seq, looks whether it has been kicked or is to end, and sleeps
 * on seq only if that has not moved; asleep says that a kick has to wake it. A timer is a deadline at which
 * the worker kicks itself; it sleeps no longer than to there.
 *
 * Before it sleeps a worker spins for a few microseconds, longer when that has paid before and not at all
 * when it has not, and yields the CPU while it does: the program may need it. One worker of a device spins at
 * a time.
 *
 * Holding: a worker passes the gate before it calls its function and after, and takes its kick there: a hold
 * forgets those that nobody has taken. While somebody holds the gate none is inside. Who wants to hold says
 * so in stopping first, which the functions look at. A worker that is inside never waits for the gate, so a
 * function may not call what holds it. A function that does not return is named, once for each wait.
 */
#include "base/inside.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/trace.h"
#include "model/model.h"

#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_MIN_NS 1000
#define SPIN_MAX_NS 20000

struct worker {
	struct uvfio_worker pub;
	struct uvfio_dma no_dma; /* while it is not started: good for nobody */
	struct model_host *host;
	struct cds_list_head node; /* in the host's workers */
	void (*run)(struct uvfio_worker *worker);
	char name[16];
	char label[24]; /* 'worker "NAME"' */
	pthread_t thread;
	bool started;
	bool inside; /* under gate */
	uint32_t spin_ns;
	_Atomic uint32_t seq;
	_Atomic bool kicked, asleep, end;
	_Atomic uint64_t woken;    /* when somebody last called the kernel to wake it */
	_Atomic uint64_t deadline; /* of CLOCK_MONOTONIC in ns; 0: none */
};

uint64_t model_patience = 5000000000;
void (*model_waits)(const char *device, const char *line);

__thread struct uvfio_dma *worker_dma;

static struct worker *to_worker(struct uvfio_worker *pub)
{
	return container_of(pub, struct worker, pub);
}

/* ---- kicks: async-signal-safe */

static void wake(struct worker *w)
{
	int saved = errno;

	atomic_fetch_add(&w->seq, 1);
	if (atomic_load(&w->asleep)) {
		atomic_store_explicit(&w->woken, trace_now(), memory_order_relaxed);
		syscall(SYS_futex, &w->seq, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	errno = saved;
}

void worker_kick(struct uvfio_worker *worker)
{
	struct worker *w = to_worker(worker);

	atomic_store(&w->kicked, true);
	wake(w);
}

void worker_kick_after(struct uvfio_worker *worker, uint64_t ns)
{
	struct worker *w = to_worker(worker);
	uint64_t deadline = 0;

	if (ns && (add_overflows(trace_now(), ns, &deadline) || deadline > INT64_MAX))
		deadline = INT64_MAX;
	atomic_store(&w->deadline, deadline);
	wake(w);
}

bool worker_stopping(const struct uvfio_worker *worker)
{
	const struct model_host *host = worker->dev->host;

	return atomic_load_explicit(&host->stopping, memory_order_relaxed);
}

/* ---- the gate */

/* Is there something to do? It is taken. */
static bool take(struct worker *w)
{
	uint64_t deadline = atomic_load(&w->deadline);
	bool due = deadline && trace_now() >= deadline &&
		   atomic_compare_exchange_strong(&w->deadline, &deadline, 0);

	return atomic_exchange(&w->kicked, false) || due;
}

/* False: the worker has to end, or a hold has made it forget what it came for. */
static bool enter(struct worker *w)
{
	struct model_host *host = w->host;
	bool inside;

	pthread_mutex_lock(&host->gate);
	while (host->holds && !atomic_load(&w->end))
		pthread_cond_wait(&host->gate_cond, &host->gate);
	inside = !atomic_load(&w->end) && take(w);
	w->inside = inside;
	pthread_mutex_unlock(&host->gate);
	return inside;
}

static void leave(struct worker *w)
{
	struct model_host *host = w->host;

	pthread_mutex_lock(&host->gate);
	w->inside = false;
	if (host->holds || atomic_load(&w->end))
		pthread_cond_broadcast(&host->gate_cond);
	pthread_mutex_unlock(&host->gate);
}

static struct worker *anybody_inside(const struct model_host *host)
{
	struct worker *w;

	cds_list_for_each_entry (w, &host->workers, node)
		if (w->inside)
			return w;
	return NULL;
}

static struct timespec patience_ends(void)
{
	uint64_t end = trace_now() + model_patience;

	return (struct timespec){ (time_t)(end / 1000000000), (long)(end % 1000000000) };
}

static void tell_wait(const struct model_host *host, const char *what, const struct worker *w)
{
	char line[160];

	snprintf(line, sizeof(line),
		 "%s: %s waits for %s: its function has to return when uvfio_worker_stopping() is true",
		 host->dev->name, what, w->label);
	uvfio_err("%s", line);
	if (model_waits)
		model_waits(host->dev->name, line);
}

/* Under gate. */
static void wait_outside(struct model_host *host, const char *what)
{
	struct timespec end = patience_ends();
	const struct worker *w;
	int rc = 0;

	while (rc != ETIMEDOUT && anybody_inside(host))
		rc = pthread_cond_timedwait(&host->gate_cond, &host->gate, &end);
	w = anybody_inside(host);
	if (w)
		tell_wait(host, what, w);
	while (anybody_inside(host))
		pthread_cond_wait(&host->gate_cond, &host->gate);
}

void model_host_hold(struct model_host *host, const char *what)
{
	struct worker *w;

	atomic_store(&host->stopping, true);
	pthread_mutex_lock(&host->gate);
	host->holds++;
	atomic_store(&host->stopping, true);
	wait_outside(host, what);
	cds_list_for_each_entry (w, &host->workers, node) {
		atomic_store(&w->kicked, false);
		atomic_store(&w->deadline, 0);
	}
	pthread_mutex_unlock(&host->gate);
}

void model_host_release(struct model_host *host)
{
	pthread_mutex_lock(&host->gate);
	if (!--host->holds) {
		atomic_store(&host->stopping, false);
		pthread_cond_broadcast(&host->gate_cond);
	}
	pthread_mutex_unlock(&host->gate);
}

/* ---- the thread */

static bool moved(const struct worker *w, uint32_t seen)
{
	for (int i = 0; i < 32; i++) {
		if (atomic_load_explicit(&w->seq, memory_order_relaxed) != seen)
			return true;
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
	}
	return false;
}

/* True when a kick came while it spun. */
static bool spin(struct worker *w, uint32_t seen)
{
	bool found = false;
	uint64_t end;

	if (w->spin_ns < SPIN_MIN_NS || atomic_exchange(&w->host->spinning, true))
		return false;
	end = trace_now() + w->spin_ns;
	while (!(found = moved(w, seen)) && trace_now() < end)
		syscall(SYS_sched_yield);
	atomic_store(&w->host->spinning, false);
	return found;
}

/* Is the timer due? *ns: how long until then, when there is one. */
static bool due(const struct worker *w, uint64_t *ns)
{
	uint64_t deadline = atomic_load(&w->deadline), now;

	*ns = 0;
	if (!deadline)
		return false;
	now = trace_now();
	if (now >= deadline)
		return true;
	*ns = deadline - now;
	return false;
}

static void sleep_until_kick(struct worker *w, uint32_t seen, uint64_t ns)
{
	struct timespec timeout = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
	uint64_t slept = trace_now();

	atomic_store(&w->asleep, true);
	syscall(SYS_futex, &w->seq, FUTEX_WAIT_PRIVATE, seen, ns ? &timeout : NULL, NULL, 0);
	atomic_store(&w->asleep, false);
	/* Would a longer spin have caught this kick? What waking took is what it would have saved. */
	if (atomic_load_explicit(&w->woken, memory_order_relaxed) - slept < SPIN_MAX_NS)
		w->spin_ns = MIN(w->spin_ns * 2 + SPIN_MIN_NS, (uint32_t)SPIN_MAX_NS);
	else
		w->spin_ns /= 2;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct inside before = inside_begin(w->host->who, w->label);

	worker_dma = w->pub.dma;
	for (;;) {
		uint32_t seen = atomic_load(&w->seq);
		uint64_t ns;

		if (atomic_load(&w->end))
			break;
		if (atomic_load(&w->kicked) || due(w, &ns)) {
			if (enter(w)) {
				w->run(&w->pub);
				leave(w);
			}
			continue;
		}
		if (!spin(w, seen))
			sleep_until_kick(w, seen, ns);
	}
	inside_end(&before);
	return NULL;
}

/* ---- from the first open to the last close */

static void reset_worker(struct worker *w)
{
	if (w->pub.dma != &w->no_dma)
		dma_user_free(w->pub.dma);
	w->pub.dma = &w->no_dma;
	w->started = false;
	w->inside = false;
	w->spin_ns = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_MIN_NS : 0;
	atomic_store(&w->kicked, false);
	atomic_store(&w->asleep, false);
	atomic_store(&w->end, false);
	atomic_store(&w->deadline, 0);
}

static int start(struct worker *w)
{
	struct uvfio_dma *dma = dma_user_new(w->host->iommu, w->pub.dev);
	int rc;

	if (!dma)
		return -ENOMEM;
	w->pub.dma = dma;
	rc = thread_start(&w->thread, w->name, worker_main, w);
	w->started = !rc;
	return rc;
}

void model_host_close(struct model_host *host)
{
	struct worker *w;

	atomic_store(&host->stopping, true);
	pthread_mutex_lock(&host->gate);
	cds_list_for_each_entry (w, &host->workers, node)
		atomic_store(&w->end, true);
	pthread_cond_broadcast(&host->gate_cond);
	wait_outside(host, "close");
	pthread_mutex_unlock(&host->gate);
	cds_list_for_each_entry (w, &host->workers, node) {
		wake(w);
		if (w->started)
			pthread_join(w->thread, NULL);
		reset_worker(w);
	}
	model_watch_stop(host);
	host->holds = 0;
	atomic_store(&host->stopping, false);
	atomic_store(&host->spinning, false);
}

int model_host_open(struct model_host *host)
{
	struct worker *w;
	int rc = 0;

	model_watch_start(host);
	host->holds = 1;
	atomic_store(&host->stopping, true);
	cds_list_for_each_entry (w, &host->workers, node)
		if (!rc)
			rc = start(w);
	if (rc)
		model_host_close(host);
	return rc;
}

void model_host_forked(struct model_host *host)
{
	struct worker *w;

	pthread_mutex_init(&host->gate, NULL);
	model_cond_init(&host->gate_cond);
	model_watch_init(host);
	cds_list_for_each_entry (w, &host->workers, node)
		reset_worker(w);
	host->holds = 0;
	atomic_store(&host->stopping, false);
	atomic_store(&host->spinning, false);
}

/* ---- making */

/* errno says why not. */
static bool may_make(const struct model_host *host, const char *name,
		     void (*run)(struct uvfio_worker *worker))
{
	const char *what = NULL;

	if (!name || !run) {
		what = "needs a name and a function";
		errno = EINVAL;
	} else if (host->created) {
		what = "is for create: later kick a worker that create has made";
		errno = EPERM;
	}
	if (what)
		uvfio_err_once((uintptr_t)host ^ (uintptr_t)what, "%s: uvfio_worker_new() %s",
			       host->dev->name, what);
	return !what;
}

void model_host_created(struct model_host *host)
{
	host->created = true;
}

struct uvfio_worker *worker_new(struct uvfio_device *dev, const char *name,
				void (*run)(struct uvfio_worker *worker), void *arg)
{
	struct model_host *host = dev->host;
	struct worker *w;

	if (!may_make(host, name, run))
		return NULL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->no_dma.dev = dev;
	w->pub = (struct uvfio_worker){ .dev = dev, .dma = &w->no_dma, .arg = arg };
	w->host = host;
	w->run = run;
	snprintf(w->name, sizeof(w->name), "uvfio-%.8s", name);
	snprintf(w->label, sizeof(w->label), "worker \"%.8s\"", name);
	text_clean(w->label);
	reset_worker(w);
	cds_list_add_tail(&w->node, &host->workers);
	return &w->pub;
}

void model_host_init(struct model_host *host, struct uvfio_device *dev, struct iommu_dev *iommu)
{
	*host = (struct model_host){ .dev = dev, .iommu = iommu };
	CDS_INIT_LIST_HEAD(&host->workers);
	pthread_mutex_init(&host->gate, NULL);
	model_cond_init(&host->gate_cond);
	model_watch_init(host);
	dev->calls = &model_calls;
	dev->trace_on = &trace_commands;
	dev->host = host;
}

void model_host_destroy(struct model_host *host)
{
	struct worker *w, *next;

	cds_list_for_each_entry_safe (w, next, &host->workers, node)
		free(w);
	pthread_cond_destroy(&host->watch.cond);
	pthread_mutex_destroy(&host->watch.lock);
	pthread_cond_destroy(&host->gate_cond);
	pthread_mutex_destroy(&host->gate);
}
