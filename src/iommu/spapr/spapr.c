/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sPAPR TCE back end: groups, windows, registered memory.
 */
#include "iommu/spapr/spapr_private.h"

#include "base/failpoint.h"
#include "base/why.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PAGE_SHIFT 12

_Static_assert(sizeof(struct spapr_params) <= sizeof(((struct iommu_params *)NULL)->of_type),
	       "it has room there");

void spapr_params_default(struct spapr_params *hw)
{
	*hw = (struct spapr_params){
		.pgsizes = BIT64(12) | BIT64(16) | BIT64(24),
		.window_size = BIT64(31),
		.max_windows = SPAPR_WINDOWS,
		.levels = TCE_MAX_LEVELS,
		.ram_shift = 16,
	};
}

void spapr_params_set(struct iommu_params *params, const struct spapr_params *hw)
{
	params->type = "spapr";
	memcpy(params->of_type, hw, sizeof(*hw));
}

struct spapr *spapr_new(const struct iommu_params *params, bool v2)
{
	struct spapr *spapr = failpoint() ? NULL : calloc(1, sizeof(*spapr));

	if (!spapr)
		return NULL;
	spapr->params = params;
	memcpy(&spapr->hw, params->of_type, sizeof(spapr->hw));
	spapr->v2 = v2;
	pthread_mutex_init(&spapr->lock, NULL);
	return spapr;
}

void spapr_forked(struct spapr *spapr)
{
	pthread_mutex_init(&spapr->lock, NULL);
	tce_mm_forked();
	if (spapr->domain)
		iommu_domain_forked(spapr->domain);
}

bool spapr_has_mm(struct spapr *spapr)
{
	return atomic_load(&spapr->mm);
}

int spapr_check_mm(struct spapr *spapr, struct mm *mm)
{
	struct mm *served = atomic_load(&spapr->mm);

	if (!served || served == mm)
		return 0;
	return WHY(-EPERM, "the container serves another process, which was the first to map or register");
}

int spapr_set_mm(struct spapr *spapr, struct mm *mm)
{
	if (spapr->mm)
		return spapr_check_mm(spapr, mm);
	if (spapr->v2) {
		spapr->memory = tce_mm_get(mm);
		if (!spapr->memory)
			return -ENOMEM;
	}
	if (spapr->v2)
		tce_mm_add_domain(spapr->memory, &spapr->use, spapr->domain);
	atomic_store(&spapr->mm, mm_get(mm));
	return 0;
}

