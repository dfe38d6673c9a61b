/* SPDX-License-Identifier: BSD-2-Clause */
/* Names for traces: registers, opcodes, statuses. */
#include "devices/nvme/nvme.h"

#include <stdio.h>

static const struct uvfio_field cap_fields[] = {
	{ 0, 15, "MQES", NULL },    { 16, 16, "CQR", NULL }, { 24, 31, "TO", NULL },
	{ 32, 35, "DSTRD", NULL },  { 37, 44, "CSS", NULL }, { 48, 51, "MPSMIN", NULL },
	{ 52, 55, "MPSMAX", NULL }, { .name = NULL },
};

static const struct uvfio_field vs_fields[] = {
	{ 8, 15, "MNR", NULL },
	{ 16, 31, "MJR", NULL },
	{ .name = NULL },
};

static const char *const shn[] = { "none", "normal", "abrupt", NULL };
static const char *const shst[] = { "normal", "occurring", "complete", NULL };

static const struct uvfio_field cc_fields[] = {
	{ 0, 0, "EN", NULL },       { 4, 6, "CSS", NULL },  { 7, 10, "MPS", NULL },
	{ 11, 13, "AMS", NULL },    { 14, 15, "SHN", shn }, { 16, 19, "IOSQES", NULL },
	{ 20, 23, "IOCQES", NULL }, { .name = NULL },
};

static const struct uvfio_field csts_fields[] = {
	{ 0, 0, "RDY", NULL },
	{ 1, 1, "CFS", NULL },
	{ 2, 3, "SHST", shst },
	{ .name = NULL },
};

static const struct uvfio_field aqa_fields[] = {
	{ 0, 11, "ASQS", NULL },
	{ 16, 27, "ACQS", NULL },
	{ .name = NULL },
};

const struct uvfio_register nvme_registers[] = {
	{ NVME_REG_CAP, 8, "CAP", 1, 0, cap_fields },
	{ NVME_REG_VS, 4, "VS", 1, 0, vs_fields },
	{ NVME_REG_INTMS, 4, "INTMS", 1, 0, NULL },
	{ NVME_REG_INTMC, 4, "INTMC", 1, 0, NULL },
	{ NVME_REG_CC, 4, "CC", 1, 0, cc_fields },
	{ NVME_REG_CSTS, 4, "CSTS", 1, 0, csts_fields },
	{ NVME_REG_NSSR, 4, "NSSR", 1, 0, NULL },
	{ NVME_REG_AQA, 4, "AQA", 1, 0, aqa_fields },
	{ NVME_REG_ASQ, 8, "ASQ", 1, 0, NULL },
	{ NVME_REG_ACQ, 8, "ACQ", 1, 0, NULL },
	{ NVME_REG_CMBLOC, 4, "CMBLOC", 1, 0, NULL },
	{ NVME_REG_CMBSZ, 4, "CMBSZ", 1, 0, NULL },
	{ NVME_DOORBELL_BASE, 4, "SQ%uTDBL", NVME_QIDS, 8, NULL },
	{ NVME_DOORBELL_BASE + 4, 4, "CQ%uHDBL", NVME_QIDS, 8, NULL },
	{ .name = NULL },
};

static const char *const admin_names[256] = {
	[nvme_admin_delete_sq] = "DELETE_IO_SQ",
	[nvme_admin_create_sq] = "CREATE_IO_SQ",
	[nvme_admin_get_log_page] = "GET_LOG_PAGE",
	[nvme_admin_delete_cq] = "DELETE_IO_CQ",
	[nvme_admin_create_cq] = "CREATE_IO_CQ",
	[nvme_admin_identify] = "IDENTIFY",
	[nvme_admin_abort_cmd] = "ABORT",
	[nvme_admin_set_features] = "SET_FEATURES",
	[nvme_admin_get_features] = "GET_FEATURES",
	[nvme_admin_async_event] = "ASYNC_EVENT_REQUEST",
	[nvme_admin_ns_mgmt] = "NS_MANAGEMENT",
	[nvme_admin_ns_attach] = "NS_ATTACHMENT",
	[nvme_admin_fw_commit] = "FIRMWARE_COMMIT",
	[nvme_admin_fw_download] = "FIRMWARE_DOWNLOAD",
	[nvme_admin_keep_alive] = "KEEP_ALIVE",
	[nvme_admin_dbbuf] = "DOORBELL_BUFFER_CONFIG",
	[nvme_admin_format_nvm] = "FORMAT_NVM",
	[nvme_admin_security_send] = "SECURITY_SEND",
	[nvme_admin_security_recv] = "SECURITY_RECEIVE",
	[nvme_admin_sanitize_nvm] = "SANITIZE",
};

