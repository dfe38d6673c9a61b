/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device accesses: what they copy, which of them fault and what is said about it, zero-copy pieces, dirty
 * marks.
 */
#include "iommu/test_dma.h"

/* Pages in reverse order, so that no two are adjacent in memory, and lengths and offsets of all kinds. */
static void test_copy(void **state)
{
	struct fixture *f = *state;
	char *want = malloc(16 * PG), *got = malloc(16 * PG);
	size_t pos, len;

	for (uint64_t i = 0; i < 16; i++)
		map(f, i, 15 - i, 1, RW);
	srand(3);
	for (size_t i = 0; i < 16 * PG; i++)
		want[i] = (char)rand();
	assert_int_equal(dma_write(f->user, BASE, want, 16 * PG, "all"), 0);
	for (size_t i = 0; i < 16; i++)
		assert_memory_equal(f->memory + (15 - i) * PG, want + i * PG, PG);
	for (int i = 0; i < 2000; i++) {
		pos = (size_t)rand() % (16 * PG);
		len = (size_t)rand() % (16 * PG - pos + 1);
		memset(got, 0x55, len);
		assert_int_equal(dma_read(f->user, BASE + pos, got, len, "part"), 0);
		assert_memory_equal(got, want + pos, len);
	}
	assert_int_equal(dma_read(f->user, BASE + 100 * PG, got, 0, "nothing"), 0);
	free(want);
	free(got);
}

/*
 * Pages that follow each other in memory for a while: runs that end in another place, in other permissions,
 * in a hole, and across the end of a table.
 */
static void test_runs(void **state)
{
	static const struct {
		uint64_t page, va, n;
		unsigned int prot;
	} runs[] = { { 0, 0, 6, RW },
		     { 6, 20, 5, RW },
		     { 11, 25, 3, IOMMU_READ },
		     { 14, 28, 2, RW },
		     { 17, 31, 4, RW } };
	struct fixture *f = *state;
	char got[21 * PG];

	f->dev.faults_reported = 1000; /* quiet */
	for (uint64_t i = 0; i < 64 * PG; i++)
		f->memory[i] = (char)(i / PG);
	for (size_t r = 0; r < ARRAY_SIZE(runs); r++)
		for (uint64_t i = 0; i < runs[r].n; i++)
			map(f, 505 + runs[r].page + i, runs[r].va + i, 1, runs[r].prot);
	for (uint64_t first = 0; first < 21; first++)
		for (uint64_t last = first; last < 21; last++) {
			bool hole = first <= 16 && last >= 16;

			memset(got, 0x55, sizeof(got));
			assert_int_equal(dma_read(f->user, BASE + (505 + first) * PG + 8, got,
						  (last - first) * PG + 8, "read"),
					 hole ? -EFAULT : 0);
			for (uint64_t i = first; i <= last && i < (hole ? 16 : 21); i++)
				assert_int_equal(got[(i - first) * PG], i < 6 ? i : i + 14);
		}
	assert_int_equal(dma_write(f->user, BASE + 509 * PG, got, 7 * PG, "up to what is read only"), 0);
	memset(got, 0x66, sizeof(got));
	assert_int_equal(dma_write(f->user, BASE + 509 * PG, got, 8 * PG, "into what is read only"), -EFAULT);
	assert_int_equal(f->memory[25 * PG - 1], 0x66);
	assert_int_equal(f->memory[25 * PG], 25);
}

/* What went to standard error during fn. */
static void say(struct fixture *f, int (*fn)(struct fixture *f), int want, char *said, size_t len)
{
	int file = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO), ret;
	ssize_t n;

	dup2(file, STDERR_FILENO);
	ret = fn(f);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(file, said, len - 1, 0);
	close(file);
	said[n > 0 ? n : 0] = '\0';
	assert_int_equal(ret, want);
}

