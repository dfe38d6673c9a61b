/* SPDX-License-Identifier: BSD-2-Clause */
/* I/O commands, their data pointers, and the queues they go through. */
#include "base/test_sanitizer.h"
#include "devices/nvme/test_rig.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DNR 0x4000

static struct rig *io_rig(const char *options)
{
	struct rig *rig = rig_new(options);

	rig_enable(rig);
	rig_create_queues(rig, 1, 64, 64);
	return rig;
}

static void fill(uint8_t *buf, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

/* What the media holds. */
static uint8_t *media_bytes(struct rig *rig, uint64_t offset, size_t len)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	assert_int_equal(pread(rig->ctrl->media.fd, buf, len, (off_t)offset), (ssize_t)len);
	return buf;
}

/*
 * A data pointer for len bytes that begin at offset into a page; the pages are scattered in descending order,
 * and the list begins in slot of its page. Copies in or out of the scattered pages with buf.
 */
#define LIST    RIG_DATA
#define PAGE(i) (RIG_DATA + 0x400000 - 0x1000 * (uint64_t)((i) + 1))

static void scatter(struct rig *rig, uint8_t *buf, uint64_t offset, uint64_t len, bool in)
{
	for (uint64_t done = 0, i = 0; done < len; i++) {
		uint64_t skip = i ? 0 : offset, n = MIN(4096 - skip, len - done);
		uint8_t *page = rig_at(rig, PAGE(i) + skip);

		if (in)
			memcpy(page, buf + done, n);
		else
			memcpy(buf + done, page, n);
		done += n;
	}
}

static void make_prps(struct rig *rig, struct nvme_sqe *sqe, uint64_t offset, uint64_t len, unsigned int slot)
{
	uint64_t pages = (offset + len + 4095) / 4096, list = LIST;

	sqe->prp1 = PAGE(0) + offset;
	if (pages == 1)
		return;
	if (pages == 2) {
		sqe->prp2 = PAGE(1);
		return;
	}
	sqe->prp2 = list + slot * 8;
	for (uint64_t i = 1; i < pages; i++, slot++) {
		uint64_t *entries = rig_at(rig, list);

		if (slot == 511 && i < pages - 1) {
			list += 0x1000;
			entries[511] = list;
			entries = rig_at(rig, list);
			slot = 0;
		}
		entries[slot] = PAGE(i);
	}
}

static void check_roundtrip(struct rig *rig, uint64_t offset, uint32_t nlb, unsigned int slot)
{
	size_t len = nlb * 512u;
	uint8_t *buf = malloc(len), *back = malloc(len), *media;
	struct nvme_sqe sqe = { .opcode = nvme_cmd_write, .nsid = 1, .cdw10 = 100, .cdw12 = nlb - 1 };

	fill(buf, len, (unsigned int)offset + slot);
	scatter(rig, buf, offset, len, true);
	make_prps(rig, &sqe, offset, len, slot);
	assert_int_equal(rig_command(rig, 1, sqe, NULL), 0);
	media = media_bytes(rig, 51200, len);
	assert_memory_equal(media, buf, len);
	sqe.opcode = nvme_cmd_compare;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), 0);
	memset(back, 0, len);
	scatter(rig, back, offset, len, true);
	assert_int_equal(rig_command(rig, 1, sqe, NULL), 0x285);
	sqe.opcode = nvme_cmd_read;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), 0);
	scatter(rig, back, offset, len, false);
	assert_memory_equal(back, buf, len);
	free(media);
	free(back);
	free(buf);
}

static void test_prp_shapes(void **state)
{
	static const uint64_t offsets[] = { 0, 4, 508, 512, 2048, 4092 };
	static const uint32_t lengths[] = { 1, 7, 8, 9, 15, 16, 17, 24, 100, 255, 2048, 4095 };
	static const unsigned int slots[] = { 0, 1, 2, 255, 508, 509, 510, 511 };
	struct rig *rig = io_rig("");

	(void)state;
	for (size_t o = 0; o < ARRAY_SIZE(offsets); o++)
		for (size_t l = 0; l < ARRAY_SIZE(lengths); l++)
			for (size_t s = 0; s < ARRAY_SIZE(slots); s++)
				check_roundtrip(rig, offsets[o], lengths[l], slots[s]);
	rig_free(rig);
}

