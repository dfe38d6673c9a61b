/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the iopt files: areas, and the memory behind them.
 *
 * An area shows [start_byte, ..) of its iopt_pages at [iova, last]. It keeps a reference of the pages, which
 * keep the address space. The area that a map makes comes in one piece of memory with its pages; further
 * ones are made by copying and cutting.
 *
 * Pages are covered by areas whose IO page table has a domain, and by accesses: what is covered is pinned,
 * that is, was found to be there when the first cover came, and is charged. Nothing else is looked at.
 *
 * Vocabulary: an index is the number of a page within its iopt_pages. To fill a domain is to map areas there,
 * to unfill it the reverse.
 */
#ifndef UVFIO_IOMMUFD_IOPT_PRIVATE_H
#define UVFIO_IOMMUFD_IOPT_PRIVATE_H

#include "iommufd/cover.h"
#include "iommufd/impl.h"

struct iopt_file;
struct iommufd_dmabuf;

struct iopt_area {
	struct iopt_pages *pages;
	uint64_t iova, last;
	uint64_t start_byte;
	uint64_t num_accesses; /* pins of its pages; under the pages' lock, and iopt->lock held for reading */
	uint32_t num_locks;    /* calls that have pinned some of them; the same */
	uint32_t prot;         /* IOMMU_READ, IOMMU_WRITE */
	bool prevent_access;
	bool revoked; /* is in no domain, though there are: its device has taken the memory back */
};

/* What the structure that the program gave calls these: for the reasons why a call fails. */
struct iopt_words {
	const char *va, *len;
	const char *ranges; /* what tells which IOVAs are usable */
};

/* Of the thread's call: IOMMUFD's own words, but while a call of VFIO's is carried out and traced. */
extern __thread const struct iopt_words *iopt_words;
extern const struct iopt_words iopt_iommufd_words;

enum iopt_pages_type { IOPT_PAGES_USER, IOPT_PAGES_FILE, IOPT_PAGES_DMABUF };

/* What pages of the program's own memory do without. */
struct iopt_pages_ext {
	struct mm *charged; /* with a reference of its own */
	uint64_t origin;    /* of page 0 in the file, or the buffer */
	union {
		struct iopt_file *file; /* NULL: one that cannot be pinned */
		struct iommufd_dmabuf *dmabuf;
	};
};

/* There may be a million of these: with what malloc() adds, two lines of cache. */
struct iopt_pages {
	_Atomic uint32_t refs; /* of areas, and of copies under way */
	uint8_t type;
	uint8_t account_mode;
	bool writable;
	bool moving;          /* iopt_change.c */
	_Atomic bool revoked; /* DMABUF: the device has taken it back */
	struct mm *mm;
	uint64_t va;                       /* of page 0 in mm */
	const struct iommu_params *params; /* NULL: memory is not limited */
#ifdef UVFIO_CHECK_SUMS
	uint64_t sum; /* charged for these pages; under the lock */
#endif
	struct cover cover; /* under the lock */
	struct iopt_area first;
	struct iopt_pages_ext ext[]; /* FILE, DMABUF: one; else none */
};

static inline struct mm *iopt_pages_charged(const struct iopt_pages *pages)
{
	return pages->type == IOPT_PAGES_USER ? pages->mm : pages->ext->charged;
}

static inline uint64_t iopt_pages_origin(const struct iopt_pages *pages)
{
	return pages->type == IOPT_PAGES_USER ? pages->va : pages->ext->origin;
}

/* ---- pages.c */

/* One reference; the lengths have been checked. */
struct iopt_pages *iopt_pages_alloc(struct iommufd_ctx *ctx, enum iopt_pages_type type, struct mm *mm,
				    struct mm *charged, uint64_t start_byte, uint64_t len, bool writable);
int iopt_pages_user(struct iommufd_ctx *ctx, struct mm *mm, uint64_t uptr, uint64_t len, bool writable,
		    struct iopt_pages **pages);
static inline void iopt_pages_get(struct iopt_pages *pages)
{
	atomic_fetch_add_explicit(&pages->refs, 1, memory_order_relaxed);
}
void iopt_pages_put(struct iopt_pages *pages);
void iopt_pages_forked(void);

/*
 * The lock of these pages (and of others). Nothing but checks and charges is done under it. Who holds the
 * lock of the only table that has the only area of the pages, for writing, can do without.
 */
pthread_mutex_t *iopt_pages_lock(const struct iopt_pages *pages);
static inline bool iopt_pages_exclusive(const struct iopt_pages *pages)
{
	return atomic_load_explicit(&pages->refs, memory_order_acquire) == 1;
}

/* One more cover of [first, last]. Under the lock. -EFAULT, -EINVAL (a file's end), -ENOMEM. */
int iopt_pages_cover(struct iopt_pages *pages, uint64_t first, uint64_t last);
void iopt_pages_uncover(struct iopt_pages *pages, uint64_t first, uint64_t last);
/* The same for accesses: what is unpinned need not be what was pinned in one call. */
int iopt_pages_pin(struct iopt_pages *pages, uint64_t first, uint64_t last);
void iopt_pages_unpin(struct iopt_pages *pages, uint64_t first, uint64_t last);
int iopt_charge(struct mm *mm, const struct iommu_params *params, uint8_t account_mode, uint64_t n);
void iopt_uncharge(struct mm *mm, const struct iommu_params *params, uint8_t account_mode, uint64_t n);

