/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IOMMU_IOAS_CHANGE_PROCESS: another process takes over the charges of all memory, which must be files'.
 *
 * Pages may be in several tables. All tables are locked, in the order of their ids, so that nobody else
 * charges or pins meanwhile; the caller sees to it that no table is added.
 */
#include "iommufd/iopt_private.h"

#include "base/why.h"

struct change {
	struct mm *mm;
	const struct iommu_params *params;
	uint64_t npinned[IOPT_ACCOUNT_MM + 1]; /* of those to be moved, by account mode */
	bool other;                            /* some memory is no file's */
};

static void each_area(struct io_pagetable *const *iopts, unsigned int nr,
		      bool (*fn)(void *arg, struct range *range), struct change *change)
{
	for (unsigned int i = 0; i < nr; i++)
		range_map_each(&iopts[i]->areas, 0, UINT64_MAX, fn, change);
}

static bool is_file(void *arg, struct range *range)
{
	const struct iopt_area *area = range->value;
	struct change *change = arg;

	change->other |= area->pages->type != IOPT_PAGES_FILE;
	return !change->other;
}

static bool count_pages(void *arg, struct range *range)
{
	struct iopt_pages *pages = ((struct iopt_area *)range->value)->pages;
	struct change *change = arg;

	if (mm_payer(pages->ext->charged) == mm_payer(change->mm) || pages->moving)
		return true;
	pages->moving = true;
	change->params = pages->params;
	change->npinned[pages->account_mode] += cover_count(&pages->cover);
	return true;
}

static bool stay(void *arg, struct range *range)
{
	(void)arg;
	((struct iopt_area *)range->value)->pages->moving = false;
	return true;
}

static bool move(void *arg, struct range *range)
{
	struct iopt_pages *pages = ((struct iopt_area *)range->value)->pages;
	struct change *change = arg;

	if (!pages->moving)
		return true;
	pages->moving = false;
	iopt_uncharge(pages->ext->charged, pages->params, pages->account_mode, cover_count(&pages->cover));
	mm_put(pages->ext->charged);
	pages->ext->charged = mm_get(change->mm);
	return true;
}

static int charge(struct change *change)
{
	for (unsigned int mode = 0; mode < ARRAY_SIZE(change->npinned); mode++) {
		int ret = iopt_charge(change->mm, change->params, (uint8_t)mode, change->npinned[mode]);

		if (!ret)
			continue;
		while (mode--)
			iopt_uncharge(change->mm, change->params, (uint8_t)mode, change->npinned[mode]);
		return ret;
	}
	return 0;
}

static int change_locked(struct io_pagetable *const *iopts, unsigned int nr, struct change *change)
{
	int ret;

	each_area(iopts, nr, is_file, change);
	if (change->other)
		return WHY(-EINVAL, "memory is mapped that is not a file's");
	each_area(iopts, nr, count_pages, change);
	ret = charge(change);
	each_area(iopts, nr, ret ? stay : move, change);
	return ret;
}

int iopt_change_process(struct io_pagetable *const *iopts, unsigned int nr, struct mm *mm)
{
	struct change change = { .mm = mm };
	int ret;

	for (unsigned int i = 0; i < nr; i++)
		pthread_rwlock_wrlock(&iopts[i]->lock);
	ret = change_locked(iopts, nr, &change);
	for (unsigned int i = 0; i < nr; i++)
		pthread_rwlock_unlock(&iopts[i]->lock);
	return ret;
}
