/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An IOMMU domain: the page table that devices are translated by.
 *
 * Four levels of 512 entries (five for widths above 48). A leaf may stand at any level: 4 KiB, 2 MiB, 1 GiB,
 * and 512 GiB; since a leaf holds a virtual address, only the IOVA must be aligned to the leaf's size, the
 * target to 4 KiB. Walks take no lock. Changes are made under the owner's lock (type1's, an IOAS's).
 *
 * After iommu_domain_unmap() returns, no device access uses the old translation: it waits for the DMA
 * sections (iommu/dma.h) that were open when the entries were cleared. So a DMA section must never wait for
 * the owner's lock.
 */
#ifndef UVFIO_IOMMU_DOMAIN_H
#define UVFIO_IOMMU_DOMAIN_H

#include "base/base.h"
#include "iommu/mm.h"

#define IOMMU_READ  1u
#define IOMMU_WRITE 2u

struct iommu_domain;
struct iommu_dev;

struct iommu_range {
	uint64_t start, last;
};

/* What the emulated IOMMU is like: `--iommu`. Lives in the machine. */
struct iommu_params {
	unsigned int width;       /* IOVA bits, 12..57; default 48 */
	uint64_t pgsizes;         /* bitmap of page sizes; default 4K|2M|1G = 0x40201000 */
	uint64_t dma_entries;     /* mappings per container; default 1048576 */
	bool memlock_rlimit;      /* charge and obey RLIMIT_MEMLOCK */
	uint64_t memlock_pages;   /* or this limit; UINT64_MAX: unlimited */
	bool coherent;            /* VFIO_DMA_CC_IOMMU; default false */
	bool dirty_tracking;      /* of IOMMUFD's HWPTs; default true */
	unsigned int nr_reserved; /* windows that no mapping may touch; default 0xfee00000-0xfeefffff */
	struct iommu_range reserved[16];
	char reserved_type[16][12]; /* "msi", "direct", "reserved": as sysfs reserved_regions says */
	const char *type;           /* which back end containers have: "type1", or another's name */
	uint64_t of_type[8];        /* what only that one knows */
};
void iommu_params_default(struct iommu_params *params);
/* Usable ranges [0, 2^width) minus the reserved windows, ascending. Returns how many; fills at most max. */
unsigned int iommu_usable_ranges(const struct iommu_params *params, struct iommu_range *out,
				 unsigned int max);

/* What the page tables take. */
uint64_t iommu_domain_table_bytes(const struct iommu_domain *domain);
struct iommu_domain *iommu_domain_alloc(const struct iommu_params *params);
void iommu_domain_free(struct iommu_domain *domain); /* nothing attached any more */

/* In the child of a fork, where the owner's lock is held by nobody; dma_forked() comes first. */
void iommu_domain_forked(struct iommu_domain *domain);

/* A change at iova is coming soon (owner's lock held). */
void iommu_domain_prefetch(const struct iommu_domain *domain, uint64_t iova);
/*
 * Map [iova, iova+size) to va in mm: page aligned, free before. prot: IOMMU_READ, IOMMU_WRITE, IOMMU_MMIO. 0;
 * -ENOMEM, and nothing is mapped.
 */
int iommu_domain_map(struct iommu_domain *domain, uint64_t iova, uint64_t size, struct mm *mm, uint64_t va,
		     unsigned int prot);
#define IOMMU_MMIO 16u /* with prot: some of the target is a BAR (mm_check_io) */
/* Point what is mapped at [iova, iova+size), as one mapping made it, to other memory without a gap. */
void iommu_domain_remap(struct iommu_domain *domain, uint64_t iova, uint64_t size, struct mm *mm, uint64_t va,
			unsigned int prot);
/* What is mapped across iova may be unmapped on either side of it alone from here on. 0; -ENOMEM. */
int iommu_domain_split(struct iommu_domain *domain, uint64_t iova);
/* Clear entries; holes are fine. A leaf is never cut (callers unmap what they mapped). Cannot fail. */
void iommu_domain_unmap(struct iommu_domain *domain, uint64_t iova, uint64_t size);
/*
 * Many unmaps, one wait: between begin and end, iommu_domain_unmap clears entries without waiting for DMA
 * sections; end waits once. The old memory must not be considered free before end has returned.
 */
void iommu_domain_unmap_begin(struct iommu_domain *domain);
void iommu_domain_unmap_end(struct iommu_domain *domain);

/*
 * Devices are translated by walk, in place of the domain's own page table: before any is attached. It is
 * called in DMA sections and takes no lock; leaf: iommu/pgtable.h. What it has given may be used until
 * iommu_domain_sync(), which waits for these sections; whoever changes what walk finds calls that, in any
 * thread, and makes the change by an exchange with full ordering.
 */
struct pt_leaf;
void iommu_domain_set_walk(struct iommu_domain *domain,
			   bool (*walk)(void *arg, uint64_t iova, struct pt_leaf *leaf), void *arg);
void iommu_domain_sync(struct iommu_domain *domain);
/*
 * The same without waiting, and without a lock. False: some device is in a section, and may use the old
 * translation to its end: iommu_domain_sync() waits for that.
 */
bool iommu_domain_try_sync(struct iommu_domain *domain);

/* Dirty pages: set by device writes while tracking is on. */
void iommu_domain_set_dirty_tracking(struct iommu_domain *domain, bool on);
/* For each dirty page of [iova, iova+size) call fn(arg, iova, bytes); clear the bits when asked. */
void iommu_domain_read_dirty(struct iommu_domain *domain, uint64_t iova, uint64_t size, bool clear,
			     void (*fn)(void *arg, uint64_t iova, uint64_t size), void *arg);

/*
 * One translation without a cache (for tests, tools and fault reports): the virtual address and what is
 * mapped contiguously behind it. 0, -ENOENT (nothing there), -EACCES (permission).
 */
struct iommu_translation {
	struct mm *mm;
	uint64_t va;
	uint64_t len; /* contiguous bytes from iova within this leaf */
	unsigned int prot;
};
int iommu_domain_translate(struct iommu_domain *domain, uint64_t iova, unsigned int prot,
			   struct iommu_translation *out);

/*
 * For fault reports: who knows the mappings around an IOVA. Called with no lock held and outside DMA
 * sections; fills one line of text about the nearest mappings ("nearest: [0x1000-0x1fff] rw, 0x40000 below").
 * Set by the owner.
 */
void iommu_domain_set_describe(struct iommu_domain *domain,
			       void (*describe)(void *owner, uint64_t iova, char *buf, size_t len),
			       void *owner);

/* What those should have done who caused a fault: the calls that map, and what they give for permissions. */
struct iommu_advice {
	const char *map, *unmap;
	const char *read, *write;
};
/* Instead of those of VFIO and IOMMUFD, for as long as there is the domain. Before it is attached to. */
void iommu_domain_set_advice(struct iommu_domain *domain, const struct iommu_advice *advice);

#endif
