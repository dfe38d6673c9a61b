/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * iopt_pages: the memory behind areas, and what is charged for it.
 *
 * Locks are taken from a small set, by the address of the pages: a million of mappings need no million of
 * locks, and the child of a fork has few to make anew.
 *
 * What limits there are (struct iommu_params) is obeyed for the process that mapped; Linux counts a user's
 * processes together.
 */
#include "iommufd/iopt_private.h"

#include "base/why.h"
#include "iommufd/dmabuf.h"

#include <assert.h>
#include <stdlib.h>

#ifndef UVFIO_CHECK_SUMS
_Static_assert(sizeof(struct iopt_pages) <= 120, "two lines of cache with what malloc() adds");
#endif

#define NR_LOCKS 64

static pthread_mutex_t locks[NR_LOCKS] = { [0 ... NR_LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER };

pthread_mutex_t *iopt_pages_lock(const struct iopt_pages *pages)
{
	return &locks[(uintptr_t)pages / 64 * 11400714819323198485u >> 58];
}

void iopt_pages_forked(void)
{
	for (unsigned int i = 0; i < NR_LOCKS; i++)
		pthread_mutex_init(&locks[i], NULL);
}

static bool is_limited(const struct iommu_params *params)
{
	return params->memlock_rlimit || params->memlock_pages != UINT64_MAX;
}

struct iopt_pages *iopt_pages_alloc(struct iommufd_ctx *ctx, enum iopt_pages_type type, struct mm *mm,
				    struct mm *charged, uint64_t start_byte, uint64_t len, bool writable)
{
	bool has_ext = type != IOPT_PAGES_USER;
	struct iopt_pages *pages = iommufd_zalloc(sizeof(*pages) + has_ext * sizeof(pages->ext[0]));

	if (!pages)
		return NULL;
	pages->refs = 1;
	pages->type = (uint8_t)type;
	pages->writable = writable;
	pages->account_mode = IOPT_ACCOUNT_USER;
	if (ctx->account_mode == IOPT_ACCOUNT_MM)
		pages->account_mode = mm_may_lock_all(charged) ? IOPT_ACCOUNT_NONE : IOPT_ACCOUNT_MM;
	pages->mm = mm_get(mm);
	if (has_ext)
		pages->ext->charged = mm_get(charged);
	if (is_limited(ctx->params))
		pages->params = ctx->params;
	cover_init(&pages->cover,
		   (len + start_byte) / UVFIO_PAGE_SIZE + ((len + start_byte) % UVFIO_PAGE_SIZE != 0));
	return pages;
}

int iopt_pages_user(struct iommufd_ctx *ctx, struct mm *mm, uint64_t uptr, uint64_t len, bool writable,
		    struct iopt_pages **pages)
{
	uint64_t end, start_byte = uptr % UVFIO_PAGE_SIZE;

	if (add_overflows(uptr, len, &end))
		return WHY(-EOVERFLOW, "%s + %s goes beyond 64 bits", iopt_words->va, iopt_words->len);
	if (!len || len > UINT64_MAX - UVFIO_PAGE_SIZE)
		return WHY(-EINVAL, "%s is %s", iopt_words->len, len ? "too large" : "0");
	*pages = iopt_pages_alloc(ctx, IOPT_PAGES_USER, mm, mm, start_byte, len, writable);
	if (!*pages)
		return -ENOMEM;
	(*pages)->va = uptr - start_byte;
	return 0;
}

void iopt_pages_put(struct iopt_pages *pages)
{
	if (atomic_load_explicit(&pages->refs, memory_order_acquire) != 1 &&
	    atomic_fetch_sub_explicit(&pages->refs, 1, memory_order_acq_rel) != 1)
		return;
	cover_destroy(&pages->cover);
	if (pages->type == IOPT_PAGES_FILE && pages->ext->file)
		iopt_file_put(pages->ext->file);
	if (pages->type == IOPT_PAGES_DMABUF && pages->ext->dmabuf)
		iommufd_dmabuf_detach(pages);
	if (pages->type != IOPT_PAGES_USER)
		mm_put(pages->ext->charged);
	mm_put(pages->mm);
	free(pages);
}

static uint64_t charge_limit(const struct iommu_params *params, struct mm *mm)
{
	return params->memlock_pages != UINT64_MAX ? params->memlock_pages : mm_memlock_limit(mm);
}

int iopt_charge(struct mm *mm, const struct iommu_params *params, uint8_t account_mode, uint64_t n)
{
	if (params && mm_charge(mm, n, charge_limit(params, mm)))
		return WHY_ALWAYS(-ENOMEM, "%llu KiB of locked memory are more than what is left of %s",
				  (unsigned long long)n * 4,
				  params->memlock_rlimit ? "RLIMIT_MEMLOCK (ulimit -l)" : "--iommu memlock=");
	mm = mm_payer(mm);
	atomic_fetch_add_explicit(&mm->pinned_pages, n, memory_order_relaxed);
	if (account_mode == IOPT_ACCOUNT_MM)
		atomic_fetch_add_explicit(&mm->vmlck_pages, n, memory_order_relaxed);
	return 0;
}

void iopt_uncharge(struct mm *mm, const struct iommu_params *params, uint8_t account_mode, uint64_t n)
{
	uint64_t was;

	if (params)
		mm_uncharge(mm, n);
	mm = mm_payer(mm);
	was = atomic_fetch_sub_explicit(&mm->pinned_pages, n, memory_order_relaxed);
	assert(was >= n);
	(void)was;
	if (account_mode == IOPT_ACCOUNT_MM)
		atomic_fetch_sub_explicit(&mm->vmlck_pages, n, memory_order_relaxed);
}

/* What is charged for the pages is what is covered of them: checked after each operation on them. */
static void check_sum(struct iopt_pages *pages, uint64_t more, uint64_t less)
{
#ifdef UVFIO_CHECK_SUMS
	pages->sum += more - less;
	assert(pages->sum == cover_count(&pages->cover));
#else
	(void)pages;
	(void)more;
	(void)less;
#endif
}

static int say_fault(const struct iopt_pages *pages, uint64_t va, uint64_t len, int rc)
{
	return WHY(rc, "the memory at 0x%llx-0x%llx is %s", (unsigned long long)va,
		   (unsigned long long)(va + len - 1),
		   pages->writable && !mm_check(pages->mm, va, len, false)
			   ? "there, but not all of it is writable"
			   : "not all there, or not readable");
}

static int check_range(struct mm *mm, uint64_t va, uint64_t len, bool write, bool *bar)
{
	return len == UVFIO_PAGE_SIZE ? mm_check_page(mm, va, write, bar)
				      : mm_check_bar(mm, va, len, write, bar);
}

/* What pinning would find out. */
static int check_memory(struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	uint64_t va = pages->va + first * UVFIO_PAGE_SIZE, len = (last - first + 1) * UVFIO_PAGE_SIZE;
	bool bar = false;
	int ret;

	if (iommufd_should_fail())
		return -EFAULT;
	if (pages->type == IOPT_PAGES_FILE)
		return iopt_file_check(pages, first, last);
	ret = check_range(pages->mm, va, len, pages->writable, &bar);
	if (ret && !pages->writable) /* what may be written only can be read all the same */
		ret = check_range(pages->mm, va, len, true, &bar);
	if (ret)
		return say_fault(pages, va, len, ret);
	if (bar)
		return WHY_ALWAYS(-EFAULT, "a device's BAR is in 0x%llx-0x%llx: an IOMMUFD maps memory only",
				  (unsigned long long)va, (unsigned long long)(va + len - 1));
	return 0;
}

/* fresh of them are covered for the first time. */
static int check_and_charge(struct iopt_pages *pages, uint64_t first, uint64_t last, uint64_t fresh)
{
	int ret = check_memory(pages, first, last);

	if (!ret && iommufd_should_fail())
		ret = -ENOMEM;
	if (!ret && pages->type != IOPT_PAGES_DMABUF)
		ret = iopt_charge(iopt_pages_charged(pages), pages->params, pages->account_mode, fresh);
	return ret;
}

int iopt_pages_cover(struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	uint64_t fresh;
	int ret = cover_add(&pages->cover, first, last, &fresh);

	if (!ret && fresh) {
		ret = check_and_charge(pages, first, last, fresh);
		if (ret)
			cover_remove(&pages->cover, first, last);
	}
	check_sum(pages, ret ? 0 : fresh, 0);
	return ret;
}

void iopt_pages_uncover(struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	uint64_t gone = cover_remove(&pages->cover, first, last);

	check_sum(pages, 0, gone);
	if (gone && pages->type != IOPT_PAGES_DMABUF)
		iopt_uncharge(iopt_pages_charged(pages), pages->params, pages->account_mode, gone);
}

static int pin_at_once(struct iopt_pages *pages, uint64_t first, uint64_t last, uint64_t *fresh)
{
	int ret = cover_pin(&pages->cover, first, last, fresh);

	if (!ret && *fresh) {
		ret = check_and_charge(pages, first, last, *fresh);
		if (ret)
			cover_unpin(&pages->cover, first, last);
	}
	check_sum(pages, ret ? 0 : *fresh, 0);
	return ret;
}

int iopt_pages_pin(struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	uint64_t fresh = 0;
	int ret = pin_at_once(pages, first, last, &fresh);

	if (likely(!ret) || !fresh || fresh == last - first + 1)
		return ret;
	/* Those that are covered already need no memory any more. */
	ret = 0;
	for (uint64_t i = first; !ret && i <= last; i++) {
		ret = pin_at_once(pages, i, i, &fresh);
		if (ret && i > first)
			iopt_pages_unpin(pages, first, i - 1);
	}
	return ret;
}

void iopt_pages_unpin(struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	uint64_t gone = cover_unpin(&pages->cover, first, last);

	check_sum(pages, 0, gone);
	if (gone && pages->type != IOPT_PAGES_DMABUF)
		iopt_uncharge(iopt_pages_charged(pages), pages->params, pages->account_mode, gone);
}

void iopt_release_end(struct iopt_release *release)
{
	if (release->npinned)
		iopt_uncharge(release->mm, release->params, release->account_mode, release->npinned);
	if (release->refs)
		mm_put_many(release->mm, release->refs);
	*release = (struct iopt_release){ 0 };
}

/* Nobody else has these pages, so what is covered is what the area covers. */
static void release_own_pages(struct iopt_release *release, struct iopt_pages *pages)
{
	if (unlikely(release->mm != pages->mm || release->params != pages->params ||
		     release->account_mode != pages->account_mode))
		iopt_release_end(release);
	release->mm = pages->mm;
	release->params = pages->params;
	release->account_mode = pages->account_mode;
	release->refs++;
	check_sum(pages, 0, 0);
	release->npinned += cover_count(&pages->cover);
	cover_destroy(&pages->cover);
	free(pages);
}

void iopt_release_area(struct iopt_release *release, struct iopt_area *area, bool covered)
{
	struct iopt_pages *pages = area->pages;

	if (likely(iopt_pages_exclusive(pages) && pages->type == IOPT_PAGES_USER)) {
		if (area != &pages->first)
			free(area);
		release_own_pages(release, pages);
		return;
	}
	if (covered)
		iopt_area_uncover(area);
	iopt_area_free(area);
}
