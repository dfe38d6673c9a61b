/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCE tables: arrays in levels, 0 being that of entries. Places of the others are addresses of arrays, set
 * once, by whoever is first.
 */
#include "iommu/spapr/tce_table.h"

#include "base/failpoint.h"
#include "iommu/domain_private.h"

#include <stdlib.h>

#define WORD_SHIFT   3
#define ADDRESS_BITS 55 /* the hardware's */

static unsigned int ilog2(uint64_t value)
{
	return 63 - (unsigned int)__builtin_clzll(value);
}

/* How many entries each array of such a table has: 2^that. */
static unsigned int level_bits(unsigned int entries_shift, unsigned int levels)
{
	return MAX((entries_shift + levels - 1) / levels, (unsigned int)UVFIO_PAGE_SHIFT - WORD_SHIFT);
}

uint64_t tce_table_bytes(unsigned int page_shift, uint64_t window_size, unsigned int levels)
{
	uint64_t bytes = 0, arrays;
	unsigned int bits, entries_shift;

	if (!levels || levels > TCE_MAX_LEVELS || !window_size || (window_size & (window_size - 1)) ||
	    ilog2(window_size) < page_shift)
		return 0;
	entries_shift = ilog2(window_size) - page_shift;
	bits = level_bits(entries_shift, levels);
	if (bits * levels + page_shift >= ADDRESS_BITS)
		return 0;
	arrays = entries_shift > bits ? BIT64(entries_shift - bits) : 1;
	for (unsigned int level = 0; level < levels; level++) {
		bytes += arrays << (bits + WORD_SHIFT);
		arrays = MAX(arrays >> bits, (uint64_t)1);
	}
	return bytes * 2;
}

static size_t array_bytes(const struct tce_table *table, unsigned int level)
{
	return (level ? sizeof(uint64_t) : sizeof(struct tce)) << table->level_bits;
}

static void *array_new(struct tce_table *table, unsigned int level)
{
	void *array = failpoint() ? NULL : calloc(1, array_bytes(table, level));

	if (array)
		atomic_fetch_add_explicit(&table->arrays, array_bytes(table, level), memory_order_relaxed);
	return array;
}

static void array_free(const struct tce_table *table, uint64_t address, unsigned int level)
{
	_Atomic uint64_t *array = (void *)(uintptr_t)address;

	for (uint64_t i = 0; array && level && i < BIT64(table->level_bits); i++)
		array_free(table, atomic_load(&array[i]), level - 1);
	free(array);
}

struct tce_table *tce_table_new(struct mm *mm, struct tce_mm *memory, uint64_t start, unsigned int page_shift,
				uint64_t window_size, unsigned int levels)
{
	struct tce_table *table;
	unsigned int bits = level_bits(ilog2(window_size) - page_shift, levels);

	if (BIT64(bits + WORD_SHIFT) > TCE_ARRAY_MAX)
		return NULL;
	table = failpoint() ? NULL : aligned_alloc(_Alignof(struct tce_table), sizeof(*table));
	if (!table)
		return NULL;
	*table = (struct tce_table){ .refs = 1 };
	tce_sources_init(&table->calls);
	table->page_shift = page_shift;
	table->levels = levels;
	table->level_bits = bits;
	table->start = start;
	table->size = window_size >> page_shift;
	table->bytes = tce_table_bytes(page_shift, window_size, levels);
	table->mm = mm_get(mm);
	table->memory = memory ? tce_mm_ref(memory) : NULL;
	return table;
}

struct tce_table *tce_table_get(struct tce_table *table)
{
	atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
	return table;
}

