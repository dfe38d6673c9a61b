/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an sPAPR TCE container has, for who looks from outside, and what fault reports say.
 */
#include "iommu/spapr/spapr_private.h"

#include <stdio.h>

/* ---- mappings: runs of entries */

struct runs {
	const struct tce_table *table;
	unsigned int max;
	void (*fn)(void *arg, const struct spapr_mapping *mapping);
	void *arg;
	struct spapr_mapping run; /* size 0: none yet */
	uint64_t count, bytes;
};

static void end_run(struct runs *runs)
{
	if (!runs->run.size)
		return;
	if (runs->count++ < runs->max)
		runs->fn(runs->arg, &runs->run);
	runs->bytes += runs->run.size;
	runs->run.size = 0;
}

static bool add_entry(void *arg, uint64_t n, uint64_t word)
{
	struct runs *runs = arg;
	const uint64_t page = BIT64(runs->table->page_shift), iova = runs->table->start + n * page;
	const unsigned int prot = word & (IOMMU_READ | IOMMU_WRITE);
	struct spapr_mapping *run = &runs->run;

	if (run->size && run->iova + run->size == iova && run->va + run->size == tce_address(word) &&
	    run->prot == prot) {
		run->size += page;
		return true;
	}
	end_run(runs);
	*run = (struct spapr_mapping){ iova, tce_address(word), page, prot };
	return true;
}

void spapr_each_mapping(struct spapr *spapr, unsigned int max,
			void (*fn)(void *arg, const struct spapr_mapping *mapping), void *arg,
			uint64_t *count, uint64_t *bytes)
{
	struct runs runs = { .max = max, .fn = fn, .arg = arg };

	pthread_mutex_lock(&spapr->lock);
	for (unsigned int i = 0; i < SPAPR_WINDOWS; i++) {
		runs.table = spapr->tables[i];
		if (!runs.table)
			continue;
		tce_table_each(spapr->tables[i], add_entry, &runs);
		end_run(&runs);
	}
	pthread_mutex_unlock(&spapr->lock);
	*count = runs.count;
	*bytes = runs.bytes;
}

/* ---- what is charged */

static bool count_entry(void *arg, uint64_t n, uint64_t word)
{
	(void)n;
	(void)word;
	++*(uint64_t *)arg;
	return true;
}

static uint64_t entries_of(struct tce_table *table)
{
	uint64_t entries = 0;

	tce_table_each(table, count_entry, &entries);
	return entries;
}

void spapr_get_usages(struct spapr *spapr, struct mm_usages *usages)
{
	struct mm_usage *usage;

	pthread_mutex_lock(&spapr->lock);
	if (!spapr->mm)
		goto unlock;
	usage = mm_usage_of(usages, spapr->mm);
	usage->charged += spapr->locked;
	for (unsigned int i = 0; i < SPAPR_WINDOWS; i++) {
		struct tce_table *table = spapr->tables[i];

		if (!table)
			continue;
		usage->mapped += entries_of(table) << table->page_shift;
		usage->charged += table->bytes / UVFIO_PAGE_SIZE;
	}
	for (unsigned int i = 0; i < spapr->nr_registered; i++) {
		usage->pinned_by_domains += spapr->registered[i]->size / UVFIO_PAGE_SIZE;
		if (tce_memory_pays(spapr->registered[i], spapr))
			usage->charged += spapr->registered[i]->size / UVFIO_PAGE_SIZE;
	}
	if (!spapr->v2)
		usage->pinned_by_domains += usage->mapped / UVFIO_PAGE_SIZE;
unlock:
	pthread_mutex_unlock(&spapr->lock);
}

/* ---- lines for a person */

static void report_window(unsigned int number, struct tce_table *table,
			  void (*line)(void *arg, const char *text), void *arg)
{
	struct tce_counts counts;
	char text[200];

	snprintf(text, sizeof(text),
		 "window %u: 0x%llx-0x%llx, pages of %llu KiB, levels: %u, entries: %llu of %llu", number,
		 (unsigned long long)table->start,
		 (unsigned long long)(table->start + (table->size << table->page_shift) - 1),
		 (unsigned long long)BIT64(table->page_shift) / 1024, table->levels,
		 (unsigned long long)entries_of(table), (unsigned long long)table->size);
	line(arg, text);
	snprintf(text, sizeof(text),
		 "  put: %llu, cleared: %llu; tables of %llu KiB, charged as %llu KiB; attachments: %u",
		 (unsigned long long)table->puts, (unsigned long long)table->clears,
		 (unsigned long long)table->arrays / 1024, (unsigned long long)table->bytes / 1024,
		 table->refs - 1);
	line(arg, text);
	tce_sources_sum(&table->calls, &counts);
	snprintf(text, sizeof(text),
		 "  calls: in the fast tier: %llu, in the slow tier: %llu, in user space: %llu",
		 (unsigned long long)counts.calls[TCE_FAST], (unsigned long long)counts.calls[TCE_SLOW],
		 (unsigned long long)counts.calls[TCE_USER]);
	line(arg, text);
}

