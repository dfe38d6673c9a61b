/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that are bound to a context, and their groups.
 *
 * The first device of a group that is bound claims the group for the context, so that no other context or
 * container gets it; each further one counts. struct iommufd_group is what a context knows of a group: it
 * lives as long as devices of the group are bound.
 */
#include "iommufd/impl.h"

#include "base/why.h"

#include <stdlib.h>

#define HW_INFO_MAX 256

/* ---- groups */

static struct iommufd_group *find_group(struct iommufd_ctx *ctx, const struct iommu_group *group)
{
	struct iommufd_group *igroup;

	cds_list_for_each_entry (igroup, &ctx->groups, node)
		if (igroup->group == group)
			return igroup;
	return NULL;
}

static struct iommufd_group *new_group(struct iommufd_ctx *ctx, struct iommu_group *group)
{
	struct iommufd_group *igroup = iommufd_zalloc(sizeof(*igroup));

	if (!igroup)
		return NULL;
	igroup->ctx = ctx;
	igroup->group = group;
	pthread_mutex_init(&igroup->lock, NULL);
	CDS_INIT_LIST_HEAD(&igroup->attaches);
	CDS_INIT_LIST_HEAD(&igroup->devices);
	cds_list_add_tail(&igroup->node, &ctx->groups);
	return igroup;
}

static struct iommufd_group *get_group(struct iommufd_ctx *ctx, struct iommu_group *group)
{
	struct iommufd_group *igroup;

	pthread_mutex_lock(&ctx->groups_lock);
	igroup = find_group(ctx, group);
	if (!igroup)
		igroup = new_group(ctx, group);
	if (igroup)
		igroup->refs++;
	pthread_mutex_unlock(&ctx->groups_lock);
	return igroup;
}

static void put_group(struct iommufd_group *igroup)
{
	struct iommufd_ctx *ctx = igroup->ctx;

	pthread_mutex_lock(&ctx->groups_lock);
	if (!--igroup->refs) {
		cds_list_del(&igroup->node);
		pthread_mutex_destroy(&igroup->lock);
		free(igroup);
	}
	pthread_mutex_unlock(&ctx->groups_lock);
}

bool iommufd_ctx_has_group(struct iommufd_ctx *ctx, struct iommu_group *group)
{
	bool found;

	if (!ctx || !group)
		return false;
	pthread_mutex_lock(&ctx->groups_lock);
	found = find_group(ctx, group);
	pthread_mutex_unlock(&ctx->groups_lock);
	return found;
}

/* ---- bind, unbind */

static int device_init(struct iommufd_device *idev)
{
	struct iommufd_hw_dev *dev = idev->dev;
	int rc = iommu_group_claim(dev->group, idev->ctx);

	if (rc)
		return rc;
	idev->igroup = get_group(idev->ctx, dev->group);
	rc = idev->igroup ? iommufd_group_join(idev) : -ENOMEM;
	if (!rc)
		return 0;
	if (idev->igroup)
		put_group(idev->igroup);
	iommu_group_release(dev->group);
	return rc;
}

int iommufd_device_bind(struct iommufd_ctx *ctx, struct iommufd_hw_dev *dev, struct iommufd_device **pidev,
			uint32_t *id)
{
	struct iommufd_device *idev;
	int rc;

	if (!dev->group)
		return WHY(-ENODEV, "%s is in no IOMMU group", dev->name);
	rc = iommufd_object_alloc(ctx, sizeof(*idev), IOMMUFD_OBJ_DEVICE, &idev);
	if (rc)
		return rc;
	idev->ctx = ctx;
	idev->dev = dev;
	rc = device_init(idev);
	if (rc) {
		iommufd_object_abort(ctx, &idev->obj);
		return rc;
	}
	if (!dev->ops->mock)
		iommufd_ctx_get(ctx);
	iommufd_object_use(&idev->obj); /* until unbind */
	*id = idev->obj.id;
	*pidev = idev;
	iommufd_object_finalize(ctx, &idev->obj);
	return 0;
}

void iommufd_device_unbind(struct iommufd_device *idev)
{
	iommufd_object_destroy_user(idev->ctx, &idev->obj);
}

/*
 * The vdevice of a device goes with it, and leaves a tombstone. When its destruction is under way already,
 * it is that which the wait for the device's short-term references waits for.
 */
