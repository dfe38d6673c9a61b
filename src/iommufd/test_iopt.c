/* SPDX-License-Identifier: BSD-2-Clause */
/* IO page tables, behaviour by behaviour. */
#include "iommufd/test_iopt.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct iommu_params params;
static struct iommufd_ctx ctx;
static struct io_pagetable table, other;
static struct test_domain domain, second;
static struct mm *mm;
static char *memory; /* 16 pages, of which the last two cannot be written, and the last not be read */

static uint64_t va(uint64_t byte)
{
	return (uint64_t)(uintptr_t)memory + byte;
}

static int setup(void **state)
{
	(void)state;
	iommu_params_default(&params);
	ctx = (struct iommufd_ctx){ .params = &params, .account_mode = IOPT_ACCOUNT_USER };
	mm = mm_self();
	memory = test_memory(16);
	assert_int_equal(mprotect(memory + 14 * PG, PG, PROT_READ), 0);
	assert_int_equal(mprotect(memory + 15 * PG, PG, PROT_NONE), 0);
	iopt_init(&table);
	iopt_init(&other);
	test_domain_init(&domain, PG);
	test_domain_init(&second, PG);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	iopt_destroy(&table);
	iopt_destroy(&other);
	test_domain_fini(&domain);
	test_domain_fini(&second);
	assert_int_equal(mm->pinned_pages, 0);
	assert_int_equal(mm->locked_pages, 0);
	mm_put(mm);
	munmap(memory, 16 * PG);
	return 0;
}

static int map_in(struct io_pagetable *iopt, uint64_t iova, uint64_t uptr, uint64_t len, unsigned int prot)
{
	return iopt_map_user_pages(&ctx, iopt, mm, &iova, uptr, len, prot, 0);
}

static int map(uint64_t iova, uint64_t byte, uint64_t len)
{
	return map_in(&table, iova, va(byte), len, RW);
}

static int unmap(uint64_t iova, uint64_t len)
{
	uint64_t unmapped;
	int ret = iopt_unmap_iova(&table, iova, len, &unmapped);

	return ret ? ret : (int)(unmapped / PG);
}

static int copy(uint64_t dst_iova, uint64_t src_iova, uint64_t len, unsigned int prot)
{
	return iopt_copy(&other, &dst_iova, &table, src_iova, len, prot, 0);
}

static uint64_t choose(uint64_t uptr, uint64_t len)
{
	uint64_t iova = 0;
	int ret = iopt_map_user_pages(&ctx, &table, mm, &iova, uptr, len, RW, IOPT_ALLOC_IOVA);

	return ret ? (uint64_t)(int64_t)ret : iova;
}

static void test_map_errors(void **state)
{
	(void)state;
	assert_int_equal(map(PG, 0, 0), -EINVAL);
	assert_int_equal(map_in(&table, PG, UINT64_MAX - PG, 2 * PG, RW), -EOVERFLOW);
	assert_int_equal(map_in(&table, UINT64_MAX - PG, 0, 4 * PG, RW), -EOVERFLOW);
	assert_int_equal(map(0, 0, 2 * PG), 0);
	assert_int_equal(map(PG, 0, PG), -EEXIST);
	assert_int_equal(map(2 * PG + 7, 9, 11), 0); /* nothing asks for an alignment */
	assert_int_equal(map_in(&table, UINT64_MAX - PG + 1, va(0), PG, RW), 0);
	assert_int_equal(unmap(0, PG), -ENOENT);
	assert_int_equal(unmap(PG, PG), -ENOENT);
	assert_int_equal(unmap(16 * PG, PG), 0);
	assert_int_equal(unmap(0, 0), -EINVAL);
	assert_int_equal(unmap(UINT64_MAX, 2), -EOVERFLOW);
	assert_int_equal(unmap(0, 2 * PG + 10), -ENOENT); /* the first has gone by then */
	assert_int_equal(table.areas.count, 2);
}

