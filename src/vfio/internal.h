/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The objects of VFIO, and the calls between the files of this directory.
 *
 * Lock order: vfio.lock, vfio_group.lock, vfio_container.lock, then a back end's own lock; vfio_device.lock
 * is taken with none of them held.
 *
 * Who keeps what alive: a device file holds the group file that it came from; a group file holds its group,
 * which also the registry holds while it has devices; a group holds the container it is in, and so does the
 * container's file.
 */
#ifndef UVFIO_VFIO_INTERNAL_H
#define UVFIO_VFIO_INTERNAL_H

#include "vfio/vfio.h"

struct vfio {
	const struct iommu_params *params;
	_Atomic bool noiommu;
	pthread_mutex_t lock;
	struct cds_list_head groups;     /* under lock */
	struct cds_list_head devices;    /* under lock */
	pthread_mutex_t containers_lock; /* innermost */
	struct cds_list_head containers; /* under containers_lock */
	unsigned int last_container;     /* the newest one's id; under containers_lock */
};

struct vfio_group {
	struct vfio *vfio;
	unsigned int id;
	bool noiommu;
	_Atomic unsigned int refs;
	struct cds_list_head node; /* under vfio->lock */
	pthread_mutex_t lock;
	/* under lock */
	bool opened;
	unsigned int device_files; /* open, or being opened */
	struct cds_list_head devices;
	struct vfio_container *container;
	/* changed under lock and, in a container, under its lock, too: so either will do for looking */
	unsigned int nr_devices;             /* 0: the last device is gone, and the group with it */
	struct iommu_dev **iommu_devs;       /* of the devices, in no order: what a back end attaches */
	struct cds_list_head container_node; /* under container->lock */
};

struct vfio_container {
	struct vfio *vfio;
	struct cds_list_head node; /* under vfio->containers_lock */
	unsigned int id;
	_Atomic unsigned int refs;
	/*
	 * Held for reading by every ioctl that goes to the back end, for writing while groups join and leave:
	 * so a back end goes only when nobody is in it.
	 */
	pthread_rwlock_t lock;
	struct cds_list_head groups;
	bool noiommu;                           /* what kind of groups; has a meaning while there are any */
	const struct vfio_iommu_driver *driver; /* NULL: SET_IOMMU has not been done */
	void *data;
};

/* vfio.c */
void vfio_group_get(struct vfio_group *group);
void vfio_group_put(struct vfio_group *group);
/* The group of that number and kind, with a reference, or NULL. */
struct vfio_group *vfio_find_group(struct vfio *vfio, unsigned int id, bool noiommu);

/* container.c. The group's lock is held for all that take one. */

void vfio_container_forked(struct vfio_container *container);

/* False when its last reference is gone. containers_lock is held. */
bool vfio_container_get_if_live(struct vfio_container *container);

/* The container that file stands for, with a reference, or NULL. */
struct vfio_container *vfio_container_from_file(struct file *file);
void vfio_container_put(struct vfio_container *container);
int vfio_container_attach_group(struct vfio_container *container, struct vfio_group *group);
void vfio_group_detach_container(struct vfio_group *group); /* no device file is open */
bool vfio_container_has_iommu(struct vfio_container *container);
/* The back end's data, for its ioctl handlers. */
void *vfio_container_data(struct file *file);

/* device.c */

/*
 * Open vdev for a group file. The caller has counted the new device file in vdev->registrations and
 * group->device_files; on failure it takes that back. *file has one reference.
 */
int vfio_device_open_file(struct vfio_device *vdev, struct file *group_file, struct file **file);
/* group.c: a device file is gone. May release the group file. */
void vfio_group_device_closed(struct vfio_device *vdev, struct file *group_file);

#endif
