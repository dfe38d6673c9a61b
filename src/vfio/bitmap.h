/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bitmaps of dirty pages: the caller's are checked and written here, and gathered in memory of ours.
 *
 * Of the caller's bitmap only the words are written in which a page is dirty; in the first word of such a
 * run, the bits below the first dirty page stay as the caller left them.
 */
#ifndef UVFIO_VFIO_BITMAP_H
#define UVFIO_VFIO_BITMAP_H

#include "file/caller.h"
#include "iommu/type1.h"

struct vfio_bitmap;

/* The largest bitmap that may be given, in bytes: one bit for each of 2^31 pages. */
#define VFIO_BITMAP_MAX ((uint64_t)1 << 28)

/*
 * Check a caller's bitmap for size bytes of IOVA space, and make an empty one of ours of the size that is
 * needed. *addr: where the caller's is. -EINVAL: not an address of user space, no page size, no pages, too
 * small, too large; -ENOMEM. To be freed: out->bits.
 */
int vfio_bitmap_new(const struct vfio_bitmap *given, uint64_t size, struct type1_bitmap *out, uint64_t *addr);

/* Copy out what is set. 0 or -EFAULT (a part may have been copied). Changes bitmap. */
int vfio_bitmap_copy_out(const struct caller *caller, const struct type1_bitmap *bitmap, uint64_t addr);

#endif
