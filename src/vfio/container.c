/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Containers: what an open of /dev/vfio/vfio makes.
 *
 * A container holds groups; with SET_IOMMU it gets a back end, to which every ioctl goes that is not the
 * container's own. The last group to leave takes the back end, and with it all mappings, along; the container
 * is as new then. A failed SET_IOMMU leaves the container as it was.
 */
#include "vfio/internal.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "uapi/type1_text.h"

#include <stdlib.h>
#include <string.h>

static const struct vfio_iommu_driver *const drivers[] = { &vfio_type1_driver, &vfio_spapr_driver,
							   &vfio_noiommu_driver };

static void container_get(struct vfio_container *container)
{
	atomic_fetch_add_explicit(&container->refs, 1, memory_order_relaxed);
}

bool vfio_container_get_if_live(struct vfio_container *container)
{
	unsigned int refs = atomic_load(&container->refs);

	while (refs)
		if (atomic_compare_exchange_weak(&container->refs, &refs, refs + 1))
			return true;
	return false;
}

void vfio_container_put(struct vfio_container *container)
{
	if (atomic_fetch_sub_explicit(&container->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_lock(&container->vfio->containers_lock);
	cds_list_del(&container->node);
	pthread_mutex_unlock(&container->vfio->containers_lock);
	pthread_rwlock_destroy(&container->lock);
	free(container);
}

/* A client that maps in a loop must not keep a group from leaving. */
static void init_lock(struct vfio_container *container)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&container->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void vfio_container_forked(struct vfio_container *container)
{
	init_lock(container);
	if (container->driver)
		container->driver->forked(container->data);
}

const struct iommu_params *vfio_container_params(const struct vfio_container *container)
{
	return container->vfio->params;
}

bool vfio_noiommu_allowed(const struct vfio_container *container)
{
	return container->vfio->noiommu;
}

void *vfio_container_data(struct file *file)
{
	struct vfio_container *container = file->priv;

	return container->data;
}

void vfio_container_reset_devices(struct file *file)
{
	struct vfio_container *container = file->priv;
	struct vfio_group *group;
	struct vfio_device *vdev;

	cds_list_for_each_entry (group, &container->groups, container_node)
		cds_list_for_each_entry (vdev, &group->devices, group_node)
			if (vdev->ops->reset)
				vdev->ops->reset(vdev);
}

bool vfio_container_has_iommu(struct vfio_container *container)
{
	bool has;

	pthread_rwlock_rdlock(&container->lock);
	has = container->driver;
	pthread_rwlock_unlock(&container->lock);
	return has;
}

/* ---- groups. container->lock is held for writing by the static functions. */

static int attach_group(struct vfio_group *group, const struct vfio_iommu_driver *driver, void *data)
{
	if (group->emulated && !driver->attach_emulated)
		return WHY(-EINVAL, "containers of this type take no mediated devices");
	if (group->emulated)
		return driver->attach_emulated(data);
	return driver->attach_group(data, group->iommu_devs, group->nr_devices);
}

static void detach_group(struct vfio_group *group, const struct vfio_iommu_driver *driver, void *data)
{
	if (group->emulated)
		driver->detach_emulated(data);
	else
		driver->detach_group(data, group->iommu_devs, group->nr_devices);
}

static int attach_all(struct vfio_container *container, const struct vfio_iommu_driver *driver, void *data)
{
	struct vfio_group *group, *failed = NULL;
	int rc = 0;

	cds_list_for_each_entry (group, &container->groups, container_node) {
		rc = attach_group(group, driver, data);
		if (rc) {
			failed = group;
			break;
		}
	}
	if (!rc)
		return 0;
	cds_list_for_each_entry (group, &container->groups, container_node) {
		if (group == failed)
			break;
		detach_group(group, driver, data);
	}
	return rc;
}

int vfio_container_attach_group(struct vfio_container *container, struct vfio_group *group)
{
	int rc = 0;

	pthread_rwlock_wrlock(&container->lock);
	if (!cds_list_empty(&container->groups) && container->noiommu != group->noiommu)
		rc = WHY(-EPERM, "the container has groups %s an IOMMU",
			 container->noiommu ? "without" : "with");
	else
		rc = iommu_group_claim(&group->iommu, group);
	if (!rc && container->driver) {
		rc = attach_group(group, container->driver, container->data);
		if (rc)
			iommu_group_release(&group->iommu);
	}
	if (!rc) {
		container->noiommu = group->noiommu;
		cds_list_add_tail(&group->container_node, &container->groups);
		container_get(container);
		group->container = container;
	}
	pthread_rwlock_unlock(&container->lock);
	return rc;
}

void vfio_group_detach_container(struct vfio_group *group)
{
	struct vfio_container *container = group->container;
	const struct vfio_iommu_driver *driver;

	pthread_rwlock_wrlock(&container->lock);
	driver = container->driver;
	if (driver)
		detach_group(group, driver, container->data);
	iommu_group_release(&group->iommu);
	cds_list_del(&group->container_node);
	group->container = NULL;
	if (driver && cds_list_empty(&container->groups)) {
		driver->release(container->data);
		container->driver = NULL;
		container->data = NULL;
	}
	pthread_rwlock_unlock(&container->lock);
	vfio_container_put(container);
}

struct type1 *vfio_container_pinnable(struct vfio_container *container)
{
	const struct vfio_iommu_driver *driver = container->driver;

	return driver->pinnable ? driver->pinnable(container->data) : NULL;
}

/* ---- the container's own ioctls */

static long ioctl_get_api_version(struct ioctl_call *call, void *arg)
{
	(void)call;
	(void)arg;
	return VFIO_API_VERSION;
}

/* What the machine's IOMMU has. Without groups anything of that; no-IOMMU groups have their own driver, which
 * serves nobody else. */
static bool driver_allowed(struct vfio_container *container, const struct vfio_iommu_driver *driver)
{
	if (driver->iommu && strcmp(driver->iommu, container->vfio->params->type))
		return false;
	return cds_list_empty(&container->groups) || container->noiommu == driver->noiommu;
}

static long ioctl_check_extension(struct ioctl_call *call, void *arg)
{
	struct vfio_container *container = call->file->priv;
	long rc = 0;

	(void)arg;
	pthread_rwlock_rdlock(&container->lock);
	if (container->driver)
		rc = container->driver->check_extension(container, container->data, call->arg);
	else
		for (size_t i = 0; i < ARRAY_SIZE(drivers) && rc <= 0; i++)
			if (driver_allowed(container, drivers[i]))
				rc = drivers[i]->check_extension(container, NULL, call->arg);
	pthread_rwlock_unlock(&container->lock);
	return rc;
}

static int try_driver(struct vfio_container *container, const struct vfio_iommu_driver *driver, uint64_t type,
		      struct mm *mm)
{
	void *data;
	int rc;

	rc = driver->open(container, type, mm, &data);
	if (rc)
		return rc;
	rc = attach_all(container, driver, data);
	if (rc) {
		driver->release(data);
		return rc;
	}
	container->driver = driver;
	container->data = data;
	return 0;
}

/* The first that SET_IOMMU may ask for, or NULL. */
static const struct vfio_iommu_driver *allowed_driver(struct vfio_container *container)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (driver_allowed(container, drivers[i]))
			return drivers[i];
	return NULL;
}

static const char *allowed_types(struct vfio_container *container)
{
	const struct vfio_iommu_driver *driver = allowed_driver(container);

	return driver ? driver->types : "none";
}

static long ioctl_set_iommu(struct ioctl_call *call, void *arg)
{
	struct vfio_container *container = call->file->priv;
	int rc = -ENODEV;

	(void)arg;
	pthread_rwlock_wrlock(&container->lock);
	if (cds_list_empty(&container->groups)) {
		rc = WHY(-EINVAL, "no group is in the container: VFIO_GROUP_SET_CONTAINER comes first");
		goto out;
	}
	if (container->driver) {
		rc = WHY(-EINVAL, "the container has an IOMMU already");
		goto out;
	}
	for (size_t i = 0; i < ARRAY_SIZE(drivers) && rc; i++) {
		if (!driver_allowed(container, drivers[i]) ||
		    drivers[i]->check_extension(container, NULL, call->arg) <= 0)
			continue;
		rc = try_driver(container, drivers[i], call->arg, call->caller->mm);
	}
	if (rc == -ENODEV)
		WHY(rc, "type %llu: %s", (unsigned long long)call->arg, allowed_types(container));
out:
	pthread_rwlock_unlock(&container->lock);
	return rc;
}

static void describe_extension(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	(void)arg;
	vfio_extension_text(call->arg, buf, len);
}

static const struct ioctl_row rows[] = {
	{ .cmd = VFIO_GET_API_VERSION,
	  .name = "VFIO_GET_API_VERSION",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_get_api_version },
	{ .cmd = VFIO_CHECK_EXTENSION,
	  .name = "VFIO_CHECK_EXTENSION",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_check_extension,
	  .describe = describe_extension },
	{ .cmd = VFIO_SET_IOMMU,
	  .name = "VFIO_SET_IOMMU",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_set_iommu,
	  .describe = describe_extension },
};

/* ---- the file */

/* A request for the back end, while there is none. */
static void trace_too_early(struct vfio_container *container, const struct file *file, uint32_t cmd, long rc)
{
	static const char why[] = "no IOMMU is set: VFIO_SET_IOMMU comes first";
	const struct vfio_iommu_driver *driver = allowed_driver(container);
	const char *name = driver && driver->request ? driver->request(cmd) : NULL;

	if (name)
		ioctl_trace_refused(file, name, cmd, trace_now(), rc, why);
	else
		ioctl_trace_foreign(file, cmd, trace_now(), rc, why);
}

static long to_back_end(struct vfio_container *container, struct file *file, const struct caller *caller,
			uint32_t cmd, uint64_t arg)
{
	long rc;

	pthread_rwlock_rdlock(&container->lock);
	if (likely(container->driver)) {
		rc = container->driver->ioctl(container->data, file, caller, cmd, arg);
	} else {
		rc = -EINVAL;
		if (trace_on(TRACE_IOCTL))
			trace_too_early(container, file, cmd, rc);
	}
	pthread_rwlock_unlock(&container->lock);
	return rc;
}

static long container_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	switch (cmd) {
	case VFIO_GET_API_VERSION:
	case VFIO_CHECK_EXTENSION:
	case VFIO_SET_IOMMU:
		return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
	default:
		return to_back_end(file->priv, file, caller, cmd, arg);
	}
}

