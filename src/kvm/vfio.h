/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM-VFIO device: which of VFIO's files serve a VM.
 *
 * KVM_CREATE_DEVICE makes one on a VM of ours (kvm_vfio_ops). For a VM of the real KVM the preload library
 * makes its own: that is what the functions below are for.
 */
#ifndef UVFIO_KVM_VFIO_H
#define UVFIO_KVM_VFIO_H

#include "kvm/kvm.h"

#ifndef KVM_DEV_VFIO_FILE /* their newer names */
#define KVM_DEV_VFIO_FILE     KVM_DEV_VFIO_GROUP
#define KVM_DEV_VFIO_FILE_ADD KVM_DEV_VFIO_GROUP_ADD
#define KVM_DEV_VFIO_FILE_DEL KVM_DEV_VFIO_GROUP_DEL
#endif

struct kvm_vfio;

/* kvm: what VFIO is told; valid to the end of kvm_vfio_free(), else nothing is known of it. NULL: no memory.
 */
struct kvm_vfio *kvm_vfio_new(struct kvm *kvm);
/* Every association is undone. */
void kvm_vfio_free(struct kvm_vfio *kv);

/*
 * The file behind attr's descriptor is added or removed. 0; -ENXIO: another attribute; -EFAULT; -EBADF;
 * -EEXIST: it has been added; -ENOENT: it has not been added; -ENOMEM. foreign: when the descriptor is open
 * and no file of VFIO's, *foreign is its number and the result what the kernel says: -EINVAL, -ENOENT.
 */
int kvm_vfio_set(struct kvm_vfio *kv, const struct caller *caller, const struct kvm_device_attr *attr,
		 int *foreign);
/* 0, or -ENXIO: there is no such attribute. */
int kvm_vfio_has(const struct kvm_device_attr *attr);

/*
 * fn is called, holding the list's lock, with the file behind fd, when that has been added: what fn says.
 * Else -EBADF, or -ENOENT: it has not been added.
 */
int kvm_vfio_with_file(struct kvm_vfio *kv, const struct caller *caller, int fd,
		       int (*fn)(void *arg, struct file *file), void *arg);
/* removed is called with each file that leaves the list, holding its lock. Before any is added. */
void kvm_vfio_on_removal(struct kvm_vfio *kv, void (*removed)(void *arg, struct file *file), void *arg);

/* For traces of the attribute requests, rows with IOC_VALUE. */
void kvm_vfio_describe(const struct ioctl_call *call, const void *arg, char *buf, size_t len);

/* Can DMA of a device that serves the VM go past the caches, so that the guest may flush them? */
bool kvm_vfio_noncoherent(struct kvm_vfio *kv);

extern const struct kvm_device_ops kvm_vfio_ops;

#endif
