/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that drivers of mediated devices have pinned, one by one.
 *
 * Each pinner knows how often it has pinned a page, and the container how often all of them have. Nothing is
 * pinned where nothing is mapped: a mapping goes only when no page of it is pinned. While the container has a
 * domain all of it is pinned and charged anyway, else a page is charged from its first pin to its last unpin.
 *
 * A pinner's unmap function is called with the lock dropped. The pinner is busy then, so it is not freed.
 */
#include "iommu/dma_fault.h"
#include "iommu/mm_private.h"
#include "iommu/type1_private.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/why.h"

#include <stdlib.h>
#include <time.h>

/* As the kernel, which stops the machine then. */
#define TRIES_MAX 10u

struct type1_pinner {
	struct type1 *iommu;
	const char *name;
	type1_pinner_unmap_fn *unmap;
	void *owner;
	/* under iommu->lock */
	struct cds_list_head node;
	struct pin_table pins;
	unsigned int busy;       /* calls under way */
	struct stat_slot *bytes; /* copied */
	uint64_t serial;         /* ascending in the list; also, so that each is reported once */
	bool leaving;
};

static _Atomic uint64_t serials;

struct type1_pinner *type1_pinner_new(struct type1 *iommu, const char *name, type1_pinner_unmap_fn *unmap,
				      void *owner)
{
	struct type1_pinner *pinner = failpoint() ? NULL : calloc(1, sizeof(*pinner));

	if (!pinner)
		return NULL;
	pinner->iommu = iommu;
	pinner->name = name;
	pinner->unmap = unmap;
	pinner->owner = owner;
	pinner->bytes = stat_slot_take();
	pin_table_init(&pinner->pins, UINT64_MAX);
	pthread_mutex_lock(&iommu->lock);
	pinner->serial = ++serials;
	cds_list_add_tail(&pinner->node, &iommu->pinners);
	pthread_mutex_unlock(&iommu->lock);
	return pinner;
}

void type1_pinners_forked(struct type1 *iommu)
{
	struct type1_pinner *pinner;

	cds_list_for_each_entry (pinner, &iommu->pinners, node)
		pinner->busy = 0;
}

/* ---- unpinning. Under the lock, the pages are pinned. */

/* n pages of one mapping, whose address space is mm. */
static void unpin_part(struct type1_pinner *pinner, struct mm *mm, uint64_t page, uint64_t n)
{
	struct type1 *iommu = pinner->iommu;
	uint64_t gone;

	pin_table_put(&pinner->pins, page, n);
	gone = pin_table_put(&iommu->pins, page, n);
	type1_note_dirty(iommu, page, page + n - 1);
	if (!iommu->backed)
		type1_uncharge(iommu, mm, gone);
}

static void unpin_range(struct type1_pinner *pinner, uint64_t page, uint64_t n)
{
	struct type1 *iommu = pinner->iommu;
	struct range mapping;

	while (n) {
		uint64_t part;

		range_map_find(&iommu->mappings, page * UVFIO_PAGE_SIZE, &mapping);
		part = MIN(n, mapping.last / UVFIO_PAGE_SIZE - page + 1);
		unpin_part(pinner, mapping_mm(mapping_word(&mapping)), page, part);
		page += part;
		n -= part;
	}
}

int type1_unpin_pages(struct type1_pinner *pinner, uint64_t iova, uint64_t npage)
{
	struct type1 *iommu = pinner->iommu;
	uint64_t page = iova / UVFIO_PAGE_SIZE;
	int ret = 0;

	pthread_mutex_lock(&iommu->lock);
	if (likely(pin_table_has(&pinner->pins, page, npage)))
		unpin_range(pinner, page, npage);
	else
		ret = WHY_ALWAYS(-EINVAL, "not all of these pages were pinned by it");
	type1_check_charge(iommu);
	pthread_mutex_unlock(&iommu->lock);
	if (!ret)
		pthread_cond_broadcast(&iommu->let_go);
	return ret;
}

