/* SPDX-License-Identifier: BSD-2-Clause */
/* Between domain.c and dma*.c. */
#ifndef UVFIO_IOMMU_DOMAIN_PRIVATE_H
#define UVFIO_IOMMU_DOMAIN_PRIVATE_H

#include "iommu/dma.h"
#include "iommu/pgtable.h"

#include <pthread.h>

/* More users of devices than these in one domain, and who looks without users_lock cannot tell. */
#define DOMAIN_USERS 32u

struct iommu_domain {
	struct pgtable pt; /* changed under the owner's lock */
	/* In its place, when not NULL; set before devices are attached. */
	bool (*walk)(void *arg, uint64_t iova, struct pt_leaf *leaf);
	void *walk_arg;
	/* Unlike any other domain's; changes when an entry is taken away, so that caches can tell. */
	_Alignas(64) _Atomic uint64_t generation;
	_Atomic bool dirty_tracking;
	_Atomic uint32_t readers;  /* walks outside of DMA sections */
	_Atomic uint32_t refs;     /* the owner, and fault reports under way */
	unsigned int batch;        /* owner's lock: unmap_begin without unmap_end */
	bool cleared;              /* owner's lock: something was cleared in this batch */
	struct cds_list_head devs; /* attached; under users_lock of dma.c */
	/* Their users, for iommu_domain_try_sync(); changed under users_lock. Below nr_users, some are NULL.
	 */
	_Atomic(struct dma_user *) users[DOMAIN_USERS];
	_Atomic uint32_t nr_users;
	_Atomic bool crowded; /* there have been too many */

	pthread_mutex_t describe_lock; /* outermost: held while the owner's function takes the owner's lock */
	void (*describe)(void *owner, uint64_t iova, char *buf, size_t len);
	void *owner;
};

static inline bool iommu_domain_walk(const struct iommu_domain *domain, uint64_t iova, struct pt_leaf *leaf)
{
	if (unlikely(domain->walk))
		return domain->walk(domain->walk_arg, iova, leaf);
	return pgtable_walk(&domain->pt, iova, leaf);
}

uint64_t iommu_domain_next_generation(void);
void iommu_domain_get(struct iommu_domain *domain);
void iommu_domain_put(struct iommu_domain *domain);

/* Once round a loop that waits for someone's section. In dma.c. */
void dma_back_off(unsigned int round);
/* Wait for the sections that are open now in any device of domain. In dma.c. */
void dma_wait_sections(struct iommu_domain *domain);
/* May any be open? No lock. In dma.c. */
bool dma_sections_open(struct iommu_domain *domain);

#endif
