/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO's own objects: devices, groups, containers, and the tables between them.
 *
 *   container file --> struct vfio_container --> back end (type1, no-IOMMU) through vfio_iommu_driver
 *   group file     --> struct vfio_group     --> the devices of one IOMMU group
 *   device file    --> struct vfio_device    --> pci (or another bus) through vfio_device_ops
 *
 * A device file comes from a group (GET_DEVICE_FD), or is an open of the device's own node, its cdev: that
 * one does nothing before it is bound to an IOMMUFD. A group uses a container, or an IOMMUFD in its place.
 *
 * All hang off a struct vfio (one per machine). VFIO knows no PCI: a bus registers devices with an ops table.
 *
 * No lock of VFIO is held while a device operation runs, except vfio_device.lock around open_device and
 * close_device, and the group's lock around match. The lock order stands in vfio/internal.h.
 */
#ifndef UVFIO_VFIO_VFIO_H
#define UVFIO_VFIO_VFIO_H

#include "base/base.h"
#include "file/file.h"
#include "iommu/dma.h"
#include "iommu/domain.h"
#include "iommufd/hw.h"

#include <pthread.h>
#include <urcu/list.h>

struct kvm; /* an opaque pointer for VFIO */
struct vfio;
struct vfio_device;
struct vfio_group;
struct vfio_container;
struct type1;
struct mm_usages;
struct iommufd_ctx;
struct iommufd_device;

/* ---- devices: what a bus (pci, mdev) defines */

struct vfio_device_ops {
	const char *name; /* "vfio-pci" */
	/* First open and last close of the device: reset, interrupts off. Device lock held. */
	int (*open_device)(struct vfio_device *vdev);
	void (*close_device)(struct vfio_device *vdev);
	/* As in struct file_ops, for a device file. */
	long (*ioctl)(struct vfio_device *vdev, struct file *file, const struct caller *caller, uint32_t cmd,
		      uint64_t arg);
	ssize_t (*read)(struct vfio_device *vdev, const struct caller *caller, uint64_t buf, size_t len,
			uint64_t off);
	ssize_t (*write)(struct vfio_device *vdev, const struct caller *caller, uint64_t buf, size_t len,
			 uint64_t off);
	int (*mmap)(struct vfio_device *vdev, struct mmap_plan *plan);
	int (*mmio)(struct vfio_device *vdev, uint64_t off, void *data, unsigned int len, bool write);
	/*
	 * GET_DEVICE_FD's string: 1 this device, 0 another, -errno (-EINVAL: wrong options behind the name).
	 * Must not block nor call VFIO. NULL: the string is the name.
	 */
	int (*match)(struct vfio_device *vdev, const char *name);
	/* BIND_IOMMUFD's token, 16 bytes, or NULL: 0, -EINVAL (none is wanted), -EACCES. NULL: no tokens. */
	int (*match_token_uuid)(struct vfio_device *vdev, const uint8_t *uuid);
	/*
	 * Its bus is reset: nothing, when it is not open. Locks of the core are held. NULL: it is on none.
	 */
	void (*reset)(struct vfio_device *vdev);
	/* The device is to be removed: ask its user to let go (REQ interrupt). count: how often asked. */
	void (*request)(struct vfio_device *vdev, unsigned int count);
	/*
	 * [iova, iova+length) is about to be unmapped, or all of it taken away: unpin whatever is pinned
	 * there. No lock of the core is held that pinning or unpinning needs. NULL: the device cannot pin.
	 */
	void (*dma_unmap)(struct vfio_device *vdev, uint64_t iova, uint64_t length);
	/*
	 * The VM that the device serves from now on, or NULL: the set_kvm of a notifier that is registered
	 * from before open_device to behind close_device. Ends with NULL.
	 */
	void (*set_kvm)(struct vfio_device *vdev, struct kvm *kvm);
};

