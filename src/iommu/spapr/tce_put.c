/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Changing entries: the steps that all callers share, whether they may wait or not. Without alloc nothing
 * here allocates, locks or waits, but tce_finish().
 */
#include "iommu/spapr/tce_table.h"

#include "base/why.h"

#include <assert.h>

static void take(struct tce_table *table, struct tce *entry, bool *taken)
{
	uint64_t old = tce_xchg(entry, 0);

	if (!old)
		return;
	tce_release(table, old);
	*taken = true;
}

int tce_put(struct tce_table *table, uint64_t n, uint64_t ua, unsigned int prot, bool alloc, bool *taken)
{
	struct tce *entry = tce_entry(table, n, alloc);
	uint64_t old;

	if (unlikely(!entry))
		return alloc ? -ENOMEM : -EAGAIN;
	old = tce_xchg(entry, tce_word(table, ua, prot));
	atomic_store_explicit(&entry->ua, ua, memory_order_relaxed);
	if (old) {
		tce_release(table, old);
		*taken = true;
	}
	if (tce_table_is_dead(table)) {
		take(table, entry, taken);
		return -ENXIO;
	}
	return 0;
}

/* Something was counted in for nothing. If that kept what nobody uses, it goes when the caller finishes. */
static void counted_back(struct tce_table *table, bool *taken)
{
	if (tce_memory_has_left(table->memory))
		*taken = true;
}

static void count_back(struct tce_table *table, struct tce_memory *mem, uint64_t entries, bool *taken)
{
	tce_memory_sub(mem, entries);
	counted_back(table, taken);
}

/* tce_memory_lookup(), which may have counted in for a moment where hint was. */
static int look_up(struct tce_table *table, uint64_t ua, struct tce_memory *hint, bool alloc,
		   struct tce_memory **mem, bool *taken)
{
	int rc = tce_memory_lookup(table->memory, ua, BIT64(table->page_shift), hint, alloc, mem);

	if (unlikely(rc) || unlikely(*mem != hint))
		counted_back(table, taken);
	return rc;
}

static int not_registered(const struct tce_table *table, uint64_t ua, const struct tce_memory *mem)
{
	if (!mem)
		return WHY(-EINVAL, "the memory at vaddr 0x%llx is not registered for a whole page of 2^%u",
			   (unsigned long long)ua, table->page_shift);
	return WHY(-EINVAL,
		   "the memory at vaddr 0x%llx is for pages of 2^%u, the window has 2^%u: larger ones take "
		   "--iommu ram-page=, and memory that is aligned so",
		   (unsigned long long)ua, mem->page_shift, table->page_shift);
}

int tce_put_registered(struct tce_table *table, uint64_t n, uint64_t ua, unsigned int prot, bool alloc,
		       struct tce_memory **hint, bool *taken)
{
	struct tce_memory *mem;
	int rc = look_up(table, ua, *hint, alloc, &mem, taken);

	if (unlikely(rc))
		return rc == -EAGAIN ? rc : not_registered(table, ua, NULL);
	if (unlikely(table->page_shift > atomic_load_explicit(&mem->page_shift, memory_order_relaxed)))
		rc = not_registered(table, ua, mem);
	else
		rc = tce_put(table, n, ua, prot, alloc, taken);
	if (unlikely(rc) && rc != -ENXIO) /* then it was in, and has been taken out */
		count_back(table, mem, 1, taken);
	*hint = mem;
	return rc;
}

/* ---- many */

/* How many of words, from the first, are in mem or nothing; *entries: in mem. */
static unsigned int run_of(const struct tce_table *table, const struct tce_memory *mem, const uint64_t *words,
			   unsigned int count, uint64_t *entries)
{
	unsigned int run = 1;

	*entries = 1;
	for (; run < count; run++) {
		if (!words[run])
			continue;
		if (!tce_memory_has(mem, tce_address(words[run]), BIT64(table->page_shift)))
			break;
		++*entries;
	}
	return run;
}

