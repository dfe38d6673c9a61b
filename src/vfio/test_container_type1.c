/* SPDX-License-Identifier: BSD-2-Clause */
/* The ioctls of a type1 container: sizes, flags, what is copied back, and what a trace says. */
#include "vfio/test_util.h"

#include "base/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PG UVFIO_PAGE_SIZE
#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static char memory[16 * UVFIO_PAGE_SIZE] __attribute__((aligned(UVFIO_PAGE_SIZE)));

struct client {
	struct bench *bench;
	int c, g;
};

static int setup(void **state, uint64_t type)
{
	struct client *t = calloc(1, sizeof(*t));
	void *bench;

	bench_setup(&bench);
	t->bench = bench;
	open_all(t->bench, 1, type, &t->c, &t->g);
	*state = t;
	return 0;
}

static int setup_v1(void **state)
{
	return setup(state, VFIO_TYPE1_IOMMU);
}

static int setup_v2(void **state)
{
	return setup(state, VFIO_TYPE1v2_IOMMU);
}

static int teardown(void **state)
{
	struct client *t = *state;
	void *bench = t->bench;

	close_fd(t->c);
	close_fd(t->g);
	free(t);
	return bench_teardown(&bench);
}

/* How far into buf something has been written. */
static uint32_t extent(const uint8_t *buf, uint32_t len)
{
	while (len && buf[len - 1] == 0xa5)
		len--;
	return len;
}

