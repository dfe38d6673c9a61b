/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a fault report says about an IOVA and a container's mappings: which are next to it, whether it was
 * mapped a moment ago, and whether it is no IOVA at all but an address of the program.
 */
#include "iommu/type1_private.h"

#include <stdarg.h>
#include <stdio.h>

/* A mapping made of many small ones: who looks at all of them holds up the program. */
#define LOOK_AT_MAX 100000

/* Below this, an IOVA and an address of a program without fixed addresses are hard to tell apart. */
#define ADDRESSES_FROM ((uint64_t)1 << 32)

struct text {
	char *buf;
	size_t len, n;
};

static void add(struct text *text, const char *fmt, ...) __printf(2, 3);
static void add(struct text *text, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text->buf + text->n, text->len - text->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		text->n = MIN(text->n + (size_t)n, text->len - 1);
}

static void add_range(struct text *text, const struct range *range)
{
	uint64_t word = mapping_word(range);

	add(text, "[%#llx-%#llx] %c%c, ", (unsigned long long)range->start, (unsigned long long)range->last,
	    word & IOMMU_READ ? 'r' : '-', word & IOMMU_WRITE ? 'w' : '-');
}

static void add_nearest(struct type1 *iommu, uint64_t iova, struct text *text)
{
	struct range below, above;
	bool has_below = range_map_before(&iommu->mappings, iova, &below);
	bool has_above = range_map_after(&iommu->mappings, iova, &above);

	add(text, "nearest: ");
	if (has_below) {
		add_range(text, &below);
		if (below.last + 1 == iova)
			add(text, "ends just below");
		else
			add(text, "%#llx below", (unsigned long long)(iova - (below.last + 1)));
	}
	if (has_above) {
		add(text, "%s", has_below ? "; " : "");
		add_range(text, &above);
		add(text, "%#llx above", (unsigned long long)(above.start - iova));
	}
}

static bool add_recent(const struct type1 *iommu, uint64_t iova, struct text *text)
{
	for (unsigned int i = 1; i <= TYPE1_RECENT; i++) {
		const struct iommu_range *range = &iommu->recent[(iommu->nr_recent - i) % TYPE1_RECENT];

		if (i > iommu->nr_recent)
			break;
		if (iova < range->start || iova > range->last)
			continue;
		add(text, "; it was mapped until VFIO_IOMMU_UNMAP_DMA of [%#llx-%#llx]",
		    (unsigned long long)range->start, (unsigned long long)range->last);
		return true;
	}
	return false;
}

struct search {
	uint64_t va;
	unsigned int left;
	bool found;
	struct range range;
};

static bool is_target(void *arg, struct range *range)
{
	struct search *search = arg;
	uint64_t va = mapping_word(range) & PTE_ADDR;

	search->found = search->va >= va && search->va - va < range_size(range);
	if (search->found)
		search->range = *range;
	return !search->found && --search->left;
}

static void add_address(struct type1 *iommu, uint64_t iova, struct text *text)
{
	struct search search = { .va = iova, .left = LOOK_AT_MAX };
	struct mm *mm;
	struct range first;

	range_map_each(&iommu->mappings, 0, UINT64_MAX, is_target, &search);
	if (search.found) {
		add(text,
		    "; this is an address of the program, not an I/O address: the memory there is mapped at "
		    "IOVA %#llx",
		    (unsigned long long)(search.range.start +
					 (iova - (mapping_word(&search.range) & PTE_ADDR))));
		return;
	}
	if (iova < ADDRESSES_FROM || !range_map_first(&iommu->mappings, 0, UINT64_MAX, &first))
		return;
	mm = mapping_mm(mapping_word(&first));
	if (!mm_check(mm, align_down(iova, UVFIO_PAGE_SIZE), UVFIO_PAGE_SIZE, false))
		add(text,
		    "; this is an address of the program, not an I/O address: map the memory and give the "
		    "device the IOVA");
}

void type1_describe(void *owner, uint64_t iova, char *buf, size_t len)
{
	struct type1 *iommu = owner;
	struct text text = { buf, len, 0 };
	struct range at;

	*buf = 0;
	pthread_mutex_lock(&iommu->lock);
	if (range_map_find(&iommu->mappings, iova, &at)) {
		add_range(&text, &at);
		add(&text, "%#llx into this mapping", (unsigned long long)(iova - at.start));
	} else {
		if (iommu->mappings.count)
			add_nearest(iommu, iova, &text);
		else
			add(&text, "no mapping exists at all");
		if (!add_recent(iommu, iova, &text))
			add_address(iommu, iova, &text);
	}
	pthread_mutex_unlock(&iommu->lock);
}