struct holding {
	struct type1_pinner *pinner;
	uint64_t va;
	bool holds;
};

static bool mapping_holds(void *arg, struct range *range)
{
	uint64_t word = mapping_word(range), va = word & PTE_ADDR;
	struct holding *h = arg;

	if (mapping_mm(word)->self && h->va >= va && h->va - va < range_size(range))
		h->holds =
			pin_table_has(&h->pinner->pins, (range->start + (h->va - va)) / UVFIO_PAGE_SIZE, 1);
	return !h->holds;
}

bool type1_pinner_holds(struct type1_pinner *pinner, uint64_t va)
{
	struct holding h = { .pinner = pinner, .va = va };

	if (!thread_lock_patiently(&pinner->iommu->lock))
		return false;
	range_map_each(&pinner->iommu->mappings, 0, UINT64_MAX, mapping_holds, &h);
	pthread_mutex_unlock(&pinner->iommu->lock);
	return h.holds;
}

static uint64_t unpin_all(struct type1_pinner *pinner)
{
	uint64_t pages = pinner->pins.pages, page;
	uint32_t count;

	while (pin_table_first(&pinner->pins, 0, UINT64_MAX / UVFIO_PAGE_SIZE, &page, &count))
		while (count--)
			unpin_range(pinner, page, 1);
	return pages;
}

uint64_t type1_pinner_free(struct type1_pinner *pinner)
{
	struct type1 *iommu = pinner->iommu;
	uint64_t left;

	pthread_mutex_lock(&iommu->lock);
	pinner->leaving = true;
	while (pinner->busy)
		pthread_cond_wait(&iommu->let_go, &iommu->lock);
	left = unpin_all(pinner);
	cds_list_del(&pinner->node);
	type1_check_charge(iommu);
	pthread_cond_broadcast(&iommu->let_go);
	pthread_mutex_unlock(&iommu->lock);
	pin_table_destroy(&pinner->pins);
	stat_slot_give(pinner->bytes);
	free(pinner);
	return left;
}

/* ---- what fails */

static int not_mapped(uint64_t iova)
{
	return DMA_FAILED(-EINVAL, ((struct dma_fault){ .kind = DMA_NOT_MAPPED, .at = iova }),
			  "nothing is mapped at 0x%llx", (unsigned long long)iova);
}

static int not_permitted(uint64_t iova, bool lacks_read, const char *more)
{
	struct dma_fault fault = { .kind = DMA_NO_PERMISSION, .at = iova, .lacks_read = lacks_read };

	return DMA_FAILED(-EPERM, fault, "0x%llx is not mapped %s%s", (unsigned long long)iova,
			  lacks_read ? "readable" : "writable", more);
}

/* ---- pinning. Under the lock. */

/* What is wrong is said, and noted, of single pages only: of several, some may be pinned already. */
static int check_memory(struct mm *mm, uint64_t iova, uint64_t va, uint64_t n, bool write)
{
	struct dma_fault fault = { .kind = DMA_LOST, .at = iova, .va = va };
	bool bar;
	int ret = n == 1 ? mm_check_page(mm, va, write, &bar)
			 : mm_check_bar(mm, va, n * UVFIO_PAGE_SIZE, write, &bar);

	if (likely(!ret && !bar))
		return 0;
	if (n > 1)
		return -EFAULT;
	if (!ret)
		return WHY_ALWAYS(-EINVAL, "0x%llx is no memory, but a BAR", (unsigned long long)va);
	if (!mm_is_gone(mm))
		return DMA_FAILED(-EFAULT, fault, "the memory at 0x%llx is not there",
				  (unsigned long long)va);
	fault.kind = DMA_EXITED;
	return DMA_FAILED(-ENODEV, fault, "the process that mapped it has exited");
}

