/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers, enabling, reset, shutdown, options. */
#include "devices/nvme/test_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_capabilities(void **state)
{
	struct rig *rig = rig_new("");
	uint64_t cap = rig_read(rig, NVME_REG_CAP, 8);

	(void)state;
	assert_int_equal(NVME_CAP_MQES(cap), 4095);
	assert_int_equal(NVME_CAP_CQR(cap), 1);
	assert_int_equal(NVME_CAP_TO(cap), 30);
	assert_int_equal(NVME_CAP_DSTRD(cap), 0);
	assert_int_equal(NVME_CAP_CSS(cap), 1);
	assert_int_equal(NVME_CAP_MPSMAX(cap), 4);
	assert_int_equal(rig_read(rig, NVME_REG_CAP, 4), (uint32_t)cap);
	assert_int_equal(rig_read(rig, NVME_REG_CAP + 4, 4), cap >> 32);
	assert_int_equal(rig_read(rig, NVME_REG_CAP + 3, 1), 30);
	assert_int_equal(rig_read(rig, NVME_REG_VS, 4), 0x10400);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS, 4), 0);
	rig_free(rig);
}

/* As real controllers do: D3hot keeps the state, so a driver that resumes need not enable it anew. */
static void test_power_management(void **state)
{
	struct rig *rig = rig_new("");

	(void)state;
	assert_true(nvme_model.desc.pm);
	assert_true(nvme_model.desc.no_soft_reset);
	rig_free(rig);
}

static void test_write_widths(void **state)
{
	struct rig *rig = rig_new("");

	(void)state;
	rig_write(rig, NVME_REG_ASQ + 4, 0x12345678, 4);
	rig_write(rig, NVME_REG_ASQ, 0x9abcdfff, 4);
	assert_int_equal(rig_read(rig, NVME_REG_ASQ, 8), 0x123456789abcd000);
	rig_write(rig, NVME_REG_ACQ, 0x1111222233334000, 8);
	assert_int_equal(rig_read(rig, NVME_REG_ACQ, 8), 0x1111222233334000);
	rig_write(rig, NVME_REG_ACQ + 6, 0xabcd, 2);
	rig_write(rig, NVME_REG_ACQ + 2, 0x77, 1);
	assert_int_equal(rig_read(rig, NVME_REG_ACQ, 8), 0xabcd222233774000);
	/* A store of 8 bytes may reach two registers. */
	rig_write(rig, NVME_REG_NSSR, 0x00ff00ffull << 32, 8);
	assert_int_equal(rig_read(rig, NVME_REG_AQA, 4), 0x00ff00ff);
	rig_write(rig, NVME_REG_AQA, UINT32_MAX, 4);
	assert_int_equal(rig_read(rig, NVME_REG_AQA, 4), 0x0fff0fff);
	rig_write(rig, NVME_REG_INTMS, 5, 4);
	rig_write(rig, NVME_REG_INTMS + 1, 1, 1);
	rig_write(rig, NVME_REG_INTMC, 1, 4);
	assert_int_equal(rig_read(rig, NVME_REG_INTMS, 4), 0x104);
	rig_write(rig, NVME_REG_VS, 0, 4);
	assert_int_equal(rig_read(rig, NVME_REG_VS, 4), 0x10400);
	rig_free(rig);
}

static void test_enable_disable(void **state)
{
	struct rig *rig = rig_new("");

	(void)state;
	rig_enable(rig);
	rig_create_queues(rig, 1, 16, 16);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 1, RIG_DATA, 0), 0);
	rig_disable(rig);
	assert_int_equal(rig_read(rig, NVME_REG_ASQ, 8), RIG_ASQ); /* a controller reset keeps these */
	assert_int_equal(rig_read(rig, NVME_REG_CSTS, 4), 0);
	rig_enable(rig);
	rig_create_queues(rig, 1, 16, 16);
	/* Off and on again without waiting is a reset as well. */
	rig_write(rig, NVME_REG_CC, 0x00460000, 4);
	rig_enable(rig);
	assert_false(atomic_load(&rig->ctrl->sq[1].live));
	rig_reset(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CC, 4), 0);
	assert_int_equal(rig_read(rig, NVME_REG_ASQ, 8), 0);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS, 4), 0);
	rig_free(rig);
}