void tce_table_put(struct tce_table *table)
{
	if (atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
		return;
	tce_table_clear(table, 0, table->size);
	array_free(table, atomic_load(&table->top), table->levels - 1);
	mm_put(table->mm);
	if (table->memory)
		tce_mm_put(table->memory);
	if (table->domain)
		iommu_domain_put(table->domain);
	free(table);
}

void tce_table_set_domain(struct tce_table *table, struct iommu_domain *domain)
{
	iommu_domain_get(domain);
	table->domain = domain;
}

/* Nobody has used it yet. The array of level for *place, or NULL: no memory. */
static __attribute__((noinline)) void *first_use(struct tce_table *table, _Atomic uint64_t *place,
						 unsigned int level)
{
	void *array = array_new(table, level);
	uint64_t other = 0;

	if (!array || atomic_compare_exchange_strong(place, &other, (uint64_t)(uintptr_t)array))
		return array;
	atomic_fetch_sub_explicit(&table->arrays, array_bytes(table, level), memory_order_relaxed);
	free(array);
	return (void *)(uintptr_t)other;
}

struct tce *tce_entry(struct tce_table *table, uint64_t n, bool alloc)
{
	const uint64_t mask = BIT64(table->level_bits) - 1;
	_Atomic uint64_t *place = &table->top;

	for (unsigned int level = table->levels - 1;; level--) {
		void *array = (void *)(uintptr_t)atomic_load_explicit(place, memory_order_acquire);

		if (unlikely(!array) && alloc)
			array = first_use(table, place, level);
		if (unlikely(!array))
			return NULL;
		if (!level)
			return (struct tce *)array + (n & mask);
		place = (_Atomic uint64_t *)array + (n >> level * table->level_bits & mask);
	}
}

struct tce *tce_entries_from(struct tce_table *table, uint64_t n, uint64_t end, uint64_t *left)
{
	const uint64_t mask = BIT64(table->level_bits) - 1;
	_Atomic uint64_t *place = &table->top;

	for (unsigned int level = table->levels - 1;; level--) {
		void *array = (void *)(uintptr_t)atomic_load_explicit(place, memory_order_acquire);
		uint64_t below = BIT64((level + 1) * table->level_bits);

		*left = MIN(below - (n & (below - 1)), end - n);
		if (!array)
			return NULL;
		if (!level)
			return (struct tce *)array + (n & mask);
		place = (_Atomic uint64_t *)array + (n >> level * table->level_bits & mask);
	}
}

uint64_t tce_table_clear(struct tce_table *table, uint64_t n, uint64_t count)
{
	struct tce_unmapping unmapping = { .tmm = table->memory };
	const uint64_t end = n + count;
	uint64_t cleared = 0;

	for (uint64_t left; n < end; n += left) {
		struct tce *entry = tce_entries_from(table, n, end, &left);

		for (uint64_t i = 0; entry && i < left; i++) {
			uint64_t word;

			if (!atomic_load_explicit(&entry[i].word, memory_order_relaxed))
				continue;
			word = tce_xchg(&entry[i], 0);
			if (!word)
				continue;
			if (table->memory)
				tce_unmapping_note(&unmapping, tce_address(word));
			cleared++;
		}
	}
	tce_unmapping_end(&unmapping);
	return cleared;
}

void tce_table_each(struct tce_table *table, bool (*fn)(void *arg, uint64_t n, uint64_t word), void *arg)
{
	for (uint64_t n = 0, left; n < table->size; n += left) {
		struct tce *entry = tce_entries_from(table, n, table->size, &left);

		for (uint64_t i = 0; entry && i < left; i++) {
			uint64_t word = atomic_load_explicit(&entry[i].word, memory_order_relaxed);

			if (word && !fn(arg, n + i, word))
				return;
		}
	}
}

bool tce_table_walk(struct tce_table *table, uint64_t address, struct pt_leaf *leaf)
{
	struct tce *entry = tce_entry(table, (address - table->start) >> table->page_shift, false);
	uint64_t word = entry ? atomic_load_explicit(&entry->word, memory_order_acquire) : 0;

	if (!word)
		return false;
	leaf->first = align_down(address, BIT64(table->page_shift));
	leaf->last = leaf->first + (BIT64(table->page_shift) - 1);
	leaf->pte = word;
	leaf->word = &entry->word;
	return true;
}
