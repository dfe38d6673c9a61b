/* SPDX-License-Identifier: BSD-2-Clause */
/* Admin commands. */
#include "devices/nvme/test_rig.h"

#include <string.h>

#define SPECIFIC(code) (0x4100 | (code))
#define DNR            0x4000

static uint16_t admin(struct rig *rig, uint8_t opcode, uint32_t nsid, uint32_t cdw10, uint32_t cdw11,
		      uint32_t *result)
{
	struct nvme_sqe sqe = {
		.opcode = opcode, .nsid = nsid, .prp1 = RIG_DATA, .cdw10 = cdw10, .cdw11 = cdw11
	};

	return rig_command(rig, 0, sqe, result);
}

static void test_identify(void **state)
{
	struct rig *rig = rig_new("ns=3,size=48M,mdts=128K");
	struct nvme_id_ctrl *id = rig_at(rig, RIG_DATA);
	struct nvme_id_ns *ns = rig_at(rig, RIG_DATA);
	uint32_t *list = rig_at(rig, RIG_DATA);
	uint8_t *bytes = rig_at(rig, RIG_DATA), nguid[16];

	(void)state;
	rig_enable(rig);
	assert_int_equal(admin(rig, nvme_admin_identify, 0, NVME_IDENTIFY_CNS_CTRL, 0, NULL), 0);
	assert_int_equal(id->vid, 0x1b36);
	assert_int_equal(id->ver, 0x10400);
	assert_int_equal(id->cntrltype, 1);
	assert_int_equal(id->mdts, 5);
	assert_int_equal(id->nn, 3);
	assert_int_equal(id->sqes, 0x66);
	assert_int_equal(id->cqes, 0x44);
	assert_int_equal(id->sgls, 0);
	assert_int_equal(id->oacs, 0);
	assert_memory_equal(id->subnqn, "nqn.2014-08.org.nvmexpress:", 27);
	assert_int_equal(id->sn[19], ' ');

	assert_int_equal(admin(rig, nvme_admin_identify, 3, NVME_IDENTIFY_CNS_NS, 0, NULL), 0);
	assert_int_equal(ns->nsze, 32768);
	assert_int_equal(ns->lbaf[0].ds, 9);
	assert_int_equal(ns->nuse, 0);
	assert_int_equal(ns->dlfeat, 9);
	memcpy(nguid, ns->nguid, 16);
	assert_int_equal(admin(rig, nvme_admin_identify, 3, NVME_IDENTIFY_CNS_NS_DESC_LIST, 0, NULL), 0);
	assert_int_equal(bytes[0], NVME_NIDT_EUI64);
	assert_int_equal(bytes[12], NVME_NIDT_NGUID);
	assert_memory_equal(bytes + 16, nguid, 16);
	assert_int_equal(bytes[32], 0);
	assert_int_equal(bytes[33], 0);
	for (uint32_t from = 0; from <= 3; from++) {
		assert_int_equal(
			admin(rig, nvme_admin_identify, from, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, 0, NULL), 0);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(list[i], from + 1 + i <= 3 ? from + 1 + i : 0);
	}
	assert_int_equal(admin(rig, nvme_admin_identify, 4, 0, 0, NULL), DNR | NVME_SC_INVALID_NS);
	assert_int_equal(admin(rig, nvme_admin_identify, 0, 0, 0, NULL), DNR | NVME_SC_INVALID_NS);
	assert_int_equal(admin(rig, nvme_admin_identify, NVME_NSID_ALL, 2, 0, NULL),
			 DNR | NVME_SC_INVALID_NS);
	assert_int_equal(admin(rig, nvme_admin_identify, 1, 5, 0, NULL), DNR | NVME_SC_INVALID_FIELD);
	assert_int_equal(admin(rig, nvme_admin_identify, 1, 0x10, 0, NULL), 0);
	assert_int_equal(admin(rig, nvme_admin_identify, 1, 0x11, 0, NULL), 0);
	rig_free(rig);
}

