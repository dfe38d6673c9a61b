/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of a number of pages are covered, by how many stretches: what is pinned once however often it is
 * asked for. The owner's lock protects it.
 */
#ifndef UVFIO_IOMMUFD_COVER_H
#define UVFIO_IOMMUFD_COVER_H

#include "base/range_map.h"

struct cover {
	uint64_t size;               /* pages 0 .. size - 1 */
	struct cover_points *points; /* NULL: never needed so far */
	uint32_t whole;              /* stretches that are all of it: they cost nothing */
};

struct cover_points {
	struct range_map map; /* cover.c */
	uint64_t covered;     /* pages, by what is there */
};

static inline void cover_init(struct cover *cover, uint64_t size)
{
	*cover = (struct cover){ .size = size };
}
void cover_destroy(struct cover *cover);

/* Cover [first, last] once more. *fresh: how many of them were not covered. -ENOMEM, nothing changed. */
int cover_add(struct cover *cover, uint64_t first, uint64_t last, uint64_t *fresh);
/* Take back what was added with the same ends. Returns how many are not covered any more. Needs no memory. */
uint64_t cover_remove(struct cover *cover, uint64_t first, uint64_t last);

static inline uint64_t cover_count(const struct cover *cover)
{
	return cover->whole ? cover->size : cover->points ? cover->points->covered : 0;
}
bool cover_has(const struct cover *cover, uint64_t index);

#endif
