/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_IOMMU_UNMAP_DMA: sizes, flags, what a range removes in each version, and mappings without address. */
#include "client.h"

#include <string.h>

#define IOVA    0x1000000ull
#define BITMAP  VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP
#define ALL     VFIO_DMA_UNMAP_FLAG_ALL
#define NO_ADDR VFIO_DMA_UNMAP_FLAG_VADDR

static void fill_unmap(struct client *c, void *arg)
{
	(void)c;
	*(struct vfio_iommu_type1_dma_unmap *)arg = (struct vfio_iommu_type1_dma_unmap){
		.iova = IOVA,
		.size = PG,
	};
}

static void test_sizes(struct client *c)
{
	const struct sweep sweep = { c->container, VFIO_IOMMU_UNMAP_DMA, 24, 24, fill_unmap, 0, NULL };

	sweep_argsz(c, &sweep);
}

static void test_arguments(struct client *c)
{
	const struct {
		uint32_t flags;
		uint64_t iova, size;
		long result;
	} cases[] = {
		{ 8, IOVA, PG, -EINVAL },         { 1u << 31, IOVA, PG, -EINVAL },
		{ BITMAP | ALL, 0, 0, -EINVAL },  { BITMAP | NO_ADDR, IOVA, PG, -EINVAL },
		{ BITMAP, IOVA, PG, -EINVAL }, /* argsz has no room for a bitmap */
		{ 0, IOVA, 0, -EINVAL },          { 0, 0, 0, -EINVAL },
		{ 0, IOVA, 1, -EINVAL },          { 0, IOVA, PG + 0x800, -EINVAL },
		{ 0, IOVA + 0x800, PG, -EINVAL }, { 0, -PG, 2 * PG, -EOVERFLOW },
		{ 0, 0, UINT64_MAX, -EINVAL },    { ALL, 0, PG, -EINVAL },
		{ ALL, IOVA, 0, -EINVAL },
	};

	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t size = cases[i].size;

		assert_int_equal(unmap(c, cases[i].flags, cases[i].iova, &size), cases[i].result);
		assert_true(size == cases[i].size);
	}
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), -EEXIST);
}

static void test_far_ranges(struct client *c)
{
	const struct {
		uint64_t iova, size, bytes;
	} cases[] = {
		{ 0, -PG, 3 * PG },
		{ PG, -PG, 3 * PG },
		{ 0, 1ull << 63, 3 * PG },
		{ -PG, PG, 0 },
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t size = cases[i].size;

		unmap_all(c);
		assert_int_equal(map(c, RW, c->memory, IOVA, 2 * PG), 0);
		assert_int_equal(map(c, RW, c->memory, IOVA + 8 * PG, PG), 0);
		assert_int_equal(unmap(c, 0, cases[i].iova, &size), 0);
		assert_int_equal(size, cases[i].bytes);
	}
}

/*
 * A picture: a run of one letter is one mapping of as many pages, a dot is a hole. A range of pages is
 * unmapped; what must be left is a picture of the same length, for each version, with NULL for EINVAL.
 */
struct picture {
	const char *before;
	int first, count;
	const char *after_v1, *after_v2;
};

static const struct picture pictures[] = {
	{ "....", 0, 4, "....", "...." },     { "A", 0, 1, ".", "." },
	{ "AAAA", 0, 4, "....", "...." },     { ".A.", 0, 3, "...", "..." },
	{ "AA", 0, 1, "..", NULL },           { "AA", 1, 1, "AA", NULL },
	{ "AAAA", 1, 2, "AAAA", NULL },       { "AAAA", 0, 3, "....", NULL },
	{ "AAAA", 1, 3, "AAAA", NULL },       { ".AA.", 0, 2, "....", NULL },
	{ ".AA.", 2, 2, ".AA.", NULL },       { "AABB", 0, 4, "....", "...." },
	{ "AABB", 0, 3, "....", NULL },       { "AABB", 1, 2, "AABB", NULL },
	{ "AABB", 1, 3, "AABB", NULL },       { "AABB", 2, 2, "AA..", "AA.." },
	{ "AABB", 0, 2, "..BB", "..BB" },     { "A.B.C", 0, 5, ".....", "....." },
	{ "A.B.C", 1, 1, "A.B.C", "A.B.C" },  { "A.B.C", 1, 2, "A...C", "A...C" },
	{ "A.BB.CC", 0, 6, ".......", NULL }, { "AA.B.CC", 1, 6, "AA.B.CC", NULL },
	{ "ABCD", 1, 2, "A..D", "A..D" },     { "AAAABBBB", -4, 32, "........", "........" },
};

static void lay(struct client *c, const char *picture)
{
	unmap_all(c);
	for (size_t i = 0, n; picture[i]; i += n) {
		n = strspn(picture + i, (char[]){ picture[i], 0 });
		if (picture[i] != '.')
			assert_int_equal(map(c, RW, c->memory + i * PG, IOVA + i * PG, n * PG), 0);
	}
}

