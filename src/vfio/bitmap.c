/* SPDX-License-Identifier: BSD-2-Clause */
/* Bitmaps of dirty pages on their way to the caller. */
#include "vfio/bitmap.h"

#include "base/why.h"
#include "uapi/vfio.h"

#define USER_SPACE_END 0x7ffffffff000ull

int vfio_bitmap_begin(const struct vfio_bitmap *given, struct type1_bitmap *out, uint64_t *addr)
{
	*addr = (uintptr_t)given->data;
	if (given->size > USER_SPACE_END || *addr > USER_SPACE_END - given->size)
		return WHY(-EINVAL, "the bitmap lies outside of user space");
	out->pgsize = given->pgsize;
	out->size = given->size;
	out->bits = NULL;
	return 0;
}

static uint64_t count_words(const struct type1_bitmap *bitmap, uint64_t size)
{
	return type1_bitmap_bytes(bitmap->pgsize, size) / sizeof(uint64_t);
}

static int add_callers_bits(const struct caller *caller, uint64_t *word, uint64_t addr)
{
	uint64_t theirs;

	if (copy_in(caller, &theirs, addr, sizeof(theirs)))
		return -EFAULT;
	*word |= theirs;
	return 0;
}

int vfio_bitmap_copy_out(const struct caller *caller, const struct type1_bitmap *bitmap, uint64_t size,
			 uint64_t addr)
{
	uint64_t words = count_words(bitmap, size), first = 0, end;

	while (first < words) {
		uint64_t to = addr + first * sizeof(uint64_t);

		for (end = first; end < words && bitmap->words[end] != TYPE1_WORD_KEPT; end++)
			if (bitmap->words[end] == TYPE1_WORD_ADDED &&
			    add_callers_bits(caller, &bitmap->bits[end], addr + end * sizeof(uint64_t)))
				return -EFAULT;
		if (end > first &&
		    copy_out(caller, to, &bitmap->bits[first], (end - first) * sizeof(uint64_t)))
			return -EFAULT;
		first = end + 1;
	}
	return 0;
}

bool vfio_bitmap_is_untouched(const struct type1_bitmap *bitmap, uint64_t size)
{
	uint64_t words = count_words(bitmap, size);

	for (uint64_t i = 0; i < words; i++)
		if (bitmap->words[i] != TYPE1_WORD_KEPT)
			return false;
	return true;
}
