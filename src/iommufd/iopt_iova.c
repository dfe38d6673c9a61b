/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which IOVAs may be used: what devices reserve, what the program allows for IOVAs that we choose, and the
 * choice.
 *
 * The choice is the kernel's: of the lowest stretch that is free and allowed and still large enough once its
 * start is aligned, the aligned start. The alignment is that of the memory and of the length, 2 MiB at most,
 * and the offset within the page is kept. Stretches that are too small cost nothing; those that are large
 * enough but badly placed are looked at one by one.
 */
#include "iommufd/iopt_private.h"

#include "base/why.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN_MAX ((uint64_t)2 << 20)

/* The lowest part of [at, last] that nobody has reserved. */
static bool next_usable(const struct io_pagetable *iopt, uint64_t at, uint64_t last, struct iommu_range *out)
{
	const struct iopt_reserved *r = iopt->reserved; /* NULL when there is none */

	for (unsigned int i = 0; i < iopt->nr_reserved;) {
		if (at < r[i].start || at > r[i].last) {
			i++;
			continue;
		}
		if (r[i].last >= last)
			return false;
		at = r[i].last + 1;
		i = 0;
	}
	*out = (struct iommu_range){ at, last };
	for (unsigned int i = 0; i < iopt->nr_reserved; i++)
		if (r[i].start > at)
			out->last = MIN(out->last, r[i].start - 1);
	return at <= last;
}

static bool is_reserved(struct io_pagetable *iopt, uint64_t iova, uint64_t last)
{
	struct iommu_range usable;

	if (iova >= iopt->clear.start && last <= iopt->clear.last)
		return false;
	if (!next_usable(iopt, iova, UINT64_MAX, &usable) || usable.start != iova || usable.last < last)
		return true;
	iopt->clear = (struct iommu_range){ 0, usable.last };
	for (unsigned int i = 0; i < iopt->nr_reserved; i++)
		if (iopt->reserved[i].last < iova)
			iopt->clear.start = MAX(iopt->clear.start, iopt->reserved[i].last + 1);
	return false;
}

int iopt_check_iova(struct io_pagetable *iopt, uint64_t iova, uint64_t len)
{
	uint64_t last;

	if (iova & (iopt->iova_alignment - 1))
		return WHY(-EINVAL, "iova 0x%llx is not aligned to 0x%llx", (unsigned long long)iova,
			   (unsigned long long)iopt->iova_alignment);
	if (add_overflows(iova, len - 1, &last))
		return WHY(-EOVERFLOW, "iova + %s goes beyond 64 bits", iopt_words->len);
	if (is_reserved(iopt, iova, last))
		return WHY(-EINVAL, "0x%llx-0x%llx is not usable: %s tells what is", (unsigned long long)iova,
			   (unsigned long long)last, iopt_words->ranges);
	return 0;
}

struct want {
	uint64_t len, alignment, page_offset;
};

/* Move *start to where the mapping would begin; false: it does not fit then. */
static bool fits(const struct want *want, uint64_t *start, uint64_t last)
{
	uint64_t at;

	if (add_overflows(*start, want->alignment - 1, &at))
		return false;
	at = align_down(at, want->alignment) | want->page_offset;
	if (at >= last || last - at < want->len - 1)
		return false;
	*start = at;
	return true;
}

/* Within a stretch that has no area. */
static bool choose_usable(const struct io_pagetable *iopt, const struct want *want, uint64_t start,
			  uint64_t last, uint64_t *iova)
{
	struct iommu_range usable;

	while (next_usable(iopt, start, last, &usable)) {
		if (fits(want, &usable.start, usable.last)) {
			*iova = usable.start;
			return true;
		}
		if (usable.last == last)
			return false;
		start = usable.last + 1;
	}
	return false;
}

