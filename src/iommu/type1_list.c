/* SPDX-License-Identifier: BSD-2-Clause */
/* The mappings of a container, for those who look at it from outside. */
#include "iommu/type1_private.h"

struct listing {
	uint64_t count, bytes;
	unsigned int max;
	void (*fn)(void *arg, const struct type1_mapping *mapping);
	void *arg;
};

static bool list_one(void *arg, struct range *range)
{
	struct listing *listing = arg;
	uint64_t word = mapping_word(range);
	struct type1_mapping mapping = {
		.iova = range->start,
		.va = word & PTE_ADDR,
		.size = range_size(range),
		.prot = (unsigned int)(word & (IOMMU_READ | IOMMU_WRITE)),
	};

	if (listing->count++ < listing->max)
		listing->fn(listing->arg, &mapping);
	listing->bytes += mapping.size;
	return true;
}

void type1_each_mapping(struct type1 *iommu, unsigned int max,
			void (*fn)(void *arg, const struct type1_mapping *mapping), void *arg,
			uint64_t *count, uint64_t *bytes)
{
	struct listing listing = { .max = max, .fn = fn, .arg = arg };

	pthread_mutex_lock(&iommu->lock);
	range_map_each(&iommu->mappings, 0, UINT64_MAX, list_one, &listing);
	pthread_mutex_unlock(&iommu->lock);
	*count = listing.count;
	*bytes = listing.bytes;
}