static void test_memory_is_looked_at_late(void **state)
{
	(void)state;
	assert_int_equal(map(0, 15 * PG, PG), 0);
	assert_int_equal(map_in(&table, 4 * PG, va(14 * PG), PG, IOMMU_READ), 0);
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), -EFAULT);
	assert_int_equal(domain.maps.count, 0);
	assert_int_equal(mm->pinned_pages, 0);
	assert_int_equal(unmap(0, PG), 1);
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), 0);
	assert_int_equal(mm->pinned_pages, 1);
	assert_int_equal(map(0, 13 * PG, 2 * PG), -EFAULT);
	assert_int_equal(map(0, 12 * PG, 2 * PG), 0);
	assert_int_equal(domain.maps.count, 2);
	test_domain_assert(&domain, PG, va(13 * PG));
	assert_int_equal(mm->pinned_pages, 3);
	iopt_table_remove_domain(&table, &domain.base);
	assert_int_equal(mm->pinned_pages, 0);
}

static void test_alignment(void **state)
{
	(void)state;
	assert_int_equal(map(PG, 512, PG), 0);
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), -EADDRINUSE);
	assert_int_equal(unmap(PG, PG), 1);
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), 0);
	assert_int_equal(map(PG + 512, 0, PG), -EINVAL);
	assert_int_equal(map(PG, 0, 512), -EINVAL);
	assert_int_equal(map(PG, 512, PG), -EINVAL);
	assert_int_equal(map(PG, 0, PG), 0);
	assert_int_equal(map(PG, 512, PG), -EEXIST); /* is looked at first */
	assert_int_equal((int64_t)choose(va(512), PG), -EINVAL);
	second.base.pgsize = 2 * PG;
	assert_int_equal(iopt_table_add_domain(&table, &second.base), -EINVAL);
	iopt_table_remove_domain(&table, &domain.base);
	assert_int_equal(map(2 * PG + 512, 512, 512), 0);
}

static void test_apertures_and_ranges(void **state)
{
	struct iommu_range allowed[] = { { PG, 2 * PG - 1 }, { 4 * PG, 9 * PG - 1 } };
	struct iommu_range reserved_too = { 0, 5 * PG };

	(void)state;
	domain.base.aperture_first = PG;
	domain.base.aperture_last = 100 * PG - 1;
	assert_int_equal(map(0, 0, PG), 0);
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), -EADDRINUSE);
	assert_int_equal(table.nr_reserved, 0);
	assert_int_equal(unmap(0, PG), 1);
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), 0);
	assert_int_equal(map(0, 0, PG), -EINVAL);
	assert_int_equal(map(99 * PG, 0, 2 * PG), -EINVAL);
	assert_int_equal(map(99 * PG, 0, PG), 0);
	assert_int_equal(iopt_reserve_iova(&table, 99 * PG, 120 * PG, &params), -EADDRINUSE);
	assert_int_equal(iopt_reserve_iova(&table, 3 * PG, 4 * PG - 1, &params), 0);
	assert_int_equal(map(2 * PG, 0, 2 * PG), -EINVAL);
	assert_int_equal(iopt_set_allow_iova(&table, &reserved_too, 1), -EADDRINUSE);
	assert_int_equal(iopt_set_allow_iova(&table, allowed, 2), 0);
	assert_int_equal(iopt_reserve_iova(&table, 5 * PG, 5 * PG, &params), -EADDRINUSE);
	assert_int_equal(choose(va(0), 2 * PG), 4 * PG);
	assert_int_equal(choose(va(0), PG), PG);
	assert_int_equal(choose(va(0), PG), 6 * PG);
	assert_int_equal((int64_t)choose(va(0), 3 * PG), -ENOSPC);
	iopt_remove_reserved_iova(&table, &params);
	iopt_table_remove_domain(&table, &domain.base);
	assert_int_equal(table.nr_reserved, 0);
	assert_int_equal(iopt_set_allow_iova(&table, NULL, 0), 0);
	assert_int_equal(choose(va(0), PG), 2 * PG);
}