/* Pages of 64 KiB: a list may fill 8192 slots, and is read in pieces. */
static void test_large_pages(void **state)
{
	struct rig *rig = rig_new("lba=4096");
	uint64_t *list = rig_at(rig, RIG_DATA), page = 65536, data = RIG_DATA + 4 * 65536;
	uint8_t *buf = rig_at(rig, data), *media;

	(void)state;
	rig->mps = 4;
	rig_enable(rig);
	rig_create_queues(rig, 1, 16, 16);
	for (uint64_t i = 0; i < page / 8; i++)
		list[i] = data + (i % 16) * page;
	fill(buf, 16 * page, 5);
	/* 600 pages behind the first one, which begins amid its page. */
	assert_int_equal(rig_rw(rig, nvme_cmd_write, 0, 600 * 16 + 1, data + page - 4096, RIG_DATA), 0);
	media = media_bytes(rig, 0, 4096 + 600 * page);
	assert_memory_equal(media, buf + page - 4096, 4096);
	for (uint64_t i = 0; i < 600; i++)
		assert_memory_equal(media + 4096 + i * page, buf + (i % 16) * page, page);
	free(media);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 17, data, data + 4096),
			 DNR | NVME_SC_PRP_INVALID_OFFSET);
	rig_free(rig);
}

static void test_prp_errors(void **state)
{
	struct rig *rig = io_rig("");
	uint64_t *list = rig_at(rig, LIST);

	(void)state;
	list[0] = PAGE(1);
	list[1] = PAGE(2) + 8;
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 1, PAGE(0) + 2, 0), DNR | NVME_SC_PRP_INVALID_OFFSET);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 16, PAGE(0), PAGE(1) + 4),
			 DNR | NVME_SC_PRP_INVALID_OFFSET);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 24, PAGE(0), LIST + 4),
			 DNR | NVME_SC_PRP_INVALID_OFFSET);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 24, PAGE(0), LIST), DNR | NVME_SC_PRP_INVALID_OFFSET);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 1, 0x10000000000, 0), NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 16, PAGE(0), RIG_IOVA - 4096),
			 NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 24, PAGE(0), 0x7000000000), NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(rig_rw(rig, nvme_cmd_write, 0, 1, UINT64_MAX - 4095, 0), NVME_SC_DATA_XFER_ERROR);
	/* A list whose only slot leads to itself: it is followed once, then it is a whole page of entries. */
	list = rig_at(rig, LIST + 0x1000);
	memset(list, 0, 4096);
	list[511] = LIST + 0x1000;
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 65536, PAGE(0), LIST + 0x1ff8),
			 NVME_SC_DATA_XFER_ERROR);
	rig_free(rig);
}