static void test_bad_config(void **state)
{
	static const struct {
		uint32_t cc, aqa;
		uint64_t asq;
	} bad[] = {
		{ 0x00460011, 0x001f001f, RIG_ASQ }, /* another command set */
		{ 0x00460801, 0x001f001f, RIG_ASQ }, /* arbitration */
		{ 0x00460281, 0x001f001f, RIG_ASQ }, /* 128 KiB pages */
		{ 0x00450001, 0x001f001f, RIG_ASQ }, /* SQ entry size */
		{ 0x00560001, 0x001f001f, RIG_ASQ }, /* CQ entry size */
		{ 0x00460001, 0x001f0000, RIG_ASQ }, /* one entry */
		{ 0x00460001, 0x0000001f, RIG_ASQ },
		{ 0x00460081, 0x001f001f, RIG_ASQ + 4096 }, /* not on an 8 KiB page */
	};
	struct rig *rig = rig_new("");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_write(rig, NVME_REG_AQA, bad[i].aqa, 4);
		rig_write(rig, NVME_REG_ASQ, bad[i].asq, 8);
		rig_write(rig, NVME_REG_ACQ, 0x200000, 8);
		rig_write(rig, NVME_REG_CC, bad[i].cc, 4);
		rig_run(rig);
		assert_int_equal(rig_read(rig, NVME_REG_CSTS, 4) & 3, 2);
		rig_disable(rig);
		assert_int_equal(rig_read(rig, NVME_REG_CSTS, 4), 0);
	}
	rig_enable(rig);
	rig_free(rig);
}

static void test_unreachable_queue(void **state)
{
	struct rig *rig = rig_new("");

	(void)state;
	rig_write(rig, NVME_REG_AQA, 0x001f001f, 4);
	rig_write(rig, NVME_REG_ASQ, 0x4000000000, 8);
	rig_write(rig, NVME_REG_ACQ, RIG_ACQ, 8);
	rig_write(rig, NVME_REG_CC, 0x00460001, 4);
	rig_run(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS, 4), 1);
	rig_ring(rig, 0, 1);
	rig_run(rig);
	assert_int_equal(rig_read(rig, NVME_REG_CSTS, 4), 3); /* fatal */
	rig_disable(rig);
	rig_enable(rig);
	rig_free(rig);
}

static void test_shutdown(void **state)
{
	struct rig *rig = rig_new("");

	(void)state;
	rig_enable(rig);
	rig_write(rig, NVME_REG_CC, 0x00464001, 4);
	rig_run(rig);
	assert_int_equal(NVME_CSTS_SHST(rig_read(rig, NVME_REG_CSTS, 4)), NVME_CSTS_SHST_CMPLT);
	rig_disable(rig);
	rig_enable(rig);
	assert_int_equal(NVME_CSTS_SHST(rig_read(rig, NVME_REG_CSTS, 4)), NVME_CSTS_SHST_NORMAL);
	rig_free(rig);
}

static void test_intx(void **state)
{
	struct rig *rig = rig_new("");
	struct nvme_sqe sqe = { .opcode = nvme_admin_identify, .prp1 = RIG_DATA, .cdw10 = 1 };
	struct nvme_cqe cqe;

	(void)state;
	rig->func.mode = UVFIO_IRQ_INTX;
	rig_enable(rig);
	rig_submit(rig, 0, &sqe);
	rig_run(rig);
	assert_true(atomic_load(&rig->func.line));
	rig_write(rig, NVME_REG_INTMS, 1, 4);
	rig_run(rig);
	assert_false(atomic_load(&rig->func.line));
	rig_write(rig, NVME_REG_INTMC, 1, 4);
	rig_run(rig);
	assert_true(atomic_load(&rig->func.line));
	/* Room in a queue that was full does not make the line forgotten. */
	atomic_store(&rig->ctrl->cq[0].stalled, true);
	assert_true(rig_poll(rig, 0, &cqe));
	rig_run(rig);
	assert_false(atomic_load(&rig->func.line));
	rig_submit(rig, 0, &sqe);
	rig_run(rig);
	assert_true(atomic_load(&rig->func.line));
	rig_disable(rig);
	assert_false(atomic_load(&rig->func.line));
	/* What is complete before the driver enables INTx raises the line then. */
	rig->func.mode = UVFIO_IRQ_NONE;
	rig_enable(rig);
	rig_submit(rig, 0, &sqe);
	rig_run(rig);
	assert_false(atomic_load(&rig->func.line));
	rig->func.mode = UVFIO_IRQ_INTX;
	nvme_model.ops.intx_enabled(&rig->func.pub);
	rig_run(rig);
	assert_true(atomic_load(&rig->func.line));
	rig_free(rig);
}

