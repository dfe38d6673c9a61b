/* SPDX-License-Identifier: BSD-2-Clause */
/* DMA windows, registered memory, and what is mapped in windows, by the ioctls of an sPAPR TCE container. */
#include "vfio/test_spapr.h"

#include "base/failpoint.h"

/* ---- windows */

static void test_default_window(void **state)
{
	struct client *t = *state;
	uint64_t start;

	assert_int_equal(remove_at(t, PG), -EINVAL);             /* it is not there yet */
	assert_int_equal(create(t, 16, 64 * MIB, 1, &start), 0); /* which makes it */
	assert_int_equal(start, HIGH);
	assert_int_equal(create(t, 16, 64 * MIB, 1, &start), -ENOSPC);
	assert_int_equal(remove_at(t, DEFAULT), -EINVAL);
	assert_int_equal(remove_at(t, DEFAULT - 1), 0); /* any address in it */
	assert_int_equal(remove_at(t, 0), -EINVAL);
	assert_int_equal(create(t, 12, 64 * MIB, 1, &start), 0);
	assert_int_equal(start, 0);
	assert_int_equal(remove_at(t, HIGH), 0);
	assert_int_equal(remove_at(t, 0), 0);
	assert_int_equal(t->mm->locked_pages, 0);
}

static void test_pending_window(void **state)
{
	struct client *t = *state;
	uint64_t start;

	assert_int_equal(remove_at(t, 0), 0); /* the one that is pending */
	assert_int_equal(remove_at(t, 0), -EINVAL);
	assert_int_equal(reg(t, t->memory, PG, true), 0);
	assert_int_equal(map(t->c, 0, t->memory, PG, RW), -ENXIO);
	assert_int_equal(unmap_all(t, 0, PG), -ENXIO);
	assert_int_equal(create(t, 24, 4096 * MIB, 1, &start), 0);
	assert_int_equal(start, 0);
}

static void test_create_arguments(void **state)
{
	static const struct {
		uint32_t page_shift;
		uint64_t size;
		uint32_t levels;
		long answer;
	} cases[] = {
		{ 11, MIB, 1, -EINVAL },
		{ 13, MIB, 1, -EINVAL },
		{ 63, MIB, 1, -EINVAL },
		{ 64 + 12, MIB, 1, -EINVAL },
		{ 0, MIB, 1, -EINVAL },
		{ 12, 0, 1, -EINVAL },
		{ 12, PG - 1, 1, -EINVAL },
		{ 12, PG / 2, 1, -EINVAL },
		{ 12, 3 * MIB, 1, -EINVAL },
		{ 12, MIB, 0, -EINVAL },
		{ 12, MIB, 6, -EINVAL },
		{ 12, MIB, 5, -EINVAL }, /* 5 times 9 bits, and 12 */
		{ 16, MIB, 5, -EINVAL },
		{ 12, BIT64(54), 5, -EINVAL },
		{ 12, BIT64(36), 1, -ENOMEM }, /* 128 MiB in one piece */
		{ 12, BIT64(33), 1, 0 },
		{ 12, BIT64(34), 1, -ENOMEM },
		{ 12, BIT64(36), 2, 0 },
		{ 12, PG, 1, 0 },
		{ 12, MIB, 4, 0 },
		{ 16, BIT64(50), 4, 0 },
		{ 24, BIT64(24), 3, 0 },
		{ 34, BIT64(50), 1, 0 },
		{ 34, BIT64(33), 1, -EINVAL },
	};
	struct client *t = *state;
	uint64_t start;

	assert_int_equal(remove_at(t, 0), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		long rc = create(t, cases[i].page_shift, cases[i].size, cases[i].levels, &start);

		if (rc != cases[i].answer)
			fail_msg("case %u: %ld, expected %ld", i, rc, cases[i].answer);
		if (!rc)
			assert_int_equal(remove_at(t, start), 0);
		assert_int_equal(t->mm->locked_pages, 0);
	}
}

