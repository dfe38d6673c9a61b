/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unmapping.
 *
 * Areas go from the lowest up, and one that cannot go ends it: what went before has gone. One that is pinned
 * by accesses is closed to new ones, their drivers are told, with no lock held, and it is tried again.
 */
#include "iommufd/iopt_private.h"

#include "base/why.h"

#define TRIES_MAX 100
/* So many areas are cleared in the domains before anybody waits for devices that were using them. */
#define BATCH 256

struct removal {
	struct io_pagetable *iopt;
	struct iopt_area *areas[BATCH];
	unsigned int nr;
	struct iopt_release release;
	uint64_t bytes;
	uint64_t end; /* of the last one */
};

static void count_unmapped(uint64_t n, uint64_t bytes)
{
	stat_add(STAT_UNMAPS, n);
	stat_sub(STAT_MAPPINGS, n);
	stat_sub(STAT_MAPPED_BYTES, bytes);
}

/* Clear the areas of the batch in the domains, adjacent ones in one go. */
static void clear_domains(struct removal *removal)
{
	uint64_t start = 0, next = 0;

	iopt_unmap_begin(removal->iopt);
	for (unsigned int i = 0; i < removal->nr; i++) {
		const struct iopt_area *area = removal->areas[i];

		if (area->revoked)
			continue;
		if (area->iova != next || next == start) {
			if (next != start)
				iopt_unmap_domains(removal->iopt, start, next - start);
			start = area->iova;
		}
		next = area->last + 1;
	}
	if (next != start)
		iopt_unmap_domains(removal->iopt, start, next - start);
	iopt_unmap_end(removal->iopt);
}

/* Let the areas of the batch go, once no device uses them any more. */
static void finish(struct removal *removal)
{
	bool filled = removal->iopt->nr_domains;

	if (filled)
		clear_domains(removal);
	for (unsigned int i = 0; i < removal->nr; i++)
		iopt_release_area(&removal->release, removal->areas[i],
				  filled && !removal->areas[i]->revoked);
	removal->nr = 0;
}

/* By the time that the batch is full, the first areas have come from memory. */
static void remove_area(void *arg, const struct range *range)
{
	struct removal *removal = arg;
	struct iopt_area *area = range->value;

	if (removal->nr == BATCH)
		finish(removal);
	for (size_t at = 0; at < sizeof(struct iopt_pages); at += 64)
		__builtin_prefetch((char *)container_of(area, struct iopt_pages, first) + at, 1);
	removal->bytes += range->last - range->start + 1;
	removal->end = range->last;
	removal->areas[removal->nr++] = area;
}

/* All areas that start in [start, last]: there are some, and none is pinned. *end: of the last one. */
static uint64_t remove_all(struct io_pagetable *iopt, uint64_t start, uint64_t last, uint64_t *end)
{
	struct removal removal;
	uint64_t n;

	removal.iopt = iopt;
	removal.nr = 0;
	removal.release = (struct iopt_release){ 0 };
	removal.bytes = 0;
	n = range_map_remove_starts(&iopt->areas, start, last, remove_area, &removal);
	finish(&removal);
	iopt_release_end(&removal.release);
	count_unmapped(n, removal.bytes);
	*end = removal.end;
	return removal.bytes;
}

static uint64_t remove_one(struct io_pagetable *iopt, struct iopt_area *area)
{
	uint64_t bytes = area_size(area);

	struct iopt_release release = { 0 };

	range_map_remove(&iopt->areas, area->iova);
	if (iopt->nr_domains && !area->revoked)
		iopt_unmap_domains(iopt, area->iova, bytes);
	iopt_release_area(&release, area, iopt->nr_domains && !area->revoked);
	iopt_release_end(&release);
	count_unmapped(1, bytes);
	return bytes;
}

struct unmap {
	struct io_pagetable *iopt;
	uint64_t start, last;
	uint64_t first, end; /* of what has gone */
	uint64_t bytes;
	unsigned int tries;
};

/* How far everything from start on can go at once. */
static uint64_t end_of_whole(struct io_pagetable *iopt, uint64_t last)
{
	struct range range;

	if (!range_map_find(&iopt->areas, last, &range) || range.last == last)
		return last;
	return range.start - 1; /* a whole area lies before it */
}

