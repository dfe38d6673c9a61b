/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vIOMMUs: a guest's share of a hardware IOMMU, and what belongs to one: virtual devices and hardware queues
 * (queues of events are in veventq.c).
 *
 * A virtual device ties a bound device to the number that the guest knows it by. It goes before its device
 * does, and then its id stays taken (a tombstone), because user space has not destroyed it.
 *
 * Locks: a device group's lock, inside it the vIOMMU's vdevs_lock. A virtual device keeps its device by the
 * count of calls under way, which iommufd_device_pre_destroy() gets back.
 */
#include "base/why.h"
#include "iommufd/impl.h"

#include <stdlib.h>

void iommufd_viommu_destroy(struct iommufd_object *obj)
{
	struct iommufd_viommu *viommu = container_of(obj, struct iommufd_viommu, obj);

	if (viommu->ops && viommu->ops->destroy)
		viommu->ops->destroy(viommu);
	if (viommu->hwpt)
		iommufd_object_unuse(&viommu->hwpt->common.obj);
}

static int new_viommu(struct iommufd_ucmd *ucmd, struct iommufd_device *idev,
		      struct iommufd_hwpt_paging *hwpt, size_t size)
{
	struct iommu_viommu_alloc *cmd = ucmd->arg;
	const struct iommufd_user_data data = {
		.caller = ucmd->caller,
		.type = cmd->type,
		.uptr = cmd->data_uptr,
		.len = cmd->data_len,
	};
	struct iommufd_viommu *viommu;
	int rc;

	rc = iommufd_object_alloc_ucmd(ucmd, size, IOMMUFD_OBJ_VIOMMU, &viommu);
	if (rc)
		return rc;
	pthread_mutex_init(&viommu->vdevs_lock, NULL);
	CDS_INIT_LIST_HEAD(&viommu->vdevs);
	pthread_rwlock_init(&viommu->veventqs_lock, NULL);
	CDS_INIT_LIST_HEAD(&viommu->veventqs);
	viommu->type = cmd->type;
	viommu->ctx = ucmd->ctx;
	viommu->hw = idev->dev->ops;
	viommu->hwpt = hwpt;
	iommufd_object_use(&hwpt->common.obj);
	rc = idev->dev->ops->viommu_init(viommu, hwpt->common.domain, data.len ? &data : NULL);
	if (rc)
		return WHY(rc, "the driver refuses the vIOMMU, or its data");
	cmd->out_viommu_id = viommu->obj.id;
	return iommufd_ucmd_respond(ucmd, sizeof(*cmd));
}

static int alloc_viommu(struct iommufd_ucmd *ucmd, struct iommufd_device *idev)
{
	const struct iommufd_hw_dev_ops *ops = idev->dev->ops;
	struct iommu_viommu_alloc *cmd = ucmd->arg;
	struct iommufd_hwpt_paging *hwpt;
	size_t size = 0;
	int rc;

	if (!ops->viommu_size || !ops->viommu_init || ops->viommu_size(idev->dev, cmd->type, &size))
		return WHY(-EOPNOTSUPP, "device %u has no vIOMMU of type 0x%x", cmd->dev_id, cmd->type);
	hwpt = iommufd_get_object(ucmd->ctx, cmd->hwpt_id, IOMMUFD_OBJ_HWPT_PAGING);
	if (!hwpt)
		return WHY(-ENOENT, "no paging table has id %u", cmd->hwpt_id);
	if (hwpt->nest_parent)
		rc = new_viommu(ucmd, idev, hwpt, size);
	else
		rc = WHY(-EINVAL, "table %u is not made to be nested on", cmd->hwpt_id);
	iommufd_put_object(ucmd->ctx, &hwpt->common.obj);
	return rc;
}

int iommufd_viommu_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_viommu_alloc *cmd = ucmd->arg;
	struct iommufd_device *idev;
	int rc;

	if (cmd->flags || cmd->type == IOMMU_VIOMMU_TYPE_DEFAULT)
		return WHY(-EOPNOTSUPP, "flags 0x%x, type 0x%x: no flags, a type", cmd->flags, cmd->type);
	idev = iommufd_get_device(ucmd->ctx, cmd->dev_id);
	if (!idev)
		return WHY(-ENOENT, "no device has id %u", cmd->dev_id);
	rc = alloc_viommu(ucmd, idev);
	iommufd_put_object(ucmd->ctx, &idev->obj);
	return rc;
}

/* ---- virtual devices */

static struct iommufd_vdevice *vdevice_of(struct iommufd_object *obj)
{
	return container_of(obj, struct iommufd_vdevice, obj);
}

/* The group's lock is held. */
void iommufd_vdevice_abort(struct iommufd_object *obj)
{
	struct iommufd_vdevice *vdev = vdevice_of(obj);
	struct iommufd_viommu *viommu = vdev->viommu;

	if (vdev->destroy)
		vdev->destroy(vdev);
	pthread_mutex_lock(&viommu->vdevs_lock);
	if (vdev->node.next)
		cds_list_del(&vdev->node);
	pthread_mutex_unlock(&viommu->vdevs_lock);
	iommufd_object_unuse(&viommu->obj);
	vdev->idev->vdev = NULL;
}

