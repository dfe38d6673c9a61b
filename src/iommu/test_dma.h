/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of DMA share: a type1 container with one device, and 64 pages of memory. */
#ifndef UVFIO_IOMMU_TEST_DMA_H
#define UVFIO_IOMMU_TEST_DMA_H

#include "iommu/type1.h"

#include "base/trace.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PG   UVFIO_PAGE_SIZE
#define BASE ((uint64_t)0x40000000)
#define RW   (IOMMU_READ | IOMMU_WRITE)

struct fixture {
	struct iommu_params params;
	struct type1 *iommu;
	struct iommu_dev dev;
	struct iommu_dev *devs[1];
	struct uvfio_dma *user;
	struct mm *mm;
	char *memory; /* 64 pages */
	uint64_t va;
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	iommu_params_default(&f->params);
	f->iommu = type1_new(&f->params, true);
	iommu_dev_init(&f->dev, "0000:00:01.0");
	atomic_store(&f->dev.enabled, true);
	f->devs[0] = &f->dev;
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	f->user = dma_user_new(&f->dev, NULL);
	f->mm = mm_self();
	f->memory = mmap(NULL, 64 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f->va = (uint64_t)(uintptr_t)f->memory;
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	dma_user_free(f->user);
	type1_detach(f->iommu, f->devs, 1);
	type1_free(f->iommu);
	iommu_dev_destroy(&f->dev);
	munmap(f->memory, 64 * PG);
	mm_put(f->mm);
	free(f);
	return 0;
}

static inline void map(struct fixture *f, uint64_t iova_page, uint64_t va_page, uint64_t n, unsigned int prot)
{
	assert_int_equal(
		type1_map(f->iommu, f->mm, BASE + iova_page * PG, f->va + va_page * PG, n * PG, prot, false),
		0);
}

static inline void unmap(struct fixture *f, uint64_t page, uint64_t n)
{
	uint64_t got;

	assert_int_equal(type1_unmap(f->iommu, BASE + page * PG, n * PG, 0, NULL, &got), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
