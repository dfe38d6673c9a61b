/* SPDX-License-Identifier: BSD-2-Clause */
/* Log pages, and the error log behind the first of them. */
#include "devices/nvme/nvme.h"

#include <stdlib.h>
#include <string.h>

void nvme_log_error(struct nvme_ctrl *ctrl, const struct nvme_cmd *cmd, uint16_t status)
{
	struct nvme_log *log = &ctrl->log;
	struct nvme_error_log_page *e;

	pthread_mutex_lock(&log->lock);
	e = &log->errors[log->error_count++ % NVME_ERROR_LOG];
	*e = (struct nvme_error_log_page){
		.error_count = log->error_count,
		.sqid = cmd->sq->qid,
		.cmdid = cmd->sqe.cid,
		.status_field = (uint16_t)(status << 1),
		.parm_error_location = 0xffff,
		.lba = cmd->sq->qid ? cmd->sqe.cdw10 | (uint64_t)cmd->sqe.cdw11 << 32 : 0,
		.nsid = cmd->sqe.nsid,
	};
	pthread_mutex_unlock(&log->lock);
}

/* Newest first. */
static size_t error_log(struct nvme_ctrl *ctrl, void *buf)
{
	struct nvme_error_log_page *out = buf;
	struct nvme_log *log = &ctrl->log;

	pthread_mutex_lock(&log->lock);
	for (uint64_t i = 0; i < NVME_ERROR_LOG && i < log->error_count; i++)
		out[i] = log->errors[(log->error_count - 1 - i) % NVME_ERROR_LOG];
	pthread_mutex_unlock(&log->lock);
	return NVME_ERROR_LOG * sizeof(*out);
}

static void put64(uint8_t field[16], uint64_t value)
{
	memcpy(field, &value, sizeof(value));
}

static size_t smart_log(struct nvme_ctrl *ctrl, void *buf)
{
	struct nvme_smart_log *s = buf;
	struct nvme_log *log = &ctrl->log;
	uint32_t over = ctrl->features.temp_over, under = ctrl->features.temp_under;

	if (NVME_TEMPERATURE >= over || NVME_TEMPERATURE <= under)
		s->critical_warning |= NVME_SMART_CRIT_TEMPERATURE;
	s->temperature[0] = NVME_TEMPERATURE & 0xff;
	s->temperature[1] = NVME_TEMPERATURE >> 8;
	s->avail_spare = 100;
	s->spare_thresh = 10;
	/* Thousands of 512-byte units, rounded up. */
	put64(s->data_units_read, (atomic_load(&log->blocks_read) + 999) / 1000);
	put64(s->data_units_written, (atomic_load(&log->blocks_written) + 999) / 1000);
	put64(s->host_reads, atomic_load(&log->reads));
	put64(s->host_writes, atomic_load(&log->writes));
	put64(s->media_errors, atomic_load(&log->media_errors));
	pthread_mutex_lock(&log->lock);
	put64(s->num_err_log_entries, log->error_count);
	pthread_mutex_unlock(&log->lock);
	return sizeof(*s);
}

static size_t firmware_log(struct nvme_ctrl *ctrl, void *buf)
{
	struct nvme_firmware_slot *f = buf;
	size_t len = strlen(UVFIO_VERSION);

	(void)ctrl;
	f->afi = 1;
	memset(f->frs[0], ' ', sizeof(f->frs[0]));
	memcpy(f->frs[0], UVFIO_VERSION, MIN(len, sizeof(f->frs[0])));
	return sizeof(*f);
}

/* No namespace ever comes or goes. */
static size_t changed_ns_log(struct nvme_ctrl *ctrl, void *buf)
{
	(void)ctrl;
	(void)buf;
	return 4096;
}

static size_t effects_log(struct nvme_ctrl *ctrl, void *buf)
{
	static const uint8_t admin[] = { nvme_admin_delete_sq,    nvme_admin_create_sq,
					 nvme_admin_get_log_page, nvme_admin_delete_cq,
					 nvme_admin_create_cq,    nvme_admin_identify,
					 nvme_admin_abort_cmd,    nvme_admin_set_features,
					 nvme_admin_get_features, nvme_admin_async_event };
	static const uint8_t readers[] = { nvme_cmd_flush, nvme_cmd_read, nvme_cmd_compare, nvme_cmd_verify };
	static const uint8_t writers[] = { nvme_cmd_write, nvme_cmd_write_zeroes, nvme_cmd_dsm };
	struct nvme_cmd_effects_log *log = buf;

	(void)ctrl;
	for (size_t i = 0; i < sizeof(admin); i++)
		log->acs[admin[i]] = NVME_CMD_EFFECTS_CSUPP;
	for (size_t i = 0; i < sizeof(readers); i++)
		log->iocs[readers[i]] = NVME_CMD_EFFECTS_CSUPP;
	for (size_t i = 0; i < sizeof(writers); i++)
		log->iocs[writers[i]] = NVME_CMD_EFFECTS_CSUPP | NVME_CMD_EFFECTS_LBCC;
	return sizeof(*log);
}

static const struct log_page {
	uint8_t id;
	uint32_t clears; /* event types that reading unmasks */
	size_t (*fill)(struct nvme_ctrl *ctrl, void *zeroed);
} log_pages[] = {
	{ NVME_LOG_LID_ERROR, BIT32(NVME_AER_ERROR), error_log },
	{ NVME_LOG_LID_SMART, BIT32(NVME_AER_SMART), smart_log },
	{ NVME_LOG_LID_FW_SLOT, 0, firmware_log },
	{ NVME_LOG_LID_CHANGED_NS, BIT32(NVME_AER_NOTICE), changed_ns_log },
	{ NVME_LOG_LID_CMD_EFFECTS, 0, effects_log },
};

static const struct log_page *find_page(uint8_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(log_pages); i++)
		if (log_pages[i].id == id)
			return &log_pages[i];
	return NULL;
}

uint16_t nvme_get_log_page(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	const struct nvme_sqe *sqe = &cmd->sqe;
	const struct log_page *page = find_page(sqe->cdw10 & 0xff);
	uint64_t len = ((uint64_t)(sqe->cdw11 & 0xffff) << 16 | sqe->cdw10 >> 16) * 4 + 4;
	uint64_t offset = sqe->cdw12 | (uint64_t)sqe->cdw13 << 32;
	uint8_t *buf = w->bounce[0];
	uint16_t status;
	size_t size;

	if (!page)
		return NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_INVALID_LOG_PAGE));
	if (page->id == NVME_LOG_LID_SMART && sqe->nsid && sqe->nsid != NVME_NSID_ALL)
		return NVME_DNR(NVME_SC_INVALID_FIELD);
	memset(buf, 0, NVME_ERROR_LOG * sizeof(struct nvme_error_log_page));
	size = page->fill(ctrl, buf);
	if (offset & 3 || offset > size || (ctrl->mdts && len > ctrl->mdts))
		return NVME_DNR(NVME_SC_INVALID_FIELD);
	status = nvme_to_host(w, sqe, buf + offset, MIN(len, size - offset));
	if (!status && !(sqe->cdw10 & BIT32(15)))
		ctrl->events_masked &= ~page->clears;
	return status;
}