/*
 * Somebody who is told what happens to a device: see "notifiers" below. Zeroed, but for the callbacks. One of
 * them may be NULL.
 */
struct vfio_notifier {
	void (*set_kvm)(struct vfio_notifier *notifier, struct kvm *kvm);
	void (*dma_unmap)(struct vfio_notifier *notifier, uint64_t iova, uint64_t length);
	struct vfio_device *vdev; /* set by registering */
	/* private to vfio/ */
	struct cds_list_head
		node;       /* changed under the group's turn and lock: so either will do for looking */
	bool registered;    /* the same */
	struct kvm *kvm;    /* what it was told last; under the turn */
	unsigned int calls; /* under way; under lock */
};

struct vfio_device {
	const struct vfio_device_ops *ops;
	struct vfio *vfio;
	struct vfio_group *group;
	char name[64]; /* "0000:00:01.0" */
	struct iommu_dev *iommu_dev;
	unsigned int index;             /* N of vfio-dev/vfioN */
	struct iommufd_emulated_dev hw; /* what IOMMUFD knows it by */
	/* private to vfio/ */
	pthread_mutex_t lock;
	unsigned int open_count;               /* device files, cdevs once they are bound; under lock */
	struct iommufd_device *iommufd_device; /* NULL: not bound; under lock */
	struct vfio_pins *pins; /* pin.c: while it is open and without an IOMMU of its own; under lock */
	bool iommufd_attached;  /* without a PASID; under lock */
	uint32_t *pasids;       /* attached with those, too; under lock */
	unsigned int nr_pasids;
	struct vfio_noiommu *noiommu;         /* while it is open by a group on an IOMMUFD; under lock */
	struct vfio_device_file *kvm_file;    /* the cdev that is bound; under the group's turn */
	struct vfio_notifier driver_notifier; /* for ops->set_kvm */
	_Atomic unsigned int unmap_notifiers; /* that are registered */
	_Atomic bool cdev_opened;             /* changed under lock */
	unsigned int registrations; /* device files, also those that are being opened; under group->lock */
	unsigned int holds;         /* vfio_device_get(); under group->lock */
	bool leaving;               /* is being unregistered: nobody opens it any more; under group->lock */
	pthread_cond_t released;    /* with group->lock: registrations and holds have become 0 */
	struct cds_list_head group_node; /* under group->lock */
	struct cds_list_head node;       /* under vfio->lock */
};

/* A struct vfio and its end. params must outlive it. noiommu: groups without an IOMMU are allowed (vfio
 * parameter). */
struct vfio *vfio_new(const struct iommu_params *params, bool noiommu);
void vfio_free(struct vfio *vfio); /* every device unregistered, every file closed */
/* This is the child of a fork: locks that another thread held are held by nobody. */
void vfio_forked(struct vfio *vfio);

/*
 * Register a device: ops, name and iommu_dev are set. group_id: its IOMMU group, made when it is the first;
 * noiommu: the group has no IOMMU (/dev/vfio/noiommu-N). index: of its node, or VFIO_ANY_INDEX. -EEXIST: the
 * name; -EBUSY: the index; -EINVAL: group mixes kinds.
 */
#define VFIO_ANY_INDEX UINT32_MAX
int vfio_register_device(struct vfio *vfio, struct vfio_device *vdev, unsigned int group_id, bool noiommu,
			 unsigned int index);
/*
 * The same for a device that does no DMA by itself (a mediated device): its group has no IOMMU behind it and
 * goes into containers and IOMMUFDs all the same, beside others. iommu_dev is NULL. -EINVAL also: the group
 * has a device of another kind.
 */
int vfio_register_emulated_iommu_dev(struct vfio *vfio, struct vfio_device *vdev, unsigned int group_id,
				     unsigned int index);
/* Ask the user to let go, then wait until the last file is closed, as the kernel does. */
void vfio_unregister_device(struct vfio_device *vdev);

