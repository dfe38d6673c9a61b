/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unmapping.
 *
 * v2 refuses a range that cuts a mapping at either end. v1 stops at a mapping that begins before the range,
 * and removes one that begins in it whole, even past the range's end. Either way what is removed is the
 * mappings that start in the range.
 */
#include "iommu/type1_private.h"

#include "base/why.h"

struct removal {
	struct type1 *iommu;
	uint64_t bytes;
	uint64_t start, next; /* adjacent mappings, to be cleared from the page table in one go */
	struct mm *mm;        /* of the mappings since the last release */
	uint32_t nr;
	uint64_t pages, bars;
};

static void clear_run(struct removal *rem)
{
	if (rem->next != rem->start && rem->iommu->domain)
		iommu_domain_unmap(rem->iommu->domain, rem->start, rem->next - rem->start);
	if (rem->next != rem->start)
		type1_note_unmapped(rem->iommu, rem->start, rem->next - 1);
	rem->start = rem->next = 0;
}

/* The mappings of one address space are gone from the devices' sight: let it go. */
static void release(struct removal *rem)
{
	if (rem->iommu->domain)
		iommu_domain_unmap_end(rem->iommu->domain);
	if (!rem->nr)
		return;
	type1_note_gone(rem->iommu, rem->mm, rem->pages, rem->bars);
	mm_put_many(rem->mm, rem->nr);
	rem->nr = 0;
	rem->pages = rem->bars = 0;
}

static void remove_mapping(void *arg, const struct range *range)
{
	struct removal *rem = arg;
	uint64_t word = mapping_word(range), size = range_size(range);
	struct mm *mm = mapping_mm(word);

	if (unlikely(mm != rem->mm && rem->nr)) {
		clear_run(rem);
		release(rem);
		if (rem->iommu->domain)
			iommu_domain_unmap_begin(rem->iommu->domain);
	}
	if (range->start != rem->next || !rem->nr) {
		clear_run(rem);
		rem->start = range->start;
	}
	rem->next = range->last + 1;
	rem->mm = mm;
	rem->nr++;
	rem->bytes += size;
	rem->pages += size / UVFIO_PAGE_SIZE;
	rem->bars += type1_forget_bars(rem->iommu, range->start);
	rem->iommu->vaddr_invalid -= (word & MAPPING_VADDR_INVALID) != 0;
	type1_forget_dirty(rem->iommu, range->start, range->last);
}

static void count_unmapped(struct type1 *iommu, uint64_t n, uint64_t bytes)
{
	iommu->avail += n;
	stat_add(STAT_UNMAPS, n);
	stat_sub(STAT_MAPPINGS, n);
	stat_sub(STAT_MAPPED_BYTES, bytes);
}

uint64_t type1_remove(struct type1 *iommu, uint64_t start, uint64_t last)
{
	struct removal rem = { .iommu = iommu };
	uint64_t n;

	if (iommu->domain)
		iommu_domain_unmap_begin(iommu->domain);
	n = range_map_remove_starts(&iommu->mappings, start, last, remove_mapping, &rem);
	clear_run(&rem);
	release(&rem);
	count_unmapped(iommu, n, rem.bytes);
	return rem.bytes;
}

bool type1_cuts(struct type1 *iommu, uint64_t iova, uint64_t last)
{
	struct range range;

	if (range_map_find(&iommu->mappings, iova, &range) && range.start != iova)
		return true;
	return range_map_find(&iommu->mappings, last, &range) && range.last != last;
}

/* -EINVAL, for a range that type1_cuts() a mapping. Under the lock. */
int type1_cut(struct type1 *iommu, uint64_t iova, uint64_t last)
{
	struct range range;

	if (!trace_on(TRACE_IOCTL))
		return -EINVAL;
	if (!range_map_find(&iommu->mappings, iova, &range) || range.start == iova)
		range_map_find(&iommu->mappings, last, &range);
	return WHY(-EINVAL, "the range cuts the mapping 0x%llx-0x%llx", (unsigned long long)range.start,
		   (unsigned long long)range.last);
}

struct invalidation {
	struct type1 *iommu;
	uint64_t bytes;
	uint64_t stop; /* where a mapping that was invalid already starts */
	bool undo;
	int ret;
};

static bool invalidate_mapping(void *arg, struct range *range)
{
	struct invalidation *inv = arg;
	uint64_t word = mapping_word(range);

	if (inv->undo) {
		if (range->start == inv->stop)
			return false;
		word &= ~MAPPING_VADDR_INVALID;
		inv->iommu->vaddr_invalid--;
	} else if (word & MAPPING_VADDR_INVALID) {
		inv->stop = range->start;
		inv->ret = WHY(-EINVAL, "the mapping at 0x%llx has no virtual address already",
			       (unsigned long long)range->start);
		return false;
	} else {
		word |= MAPPING_VADDR_INVALID;
		inv->bytes += range_size(range);
		inv->iommu->vaddr_invalid++;
	}
	range->value = (void *)(uintptr_t)word;
	return true;
}

static int invalidate(struct type1 *iommu, uint64_t iova, uint64_t last, uint64_t *bytes)
{
	struct invalidation inv = { .iommu = iommu };

	range_map_each(&iommu->mappings, iova, last, invalidate_mapping, &inv);
	if (!inv.ret) {
		*bytes = inv.bytes;
		return 0;
	}
	inv.undo = true;
	range_map_each(&iommu->mappings, iova, last, invalidate_mapping, &inv);
	return inv.ret;
}