static void test_get_info_sizes(void **state)
{
	const uint32_t full = 24 + 32 + 16 + 16 + 2 * 16;
	struct client *t = *state;
	uint8_t buf[256] __attribute__((aligned(8)));
	struct vfio_iommu_type1_info *info = (void *)buf;

	for (uint32_t argsz = 0; argsz <= sizeof(buf); argsz++) {
		memset(buf, 0xa5, sizeof(buf));
		info->argsz = argsz;
		info->flags = 0xffffffff; /* not looked at */
		if (argsz < 16) {
			assert_int_equal(call_ptr(t->c, VFIO_IOMMU_GET_INFO, info), -EINVAL);
			assert_int_equal(extent(buf, sizeof(buf)), 8);
			continue;
		}
		assert_int_equal(call_ptr(t->c, VFIO_IOMMU_GET_INFO, info), 0);
		assert_int_equal(info->flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
		assert_int_equal(info->iova_pgsizes, 0x40201000);
		assert_int_equal(info->argsz, argsz < full ? full : argsz);
		assert_int_equal(extent(buf, sizeof(buf)), argsz < full ? (argsz < 24 ? argsz : 24) : full);
		if (argsz >= 20)
			assert_int_equal(info->cap_offset, argsz < full ? 0 : 24);
	}
	assert_int_equal(call(t->c, VFIO_IOMMU_GET_INFO, 0), -EFAULT);
}

static uint32_t avail(int container)
{
	uint8_t buf[256] __attribute__((aligned(8)));
	struct vfio_iommu_type1_info *info = (void *)buf;
	struct vfio_iommu_type1_info_dma_avail *cap = (void *)(buf + 56);

	info->argsz = sizeof(buf);
	assert_int_equal(call_ptr(container, VFIO_IOMMU_GET_INFO, info), 0);
	assert_int_equal(cap->header.id, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	return cap->avail;
}

static void test_get_info_chain(void **state)
{
	struct client *t = *state;
	uint8_t buf[256] __attribute__((aligned(8)));
	struct vfio_iommu_type1_info *info = (void *)buf;
	struct vfio_iommu_type1_info_cap_migration *migration = (void *)(buf + 24);
	struct vfio_iommu_type1_info_dma_avail *room = (void *)(buf + 56);
	struct vfio_iommu_type1_info_cap_iova_range *ranges = (void *)(buf + 72);
	uint32_t before;

	info->argsz = sizeof(buf);
	assert_int_equal(call_ptr(t->c, VFIO_IOMMU_GET_INFO, info), 0);
	assert_int_equal(info->cap_offset, 24);
	assert_int_equal(migration->header.id, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	assert_int_equal(migration->header.next, 56);
	assert_int_equal(migration->flags, 0);
	assert_int_equal(migration->pgsize_bitmap, PG);
	assert_int_equal(migration->max_dirty_bitmap_size, 0x10000000);
	assert_int_equal(room->header.next, 72);
	assert_int_equal(ranges->header.id, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	assert_int_equal(ranges->header.version, 1);
	assert_int_equal(ranges->header.next, 0);
	assert_int_equal(ranges->nr_iovas, 2);
	assert_int_equal(ranges->iova_ranges[0].start, 0);
	assert_int_equal(ranges->iova_ranges[0].end, 0xfedfffff);
	assert_int_equal(ranges->iova_ranges[1].start, 0xfef00000);
	assert_int_equal(ranges->iova_ranges[1].end, 0xffffffffffff);
	before = avail(t->c);
	assert_int_equal(before, t->bench->params.dma_entries);
	assert_int_equal(map(t->c, 0, memory, PG, RW), 0);
	assert_int_equal(avail(t->c), before - 1);
}

static void test_map_sizes_and_flags(void **state)
{
	struct client *t = *state;
	struct {
		struct vfio_iommu_type1_dma_map map;
		uint64_t behind;
	} arg;
	uint64_t size;

	for (uint32_t argsz = 0; argsz < 48; argsz++) {
		arg.map.argsz = argsz;
		arg.map.flags = RW;
		arg.map.iova = 0x10000;
		arg.map.vaddr = (uintptr_t)memory;
		arg.map.size = PG;
		arg.behind = argsz; /* zero and not zero: a longer argument may hold anything */
		assert_int_equal(call_ptr(t->c, VFIO_IOMMU_MAP_DMA, &arg), argsz < 32 ? -EINVAL : 0);
		size = PG;
		assert_int_equal(unmap(t->c, 0x10000, &size, 0), 0);
		assert_int_equal(size, argsz < 32 ? 0 : PG);
	}
	for (unsigned int bit = 3; bit < 32; bit++)
		assert_int_equal(map(t->c, 0x10000, memory, PG, RW | BIT32(bit)), -EINVAL);
	assert_int_equal(map(t->c, 0x10000, memory, PG, 0), -EINVAL);
	assert_int_equal(map(t->c, 0x10000, memory, PG, VFIO_DMA_MAP_FLAG_VADDR), -ENOENT);
	assert_int_equal(map(t->c, 0x10000, memory, PG, RW | VFIO_DMA_MAP_FLAG_VADDR), -EINVAL);
	assert_int_equal(call(t->c, VFIO_IOMMU_MAP_DMA, 0), -EFAULT);
}

static void test_unmap_sizes_and_flags(void **state)
{
	struct client *t = *state;
	struct {
		uint32_t argsz, flags;
		uint64_t iova, size;
		uint64_t behind[8];
	} arg;

	for (uint32_t argsz = 0; argsz < 40; argsz++) {
		assert_int_equal(map(t->c, 0x10000, memory, 2 * PG, RW), argsz && argsz <= 24 ? -EEXIST : 0);
		arg.argsz = argsz;
		arg.flags = 0;
		arg.iova = 0;
		arg.size = 0x100000;
		memset(arg.behind, 0xa5, sizeof(arg.behind));
		assert_int_equal(call_ptr(t->c, VFIO_IOMMU_UNMAP_DMA, &arg), argsz < 24 ? -EINVAL : 0);
		assert_int_equal(arg.size, argsz < 24 ? 0x100000 : 2 * PG);
		assert_int_equal(extent((uint8_t *)arg.behind, sizeof(arg.behind)), 0);
	}
	for (unsigned int bit = 3; bit < 32; bit++) {
		uint64_t size = PG;

		assert_int_equal(unmap(t->c, 0, &size, BIT32(bit)), -EINVAL);
	}
	assert_int_equal(call(t->c, VFIO_IOMMU_UNMAP_DMA, 0), -EFAULT);
}

static long dirty(int container, uint32_t argsz, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = argsz, .flags = flags };

	return call_ptr(container, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

enum { START = 1, STOP = 2, GET = 4 };

static void test_dirty_v1(void **state)
{
	struct client *t = *state;

	assert_int_equal(call(t->c, VFIO_IOMMU_DIRTY_PAGES, 0), -EACCES);
	assert_int_equal(dirty(t->c, 0, 0), -EACCES);
	assert_int_equal(dirty(t->c, 8, START), -EACCES);
}

static void test_dirty_flags(void **state)
{
	struct client *t = *state;

	assert_int_equal(call(t->c, VFIO_IOMMU_DIRTY_PAGES, 0), -EFAULT);
	assert_int_equal(dirty(t->c, 7, START), -EINVAL);
	for (uint32_t flags = 0; flags < 16; flags++)
		if (flags != START && flags != STOP)
			assert_int_equal(dirty(t->c, 8, flags), -EINVAL);
	assert_int_equal(dirty(t->c, 8, STOP), 0);
	assert_int_equal(dirty(t->c, 9, START), 0);
	assert_int_equal(dirty(t->c, 8, START), 0);
	assert_int_equal(dirty(t->c, 8, STOP), 0);
}

static long dirty_get(int container, uint32_t argsz, uint64_t iova, uint64_t size, uint64_t pgsize,
		      uint64_t bytes, void *data)
{
	struct {
		uint32_t argsz, flags;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.argsz = argsz,
		.flags = GET,
		.get = { .iova = iova,
			 .size = size,
			 .bitmap = { .pgsize = pgsize, .size = bytes, .data = data } },
	};

	return call_ptr(container, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

static void test_dirty_get_checks(void **state)
{
	struct client *t = *state;
	static uint64_t bits[4]; /* far from the end of user space, which the largest bitmap must not reach */
	const uint64_t max = (uint64_t)1 << 28;

	bits[0] = 0;

	assert_int_equal(map(t->c, 0, memory, 2 * PG, RW), 0);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, PG, 8, bits), -EINVAL); /* not started */
	assert_int_equal(dirty(t->c, 8, START), 0);
	assert_int_equal(dirty_get(t->c, 47, 0, 2 * PG, PG, 8, bits), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, PG, 0, bits), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, PG, 7, bits), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, 0, 65 * PG, PG, 8, bits), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, PG, max + 8, bits), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, 0, 8, bits), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, 0x1800, 8, bits), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, -PG, 2 * PG, PG, 8, bits), -EOVERFLOW);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, PG, 8, (void *)-4096l), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, -PG, 2 * PG, PG, 8, (void *)-4096l), -EOVERFLOW);
	assert_int_equal(dirty_get(t->c, 48, -PG, 0, PG, 8, (void *)-4096l), -EINVAL);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, PG, 8, NULL), -EFAULT);
	assert_int_equal(bits[0], 0);
	assert_int_equal(dirty_get(t->c, 48, 0, 2 * PG, PG, max, bits), 0);
	assert_int_equal(bits[0], 3);
}

