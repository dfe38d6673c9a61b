/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Features. Nothing is saved across a reset (ONCS says so), so the saved value of a feature is its default.
 *
 * A feature is a row: what it can do, how to read its current value, how to change it.
 */
#include "devices/nvme/nvme.h"

#define CHANGEABLE 4u /* the answer to "supported capabilities" */
#define PER_NS     2u
#define INVALID    NVME_DNR(NVME_SC_INVALID_FIELD)
#define MAX_TEMP   0xffffu
#define WARN_TEMP  343u
#define SMART_AENS 0x3fu
#define NOTICE_AENS                                                                                          \
	(NVME_FEATURE_AENCFG_NOTICE_NAMESPACE_ATTRIBUTES | NVME_FEATURE_AENCFG_NOTICE_FIRMWARE_ACTIVATION)

static void set_defaults(struct nvme_ctrl *ctrl, struct nvme_features *f)
{
	*f = (struct nvme_features){
		.arbitration = 0x7, /* no burst limit */
		.temp_over = WARN_TEMP,
		.write_cache = true,
	};
	for (unsigned int i = 0; i < NVME_VECTORS; i++)
		f->irq_config[i] = 0;
	(void)ctrl;
}

void nvme_features_reset(struct nvme_ctrl *ctrl)
{
	set_defaults(ctrl, &ctrl->features);
}

/* ---- rows */

typedef uint16_t (*get_fn)(struct nvme_ctrl *ctrl, const struct nvme_features *f, uint32_t cdw11,
			   uint32_t *value);
typedef uint16_t (*set_fn)(struct nvme_ctrl *ctrl, uint32_t cdw11, uint32_t *result);

static uint16_t get_temp(struct nvme_ctrl *ctrl, const struct nvme_features *f, uint32_t cdw11,
			 uint32_t *value)
{
	uint32_t sensor = NVME_GET(cdw11, FEAT_TT_TMPSEL);
	uint32_t kind = NVME_GET(cdw11, FEAT_TT_THSEL);

	(void)ctrl;
	if (sensor || kind > 1)
		return INVALID;
	*value = kind ? f->temp_under : f->temp_over;
	return 0;
}

static uint16_t set_temp(struct nvme_ctrl *ctrl, uint32_t cdw11, uint32_t *result)
{
	struct nvme_features *f = &ctrl->features;
	uint32_t sensor = NVME_GET(cdw11, FEAT_TT_TMPSEL);
	uint32_t kind = NVME_GET(cdw11, FEAT_TT_THSEL);
	uint32_t kelvin = NVME_GET(cdw11, FEAT_TT_TMPTH);
	bool beyond;

	(void)result;
	if ((sensor && sensor != 0xf) || kind > 1)
		return INVALID;
	if (kind)
		f->temp_under = kelvin;
	else
		f->temp_over = kelvin;
	beyond = NVME_TEMPERATURE >= f->temp_over || NVME_TEMPERATURE <= f->temp_under;
	if (beyond && !ctrl->temperature_warned && f->async_event & NVME_SMART_CRIT_TEMPERATURE)
		nvme_event_raise(ctrl, NVME_EVENT_TEMPERATURE);
	ctrl->temperature_warned = beyond;
	return 0;
}

static uint16_t get_queues(struct nvme_ctrl *ctrl, const struct nvme_features *f, uint32_t cdw11,
			   uint32_t *value)
{
	(void)f;
	(void)cdw11;
	*value = (ctrl->queues - 1) | (ctrl->queues - 1) << 16;
	return 0;
}

static uint16_t set_queues(struct nvme_ctrl *ctrl, uint32_t cdw11, uint32_t *result)
{
	for (unsigned int i = 1; i <= ctrl->queues; i++)
		if (atomic_load(&ctrl->cq[i].live) || atomic_load(&ctrl->sq[i].live))
			return NVME_DNR(NVME_SC_CMD_SEQ_ERROR);
	if (NVME_GET(cdw11, FEAT_NRQS_NSQR) == 0xffff || NVME_GET(cdw11, FEAT_NRQS_NCQR) == 0xffff)
		return INVALID;
	return get_queues(ctrl, NULL, 0, result);
}

