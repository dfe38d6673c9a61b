/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device files: what GET_DEVICE_FD makes. A device may have several; the first one opens the device, the last
 * one closes it. Everything else goes to the device's operations.
 */
#include "vfio/internal.h"

#include <fcntl.h>
#include <stdlib.h>

struct vfio_device_file {
	struct vfio_device *vdev;
	struct file *group_file; /* a reference */
};

static struct vfio_device *to_device(struct file *file)
{
	struct vfio_device_file *df = file->priv;

	return df->vdev;
}

static long device_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	struct vfio_device *vdev = to_device(file);

	return vdev->ops->ioctl ? vdev->ops->ioctl(vdev, file, caller, cmd, arg) : -EINVAL;
}

static ssize_t device_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			   uint64_t off)
{
	struct vfio_device *vdev = to_device(file);

	return vdev->ops->read ? vdev->ops->read(vdev, caller, buf, len, off) : -EINVAL;
}

static ssize_t device_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			    uint64_t off)
{
	struct vfio_device *vdev = to_device(file);

	return vdev->ops->write ? vdev->ops->write(vdev, caller, buf, len, off) : -EINVAL;
}

static int device_mmap(struct file *file, struct mmap_plan *plan)
{
	struct vfio_device *vdev = to_device(file);

	return vdev->ops->mmap ? vdev->ops->mmap(vdev, plan) : -EINVAL;
}

static int device_mmio(struct file *file, uint64_t off, void *data, unsigned int len, bool write)
{
	struct vfio_device *vdev = to_device(file);

	return vdev->ops->mmio ? vdev->ops->mmio(vdev, off, data, len, write) : -EIO;
}

static int device_open(struct vfio_device *vdev)
{
	int rc = 0;

	pthread_mutex_lock(&vdev->lock);
	if (!vdev->open_count && vdev->ops->open_device)
		rc = vdev->ops->open_device(vdev);
	if (!rc)
		vdev->open_count++;
	pthread_mutex_unlock(&vdev->lock);
	return rc;
}

static void device_close(struct vfio_device *vdev)
{
	pthread_mutex_lock(&vdev->lock);
	if (!--vdev->open_count && vdev->ops->close_device)
		vdev->ops->close_device(vdev);
	pthread_mutex_unlock(&vdev->lock);
}

static void device_release(struct file *file)
{
	struct vfio_device_file *df = file->priv;

	device_close(df->vdev);
	vfio_group_device_closed(df->vdev, df->group_file);
	free(df);
}

static const struct file_ops device_fops = {
	.name = "vfio-device",
	.release = device_release,
	.ioctl = device_ioctl,
	.read = device_read,
	.write = device_write,
	.mmap = device_mmap,
	.mmio = device_mmio,
};

struct vfio_device *vfio_file_device(struct file *file)
{
	return file->ops == &device_fops ? to_device(file) : NULL;
}

int vfio_device_open_file(struct vfio_device *vdev, struct file *group_file, struct file **file)
{
	struct vfio_device_file *df = calloc(1, sizeof(*df));
	struct file *made;
	int rc = -ENOMEM;

	if (!df)
		return -ENOMEM;
	df->vdev = vdev;
	df->group_file = group_file;
	rc = device_open(vdev);
	if (rc)
		goto err_free;
	made = file_alloc(&device_fops, df, O_RDWR, "anon_inode:[vfio-device]");
	if (!made) {
		rc = -ENOMEM;
		goto err_close;
	}
	file_get(group_file);
	*file = made;
	return 0;

err_close:
	device_close(vdev);
err_free:
	free(df);
	return rc;
}
