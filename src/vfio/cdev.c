/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cdevs: /dev/vfio/devices/vfioN, a device's own node.
 *
 * A file of it keeps the device from going away and can do nothing else. BIND_IOMMUFD opens the device for
 * the file and gives it access; of the files of a device one at a time is bound, for the rest of its life.
 * While one is, nobody opens the device's group, and while the group is open, nobody binds.
 */
#include "vfio/internal.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "uapi/vfio.h"

#include <stdio.h>

/* ---- BIND_IOMMUFD */

#ifndef VFIO_DEVICE_BIND_FLAG_TOKEN
#define VFIO_DEVICE_BIND_FLAG_TOKEN (1 << 0)
#endif

/* struct vfio_device_bind_iommufd with its newest member, which not every header has. */
struct bind {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
	uint64_t token_uuid_ptr;
};

static int check_bind(const struct bind *bind, const struct vfio_device_file *df)
{
	if (bind->iommufd < 0)
		return WHY(-EINVAL, "iommufd is %d", bind->iommufd);
	if (bind->flags & ~(uint32_t)VFIO_DEVICE_BIND_FLAG_TOKEN)
		return WHY(-EINVAL, "flags 0x%x: known is TOKEN (1)", bind->flags);
	if (!df->cdev)
		return WHY(-EINVAL,
			   "this descriptor came from a group; those of /dev/vfio/devices are bound");
	return 0;
}

/* What BIND refers to, fetched before the device is locked; the order in which mistakes count is another. */
struct bind_args {
	bool has_token;
	uint8_t token[16];
	int token_rc;
	struct iommufd_ctx *ctx; /* a reference, or NULL */
	int ctx_rc;
};

static int get_iommufd(const struct caller *caller, int32_t fd, struct iommufd_ctx **ctx)
{
	struct file *file;
	int rc = caller->ops->get_file(caller, fd, &file);

	*ctx = rc ? NULL : iommufd_ctx_from_file(file);
	if (!rc)
		file_put(file);
	if (rc == -EBADF)
		return rc;
	return *ctx ? 0 : -EBADFD;
}

static void fetch_args(const struct ioctl_call *call, const struct bind *bind, struct bind_args *args)
{
	*args = (struct bind_args){ .has_token = bind->flags & VFIO_DEVICE_BIND_FLAG_TOKEN };
	if (args->has_token && copy_in(call->caller, args->token, bind->token_uuid_ptr, sizeof(args->token)))
		args->token_rc = -EFAULT;
	args->ctx_rc = get_iommufd(call->caller, bind->iommufd, &args->ctx);
}

static int check_token(struct vfio_device *vdev, const struct bind_args *args)
{
	if (!vdev->ops->match_token_uuid)
		return args->has_token ? WHY(-EINVAL, "the device takes no token") : 0;
	if (args->token_rc)
		return WHY(args->token_rc, "the token is not readable memory");
	return vdev->ops->match_token_uuid(vdev, args->has_token ? args->token : NULL);
}

/* The device is locked. */
static int open_bound(struct vfio_device_file *df, const struct bind_args *args, struct bind *bind)
{
	int rc;

	if (atomic_load(&df->access_granted))
		return WHY(-EINVAL, "this descriptor is bound already");
	rc = check_token(df->vdev, args);
	if (rc)
		return rc;
	if (args->ctx_rc == -EBADF)
		return WHY(-EBADF, "%d is no open descriptor", bind->iommufd);
	if (args->ctx_rc)
		return WHY(args->ctx_rc, "descriptor %d is no IOMMUFD (/dev/iommu)", bind->iommufd);
	return vfio_df_open(df, args->ctx, &bind->out_devid);
}

static int tell_devid(const struct ioctl_call *call, const struct bind *bind)
{
	return copy_out(call->caller, call->arg + offsetof(struct bind, out_devid), &bind->out_devid,
			sizeof(bind->out_devid))
		       ? WHY(-EFAULT, "the argument at 0x%llx is not writable memory",
			     (unsigned long long)call->arg)
		       : 0;
}