static void test_ranges(void **state)
{
	struct rig *rig = io_rig("size=1M,ns=2,mdts=16K");
	struct nvme_sqe sqe = { .opcode = nvme_cmd_read, .nsid = 3, .prp1 = RIG_DATA };

	(void)state;
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 1023, 1, RIG_DATA, 0), 0);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 1023, 2, RIG_DATA, 0), DNR | NVME_SC_LBA_RANGE);
	assert_int_equal(rig_rw(rig, nvme_cmd_write, 1024, 1, RIG_DATA, 0), DNR | NVME_SC_LBA_RANGE);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, UINT64_MAX, 1, RIG_DATA, 0), DNR | NVME_SC_LBA_RANGE);
	assert_int_equal(rig_rw(rig, nvme_cmd_write_zeroes, UINT64_MAX - 3, 8, 0, 0),
			 DNR | NVME_SC_LBA_RANGE);
	assert_int_equal(rig_rw(rig, nvme_cmd_verify, 1020, 8, 0, 0), DNR | NVME_SC_LBA_RANGE);
	assert_int_equal(rig_rw(rig, nvme_cmd_verify, 0, 1024, 0, 0), 0);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 33, RIG_DATA, LIST), DNR | NVME_SC_INVALID_FIELD);
	assert_int_equal(rig_command(rig, 1, sqe, NULL), DNR | NVME_SC_INVALID_NS);
	sqe.nsid = 0;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), DNR | NVME_SC_INVALID_NS);
	sqe.nsid = NVME_NSID_ALL;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), DNR | NVME_SC_INVALID_NS);
	sqe.opcode = nvme_cmd_flush;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), 0);
	sqe.nsid = 2;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), 0);
	sqe.nsid = 3;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), DNR | NVME_SC_INVALID_NS);
	sqe.opcode = nvme_cmd_write_uncor;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), DNR | NVME_SC_INVALID_OPCODE);
	sqe.opcode = nvme_cmd_flush;
	sqe.flags = 0x40;
	assert_int_equal(rig_command(rig, 1, sqe, NULL), DNR | NVME_SC_INVALID_FIELD);
	rig_free(rig);
}

static void test_namespaces_apart(void **state)
{
	struct rig *rig = io_rig("size=2M,ns=2,lba=4096");
	struct nvme_sqe sqe = { .opcode = nvme_cmd_write, .nsid = 2, .prp1 = RIG_DATA };
	uint8_t *media;

	(void)state;
	memset(rig_at(rig, RIG_DATA), 0x22, 4096);
	assert_int_equal(rig_command(rig, 1, sqe, NULL), 0);
	media = media_bytes(rig, 0, 2 << 20);
	assert_int_equal(media[0], 0);
	assert_int_equal(media[1 << 20], 0x22);
	assert_int_equal(media[(1 << 20) + 4095], 0x22);
	assert_int_equal(media[(1 << 20) + 4096], 0);
	free(media);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 1, RIG_DATA, 0), 0);
	assert_int_equal(*(uint8_t *)rig_at(rig, RIG_DATA), 0);
	rig_free(rig);
}

static void write_all(struct rig *rig, uint64_t bytes)
{
	memset(rig_at(rig, PAGE(0)), 0x33, 4096);
	for (uint64_t lba = 0; lba < bytes / 512; lba += 8)
		assert_int_equal(rig_rw(rig, nvme_cmd_write, lba, 8, PAGE(0), 0), 0);
}

static void expect_bytes(struct rig *rig, uint64_t offset, size_t len, uint8_t value)
{
	uint8_t *media = media_bytes(rig, offset, len);

	for (size_t i = 0; i < len; i++)
		assert_int_equal(media[i], value);
	free(media);
}

static void test_zeroes_and_holes(void **state)
{
	struct rig *rig = io_rig("size=1M");
	struct nvme_dsm_range *ranges = rig_at(rig, RIG_DATA + 0x800);
	struct nvme_sqe dsm = {
		.opcode = nvme_cmd_dsm, .nsid = 1, .prp1 = RIG_DATA + 0x800, .cdw10 = 1, .cdw11 = 4
	};
	struct nvme_sqe zero = { .opcode = nvme_cmd_write_zeroes, .nsid = 1 };
	struct stat before, after;

	(void)state;
	write_all(rig, 1 << 20);
	assert_int_equal(fstat(rig->ctrl->media.fd, &before), 0);
	zero.cdw10 = 3;
	zero.cdw12 = 10; /* 11 blocks, not on pages */
	assert_int_equal(rig_command(rig, 1, zero, NULL), 0);
	expect_bytes(rig, 0, 3 * 512, 0x33);
	expect_bytes(rig, 3 * 512, 11 * 512, 0);
	expect_bytes(rig, 14 * 512, 512, 0x33);
	zero.cdw10 = 64;
	zero.cdw12 = 255 | NVME_IO_DEAC << 16;
	assert_int_equal(rig_command(rig, 1, zero, NULL), 0);
	expect_bytes(rig, 32768, 131072, 0);
	ranges[0] = (struct nvme_dsm_range){ .slba = 1024, .nlb = 512 };
	ranges[1] = (struct nvme_dsm_range){ .slba = 2000, .nlb = 48 };
	assert_int_equal(rig_command(rig, 1, dsm, NULL), 0);
	expect_bytes(rig, 524288, 262144, 0);
	expect_bytes(rig, 786432, 512, 0x33);
	assert_int_equal(fstat(rig->ctrl->media.fd, &after), 0);
	assert_true(after.st_blocks * 512 <= before.st_blocks * 512 - 131072 - 262144);
	/* One range that does not exist: nothing is touched. */
	ranges[0] = (struct nvme_dsm_range){ .slba = 1600, .nlb = 8 };
	ranges[1] = (struct nvme_dsm_range){ .slba = 2047, .nlb = 2 };
	assert_int_equal(rig_command(rig, 1, dsm, NULL), DNR | NVME_SC_LBA_RANGE);
	expect_bytes(rig, 1600 * 512, 4096, 0x33);
	dsm.cdw11 = 3; /* only hints */
	assert_int_equal(rig_command(rig, 1, dsm, NULL), 0);
	rig_free(rig);
}