static bool choose(struct io_pagetable *iopt, const struct want *want, uint64_t start, uint64_t last,
		   uint64_t *iova)
{
	uint64_t from, end;

	if (!fits(want, &start, last))
		return false;
	while (range_map_gap(&iopt->areas, start, last, want->len, &from, &end)) {
		if (choose_usable(iopt, want, from, end, iova))
			return true;
		if (end == last)
			return false;
		start = end + 1;
	}
	return false;
}

static uint64_t power_of_two_above(uint64_t len)
{
	return len == 1 ? 1 : BIT64(64 - __builtin_clzll(len - 1));
}

/* The i-th allowed range together with those that follow it without a hole; *i moves behind them. */
static struct iommu_range allowed_run(const struct io_pagetable *iopt, unsigned int *i)
{
	struct iommu_range run = iopt->allowed[(*i)++];

	while (*i < iopt->nr_allowed && iopt->allowed[*i].start == run.last + 1)
		run.last = iopt->allowed[(*i)++].last;
	return run;
}

int iopt_alloc_iova(struct io_pagetable *iopt, uint64_t *iova, uint64_t addr, uint64_t len)
{
	const uint64_t first = UVFIO_PAGE_SIZE, last = UINT64_MAX - UVFIO_PAGE_SIZE;
	struct want want = { .len = len, .page_offset = addr % UVFIO_PAGE_SIZE };

	if (len >= UINT64_MAX / 2)
		return WHY(-EOVERFLOW, "length is too large to choose an IOVA");
	want.alignment = MIN(power_of_two_above(len), ALIGN_MAX);
	if (addr)
		want.alignment = MIN(want.alignment, addr & -addr);
	if (want.alignment < iopt->iova_alignment)
		return WHY(-EINVAL, "the memory at 0x%llx is not aligned to 0x%llx", (unsigned long long)addr,
			   (unsigned long long)iopt->iova_alignment);
	if (!iopt->nr_allowed && choose(iopt, &want, first, last, iova))
		return 0;
	for (unsigned int i = 0; i < iopt->nr_allowed;) {
		struct iommu_range run = allowed_run(iopt, &i);

		if (choose(iopt, &want, MAX(run.start, first), MIN(run.last, last), iova))
			return 0;
	}
	return WHY(-ENOSPC, "no free stretch of usable IOVAs is large enough");
}

/* ---- reserved and allowed */

static bool touches_allowed(const struct io_pagetable *iopt, uint64_t start, uint64_t last)
{
	for (unsigned int i = 0; i < iopt->nr_allowed; i++)
		if (iopt->allowed[i].start <= last && iopt->allowed[i].last >= start)
			return true;
	return false;
}

int iopt_reserve(struct io_pagetable *iopt, uint64_t start, uint64_t last, void *owner)
{
	struct range range;

	if (range_map_first(&iopt->areas, start, last, &range))
		return WHY(-EADDRINUSE, "0x%llx-0x%llx is mapped, and not usable with this device",
			   (unsigned long long)range.start, (unsigned long long)range.last);
	if (touches_allowed(iopt, start, last))
		return WHY(-EADDRINUSE, "IOVAs of 0x%llx-0x%llx are allowed, and not usable with this device",
			   (unsigned long long)start, (unsigned long long)last);
	if (iopt->nr_reserved == iopt->max_reserved) {
		unsigned int max = MAX(iopt->max_reserved * 2, 8u);
		struct iopt_reserved *more =
			iommufd_should_fail() ? NULL : realloc(iopt->reserved, max * sizeof(*more));

		if (!more)
			return -ENOMEM;
		iopt->reserved = more;
		iopt->max_reserved = max;
	}
	iopt->reserved[iopt->nr_reserved++] = (struct iopt_reserved){ start, last, owner };
	iopt->clear = (struct iommu_range){ 1, 0 };
	return 0;
}

