/* SPDX-License-Identifier: BSD-2-Clause */
/* Which pages are dirty that drivers of mediated devices have pinned, or written to. */
#include "base/failpoint.h"
#include "iommu/test_type1_pin.h"

#define ALL ((uint64_t)0x3ff) /* the ten pages that are mapped first */

static void map(struct fixture *f, uint64_t page, uint64_t n)
{
	assert_int_equal(type1_map(f->iommu, f->mm, BASE + page * PG, f->va + page * PG, n * PG, RW, false),
			 0);
}

static int start(void **state)
{
	struct fixture *f;

	setup(state);
	f = *state;
	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(attach_mediated(f, 1), 0);
	map(f, 0, 10);
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	detach_mediated(f, 0);
	detach_mediated(f, 1);
	return teardown(state);
}

static struct type1_bitmap new_bitmap(void)
{
	return (struct type1_bitmap){ .pgsize = PG, .size = 1024 };
}

static uint64_t take(const struct type1_bitmap *bitmap)
{
	uint64_t bits = bitmap->bits[0];

	free(bitmap->bits);
	return bits;
}

static uint64_t get(struct fixture *f, uint64_t n)
{
	struct type1_bitmap bitmap = new_bitmap();

	assert_int_equal(type1_dirty_get(f->iommu, BASE, n * PG, &bitmap), 0);
	return take(&bitmap);
}

static void rw(struct fixture *f, uint64_t at, size_t len, bool write)
{
	char buf[4 * PG] = "";

	assert_int_equal(type1_dma_rw(f->mediated[0].pinner, BASE + at, buf, len, write), 0);
}

static void test_pins(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pin(f, 0, 2, 1), 0);
	assert_int_equal(pin(f, 0, 7, 1), 0);
	assert_int_equal(unpin(f, 0, 7, 1), 0);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
	assert_int_equal(get(f, 10), 1 << 2); /* what is pinned when it starts */
	assert_int_equal(pin(f, 0, 3, 2), 0);
	assert_int_equal(pin(f, 1, 4, 1), 0);
	assert_int_equal(get(f, 10), 7 << 2);
	assert_int_equal(unpin(f, 0, 3, 2), 0);
	assert_int_equal(get(f, 10), 7 << 2); /* 3 was pinned for a while, and 4 is still */
	assert_int_equal(get(f, 10), 1 << 2 | 1 << 4);
	assert_int_equal(unpin(f, 0, 2, 1), 0);
	assert_int_equal(unpin(f, 1, 4, 1), 0);
	assert_int_equal(get(f, 10), 1 << 2 | 1 << 4);
	assert_int_equal(get(f, 10), 0);
	assert_int_equal(pin(f, 0, 8, 4), -EINVAL); /* as the kernel, which pins them, and lets go again */
	assert_int_equal(get(f, 10), 3 << 8);
	type1_dirty_stop(f->iommu);
}

static void test_writes(void **state)
{
	struct fixture *f = *state;

	rw(f, PG, 8, true);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
	assert_int_equal(get(f, 10), 0);
	rw(f, 0, 8, false);
	rw(f, 2 * PG - 1, 2, true);
	rw(f, 5 * PG, 2 * PG, true);
	assert_int_equal(get(f, 10), 3 << 1 | 3 << 5);
	assert_int_equal(get(f, 10), 0);
	rw(f, 9 * PG + 1, 1, true);
	assert_int_equal(type1_dirty_start(f->iommu), 0); /* once more: nothing happens */
	type1_dirty_stop(f->iommu);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
	assert_int_equal(get(f, 10), 0);
}

/* A device that anything may have written goes. */
static void test_backed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(type1_dirty_start(f->iommu), 0);
	rw(f, 0, 1, true);
	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	assert_int_equal(get(f, 10), ALL);
	assert_int_equal(pin(f, 0, 3, 1), 0);
	assert_int_equal(get(f, 10), ALL);
	type1_detach(f->iommu, &f->devs[0], 1);
	assert_int_equal(get(f, 10), ALL);
	assert_int_equal(get(f, 10), 1 << 3);
	assert_int_equal(unpin(f, 0, 3, 1), 0);
	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	type1_dirty_stop(f->iommu);
	type1_detach(f->iommu, &f->devs[0], 1);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
	assert_int_equal(get(f, 10), 0);
}

static void test_unmap(void **state)
{
	struct fixture *f = *state;
	struct type1_bitmap bitmap = new_bitmap();
	uint64_t unmapped;

	assert_int_equal(type1_dirty_start(f->iommu), 0);
	assert_int_equal(pin(f, 0, 5, 1), 0);
	rw(f, 0, 1, true);
	assert_int_equal(type1_unmap(f->iommu, BASE, 10 * PG, 0, &bitmap, &unmapped), 0);
	assert_int_equal(unmapped, 10 * PG);
	assert_int_equal(f->mediated[0].told, 1);
	assert_int_equal(take(&bitmap), 1 << 5 | 1);
	map(f, 0, 10);
	assert_int_equal(get(f, 10), 0);
	rw(f, 0, 1, true);
	assert_int_equal(unmap(f, 0, 10), 10);
	map(f, 0, 10);
	assert_int_equal(get(f, 10), 0);
}

/* What becomes of the caller's words: bits 0-9, 70, 71 and 127-131 are mappings'. */
static void test_words(void **state)
{
	struct fixture *f = *state;
	struct type1_bitmap bitmap = new_bitmap();

	map(f, 70, 2);
	map(f, 127, 5);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
	rw(f, 130 * PG, 1, true);
	assert_int_equal(type1_dirty_get(f->iommu, BASE, 300 * PG, &bitmap), 0);
	assert_int_equal(bitmap.words[0], TYPE1_WORD_WRITTEN);
	assert_int_equal(bitmap.words[1], TYPE1_WORD_ADDED);
	assert_int_equal(bitmap.words[2], TYPE1_WORD_WRITTEN);
	assert_int_equal(bitmap.words[3], TYPE1_WORD_KEPT);
	assert_int_equal(bitmap.words[4], TYPE1_WORD_KEPT);
	assert_int_equal(bitmap.bits[2], 1 << 2);
	assert_int_equal(bitmap.bits[0] | bitmap.bits[1] | bitmap.bits[3] | bitmap.bits[4], 0);
	free(bitmap.bits);
}

static void test_put_back(void **state)
{
	struct fixture *f = *state;
	struct type1_bitmap bitmap = new_bitmap();

	assert_int_equal(type1_dirty_start(f->iommu), 0);
	rw(f, 0, 1, true);
	rw(f, 9 * PG, 1, true);
	assert_int_equal(type1_dirty_get(f->iommu, BASE, 64 * PG, &bitmap), 0);
	type1_dirty_put_back(f->iommu, BASE, 64 * PG, &bitmap);
	assert_int_equal(take(&bitmap), 1 << 9 | 1);
	assert_int_equal(get(f, 64), 1 << 9 | 1);
	assert_int_equal(get(f, 64), 0);
}

/* Where there is no memory for a note, all of the mapping is dirty. */
static void test_no_memory(void **state)
{
	struct fixture *f = *state;

	map(f, 20, 2);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
#ifdef UVFIO_IOMMUFD_TEST
	failpoint_set(1);
	rw(f, 0, 1, true);
	assert_int_equal(failpoint_get(), 0);
	assert_int_equal(get(f, 64), ALL);
#endif
	assert_int_equal(get(f, 64), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pins),  TEST(test_writes),   TEST(test_backed),    TEST(test_unmap),
		TEST(test_words), TEST(test_put_back), TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
