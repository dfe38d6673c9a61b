/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of sPAPR TCE containers share: a client with one, and its ioctls. */
#ifndef UVFIO_VFIO_TEST_SPAPR_H
#define UVFIO_VFIO_TEST_SPAPR_H

#include "vfio/test_util.h"

#include "iommu/spapr/spapr.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PG      UVFIO_PAGE_SIZE
#define RW      (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define MIB     ((uint64_t)1 << 20)
#define DEFAULT (2048 * MIB) /* the size of the default window */
#define HIGH    ((uint64_t)1 << 59)

struct client {
	struct bench *bench;
	int c, g;
	char *memory; /* 32 MiB at a multiple of that */
	void *mapped;
	struct mm *mm;
};

static inline struct client *client_new(const struct spapr_params *hw)
{
	struct client *t = calloc(1, sizeof(*t));
	void *bench;

	bench_setup(&bench);
	t->bench = bench;
	spapr_params_set(&t->bench->params, hw);
	t->mapped = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t->memory = (char *)align_up((uintptr_t)t->mapped, 32 * MIB);
	t->mm = mm_self();
	return t;
}

static inline int setup(void **state, uint64_t type)
{
	struct spapr_params hw;
	struct client *t;

	spapr_params_default(&hw);
	hw.pgsizes |= BIT64(34);
	hw.ram_shift = 24;
	t = client_new(&hw);
	open_all(t->bench, 1, type, &t->c, &t->g);
	*state = t;
	return 0;
}

static inline int setup_v1(void **state)
{
	return setup(state, VFIO_SPAPR_TCE_IOMMU);
}

static inline int setup_v2(void **state)
{
	return setup(state, VFIO_SPAPR_TCE_v2_IOMMU);
}

static inline int teardown(void **state)
{
	struct client *t = *state;
	void *bench = t->bench;

	if (t->c)
		close_fd(t->c);
	if (t->g)
		close_fd(t->g);
	assert_int_equal(t->mm->locked_pages, 0);
	mm_put(t->mm);
	munmap(t->mapped, 64 * MIB);
	free(t);
	return bench_teardown(&bench);
}

/* ---- the ioctls */

static inline long reg(const struct client *t, const void *va, uint64_t size, bool on)
{
	struct vfio_iommu_spapr_register_memory arg = { sizeof(arg), 0, (uintptr_t)va, size };

	return call_ptr(t->c, on ? VFIO_IOMMU_SPAPR_REGISTER_MEMORY : VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
			&arg);
}

static inline long create(const struct client *t, uint32_t page_shift, uint64_t size, uint32_t levels,
			  uint64_t *start)
{
	struct vfio_iommu_spapr_tce_create arg = {
		.argsz = sizeof(arg), .page_shift = page_shift, .window_size = size, .levels = levels
	};
	long rc = call_ptr(t->c, VFIO_IOMMU_SPAPR_TCE_CREATE, &arg);

	if (start)
		*start = arg.start_addr;
	return rc;
}

static inline long remove_at(const struct client *t, uint64_t start)
{
	struct vfio_iommu_spapr_tce_remove arg = { .argsz = sizeof(arg), .start_addr = start };

	return call_ptr(t->c, VFIO_IOMMU_SPAPR_TCE_REMOVE, &arg);
}

static inline long unmap_all(const struct client *t, uint64_t iova, uint64_t size)
{
	return unmap(t->c, iova, &size, 0);
}

static inline long eeh(const struct client *t, uint32_t op)
{
	struct vfio_eeh_pe_op arg = { .argsz = sizeof(arg), .op = op };

	return call_ptr(t->c, VFIO_EEH_PE_OP, &arg);
}

/* Where a device gets to. 0: nowhere. */
static inline uint64_t translated(const struct client *t, uint64_t iova, unsigned int prot)
{
	struct iommu_translation to;

	return iommu_domain_translate(domain_of(t->bench, 0), iova, prot, &to) ? 0 : to.va;
}

#define V1(test)  cmocka_unit_test_setup_teardown(test, setup_v1, teardown)
#define V2(test)  cmocka_unit_test_setup_teardown(test, setup_v2, teardown)
#define ANY(test) cmocka_unit_test_teardown(test, teardown)

#endif