void iommufd_vdevice_destroy(struct iommufd_object *obj)
{
	struct iommufd_device *idev = vdevice_of(obj)->idev;

	pthread_mutex_lock(&idev->igroup->lock);
	iommufd_vdevice_abort(obj);
	pthread_mutex_unlock(&idev->igroup->lock);
	iommufd_put_object(idev->ctx, &idev->obj);
}

static struct iommufd_vdevice *find_vdev(struct iommufd_viommu *viommu, uint64_t virt_id)
{
	struct iommufd_vdevice *vdev;

	cds_list_for_each_entry (vdev, &viommu->vdevs, node)
		if (vdev->virt_id == virt_id)
			return vdev;
	return NULL;
}

/* From here on nobody else can have its virt_id. */
static int reserve_virt_id(struct iommufd_viommu *viommu, struct iommufd_vdevice *vdev)
{
	int rc = 0;

	pthread_mutex_lock(&viommu->vdevs_lock);
	if (iommufd_should_fail())
		rc = -ENOMEM;
	else if (find_vdev(viommu, vdev->virt_id))
		rc = -EEXIST;
	else
		cds_list_add_tail(&vdev->node, &viommu->vdevs);
	pthread_mutex_unlock(&viommu->vdevs_lock);
	return rc;
}

static int start_vdevice(struct iommufd_viommu *viommu, struct iommufd_vdevice *vdev)
{
	int rc = reserve_virt_id(viommu, vdev);

	if (rc)
		return WHY(rc, "the guest has a device 0x%llx", (unsigned long long)vdev->virt_id);
	if (viommu->ops->vdevice_init)
		rc = viommu->ops->vdevice_init(vdev);
	if (rc)
		return WHY(rc, "the driver refuses the virtual device");
	pthread_mutex_lock(&viommu->vdevs_lock);
	vdev->live = true;
	pthread_mutex_unlock(&viommu->vdevs_lock);
	return 0;
}

/* The group's lock is held. */
static int new_vdevice(struct iommufd_ucmd *ucmd, struct iommufd_viommu *viommu, struct iommufd_device *idev)
{
	struct iommu_vdevice_alloc *cmd = ucmd->arg;
	struct iommufd_vdevice *vdev;
	size_t size = sizeof(*vdev);
	int rc;

	if (idev->destroying)
		return WHY(-ENOENT, "device %u is going away", cmd->dev_id);
	if (idev->vdev)
		return WHY(-EEXIST, "device %u has a virtual device", cmd->dev_id);
	if (viommu->ops->vdevice_size)
		size = viommu->ops->vdevice_size;
	rc = iommufd_object_alloc(ucmd->ctx, size, IOMMUFD_OBJ_VDEVICE, &vdev);
	if (rc)
		return rc;
	vdev->virt_id = cmd->virt_id;
	vdev->viommu = viommu;
	iommufd_object_use(&viommu->obj);
	vdev->idev = idev;
	idev->vdev = vdev;
	rc = start_vdevice(viommu, vdev);
	cmd->out_vdevice_id = vdev->obj.id;
	if (!rc)
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		iommufd_object_abort_and_destroy(ucmd->ctx, &vdev->obj);
	else
		iommufd_object_finalize(ucmd->ctx, &vdev->obj);
	return rc;
}

/* The reference of idev becomes the virtual device's. */
static int alloc_vdevice(struct iommufd_ucmd *ucmd, struct iommufd_viommu *viommu)
{
	struct iommu_vdevice_alloc *cmd = ucmd->arg;
	struct iommufd_device *idev = iommufd_get_device(ucmd->ctx, cmd->dev_id);
	int rc;

	if (!idev)
		return WHY(-ENOENT, "no device has id %u", cmd->dev_id);
	if (viommu->hw != idev->dev->ops) {
		rc = WHY(-EINVAL, "device %u is behind another IOMMU", cmd->dev_id);
	} else {
		pthread_mutex_lock(&idev->igroup->lock);
		rc = new_vdevice(ucmd, viommu, idev);
		pthread_mutex_unlock(&idev->igroup->lock);
	}
	if (rc)
		iommufd_put_object(ucmd->ctx, &idev->obj);
	return rc;
}

int iommufd_vdevice_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_vdevice_alloc *cmd = ucmd->arg;
	struct iommufd_viommu *viommu = iommufd_get_viommu(ucmd->ctx, cmd->viommu_id);
	int rc;

	if (!viommu)
		return WHY(-ENOENT, "no vIOMMU has id %u", cmd->viommu_id);
	rc = alloc_vdevice(ucmd, viommu);
	iommufd_put_object(ucmd->ctx, &viommu->obj);
	return rc;
}

int iommufd_viommu_get_vdev_id(struct iommufd_viommu *viommu, struct iommufd_hw_dev *dev, uint64_t *virt_id)
{
	struct iommufd_vdevice *vdev;
	int rc = -ENOENT;

	pthread_mutex_lock(&viommu->vdevs_lock);
	cds_list_for_each_entry (vdev, &viommu->vdevs, node) {
		if (vdev->live && vdev->idev->dev == dev) {
			*virt_id = vdev->virt_id;
			rc = 0;
			break;
		}
	}
	pthread_mutex_unlock(&viommu->vdevs_lock);
	return rc;
}

struct iommufd_hw_dev *iommufd_viommu_find_dev(struct iommufd_viommu *viommu, uint64_t virt_id)
{
	struct iommufd_vdevice *vdev = find_vdev(viommu, virt_id);

	return vdev && vdev->live ? vdev->idev->dev : NULL;
}