static void test_dirty_get_writes_only_what_it_must(void **state)
{
	struct client *t = *state;
	uint64_t bits[4];

	assert_int_equal(map(t->c, 70 * PG, memory, 4 * PG, RW), 0);
	assert_int_equal(dirty(t->c, 8, START), 0);
	memset(bits, 0xff, sizeof(bits));
	bits[1] = 0x21 | BIT64(40);
	assert_int_equal(dirty_get(t->c, 4096, 0, 192 * PG, PG, 24, bits), 0);
	assert_int_equal(bits[0], UINT64_MAX);
	/* what the caller has in the word that the mapping begins in stays */
	assert_int_equal(bits[1], 0xf << 6 | 0x21 | BIT64(40));
	assert_int_equal(bits[2], UINT64_MAX);
	assert_int_equal(bits[3], UINT64_MAX);
	/* also when the word before is written, but not when a mapping reaches into this one */
	assert_int_equal(map(t->c, 62 * PG, memory, 2 * PG, RW), 0);
	assert_int_equal(map(t->c, 127 * PG, memory, 2 * PG, RW), 0);
	bits[0] = 0;
	bits[1] = 1;
	assert_int_equal(dirty_get(t->c, 48, 0, 192 * PG, PG, 24, bits), 0);
	assert_int_equal(bits[0], (uint64_t)3 << 62);
	assert_int_equal(bits[1], 0xf << 6 | 1 | BIT64(63));
	assert_int_equal(bits[2], 1);
}

static long unmap_dirty(int container, uint32_t argsz, uint32_t flags, uint64_t iova, uint64_t size,
			uint64_t pgsize, uint64_t bytes, void *data, uint64_t *unmapped)
{
	struct {
		uint32_t argsz, flags;
		uint64_t iova, size;
		struct vfio_bitmap bitmap;
	} arg = {
		.argsz = argsz,
		.flags = flags,
		.iova = iova,
		.size = size,
		.bitmap = { .pgsize = pgsize, .size = bytes, .data = data },
	};
	long rc = call_ptr(container, VFIO_IOMMU_UNMAP_DMA, &arg);

	*unmapped = arg.size;
	return rc;
}

