/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bitmaps of dirty pages: gathered in memory of ours (iommu/type1), and written to the caller's here.
 *
 * As in the kernel, which goes mapping by mapping, only words are written that have a bit of a mapping, dirty
 * or not, and one in which the first mapping begins behind its first bit keeps the bits that the caller has
 * in it.
 */
#ifndef UVFIO_VFIO_BITMAP_H
#define UVFIO_VFIO_BITMAP_H

#include "file/caller.h"
#include "iommu/type1.h"

struct vfio_bitmap;

/* The largest bitmap that may be given, in bytes: one bit for each of 2^31 pages. */
#define VFIO_BITMAP_MAX ((uint64_t)1 << 28)

/*
 * Take over what the caller says of its bitmap; *addr: where it is. -EINVAL when that is not in user space.
 * What type1 checks is left to it. To be freed in the end: out->bits.
 */
int vfio_bitmap_begin(const struct vfio_bitmap *given, struct type1_bitmap *out, uint64_t *addr);

/*
 * Copy out a bitmap that type1 filled for size bytes of IOVA. 0 or -EFAULT (a part may have
 * been copied). Changes the bits.
 */
int vfio_bitmap_copy_out(const struct caller *caller, const struct type1_bitmap *bitmap, uint64_t size,
			 uint64_t addr);

/* Would nothing be written? */
bool vfio_bitmap_is_untouched(const struct type1_bitmap *bitmap, uint64_t size);

#endif