/* What is charged: the table and its view, all levels. */
static void test_window_charge(void **state)
{
	static const struct {
		uint32_t page_shift;
		uint64_t size;
		uint32_t levels;
		uint64_t pages;
	} cases[] = {
		{ 12, 1024 * MIB, 1, 2 * 512 },
		{ 12, 1024 * MIB, 2, 2 * (512 + 1) },
		{ 16, 64 * MIB, 1, 2 * 2 },
		{ 16, MIB, 1, 2 * 1 },
		{ 16, BIT64(40), 3, 2 * (32768 + 64 + 1) },
		{ 12, MIB, 3, 2 * 3 },
	};
	struct client *t = *state;
	uint64_t start;

	assert_int_equal(remove_at(t, 0), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(create(t, cases[i].page_shift, cases[i].size, cases[i].levels, &start), 0);
		if (t->mm->locked_pages != cases[i].pages)
			fail_msg("case %u: %lu pages", i, t->mm->locked_pages);
		t->bench->params.memlock_pages = t->mm->locked_pages * 2 - 1;
		assert_int_equal(create(t, cases[i].page_shift, cases[i].size, cases[i].levels, &start),
				 -ENOMEM);
		t->bench->params.memlock_pages++;
		assert_int_equal(create(t, cases[i].page_shift, cases[i].size, cases[i].levels, &start), 0);
		t->bench->params.memlock_pages = UINT64_MAX;
		assert_int_equal(remove_at(t, HIGH), 0);
		assert_int_equal(remove_at(t, 0), 0);
	}
}

/* ---- registered memory */

static void test_register(void **state)
{
	struct client *t = *state;
	char *memory = t->memory;

	assert_int_equal(reg(t, memory, PG, false), -EPERM); /* nobody is served yet */
	assert_int_equal(call(t->c, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 0), -EPERM);
	assert_int_equal(map(t->c, 0, memory, PG, RW), -EPERM);
	assert_int_equal(reg(t, memory + 1, PG, true), -EINVAL);
	assert_int_equal(reg(t, memory, PG + 1, true), -EINVAL);
	assert_int_equal(reg(t, memory, -PG, true), -EINVAL);
	assert_int_equal(reg(t, memory, 0, true), -ENOMEM);
	assert_int_equal(map(t->c, 0, memory, PG, RW), -EPERM); /* none has succeeded */
	assert_int_equal(reg(t, memory + 2 * PG, 4 * PG, true), 0);
	assert_int_equal(t->mm->locked_pages, 4);
	assert_int_equal(reg(t, memory + 2 * PG, 4 * PG, true), -EBUSY);
	assert_int_equal(reg(t, memory + PG, 2 * PG, true), -EINVAL); /* overlaps */
	assert_int_equal(reg(t, memory + 5 * PG, 2 * PG, true), -EINVAL);
	assert_int_equal(reg(t, memory, 16 * PG, true), -EINVAL);
	assert_int_equal(reg(t, memory + 3 * PG, PG, true), -EINVAL);
	assert_int_equal(reg(t, memory + PG, PG, true), 0); /* beside it */
	assert_int_equal(reg(t, memory + 6 * PG, PG, true), 0);
	assert_int_equal(t->mm->locked_pages, 6);
	assert_int_equal(reg(t, memory + 2 * PG, 3 * PG, false), -ENOENT);
	assert_int_equal(reg(t, memory + 3 * PG, PG, false), -ENOENT);
	assert_int_equal(reg(t, memory + 2 * PG + 1, 4 * PG, false), -EINVAL);
	assert_int_equal(reg(t, memory + 2 * PG, 4 * PG + 1, false), -EINVAL);
	assert_int_equal(reg(t, memory + 2 * PG, 4 * PG, false), 0);
	assert_int_equal(reg(t, memory + 2 * PG, 4 * PG, false), -ENOENT);
	assert_int_equal(t->mm->locked_pages, 2);
	assert_int_equal(reg(t, memory + 2 * PG, 2 * PG, true), 0);
}

static void test_register_bad_memory(void **state)
{
	struct client *t = *state;
	char *memory = t->memory;

	assert_int_equal(mprotect(memory + 2 * PG, PG, PROT_READ), 0);
	assert_int_equal(reg(t, memory, 4 * PG, true), -EFAULT);
	assert_int_equal(mprotect(memory + 2 * PG, PG, PROT_READ | PROT_WRITE), 0);
	mm_note_map((uintptr_t)memory + 2 * PG, PG, PROT_NONE, MM_IO);
	assert_int_equal(reg(t, memory, 4 * PG, true), -EFAULT); /* a BAR */
	mm_note_change((uintptr_t)memory, 4 * PG);
	assert_int_equal(t->mm->locked_pages, 0);
	assert_int_equal(reg(t, (void *)(UINT64_MAX - 8 * PG + 1), 4 * PG, true), -EFAULT);
	t->bench->params.memlock_pages = 3;
	assert_int_equal(reg(t, memory, 4 * PG, true), -ENOMEM);
	assert_int_equal(reg(t, memory, 3 * PG, true), 0);
}

