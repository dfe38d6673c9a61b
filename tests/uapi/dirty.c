/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_IOMMU_DIRTY_PAGES, and UNMAP_DMA with a bitmap. */
#include "client.h"

#include <string.h>

#define IOVA 0x1000000ull

enum { START = 1, STOP = 2, GET = 4 };

static long dirty(struct client *c, uint32_t argsz, uint32_t flags)
{
	struct vfio_iommu_type1_dirty_bitmap arg = { .argsz = argsz, .flags = flags };

	return do_ioctl(c->container, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

struct get_arg {
	uint32_t argsz, flags;
	struct vfio_iommu_type1_dirty_bitmap_get get;
};

static long dirty_get(struct client *c, uint64_t iova, uint64_t size, uint64_t pgsize, uint64_t bytes,
		      void *data)
{
	struct get_arg arg = {
		.argsz = sizeof(arg),
		.flags = GET,
		.get = { .iova = iova, .size = size, .bitmap = { pgsize, bytes, data } },
	};

	return do_ioctl(c->container, VFIO_IOMMU_DIRTY_PAGES, &arg);
}

/* v1 knows no dirty pages, and says so before it looks at the argument. */
static void test_version_1(struct client *c)
{
	if (c->mode->v2) {
		assert_int_equal(do_ioctl(c->container, VFIO_IOMMU_DIRTY_PAGES, NULL), -EFAULT);
		return;
	}
	assert_int_equal(do_ioctl(c->container, VFIO_IOMMU_DIRTY_PAGES, NULL), -EACCES);
	assert_int_equal(dirty(c, 0, START), -EACCES);
	assert_int_equal(dirty(c, 8, START), -EACCES);
	assert_int_equal(dirty(c, 8, 0xff), -EACCES);
}

static void fill_start(struct client *c, void *arg)
{
	struct vfio_iommu_type1_dirty_bitmap *dirty_arg = arg;

	(void)c;
	dirty_arg->flags = START;
}

static uint64_t words[16];

static void fill_get(struct client *c, void *arg)
{
	struct get_arg *get = arg;

	(void)c;
	get->flags = GET;
	get->get = (struct vfio_iommu_type1_dirty_bitmap_get){ IOVA, 2 * PG, { PG, 8, (void *)words } };
}

static void test_sizes(struct client *c)
{
	const struct sweep start = { c->container, VFIO_IOMMU_DIRTY_PAGES, 8, 8, fill_start, 0, NULL };
	const struct sweep get = { c->container, VFIO_IOMMU_DIRTY_PAGES, 8, 48, fill_get, 0, NULL };

	sweep_argsz(c, &start);
	assert_int_equal(map(c, RW, c->memory, IOVA, 2 * PG), 0);
	sweep_argsz(c, &get);
	assert_int_equal(words[0], 3);
}

static void test_flags(struct client *c)
{
	for (uint32_t flags = 0; flags < 16; flags++)
		if (flags != START && flags != STOP)
			assert_int_equal(dirty(c, 8, flags), -EINVAL);
	assert_int_equal(dirty(c, 8, STOP), 0);
	assert_int_equal(dirty(c, 8, START), 0);
	assert_int_equal(dirty(c, 8, START), 0);
	assert_int_equal(dirty(c, 8, STOP), 0);
}

/* "AABB.CCCC", with tracking on. */
static void lay(struct client *c)
{
	assert_int_equal(map(c, RW, c->memory, IOVA, 2 * PG), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA + 2 * PG, 2 * PG), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA + 5 * PG, 4 * PG), 0);
	assert_int_equal(dirty(c, 8, START), 0);
}

static void test_bitmaps(struct client *c)
{
	const struct {
		long first;
		uint64_t pages, word0, word1;
	} cases[] = {
		{ 0, 2, 0x3, 0 },  { 0, 4, 0xf, 0 },      { 0, 9, 0x1ef, 0 },
		{ 4, 5, 0x1e, 0 }, { -4, 64, 0x1ef0, 0 }, { -62, 72, 3ull << 62, 0x7b },
		{ 100, 4, 0, 0 },
	};

	lay(c);
	for (size_t i = 0; i < COUNT(cases); i++) {
		memset(words, 0, sizeof(words));
		assert_int_equal(dirty_get(c, IOVA + (uint64_t)(cases[i].first * (long)PG),
					   cases[i].pages * PG, PG, 16, words),
				 0);
		assert_true(words[0] == cases[i].word0 && words[1] == cases[i].word1);
		assert_true(words[2] == 0);
	}
}

