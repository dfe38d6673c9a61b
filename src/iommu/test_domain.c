/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables against a plain list of mappings: leaves of every size, spans, holes, unmapping in any order;
 * and that nothing is left in the tables when all is unmapped.
 */
#include "base/failpoint.h"
#include "iommu/domain.h"
#include "iommu/domain_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PG UVFIO_PAGE_SIZE
#define RW (IOMMU_READ | IOMMU_WRITE)

struct mapping {
	uint64_t iova, size, va;
	unsigned int prot;
};

#define MAX_MAPPINGS 300
static struct mapping list[MAX_MAPPINGS];
static unsigned int nr;

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

static struct iommu_domain *make(unsigned int width)
{
	struct iommu_params params;
	struct iommu_domain *domain;

	iommu_params_default(&params);
	params.width = width;
	domain = iommu_domain_alloc(&params);
	assert_non_null(domain);
	nr = 0;
	return domain;
}

/* Once in a while a table cannot be had. */
static void fail_maybe(void)
{
#ifdef UVFIO_IOMMUFD_TEST
	failpoint_set(rnd(6) ? 0 : 1 + (unsigned int)rnd(3));
#endif
}

static bool has_failed(int ret)
{
#ifdef UVFIO_IOMMUFD_TEST
	bool could = !failpoint_get();

	failpoint_set(0);
	return could && ret == -ENOMEM;
#else
	(void)ret;
	return false;
#endif
}

static const struct mapping *find(uint64_t iova)
{
	for (unsigned int i = 0; i < nr; i++)
		if (iova - list[i].iova < list[i].size)
			return &list[i];
	return NULL;
}

static bool is_free(uint64_t iova, uint64_t size)
{
	for (unsigned int i = 0; i < nr; i++)
		if (iova < list[i].iova + list[i].size && list[i].iova < iova + size)
			return false;
	return true;
}

static void check_at(struct iommu_domain *domain, uint64_t iova)
{
	const struct mapping *m = find(iova);
	struct iommu_translation tr;
	unsigned int prot = m ? m->prot : IOMMU_READ;
	int ret = iommu_domain_translate(domain, iova, prot, &tr);

	if (!m) {
		assert_int_equal(ret, -ENOENT);
		return;
	}
	assert_int_equal(ret, 0);
	assert_int_equal(tr.va, m->va + (iova - m->iova));
	assert_int_equal(tr.prot, m->prot);
	assert_true(tr.len && tr.len <= m->iova + m->size - iova);
	if (m->prot != RW)
		assert_int_equal(iommu_domain_translate(domain, iova, RW, &tr), -EACCES);
}

static void check_around(struct iommu_domain *domain, const struct mapping *m)
{
	check_at(domain, m->iova);
	check_at(domain, m->iova + m->size - 1);
	check_at(domain, m->iova + m->size);
	check_at(domain, m->iova + rnd(m->size));
	if (m->iova)
		check_at(domain, m->iova - 1);
}

/* Sizes and places that make all kinds of leaves and spans next to each other. */
static void try_map(struct iommu_domain *domain, uint64_t top)
{
	static const unsigned int shifts[] = { 12, 13, 16, 21, 22, 30, 31, 39, 40 };
	unsigned int shift = shifts[rnd(ARRAY_SIZE(shifts))];
	struct mapping m = { .prot = (unsigned int)rnd(3) + 1 };
	int ret;

	m.size = rnd(2) ? BIT64(shift) : (rnd(BIT64(shift - 12)) + 1) * PG;
	m.iova = rnd(2) ? align_down(rnd(top), BIT64(shift)) : align_down(rnd(rnd(2) ? top : BIT64(33)), PG);
	m.va = (rnd(BIT64(46)) + 1) & ~(PG - 1);
	if (nr == MAX_MAPPINGS || m.iova + m.size > top || !is_free(m.iova, m.size))
		return;
	fail_maybe();
	ret = iommu_domain_map(domain, m.iova, m.size, mm_by_index(MM_SELF_INDEX), m.va, m.prot);
	if (!has_failed(ret)) {
		assert_int_equal(ret, 0);
		list[nr++] = m;
	}
	check_around(domain, &m);
}

static void try_unmap(struct iommu_domain *domain)
{
	struct mapping m;
	unsigned int i;

	if (!nr)
		return;
	i = (unsigned int)rnd(nr);
	m = list[i];
	list[i] = list[--nr];
	iommu_domain_unmap(domain, m.iova, m.size);
	check_around(domain, &m);
}

/* A mapping becomes two, and nothing else changes. */
static void try_split(struct iommu_domain *domain)
{
	struct mapping *left, right;
	uint64_t pages;
	int ret;

	if (!nr || nr == MAX_MAPPINGS)
		return;
	left = &list[rnd(nr)];
	pages = left->size / PG;
	if (pages == 1)
		return;
	right = *left;
	left->size = (1 + rnd(pages - 1)) * PG;
	right.iova += left->size;
	right.va += left->size;
	right.size -= left->size;
	list[nr++] = right;
	fail_maybe();
	ret = iommu_domain_split(domain, right.iova);
	if (has_failed(ret)) { /* then it is one still */
		left->size += right.size;
		nr--;
	} else {
		assert_int_equal(ret, 0);
	}
	check_around(domain, left);
	check_around(domain, &right);
}

static void assert_empty(struct iommu_domain *domain)
{
	for (unsigned int i = 0; i < TABLE_ENTRIES; i++)
		assert_int_equal(domain->pt.root[i], 0);
}