/* n pages of one mapping: all of them, or none. */
static int pin_part(struct type1_pinner *pinner, uint64_t word, uint64_t va, uint64_t page, uint64_t n)
{
	struct type1 *iommu = pinner->iommu;
	struct mm *mm = mapping_mm(word);
	uint64_t fresh, own;
	int ret = pin_table_get(&iommu->pins, page, n, &fresh);

	if (ret)
		return ret;
	if (fresh)
		ret = check_memory(mm, page * UVFIO_PAGE_SIZE, va, n, word & IOMMU_WRITE);
	if (!ret && !iommu->backed && type1_charge(iommu, mm, fresh))
		ret = type1_no_room(iommu, fresh, type1_charge_room(iommu, mm));
	if (!ret) {
		ret = pin_table_get(&pinner->pins, page, n, &own);
		if (ret && !iommu->backed)
			type1_uncharge(iommu, mm, fresh);
	}
	if (ret)
		pin_table_put(&iommu->pins, page, n);
	return ret;
}

/* What to say of a part that cannot be pinned at once is what is wrong with its first bad page; and pages
 * that are pinned already need no memory any more. *done counts what is pinned. */
static int pin_one_by_one(struct type1_pinner *pinner, uint64_t word, uint64_t va, uint64_t page, uint64_t n,
			  uint64_t *done)
{
	for (uint64_t i = 0; i < n; i++) {
		int ret = pin_part(pinner, word, va + i * UVFIO_PAGE_SIZE, page + i, 1);

		if (ret)
			return ret;
		++*done;
	}
	return 0;
}

static void list_pages(struct mm *mm, uint64_t va, uint64_t n, struct mm_page *out)
{
	for (uint64_t i = 0; i < n; i++)
		out[i] = mm_page_at(mm, va + i * UVFIO_PAGE_SIZE);
}

static int pin_mapping(struct type1_pinner *pinner, const struct range *mapping, uint64_t page, uint64_t n,
		       unsigned int prot, uint64_t *done)
{
	uint64_t word = mapping_word(mapping), va;
	int ret;

	if (unlikely(prot & ~word))
		return not_permitted(page * UVFIO_PAGE_SIZE, !(prot & ~word & IOMMU_WRITE), "");
	va = (word & PTE_ADDR) + (page * UVFIO_PAGE_SIZE - mapping->start);
	if (mapping_mm(word)->self)
		__builtin_prefetch((const void *)(uintptr_t)va);
	ret = pin_part(pinner, word, va, page, n);
	if (likely(!ret))
		*done += n;
	else if (n > 1)
		ret = pin_one_by_one(pinner, word, va, page, n, done);
	return ret;
}

/* *done: how many are pinned, also on failure. */
static int pin_pages(struct type1_pinner *pinner, uint64_t page, uint64_t npage, unsigned int prot,
		     struct mm_page *pages, uint64_t *done)
{
	struct range mapping;

	while (*done < npage) {
		uint64_t at = page + *done, first = *done, n, word;
		int ret;

		if (!range_map_find(&pinner->iommu->mappings, at * UVFIO_PAGE_SIZE, &mapping))
			return not_mapped(at * UVFIO_PAGE_SIZE);
		n = MIN(npage - *done, mapping.last / UVFIO_PAGE_SIZE - at + 1);
		ret = pin_mapping(pinner, &mapping, at, n, prot, done);
		if (ret)
			return ret;
		word = mapping_word(&mapping);
		list_pages(mapping_mm(word), (word & PTE_ADDR) + (at * UVFIO_PAGE_SIZE - mapping.start), n,
			   pages + first);
	}
	return 0;
}

static int check_pinner(const struct type1_pinner *pinner)
{
	if (pinner->iommu->vaddr_invalid)
		return WHY_ALWAYS(-EBUSY, "mappings are without their virtual addresses");
	if (!pinner->unmap || pinner->leaving)
		return WHY_ALWAYS(-EINVAL, "the device is told of no unmap, so it cannot pin");
	return 0;
}

int type1_pin_pages(struct type1_pinner *pinner, uint64_t iova, uint64_t npage, unsigned int prot,
		    struct mm_page *pages)
{
	struct type1 *iommu = pinner->iommu;
	uint64_t page = iova / UVFIO_PAGE_SIZE, done = 0, last;
	int ret;

