/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mock's paging domains: a table of 2 KiB pages, in chunks of 1 MiB of IOVA, each page with where it
 * leads, what is allowed, and whether it is dirty.
 *
 * In a huge domain a chunk that one map call has filled is one page as far as dirty tracking goes.
 */
#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <stdlib.h>

#define CHUNK_SIZE  ((uint64_t)MOCK_HUGE_PAGE_SIZE)
#define CHUNK_PAGES 512u
#define HUGE_WIDTH  38u /* three levels of 512 entries, and a page */

struct mock_page {
	uint64_t va;
	struct mm *mm; /* NULL: nothing is mapped; no reference, what is mapped holds one */
	uint8_t prot;
	bool dirty;
};

struct mock_chunk {
	unsigned int used;
	bool whole; /* one map call has filled it */
	struct mock_page pages[CHUNK_PAGES];
};

struct mock_domain {
	struct iommufd_domain base;
	pthread_mutex_t lock;    /* innermost: of what follows */
	struct range_map chunks; /* struct mock_chunk */
	bool huge;
	bool tracking;
};

/* ---- a chunk */

static struct mock_chunk *find_chunk(struct mock_domain *mock, uint64_t iova)
{
	struct range range;

	return range_map_find(&mock->chunks, iova, &range) ? range.value : NULL;
}

static struct mock_chunk *make_chunk(struct mock_domain *mock, uint64_t iova)
{
	uint64_t start = align_down(iova, CHUNK_SIZE);
	struct mock_chunk *chunk = find_chunk(mock, iova);

	if (chunk)
		return chunk;
	chunk = iommufd_zalloc(sizeof(*chunk));
	if (chunk && range_map_insert(&mock->chunks, start, start + CHUNK_SIZE - 1, chunk)) {
		free(chunk);
		return NULL;
	}
	return chunk;
}

static struct mock_page *page_in(struct mock_chunk *chunk, uint64_t iova)
{
	return &chunk->pages[iova % CHUNK_SIZE / MOCK_PAGE_SIZE];
}

static struct mock_page *find_page(struct mock_domain *mock, uint64_t iova)
{
	struct mock_chunk *chunk = find_chunk(mock, iova);
	struct mock_page *page = chunk ? page_in(chunk, iova) : NULL;

	return page && page->mm ? page : NULL;
}

/* What of [iova, end) is in iova's chunk. */
static uint64_t end_in_chunk(uint64_t iova, uint64_t end)
{
	return MIN(end, align_down(iova, CHUNK_SIZE) + CHUNK_SIZE);
}

static void clear_pages(struct mock_domain *mock, uint64_t iova, uint64_t end)
{
	struct mock_chunk *chunk = find_chunk(mock, iova);

	if (!chunk)
		return;
	chunk->whole = false;
	for (uint64_t at = iova; at < end; at += MOCK_PAGE_SIZE) {
		struct mock_page *page = page_in(chunk, at);

		chunk->used -= page->mm != NULL;
		*page = (struct mock_page){ 0 };
	}
	if (!chunk->used) {
		range_map_remove(&mock->chunks, align_down(iova, CHUNK_SIZE));
		free(chunk);
	}
}

static void unmap_all(struct mock_domain *mock, uint64_t iova, uint64_t end)
{
	for (uint64_t next; iova < end; iova = next) {
		next = end_in_chunk(iova, end);
		clear_pages(mock, iova, next);
	}
}

/* ---- operations */

static struct mock_domain *mock_of(struct iommufd_domain *domain)
{
	return container_of(domain, struct mock_domain, base);
}

/* [iova, end) of one chunk, to page and what follows it. */
static int map_pages(struct mock_domain *mock, uint64_t iova, uint64_t end, struct mock_page page)
{
	struct mock_chunk *chunk = make_chunk(mock, iova);

	if (!chunk)
		return -ENOMEM;
	for (uint64_t at = iova; at < end; at += MOCK_PAGE_SIZE) {
		*page_in(chunk, at) = page;
		chunk->used++;
		page.va += MOCK_PAGE_SIZE;
	}
	chunk->whole = end - iova == CHUNK_SIZE;
	return 0;
}

