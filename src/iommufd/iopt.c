/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IO page tables: areas, and how they come to be by mapping and copying.
 *
 * A map takes its place first and then fills the domains, all under the table's lock: whoever else looks sees
 * an area whole or not at all. Errors come in the kernel's order.
 */
#include "iommufd/iopt_private.h"

#include "base/why.h"

#include <stdlib.h>

const struct iopt_words iopt_iommufd_words = { "user_va", "length", "IOMMU_IOAS_IOVA_RANGES" };
__thread const struct iopt_words *iopt_words = &iopt_iommufd_words;

/* Devices that copy all the time must not keep a map out for ever. Nobody takes it twice for reading. */
static void init_lock(struct io_pagetable *iopt)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&iopt->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void iopt_init(struct io_pagetable *iopt)
{
	*iopt = (struct io_pagetable){ .iova_alignment = 1, .clear = { 1, 0 } };
	init_lock(iopt);
	pthread_mutex_init(&iopt->accesses_lock, NULL);
	range_map_init_gaps(&iopt->areas);
	iopt_test_register(iopt);
}

void iopt_destroy(struct io_pagetable *iopt)
{
	uint64_t unmapped;

	iopt_unmap_all(iopt, &unmapped);
	iopt_test_unregister(iopt);
	range_map_destroy(&iopt->areas);
	free(iopt->domains);
	free(iopt->reserved);
	free(iopt->allowed);
	free(iopt->accesses);
	pthread_mutex_destroy(&iopt->accesses_lock);
	pthread_rwlock_destroy(&iopt->lock);
}

void iopt_forked(struct io_pagetable *iopt)
{
	init_lock(iopt);
	pthread_mutex_init(&iopt->accesses_lock, NULL);
	iopt_pages_forked();
	iopt_file_forked();
	iopt_test_forked();
}

struct iopt_area *iopt_area_alloc(void)
{
	return iommufd_zalloc(sizeof(struct iopt_area));
}

/* The first area of pages goes with them. */
void iopt_area_free(struct iopt_area *area)
{
	struct iopt_pages *pages = area->pages;

	if (area != &pages->first)
		free(area);
	iopt_pages_put(pages);
}

bool iopt_walk_first(struct iopt_walk *walk, struct io_pagetable *iopt, uint64_t iova, uint64_t last)
{
	struct range range;

	*walk = (struct iopt_walk){ .at = iova, .last = last };
	if (!range_map_find(&iopt->areas, iova, &range))
		return false;
	walk->area = range.value;
	walk->done = range.last >= last;
	return true;
}

bool iopt_walk_next(struct iopt_walk *walk, struct io_pagetable *iopt)
{
	struct range range;

	if (walk->done)
		return false;
	walk->at = walk->area->last + 1;
	walk->area = NULL;
	if (!range_map_find(&iopt->areas, walk->at, &range))
		return false;
	walk->area = range.value;
	walk->done = range.last >= walk->last;
	return true;
}

/* One of the areas that a call adds. */
struct addition {
	struct iopt_area *area; /* with a reference of its pages */
	uint64_t len;
	bool placed;
};

static int no_place(struct io_pagetable *iopt, uint64_t iova, uint64_t last)
{
	struct range range;

	if (!trace_on(TRACE_IOCTL) || !range_map_first(&iopt->areas, iova, last, &range))
		return -EEXIST;
	return WHY(-EEXIST, "0x%llx-0x%llx is mapped already: unmap it first",
		   (unsigned long long)range.start, (unsigned long long)range.last);
}

/* Of the memory's address only what is within a page counts. */
static int misaligned(const struct io_pagetable *iopt, const struct iopt_area *area)
{
	unsigned long long alignment = MIN(iopt->iova_alignment, (uint64_t)UVFIO_PAGE_SIZE);

	if (area->pages->type == IOPT_PAGES_USER)
		return WHY(-EINVAL, "%s 0x%llx is not aligned to 0x%llx", iopt_words->va,
			   (unsigned long long)area_va(area), alignment);
	return WHY(-EINVAL, "0x%llx in the file is not aligned to 0x%llx",
		   (unsigned long long)(iopt_pages_origin(area->pages) + area->start_byte), alignment);
}

