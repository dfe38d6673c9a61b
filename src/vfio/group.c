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

/* ---- who uses the group: this process, of a session's. The group's lock is held. */

static int get_claim(struct vfio_group *group)
{
	int rc = 0;

	if (!group->claims && vfio_group_claim)
		rc = vfio_group_claim(group->id, group->noiommu, true);
	if (!rc)
		group->claims++;
	return rc;
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
		return WHY(-EBADFD, "the descriptor is open, but no container (/dev/vfio/vfio)");
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
		if (rc && !vdev->leaving) { /* -ENODEV for one that is going */
			*found = vdev;
			return 0;
		}
	}
	return WHY(-ENODEV, "group %u has no device \"%s\": names are like %s", group->id, name, known);
}

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

static int check_container(struct vfio_group *group)
{
	if (group->iommufd)
		return 0;
	if (!group->container)
		return WHY(-EINVAL, "the group is in no container: VFIO_GROUP_SET_CONTAINER comes first");
	if (!vfio_container_has_iommu(group->container))
		return WHY(-EINVAL, "the container has no IOMMU: VFIO_SET_IOMMU comes first");
	return 0;
}

/*
 * Find the device and count the file that is going to be: from here on nobody takes the container away.
 * *iommufd: what takes the container's place, a reference, or NULL.
 */
static int begin_device_file(struct vfio_group *group, const char *name, struct vfio_device **found,
			     struct iommufd_ctx **iommufd)
{
	int rc;

	pthread_mutex_lock(&group->lock);
	rc = find_by_name(group, name, found);
	if (!rc)
		rc = check_container(group);
	if (!rc && !vfio_device_try_get_registration(*found))
		rc = -ENODEV;
	if (!rc) {
		*iommufd = group->iommufd;
		if (*iommufd) {
			iommufd_ctx_get(*iommufd);
			group->claims++; /* the device may stay open longer than the group */
		} else {
			group->device_files++;
		}
	}
	pthread_mutex_unlock(&group->lock);
	return rc;
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

/* The device is locked. */
static int open_device(struct vfio_device_file *df, struct iommufd_ctx *iommufd, struct mm *mm)
{
	struct vfio_device *vdev = df->vdev;
	uint32_t id;
	int rc;

	if (iommufd && df->group->noiommu && !vdev->open_count &&
	    !iommufd_vfio_compat_ioas_get_id(iommufd, &id))
		return WHY(-EPERM, "the IOMMUFD has a compat IOAS: translation was expected");
	rc = vfio_df_open(df, iommufd, &id);
	if (!rc && iommufd && vdev->open_count == 1) {
		rc = vfio_iommufd_compat_attach(vdev, iommufd, mm);
		if (rc)
			vfio_df_close(df);
	}
	if (!rc)
		atomic_store_explicit(&df->access_granted, true, memory_order_release);
	return rc;
}

static int open_device_file(struct ioctl_call *call, struct vfio_device_file *df, struct iommufd_ctx *iommufd,
			    struct file **file)
{
	int rc;

	vfio_device_lock(df->vdev);
	rc = open_device(df, iommufd, call->caller->mm);
	if (!rc) {
		*file = vfio_df_file(df, O_RDWR, "anon_inode:[vfio-device]");
		if (!*file) {
			vfio_df_close(df);
			rc = -ENOMEM;
		}
	}
	vfio_device_unlock(df->vdev);
	if (!rc && !iommufd) {
		file_get(call->file);
		df->group_file = call->file;
	}
	return rc;
}

static long get_device_fd(struct ioctl_call *call, const char *name)
{
	struct vfio_group *group = call->file->priv;
	struct iommufd_ctx *iommufd;
	struct vfio_device_file *df;
	struct vfio_device *vdev;
	struct file *file;
	int rc;

	rc = begin_device_file(group, name, &vdev, &iommufd);
	if (rc)
		return rc;
	df = vfio_df_new(vdev);
	rc = df ? open_device_file(call, df, iommufd, &file) : -ENOMEM;
	if (iommufd)
		iommufd_ctx_put(iommufd);
	if (!rc)
		return call->caller->ops->install(call->caller, file, O_CLOEXEC);
	vfio_group_end_device_file(group, !iommufd);
	if (df)
		vfio_df_free(df);
	else
		vfio_device_put_registration(vdev);
	return rc;
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
		rc = -ENODEV;
	else if (group->opened || group->cdevs_opened)
		rc = -EBUSY;
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
	put_claim(group);
	pthread_mutex_unlock(&group->lock);
err:
	vfio_group_put(group);
	return rc;
}
