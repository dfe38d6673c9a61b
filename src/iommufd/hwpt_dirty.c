/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty pages of a HWPT, as a bitmap in the caller's memory.
 *
 * Bit n stands for the page_size bytes at iova + n * page_size. Bits are set, never cleared: the caller
 * collects. Its bitmap may be huge and mostly clean, so only words with a bit to set are touched, a window
 * of them at a time.
 */
#include "iommufd/impl.h"

#include "base/why.h"

#include <string.h>

#define WINDOW_WORDS 512

struct dirty_bitmap {
	const struct caller *caller;
	uint64_t iova;
	unsigned int shift;           /* of a bit's bytes */
	uint64_t uptr;                /* of bit 0 */
	uint64_t last_word;           /* of the whole bitmap */
	uint64_t first, nr;           /* the window: words */
	uint64_t words[WINDOW_WORDS]; /* what it has */
	int error;
};

static void write_window(struct dirty_bitmap *bitmap)
{
	if (bitmap->nr && !bitmap->error)
		bitmap->error = copy_out(bitmap->caller, bitmap->uptr + bitmap->first * 8, bitmap->words,
					 bitmap->nr * 8);
	bitmap->nr = 0;
}

/* The last window is no longer than the bitmap: what follows is not the caller's to give. */
static void read_window(struct dirty_bitmap *bitmap, uint64_t word)
{
	uint64_t nr = MIN(bitmap->last_word - word, (uint64_t)WINDOW_WORDS - 1) + 1;

	write_window(bitmap);
	if (bitmap->error)
		return;
	bitmap->error = copy_in(bitmap->caller, bitmap->words, bitmap->uptr + word * 8, nr * 8);
	bitmap->first = word;
	bitmap->nr = bitmap->error ? 0 : nr;
}

/* Set bits [from, to] of the word. */
static void set_word(uint64_t *word, unsigned int from, unsigned int to)
{
	*word |= UINT64_MAX << from & UINT64_MAX >> (63 - to);
}

static void set_dirty(void *arg, uint64_t iova, uint64_t size)
{
	struct dirty_bitmap *bitmap = arg;
	uint64_t bit = (iova - bitmap->iova) >> bitmap->shift;
	uint64_t last = (iova - bitmap->iova + (size - 1)) >> bitmap->shift;

	for (uint64_t word = bit / 64; word <= last / 64 && !bitmap->error; word++) {
		if (!bitmap->nr || word < bitmap->first || word - bitmap->first >= bitmap->nr)
			read_window(bitmap, word);
		if (!bitmap->error)
			set_word(&bitmap->words[word - bitmap->first],
				 word == bit / 64 ? (unsigned int)bit % 64 : 0,
				 word == last / 64 ? (unsigned int)last % 64 : 63);
	}
}

int iommufd_hwpt_set_dirty_tracking(struct iommufd_ucmd *ucmd)
{
	const struct iommu_hwpt_set_dirty_tracking *cmd = ucmd->arg;
	struct iommufd_hwpt_paging *paging;
	int rc;

	if (cmd->flags & ~(uint32_t)IOMMU_HWPT_DIRTY_TRACKING_ENABLE)
		return WHY(-EOPNOTSUPP, "unknown flags 0x%x", cmd->flags);
	paging = iommufd_get_object(ucmd->ctx, cmd->hwpt_id, IOMMUFD_OBJ_HWPT_PAGING);
	if (!paging)
		return -ENOENT;
	rc = iopt_set_dirty_tracking(&paging->ioas->iopt, paging->common.domain,
				     cmd->flags & IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
	iommufd_put_object(ucmd->ctx, &paging->common.obj);
	return rc;
}

static int check_range(struct io_pagetable *iopt, const struct iommu_hwpt_get_dirty_bitmap *cmd)
{
	uint64_t alignment = iopt_iova_alignment(iopt), last;

	if (add_overflows(cmd->iova, cmd->length - 1, &last))
		return WHY(-EOVERFLOW, "the range ends behind the last address");
	if (!is_aligned(cmd->iova, alignment) || !is_aligned(last + 1, alignment))
		return WHY(-EINVAL, "the range is not aligned to 0x%llx", (unsigned long long)alignment);
	if (!cmd->page_size)
		return WHY(-EINVAL, "page_size is 0");
	if (cmd->iova & (cmd->page_size - 1) || (last + 1) & (cmd->page_size - 1))
		return WHY(-EINVAL, "the range is not aligned to page_size 0x%llx",
			   (unsigned long long)cmd->page_size);
	return 0;
}

/*
 * Reading ends at the first hole. As in the kernel that is no failure, and bits up to there are set; unlike
 * there it is one when the bitmap cannot be written.
 */
static int get_bitmap(struct iommufd_ucmd *ucmd, struct iommufd_hwpt_paging *paging)
{
	const struct iommu_hwpt_get_dirty_bitmap *cmd = ucmd->arg;
	struct dirty_bitmap bitmap = {
		.caller = ucmd->caller,
		.iova = cmd->iova,
		.shift = (unsigned int)__builtin_ctzll(cmd->page_size),
		.uptr = cmd->data,
	};
	int rc;

	bitmap.last_word = ((cmd->length - 1) >> bitmap.shift) / 64;
	rc = iopt_read_dirty(&paging->ioas->iopt, paging->common.domain, cmd->iova, cmd->length,
			     cmd->flags & IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, set_dirty, &bitmap);
	write_window(&bitmap);
	if (bitmap.error)
		return WHY(bitmap.error, "the bitmap is no memory that can be written");
	return rc == -EINVAL ? 0 : rc;
}

int iommufd_hwpt_get_dirty_bitmap(struct iommufd_ucmd *ucmd)
{
	const struct iommu_hwpt_get_dirty_bitmap *cmd = ucmd->arg;
	struct iommufd_hwpt_paging *paging;
	int rc;

	if (cmd->flags & ~(uint32_t)IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR || cmd->__reserved)
		return WHY(-EOPNOTSUPP, "unknown flags 0x%x, or __reserved is not 0", cmd->flags);
	paging = iommufd_get_object(ucmd->ctx, cmd->hwpt_id, IOMMUFD_OBJ_HWPT_PAGING);
	if (!paging)
		return -ENOENT;
	rc = check_range(&paging->ioas->iopt, cmd);
	if (!rc)
		rc = get_bitmap(ucmd, paging);
	iommufd_put_object(ucmd->ctx, &paging->common.obj);
	return rc;
}