static void test_queue_checks(void **state)
{
	static const struct {
		uint8_t opcode;
		uint32_t cdw10, cdw11;
		uint64_t prp1;
		uint16_t status;
	} rows[] = {
		{ nvme_admin_create_cq, 0x000f0000, 3, RIG_DATA, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_create_cq, 0x000f0009, 3, RIG_DATA, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_create_cq, 0x00000002, 3, RIG_DATA, SPECIFIC(NVME_SC_QUEUE_SIZE) },
		{ nvme_admin_create_cq, 0x10000002, 3, RIG_DATA, SPECIFIC(NVME_SC_QUEUE_SIZE) },
		{ nvme_admin_create_cq, 0x000f0002, 2, RIG_DATA, DNR | NVME_SC_INVALID_FIELD },
		{ nvme_admin_create_cq, 0x000f0002, 3, RIG_DATA + 8, DNR | NVME_SC_PRP_INVALID_OFFSET },
		{ nvme_admin_create_cq, 0x000f0002, 65 << 16 | 3, RIG_DATA,
		  SPECIFIC(NVME_SC_INVALID_VECTOR) },
		{ nvme_admin_create_cq, 0x000f0002, 64 << 16 | 1, RIG_DATA, 0 },
		{ nvme_admin_create_cq, 0x000f0002, 3, RIG_DATA, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_create_sq, 0x000f0000, 2 << 16 | 1, RIG_DATA, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_create_sq, 0x00000003, 2 << 16 | 1, RIG_DATA, SPECIFIC(NVME_SC_QUEUE_SIZE) },
		{ nvme_admin_create_sq, 0x000f0003, 2 << 16, RIG_DATA, DNR | NVME_SC_INVALID_FIELD },
		{ nvme_admin_create_sq, 0x000f0003, 0 << 16 | 1, RIG_DATA, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_create_sq, 0x000f0003, 9 << 16 | 1, RIG_DATA, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_create_sq, 0x000f0003, 3 << 16 | 1, RIG_DATA, SPECIFIC(NVME_SC_CQ_INVALID) },
		{ nvme_admin_create_sq, 0x000f0003, 2 << 16 | 1, RIG_DATA + 4,
		  DNR | NVME_SC_PRP_INVALID_OFFSET },
		{ nvme_admin_create_sq, 0x000f0003, 2 << 16 | 1, RIG_DATA, 0 },
		{ nvme_admin_create_sq, 0x000f0003, 2 << 16 | 1, RIG_DATA, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_delete_cq, 2, 0, 0, SPECIFIC(NVME_SC_INVALID_QUEUE) },
		{ nvme_admin_delete_cq, 0, 0, 0, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_delete_cq, 5, 0, 0, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_delete_sq, 0, 0, 0, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_delete_sq, 0xffff, 0, 0, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_delete_sq, 3, 0, 0, 0 },
		{ nvme_admin_delete_sq, 3, 0, 0, SPECIFIC(NVME_SC_QID_INVALID) },
		{ nvme_admin_delete_cq, 2, 0, 0, 0 },
	};
	struct rig *rig = rig_new("queues=8");

	(void)state;
	rig_enable(rig);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct nvme_sqe sqe = { .opcode = rows[i].opcode,
					.prp1 = rows[i].prp1,
					.cdw10 = rows[i].cdw10,
					.cdw11 = rows[i].cdw11 };
		uint16_t status = rig_command(rig, 0, sqe, NULL);

		if (status != rows[i].status)
			fail_msg("row %zu: status %#x instead of %#x", i, status, rows[i].status);
	}
	rig_free(rig);
}

