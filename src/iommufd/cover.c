/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stretch that is not the whole leaves two points in a map: where it begins, and behind where it ends. Each
 * point knows by how many stretches the pages from it to the next point are covered, and how many stretches
 * begin or end at it. A point stays until none does, so that taking a stretch back never needs a new one.
 */
#include "iommufd/cover.h"

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
	bool up;
	uint64_t at; /* of the point before */
	bool turned; /* the pages from there on have become covered, or are not covered any more */
	uint64_t pages;
};

static bool bump_point(void *arg, struct range *point)
{
	struct bump *bump = arg;

	if (bump->turned)
		bump->pages += point->start - bump->at;
	bump->at = point->start;
	point->value = (char *)point->value + (bump->up ? 1 : -1);
	bump->turned = (uint32_t)point_value(point) == bump->up;
	return true;
}

/* Count the stretch in or out. Returns how many pages that makes a difference to, but for whole stretches. */
static uint64_t bump(struct cover *cover, uint64_t first, uint64_t last, bool up)
{
	struct bump bump = { .up = up };

	range_map_each(&cover->points->map, first, last, bump_point, &bump);
	if (bump.turned)
		bump.pages += last + 1 - bump.at;
	return bump.pages;
}

static bool is_whole(const struct cover *cover, uint64_t first, uint64_t last)
{
	return !first && last == cover->size - 1;
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
	if (!cover->points) {
		cover->points = iommufd_zalloc(sizeof(*cover->points));
		if (!cover->points)
			return -ENOMEM;
		range_map_init(&cover->points->map);
	}
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

bool cover_has(const struct cover *cover, uint64_t index)
{
	return cover->whole || (cover->points && count_at(cover, index));
}

void cover_destroy(struct cover *cover)
{
	if (!cover->points)
		return;
	range_map_destroy(&cover->points->map);
	free(cover->points);
}
