/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of IO page tables: a domain that remembers what it was told, and complains when that makes no
 * sense; and a context. To be included by a test only.
 */
#ifndef UVFIO_IOMMUFD_TEST_IOPT_H
#define UVFIO_IOMMUFD_TEST_IOPT_H

#include "base/failpoint.h"
#include "iommufd/iopt_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PG UVFIO_PAGE_SIZE
#define RW (IOMMU_READ | IOMMU_WRITE)

struct test_mapping {
	struct mm *mm;
	uint64_t va;
	unsigned int prot;
};

struct test_domain {
	struct iommufd_domain base;
	struct range_map maps; /* struct test_mapping */
};

static inline int test_domain_map(struct iommufd_domain *domain, uint64_t iova, uint64_t size, struct mm *mm,
				  uint64_t va, unsigned int prot)
{
	struct test_domain *test = container_of(domain, struct test_domain, base);
	struct test_mapping *mapping = malloc(sizeof(*mapping));
	uint64_t last = iova + (size - 1);
	int ret;

	assert_true(is_aligned(iova | size | va, domain->pgsize));
	assert_true(iova >= domain->aperture_first && last <= domain->aperture_last);
	if (iommufd_should_fail()) {
		free(mapping);
		return -ENOMEM;
	}
	*mapping = (struct test_mapping){ mm, va, prot };
	ret = range_map_insert(&test->maps, iova, last, mapping);
	assert_int_not_equal(ret, -EEXIST);
	if (ret)
		free(mapping);
	return ret;
}

static inline void test_domain_forget(void *arg, const struct range *range)
{
	(void)arg;
	free(range->value);
}

static inline void test_domain_unmap(struct iommufd_domain *domain, uint64_t iova, uint64_t size)
{
	struct test_domain *test = container_of(domain, struct test_domain, base);
	uint64_t last = iova + (size - 1);
	struct range range;

	assert_true(range_map_find(&test->maps, iova, &range) && range.start == iova);
	assert_true(range_map_find(&test->maps, last, &range) && range.last == last);
	range_map_remove_starts(&test->maps, iova, last, test_domain_forget, NULL);
}

static inline int test_domain_split(struct iommufd_domain *domain, uint64_t iova)
{
	struct test_domain *test = container_of(domain, struct test_domain, base);
	struct test_mapping *rest;
	struct range range;

	if (!range_map_find(&test->maps, iova, &range) || range.start == iova)
		return 0;
	if (iommufd_should_fail())
		return -ENOMEM;
	rest = malloc(sizeof(*rest));
	*rest = *(struct test_mapping *)range.value;
	rest->va += iova - range.start;
	if (!range_map_split(&test->maps, range.start, iova, rest))
		return 0;
	free(rest);
	return -ENOMEM;
}

static const struct iommufd_domain_ops test_domain_ops = {
	.map = test_domain_map,
	.unmap = test_domain_unmap,
	.split = test_domain_split,
};

static inline void test_domain_init(struct test_domain *test, uint64_t pgsize)
{
	*test = (struct test_domain){
		.base = { .ops = &test_domain_ops, .pgsize = pgsize, .aperture_last = UINT64_MAX }
	};
	range_map_init(&test->maps);
}

static inline void test_domain_fini(struct test_domain *test)
{
	assert_int_equal(test->maps.count, 0);
	range_map_destroy(&test->maps);
}

/* iova leads to va there. */
static inline void test_domain_assert(struct test_domain *test, uint64_t iova, uint64_t va)
{
	struct range range;

	assert_true(range_map_find(&test->maps, iova, &range));
	assert_int_equal(((struct test_mapping *)range.value)->va + (iova - range.start), va);
}

static inline void fail_at(unsigned int nth)
{
#ifdef UVFIO_IOMMUFD_TEST
	failpoint_set(nth);
#else
	(void)nth;
#endif
}

/* Has the failure been had? */
static inline bool has_failed(unsigned int nth)
{
#ifdef UVFIO_IOMMUFD_TEST
	bool failed = nth && !failpoint_get();

	failpoint_set(0);
	return failed;
#else
	(void)nth;
	return false;
#endif
}

static inline char *test_memory(size_t pages)
{
	char *at = mmap(NULL, pages * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

#endif