static void test_get_errors(struct client *c)
{
	const struct {
		uint64_t iova, size, pgsize, bytes;
		void *data;
		long result;
	} cases[] = {
		{ IOVA, 3 * PG, PG, 8, words, -EINVAL }, /* cuts */
		{ IOVA + PG, 3 * PG, PG, 8, words, -EINVAL },
		{ IOVA, 0, PG, 8, words, -EINVAL },
		{ IOVA, 2 * PG + 1, PG, 8, words, -EINVAL },
		{ IOVA, 0x800, PG, 8, words, -EINVAL },
		{ IOVA + 1, 2 * PG, PG, 8, words, -EINVAL },
		{ IOVA, 2 * PG, 1 << 21, 8, words, -EINVAL },
		{ IOVA, 2 * PG, 1, 1024, words, -EINVAL },
		{ IOVA, 2 * PG, 0x1800, 8, words, -EINVAL },
		{ IOVA, 2 * PG, PG, 0, words, -EINVAL },
		{ IOVA, 2 * PG, PG, 7, words, -EINVAL },
		{ IOVA, 65 * PG, PG, 8, words, -EINVAL },
		{ IOVA, 2 * PG, PG, (1 << 28) + 8, words, -EINVAL },
		{ IOVA, 2 * PG, PG, 8, (void *)-PG, -EINVAL },
		{ IOVA, 2 * PG, PG, 8, NULL, -EFAULT },
		{ IOVA, 2 * PG, PG, 1 << 28, words, 0 },
	};

	assert_int_equal(dirty_get(c, IOVA, 2 * PG, PG, 8, words), -EINVAL); /* not started */
	lay(c);
	for (size_t i = 0; i < COUNT(cases); i++) {
		memset(words, 0, sizeof(words));
		assert_int_equal(dirty_get(c, cases[i].iova, cases[i].size, cases[i].pgsize, cases[i].bytes,
					   cases[i].data),
				 cases[i].result);
		assert_int_equal(words[0], cases[i].result ? 0 : 3);
	}
}

static void test_mapped_while_on(struct client *c)
{
	lay(c);
	assert_int_equal(map(c, VFIO_DMA_MAP_FLAG_READ, c->memory, IOVA + 16 * PG, PG), 0);
	words[0] = 0;
	assert_int_equal(dirty_get(c, IOVA + 16 * PG, PG, PG, 8, words), 0);
	assert_int_equal(words[0], 1);
}

/* Only words that cover a mapping are written, and bits below the mapping stay. */
static void test_the_rest_stays(struct client *c)
{
	lay(c);
	memset(words, 0xff, sizeof(words));
	words[1] = 1;
	assert_int_equal(dirty_get(c, IOVA - 66 * PG, 192 * PG, PG, 24, words), 0);
	assert_true(words[0] == UINT64_MAX);
	assert_int_equal(words[1], 0x1ef << 2 | 1);
	assert_true(words[2] == UINT64_MAX);
}

static long unmap_bitmap(struct client *c, uint32_t argsz, uint64_t *size, uint64_t pgsize, uint64_t bytes,
			 void *data)
{
	struct {
		uint32_t argsz, flags;
		uint64_t iova, size;
		struct vfio_bitmap bitmap;
	} arg = { argsz, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, IOVA, *size, { pgsize, bytes, data } };
	long rc = do_ioctl(c->container, VFIO_IOMMU_UNMAP_DMA, &arg);

	*size = arg.size;
	return rc;
}

static void test_unmap(struct client *c)
{
	uint64_t size = 9 * PG;

	lay(c);
	words[0] = 0;
	assert_int_equal(unmap_bitmap(c, 47, &size, PG, 8, words), -EINVAL);
	assert_int_equal(unmap_bitmap(c, 48, &size, PG, 7, words), -EINVAL);
	assert_int_equal(unmap_bitmap(c, 48, &size, 1 << 21, 8, words), -EINVAL);
	/* a bitmap that cannot be written costs no mapping; other mistakes come first */
	assert_int_equal(unmap_bitmap(c, 48, &size, 2 * PG, 8, NULL), -EINVAL);
	assert_int_equal(unmap_bitmap(c, 48, &size, PG, 8, NULL), -EFAULT);
	assert_int_equal(size, 9 * PG);
	size = PG;
	assert_int_equal(unmap_bitmap(c, 48, &size, PG, 8, words), -EINVAL);
	assert_int_equal(words[0], 0);
	size = 9 * PG;
	assert_int_equal(unmap_bitmap(c, 48, &size, PG, 8, words), 0);
	assert_int_equal(size, 8 * PG);
	assert_int_equal(words[0], 0x1ef);
	size = 9 * PG;
	assert_int_equal(unmap_bitmap(c, 48, &size, PG, 8, NULL), 0); /* nothing to write */
	assert_int_equal(size, 0);
}

static void test_unmap_without_tracking(struct client *c)
{
	uint64_t size = 2 * PG;

	assert_int_equal(map(c, RW, c->memory, IOVA, 2 * PG), 0);
	assert_int_equal(unmap_bitmap(c, 48, &size, PG, 8, words), -EINVAL);
	assert_int_equal(map(c, RW, c->memory, IOVA, 2 * PG), -EEXIST);
}

int main(void)
{
	static const struct test tests[] = {
		T_TYPE1(test_version_1),   T_V2(test_sizes),      T_V2(test_flags),
		T_V2(test_bitmaps),        T_V2(test_get_errors), T_V2(test_mapped_while_on),
		T_V2(test_the_rest_stays), T_V2(test_unmap),      T_TYPE1(test_unmap_without_tracking),
	};

	return run_in_modes("dirty", tests, COUNT(tests));
}