/* More regions than stand in one array, unregistered in another order. */
static void test_many_regions(void **state)
{
	struct client *t = *state;
	uint64_t start;

	assert_int_equal(remove_at(t, 0), 0);
	assert_int_equal(create(t, 12, 64 * MIB, 1, &start), 0);
	for (unsigned int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 1000; i++)
			assert_int_equal(reg(t, t->memory + 2 * i * PG, PG, true), 0);
		for (uint64_t i = 0; i < 1000; i++)
			assert_int_equal(map(t->c, i * PG, t->memory + 2 * i * PG, PG, RW), 0);
		for (uint64_t i = 0; i < 1000; i++)
			assert_int_equal(reg(t, t->memory + 2 * i * PG, PG, false), -EBUSY);
		assert_int_equal(unmap_all(t, 0, 1000 * PG), 0);
		for (uint64_t i = 0; i < 1000; i++)
			assert_int_equal(reg(t, t->memory + 2 * (i * 7 % 1000) * PG, PG, false), 0);
	}
}

/* ---- mapping, v2 */

static void test_map_v2(void **state)
{
	struct client *t = *state;
	char *memory = t->memory;

	assert_int_equal(reg(t, memory, 8 * PG, true), 0);
	assert_int_equal(reg(t, memory + 8 * PG, 8 * PG, true), 0);
	assert_int_equal(map(t->c, 0, memory, 16 * PG, RW), 0); /* across two regions */
	assert_int_equal(translated(t, 9 * PG + 1, RW), (uintptr_t)memory + 9 * PG + 1);
	assert_int_equal(reg(t, memory, 8 * PG, false), -EBUSY);
	assert_int_equal(map(t->c, 0, memory + 8 * PG, 8 * PG, VFIO_DMA_MAP_FLAG_READ), 0);
	assert_int_equal(translated(t, 0, IOMMU_WRITE), 0);
	assert_int_equal(reg(t, memory, 8 * PG, false), 0); /* nothing points into it any more */
	assert_int_equal(reg(t, memory + 8 * PG, 8 * PG, false), -EBUSY);
	assert_int_equal(map(t->c, 0, memory, PG, RW), -EINVAL);
	/* The second page is not registered: the first is not mapped either. */
	assert_int_equal(map(t->c, 4 * PG, memory + 15 * PG, 2 * PG, RW), -EINVAL);
	assert_int_equal(translated(t, 4 * PG, 0), 0);
	assert_int_equal(translated(t, 5 * PG, 0), (uintptr_t)memory + 13 * PG);
	assert_int_equal(unmap_all(t, 0, 16 * PG), 0);
	assert_int_equal(reg(t, memory + 8 * PG, 8 * PG, false), 0);
}

static void check_map_arguments(struct client *t)
{
	char *memory = t->memory;

	assert_int_equal(map(t->c, 0, memory, 0, RW), 0);
	assert_int_equal(map(t->c, 0, memory, PG, 0), -EINVAL);
	assert_int_equal(map(t->c, 0, memory, PG, RW | VFIO_DMA_MAP_FLAG_VADDR), -EINVAL);
	assert_int_equal(map(t->c, 1, memory, PG, RW), -EINVAL);
	assert_int_equal(map(t->c, 0, memory + 1, PG, RW), -EINVAL);
	assert_int_equal(map(t->c, 0, memory, PG + 1, RW), -EINVAL);
	assert_int_equal(map(t->c, DEFAULT, memory, PG, RW), -ENXIO);
	assert_int_equal(map(t->c, DEFAULT, memory, 1, RW), -ENXIO);
	assert_int_equal(map(t->c, HIGH, memory, PG, RW), -ENXIO);
	assert_int_equal(map(t->c, DEFAULT - PG, memory, 2 * PG, RW), -EINVAL);
	assert_int_equal(map(t->c, PG, memory, -PG, RW), -EINVAL);
	assert_int_equal(map(t->c, DEFAULT - PG, memory, PG, RW), 0);
	assert_int_equal(unmap_all(t, 0, 0), 0);
	assert_int_equal(unmap_all(t, 1, PG), -EINVAL);
	assert_int_equal(unmap_all(t, 0, PG + 1), -EINVAL);
	assert_int_equal(unmap_all(t, DEFAULT, PG), -ENXIO);
	assert_int_equal(unmap_all(t, DEFAULT - PG, 2 * PG), -EINVAL);
	assert_int_equal(unmap_all(t, 0, DEFAULT), 0); /* holes do not matter */
	assert_int_equal(unmap_all(t, 0, DEFAULT), 0);
}

