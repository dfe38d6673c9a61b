/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a container charges to the address spaces that mapped.
 *
 * iommu->backed: every page that is mapped, once for each mapping; else every page that drivers have pinned,
 * once however often. Only when locked memory is limited: else nobody can tell.
 *
 * Pages of BARs are no memory of the process, so they are not charged. What a mapping had of them when it was
 * charged is remembered, since the program may map something else there.
 */
#include "iommu/type1_private.h"

#include "base/why.h"

#include <assert.h>

static uint64_t charge_limit(const struct type1 *iommu, struct mm *mm)
{
	if (iommu->params->memlock_pages != UINT64_MAX)
		return iommu->params->memlock_pages;
	return mm_memlock_limit(mm);
}

uint64_t type1_charge_room(struct type1 *iommu, struct mm *mm)
{
	return mm_memlock_room(mm, charge_limit(iommu, mm));
}

int type1_charge(struct type1 *iommu, struct mm *mm, uint64_t pages)
{
	int ret;

	if (likely(!iommu->limited) || !pages)
		return 0;
	ret = mm_charge(mm, pages, charge_limit(iommu, mm));
	if (!ret)
		iommu->charged += pages;
	return ret;
}

void type1_uncharge(struct type1 *iommu, struct mm *mm, uint64_t pages)
{
	if (likely(!iommu->limited))
		return;
	mm_uncharge(mm, pages);
	iommu->charged -= pages;
}

/* Drivers' pins, beyond what the limit allows. */
static void charge_anyway(struct type1 *iommu, struct mm *mm, uint64_t pages)
{
	if (iommu->limited && !mm_charge(mm, pages, UINT64_MAX))
		iommu->charged += pages;
}

int type1_note_bars(struct type1 *iommu, uint64_t start, uint64_t last, uint64_t pages)
{
	int ret = pages ? range_map_insert(&iommu->bars, start, last, (void *)(uintptr_t)pages) : 0;

	if (!ret)
		iommu->bar_pages += pages;
	return ret;
}

uint64_t type1_bars_at(const struct type1 *iommu, uint64_t start)
{
	struct range range;

	if (likely(!iommu->bars.count) || !range_map_find(&iommu->bars, start, &range))
		return 0;
	return (uint64_t)(uintptr_t)range.value;
}

uint64_t type1_forget_bars(struct type1 *iommu, uint64_t start)
{
	uint64_t pages = type1_bars_at(iommu, start);

	if (unlikely(pages)) {
		range_map_remove(&iommu->bars, start);
		iommu->bar_pages -= pages;
	}
	return pages;
}

void type1_note_gone(struct type1 *iommu, struct mm *mm, uint64_t pages, uint64_t bars)
{
	if (likely(!iommu->limited))
		return;
	iommu->mapped -= pages;
	if (iommu->backed)
		type1_uncharge(iommu, mm, pages - bars);
}

int type1_no_room(const struct type1 *iommu, uint64_t pages, uint64_t room)
{
	return WHY_ALWAYS(-ENOMEM, "%llu KiB of locked memory, and %llu KiB are left of %s",
			  (unsigned long long)pages * 4, (unsigned long long)room * 4,
			  iommu->params->memlock_rlimit ? "RLIMIT_MEMLOCK (ulimit -l)" : "--iommu memlock=");
}

/* ---- all mappings, when the first group with an IOMMU joins, and when the last one leaves */

struct recharge {
	struct type1 *iommu;
	uint64_t stop; /* where the mapping starts that failed */
	int ret;
};

static uint64_t pages_pinned(struct type1 *iommu, const struct range *range)
{
	return pin_table_count(&iommu->pins, range->start / UVFIO_PAGE_SIZE, range->last / UVFIO_PAGE_SIZE);
}

/* How many pages of a mapping can be pinned with room for so many that drivers have not pinned already? */
static uint64_t pages_in_room(struct type1 *iommu, const struct range *range, uint64_t room)
{
	uint64_t good = 0, bad = range_size(range) / UVFIO_PAGE_SIZE, first = range->start / UVFIO_PAGE_SIZE;

	while (bad - good > 1) {
		uint64_t n = good + (bad - good) / 2;

		if (n - pin_table_count(&iommu->pins, first, first + n - 1) > room)
			bad = n;
		else
			good = n;
	}
	return good;
}

/* With which address does it begin that the memory of a mapping is not as it should be? */
static int say_bad(const struct range *range, int error)
{
	uint64_t word = mapping_word(range), good = 0, bad = range_size(range) / UVFIO_PAGE_SIZE;

	while (bad - good > 1) {
		uint64_t n = good + (bad - good) / 2;

		if (mm_check(mapping_mm(word), word & PTE_ADDR, n * UVFIO_PAGE_SIZE, word & IOMMU_WRITE))
			bad = n;
		else
			good = n;
	}
	return WHY(error, "of the mapping 0x%llx-0x%llx the memory at 0x%llx is not there%s",
		   (unsigned long long)range->start, (unsigned long long)range->last,
		   (unsigned long long)((word & PTE_ADDR) + good * UVFIO_PAGE_SIZE),
		   word & IOMMU_WRITE ? ", or not writable" : ", or not readable");
}