static void test_readonly(void **state)
{
	char path[] = "/tmp/uvfio-test-nvme-XXXXXX", options[80];
	int fd = mkstemp(path);
	struct rig *rig;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	snprintf(options, sizeof(options), "readonly=on,file=%s", path);
	rig = io_rig(options);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 8, PAGE(0), 0), 0);
	assert_int_equal(rig_rw(rig, nvme_cmd_write, 0, 8, PAGE(0), 0), DNR | NVME_SC_NS_WRITE_PROTECTED);
	assert_int_equal(rig_rw(rig, nvme_cmd_write_zeroes, 0, 8, 0, 0), DNR | NVME_SC_NS_WRITE_PROTECTED);
	/* Cut short behind our back: an error, not a crash. */
	assert_int_equal(truncate(path, 4096), 0);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 8, 8, PAGE(0), 0), 0x281);
	rig_free(rig);
	unlink(path);
}

/* Memory that goes away under a live mapping is an error, not a crash. */
static void test_lost_memory(void **state)
{
	struct rig *rig = io_rig("");

	(void)state;
	assert_int_equal(munmap(rig_at(rig, PAGE(1)), 4096), 0);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 16, PAGE(0), PAGE(1)), NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(rig_rw(rig, nvme_cmd_write, 0, 16, PAGE(0), PAGE(1)), NVME_SC_DATA_XFER_ERROR);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 8, PAGE(2), 0), 0);
	rig_free(rig);
}

/* A completion queue much smaller than the submission queue: everything completes, in time, once. */
static void test_full_cq(void **state)
{
	struct rig *rig = rig_new("");
	struct nvme_sqe sqe = { .opcode = nvme_cmd_read, .nsid = 1, .prp1 = RIG_DATA, .cdw12 = 0 };
	struct nvme_cqe cqe;
	unsigned int done = 0;

	(void)state;
	rig_enable(rig);
	rig_create_queues(rig, 1, 64, 4);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 63; i++)
			rig_submit(rig, 1, &sqe);
		rig_run(rig);
		for (int i = 0; i < 63; i++) {
			assert_true(rig_poll(rig, 1, &cqe));
			assert_int_equal(cqe.cid, done++);
			assert_int_equal(cqe.status >> 1, 0);
			rig_run(rig);
		}
		assert_false(rig_poll(rig, 1, &cqe));
	}
	assert_int_equal(done, 315);
	rig_free(rig);
}