static void test_map_arguments_v1(void **state)
{
	struct client *t = *state;

	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), 0);
	check_map_arguments(t);
}

static void test_map_arguments_v2(void **state)
{
	struct client *t = *state;

	assert_int_equal(reg(t, t->memory, PG, true), 0);
	check_map_arguments(t);
}

/* A window with large pages, and memory that is not for them. */
static void test_large_pages(void **state)
{
	struct client *t = *state;
	char *memory = t->memory;
	uint64_t start;

	assert_int_equal(create(t, 24, 256 * MIB, 1, &start), 0);
	assert_int_equal(reg(t, memory, 16 * MIB, true), 0);
	assert_int_equal(reg(t, memory + 16 * MIB, 12 * MIB, true), 0);
	assert_int_equal(map(t->c, HIGH, memory, 16 * MIB, RW), 0);
	assert_int_equal(translated(t, HIGH + 12345678, RW), (uintptr_t)memory + 12345678);
	assert_int_equal(map(t->c, HIGH, memory, 4 * MIB, RW), -EINVAL);
	assert_int_equal(map(t->c, HIGH, memory + 16 * MIB, 16 * MIB, RW), -EINVAL); /* its end is missing */
	assert_int_equal(remove_at(t, HIGH), 0);
	assert_int_equal(reg(t, memory, 16 * MIB, false), 0);
	assert_int_equal(reg(t, memory + 15 * MIB, MIB, true), 0);
	assert_int_equal(reg(t, memory, 15 * MIB, true), 0);
	assert_int_equal(create(t, 24, 256 * MIB, 2, &start), 0);
	assert_int_equal(map(t->c, HIGH, memory, 16 * MIB, RW), -EINVAL); /* in two regions */
	assert_int_equal(remove_at(t, HIGH), 0);
	assert_int_equal(create(t, 16, 256 * MIB, 3, &start), 0);
	assert_int_equal(map(t->c, HIGH + 65536, memory, 15 * MIB, RW), 0);
	assert_int_equal(translated(t, HIGH + 65536 * 2 - 1, RW), (uintptr_t)memory + 65535);
}