struct vfio_device *vfio_find_device(struct vfio *vfio, const char *name);
/*
 * The device of that name, kept from going away like by an open file, or NULL: there is none, or none any
 * more. To be given back soon.
 */
struct vfio_device *vfio_device_get(struct vfio *vfio, const char *name);
void vfio_device_put(struct vfio_device *vdev);
/* Nobody opens it any more; or again, when it is not unregistered after all. */
void vfio_device_set_leaving(struct vfio_device *vdev, bool leaving);
/* Groups without an IOMMU are allowed from now on. */
void vfio_allow_noiommu(struct vfio *vfio);

/*
 * ---- memory for devices that were registered by vfio_register_emulated_iommu_dev() (pin.c)
 *
 * From open_device to the end of close_device, in any thread, with no lock held that dma_unmap takes. What a
 * device has not unpinned when close_device returns, or when it is detached, is unpinned for it.
 */

#define VFIO_PIN_PAGES_MAX_ENTRIES 512u

/*
 * Pin the npage pages from iova on (its offset in the page does not matter), for prot IOMMU_READ,
 * IOMMU_WRITE: pages[i] says where page i is, until it is unpinned as often as it was pinned. Returns npage,
 * or, with nothing pinned: -EINVAL: npage is 0, no dma_unmap, the device is not open or not attached, nothing
 * is mapped somewhere (IOMMUFD: -ENOENT), or it is no memory; -E2BIG: too many pages; -EOVERFLOW; -EACCES:
 * TYPE1_IOMMU (v1); -EPERM: not mapped for prot; -EFAULT: the memory is not there; -ENOMEM: also locked
 * memory; -EBUSY: mappings are without a virtual address.
 */
int vfio_pin_pages(struct vfio_device *vdev, uint64_t iova, unsigned int npage, unsigned int prot,
		   struct mm_page *pages);
/*
 * Undo that, for pages that this device has pinned, by the same or by other calls. 0, or, with nothing done:
 * -EINVAL: some of them it has not pinned, or npage is none; -E2BIG; -EOVERFLOW.
 */
int vfio_unpin_pages(struct vfio_device *vdev, uint64_t iova, unsigned int npage);
/*
 * Copy from (write: to) memory without pinning it. 0, or -EINVAL: len is 0, not open, not attached, nothing
 * is mapped somewhere (IOMMUFD: -ENOENT); -EPERM: not mapped so; -EFAULT; -EBUSY. A part may have been
 * copied.
 */
int vfio_dma_rw(struct vfio_device *vdev, uint64_t iova, void *data, size_t len, bool write);
/* Why one of these has failed is in why_text(), and noted for dma_fault_noted(); what is mapped near iova: */
void vfio_describe_memory(struct vfio_device *vdev, uint64_t iova, char *buf, size_t len);

/*
 * ---- the VM that a device serves, and notifiers (kvm.c)
 *
 * VFIO knows a VM as a pointer only. Who tells it of one (the KVM-VFIO device) keeps that VM until it has
 * taken the association back; so a VM is valid for a driver from the call of set_kvm that brings it to the
 * return of the one with NULL.
 *
 * What a callback may do. set_kvm runs with the group's turn held: of the group's devices one set_kvm is
 * called at a time, and who changes a VM, registers or unregisters waits. When it is the replay to a driver
 * that is being opened, vfio_device.lock is held, too. It may pin, unpin, copy, register and unregister, also
 * itself; it may not open or close files, and takes no lock that somebody holds who registers or unregisters.
 * dma_unmap runs with no lock held; it may unpin, and unregister its own notifier.
 */

/*
 * Tell notifier of the device's events from now on. When the device serves a VM, set_kvm is called with it
 * before this returns. 0; -EINVAL: no callback; -EEXIST: it is registered; -EOPNOTSUPP: dma_unmap, and the
 * device has an IOMMU, which does not need to know; -ENODEV: the device is not registered yet.
 */
