/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All IO page tables there are, and how often a page is pinned: for the kernel's selftests. Only in builds
 * with the mock.
 *
 * Lock order: list_lock, then a table's.
 */
#include "iommufd/iopt_private.h"

#include <stdlib.h>

size_t iommufd_test_memory_limit; /* nothing here is done in batches that need memory */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct io_pagetable *list;

void iopt_test_register(struct io_pagetable *iopt)
{
	pthread_mutex_lock(&list_lock);
	iopt->next = list;
	list = iopt;
	pthread_mutex_unlock(&list_lock);
}

void iopt_test_unregister(struct io_pagetable *iopt)
{
	struct io_pagetable **at = &list;

	pthread_mutex_lock(&list_lock);
	while (*at != iopt)
		at = &(*at)->next;
	*at = iopt->next;
	pthread_mutex_unlock(&list_lock);
}

void iopt_test_forked(void)
{
	pthread_mutex_init(&list_lock, NULL);
}

struct each {
	struct io_pagetable *iopt;
	void (*fn)(void *arg, struct io_pagetable *iopt, struct iopt_area *area);
	void *arg;
};

static bool call_fn(void *arg, struct range *range)
{
	struct each *each = arg;

	each->fn(each->arg, each->iopt, range->value);
	return true;
}

void iopt_test_each_area(void (*fn)(void *arg, struct io_pagetable *iopt, struct iopt_area *area), void *arg)
{
	pthread_mutex_lock(&list_lock);
	for (struct io_pagetable *iopt = list; iopt; iopt = iopt->next) {
		struct each each = { iopt, fn, arg };

		pthread_rwlock_wrlock(&iopt->lock);
		range_map_each(&iopt->areas, 0, UINT64_MAX, call_fn, &each);
		pthread_rwlock_unlock(&iopt->lock);
	}
	pthread_mutex_unlock(&list_lock);
}

/* Two addresses of one page: what is written at one is read at the other. */
static bool is_same_page(struct mm *a, uint64_t va_a, struct mm *b, uint64_t va_b)
{
	uint64_t old, seen, mark;
	bool same;

	va_a = align_down(va_a, UVFIO_PAGE_SIZE);
	va_b = align_down(va_b, UVFIO_PAGE_SIZE);
	if (a == b && va_a == va_b)
		return true;
	if (mm_read(a, &old, va_a, sizeof(old)) || mm_read(b, &seen, va_b, sizeof(seen)) || seen != old)
		return false;
	mark = ~old;
	if (mm_write(a, va_a, &mark, sizeof(mark)))
		return false;
	same = !mm_read(b, &seen, va_b, sizeof(seen)) && seen == mark;
	mm_write(a, va_a, &old, sizeof(old));
	return same;
}

#define PINS_MAX 64

struct pins {
	struct mm *mm;
	uint64_t va;
	const struct iopt_pages *seen[PINS_MAX]; /* several areas may show the same pages */
	unsigned int nr;
};

static bool has_page(const struct iopt_pages *pages, struct mm *mm, uint64_t va)
{
	if (pages->type == IOPT_PAGES_USER) {
		uint64_t index = (va - pages->va) / UVFIO_PAGE_SIZE;

		return pages->mm == mm && va >= pages->va && index < pages->cover.size &&
		       cover_has(&pages->cover, index);
	}
	if (pages->type != IOPT_PAGES_FILE || !pages->ext->file)
		return false;
	for (uint64_t i = 0; i < pages->cover.size; i++)
		if (cover_has(&pages->cover, i) &&
		    is_same_page(pages->mm, pages->va + i * UVFIO_PAGE_SIZE, mm, va))
			return true;
	return false;
}

static void count_pins(void *arg, struct io_pagetable *iopt, struct iopt_area *area)
{
	struct pins *pins = arg;
	bool has;

	(void)iopt;
	for (unsigned int i = 0; i < pins->nr; i++)
		if (pins->seen[i] == area->pages)
			return;
	pthread_mutex_lock(iopt_pages_lock(area->pages));
	has = has_page(area->pages, pins->mm, pins->va);
	pthread_mutex_unlock(iopt_pages_lock(area->pages));
	if (has && pins->nr < PINS_MAX)
		pins->seen[pins->nr++] = area->pages;
}

unsigned int iopt_test_pins(struct mm *mm, uint64_t va)
{
	struct pins pins = { .mm = mm, .va = align_down(va, UVFIO_PAGE_SIZE) };

	iopt_test_each_area(count_pins, &pins);
	return pins.nr;
}
