/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stretch that is not the whole leaves two points in a map: where it begins, and behind where it ends. Each
 * point knows by how many stretches the pages from it to the next point are covered, and how many stretches
 * begin or end at it. A point stays until none does, so that taking a stretch back never needs a new one.
 *
 * Pins are counted by page. Where there are points as well, which is where several areas show parts of the
 * memory, or some do that were cut, each page that gets its first pin is looked up in the map.
 */
#include "iommufd/cover.h"

#include "base/why.h"

#include "iommufd/impl.h"

#include <stdlib.h>

/* A point's value: its count in the lower half, those that begin or end there in the upper. */
#define END ((uint64_t)1 << 32)

static uint64_t point_value(const struct range *point)
{
	return (uint64_t)(uintptr_t)point->value;
}

static uint32_t count_at(const struct cover *cover, uint64_t index)
{
	struct range point;

	if (!range_map_find(&cover->points->map, index, &point) &&
	    !range_map_before(&cover->points->map, index, &point))
		return 0;
	return (uint32_t)point_value(&point);
}

static bool add_end(void *arg, struct range *point)
{
	(void)arg;
	point->value = (void *)(uintptr_t)(point_value(point) + END);
	return false;
}

static bool remove_end(void *arg, struct range *point)
{
	*(uint64_t *)arg = point_value(point) - END;
	point->value = (void *)(uintptr_t)(point_value(point) - END);
	return false;
}

static int get_point(struct cover *cover, uint64_t at)
{
	struct range point;

	if (!range_map_find(&cover->points->map, at, &point))
		return range_map_insert(&cover->points->map, at, at,
					(void *)(uintptr_t)(END | count_at(cover, at)));
	range_map_each(&cover->points->map, at, at, add_end, NULL);
	return 0;
}

static void put_point(struct cover *cover, uint64_t at)
{
	uint64_t value = 0;

	range_map_each(&cover->points->map, at, at, remove_end, &value);
	if (value < END)
		range_map_remove(&cover->points->map, at);
}

struct bump {
	struct pin_table *pins;
	bool up;
	uint64_t at;    /* of the point before */
	bool turned;    /* the pages from there on have become covered, or are not covered any more */
	uint64_t pages; /* these, but for those that are pinned */
};

static void bump_to(struct bump *bump, uint64_t end)
{
	if (bump->turned)
		bump->pages += end - bump->at - pin_table_count(bump->pins, bump->at, end - 1);
}

static bool bump_point(void *arg, struct range *point)
{
	struct bump *bump = arg;

	bump_to(bump, point->start);
	bump->at = point->start;
	point->value = (char *)point->value + (bump->up ? 1 : -1);
	bump->turned = (uint32_t)point_value(point) == bump->up;
	return true;
}

/* Count the stretch in or out. Returns how many pages that makes a difference to, but for whole stretches. */
static uint64_t bump(struct cover *cover, uint64_t first, uint64_t last, bool up)
{
	struct bump bump = { .pins = &cover->points->pins, .up = up };

	range_map_each(&cover->points->map, first, last, bump_point, &bump);
	bump_to(&bump, last + 1);
	return bump.pages;
}

static bool is_whole(const struct cover *cover, uint64_t first, uint64_t last)
{
	return !first && last == cover->size - 1;
}

static int make_points(struct cover *cover)
{
	if (cover->points)
		return 0;
	cover->points = iommufd_zalloc(sizeof(*cover->points));
	if (!cover->points)
		return WHY_ALWAYS(-ENOMEM, "there is no memory to count the pages");
	range_map_init(&cover->points->map);
	pin_table_init(&cover->points->pins, cover->size);
	return 0;
}

int cover_add(struct cover *cover, uint64_t first, uint64_t last, uint64_t *fresh)
{
	uint64_t pages;
	int ret;

	if (is_whole(cover, first, last)) {
		*fresh = cover->size - cover_count(cover);
		cover->whole++;
		return 0;
	}
	ret = make_points(cover);
	if (ret)
		return ret;
	ret = get_point(cover, first);
	if (ret)
		return ret;
	ret = get_point(cover, last + 1);
	if (ret) {
		put_point(cover, first);
		return ret;
	}
	pages = bump(cover, first, last, true);
	cover->points->covered += pages;
	*fresh = cover->whole ? 0 : pages;
	return 0;
}

uint64_t cover_remove(struct cover *cover, uint64_t first, uint64_t last)
{
	uint64_t pages;

	if (is_whole(cover, first, last)) {
		cover->whole--;
		return cover->size - cover_count(cover);
	}
	pages = bump(cover, first, last, false);
	put_point(cover, first);
	put_point(cover, last + 1);
	cover->points->covered -= pages;
	return cover->whole ? 0 : pages;
}

/* ---- pins */

static int pin_one(struct cover *cover, uint64_t *fresh)
{
	if (cover->pins == UINT32_MAX)
		return WHY_ALWAYS(-ENOMEM, "the page is pinned as often as can be counted");
	*fresh = !cover->whole && !cover->pins;
	cover->pins++;
	return 0;
}

static uint64_t unpin_one(struct cover *cover)
{
	return !--cover->pins && !cover->whole;
}

/* The pages of [first, last] that are not pinned, nor in a stretch of the map. */
static uint64_t count_bare(struct cover *cover, uint64_t first, uint64_t last)
{
	uint64_t bare = 0;

	for (uint64_t i = first; i <= last; i++)
		bare += !pin_table_has(&cover->points->pins, i, 1) && !count_at(cover, i);
	return bare;
}

int cover_pin(struct cover *cover, uint64_t first, uint64_t last, uint64_t *fresh)
{
	uint64_t bare = 0, pages;
	struct cover_points *points;
	int ret;

	if (cover->size == 1)
		return pin_one(cover, fresh);
	ret = make_points(cover);
	if (ret)
		return ret;
	points = cover->points;
	if (unlikely(points->map.count))
		bare = count_bare(cover, first, last);
	ret = pin_table_get(&points->pins, first, last - first + 1, &pages);
	if (ret)
		return ret;
	if (unlikely(points->map.count))
		pages = bare;
	points->covered += pages;
	*fresh = cover->whole ? 0 : pages;
	return 0;
}

uint64_t cover_unpin(struct cover *cover, uint64_t first, uint64_t last)
{
	struct cover_points *points = cover->points;
	uint64_t pages;

	if (cover->size == 1)
		return unpin_one(cover);
	if (likely(!points->map.count)) {
		pages = pin_table_put(&points->pins, first, last - first + 1);
	} else {
		pages = 0;
		for (uint64_t i = first; i <= last; i++)
			pages += pin_table_put(&points->pins, i, 1) && !count_at(cover, i);
	}
	points->covered -= pages;
	return cover->whole ? 0 : pages;
}

uint64_t cover_pinned(const struct cover *cover, uint64_t first, uint64_t last)
{
	if (cover->size == 1)
		return cover->pins != 0;
	return cover->points ? pin_table_count(&cover->points->pins, first, last) : 0;
}

/* ---- */

bool cover_has(const struct cover *cover, uint64_t index)
{
	if (cover->whole || cover->pins)
		return true;
	return cover->points && (count_at(cover, index) || pin_table_has(&cover->points->pins, index, 1));
}

void cover_destroy(struct cover *cover)
{
	if (!cover->points)
		return;
	range_map_destroy(&cover->points->map);
	pin_table_destroy(&cover->points->pins);
	free(cover->points);
}
