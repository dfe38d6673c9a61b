/* SPDX-License-Identifier: BSD-2-Clause */
/* Instances of mediated devices: making them, VFIO's operations on them, and what their driver calls. */
#include "base/log.h"
#include "mdev/impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- VFIO's operations */

static int call_open(struct mdev_device *mdev)
{
	char said[MODEL_SAID] = "";
	int rc = 0;

	if (!mdev_ops(mdev)->open)
		return 0;
	model_opening(&mdev->host, said);
	IN_DRIVER(mdev, "open", rc = mdev_ops(mdev)->open(&mdev->pub));
	model_opening(NULL, NULL);
	return rc ? model_refused("the driver's open", rc, said) : 0;
}

static int open_device(struct vfio_device *vdev)
{
	struct mdev_device *mdev = to_mdev(vdev);
	int rc = model_host_open(&mdev->host);

	if (rc)
		return rc;
	rc = call_open(mdev);
	if (rc) {
		model_host_close(&mdev->host);
		return rc;
	}
	mdev->opened = true;
	model_host_release(&mdev->host);
	return 0;
}

static void close_device(struct vfio_device *vdev)
{
	struct mdev_device *mdev = to_mdev(vdev);

	model_host_hold(&mdev->host, "close");
	mdev->opened = false;
	if (mdev_ops(mdev)->close)
		IN_DRIVER(mdev, "close", mdev_ops(mdev)->close(&mdev->pub));
	mdev_irqs_disable(mdev);
	model_host_close(&mdev->host);
}

static ssize_t read_device(struct vfio_device *vdev, const struct caller *caller, uint64_t buf, size_t len,
			   uint64_t off)
{
	return mdev_rw(to_mdev(vdev), caller, buf, len, off, false);
}

static ssize_t write_device(struct vfio_device *vdev, const struct caller *caller, uint64_t buf, size_t len,
			    uint64_t off)
{
	return mdev_rw(to_mdev(vdev), caller, buf, len, off, true);
}

static void request_device(struct vfio_device *vdev, unsigned int count)
{
	struct mdev_device *mdev = to_mdev(vdev);

	if (mdev_ops(mdev)->request)
		IN_DRIVER(mdev, "request", mdev_ops(mdev)->request(&mdev->pub, count));
	else if (count == 1) /* after ten seconds, as the kernel does */
		uvfio_err("%s: to be removed; its driver cannot ask its user to let go, waiting until it is "
			  "closed",
			  vdev->name);
}

static void dma_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t length)
{
	struct mdev_device *mdev = to_mdev(vdev);

	IN_DRIVER(mdev, "dma_unmap", mdev_ops(mdev)->dma_unmap(&mdev->pub, iova, length));
}

static void set_kvm(struct vfio_device *vdev, struct kvm *kvm)
{
	struct mdev_device *mdev = to_mdev(vdev);

	IN_DRIVER(mdev, "set_kvm", mdev_ops(mdev)->set_kvm(&mdev->pub, kvm));
}

static const struct vfio_device_ops device_ops = {
	.name = "vfio-mdev",
	.open_device = open_device,
	.close_device = close_device,
	.ioctl = mdev_ioctl,
	.read = read_device,
	.write = write_device,
	.request = request_device,
};

static void init_ops(struct mdev_device *mdev)
{
	mdev->vfio_ops = device_ops;
	mdev->vfio_ops.dma_unmap = mdev_ops(mdev)->dma_unmap ? dma_unmap : NULL;
	mdev->vfio_ops.set_kvm = mdev_ops(mdev)->set_kvm ? set_kvm : NULL;
	mdev->vdev.ops = &mdev->vfio_ops;
}

/* ---- what the driver calls */

static const struct uvfio_mdev_calls mdev_calls = {
	.irq = mdev_irq,
	.irq_mode = mdev_irq_mode,
	.pin_pages = mdev_pin_pages,
	.unpin_pages = mdev_unpin_pages,
	.dma_rw = mdev_dma_rw,
};

/* An instance is not hardware: it goes when somebody writes to its file remove. */
static void unplug(struct uvfio_device *dev)
{
	uvfio_err_once((uintptr_t)dev, "%s: a mediated device cannot be pulled out: nothing happens",
		       dev->name);
}

/* ---- making and freeing */

static void free_device(struct mdev_device *mdev)
{
	free(mdev->pub.dev.priv);
	free(mdev->who);
	free(mdev);
}

