/* SPDX-License-Identifier: BSD-2-Clause */
/* What an emulated IOMMU is like unless said otherwise: an Intel VT-d of 48 bits. */
#include "iommu/domain.h"

#include <stdlib.h>
#include <string.h>

void iommu_params_default(struct iommu_params *params)
{
	*params = (struct iommu_params){
		.width = 48,
		.pgsizes = 0x40201000,
		.dma_entries = 1048576,
		.memlock_pages = UINT64_MAX,
		.dirty_tracking = true,
		.nr_reserved = 1,
		.reserved = { { 0xfee00000, 0xfeefffff } },
		.reserved_type = { "msi" },
		.type = "type1",
	};
}

static int by_start(const void *a, const void *b)
{
	const struct iommu_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

unsigned int iommu_usable_ranges(const struct iommu_params *params, struct iommu_range *out, unsigned int max)
{
	uint64_t end = BIT64(params->width) - 1, at = 0;
	struct iommu_range holes[ARRAY_SIZE(params->reserved)];
	unsigned int n = 0;

	memcpy(holes, params->reserved, sizeof(holes));
	qsort(holes, params->nr_reserved, sizeof(holes[0]), by_start);
	for (unsigned int i = 0; i < params->nr_reserved && at <= end; i++) {
		if (holes[i].start > at) {
			if (n < max)
				out[n] = (struct iommu_range){ at, MIN(holes[i].start - 1, end) };
			n++;
		}
		if (holes[i].last >= end)
			return n;
		at = MAX(at, holes[i].last + 1);
	}
	if (n < max)
		out[n] = (struct iommu_range){ at, end };
	return n + 1;
}
