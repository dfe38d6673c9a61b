/* SPDX-License-Identifier: BSD-2-Clause */
/* What a fault report says about an IOVA: which areas are next to it, and whether it is an address instead.
 */
#include "iommufd/iopt_private.h"

#include <stdio.h>

/* An IO page table may have a million areas: who looks at all of them holds up the program. */
#define LOOK_AT_MAX 10000

static int add_area(char *buf, size_t len, const struct range *range)
{
	const struct iopt_area *area = range->value;

	return snprintf(buf, len, "[%#llx-%#llx] %c%c, ", (unsigned long long)range->start,
			(unsigned long long)range->last, area->prot & IOMMU_READ ? 'r' : '-',
			area->prot & IOMMU_WRITE ? 'w' : '-');
}

static int add_nearest(struct io_pagetable *iopt, uint64_t iova, char *buf, size_t len)
{
	struct range below, above;
	bool has_below = range_map_before(&iopt->areas, iova, &below);
	bool has_above = range_map_after(&iopt->areas, iova, &above);
	int n = snprintf(buf, len, "nearest: ");

	if (has_below) {
		n += add_area(buf + n, len - (size_t)n, &below);
		if (below.last + 1 == iova)
			n += snprintf(buf + n, len - (size_t)n, "ends just below");
		else
			n += snprintf(buf + n, len - (size_t)n, "%#llx below",
				      (unsigned long long)(iova - (below.last + 1)));
	}
	if (has_above) {
		n += snprintf(buf + n, len - (size_t)n, "%s", has_below ? "; " : "");
		n += add_area(buf + n, len - (size_t)n, &above);
		n += snprintf(buf + n, len - (size_t)n, "%#llx above",
			      (unsigned long long)(above.start - iova));
	}
	return n;
}

static bool add_recent(const struct io_pagetable *iopt, uint64_t iova, char *buf, size_t len)
{
	for (unsigned int i = 1; i <= MIN(iopt->nr_recent, (unsigned int)IOPT_RECENT); i++) {
		const struct iommu_range *range = &iopt->recent[(iopt->nr_recent - i) % IOPT_RECENT];

		if (iova < range->start || iova > range->last)
			continue;
		snprintf(buf, len, "; it was mapped until [%#llx-%#llx] was unmapped",
			 (unsigned long long)range->start, (unsigned long long)range->last);
		return true;
	}
	return false;
}

struct search {
	uint64_t va;
	unsigned int left;
	const struct iopt_area *found;
};

static bool is_target(void *arg, struct range *range)
{
	const struct iopt_area *area = range->value;
	struct search *search = arg;

	if (area->pages->type == IOPT_PAGES_USER && search->va - area_va(area) < area_size(area))
		search->found = area;
	return !search->found && --search->left;
}

static void add_address(struct io_pagetable *iopt, uint64_t iova, char *buf, size_t len)
{
	struct search search = { .va = iova, .left = LOOK_AT_MAX };

	range_map_each(&iopt->areas, 0, UINT64_MAX, is_target, &search);
	if (search.found)
		snprintf(buf, len,
			 "; this is an address of the program, not an I/O address: the memory there is "
			 "mapped at "
			 "IOVA %#llx",
			 (unsigned long long)(search.found->iova + (iova - area_va(search.found))));
}

void iopt_describe(void *owner, uint64_t iova, char *buf, size_t len)
{
	struct io_pagetable *iopt = owner;
	struct range at;
	char text[256];
	int n;

	pthread_rwlock_rdlock(&iopt->lock);
	if (range_map_find(&iopt->areas, iova, &at)) {
		n = add_area(text, sizeof(text), &at);
		snprintf(text + n, sizeof(text) - (size_t)n, "%#llx into this mapping",
			 (unsigned long long)(iova - at.start));
	} else {
		n = iopt->areas.count ? add_nearest(iopt, iova, text, sizeof(text))
				      : snprintf(text, sizeof(text), "no mapping exists at all");
		if (!add_recent(iopt, iova, text + n, sizeof(text) - (size_t)n))
			add_address(iopt, iova, text + n, sizeof(text) - (size_t)n);
	}
	pthread_rwlock_unlock(&iopt->lock);
	snprintf(buf, len, "%s", text);
}
