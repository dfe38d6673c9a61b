/* SPDX-License-Identifier: BSD-2-Clause */
/* Bitmaps of dirty pages between the caller's memory and ours. */
#include "vfio/bitmap.h"

#include "uapi/vfio.h"

#include <stdlib.h>

#define USER_SPACE_END 0x7ffffffff000ull

static bool user_range_ok(uint64_t addr, uint64_t len)
{
	return len <= USER_SPACE_END && addr <= USER_SPACE_END - len;
}

int vfio_bitmap_new(const struct vfio_bitmap *given, uint64_t size, struct type1_bitmap *out, uint64_t *addr)
{
	uint64_t pages, bytes;

	*addr = (uintptr_t)given->data;
	if (!user_range_ok(*addr, given->size) || !given->pgsize)
		return -EINVAL;
	pages = size >> __builtin_ctzll(given->pgsize);
	if (!pages || pages > VFIO_BITMAP_MAX * 8)
		return -EINVAL;
	bytes = align_up(pages, 64) / 8;
	if (!given->size || given->size > VFIO_BITMAP_MAX || given->size < bytes)
		return -EINVAL;
	out->pgsize = given->pgsize;
	out->size = bytes;
	out->bits = calloc(1, bytes);
	return out->bits ? 0 : -ENOMEM;
}

int vfio_bitmap_copy_out(const struct caller *caller, const struct type1_bitmap *bitmap, uint64_t addr)
{
	uint64_t words = bitmap->size / 8, run, below;

	for (uint64_t i = 0; i < words; i = run) {
		for (run = i; run < words && bitmap->bits[run]; run++)
			;
		if (run == i) {
			run++;
			continue;
		}
		if (copy_in(caller, &below, addr + i * 8, sizeof(below)))
			return -EFAULT;
		bitmap->bits[i] |= below & (((uint64_t)1 << __builtin_ctzll(bitmap->bits[i])) - 1);
		if (copy_out(caller, addr + i * 8, &bitmap->bits[i], (run - i) * 8))
			return -EFAULT;
	}
	return 0;
}
