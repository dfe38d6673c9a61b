/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_CREATE_DEVICE, and the files of devices: their attributes are their type's. */
#include "kvm/device_attr.h"
#include "kvm/impl.h"
#include "kvm/vfio.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static const struct kvm_device_ops *types[KVM_DEV_TYPE_MAX + 8] = { [KVM_DEV_TYPE_VFIO] = &kvm_vfio_ops };

int kvm_register_device_ops(const struct kvm_device_ops *ops, uint32_t type)
{
	if (type >= ARRAY_SIZE(types))
		return -ENOSPC;
	if (types[type])
		return -EEXIST;
	types[type] = ops;
	return 0;
}

/* ---- the file */

typedef int (*accessor_fn)(struct kvm_device *dev, const struct caller *caller,
			   const struct kvm_device_attr *attr);

static accessor_fn accessor_of(const struct kvm_device_ops *ops, uint32_t cmd)
{
	switch (cmd) {
	case KVM_SET_DEVICE_ATTR:
		return ops->set_attr;
	case KVM_GET_DEVICE_ATTR:
		return ops->get_attr;
	default:
		return ops->has_attr;
	}
}

/* What a device does not have at all is refused before the argument is read. */
static long attr_ioctl(struct ioctl_call *call, void *arg)
{
	struct kvm_device *dev = call->file->priv;
	accessor_fn fn = accessor_of(dev->ops, call->row->cmd);
	struct kvm_device_attr attr;
	int rc;

	(void)arg;
	if (!fn)
		return WHY(-EPERM, "a device of this kind has none");
	rc = kvm_attr_read(call, &attr);
	if (rc)
		return rc;
	return fn(dev, call->caller, &attr);
}

static const struct ioctl_row rows[] = { KVM_ATTR_ROWS(attr_ioctl) };

static long device_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	const struct kvm_device *dev = file->priv;
	int rc = kvm_check_mm(dev->kvm, caller);

	return rc ? rc : ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

static void device_end(struct kvm_device *dev)
{
	struct kvm *kvm = dev->kvm;

	/* While it is going, there is no other of a kind of which a VM has one. */
	if (dev->ops->release)
		dev->ops->release(dev);
	pthread_mutex_lock(&kvm->slots_lock);
	cds_list_del(&dev->node);
	pthread_mutex_unlock(&kvm->slots_lock);
	free(dev);
	kvm_put(kvm);
}

static void device_release(struct file *file)
{
	device_end(file->priv);
}

static const struct file_ops device_file_ops = {
	.name = "kvm-device",
	.release = device_release,
	.ioctl = device_ioctl,
};

struct kvm_device *kvm_device_of_file(struct file *file, const struct kvm_device_ops *ops)
{
	struct kvm_device *dev = file->ops == &device_file_ops ? file->priv : NULL;

	return dev && dev->ops == ops ? dev : NULL;
}

/* ---- making one */

static int device_new(struct kvm *kvm, const struct kvm_device_ops *ops, uint32_t type,
		      struct kvm_device **out)
{
	struct kvm_device *dev = calloc(1, sizeof(*dev));
	int rc;

	if (!dev)
		return -ENOMEM;
	dev->kvm = kvm;
	dev->ops = ops;
	pthread_mutex_lock(&kvm->slots_lock);
	rc = ops->create(dev, type);
	if (!rc)
		cds_list_add(&dev->node, &kvm->devices);
	pthread_mutex_unlock(&kvm->slots_lock);
	if (rc) {
		free(dev);
		return rc;
	}
	kvm_get(kvm);
	*out = dev;
	return 0;
}

long kvm_ioctl_create_device(struct ioctl_call *call, void *arg)
{
	struct kvm_create_device *in = arg;
	const struct kvm_device_ops *ops = in->type < ARRAY_SIZE(types) ? types[in->type] : NULL;
	struct kvm_device *dev;
	struct file *file;
	char path[64];
	int rc;

	if (!ops)
		return WHY(-ENODEV, "there are no devices of type %u", in->type);
	if (in->flags & KVM_CREATE_DEVICE_TEST)
		return 0;
	rc = device_new(kvm_of_call(call), ops, in->type, &dev);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "anon_inode:%s", ops->name);
	file = file_alloc(&device_file_ops, dev, O_RDWR, path);
	if (!file) {
		device_end(dev);
		return -ENOMEM;
	}
	rc = call->caller->ops->install(call->caller, file, O_RDWR | O_CLOEXEC);
	if (rc < 0)
		return rc;
	in->fd = (uint32_t)rc;
	return 0;
}

bool kvm_has_device(struct kvm *kvm, const struct kvm_device_ops *ops, bool locked)
{
	struct kvm_device *dev;
	bool found = false;

	if (!locked)
		pthread_mutex_lock(&kvm->slots_lock);
	cds_list_for_each_entry (dev, &kvm->devices, node)
		found |= dev->ops == ops;
	if (!locked)
		pthread_mutex_unlock(&kvm->slots_lock);
	return found;
}