static void test_chosen_iovas(void **state)
{
	const uint64_t huge = 2 << 20;

	(void)state;
	assert_int_equal(choose(va(0), PG), PG); /* 0 is never chosen */
	assert_int_equal(choose(8 * huge, huge), huge);
	assert_int_equal(choose(8 * huge, 3 * huge), 2 * huge); /* 2 MiB are enough */
	assert_int_equal(choose(PG, huge), 5 * huge);           /* not aligned, but there is no room below */
	assert_int_equal(choose(3 * PG, 2 * PG), 2 * PG);
	assert_int_equal(choose(va(8), 8), 4 * PG + 8);
	assert_int_equal(choose(0, 100 * PG), 128 * PG);
	assert_int_equal((int64_t)choose(0, UINT64_MAX / 2), -EOVERFLOW);
}

static void test_copies_are_pinned_once(void **state)
{
	(void)state;
	assert_int_equal(map(0, 0, 8 * PG), 0);
	assert_int_equal(map(8 * PG, 8 * PG, 2 * PG), 0);
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), 0);
	assert_int_equal(mm->pinned_pages, 10);
	assert_int_equal(iopt_table_add_domain(&other, &second.base), 0);
	assert_int_equal(copy(64 * PG, 6 * PG, 3 * PG, IOMMU_READ), 0);
	assert_int_equal(mm->pinned_pages, 10);
	test_domain_assert(&second, 65 * PG, va(7 * PG));
	test_domain_assert(&second, 66 * PG, va(8 * PG));
	assert_int_equal(copy(64 * PG, 0, PG, RW), -EEXIST);
	assert_int_equal(copy(80 * PG, 9 * PG, 2 * PG, RW), -ENOENT);
	assert_int_equal(copy(80 * PG, 0, 0, RW), -EINVAL);
	assert_int_equal(copy(80 * PG, UINT64_MAX, 2, RW), -EOVERFLOW);
	iopt_table_remove_domain(&table, &domain.base);
	assert_int_equal(mm->pinned_pages, 3);
	assert_int_equal(unmap(0, 10 * PG), 10);
	assert_int_equal(mm->pinned_pages, 3);
	iopt_table_remove_domain(&other, &second.base);
}

static void test_copy_cannot_write_more(void **state)
{
	uint64_t iova = 0;

	(void)state;
	assert_int_equal(map_in(&table, 0, va(0), PG, IOMMU_READ), 0);
	assert_int_equal(copy(0, 0, PG, RW), -EPERM);
	assert_int_equal(copy(0, 0, PG, IOMMU_READ), 0);
	assert_int_equal(iopt_copy(NULL, &iova, &table, 0, PG, IOMMU_READ, 0), -ENOENT);
	assert_int_equal(iopt_copy(&table, &iova, &table, 0, PG, IOMMU_READ, IOPT_ALLOC_IOVA), 0);
	assert_int_equal(iova, PG);
}

