/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated device from the inside: what the files of mdev/ share.
 *
 * irqs.lock protects the eventfds and is taken last; irqs.setting, outside of it, is held by one SET_IRQS at
 * a time. The driver is called with no lock held but vfio's device lock around open, close and reset.
 */
#ifndef UVFIO_MDEV_IMPL_H
#define UVFIO_MDEV_IMPL_H

#include "base/inside.h"
#include "file/eventfd.h"
#include "mdev/mdev.h"
#include "model/model.h"
#include "vfio/vfio.h"

#define MDEV_OFFSET_SHIFT 40
#define MDEV_OFFSET_MASK  (((uint64_t)1 << MDEV_OFFSET_SHIFT) - 1)

struct mdev_parent {
	struct uvfio_mdev_parent pub;
	const struct uvfio_mdev_driver *driver;
	const struct uvfio_option *table;
	void *options;
	const char *plugin; /* its file; NULL: built in */
	char *who;          /* for reports: name, and file */
};

struct mdev_vector {
	struct eventfd_ctx *trigger; /* NULL: none */
	bool masked;
};

struct mdev_irqs {
	pthread_mutex_t setting, lock;
	int mode; /* the index that is enabled; -1: none. Under both, to read it under one */
	struct mdev_vector *vectors;
	unsigned int nr; /* the most that an index has */
};

struct mdev_device {
	struct uvfio_mdev pub;
	struct mdev_parent *parent;
	struct vfio_device vdev;
	struct vfio_device_ops vfio_ops; /* with what the driver has, too */
	struct model_host host;
	struct iommu_dev no_dma; /* of the host: attached to nothing */
	struct mdev_irqs irqs;
	char *who;   /* for reports: UUID, and the driver's file */
	bool opened; /* under the device's lock */
};

/* Evaluate a call of the driver's callback of that name, about an instance or its parent. */
#define IN_DRIVER(mdev, name, call)                                                                          \
	do {                                                                                                 \
		struct inside before_ = inside_begin((mdev)->who, name " callback");                         \
		unsigned int slot_ = model_call_begin(&(mdev)->host, name " callback");                      \
                                                                                                             \
		(call);                                                                                      \
		model_call_end(&(mdev)->host, slot_);                                                        \
		inside_end(&before_);                                                                        \
	} while (0)

#define IN_PARENT(parent, name, call)                                                                        \
	do {                                                                                                 \
		struct inside before_ = inside_begin((parent)->who, name " callback");                       \
                                                                                                             \
		(call);                                                                                      \
		inside_end(&before_);                                                                        \
	} while (0)

static inline struct mdev_device *to_mdev(struct vfio_device *vdev)
{
	return container_of(vdev, struct mdev_device, vdev);
}

static inline const struct uvfio_mdev_ops *mdev_ops(const struct mdev_device *mdev)
{
	return &mdev->parent->driver->ops;
}

/* irq.c */
int mdev_irqs_init(struct mdev_device *mdev);
void mdev_irqs_init_locks(struct mdev_irqs *irqs); /* also in the child of a fork */
void mdev_irqs_destroy(struct mdev_device *mdev);
void mdev_irqs_disable(struct mdev_device *mdev); /* the last close */
void mdev_irq(struct uvfio_mdev *pub, unsigned int vector);
int mdev_irq_mode(struct uvfio_mdev *pub);
/* SET_IRQS after the general checks; data: count bytes or descriptors, or NULL. */
int mdev_set_irqs(struct mdev_device *mdev, const struct caller *caller, uint32_t flags, uint32_t index,
		  uint32_t start, uint32_t count, const void *data);

/* region.c */
ssize_t mdev_rw(struct mdev_device *mdev, const struct caller *caller, uint64_t buf, size_t len, uint64_t off,
		bool write);

/* memory.c: what a driver calls to reach the program's memory. Failures are reported here. */
int mdev_pin_pages(struct uvfio_mdev *pub, uint64_t iova, unsigned int npage, unsigned int prot,
		   void **pages);
int mdev_unpin_pages(struct uvfio_mdev *pub, uint64_t iova, unsigned int npage);
int mdev_dma_rw(struct uvfio_mdev *pub, uint64_t iova, void *data, size_t len, bool write);

/* ioctl.c */
long mdev_ioctl(struct vfio_device *vdev, struct file *file, const struct caller *caller, uint32_t cmd,
		uint64_t arg);

#endif