void iopt_unreserve(struct io_pagetable *iopt, const void *owner)
{
	unsigned int keep = 0;

	for (unsigned int i = 0; i < iopt->nr_reserved; i++)
		if (iopt->reserved[i].owner != owner)
			iopt->reserved[keep++] = iopt->reserved[i];
	iopt->nr_reserved = keep;
	iopt->clear = (struct iommu_range){ 1, 0 };
}

int iopt_reserve_iova(struct io_pagetable *iopt, uint64_t start, uint64_t last, void *owner)
{
	int ret;

	pthread_rwlock_wrlock(&iopt->lock);
	ret = iopt_reserve(iopt, start, last, owner);
	pthread_rwlock_unlock(&iopt->lock);
	return ret;
}

void iopt_remove_reserved_iova(struct io_pagetable *iopt, void *owner)
{
	pthread_rwlock_wrlock(&iopt->lock);
	iopt_unreserve(iopt, owner);
	pthread_rwlock_unlock(&iopt->lock);
}

int iopt_table_enforce_dev_resv_regions(struct io_pagetable *iopt, struct iommufd_hw_dev *dev)
{
	struct iommu_range windows[32];
	unsigned int nr;
	int ret = 0;

	if (iommufd_should_fail())
		return -EINVAL;
	nr = dev->ops->reserved ? dev->ops->reserved(dev, windows, ARRAY_SIZE(windows)) : 0;
	nr = MIN(nr, (unsigned int)ARRAY_SIZE(windows));
	pthread_rwlock_wrlock(&iopt->lock);
	for (unsigned int i = 0; i < nr && !ret; i++)
		ret = iopt_reserve(iopt, windows[i].start, windows[i].last, dev);
	if (ret)
		iopt_unreserve(iopt, dev);
	pthread_rwlock_unlock(&iopt->lock);
	return ret;
}

int iopt_set_allow_iova(struct io_pagetable *iopt, const struct iommu_range *ranges, unsigned int nr)
{
	struct iommu_range *allowed = nr ? iommufd_calloc(nr, sizeof(*allowed)) : NULL, *old;
	int ret = 0;

	if (nr && !allowed)
		return -ENOMEM;
	if (nr)
		memcpy(allowed, ranges, nr * sizeof(*allowed));
	pthread_rwlock_wrlock(&iopt->lock);
	for (unsigned int i = 0; i < nr && !ret; i++)
		if (is_reserved(iopt, allowed[i].start, allowed[i].last))
			ret = WHY(-EADDRINUSE, "0x%llx-0x%llx is not all usable",
				  (unsigned long long)allowed[i].start, (unsigned long long)allowed[i].last);
	old = ret ? allowed : iopt->allowed;
	if (!ret) {
		iopt->allowed = allowed;
		iopt->nr_allowed = nr;
	}
	pthread_rwlock_unlock(&iopt->lock);
	free(old);
	return ret;
}

int iopt_iova_ranges(struct io_pagetable *iopt, struct iommu_range **ranges, uint32_t *nr,
		     uint64_t *alignment)
{
	struct iommu_range usable = { 0, 0 }, *out;

	pthread_rwlock_rdlock(&iopt->lock);
	*alignment = iopt->iova_alignment;
	out = calloc(iopt->nr_reserved + 1, sizeof(*out)); /* there cannot be more */
	*ranges = out;
	for (bool more = out && next_usable(iopt, 0, UINT64_MAX, &usable); more;
	     more = usable.last != UINT64_MAX && next_usable(iopt, usable.last + 1, UINT64_MAX, &usable))
		*out++ = usable;
	pthread_rwlock_unlock(&iopt->lock);
	*nr = (uint32_t)(out - *ranges);
	return out ? 0 : -ENOMEM;
}

uint64_t iopt_iova_alignment(struct io_pagetable *iopt)
{
	uint64_t alignment;

	pthread_rwlock_rdlock(&iopt->lock);
	alignment = iopt->iova_alignment;
	pthread_rwlock_unlock(&iopt->lock);
	return alignment;
}