static void test_flags_and_opcodes(void **state)
{
	struct rig *rig = rig_new("");
	struct nvme_sqe sqe = { .opcode = nvme_admin_identify, .prp1 = RIG_DATA, .cdw10 = 1 };
	static const uint8_t absent[] = { nvme_admin_ns_mgmt,
					  nvme_admin_ns_attach,
					  nvme_admin_format_nvm,
					  nvme_admin_fw_commit,
					  nvme_admin_keep_alive,
					  nvme_admin_dbbuf,
					  0xff };

	(void)state;
	rig_enable(rig);
	for (unsigned int bit = 0; bit < 8; bit++) {
		sqe.flags = (uint8_t)(1 << bit);
		assert_int_equal(rig_command(rig, 0, sqe, NULL),
				 sqe.flags & 0xc3 ? DNR | NVME_SC_INVALID_FIELD : 0);
	}
	for (size_t i = 0; i < sizeof(absent); i++)
		assert_int_equal(admin(rig, absent[i], 1, 0, 0, NULL), DNR | NVME_SC_INVALID_OPCODE);
	rig_free(rig);
}

static void test_features(void **state)
{
	struct rig *rig = rig_new("queues=8");
	uint32_t value;

	(void)state;
	rig_enable(rig);
	assert_int_equal(admin(rig, nvme_admin_set_features, 0, NVME_FEAT_FID_NUM_QUEUES, 0x03ff03ff, &value),
			 0);
	assert_int_equal(value, 0x00070007);
	assert_int_equal(admin(rig, nvme_admin_set_features, 0, NVME_FEAT_FID_NUM_QUEUES, 0xffff, NULL),
			 DNR | NVME_SC_INVALID_FIELD);
	rig_create_queues(rig, 1, 16, 16);
	assert_int_equal(admin(rig, nvme_admin_set_features, 0, NVME_FEAT_FID_NUM_QUEUES, 0, NULL),
			 DNR | NVME_SC_CMD_SEQ_ERROR);
	/* The cache: current, default, saved, supported. */
	assert_int_equal(admin(rig, nvme_admin_set_features, 0, NVME_FEAT_FID_VOLATILE_WC, 0, NULL), 0);
	static const uint32_t expected[] = { 0, 1, 1, 4 };
	for (uint32_t select = 0; select < 4; select++) {
		assert_int_equal(admin(rig, nvme_admin_get_features, 0,
				       select << 8 | NVME_FEAT_FID_VOLATILE_WC, 0, &value),
				 0);
		assert_int_equal(value, expected[select]);
	}
	assert_int_equal(admin(rig, nvme_admin_get_features, 0, 4 << 8 | NVME_FEAT_FID_VOLATILE_WC, 0, NULL),
			 DNR | NVME_SC_INVALID_FIELD);
	assert_int_equal(
		admin(rig, nvme_admin_set_features, 0, BIT32(31) | NVME_FEAT_FID_VOLATILE_WC, 0, NULL),
		SPECIFIC(NVME_SC_FEATURE_NOT_SAVEABLE));
	assert_int_equal(admin(rig, nvme_admin_set_features, 1, NVME_FEAT_FID_ARBITRATION, 0, NULL),
			 SPECIFIC(NVME_SC_FEATURE_NOT_PER_NS));
	assert_int_equal(admin(rig, nvme_admin_set_features, 0, NVME_FEAT_FID_IRQ_CONFIG, 64 | 1 << 16, NULL),
			 0);
	assert_int_equal(admin(rig, nvme_admin_get_features, 0, NVME_FEAT_FID_IRQ_CONFIG, 64, &value), 0);
	assert_int_equal(value, 64 | 1 << 16);
	assert_int_equal(admin(rig, nvme_admin_set_features, 0, NVME_FEAT_FID_IRQ_CONFIG, 65, NULL),
			 DNR | NVME_SC_INVALID_FIELD);
	assert_int_equal(admin(rig, nvme_admin_set_features, 0, NVME_FEAT_FID_POWER_MGMT, 1, NULL),
			 DNR | NVME_SC_INVALID_FIELD);
	assert_int_equal(admin(rig, nvme_admin_set_features, 7, NVME_FEAT_FID_ERR_RECOVERY, 0, NULL),
			 DNR | NVME_SC_INVALID_NS);
	assert_int_equal(admin(rig, nvme_admin_set_features, 1, NVME_FEAT_FID_ERR_RECOVERY, 1 << 16, NULL),
			 DNR | NVME_SC_INVALID_FIELD);
	for (uint32_t fid = 0x0c; fid < 0x100; fid++)
		assert_int_equal(admin(rig, nvme_admin_get_features, 0, fid, 0, NULL),
				 DNR | NVME_SC_INVALID_FIELD);
	rig_free(rig);
}