static int mock_map(struct iommufd_domain *domain, uint64_t iova, uint64_t size, struct mm *mm, uint64_t va,
		    unsigned int prot)
{
	struct mock_domain *mock = mock_of(domain);
	uint64_t end = iova + size, at = iova;
	int rc = 0;

	if (iommufd_should_fail())
		return -ENOMEM;
	pthread_mutex_lock(&mock->lock);
	while (!rc && at < end) {
		uint64_t next = end_in_chunk(at, end);

		rc = map_pages(mock, at, next,
			       (struct mock_page){ .va = va + (at - iova), .mm = mm, .prot = (uint8_t)prot });
		if (!rc)
			at = next;
	}
	if (rc)
		unmap_all(mock, iova, at);
	pthread_mutex_unlock(&mock->lock);
	return rc;
}

static void mock_unmap(struct iommufd_domain *domain, uint64_t iova, uint64_t size)
{
	struct mock_domain *mock = mock_of(domain);

	pthread_mutex_lock(&mock->lock);
	unmap_all(mock, iova, iova + size);
	pthread_mutex_unlock(&mock->lock);
}

/* Nothing does DMA through it. */
static void mock_unmap_nop(struct iommufd_domain *domain)
{
	(void)domain;
}

static int mock_set_dirty_tracking(struct iommufd_domain *domain, bool on)
{
	struct mock_domain *mock = mock_of(domain);

	pthread_mutex_lock(&mock->lock);
	mock->tracking = on;
	pthread_mutex_unlock(&mock->lock);
	return 0;
}

struct reader {
	void (*fn)(void *arg, uint64_t iova, uint64_t size);
	void *arg;
	bool keep;
};

static void report(const struct reader *reader, uint64_t iova, uint64_t size)
{
	if (size && reader->fn)
		reader->fn(reader->arg, iova, size);
}

static bool test_dirty(const struct reader *reader, struct mock_page *page)
{
	bool was = page->dirty;

	page->dirty = was && reader->keep;
	return was;
}

/* A chunk that is one page: any dirty part of it makes it all dirty. */
static void read_whole(const struct reader *reader, struct mock_chunk *chunk, uint64_t iova, uint64_t end)
{
	bool dirty = false;

	for (unsigned int i = 0; i < CHUNK_PAGES; i++)
		dirty |= test_dirty(reader, &chunk->pages[i]);
	if (dirty)
		report(reader, iova, end - iova);
}

static void read_pages(const struct reader *reader, struct mock_chunk *chunk, uint64_t iova, uint64_t end)
{
	uint64_t first = iova; /* of a dirty stretch that ends at iova */

	for (; iova < end; iova += MOCK_PAGE_SIZE) {
		if (test_dirty(reader, page_in(chunk, iova)))
			continue;
		report(reader, first, iova - first);
		first = iova + MOCK_PAGE_SIZE;
	}
	if (first < iova)
		report(reader, first, iova - first);
}

static int mock_read_dirty(struct iommufd_domain *domain, uint64_t iova, uint64_t size, bool keep,
			   void (*fn)(void *arg, uint64_t iova, uint64_t size), void *arg)
{
	const struct reader reader = { .fn = fn, .arg = arg, .keep = keep };
	struct mock_domain *mock = mock_of(domain);
	uint64_t end = iova + size;
	int rc = 0;

	pthread_mutex_lock(&mock->lock);
	if (fn && !mock->tracking)
		rc = WHY(-EINVAL, "dirty tracking is off");
	for (uint64_t next; !rc && iova < end; iova = next) {
		struct mock_chunk *chunk = find_chunk(mock, iova);

		next = end_in_chunk(iova, end);
		if (chunk && mock->huge && chunk->whole)
			read_whole(&reader, chunk, iova, next);
		else if (chunk)
			read_pages(&reader, chunk, iova, next);
	}
	pthread_mutex_unlock(&mock->lock);
	return rc;
}

static bool free_chunk(void *arg, struct range *range)
{
	(void)arg;
	free(range->value);
	return true;
}

