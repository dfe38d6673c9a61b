/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tables have mapped, pinned and charged, by address space, for who looks from outside.
 *
 * What several areas show is charged once: such areas are sorted by their pages, so that those that show the
 * same stand together.
 *
 * All tables of a context are locked, in the order of their ids, as in iopt_change.c.
 */
#include "iommufd/iopt_private.h"

#include <stdlib.h>

/* Of an area that may not be the only one with its pages. */
struct shown {
	const struct iopt_pages *pages;
	unsigned int table;
};

struct usages {
	struct io_pagetable *const *iopts;
	struct mm_usages *usages; /* of each table */
	unsigned int table;       /* looked at now */
	struct shown *shown;
	size_t nr, room;
	bool no_memory;
};

static struct mm_usage *usage_in(const struct usages *u, unsigned int table, const struct iopt_pages *pages)
{
	return mm_usage_of(&u->usages[table], iopt_pages_charged(pages));
}

static void keep(struct usages *u, const struct iopt_pages *pages)
{
	if (u->nr == u->room) {
		size_t room = MAX(u->room * 2, (size_t)16);
		struct shown *more = reallocarray(u->shown, room, sizeof(*more));

		u->no_memory |= !more;
		if (!more)
			return;
		u->shown = more;
		u->room = room;
	}
	u->shown[u->nr++] = (struct shown){ pages, u->table };
}

static void add_charge(const struct usages *u, unsigned int table, const struct iopt_pages *pages)
{
	if (pages->type != IOPT_PAGES_DMABUF)
		usage_in(u, table, pages)->charged += cover_count(&pages->cover);
}

static bool add_area(void *arg, struct range *range)
{
	const struct iopt_area *area = range->value;
	struct usages *u = arg;
	struct mm_usage *usage = usage_in(u, u->table, area->pages);
	uint64_t first = area_index(area), last = area_last_index(area);

	usage->mapped += area_size(area);
	if (u->iopts[u->table]->nr_domains && !area->revoked)
		usage->pinned_by_domains += last - first + 1;
	if (area->num_accesses)
		usage->pinned_by_drivers += cover_pinned(&area->pages->cover, first, last);
	if (iopt_pages_exclusive(area->pages))
		add_charge(u, u->table, area->pages);
	else
		keep(u, area->pages);
	return true;
}

static int by_pages(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;

	if (x->pages != y->pages)
		return (uintptr_t)x->pages < (uintptr_t)y->pages ? -1 : 1;
	return x->table < y->table ? -1 : x->table > y->table;
}

static void add_shared(struct usages *u)
{
	if (u->nr)
		qsort(u->shown, u->nr, sizeof(*u->shown), by_pages);
	for (size_t i = 0; i < u->nr; i++)
		if (!i || u->shown[i - 1].pages != u->shown[i].pages)
			add_charge(u, u->shown[i].table, u->shown[i].pages);
}

int iopt_get_usages(struct io_pagetable *const *iopts, unsigned int nr, struct mm_usages *usages)
{
	struct usages u = { .iopts = iopts, .usages = usages };

	for (unsigned int i = 0; i < nr; i++)
		pthread_rwlock_wrlock(&iopts[i]->lock);
	for (; u.table < nr; u.table++)
		range_map_each(&iopts[u.table]->areas, 0, UINT64_MAX, add_area, &u);
	add_shared(&u);
	for (unsigned int i = 0; i < nr; i++)
		pthread_rwlock_unlock(&iopts[i]->lock);
	for (unsigned int i = 0; i < nr; i++)
		u.no_memory |= usages[i].no_memory;
	free(u.shown);
	return u.no_memory ? -ENOMEM : 0;
}
