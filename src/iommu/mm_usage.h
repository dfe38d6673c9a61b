/* SPDX-License-Identifier: BSD-2-Clause */
/* What is mapped, pinned and charged of each address space in one container or IOAS: for who looks from
 * outside. */
#ifndef UVFIO_IOMMU_MM_USAGE_H
#define UVFIO_IOMMU_MM_USAGE_H

#include "iommu/mm.h"

struct mm_usage {
	struct mm *mm;              /* with a reference */
	uint64_t mapped;            /* bytes */
	uint64_t pinned_by_domains; /* pages, once for each mapping */
	uint64_t pinned_by_drivers; /* pages, each once */
	uint64_t charged;           /* pages */
};

/* The owner's; all zero: nothing is known yet. */
struct mm_usages {
	struct mm_usage *usage;
	unsigned int nr;
	bool no_memory; /* some could not be noted */
};

/* What is noted of mm, added when it is not there. Memory may be short: what is counted then is lost. */
struct mm_usage *mm_usage_of(struct mm_usages *usages, struct mm *mm);
void mm_usages_free(struct mm_usages *usages);

#endif