/*
 * The same, for words that begin with one for registered memory: they are counted in, in *mem; or an error,
 * and none is. *mem: where it was last time, or NULL.
 */
static int count_run(struct tce_table *table, const uint64_t *words, unsigned int count, bool alloc,
		     struct tce_memory **mem, unsigned int *run, uint64_t *entries, bool *taken)
{
	const uint64_t ua = tce_address(*words);
	int rc = look_up(table, ua, *mem, alloc, mem, taken);

	if (unlikely(rc))
		return rc == -EAGAIN ? rc : not_registered(table, ua, NULL);
	assert(*mem);
	if (unlikely(table->page_shift > atomic_load_explicit(&(*mem)->page_shift, memory_order_relaxed)))
		rc = not_registered(table, ua, *mem);
	*run = run_of(table, *mem, words, count, entries);
	if (!rc && *entries > 1)
		rc = tce_memory_add(table->memory, *mem, *entries - 1, alloc);
	if (unlikely(rc))
		count_back(table, *mem, 1, taken);
	return rc;
}

/* Words that are counted in. *entries: how many of them are not in the table; 0 when all are. */
static int exchange(struct tce_table *table, uint64_t n, const uint64_t *words, unsigned int count,
		    bool alloc, uint64_t *entries, bool *taken)
{
	struct tce_unmapping unmapping = { .tmm = table->memory };
	const uint64_t end = n + count;
	int rc = 0;

	for (uint64_t left; !rc && n < end; n += left, words += left) {
		struct tce *entry = tce_entries_from(table, n, end, &left);

		if (unlikely(!entry)) {
			left = 1;
			entry = *words ? tce_entry(table, n, alloc) : NULL;
			if (!entry) {
				rc = !*words ? 0 : alloc ? -ENOMEM : -EAGAIN;
				continue;
			}
		}
		for (uint64_t i = 0; i < left; i++) {
			uint64_t old = tce_xchg(&entry[i], words[i]);

			*entries -= words[i] != 0;
			atomic_store_explicit(&entry[i].ua, tce_address(words[i]), memory_order_relaxed);
			if (old)
				tce_unmapping_note(&unmapping, tce_address(old));
		}
	}
	*taken |= unmapping.mem != NULL || unmapping.entries;
	tce_unmapping_end(&unmapping);
	return rc;
}

int tce_put_words(struct tce_table *table, uint64_t n, const uint64_t *words, unsigned int count, bool alloc,
		  struct tce_memory **hint, bool *taken)
{
	const uint64_t first = n, all = count;
	int rc = 0;

	for (unsigned int run; !rc && count; n += run, words += run, count -= run) {
		uint64_t entries = 0;

		run = 1;
		if (*words)
			rc = count_run(table, words, count, alloc, hint, &run, &entries, taken);
		if (unlikely(rc))
			break;
		rc = exchange(table, n, words, run, alloc, &entries, taken);
		if (entries)
			count_back(table, *hint, entries, taken);
	}
	if (unlikely(tce_table_is_dead(table))) {
		if (tce_table_clear(table, first, all))
			*taken = true;
		return -ENXIO;
	}
	return rc;
}

void tce_take(struct tce_table *table, uint64_t n, bool *taken)
{
	struct tce *entry = tce_entry(table, n, false);

	if (entry && atomic_load_explicit(&entry->word, memory_order_relaxed))
		take(table, entry, taken);
}

void tce_finish(struct tce_table *table)
{
	if (table->domain)
		iommu_domain_sync(table->domain);
	if (table->memory)
		tce_memory_reap(table->memory);
}

int tce_try_finish(struct tce_table *table)
{
	if (table->memory && tce_memory_has_left(table->memory))
		return -EAGAIN;
	return !table->domain || iommu_domain_try_sync(table->domain) ? 0 : -EAGAIN;
}
