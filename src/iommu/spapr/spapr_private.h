/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the sPAPR TCE back end. */
#ifndef UVFIO_IOMMU_SPAPR_SPAPR_PRIVATE_H
#define UVFIO_IOMMU_SPAPR_SPAPR_PRIVATE_H

#include "iommu/spapr/spapr.h"

#include <pthread.h>

struct spapr {
	const struct iommu_params *params;
	struct spapr_params hw;
	bool v2;
	_Atomic bool enabled; /* changed under lock */

	pthread_mutex_t lock;    /* protects what follows */
	_Atomic(struct mm *) mm; /* whom it serves, with a reference; NULL: nobody yet; set once */
	struct tce_mm *memory;   /* v2: of mm; a reference */
	/* While groups > 0. Devices walk the tables in DMA sections: one that was taken out goes after
	 * iommu_domain_sync(). */
	struct iommu_domain *domain; /* changed by attach and detach only, one at a time */
	_Atomic(struct tce_table *) tables[SPAPR_WINDOWS];
	struct tce_mm_domain use; /* of memory, by domain */
	unsigned int groups;
	bool default_pending;           /* the default window is to be made when it is needed */
	uint64_t locked;                /* pages that ENABLE has charged */
	struct tce_memory **registered; /* by this container */
	unsigned int nr_registered, room;
	uint64_t maps, unmaps, windows_made, windows_removed; /* calls that have done it, so far */
};

/* Under the lock: calls are for mm from now on. 0, -EPERM, -ENOMEM. */
int spapr_set_mm(struct spapr *spapr, struct mm *mm);
/* Under the lock: the default window, if it is pending. */
int spapr_default_window(struct spapr *spapr);
/* Under the lock, or in a DMA section. */
struct tce_table *spapr_find_table(struct spapr *spapr, uint64_t address);
/* spapr_map.c: n mappings of the table are there no more; statistics know. Under the lock. */
void spapr_mappings_gone(struct tce_table *table, uint64_t n);
/* spapr_list.c: for fault reports. */
void spapr_describe(void *owner, uint64_t iova, char *buf, size_t len);

#endif
