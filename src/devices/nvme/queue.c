/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Submission and completion queues.
 *
 * Invariants: a command is taken only after an entry of its completion queue has been reserved, so that a
 * completion always finds room; the head of a submission queue moves before a completion that tells of it is
 * posted; the phase tag is the last thing written of an entry; an interrupt follows the entries it announces.
 *
 * Doorbells are stored by clients without a lock and read once per use: whatever is outside the queue is
 * taken as "nothing there" (submission) or "full" (completion).
 */
#include "devices/nvme/nvme.h"

#include <string.h>

/* Posted completions are announced once this much work has gone by: eight small commands, or one large. */
#define IRQ_COST_LIMIT   (64u << 10)
#define IRQ_COST_COMMAND (8u << 10)

void nvme_queues_init(struct nvme_ctrl *ctrl)
{
	for (unsigned int i = 0; i < NVME_QIDS; i++) {
		ctrl->sq[i].qid = ctrl->cq[i].qid = (uint16_t)i;
		pthread_mutex_init(&ctrl->sq[i].lock, NULL);
		pthread_cond_init(&ctrl->sq[i].drained, NULL);
		pthread_mutex_init(&ctrl->cq[i].lock, NULL);
	}
}

void nvme_queues_destroy(struct nvme_ctrl *ctrl)
{
	for (unsigned int i = 0; i < NVME_QIDS; i++) {
		pthread_mutex_destroy(&ctrl->sq[i].lock);
		pthread_cond_destroy(&ctrl->sq[i].drained);
		pthread_mutex_destroy(&ctrl->cq[i].lock);
	}
}

void nvme_queues_drop(struct nvme_ctrl *ctrl)
{
	for (unsigned int i = 0; i < NVME_QIDS; i++) {
		atomic_store(&ctrl->sq[i].live, false);
		atomic_store(&ctrl->cq[i].live, false);
		atomic_store(&ctrl->cq[i].stalled, false);
		ctrl->sq[i].inflight = 0;
		ctrl->cq[i].users = 0;
	}
}

void nvme_cq_create(struct nvme_ctrl *ctrl, uint16_t qid, uint32_t size, uint64_t base, uint16_t vector,
		    bool irq_enabled)
{
	struct nvme_cq *cq = &ctrl->cq[qid];

	pthread_mutex_lock(&cq->lock);
	atomic_store(&cq->size, size);
	atomic_store(&cq->head, 0);
	atomic_store(&cq->tail, 0);
	cq->base = base;
	cq->phase = true;
	cq->reserved = 0;
	cq->users = 0;
	cq->vector = vector;
	cq->irq_enabled = irq_enabled;
	atomic_store(&cq->stalled, false);
	atomic_store(&cq->live, true);
	pthread_mutex_unlock(&cq->lock);
}

void nvme_sq_create(struct nvme_ctrl *ctrl, uint16_t qid, uint32_t size, uint64_t base, struct nvme_cq *cq)
{
	struct nvme_sq *sq = &ctrl->sq[qid];

	pthread_mutex_lock(&sq->lock);
	atomic_store(&sq->size, size);
	atomic_store(&sq->head, 0);
	atomic_store(&sq->tail, 0);
	sq->base = base;
	sq->cq = cq;
	sq->inflight = 0;
	cq->users++;
	atomic_store(&sq->live, true);
	pthread_mutex_unlock(&sq->lock);
}

void nvme_sq_delete(struct nvme_sq *sq)
{
	pthread_mutex_lock(&sq->lock);
	atomic_store(&sq->live, false);
	while (sq->inflight)
		pthread_cond_wait(&sq->drained, &sq->lock);
	sq->cq->users--;
	pthread_mutex_unlock(&sq->lock);
}

void nvme_cq_delete(struct nvme_cq *cq)
{
	pthread_mutex_lock(&cq->lock);
	atomic_store(&cq->live, false);
	pthread_mutex_unlock(&cq->lock);
}

/* ---- doorbells */

static uint32_t distance(uint32_t from, uint32_t to, uint32_t size)
{
	return to >= from ? to - from : to + size - from;
}