static void churn(unsigned int width)
{
	struct iommu_domain *domain = make(width);
	uint64_t top = BIT64(width), bytes;

	for (int i = 0; i < 20000; i++) {
		if (rnd(100) < (i / 2000 % 2 ? 70u : 30u))
			try_map(domain, top);
		else
			try_unmap(domain);
		if (!rnd(10))
			try_split(domain);
		if (nr)
			check_around(domain, &list[rnd(nr)]);
	}
	while (nr)
		try_unmap(domain);
	assert_empty(domain);
	bytes = iommu_domain_table_bytes(domain);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(iommu_domain_map(domain, 0x5000, PG, mm_by_index(MM_SELF_INDEX), PG, RW), 0);
		iommu_domain_unmap(domain, 0x5000, PG);
	}
	assert_int_equal(iommu_domain_table_bytes(domain), bytes);
	iommu_domain_free(domain);
}

static void test_random(void **state)
{
	(void)state;
	churn(48);
	churn(39);
	churn(57);
}

static void test_wide_unmap(void **state)
{
	struct iommu_domain *domain = make(48);
	struct iommu_translation tr;

	(void)state;
	for (int i = 0; i < 1000; i++)
		try_map(domain, BIT64(48));
	iommu_domain_unmap(domain, 0, BIT64(48));
	nr = 0;
	assert_empty(domain);
	/* a hole beside the only mapping of a region */
	assert_int_equal(iommu_domain_map(domain, 5 * PG, PG, mm_by_index(MM_SELF_INDEX), 9 * PG, RW), 0);
	iommu_domain_unmap(domain, 7 * PG, PG);
	assert_int_equal(iommu_domain_translate(domain, 5 * PG, RW, &tr), 0);
	iommu_domain_unmap(domain, UINT64_MAX - PG + 1, PG);
	iommu_domain_unmap(domain, 0, UINT64_MAX);
	assert_int_equal(iommu_domain_translate(domain, 5 * PG, RW, &tr), -ENOENT);
	iommu_domain_free(domain);
}

static void test_terabyte_is_few_leaves(void **state)
{
	struct iommu_domain *domain = make(48);
	struct iommu_translation tr;
	uint64_t before = iommu_domain_table_bytes(domain);

	(void)state;
	assert_int_equal(
		iommu_domain_map(domain, BIT64(40), BIT64(40), mm_by_index(MM_SELF_INDEX), 7 * PG, RW), 0);
	assert_int_equal(iommu_domain_table_bytes(domain), before);
	assert_int_equal(iommu_domain_translate(domain, BIT64(40) + 5, RW, &tr), 0);
	assert_int_equal(tr.len, BIT64(39) - 5);
	assert_int_equal(tr.va, 7 * PG + 5);
	iommu_domain_unmap(domain, BIT64(40), BIT64(40));
	assert_empty(domain);
	iommu_domain_free(domain);
}

static void test_sparse_is_small(void **state)
{
	struct iommu_domain *domain = make(48);
	uint64_t n = 20000;

	(void)state;
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(iommu_domain_map(domain, i << 22, PG, mm_by_index(MM_SELF_INDEX), PG, RW),
				 0);
	assert_true(iommu_domain_table_bytes(domain) / n < 64);
	iommu_domain_free(domain);
}

static void test_remap(void **state)
{
	struct iommu_domain *domain = make(48);
	struct mm *mm = mm_by_index(MM_SELF_INDEX);
	uint64_t size = BIT64(30) + 3 * BIT64(21) + 5 * PG;
	struct iommu_translation tr;

	(void)state;
	assert_int_equal(iommu_domain_map(domain, PG, size, mm, BIT64(40), RW), 0);
	assert_int_equal(iommu_domain_map(domain, PG + size, PG, mm, BIT64(41), IOMMU_READ), 0);
	iommu_domain_remap(domain, PG, size, mm, BIT64(42), RW);
	for (uint64_t at = 0; at < size; at += 1234567) {
		assert_int_equal(iommu_domain_translate(domain, PG + at, RW, &tr), 0);
		assert_int_equal(tr.va, BIT64(42) + at);
	}
	iommu_domain_unmap(domain, PG, size);
	assert_int_equal(iommu_domain_translate(domain, PG + size, IOMMU_READ, &tr), 0);
	iommu_domain_unmap(domain, PG + size, PG);
	assert_empty(domain);
	iommu_domain_free(domain);
}

static void test_usable_ranges(void **state)
{
	struct iommu_params params;
	struct iommu_range r[4];

	(void)state;
	iommu_params_default(&params);
	assert_int_equal(iommu_usable_ranges(&params, r, 4), 2);
	assert_true(r[0].start == 0 && r[0].last == 0xfedfffff);
	assert_true(r[1].start == 0xfef00000 && r[1].last == BIT64(48) - 1);
	params.width = 39;
	params.nr_reserved = 3;
	params.reserved[1] = (struct iommu_range){ 0, 0xfff };
	params.reserved[2] = (struct iommu_range){ BIT64(39) - PG, UINT64_MAX };
	assert_int_equal(iommu_usable_ranges(&params, r, 4), 2);
	assert_true(r[0].start == 0x1000 && r[0].last == 0xfedfffff);
	assert_true(r[1].start == 0xfef00000 && r[1].last == BIT64(39) - PG - 1);
	params.nr_reserved = 1;
	params.reserved[0] = (struct iommu_range){ 0, UINT64_MAX };
	assert_int_equal(iommu_usable_ranges(&params, r, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_wide_unmap),
		cmocka_unit_test(test_terabyte_is_few_leaves),
		cmocka_unit_test(test_sparse_is_small),
		cmocka_unit_test(test_remap),
		cmocka_unit_test(test_usable_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
