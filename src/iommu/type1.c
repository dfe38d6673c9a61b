/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * type1: containers of mappings; attaching, detaching, mapping.
 *
 * Every check is made in the kernel's order, since programs can tell: arguments, overlap, number of mappings,
 * IOVA ranges, then locked memory and the memory itself together.
 *
 * Lock order: describe_lock of the domain, the lock of type1, users_lock of dma.c.
 */
#include "iommu/type1_private.h"

#include "base/why.h"

#include <stdlib.h>

static void init_locks(struct type1 *iommu)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&iommu->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&iommu->let_go, &attr);
	pthread_condattr_destroy(&attr);
}

/* Under the lock. */
static void set_backed(struct type1 *iommu, bool backed)
{
	uint64_t pgsizes = iommu->params->pgsizes;

	iommu->backed = backed;
	iommu->pgsize = backed ? MAX(pgsizes & -pgsizes, UVFIO_PAGE_SIZE) : UVFIO_PAGE_SIZE;
}

struct type1 *type1_new(const struct iommu_params *params, bool v2)
{
	struct type1 *iommu = calloc(1, sizeof(*iommu));

	if (!iommu)
		return NULL;
	iommu->params = params;
	iommu->v2 = v2;
	iommu->limited = params->memlock_rlimit || params->memlock_pages != UINT64_MAX;
	iommu->nr_ranges = MIN(iommu_usable_ranges(params, iommu->ranges, ARRAY_SIZE(iommu->ranges)),
			       (unsigned int)ARRAY_SIZE(iommu->ranges));
	iommu->avail = params->dma_entries;
	set_backed(iommu, true);
	init_locks(iommu);
	range_map_init(&iommu->mappings);
	pin_table_init(&iommu->pins, UINT64_MAX);
	dirty_set_init(&iommu->dirty);
	range_map_init(&iommu->bars);
	CDS_INIT_LIST_HEAD(&iommu->pinners);
	return iommu;
}

static void drop_all(struct type1 *iommu)
{
	if (iommu->mappings.count && trace_on(TRACE_FAULT))
		trace_emit(TRACE_FAULT, NULL, "mappings_left", 0, "count=%llu",
			   (unsigned long long)iommu->mappings.count);
	if (iommu->mappings.count && trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, NULL, "unmap", 0, "all mappings, with their container: %llu",
			   (unsigned long long)iommu->mappings.count);
	stat_add(STAT_LEFT_MAPPINGS, iommu->mappings.count);
	type1_remove(iommu, 0, UINT64_MAX);
}

void type1_free(struct type1 *iommu)
{
	if (!iommu)
		return;
	pthread_mutex_lock(&iommu->lock);
	drop_all(iommu);
	pthread_mutex_unlock(&iommu->lock);
	pin_table_destroy(&iommu->pins);
	dirty_set_destroy(&iommu->dirty);
	range_map_destroy(&iommu->bars);
	pthread_cond_destroy(&iommu->let_go);
	pthread_mutex_destroy(&iommu->lock);
	free(iommu);
}

void type1_forked(struct type1 *iommu)
{
	init_locks(iommu);
	type1_pinners_forked(iommu);
	if (iommu->domain)
		iommu_domain_forked(iommu->domain);
}

struct replay {
	struct type1 *iommu;
	struct iommu_domain *domain;
	int ret;
};

static bool replay_mapping(void *arg, struct range *range)
{
	struct replay *replay = arg;
	uint64_t word = mapping_word(range);

	replay->ret = iommu_domain_map(replay->domain, range->start, range_size(range), mapping_mm(word),
				       word & PTE_ADDR, word & (IOMMU_READ | IOMMU_WRITE | IOMMU_MMIO));
	return !replay->ret;
}

/* The domain of the first group, with what is mapped already. */
static int make_domain(struct type1 *iommu)
{
	struct replay replay = { iommu, iommu_domain_alloc(iommu->params), 0 };

	if (!replay.domain)
		return -ENOMEM;
	range_map_each(&iommu->mappings, 0, UINT64_MAX, replay_mapping, &replay);
	if (replay.ret) {
		iommu_domain_free(replay.domain);
		return replay.ret;
	}
	iommu->domain = replay.domain;
	return 0;
}

