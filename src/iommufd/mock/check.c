/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests look at, and set, in mock domains and devices. */
#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <stdlib.h>

#define MAX_DIRTY_BITS ((uint64_t)16 << 20 << 3)

static struct iommufd_hw_pagetable *get_hwpt(struct iommufd_ucmd *ucmd, uint32_t id,
					     enum iommufd_object_type type)
{
	return iommufd_get_object(ucmd->ctx, id, type);
}

/* The paging domain of that id, until its HWPT is put. */
static int get_domain(struct iommufd_ucmd *ucmd, uint32_t id, struct iommufd_hw_pagetable **hwpt,
		      struct mock_domain **mock)
{
	*hwpt = get_hwpt(ucmd, id, IOMMUFD_OBJ_HWPT_PAGING);
	if (!*hwpt)
		return -ENOENT;
	*mock = to_mock_domain((*hwpt)->domain);
	if (*mock)
		return 0;
	iommufd_put_object(ucmd->ctx, &(*hwpt)->obj);
	return WHY(-EINVAL, "HWPT %u is not the mock's", id);
}

/* Does each page of [iova, +length) lead to the caller's memory at uptr? */
static int check_map(struct iommufd_ucmd *ucmd, struct mock_domain *mock, uint64_t pgsize)
{
	const struct iommu_test_cmd *cmd = ucmd->arg;
	uint64_t iova = cmd->check_map.iova, va = cmd->check_map.uptr, end;
	uint64_t length = cmd->check_map.length;
	struct mm *mm = ucmd->caller->mm;
	struct mock_vma a = { 0 }, b = { 0 };
	struct mm_page page;

	if (!is_aligned(iova | length | va, pgsize) || add_overflows(va, length, &end))
		return -EINVAL;
	for (; va < end; va += pgsize, iova += pgsize) {
		if (mm_check(mm, align_down(va, UVFIO_PAGE_SIZE), UVFIO_PAGE_SIZE, false))
			return -EFAULT;
		if (mock_domain_translate(mock, iova, &page) || !mock_same_byte(&page, &a, mm, va, &b))
			return WHY(-EINVAL, "IOVA 0x%llx does not lead to 0x%llx", (unsigned long long)iova,
				   (unsigned long long)va);
	}
	return 0;
}

int mock_test_check_map(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct iommufd_hw_pagetable *hwpt;
	struct mock_domain *mock;
	int rc = get_domain(ucmd, cmd->id, &hwpt, &mock);

	if (rc)
		return rc;
	rc = check_map(ucmd, mock, hwpt->domain->pgsize);
	iommufd_put_object(ucmd->ctx, &hwpt->obj);
	return rc;
}

int mock_test_check_refs(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	uint64_t va = cmd->check_refs.uptr, length = cmd->check_refs.length, end;
	struct mm *mm = ucmd->caller->mm;
	unsigned int pins;

	if (!is_aligned(va | length, UVFIO_PAGE_SIZE) || add_overflows(va, length, &end))
		return -EINVAL;
	for (; va < end; va += UVFIO_PAGE_SIZE) {
		if (mm_check(mm, va, UVFIO_PAGE_SIZE, false))
			return -EFAULT;
		pins = iopt_test_pins(mm, va);
		if (pins != cmd->check_refs.refs)
			return WHY(-EIO, "the page at 0x%llx is pinned %u times", (unsigned long long)va,
				   pins);
	}
	return 0;
}

/* ---- DIRTY */

static int set_dirty(struct iommufd_ucmd *ucmd, struct mock_domain *mock, uint64_t nr)
{
	struct iommu_test_cmd *cmd = ucmd->arg;
	uint64_t iova = cmd->dirty.iova, page_size = cmd->dirty.page_size, count = 0;
	unsigned char *bits;

	if (!mock_domain_tracks_dirty(mock))
		return WHY(-EINVAL, "dirty tracking is off");
	bits = iommufd_zalloc((size_t)(nr + 7) / 8);
	if (!bits)
		return -ENOMEM;
	if (copy_in(ucmd->caller, bits, cmd->dirty.uptr, (size_t)(nr + 7) / 8)) {
		free(bits);
		return -EFAULT;
	}
	for (uint64_t i = 0; i < nr; i++) {
		if (!(bits[i / 8] & 1u << i % 8))
			continue;
		mock_domain_set_dirty(mock, iova + i * page_size);
		count++;
	}
	free(bits);
	cmd->dirty.out_nr_dirty = count;
	return iommufd_ucmd_respond(ucmd, sizeof(*cmd));
}

int mock_test_dirty(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	uint64_t page_size = cmd->dirty.page_size, length = cmd->dirty.length;
	struct iommufd_hw_pagetable *hwpt;
	struct mock_domain *mock;
	int rc;

	if (!page_size || !length || cmd->dirty.iova % page_size || length % page_size || !cmd->dirty.uptr)
		return -EINVAL;
	if (length / page_size > MAX_DIRTY_BITS)
		return -EOVERFLOW;
	rc = get_domain(ucmd, cmd->id, &hwpt, &mock);
	if (rc)
		return rc;
	rc = set_dirty(ucmd, mock, length / page_size);
	iommufd_put_object(ucmd->ctx, &hwpt->obj);
	return rc;
}

/* ---- caches */

int mock_test_check_iotlb(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct iommufd_hw_pagetable *hwpt = get_hwpt(ucmd, cmd->id, IOMMUFD_OBJ_HWPT_NESTED);
	uint32_t id = cmd->check_iotlb.id;
	const struct mock_nested *nested;
	int rc = 0;

	if (!hwpt)
		return -ENOENT;
	nested = to_mock_nested(hwpt->domain);
	if (!nested || id >= MOCK_NESTED_DOMAIN_IOTLB_NUM || nested->iotlb[id] != cmd->check_iotlb.iotlb)
		rc = WHY(-EINVAL, "IOTLB entry %u is not 0x%x", id, cmd->check_iotlb.iotlb);
	iommufd_put_object(ucmd->ctx, &hwpt->obj);
	return rc;
}

int mock_test_check_cache(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	uint32_t id = cmd->check_dev_cache.id;
	struct iommufd_device *idev;
	struct mock_dev *mdev;
	int rc = 0;

	idev = mock_get_idev(ucmd, cmd->id, &mdev);
	if (!idev)
		return -ENOENT;
	if (id >= MOCK_DEV_CACHE_NUM || atomic_load(&mdev->cache[id]) != cmd->check_dev_cache.cache)
		rc = WHY(-EINVAL, "cache %u is not 0x%x", id, cmd->check_dev_cache.cache);
	iommufd_put_object(ucmd->ctx, &idev->obj);
	return rc;
}
