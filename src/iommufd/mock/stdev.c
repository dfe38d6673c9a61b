/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mock device that is bound and attached: an object of its own (its id is what the tests call stdev_id),
 * whose end detaches and unbinds the device.
 */
#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <stdlib.h>

struct attached_pasid {
	struct cds_list_head node;
	uint32_t pasid;
};

struct mock_stdev {
	struct iommufd_object obj;
	struct mock_dev *mdev;
	struct iommufd_device *idev;
	pthread_mutex_t lock;        /* of pasids */
	struct cds_list_head pasids; /* attached and to be detached: struct attached_pasid */
};

static struct mock_stdev *get_stdev(struct iommufd_ucmd *ucmd, uint32_t id)
{
	return iommufd_get_object(ucmd->ctx, id, IOMMUFD_OBJ_SELFTEST);
}

/* ---- PASIDs */

static void forget_pasid(struct mock_stdev *stdev, uint32_t pasid)
{
	struct attached_pasid *attached, *next;

	pthread_mutex_lock(&stdev->lock);
	cds_list_for_each_entry_safe (attached, next, &stdev->pasids, node) {
		if (attached->pasid != pasid)
			continue;
		cds_list_del(&attached->node);
		free(attached);
	}
	pthread_mutex_unlock(&stdev->lock);
}

static int attach_pasid(struct mock_stdev *stdev, uint32_t pasid, uint32_t *pt_id)
{
	struct attached_pasid *attached = calloc(1, sizeof(*attached));
	int rc = attached ? iommufd_device_attach(stdev->idev, pasid, pt_id) : -ENOMEM;

	if (rc) {
		free(attached);
		return rc;
	}
	attached->pasid = pasid;
	pthread_mutex_lock(&stdev->lock);
	cds_list_add(&attached->node, &stdev->pasids);
	pthread_mutex_unlock(&stdev->lock);
	return 0;
}

static void detach_pasid(struct mock_stdev *stdev, uint32_t pasid)
{
	iommufd_device_detach(stdev->idev, pasid);
	forget_pasid(stdev, pasid);
}

int mock_test_pasid_attach(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct mock_stdev *stdev = get_stdev(ucmd, cmd->id);
	int rc;

	if (!stdev)
		return -ENOENT;
	rc = attach_pasid(stdev, cmd->pasid_attach.pasid, &cmd->pasid_attach.pt_id);
	if (!rc) {
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
		if (rc)
			detach_pasid(stdev, cmd->pasid_attach.pasid);
	}
	iommufd_put_object(ucmd->ctx, &stdev->obj);
	return rc;
}

static int replace(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd, uint32_t pasid, uint32_t *pt_id)
{
	struct mock_stdev *stdev = get_stdev(ucmd, cmd->id);
	int rc;

	if (!stdev)
		return -ENOENT;
	rc = iommufd_device_replace(stdev->idev, pasid, pt_id);
	if (!rc)
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	iommufd_put_object(ucmd->ctx, &stdev->obj);
	return rc;
}

int mock_test_pasid_replace(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	return replace(ucmd, cmd, cmd->pasid_attach.pasid, &cmd->pasid_attach.pt_id);
}

int mock_test_domain_replace(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	return replace(ucmd, cmd, IOMMU_NO_PASID, &cmd->mock_domain_replace.pt_id);
}

int mock_test_pasid_detach(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct mock_stdev *stdev = get_stdev(ucmd, cmd->id);

	if (!stdev)
		return -ENOENT;
	detach_pasid(stdev, cmd->pasid_detach.pasid);
	iommufd_put_object(ucmd->ctx, &stdev->obj);
	return 0;
}

/* Is the device attached to that HWPT (0: to none)? */
static int check_attached(struct iommufd_ucmd *ucmd, struct mock_stdev *stdev, uint32_t pasid, uint32_t id)
{
	struct iommufd_device *idev = stdev->idev;
	struct iommufd_hw_pagetable *hwpt;
	struct iommufd_object *obj;
	int rc = 0;

	pthread_mutex_lock(&idev->igroup->lock);
	hwpt = iommufd_device_hwpt(idev, pasid);
	pthread_mutex_unlock(&idev->igroup->lock);
	if (!id)
		return hwpt ? -EINVAL : 0;
	obj = iommufd_get_object(ucmd->ctx, id, IOMMUFD_OBJ_ANY);
	if (!obj)
		return -ENOENT;
	if (!hwpt || &hwpt->obj != obj)
		rc = WHY(-EINVAL, "PASID %u is not attached to object %u", pasid, id);
	iommufd_put_object(ucmd->ctx, obj);
	return rc;
}

int mock_test_pasid_check(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct mock_stdev *stdev = get_stdev(ucmd, cmd->id);
	int rc;

	if (!stdev)
		return -ENOENT;
	rc = check_attached(ucmd, stdev, cmd->pasid_check.pasid, cmd->pasid_check.hwpt_id);
	iommufd_put_object(ucmd->ctx, &stdev->obj);
	return rc;
}

/* ---- beginning and end */

static int attach_and_tell(struct iommufd_ucmd *ucmd, struct mock_stdev *stdev, uint32_t idev_id)
{
	struct iommu_test_cmd *cmd = ucmd->arg;
	uint32_t pt_id = cmd->id;
	int rc = iommufd_device_attach(stdev->idev, IOMMU_NO_PASID, &pt_id);

	if (rc)
		return rc;
	cmd->mock_domain.out_hwpt_id = pt_id;
	cmd->mock_domain.out_stdev_id = stdev->obj.id;
	cmd->mock_domain.out_idev_id = idev_id;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		iommufd_device_detach(stdev->idev, IOMMU_NO_PASID);
	return rc;
}

static int start_stdev(struct iommufd_ucmd *ucmd, struct mock_stdev *stdev, uint32_t flags)
{
	uint32_t idev_id;
	int rc = mock_dev_create(flags, &stdev->mdev);

	if (rc)
		return rc;
	rc = iommufd_device_bind(ucmd->ctx, &stdev->mdev->hw, &stdev->idev, &idev_id);
	if (rc)
		goto destroy;
	rc = attach_and_tell(ucmd, stdev, idev_id);
	if (rc)
		goto unbind;
	return 0;
unbind:
	iommufd_device_unbind(stdev->idev);
destroy:
	mock_dev_destroy(stdev->mdev);
	return rc;
}

int mock_test_domain(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	uint32_t flags = cmd->op == IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS ? cmd->mock_domain.dev_flags : 0;
	struct mock_stdev *stdev;
	int rc = iommufd_object_alloc(ucmd->ctx, sizeof(*stdev), IOMMUFD_OBJ_SELFTEST, &stdev);

	if (rc)
		return rc;
	pthread_mutex_init(&stdev->lock, NULL);
	CDS_INIT_LIST_HEAD(&stdev->pasids);
	rc = start_stdev(ucmd, stdev, flags);
	if (rc)
		iommufd_object_abort(ucmd->ctx, &stdev->obj);
	else
		iommufd_object_finalize(ucmd->ctx, &stdev->obj);
	return rc;
}

void iommufd_selftest_destroy(struct iommufd_object *obj)
{
	struct mock_stdev *stdev = container_of(obj, struct mock_stdev, obj);

	while (!cds_list_empty(&stdev->pasids))
		detach_pasid(stdev, cds_list_first_entry(&stdev->pasids, struct attached_pasid, node)->pasid);
	iommufd_device_detach(stdev->idev, IOMMU_NO_PASID);
	iommufd_device_unbind(stdev->idev);
	mock_dev_destroy(stdev->mdev);
	pthread_mutex_destroy(&stdev->lock);
}