static bool in_ranges(const struct type1 *iommu, uint64_t iova, uint64_t last)
{
	for (unsigned int i = 0; i < iommu->nr_ranges; i++)
		if (iova >= iommu->ranges[i].start && last <= iommu->ranges[i].last)
			return true;
	return false;
}

/* Why no range holds [iova, last]. */
static int outside(const struct type1 *iommu, uint64_t iova, uint64_t last)
{
	const struct iommu_params *params = iommu->params;

	for (unsigned int i = 0; i < params->nr_reserved; i++)
		if (iova <= params->reserved[i].last && last >= params->reserved[i].start)
			return WHY(-EINVAL, "0x%llx-0x%llx touches the reserved window 0x%llx-0x%llx (%s)",
				   (unsigned long long)iova, (unsigned long long)last,
				   (unsigned long long)params->reserved[i].start,
				   (unsigned long long)params->reserved[i].last, params->reserved_type[i]);
	return WHY(-EINVAL, "0x%llx-0x%llx is outside of the aperture, which has %u bits",
		   (unsigned long long)iova, (unsigned long long)last, params->width);
}

static bool fits(void *arg, struct range *range)
{
	struct replay *replay = arg;
	uint64_t pgsizes = replay->iommu->params->pgsizes;

	if (!is_aligned(range->start | range_size(range), pgsizes & -pgsizes))
		replay->ret = WHY(-EINVAL, "0x%llx-0x%llx is no whole page of the IOMMU",
				  (unsigned long long)range->start, (unsigned long long)range->last);
	else if (!in_ranges(replay->iommu, range->start, range->last))
		replay->ret = outside(replay->iommu, range->start, range->last);
	return !replay->ret;
}

/* The first group with an IOMMU joins. */
static int make_backed(struct type1 *iommu)
{
	struct replay replay = { .iommu = iommu };
	int ret;

	if (!iommu->backed)
		range_map_each(&iommu->mappings, 0, UINT64_MAX, fits, &replay);
	ret = replay.ret;
	if (!ret && !iommu->backed)
		ret = type1_charge_all(iommu);
	if (ret)
		return ret;
	ret = make_domain(iommu);
	if (!ret)
		set_backed(iommu, true);
	else if (!iommu->backed)
		type1_uncharge_all(iommu);
	return ret;
}

static int check_attach(const struct type1 *iommu)
{
	if (!iommu->vaddr_invalid)
		return 0;
	return WHY(-EBUSY, "%llu mappings have no virtual address: give them one first",
		   (unsigned long long)iommu->vaddr_invalid);
}

int type1_attach(struct type1 *iommu, struct iommu_dev *const *devs, unsigned int nr)
{
	bool first = false;
	int ret;

	pthread_mutex_lock(&iommu->lock);
	ret = check_attach(iommu);
	if (ret)
		goto unlock;
	first = !iommu->domain;
	if (first)
		ret = make_backed(iommu);
	if (ret)
		goto unlock;
	for (unsigned int i = 0; i < nr; i++)
		iommu_dev_attach(devs[i], iommu->domain);
	iommu->groups++;
unlock:
	type1_check_charge(iommu);
	pthread_mutex_unlock(&iommu->lock);
	if (!ret && first)
		iommu_domain_set_describe(iommu->domain, type1_describe, iommu);
	return ret;
}

/* The last group with an IOMMU leaves: to those without one everything stays mapped. */
static void end_backed(struct type1 *iommu)
{
	if (!iommu->emulated) {
		drop_all(iommu);
	} else {
		type1_uncharge_all(iommu);
		type1_dirty_add_all(iommu);
		set_backed(iommu, false);
	}
	iommu->domain = NULL;
}

void type1_detach(struct type1 *iommu, struct iommu_dev *const *devs, unsigned int nr)
{
	struct iommu_domain *domain = iommu->domain;
	bool final = iommu->groups == 1;

	if (final)
		iommu_domain_set_describe(domain, NULL, NULL);
	pthread_mutex_lock(&iommu->lock);
	for (unsigned int i = 0; i < nr; i++)
		iommu_dev_attach(devs[i], NULL);
	iommu->groups--;
	if (final)
		end_backed(iommu);
	type1_check_charge(iommu);
	pthread_mutex_unlock(&iommu->lock);
	if (final)
		iommu_domain_free(domain);
}

