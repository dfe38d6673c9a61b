/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty pages of a HWPT, as a bitmap in the caller's memory.
 *
 * Bit n stands for the page_size bytes at iova + n * page_size. Bits are set, never cleared: the caller
 * collects. Its bitmap may be huge and mostly clean, and it may end anywhere: a page of it at a time is
 * looked at, when that has a bit to set, and no byte is written before the first one that gets a bit, or
 * behind the last.
 */
#include "iommufd/impl.h"

#include "base/why.h"

#include <string.h>

struct dirty_bitmap {
	const struct caller *caller;
	uint64_t iova;
	unsigned int shift; /* of a bit's bytes */
	uint64_t uptr;      /* of bit 0 */
	uint64_t last_byte; /* of the whole bitmap */
	int error;
	/* The window: nr bytes from first on, of which those in [from, end) are to be written. */
	uint64_t first, nr, from, end;
	unsigned char bytes[UVFIO_PAGE_SIZE];
};

static void write_window(struct dirty_bitmap *bitmap)
{
	if (bitmap->from < bitmap->end && !bitmap->error)
		bitmap->error = copy_out(bitmap->caller, bitmap->uptr + bitmap->first + bitmap->from,
					 bitmap->bytes + bitmap->from, bitmap->end - bitmap->from);
	bitmap->nr = 0;
}

/* From that byte to the end of its page, or of the bitmap. */
static void read_window(struct dirty_bitmap *bitmap, uint64_t byte)
{
	uint64_t room = UVFIO_PAGE_SIZE - (bitmap->uptr + byte) % UVFIO_PAGE_SIZE;
	uint64_t nr = MIN(bitmap->last_byte - byte, room - 1) + 1;

	write_window(bitmap);
	if (!bitmap->error)
		bitmap->error = copy_in(bitmap->caller, bitmap->bytes, bitmap->uptr + byte, nr);
	bitmap->first = byte;
	bitmap->nr = nr;
	bitmap->from = nr;
	bitmap->end = 0;
}

/* Set the window's bits [from, last]. */
static void set_bits(struct dirty_bitmap *bitmap, uint64_t from, uint64_t last)
{
	unsigned char *byte = &bitmap->bytes[from / 8], *last_byte = &bitmap->bytes[last / 8];
	unsigned char upper = (unsigned char)(0xff << from % 8),
		      lower = (unsigned char)(0xff >> (7 - last % 8));

	if (byte == last_byte) {
		*byte |= upper & lower;
	} else {
		*byte |= upper;
		memset(byte + 1, 0xff, (size_t)(last_byte - byte) - 1);
		*last_byte |= lower;
	}
	bitmap->from = MIN(bitmap->from, from / 8);
	bitmap->end = MAX(bitmap->end, last / 8 + 1);
}

static void set_dirty(void *arg, uint64_t iova, uint64_t size)
{
	struct dirty_bitmap *bitmap = arg;
	uint64_t bit = (iova - bitmap->iova) >> bitmap->shift;
	uint64_t last = (iova - bitmap->iova + (size - 1)) >> bitmap->shift, end;

	for (; bit <= last; bit = end + 1) {
		if (!bitmap->nr || bit / 8 < bitmap->first || bit / 8 - bitmap->first >= bitmap->nr)
			read_window(bitmap, bit / 8);
		if (bitmap->error)
			return;
		end = MIN(last, (bitmap->first + bitmap->nr) * 8 - 1);
		set_bits(bitmap, bit - bitmap->first * 8, end - bitmap->first * 8);
	}
}

int iommufd_hwpt_set_dirty_tracking(struct iommufd_ucmd *ucmd)
{
	const struct iommu_hwpt_set_dirty_tracking *cmd = ucmd->arg;
	struct iommufd_hwpt_paging *paging;
	int rc;

	if (cmd->flags & ~(uint32_t)IOMMU_HWPT_DIRTY_TRACKING_ENABLE)
		return WHY(-EOPNOTSUPP, "unknown flags 0x%x: known is ENABLE (1)",
			   cmd->flags & ~(uint32_t)IOMMU_HWPT_DIRTY_TRACKING_ENABLE);
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

	bitmap.last_byte = ((cmd->length - 1) >> bitmap.shift) / 8;
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

	if (cmd->flags & ~(uint32_t)IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR)
		return WHY(-EOPNOTSUPP, "unknown flags 0x%x: known is NO_CLEAR (1)",
			   cmd->flags & ~(uint32_t)IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR);
	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is 0x%x", cmd->__reserved);
	paging = iommufd_get_object(ucmd->ctx, cmd->hwpt_id, IOMMUFD_OBJ_HWPT_PAGING);
	if (!paging)
		return -ENOENT;
	rc = check_range(&paging->ioas->iopt, cmd);
	if (!rc)
		rc = get_bitmap(ucmd, paging);
	iommufd_put_object(ucmd->ctx, &paging->common.obj);
	return rc;
}
