/* SPDX-License-Identifier: BSD-2-Clause */
/* A container with devices of both kinds, for the tests of pins. What is locked is limited to LIMIT pages. */
#ifndef UVFIO_IOMMU_TEST_TYPE1_PIN_H
#define UVFIO_IOMMU_TEST_TYPE1_PIN_H

#include "base/test_sanitizer.h"
#include "iommu/type1.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PG UVFIO_PAGE_SIZE
#ifndef BASE
#define BASE ((uint64_t)0x1000000)
#endif
#define RW          (IOMMU_READ | IOMMU_WRITE)
#define NR_PAGES    1024u
#define NR_BACKED   2u
#define NR_MEDIATED 3u
#define LIMIT       500u

struct fixture;

/* A mediated device. lets_go: its unmap function unpins what it knows of. */
struct mediated {
	struct fixture *f;
	struct type1_pinner *pinner;
	bool lets_go;
	unsigned int told;
	uint64_t iova, size; /* told last */
	uint32_t pins[NR_PAGES];
};

struct fixture {
	struct iommu_params params;
	struct type1 *iommu;
	struct iommu_dev backed[NR_BACKED];
	struct iommu_dev *devs[NR_BACKED];
	struct mediated mediated[NR_MEDIATED];
	struct mm *mm;
	char *memory;
	uint64_t va;
	struct mm_page pages[NR_PAGES];
};

static inline int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	iommu_params_default(&f->params);
	f->params.memlock_pages = LIMIT;
	f->iommu = type1_new(&f->params, true);
	for (unsigned int i = 0; i < NR_BACKED; i++) {
		iommu_dev_init(&f->backed[i], "0000:00:01.0");
		f->devs[i] = &f->backed[i];
	}
	for (unsigned int i = 0; i < NR_MEDIATED; i++)
		f->mediated[i] = (struct mediated){ .f = f, .lets_go = true };
	f->mm = mm_self();
	f->memory = mmap(NULL, NR_PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f->va = (uint64_t)(uintptr_t)f->memory;
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	type1_free(f->iommu);
	assert_int_equal(atomic_load(&f->mm->locked_pages), 0);
	for (unsigned int i = 0; i < NR_BACKED; i++)
		iommu_dev_destroy(&f->backed[i]);
	munmap(f->memory, NR_PAGES * PG);
	mm_put(f->mm);
	free(f);
	return 0;
}

static inline int unpin(struct fixture *f, unsigned int who, uint64_t page, uint64_t n)
{
	struct mediated *m = &f->mediated[who];
	int ret = type1_unpin_pages(m->pinner, BASE + page * PG, n);

	for (uint64_t i = page; !ret && i < page + n; i++)
		m->pins[i]--;
	return ret;
}

static inline int pin(struct fixture *f, unsigned int who, uint64_t page, uint64_t n)
{
	struct mediated *m = &f->mediated[who];
	int ret = type1_pin_pages(m->pinner, BASE + page * PG, n, RW, f->pages);

	for (uint64_t i = page; !ret && i < page + n; i++)
		m->pins[i]++;
	return ret;
}

static inline void told_to_unpin(void *owner, uint64_t iova, uint64_t size)
{
	struct mediated *m = owner;
	unsigned int who = (unsigned int)(m - m->f->mediated);

	m->told++;
	m->iova = iova;
	m->size = size;
	for (uint64_t i = (iova - BASE) / PG; m->lets_go && i < (iova + size - BASE) / PG; i++)
		while (m->pins[i])
			assert_int_equal(unpin(m->f, who, i, 1), 0);
}

static inline int attach_mediated(struct fixture *f, unsigned int who)
{
	struct mediated *m = &f->mediated[who];
	int ret = type1_attach_emulated(f->iommu);

	if (ret)
		return ret;
	memset(m->pins, 0, sizeof(m->pins));
	m->pinner = type1_pinner_new(f->iommu, "mdev", told_to_unpin, m);
	return 0;
}

static inline int detach_mediated(struct fixture *f, unsigned int who)
{
	type1_pinner_free(f->mediated[who].pinner);
	type1_detach_emulated(f->iommu);
	return 0;
}

static inline int unmap(struct fixture *f, uint64_t page, uint64_t n)
{
	uint64_t got;
	int ret = type1_unmap(f->iommu, BASE + page * PG, n * PG, 0, NULL, &got);

	return ret ? ret : (int)(got / PG);
}

#endif