int type1_attach_emulated(struct type1 *iommu)
{
	int ret;

	pthread_mutex_lock(&iommu->lock);
	ret = check_attach(iommu);
	if (!ret) {
		iommu->emulated++;
		if (!iommu->domain && !iommu->mappings.count)
			set_backed(iommu, false);
	}
	type1_check_charge(iommu);
	pthread_mutex_unlock(&iommu->lock);
	return ret;
}

void type1_detach_emulated(struct type1 *iommu)
{
	pthread_mutex_lock(&iommu->lock);
	if (!--iommu->emulated && !iommu->domain) {
		drop_all(iommu);
		set_backed(iommu, true);
	}
	type1_check_charge(iommu);
	pthread_mutex_unlock(&iommu->lock);
}

bool type1_has_emulated(struct type1 *iommu)
{
	bool has;

	pthread_mutex_lock(&iommu->lock);
	has = iommu->emulated;
	pthread_mutex_unlock(&iommu->lock);
	return has;
}

/* Where the memory at va ends, or what it is that keeps it from being used. */
static void say_fault(struct mm *mm, uint64_t va, uint64_t size, bool write)
{
	uint64_t good = 0, bad = size / UVFIO_PAGE_SIZE;

	while (bad - good > 1) {
		uint64_t middle = good + (bad - good) / 2;

		if (mm_check(mm, va, middle * UVFIO_PAGE_SIZE, write))
			bad = middle;
		else
			good = middle;
	}
	va += good * UVFIO_PAGE_SIZE;
	why_say("the memory at vaddr 0x%llx is %s", (unsigned long long)va,
		!write || mm_check(mm, va, UVFIO_PAGE_SIZE, false) ? "not there, or not readable"
								   : "not writable");
}

/*
 * The kernel pins page by page and charges as it goes: with room for n pages, a bad one among the first n + 1
 * is -EFAULT, and a good page n is -ENOMEM.
 */
static int pin_limited(struct type1 *iommu, struct mm *mm, uint64_t va, uint64_t size, bool write,
		       struct mm_bars *bars)
{
	uint64_t pages = size / UVFIO_PAGE_SIZE, room = type1_charge_room(iommu, mm);
	int ret = room < pages ? mm_check(mm, va, (room + 1) * UVFIO_PAGE_SIZE, write) : 0;

	if (ret)
		return ret;
	ret = mm_check_bars(mm, va, size, write, bars);
	pages -= bars->pages;
	if (room < pages)
		return type1_no_room(iommu, pages, room);
	return ret ? ret : type1_charge(iommu, mm, pages);
}

int type1_pin(struct type1 *iommu, struct mm *mm, uint64_t va, uint64_t size, unsigned int prot,
	      struct mm_bars *bars)
{
	bool write = prot & IOMMU_WRITE;
	int ret;

	if (unlikely(iommu->limited))
		ret = pin_limited(iommu, mm, va, size, write, bars);
	else
		ret = mm_check_bars(mm, va, size, write, bars);
	if (unlikely(ret == -EFAULT) && trace_on(TRACE_IOCTL))
		say_fault(mm, va, size, write);
	return ret;
}

bool type1_is_backed(struct type1 *iommu)
{
	bool backed;

	pthread_mutex_lock(&iommu->lock);
	backed = iommu->backed;
	pthread_mutex_unlock(&iommu->lock);
	return backed;
}

static int too_large_to_track(const struct type1 *iommu, uint64_t size)
{
	if (likely(!iommu->dirty_tracking) || size / UVFIO_PAGE_SIZE <= DIRTY_PAGES_MAX)
		return 0;
	return WHY(-EINVAL, "too large while dirty pages are tracked");
}

static bool set_io(void *arg, struct range *range)
{
	(void)arg;
	range->value = (void *)(uintptr_t)(mapping_word(range) | IOMMU_MMIO);
	return false;
}

/* Memory that is charged is mapped. On failure its BARs are not noted. */
static int map_pinned(struct type1 *iommu, struct mm *mm, uint64_t iova, uint64_t va, uint64_t size,
		      unsigned int prot, const struct mm_bars *bars)
{
	int ret = type1_note_bars(iommu, iova, iova + (size - 1), bars->pages);

	if (ret)
		return ret;
	if (iommu->domain)
		ret = iommu_domain_map(iommu->domain, iova, size, mm, va, prot | (bars->io ? IOMMU_MMIO : 0));
	if (ret)
		type1_forget_bars(iommu, iova);
	else if (unlikely(bars->io))
		range_map_each(&iommu->mappings, iova, iova, set_io, NULL);
	return ret;
}

