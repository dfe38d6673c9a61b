/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building and clearing page tables, and the pool that tables come from.
 *
 * The pool takes memory from the system in chunks of 2 MiB, aligned: two pages of bookkeeping, then the
 * tables. A table not in use is all zero. Its link lives in the bookkeeping, because a retired table may
 * still be walked.
 */
#include "iommu/pgtable.h"

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
}

int pgtable_init(struct pgtable *pt, unsigned int width)
{
	unsigned int levels = width > 48 ? 5 : 4;

	*pt = (struct pgtable){ .width = width };
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

/* The part of span that entry i of the table that covers span is about; *whole when that is all of the entry.
 */
static struct span span_of_entry(struct span span, unsigned int shift, uint64_t at, bool *whole)
{
	uint64_t first = align_down(at, BIT64(shift)), last = first + (BIT64(shift) - 1);
	struct span part = { MAX(first, span.iova), MIN(last, span.last) };

	*whole = part.iova == first && part.last == last;
	return part;
}

static int map_in(struct pgtable *pt, pte_t *parent, pte_t *table, unsigned int shift, struct span span,
		  uint64_t pte)
{
	uint64_t i = entry_of(span.iova, shift), end = entry_of(span.last, shift) + 1, at = span.iova;
	int64_t fresh = 0;
	int ret = 0;

	for (; i < end && !ret; i++) {
		bool whole;
		struct span part = span_of_entry(span, shift, at, &whole);
		uint64_t e = pte_get(&table[i]), sub = pte + (part.iova - span.iova);

		if (whole) {
			fresh += !e;
			pte_store(&table[i], sub);
		} else {
			pte_t *below = e ? pte_table(e) : table_new(pt);

			if (!below) {
				ret = -ENOMEM;
				break;
			}
			if (!e) {
				fresh++;
				pte_store(&table[i], (uint64_t)(uintptr_t)below);
			}
			ret = map_in(pt, &table[i], below, shift - TABLE_BITS, part, sub);
		}
		at = part.last + 1;
	}
	count_entries(parent, fresh);
	return ret;
}

int pgtable_map(struct pgtable *pt, uint64_t iova, uint64_t last, uint64_t pte)
{
	return map_in(pt, NULL, pt->root, pt->root_shift, (struct span){ iova, last }, pte | PTE_LEAF);
}

/* Returns how many entries of this table were cleared; sets *any when anything below was. */
static int64_t clear_in(struct pgtable *pt, pte_t *table, unsigned int shift, struct span span, bool *any)
{
	uint64_t i = entry_of(span.iova, shift), end = entry_of(span.last, shift) + 1, at = span.iova;
	int64_t gone = 0;

	for (; i < end; i++) {
		bool whole;
		struct span part = span_of_entry(span, shift, at, &whole);
		uint64_t e = pte_get(&table[i]);

		at = part.last + 1;
		if (e && !(e & PTE_LEAF)) {
			count_entries(&table[i], -clear_in(pt, pte_table(e), shift - TABLE_BITS, part, any));
			if (pte_get(&table[i]) >> PTE_MM_SHIFT)
				continue;
			table_retire(pt, pte_table(e));
		}
		if (e) {
			pte_store(&table[i], 0);
			gone++;
			*any = true;
		}
	}
	return gone;
}

bool pgtable_clear(struct pgtable *pt, uint64_t iova, uint64_t last)
{
	uint64_t top = BIT64(pt->root_shift + TABLE_BITS) - 1;
	bool any = false;

	if (iova <= top)
		clear_in(pt, pt->root, pt->root_shift, (struct span){ iova, MIN(last, top) }, &any);
	return any;
}

struct visit {
	void (*fn)(void *arg, uint64_t iova, uint64_t size, pte_t *slot);
	void *arg;
};

static void each_in(pte_t *table, unsigned int shift, struct span span, const struct visit *visit)
{
	uint64_t i = entry_of(span.iova, shift), end = entry_of(span.last, shift) + 1, at = span.iova;

	for (; i < end; i++) {
		bool whole;
		struct span part = span_of_entry(span, shift, at, &whole);
		uint64_t e = pte_load(&table[i]);

		if (e & PTE_LEAF)
			visit->fn(visit->arg, align_down(at, BIT64(shift)), BIT64(shift), &table[i]);
		else if (e)
			each_in(pte_table(e), shift - TABLE_BITS, part, visit);
		at = part.last + 1;
	}
}

void pgtable_each(struct pgtable *pt, uint64_t iova, uint64_t last,
		  void (*fn)(void *arg, uint64_t iova, uint64_t size, pte_t *slot), void *arg)
{
	uint64_t top = BIT64(pt->root_shift + TABLE_BITS) - 1;

	if (iova <= top)
		each_in(pt->root, pt->root_shift, (struct span){ iova, MIN(last, top) },
			&(struct visit){ fn, arg });
}
