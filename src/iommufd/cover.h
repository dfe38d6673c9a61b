/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of a number of pages are covered: what is pinned and charged once however often it is asked for.
 * Areas cover stretches, which go as they came; accesses pin pages, and may let go of other stretches than
 * they pinned. The owner's lock protects it.
 */
#ifndef UVFIO_IOMMUFD_COVER_H
#define UVFIO_IOMMUFD_COVER_H

#include "iommu/pin_table.h"

struct cover {
	uint64_t size;               /* pages 0 .. size - 1 */
	struct cover_points *points; /* NULL: never needed so far */
	uint32_t whole;              /* stretches that are all of it: they cost nothing */
	uint32_t pins;               /* of the one page, when size is 1; else points->pins has them */
};

struct cover_points {
	struct range_map map; /* of stretches: cover.c */
	struct pin_table pins;
	uint64_t covered; /* pages, by what is there */
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

/* Pin [first, last] once more. *fresh: how many were not covered. -ENOMEM, nothing changed. */
int cover_pin(struct cover *cover, uint64_t first, uint64_t last, uint64_t *fresh);
/* Each of them is pinned. Returns how many are not covered any more. */
uint64_t cover_unpin(struct cover *cover, uint64_t first, uint64_t last);
/* How many pages of [first, last] are pinned? */
uint64_t cover_pinned(const struct cover *cover, uint64_t first, uint64_t last);

/* How many pages are covered? */
static inline uint64_t cover_count(const struct cover *cover)
{
	return cover->whole || cover->pins ? cover->size : cover->points ? cover->points->covered : 0;
}
bool cover_has(const struct cover *cover, uint64_t index);

#endif
