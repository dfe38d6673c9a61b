/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device and the IOMMUFD that it is bound to: from its first open to its last close, by its cdev, or by a
 * group that uses an IOMMUFD as its container. The device is locked (vfio_device.lock) in all of this.
 */
#include "vfio/internal.h"

#include "base/why.h"

#include <stdlib.h>

void vfio_device_lock(struct vfio_device *vdev)
{
	pthread_mutex_lock(&vdev->lock);
}

void vfio_device_unlock(struct vfio_device *vdev)
{
	pthread_mutex_unlock(&vdev->lock);
}

bool vfio_device_cdev_opened(const struct vfio_device *vdev)
{
	return atomic_load(&vdev->cdev_opened);
}

/* ---- binding */

/* A device without an IOMMU is not bound to anything. */
int vfio_iommufd_bind(struct vfio_device *vdev, struct iommufd_ctx *ctx, uint32_t *devid)
{
	int rc;

	if (vdev->group->noiommu)
		return 0;
	rc = iommufd_device_bind(ctx, &vdev->hw.hw, &vdev->iommufd_device, devid);
	if (rc)
		vdev->iommufd_device = NULL;
	return rc;
}

void vfio_iommufd_unbind(struct vfio_device *vdev)
{
	if (vdev->noiommu) {
		iommu_dev_attach(vdev->iommu_dev, NULL);
		vfio_noiommu_free(vdev->noiommu);
		vdev->noiommu = NULL;
		iommu_group_release(&vdev->group->iommu);
	}
	if (!vdev->iommufd_device)
		return;
	while (vdev->nr_pasids)
		iommufd_device_detach(vdev->iommufd_device, vdev->pasids[--vdev->nr_pasids]);
	free(vdev->pasids);
	vdev->pasids = NULL;
	vfio_iommufd_detach(vdev);
	iommufd_device_unbind(vdev->iommufd_device);
	vdev->iommufd_device = NULL;
}

struct iommufd_ctx *vfio_iommufd_device_ctx(struct vfio_device *vdev)
{
	return vdev->iommufd_device ? iommufd_device_to_ctx(vdev->iommufd_device) : NULL;
}

int64_t vfio_iommufd_get_dev_id(struct vfio_device *vdev, struct iommufd_ctx *ctx)
{
	if (vfio_iommufd_device_ctx(vdev) == ctx)
		return iommufd_device_to_id(vdev->iommufd_device);
	return iommufd_ctx_has_group(ctx, &vdev->group->iommu) ? -ENOENT : -ENODEV;
}

/* ---- attaching */

int vfio_iommufd_attach(struct vfio_device *vdev, uint32_t *pt_id)
{
	int rc;

	if (vdev->iommufd_attached)
		return iommufd_device_replace(vdev->iommufd_device, IOMMU_NO_PASID, pt_id);
	rc = iommufd_device_attach(vdev->iommufd_device, IOMMU_NO_PASID, pt_id);
	vdev->iommufd_attached = !rc;
	return rc;
}

void vfio_iommufd_detach(struct vfio_device *vdev)
{
	if (vdev->iommufd_attached)
		iommufd_device_detach(vdev->iommufd_device, IOMMU_NO_PASID);
	vdev->iommufd_attached = false;
}

/* Where in vdev->pasids? vdev->nr_pasids: nowhere. */
static unsigned int find_pasid(const struct vfio_device *vdev, uint32_t pasid)
{
	unsigned int i = 0;

	while (i < vdev->nr_pasids && vdev->pasids[i] != pasid)
		i++;
	return i;
}

int vfio_iommufd_pasid_attach(struct vfio_device *vdev, uint32_t pasid, uint32_t *pt_id)
{
	uint32_t *pasids;
	int rc;

	if (find_pasid(vdev, pasid) < vdev->nr_pasids)
		return iommufd_device_replace(vdev->iommufd_device, pasid, pt_id);
	if (pasid > INT32_MAX)
		return WHY(-ENOSPC, "a PASID has 20 bits");
	pasids = reallocarray(vdev->pasids, vdev->nr_pasids + 1, sizeof(*pasids));
	if (!pasids)
		return -ENOMEM;
	vdev->pasids = pasids;
	rc = iommufd_device_attach(vdev->iommufd_device, pasid, pt_id);
	if (!rc)
		pasids[vdev->nr_pasids++] = pasid;
	return rc;
}

void vfio_iommufd_pasid_detach(struct vfio_device *vdev, uint32_t pasid)
{
	unsigned int i = find_pasid(vdev, pasid);

	if (i == vdev->nr_pasids)
		return;
	iommufd_device_detach(vdev->iommufd_device, pasid);
	vdev->pasids[i] = vdev->pasids[--vdev->nr_pasids];
}

/* ---- devices of a group on an IOMMUFD */

/* Its group is claimed all the same: a container would give the device its own domain, and take it away. */
static int attach_noiommu(struct vfio_device *vdev, struct iommufd_ctx *ctx, struct mm *mm)
{
	int rc = iommu_group_claim(&vdev->group->iommu, ctx);

	if (rc)
		return rc;
	vdev->noiommu = vfio_noiommu_new(vdev->vfio->params, mm);
	if (!vdev->noiommu) {
		iommu_group_release(&vdev->group->iommu);
		return -ENOMEM;
	}
	iommu_dev_attach(vdev->iommu_dev, vfio_noiommu_domain(vdev->noiommu));
	return 0;
}

int vfio_iommufd_compat_attach(struct vfio_device *vdev, struct iommufd_ctx *ctx, struct mm *mm)
{
	uint32_t ioas;
	int rc;

	if (vdev->group->noiommu)
		return attach_noiommu(vdev, ctx, mm);
	rc = iommufd_vfio_compat_ioas_get_id(ctx, &ioas);
	return rc ? rc : vfio_iommufd_attach(vdev, &ioas);
}
