/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM has beside what all VMs have, because it is one of another architecture: KVM_CREATE_VM's argument
 * says which. One table of operations brings its ioctls, capabilities, attributes of KVM-VFIO's files, and
 * hypercalls; nothing else knows of it.
 *
 * There are such VMs where the program executes guest code itself: a vCPU of ours (struct kvm_cpu_type) is
 * of the host's architecture.
 */
#ifndef UVFIO_KVM_ARCH_H
#define UVFIO_KVM_ARCH_H

#include "kvm/kvm.h"

/* What a hypercall that nobody here answers says: user space must. */
#define KVM_HCALL_USER   9999

#define KVM_HCALL_COUNTS 3

struct kvm_arch_ops {
	uint64_t type; /* KVM_CREATE_VM's argument */
	/* 0 or -ENOMEM; *arch is the VM's own part, which destroy frees: with the VM's last reference. */
	int (*create)(struct kvm *kvm, void **arch);
	void (*destroy)(void *arch);
	const struct ioctl_row *rows; /* of the VM's file */
	unsigned int nr_rows;
	long (*check_extension)(uint32_t cap); /* 0: not known */
	/* What other VMs have and these have not: ioctls (-ENOTTY), and capabilities, each ended by 0 or by
	 * KVM_ARCH_NO_CAP. */
	const uint32_t *without_ioctls, *without_caps;
	int (*enable_cap)(void *arch, const struct kvm_enable_cap *in);
	/* Attributes of KVM_DEV_VFIO_FILE beside ADD and DEL. */
	bool (*has_file_attr)(uint64_t attr);
	/* dev is the VM's KVM-VFIO device: kvm_vfio_with_file() finds its files. */
	int (*set_file_attr)(void *arch, struct kvm_device *dev, const struct caller *caller,
			     const struct kvm_device_attr *attr);
	/* file is none of the KVM-VFIO device's any more; its lock is held. */
	void (*file_removed)(void *arch, struct file *file);
	/* The answer, or KVM_HCALL_USER. Any thread; no lock is held. */
	long (*hcall)(void *arch, uint64_t number, const uint64_t *args, uint64_t *rets);
	/* How many there were that it did without waiting, with waiting, and that are user space's. Of all;
	 * or of what *which names: 0, or -ENOENT. */
	int (*hcall_counts)(void *arch, const uint64_t *which, uint64_t counts[KVM_HCALL_COUNTS]);
};

#define KVM_ARCH_NO_CAP UINT32_MAX /* 0 is one */

/* The architecture of that type, or NULL. */
const struct kvm_arch_ops *kvm_arch_of_type(uint64_t type);
/* KVM_CHECK_EXTENSION on /dev/kvm: what any of them has. */
long kvm_archs_check_extension(uint32_t cap);

/* The VM's ioctl rows of its architecture, or ioctls that it is without: 0 and *rc, or -1: none of them. */
int kvm_arch_ioctl(struct kvm *kvm, struct file *file, const struct caller *caller, uint32_t cmd,
		   uint64_t arg, long *rc);

/* Is the VM without it, though others have it? */
bool kvm_arch_is_without_cap(const struct kvm *kvm, uint32_t cap);

/* Hypercall number of vcpu: its answer, or KVM_HCALL_USER. */
long kvm_hcall(struct kvm *kvm, uint64_t number, const uint64_t *args, uint64_t *rets);
/* As hcall_counts(); also -EINVAL: the VM has no hypercalls. */
int kvm_hcall_counts(struct kvm *kvm, const uint64_t *which, uint64_t counts[KVM_HCALL_COUNTS]);

#endif
