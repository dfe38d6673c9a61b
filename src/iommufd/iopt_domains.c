/* SPDX-License-Identifier: BSD-2-Clause */
/* The domains of an IO page table, the alignment that they and the accesses need, and dirty pages. */
#include "iommufd/iopt_private.h"

#include "base/why.h"

#include <stdlib.h>

struct alignment_check {
	uint64_t mask;
	const struct iopt_area *bad;
};

static bool check_area_alignment(void *arg, struct range *range)
{
	struct alignment_check *check = arg;
	const struct iopt_area *area = range->value;

	if ((area->iova | area_size(area) | area->start_byte % UVFIO_PAGE_SIZE) & check->mask)
		check->bad = area;
	return !check->bad;
}

static int check_areas_alignment(struct io_pagetable *iopt, uint64_t alignment)
{
	struct alignment_check check = { .mask = alignment - 1 };

	range_map_each(&iopt->areas, 0, UINT64_MAX, check_area_alignment, &check);
	if (check.bad)
		return WHY(-EADDRINUSE, "0x%llx-0x%llx is mapped, not aligned to 0x%llx, memory and all",
			   (unsigned long long)check.bad->iova, (unsigned long long)check.bad->last,
			   (unsigned long long)alignment);
	return 0;
}

int iopt_calculate_alignment(struct io_pagetable *iopt)
{
	uint64_t alignment = iopt->disable_large_pages ? UVFIO_PAGE_SIZE : 1;
	int ret;

	for (unsigned int i = 0; i < iopt->nr_domains; i++)
		alignment = MAX(alignment, iopt->domains[i]->pgsize);
	for (uint32_t i = 0; i < iopt->max_accesses; i++)
		if (iopt->accesses[i])
			alignment = MAX(alignment, iopt->accesses[i]->iova_alignment);
	if (alignment > iopt->iova_alignment) {
		ret = check_areas_alignment(iopt, alignment);
		if (ret)
			return ret;
	}
	iopt->iova_alignment = alignment;
	return 0;
}

/* ---- filling a new domain */

struct fill {
	struct iommufd_domain *domain;
	bool cover; /* it is the first */
	int ret;
	uint64_t at; /* the area that it failed at */
};

static bool fill_area(void *arg, struct range *range)
{
	struct fill *fill = arg;
	struct iopt_area *area = range->value;

	fill->at = area->iova;
	if (fill->cover)
		area->revoked = atomic_load(&area->pages->revoked);
	if (area->revoked)
		return true;
	if (fill->cover)
		fill->ret = iopt_area_cover(area);
	if (fill->ret)
		return false;
	fill->ret = iopt_area_map(fill->domain, area);
	if (fill->ret && fill->cover)
		iopt_area_uncover(area);
	return !fill->ret;
}

/* Adjacent areas are cleared in one go. */
struct unfill {
	struct iommufd_domain *domain;
	uint64_t start, next;
	bool any;
};

static void clear_run(struct unfill *unfill)
{
	if (unfill->any)
		unfill->domain->ops->unmap(unfill->domain, unfill->start, unfill->next - unfill->start);
	unfill->any = false;
}

static bool unmap_area(void *arg, struct range *range)
{
	struct unfill *unfill = arg;
	const struct iopt_area *area = range->value;

	if (area->revoked)
		return true;
	if (!unfill->any || unfill->next != area->iova) {
		clear_run(unfill);
		unfill->start = area->iova;
	}
	unfill->any = true;
	unfill->next = area->last + 1;
	return true;
}

static bool uncover_area(void *arg, struct range *range)
{
	struct iopt_area *area = range->value;

	(void)arg;
	if (!area->revoked)
		iopt_area_uncover(area);
	return true;
}

/* Of the areas up to last. cover: there is no other domain. */
static void unfill_domain(struct io_pagetable *iopt, struct iommufd_domain *domain, uint64_t last, bool cover)
{
	struct unfill unfill = { .domain = domain };

	if (domain->ops->unmap_begin)
		domain->ops->unmap_begin(domain);
	range_map_each(&iopt->areas, 0, last, unmap_area, &unfill);
	clear_run(&unfill);
	if (domain->ops->unmap_end)
		domain->ops->unmap_end(domain);
	if (cover)
		range_map_each(&iopt->areas, 0, last, uncover_area, NULL);
}

static int fill_domain(struct io_pagetable *iopt, struct iommufd_domain *domain)
{
	struct fill fill = { .domain = domain, .cover = !iopt->nr_domains };

	range_map_each(&iopt->areas, 0, UINT64_MAX, fill_area, &fill);
	if (fill.ret && fill.at)
		unfill_domain(iopt, domain, fill.at - 1, fill.cover);
	return fill.ret;
}

/* ---- domains come and go */

static int make_room(struct io_pagetable *iopt)
{
	unsigned int max = MAX(iopt->max_domains * 2, 4u);
	struct iommufd_domain **domains;

	if (iopt->nr_domains < iopt->max_domains)
		return 0;
	domains = iommufd_should_fail() ? NULL : realloc(iopt->domains, max * sizeof(*domains));
	if (!domains)
		return -ENOMEM;
	iopt->domains = domains;
	iopt->max_domains = max;
	return 0;
}

