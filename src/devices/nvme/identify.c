/* SPDX-License-Identifier: BSD-2-Clause */
/* Identify: what the controller and its namespaces say of themselves. */
#include "devices/nvme/nvme.h"

#include <stdio.h>
#include <string.h>

static void pad(char *field, size_t size, const char *text)
{
	size_t len = strlen(text);

	memset(field, ' ', size);
	memcpy(field, text, MIN(len, size));
}

static void limits(struct nvme_ctrl *ctrl, struct nvme_id_ctrl *id)
{
	id->mdts = (uint8_t)ctrl->mdts_shift;
	id->acl = NVME_ACL;
	id->aerl = NVME_AERL;
	id->frmw = 0x3; /* one slot, read-only */
	id->lpa = 0x6;  /* effects log; offsets and long lengths */
	id->elpe = NVME_ERROR_LOG - 1;
	id->wctemp = 343;
	id->cctemp = 353;
	id->sqes = NVME_SQES_SHIFT << 4 | NVME_SQES_SHIFT;
	id->cqes = NVME_CQES_SHIFT << 4 | NVME_CQES_SHIFT;
	id->nn = ctrl->nr_ns;
	id->oncs = NVME_CTRL_ONCS_COMPARE | NVME_CTRL_ONCS_DSM | NVME_CTRL_ONCS_WRITE_ZEROES |
		   NVME_CTRL_ONCS_VERIFY;
	id->vwc = 0x7; /* there is a cache, and Flush takes the broadcast namespace */
	id->psd[0].mp = 2500;
}

static void identify_ctrl(struct nvme_ctrl *ctrl, void *buf)
{
	struct nvme_id_ctrl *id = buf;
	char text[48];

	id->vid = 0x1b36;
	id->ssvid = 0x1af4;
	snprintf(text, sizeof(text), "UVFIO%08X", ctrl->func->dev.instance);
	pad(id->sn, sizeof(id->sn), text);
	pad(id->mn, sizeof(id->mn), "uvfio NVMe controller");
	pad(id->fr, sizeof(id->fr), UVFIO_VERSION);
	id->rab = 6;
	id->ieee[0] = 0x00;
	id->ieee[1] = 0x54;
	id->ieee[2] = 0x52;
	id->cntlid = (uint16_t)ctrl->func->dev.instance;
	id->ver = NVME_VERSION;
	id->cntrltype = NVME_CTRL_CNTRLTYPE_IO;
	limits(ctrl, id);
	snprintf(id->subnqn, sizeof(id->subnqn), "nqn.2014-08.org.nvmexpress:uvfio:%08x",
		 ctrl->func->dev.instance);
}

static void ns_guid(struct nvme_ctrl *ctrl, const struct nvme_ns *ns, uint8_t nguid[16], uint8_t eui64[8])
{
	const uint8_t ids[8] = { 0x52,
				 0x54,
				 0x00,
				 (uint8_t)(ctrl->func->dev.instance >> 8),
				 (uint8_t)ctrl->func->dev.instance,
				 0,
				 (uint8_t)(ns->nsid >> 8),
				 (uint8_t)ns->nsid };

	memcpy(eui64, ids, 8);
	memcpy(nguid, "uvfio/ns", 8);
	memcpy(nguid + 8, ids, 8);
}

static void identify_ns(struct nvme_ctrl *ctrl, const struct nvme_ns *ns, void *buf)
{
	struct nvme_id_ns *id = buf;
	uint64_t bytes = ns->blocks << ctrl->lba_shift;

	id->nsze = ns->blocks;
	id->ncap = ns->blocks;
	/* Thin provisioning is not announced, so NUSE could be NSZE; the truth is more useful to a reader. */
	id->nuse = nvme_media_used(&ctrl->media, ns->start, bytes) >> ctrl->lba_shift;
	id->dlfeat = NVME_NS_DLFEAT_RB_ALL_0S | NVME_NS_DLFEAT_WRITE_ZEROES;
	memcpy(id->nvmcap, &bytes, sizeof(bytes));
	id->nsattr = ctrl->media.readonly ? 1 : 0;
	ns_guid(ctrl, ns, id->nguid, id->eui64);
	id->lbaf[0].ds = (uint8_t)ctrl->lba_shift;
}

static void identify_descriptors(struct nvme_ctrl *ctrl, const struct nvme_ns *ns, uint8_t *buf)
{
	uint8_t nguid[16], eui64[8];

	ns_guid(ctrl, ns, nguid, eui64);
	buf[0] = NVME_NIDT_EUI64;
	buf[1] = NVME_NIDT_EUI64_LEN;
	memcpy(buf + 4, eui64, sizeof(eui64));
	buf += 4 + NVME_NIDT_EUI64_LEN;
	buf[0] = NVME_NIDT_NGUID;
	buf[1] = NVME_NIDT_NGUID_LEN;
	memcpy(buf + 4, nguid, sizeof(nguid));
}

/* Namespaces above nsid, ascending. */
static uint16_t identify_list(struct nvme_ctrl *ctrl, uint32_t nsid, uint32_t *list)
{
	unsigned int nr = 0;

	if (nsid >= NVME_NSID_ALL - 1)
		return NVME_DNR(NVME_SC_INVALID_NS);
	for (unsigned int i = 0; i < ctrl->nr_ns && nr < NVME_ID_NS_LIST_MAX; i++)
		if (ctrl->ns[i].nsid > nsid)
			list[nr++] = ctrl->ns[i].nsid;
	return 0;
}

static uint16_t fill(struct nvme_ctrl *ctrl, const struct nvme_sqe *sqe, uint8_t *buf)
{
	struct nvme_ns *ns = nvme_find_ns(ctrl, sqe->nsid);
	uint8_t cns = sqe->cdw10 & 0xff;

	switch (cns) {
	case NVME_IDENTIFY_CNS_CTRL:
		identify_ctrl(ctrl, buf);
		return 0;
	case NVME_IDENTIFY_CNS_NS_ACTIVE_LIST:
	case NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST:
		return identify_list(ctrl, sqe->nsid, (uint32_t *)(void *)buf);
	case NVME_IDENTIFY_CNS_NS:
	case NVME_IDENTIFY_CNS_ALLOCATED_NS:
	case NVME_IDENTIFY_CNS_NS_DESC_LIST:
		if (!ns)
			return NVME_DNR(NVME_SC_INVALID_NS);
		if (cns == NVME_IDENTIFY_CNS_NS_DESC_LIST)
			identify_descriptors(ctrl, ns, buf);
		else
			identify_ns(ctrl, ns, buf);
		return 0;
	default:
		return NVME_DNR(NVME_SC_INVALID_FIELD);
	}
}

uint16_t nvme_identify(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	uint8_t *buf = w->bounce[0];
	uint16_t status;

	memset(buf, 0, NVME_IDENTIFY_DATA_SIZE);
	status = fill(w->ctrl, &cmd->sqe, buf);
	return status ? status : nvme_to_host(w, &cmd->sqe, buf, NVME_IDENTIFY_DATA_SIZE);
}