static const char *const io_names[256] = {
	[nvme_cmd_flush] = "FLUSH",
	[nvme_cmd_write] = "WRITE",
	[nvme_cmd_read] = "READ",
	[nvme_cmd_write_uncor] = "WRITE_UNCORRECTABLE",
	[nvme_cmd_compare] = "COMPARE",
	[nvme_cmd_write_zeroes] = "WRITE_ZEROES",
	[nvme_cmd_dsm] = "DATASET_MANAGEMENT",
	[nvme_cmd_verify] = "VERIFY",
	[nvme_cmd_copy] = "COPY",
};

const char *nvme_opcode_name(bool admin, uint8_t opcode)
{
	const char *name = admin ? admin_names[opcode] : io_names[opcode];

	return name ? name : "UNKNOWN";
}

const char *nvme_status_name(uint16_t status)
{
	static const struct {
		uint16_t status;
		const char *name;
	} names[] = {
		{ NVME_SC_SUCCESS, "SUCCESS" },
		{ NVME_SC_INVALID_OPCODE, "INVALID_OPCODE" },
		{ NVME_SC_INVALID_FIELD, "INVALID_FIELD" },
		{ NVME_SC_DATA_XFER_ERROR, "DATA_TRANSFER_ERROR" },
		{ NVME_SC_ABORT_REQ, "ABORT_REQUESTED" },
		{ NVME_SC_ABORT_QUEUE, "ABORTED_SQ_DELETION" },
		{ NVME_SC_INVALID_NS, "INVALID_NAMESPACE" },
		{ NVME_SC_CMD_SEQ_ERROR, "COMMAND_SEQUENCE_ERROR" },
		{ NVME_SC_PRP_INVALID_OFFSET, "PRP_OFFSET_INVALID" },
		{ NVME_SC_NS_WRITE_PROTECTED, "NAMESPACE_WRITE_PROTECTED" },
		{ NVME_SC_LBA_RANGE, "LBA_OUT_OF_RANGE" },
		{ NVME_SC_CAP_EXCEEDED, "CAPACITY_EXCEEDED" },
		{ NVME_CMD_SPECIFIC(NVME_SC_CQ_INVALID), "COMPLETION_QUEUE_INVALID" },
		{ NVME_CMD_SPECIFIC(NVME_SC_QID_INVALID), "INVALID_QUEUE_IDENTIFIER" },
		{ NVME_CMD_SPECIFIC(NVME_SC_QUEUE_SIZE), "INVALID_QUEUE_SIZE" },
		{ NVME_CMD_SPECIFIC(NVME_SC_ASYNC_LIMIT), "ASYNC_EVENT_LIMIT" },
		{ NVME_CMD_SPECIFIC(NVME_SC_INVALID_VECTOR), "INVALID_INTERRUPT_VECTOR" },
		{ NVME_CMD_SPECIFIC(NVME_SC_INVALID_LOG_PAGE), "INVALID_LOG_PAGE" },
		{ NVME_CMD_SPECIFIC(NVME_SC_INVALID_QUEUE), "INVALID_QUEUE_DELETION" },
		{ NVME_CMD_SPECIFIC(NVME_SC_FEATURE_NOT_SAVEABLE), "FEATURE_NOT_SAVEABLE" },
		{ NVME_CMD_SPECIFIC(NVME_SC_FEATURE_NOT_PER_NS), "FEATURE_NOT_PER_NAMESPACE" },
		{ NVME_MEDIA(NVME_SC_WRITE_FAULT), "WRITE_FAULT" },
		{ NVME_MEDIA(NVME_SC_READ_ERROR), "UNRECOVERED_READ_ERROR" },
		{ NVME_MEDIA(NVME_SC_COMPARE_FAILED), "COMPARE_FAILURE" },
	};

	status &= 0x7ff;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].status == status)
			return names[i].name;
	return "OTHER";
}