/*
 * Many areas that go together, of one process mostly: what they held is given back when another one's turn
 * comes, and at the end. Each area is in no map any more; covered: it was, in domains.
 */
struct iopt_release {
	struct mm *mm; /* of what follows */
	uint32_t refs;
	const struct iommu_params *params;
	uint8_t account_mode;
	uint64_t npinned;
};
void iopt_release_area(struct iopt_release *release, struct iopt_area *area, bool covered);
void iopt_release_end(struct iopt_release *release);

/* ---- pages_file.c */

/* fd: the caller's. -EBADF; -ENOMEM; a buffer of a device: -EINVAL, -ENODEV. */
int iopt_pages_file(struct iommufd_ctx *ctx, const struct caller *caller, int fd, uint64_t start,
		    uint64_t len, bool writable, struct iopt_pages **pages);
void iopt_file_put(struct iopt_file *file);
/* Are the pages [first, last] within the file? 0 or -EINVAL. */
int iopt_file_check(const struct iopt_pages *pages, uint64_t first, uint64_t last);
void iopt_file_forked(void);

/* ---- iopt.c */

static inline uint64_t area_size(const struct iopt_area *area)
{
	return area->last - area->iova + 1; /* never all of 2^64 */
}

static inline uint64_t area_index(const struct iopt_area *area)
{
	return area->start_byte / UVFIO_PAGE_SIZE;
}

static inline uint64_t area_byte(const struct iopt_area *area, uint64_t iova)
{
	return area->start_byte + (iova - area->iova);
}

static inline uint64_t area_last_index(const struct iopt_area *area)
{
	return area_byte(area, area->last) / UVFIO_PAGE_SIZE;
}

static inline uint64_t area_va(const struct iopt_area *area)
{
	return area->pages->va + area->start_byte;
}

/* Memory for an area, or NULL. */
struct iopt_area *iopt_area_alloc(void);
/* With its reference of the pages. */
void iopt_area_free(struct iopt_area *area);

/* A walk over areas that cover a range without a hole. Under iopt->lock. */
struct iopt_walk {
	struct iopt_area *area; /* NULL: there is a hole, or the end */
	uint64_t at, last;      /* the part of the range in this area begins at at */
	bool done;              /* this area is the last */
};
bool iopt_walk_first(struct iopt_walk *walk, struct io_pagetable *iopt, uint64_t iova, uint64_t last);
bool iopt_walk_next(struct iopt_walk *walk, struct io_pagetable *iopt);
static inline uint64_t iopt_walk_last(const struct iopt_walk *walk)
{
	return MIN(walk->last, walk->area->last);
}

/* ---- iopt_iova.c; iopt->lock is held for writing */

int iopt_alloc_iova(struct io_pagetable *iopt, uint64_t *iova, uint64_t addr, uint64_t len);
/* May [iova, +len) be mapped, as far as alignment and reserved ranges go? -EINVAL, -EOVERFLOW. */
int iopt_check_iova(struct io_pagetable *iopt, uint64_t iova, uint64_t len);
int iopt_reserve(struct io_pagetable *iopt, uint64_t start, uint64_t last, void *owner);
void iopt_unreserve(struct io_pagetable *iopt, const void *owner);

/* ---- iopt_fill.c; iopt->lock is held for writing */

/* One more domain has the area; it is checked and charged with the first, or let go with the last. */
int iopt_area_map(struct iommufd_domain *domain, const struct iopt_area *area);
int iopt_area_cover(struct iopt_area *area);
void iopt_area_uncover(struct iopt_area *area);
/* In all domains. 0 or an error, and nothing is done. */
int iopt_area_fill(struct io_pagetable *iopt, struct iopt_area *area);
void iopt_area_unfill(struct io_pagetable *iopt, struct iopt_area *area);
void iopt_unmap_begin(struct io_pagetable *iopt);
void iopt_unmap_end(struct io_pagetable *iopt);
/* Clear a range in all domains. Areas that were in there are still covers. */
void iopt_unmap_domains(struct io_pagetable *iopt, uint64_t iova, uint64_t size);

/* ---- iopt_domains.c */

/* The alignment that domains and accesses ask for. -EADDRINUSE: areas are not so; nothing is changed. */
int iopt_calculate_alignment(struct io_pagetable *iopt);

/* ---- iopt_test.c: all tables there are */

#ifdef UVFIO_IOMMUFD_TEST
void iopt_test_register(struct io_pagetable *iopt);
void iopt_test_unregister(struct io_pagetable *iopt);
void iopt_test_forked(void);
/* Call fn for each area there is; its table's lock is held for writing. */
void iopt_test_each_area(void (*fn)(void *arg, struct io_pagetable *iopt, struct iopt_area *area), void *arg);
#else
static inline void iopt_test_register(struct io_pagetable *iopt)
{
	(void)iopt;
}
static inline void iopt_test_unregister(struct io_pagetable *iopt)
{
	(void)iopt;
}
static inline void iopt_test_forked(void)
{
}
#endif

/* ---- iopt_describe.c */
void iopt_describe(void *owner, uint64_t iova, char *buf, size_t len);

#endif