/* Some areas go. 0: nothing is left; -EAGAIN: go on; -EINPROGRESS: the area at start is pinned. */
static int unmap_some(struct unmap *unmap)
{
	struct io_pagetable *iopt = unmap->iopt;
	struct iopt_area *area;
	struct range range;
	uint64_t end;

	if (!range_map_first(&iopt->areas, unmap->start, unmap->last, &range))
		return 0;
	area = range.value;
	if (area->num_locks)
		return WHY(-EBUSY, "0x%llx-0x%llx is in use by a queue of a vIOMMU",
			   (unsigned long long)area->iova, (unsigned long long)area->last);
	if (area->iova < unmap->start || area->last > unmap->last)
		return WHY(-ENOENT, "the range cuts the mapping 0x%llx-0x%llx",
			   (unsigned long long)area->iova, (unsigned long long)area->last);
	if (area->iova != unmap->start)
		unmap->tries = 0;
	unmap->start = area->iova;
	if (area->num_accesses)
		return -EINPROGRESS;
	end = area->last;
	if (!unmap->bytes)
		unmap->first = area->iova;
	if (end != unmap->last && !atomic_load_explicit(&iopt->num_accesses, memory_order_relaxed)) {
		end = end_of_whole(iopt, unmap->last);
		unmap->bytes += remove_all(iopt, unmap->start, end, &unmap->end);
	} else {
		unmap->end = end;
		unmap->bytes += remove_one(iopt, area);
	}
	if (end >= unmap->last)
		return 0;
	unmap->start = end + 1;
	return -EAGAIN;
}

/* Ask those who have pinned the area at start to let go. */
static int notify(struct unmap *unmap)
{
	struct range range;
	struct iopt_area *area;
	uint64_t iova, size;

	range_map_find(&unmap->iopt->areas, unmap->start, &range);
	area = range.value;
	area->prevent_access = true;
	iova = area->iova;
	size = area_size(area);
	pthread_rwlock_unlock(&unmap->iopt->lock);
	iommufd_access_notify_unmap(unmap->iopt, iova, size);
	pthread_rwlock_wrlock(&unmap->iopt->lock);
	if (++unmap->tries > TRIES_MAX)
		return WHY(-EDEADLOCK, "a driver does not let go of 0x%llx-0x%llx", (unsigned long long)iova,
			   (unsigned long long)(iova + (size - 1)));
	return -EAGAIN;
}

/* From the first area that has gone to the last. */
static void note_recent(struct io_pagetable *iopt, const struct unmap *unmap)
{
	struct iommu_range range = { unmap->first, unmap->end };

	if (unmap->bytes)
		iopt->recent[iopt->nr_recent++ % IOPT_RECENT] = range;
}

static int unmap_range(struct io_pagetable *iopt, uint64_t start, uint64_t last, uint64_t *unmapped)
{
	struct unmap unmap = { .iopt = iopt, .start = start, .last = last };
	int ret;

	pthread_rwlock_wrlock(&iopt->lock);
	do {
		ret = unmap_some(&unmap);
		if (ret == -EINPROGRESS)
			ret = notify(&unmap);
	} while (ret == -EAGAIN);
	note_recent(iopt, &unmap);
	pthread_rwlock_unlock(&iopt->lock);
	*unmapped = unmap.bytes;
	if (unmap.bytes && trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, NULL, "unmap", 0, "ioas=%u iova=0x%llx-0x%llx unmapped=0x%llx",
			   iopt->ioas_id, (unsigned long long)start, (unsigned long long)last,
			   (unsigned long long)unmap.bytes);
	return ret;
}

int iopt_unmap_iova(struct io_pagetable *iopt, uint64_t iova, uint64_t len, uint64_t *unmapped)
{
	uint64_t last;

	*unmapped = 0;
	if (!len)
		return WHY(-EINVAL, "%s is 0", iopt_words->len);
	if (add_overflows(iova, len - 1, &last))
		return WHY(-EOVERFLOW, "iova + %s goes beyond 64 bits", iopt_words->len);
	return unmap_range(iopt, iova, last, unmapped);
}

int iopt_unmap_all(struct io_pagetable *iopt, uint64_t *unmapped)
{
	return unmap_range(iopt, 0, UINT64_MAX, unmapped);
}