int spapr_serve(struct spapr *spapr, struct mm *mm)
{
	int rc;

	if (likely(spapr_has_mm(spapr)))
		return spapr_check_mm(spapr, mm);
	pthread_mutex_lock(&spapr->lock);
	rc = spapr_set_mm(spapr, mm);
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

bool spapr_is_enabled(struct spapr *spapr)
{
	return atomic_load(&spapr->enabled);
}

/* ---- windows */

struct tce_table *spapr_find_table(struct spapr *spapr, uint64_t address)
{
	for (unsigned int i = 0; i < SPAPR_WINDOWS; i++) {
		struct tce_table *table = atomic_load_explicit(&spapr->tables[i], memory_order_acquire);

		if (table && tce_table_has(table, address))
			return table;
	}
	return NULL;
}

/* What devices are translated by. */
static bool walk(void *arg, uint64_t iova, struct pt_leaf *leaf)
{
	struct tce_table *table = spapr_find_table(arg, iova);

	return table && tce_table_walk(table, iova, leaf);
}

static int new_table(struct spapr *spapr, unsigned int number, uint32_t page_shift, uint64_t size,
		     uint32_t levels)
{
	const uint64_t start = number ? SPAPR_WINDOW1 : 0, bytes = tce_table_bytes(page_shift, size, levels);
	struct tce_table *table;
	int rc;

	if (!bytes)
		return WHY(-EINVAL,
			   "no table has %u level%s for 0x%llx bytes in pages of 2^%u: 1 to %u levels, a "
			   "power of "
			   "two of pages, at most 54 bits",
			   levels, levels == 1 ? "" : "s", (unsigned long long)size, page_shift,
			   TCE_MAX_LEVELS);
	rc = tce_charge(spapr->mm, spapr->params, bytes / UVFIO_PAGE_SIZE);
	if (rc)
		return rc;
	table = tce_table_new(spapr->mm, spapr->memory, start, page_shift, size, levels);
	if (!table) {
		mm_uncharge(spapr->mm, bytes / UVFIO_PAGE_SIZE);
		return WHY(-ENOMEM, "an array of the table is too large: more levels make smaller ones");
	}
	tce_table_set_domain(table, spapr->domain);
	atomic_store_explicit(&spapr->tables[number], table, memory_order_release);
	return 0;
}

/* Under the lock. The number of the window, or an error. */
static int create(struct spapr *spapr, uint32_t page_shift, uint64_t size, uint32_t levels)
{
	unsigned int number = 0;
	int rc;

	while (number < SPAPR_WINDOWS && spapr->tables[number])
		number++;
	if (number == SPAPR_WINDOWS)
		return WHY(-ENOSPC, "there are two windows already: VFIO_IOMMU_SPAPR_TCE_REMOVE one");
	if (page_shift > 63 || !(spapr->hw.pgsizes & BIT64(page_shift)))
		return WHY(-EINVAL, "pages of 2^%u bytes are none of 0x%llx (--iommu pgsizes=)", page_shift,
			   (unsigned long long)spapr->hw.pgsizes);
	rc = new_table(spapr, number, page_shift, size, levels);
	return rc ? rc : (int)number;
}

int spapr_default_window(struct spapr *spapr)
{
	int number;

	if (!spapr->default_pending)
		return 0;
	number = create(spapr, DEFAULT_PAGE_SHIFT, spapr->hw.window_size, 1);
	if (number < 0)
		return number;
	spapr->default_pending = false;
	return 0;
}

int spapr_create(struct spapr *spapr, struct mm *mm, uint32_t page_shift, uint64_t size, uint32_t levels,
		 uint64_t *start)
{
	int rc;

	pthread_mutex_lock(&spapr->lock);
	rc = spapr_set_mm(spapr, mm);
	if (!rc)
		rc = spapr_default_window(spapr);
	if (!rc)
		rc = create(spapr, page_shift, size, levels);
	if (rc >= 0) {
		*start = spapr->tables[rc]->start;
		spapr->windows_made++;
		rc = 0;
	}
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

/* Under the lock. */
static void remove_window(struct spapr *spapr, unsigned int number)
{
	struct tce_table *table = atomic_exchange(&spapr->tables[number], NULL);

	tce_table_kill(table);
	if (tce_table_clear(table, 0, table->size) && trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, NULL, "unmap", 0, "the rest of the window at 0x%llx",
			   (unsigned long long)table->start);
	tce_finish(table);
	spapr_mappings_gone(table, table->mappings);
	mm_uncharge(spapr->mm, table->bytes / UVFIO_PAGE_SIZE);
	tce_table_put(table);
}

int spapr_remove(struct spapr *spapr, struct mm *mm, uint64_t address)
{
	unsigned int number = 0;
	int rc;

	pthread_mutex_lock(&spapr->lock);
	rc = spapr_set_mm(spapr, mm);
	if (rc)
		goto unlock;
	if (spapr->default_pending && !address) {
		spapr->default_pending = false;
		goto unlock;
	}
	while (number < SPAPR_WINDOWS &&
	       !(spapr->tables[number] && tce_table_has(spapr->tables[number], address)))
		number++;
	if (number < SPAPR_WINDOWS)
		remove_window(spapr, number);
	else
		rc = WHY(-EINVAL, "0x%llx is in no window", (unsigned long long)address);
unlock:
	if (!rc)
		spapr->windows_removed++;
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

struct tce_table *spapr_get_table(struct spapr *spapr, uint64_t start, uint64_t size, unsigned int page_shift)
{
	struct tce_table *found = NULL;

	pthread_mutex_lock(&spapr->lock);
	for (unsigned int i = 0; i < SPAPR_WINDOWS && !found; i++) {
		struct tce_table *table = spapr->tables[i];

		if (table && table->start == start && table->page_shift <= page_shift &&
		    size <= table->size << table->page_shift)
			found = tce_table_get(table);
	}
	pthread_mutex_unlock(&spapr->lock);
	return found;
}

/* ---- groups */

static int make_domain(struct spapr *spapr)
{
	static const struct iommu_advice advice = {
		.map = "VFIO_IOMMU_MAP_DMA or H_PUT_TCE",
		.unmap = "VFIO_IOMMU_UNMAP_DMA or H_PUT_TCE",
		.read = "VFIO_DMA_MAP_FLAG_READ, or bit 0 of the TCE",
		.write = "VFIO_DMA_MAP_FLAG_WRITE, or bit 1 of the TCE",
	};
	struct iommu_domain *domain = iommu_domain_alloc(spapr->params);

	if (!domain)
		return -ENOMEM;
	iommu_domain_set_walk(domain, walk, spapr);
	iommu_domain_set_advice(domain, &advice);
	spapr->domain = domain;
	return 0;
}

static int check_attach(const struct spapr *spapr)
{
	if (spapr->v2 && !spapr->hw.max_windows)
		return WHY(-EINVAL, "the platform has no dynamic windows: there is SPAPR_TCE_IOMMU (2) only");
	if (!spapr->v2 && spapr->groups)
		return WHY(-EBUSY, "a SPAPR_TCE_IOMMU (v1) container has one group");
	return 0;
}

int spapr_attach(struct spapr *spapr, struct iommu_dev *const *devs, unsigned int nr)
{
	bool first = false;
	int rc;

	pthread_mutex_lock(&spapr->lock);
	rc = check_attach(spapr);
	if (rc)
		goto unlock;
	first = !spapr->groups;
	if (first)
		rc = make_domain(spapr);
	if (rc)
		goto unlock;
	if (first && !spapr->tables[0])
		spapr->default_pending = true;
	for (unsigned int i = 0; i < nr; i++)
		iommu_dev_attach(devs[i], spapr->domain);
	spapr->groups++;
unlock:
	pthread_mutex_unlock(&spapr->lock);
	if (!rc && first)
		iommu_domain_set_describe(spapr->domain, spapr_describe, spapr);
	return rc;
}

void spapr_detach(struct spapr *spapr, struct iommu_dev *const *devs, unsigned int nr)
{
	struct iommu_domain *domain = spapr->domain;
	bool final = spapr->groups == 1;

	if (final)
		iommu_domain_set_describe(domain, NULL, NULL);
	pthread_mutex_lock(&spapr->lock);
	for (unsigned int i = 0; i < nr; i++)
		iommu_dev_attach(devs[i], NULL);
	spapr->groups--;
	if (final && spapr->memory)
		tce_mm_remove_domain(spapr->memory, &spapr->use);
	if (final)
		spapr->domain = NULL;
	pthread_mutex_unlock(&spapr->lock);
	if (final)
		iommu_domain_free(domain);
}

void spapr_free(struct spapr *spapr)
{
	if (!spapr)
		return;
	pthread_mutex_lock(&spapr->lock);
	for (unsigned int i = 0; i < SPAPR_WINDOWS; i++)
		if (spapr->tables[i]) {
			stat_add(STAT_LEFT_MAPPINGS, spapr->tables[i]->mappings);
			remove_window(spapr, i);
		}
	pthread_mutex_unlock(&spapr->lock);
	for (unsigned int i = 0; i < spapr->nr_registered; i++) {
		tce_memory_pays_no_more(spapr->registered[i], spapr);
		tce_memory_leave(spapr->memory, spapr->registered[i]);
	}
	spapr_disable(spapr);
	if (spapr->memory)
		tce_mm_put(spapr->memory);
	if (spapr->mm)
		mm_put(spapr->mm);
	pthread_mutex_destroy(&spapr->lock);
	free(spapr->registered);
	free(spapr);
}

void spapr_get_info(struct spapr *spapr, struct spapr_info *info)
{
	*info = (struct spapr_info){ .window_size = spapr->hw.window_size };
	if (!spapr->v2)
		return;
	info->pgsizes = spapr->hw.pgsizes;
	info->max_windows = spapr->hw.max_windows;
	info->levels = spapr->hw.levels;
}
