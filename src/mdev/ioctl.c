/* SPDX-License-Identifier: BSD-2-Clause */
/* The ioctls of a mediated device's file: information, interrupts, reset. */
#include "file/ioctl.h"
#include "base/why.h"
#include "mdev/impl.h"
#include "uapi/vfio.h"
#include "vfio/describe.h"
#include "vfio/feature.h"
#include "vfio/irqs.h"

_Static_assert(UVFIO_MDEV_REGIONS == VFIO_PCI_NUM_REGIONS && UVFIO_MDEV_IRQS == VFIO_PCI_NUM_IRQS &&
		       UVFIO_MDEV_CONFIG == VFIO_PCI_CONFIG_REGION_INDEX,
	       "the public header counts as VFIO does");

static struct mdev_device *call_mdev(const struct ioctl_call *call)
{
	return to_mdev(vfio_file_device(call->file));
}

static long get_info(struct ioctl_call *call, void *arg)
{
	struct vfio_device_info *info = arg;

	(void)call;
	info->flags = VFIO_DEVICE_FLAGS_PCI;
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	info->num_irqs = VFIO_PCI_NUM_IRQS;
	return 0;
}

static long get_region_info(struct ioctl_call *call, void *arg)
{
	struct vfio_region_info *info = arg;

	if (info->index >= UVFIO_MDEV_REGIONS)
		return WHY(-EINVAL, "index %u: there are regions 0 to %u", info->index,
			   UVFIO_MDEV_REGIONS - 1u);
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->size = call_mdev(call)->pub.type->regions[info->index].size;
	info->offset = (uint64_t)info->index << MDEV_OFFSET_SHIFT;
	return 0;
}

static long get_irq_info(struct ioctl_call *call, void *arg)
{
	struct vfio_irq_info *info = arg;
	const struct uvfio_mdev_irq *irq;

	irq = info->index < UVFIO_MDEV_IRQS ? &call_mdev(call)->pub.type->irqs[info->index] : NULL;
	if (!irq || !irq->count)
		return WHY(-EINVAL, "index %u: the device has no such kind of interrupt", info->index);
	info->count = irq->count;
	info->flags = VFIO_IRQ_INFO_EVENTFD | (irq->maskable ? VFIO_IRQ_INFO_MASKABLE : 0) |
		      (irq->automasked ? VFIO_IRQ_INFO_AUTOMASKED : 0) |
		      (irq->noresize ? VFIO_IRQ_INFO_NORESIZE : 0);
	return 0;
}

static long set_irqs(struct ioctl_call *call, void *arg)
{
	struct mdev_device *mdev = call_mdev(call);
	const struct vfio_irq_set *set = arg;
	unsigned int nr = UVFIO_MDEV_IRQS;
	struct vfio_irq_data data;
	long rc;

	/* a kind that the device has not is refused later, with another error */
	if (set->index < UVFIO_MDEV_IRQS)
		nr = MAX(nr, mdev->pub.type->irqs[set->index].count);
	rc = vfio_irq_data_get(call, set, nr, UVFIO_MDEV_IRQS, &data);
	if (rc)
		return rc;
	rc = mdev_set_irqs(mdev, call->caller, set->flags, set->index, set->start, set->count, data.bytes);
	vfio_irq_data_put(&data);
	return rc;
}

static long reset(struct ioctl_call *call, void *arg)
{
	struct mdev_device *mdev = call_mdev(call);
	int rc;

	(void)arg;
	if (!mdev_ops(mdev)->reset)
		return WHY(-ENOTTY, "the device cannot be reset");
	vfio_device_lock(&mdev->vdev);
	model_host_hold(&mdev->host, "reset");
	IN_DRIVER(mdev, "reset", rc = mdev_ops(mdev)->reset(&mdev->pub));
	if (rc)
		rc = model_refused("the driver's reset", rc, "");
	model_host_release(&mdev->host);
	vfio_device_unlock(&mdev->vdev);
	return rc;
}

/* A mediated device has none of its own. */
static long feature(struct ioctl_call *call, void *arg)
{
	const struct vfio_device_feature *feature = arg;
	int rc = vfio_feature_check_flags(feature->flags);

	(void)call;
	return rc ? rc : WHY(-ENOTTY, "the device has no such feature");
}

static const struct ioctl_row rows[] = {
	{ .cmd = VFIO_DEVICE_GET_INFO,
	  .name = "VFIO_DEVICE_GET_INFO",
	  .minsz = offsetof(struct vfio_device_info, cap_offset),
	  .outsz = offsetof(struct vfio_device_info, cap_offset),
	  .row_flags = IOC_OUT_FIXED,
	  .handler = get_info,
	  .describe = vfio_describe_info },
	{ .cmd = VFIO_DEVICE_GET_REGION_INFO,
	  .name = "VFIO_DEVICE_GET_REGION_INFO",
	  .minsz = sizeof(struct vfio_region_info),
	  .outsz = sizeof(struct vfio_region_info),
	  .row_flags = IOC_OUT_FIXED,
	  .handler = get_region_info,
	  .describe = vfio_describe_region },
	{ .cmd = VFIO_DEVICE_GET_IRQ_INFO,
	  .name = "VFIO_DEVICE_GET_IRQ_INFO",
	  .minsz = sizeof(struct vfio_irq_info),
	  .outsz = sizeof(struct vfio_irq_info),
	  .row_flags = IOC_OUT_FIXED,
	  .handler = get_irq_info,
	  .describe = vfio_describe_irq },
	{ .cmd = VFIO_DEVICE_SET_IRQS,
	  .name = "VFIO_DEVICE_SET_IRQS",
	  .minsz = sizeof(struct vfio_irq_set),
	  .handler = set_irqs,
	  .describe = vfio_describe_set_irqs },
	{ .cmd = VFIO_DEVICE_RESET, .name = "VFIO_DEVICE_RESET", .row_flags = IOC_VALUE, .handler = reset },
	{ .cmd = VFIO_DEVICE_FEATURE,
	  .name = "VFIO_DEVICE_FEATURE",
	  .minsz = sizeof(struct vfio_device_feature),
	  .handler = feature,
	  .describe = vfio_describe_feature },
};

long mdev_ioctl(struct vfio_device *vdev, struct file *file, const struct caller *caller, uint32_t cmd,
		uint64_t arg)
{
	(void)vdev;
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}