/* The device is open for df, which nobody else knows yet. Consumes the reference of ctx on success. */
static int grant_access(const struct ioctl_call *call, struct vfio_device_file *df, struct iommufd_ctx *ctx,
			const struct bind *bind)
{
	int rc = tell_devid(call, bind);

	vfio_device_lock(df->vdev);
	if (rc) {
		vfio_df_close(df);
	} else {
		df->iommufd = ctx;
		atomic_store(&df->vdev->cdev_opened, true);
		atomic_store_explicit(&df->access_granted, true, memory_order_release);
	}
	vfio_device_unlock(df->vdev);
	return rc;
}

static int bind_device(struct ioctl_call *call, struct vfio_device_file *df, struct bind *bind)
{
	struct bind_args args;
	int rc;

	fetch_args(call, bind, &args);
	vfio_device_lock(df->vdev);
	rc = open_bound(df, &args, bind);
	vfio_device_unlock(df->vdev);
	if (!rc)
		rc = grant_access(call, df, args.ctx, bind);
	if (rc && args.ctx)
		iommufd_ctx_put(args.ctx);
	return rc;
}

static long ioctl_bind(struct ioctl_call *call, void *arg)
{
	struct vfio_device_file *df = call->file->priv;
	int rc = check_bind(arg, df);

	if (!rc)
		rc = vfio_device_block_group(df->vdev);
	if (rc)
		return rc;
	rc = bind_device(call, df, arg);
	if (rc)
		vfio_device_unblock_group(df->vdev);
	return rc;
}

/* Nobody else has the file any more. */
void vfio_df_unbind_iommufd(struct vfio_device_file *df)
{
	if (!df->iommufd)
		return;
	vfio_device_lock(df->vdev);
	vfio_df_close(df);
	atomic_store(&df->vdev->cdev_opened, false);
	vfio_device_unlock(df->vdev);
	iommufd_ctx_put(df->iommufd);
	vfio_device_unblock_group(df->vdev);
}

/* ---- ATTACH and DETACH. Of their structures the part that PASIDs need comes with a flag only. */

/* Copy in what is behind *arg's first min bytes, up to size. */
static int copy_pasid(const struct ioctl_call *call, void *arg, size_t min, size_t size)
{
	if (call->argsz < size)
		return WHY(-EINVAL, "argsz %u, at least %zu with a PASID", call->argsz, size);
	if (copy_in(call->caller, (char *)arg + min, call->arg + min, size - min))
		return WHY(-EFAULT, "the argument at 0x%llx is not readable memory",
			   (unsigned long long)call->arg);
	return 0;
}

static long ioctl_attach(struct ioctl_call *call, void *arg)
{
	const size_t pt_id = offsetof(struct vfio_device_attach_iommufd_pt, pt_id);
	struct vfio_device_file *df = call->file->priv;
	struct vfio_device_attach_iommufd_pt *attach = arg;
	bool pasid = attach->flags & VFIO_DEVICE_ATTACH_PASID;
	int rc = 0;

	if (pasid)
		rc = copy_pasid(call, arg, offsetofend(struct vfio_device_attach_iommufd_pt, pt_id),
				sizeof(*attach));
	if (rc)
		return rc;
	vfio_device_lock(df->vdev);
	rc = pasid ? vfio_iommufd_pasid_attach(df->vdev, attach->pasid, &attach->pt_id)
		   : vfio_iommufd_attach(df->vdev, &attach->pt_id);
	vfio_device_unlock(df->vdev);
	if (rc || !copy_out(call->caller, call->arg + pt_id, &attach->pt_id, sizeof(attach->pt_id)))
		return rc;
	vfio_device_lock(df->vdev);
	vfio_iommufd_detach(df->vdev);
	vfio_device_unlock(df->vdev);
	return WHY(-EFAULT, "the argument at 0x%llx is not writable memory", (unsigned long long)call->arg);
}

static long ioctl_detach(struct ioctl_call *call, void *arg)
{
	struct vfio_device_file *df = call->file->priv;
	struct vfio_device_detach_iommufd_pt *detach = arg;
	bool pasid = detach->flags & VFIO_DEVICE_DETACH_PASID;
	int rc = 0;

	if (pasid)
		rc = copy_pasid(call, arg, offsetofend(struct vfio_device_detach_iommufd_pt, flags),
				sizeof(*detach));
	if (rc)
		return rc;
	vfio_device_lock(df->vdev);
	if (pasid)
		vfio_iommufd_pasid_detach(df->vdev, detach->pasid);
	else
		vfio_iommufd_detach(df->vdev);
	vfio_device_unlock(df->vdev);
	return 0;
}

