/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct io_pagetable, which others embed and only the iopt files look into (access.c at accesses, to notify
 * them).
 *
 * Lock order: lock, then what pages_lock() gives for one iopt_pages; accesses_lock is taken inside lock, or
 * alone. Neither is held while an access is told of an unmap.
 */
#ifndef UVFIO_IOMMUFD_IOPT_STRUCT_H
#define UVFIO_IOMMUFD_IOPT_STRUCT_H

#include <pthread.h>

#define IOPT_RECENT 4

struct iopt_reserved {
	uint64_t start, last;
	void *owner;
};

struct io_pagetable {
	/* Protects everything here but accesses. Held for reading by who pins, reads or copies areas: never
	 * twice, because who wants to change something goes first. */
	pthread_rwlock_t lock;
	struct range_map areas;        /* of struct iopt_area, by IOVA */
	_Atomic uint64_t num_accesses; /* pins, of all areas; changed under lock held for reading */
	uint64_t iova_alignment;       /* of IOVAs, lengths, and the page offsets of memory */
	bool disable_large_pages;
	uint32_t ioas_id; /* for traces */

	struct iommufd_domain **domains; /* each has every area */
	unsigned int nr_domains, max_domains;

	struct iopt_reserved *reserved; /* may overlap; in no order */
	unsigned int nr_reserved, max_reserved;
	struct iommu_range clear; /* is known not to touch reserved; last < start: nothing is */

	struct iommu_range *allowed; /* ascending, disjoint; none: chosen IOVAs may be anywhere */
	unsigned int nr_allowed;

	/* By the id that iopt_add_access() gave; NULL: free. Changed with lock held for writing, too. */
	pthread_mutex_t accesses_lock;
	struct iommufd_access **accesses;
	uint32_t max_accesses;

	struct iommu_range recent[IOPT_RECENT]; /* what was unmapped last, for fault reports */
	unsigned int nr_recent;                 /* ever */

	struct io_pagetable *next; /* of all there are, for iopt_test_pins() */
};

#endif
