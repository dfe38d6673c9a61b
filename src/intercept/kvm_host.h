/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's KVM, as the program uses it: see kvm_host.c. */
#ifndef UVFIO_INTERCEPT_KVM_HOST_H
#define UVFIO_INTERCEPT_KVM_HOST_H

#include "base/base.h"

#include <linux/kvm.h>

static inline bool is_of_kvm(unsigned long request)
{
	return (request & 0xff00) == KVMIO << 8;
}

/* Such a request to a descriptor that is not ours: as ioctl() returns. */
int kvm_host_ioctl(int fd, unsigned long request, unsigned long arg);

#endif