static void mock_free(struct iommufd_domain *domain)
{
	struct mock_domain *mock = mock_of(domain);

	range_map_each(&mock->chunks, 0, UINT64_MAX, free_chunk, NULL);
	range_map_destroy(&mock->chunks);
	pthread_mutex_destroy(&mock->lock);
	free(mock);
}

static void mock_forked(struct iommufd_domain *domain)
{
	pthread_mutex_init(&mock_of(domain)->lock, NULL);
}

static const struct iommufd_domain_ops mock_domain_ops = {
	.map = mock_map,
	.unmap = mock_unmap,
	.unmap_begin = mock_unmap_nop,
	.unmap_end = mock_unmap_nop,
	.free = mock_free,
	.forked = mock_forked,
};

static const struct iommufd_domain_ops mock_dirty_domain_ops = {
	.map = mock_map,
	.unmap = mock_unmap,
	.unmap_begin = mock_unmap_nop,
	.unmap_end = mock_unmap_nop,
	.set_dirty_tracking = mock_set_dirty_tracking,
	.read_dirty = mock_read_dirty,
	.free = mock_free,
	.forked = mock_forked,
};

static void set_geometry(struct mock_domain *mock, const struct iommu_hwpt_selftest *config)
{
	if (config->pagetable_type == MOCK_IOMMUPT_HUGE) {
		mock->huge = true;
		mock->base.pgsize = UVFIO_PAGE_SIZE;
		mock->base.aperture_last = BIT64(HUGE_WIDTH) - 1;
	} else {
		mock->base.pgsize = MOCK_PAGE_SIZE;
		mock->base.aperture_first = MOCK_APERTURE_START;
		mock->base.aperture_last = MOCK_APERTURE_LAST;
	}
}

int mock_domain_alloc(uint32_t flags, const struct iommufd_user_data *data, bool huge_iova,
		      struct iommufd_domain **domain)
{
	struct iommu_hwpt_selftest config = { 0 };
	struct mock_domain *mock;
	int rc;

	if (data) {
		rc = iommufd_copy_user_data(&config, data, IOMMU_HWPT_DATA_SELFTEST, sizeof(config),
					    sizeof(config.iotlb));
		if (rc)
			return rc;
	}
	if (config.pagetable_type > MOCK_IOMMUPT_HUGE)
		return WHY(-EOPNOTSUPP, "page table of type %u", config.pagetable_type);
	mock = iommufd_zalloc(sizeof(*mock));
	if (!mock)
		return -ENOMEM;
	mock->base.ops = flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING ? &mock_dirty_domain_ops : &mock_domain_ops;
	mock->huge = huge_iova;
	set_geometry(mock, &config);
	pthread_mutex_init(&mock->lock, NULL);
	range_map_init(&mock->chunks);
	*domain = &mock->base;
	return 0;
}

struct mock_domain *to_mock_domain(struct iommufd_domain *domain)
{
	bool is = domain->ops == &mock_domain_ops || domain->ops == &mock_dirty_domain_ops;

	return is ? mock_of(domain) : NULL;
}

int mock_domain_translate(struct mock_domain *mock, uint64_t iova, struct mm_page *out)
{
	const struct mock_page *page;

	pthread_mutex_lock(&mock->lock);
	page = find_page(mock, iova);
	if (page)
		*out = (struct mm_page){ .mm = page->mm, .va = page->va + iova % MOCK_PAGE_SIZE };
	pthread_mutex_unlock(&mock->lock);
	return page ? 0 : -ENOENT;
}

bool mock_domain_tracks_dirty(struct mock_domain *mock)
{
	return mock->base.ops == &mock_dirty_domain_ops && mock->tracking;
}

void mock_domain_set_dirty(struct mock_domain *mock, uint64_t iova)
{
	struct mock_page *page;

	pthread_mutex_lock(&mock->lock);
	page = find_page(mock, iova);
	if (page && (page->prot & IOMMU_WRITE))
		page->dirty = true;
	pthread_mutex_unlock(&mock->lock);
}
