/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty pages of type1.
 *
 * A device behind an IOMMU can write to any page that is mapped, and the kernel does not ask it: while there
 * is one and tracking is on, all mapped pages are dirty, whether they were reported before or not, writable
 * or not. When one leaves, all are dirty once more.
 *
 * Without such devices, dirty is what is pinned; what was, since it was asked about last (a page is noted
 * when it is unpinned); and what drivers have written by copying. The notes are in iommu->dirty, or, for all
 * of a mapping at once, a bit of its word.
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
	struct type1 *iommu;
	uint64_t iova, last, pgsize;
	const struct type1_bitmap *bitmap;
};

static void fill_pages(void *arg, uint64_t page, uint64_t bits)
{
	const struct filling *fill = arg;

	for (; bits; bits &= bits - 1) {
		uint64_t at = (page + (unsigned int)__builtin_ctzll(bits)) * UVFIO_PAGE_SIZE;

		set_bits(fill->bitmap->bits, (at - fill->iova) / fill->pgsize, 1);
	}
}

/* The kernel copies mapping by mapping: one that begins within a word adds to it. */
static void fill_words(const struct filling *fill, uint64_t first, uint64_t n)
{
	uint8_t *words = fill->bitmap->words;
	uint64_t word = first / 64, last = (first + n - 1) / 64;

	if (first % 64) {
		if (words[word] == TYPE1_WORD_KEPT)
			words[word] = TYPE1_WORD_ADDED;
		word++;
	}
	if (word <= last)
		memset(&words[word], TYPE1_WORD_WRITTEN, last - word + 1);
}

static bool fill_mapping(void *arg, struct range *range)
{
	struct filling *fill = arg;
	struct type1 *iommu = fill->iommu;
	uint64_t last = MIN(range->last, fill->last), n = (last - range->start + 1) / fill->pgsize;
	uint64_t first = (range->start - fill->iova) / fill->pgsize;

	fill_words(fill, first, n);
	if (iommu->backed || mapping_word(range) & MAPPING_DIRTY) {
		set_bits(fill->bitmap->bits, first, n);
		return true;
	}
	dirty_set_each(&iommu->dirty, range->start / UVFIO_PAGE_SIZE, last / UVFIO_PAGE_SIZE, fill_pages,
		       fill);
	pin_table_each(&iommu->pins, range->start / UVFIO_PAGE_SIZE, last / UVFIO_PAGE_SIZE, fill_pages,
		       fill);
	return true;
}

int type1_bitmap_fill(struct type1 *iommu, uint64_t iova, uint64_t last, struct type1_bitmap *bitmap)
{
	uint64_t words = type1_bitmap_bytes(iommu->pgsize, last - iova + 1) / sizeof(uint64_t);
	struct filling fill = { iommu, iova, last, iommu->pgsize, bitmap };

	bitmap->bits = calloc(words + 1, sizeof(uint64_t) + 1);
	if (!bitmap->bits)
		return -ENOMEM;
	bitmap->words = (uint8_t *)(bitmap->bits + words + 1);
	range_map_each(&iommu->mappings, iova, last, fill_mapping, &fill);
	return 0;
}

/* ---- notes */

static bool mark_mapping(void *arg, struct range *range)
{
	(void)arg;
	range->value = (void *)(uintptr_t)(mapping_word(range) | MAPPING_DIRTY);
	return true;
}

static bool unmark_mapping(void *arg, struct range *range)
{
	(void)arg;
	range->value = (void *)(uintptr_t)(mapping_word(range) & ~MAPPING_DIRTY);
	return true;
}

void type1_dirty_add(struct type1 *iommu, uint64_t first, uint64_t last)
{
	if (unlikely(dirty_set_add(&iommu->dirty, first, last)))
		range_map_each(&iommu->mappings, first * UVFIO_PAGE_SIZE,
			       last * UVFIO_PAGE_SIZE + UVFIO_PAGE_MASK, mark_mapping, NULL);
}

void type1_dirty_add_all(struct type1 *iommu)
{
	if (iommu->dirty_tracking)
		range_map_each(&iommu->mappings, 0, UINT64_MAX, mark_mapping, NULL);
}

static void forget_range(struct type1 *iommu, uint64_t iova, uint64_t last)
{
	type1_forget_dirty(iommu, iova, last);
	range_map_each(&iommu->mappings, iova, last, unmark_mapping, NULL);
}

struct putting {
	struct type1 *iommu;
	uint64_t iova, last;
	const struct type1_bitmap *bitmap;
};

static bool put_mapping_back(void *arg, struct range *range)
{
	const struct putting *put = arg;
	uint64_t first = (MAX(range->start, put->iova) - put->iova) / put->iommu->pgsize;
	uint64_t last = (MIN(range->last, put->last) - put->iova) / put->iommu->pgsize;

	for (uint64_t i = first; i <= last; i++)
		if (put->bitmap->bits[i / 64] & BIT64(i % 64))
			type1_dirty_add(put->iommu, (put->iova + i * put->iommu->pgsize) / UVFIO_PAGE_SIZE,
					(put->iova + (i + 1) * put->iommu->pgsize - 1) / UVFIO_PAGE_SIZE);
	return true;
}

void type1_dirty_put_back(struct type1 *iommu, uint64_t iova, uint64_t size,
			  const struct type1_bitmap *bitmap)
{
	struct putting put = { iommu, iova, iova + (size - 1), bitmap };

	pthread_mutex_lock(&iommu->lock);
	if (iommu->dirty_tracking && !iommu->backed)
		range_map_each(&iommu->mappings, iova, put.last, put_mapping_back, &put);
	pthread_mutex_unlock(&iommu->lock);
}

/* ---- */

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
	if (iommu->dirty_tracking)
		forget_range(iommu, 0, UINT64_MAX);
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
	if (!ret && !iommu->backed)
		forget_range(iommu, iova, last);
	pthread_mutex_unlock(&iommu->lock);
	return ret;
}