static int check_area(const struct io_pagetable *iopt, const struct iopt_area *area)
{
	if (area->prot & IOMMU_WRITE && !area->pages->writable)
		return WHY(-EPERM, "the memory was mapped without WRITEABLE");
	if (area->start_byte % UVFIO_PAGE_SIZE & (iopt->iova_alignment - 1))
		return misaligned(iopt, area);
	return 0;
}

/* All of [iova, +len) has to be free before anything else is wrong with one of several. */
static int place_areas(struct io_pagetable *iopt, struct addition *adds, unsigned int nr, uint64_t iova,
		       uint64_t len)
{
	uint64_t last = iova + (len - 1);
	struct range range;
	int ret;

	if (nr > 1 && range_map_first(&iopt->areas, iova, last, &range))
		return no_place(iopt, iova, last);
	for (unsigned int i = 0; i < nr; i++) {
		struct iopt_area *area = adds[i].area;

		area->iova = iova;
		area->last = iova + (adds[i].len - 1);
		ret = range_map_insert(&iopt->areas, iova, area->last, area);
		if (ret)
			return ret == -EEXIST ? no_place(iopt, iova, last) : ret;
		adds[i].placed = true;
		ret = check_area(iopt, area);
		if (ret)
			return ret;
		iova += adds[i].len;
	}
	return 0;
}

static int find_place(struct io_pagetable *iopt, const struct iopt_area *area, uint64_t len, uint64_t *iova,
		      unsigned int flags)
{
	if (len & (iopt->iova_alignment - 1) || !len)
		return WHY(-EINVAL, "%s 0x%llx is not aligned to 0x%llx", iopt_words->len,
			   (unsigned long long)len, (unsigned long long)iopt->iova_alignment);
	if (flags & IOPT_ALLOC_IOVA)
		return iopt_alloc_iova(iopt, iova, iopt_pages_origin(area->pages) + area->start_byte, len);
	return iopt_check_iova(iopt, *iova, len);
}

static int fill_areas(struct io_pagetable *iopt, struct addition *adds, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		int ret = iopt_area_fill(iopt, adds[i].area);

		if (ret) {
			while (i)
				iopt_area_unfill(iopt, adds[--i].area);
			return ret;
		}
	}
	return 0;
}

static int add_areas(struct io_pagetable *iopt, struct addition *adds, unsigned int nr, uint64_t len,
		     uint64_t *iova, unsigned int flags)
{
	int ret;

	pthread_rwlock_wrlock(&iopt->lock);
	ret = find_place(iopt, adds[0].area, len, iova, flags);
	if (!ret)
		ret = place_areas(iopt, adds, nr, *iova, len);
	if (!ret && iopt->nr_domains)
		ret = fill_areas(iopt, adds, nr);
	for (unsigned int i = 0; ret && i < nr && adds[i].placed; i++)
		range_map_remove(&iopt->areas, adds[i].area->iova);
	pthread_rwlock_unlock(&iopt->lock);
	for (unsigned int i = 0; ret && i < nr; i++)
		iopt_area_free(adds[i].area);
	if (ret)
		return ret;
	stat_add(STAT_MAPS, nr);
	stat_add(STAT_MAPPINGS, nr);
	stat_add(STAT_MAPPED_BYTES, len);
	return 0;
}

/* Takes over the reference of pages. */
static int map_pages(struct io_pagetable *iopt, struct iopt_pages *pages, uint64_t *iova, uint64_t start_byte,
		     uint64_t len, unsigned int prot, unsigned int flags)
{
	struct addition add = { .area = &pages->first, .len = len };
	uint64_t va = pages->va + start_byte;
	int ret;

	pages->first = (struct iopt_area){ .pages = pages, .start_byte = start_byte, .prot = prot };
	ret = add_areas(iopt, &add, 1, len, iova, flags);
	if (!ret && trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, NULL, "map", 0, "ioas=%u iova=0x%llx-0x%llx vaddr=0x%llx%s%s",
			   iopt->ioas_id, (unsigned long long)*iova, (unsigned long long)(*iova + (len - 1)),
			   (unsigned long long)va, prot & IOMMU_READ ? " READ" : "",
			   prot & IOMMU_WRITE ? " WRITE" : "");
	return ret;
}

