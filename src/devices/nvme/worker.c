/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The threads of a controller.
 *
 * Sleeping: seq counts kicks. A worker reads seq, looks at everything there is to do, and sleeps only if seq
 * has not moved. awake counts the workers that will look again before they sleep, so that a kick makes a
 * system call only when there is none. A worker in a long operation is not awake.
 *
 * Before it sleeps a worker spins for a few microseconds, longer when that has paid before and not at all
 * when it has not, and yields the CPU while it does: its client may need it.
 */
#include "base/thread.h"
#include "base/trace.h"
#include "devices/nvme/nvme.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPIN_MIN_NS  1000
#define SPIN_MAX_NS  20000
#define DRAIN_BUDGET 64 /* commands from one queue before the next one has its turn */

/* ---- kicks: async-signal-safe */

static void futex_wake(_Atomic uint32_t *word, int nr)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, nr, NULL, NULL, 0);
	errno = saved;
}

void nvme_kick(struct nvme_ctrl *ctrl)
{
	atomic_fetch_add(&ctrl->seq, 1);
	if (!atomic_load(&ctrl->awake))
		futex_wake(&ctrl->seq, 1);
}

void nvme_kick_sq(struct nvme_ctrl *ctrl, unsigned int qid)
{
	atomic_fetch_or(&ctrl->kicks[qid / 64], BIT64(qid % 64));
	nvme_kick(ctrl);
}

void nvme_kick_control(struct nvme_ctrl *ctrl, unsigned int what)
{
	atomic_fetch_or(&ctrl->control, what);
	nvme_kick(ctrl);
}

static int start_one(struct nvme_ctrl *ctrl, unsigned int index);

/* ---- entering and leaving */

static void enter(struct nvme_ctrl *ctrl)
{
	pthread_mutex_lock(&ctrl->gate);
	while (atomic_load(&ctrl->frozen))
		pthread_cond_wait(&ctrl->gate_cond, &ctrl->gate);
	ctrl->active++;
	pthread_mutex_unlock(&ctrl->gate);
}

static void leave(struct nvme_ctrl *ctrl)
{
	pthread_mutex_lock(&ctrl->gate);
	if (!--ctrl->active && atomic_load(&ctrl->frozen))
		pthread_cond_broadcast(&ctrl->gate_cond);
	pthread_mutex_unlock(&ctrl->gate);
}

void nvme_freeze(struct nvme_ctrl *ctrl)
{
	pthread_mutex_lock(&ctrl->gate);
	atomic_fetch_add(&ctrl->frozen, 1);
	while (ctrl->active)
		pthread_cond_wait(&ctrl->gate_cond, &ctrl->gate);
	pthread_mutex_unlock(&ctrl->gate);
}

void nvme_thaw(struct nvme_ctrl *ctrl)
{
	pthread_mutex_lock(&ctrl->gate);
	atomic_fetch_sub(&ctrl->frozen, 1);
	pthread_cond_broadcast(&ctrl->gate_cond);
	pthread_mutex_unlock(&ctrl->gate);
}

bool nvme_stopping(struct nvme_ctrl *ctrl)
{
	return atomic_load_explicit(&ctrl->frozen, memory_order_relaxed) ||
	       atomic_load_explicit(&ctrl->stop, memory_order_relaxed);
}

/* The second worker and those after it are made when there is work for them. */
static void grow(struct nvme_ctrl *ctrl)
{
	unsigned int nr = atomic_load(&ctrl->nr_workers);

	if (nr >= ctrl->nr_threads || atomic_load(&ctrl->awake) || atomic_exchange(&ctrl->growing, true))
		return;
	nr = atomic_load(&ctrl->nr_workers);
	if (nr < ctrl->nr_threads && !start_one(ctrl, nr))
		atomic_store(&ctrl->nr_workers, nr + 1);
	atomic_store(&ctrl->growing, false);
}

void nvme_long_begin(struct nvme_worker *w, struct nvme_sq *sq)
{
	struct nvme_ctrl *ctrl = w->ctrl;

	if (!w->started)
		return;
	nvme_irq_flush(w);
	atomic_fetch_sub(&ctrl->awake, 1);
	if (nvme_sq_pending(sq))
		atomic_fetch_or(&ctrl->kicks[sq->qid / 64], BIT64(sq->qid % 64));
	if (atomic_load(&ctrl->kicks[0]) || atomic_load(&ctrl->kicks[1])) {
		grow(ctrl);
		nvme_kick(ctrl);
	}
}

