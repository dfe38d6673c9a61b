/* SPDX-License-Identifier: BSD-2-Clause */
/* Between dma.c (sections), dma_copy.c (accesses) and dma_fault.c (reports). */
#ifndef UVFIO_IOMMU_DMA_PRIVATE_H
#define UVFIO_IOMMU_DMA_PRIVATE_H

#include "iommu/dma.h"
#include "iommu/dma_fault.h"
#include "iommu/domain_private.h"

#define TLB_SIZE   512
#define FAULTS_MAX 4 /* waiting for the end of the section; more are only counted */

/* A translated page: key is its IOVA and the epoch in the offset bits; pte is for this very page. */
struct tlb_entry {
	uint64_t key;
	uint64_t pte;
};

struct dma_user {
	_Atomic uint64_t section; /* odd: inside; read by who unmaps, so alone on its cache line */
	char line[56];

	struct uvfio_dma dma; /* what its thread knows it by */
	struct iommu_dev *dev;
	struct iommu_domain *domain; /* of the section that is open */
	unsigned int depth;
	unsigned int epoch;     /* 1 .. 4095 */
	uint64_t generation;    /* of the domain, that the caches below belong to */
	uint64_t read, written; /* bytes in this section, for the counters */
	bool tracking;          /* the domain wants dirty marks */

	/* The last leaf of more than a page: [big_iova, big_iova + big_size) */
	uint64_t big_iova, big_size, big_pte;

	unsigned int nr_faults;
	struct dma_fault faults[FAULTS_MAX];
	struct cds_list_head node; /* in the device's users */

	struct tlb_entry tlb[TLB_SIZE];
};

static inline struct dma_user *to_user(struct uvfio_dma *dma)
{
	return container_of(dma, struct dma_user, dma);
}

/* Note a fault, to be reported when the section is over. Returns -EFAULT. */
int dma_fault_add(struct dma_user *user, const struct dma_fault *fault, const char *what);
/* Outside sections. */
void dma_fault_report(struct dma_user *user);

#endif