/* Arguments in the kernel's order; *last is where the range ends. Under the lock. */
static int check_unmap(struct type1 *iommu, uint64_t iova, uint64_t size, unsigned int flags,
		       const struct type1_bitmap *dirty, uint64_t *last)
{
	if (flags & TYPE1_UNMAP_VADDR && iommu->emulated)
		return WHY(-EBUSY, "a mediated device is in the container: it needs the virtual addresses");
	if (!is_aligned(iova, iommu->pgsize))
		return type1_misaligned(iommu, "iova", iova);
	if (flags & TYPE1_UNMAP_ALL) {
		if (iova || size)
			return WHY(-EINVAL, "with ALL, iova and size are 0");
		*last = UINT64_MAX;
	} else {
		if (!size)
			return WHY(-EINVAL, "size is 0");
		if (!is_aligned(size, iommu->pgsize))
			return type1_misaligned(iommu, "size", size);
		if (add_overflows(iova, size - 1, last))
			return WHY(-EOVERFLOW, "iova + size goes beyond 64 bits");
	}
	if (dirty && (!iommu->dirty_tracking || dirty->pgsize != iommu->pgsize))
		return WHY(-EINVAL, "%s",
			   iommu->dirty_tracking ? "the bitmap's pgsize is not the smallest there is"
						 : "dirty pages are not tracked");
	if (iommu->v2 && !(flags & TYPE1_UNMAP_ALL) && type1_cuts(iommu, iova, *last))
		return type1_cut(iommu, iova, *last);
	return 0;
}

static int unmap_range(struct type1 *iommu, uint64_t iova, uint64_t last, unsigned int flags,
		       struct type1_bitmap *dirty, uint64_t *unmapped)
{
	struct range first;
	int ret = 0;

	if (!range_map_first(&iommu->mappings, iova, last, &first))
		first.start = iova;
	if (first.start < iova) /* v1 only, where dirty pages are not tracked */
		return 0;
	if (flags & TYPE1_UNMAP_VADDR)
		return invalidate(iommu, iova, last, unmapped);
	if (dirty)
		ret = type1_bitmap_fill(iommu, iova, last, dirty);
	if (!ret && !(flags & TYPE1_UNMAP_ASK))
		*unmapped = type1_remove(iommu, iova, last);
	return ret;
}

/* By far the most common: the range is one mapping. Under the lock. */
static bool take_one(struct type1 *iommu, uint64_t iova, uint64_t size)
{
	void *value;
	uint64_t word, bars;
	struct mm *mm;

	if (unlikely(iommu->pins.pages) || !range_map_take(&iommu->mappings, iova, iova + (size - 1), &value))
		return false;
	word = (uint64_t)(uintptr_t)value;
	mm = mapping_mm(word);
	if (iommu->domain)
		iommu_domain_unmap(iommu->domain, iova, size);
	bars = type1_forget_bars(iommu, iova);
	if (unlikely(iommu->limited))
		type1_note_gone(iommu, mm, size / UVFIO_PAGE_SIZE, bars);
	mm_put(mm);
	iommu->vaddr_invalid -= (word & MAPPING_VADDR_INVALID) != 0;
	type1_forget_dirty(iommu, iova, iova + (size - 1));
	count_unmapped(iommu, 1, size);
	type1_note_unmapped(iommu, iova, iova + (size - 1));
	return true;
}

static void trace_unmap(uint64_t iova, uint64_t last, unsigned int flags, uint64_t unmapped)
{
	if (!(flags & TYPE1_UNMAP_ASK))
		trace_emit(TRACE_DMA, NULL, "unmap", 0, "iova=0x%llx-0x%llx unmapped=0x%llx%s",
			   (unsigned long long)iova, (unsigned long long)last, (unsigned long long)unmapped,
			   flags & TYPE1_UNMAP_VADDR ? " VADDR" : "");
}

int type1_unmap(struct type1 *iommu, uint64_t iova, uint64_t size, unsigned int flags,
		struct type1_bitmap *dirty, uint64_t *unmapped)
{
	struct asking asking = { 0 };
	uint64_t last = 0;
	int ret;

	*unmapped = 0;
	if (dirty) {
		ret = type1_bitmap_check(dirty, size);
		if (ret)
			return ret;
	}
	pthread_mutex_lock(&iommu->lock);
	iommu_domain_prefetch(iommu->domain, iova);
	if (!flags && !dirty && take_one(iommu, iova, size)) {
		type1_check_charge(iommu);
		pthread_mutex_unlock(&iommu->lock);
		*unmapped = size;
		if (trace_on(TRACE_DMA))
			trace_unmap(iova, iova + (size - 1), flags, size);
		return 0;
	}
	do {
		ret = check_unmap(iommu, iova, size, flags, dirty, &last);
		if (!ret && unlikely(iommu->pins.pages) && !(flags & (TYPE1_UNMAP_ASK | TYPE1_UNMAP_VADDR)))
			ret = type1_ask_pinners(iommu, iova, last, &asking);
	} while (ret > 0);
	if (!ret)
		ret = unmap_range(iommu, iova, last, flags, dirty, unmapped);
	type1_check_charge(iommu);
	pthread_mutex_unlock(&iommu->lock);
	if (!ret && trace_on(TRACE_DMA))
		trace_unmap(iova, last, flags, *unmapped);
	return ret;
}
