/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workers of a controller: who does what there is to do.
 *
 * A kick goes to the first worker that is not busy with an operation that may block. A worker says that it is
 * busy before it looks whether anything waits, and who kicks says what there is to do before it looks who is
 * busy: one of the two sees the other.
 */
#include "devices/nvme/nvme.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define DRAIN_BUDGET 64 /* commands from one queue before the next one has its turn */

/* ---- kicks: async-signal-safe */

void nvme_kick(struct nvme_ctrl *ctrl)
{
	struct nvme_worker *to = &ctrl->workers[0];

	for (unsigned int i = 0; i < ctrl->nr_workers; i++)
		if (!atomic_load(&ctrl->workers[i].busy)) {
			to = &ctrl->workers[i];
			break;
		}
	uvfio_worker_kick(to->worker);
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

bool nvme_stopping(const struct nvme_worker *w)
{
	return atomic_load_explicit(&w->ctrl->frozen, memory_order_relaxed) ||
	       uvfio_worker_stopping(w->worker);
}

void nvme_long_begin(struct nvme_worker *w, struct nvme_sq *sq)
{
	struct nvme_ctrl *ctrl = w->ctrl;

	nvme_irq_flush(w);
	atomic_store(&w->busy, true);
	if (nvme_sq_pending(sq))
		atomic_fetch_or(&ctrl->kicks[sq->qid / 64], BIT64(sq->qid % 64));
	if (atomic_load(&ctrl->kicks[0]) || atomic_load(&ctrl->kicks[1]))
		nvme_kick(ctrl);
}

void nvme_long_end(struct nvme_worker *w)
{
	atomic_store(&w->busy, false);
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

	for (n = 0; n < DRAIN_BUDGET && nvme_running(ctrl) && !nvme_stopping(w); n++) {
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

/* ---- making */

static void run(struct uvfio_worker *worker)
{
	struct nvme_worker *w = worker->arg;

	w->dma = worker->dma;
	while (!uvfio_worker_stopping(worker) && nvme_worker_pass(w))
		continue;
}

static int init_worker(struct nvme_ctrl *ctrl, unsigned int index)
{
	struct nvme_worker *w = &ctrl->workers[index];
	char name[12];
	void *mem;

	snprintf(name, sizeof(name), "nvme%u.%u", ctrl->func->dev.instance % 100, index % 100);
	w->ctrl = ctrl;
	w->worker = uvfio_worker_new(&ctrl->func->dev, name, run, w);
	if (!w->worker)
		return -ENOMEM;
	mem = mmap(NULL, 2 * NVME_BOUNCE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	w->bounce[0] = mem;
	w->bounce[1] = w->bounce[0] + NVME_BOUNCE;
	return 0;
}

int nvme_workers_new(struct nvme_ctrl *ctrl)
{
	int rc = 0;

	ctrl->workers = calloc(ctrl->nr_workers, sizeof(*ctrl->workers));
	if (!ctrl->workers)
		return -ENOMEM;
	for (unsigned int i = 0; i < ctrl->nr_workers && !rc; i++)
		rc = init_worker(ctrl, i);
	return rc;
}

void nvme_workers_free(struct nvme_ctrl *ctrl)
{
	for (unsigned int i = 0; ctrl->workers && i < ctrl->nr_workers; i++)
		if (ctrl->workers[i].bounce[0])
			munmap(ctrl->workers[i].bounce[0], 2 * NVME_BOUNCE);
	free(ctrl->workers);
}