static void test_unmap_dirty(void **state)
{
	struct client *t = *state;
	uint64_t bits = 0, n;

	assert_int_equal(map(t->c, 0, memory, 2 * PG, RW), 0);
	assert_int_equal(unmap_dirty(t->c, 48, 1, 0, 2 * PG, PG, 8, &bits, &n), -EINVAL); /* not started */
	assert_int_equal(dirty(t->c, 8, START), 0);
	assert_int_equal(unmap_dirty(t->c, 47, 1, 0, 2 * PG, PG, 8, &bits, &n), -EINVAL);
	assert_int_equal(unmap_dirty(t->c, 48, 3, 0, 0, PG, 8, &bits, &n), -EINVAL);
	assert_int_equal(unmap_dirty(t->c, 48, 5, 0, 2 * PG, PG, 8, &bits, &n), -EINVAL);
	assert_int_equal(unmap_dirty(t->c, 48, 1, 0, 2 * PG, PG, 7, &bits, &n), -EINVAL);
	assert_int_equal(unmap_dirty(t->c, 48, 1, 0, 0, PG, 8, &bits, &n), -EINVAL);
	assert_int_equal(unmap_dirty(t->c, 48, 1, 0, PG, PG, 8, &bits, &n), -EINVAL);
	/* an answer that could not be given must not cost the mapping */
	assert_int_equal(unmap_dirty(t->c, 48, 1, 0, 2 * PG, PG, 8, NULL, &n), -EFAULT);
	assert_int_equal(n, 2 * PG);
	/* nor hide a mistake that comes before it */
	assert_int_equal(unmap_dirty(t->c, 48, 1, -PG + 1, 2 * PG, PG, 8, NULL, &n), -EINVAL);
	assert_int_equal(unmap_dirty(t->c, 48, 1, -PG, 2 * PG, PG, 7, NULL, &n), -EINVAL);
	assert_int_equal(unmap_dirty(t->c, 48, 1, -PG, 2 * PG, PG, 8, NULL, &n), -EOVERFLOW);
	assert_int_equal(unmap_dirty(t->c, 48, 1, 0, 2 * PG, PG, 8, &bits, &n), 0);
	assert_int_equal(n, 2 * PG);
	assert_int_equal(bits, 3);
	bits = 0;
	assert_int_equal(unmap_dirty(t->c, 48, 1, 0, 2 * PG, PG, 8, &bits, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(bits, 0);
}

static void test_unknown_requests(void **state)
{
	struct client *t = *state;

	assert_int_equal(call(t->c, _IO(VFIO_TYPE, 255), 0), -ENOTTY);
	assert_int_equal(call(t->c, 0, 0), -ENOTTY);
	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), -ENOTTY);
	assert_int_equal(call(t->c, VFIO_DEVICE_GET_INFO, 0), -ENOTTY);
}

/* The trace of what call does, as text. */
static void read_trace(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	buf[fread(buf, 1, len - 1, f)] = 0;
	fclose(f);
}

static void test_trace(void **state)
{
	struct client *t = *state;
	char path[] = "/tmp/uvfio-test-XXXXXX", text[4096], want[128];
	uint64_t size = 0;
	int fd = mkstemp(path), d;

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(trace_json_create(path), 0);
	assert_int_equal(trace_start(0, TRACE_IOCTL, path), 0);
	assert_int_equal(map(t->c, 0x10000, memory, PG, RW), 0);
	assert_int_equal(unmap(t->c, 0, &size, VFIO_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(dirty(t->c, 8, 8 | START), -EINVAL);
	assert_int_equal(call(t->c, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 1);
	d = get_device(t->g, NAME_A);
	close_fd(d);
	atomic_store(&trace_mask, 0);
	read_trace(path, text, sizeof(text));
	unlink(path);
	snprintf(want, sizeof(want), "iova=0x10000 size=0x1000 vaddr=0x%llx READ|WRITE",
		 (unsigned long long)(uintptr_t)memory);
	assert_non_null(strstr(text, want));
	assert_non_null(strstr(text, "iova=0x0 size=0x0 ALL unmapped=0x1000"));
	assert_non_null(strstr(text, "START|0x8 = -1 EINVAL"));
	assert_non_null(strstr(text, "TYPE1_IOMMU = 1"));
	assert_non_null(strstr(text, NAME_A));
}

#define V1(fn)                                                                                               \
	{                                                                                                    \
#fn " v1", fn, setup_v1, teardown, NULL                                                      \
	}
#define V2(fn)                                                                                               \
	{                                                                                                    \
#fn " v2", fn, setup_v2, teardown, NULL                                                      \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		V1(test_get_info_sizes),
		V2(test_get_info_sizes),
		V1(test_get_info_chain),
		V2(test_get_info_chain),
		V1(test_map_sizes_and_flags),
		V2(test_map_sizes_and_flags),
		V1(test_unmap_sizes_and_flags),
		V2(test_unmap_sizes_and_flags),
		V1(test_dirty_v1),
		V2(test_dirty_flags),
		V2(test_dirty_get_checks),
		V2(test_dirty_get_writes_only_what_it_must),
		V2(test_unmap_dirty),
		V1(test_unknown_requests),
		V2(test_unknown_requests),
		V2(test_trace),
	};

	return cmocka_run_group_tests_name("container_type1", tests, NULL, NULL);
}
