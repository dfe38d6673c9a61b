/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses to the areas of an IO page table: pinning pages, and copying.
 *
 * The lock is held for reading, also while bytes are copied, so that memory is not unmapped under a copy.
 */
#include "iommufd/iopt_private.h"

#include "base/thread.h"
#include "base/why.h"
#include "iommu/dma_fault.h"

#include <stdlib.h>
#include <string.h>

#define LIST_ID_MAX 65536 /* as the kernel's */

static int free_list_id(struct io_pagetable *iopt, uint32_t *id)
{
	uint32_t max = MAX(iopt->max_accesses * 2, 4u);
	struct iommufd_access **accesses;

	for (*id = 0; *id < iopt->max_accesses; ++*id)
		if (!iopt->accesses[*id])
			return 0;
	if (*id == LIST_ID_MAX)
		return WHY(-EBUSY, "there are %d accesses", LIST_ID_MAX);
	accesses = iommufd_calloc(max, sizeof(*accesses));
	if (!accesses)
		return -ENOMEM;
	if (iopt->max_accesses)
		memcpy(accesses, iopt->accesses, iopt->max_accesses * sizeof(*accesses));
	free(iopt->accesses);
	iopt->accesses = accesses;
	iopt->max_accesses = max;
	return 0;
}

int iopt_add_access(struct io_pagetable *iopt, struct iommufd_access *access, uint32_t *list_id)
{
	int ret;

	pthread_rwlock_wrlock(&iopt->lock);
	pthread_mutex_lock(&iopt->accesses_lock);
	ret = free_list_id(iopt, list_id);
	if (!ret)
		iopt->accesses[*list_id] = access;
	pthread_mutex_unlock(&iopt->accesses_lock);
	if (!ret) {
		ret = iopt_calculate_alignment(iopt);
		if (ret) {
			pthread_mutex_lock(&iopt->accesses_lock);
			iopt->accesses[*list_id] = NULL;
			pthread_mutex_unlock(&iopt->accesses_lock);
		}
	}
	pthread_rwlock_unlock(&iopt->lock);
	return ret;
}

void iopt_remove_access(struct io_pagetable *iopt, uint32_t list_id)
{
	pthread_rwlock_wrlock(&iopt->lock);
	pthread_mutex_lock(&iopt->accesses_lock);
	iopt->accesses[list_id] = NULL;
	pthread_mutex_unlock(&iopt->accesses_lock);
	iopt_calculate_alignment(iopt); /* it only becomes less */
	pthread_rwlock_unlock(&iopt->lock);
}

static int not_mapped(const struct iopt_walk *walk)
{
	return DMA_FAILED(-ENOENT, ((struct dma_fault){ .kind = DMA_NOT_MAPPED, .at = walk->at }),
			  "nothing is mapped at 0x%llx", (unsigned long long)walk->at);
}

static int not_permitted(const struct iopt_walk *walk, bool write)
{
	return DMA_FAILED(-EPERM, ((struct dma_fault){ .kind = DMA_NO_PERMISSION, .at = walk->at }),
			  "0x%llx is not mapped %s", (unsigned long long)walk->at,
			  write ? "writable" : "readable");
}

/* Memory that is not there, so many bytes from where the walk is. */
static int lost(const struct iopt_walk *walk, uint64_t bytes, int error)
{
	const struct iopt_pages *pages = walk->area->pages;
	uint64_t va = pages->va + area_byte(walk->area, walk->at) + bytes;
	struct dma_fault fault = { .kind = DMA_LOST, .at = walk->at + bytes, .va = va };

	if (mm_is_gone(pages->mm))
		fault.kind = DMA_EXITED;
	return DMA_FAILED(error, fault, "the memory at 0x%llx is not there", (unsigned long long)va);
}

/* May this part of an area be used so? */
static int check_use(const struct iopt_walk *walk, unsigned int flags)
{
	const struct iopt_area *area = walk->area;
	bool write = flags & IOMMUFD_ACCESS_RW_WRITE;

	if (area->prevent_access)
		return WHY_ALWAYS(-EINVAL, "0x%llx is being unmapped", (unsigned long long)walk->at);
	if (!(area->prot & (write ? IOMMU_WRITE : IOMMU_READ)) || (write && !area->pages->writable))
		return not_permitted(walk, write);
	if (area->pages->type == IOPT_PAGES_DMABUF)
		return WHY_ALWAYS(-EINVAL, "0x%llx is memory of a device", (unsigned long long)walk->at);
	return 0;
}