/* Pages of 16 GiB: reserved memory, of which nothing is touched. */
static void test_huge_pages(void **state)
{
	const uint64_t gib16 = BIT64(34);
	char *mapped = mmap(NULL, 3 * gib16, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *memory = (char *)align_up((uintptr_t)mapped, gib16);
	struct spapr_params hw;
	struct client *t;
	uint64_t start;

	assert_ptr_not_equal(mapped, MAP_FAILED);
	spapr_params_default(&hw);
	hw.pgsizes |= gib16;
	hw.ram_shift = 34;
	t = client_new(&hw);
	*state = t;
	open_all(t->bench, 1, VFIO_SPAPR_TCE_v2_IOMMU, &t->c, &t->g);
	assert_int_equal(create(t, 34, 1024 * gib16, 2, &start), 0);
	assert_int_equal(start, HIGH);
	assert_int_equal(reg(t, memory, 2 * gib16 - PG, true), 0);
	assert_int_equal(map(t->c, HIGH, memory, gib16, RW), -EINVAL); /* its size is that of small pages */
	assert_int_equal(reg(t, memory, 2 * gib16 - PG, false), 0);
	assert_int_equal(reg(t, memory, 2 * gib16, true), 0);
	assert_int_equal(map(t->c, HIGH + 1000 * gib16, memory, 2 * gib16, RW), 0);
	assert_int_equal(translated(t, HIGH + 1002 * gib16 - 1, RW), (uintptr_t)memory + 2 * gib16 - 1);
	assert_int_equal(unmap_all(t, HIGH, 1024 * gib16), 0);
	assert_int_equal(reg(t, memory, 2 * gib16, false), 0);
	munmap(mapped, 3 * gib16);
}

/* A region whose own alignment is too small for the window's pages. */
static void test_page_of_region(void **state)
{
	struct spapr_params hw;
	struct client *t;
	uint64_t start;

	spapr_params_default(&hw);
	t = client_new(&hw);
	*state = t;
	open_all(t->bench, 1, VFIO_SPAPR_TCE_v2_IOMMU, &t->c, &t->g);
	assert_int_equal(create(t, 16, 256 * MIB, 1, &start), 0);
	assert_int_equal(reg(t, t->memory + PG, 2 * MIB - PG, true), 0);
	assert_int_equal(map(t->c, HIGH, t->memory + 65536, 65536, RW), -EINVAL);
	assert_int_equal(reg(t, t->memory + 2 * MIB, 16 * MIB, true), 0);
	assert_int_equal(map(t->c, HIGH, t->memory + 2 * MIB, 65536, RW), 0);
	assert_int_equal(remove_at(t, HIGH), 0);
	/* Memory is in pages of 64 KiB, however large the region. */
	assert_int_equal(reg(t, t->memory + 2 * MIB, 16 * MIB, false), 0);
	assert_int_equal(reg(t, t->memory + 16 * MIB, 16 * MIB, true), 0);
	assert_int_equal(create(t, 24, 256 * MIB, 1, &start), 0);
	assert_int_equal(map(t->c, HIGH, t->memory + 16 * MIB, 16 * MIB, RW), -EINVAL);
}

/* ---- no memory: each allocation fails once, and what is charged is what there is */

#ifdef UVFIO_IOMMUFD_TEST
static void test_no_memory(void **state)
{
	struct client *t = *state;
	unsigned int failed = 0;
	uint64_t start, table_pages;

	for (unsigned int nth = 1; failpoint_set(nth), reg(t, t->memory, 16 * PG, true); nth++, failed++)
		assert_int_equal(t->mm->locked_pages, 0);
	failpoint_set(0);
	assert_int_equal(t->mm->locked_pages, 16);
	assert_int_equal(remove_at(t, 0), 0);
	for (unsigned int nth = 1; failpoint_set(nth), create(t, 12, BIT64(36), 3, &start); nth++, failed++)
		assert_int_equal(t->mm->locked_pages, 16);
	failpoint_set(0);
	table_pages = t->mm->locked_pages - 16;
	for (unsigned int nth = 1; failpoint_set(nth), map(t->c, 1000 * PG, t->memory, 16 * PG, RW); nth++) {
		assert_int_equal(translated(t, 1000 * PG, 0), 0);
		failed++;
	}
	failpoint_set(0);
	assert_int_equal(translated(t, 1015 * PG, RW), (uintptr_t)t->memory + 15 * PG);
	assert_int_equal(t->mm->locked_pages, 16 + table_pages);
	assert_int_equal(failed,
			 2 + 1 + 2); /* of the map's three arrays two are there when it is tried again */
}
#endif

/* ---- two containers of one process share what is registered */

static void test_two_containers(void **state)
{
	struct client *t = *state, other = *t;

	open_all(t->bench, 2, VFIO_SPAPR_TCE_v2_IOMMU, &other.c, &other.g);
	assert_int_equal(reg(t, t->memory, 16 * PG, true), 0);
	assert_int_equal(reg(&other, t->memory, 16 * PG, true), 0);
	assert_int_equal(t->mm->locked_pages, 16); /* once */
	assert_int_equal(reg(&other, t->memory + PG, PG, true), -EINVAL);
	assert_int_equal(remove_at(t, 0), 0);
	assert_int_equal(create(t, 12, MIB, 1, NULL), 0);
	assert_int_equal(map(t->c, 0, t->memory, PG, RW), 0);
	assert_int_equal(reg(&other, t->memory, 16 * PG, false), 0);
	assert_int_equal(reg(&other, t->memory, 16 * PG, false), -ENOENT);
	assert_int_equal(reg(t, t->memory, 16 * PG, false), -EBUSY);
	assert_int_equal(reg(&other, t->memory, 16 * PG, true), 0);
	close_fd(t->c); /* with the entry, and its share */
	close_fd(t->g);
	t->c = t->g = 0;
	assert_int_equal(t->mm->locked_pages, 16);
	assert_int_equal(reg(&other, t->memory, 16 * PG, false), 0);
	close_fd(other.c);
	close_fd(other.g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		V2(test_default_window),   V2(test_pending_window), V2(test_create_arguments),
		V2(test_window_charge),    V2(test_register),       V2(test_register_bad_memory),
		V2(test_many_regions),     V2(test_map_v2),         V1(test_map_arguments_v1),
		V2(test_map_arguments_v2), V2(test_large_pages),    ANY(test_huge_pages),
		ANY(test_page_of_region),  V2(test_two_containers),
#ifdef UVFIO_IOMMUFD_TEST
		V2(test_no_memory),
#endif

	};

	return cmocka_run_group_tests_name("spapr_windows", tests, NULL, NULL);
}