int vfio_register_notifier(struct vfio_device *vdev, struct vfio_notifier *notifier);
/*
 * The end of that: when this returns no callback runs, nor will; but for those that it was called from, after
 * which the notifier is not touched, either. A notifier that was told of a VM is told NULL first, but not
 * from inside its own set_kvm. 0; -ENOENT: it is not registered, or somebody else is unregistering it.
 */
int vfio_unregister_notifier(struct vfio_device *vdev, struct vfio_notifier *notifier);

/* Is it a group's or a device's file? */
bool vfio_file_is_valid(struct file *file);
/* Can its devices' DMA not go past the caches? */
bool vfio_file_enforced_coherent(struct file *file);
/*
 * The devices of file serve kvm from now on, or no VM (NULL). When it returns everybody who has to know has
 * been told, and nobody uses the VM from before. The file is kept open by the caller until it is NULL again.
 * Of a device's file: it counts once the device is bound by it; one that came from a group follows the group.
 */
void vfio_file_set_kvm(struct file *file, struct kvm *kvm);
/* NULL, unless the file serves another VM by now; either way nobody uses kvm because of file any more. */
void vfio_file_unset_kvm(struct file *file, const struct kvm *kvm);

/* ---- opening the nodes: what the machine's /dev offers. *file has one reference. */

int vfio_container_open(struct vfio *vfio, int oflags, struct file **file);
int vfio_group_open(struct vfio *vfio, unsigned int group_id, bool noiommu, int oflags,
		    struct file **file); /* -ENODEV, -EBUSY, -EPERM */
/* The cdev of the device with that index. -ENODEV: there is none, or its group has no IOMMU; -ENOMEM. */
int vfio_cdev_open(struct vfio *vfio, unsigned int index, int oflags, struct file **file);

/*
 * One group is used by one process of a session at a time: called with the group's number when it is opened,
 * or the first cdev of its devices is bound (claim), and when all that is over; -EBUSY from claim. NULL: no
 * check. Set by the interception layer.
 */
extern int (*vfio_group_claim)(unsigned int group_id, bool noiommu, bool claim);

/* ---- groups, for hot reset: which group a file stands for, or NULL */

struct vfio_group *vfio_file_group(struct file *file);
unsigned int vfio_group_id(const struct vfio_group *group);
struct vfio_device *vfio_file_device(struct file *file); /* NULL when it is no device file */
bool vfio_group_is_noiommu(const struct vfio_group *group);

/* ---- and for cdevs: who owns a device (iommufd.c) */

/* Nobody binds or unbinds, opens or closes it meanwhile. Several: of one slot, in the order of functions. */
void vfio_device_lock(struct vfio_device *vdev);
void vfio_device_unlock(struct vfio_device *vdev);
/* Is it open through its cdev? */
bool vfio_device_cdev_opened(const struct vfio_device *vdev);
/* The context it is bound to, or NULL. Locked. */
struct iommufd_ctx *vfio_iommufd_device_ctx(struct vfio_device *vdev);
/* Its id there; -ENOENT: it has none, but its group is ctx's; -ENODEV: it is not ctx's. Locked. */
int64_t vfio_iommufd_get_dev_id(struct vfio_device *vdev, struct iommufd_ctx *ctx);

/* ---- what there is, for those who look from outside (list.c) */

struct vfio_mapping {
	uint64_t iova, va, size;
	unsigned int prot; /* IOMMU_READ, IOMMU_WRITE */
};

struct vfio_mapping_list {
	uint64_t count, bytes;         /* of all mappings */
	struct vfio_mapping *mappings; /* the first ones; allocated */
	unsigned int nr;
};

struct vfio_container_info {
	unsigned int id;  /* 1, 2, ... in the order in which containers were opened */
	const char *type; /* of its back end, or "none" */
	const unsigned int *groups;
	unsigned int nr_groups;
	const struct vfio_mapping_list *mappings;
};