void nvme_sq_doorbell(struct nvme_ctrl *ctrl, unsigned int qid, uint32_t value)
{
	struct nvme_sq *sq = &ctrl->sq[qid];
	uint32_t size = atomic_load(&sq->size);
	/* In this order: the head follows the tail, and another thread may ring meanwhile. */
	uint32_t head = atomic_load(&sq->head);
	uint32_t tail = atomic_load(&sq->tail);

	if (!atomic_load(&sq->live)) {
		nvme_event_raise(ctrl, NVME_EVENT_INVALID_DB_REG);
		return;
	}
	/* A tail that has moved back has gone past the head: more commands than the queue can hold. */
	if (value >= size || distance(head, value, size) < distance(head, tail, size)) {
		nvme_event_raise(ctrl, NVME_EVENT_INVALID_DB_VAL);
		return;
	}
	atomic_store(&sq->tail, value);
	nvme_kick_sq(ctrl, qid);
}

void nvme_cq_doorbell(struct nvme_ctrl *ctrl, unsigned int qid, uint32_t value)
{
	struct nvme_cq *cq = &ctrl->cq[qid];
	uint32_t size = atomic_load(&cq->size);
	uint32_t head = atomic_load(&cq->head);
	uint32_t tail = atomic_load(&cq->tail);
	bool kick = false;

	if (!atomic_load(&cq->live)) {
		nvme_event_raise(ctrl, NVME_EVENT_INVALID_DB_REG);
		return;
	}
	/* Entries that were never posted cannot be taken. */
	if (value >= size || distance(head, value, size) > distance(head, tail, size)) {
		nvme_event_raise(ctrl, NVME_EVENT_INVALID_DB_VAL);
		return;
	}
	atomic_store(&cq->head, value);
	if (atomic_load(&ctrl->line)) {
		atomic_store(&ctrl->intx_check, true);
		kick = true;
	}
	if (atomic_load(&cq->stalled)) {
		atomic_store(&ctrl->unstall, true);
		kick = true;
	}
	if (kick)
		nvme_kick(ctrl);
}

/* ---- completion queue entries */

static bool has_room(const struct nvme_cq *cq)
{
	uint32_t size = atomic_load(&cq->size);
	uint32_t head = atomic_load(&cq->head);

	if (head >= size)
		return false;
	return distance(head, atomic_load(&cq->tail), size) + cq->reserved < size - 1;
}

static bool reserve(struct nvme_cq *cq)
{
	bool room;

	pthread_mutex_lock(&cq->lock);
	room = has_room(cq);
	if (!room) {
		/* The flag first, then another look: the doorbell does it the other way round. */
		atomic_store(&cq->stalled, true);
		room = has_room(cq);
	}
	if (room)
		cq->reserved++;
	pthread_mutex_unlock(&cq->lock);
	return room;
}

static void unreserve(struct nvme_cq *cq)
{
	pthread_mutex_lock(&cq->lock);
	cq->reserved--;
	pthread_mutex_unlock(&cq->lock);
}

/*
 * A reserved entry is filled and becomes visible. The tail moves first: the client may see the entry and ring
 * the head doorbell for it before this function returns.
 */
static int post(struct nvme_worker *w, struct nvme_cq *cq, struct nvme_cqe *cqe)
{
	uint32_t tail = atomic_load(&cq->tail);
	uint64_t iova = cq->base + (uint64_t)tail * sizeof(*cqe);
	const char *halves = (const char *)cqe;

	cqe->status = (uint16_t)(cqe->status << 1 | cq->phase);
	if (++tail == atomic_load(&cq->size)) {
		tail = 0;
		cq->phase = !cq->phase;
	}
	cq->reserved--;
	atomic_store(&cq->tail, tail);
	/* In this order for whoever polls: a DMA section begins with a full barrier. */
	if (uvfio_dma_write(w->dma, iova, halves, 8, "CQ entry"))
		return -EFAULT;
	return uvfio_dma_write(w->dma, iova + 8, halves + 8, 8, "CQ entry");
}

/* ---- submission queue entries */

uint32_t nvme_sq_pending(const struct nvme_sq *sq)
{
	uint32_t size = atomic_load(&sq->size);
	uint32_t tail = atomic_load(&sq->tail);

	return tail < size ? distance(atomic_load(&sq->head), tail, size) : 0;
}