/* Pages can be handed out when the parts of the range are whole pages wherever areas meet. */
static bool is_page_aligned(const struct iopt_walk *walk)
{
	if (area_byte(walk->area, walk->at) % UVFIO_PAGE_SIZE)
		return false;
	return walk->done || !((area_byte(walk->area, walk->area->last) + 1) % UVFIO_PAGE_SIZE);
}

struct part {
	uint64_t first, last; /* indexes */
};

static struct part part_of(const struct iopt_walk *walk)
{
	return (struct part){ area_byte(walk->area, walk->at) / UVFIO_PAGE_SIZE,
			      area_byte(walk->area, iopt_walk_last(walk)) / UVFIO_PAGE_SIZE };
}

static uint64_t part_pages(struct part part)
{
	return part.last - part.first + 1;
}

static int pin_part(struct io_pagetable *iopt, struct iopt_area *area, struct part part, bool lock_area)
{
	pthread_mutex_t *lock = iopt_pages_lock(area->pages);
	int ret;

	if (area->pages->mm->self) /* it will be looked at, and may be far */
		__builtin_prefetch((void *)(uintptr_t)(area->pages->va + part.first * UVFIO_PAGE_SIZE));
	pthread_mutex_lock(lock);
	ret = iommufd_should_fail() ? -ENOMEM : iopt_pages_pin(area->pages, part.first, part.last);
	if (!ret) {
		area->num_accesses += part_pages(part);
		area->num_locks += lock_area;
		atomic_fetch_add_explicit(&iopt->num_accesses, part_pages(part), memory_order_relaxed);
	}
	pthread_mutex_unlock(lock);
	return ret;
}

static void unpin_part(struct io_pagetable *iopt, struct iopt_area *area, struct part part, bool unlock_area)
{
	pthread_mutex_t *lock = iopt_pages_lock(area->pages);

	pthread_mutex_lock(lock);
	iopt_pages_unpin(area->pages, part.first, part.last);
	area->num_accesses -= part_pages(part);
	area->num_locks -= unlock_area;
	atomic_fetch_sub_explicit(&iopt->num_accesses, part_pages(part), memory_order_relaxed);
	pthread_mutex_unlock(lock);
}

static void unpin_range(struct io_pagetable *iopt, uint64_t iova, uint64_t last, bool unlock_area)
{
	struct iopt_walk walk;

	for (bool more = iopt_walk_first(&walk, iopt, iova, last); more; more = iopt_walk_next(&walk, iopt))
		unpin_part(iopt, walk.area, part_of(&walk), unlock_area);
}

static struct mm_page *list_pages(const struct iopt_pages *pages, struct part part, struct mm_page *out)
{
	for (uint64_t i = part.first; i <= part.last; i++)
		*out++ = mm_page_at(pages->mm, pages->va + i * UVFIO_PAGE_SIZE);
	return out;
}

/* Which page was it that could not be pinned? A BAR's is there. */
static void find_lost(const struct iopt_walk *walk)
{
	const struct iopt_pages *pages = walk->area->pages;
	uint64_t va = pages->va + area_byte(walk->area, walk->at), last = iopt_walk_last(walk) - walk->at;
	bool bar;

	for (uint64_t at = 0; at <= last; at += UVFIO_PAGE_SIZE)
		if (mm_check_page(pages->mm, va + at, pages->writable, &bar)) {
			lost(walk, at, -EFAULT);
			return;
		}
}

static int pin_range(struct io_pagetable *iopt, struct iopt_walk *walk, uint64_t iova, uint64_t last,
		     struct mm_page *pages, unsigned int flags, bool lock_area)
{
	for (bool more = iopt_walk_first(walk, iopt, iova, last); more; more = iopt_walk_next(walk, iopt)) {
		int ret;

		if (!walk->area->prevent_access && !is_page_aligned(walk))
			return WHY_ALWAYS(-EINVAL, "0x%llx is no whole page of memory",
					  (unsigned long long)walk->at);
		ret = check_use(walk, flags);
		if (!ret) {
			ret = pin_part(iopt, walk->area, part_of(walk), lock_area);
			if (unlikely(ret == -EFAULT))
				find_lost(walk);
		}
		if (ret)
			return ret;
		if (pages)
			pages = list_pages(walk->area->pages, part_of(walk), pages);
	}
	return walk->done ? 0 : not_mapped(walk);
}

