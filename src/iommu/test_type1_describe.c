/* SPDX-License-Identifier: BSD-2-Clause */
/* What fault reports say about the mappings around an IOVA. */
#include "iommu/type1_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PG UVFIO_PAGE_SIZE

struct fixture {
	struct iommu_params params;
	struct type1 *iommu;
	struct mm *mm;
	char *memory; /* 32 pages */
	uint64_t va;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	iommu_params_default(&f->params);
	f->iommu = type1_new(&f->params, true);
	f->mm = mm_self();
	f->memory = mmap(NULL, 32 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f->va = (uint64_t)(uintptr_t)f->memory;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	type1_free(f->iommu);
	munmap(f->memory, 32 * PG);
	mm_put(f->mm);
	free(f);
	return 0;
}

static void map(struct fixture *f, uint64_t iova, uint64_t page, uint64_t pages)
{
	assert_int_equal(type1_map(f->iommu, f->mm, iova, f->va + page * PG, pages * PG, IOMMU_READ, false),
			 0);
}

static void unmap(struct fixture *f, uint64_t iova, uint64_t pages)
{
	uint64_t got;

	assert_int_equal(type1_unmap(f->iommu, iova, pages * PG, 0, NULL, &got), 0);
	assert_int_equal(got, pages * PG);
}

static void expect(struct fixture *f, uint64_t iova, const char *wanted)
{
	char said[320];

	type1_describe(f->iommu, iova, said, sizeof(said));
	assert_string_equal(said, wanted);
}

static void test_distances(void **state)
{
	struct fixture *f = *state;

	expect(f, 0x5000, "no mapping exists at all");
	map(f, 0x10000, 0, 1);
	map(f, 0x20000, 1, 2);
	expect(f, 0x11000,
	       "nearest: [0x10000-0x10fff] r-, ends just below; [0x20000-0x21fff] r-, 0xf000 above");
	expect(f, 0x1ffff, "nearest: [0x10000-0x10fff] r-, 0xefff below; [0x20000-0x21fff] r-, 0x1 above");
	expect(f, 0x22000, "nearest: [0x20000-0x21fff] r-, ends just below");
	expect(f, 0x800, "nearest: [0x10000-0x10fff] r-, 0xf800 above");
	expect(f, 0x20800, "[0x20000-0x21fff] r-, 0x800 into this mapping");
}

static void test_recently_unmapped(void **state)
{
	struct fixture *f = *state;

	map(f, 0x10000, 0, 2);
	map(f, 0x40000, 4, 1);
	unmap(f, 0x10000, 2);
	expect(f, 0x11008,
	       "nearest: [0x40000-0x40fff] r-, 0x2eff8 above; it was mapped until VFIO_IOMMU_UNMAP_DMA of "
	       "[0x10000-0x11fff]");
	/* several in one call */
	map(f, 0x10000, 0, 1);
	map(f, 0x11000, 1, 1);
	unmap(f, 0x10000, 2);
	unmap(f, 0x40000, 1);
	expect(f, 0x11000,
	       "no mapping exists at all; it was mapped until VFIO_IOMMU_UNMAP_DMA of [0x10000-0x11fff]");
	for (uint64_t i = 0; i < TYPE1_RECENT; i++) {
		map(f, 0x100000, 0, 1);
		unmap(f, 0x100000, 1);
	}
	expect(f, 0x11000, "no mapping exists at all");
}

static void test_addresses_of_the_program(void **state)
{
	struct fixture *f = *state;
	char wanted[320];

	map(f, 0x10000, 2, 4);
	snprintf(wanted, sizeof(wanted),
		 "nearest: [0x10000-0x13fff] r-, %#llx below; this is an address of the program, not an I/O "
		 "address: "
		 "the memory there is mapped at IOVA 0x11010",
		 (unsigned long long)(f->va + 3 * PG + 0x10 - 0x14000));
	expect(f, f->va + 3 * PG + 0x10, wanted);
	snprintf(wanted, sizeof(wanted),
		 "nearest: [0x10000-0x13fff] r-, %#llx below; this is an address of the program, not an I/O "
		 "address: "
		 "map the memory and give the device the IOVA",
		 (unsigned long long)(f->va + 9 * PG - 0x14000));
	expect(f, f->va + 9 * PG, wanted);
	munmap(f->memory + 9 * PG, PG);
	*strstr(wanted, "; this") = 0;
	expect(f, f->va + 9 * PG, wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_distances, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recently_unmapped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses_of_the_program, setup, teardown),
	};

	return cmocka_run_group_tests_name("type1_describe", tests, NULL, NULL);
}