bool nvme_sq_take(struct nvme_worker *w, struct nvme_sq *sq, struct nvme_cmd *cmd)
{
	uint32_t head;
	int rc;

	pthread_mutex_lock(&sq->lock);
	if (!atomic_load(&sq->live) || !nvme_sq_pending(sq) || !reserve(sq->cq)) {
		pthread_mutex_unlock(&sq->lock);
		return false;
	}
	head = atomic_load(&sq->head);
	rc = uvfio_dma_read(w->dma, sq->base + (uint64_t)head * sizeof(cmd->sqe), &cmd->sqe, sizeof(cmd->sqe),
			    "SQ entry");
	if (rc) {
		pthread_mutex_unlock(&sq->lock);
		unreserve(sq->cq);
		nvme_fatal(w->ctrl);
		return false;
	}
	atomic_store(&sq->head, head + 1 == atomic_load(&sq->size) ? 0 : head + 1);
	sq->inflight++;
	pthread_mutex_unlock(&sq->lock);
	cmd->sq = sq;
	cmd->result = 0;
	cmd->start_ns = uvfio_trace_on(&w->ctrl->func->dev) ? uvfio_now() : 0;
	return true;
}

static void finish(struct nvme_sq *sq)
{
	pthread_mutex_lock(&sq->lock);
	if (!--sq->inflight)
		pthread_cond_broadcast(&sq->drained);
	pthread_mutex_unlock(&sq->lock);
}

void nvme_complete(struct nvme_worker *w, struct nvme_cmd *cmd, uint16_t status)
{
	struct nvme_sq *sq = cmd->sq;
	struct nvme_cq *cq = sq->cq;
	struct nvme_cqe cqe = {
		.result = cmd->result,
		.sqid = sq->qid,
		.cid = cmd->sqe.cid,
		.status = status,
	};

	uvfio_count_command(&w->ctrl->func->dev, status);
	if (status)
		nvme_log_error(w->ctrl, cmd, status);
	if (uvfio_trace_on(&w->ctrl->func->dev))
		nvme_trace_command(w->ctrl, cmd, status);

	/* The command under way keeps its queues as they are. */
	if (w->irq_vector != cq->vector)
		nvme_irq_flush(w);
	w->irq_vector = cq->vector;
	w->irq_due |= cq->irq_enabled;

	pthread_mutex_lock(&cq->lock);
	cqe.sqhd = (uint16_t)atomic_load(&sq->head);
	if (post(w, cq, &cqe))
		nvme_fatal(w->ctrl);
	pthread_mutex_unlock(&cq->lock);
	finish(sq);

	w->irq_cost += IRQ_COST_COMMAND;
	if (w->irq_cost >= IRQ_COST_LIMIT)
		nvme_irq_flush(w);
}

void nvme_park(struct nvme_cmd *cmd)
{
	unreserve(cmd->sq->cq);
	finish(cmd->sq);
}

bool nvme_unpark(struct nvme_cmd *cmd)
{
	if (!reserve(cmd->sq->cq))
		return false;
	pthread_mutex_lock(&cmd->sq->lock);
	cmd->sq->inflight++;
	pthread_mutex_unlock(&cmd->sq->lock);
	return true;
}

/* ---- interrupts */

void nvme_irq_flush(struct nvme_worker *w)
{
	bool due = w->irq_due;

	w->irq_due = false;
	w->irq_cost = 0;
	if (!due)
		return;
	if (uvfio_pci_irq_mode(w->ctrl->func) == UVFIO_IRQ_INTX)
		nvme_intx_update(w->ctrl);
	else
		uvfio_pci_irq(w->ctrl->func, w->irq_vector);
}

static bool wants_line(struct nvme_ctrl *ctrl, struct nvme_cq *cq)
{
	bool wants;

	if (!atomic_load(&cq->live))
		return false;
	pthread_mutex_lock(&cq->lock);
	wants = cq->irq_enabled && atomic_load(&cq->head) != atomic_load(&cq->tail) &&
		!(cq->vector < 32 && atomic_load(&ctrl->intms) & BIT32(cq->vector));
	pthread_mutex_unlock(&cq->lock);
	return wants;
}

void nvme_intx_update(struct nvme_ctrl *ctrl)
{
	bool level = false;

	pthread_mutex_lock(&ctrl->intx_lock);
	if (uvfio_pci_irq_mode(ctrl->func) == UVFIO_IRQ_INTX)
		for (unsigned int i = 0; i <= ctrl->queues && !level; i++)
			level = wants_line(ctrl, &ctrl->cq[i]);
	if (atomic_exchange(&ctrl->line, level) != level)
		uvfio_pci_intx(ctrl->func, level);
	pthread_mutex_unlock(&ctrl->intx_lock);
}
