/* SPDX-License-Identifier: BSD-2-Clause */
/* Mock devices as IOMMUFD sees hardware: each in a group of its own, all behind one mock IOMMU. */
#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mock_dev *mock_of(struct iommufd_hw_dev *hw)
{
	return container_of(hw, struct mock_dev, hw);
}

static int mock_alloc_paging(struct iommufd_hw_dev *hw, uint32_t flags, const struct iommufd_user_data *data,
			     struct iommufd_domain **domain)
{
	const uint32_t known =
		IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_PASID;

	if (flags & ~known)
		return WHY(-EOPNOTSUPP, "flags 0x%x: known are 0x%x", flags, known);
	if ((flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING) && (mock_of(hw)->flags & MOCK_FLAGS_DEVICE_NO_DIRTY))
		return WHY(-EOPNOTSUPP, "%s cannot track dirty pages", hw->name);
	if (data && data->type != IOMMU_HWPT_DATA_SELFTEST && data->type != IOMMU_HWPT_DATA_NONE)
		return WHY(-EOPNOTSUPP, "data of type 0x%x", data->type);
	return mock_domain_alloc(flags, data, mock_of(hw)->flags & MOCK_FLAGS_DEVICE_HUGE_IOVA, domain);
}

static int mock_alloc_nested(struct iommufd_hw_dev *hw, struct iommufd_domain *parent, uint32_t flags,
			     const struct iommufd_user_data *data, struct iommufd_domain **domain)
{
	(void)hw;
	(void)parent;
	return mock_nested_alloc(flags, data, NULL, domain);
}

/* Behind a vIOMMU a device must have a virtual one, whose number its events carry. */
static int find_viommu(struct iommufd_hw_dev *hw, struct iommufd_domain *domain, struct mock_viommu **viommu,
		       uint64_t *virt_id)
{
	struct mock_nested *nested = domain ? to_mock_nested(domain) : NULL;

	*viommu = nested ? nested->viommu : NULL;
	*virt_id = 0;
	if (!*viommu)
		return 0;
	if (iommufd_viommu_get_vdev_id(mock_viommu_core(*viommu), hw, virt_id))
		return WHY(-ENOENT, "%s has no virtual device in the vIOMMU", hw->name);
	return 0;
}

static int attach_device(struct iommufd_hw_dev *hw, struct iommufd_domain *domain)
{
	struct mock_dev *mdev = mock_of(hw);
	struct mock_viommu *viommu;
	uint64_t virt_id;
	int rc;

	if (domain && domain->ops->set_dirty_tracking && (mdev->flags & MOCK_FLAGS_DEVICE_NO_DIRTY))
		return WHY(-EINVAL, "%s cannot track dirty pages", hw->name);
	rc = find_viommu(hw, domain, &viommu, &virt_id);
	if (rc)
		return rc;
	mdev->viommu = viommu;
	mdev->virt_id = virt_id;
	return 0;
}

/* With the reserved PASID the second of two attaches in a row fails, so that replacing can be seen to fail.
 */
static int attach_pasid(struct mock_dev *mdev, uint32_t pasid, const struct iommufd_domain *domain)
{
	bool fails;

	if (pasid != IOMMU_TEST_PASID_RESERVED)
		return 0;
	fails = domain && mdev->pasid_error;
	mdev->pasid_error = domain && !fails;
	return fails ? -ENOMEM : 0;
}

static int mock_attach(struct iommufd_hw_dev *hw, uint32_t pasid, struct iommufd_domain *domain,
		       struct iommufd_domain *old)
{
	(void)old;
	return pasid == IOMMU_NO_PASID ? attach_device(hw, domain) : attach_pasid(mock_of(hw), pasid, domain);
}

static int mock_hw_info(struct iommufd_hw_dev *hw, uint32_t *type, void *buf, size_t *len)
{
	const struct iommu_test_hw_info info = { .test_reg = IOMMU_HW_INFO_SELFTEST_REGVAL };

	(void)hw;
	if (*type != IOMMU_HW_INFO_TYPE_DEFAULT && *type != IOMMU_HW_INFO_TYPE_SELFTEST)
		return WHY(-EOPNOTSUPP, "data of type 0x%x", *type);
	*type = IOMMU_HW_INFO_TYPE_SELFTEST;
	memcpy(buf, &info, MIN(*len, sizeof(info)));
	*len = sizeof(info);
	return 0;
}

static unsigned int mock_reserved(struct iommufd_hw_dev *hw, struct iommu_range *out, unsigned int max)
{
	(void)hw;
	(void)out;
	(void)max;
	return 0;
}

/* It waits for no answer. */
static void mock_page_response(struct iommufd_hw_dev *hw, const struct iopf_response *response)
{
	(void)hw;
	(void)response;
}

const struct iommufd_hw_dev_ops mock_dev_ops = {
	.name = "mock",
	.mock = true,
	.alloc_paging = mock_alloc_paging,
	.alloc_nested = mock_alloc_nested,
	.attach = mock_attach,
	.hw_info = mock_hw_info,
	.reserved = mock_reserved,
	.viommu_size = mock_viommu_size,
	.viommu_init = mock_viommu_init,
	.page_response = mock_page_response,
};

int mock_dev_create(uint32_t flags, struct mock_dev **out)
{
	const uint32_t known =
		MOCK_FLAGS_DEVICE_NO_DIRTY | MOCK_FLAGS_DEVICE_HUGE_IOVA | MOCK_FLAGS_DEVICE_PASID;
	static _Atomic unsigned int nr;
	struct mock_dev *mdev;
	unsigned int id;

	if (flags & ~known)
		return WHY(-EINVAL, "device flags 0x%x: known are 0x%x", flags, known);
	mdev = iommufd_zalloc(sizeof(*mdev));
	if (!mdev)
		return -ENOMEM;
	id = atomic_fetch_add(&nr, 1);
	snprintf(mdev->name, sizeof(mdev->name), "iommufd_mock%u", id);
	mdev->flags = flags;
	iommu_group_init(&mdev->group, id);
	for (uint32_t i = 0; i < MOCK_DEV_CACHE_NUM; i++)
		atomic_init(&mdev->cache[i], IOMMU_TEST_DEV_CACHE_DEFAULT);
	mdev->hw = (struct iommufd_hw_dev){
		.ops = &mock_dev_ops,
		.group = &mdev->group,
		.name = mdev->name,
		.dirty_tracking = !(flags & MOCK_FLAGS_DEVICE_NO_DIRTY),
		.max_pasid_log2 = flags & MOCK_FLAGS_DEVICE_PASID ? MOCK_PASID_WIDTH : 0,
	};
	*out = mdev;
	return 0;
}

void mock_dev_destroy(struct mock_dev *mdev)
{
	iommu_group_destroy(&mdev->group);
	free(mdev);
}

struct iommufd_device *mock_get_idev(struct iommufd_ucmd *ucmd, uint32_t id, struct mock_dev **mdev)
{
	struct iommufd_device *idev = iommufd_get_device(ucmd->ctx, id);

	if (idev && idev->dev->ops != &mock_dev_ops) {
		iommufd_put_object(ucmd->ctx, &idev->obj);
		return NULL;
	}
	if (idev)
		*mdev = mock_of(idev->dev);
	return idev;
}