/* That of windows whose pages are no larger than memory's. */
static uint64_t largest_page(const struct spapr *spapr, unsigned int page_shift)
{
	const uint64_t sizes = spapr->hw.pgsizes & (BIT64(page_shift) | (BIT64(page_shift) - 1));

	return sizes ? BIT64(63 - __builtin_clzll(sizes)) : 0;
}

static void report_memory(const struct spapr *spapr, void (*line)(void *arg, const char *text), void *arg)
{
	char whose[64], text[200];

	if (spapr->mm)
		mm_describe(spapr->mm, whose, sizeof(whose));
	for (unsigned int i = 0; i < spapr->nr_registered; i++) {
		const struct tce_memory *mem = spapr->registered[i];

		snprintf(text, sizeof(text),
			 "registered: 0x%llx-0x%llx of %s, %llu KiB, for pages up to %llu KiB; entries into "
			 "it: %llu",
			 (unsigned long long)mem->ua, (unsigned long long)(mem->ua + mem->size - 1), whose,
			 (unsigned long long)mem->size / 1024,
			 (unsigned long long)largest_page(spapr, mem->page_shift) / 1024,
			 (unsigned long long)tce_memory_entries(mem));
		line(arg, text);
	}
}

void spapr_report(struct spapr *spapr, void (*line)(void *arg, const char *text), void *arg)
{
	char text[200];

	pthread_mutex_lock(&spapr->lock);
	if (spapr->default_pending)
		line(arg, "window 0: the default window, not in use so far");
	for (unsigned int i = 0; i < SPAPR_WINDOWS; i++)
		if (spapr->tables[i])
			report_window(i, spapr->tables[i], line, arg);
	report_memory(spapr, line, arg);
	if (spapr->locked) {
		snprintf(text, sizeof(text), "enabled: %llu KiB are charged",
			 (unsigned long long)spapr->locked * (UVFIO_PAGE_SIZE / 1024));
		line(arg, text);
	}
	snprintf(text, sizeof(text),
		 "calls that mapped: %llu, unmapped: %llu, made windows: %llu, removed windows: %llu",
		 (unsigned long long)spapr->maps, (unsigned long long)spapr->unmaps,
		 (unsigned long long)spapr->windows_made, (unsigned long long)spapr->windows_removed);
	line(arg, text);
	pthread_mutex_unlock(&spapr->lock);
}

/* ---- fault reports */

static void describe_entry(struct tce_table *table, uint64_t iova, char *buf, size_t len)
{
	struct pt_leaf leaf;

	if (tce_table_walk(table, iova, &leaf))
		snprintf(buf, len, "the entry [%#llx-%#llx] of its DMA window is for %s",
			 (unsigned long long)leaf.first, (unsigned long long)leaf.last,
			 leaf.pte & PTE_WRITE ? "reading and writing" : "reading only");
	else
		snprintf(buf, len, "it is in the DMA window [%#llx-%#llx], which has no entry for it",
			 (unsigned long long)table->start,
			 (unsigned long long)(table->start + (table->size << table->page_shift) - 1));
}

void spapr_describe(void *owner, uint64_t iova, char *buf, size_t len)
{
	struct spapr *spapr = owner;
	struct tce_table *table;
	size_t n = 0;

	*buf = 0;
	pthread_mutex_lock(&spapr->lock);
	table = spapr_find_table(spapr, iova);
	if (table)
		describe_entry(table, iova, buf, len);
	for (unsigned int i = 0; !table && i < SPAPR_WINDOWS && n < len; i++) {
		const struct tce_table *other = spapr->tables[i];

		if (other)
			n += (size_t)snprintf(
				buf + n, len - n, "%s[%#llx-%#llx]",
				n ? ", " : "it is in no DMA window: ", (unsigned long long)other->start,
				(unsigned long long)(other->start + (other->size << other->page_shift) - 1));
	}
	if (!*buf && spapr->default_pending)
		snprintf(buf, len,
			 "no DMA window has been made yet: the default one is made by the first "
			 "VFIO_IOMMU_MAP_DMA%s",
			 spapr->v2 ? " or VFIO_IOMMU_SPAPR_TCE_CREATE" : "");
	else if (!*buf)
		snprintf(buf, len, "there is no DMA window: all have been removed");
	pthread_mutex_unlock(&spapr->lock);
}
