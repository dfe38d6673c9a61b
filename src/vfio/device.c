/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device files: what GET_DEVICE_FD makes, and opens of cdevs (cdev.c). A device may have several; the first
 * one opens the device, the last one closes it. Everything else goes to the device's operations, once the
 * file has access to them: one from a group always, a cdev when it is bound.
 */
#include "vfio/internal.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "uapi/vfio.h"

#include <stdlib.h>

static struct vfio_device *to_device(struct file *file)
{
	struct vfio_device_file *df = file->priv;

	return df->vdev;
}

/* Pairs with the store at the end of opening. */
static inline bool has_access(const struct file *file)
{
	const struct vfio_device_file *df = file->priv;

	return likely(atomic_load_explicit(&df->access_granted, memory_order_acquire));
}

static bool is_for_cdevs(uint32_t cmd)
{
	return cmd == VFIO_DEVICE_ATTACH_IOMMUFD_PT || cmd == VFIO_DEVICE_DETACH_IOMMUFD_PT;
}

#define NOT_BOUND "the device is not bound: VFIO_DEVICE_BIND_IOMMUFD comes first"

static long not_bound(struct file *file, uint32_t cmd)
{
	if (trace_on(TRACE_IOCTL))
		ioctl_trace_foreign(file, cmd, trace_now(), -EINVAL, NOT_BOUND);
	return -EINVAL;
}

static long device_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	struct vfio_device_file *df = file->priv;
	struct vfio_device *vdev = df->vdev;

	if (unlikely(cmd == VFIO_DEVICE_BIND_IOMMUFD))
		return vfio_df_ioctl_cdev(file, caller, cmd, arg);
	if (!has_access(file))
		return not_bound(file, cmd);
	if (unlikely(df->cdev && is_for_cdevs(cmd)))
		return vfio_df_ioctl_cdev(file, caller, cmd, arg);
	return vdev->ops->ioctl ? vdev->ops->ioctl(vdev, file, caller, cmd, arg) : -EINVAL;
}

static ssize_t device_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			   uint64_t off)
{
	struct vfio_device *vdev = to_device(file);

	if (!has_access(file))
		return WHY(-EINVAL, NOT_BOUND);
	if (!vdev->ops->read)
		return -EINVAL;
	return vdev->ops->read(vdev, caller, buf, len, off);
}

static ssize_t device_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			    uint64_t off)
{
	struct vfio_device *vdev = to_device(file);

	if (!has_access(file))
		return WHY(-EINVAL, NOT_BOUND);
	if (!vdev->ops->write)
		return -EINVAL;
	return vdev->ops->write(vdev, caller, buf, len, off);
}

static int device_mmap(struct file *file, struct mmap_plan *plan)
{
	struct vfio_device *vdev = to_device(file);

	if (!has_access(file))
		return WHY(-EINVAL, NOT_BOUND);
	return vdev->ops->mmap ? vdev->ops->mmap(vdev, plan) : -EINVAL;
}

static int device_mmio(struct file *file, uint64_t off, void *data, unsigned int len, bool write)
{
	struct vfio_device *vdev = to_device(file);

	return vdev->ops->mmio ? vdev->ops->mmio(vdev, off, data, len, write) : -EIO;
}

/* ---- opening and closing. The device is locked. */

static int bind_memory(struct vfio_device *vdev, struct iommufd_ctx *iommufd, uint32_t *devid)
{
	if (iommufd)
		return vfio_iommufd_bind(vdev, iommufd, devid);
	return vdev->group->emulated ? vfio_pins_open_container(vdev) : 0;
}

static void unbind_memory(struct vfio_device *vdev)
{
	vfio_iommufd_unbind(vdev);
	vfio_pins_close(vdev);
}

static int first_open(struct vfio_device_file *df, struct iommufd_ctx *iommufd, uint32_t *devid)
{
	struct vfio_device *vdev = df->vdev;
	int rc = bind_memory(vdev, iommufd, devid);

	if (rc)
		return rc;
	vfio_kvm_open(df);
	rc = vdev->ops->open_device ? vdev->ops->open_device(vdev) : 0;
	if (rc) {
		vfio_kvm_close(vdev);
		unbind_memory(vdev);
	}
	return rc;
}

int vfio_df_open(struct vfio_device_file *df, struct iommufd_ctx *iommufd, uint32_t *devid)
{
	struct vfio_device *vdev = df->vdev;
	int rc = 0;

	if (vdev->open_count && df->cdev)
		return WHY(-EINVAL, "the device is open already");
	if (!vdev->open_count)
		rc = first_open(df, iommufd, devid);
	if (!rc)
		vdev->open_count++;
	return rc;
}

void vfio_df_close(struct vfio_device_file *df)
{
	struct vfio_device *vdev = df->vdev;

	if (--vdev->open_count)
		return;
	vfio_pins_begin_close(vdev);
	if (vdev->ops->close_device)
		vdev->ops->close_device(vdev);
	vfio_kvm_close(vdev);
	unbind_memory(vdev);
}

/* ---- the file */

struct vfio_device_file *vfio_df_new(struct vfio_device *vdev)
{
	struct vfio_device_file *df = calloc(1, sizeof(*df));

	if (!df)
		return NULL;
	df->vdev = vdev;
	df->group = vdev->group;
	vfio_group_get(df->group);
	return df;
}

void vfio_df_free(struct vfio_device_file *df)
{
	vfio_device_put_registration(df->vdev);
	vfio_group_put(df->group);
	free(df);
}

static void device_release(struct file *file)
{
	struct vfio_device_file *df = file->priv;
	struct file *group_file = df->group_file;

	if (df->cdev) {
		vfio_df_unbind_iommufd(df);
	} else {
		vfio_device_lock(df->vdev);
		vfio_df_close(df);
		vfio_device_unlock(df->vdev);
		vfio_group_end_device_file(df->group, group_file);
	}
	vfio_df_free(df);
	if (group_file)
		file_put(group_file);
}

static const struct file_ops device_fops = {
	.name = "vfio-device",
	.release = device_release,
	.ioctl = device_ioctl,
	.read = device_read,
	.write = device_write,
	.mmap = device_mmap,
	.mmio = device_mmio,
	.asked_for_nothing = true,
};

struct file *vfio_df_file(struct vfio_device_file *df, int oflags, const char *path)
{
	return file_alloc(&device_fops, df, oflags, path);
}

struct vfio_device *vfio_file_device(struct file *file)
{
	return file->ops == &device_fops ? to_device(file) : NULL;
}

struct vfio_device_file *vfio_df_from_file(struct file *file)
{
	return file->ops == &device_fops ? file->priv : NULL;
}