/* What the domain cannot translate is reserved in its name. */
static int reserve_outside(struct io_pagetable *iopt, struct iommufd_domain *domain)
{
	int ret = 0;

	if (domain->aperture_first)
		ret = iopt_reserve(iopt, 0, domain->aperture_first - 1, domain);
	if (!ret && domain->aperture_last != UINT64_MAX)
		ret = iopt_reserve(iopt, domain->aperture_last + 1, UINT64_MAX, domain);
	return ret;
}

static int add_domain(struct io_pagetable *iopt, struct iommufd_domain *domain)
{
	uint64_t alignment = MAX(domain->pgsize, iopt->iova_alignment);
	int ret = 0;

	for (unsigned int i = 0; i < iopt->nr_domains; i++)
		if (iopt->domains[i] == domain)
			return -EEXIST;
	if (alignment > UVFIO_PAGE_SIZE)
		return WHY(-EINVAL, "the smallest page of the domain is larger than a page of memory");
	if (alignment != iopt->iova_alignment)
		ret = check_areas_alignment(iopt, alignment);
	if (ret)
		return ret;
	ret = reserve_outside(iopt, domain);
	if (!ret)
		ret = make_room(iopt);
	if (!ret)
		ret = fill_domain(iopt, domain);
	if (ret) {
		iopt_unreserve(iopt, domain);
		return ret;
	}
	iopt->iova_alignment = alignment;
	iopt->domains[iopt->nr_domains++] = domain;
	return 0;
}

int iopt_table_add_domain(struct io_pagetable *iopt, struct iommufd_domain *domain)
{
	int ret;

	pthread_rwlock_wrlock(&iopt->lock);
	ret = add_domain(iopt, domain);
	pthread_rwlock_unlock(&iopt->lock);
	if (!ret && domain->ops->set_describe)
		domain->ops->set_describe(domain, iopt_describe, iopt);
	return ret;
}

void iopt_table_remove_domain(struct io_pagetable *iopt, struct iommufd_domain *domain)
{
	unsigned int i = 0;

	if (domain->ops->set_describe)
		domain->ops->set_describe(domain, NULL, NULL);
	pthread_rwlock_wrlock(&iopt->lock);
	while (i < iopt->nr_domains && iopt->domains[i] != domain)
		i++;
	if (i < iopt->nr_domains) {
		iopt->domains[i] = iopt->domains[--iopt->nr_domains];
		unfill_domain(iopt, domain, UINT64_MAX, !iopt->nr_domains);
		iopt_unreserve(iopt, domain);
		iopt_calculate_alignment(iopt); /* it only becomes less */
	}
	pthread_rwlock_unlock(&iopt->lock);
}

/* ---- dirty pages. Domains want their owner's lock for it. */

struct clear_dirty {
	struct iommufd_domain *domain;
	int ret;
};

static bool clear_dirty(void *arg, struct range *range)
{
	struct clear_dirty *clear = arg;
	const struct iopt_area *area = range->value;

	clear->ret =
		clear->domain->ops->read_dirty(clear->domain, area->iova, area_size(area), false, NULL, NULL);
	return !clear->ret;
}

int iopt_set_dirty_tracking(struct io_pagetable *iopt, struct iommufd_domain *domain, bool on)
{
	struct clear_dirty clear = { .domain = domain };

	if (!domain->ops->set_dirty_tracking)
		return WHY(-EOPNOTSUPP, "the domain was made without DIRTY_TRACKING");
	pthread_rwlock_wrlock(&iopt->lock);
	if (on)
		range_map_each(&iopt->areas, 0, UINT64_MAX, clear_dirty, &clear);
	if (!clear.ret)
		clear.ret = domain->ops->set_dirty_tracking(domain, on);
	pthread_rwlock_unlock(&iopt->lock);
	return clear.ret;
}

int iopt_read_dirty(struct io_pagetable *iopt, struct iommufd_domain *domain, uint64_t iova, uint64_t len,
		    bool keep, void (*fn)(void *arg, uint64_t iova, uint64_t size), void *arg)
{
	uint64_t last = iova + (len - 1);
	struct iopt_walk walk;
	int ret = 0;
	bool more;

	if (!domain->ops->read_dirty)
		return WHY(-EOPNOTSUPP, "the domain was made without DIRTY_TRACKING");
	pthread_rwlock_wrlock(&iopt->lock);
	for (more = iopt_walk_first(&walk, iopt, iova, last); more && !ret;
	     more = iopt_walk_next(&walk, iopt))
		ret = domain->ops->read_dirty(domain, walk.at, iopt_walk_last(&walk) - walk.at + 1, keep, fn,
					      arg);
	if (!ret && !walk.done)
		ret = -EINVAL; /* a hole */
	pthread_rwlock_unlock(&iopt->lock);
	return ret;
}