static void test_doorbell_nonsense(void **state)
{
	struct rig *rig = io_rig("");
	struct nvme_sqe sqe = { .opcode = nvme_cmd_read, .nsid = 1, .prp1 = RIG_DATA };
	struct nvme_cqe cqe;

	(void)state;
	rig_submit(rig, 1, &sqe);
	rig_submit(rig, 1, &sqe);
	rig_ring(rig, 1, 1);  /* back past the head */
	rig_ring(rig, 1, 64); /* outside */
	rig_ring(rig, 1, 0xffff);
	rig_write(rig, NVME_DOORBELL_BASE + 12, 5, 4); /* entries that were never posted */
	rig_write(rig, NVME_DOORBELL_BASE + 12, 64, 4);
	rig_run(rig);
	assert_true(rig_poll(rig, 1, &cqe));
	assert_true(rig_poll(rig, 1, &cqe));
	assert_int_equal(cqe.sqhd, 2);
	assert_false(rig_poll(rig, 1, &cqe));
	for (int i = 0; i < 200; i++)
		assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 1, RIG_DATA, 0), 0);
	rig_free(rig);
}

static void test_interrupts(void **state)
{
	struct rig *rig = io_rig("");
	unsigned int before = atomic_load(&rig->func.irqs[1]);
	struct nvme_sqe sqe = { .opcode = nvme_cmd_read, .nsid = 1, .prp1 = RIG_DATA };
	struct nvme_cqe cqe;

	(void)state;
	for (int i = 0; i < 40; i++)
		rig_submit(rig, 1, &sqe);
	rig_run(rig);
	/* One interrupt tells of several completions, and none comes without its interrupt. */
	assert_in_range(atomic_load(&rig->func.irqs[1]) - before, 1, 20);
	while (rig_poll(rig, 1, &cqe))
		;
	before = atomic_load(&rig->func.irqs[1]);
	assert_int_equal(rig_rw(rig, nvme_cmd_read, 0, 1, RIG_DATA, 0), 0);
	assert_int_equal(atomic_load(&rig->func.irqs[1]), before + 1);
	rig_free(rig);
}

/* ---- with threads */

static void keep_busy(struct rig *rig, unsigned int commands)
{
	struct nvme_sqe sqe = { .opcode = nvme_cmd_read, .nsid = 1, .cdw12 = 255 };
	unsigned int sent = 0, done = 0;
	time_t end = time(NULL) + 30;
	struct nvme_cqe cqe;

	make_prps(rig, &sqe, 0, 131072, 0);
	while (done < commands) {
		if (sent < commands && sent - done < 60) {
			sqe.cdw10 = sent * 256 % 65536;
			rig_submit(rig, 1, &sqe);
			sent++;
		}
		while (rig_poll(rig, 1, &cqe)) {
			assert_int_equal(cqe.status >> 1, 0);
			done++;
		}
		if (sent - done == 60 || sent == commands)
			sched_yield();
		assert_true(time(NULL) < end);
	}
}

static void test_threads(void **state)
{
	struct rig *rig = rig_new("threads=4");

	(void)state;
	rig_start_threads(rig);
	rig_enable(rig);
	rig_create_queues(rig, 1, 64, 64);
	keep_busy(rig, 2000);
	rig_free(rig);
}

/* After a reset returns, no memory changes and no interrupt comes, whatever was under way. */
static void test_reset_under_load(void **state)
{
	struct rig *rig = rig_new("threads=3");
	struct nvme_sqe sqe = { .opcode = nvme_cmd_read, .nsid = 1, .cdw12 = 2047 };
	uint8_t *copy = malloc(RIG_MEMORY);

	(void)state;
	assert_non_null(copy);
	rig_start_threads(rig);
	for (int round = 0; round < 30; round++) {
		unsigned int irqs;

		rig_enable(rig);
		rig_create_queues(rig, 1, 64, 64);
		memset(rig_at(rig, PAGE(255)), round, 256 * 4096);
		make_prps(rig, &sqe, 0, 2048 * 512, 0);
		for (int i = 0; i < 60; i++)
			rig_submit(rig, 1, &sqe);
		usleep((unsigned int)round * 50);
		rig_reset(rig);
		irqs = atomic_load(&rig->func.irqs[1]);
		memcpy(copy, rig->memory, RIG_MEMORY);
		usleep(2000);
		assert_memory_equal(copy, rig->memory, RIG_MEMORY);
		assert_int_equal(atomic_load(&rig->func.irqs[1]), irqs);
	}
	free(copy);
	rig_free(rig);
}