/* ---- options */

static char *scratch_file(off_t size)
{
	static char path[64];
	int fd;

	strcpy(path, "/tmp/uvfio-test-nvme-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	return path;
}

static void expect_error(const char *options, const char *word)
{
	char err[512] = "";

	assert_true(rig_try(options, err, sizeof(err)) < 0);
	if (!strstr(err, word) || strchr(err, '\n'))
		fail_msg("%s: \"%s\" does not mention \"%s\"", options, err, word);
}

static void test_option_errors(void **state)
{
	char options[160], *path = scratch_file(1000);

	(void)state;
	expect_error("file=/nonexistent/disk.img", "/nonexistent/disk.img");
	expect_error("file=/tmp", "/tmp");
	expect_error("file=/dev/null", "regular file");
	snprintf(options, sizeof(options), "file=%s", path);
	expect_error(options, "multiple of the block size");
	assert_int_equal(truncate(path, 0), 0);
	expect_error(options, "empty");
	snprintf(options, sizeof(options), "file=%s,readonly=on,size=1M", path);
	expect_error(options, "readonly");
	expect_error("size=1000", "multiple");
	expect_error("mdts=5000", "power of two");
	expect_error("mdts=1024", "power of two");
	expect_error("mdts=4K", "power of two from 8K on");
	expect_error("size=0", "size=0 is not possible: use a size like");
	expect_error("lba=1024", "lba");
	expect_error("queues=65", "queues");
	expect_error("queues=0", "queues");
	expect_error("threads=100", "threads");
	expect_error("ns=16,size=4096", "ns=16");
	unlink(path);
}

static void test_file_grows(void **state)
{
	char options[160], *path = scratch_file(4096);
	struct stat st;
	struct rig *rig;

	(void)state;
	snprintf(options, sizeof(options), "file=%s,size=1M", path);
	rig = rig_new(options);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_int_equal(rig->ctrl->ns[0].blocks, 2048);
	rig_free(rig);
	snprintf(options, sizeof(options), "file=%s,size=512K,lba=4096,ns=2", path);
	rig = rig_new(options);
	assert_int_equal(rig->ctrl->ns[0].blocks, 64);
	assert_int_equal(rig->ctrl->ns[1].start, 256 << 10);
	rig_free(rig);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	unlink(path);
}

/* What stands for RAM is there again for the next program of a session, and only there. */
static void test_session_memory(void **state)
{
	char dir[] = "/tmp/uvfio-test-nvme-XXXXXX", path[64], err[256], back[11] = "";
	struct uvfio_device dev = { .calls = &model_calls, .state_dir = dir, .instance = 3 };
	struct nvme_options opts = { .size = 1 << 20, .lba = 512, .ns = 1, .queues = 1 };
	struct iovec iov = { "persistent", 11 };
	struct nvme_media media = { .name = path };
	struct stat st;
	size_t moved;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/nvme3.ram", dir);
	assert_int_equal(nvme_media_open(&media, &opts, &dev, err, sizeof(err)), 0);
	assert_int_equal(nvme_media_write(&media, &iov, 1, 4096, false, &moved), 0);
	nvme_media_close(&media);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_int_equal(st.st_mode & 0777, 0600);
	iov = (struct iovec){ back, sizeof(back) };
	assert_int_equal(nvme_media_open(&media, &opts, &dev, err, sizeof(err)), 0);
	assert_int_equal(nvme_media_read(&media, &iov, 1, 4096, false, &moved), 0);
	assert_string_equal(back, "persistent");
	nvme_media_close(&media);
	unlink(path);
	/* A directory that is not there is one line, not a crash. */
	rmdir(dir);
	assert_true(nvme_media_open(&media, &opts, &dev, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capabilities),   cmocka_unit_test(test_power_management),
		cmocka_unit_test(test_write_widths),   cmocka_unit_test(test_enable_disable),
		cmocka_unit_test(test_bad_config),     cmocka_unit_test(test_unreachable_queue),
		cmocka_unit_test(test_shutdown),       cmocka_unit_test(test_intx),
		cmocka_unit_test(test_option_errors),  cmocka_unit_test(test_file_grows),
		cmocka_unit_test(test_session_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
