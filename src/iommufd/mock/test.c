/* SPDX-License-Identifier: BSD-2-Clause */
/* IOMMU_TEST_CMD: one ioctl with many operations. */
#include "base/why.h"
#include "iommufd/mock/mock.h"

static int test_add_reserved(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	uint64_t start = cmd->add_reserved.start, last;
	struct iommufd_ioas *ioas;
	int rc;

	if (!cmd->add_reserved.length)
		return -EINVAL;
	if (add_overflows(start, cmd->add_reserved.length - 1, &last))
		return -EOVERFLOW;
	ioas = iommufd_get_ioas(ucmd->ctx, cmd->id);
	if (!ioas)
		return -ENOENT;
	rc = iopt_reserve_iova(&ioas->iopt, start, last, NULL);
	iommufd_put_object(ucmd->ctx, &ioas->obj);
	return rc;
}

static int test_memory_limit(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	(void)ucmd;
	if (cmd->memory_limit.limit < sizeof(uint64_t) + sizeof(uint32_t))
		return -EINVAL;
	iommufd_test_memory_limit = cmd->memory_limit.limit;
	return 0;
}

/* Whether anybody listens the device does not care. */
static int test_trigger_iopf(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct iopf_fault fault = {
		.flags = IOMMU_PGFAULT_FLAGS_LAST_PAGE,
		.pasid = cmd->trigger_iopf.pasid,
		.grpid = cmd->trigger_iopf.grpid,
		.perm = cmd->trigger_iopf.perm,
		.addr = cmd->trigger_iopf.addr,
	};
	struct iommufd_device *idev;
	struct mock_dev *mdev;

	if (fault.pasid != IOMMU_NO_PASID)
		fault.flags |= IOMMU_PGFAULT_FLAGS_PASID_VALID;
	idev = mock_get_idev(ucmd, cmd->trigger_iopf.dev_id, &mdev);
	if (!idev)
		return -ENOENT;
	(void)iommufd_report_fault(idev, &fault);
	iommufd_put_object(ucmd->ctx, &idev->obj);
	return 0;
}

static int test_trigger_vevent(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct iommu_viommu_event_selftest event;
	struct iommufd_device *idev;
	struct mock_dev *mdev;
	int rc = -ENOENT;

	idev = mock_get_idev(ucmd, cmd->trigger_vevent.dev_id, &mdev);
	if (!idev)
		return -ENOENT;
	pthread_mutex_lock(&idev->igroup->lock);
	if (mdev->viommu && mdev->virt_id) {
		event.virt_id = (uint32_t)mdev->virt_id;
		rc = iommufd_viommu_report_event(mock_viommu_core(mdev->viommu), IOMMU_VEVENTQ_TYPE_SELFTEST,
						 &event, sizeof(event));
	}
	pthread_mutex_unlock(&idev->igroup->lock);
	iommufd_put_object(ucmd->ctx, &idev->obj);
	return rc;
}

typedef int test_fn(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);

static test_fn *const tests[] = {
	[IOMMU_TEST_OP_ADD_RESERVED] = test_add_reserved,
	[IOMMU_TEST_OP_MOCK_DOMAIN] = mock_test_domain,
	[IOMMU_TEST_OP_MD_CHECK_MAP] = mock_test_check_map,
	[IOMMU_TEST_OP_MD_CHECK_REFS] = mock_test_check_refs,
	[IOMMU_TEST_OP_CREATE_ACCESS] = mock_test_create_access,
	[IOMMU_TEST_OP_DESTROY_ACCESS_PAGES] = mock_test_destroy_pages,
	[IOMMU_TEST_OP_ACCESS_PAGES] = mock_test_access_pages,
	[IOMMU_TEST_OP_ACCESS_RW] = mock_test_access_rw,
	[IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT] = test_memory_limit,
	[IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE] = mock_test_domain_replace,
	[IOMMU_TEST_OP_ACCESS_REPLACE_IOAS] = mock_test_replace_ioas,
	[IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS] = mock_test_domain,
	[IOMMU_TEST_OP_DIRTY] = mock_test_dirty,
	[IOMMU_TEST_OP_MD_CHECK_IOTLB] = mock_test_check_iotlb,
	[IOMMU_TEST_OP_TRIGGER_IOPF] = test_trigger_iopf,
	[IOMMU_TEST_OP_DEV_CHECK_CACHE] = mock_test_check_cache,
	[IOMMU_TEST_OP_TRIGGER_VEVENT] = test_trigger_vevent,
	[IOMMU_TEST_OP_PASID_ATTACH] = mock_test_pasid_attach,
	[IOMMU_TEST_OP_PASID_REPLACE] = mock_test_pasid_replace,
	[IOMMU_TEST_OP_PASID_DETACH] = mock_test_pasid_detach,
	[IOMMU_TEST_OP_PASID_CHECK_HWPT] = mock_test_pasid_check,
	[IOMMU_TEST_OP_DMABUF_GET] = mock_test_dmabuf_get,
	[IOMMU_TEST_OP_DMABUF_REVOKE] = mock_test_dmabuf_revoke,
};

int iommufd_test(struct iommufd_ucmd *ucmd)
{
	struct iommu_test_cmd *cmd = ucmd->arg;

	if (cmd->op >= ARRAY_SIZE(tests) || !tests[cmd->op])
		return WHY(-EOPNOTSUPP, "there is no test operation %u", cmd->op);
	return tests[cmd->op](ucmd, cmd);
}