static void test_pinning_and_copying(void **state)
{
	struct mm_page pages[3];
	uint64_t word = 0x1122334455667788;

	(void)state;
	assert_int_equal(map(0, 0, 4 * PG), 0);
	assert_int_equal(map_in(&table, 4 * PG, va(14 * PG), PG, IOMMU_READ), 0);
	assert_int_equal(iopt_access_pin(&table, PG, 3 * PG, pages, IOMMUFD_ACCESS_RW_WRITE, false), 0);
	assert_int_equal(pages[2].va, va(3 * PG));
	assert_ptr_equal(pages[2].mm, mm);
	assert_int_equal(iopt_access_pin(&table, PG, 3 * PG, NULL, 0, false), 0);
	assert_int_equal(mm->pinned_pages, 3);
	assert_int_equal(iopt_access_pin(&table, 3 * PG, 2 * PG, NULL, IOMMUFD_ACCESS_RW_WRITE, false),
			 -EPERM);
	assert_int_equal(iopt_access_pin(&table, 3 * PG, 3 * PG, NULL, 0, false), -ENOENT);
	assert_int_equal(iopt_access_pin(&table, 3 * PG + 8, PG, NULL, 0, false), -EINVAL);
	assert_int_equal(mm->pinned_pages, 3);
	assert_int_equal(table.num_accesses, 6);
	assert_int_equal(iopt_access_rw(&table, 3 * PG - 4, &word, 8, IOMMUFD_ACCESS_RW_WRITE), 0);
	assert_memory_equal(memory + 3 * PG - 4, &word, 8);
	assert_int_equal(iopt_access_rw(&table, 4 * PG - 4, &word, 8, IOMMUFD_ACCESS_RW_WRITE), -EPERM);
	assert_int_equal(iopt_access_rw(&table, 5 * PG - 4, &word, 8, IOMMUFD_ACCESS_RW_READ), -ENOENT);
	iopt_access_unpin(&table, PG, 3 * PG, false);
	iopt_access_unpin(&table, PG, 3 * PG, false);
	assert_int_equal(mm->pinned_pages, 0);
	assert_int_equal(map(8 * PG, 15 * PG, PG), 0);
	assert_int_equal(iopt_access_pin(&table, 8 * PG, PG, NULL, 0, false), -EFAULT);
	assert_int_equal(iopt_access_rw(&table, 8 * PG, &word, 8, IOMMUFD_ACCESS_RW_READ), -EFAULT);
}

static int pin(uint64_t page, uint64_t n)
{
	return iopt_access_pin(&table, page * PG, n * PG, NULL, IOMMUFD_ACCESS_RW_WRITE, false);
}

static void unpin(uint64_t page, uint64_t n)
{
	iopt_access_unpin(&table, page * PG, n * PG, false);
}

/* Pins are counted by page: who unpins need not do it as it has pinned. */
static void test_pins_by_page(void **state)
{
	(void)state;
	assert_int_equal(map(0, 0, 4 * PG), 0);
	assert_int_equal(map(4 * PG, 8 * PG, PG), 0);
	assert_int_equal(pin(0, 5), 0);
	assert_int_equal(pin(2, 1), 0);
	assert_int_equal(table.num_accesses, 6);
	unpin(1, 1);
	unpin(2, 3);
	assert_int_equal(mm->pinned_pages, 2);
	assert_int_equal(unmap(4 * PG, PG), 1);
	/* what is pinned needs no memory any more, but what is not does */
	assert_int_equal(munmap(memory + 2 * PG, PG), 0);
	assert_int_equal(pin(0, 4), 0);
	assert_int_equal(mm->pinned_pages, 4);
	unpin(3, 1);
	assert_int_equal(munmap(memory + 3 * PG, PG), 0);
	assert_int_equal(pin(0, 4), -EFAULT);
	assert_int_equal(mm->pinned_pages, 3);
	unpin(0, 3);
	assert_int_equal(mm->pinned_pages, 2);
	unpin(2, 1);
	unpin(0, 1);
	assert_int_equal(table.num_accesses, 0);
}

static bool bar_called;

static int call_bar(uint64_t at, void *data, size_t len, bool write)
{
	(void)at;
	if (!write)
		memset(data, 0, len);
	bar_called = true;
	return 0;
}

