/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admin commands: dispatch, and the creation and deletion of queues with every check that the specification
 * asks for, in the order of its fields: identifier, size, flags, address, vector.
 */
#include "devices/nvme/nvme.h"

#define QID_INVALID   NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_QID_INVALID))
#define INVALID_FIELD NVME_DNR(NVME_SC_INVALID_FIELD)

static uint16_t check_queue(struct nvme_ctrl *ctrl, const struct nvme_sqe *sqe, bool exists,
			    unsigned int entry_size, unsigned int entry_shift)
{
	unsigned int qid = sqe->cdw10 & 0xffff;
	unsigned int last = sqe->cdw10 >> 16;

	if (!qid || qid > ctrl->queues || exists)
		return QID_INVALID;
	if (!last || last > NVME_MQES || entry_size != entry_shift)
		return NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_QUEUE_SIZE));
	if (!(sqe->cdw11 & NVME_QUEUE_PC))
		return INVALID_FIELD;
	if (!is_aligned(sqe->prp1, ctrl->page))
		return NVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
	return 0;
}

static bool sq_exists(struct nvme_ctrl *ctrl, unsigned int qid)
{
	return qid < NVME_QIDS && atomic_load(&ctrl->sq[qid].live);
}

static bool cq_exists(struct nvme_ctrl *ctrl, unsigned int qid)
{
	return qid < NVME_QIDS && atomic_load(&ctrl->cq[qid].live);
}

static uint16_t create_cq(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	const struct nvme_sqe *sqe = &cmd->sqe;
	unsigned int qid = sqe->cdw10 & 0xffff;
	unsigned int vector = sqe->cdw11 >> 16;
	uint16_t status = check_queue(ctrl, sqe, cq_exists(ctrl, qid), NVME_CC_IOCQES(atomic_load(&ctrl->cc)),
				      NVME_CQES_SHIFT);

	if (status)
		return status;
	if (vector >= NVME_VECTORS)
		return NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_INVALID_VECTOR));
	nvme_cq_create(ctrl, (uint16_t)qid, (sqe->cdw10 >> 16) + 1, sqe->prp1, (uint16_t)vector,
		       sqe->cdw11 & NVME_QUEUE_IEN);
	return 0;
}

static uint16_t create_sq(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	const struct nvme_sqe *sqe = &cmd->sqe;
	unsigned int qid = sqe->cdw10 & 0xffff;
	unsigned int cqid = sqe->cdw11 >> 16;
	uint16_t status = check_queue(ctrl, sqe, sq_exists(ctrl, qid), NVME_CC_IOSQES(atomic_load(&ctrl->cc)),
				      NVME_SQES_SHIFT);

	if (status)
		return status;
	if (!cqid || cqid > ctrl->queues)
		return QID_INVALID;
	if (!cq_exists(ctrl, cqid))
		return NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_CQ_INVALID));
	nvme_sq_create(ctrl, (uint16_t)qid, (sqe->cdw10 >> 16) + 1, sqe->prp1, &ctrl->cq[cqid]);
	return 0;
}

static uint16_t delete_cq(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	unsigned int qid = cmd->sqe.cdw10 & 0xffff;

	if (!qid || !cq_exists(w->ctrl, qid))
		return QID_INVALID;
	if (w->ctrl->cq[qid].users)
		return NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_INVALID_QUEUE));
	nvme_cq_delete(&w->ctrl->cq[qid]);
	atomic_store(&w->ctrl->intx_check, true);
	nvme_kick(w->ctrl);
	return 0;
}

static uint16_t delete_sq(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	unsigned int qid = cmd->sqe.cdw10 & 0xffff;

	if (!qid || !sq_exists(w->ctrl, qid))
		return QID_INVALID;
	nvme_sq_delete(&w->ctrl->sq[qid]);
	return 0;
}

uint16_t nvme_admin(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	if (cmd->sqe.flags & (NVME_SQE_FUSE | NVME_SQE_PSDT))
		return INVALID_FIELD;
	switch (cmd->sqe.opcode) {
	case nvme_admin_delete_sq:
		return delete_sq(w, cmd);
	case nvme_admin_create_sq:
		return create_sq(w, cmd);
	case nvme_admin_get_log_page:
		return nvme_get_log_page(w, cmd);
	case nvme_admin_delete_cq:
		return delete_cq(w, cmd);
	case nvme_admin_create_cq:
		return create_cq(w, cmd);
	case nvme_admin_identify:
		return nvme_identify(w, cmd);
	case nvme_admin_abort_cmd:
		return nvme_abort(w, cmd);
	case nvme_admin_set_features:
		return nvme_set_features(w, cmd);
	case nvme_admin_get_features:
		return nvme_get_features(w, cmd);
	case nvme_admin_async_event:
		return nvme_async_event(w, cmd);
	default:
		return NVME_DNR(NVME_SC_INVALID_OPCODE);
	}
}
