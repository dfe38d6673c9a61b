/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of IO page tables that is as simple as can be: arrays that are looked through from the start. It
 * says what each call has to answer, and how many pages are pinned afterwards. For test_iopt_random.c only.
 *
 * All addresses and lengths are multiples of UNIT.
 */
#ifndef UVFIO_IOMMUFD_TEST_IOPT_MODEL_H
#define UVFIO_IOMMUFD_TEST_IOPT_MODEL_H

#include "iommufd/test_iopt.h"

#define UNIT       512u
#define SPACE      (4096u * UNIT) /* where IOVAs are chosen at random: 2 MiB */
#define SCAN       (4 * SPACE)    /* nothing lies above, but what an aperture leaves out */
#define TABLES     3
#define AREAS_MAX  48
#define MEMORY     64u /* pages */
#define READ_ONLY  48u /* from here on they cannot be written */
#define NO_ACCESS  56u /* nor be read */
#define RANGES_MAX 4
#define PINS_MAX   6
#define NR_MM      2 /* this process, and one that may exit */

struct m_pages {
	unsigned int refs;
	uint64_t va; /* of page 0, an offset in memory */
	uint64_t npages;
	bool writable;
	unsigned int mm;
};

struct m_area {
	uint64_t iova, len;
	unsigned int pages; /* index */
	uint64_t start;
	unsigned int prot;
};

struct m_range {
	uint64_t start, last;
	const void *owner;
};

struct m_table {
	struct m_area areas[AREAS_MAX]; /* ascending */
	unsigned int nr;
	struct m_range reserved[2 * RANGES_MAX];
	unsigned int nr_reserved;
	struct m_range allowed[RANGES_MAX]; /* ascending */
	unsigned int nr_allowed;
	uint64_t domains[2]; /* the page sizes of those there are */
	unsigned int nr_domains;
	bool access; /* one is attached */
	bool no_large;
	struct m_range pins[PINS_MAX];
	unsigned int nr_pins;
};

extern struct m_table m_tables[TABLES];
extern struct m_pages m_pages[TABLES * AREAS_MAX];
extern bool m_gone[NR_MM];

uint64_t m_alignment(const struct m_table *t);
int m_map(struct m_table *t, uint64_t *iova, unsigned int mm, uint64_t va, uint64_t len, unsigned int prot,
	  bool choose);
int m_copy(struct m_table *dst, uint64_t *iova, struct m_table *src, uint64_t src_iova, uint64_t len,
	   unsigned int prot, bool choose);
int m_unmap(struct m_table *t, uint64_t start, uint64_t last, uint64_t *unmapped);
int m_add_domain(struct m_table *t, const void *owner, uint64_t pgsize, uint64_t first, uint64_t last);
void m_remove_domain(struct m_table *t, const void *owner, uint64_t pgsize);
int m_reserve(struct m_table *t, uint64_t start, uint64_t last, const void *owner);
void m_unreserve(struct m_table *t, const void *owner);
int m_allow(struct m_table *t, const struct iommu_range *ranges, unsigned int nr); /* ascending, disjoint */
int m_pin(struct m_table *t, uint64_t iova, uint64_t len, bool write);
int m_rw(const struct m_table *t, uint64_t iova, uint64_t len, bool write);
int m_disable_large(struct m_table *t);
int m_cut(struct m_table *t, uint64_t iova);
uint64_t m_npinned(unsigned int mm);
bool m_has_pages(unsigned int mm);
uint64_t m_pinned_by_drivers(const struct m_table *t); /* as iommufd_each_usage() counts them */

#endif
