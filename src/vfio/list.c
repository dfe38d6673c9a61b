/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What there is and who uses it, for those who look from outside. Nobody's call waits for a listing longer
 * than it takes to copy it.
 */
#include "iommu/mm_usage.h"
#include "vfio/internal.h"

#include <stdlib.h>
#include <string.h>

bool vfio_device_state(struct vfio *vfio, const char *name, unsigned int *files, bool *leaving)
{
	struct vfio_device *vdev;
	bool found = false;

	pthread_mutex_lock(&vfio->lock);
	cds_list_for_each_entry (vdev, &vfio->devices, node) {
		if (strcmp(vdev->name, name))
			continue;
		pthread_mutex_lock(&vdev->group->lock);
		*files = vdev->registrations;
		*leaving = vdev->leaving;
		pthread_mutex_unlock(&vdev->group->lock);
		found = true;
	}
	pthread_mutex_unlock(&vfio->lock);
	return found;
}

bool vfio_group_state(struct vfio *vfio, unsigned int id, struct vfio_group_info *info)
{
	struct vfio_group *group;
	bool found = false;

	pthread_mutex_lock(&vfio->lock);
	cds_list_for_each_entry (group, &vfio->groups, node) {
		if (group->id != id)
			continue;
		pthread_mutex_lock(&group->lock);
		*info = (struct vfio_group_info){
			.id = id,
			.noiommu = group->noiommu,
			.opened = group->opened,
			.cdev_opened = group->cdevs_opened,
			.container = group->container ? group->container->id : 0,
			.iommufd = group->iommufd,
		};
		pthread_mutex_unlock(&group->lock);
		found = true;
	}
	pthread_mutex_unlock(&vfio->lock);
	return found;
}

/* References to all containers. *nr of them, allocated, or NULL. */
static struct vfio_container **get_all(struct vfio *vfio, unsigned int *nr)
{
	struct vfio_container **all, *container;
	unsigned int room = 0;

	*nr = 0;
	pthread_mutex_lock(&vfio->containers_lock);
	cds_list_for_each_entry (container, &vfio->containers, node)
		room++;
	all = calloc(room + 1, sizeof(struct vfio_container *));
	cds_list_for_each_entry (container, &vfio->containers, node)
		if (all && vfio_container_get_if_live(container))
			all[(*nr)++] = container;
	pthread_mutex_unlock(&vfio->containers_lock);
	return all;
}

/* Fill info with what needs the container's lock. */
static int look(struct vfio_container *container, unsigned int max, struct vfio_container_info *info,
		struct vfio_mapping_list *list, unsigned int **groups)
{
	const struct vfio_iommu_driver *driver;
	struct vfio_group *group;
	int rc = 0;

	pthread_rwlock_rdlock(&container->lock);
	cds_list_for_each_entry (group, &container->groups, container_node)
		info->nr_groups++;
	*groups = calloc(info->nr_groups + 1, sizeof(**groups));
	info->nr_groups = 0;
	cds_list_for_each_entry (group, &container->groups, container_node)
		if (*groups)
			(*groups)[info->nr_groups++] = group->id;
	driver = container->driver;
	info->type = !driver ? "none" : driver->type ? driver->type(container->data) : "noiommu";
	if (driver && driver->list)
		rc = driver->list(container->data, list, max);
	pthread_rwlock_unlock(&container->lock);
	return *groups ? rc : -ENOMEM;
}

static int show(struct vfio_container *container, unsigned int max,
		void (*fn)(void *arg, const struct vfio_container_info *info), void *arg)
{
	struct vfio_mapping_list list = { 0 };
	struct vfio_container_info info = { .id = container->id, .mappings = &list };
	unsigned int *groups = NULL;
	int rc = look(container, max, &info, &list, &groups);

	info.groups = groups;
	if (!rc)
		fn(arg, &info);
	free(groups);
	free(list.mappings);
	return rc;
}

int vfio_each_container(struct vfio *vfio, unsigned int max,
			void (*fn)(void *arg, const struct vfio_container_info *info), void *arg)
{
	unsigned int nr;
	struct vfio_container **all = get_all(vfio, &nr);
	int rc = all ? 0 : -ENOMEM;

	for (unsigned int i = 0; all && i < nr; i++) {
		if (!rc)
			rc = show(all[i], max, fn, arg);
		vfio_container_put(all[i]);
	}
	free(all);
	return rc;
}

static int show_usage(struct vfio_container *container,
		      void (*fn)(void *arg, unsigned int id, const struct mm_usages *usages), void *arg)
{
	struct mm_usages usages = { 0 };
	int rc;

	pthread_rwlock_rdlock(&container->lock);
	if (container->driver && container->driver->usages)
		container->driver->usages(container->data, &usages);
	pthread_rwlock_unlock(&container->lock);
	rc = usages.no_memory ? -ENOMEM : 0;
	if (!rc)
		fn(arg, container->id, &usages);
	mm_usages_free(&usages);
	return rc;
}

int vfio_each_container_usage(struct vfio *vfio,
			      void (*fn)(void *arg, unsigned int id, const struct mm_usages *usages),
			      void *arg)
{
	unsigned int nr;
	struct vfio_container **all = get_all(vfio, &nr);
	int rc = all ? 0 : -ENOMEM;

	for (unsigned int i = 0; all && i < nr; i++) {
		if (!rc)
			rc = show_usage(all[i], fn, arg);
		vfio_container_put(all[i]);
	}
	free(all);
	return rc;
}