static void test_logs(void **state)
{
	struct rig *rig = rig_new("");
	struct nvme_error_log_page *errors = rig_at(rig, RIG_DATA);
	struct nvme_smart_log *smart = rig_at(rig, RIG_DATA);
	struct nvme_cmd_effects_log *effects = rig_at(rig, RIG_DATA);
	uint32_t dwords = (4096 / 4 - 1) << 16;
	struct nvme_sqe sqe = { .opcode = nvme_admin_get_log_page, .prp1 = RIG_DATA };

	(void)state;
	rig_enable(rig);
	assert_int_equal(admin(rig, 0xee, 77, 0, 0, NULL), DNR | NVME_SC_INVALID_OPCODE);
	assert_int_equal(admin(rig, 0xef, 78, 0, 0, NULL), DNR | NVME_SC_INVALID_OPCODE);
	assert_int_equal(admin(rig, nvme_admin_get_log_page, 0, dwords | NVME_LOG_LID_ERROR, 0, NULL), 0);
	assert_int_equal(errors[0].error_count, 2);
	assert_int_equal(errors[0].nsid, 78);
	assert_int_equal(errors[0].cmdid, 1);
	assert_int_equal(errors[0].status_field >> 1, DNR | NVME_SC_INVALID_OPCODE);
	assert_int_equal(errors[1].nsid, 77);
	assert_int_equal(errors[2].error_count, 0);
	assert_int_equal(
		admin(rig, nvme_admin_get_log_page, NVME_NSID_ALL, 127 << 16 | NVME_LOG_LID_SMART, 0, NULL),
		0);
	assert_int_equal(smart->temperature[0] | smart->temperature[1] << 8, NVME_TEMPERATURE);
	assert_int_equal(smart->num_err_log_entries[0], 2);
	assert_int_equal(admin(rig, nvme_admin_get_log_page, 1, 127 << 16 | NVME_LOG_LID_SMART, 0, NULL),
			 DNR | NVME_SC_INVALID_FIELD);
	assert_int_equal(admin(rig, nvme_admin_get_log_page, 0, dwords | NVME_LOG_LID_CMD_EFFECTS, 0, NULL),
			 0);
	assert_int_equal(effects->iocs[nvme_cmd_write] & 3, 3);
	assert_int_equal(effects->acs[nvme_admin_format_nvm], 0);
	assert_int_equal(admin(rig, nvme_admin_get_log_page, 0, 0, 0, NULL),
			 SPECIFIC(NVME_SC_INVALID_LOG_PAGE));
	/* From an offset on, and no more than there is. */
	memset(rig_at(rig, RIG_DATA), 0x11, 4096);
	sqe.cdw10 = dwords | NVME_LOG_LID_FW_SLOT;
	sqe.cdw12 = 504;
	assert_int_equal(rig_command(rig, 0, sqe, NULL), 0);
	assert_int_equal(((uint8_t *)rig_at(rig, RIG_DATA))[7], 0);
	assert_int_equal(((uint8_t *)rig_at(rig, RIG_DATA))[8], 0x11);
	sqe.cdw12 = 516;
	assert_int_equal(rig_command(rig, 0, sqe, NULL), DNR | NVME_SC_INVALID_FIELD);
	rig_free(rig);
}

