/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Group files: /dev/vfio/N and /dev/vfio/noiommu-N, one open at a time.
 *
 * A group is in a container from SET_CONTAINER to UNSET_CONTAINER or to the release of its file. Its device
 * files hold the group file, so it is released, and the group free to be opened again, only after the last of
 * them.
 *
 * An IOMMUFD may take the container's place. Then each device is bound to it when it is opened, and attached
 * to its compat IOAS; the group as such has nothing to do with it, and its device files do not hold it.
 */
#include "vfio/internal.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "uapi/vfio.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

int (*vfio_group_claim)(unsigned int group_id, bool noiommu, bool claim);

unsigned int vfio_group_id(const struct vfio_group *group)
{
	return group->id;
}

bool vfio_group_is_noiommu(const struct vfio_group *group)
{
	return group->noiommu;
}

/* ---- who uses the group: this process, of a session's. The group's lock is held. */

static int get_claim(struct vfio_group *group)
{
	int rc = 0;

	if (!group->claims && vfio_group_claim)
		rc = vfio_group_claim(group->id, group->noiommu, true);
	if (!rc)
		group->claims++;
	return rc == -EBUSY ? WHY(rc, "another process has the group or a device of it open") : rc;
}

static void put_claim(struct vfio_group *group)
{
	if (!--group->claims && vfio_group_claim)
		vfio_group_claim(group->id, group->noiommu, false);
}

int vfio_device_block_group(struct vfio_device *vdev)
{
	struct vfio_group *group = vdev->group;
	int rc;

	pthread_mutex_lock(&group->lock);
	rc = group->opened ? -EBUSY : get_claim(group);
	if (!rc)
		group->cdevs_opened++;
	pthread_mutex_unlock(&group->lock);
	return rc ? WHY(rc, "the device's group, /dev/vfio/%u, is in use", group->id) : 0;
}

void vfio_device_unblock_group(struct vfio_device *vdev)
{
	struct vfio_group *group = vdev->group;

	pthread_mutex_lock(&group->lock);
	group->cdevs_opened--;
	put_claim(group);
	pthread_mutex_unlock(&group->lock);
}

/* ---- containers */

static bool dma_is_claimed(struct iommu_group *group)
{
	bool claimed;

	pthread_mutex_lock(&group->lock);
	claimed = group->owner_count;
	pthread_mutex_unlock(&group->lock);
	return claimed;
}

static long ioctl_get_status(struct ioctl_call *call, void *arg)
{
	struct vfio_group *group = call->file->priv;
	struct vfio_group_status *status = arg;
	long rc = 0;

	status->flags = 0;
	pthread_mutex_lock(&group->lock);
	if (!group->nr_devices)
		rc = -ENODEV;
	else if (group->container || group->iommufd)
		status->flags = VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET;
	else if (!dma_is_claimed(&group->iommu))
		status->flags = VFIO_GROUP_FLAGS_VIABLE; /* all its devices are ours */
	pthread_mutex_unlock(&group->lock);
	return rc;
}

static int set_iommufd(struct vfio_group *group, struct file *file)
{
	struct iommufd_ctx *ctx = file ? iommufd_ctx_from_file(file) : NULL;
	int rc;

	if (!ctx)
		return WHY(-EBADFD, "the descriptor is open, but neither a container (/dev/vfio/vfio) nor an "
				    "IOMMUFD (/dev/iommu)");
	rc = group->noiommu ? iommufd_vfio_compat_set_no_iommu(ctx) : iommufd_vfio_compat_ioas_create(ctx);
	if (rc)
		iommufd_ctx_put(ctx);
	else
		group->iommufd = ctx;
	return rc;
}

/* file: what the descriptor stands for; NULL when it is not ours. */
static int set_container(struct vfio_group *group, struct file *file)
{
	struct vfio_container *container;
	int rc;

	if (group->container || group->iommufd)
		return WHY(-EINVAL, "the group is in a container already");
	if (!group->nr_devices)
		return -ENODEV;
	container = file ? vfio_container_from_file(file) : NULL;
	if (!container)
		return set_iommufd(group, file);
	rc = container->vfio == group->vfio ? vfio_container_attach_group(container, group) : -EBADFD;
	vfio_container_put(container);
	return rc;
}

static long ioctl_set_container(struct ioctl_call *call, void *arg)
{
	struct vfio_group *group = call->file->priv;
	struct file *file = NULL;
	int32_t fd;
	int rc;

	(void)arg;
	if (copy_in(call->caller, &fd, call->arg, sizeof(fd)))
		return WHY(-EFAULT, "the argument is the address of the container's descriptor");
	rc = call->caller->ops->get_file(call->caller, fd, &file);
	if (rc && rc != -EBADFD)
		return WHY(rc, "%d is no open descriptor", fd);
	pthread_mutex_lock(&group->lock);
	rc = set_container(group, rc ? NULL : file);
	pthread_mutex_unlock(&group->lock);
	if (file)
		file_put(file);
	return rc;
}