/* As type1_pin() for a new mapping, but what drivers have pinned is charged already. */
static int charge_mapping(struct type1 *iommu, const struct range *range, struct mm_bars *bars)
{
	uint64_t word = mapping_word(range), size = range_size(range), need, room;
	bool write = word & IOMMU_WRITE;
	struct mm *mm = mapping_mm(word);
	int ret = 0, whole;

	need = size / UVFIO_PAGE_SIZE - pages_pinned(iommu, range);
	room = iommu->limited ? type1_charge_room(iommu, mm) : UINT64_MAX;
	if (room < need)
		ret = mm_check(mm, word & PTE_ADDR, (pages_in_room(iommu, range, room) + 1) * UVFIO_PAGE_SIZE,
			       write);
	if (ret)
		return say_bad(range, ret);
	whole = mm_check_bars(mm, word & PTE_ADDR, size, write, bars);
	bars->pages = MIN(bars->pages, need);
	need -= bars->pages;
	if (room < need)
		return type1_no_room(iommu, need, room);
	if (whole)
		return say_bad(range, whole);
	ret = type1_note_bars(iommu, range->start, range->last, bars->pages);
	if (ret)
		return ret;
	ret = type1_charge(iommu, mm, need);
	if (ret)
		type1_forget_bars(iommu, range->start);
	return ret;
}

static bool charge_one(void *arg, struct range *range)
{
	struct recharge *re = arg;
	struct mm_bars bars;

	re->ret = charge_mapping(re->iommu, range, &bars);
	re->stop = range->start;
	if (!re->ret)
		range->value = (void *)(uintptr_t)((mapping_word(range) & ~(uint64_t)IOMMU_MMIO) |
						   (bars.io ? IOMMU_MMIO : 0));
	return !re->ret;
}

static bool uncharge_one(void *arg, struct range *range)
{
	struct recharge *re = arg;

	struct mm *mm = mapping_mm(mapping_word(range));
	uint64_t has, want;

	if (re->ret && range->start == re->stop)
		return false;
	has = range_size(range) / UVFIO_PAGE_SIZE - type1_forget_bars(re->iommu, range->start);
	want = pages_pinned(re->iommu, range);
	if (likely(has >= want))
		type1_uncharge(re->iommu, mm, has - want);
	else
		charge_anyway(re->iommu, mm, want - has);
	return true;
}

int type1_charge_all(struct type1 *iommu)
{
	struct recharge re = { .iommu = iommu };

	range_map_each(&iommu->mappings, 0, UINT64_MAX, charge_one, &re);
	if (re.ret)
		range_map_each(&iommu->mappings, 0, UINT64_MAX, uncharge_one, &re);
	return re.ret;
}

void type1_uncharge_all(struct type1 *iommu)
{
	struct recharge re = { .iommu = iommu };

	range_map_each(&iommu->mappings, 0, UINT64_MAX, uncharge_one, &re);
}

struct add_usage {
	struct type1 *iommu;
	struct mm_usages *usages;
};

static bool add_usage(void *arg, struct range *range)
{
	const struct add_usage *add = arg;
	struct mm_usage *usage = mm_usage_of(add->usages, mapping_mm(mapping_word(range)));
	uint64_t size = range_size(range), pinned = pages_pinned(add->iommu, range);
	uint64_t pages = size / UVFIO_PAGE_SIZE - type1_bars_at(add->iommu, range->start);

	usage->mapped += size;
	usage->pinned_by_domains += add->iommu->backed ? pages : 0;
	usage->pinned_by_drivers += pinned;
	usage->charged += add->iommu->backed ? pages : pinned;
	return true;
}

#ifdef UVFIO_CHECK_SUMS
#define CHECK_MAX 256 /* mappings: more are not looked at after each operation */

/* What stands in the container is what its mappings add up to, and what their address spaces are charged. */
void type1_check_sums(struct type1 *iommu)
{
	struct mm_usages usages = { 0 };
	struct add_usage add = { iommu, &usages };
	uint64_t mapped = 0, pinned = 0, charged = 0;

	if (iommu->mappings.count > CHECK_MAX)
		return;
	range_map_each(&iommu->mappings, 0, UINT64_MAX, add_usage, &add);
	for (unsigned int i = 0; i < usages.nr; i++) {
		const struct mm_usage *usage = &usages.usage[i];

		assert(!iommu->limited || usage->charged <= mm_payer(usage->mm)->locked_pages);
		mapped += usage->mapped / UVFIO_PAGE_SIZE;
		pinned += usage->pinned_by_drivers;
		charged += usage->charged;
	}
	assert(usages.no_memory || pinned == iommu->pins.pages);
	assert(usages.no_memory || !iommu->limited || (mapped == iommu->mapped && charged == iommu->charged));
	mm_usages_free(&usages);
}
#endif

void type1_get_usages(struct type1 *iommu, struct mm_usages *usages)
{
	struct add_usage add = { iommu, usages };

	pthread_mutex_lock(&iommu->lock);
	range_map_each(&iommu->mappings, 0, UINT64_MAX, add_usage, &add);
	pthread_mutex_unlock(&iommu->lock);
}
