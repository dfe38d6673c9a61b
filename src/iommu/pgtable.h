/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page table of a domain: a radix tree of tables with 512 entries, walked without locks.
 *
 * An entry is one word, 0 for nothing:
 *   leaf   bits 0-4 flags with PTE_LEAF, bits 12-46 the virtual address, bits 48-63 the index of its address
 * space table  bits 12-46 the address of the next table, bits 48-63 how many of its entries are in use so
 * that a table is known to be empty without looking through it. A leaf stands at any level.
 *
 * One changes (the domain's owner holds a lock), any number walk. An entry is complete before it is seen. A
 * table that has become empty is unhooked at once, but may still be walked: it is retired, and used again
 * only after pgtable_reclaim(), which the domain calls when no walk can be on it. Memory goes back to the
 * system only with the page table.
 */
#ifndef UVFIO_IOMMU_PGTABLE_H
#define UVFIO_IOMMU_PGTABLE_H

#include "base/base.h"

#define PTE_READ      ((uint64_t)1) /* IOMMU_READ */
#define PTE_WRITE     ((uint64_t)2) /* IOMMU_WRITE */
#define PTE_LEAF      ((uint64_t)4)
#define PTE_DIRTY     ((uint64_t)8)
#define PTE_IO        ((uint64_t)16) /* some of it is a BAR: no plain memory */
#define PTE_ADDR      ((uint64_t)0x00007ffffffff000)
#define PTE_MM_SHIFT  48

#define TABLE_BITS    9
#define TABLE_ENTRIES 512

typedef _Atomic uint64_t pte_t;
struct table_chunk;

struct pgtable {
	pte_t *root;
	unsigned int root_shift; /* address bits below an entry of the root */
	unsigned int width;
	struct table_chunk *chunks; /* newest first; tables are taken from the first one */
	pte_t *free, *retired;      /* lists */
};

int pgtable_init(struct pgtable *pt, unsigned int width);
void pgtable_fini(struct pgtable *pt);

/*
 * Map [iova, last] by leaves like pte, whose address grows along. What was there is replaced when the new
 * leaves stand at the same places. -ENOMEM: some of it may be mapped.
 */
int pgtable_map(struct pgtable *pt, uint64_t iova, uint64_t last, uint64_t pte);
/* Clear all entries in [iova, last]. True when there was any. */
bool pgtable_clear(struct pgtable *pt, uint64_t iova, uint64_t last);
/* No walk that began before now is under way: retired tables may be used again. */
void pgtable_reclaim(struct pgtable *pt);

/* Call fn for each leaf that has any address in [iova, last]. */
void pgtable_each(struct pgtable *pt, uint64_t iova, uint64_t last,
		  void (*fn)(void *arg, uint64_t iova, uint64_t size, pte_t *slot), void *arg);

static inline uint64_t pte_load(const pte_t *slot)
{
	return atomic_load_explicit(slot, memory_order_acquire);
}

static inline pte_t *pte_table(uint64_t pte)
{
	return (pte_t *)(uintptr_t)(pte & PTE_ADDR);
}

/* The slot of the leaf that holds iova, with its value and the log2 of its size; NULL when there is none. */
static inline pte_t *pgtable_walk(const struct pgtable *pt, uint64_t iova, uint64_t *pte, unsigned int *shift)
{
	pte_t *table = pt->root;
	unsigned int s = pt->root_shift;

	if (unlikely(iova >> pt->width))
		return NULL;
	for (;; s -= TABLE_BITS) {
		pte_t *slot = &table[(iova >> s) & (TABLE_ENTRIES - 1)];
		uint64_t e = pte_load(slot);

		if (e & PTE_LEAF) {
			*pte = e;
			*shift = s;
			return slot;
		}
		if (!e)
			return NULL;
		table = pte_table(e);
	}
}

#endif
