/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building and clearing page tables, and the pool that tables come from.
 *
 * The pool takes memory from the system in chunks of 2 MiB, aligned: two pages of bookkeeping, then the
 * tables. A table not in use is all zero. Its link lives in the bookkeeping, because a retired table may
 * still be walked.
 */
#include "iommu/pgtable.h"

#include "base/failpoint.h"

#include <sys/mman.h>

#define CHUNK_SIZE ((uint64_t)2 << 20)
#define CHUNK_HEAD 2 /* pages */

struct table_chunk {
	struct table_chunk *next;
	uint64_t used;                             /* pages given out so far, and the bookkeeping */
	pte_t *link[CHUNK_SIZE / UVFIO_PAGE_SIZE]; /* by page: the next table in the list */
};
_Static_assert(sizeof(struct table_chunk) <= CHUNK_HEAD * UVFIO_PAGE_SIZE, "bookkeeping");

static pte_t **link_of(pte_t *table)
{
	uintptr_t at = (uintptr_t)table;
	struct table_chunk *chunk = (struct table_chunk *)align_down(at, CHUNK_SIZE);

	return &chunk->link[(at & (CHUNK_SIZE - 1)) >> UVFIO_PAGE_SHIFT];
}

/* Small programs touch a few tables only; once a chunk was not enough, huge pages make walks cheaper. */
static int add_chunk(struct pgtable *pt)
{
	size_t span = 2 * CHUNK_SIZE, head, tail;
	struct table_chunk *chunk;
	char *at, *mem;

	mem = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	at = (char *)(uintptr_t)align_up((uintptr_t)mem, CHUNK_SIZE);
	head = (size_t)(at - mem);
	tail = span - CHUNK_SIZE - head;
	if (head)
		munmap(mem, head);
	if (tail)
		munmap(at + CHUNK_SIZE, tail);
	madvise(at, CHUNK_SIZE, pt->chunks ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	chunk = (struct table_chunk *)(void *)at;
	chunk->next = pt->chunks;
	chunk->used = CHUNK_HEAD;
	pt->chunks = chunk;
	return 0;
}

static pte_t *table_new(struct pgtable *pt)
{
	pte_t *table = pt->free;

	if (failpoint())
		return NULL;
	if (table) {
		pt->free = *link_of(table);
		return table;
	}
	if ((!pt->chunks || pt->chunks->used == CHUNK_SIZE / UVFIO_PAGE_SIZE) && add_chunk(pt))
		return NULL;
	return (pte_t *)(void *)((char *)pt->chunks + pt->chunks->used++ * UVFIO_PAGE_SIZE);
}

static void table_retire(struct pgtable *pt, pte_t *table)
{
	*link_of(table) = pt->retired;
	pt->retired = table;
}

void pgtable_reclaim(struct pgtable *pt)
{
	while (pt->retired) {
		pte_t *table = pt->retired;
		pte_t **link = link_of(table);

		pt->retired = *link;
		*link = pt->free;
		pt->free = table;
	}
	while (pt->retired_spans) {
		struct pt_span *span = pt->retired_spans;

		pt->retired_spans = span->next;
		span->next = pt->free_spans;
		pt->free_spans = span;
	}
}

/* Spans live in pages of the pool, which are never tables again. */
static struct pt_span *span_new(struct pgtable *pt)
{
	struct pt_span *span = pt->free_spans;

	if (!span) {
		struct pt_span *page = (struct pt_span *)(void *)table_new(pt);

		if (!page)
			return NULL;
		for (size_t i = 0; i < UVFIO_PAGE_SIZE / sizeof(*page); i++) {
			page[i].next = span;
			span = &page[i];
		}
	}
	pt->free_spans = span->next;
	return span;
}

static void span_retire(struct pgtable *pt, struct pt_span *span)
{
	span->next = pt->retired_spans;
	pt->retired_spans = span;
}

int pgtable_init(struct pgtable *pt, unsigned int width)
{
	unsigned int levels = width > 48 ? 5 : 4;

	*pt = (struct pgtable){ .last = BIT64(width) - 1 };
	pt->root_shift = UVFIO_PAGE_SHIFT + (levels - 1) * TABLE_BITS;
	pt->root = table_new(pt);
	return pt->root ? 0 : -ENOMEM;
}

void pgtable_fini(struct pgtable *pt)
{
	while (pt->chunks) {
		struct table_chunk *chunk = pt->chunks;

		pt->chunks = chunk->next;
		munmap(chunk, CHUNK_SIZE);
	}
	pt->root = NULL;
}

uint64_t pgtable_bytes(const struct pgtable *pt)
{
	uint64_t pages = 0;

	for (const struct table_chunk *chunk = pt->chunks; chunk; chunk = chunk->next)
		pages += chunk->used;
	return pages * UVFIO_PAGE_SIZE;
}

static uint64_t entry_of(uint64_t iova, unsigned int shift)
{
	return (iova >> shift) & (TABLE_ENTRIES - 1);
}

static void pte_store(pte_t *slot, uint64_t pte)
{
	atomic_store_explicit(slot, pte, memory_order_release);
}

static uint64_t pte_get(const pte_t *slot)
{
	return atomic_load_explicit(slot, memory_order_relaxed);
}

/* The number of entries in use of the table that slot points to changes by n. */
static void count_entries(pte_t *slot, int64_t n)
{
	if (slot)
		pte_store(slot, pte_get(slot) + ((uint64_t)n << PTE_MM_SHIFT));
}

struct span {
	uint64_t iova, last;
};

/* The part of span within the entry that at belongs to; *whole when that is all of the entry. */
static struct span span_of_entry(struct span span, unsigned int shift, uint64_t at, bool *whole)
{
	uint64_t first = align_down(at, BIT64(shift)), last = first + (BIT64(shift) - 1);
	struct span part = { MAX(first, span.iova), MIN(last, span.last) };

	*whole = part.iova == first && part.last == last;
	return part;
}

static int64_t clear_in(struct pgtable *pt, pte_t *table, unsigned int shift, struct span span, bool *any);

/* Clear one entry, or what is below it within part. True when the entry is empty now and was not. */
static bool clear_entry(struct pgtable *pt, pte_t *slot, unsigned int shift, struct span part, bool *any)
{
	uint64_t e = pte_get(slot);

	if (!e)
		return false;
	if (e & PTE_LEAF) {
		*any = true;
	} else if (!(e & PTE_TABLE)) {
		if (pte_span(e)->last < part.iova || pte_span(e)->first > part.last)
			return false;
		span_retire(pt, pte_span(e));
		*any = true;
	} else {
		count_entries(slot, -clear_in(pt, pte_table(e), shift - TABLE_BITS, part, any));
		if (pte_get(slot) >> PTE_MM_SHIFT)
			return false;
		table_retire(pt, pte_table(e));
	}
	pte_store(slot, 0);
	return true;
}

/* Returns how many entries of this table were cleared; sets *any when anything below was. */
static int64_t clear_in(struct pgtable *pt, pte_t *table, unsigned int shift, struct span span, bool *any)
{
	uint64_t i = entry_of(span.iova, shift), end = entry_of(span.last, shift) + 1, at = span.iova;
	int64_t gone = 0;

	for (; i < end; i++) {
		bool whole;
		struct span part = span_of_entry(span, shift, at, &whole);

		gone += clear_entry(pt, &table[i], shift, part, any);
		at = part.last + 1;
	}
	return gone;
}

static int map_in(struct pgtable *pt, pte_t *parent, pte_t *table, unsigned int shift, struct span span,
		  uint64_t pte);

/* An entry that was empty, for a part of what it stands for. */
static int map_span(struct pgtable *pt, pte_t *slot, struct span part, uint64_t pte)
{
	struct pt_span *span = span_new(pt);

	if (!span)
		return -ENOMEM;
	atomic_store_explicit(&span->pte, pte, memory_order_relaxed);
	span->first = part.iova;
	span->last = part.last;
	pte_store(slot, (uint64_t)(uintptr_t)span | PTE_SPAN);
	return 0;
}

struct visit {
	void (*fn)(void *arg, const struct pt_leaf *leaf);
	void *arg;
};

static void each_in(pte_t *table, unsigned int shift, struct span span, const struct visit *visit);

static void mark_leaf(void *arg, const struct pt_leaf *leaf)
{
	(void)arg;
	atomic_fetch_or(leaf->word, PTE_DIRTY);
}

/*
 * Push the span at slot down into a table of its own. Walkers see the one or the other: one that marks the
 * span after it was copied is seen here, or sees the table when it looks again (dma_copy.c).
 */
static int expand_span(struct pgtable *pt, pte_t *slot, unsigned int shift)
{
	struct pt_span *span = pte_span(pte_get(slot));
	struct span part = { span->first, span->last };
	pte_t *below = table_new(pt), entry = (uint64_t)(uintptr_t)below | PTE_TABLE;
	bool any;

	if (!below)
		return -ENOMEM;
	if (map_in(pt, &entry, below, shift - TABLE_BITS, part, pte_get(&span->pte))) {
		clear_in(pt, below, shift - TABLE_BITS, part, &any);
		table_retire(pt, below);
		return -ENOMEM;
	}
	atomic_store(slot, pte_get(&entry));
	if (atomic_load(&span->pte) & PTE_DIRTY)
		each_in(below, shift - TABLE_BITS, part, &(struct visit){ mark_leaf, NULL });
	span_retire(pt, span);
	return 0;
}

/* The same for a leaf. A walker that marks it after it was copied changes the word that is exchanged, or
 * finds the table there and looks again. */
static int expand_leaf(struct pgtable *pt, pte_t *slot, unsigned int shift)
{
	uint64_t e = pte_get(slot), old;
	pte_t *below = table_new(pt);

	if (!below)
		return -ENOMEM;
	for (uint64_t i = 0; i < TABLE_ENTRIES; i++)
		pte_store(&below[i], e + (i << (shift - TABLE_BITS)));
	old = atomic_exchange(slot, (uint64_t)(uintptr_t)below | PTE_TABLE |
					    (uint64_t)TABLE_ENTRIES << PTE_MM_SHIFT);
	for (uint64_t i = 0; old != e && i < TABLE_ENTRIES; i++)
		atomic_fetch_or(&below[i], PTE_DIRTY);
	return 0;
}

int pgtable_split(struct pgtable *pt, uint64_t iova)
{
	pte_t *table = pt->root;

	if (iova > pt->last)
		return 0;
	for (unsigned int shift = pt->root_shift; !is_aligned(iova, BIT64(shift)); shift -= TABLE_BITS) {
		pte_t *slot = &table[entry_of(iova, shift)];
		uint64_t e = pte_get(slot);

		if (!e)
			return 0;
		if (e & PTE_LEAF) {
			if (expand_leaf(pt, slot, shift))
				return -ENOMEM;
		} else if (!(e & PTE_TABLE)) {
			if (pte_span(e)->first >= iova || pte_span(e)->last < iova)
				return 0;
			if (expand_span(pt, slot, shift))
				return -ENOMEM;
		}
		table = pte_table(pte_get(slot));
	}
	return 0;
}

/* A part of what the entry at slot stands for. */
static int map_part(struct pgtable *pt, pte_t *slot, unsigned int shift, struct span part, uint64_t pte)
{
	uint64_t e = pte_get(slot);

	if (!e)
		return map_span(pt, slot, part, pte);
	if (!(e & PTE_TABLE)) {
		struct pt_span *span = pte_span(e);

		if (span->first == part.iova && span->last == part.last) {
			pte_store(&span->pte, pte);
			return 0;
		}
		if (expand_span(pt, slot, shift))
			return -ENOMEM;
		e = pte_get(slot);
	}
	return map_in(pt, slot, pte_table(e), shift - TABLE_BITS, part, pte);
}

static int map_in(struct pgtable *pt, pte_t *parent, pte_t *table, unsigned int shift, struct span span,
		  uint64_t pte)
{
	uint64_t i = entry_of(span.iova, shift), end = entry_of(span.last, shift) + 1, at = span.iova;
	int64_t fresh = 0;
	int ret = 0;

	for (; i < end && !ret; i++) {
		bool whole, used = pte_get(&table[i]) != 0;
		struct span part = span_of_entry(span, shift, at, &whole);
		uint64_t sub = pte + (part.iova - span.iova);

		if (whole)
			pte_store(&table[i], sub);
		else
			ret = map_part(pt, &table[i], shift, part, sub);
		fresh += !used && pte_get(&table[i]);
		at = part.last + 1;
	}
	count_entries(parent, fresh);
	return ret;
}

int pgtable_map(struct pgtable *pt, uint64_t iova, uint64_t last, uint64_t pte)
{
	return map_in(pt, NULL, pt->root, pt->root_shift, (struct span){ iova, last }, pte | PTE_LEAF);
}

bool pgtable_clear(struct pgtable *pt, uint64_t iova, uint64_t last)
{
	uint64_t top = BIT64(pt->root_shift + TABLE_BITS) - 1;
	bool any = false;

	if (iova <= top)
		clear_in(pt, pt->root, pt->root_shift, (struct span){ iova, MIN(last, top) }, &any);
	return any;
}

static void each_in(pte_t *table, unsigned int shift, struct span span, const struct visit *visit)
{
	uint64_t i = entry_of(span.iova, shift), end = entry_of(span.last, shift) + 1, at = span.iova;

	for (; i < end; i++) {
		bool whole;
		struct span part = span_of_entry(span, shift, at, &whole);
		uint64_t e = pte_load(&table[i]), first = align_down(at, BIT64(shift));
		struct pt_leaf leaf = { first, first + (BIT64(shift) - 1), e, &table[i] };

		if (e && !(e & (PTE_LEAF | PTE_TABLE)))
			leaf = (struct pt_leaf){ pte_span(e)->first, pte_span(e)->last,
						 pte_load(&pte_span(e)->pte), &pte_span(e)->pte };
		if (leaf.pte & PTE_LEAF && leaf.first <= part.last && leaf.last >= part.iova)
			visit->fn(visit->arg, &leaf);
		else if (e & PTE_TABLE)
			each_in(pte_table(e), shift - TABLE_BITS, part, visit);
		at = part.last + 1;
	}
}

void pgtable_each(struct pgtable *pt, uint64_t iova, uint64_t last,
		  void (*fn)(void *arg, const struct pt_leaf *leaf), void *arg)
{
	uint64_t top = BIT64(pt->root_shift + TABLE_BITS) - 1;

	if (iova <= top)
		each_in(pt->root, pt->root_shift, (struct span){ iova, MIN(last, top) },
			&(struct visit){ fn, arg });
}