static uint16_t get_irq_config(struct nvme_ctrl *ctrl, const struct nvme_features *f, uint32_t cdw11,
			       uint32_t *value)
{
	uint32_t vector = NVME_GET(cdw11, FEAT_ICFG_IV);

	(void)ctrl;
	if (vector >= NVME_VECTORS)
		return INVALID;
	*value = vector | f->irq_config[vector];
	return 0;
}

static uint16_t set_irq_config(struct nvme_ctrl *ctrl, uint32_t cdw11, uint32_t *result)
{
	uint32_t vector = NVME_GET(cdw11, FEAT_ICFG_IV);

	(void)result;
	if (vector >= NVME_VECTORS)
		return INVALID;
	ctrl->features.irq_config[vector] = cdw11 & NVME_FEAT_ICFG_CD_MASK << NVME_FEAT_ICFG_CD_SHIFT;
	return 0;
}

static uint16_t get_error_recovery(struct nvme_ctrl *ctrl, const struct nvme_features *f, uint32_t cdw11,
				   uint32_t *value)
{
	(void)ctrl;
	(void)cdw11;
	*value = f->error_recovery;
	return 0;
}

static uint16_t set_error_recovery(struct nvme_ctrl *ctrl, uint32_t cdw11, uint32_t *result)
{
	(void)result;
	/* DULBE is not announced by any namespace. */
	if (NVME_GET(cdw11, FEAT_ERROR_RECOVERY_DULBE))
		return INVALID;
	ctrl->features.error_recovery = cdw11 & 0xffff;
	return 0;
}

static uint16_t get_cache(struct nvme_ctrl *ctrl, const struct nvme_features *f, uint32_t cdw11,
			  uint32_t *value)
{
	(void)ctrl;
	(void)cdw11;
	*value = atomic_load(&f->write_cache);
	return 0;
}

/* What was written while the cache was on must be safe before it counts as off. */
static uint16_t set_cache(struct nvme_ctrl *ctrl, uint32_t cdw11, uint32_t *result)
{
	bool on = cdw11 & 1;

	(void)result;
	if (!on && atomic_exchange(&ctrl->features.write_cache, false) && nvme_media_flush(&ctrl->media))
		return NVME_MEDIA(NVME_SC_WRITE_FAULT);
	atomic_store(&ctrl->features.write_cache, on);
	return 0;
}

#define PLAIN(name, mask)                                                                                    \
	static uint16_t get_##name(struct nvme_ctrl *ctrl, const struct nvme_features *f, uint32_t cdw11,    \
				   uint32_t *value)                                                          \
	{                                                                                                    \
		(void)ctrl;                                                                                  \
		(void)cdw11;                                                                                 \
		*value = f->name;                                                                            \
		return 0;                                                                                    \
	}                                                                                                    \
	static uint16_t set_##name(struct nvme_ctrl *ctrl, uint32_t cdw11, uint32_t *result)                 \
	{                                                                                                    \
		(void)result;                                                                                \
		ctrl->features.name = cdw11 & (mask);                                                        \
		return 0;                                                                                    \
	}

PLAIN(arbitration, 0xffffff07u)
PLAIN(irq_coalesce, 0xffffu)
PLAIN(write_atomic, 1u)
PLAIN(async_event, SMART_AENS | NOTICE_AENS)

static uint16_t get_power(struct nvme_ctrl *ctrl, const struct nvme_features *f, uint32_t cdw11,
			  uint32_t *value)
{
	(void)ctrl;
	(void)cdw11;
	*value = f->power;
	return 0;
}

