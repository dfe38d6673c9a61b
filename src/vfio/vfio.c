/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry: which devices and groups there are.
 *
 * A group exists from its first device to its last. Both kinds of group, with and without an IOMMU, have
 * their numbers in one space, as in the kernel.
 */
#include "vfio/internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a driver that was asked to let go of its device is left alone before it is asked again. */
#define REQUEST_INTERVAL_SECONDS 10

/* As many as there are minor numbers. */
#define MAX_DEVICES (1u << 20)

struct vfio *vfio_new(const struct iommu_params *params, bool noiommu)
{
	struct vfio *vfio = calloc(1, sizeof(*vfio));

	if (!vfio)
		return NULL;
	vfio->params = params;
	vfio->noiommu = noiommu;
	pthread_mutex_init(&vfio->lock, NULL);
	CDS_INIT_LIST_HEAD(&vfio->groups);
	CDS_INIT_LIST_HEAD(&vfio->devices);
	id_init(&vfio->indexes, MAX_DEVICES);
	pthread_mutex_init(&vfio->containers_lock, NULL);
	CDS_INIT_LIST_HEAD(&vfio->containers);
	return vfio;
}

void vfio_free(struct vfio *vfio)
{
	if (!vfio)
		return;
	id_destroy(&vfio->indexes);
	pthread_mutex_destroy(&vfio->containers_lock);
	pthread_mutex_destroy(&vfio->lock);
	free(vfio);
}

static void init_locks(struct vfio_device *vdev)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&vdev->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&vdev->released, &attr);
	pthread_condattr_destroy(&attr);
}

void vfio_forked(struct vfio *vfio)
{
	struct vfio_container *container;
	struct vfio_group *group;
	struct vfio_device *vdev;

	pthread_mutex_init(&vfio->lock, NULL);
	pthread_mutex_init(&vfio->containers_lock, NULL);
	vfio_page_holders_forked();
	cds_list_for_each_entry (group, &vfio->groups, node) {
		pthread_mutex_init(&group->lock, NULL);
		pthread_mutex_init(&group->iommu.lock, NULL);
		vfio_notifiers_forked(&group->notifiers);
	}
	cds_list_for_each_entry (vdev, &vfio->devices, node) {
		vdev->holds = 0;
		init_locks(vdev);
		if (vdev->noiommu)
			vfio_noiommu_forked(vdev->noiommu);
		vfio_pins_forked(vdev);
	}
	cds_list_for_each_entry (container, &vfio->containers, node)
		vfio_container_forked(container);
}

void vfio_group_get(struct vfio_group *group)
{
	atomic_fetch_add_explicit(&group->refs, 1, memory_order_relaxed);
}