static long ioctl_unset_container(struct ioctl_call *call, void *arg)
{
	struct vfio_group *group = call->file->priv;
	struct iommufd_ctx *ctx;
	int rc = 0;

	(void)arg;
	pthread_mutex_lock(&group->lock);
	ctx = group->iommufd;
	group->iommufd = NULL;
	if (!group->container && !ctx)
		rc = WHY(-EINVAL, "the group is in no container");
	else if (group->container && group->device_files)
		rc = WHY(-EBUSY, "a device of the group is open");
	else if (group->container)
		vfio_group_detach_container(group);
	pthread_mutex_unlock(&group->lock);
	if (ctx)
		iommufd_ctx_put(ctx);
	return rc;
}

/* ---- device files: group_device.c */

bool vfio_device_try_get_registration(struct vfio_device *vdev)
{
	vdev->registrations += !vdev->leaving;
	return !vdev->leaving;
}

void vfio_device_put_registration(struct vfio_device *vdev)
{
	struct vfio_group *group = vdev->group;

	pthread_mutex_lock(&group->lock);
	if (--vdev->registrations == 0 && !vdev->holds)
		pthread_cond_broadcast(&vdev->released);
	pthread_mutex_unlock(&group->lock);
}

void vfio_group_end_device_file(struct vfio_group *group, bool in_container)
{
	pthread_mutex_lock(&group->lock);
	if (in_container)
		group->device_files--;
	else
		put_claim(group);
	pthread_mutex_unlock(&group->lock);
}

/* ---- the file */

static void describe_status(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_group_status *status = arg;

	if (call->rc)
		return;
	snprintf(buf, len, "flags=%s%s", status->flags & VFIO_GROUP_FLAGS_VIABLE ? "VIABLE" : "0",
		 status->flags & VFIO_GROUP_FLAGS_CONTAINER_SET ? "|CONTAINER_SET" : "");
}

static void describe_fd(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	int32_t fd;

	(void)arg;
	if (!copy_in(call->caller, &fd, call->arg, sizeof(fd)))
		snprintf(buf, len, "container=%d", fd);
}

static const struct ioctl_row rows[] = {
	{ .cmd = VFIO_GROUP_GET_STATUS,
	  .name = "VFIO_GROUP_GET_STATUS",
	  .minsz = offsetofend(struct vfio_group_status, flags),
	  .outsz = offsetofend(struct vfio_group_status, flags),
	  .row_flags = IOC_OUT,
	  .handler = ioctl_get_status,
	  .describe = describe_status },
	{ .cmd = VFIO_GROUP_SET_CONTAINER,
	  .name = "VFIO_GROUP_SET_CONTAINER",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_set_container,
	  .describe = describe_fd },
	{ .cmd = VFIO_GROUP_UNSET_CONTAINER,
	  .name = "VFIO_GROUP_UNSET_CONTAINER",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_unset_container },
	{ .cmd = VFIO_GROUP_GET_DEVICE_FD,
	  .name = "VFIO_GROUP_GET_DEVICE_FD",
	  .row_flags = IOC_VALUE,
	  .handler = vfio_group_ioctl_get_device_fd,
	  .describe = vfio_group_describe_device_fd },
};

static long group_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

/* Device files that need the container hold this file: there are none any more. */
static void group_release(struct file *file)
{
	struct vfio_group *group = file->priv;
	struct iommufd_ctx *ctx;

	pthread_mutex_lock(&group->lock);
	if (group->container)
		vfio_group_detach_container(group);
	ctx = group->iommufd;
	group->iommufd = NULL;
	group->opened = false;
	put_claim(group);
	pthread_mutex_unlock(&group->lock);
	if (ctx)
		iommufd_ctx_put(ctx);
	vfio_group_put(group);
}

static const struct file_ops group_fops = {
	.name = "vfio-group",
	.release = group_release,
	.ioctl = group_ioctl,
};

struct vfio_group *vfio_file_group(struct file *file)
{
	return file->ops == &group_fops ? file->priv : NULL;
}

/* Make the group the caller's: this process opens it once, and of the session's processes only one. */
static int claim_group(struct vfio_group *group)
{
	int rc = 0;

	pthread_mutex_lock(&group->lock);
	if (!group->nr_devices)
		rc = WHY(-ENODEV, "the group has no device any more");
	else if (group->opened)
		rc = WHY(-EBUSY, "the group is open already, and is open once at a time");
	else if (group->cdevs_opened)
		rc = WHY(-EBUSY, "a device of the group is bound by its cdev (/dev/vfio/devices)");
	else
		rc = get_claim(group);
	if (!rc)
		group->opened = true;
	pthread_mutex_unlock(&group->lock);
	return rc;
}

int vfio_group_open(struct vfio *vfio, unsigned int group_id, bool noiommu, int oflags, struct file **file)
{
	struct vfio_group *group = vfio_find_group(vfio, group_id, noiommu);
	struct file *made;
	char path[64];
	int rc;

	if (!group)
		return WHY(-ENODEV, "there is no such group");
	snprintf(path, sizeof(path), "/dev/vfio/%s%u", noiommu ? "noiommu-" : "", group_id);
	rc = claim_group(group);
	if (rc)
		goto err;
	made = file_alloc(&group_fops, group, oflags, path);
	if (!made) {
		rc = -ENOMEM;
		goto err_claimed;
	}
	*file = made;
	return 0;

err_claimed:
	pthread_mutex_lock(&group->lock);
	group->opened = false;
	put_claim(group);
	pthread_mutex_unlock(&group->lock);
err:
	vfio_group_put(group);
	return rc;
}
