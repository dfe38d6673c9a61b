/* SPDX-License-Identifier: BSD-2-Clause */
/* Areas in domains: all of an area is in every domain, or none of it in any. */
#include "iommufd/iopt_private.h"

#include "base/why.h"

/* What is copied in several parts is aligned as a whole only. */
int iopt_area_map(struct iommufd_domain *domain, const struct iopt_area *area)
{
	if (unlikely((area->iova | area_size(area) | area_va(area)) & (domain->pgsize - 1)))
		return WHY(-EINVAL, "the part 0x%llx-0x%llx is not aligned for the IOMMU",
			   (unsigned long long)area->iova, (unsigned long long)area->last);
	return domain->ops->map(domain, area->iova, area_size(area), area->pages->mm, area_va(area),
				area->prot);
}

int iopt_area_cover(struct iopt_area *area)
{
	pthread_mutex_t *lock = iopt_pages_exclusive(area->pages) ? NULL : iopt_pages_lock(area->pages);
	int ret;

	if (lock)
		pthread_mutex_lock(lock);
	ret = iopt_pages_cover(area->pages, area_index(area), area_last_index(area));
	if (lock)
		pthread_mutex_unlock(lock);
	return ret;
}

void iopt_area_uncover(struct iopt_area *area)
{
	pthread_mutex_t *lock = iopt_pages_exclusive(area->pages) ? NULL : iopt_pages_lock(area->pages);

	if (lock)
		pthread_mutex_lock(lock);
	iopt_pages_uncover(area->pages, area_index(area), area_last_index(area));
	if (lock)
		pthread_mutex_unlock(lock);
}

int iopt_area_fill(struct io_pagetable *iopt, struct iopt_area *area)
{
	unsigned int i;
	int ret;

	area->revoked = atomic_load(&area->pages->revoked);
	if (area->revoked)
		return 0;
	ret = iopt_area_cover(area);
	if (ret)
		return ret;
	for (i = 0; i < iopt->nr_domains && !ret; i++)
		ret = iopt_area_map(iopt->domains[i], area);
	if (!ret)
		return 0;
	for (i--; i; i--)
		iopt->domains[i - 1]->ops->unmap(iopt->domains[i - 1], area->iova, area_size(area));
	iopt_area_uncover(area);
	return ret;
}

void iopt_unmap_begin(struct io_pagetable *iopt)
{
	for (unsigned int i = 0; i < iopt->nr_domains; i++)
		if (iopt->domains[i]->ops->unmap_begin)
			iopt->domains[i]->ops->unmap_begin(iopt->domains[i]);
}

void iopt_unmap_end(struct io_pagetable *iopt)
{
	for (unsigned int i = 0; i < iopt->nr_domains; i++)
		if (iopt->domains[i]->ops->unmap_end)
			iopt->domains[i]->ops->unmap_end(iopt->domains[i]);
}

void iopt_unmap_domains(struct io_pagetable *iopt, uint64_t iova, uint64_t size)
{
	for (unsigned int i = 0; i < iopt->nr_domains; i++)
		iopt->domains[i]->ops->unmap(iopt->domains[i], iova, size);
}

void iopt_area_unfill(struct io_pagetable *iopt, struct iopt_area *area)
{
	if (area->revoked)
		return;
	iopt_unmap_domains(iopt, area->iova, area_size(area));
	iopt_area_uncover(area);
}