/* Its device may itself use an access, and would find the locks held. */
static void test_bar_is_no_memory(void **state)
{
	uint64_t word = 1;

	(void)state;
	mm_io_access = call_bar;
	mm_note_map(va(15 * PG), PG, PROT_READ | PROT_WRITE, MM_IO);
	assert_int_equal(map(0, 14 * PG, 2 * PG), 0);
	assert_int_equal(iopt_access_rw(&table, PG, &word, 8, IOMMUFD_ACCESS_RW_READ), -EFAULT);
	assert_int_equal(iopt_access_rw(&table, PG - 4, &word, 8, IOMMUFD_ACCESS_RW_READ), -EFAULT);
	assert_int_equal(iopt_access_rw(&table, PG, &word, 8, IOMMUFD_ACCESS_RW_WRITE), -EFAULT);
	assert_int_equal(iopt_access_pin(&table, PG, PG, NULL, 0, false), -EFAULT);
	assert_false(bar_called);
	mm_note_change(va(15 * PG), PG);
	mm_io_access = NULL;
}

static void test_locked_areas_stay(void **state)
{
	(void)state;
	assert_int_equal(map(0, 0, PG), 0);
	assert_int_equal(map(PG, PG, PG), 0);
	assert_int_equal(iopt_access_pin(&table, PG, PG, NULL, 0, true), 0);
	assert_int_equal(unmap(0, 2 * PG), -EBUSY);
	assert_int_equal(table.areas.count, 1);
	iopt_access_unpin(&table, PG, PG, true);
	assert_int_equal(unmap(0, 2 * PG), 1);
}

static void test_stubborn_pins(void **state)
{
	(void)state;
	assert_int_equal(map(0, 0, PG), 0);
	assert_int_equal(iopt_access_pin(&table, 0, PG, NULL, 0, false), 0);
	assert_int_equal(unmap(0, PG), -EDEADLOCK);
	assert_int_equal(iopt_access_pin(&table, 0, PG, NULL, 0, false), -EINVAL); /* it is to go */
	iopt_access_unpin(&table, 0, PG, false);
	assert_int_equal(unmap(0, PG), 1);
}

static void test_limits(void **state)
{
	(void)state;
	params.memlock_pages = 4;
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), 0);
	assert_int_equal(map(0, 0, 3 * PG), 0);
	assert_int_equal(map(8 * PG, 8 * PG, 2 * PG), -ENOMEM);
	assert_int_equal(map(8 * PG, 14 * PG, 2 * PG), -EFAULT); /* is found first */
	assert_int_equal(map(8 * PG, 0, PG), 0);
	assert_int_equal(mm->locked_pages, 4);
	assert_int_equal(unmap(0, 16 * PG), 4);
	assert_int_equal(mm->locked_pages, 0);
	iopt_table_remove_domain(&table, &domain.base);
}

static void test_cutting(void **state)
{
	uint64_t cuts[] = { 2 * PG - 1, 5 * PG - 1 }, fine = 511;

	(void)state;
	assert_int_equal(iopt_table_add_domain(&table, &domain.base), 0);
	assert_int_equal(map(0, 0, 8 * PG), 0);
	assert_int_equal(iopt_cut_iova(&table, cuts, 1), -EINVAL);
	assert_int_equal(iopt_disable_large_pages(&table), -EINVAL);
	assert_int_equal(unmap(0, 8 * PG), 8);
	assert_int_equal(iopt_disable_large_pages(&table), 0);
	assert_int_equal(map(0, 0, 8 * PG), 0);
	assert_int_equal(iopt_cut_iova(&table, &fine, 1), -EINVAL);
	assert_int_equal(iopt_cut_iova(&table, cuts, 2), 0);
	assert_int_equal(iopt_cut_iova(&table, cuts, 2), 0);
	assert_int_equal(table.areas.count, 3);
	assert_int_equal(mm->pinned_pages, 8);
	assert_int_equal(unmap(2 * PG, 3 * PG), 3);
	assert_int_equal(mm->pinned_pages, 5);
	test_domain_assert(&domain, PG, va(PG));
	test_domain_assert(&domain, 5 * PG, va(5 * PG));
	iopt_table_remove_domain(&table, &domain.base);
	iopt_enable_large_pages(&table);
}

