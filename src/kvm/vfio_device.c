/* SPDX-License-Identifier: BSD-2-Clause */
/* The KVM-VFIO device as KVM_CREATE_DEVICE makes it on a VM of ours. */
#include "base/why.h"
#include "kvm/impl.h"
#include "kvm/vfio.h"

static int create(struct kvm_device *dev, uint32_t type)
{
	(void)type;
	if (kvm_has_device(dev->kvm, &kvm_vfio_ops, true))
		return WHY(-EBUSY, "the VM has a KVM-VFIO device");
	dev->private = kvm_vfio_new(dev->kvm);
	if (dev->private && dev->kvm->arch_ops)
		kvm_vfio_on_removal(dev->private, dev->kvm->arch_ops->file_removed, dev->kvm->arch);
	return dev->private ? 0 : -ENOMEM;
}

static void release(struct kvm_device *dev)
{
	kvm_vfio_free(dev->private);
}

static bool is_archs(const struct kvm_device *dev, const struct kvm_device_attr *attr)
{
	return dev->kvm->arch_ops && attr->group == KVM_DEV_VFIO_FILE &&
	       dev->kvm->arch_ops->has_file_attr(attr->attr);
}

static int set_attr(struct kvm_device *dev, const struct caller *caller, const struct kvm_device_attr *attr)
{
	int foreign;

	if (is_archs(dev, attr))
		return dev->kvm->arch_ops->set_file_attr(dev->kvm->arch, dev, caller, attr);
	return kvm_vfio_set(dev->private, caller, attr, &foreign);
}

static int has_attr(struct kvm_device *dev, const struct caller *caller, const struct kvm_device_attr *attr)
{
	(void)caller;
	if (is_archs(dev, attr))
		return 0;
	return kvm_vfio_has(attr);
}

const struct kvm_device_ops kvm_vfio_ops = {
	.name = "kvm-vfio",
	.create = create,
	.release = release,
	.set_attr = set_attr,
	.has_attr = has_attr,
};
