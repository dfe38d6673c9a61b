/* SPDX-License-Identifier: BSD-2-Clause */
/* For the describe member of ioctl rows (file/ioctl.h). */
#ifndef UVFIO_KVM_DESCRIBE_H
#define UVFIO_KVM_DESCRIBE_H

#include "kvm/kvm.h"

void kvm_describe_ioeventfd(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_irqfd(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_slot(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_dirty(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_zone(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_line(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_msi(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_routing(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_device(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_cap(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void kvm_describe_value(const struct ioctl_call *call, const void *arg, char *buf, size_t len);

/* vcpu_describe.c: why KVM_RUN returned */
void vcpu_describe_run(const struct ioctl_call *call, const void *arg, char *buf, size_t len);

/* A request that the file (of a VM, a vCPU, /dev/kvm) has not is traced. Returns rc. */
long kvm_unknown_request(const struct file *file, uint32_t cmd, long rc);

#endif
