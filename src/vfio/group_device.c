/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO_GROUP_GET_DEVICE_FD: a device of the group by its name, opened for the container or the IOMMUFD that
 * the group uses.
 */
#include "vfio/internal.h"

#include "base/why.h"
#include "file/ioctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

long vfio_group_ioctl_get_device_fd(struct ioctl_call *call, void *arg)
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

void vfio_group_describe_device_fd(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	char name[64];
	size_t room = (size_t)(UVFIO_PAGE_SIZE - (call->arg & UVFIO_PAGE_MASK));

	(void)arg;
	memset(name, 0, sizeof(name));
	if (!copy_in(call->caller, name, call->arg, MIN(room, sizeof(name) - 1)))
		snprintf(buf, len, "name=\"%s\"", name);
}
