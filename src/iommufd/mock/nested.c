/* SPDX-License-Identifier: BSD-2-Clause */
/* The mock's nested domains: nothing but a few numbers, its IOTLB, which an invalidation sets to 0. */
#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <stdlib.h>

static struct mock_nested *nested_of(struct iommufd_domain *domain)
{
	return container_of(domain, struct mock_nested, base);
}

static void nested_free(struct iommufd_domain *domain)
{
	free(nested_of(domain));
}

static int invalidate_one(struct mock_nested *nested, const struct iommufd_user_array *array, uint32_t i)
{
	struct iommu_hwpt_invalidate_selftest inv;
	int rc = iommufd_copy_user_array(&inv, array, i, IOMMU_HWPT_INVALIDATE_DATA_SELFTEST, sizeof(inv),
					 sizeof(inv));

	if (rc)
		return rc;
	if (inv.flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL)
		return WHY(-EOPNOTSUPP, "entry %u: flags 0x%x", i, inv.flags);
	if (inv.iotlb_id >= MOCK_NESTED_DOMAIN_IOTLB_NUM)
		return WHY(-EINVAL, "entry %u: there is no IOTLB entry %u", i, inv.iotlb_id);
	for (uint32_t id = 0; id < MOCK_NESTED_DOMAIN_IOTLB_NUM; id++)
		if (id == inv.iotlb_id || (inv.flags & IOMMU_TEST_INVALIDATE_FLAG_ALL))
			nested->iotlb[id] = 0;
	return 0;
}

static int nested_invalidate(struct iommufd_domain *domain, struct iommufd_user_array *array)
{
	uint32_t done = 0;
	int rc = 0;

	if (array->type != IOMMU_HWPT_INVALIDATE_DATA_SELFTEST)
		rc = WHY(-EINVAL, "data of type 0x%x", array->type);
	while (!rc && done < array->entry_num) {
		rc = invalidate_one(nested_of(domain), array, done);
		if (!rc)
			done++;
	}
	array->entry_num = done;
	return rc;
}

static const struct iommufd_domain_ops nested_ops = {
	.cache_invalidate = nested_invalidate,
	.free = nested_free,
};

int mock_nested_alloc(uint32_t flags, const struct iommufd_user_data *data, struct mock_viommu *viommu,
		      struct iommufd_domain **domain)
{
	struct iommu_hwpt_selftest config;
	struct mock_nested *nested;
	int rc;

	if ((flags & ~(uint32_t)IOMMU_HWPT_ALLOC_PASID) || data->type != IOMMU_HWPT_DATA_SELFTEST)
		return WHY(-EOPNOTSUPP, "flags 0x%x, data of type 0x%x", flags, data->type);
	rc = iommufd_copy_user_data(&config, data, IOMMU_HWPT_DATA_SELFTEST, sizeof(config),
				    sizeof(config.iotlb));
	if (rc)
		return rc;
	nested = iommufd_zalloc(sizeof(*nested));
	if (!nested)
		return -ENOMEM;
	nested->base = (struct iommufd_domain){ .ops = &nested_ops, .nested = true };
	nested->viommu = viommu;
	for (uint32_t id = 0; id < MOCK_NESTED_DOMAIN_IOTLB_NUM; id++)
		nested->iotlb[id] = config.iotlb;
	*domain = &nested->base;
	return 0;
}

struct mock_nested *to_mock_nested(struct iommufd_domain *domain)
{
	return domain->ops == &nested_ops ? nested_of(domain) : NULL;
}