static void container_release(struct file *file)
{
	vfio_container_put(file->priv);
}

static const struct file_ops container_fops = {
	.name = "vfio-container",
	.release = container_release,
	.ioctl = container_ioctl,
};

struct vfio_container *vfio_container_from_file(struct file *file)
{
	struct vfio_container *container;

	if (file->ops != &container_fops)
		return NULL;
	container = file->priv;
	container_get(container);
	return container;
}

static struct vfio_container *container_new(struct vfio *vfio)
{
	struct vfio_container *container = calloc(1, sizeof(*container));

	if (!container)
		return NULL;
	container->vfio = vfio;
	atomic_init(&container->refs, 1);
	CDS_INIT_LIST_HEAD(&container->groups);
	init_lock(container);
	pthread_mutex_lock(&vfio->containers_lock);
	cds_list_add_tail(&container->node, &vfio->containers);
	container->id = ++vfio->last_container;
	pthread_mutex_unlock(&vfio->containers_lock);
	return container;
}

int vfio_container_open(struct vfio *vfio, int oflags, struct file **file)
{
	struct vfio_container *container = container_new(vfio);

	if (!container)
		return -ENOMEM;
	*file = file_alloc(&container_fops, container, oflags, "/dev/vfio/vfio");
	if (!*file) {
		vfio_container_put(container);
		return -ENOMEM;
	}
	return 0;
}
