/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The objects of VFIO, and the calls between the files of this directory.
 *
 * Lock order: vfio.lock, vfio_group.lock, vfio_container.lock, then a back end's own lock; vfio_device.lock
 * is taken with none of them held, for a hot reset those of all functions of a slot in their order, and
 * IOMMUFD's locks inside it.
 *
 * Who keeps what alive: a device file holds its group, and counts as a registration of its device; one that
 * came from a group in a container holds the group's file, too. (On an IOMMUFD the group may be closed, and
 * leave, while its devices are open: then they stay bound.) A group file holds its group, which also the
 * registry holds while it has devices; a group holds the container or IOMMUFD that it uses. A bound device
 * holds its IOMMUFD.
 *
 * A device does DMA for one owner at a time (struct iommu_group): for its group from SET_CONTAINER on, or for
 * the IOMMUFD that it, or another device of the group, is bound to.
 */
#ifndef UVFIO_VFIO_INTERNAL_H
#define UVFIO_VFIO_INTERNAL_H

#include "base/id.h"
#include "iommufd/iommufd.h"
#include "vfio/vfio.h"

struct vfio {
	const struct iommu_params *params;
	_Atomic bool noiommu;
	pthread_mutex_t lock;
	struct cds_list_head groups;     /* under lock */
	struct cds_list_head devices;    /* under lock */
	struct id_allocator indexes;     /* of devices; under lock */
	pthread_mutex_t containers_lock; /* innermost */
	struct cds_list_head containers; /* under containers_lock */
	unsigned int last_container;     /* the newest one's id; under containers_lock */
};

/* A group's VM, and who is told: kvm.c. */
struct vfio_notifiers {
	struct kvm *kvm;      /* under the turn */
	pthread_mutex_t lock; /* innermost; protects what follows */
	pthread_cond_t changed;
	unsigned int depth; /* how often owner has taken the turn; 0: it is free */
	pthread_t owner;
	struct cds_list_head list; /* changed under the turn, too */
	struct cds_list_head cursors;
};

struct vfio_group {
	struct vfio *vfio;
	unsigned int id;
	bool noiommu;
	bool emulated; /* its devices do no DMA by themselves: iommu_devs stays NULL */
	_Atomic unsigned int refs;
	struct iommu_group iommu;
	struct vfio_notifiers notifiers;
	struct cds_list_head node; /* under vfio->lock */
	pthread_mutex_t lock;
	/* under lock */
	bool opened;
	unsigned int
		cdevs_opened; /* cdevs of its devices that are bound, or being bound: nobody opens it then */
	unsigned int claims;  /* who needs this process's claim: open, or that many bound cdevs */
	unsigned int device_files;        /* open, or being opened, while it is in a container */
	struct vfio_container *container; /* one of the two, or none */
	struct iommufd_ctx *iommufd;      /* a reference */
	/* changed under lock and, in a container, under its lock, too: so either will do for looking */
	struct cds_list_head devices;
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
/* What devices of a group in it pin pages of, while a device of it is open. NULL: nothing. */
struct type1 *vfio_container_pinnable(struct vfio_container *container);
/* All devices of its groups, for a back end's ioctl handlers. */
void vfio_container_reset_devices(struct file *file);
/* The back end's data, for its ioctl handlers. */
void *vfio_container_data(struct file *file);

/* ---- device files (device.c). What refers to them in other files of this directory: */

struct vfio_device_file {
	struct vfio_device *vdev; /* counted in its registrations */
	struct vfio_group *group; /* a reference */
	struct file *group_file;  /* a reference; NULL: a cdev's, or one of a group on an IOMMUFD */
	bool cdev;
	_Atomic bool access_granted; /* set once, under vdev->lock: opened, or bound */
	struct iommufd_ctx *iommufd; /* of a cdev that is bound: a reference; under vdev->lock */
	struct kvm *kvm;             /* under the group's turn */
};

/* A file for vdev, in whose registrations the caller has counted it; free takes that back. NULL: no memory.
 */
struct vfio_device_file *vfio_df_new(struct vfio_device *vdev);
void vfio_df_free(struct vfio_device_file *df);
/* An open file of it. NULL: no memory. */
struct file *vfio_df_file(struct vfio_device_file *df, int oflags, const char *path);

/*
 * Open and close the device for a file. It is locked. The first open binds it to iommufd, if any, and *devid
 * is its id there then.
 */
int vfio_df_open(struct vfio_device_file *df, struct iommufd_ctx *iommufd, uint32_t *devid);
void vfio_df_close(struct vfio_device_file *df);
/* NULL: file is no device's. */
struct vfio_device_file *vfio_df_from_file(struct file *file);

/* ---- kvm.c */

void vfio_notifiers_init(struct vfio_notifiers *chain);
void vfio_notifiers_destroy(struct vfio_notifiers *chain);
void vfio_notifiers_forked(struct vfio_notifiers *chain);
void vfio_notifiers_end(struct vfio_device *vdev); /* nobody calls it any more */
/* Around open_device and close_device. The device is locked. */
void vfio_kvm_open(struct vfio_device_file *df);
void vfio_kvm_close(struct vfio_device *vdev);
/* Does anybody want to know what is unmapped? Who pins must. */
bool vfio_device_told_of_unmaps(const struct vfio_device *vdev);
/* Tell the driver and notifiers. No lock is held. */
void vfio_notify_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t length);

