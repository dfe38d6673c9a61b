/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Group files: /dev/vfio/N and /dev/vfio/noiommu-N, one open at a time.
 *
 * A group is in a container from SET_CONTAINER to UNSET_CONTAINER or to the release of its file. Its device
 * files hold the group file, so it is released, and the group free to be opened again, only after the last of
 * them.
 */
#include "vfio/internal.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "uapi/vfio.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int (*vfio_group_claim)(unsigned int group_id, bool noiommu, bool claim);

unsigned int vfio_group_id(const struct vfio_group *group)
{
	return group->id;
}

bool vfio_group_is_noiommu(const struct vfio_group *group)
{
	return group->noiommu;
}

/* ---- containers */

static long ioctl_get_status(struct ioctl_call *call, void *arg)
{
	struct vfio_group *group = call->file->priv;
	struct vfio_group_status *status = arg;
	long rc = 0;

	/* All devices of a group are ours: it is always viable. */
	status->flags = VFIO_GROUP_FLAGS_VIABLE;
	pthread_mutex_lock(&group->lock);
	if (!group->nr_devices)
		rc = -ENODEV;
	else if (group->container)
		status->flags |= VFIO_GROUP_FLAGS_CONTAINER_SET;
	pthread_mutex_unlock(&group->lock);
	return rc;
}

/* file: what the descriptor stands for; NULL when it is not ours. */
static int set_container(struct vfio_group *group, struct file *file)
{
	struct vfio_container *container;
	int rc;

	if (group->container)
		return WHY(-EINVAL, "the group is in a container already");
	if (!group->nr_devices)
		return -ENODEV;
	container = file ? vfio_container_from_file(file) : NULL;
	if (!container)
		return WHY(-EBADFD, "the descriptor is open, but no container (/dev/vfio/vfio)");
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
	int rc = 0;

	(void)arg;
	pthread_mutex_lock(&group->lock);
	if (!group->container)
		rc = WHY(-EINVAL, "the group is in no container");
	else if (group->device_files)
		rc = WHY(-EBUSY, "a device of the group is open");
	else
		vfio_group_detach_container(group);
	pthread_mutex_unlock(&group->lock);
	return rc;
}

/* ---- devices */

/*
 * The caller's string at addr, with its end, into buf of a page: 0; -EFAULT; -EINVAL when it does not end in
 * time. Never reads beyond the page that the end is in.
 */
static int copy_string(const struct caller *caller, char *buf, uint64_t addr)
{
	size_t done = 0;

	while (done < UVFIO_PAGE_SIZE) {
		uint64_t to_page_end = UVFIO_PAGE_SIZE - ((addr + done) & UVFIO_PAGE_MASK);
		size_t n = MIN(to_page_end, (uint64_t)64);

		n = MIN(n, (size_t)UVFIO_PAGE_SIZE - done);
		if (copy_in(caller, buf + done, addr + done, n))
			return WHY(-EFAULT, "the argument is the address of the device's name");
		if (memchr(buf + done, 0, n))
			return 0;
		done += n;
	}
	return WHY(-EINVAL, "the name does not end within a page");
}

/* group->lock is held. 0 and *found, -ENODEV, or what the device says about the string's options. */
static int find_by_name(struct vfio_group *group, const char *name, struct vfio_device **found)
{
	struct vfio_device *vdev;
	const char *known = "";
	int rc;

	cds_list_for_each_entry (vdev, &group->devices, group_node) {
		known = vdev->name;
		rc = vdev->ops->match ? vdev->ops->match(vdev, name) : !strcmp(vdev->name, name);
		if (rc < 0)
			return WHY(rc, "\"%s\" is not %s, nor that with an option it takes", name, known);
		if (rc && !vdev->leaving) {
			*found = vdev;
			return 0;
		}
	}
	return WHY(-ENODEV, "group %u has no device \"%s\": names are like %s", group->id, name, known);
}

/* Find the device and count the file that is going to be: from here on nobody takes the container away. */
static int begin_device_file(struct vfio_group *group, const char *name, struct vfio_device **found)
{
	int rc;

	pthread_mutex_lock(&group->lock);
	rc = find_by_name(group, name, found);
	if (!rc && !group->container)
		rc = WHY(-EINVAL, "the group is in no container: VFIO_GROUP_SET_CONTAINER comes first");
	if (!rc && !vfio_container_has_iommu(group->container))
		rc = WHY(-EINVAL, "the container has no IOMMU: VFIO_SET_IOMMU comes first");
	if (!rc) {
		group->device_files++;
		(*found)->registrations++;
	}
	pthread_mutex_unlock(&group->lock);
	return rc;
}

/* Nothing of vdev may be touched afterwards: who waits to remove it is let go. */
static void end_device_file(struct vfio_group *group, struct vfio_device *vdev)
{
	pthread_mutex_lock(&group->lock);
	group->device_files--;
	if (--vdev->registrations == 0 && !vdev->holds)
		pthread_cond_broadcast(&vdev->released);
	pthread_mutex_unlock(&group->lock);
}

void vfio_group_device_closed(struct vfio_device *vdev, struct file *group_file)
{
	end_device_file(group_file->priv, vdev);
	file_put(group_file);
}

static long get_device_fd(struct ioctl_call *call, const char *name)
{
	struct vfio_group *group = call->file->priv;
	struct vfio_device *vdev;
	struct file *file;
	int rc;

	rc = begin_device_file(group, name, &vdev);
	if (rc)
		return rc;
	rc = vfio_device_open_file(vdev, call->file, &file);
	if (rc) {
		end_device_file(group, vdev);
		return rc;
	}
	return call->caller->ops->install(call->caller, file, O_CLOEXEC);
}

static long ioctl_get_device_fd(struct ioctl_call *call, void *arg)
{
	char *name = malloc(UVFIO_PAGE_SIZE);
	long rc;

	(void)arg;
	if (!name)
		return -ENOMEM;
	rc = copy_string(call->caller, name, call->arg);
	if (!rc)
		rc = get_device_fd(call, name);
	free(name);
	return rc;
}

/* ---- the file */

static void describe_status(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_group_status *status = arg;

	(void)call;
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

static void describe_name(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	char name[64];
	size_t room = (size_t)(UVFIO_PAGE_SIZE - (call->arg & UVFIO_PAGE_MASK));

	(void)arg;
	memset(name, 0, sizeof(name));
	if (!copy_in(call->caller, name, call->arg, MIN(room, sizeof(name) - 1)))
		snprintf(buf, len, "name=\"%s\"", name);
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
	  .handler = ioctl_get_device_fd,
	  .describe = describe_name },
};

static long group_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

/* Device files hold this file: there are none any more. */
static void group_release(struct file *file)
{
	struct vfio_group *group = file->priv;

	pthread_mutex_lock(&group->lock);
	if (group->container)
		vfio_group_detach_container(group);
	group->opened = false;
	if (vfio_group_claim)
		vfio_group_claim(group->id, group->noiommu, false);
	pthread_mutex_unlock(&group->lock);
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
		rc = -ENODEV;
	else if (group->opened)
		rc = -EBUSY;
	else if (vfio_group_claim)
		rc = vfio_group_claim(group->id, group->noiommu, true);
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
		return -ENODEV;
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
	if (vfio_group_claim)
		vfio_group_claim(group->id, group->noiommu, false);
	pthread_mutex_unlock(&group->lock);
err:
	vfio_group_put(group);
	return rc;
}