static int map_memory(struct type1 *iommu, struct mm *mm, uint64_t iova, uint64_t va, uint64_t size,
		      unsigned int prot)
{
	struct mm_bars bars;
	int ret;

	if (!iommu->avail)
		return WHY(-ENOSPC, "there are %llu mappings, as many as there can be (--iommu dma-entries=)",
			   (unsigned long long)iommu->params->dma_entries);
	if (unlikely(!iommu->backed))
		return too_large_to_track(iommu, size);
	if (!in_ranges(iommu, iova, iova + (size - 1)))
		return outside(iommu, iova, iova + (size - 1));
	ret = type1_pin(iommu, mm, va, size, prot, &bars);
	if (ret)
		return ret;
	ret = too_large_to_track(iommu, size);
	if (!ret)
		ret = map_pinned(iommu, mm, iova, va, size, prot, &bars);
	if (ret)
		type1_uncharge(iommu, mm, size / UVFIO_PAGE_SIZE - bars.pages);
	return ret;
}

/* Under the lock. */
static int in_the_way(struct type1 *iommu, uint64_t iova, uint64_t last)
{
	struct range range;

	if (!trace_on(TRACE_IOCTL) || !range_map_first(&iommu->mappings, iova, last, &range))
		return -EEXIST;
	return WHY(-EEXIST, "0x%llx-0x%llx is mapped already: unmap it first",
		   (unsigned long long)range.start, (unsigned long long)range.last);
}

/* Under the lock. The place is taken first and given back on failure: one search instead of two. */
static int map_new(struct type1 *iommu, struct mm *mm, uint64_t iova, uint64_t va, uint64_t size,
		   unsigned int prot)
{
	/* No process has memory at the highest address that an entry holds, nor above it. */
	uint64_t word = (MIN(va, PTE_ADDR) & PTE_ADDR) | prot | (uint64_t)mm->index << PTE_MM_SHIFT;
	int ret = range_map_insert(&iommu->mappings, iova, iova + (size - 1), (void *)(uintptr_t)word);

	if (ret)
		return ret == -EEXIST ? in_the_way(iommu, iova, iova + (size - 1)) : ret;
	ret = map_memory(iommu, mm, iova, va, size, prot);
	if (ret) {
		range_map_remove(&iommu->mappings, iova);
		return ret;
	}
	if (unlikely(iommu->limited))
		iommu->mapped += size / UVFIO_PAGE_SIZE;
	mm_get(mm);
	iommu->avail--;
	stat_add(STAT_MAPS, 1);
	stat_add(STAT_MAPPINGS, 1);
	stat_add(STAT_MAPPED_BYTES, size);
	return 0;
}

struct new_vaddr {
	struct type1 *iommu;
	struct mm *mm;
	uint64_t va;
	int ret;
};

/*
 * The device goes on with the pages it had. The new address is expected to be the same memory: use it if
 * there is any memory there at all, else stay with the old address, and the charge with its owner.
 */
static bool set_mapping_vaddr(void *arg, struct range *range)
{
	struct new_vaddr *set = arg;
	uint64_t word = mapping_word(range), size = range_size(range);
	unsigned int prot = word & (IOMMU_READ | IOMMU_WRITE);
	uint64_t pages = size / UVFIO_PAGE_SIZE - type1_bars_at(set->iommu, range->start);
	struct mm *old = mapping_mm(word);
	bool io, present = !mm_check_io(set->mm, set->va, size, prot & IOMMU_WRITE, &io);

	if (present && mm_payer(old) != mm_payer(set->mm)) {
		set->ret = type1_charge(set->iommu, set->mm, pages);
		if (set->ret)
			return false;
		type1_uncharge(set->iommu, old, pages);
	}
	word &= ~MAPPING_VADDR_INVALID;
	if (present) {
		word = set->va | prot | (word & MAPPING_DIRTY) | (io ? IOMMU_MMIO : 0) |
		       (uint64_t)set->mm->index << PTE_MM_SHIFT;
		if (set->iommu->domain)
			iommu_domain_remap(set->iommu->domain, range->start, size, set->mm, set->va,
					   prot | (io ? IOMMU_MMIO : 0));
		mm_get(set->mm);
		mm_put(old);
	}
	set->iommu->vaddr_invalid--;
	range->value = (void *)(uintptr_t)word;
	return false;
}