static uint16_t set_power(struct nvme_ctrl *ctrl, uint32_t cdw11, uint32_t *result)
{
	(void)result;
	if (NVME_GET(cdw11, FEAT_PWRMGMT_PS)) /* there is only state 0 */
		return INVALID;
	ctrl->features.power = cdw11 & 0xff;
	return 0;
}

static const struct feature {
	uint8_t id;
	uint32_t caps;
	get_fn get;
	set_fn set;
} features[] = {
	{ NVME_FEAT_FID_ARBITRATION, CHANGEABLE, get_arbitration, set_arbitration },
	{ NVME_FEAT_FID_POWER_MGMT, CHANGEABLE, get_power, set_power },
	{ NVME_FEAT_FID_TEMP_THRESH, CHANGEABLE, get_temp, set_temp },
	{ NVME_FEAT_FID_ERR_RECOVERY, CHANGEABLE | PER_NS, get_error_recovery, set_error_recovery },
	{ NVME_FEAT_FID_VOLATILE_WC, CHANGEABLE, get_cache, set_cache },
	{ NVME_FEAT_FID_NUM_QUEUES, CHANGEABLE, get_queues, set_queues },
	{ NVME_FEAT_FID_IRQ_COALESCE, CHANGEABLE, get_irq_coalesce, set_irq_coalesce },
	{ NVME_FEAT_FID_IRQ_CONFIG, CHANGEABLE, get_irq_config, set_irq_config },
	{ NVME_FEAT_FID_WRITE_ATOMIC, CHANGEABLE, get_write_atomic, set_write_atomic },
	{ NVME_FEAT_FID_ASYNC_EVENT, CHANGEABLE, get_async_event, set_async_event },
};

static const struct feature *find_feature(uint8_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].id == id)
			return &features[i];
	return NULL;
}

/* A namespace may be named only for a feature that has a value per namespace, and must exist. */
static uint16_t check_nsid(struct nvme_ctrl *ctrl, const struct feature *feature, uint32_t nsid, bool set)
{
	if (feature->caps & PER_NS) {
		if (nsid == NVME_NSID_ALL && set)
			return 0;
		return nvme_find_ns(ctrl, nsid) ? 0 : NVME_DNR(NVME_SC_INVALID_NS);
	}
	if (!nsid || nsid == NVME_NSID_ALL)
		return 0;
	if (!nvme_find_ns(ctrl, nsid))
		return NVME_DNR(NVME_SC_INVALID_NS);
	return set ? NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_FEATURE_NOT_PER_NS)) : 0;
}

uint16_t nvme_set_features(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	const struct feature *feature = find_feature(cmd->sqe.cdw10 & 0xff);
	uint16_t status;

	if (!feature)
		return INVALID;
	if (cmd->sqe.cdw10 & BIT32(31))
		return NVME_DNR(NVME_CMD_SPECIFIC(NVME_SC_FEATURE_NOT_SAVEABLE));
	status = check_nsid(w->ctrl, feature, cmd->sqe.nsid, true);
	return status ? status : feature->set(w->ctrl, cmd->sqe.cdw11, &cmd->result);
}

uint16_t nvme_get_features(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	const struct feature *feature = find_feature(cmd->sqe.cdw10 & 0xff);
	unsigned int select = cmd->sqe.cdw10 >> 8 & 7;
	struct nvme_features defaults;
	uint16_t status;

	if (!feature || select > NVME_GET_FEATURES_SEL_SUPPORTED)
		return INVALID;
	status = check_nsid(w->ctrl, feature, cmd->sqe.nsid, false);
	if (status)
		return status;
	if (select == NVME_GET_FEATURES_SEL_SUPPORTED) {
		cmd->result = feature->caps;
		return 0;
	}
	if (select == NVME_GET_FEATURES_SEL_CURRENT)
		return feature->get(w->ctrl, &w->ctrl->features, cmd->sqe.cdw11, &cmd->result);
	set_defaults(w->ctrl, &defaults);
	return feature->get(w->ctrl, &defaults, cmd->sqe.cdw11, &cmd->result);
}