void vfio_group_put(struct vfio_group *group)
{
	if (atomic_fetch_sub_explicit(&group->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&group->lock);
	iommu_group_destroy(&group->iommu);
	vfio_notifiers_destroy(&group->notifiers);
	free(group->iommu_devs);
	free(group);
}

/* What is behind a group: all its devices are of one kind. */
enum group_kind { KIND_IOMMU, KIND_NOIOMMU, KIND_EMULATED };

static enum group_kind kind_of(const struct vfio_group *group)
{
	return group->noiommu ? KIND_NOIOMMU : group->emulated ? KIND_EMULATED : KIND_IOMMU;
}

static struct vfio_group *group_new(struct vfio *vfio, unsigned int id, enum group_kind kind)
{
	struct vfio_group *group = calloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->vfio = vfio;
	group->id = id;
	group->noiommu = kind == KIND_NOIOMMU;
	group->emulated = kind == KIND_EMULATED;
	atomic_init(&group->refs, 1);
	iommu_group_init(&group->iommu, id);
	vfio_notifiers_init(&group->notifiers);
	pthread_mutex_init(&group->lock, NULL);
	CDS_INIT_LIST_HEAD(&group->devices);
	return group;
}

/* vfio->lock is held. */
static struct vfio_group *find_group(struct vfio *vfio, unsigned int id)
{
	struct vfio_group *group;

	cds_list_for_each_entry (group, &vfio->groups, node)
		if (group->id == id)
			return group;
	return NULL;
}

struct vfio_group *vfio_find_group(struct vfio *vfio, unsigned int id, bool noiommu)
{
	struct vfio_group *group;

	pthread_mutex_lock(&vfio->lock);
	group = find_group(vfio, id);
	if (group && group->noiommu != noiommu)
		group = NULL;
	if (group)
		vfio_group_get(group);
	pthread_mutex_unlock(&vfio->lock);
	return group;
}

/* vfio->lock is held. */
static struct vfio_device *find_device(struct vfio *vfio, const char *name)
{
	struct vfio_device *vdev;

	cds_list_for_each_entry (vdev, &vfio->devices, node)
		if (!strcmp(vdev->name, name))
			return vdev;
	return NULL;
}

struct vfio_device *vfio_find_device(struct vfio *vfio, const char *name)
{
	struct vfio_device *vdev;

	pthread_mutex_lock(&vfio->lock);
	vdev = find_device(vfio, name);
	pthread_mutex_unlock(&vfio->lock);
	return vdev;
}

static bool in_use(const struct vfio_device *vdev)
{
	return vdev->registrations || vdev->holds;
}

struct vfio_device *vfio_device_get(struct vfio *vfio, const char *name)
{
	struct vfio_device *vdev;
	struct vfio_group *group;

	pthread_mutex_lock(&vfio->lock);
	vdev = find_device(vfio, name);
	if (vdev) {
		group = vdev->group;
		pthread_mutex_lock(&group->lock);
		if (vdev->leaving && !in_use(vdev)) {
			vdev = NULL;
		} else {
			vdev->holds++;
			vfio_group_get(group);
		}
		pthread_mutex_unlock(&group->lock);
	}
	pthread_mutex_unlock(&vfio->lock);
	return vdev;
}

void vfio_device_put(struct vfio_device *vdev)
{
	struct vfio_group *group = vdev->group;

	pthread_mutex_lock(&group->lock);
	vdev->holds--;
	if (!in_use(vdev))
		pthread_cond_broadcast(&vdev->released);
	pthread_mutex_unlock(&group->lock);
	vfio_group_put(group);
}

void vfio_device_set_leaving(struct vfio_device *vdev, bool leaving)
{
	pthread_mutex_lock(&vdev->group->lock);
	vdev->leaving = leaving;
	pthread_mutex_unlock(&vdev->group->lock);
}

void vfio_allow_noiommu(struct vfio *vfio)
{
	atomic_store(&vfio->noiommu, true);
}

/* ---- the devices of a group. Its lock is held. */

static void lock_container(struct vfio_group *group)
{
	if (group->container)
		pthread_rwlock_wrlock(&group->container->lock);
}

static void unlock_container(struct vfio_group *group)
{
	if (group->container)
		pthread_rwlock_unlock(&group->container->lock);
}

/* All devices of a group in a container are translated alike: one that joins late gets the domain of those
 * that are there. */
static void join_domain(struct vfio_group *group, struct iommu_dev *dev)
{
	if (group->container && group->nr_devices)
		iommu_dev_attach(dev, atomic_load(&group->iommu_devs[0]->domain));
}

/* The container is locked. */
static int add_iommu_dev(struct vfio_group *group, struct iommu_dev *dev)
{
	struct iommu_dev **devs = realloc(group->iommu_devs, (group->nr_devices + 1) * sizeof(*devs));

	if (!devs)
		return -ENOMEM;
	group->iommu_devs = devs;
	join_domain(group, dev);
	devs[group->nr_devices] = dev;
	return 0;
}

/* The container is locked. */
static void remove_iommu_dev(struct vfio_group *group, struct iommu_dev *dev)
{
	for (unsigned int i = 0; i < group->nr_devices; i++)
		if (group->iommu_devs[i] == dev)
			group->iommu_devs[i] = group->iommu_devs[group->nr_devices - 1];
	iommu_dev_attach(dev, NULL);
}

static int add_to_group(struct vfio_group *group, struct vfio_device *vdev)
{
	int rc = 0;

	lock_container(group);
	if (!group->emulated)
		rc = add_iommu_dev(group, vdev->iommu_dev);
	if (!rc) {
		group->nr_devices++;
		cds_list_add_tail(&vdev->group_node, &group->devices);
		vdev->group = group;
	}
	unlock_container(group);
	return rc;
}

/* The last device takes the group out of its container. (An IOMMUFD goes when the group is closed.) */
static void remove_from_group(struct vfio_group *group, struct vfio_device *vdev)
{
	if (group->container && group->nr_devices == 1)
		vfio_group_detach_container(group);
	lock_container(group);
	if (!group->emulated)
		remove_iommu_dev(group, vdev->iommu_dev);
	group->nr_devices--;
	cds_list_del(&vdev->group_node);
	unlock_container(group);
}

/* ---- registration */

static void init_device(struct vfio_device *vdev, struct vfio *vfio)
{
	vdev->vfio = vfio;
	vdev->open_count = vdev->registrations = vdev->holds = 0;
	vdev->iommufd_device = NULL;
	vdev->pins = NULL;
	vdev->iommufd_attached = false;
	vdev->pasids = NULL;
	vdev->nr_pasids = 0;
	vdev->noiommu = NULL;
	vdev->kvm_file = NULL;
	vdev->driver_notifier = (struct vfio_notifier){ 0 };
	atomic_init(&vdev->unmap_notifiers, 0);
	atomic_init(&vdev->cdev_opened, false);
	vdev->leaving = false;
	init_locks(vdev);
}

static void fini_device(struct vfio_device *vdev)
{
	pthread_cond_destroy(&vdev->released);
	pthread_mutex_destroy(&vdev->lock);
}

/* Give vdev the number that is asked for, or the lowest that is free. vfio->lock is held. */
static int take_index(struct vfio *vfio, struct vfio_device *vdev, unsigned int index)
{
	vdev->index = index;
	return index == VFIO_ANY_INDEX ? id_alloc(&vfio->indexes, &vdev->index)
				       : id_reserve(&vfio->indexes, index);
}

static int register_device(struct vfio *vfio, struct vfio_device *vdev, unsigned int group_id,
			   enum group_kind kind, unsigned int index)
{
	struct vfio_group *group, *made = NULL;
	int rc = -EINVAL;

	init_device(vdev, vfio);
	pthread_mutex_lock(&vfio->lock);
	if (find_device(vfio, vdev->name)) {
		rc = -EEXIST;
		goto err;
	}
	group = find_group(vfio, group_id);
	if (group && kind_of(group) != kind)
		goto err;
	if (!group) {
		rc = -ENOMEM;
		group = made = group_new(vfio, group_id, kind);
		if (!group)
			goto err;
	}
	rc = take_index(vfio, vdev, index);
	if (rc)
		goto err_group;
	if (kind != KIND_EMULATED)
		iommufd_emulated_dev_init(&vdev->hw, vdev->iommu_dev, &group->iommu, vfio->params);
	pthread_mutex_lock(&group->lock);
	rc = add_to_group(group, vdev);
	pthread_mutex_unlock(&group->lock);
	if (rc)
		goto err_index;
	if (made)
		cds_list_add_tail(&made->node, &vfio->groups);
	cds_list_add_tail(&vdev->node, &vfio->devices);
	pthread_mutex_unlock(&vfio->lock);
	return 0;

err_index:
	id_free(&vfio->indexes, vdev->index);
err_group:
	if (made)
		vfio_group_put(made);
err:
	pthread_mutex_unlock(&vfio->lock);
	fini_device(vdev);
	return rc;
}

int vfio_register_device(struct vfio *vfio, struct vfio_device *vdev, unsigned int group_id, bool noiommu,
			 unsigned int index)
{
	if (noiommu && !vfio->noiommu)
		return -EINVAL;
	return register_device(vfio, vdev, group_id, noiommu ? KIND_NOIOMMU : KIND_IOMMU, index);
}

int vfio_register_emulated_iommu_dev(struct vfio *vfio, struct vfio_device *vdev, unsigned int group_id,
				     unsigned int index)
{
	vdev->iommu_dev = NULL;
	return register_device(vfio, vdev, group_id, KIND_EMULATED, index);
}

/* Wait for the last file of vdev, and remind its user now and then. The group's lock is held; it is dropped
 * to ask. */
static void wait_for_users(struct vfio_device *vdev, struct vfio_group *group)
{
	struct timespec until;

	for (unsigned int asked = 0; in_use(vdev); asked++) {
		if (vdev->ops->request && vdev->registrations) {
			pthread_mutex_unlock(&group->lock);
			vdev->ops->request(vdev, asked);
			pthread_mutex_lock(&group->lock);
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += REQUEST_INTERVAL_SECONDS;
		while (in_use(vdev))
			if (pthread_cond_timedwait(&vdev->released, &group->lock, &until))
				break;
	}
}

void vfio_unregister_device(struct vfio_device *vdev)
{
	struct vfio_group *group = vdev->group;
	struct vfio *vfio = vdev->vfio;
	bool last;

	pthread_mutex_lock(&group->lock);
	vdev->leaving = true;
	wait_for_users(vdev, group);
	pthread_mutex_unlock(&group->lock);
	vfio_notifiers_end(vdev);

	pthread_mutex_lock(&vfio->lock);
	pthread_mutex_lock(&group->lock);
	remove_from_group(group, vdev);
	last = !group->nr_devices;
	pthread_mutex_unlock(&group->lock);
	if (last)
		cds_list_del(&group->node);
	cds_list_del(&vdev->node);
	id_free(&vfio->indexes, vdev->index);
	pthread_mutex_unlock(&vfio->lock);
	if (last)
		vfio_group_put(group);
	fini_device(vdev);
}
