/* SPDX-License-Identifier: BSD-2-Clause */
/* The attribute requests of a KVM device's file. */
#ifndef UVFIO_KVM_DEVICE_ATTR_H
#define UVFIO_KVM_DEVICE_ATTR_H

#include "base/why.h"
#include "file/ioctl.h"
#include "kvm/vfio.h"

#define KVM_ATTR_ROW(request, fn)                                                                            \
	{                                                                                                    \
		.cmd = request, .name = #request, .row_flags = IOC_VALUE, .handler = fn,                     \
		.describe = kvm_vfio_describe                                                                \
	}

/* Rows whose handler fn reads the argument itself: what a device has not is refused before that. */
#define KVM_ATTR_ROWS(fn)                                                                                    \
	KVM_ATTR_ROW(KVM_SET_DEVICE_ATTR, fn), KVM_ATTR_ROW(KVM_GET_DEVICE_ATTR, fn),                        \
		KVM_ATTR_ROW(KVM_HAS_DEVICE_ATTR, fn)

static inline int kvm_attr_read(const struct ioctl_call *call, struct kvm_device_attr *attr)
{
	if (copy_in(call->caller, attr, call->arg, sizeof(*attr)))
		return WHY(-EFAULT, "the argument at 0x%llx is not readable memory",
			   (unsigned long long)call->arg);
	return 0;
}

#endif
