/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_IOMMU_GET_INFO: every size, and the chain of capabilities. */
#include "client.h"

#include <string.h>

#define FILL 0xa5

static uint8_t buf[4096] __attribute__((aligned(8)));
static struct vfio_iommu_type1_info *const info = (void *)buf;

static uint32_t extent(void)
{
	uint32_t len = sizeof(buf);

	while (len && buf[len - 1] == FILL)
		len--;
	return len;
}

static long get_info(struct client *c, uint32_t argsz)
{
	memset(buf, FILL, sizeof(buf));
	info->argsz = argsz;
	info->flags = 0;
	return do_ioctl(c->container, VFIO_IOMMU_GET_INFO, info);
}

static void fill_info(struct client *c, void *arg)
{
	(void)c;
	(void)arg;
}

static void test_sizes(struct client *c)
{
	const struct sweep sweep = { c->container, VFIO_IOMMU_GET_INFO, 16, 16, fill_info, 0, NULL };
	uint32_t full;

	sweep_argsz(c, &sweep);
	assert_int_equal(get_info(c, sizeof(buf)), 0);
	full = extent();
	for (uint32_t argsz = 16; argsz <= 256; argsz++) {
		assert_int_equal(get_info(c, argsz), 0);
		assert_int_equal(info->flags, VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS);
		assert_true(info->iova_pgsizes & PG);
		if (argsz < full) {
			assert_int_equal(info->argsz, full);
			assert_int_equal(extent(), argsz < 24 ? argsz : 24);
			if (argsz >= 20)
				assert_int_equal(info->cap_offset, 0);
		} else {
			assert_int_equal(info->argsz, argsz);
			assert_int_equal(extent(), full);
			assert_int_equal(info->cap_offset, 24);
		}
	}
}

/* The capability with that id, or NULL. Checks the chain on the way. */
static void *find_cap(struct client *c, uint16_t id)
{
	void *found = NULL;
	uint32_t count = 0;

	assert_int_equal(get_info(c, sizeof(buf)), 0);
	for (uint32_t at = info->cap_offset; at; count++) {
		struct vfio_info_cap_header *cap = (void *)(buf + at);

		assert_true(at >= 24 && at % 8 == 0 && at < sizeof(buf));
		assert_int_equal(cap->version, 1);
		assert_true(!cap->next || cap->next > at);
		if (cap->id == id)
			found = cap;
		at = cap->next;
	}
	assert_int_equal(count, c->mode->compat ? 2 : 3);
	return found;
}

static void test_ranges(struct client *c)
{
	struct vfio_iommu_type1_info_cap_iova_range *cap = find_cap(c, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	struct vfio_iova_range last;

	assert_non_null(cap);
	assert_true(cap->nr_iovas > 0);
	for (uint32_t i = 0; i < cap->nr_iovas; i++) {
		assert_true(cap->iova_ranges[i].start < cap->iova_ranges[i].end);
		if (i)
			assert_true(cap->iova_ranges[i].start > cap->iova_ranges[i - 1].end);
	}
	last = cap->iova_ranges[cap->nr_iovas - 1];
	assert_true(last.end < UINT64_MAX);
	/* what is listed can be used to its last page, and no further */
	assert_int_equal(map(c, RW, c->memory, last.end + 1 - PG, PG), 0);
	assert_int_equal(map(c, RW, c->memory, last.end + 1, PG), -EINVAL);
	for (uint32_t i = 1; i < cap->nr_iovas; i++)
		assert_int_equal(map(c, RW, c->memory, cap->iova_ranges[i].start - PG, PG), -EINVAL);
}

static void test_migration(struct client *c)
{
	struct vfio_iommu_type1_info_cap_migration *cap = find_cap(c, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);

	assert_non_null(cap);
	assert_int_equal(cap->flags, 0);
	assert_int_equal(cap->pgsize_bitmap, PG);
	assert_int_equal(cap->max_dirty_bitmap_size, 1 << 28);
}

static uint32_t avail(struct client *c)
{
	struct vfio_iommu_type1_info_dma_avail *cap = find_cap(c, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);

	assert_non_null(cap);
	return cap->avail;
}

static void test_avail_follows_mappings(struct client *c)
{
	uint32_t before = avail(c);

	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	assert_int_equal(map(c, RW, c->memory, 4 * PG, 2 * PG), 0);
	assert_int_equal(avail(c), before - 2);
	unmap_all(c);
	assert_int_equal(avail(c), before);
}

int main(void)
{
	static const struct test tests[] = {
		T_TYPE1(test_sizes),
		T(test_ranges),
		T_TYPE1(test_migration),
		T_TYPE1(test_avail_follows_mappings),
	};

	return run_in_modes("info", tests, COUNT(tests));
}