static struct mdev_device *alloc_device(struct mdev_parent *parent, const struct uvfio_mdev_type *type,
					const struct mdev_config *config)
{
	struct mdev_device *mdev = calloc(1, sizeof(*mdev));

	if (!mdev)
		return NULL;
	mdev->parent = parent;
	mdev->pub = (struct uvfio_mdev){ .calls = &mdev_calls, .parent = &parent->pub, .type = type };
	mdev->pub.dev.priv = calloc(1, MAX(parent->driver->priv_size, (size_t)1));
	if (asprintf(&mdev->who, parent->plugin ? "%s (%s)" : "%s", config->uuid, parent->plugin) < 0)
		mdev->who = NULL;
	if (!mdev->pub.dev.priv || !mdev->who) {
		free_device(mdev);
		return NULL;
	}
	snprintf(mdev->vdev.name, sizeof(mdev->vdev.name), "%s", config->uuid);
	init_ops(mdev);
	iommu_dev_init(&mdev->no_dma, mdev->vdev.name);
	mdev->no_dma.mediated = true;
	model_host_init(&mdev->host, &mdev->pub.dev, &mdev->no_dma);
	mdev->host.unplug = unplug;
	mdev->host.who = mdev->who;
	mdev->host.watch.wanted = parent->plugin;
	mdev->host.vdev = &mdev->vdev;
	mdev->pub.dev.name = mdev->vdev.name;
	mdev->pub.dev.state_dir = config->state_dir;
	mdev->pub.dev.instance = config->instance;
	mdev->pub.dev.options = parent->options;
	return mdev;
}

/* What alloc_device() made, and no more. */
static void undo_alloc(struct mdev_device *mdev)
{
	model_host_destroy(&mdev->host);
	iommu_dev_destroy(&mdev->no_dma);
	free_device(mdev);
}

/* Callbacks of an instance that nobody has open are watched, too. */

static int call_create(struct mdev_device *mdev)
{
	int rc = 0;

	if (!mdev_ops(mdev)->create)
		return 0;
	model_watch_start(&mdev->host);
	IN_DRIVER(mdev, "create", rc = mdev_ops(mdev)->create(&mdev->pub));
	model_watch_stop(&mdev->host);
	return rc ? model_refused("the driver's create", rc, "") : 0;
}

static void call_destroy(struct mdev_device *mdev)
{
	if (!mdev_ops(mdev)->destroy)
		return;
	model_watch_start(&mdev->host);
	IN_DRIVER(mdev, "destroy", mdev_ops(mdev)->destroy(&mdev->pub));
	model_watch_stop(&mdev->host);
}

int mdev_device_create(struct vfio *vfio, struct mdev_parent *parent, const struct uvfio_mdev_type *type,
		       const struct mdev_config *config, struct mdev_device **out)
{
	const struct uvfio_mdev_ops *ops = &parent->driver->ops;
	struct mdev_device *mdev;
	int rc;

	if (!ops->get_available && !mdev_available(parent, type))
		return -EUSERS;
	mdev = alloc_device(parent, type, config);
	if (!mdev)
		return -ENOMEM;
	rc = mdev_irqs_init(mdev);
	if (rc)
		goto free;
	rc = call_create(mdev);
	if (rc)
		goto irqs;
	model_host_created(&mdev->host);
	rc = vfio_register_emulated_iommu_dev(vfio, &mdev->vdev, config->group_id, config->vfio_index);
	if (rc)
		goto destroy;
	parent->pub.nr_instances++;
	*out = mdev;
	return 0;

destroy:
	call_destroy(mdev);
irqs:
	mdev_irqs_destroy(mdev);
free:
	undo_alloc(mdev);
	return rc;
}

void mdev_device_set_leaving(struct mdev_device *mdev, bool leaving)
{
	vfio_device_set_leaving(&mdev->vdev, leaving);
}

void mdev_device_unregister(struct mdev_device *mdev)
{
	vfio_unregister_device(&mdev->vdev);
}

void mdev_device_free(struct mdev_device *mdev)
{
	mdev->parent->pub.nr_instances--;
	call_destroy(mdev);
	mdev_irqs_destroy(mdev);
	undo_alloc(mdev);
}

void mdev_device_forked(struct mdev_device *mdev)
{
	mdev_irqs_init_locks(&mdev->irqs);
	model_host_forked(&mdev->host);
	if (mdev_ops(mdev)->forked)
		IN_DRIVER(mdev, "forked", mdev_ops(mdev)->forked(&mdev->pub));
}

void mdev_device_take_over(struct mdev_device *mdev)
{
	vfio_device_lock(&mdev->vdev);
	if (mdev->opened && model_host_open(&mdev->host))
		uvfio_err("%s: its threads cannot be started", mdev->vdev.name);
	else if (mdev->opened)
		model_host_release(&mdev->host);
	vfio_device_unlock(&mdev->vdev);
}