/* ---- the table */

static void describe_bind(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct bind *bind = arg;
	int n = snprintf(buf, len, "flags=0x%x iommufd=%d", bind->flags, bind->iommufd);

	if (!call->rc && (size_t)n < len)
		snprintf(buf + n, len - (size_t)n, " -> devid=%u", bind->out_devid);
}

static void describe_attach(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_device_attach_iommufd_pt *attach = arg, *in = call->in;
	int n = snprintf(buf, len, "pt=%u", in->pt_id);

	if (attach->flags & VFIO_DEVICE_ATTACH_PASID)
		n += snprintf(buf + n, len - (size_t)n, " PASID=%u", attach->pasid);
	if (!call->rc)
		snprintf(buf + n, len - (size_t)n, " -> hwpt=%u", attach->pt_id);
}

static void describe_detach(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_device_detach_iommufd_pt *detach = arg;

	(void)call;
	if (detach->flags & VFIO_DEVICE_DETACH_PASID)
		snprintf(buf, len, "PASID=%u", detach->pasid);
}

static const struct ioctl_row rows[] = {
	{ .cmd = VFIO_DEVICE_BIND_IOMMUFD,
	  .name = "VFIO_DEVICE_BIND_IOMMUFD",
	  .minsz = offsetofend(struct bind, out_devid),
	  .fullsz = sizeof(struct bind),
	  .row_flags = IOC_SIZED,
	  .handler = ioctl_bind,
	  .describe = describe_bind },
	{ .cmd = VFIO_DEVICE_ATTACH_IOMMUFD_PT,
	  .name = "VFIO_DEVICE_ATTACH_IOMMUFD_PT",
	  .minsz = offsetofend(struct vfio_device_attach_iommufd_pt, pt_id),
	  .check_flags = true,
	  .known_flags = VFIO_DEVICE_ATTACH_PASID,
	  .flag_names = "PASID",
	  .handler = ioctl_attach,
	  .describe = describe_attach },
	{ .cmd = VFIO_DEVICE_DETACH_IOMMUFD_PT,
	  .name = "VFIO_DEVICE_DETACH_IOMMUFD_PT",
	  .minsz = offsetofend(struct vfio_device_detach_iommufd_pt, flags),
	  .check_flags = true,
	  .known_flags = VFIO_DEVICE_DETACH_PASID,
	  .flag_names = "PASID",
	  .handler = ioctl_detach,
	  .describe = describe_detach },
};

long vfio_df_ioctl_cdev(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

/* ---- opening */

/* The device with that index, counted in its registrations, or NULL. */
static struct vfio_device *get_by_index(struct vfio *vfio, unsigned int index)
{
	struct vfio_device *vdev, *found = NULL;

	pthread_mutex_lock(&vfio->lock);
	cds_list_for_each_entry (vdev, &vfio->devices, node) {
		if (vdev->index != index || vdev->group->noiommu)
			continue;
		pthread_mutex_lock(&vdev->group->lock);
		if (vfio_device_try_get_registration(vdev))
			found = vdev;
		pthread_mutex_unlock(&vdev->group->lock);
	}
	pthread_mutex_unlock(&vfio->lock);
	return found;
}

int vfio_cdev_open(struct vfio *vfio, unsigned int index, int oflags, struct file **file)
{
	struct vfio_device *vdev = get_by_index(vfio, index);
	struct vfio_device_file *df;
	char path[64];

	if (!vdev)
		return WHY(-ENODEV, "no device has this number, or it is being removed");
	df = vfio_df_new(vdev);
	if (!df) {
		vfio_device_put_registration(vdev);
		return -ENOMEM;
	}
	df->cdev = true;
	snprintf(path, sizeof(path), VFIO_CDEV_NODES "%u", index);
	*file = vfio_df_file(df, oflags, path);
	if (*file)
		return 0;
	vfio_df_free(df);
	return -ENOMEM;
}
