/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty pages of type1.
 *
 * A device behind an IOMMU can write to any page that is mapped, and the kernel does not ask it: while
 * tracking is on, all mapped pages are dirty, whether they were reported before or not, writable or not. So
 * no bit is ever kept here.
 */
#include "iommu/type1_private.h"

#include "base/why.h"

#include <stdlib.h>
#include <string.h>

#define BITMAP_SIZE_MAX ((uint64_t)256 << 20)

int type1_bitmap_check(const struct type1_bitmap *bitmap, uint64_t size)
{
	uint64_t lowest = bitmap->pgsize & -bitmap->pgsize, pages;

	if (!lowest)
		return WHY(-EINVAL, "the bitmap's pgsize is 0");
	pages = size / lowest;
	if (!pages || !bitmap->size || bitmap->size > BITMAP_SIZE_MAX ||
	    bitmap->size < type1_bitmap_bytes(1, pages))
		return WHY(-EINVAL,
			   "a bitmap of %llu bytes for %llu pages: a bit for each, in words of 8 bytes",
			   (unsigned long long)bitmap->size, (unsigned long long)pages);
	return 0;
}

static void set_bits(uint64_t *bits, uint64_t first, uint64_t n)
{
	for (; n && first % 64; first++, n--)
		bits[first / 64] |= BIT64(first % 64);
	memset(&bits[first / 64], 0xff, n / 64 * 8);
	first += n / 64 * 64;
	if (n % 64)
		bits[first / 64] |= BIT64(n % 64) - 1;
}

struct filling {
	uint64_t iova, last, pgsize;
	uint64_t *bits;
};

static bool fill_mapping(void *arg, struct range *range)
{
	struct filling *fill = arg;
	uint64_t last = MIN(range->last, fill->last);

	set_bits(fill->bits, (range->start - fill->iova) / fill->pgsize,
		 (last - range->start + 1) / fill->pgsize);
	return true;
}

int type1_bitmap_fill(struct type1 *iommu, uint64_t iova, uint64_t last, struct type1_bitmap *bitmap)
{
	struct filling fill = { iova, last, iommu->pgsize, NULL };

	if (!bitmap->bits)
		bitmap->bits = calloc(1, type1_bitmap_bytes(iommu->pgsize, last - iova + 1) + 8);
	if (!bitmap->bits)
		return -ENOMEM;
	fill.bits = bitmap->bits;
	range_map_each(&iommu->mappings, iova, last, fill_mapping, &fill);
	return 0;
}

static bool small_enough(void *arg, struct range *range)
{
	bool *ok = arg;

	*ok = range_size(range) / UVFIO_PAGE_SIZE <= DIRTY_PAGES_MAX;
	return *ok;
}

int type1_dirty_start(struct type1 *iommu)
{
	bool ok = true;

	if (!iommu->v2)
		return WHY(-EACCES, "TYPE1_IOMMU (v1) tracks no dirty pages: use TYPE1v2_IOMMU");
	pthread_mutex_lock(&iommu->lock);
	if (!iommu->dirty_tracking) {
		range_map_each(&iommu->mappings, 0, UINT64_MAX, small_enough, &ok);
		iommu->dirty_tracking = ok;
	}
	pthread_mutex_unlock(&iommu->lock);
	return ok ? 0 : WHY(-EINVAL, "a mapping is too large for its dirty pages to be tracked");
}

void type1_dirty_stop(struct type1 *iommu)
{
	pthread_mutex_lock(&iommu->lock);
	iommu->dirty_tracking = false;
	pthread_mutex_unlock(&iommu->lock);
}

static int check_get(const struct type1 *iommu, uint64_t iova, uint64_t size, const struct type1_bitmap *out)
{
	if (out->pgsize != iommu->pgsize)
		return WHY(-EINVAL, "the bitmap's pgsize 0x%llx is not the smallest there is, 0x%llx",
			   (unsigned long long)out->pgsize, (unsigned long long)iommu->pgsize);
	if (!is_aligned(iova | size, iommu->pgsize))
		return type1_misaligned(iommu, "iova or size", iova | size);
	if (!iommu->dirty_tracking)
		return WHY(-EINVAL, "dirty pages are not tracked: START comes first");
	return 0;
}

int type1_dirty_get(struct type1 *iommu, uint64_t iova, uint64_t size, struct type1_bitmap *out)
{
	uint64_t last;
	int ret;

	if (!size)
		return WHY(-EINVAL, "size is 0");
	if (add_overflows(iova, size - 1, &last))
		return WHY(-EOVERFLOW, "iova + size goes beyond 64 bits");
	ret = type1_bitmap_check(out, size);
	if (ret)
		return ret;
	pthread_mutex_lock(&iommu->lock);
	ret = check_get(iommu, iova, size, out);
	if (!ret && type1_cuts(iommu, iova, last))
		ret = type1_cut(iommu, iova, last);
	if (!ret)
		ret = type1_bitmap_fill(iommu, iova, last, out);
	pthread_mutex_unlock(&iommu->lock);
	return ret;
}