/* ---- group_device.c */

struct ioctl_call;
long vfio_group_ioctl_get_device_fd(struct ioctl_call *call, void *arg);
void vfio_group_describe_device_fd(const struct ioctl_call *call, const void *arg, char *buf, size_t len);

/* ---- group.c */

/* Nothing of vdev may be touched after the last put: who waits to remove it is let go. */
bool vfio_device_try_get_registration(struct vfio_device *vdev); /* group->lock is held */
void vfio_device_put_registration(struct vfio_device *vdev);
/* A device file of the group is gone, but not yet its reference to the group's file. */
void vfio_group_end_device_file(struct vfio_group *group, bool in_container);
/* Nobody opens the group while cdevs of its devices are bound. -EBUSY: somebody has. */
int vfio_device_block_group(struct vfio_device *vdev);
void vfio_device_unblock_group(struct vfio_device *vdev);

/* ---- cdev.c */

#define VFIO_CDEV_NODES "/dev/vfio/devices/vfio"
/* BIND_IOMMUFD; and ATTACH and DETACH, of a cdev that is bound. */
long vfio_df_ioctl_cdev(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg);
void vfio_df_unbind_iommufd(struct vfio_device_file *df);

/* ---- iommufd.c. The device is locked. */

int vfio_iommufd_bind(struct vfio_device *vdev, struct iommufd_ctx *ctx, uint32_t *devid);
void vfio_iommufd_unbind(struct vfio_device *vdev); /* if it is bound; detaches */
int vfio_iommufd_attach(struct vfio_device *vdev, uint32_t *pt_id);
void vfio_iommufd_detach(struct vfio_device *vdev);
int vfio_iommufd_pasid_attach(struct vfio_device *vdev, uint32_t pasid, uint32_t *pt_id);
void vfio_iommufd_pasid_detach(struct vfio_device *vdev, uint32_t pasid);
/* To the context's compat IOAS; a device without an IOMMU: to the memory of mm. */
int vfio_iommufd_compat_attach(struct vfio_device *vdev, struct iommufd_ctx *ctx, struct mm *mm);

/*
 * ---- pin.c: what a device of an emulated group reaches memory by, from before open_device to behind
 * close_device. The device is locked.
 */

int vfio_pins_open_container(struct vfio_device *vdev); /* its group's */
int vfio_pins_open_iommufd(struct vfio_device *vdev, struct iommufd_ctx *ctx, uint32_t *devid);
/* Before close_device: dma_unmap is not called any more. */
void vfio_pins_begin_close(struct vfio_device *vdev);
/* close_device has returned: what is left is unpinned. */
void vfio_pins_close(struct vfio_device *vdev);
int vfio_pins_attach(struct vfio_device *vdev, uint32_t ioas_id); /* or replace */
void vfio_pins_detach(struct vfio_device *vdev);
struct iommufd_ctx *vfio_pins_ctx(const struct vfio_device *vdev); /* NULL: none */
uint32_t vfio_pins_id(const struct vfio_device *vdev);             /* of its access */
void vfio_pins_forked(struct vfio_device *vdev);

/* pin_lost.c: who may have pinned pages of this process. holds: has it that page? In a signal handler. */
struct vfio_page_holder {
	struct cds_list_head node;
	bool (*holds)(struct vfio_page_holder *holder, uint64_t va);
};
void vfio_page_holder_add(struct vfio_page_holder *holder);
void vfio_page_holder_remove(struct vfio_page_holder *holder);
void vfio_page_holders_forked(void);

/* container_noiommu.c: a domain that is the memory of mm, for devices without an IOMMU. NULL: no memory. */
struct vfio_noiommu *vfio_noiommu_new(const struct iommu_params *params, struct mm *mm);
void vfio_noiommu_free(struct vfio_noiommu *noiommu); /* no device uses it */
void vfio_noiommu_forked(struct vfio_noiommu *noiommu);
struct iommu_domain *vfio_noiommu_domain(struct vfio_noiommu *noiommu);

#endif