void nvme_long_end(struct nvme_worker *w)
{
	if (w->started)
		atomic_fetch_add(&w->ctrl->awake, 1);
}

/* ---- work */

static void run_admin(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	uint16_t status;

	pthread_mutex_lock(&w->ctrl->admin_lock);
	status = nvme_admin(w, cmd);
	if (status == NVME_PARKED)
		nvme_park(cmd);
	else
		nvme_complete(w, cmd, status);
	nvme_events_deliver(w);
	pthread_mutex_unlock(&w->ctrl->admin_lock);
}

static void drain(struct nvme_worker *w, unsigned int qid)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	struct nvme_sq *sq = &ctrl->sq[qid];
	struct nvme_cmd cmd;
	unsigned int n;

	for (n = 0; n < DRAIN_BUDGET && nvme_running(ctrl) && !nvme_stopping(ctrl); n++) {
		if (!nvme_sq_take(w, sq, &cmd))
			break;
		if (qid == 0)
			run_admin(w, &cmd);
		else
			nvme_complete(w, &cmd, nvme_io(w, &cmd));
	}
	nvme_irq_flush(w);
	if (n == DRAIN_BUDGET)
		nvme_kick_sq(ctrl, qid);
}

/* Completion queues have room again: their submission queues have their turn. */
static void unstall(struct nvme_ctrl *ctrl)
{
	for (unsigned int i = 0; i <= ctrl->queues; i++)
		atomic_store(&ctrl->cq[i].stalled, false);
	for (unsigned int i = 0; i <= ctrl->queues; i++)
		if (atomic_load(&ctrl->sq[i].live) && nvme_sq_pending(&ctrl->sq[i]))
			atomic_fetch_or(&ctrl->kicks[i / 64], BIT64(i % 64));
}

static bool work(struct nvme_worker *w)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	bool freed = atomic_exchange(&ctrl->unstall, false);
	bool events = atomic_load(&ctrl->event_kicks) != 0;
	bool found = freed;

	if (freed)
		unstall(ctrl);
	if (freed || events) {
		pthread_mutex_lock(&ctrl->admin_lock);
		nvme_events_deliver(w);
		pthread_mutex_unlock(&ctrl->admin_lock);
		nvme_irq_flush(w);
	}
	for (unsigned int word = 0; word < 2; word++) {
		uint64_t bits = atomic_exchange(&ctrl->kicks[word], 0);

		for (; bits; bits &= bits - 1) {
			drain(w, word * 64 + (unsigned int)__builtin_ctzll(bits));
			found = true;
		}
	}
	if (atomic_exchange(&ctrl->intx_check, false)) {
		nvme_intx_update(ctrl);
		found = true;
	}
	return found;
}

static bool has_kicks(struct nvme_ctrl *ctrl)
{
	return atomic_load(&ctrl->kicks[0]) || atomic_load(&ctrl->kicks[1]) || atomic_load(&ctrl->unstall) ||
	       atomic_load(&ctrl->intx_check) || atomic_load(&ctrl->event_kicks);
}

bool nvme_worker_pass(struct nvme_worker *w)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	bool found = false;

	if (atomic_load(&ctrl->control)) {
		nvme_do_control(ctrl);
		found = true;
	}
	if (!has_kicks(ctrl))
		return found;
	enter(ctrl);
	if (nvme_running(ctrl))
		found |= work(w);
	leave(ctrl);
	return found;
}

/* ---- threads */