/* Under the lock. */
static int map_vaddr(struct type1 *iommu, struct mm *mm, uint64_t iova, uint64_t va, uint64_t size)
{
	struct new_vaddr set = { iommu, mm, va, 0 };
	struct range range;

	if (!range_map_first(&iommu->mappings, iova, iova + (size - 1), &range))
		return WHY(-ENOENT, "nothing is mapped there");
	if (!(mapping_word(&range) & MAPPING_VADDR_INVALID) || range.start != iova ||
	    range_size(&range) != size)
		return WHY(-EINVAL, "0x%llx-0x%llx is mapped there, and %s", (unsigned long long)range.start,
			   (unsigned long long)range.last,
			   mapping_word(&range) & MAPPING_VADDR_INVALID ? "the range has to be the same"
									: "has its virtual address");
	range_map_each(&iommu->mappings, iova, iova, set_mapping_vaddr, &set);
	return set.ret;
}

int type1_misaligned(const struct type1 *iommu, const char *what, uint64_t value)
{
	return WHY(-EINVAL, "%s 0x%llx is not aligned to 0x%llx", what, (unsigned long long)value,
		   (unsigned long long)iommu->pgsize);
}

/* In the kernel's order. */
static int check_map(uint64_t iova, uint64_t va, uint64_t size, unsigned int prot, bool set_vaddr)
{
	uint64_t end;

	if (!size)
		return WHY(-EINVAL, "size is 0");
	if (add_overflows(iova, size - 1, &end))
		return WHY(-EOVERFLOW, "iova + size goes beyond 64 bits");
	if (add_overflows(va, size - 1, &end))
		return WHY(-EOVERFLOW, "vaddr + size goes beyond 64 bits");
	if (set_vaddr == (prot != 0))
		return WHY(-EINVAL, "%s",
			   prot ? "VADDR goes with neither READ nor WRITE" : "neither READ nor WRITE");
	return 0;
}

/* Under the lock. */
static int check_alignment(const struct type1 *iommu, uint64_t iova, uint64_t va, uint64_t size)
{
	if (likely(is_aligned(iova | va | size, iommu->pgsize)))
		return 0;
	if (!is_aligned(iova, iommu->pgsize))
		return type1_misaligned(iommu, "iova", iova);
	return is_aligned(size, iommu->pgsize) ? type1_misaligned(iommu, "vaddr", va)
					       : type1_misaligned(iommu, "size", size);
}

int type1_map(struct type1 *iommu, struct mm *mm, uint64_t iova, uint64_t va, uint64_t size,
	      unsigned int prot, bool set_vaddr)
{
	int ret = check_map(iova, va, size, prot, set_vaddr);

	if (ret)
		return ret;
	pthread_mutex_lock(&iommu->lock);
	iommu_domain_prefetch(iommu->domain, iova);
	ret = check_alignment(iommu, iova, va, size);
	if (!ret && set_vaddr)
		ret = map_vaddr(iommu, mm, iova, va, size);
	else if (!ret)
		ret = map_new(iommu, mm, iova, va, size, prot);
	type1_check_charge(iommu);
	pthread_mutex_unlock(&iommu->lock);
	if (!ret && trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, NULL, "map", 0, "iova=0x%llx-0x%llx vaddr=0x%llx%s%s%s",
			   (unsigned long long)iova, (unsigned long long)(iova + (size - 1)),
			   (unsigned long long)va, prot & IOMMU_READ ? " READ" : "",
			   prot & IOMMU_WRITE ? " WRITE" : "", set_vaddr ? " VADDR" : "");
	return ret;
}

void type1_get_info(struct type1 *iommu, struct type1_info *info)
{
	*info = (struct type1_info){
		.pgsizes = iommu->params->pgsizes,
		.nr_ranges = iommu->nr_ranges,
	};
	for (unsigned int i = 0; i < iommu->nr_ranges; i++)
		info->ranges[i] = iommu->ranges[i];
	pthread_mutex_lock(&iommu->lock);
	info->avail = iommu->avail;
	if (!iommu->backed) {
		info->pgsizes = ~UVFIO_PAGE_MASK;
		info->nr_ranges = 0;
	}
	pthread_mutex_unlock(&iommu->lock);
}