static unsigned int lines(const char *text)
{
	unsigned int n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static int read_unmapped(struct fixture *f)
{
	char buf[8];

	return dma_read(f->user, BASE + 9 * PG + 16, buf, 8, "SQ 1 entry");
}

static int write_read_only(struct fixture *f)
{
	return dma_write(f->user, BASE + 4 * PG, "x", 1, "CQ 1 entry");
}

static int read_write_only(struct fixture *f)
{
	char c;

	return dma_read(f->user, BASE + 6 * PG, &c, 1, "data");
}

static int write_lost(struct fixture *f)
{
	char *buf = calloc(4, PG);
	int ret = dma_write(f->user, BASE, buf, 4 * PG, "data");

	free(buf);
	return ret;
}

static void assert_says(const char *said, const char *part)
{
	if (!strstr(said, part))
		fail_msg("\"%s\" is not in \"%s\"", part, said);
}

static void test_fault_reports(void **state)
{
	struct fixture *f = *state;
	uint64_t before = stats[STAT_FAULTS];
	char said[2000];

	map(f, 0, 0, 4, RW);
	map(f, 4, 4, 1, IOMMU_READ);
	map(f, 6, 5, 1, IOMMU_WRITE);
	say(f, read_unmapped, -EFAULT, said, sizeof(said));
	assert_int_equal(lines(said), 1);
	assert_says(said, "0000:00:01.0");
	assert_says(said, "read of 8 bytes at IOVA 0x40009010");
	assert_says(said, "SQ 1 entry");
	assert_says(said, "nothing is mapped there");
	assert_says(said, "VFIO_IOMMU_MAP_DMA");
	assert_says(said, "nearest: [0x40006000-0x40006fff] -w, 0x2010 below");
	say(f, read_unmapped, -EFAULT, said, sizeof(said));
	assert_string_equal(said, "");
	say(f, write_read_only, -EFAULT, said, sizeof(said));
	assert_says(said, "VFIO_DMA_MAP_FLAG_WRITE");
	assert_says(said, "[0x40004000-0x40004fff] r-");
	say(f, read_write_only, -EFAULT, said, sizeof(said));
	assert_says(said, "VFIO_DMA_MAP_FLAG_READ");
	munmap(f->memory + 2 * PG, PG);
	memset(f->memory, 1, 2 * PG);
	say(f, write_lost, -EFAULT, said, sizeof(said));
	assert_says(said, "failed at 0x40002000");
	assert_says(said, "unmapped or protected by the process");
	assert_says(said, "VFIO_IOMMU_UNMAP_DMA before munmap");
	assert_int_equal(f->memory[2 * PG - 1], 0);
	assert_int_equal(f->dev.faults, 5);
	assert_int_equal(stats[STAT_FAULTS] - before, 5);
}

static void test_bus_master_and_attachment(void **state)
{
	struct fixture *f = *state;
	char said[1000];

	map(f, 0, 0, 16, RW);
	atomic_store(&f->dev.enabled, false);
	say(f, write_lost, -EFAULT, said, sizeof(said));
	assert_says(said, "bus mastering is off");
	atomic_store(&f->dev.enabled, true);
	say(f, write_lost, 0, said, sizeof(said));
	iommu_dev_attach(&f->dev, NULL);
	say(f, write_lost, -EFAULT, said, sizeof(said));
	assert_says(said, "no container");
}

static void test_edges(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	f->dev.faults_reported = 1000; /* quiet */
	map(f, 0, 0, 1, RW);
	assert_int_equal(dma_read(f->user, BASE + PG - 8, buf, 9, "edge"), -EFAULT);
	assert_int_equal(dma_read(f->user, BASE + PG - 8, buf, 8, "edge"), 0);
	assert_int_equal(dma_read(f->user, BASE - 1, buf, 2, "edge"), -EFAULT);
	assert_int_equal(dma_read(f->user, UINT64_MAX - 7, buf, 16, "wrap"), -EFAULT);
	assert_int_equal(dma_read(f->user, UINT64_MAX, buf, 1, "wrap"), -EFAULT);
	assert_int_equal(dma_read(f->user, BASE + 8 * PG, buf, SIZE_MAX, "huge"), -EFAULT);
	assert_int_equal(dma_read(f->user, BASE | BIT64(57), buf, 1, "high"), -EFAULT);
	assert_int_equal(dma_read(f->user, BASE | BIT64(48), buf, 1, "high"), -EFAULT);
	unmap(f, 0, 1);
	assert_int_equal(dma_read(f->user, BASE, buf, 1, "gone"), -EFAULT);
}

static void test_map_iov(void **state)
{
	struct fixture *f = *state;
	struct iovec iov[4];
	unsigned int nr = 0;

	f->dev.faults_reported = 1000;
	map(f, 0, 0, 2, RW);
	map(f, 2, 2, 1, RW);  /* goes on in memory */
	map(f, 3, 10, 1, RW); /* does not */
	map(f, 4, 20, 1, IOMMU_READ);
	dma_begin(f->user);
	assert_int_equal(dma_map(f->user, BASE + 100, 3 * PG, true, iov, &nr, 4, "data"), 0);
	assert_int_equal(nr, 2);
	assert_ptr_equal(iov[0].iov_base, f->memory + 100);
	assert_int_equal(iov[0].iov_len, 3 * PG - 100);
	assert_ptr_equal(iov[1].iov_base, f->memory + 10 * PG);
	assert_int_equal(iov[1].iov_len, 100);
	assert_int_equal(dma_map(f->user, BASE + 3 * PG + 100, 50, true, iov, &nr, 4, "data"), 0);
	assert_int_equal(nr, 2);
	assert_int_equal(iov[1].iov_len, 150);
	assert_int_equal(dma_map(f->user, BASE + 3 * PG + 150, PG, true, iov, &nr, 4, "data"), -EFAULT);
	assert_int_equal(nr, 2);
	assert_int_equal(iov[1].iov_len, 150);
	assert_int_equal(dma_map(f->user, BASE, PG, true, iov, &nr, 2, "data"), -E2BIG);
	assert_int_equal(nr, 2);
	dma_end(f->user);
}

static void count_dirty(void *arg, uint64_t iova, uint64_t size)
{
	uint64_t *mask = arg;

	for (uint64_t at = iova; at < iova + size; at += PG)
		*mask |= BIT64((at - BASE) / PG);
}

static uint64_t dirty(struct iommu_domain *domain, bool clear)
{
	uint64_t mask = 0;

	iommu_domain_read_dirty(domain, BASE, 16 * PG, clear, count_dirty, &mask);
	return mask;
}

static void test_dirty(void **state)
{
	struct fixture *f = *state;
	struct iommu_domain *domain = f->dev.domain;
	char buf[2] = "";

	for (uint64_t i = 0; i < 16; i++)
		map(f, i, i, 1, RW);
	dma_write(f->user, BASE, buf, 1, "before");
	iommu_domain_set_dirty_tracking(domain, true);
	assert_int_equal(dirty(domain, true), 0);
	dma_write(f->user, BASE + 3 * PG, buf, 1, "one");
	dma_write(f->user, BASE + 8 * PG - 1, buf, 2, "two");
	dma_read(f->user, BASE + 10 * PG, buf, 1, "none");
	assert_int_equal(dirty(domain, false), 0x188);
	assert_int_equal(dirty(domain, true), 0x188);
	assert_int_equal(dirty(domain, true), 0);
	dma_write(f->user, BASE + 3 * PG, buf, 1, "again");
	assert_int_equal(dirty(domain, true), 8);
	iommu_domain_set_dirty_tracking(domain, false);
	dma_write(f->user, BASE + 3 * PG, buf, 1, "off");
	assert_int_equal(dirty(domain, true), 0);
}

/* Memory to memory, in both orders of pages, with a hole on either side, and through the handler or not. */
static void test_memory_to_memory(void **state)
{
	struct fixture *f = *state;
	char *want = malloc(16 * PG);
	bool dst_failed = true;
	size_t from, to, len;

	for (uint64_t i = 0; i < 16; i++) {
		map(f, i, 15 - i, 1, RW);
		map(f, 32 + i, 16 + i, 1, RW);
	}
	srand(4);
	for (size_t i = 0; i < 16 * PG; i++)
		want[i] = (char)rand();
	assert_int_equal(dma_write(f->user, BASE, want, 16 * PG, "source"), 0);
	for (int i = 0; i < 500; i++) {
		from = (size_t)rand() % (16 * PG);
		len = (size_t)rand() % (16 * PG - from + 1);
		to = (size_t)rand() % (16 * PG - len + 1);
		memset(f->memory + 16 * PG, 0x55, 16 * PG);
		assert_int_equal(
			dma_copy(f->user, BASE + 32 * PG + to, BASE + from, len, "copy", &dst_failed), 0);
		assert_memory_equal(f->memory + 16 * PG + to, want + from, len);
		if (to)
			assert_int_equal(f->memory[16 * PG + to - 1], 0x55);
		if (to + len < 16 * PG)
			assert_int_equal(f->memory[16 * PG + to + len], 0x55);
	}
	unmap(f, 3, 1);
	assert_int_equal(dma_copy(f->user, BASE + 32 * PG, BASE, 8 * PG, "copy", &dst_failed), -EFAULT);
	assert_false(dst_failed);
	assert_memory_equal(f->memory + 16 * PG, want, 3 * PG);
	unmap(f, 33, 1);
	assert_int_equal(dma_copy(f->user, BASE + 32 * PG, BASE, 2 * PG, "copy", &dst_failed), -EFAULT);
	assert_true(dst_failed);
	/* taken away by the process */
	assert_int_equal(mprotect(f->memory + 18 * PG, PG, PROT_READ), 0);
	assert_int_equal(dma_copy(f->user, BASE + 34 * PG, BASE, PG, "copy", &dst_failed), -EFAULT);
	assert_true(dst_failed);
	assert_int_equal(mprotect(f->memory + 14 * PG, PG, PROT_NONE), 0);
	assert_int_equal(dma_copy(f->user, BASE + 35 * PG, BASE + PG, PG, "copy", &dst_failed), -EFAULT);
	assert_false(dst_failed);
	mprotect(f->memory + 14 * PG, PG, PROT_READ | PROT_WRITE);
	mprotect(f->memory + 18 * PG, PG, PROT_READ | PROT_WRITE);
	free(want);
}

static void test_fill(void **state)
{
	static const size_t lengths[] = { 0, 1, 7, 8, 9, 100, 4096, 4097, 3 * PG - 5 };
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 4; i++)
		map(f, i, 2 * i, 1, RW);
	for (size_t k = 0; k < ARRAY_SIZE(lengths); k++) {
		memset(f->memory, 0, 8 * PG);
		assert_int_equal(dma_fill(f->user, BASE + 5, 0x0807060504030201, lengths[k], "fill"), 0);
		for (size_t i = 0; i < 4 * PG; i++) {
			char byte = f->memory[i / PG * 2 * PG + i % PG];

			assert_int_equal(byte, i < 5 || i >= lengths[k] + 5 ? 0 : (int)((i - 5) % 8 + 1));
		}
	}
	assert_int_equal(dma_fill(f->user, BASE + 3 * PG, 0, 2 * PG, "fill"), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_copy),  T(test_runs),          T(test_memory_to_memory),
		T(test_fill),  T(test_fault_reports), T(test_bus_master_and_attachment),
		T(test_edges), T(test_map_iov),       T(test_dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