int iopt_map_user_pages(struct iommufd_ctx *ctx, struct io_pagetable *iopt, struct mm *mm, uint64_t *iova,
			uint64_t uptr, uint64_t len, unsigned int prot, unsigned int flags)
{
	struct iopt_pages *pages;
	int ret = iopt_pages_user(ctx, mm, uptr, len, prot & IOMMU_WRITE, &pages);

	if (ret)
		return ret;
	return map_pages(iopt, pages, iova, uptr % UVFIO_PAGE_SIZE, len, prot, flags);
}

int iopt_map_file_pages(struct iommufd_ctx *ctx, struct io_pagetable *iopt, const struct caller *caller,
			uint64_t *iova, int fd, uint64_t start, uint64_t len, unsigned int prot,
			unsigned int flags)
{
	struct iopt_pages *pages;
	uint64_t last;
	int ret;

	if (!len)
		return WHY(-EINVAL, "length is 0");
	if (add_overflows(start, len - 1, &last))
		return WHY(-EOVERFLOW, "start + length goes beyond 64 bits");
	ret = iopt_pages_file(ctx, caller, fd, start, len, prot & IOMMU_WRITE, &pages);
	if (ret)
		return ret;
	return map_pages(iopt, pages, iova, start % UVFIO_PAGE_SIZE, len, prot, flags);
}

/* ---- copying */

struct copy {
	struct addition *adds;
	unsigned int nr, room;
};

static int copy_add(struct copy *copy, const struct iopt_walk *walk, unsigned int prot)
{
	struct iopt_area *area = iopt_area_alloc();

	if (!area)
		return -ENOMEM;
	if (copy->nr == copy->room) {
		unsigned int room = MAX(copy->room * 2, 4u);
		struct addition *adds =
			iommufd_should_fail() ? NULL : realloc(copy->adds, room * sizeof(*adds));

		if (!adds) {
			free(area);
			return -ENOMEM;
		}
		copy->adds = adds;
		copy->room = room;
	}
	area->pages = walk->area->pages;
	area->start_byte = area_byte(walk->area, walk->at);
	area->prot = prot;
	iopt_pages_get(area->pages);
	copy->adds[copy->nr++] =
		(struct addition){ .area = area, .len = iopt_walk_last(walk) - walk->at + 1 };
	return 0;
}

static void free_areas(struct copy *copy)
{
	for (unsigned int i = 0; i < copy->nr; i++)
		iopt_area_free(copy->adds[i].area);
}

/* An area for each that has a part of [iova, last] in src. */
static int copy_from(struct copy *copy, struct io_pagetable *src, uint64_t iova, uint64_t last,
		     unsigned int prot)
{
	struct iopt_walk walk;
	int ret = 0;
	bool more;

	pthread_rwlock_rdlock(&src->lock);
	for (more = iopt_walk_first(&walk, src, iova, last); more && !ret; more = iopt_walk_next(&walk, src))
		ret = copy_add(copy, &walk, prot);
	if (!ret && !walk.done)
		ret = WHY(-ENOENT, "nothing is mapped at 0x%llx", (unsigned long long)walk.at);
	pthread_rwlock_unlock(&src->lock);
	if (ret)
		free_areas(copy);
	return ret;
}

int iopt_copy(struct io_pagetable *dst, uint64_t *dst_iova, struct io_pagetable *src, uint64_t src_iova,
	      uint64_t len, unsigned int prot, unsigned int flags)
{
	struct copy copy = { 0 };
	uint64_t last;
	int ret;

	if (!len)
		return WHY(-EINVAL, "length is 0");
	if (add_overflows(src_iova, len - 1, &last))
		return WHY(-EOVERFLOW, "src_iova + length goes beyond 64 bits");
	ret = copy_from(&copy, src, src_iova, last, prot);
	if (!ret && !dst) {
		free_areas(&copy);
		ret = -ENOENT;
	}
	if (!ret)
		ret = add_areas(dst, copy.adds, copy.nr, len, dst_iova, flags);
	free(copy.adds);
	if (!ret && trace_on(TRACE_DMA))
		trace_emit(TRACE_DMA, NULL, "copy", 0,
			   "ioas=%u iova=0x%llx-0x%llx from ioas=%u iova=0x%llx%s%s", dst->ioas_id,
			   (unsigned long long)*dst_iova, (unsigned long long)(*dst_iova + (len - 1)),
			   src->ioas_id, (unsigned long long)src_iova, prot & IOMMU_READ ? " READ" : "",
			   prot & IOMMU_WRITE ? " WRITE" : "");
	return ret;
}