void iommufd_device_pre_destroy(struct iommufd_object *obj)
{
	struct iommufd_device *idev = container_of(obj, struct iommufd_device, obj);
	struct iommufd_vdevice *vdev;

	pthread_mutex_lock(&idev->igroup->lock);
	idev->destroying = true;
	vdev = idev->vdev;
	if (vdev && iommufd_try_inc_users(idev->ctx, &vdev->obj))
		vdev = NULL;
	pthread_mutex_unlock(&idev->igroup->lock);
	if (vdev)
		iommufd_object_tombstone_user(idev->ctx, &vdev->obj);
}

void iommufd_device_destroy(struct iommufd_object *obj)
{
	struct iommufd_device *idev = container_of(obj, struct iommufd_device, obj);
	struct iommufd_hw_dev *dev = idev->dev;

	iommufd_group_leave(idev);
	put_group(idev->igroup);
	iommu_group_release(dev->group);
	if (!dev->ops->mock)
		iommufd_ctx_put(idev->ctx);
}

struct iommufd_ctx *iommufd_device_to_ctx(struct iommufd_device *idev)
{
	return idev->ctx;
}

uint32_t iommufd_device_to_id(struct iommufd_device *idev)
{
	return idev->obj.id;
}

/* ---- IOMMU_GET_HW_INFO */

static int zero_out(const struct caller *caller, uint64_t uptr, uint64_t len)
{
	static const char zeroes[4096];
	int rc = 0;

	for (uint64_t n; len && !rc; uptr += n, len -= n) {
		n = MIN(len, (uint64_t)sizeof(zeroes));
		rc = copy_out(caller, uptr, zeroes, n);
	}
	return rc;
}

/* What the driver says, as much as the caller has room for; the rest of the room is zeroed. */
static int put_hw_info(const struct caller *caller, struct iommufd_hw_dev *dev, struct iommu_hw_info *cmd)
{
	size_t len = HW_INFO_MAX, n;
	char buf[HW_INFO_MAX] = { 0 };
	int rc = 0;

	if (!(cmd->flags & IOMMU_HW_INFO_FLAG_INPUT_TYPE))
		cmd->in_data_type = IOMMU_HW_INFO_TYPE_DEFAULT;
	if (dev->ops->hw_info) {
		rc = dev->ops->hw_info(dev, &cmd->out_data_type, buf, &len);
		if (rc)
			return rc;
	} else {
		cmd->out_data_type = IOMMU_HW_INFO_TYPE_NONE;
		len = 0;
	}
	n = MIN((size_t)cmd->data_len, len);
	if (n)
		rc = copy_out(caller, cmd->data_uptr, buf, n);
	if (!rc)
		rc = zero_out(caller, cmd->data_uptr + n, cmd->data_len - n);
	cmd->data_len = (uint32_t)len;
	return rc ? WHY(rc, "the buffer at 0x%llx is no memory", (unsigned long long)cmd->data_uptr) : 0;
}

int iommufd_get_hw_info(struct iommufd_ucmd *ucmd)
{
	struct iommu_hw_info *cmd = ucmd->arg;
	const struct iommufd_hw_dev *dev;
	struct iommufd_device *idev;
	int rc;

	if (cmd->flags & ~(uint32_t)IOMMU_HW_INFO_FLAG_INPUT_TYPE)
		return WHY(-EOPNOTSUPP, "unknown flags 0x%x: known is INPUT_TYPE (1)",
			   cmd->flags & ~(uint32_t)IOMMU_HW_INFO_FLAG_INPUT_TYPE);
	if (cmd->__reserved[0] || cmd->__reserved[1] || cmd->__reserved[2])
		return WHY(-EOPNOTSUPP, "__reserved is not 0");
	idev = iommufd_get_device(ucmd->ctx, cmd->dev_id);
	if (!idev)
		return -ENOENT;
	dev = idev->dev;
	rc = put_hw_info(ucmd->caller, idev->dev, cmd);
	if (!rc) {
		cmd->out_capabilities = (dev->dirty_tracking ? IOMMU_HW_CAP_DIRTY_TRACKING : 0) |
					(dev->ats ? 0 : IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
		cmd->out_max_pasid_log2 = (uint8_t)dev->max_pasid_log2;
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	}
	iommufd_put_object(ucmd->ctx, &idev->obj);
	return rc;
}
