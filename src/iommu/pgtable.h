/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page table of a domain: a radix tree of tables with 512 entries, walked without locks.
 *
 * An entry is one word, 0 for nothing. Three kinds:
 *
 * - leaf: bits 0-4 flags with PTE_LEAF, bits 12-46 the virtual address, bits 48-63 the index of its address
 *   space. It covers all that the entry stands for, at any level.
 * - span: PTE_SPAN and the address of a struct pt_span: the only mapping within what the entry stands for,
 *   covering a part of it. Spans make tables unnecessary where mappings are far apart, and make a huge
 *   unaligned mapping cheap. When a second mapping comes to the same entry, the span is pushed down.
 * - table: PTE_TABLE, bits 12-46 the address of the next table, bits 48-63 how many of its entries are used,
 *   so that a table is known to be empty without looking through it.
 *
 * One changes (the domain's owner holds a lock), any number walk. An entry is complete before it is seen. A
 * table that has become empty is unhooked at once, but may still be walked: it is retired, and used again
 * only after pgtable_reclaim(), which the domain calls when no walk can be on it; spans likewise. Memory goes
 * back to the system only with the page table.
 */
#ifndef UVFIO_IOMMU_PGTABLE_H
#define UVFIO_IOMMU_PGTABLE_H

#include "base/base.h"

#define PTE_READ      ((uint64_t)1) /* IOMMU_READ */
#define PTE_WRITE     ((uint64_t)2) /* IOMMU_WRITE */
#define PTE_SPAN      ((uint64_t)1) /* when PTE_LEAF is not set */
#define PTE_TABLE     ((uint64_t)1 << 47)
#define PTE_LEAF      ((uint64_t)4)
#define PTE_DIRTY     ((uint64_t)8)
#define PTE_IO        ((uint64_t)16) /* some of it is a BAR: no plain memory */
#define PTE_ADDR      ((uint64_t)0x00007ffffffff000)
#define PTE_MM_SHIFT  48

#define TABLE_BITS    9
#define TABLE_ENTRIES 512

typedef _Atomic uint64_t pte_t;
struct table_chunk;

struct pt_span {
	pte_t pte; /* a leaf's, for the address first */
	uint64_t first, last;
	struct pt_span *next; /* in a list of those not in use */
};

/* What a walk finds: the leaf or span that holds an address. */
struct pt_leaf {
	uint64_t first, last;
	uint64_t pte; /* for the address first */
	pte_t *word;  /* where that stands */
};

struct pgtable {
	pte_t *root;
	unsigned int root_shift;    /* address bits below an entry of the root */
	uint64_t last;              /* the highest address */
	struct table_chunk *chunks; /* newest first; tables are taken from the first one */
	pte_t *free, *retired;      /* lists */
	struct pt_span *free_spans, *retired_spans;
};

int pgtable_init(struct pgtable *pt, unsigned int width);
void pgtable_fini(struct pgtable *pt);
uint64_t pgtable_bytes(const struct pgtable *pt);

/*
 * Map [iova, last] by leaves like pte, whose address grows along. What was there is replaced when the new
 * leaves stand at the same places. -ENOMEM: some of it may be mapped.
 */
int pgtable_map(struct pgtable *pt, uint64_t iova, uint64_t last, uint64_t pte);
/* No leaf or span goes across iova, which is page aligned; nothing that is mapped changes. -ENOMEM. */
int pgtable_split(struct pgtable *pt, uint64_t iova);
/* Clear all entries in [iova, last]. True when there was any. */
bool pgtable_clear(struct pgtable *pt, uint64_t iova, uint64_t last);
/* No walk that began before now is under way: retired tables may be used again. */
void pgtable_reclaim(struct pgtable *pt);

/* Call fn for each leaf and span that has any address in [iova, last]. */
void pgtable_each(struct pgtable *pt, uint64_t iova, uint64_t last,
		  void (*fn)(void *arg, const struct pt_leaf *leaf), void *arg);

static inline uint64_t pte_load(const pte_t *slot)
{
	return atomic_load_explicit(slot, memory_order_acquire);
}

static inline pte_t *pte_table(uint64_t pte)
{
	return (pte_t *)(uintptr_t)(pte & PTE_ADDR);
}

static inline struct pt_span *pte_span(uint64_t pte)
{
	return (struct pt_span *)(uintptr_t)(pte - PTE_SPAN);
}

static inline bool pgtable_walk_span(uint64_t entry, uint64_t iova, struct pt_leaf *leaf)
{
	struct pt_span *span = pte_span(entry);

	if (iova < span->first || iova > span->last)
		return false;
	*leaf = (struct pt_leaf){ span->first, span->last, pte_load(&span->pte), &span->pte };
	return true;
}

/* An entry that is no table, at a level whose entries stand for 2^shift bytes. */
static inline bool pgtable_walk_end(pte_t *slot, uint64_t e, unsigned int shift, uint64_t iova,
				    struct pt_leaf *leaf)
{
	if (likely(e & PTE_LEAF)) {
		leaf->first = align_down(iova, BIT64(shift));
		leaf->last = leaf->first + (BIT64(shift) - 1);
		leaf->pte = e;
		leaf->word = slot;
		return true;
	}
	if (!e)
		return false;
	return pgtable_walk_span(e, iova, leaf);
}

/* What holds iova: true and *leaf, or false. */
static inline bool pgtable_walk(const struct pgtable *pt, uint64_t iova, struct pt_leaf *leaf)
{
	pte_t *table = pt->root, *slot;
	uint64_t e;

	if (unlikely(iova > pt->last))
		return false;
#define STEP(shift)                                                                                          \
	slot = &table[(iova >> (shift)) & (TABLE_ENTRIES - 1)];                                              \
	e = pte_load(slot);                                                                                  \
	if (unlikely(!(e & PTE_TABLE)))                                                                      \
		return pgtable_walk_end(slot, e, (shift), iova, leaf);                                       \
	table = pte_table(e)
	if (unlikely(pt->root_shift > 39)) {
		STEP(48);
	}
	STEP(39);
	STEP(30);
	STEP(21);
#undef STEP
	slot = &table[(iova >> 12) & (TABLE_ENTRIES - 1)];
	return pgtable_walk_end(slot, pte_load(slot), 12, iova, leaf);
}

/*
 * How many bytes after a leaf of one page continue it: the entries behind it in its table that hold leaves
 * for the memory that follows, with the same flags (PTE_DIRTY apart). Looks no further than max bytes.
 */
static inline uint64_t pgtable_follow(const struct pt_leaf *leaf, uint64_t max)
{
	uint64_t left = TABLE_ENTRIES - 1 - ((leaf->first >> UVFIO_PAGE_SHIFT) & (TABLE_ENTRIES - 1));
	uint64_t nr = 0, pages = MIN(left, (max + UVFIO_PAGE_SIZE - 1) >> UVFIO_PAGE_SHIFT);
	uint64_t next = leaf->pte | PTE_DIRTY;

	if (leaf->last - leaf->first >= UVFIO_PAGE_SIZE || !(leaf->pte & PTE_LEAF))
		return 0;
	while (nr < pages && (pte_load(leaf->word + nr + 1) | PTE_DIRTY) == (next += UVFIO_PAGE_SIZE))
		nr++;
	return nr << UVFIO_PAGE_SHIFT;
}

/* Have the entry that a change at iova is about brought near, while other things are done. */
static inline void pgtable_prefetch(const struct pgtable *pt, uint64_t iova)
{
	const pte_t *table = pt->root;

	for (unsigned int s = pt->root_shift;; s -= TABLE_BITS) {
		const pte_t *slot = &table[(iova >> s) & (TABLE_ENTRIES - 1)];
		uint64_t e;

		if (s == UVFIO_PAGE_SHIFT) {
			__builtin_prefetch(slot, 1);
			return;
		}
		e = atomic_load_explicit(slot, memory_order_relaxed);
		if (!(e & PTE_TABLE))
			return;
		table = pte_table(e);
	}
}

#endif
