/* SPDX-License-Identifier: BSD-2-Clause */
/* The KVM-VFIO device as KVM_CREATE_DEVICE makes it on a VM of ours. */
#include "base/why.h"
#include "kvm/vfio.h"

static int create(struct kvm_device *dev, uint32_t type)
{
	(void)type;
	if (kvm_has_device(dev->kvm, &kvm_vfio_ops, true))
		return WHY(-EBUSY, "the VM has a KVM-VFIO device");
	dev->private = kvm_vfio_new(dev->kvm);
	return dev->private ? 0 : -ENOMEM;
}

static void release(struct kvm_device *dev)
{
	kvm_vfio_free(dev->private);
}

static int set_attr(struct kvm_device *dev, const struct caller *caller, const struct kvm_device_attr *attr)
{
	int foreign;

	return kvm_vfio_set(dev->private, caller, attr, &foreign);
}

static int has_attr(struct kvm_device *dev, const struct caller *caller, const struct kvm_device_attr *attr)
{
	(void)dev;
	(void)caller;
	return kvm_vfio_has(attr);
}

const struct kvm_device_ops kvm_vfio_ops = {
	.name = "kvm-vfio",
	.create = create,
	.release = release,
	.set_attr = set_attr,
	.has_attr = has_attr,
};