/* Each page of the picture is mapped or not; returns how many are. */
static uint64_t check_left(struct client *c, const char *picture)
{
	uint64_t mapped = 0;

	for (size_t i = 0; picture[i]; i++) {
		uint64_t size = PG;

		mapped += picture[i] != '.';
		assert_int_equal(map(c, RW, c->memory, IOVA + i * PG, PG), picture[i] == '.' ? 0 : -EEXIST);
		if (picture[i] == '.')
			assert_int_equal(unmap(c, 0, IOVA + i * PG, &size), 0);
	}
	return mapped;
}

static uint64_t count_mapped(const char *picture)
{
	uint64_t n = 0;

	for (; *picture; picture++)
		n += *picture != '.';
	return n;
}

static void test_pictures(struct client *c)
{
	for (size_t i = 0; i < COUNT(pictures); i++) {
		const struct picture *p = &pictures[i];
		const char *after = c->mode->v2 ? p->after_v2 : p->after_v1;
		uint64_t asked = (uint64_t)p->count * PG, size = asked, left;

		lay(c, p->before);
		assert_int_equal(unmap(c, 0, IOVA + (uint64_t)(p->first * (long)PG), &size),
				 after ? 0 : -EINVAL);
		left = check_left(c, after ? after : p->before);
		if (after)
			assert_int_equal(size, (count_mapped(p->before) - left) * PG);
		else
			assert_int_equal(size, asked);
	}
}

static void test_all(struct client *c)
{
	uint64_t size = 0;

	assert_int_equal(unmap(c, ALL, 0, &size), 0);
	assert_int_equal(size, 0);
	lay(c, "AA.B.CC");
	assert_int_equal(unmap(c, ALL, 0, &size), 0);
	assert_int_equal(size, 5 * PG);
	check_left(c, ".......");
}

static void test_without_address(struct client *c)
{
	const uint8_t *const there = c->memory + 64 * PG;
	uint64_t size = PG;

	lay(c, "AA.BB");
	assert_int_equal(unmap(c, NO_ADDR, IOVA + 2 * PG, &size), 0);
	assert_int_equal(size, 0);
	size = 2 * PG;
	assert_int_equal(unmap(c, NO_ADDR, IOVA, &size), 0);
	assert_int_equal(size, 2 * PG);
	assert_int_equal(unmap(c, NO_ADDR, IOVA, &size), -EINVAL);
	size = 5 * PG;
	assert_int_equal(unmap(c, NO_ADDR, IOVA, &size), -EINVAL);
	assert_int_equal(map(c, RW, there, IOVA, 2 * PG), -EEXIST);
	assert_int_equal(map(c, VFIO_DMA_MAP_FLAG_VADDR, there, IOVA + 2 * PG, PG), -ENOENT);
	assert_int_equal(map(c, VFIO_DMA_MAP_FLAG_VADDR, there, IOVA, PG), -EINVAL);
	assert_int_equal(map(c, VFIO_DMA_MAP_FLAG_VADDR, there, IOVA, 3 * PG), -EINVAL);
	assert_int_equal(map(c, VFIO_DMA_MAP_FLAG_VADDR, there, IOVA + 3 * PG, 2 * PG), -EINVAL);
	assert_int_equal(map(c, VFIO_DMA_MAP_FLAG_VADDR, there, IOVA, 2 * PG), 0);
	assert_int_equal(map(c, VFIO_DMA_MAP_FLAG_VADDR, there, IOVA, 2 * PG), -EINVAL);
	/* of all, and plain unmaps meanwhile */
	size = 0;
	assert_int_equal(unmap(c, ALL | NO_ADDR, 0, &size), 0);
	assert_int_equal(size, 4 * PG);
	size = 2 * PG;
	assert_int_equal(unmap(c, 0, IOVA + 3 * PG, &size), 0);
	assert_int_equal(size, 2 * PG);
	check_left(c, "AA...");
}

static void test_no_group_while_without_address(struct client *c)
{
	int group = open_group(peer());
	uint64_t size = PG;

	assert_true(group >= 0);
	lay(c, "A");
	assert_int_equal(unmap(c, NO_ADDR, IOVA, &size), 0);
	assert_int_equal(set_container(group, c->container), -EBUSY);
	assert_int_equal(map(c, VFIO_DMA_MAP_FLAG_VADDR, c->memory, IOVA, PG), 0);
	assert_int_equal(set_container(group, c->container), 0);
	close_fd(&group);
}

int main(void)
{
	static const struct test tests[] = {
		T(test_sizes),
		T_TYPE1(test_arguments),
		T(test_far_ranges),
		T_TYPE1(test_pictures),
		T(test_all),
		T_TYPE1(test_without_address),
		T_TYPE1(test_no_group_while_without_address),
	};

	return run_in_modes("unmap", tests, COUNT(tests));
}