static void test_events(void **state)
{
	struct rig *rig = rig_new("");
	struct nvme_sqe aer = { .opcode = nvme_admin_async_event };
	struct nvme_cqe cqe;
	uint32_t result;

	(void)state;
	rig_enable(rig);
	for (int i = 0; i < 4; i++)
		rig_submit(rig, 0, &aer); /* cid 0 .. 3 */
	rig_run(rig);
	assert_false(rig_poll(rig, 0, &cqe));
	assert_int_equal(rig_command(rig, 0, aer, NULL), SPECIFIC(NVME_SC_ASYNC_LIMIT));

	rig_ring(rig, 5, 1); /* no such queue */
	rig_run(rig);
	assert_true(rig_poll(rig, 0, &cqe));
	assert_int_equal(cqe.result, 0x010000);
	assert_int_equal(cqe.cid, 3);
	/* Masked until the log has been read; then the other kind comes. */
	rig_ring(rig, 0, 32);
	rig_run(rig);
	assert_false(rig_poll(rig, 0, &cqe));
	assert_int_equal(
		admin(rig, nvme_admin_get_log_page, 0, 15 << 16 | BIT32(15) | NVME_LOG_LID_ERROR, 0, NULL),
		0);
	rig_run(rig);
	assert_false(rig_poll(rig, 0, &cqe));
	assert_int_equal(admin(rig, nvme_admin_get_log_page, 0, 15 << 16 | NVME_LOG_LID_ERROR, 0, NULL), 0);
	assert_true(rig_poll(rig, 0, &cqe));
	assert_int_equal(cqe.result, 0x010100);
	assert_int_equal(cqe.cid, 2);

	/* Temperature, when asked for. */
	assert_int_equal(admin(rig, nvme_admin_set_features, 0, NVME_FEAT_FID_ASYNC_EVENT, 2, NULL), 0);
	struct nvme_sqe cold = { .opcode = nvme_admin_set_features,
				 .cdw10 = 4,
				 .cdw11 = NVME_TEMPERATURE - 1 };
	rig_submit(rig, 0, &cold);
	rig_run(rig);
	assert_true(rig_poll(rig, 0, &cqe));
	assert_int_equal(cqe.cid, cold.cid);
	assert_true(rig_poll(rig, 0, &cqe));
	assert_int_equal(cqe.result, 0x020101);

	/* Abort the one that is left (cid 0), then one that is not there. */
	struct nvme_sqe abort_cmd = { .opcode = nvme_admin_abort_cmd, .cdw10 = 0 << 16 };
	rig_submit(rig, 0, &abort_cmd);
	rig_run(rig);
	assert_true(rig_poll(rig, 0, &cqe));
	assert_int_equal(cqe.cid, 0);
	assert_int_equal(cqe.status >> 1, NVME_SC_ABORT_REQ);
	assert_true(rig_poll(rig, 0, &cqe));
	assert_int_equal(cqe.result, 0);
	assert_int_equal(admin(rig, nvme_admin_abort_cmd, 0, 0, 0, &result), 0);
	assert_int_equal(result, 1);
	assert_int_equal(admin(rig, nvme_admin_abort_cmd, 0, 9, 0, NULL), DNR | NVME_SC_INVALID_FIELD);
	rig_free(rig);
}

/* Requests that are parked do not survive a reset, and do not complete afterwards. */
static void test_events_reset(void **state)
{
	struct rig *rig = rig_new("");
	struct nvme_sqe aer = { .opcode = nvme_admin_async_event };
	struct nvme_cqe cqe;

	(void)state;
	rig_enable(rig);
	rig_submit(rig, 0, &aer);
	rig_run(rig);
	rig_disable(rig);
	rig_enable(rig);
	rig_ring(rig, 5, 1);
	rig_run(rig);
	assert_false(rig_poll(rig, 0, &cqe));
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identify),
		cmocka_unit_test(test_queue_checks),
		cmocka_unit_test(test_flags_and_opcodes),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_logs),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_events_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