static void describe_io(const struct nvme_sqe *sqe, char *buf, size_t len)
{
	unsigned long long slba = sqe->cdw10 | (unsigned long long)sqe->cdw11 << 32;

	switch (sqe->opcode) {
	case nvme_cmd_read:
	case nvme_cmd_write:
	case nvme_cmd_compare:
	case nvme_cmd_verify:
	case nvme_cmd_write_zeroes:
		snprintf(buf, len, "nsid=%u slba=%llu nlb=%u%s%s ", sqe->nsid, slba,
			 (sqe->cdw12 & 0xffff) + 1, sqe->cdw12 >> 16 & NVME_IO_FUA ? " FUA" : "",
			 sqe->opcode == nvme_cmd_write_zeroes && sqe->cdw12 >> 16 & NVME_IO_DEAC ? " DEAC"
												 : "");
		break;
	case nvme_cmd_dsm:
		snprintf(buf, len, "nsid=%u ranges=%u attributes=%#x ", sqe->nsid, (sqe->cdw10 & 0xff) + 1,
			 sqe->cdw11);
		break;
	default:
		snprintf(buf, len, "nsid=%u ", sqe->nsid);
	}
}

static void describe_admin(const struct nvme_sqe *sqe, char *buf, size_t len)
{
	switch (sqe->opcode) {
	case nvme_admin_create_sq:
		snprintf(buf, len, "sq=%u entries=%u cq=%u base=%#llx ", sqe->cdw10 & 0xffff,
			 (sqe->cdw10 >> 16) + 1, sqe->cdw11 >> 16, (unsigned long long)sqe->prp1);
		break;
	case nvme_admin_create_cq:
		snprintf(buf, len, "cq=%u entries=%u vector=%u ien=%u base=%#llx ", sqe->cdw10 & 0xffff,
			 (sqe->cdw10 >> 16) + 1, sqe->cdw11 >> 16, sqe->cdw11 >> 1 & 1,
			 (unsigned long long)sqe->prp1);
		break;
	case nvme_admin_identify:
		snprintf(buf, len, "cns=%#x nsid=%u ", sqe->cdw10 & 0xff, sqe->nsid);
		break;
	case nvme_admin_get_log_page:
		snprintf(buf, len, "lid=%#x dwords=%u ", sqe->cdw10 & 0xff, (sqe->cdw10 >> 16) + 1);
		break;
	case nvme_admin_set_features:
	case nvme_admin_get_features:
		snprintf(buf, len, "fid=%#x cdw11=%#x ", sqe->cdw10 & 0xff, sqe->cdw11);
		break;
	case nvme_admin_async_event:
		buf[0] = '\0';
		break;
	default:
		snprintf(buf, len, "opcode=%#x cdw10=%#x ", sqe->opcode, sqe->cdw10);
	}
}

void nvme_trace_command(struct nvme_ctrl *ctrl, const struct nvme_cmd *cmd, uint16_t status)
{
	bool admin = cmd->sq->qid == 0;
	char details[160];

	if (admin)
		describe_admin(&cmd->sqe, details, sizeof(details));
	else
		describe_io(&cmd->sqe, details, sizeof(details));
	uvfio_trace(&ctrl->func->dev, nvme_opcode_name(admin, cmd->sqe.opcode), cmd->start_ns,
		    "%sqid=%u cid=%u -> %s%s", details, cmd->sq->qid, cmd->sqe.cid, nvme_status_name(status),
		    status & NVME_SC_DNR ? " DNR" : "");
}
