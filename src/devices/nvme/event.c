/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asynchronous events. A request is parked until an event comes; an event is a bit until a request is there.
 * After a type of event has been told, it is masked until its log page has been read.
 */
#include "devices/nvme/nvme.h"

#include <string.h>

static const struct {
	uint8_t type, info, log;
} event_codes[NVME_EVENTS] = {
	[NVME_EVENT_INVALID_DB_REG] = { NVME_AER_ERROR, NVME_AER_ERROR_INVALID_DB_REG, NVME_LOG_LID_ERROR },
	[NVME_EVENT_INVALID_DB_VAL] = { NVME_AER_ERROR, NVME_AER_ERROR_INVALID_DB_VAL, NVME_LOG_LID_ERROR },
	[NVME_EVENT_TEMPERATURE] = { NVME_AER_SMART, NVME_AER_SMART_TEMPERATURE_THRESHOLD,
				     NVME_LOG_LID_SMART },
};

void nvme_event_raise(struct nvme_ctrl *ctrl, enum nvme_event event)
{
	if (atomic_fetch_or(&ctrl->event_kicks, BIT32(event)) & BIT32(event))
		return;
	nvme_kick(ctrl);
}

void nvme_events_reset(struct nvme_ctrl *ctrl)
{
	atomic_store(&ctrl->event_kicks, 0);
	ctrl->events = 0;
	ctrl->events_masked = 0;
	ctrl->nr_parked = 0;
	ctrl->temperature_warned = false;
}

static void deliver(struct nvme_worker *w, enum nvme_event event)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	struct nvme_cmd *cmd = &ctrl->parked[ctrl->nr_parked - 1];

	if (!nvme_unpark(cmd))
		return;
	ctrl->nr_parked--;
	ctrl->events &= ~BIT32(event);
	ctrl->events_masked |= BIT32(event_codes[event].type);
	cmd->result = event_codes[event].type | (uint32_t)event_codes[event].info << 8 |
		      (uint32_t)event_codes[event].log << 16;
	nvme_complete(w, cmd, 0);
}

void nvme_events_deliver(struct nvme_worker *w)
{
	struct nvme_ctrl *ctrl = w->ctrl;

	ctrl->events |= atomic_exchange(&ctrl->event_kicks, 0);
	for (unsigned int i = 0; i < NVME_EVENTS && ctrl->nr_parked; i++)
		if (ctrl->events & BIT32(i) && !(ctrl->events_masked & BIT32(event_codes[i].type)))
			deliver(w, i);
}

uint16_t nvme_async_event(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	struct nvme_ctrl *ctrl = w->ctrl;

	if (ctrl->nr_parked > NVME_AERL)
		return NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_ASYNC_LIMIT));
	ctrl->parked[ctrl->nr_parked++] = *cmd;
	return NVME_PARKED;
}

/* Commands are carried out as they are taken; only a parked one can still be aborted. */
uint16_t nvme_abort(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	unsigned int sqid = cmd->sqe.cdw10 & 0xffff;
	uint16_t cid = (uint16_t)(cmd->sqe.cdw10 >> 16);
	struct nvme_cmd parked;

	if (sqid > ctrl->queues || !atomic_load(&ctrl->sq[sqid].live))
		return NVME_DNR(NVME_SC_INVALID_FIELD);
	cmd->result = 1; /* not aborted */
	for (unsigned int i = 0; sqid == 0 && i < ctrl->nr_parked; i++) {
		if (ctrl->parked[i].sqe.cid != cid || !nvme_unpark(&ctrl->parked[i]))
			continue;
		parked = ctrl->parked[i];
		ctrl->parked[i] = ctrl->parked[--ctrl->nr_parked];
		nvme_complete(w, &parked, NVME_SC_ABORT_REQ);
		cmd->result = 0;
		break;
	}
	return 0;
}
