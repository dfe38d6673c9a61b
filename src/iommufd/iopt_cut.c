/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For VFIO's first type: areas are cut in two, and what is mapped does not change. The kernel can do that
 * only when it has mapped page by page; our domains are cut when it comes to it. The rules are the kernel's,
 * since they can be seen.
 */
#include "iommufd/iopt_private.h"

#include "base/why.h"

#include <stdlib.h>

static int may_cut(const struct io_pagetable *iopt, const struct iopt_area *area, uint64_t right)
{
	uint64_t mask = iopt->iova_alignment - 1;

	if (area->prevent_access)
		return WHY(-EBUSY, "0x%llx is being unmapped", (unsigned long long)right);
	if (area->pages->type == IOPT_PAGES_DMABUF)
		return WHY(-EOPNOTSUPP, "0x%llx is memory of a device", (unsigned long long)right);
	if (right & mask || area_byte(area, right) & mask)
		return WHY(-EINVAL, "0x%llx is not aligned to 0x%llx", (unsigned long long)right,
			   (unsigned long long)(mask + 1));
	return 0;
}

/* Of area, when rest has become the part of it behind. */
static uint64_t left_last_index(const struct iopt_area *area, const struct iopt_area *rest)
{
	return area_byte(area, rest->iova - 1) / UVFIO_PAGE_SIZE;
}

/* The halves cover what the area did: all is covered already, so there is nothing to check or to charge. */
static int cover_halves(struct iopt_area *area, struct iopt_area *rest)
{
	struct cover *cover = &area->pages->cover;
	uint64_t fresh;
	int ret = cover_add(cover, area_index(area), left_last_index(area, rest), &fresh);

	if (ret)
		return ret;
	ret = cover_add(cover, area_index(rest), area_last_index(rest), &fresh);
	if (ret)
		cover_remove(cover, area_index(area), left_last_index(area, rest));
	return ret;
}

static void uncover_halves(struct iopt_area *area, struct iopt_area *rest)
{
	cover_remove(&area->pages->cover, area_index(area), left_last_index(area, rest));
	cover_remove(&area->pages->cover, area_index(rest), area_last_index(rest));
}

/* A domain in which it is split is none the worse for it if the cut fails. */
static int split_domains(struct io_pagetable *iopt, uint64_t iova)
{
	int ret = 0;

	for (unsigned int i = 0; i < iopt->nr_domains && !ret; i++)
		if (iopt->domains[i]->ops->split)
			ret = iopt->domains[i]->ops->split(iopt->domains[i], iova);
	return ret;
}

/* Under the pages' lock. */
static int split_pages(struct io_pagetable *iopt, struct iopt_area *area, struct iopt_area *rest)
{
	int ret;

	if (area->num_accesses)
		return WHY(-EINVAL, "an access has pinned pages of the mapping");
	if (iopt->nr_domains && !iopt->disable_large_pages)
		return WHY(-EINVAL, "a domain may have mapped it in large pages");
	ret = split_domains(iopt, rest->iova);
	if (!ret && iopt->nr_domains)
		ret = cover_halves(area, rest);
	if (ret)
		return ret;
	ret = range_map_split(&iopt->areas, area->iova, rest->iova, rest);
	if (!iopt->nr_domains)
		return ret;
	if (ret)
		uncover_halves(area, rest);
	else
		cover_remove(&area->pages->cover, area_index(area), area_last_index(area));
	return ret;
}

static int split_area(struct io_pagetable *iopt, struct iopt_area *area, uint64_t iova)
{
	pthread_mutex_t *lock = iopt_pages_lock(area->pages);
	struct iopt_area *rest;
	int ret;

	if (iova == area->iova || iova == area->last)
		return 0;
	ret = may_cut(iopt, area, iova + 1);
	if (ret)
		return ret;
	rest = iopt_area_alloc();
	if (!rest)
		return -ENOMEM;
	*rest = *area;
	rest->iova = iova + 1;
	rest->start_byte = area_byte(area, rest->iova);
	pthread_mutex_lock(lock);
	ret = split_pages(iopt, area, rest);
	pthread_mutex_unlock(lock);
	if (ret) {
		free(rest);
		return ret;
	}
	iopt_pages_get(area->pages);
	area->last = iova;
	stat_add(STAT_MAPPINGS, 1);
	return 0;
}

int iopt_cut_iova(struct io_pagetable *iopt, const uint64_t *iovas, unsigned int nr)
{
	struct range range;
	int ret = 0;

	pthread_rwlock_wrlock(&iopt->lock);
	for (unsigned int i = 0; i < nr && !ret; i++)
		if (range_map_find(&iopt->areas, iovas[i], &range))
			ret = split_area(iopt, range.value, iovas[i]);
	pthread_rwlock_unlock(&iopt->lock);
	return ret;
}

int iopt_disable_large_pages(struct io_pagetable *iopt)
{
	int ret = 0;

	pthread_rwlock_wrlock(&iopt->lock);
	if (!iopt->disable_large_pages && iopt->nr_domains && iopt->areas.count) {
		ret = WHY(-EINVAL, "a domain has mapped memory");
	} else if (!iopt->disable_large_pages) {
		iopt->disable_large_pages = true;
		ret = iopt_calculate_alignment(iopt);
		if (ret)
			iopt->disable_large_pages = false;
	}
	pthread_rwlock_unlock(&iopt->lock);
	return ret;
}

void iopt_enable_large_pages(struct io_pagetable *iopt)
{
	pthread_rwlock_wrlock(&iopt->lock);
	iopt->disable_large_pages = false;
	iopt_calculate_alignment(iopt); /* it only becomes less */
	pthread_rwlock_unlock(&iopt->lock);
}

bool iopt_large_pages_disabled(struct io_pagetable *iopt)
{
	bool disabled;

	pthread_rwlock_rdlock(&iopt->lock);
	disabled = iopt->disable_large_pages;
	pthread_rwlock_unlock(&iopt->lock);
	return disabled;
}