static const char *describe(uint64_t iova)
{
	static char text[256];

	iopt_describe(&table, iova, text, sizeof(text));
	return text;
}

static void test_describing(void **state)
{
	(void)state;
	assert_string_equal(describe(0), "no mapping exists at all");
	assert_int_equal(map(0x10000, 0, PG), 0);
	assert_int_equal(map_in(&table, 0x20000, va(0), PG, IOMMU_READ), 0);
	assert_int_equal(map(0x30000, 0, PG), 0);
	assert_string_equal(describe(0x10008), "[0x10000-0x10fff] rw, 0x8 into this mapping");
	assert_string_equal(describe(0x21000), "nearest: [0x20000-0x20fff] r-, ends just below; "
					       "[0x30000-0x30fff] rw, 0xf000 above");
	assert_int_equal(unmap(0x10000, 0x18000), 2);
	assert_string_equal(describe(0x20000), "nearest: [0x30000-0x30fff] rw, 0x10000 above; "
					       "it was mapped until [0x10000-0x20fff] was unmapped");
	assert_non_null(strstr(describe(va(8)), "the memory there is mapped at IOVA 0x30008"));
	assert_int_equal(unmap(0x30000, PG), 1);
	assert_string_equal(describe(0x30000), "no mapping exists at all; it was mapped until "
					       "[0x30000-0x30fff] was unmapped");
}

#ifdef UVFIO_IOMMUFD_TEST
/* Every failure leaves things as they were. */
static void sweep(int (*step)(void))
{
	uint64_t pinned = mm->pinned_pages, areas = table.areas.count + other.areas.count;
	uint64_t maps = domain.maps.count + second.maps.count;
	unsigned int nth;
	int ret;

	for (nth = 1;; nth++) {
		fail_at(nth);
		ret = step();
		if (!has_failed(nth))
			break;
		if (!ret)
			continue; /* what failed could be done without */
		assert_true(ret == -ENOMEM || ret == -EFAULT || ret == -EINVAL);
		assert_int_equal(mm->pinned_pages, pinned);
		assert_int_equal(table.areas.count + other.areas.count, areas);
		assert_int_equal(domain.maps.count + second.maps.count, maps);
	}
	assert_int_equal(ret, 0);
	assert_true(nth > 1);
}

static int step_domain(void)
{
	return iopt_table_add_domain(&table, &domain.base);
}

static int step_second(void)
{
	return iopt_table_add_domain(&table, &second.base);
}

static int step_map(void)
{
	return map(64 * PG, 0, PG);
}

static int step_copy(void)
{
	uint64_t iova = 80 * PG;

	return iopt_copy(&table, &iova, &table, PG, 6 * PG, RW, 0);
}

static int step_pin(void)
{
	return iopt_access_pin(&other, 0, 5 * PG, NULL, 0, false);
}

static int step_cut(void)
{
	uint64_t cut = 64 * PG + PG - 1 - PG / 2;

	return iopt_cut_iova(&other, &cut, 1);
}

static void test_failures(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(map(i * PG, i * PG, PG), 0);
		assert_int_equal(map_in(&other, i * PG, va(i * PG), PG, RW), 0);
	}
	sweep(step_domain);
	sweep(step_map);
	sweep(step_second);
	sweep(step_copy);
	sweep(step_pin);
	iopt_access_unpin(&other, 0, 5 * PG, false);
	assert_int_equal(map_in(&other, 64 * PG, va(0), PG, RW), 0);
	sweep(step_cut);
	iopt_table_remove_domain(&table, &domain.base);
	iopt_table_remove_domain(&table, &second.base);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_map_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_is_looked_at_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alignment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_apertures_and_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chosen_iovas, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copies_are_pinned_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy_cannot_write_more, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pinning_and_copying, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pins_by_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar_is_no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked_areas_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stubborn_pins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cutting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_describing, setup, teardown),
#ifdef UVFIO_IOMMUFD_TEST
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
