/* SPDX-License-Identifier: BSD-2-Clause */
/* Between domain.c and dma*.c. */
#ifndef UVFIO_IOMMU_DOMAIN_PRIVATE_H
#define UVFIO_IOMMU_DOMAIN_PRIVATE_H

#include "iommu/dma.h"
#include "iommu/pgtable.h"

#include <pthread.h>

/* A part of a domain's list of users; the others follow when that many are not enough. */
#define DOMAIN_USERS 32u

struct domain_users {
	_Atomic(struct dma_user *) user[DOMAIN_USERS]; /* some are NULL */
	_Atomic uint32_t nr;                           /* none from here on */
	_Atomic(struct domain_users *) next;           /* set once */
};

/* In a domain's generation: a section has begun in it, so translation caches may be of this generation. */
#define GENERATION_SEEN ((uint64_t)1)

struct iommu_domain {
	struct pgtable pt; /* changed under the owner's lock */
	/* In its place, when not NULL; set before devices are attached. */
	bool (*walk)(void *arg, uint64_t iova, struct pt_leaf *leaf);
	void *walk_arg;
	/* Unlike any other domain's; when an entry is taken away it changes, if it was seen, so that caches
	 * can tell. */
	_Alignas(64) _Atomic uint64_t generation;
	_Atomic bool dirty_tracking;
	_Atomic uint32_t readers;  /* walks outside of DMA sections */
	_Atomic uint32_t refs;     /* the owner, and fault reports under way */
	unsigned int batch;        /* owner's lock: unmap_begin without unmap_end */
	bool cleared;              /* owner's lock: something was cleared in this batch */
	struct cds_list_head devs; /* attached; under users_lock of dma.c */
	struct domain_users users; /* theirs, for iommu_domain_try_sync(); changed under users_lock */
	_Atomic bool crowded;      /* there was no memory to list one */

	pthread_mutex_t describe_lock; /* outermost: held while the owner's function takes the owner's lock */
	void (*describe)(void *owner, uint64_t iova, char *buf, size_t len);
	void *owner;
	const struct iommu_advice *advice; /* for fault reports; NULL: the usual one */
};

static inline bool iommu_domain_walk(const struct iommu_domain *domain, uint64_t iova, struct pt_leaf *leaf)
{
	if (unlikely(domain->walk))
		return domain->walk(domain->walk_arg, iova, leaf);
	return pgtable_walk(&domain->pt, iova, leaf);
}

void iommu_domain_get(struct iommu_domain *domain);
void iommu_domain_put(struct iommu_domain *domain);

/* Once round a loop that waits for someone's section. In dma.c. */
void dma_back_off(unsigned int round);
/* Wait for the sections that are open now in any device of domain. In dma.c. */
void dma_wait_sections(struct iommu_domain *domain);
/* May any be open? No lock. In dma.c. */
bool dma_sections_open(struct iommu_domain *domain);
/* Of a domain that ends. In dma.c. */
void dma_free_users(struct iommu_domain *domain);

#endif