	if (!iommu->v2)
		return WHY_ALWAYS(-EACCES, "TYPE1_IOMMU (v1) has no pages to pin: use TYPE1v2_IOMMU");
	if (unlikely(add_overflows(iova, npage * UVFIO_PAGE_SIZE - 1, &last)))
		return WHY_ALWAYS(-EOVERFLOW, "the range ends behind the last address");
	pthread_mutex_lock(&iommu->lock);
	pin_table_prefetch(&pinner->pins, page);
	pin_table_prefetch(&iommu->pins, page);
	ret = check_pinner(pinner);
	if (!ret)
		ret = pin_pages(pinner, page, npage, prot, pages, &done);
	if (ret)
		unpin_range(pinner, page, done);
	type1_check_charge(iommu);
	pthread_mutex_unlock(&iommu->lock);
	return ret;
}

void type1_pinner_describe(struct type1_pinner *pinner, uint64_t iova, char *buf, size_t len)
{
	type1_describe(pinner->iommu, iova, buf, len);
}

/* ---- asking for pages to be unpinned */

static struct type1_pinner *next_pinner(struct type1 *iommu, uint64_t serial)
{
	struct type1_pinner *pinner;

	cds_list_for_each_entry (pinner, &iommu->pinners, node)
		if (pinner->serial > serial && !pinner->leaving && pinner->unmap)
			return pinner;
	return NULL;
}

/* Call every pinner that there is now once. The lock is dropped meanwhile: others may do the same. */
static void tell_pinners(struct type1 *iommu, uint64_t iova, uint64_t size)
{
	uint64_t newest = serials, serial = 0;
	struct type1_pinner *pinner;

	while ((pinner = next_pinner(iommu, serial)) && pinner->serial <= newest) {
		serial = pinner->serial;
		pinner->busy++;
		pthread_mutex_unlock(&iommu->lock);
		pinner->unmap(pinner->owner, iova, size);
		pthread_mutex_lock(&iommu->lock);
		pinner->busy--;
		pthread_cond_broadcast(&iommu->let_go);
	}
}

static bool has_pins(struct type1 *iommu, const struct range *mapping)
{
	return pin_table_count(&iommu->pins, mapping->start / UVFIO_PAGE_SIZE,
			       mapping->last / UVFIO_PAGE_SIZE);
}

/* Under the lock, which is dropped while waiting: a driver may unpin from another thread. */
static void wait_a_while(struct type1 *iommu, const struct range *mapping, unsigned int times)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += 1000000L << MIN(times, 8u);
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (has_pins(iommu, mapping))
		if (pthread_cond_timedwait(&iommu->let_go, &iommu->lock, &until))
			break;
}

static int report_holders(struct type1 *iommu, const struct range *mapping)
{
	uint64_t first = mapping->start / UVFIO_PAGE_SIZE, last = mapping->last / UVFIO_PAGE_SIZE;
	struct type1_pinner *pinner;

	cds_list_for_each_entry (pinner, &iommu->pinners, node) {
		uint64_t n = pin_table_count(&pinner->pins, first, last);

		if (n)
			uvfio_err_once(
				mapping->start ^ pinner->serial << 1,
				"%s keeps pages of 0x%llx-0x%llx pinned (%llu), so they stay mapped: its "
				"dma_unmap has to unpin them",
				pinner->name, (unsigned long long)mapping->start,
				(unsigned long long)mapping->last, (unsigned long long)n);
	}
	return WHY(-EBUSY, "a driver does not unpin pages of 0x%llx-0x%llx",
		   (unsigned long long)mapping->start, (unsigned long long)mapping->last);
}