struct vfio_group_info {
	unsigned int id;
	bool noiommu;
	bool opened;
	bool cdev_opened;       /* a device of it is bound by its cdev */
	unsigned int container; /* its id; 0: none */
	bool iommufd;           /* an IOMMUFD is in the container's place */
};

/* How many files has the device, and is it on its way out? False: there is no such device. */
bool vfio_device_state(struct vfio *vfio, const char *name, unsigned int *files, bool *leaving);
/* False: there is no such group. */
bool vfio_group_state(struct vfio *vfio, unsigned int id, struct vfio_group_info *info);
/*
 * Call fn for each container, oldest first, with up to max of its mappings; no lock is held then. 0 or
 * -ENOMEM.
 */
int vfio_each_container(struct vfio *vfio, unsigned int max,
			void (*fn)(void *arg, const struct vfio_container_info *info), void *arg);
/* The same with what each of them has of which address space. */
int vfio_each_container_usage(struct vfio *vfio,
			      void (*fn)(void *arg, unsigned int id, const struct mm_usages *usages),
			      void *arg);

/* The same with the lines that the back end has for a person; a lock is held. */
int vfio_each_container_report(struct vfio *vfio, void (*line)(void *arg, unsigned int id, const char *text),
			       void *arg);

/* ---- containers and their back ends */

struct vfio_iommu_driver {
	const char *name;
	/* CHECK_EXTENSION. data NULL: no IOMMU is set yet. Positive for what SET_IOMMU may ask this driver.
	 */
	long (*check_extension)(struct vfio_container *container, void *data, uint64_t ext);
	/* SET_IOMMU by a caller with address space mm. -EINVAL: not a type of ours. */
	int (*open)(struct vfio_container *container, uint64_t type, struct mm *mm, void **data);
	void (*release)(void *data); /* every group detached */
	/* The devices of one group join and leave. Leaving cannot fail. */
	int (*attach_group)(void *data, struct iommu_dev *const *devs, unsigned int nr);
	void (*detach_group)(void *data, struct iommu_dev *const *devs, unsigned int nr);
	/* The same for a group without an IOMMU behind it. NULL: -EINVAL. */
	int (*attach_emulated)(void *data);
	void (*detach_emulated)(void *data);
	/* What devices of such groups pin pages of. */
	struct type1 *(*pinnable)(void *data);
	/* Everything but the container's own three. file is the container's. */
	long (*ioctl)(void *data, struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg);
	void (*forked)(void *data); /* this is the child of a fork */
	/* What cmd is for files with this back end, where the number has other names. NULL: nothing. */
	const char *(*request)(uint32_t cmd);
	/* What SET_IOMMU asked for, as a word. NULL: the name says it. */
	const char *(*type)(void *data);
	/* Fill *list, which is empty, with up to max of the mappings; their number and bytes. NULL: none. */
	int (*list)(void *data, struct vfio_mapping_list *list, unsigned int max);
	/* Add what is mapped, pinned and charged of each address space. NULL: nothing. */
	void (*usages)(void *data, struct mm_usages *usages);
	/* Add lines for a person about what only this back end has. NULL: nothing. */
	void (*report)(void *data, void (*line)(void *arg, const char *text), void *arg);
	const char *iommu; /* serves machines with this type of IOMMU only; NULL: any */
	const char *types; /* what SET_IOMMU may ask of it, in words */
	bool noiommu;      /* serves containers of no-IOMMU groups only */
};

extern const struct vfio_iommu_driver vfio_type1_driver;   /* vfio/container_type1.c */
extern const struct vfio_iommu_driver vfio_noiommu_driver; /* vfio/container_noiommu.c */
extern const struct vfio_iommu_driver vfio_spapr_driver;   /* vfio/container_spapr.c */

const struct iommu_params *vfio_container_params(const struct vfio_container *container);
bool vfio_noiommu_allowed(const struct vfio_container *container);

#endif