/* A child of fork has no threads of its own; it can start again from the beginning, and the parent goes on.
 */
static void test_fork(void **state)
{
	struct rig *rig = rig_new("threads=3");
	int status = -1;
	pid_t child;

	(void)state;
	if (THREAD_SANITIZER) { /* it lets no child start threads */
		rig_free(rig);
		skip();
	}
	rig_start_threads(rig);
	rig_enable(rig);
	rig_create_queues(rig, 1, 64, 64);
	keep_busy(rig, 200);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		dma_forked();
		model_host_forked(&rig->func.host);
		nvme_model.ops.forked(&rig->func.pub);
		rig_reset(rig);
		rig_start_threads(rig);
		rig_enable(rig);
		rig_create_queues(rig, 1, 64, 64);
		keep_busy(rig, 200);
		rig_free(rig);
		_exit(7);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	keep_busy(rig, 200);
	rig_free(rig);
}

/* A child that takes the controller over as it is goes on with what the parent's worker had only heard of. */
static void test_fork_enabled(void **state)
{
	struct rig *rig = rig_new("threads=1");
	struct nvme_sqe sqe = { .opcode = nvme_cmd_flush, .nsid = 1 };
	struct nvme_cqe cqe;
	int status = -1;
	pid_t child;

	(void)state;
	rig_enable(rig);
	rig_create_queues(rig, 1, 64, 64);
	rig_submit(rig, 1, &sqe);
	assert_int_equal(atomic_exchange(&rig->ctrl->kicks[0], 0), 2);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		alarm(THREAD_SANITIZER ? 0 : 20); /* which lets no child start threads */
		dma_forked();
		model_host_forked(&rig->func.host);
		if (!THREAD_SANITIZER)
			rig_start_threads(rig);
		nvme_model.ops.forked(&rig->func.pub);
		rig_run(rig);
		while (!rig_poll(rig, 1, &cqe))
			sched_yield();
		_exit(cqe.cid == sqe.cid ? 7 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	rig_free(rig);
}

/* A queue is deleted while its commands are under way: afterwards nothing of it completes. */
static void test_delete_under_load(void **state)
{
	struct rig *rig = rig_new("threads=3");
	struct nvme_sqe sqe = { .opcode = nvme_cmd_read, .nsid = 1, .cdw12 = 255 };
	struct nvme_sqe delete_sq = { .opcode = nvme_admin_delete_sq, .cdw10 = 1 };
	struct nvme_sqe delete_cq = { .opcode = nvme_admin_delete_cq, .cdw10 = 1 };
	struct nvme_cqe cqe, before[64];

	(void)state;
	rig_start_threads(rig);
	rig_enable(rig);
	for (int round = 0; round < 50; round++) {
		rig_create_queues(rig, 1, 64, 64);
		make_prps(rig, &sqe, 0, 131072, 0);
		for (int i = 0; i < 60; i++)
			rig_submit(rig, 1, &sqe);
		assert_int_equal(rig_command(rig, 0, delete_sq, NULL), 0);
		memcpy(before, rig_at(rig, RIG_CQ(1)), sizeof(before));
		usleep(500);
		assert_memory_equal(before, rig_at(rig, RIG_CQ(1)), sizeof(before));
		while (rig_poll(rig, 1, &cqe))
			assert_int_equal(cqe.status >> 1, 0);
		assert_int_equal(rig_command(rig, 0, delete_cq, NULL), 0);
	}
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prp_shapes),
		cmocka_unit_test(test_large_pages),
		cmocka_unit_test(test_prp_errors),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_namespaces_apart),
		cmocka_unit_test(test_zeroes_and_holes),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_lost_memory),
		cmocka_unit_test(test_full_cq),
		cmocka_unit_test(test_doorbell_nonsense),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_fork_enabled),
		cmocka_unit_test(test_reset_under_load),
		cmocka_unit_test(test_delete_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