/* The first mapping that starts in [iova, last] and has pins. */
static bool find_pinned(struct type1 *iommu, uint64_t iova, uint64_t last, struct range *mapping)
{
	uint64_t page;
	uint32_t count;

	if (!pin_table_first(&iommu->pins, iova / UVFIO_PAGE_SIZE, last / UVFIO_PAGE_SIZE, &page, &count))
		return false;
	return range_map_find(&iommu->mappings, page * UVFIO_PAGE_SIZE, mapping) && mapping->start >= iova;
}

int type1_ask_pinners(struct type1 *iommu, uint64_t iova, uint64_t last, struct asking *asking)
{
	struct range mapping;

	if (!find_pinned(iommu, iova, last, &mapping))
		return 0;
	if (!asking->times || asking->start != mapping.start)
		*asking = (struct asking){ .start = mapping.start };
	else if (asking->times == TRIES_MAX)
		return report_holders(iommu, &mapping);
	else
		wait_a_while(iommu, &mapping, asking->times);
	asking->times++;
	tell_pinners(iommu, mapping.start, range_size(&mapping));
	return 1;
}

/* ---- reading and writing */

/* *len: of it only what is memory, or a BAR, as a whole. */
static int copy_part(struct type1 *iommu, struct mm *mm, uint64_t va, void *data, size_t *len, bool write)
{
	bool io = false;
	int ret;

	if (mm->self)
		*len = mm_io_span(va, *len, &io);
	if (likely(!io))
		return mm_copy_memory(mm, va, data, *len, write);
	/* A BAR, whose device may come back here. */
	mm_get(mm);
	pthread_mutex_unlock(&iommu->lock);
	ret = write ? mm_write(mm, va, data, *len) : mm_read(mm, data, va, *len);
	mm_put(mm);
	pthread_mutex_lock(&iommu->lock);
	return ret;
}

static int not_copied(struct mm *mm, uint64_t iova, uint64_t va)
{
	struct dma_fault fault = { .kind = mm_is_gone(mm) ? DMA_EXITED : DMA_LOST, .at = iova, .va = va };

	if (fault.kind == DMA_EXITED)
		return DMA_FAILED(-EPERM, fault, "the process that mapped it has exited");
	return DMA_FAILED(-EFAULT, fault, "the memory at 0x%llx is not there", (unsigned long long)va);
}

static int rw_part(struct type1 *iommu, uint64_t iova, void *data, size_t len, bool write, size_t *done)
{
	struct range mapping;
	struct mm *mm;
	uint64_t word;
	int ret;

	if (!range_map_find(&iommu->mappings, iova, &mapping))
		return not_mapped(iova);
	word = mapping_word(&mapping);
	if (unlikely(!(word & IOMMU_READ) || (write && !(word & IOMMU_WRITE))))
		return not_permitted(iova, !(word & IOMMU_READ),
				     word & IOMMU_READ ? "" : ", which also writing needs");
	*done = (size_t)MIN((uint64_t)(len - 1), mapping.last - iova) + 1;
	mm = mapping_mm(word);
	ret = copy_part(iommu, mm, (word & PTE_ADDR) + (iova - mapping.start), data, done, write);
	if (unlikely(ret))
		return not_copied(mm, iova, (word & PTE_ADDR) + (iova - mapping.start));
	if (write)
		type1_note_dirty(iommu, iova / UVFIO_PAGE_SIZE, (iova + (*done - 1)) / UVFIO_PAGE_SIZE);
	return 0;
}

int type1_dma_rw(struct type1_pinner *pinner, uint64_t iova, void *data, size_t len, bool write)
{
	struct type1 *iommu = pinner->iommu;
	int ret = 0;

	pthread_mutex_lock(&iommu->lock);
	if (unlikely(iommu->vaddr_invalid))
		ret = WHY_ALWAYS(-EBUSY, "mappings are without their virtual addresses");
	while (len && !ret) {
		size_t done = 0;

		ret = rw_part(iommu, iova, data, len, write, &done);
		iova += done;
		data = (char *)data + done;
		len -= done;
		if (likely(!ret))
			stat_slot_add(pinner->bytes, done, write);
	}
	pthread_mutex_unlock(&iommu->lock);
	return ret;
}