static bool kicked(struct nvme_ctrl *ctrl, uint32_t seen)
{
	for (int i = 0; i < 32; i++) {
		if (atomic_load_explicit(&ctrl->seq, memory_order_relaxed) != seen)
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

/* True when a kick came while it spun. One worker at a time: the others' CPUs are for the client. */
static bool spin(struct nvme_worker *w, uint32_t seen)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	bool found = false;
	uint64_t end;

	if (w->spin_ns < SPIN_MIN_NS || atomic_exchange(&ctrl->spinning, true))
		return false;
	end = trace_now() + w->spin_ns;
	while (!(found = kicked(ctrl, seen)) && trace_now() < end)
		syscall(SYS_sched_yield);
	atomic_store(&ctrl->spinning, false);
	return found;
}

static void sleep_until_kick(struct nvme_worker *w, uint32_t seen)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	uint64_t slept = trace_now();

	atomic_fetch_sub(&ctrl->awake, 1);
	syscall(SYS_futex, &ctrl->seq, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	atomic_fetch_add(&ctrl->awake, 1);
	/* Would a longer spin have caught this kick? */
	slept = trace_now() - slept;
	if (slept < SPIN_MAX_NS)
		w->spin_ns = MIN(w->spin_ns * 2 + SPIN_MIN_NS, (uint32_t)SPIN_MAX_NS);
	else
		w->spin_ns /= 2;
}

static void *worker_main(void *arg)
{
	struct nvme_worker *w = arg;
	struct nvme_ctrl *ctrl = w->ctrl;

	while (!atomic_load(&ctrl->stop)) {
		uint32_t seen = atomic_load(&ctrl->seq);

		if (nvme_worker_pass(w) || spin(w, seen))
			continue;
		if (!atomic_load(&ctrl->stop))
			sleep_until_kick(w, seen);
	}
	atomic_fetch_sub(&ctrl->awake, 1);
	return NULL;
}

int nvme_worker_init(struct nvme_worker *w, struct nvme_ctrl *ctrl, unsigned int index)
{
	void *mem;

	w->ctrl = ctrl;
	w->index = index;
	w->started = false;
	w->irq_due = false;
	w->irq_cost = 0;
	w->spin_ns = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_MIN_NS : 0;
	w->dma = dma_user_new(pci_iommu_dev(ctrl->func));
	if (!w->dma)
		return -ENOMEM;
	mem = mmap(NULL, 2 * NVME_BOUNCE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		dma_user_free(w->dma);
		return -ENOMEM;
	}
	w->bounce[0] = mem;
	w->bounce[1] = w->bounce[0] + NVME_BOUNCE;
	return 0;
}

void nvme_worker_fini(struct nvme_worker *w)
{
	munmap(w->bounce[0], 2 * NVME_BOUNCE);
	dma_user_free(w->dma);
}

static int start_one(struct nvme_ctrl *ctrl, unsigned int index)
{
	struct nvme_worker *w = &ctrl->workers[index];
	char name[16];
	int rc;

	rc = nvme_worker_init(w, ctrl, index);
	if (rc)
		return rc;
	w->started = true;
	snprintf(name, sizeof(name), "uvfio-nvme%u.%u", ctrl->instance % 100, index % 100);
	atomic_fetch_add(&ctrl->awake, 1);
	rc = thread_start(&w->thread, name, worker_main, w);
	if (rc) {
		atomic_fetch_sub(&ctrl->awake, 1);
		nvme_worker_fini(w);
	}
	return rc;
}

int nvme_workers_start(struct nvme_ctrl *ctrl)
{
	size_t bytes = ctrl->nr_threads * sizeof(*ctrl->workers);
	void *mem;
	int rc;

	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	ctrl->workers = mem;
	atomic_store(&ctrl->stop, false);
	atomic_store(&ctrl->growing, false);
	atomic_store(&ctrl->spinning, false);
	atomic_store(&ctrl->awake, 0);
	rc = start_one(ctrl, 0);
	if (rc) {
		munmap(mem, bytes);
		ctrl->workers = NULL;
		return rc;
	}
	atomic_store(&ctrl->nr_workers, 1);
	return 0;
}

static void free_workers(struct nvme_ctrl *ctrl)
{
	for (unsigned int i = 0; i < atomic_load(&ctrl->nr_workers); i++)
		nvme_worker_fini(&ctrl->workers[i]);
	if (ctrl->workers)
		munmap(ctrl->workers, ctrl->nr_threads * sizeof(*ctrl->workers));
	ctrl->workers = NULL;
	atomic_store(&ctrl->nr_workers, 0);
}

void nvme_workers_stop(struct nvme_ctrl *ctrl)
{
	atomic_store(&ctrl->stop, true);
	atomic_fetch_add(&ctrl->seq, 1);
	futex_wake(&ctrl->seq, INT_MAX);
	for (unsigned int i = 0; i < atomic_load(&ctrl->nr_workers); i++)
		pthread_join(ctrl->workers[i].thread, NULL);
	free_workers(ctrl);
}

void nvme_workers_forked(struct nvme_ctrl *ctrl)
{
	free_workers(ctrl);
	ctrl->active = 0;
	atomic_store(&ctrl->frozen, 0);
	atomic_store(&ctrl->awake, 0);
	pthread_mutex_init(&ctrl->gate, NULL);
	pthread_cond_init(&ctrl->gate_cond, NULL);
	pthread_mutex_init(&ctrl->intx_lock, NULL);
	pthread_mutex_init(&ctrl->control_lock, NULL);
	pthread_mutex_init(&ctrl->admin_lock, NULL);
	pthread_mutex_init(&ctrl->log.lock, NULL);
	nvme_queues_init(ctrl);
}