int iopt_access_pin(struct io_pagetable *iopt, uint64_t iova, uint64_t len, struct mm_page *pages,
		    unsigned int flags, bool lock_area)
{
	struct iopt_walk walk;
	int ret;

	pthread_rwlock_rdlock(&iopt->lock);
	ret = pin_range(iopt, &walk, iova, iova + (len - 1), pages, flags, lock_area);
	if (ret && walk.at > iova)
		unpin_range(iopt, iova, walk.at - 1, lock_area);
	pthread_rwlock_unlock(&iopt->lock);
	return ret;
}

void iopt_access_unpin(struct io_pagetable *iopt, uint64_t iova, uint64_t len, bool unlock_area)
{
	pthread_rwlock_rdlock(&iopt->lock);
	unpin_range(iopt, iova, iova + (len - 1), unlock_area);
	pthread_rwlock_unlock(&iopt->lock);
}

struct finding {
	uint64_t va;
	bool (*fn)(void *arg, uint64_t iova);
	void *arg;
	bool found;
};

static bool find_in_area(void *arg, struct range *range)
{
	const struct iopt_area *area = range->value;
	struct finding *find = arg;
	uint64_t va = area_va(area);

	if (area->pages->type == IOPT_PAGES_USER && area->pages->mm->self && find->va >= va &&
	    find->va - va < area_size(area))
		find->found = find->fn(find->arg, area->iova + (find->va - va));
	return !find->found;
}

bool iopt_access_find(struct io_pagetable *iopt, uint64_t va, bool (*fn)(void *arg, uint64_t iova), void *arg)
{
	struct finding find = { .va = va, .fn = fn, .arg = arg };

	if (!thread_rdlock_patiently(&iopt->lock))
		return false;
	range_map_each(&iopt->areas, 0, UINT64_MAX, find_in_area, &find);
	pthread_rwlock_unlock(&iopt->lock);
	return find.found;
}

/* What is not in the file, or is no memory file at all, has no page. */
static int check_copy(const struct iopt_pages *pages, uint64_t byte, size_t len, unsigned int flags)
{
	if (flags & IOMMUFD_ACCESS_RW_SLOW_PATH && iommufd_should_fail())
		return -ENOMEM;
	if (pages->type != IOPT_PAGES_FILE)
		return 0;
	return iopt_file_check(pages, byte / UVFIO_PAGE_SIZE, (byte + (len - 1)) / UVFIO_PAGE_SIZE);
}

static int copy_part(const struct iopt_walk *walk, void *data, size_t len, unsigned int flags)
{
	const struct iopt_pages *pages = walk->area->pages;
	uint64_t byte = area_byte(walk->area, walk->at);
	int ret = check_copy(pages, byte, len, flags);

	if (ret)
		return ret;
	ret = mm_copy_memory(pages->mm, pages->va + byte, data, len, flags & IOMMUFD_ACCESS_RW_WRITE);
	return unlikely(ret) ? lost(walk, 0, ret) : 0;
}

int iopt_access_rw(struct io_pagetable *iopt, uint64_t iova, void *data, size_t len, unsigned int flags)
{
	uint64_t last = iova + (len - 1);
	struct iopt_walk walk;
	int ret = 0;
	bool more;

	pthread_rwlock_rdlock(&iopt->lock);
	for (more = iopt_walk_first(&walk, iopt, iova, last); more && !ret;) {
		uint64_t bytes = iopt_walk_last(&walk) - walk.at + 1;

		ret = check_use(&walk, flags);
		if (!ret)
			ret = copy_part(&walk, data, bytes, flags);
		data = (char *)data + bytes;
		more = !ret && iopt_walk_next(&walk, iopt);
	}
	if (!ret && !walk.done)
		ret = not_mapped(&walk);
	pthread_rwlock_unlock(&iopt->lock);
	return ret;
}
