/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MAP_DMA and UNMAP_DMA: entries of a window's table, one by one.
 *
 * What devices could use before is in their caches until iommu_domain_sync(): it is called once, at the end,
 * and before the lock is dropped, without which no memory is unregistered.
 */
#include "iommu/spapr/spapr_private.h"

#include "base/trace.h"
#include "base/why.h"

struct change {
	struct spapr *spapr;
	struct tce_table *table;
	uint64_t first, count; /* entries */
	bool taken;            /* something that devices could use was taken out */
};

static uint64_t page_size(const struct tce_table *table)
{
	return BIT64(table->page_shift);
}

static void finish(const struct change *change)
{
	if (change->taken)
		tce_finish(change->table);
}

/* For statistics entries are mappings, but for those by hypercalls: nobody counts them, who takes them out.
 */
void spapr_mappings_gone(struct tce_table *table, uint64_t n)
{
	n = MIN(n, table->mappings);
	table->mappings -= n;
	stat_add(STAT_UNMAPS, n);
	stat_sub(STAT_MAPPINGS, n);
}

static void mapped(struct tce_table *table, uint64_t n)
{
	table->puts += n;
	table->mappings += n;
	stat_add(STAT_MAPS, n);
	stat_add(STAT_MAPPINGS, n);
}

/* How many there were. */
static uint64_t clear(struct change *change, uint64_t count)
{
	const uint64_t cleared = tce_table_clear(change->table, change->first, count);

	change->table->clears += cleared;
	if (cleared)
		change->taken = true;
	return cleared;
}

/* ---- v1: any memory */

/* How many pages from ua on are good memory? */
static uint64_t good_pages(const struct change *change, uint64_t ua, bool write)
{
	const uint64_t page = page_size(change->table);
	uint64_t n = 0, end;
	bool bar;

	if (add_overflows(ua, change->count * page, &end) || end > PTE_ADDR)
		return 0;
	if (!mm_check_bar(change->table->mm, ua, change->count * page, write, &bar) && !bar)
		return change->count;
	while (n < change->count && !mm_check_bar(change->table->mm, ua + n * page, page, write, &bar) &&
	       !bar)
		n++;
	return n;
}

/* ---- both */

static int put_all(struct change *change, uint64_t ua, unsigned int prot)
{
	const uint64_t page = page_size(change->table);
	const bool v2 = change->spapr->v2;
	uint64_t good = v2 ? change->count : good_pages(change, ua, prot & IOMMU_WRITE), i, replaced = 0;
	struct tce_memory *hint = NULL;
	int rc = 0;

	for (i = 0; i < good && !rc; i++, ua += page) {
		bool taken = false;

		rc = v2 ? tce_put_registered(change->table, change->first + i, ua, prot, true, &hint, &taken)
			: tce_put(change->table, change->first + i, ua, prot, true, &taken);
		replaced += taken;
		if (rc)
			break;
	}
	if (!rc && i < change->count)
		rc = WHY(-EFAULT, "the memory at vaddr 0x%llx is not there, or not writable, or a BAR",
			 (unsigned long long)ua);
	spapr_mappings_gone(change->table, replaced);
	change->taken = replaced || (rc && i);
	if (rc) {
		tce_table_clear(change->table, change->first, i);
		change->table->clears += replaced;
	} else {
		mapped(change->table, i);
	}
	finish(change);
	return rc;
}

/* The entries that [iova, iova+size) stands for. Under the lock. */
static int find_entries(struct spapr *spapr, uint64_t iova, uint64_t va, uint64_t size, struct change *change)
{
	struct tce_table *table;
	int rc;

	if (!spapr->enabled)
		return WHY(-EPERM,
			   "it is not enabled: VFIO_IOMMU_ENABLE (v1) or _REGISTER_MEMORY (v2) comes first");
	rc = spapr_default_window(spapr);
	if (rc)
		return rc;
	table = spapr_find_table(spapr, iova);
	if (!table)
		return WHY(-ENXIO, "0x%llx is in no window", (unsigned long long)iova);
	if (!is_aligned(iova | va | size, page_size(table)))
		return WHY(-EINVAL, "iova, size and vaddr have to be whole pages of the window's, 2^%u",
			   table->page_shift);
	*change = (struct change){ .spapr = spapr, .table = table };
	change->first = (iova - table->start) >> table->page_shift;
	change->count = size >> table->page_shift;
	if (change->count > table->size - change->first)
		return WHY(-EINVAL, "the window ends at 0x%llx",
			   (unsigned long long)(table->start + (table->size << table->page_shift) - 1));
	return 0;
}

int spapr_map(struct spapr *spapr, struct mm *mm, uint64_t iova, uint64_t va, uint64_t size,
	      unsigned int prot)
{
	struct change change;
	int rc = spapr_check_mm(spapr, mm);

	if (rc)
		return rc;
	pthread_mutex_lock(&spapr->lock);
	rc = find_entries(spapr, iova, va, size, &change);
	if (!rc && !prot)
		rc = WHY(-EINVAL, "neither READ nor WRITE");
	if (!rc)
		rc = put_all(&change, va, prot);
	if (!rc) {
		change.table->calls.own.calls[TCE_USER]++;
		spapr->maps++;
	}
	pthread_mutex_unlock(&spapr->lock);
	if (!rc && trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, NULL, "map", 0, "iova=0x%llx size=0x%llx vaddr=0x%llx%s%s",
			   (unsigned long long)iova, (unsigned long long)size, (unsigned long long)va,
			   prot & IOMMU_READ ? " READ" : "", prot & IOMMU_WRITE ? " WRITE" : "");
	return rc;
}

int spapr_unmap(struct spapr *spapr, uint64_t iova, uint64_t size)
{
	struct change change;
	int rc;

	pthread_mutex_lock(&spapr->lock);
	rc = find_entries(spapr, iova, 0, size, &change);
	if (!rc) {
		spapr_mappings_gone(change.table, clear(&change, change.count));
		finish(&change);
		change.table->calls.own.calls[TCE_USER]++;
		spapr->unmaps++;
	}
	pthread_mutex_unlock(&spapr->lock);
	if (!rc && trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, NULL, "unmap", 0, "iova=0x%llx size=0x%llx", (unsigned long long)iova,
			   (unsigned long long)size);
	return rc;
}
