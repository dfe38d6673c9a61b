/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of VMs and of notifiers share: mediated devices that note what they are told. */
#ifndef UVFIO_VFIO_TEST_KVM_RIG_H
#define UVFIO_VFIO_TEST_KVM_RIG_H

#include "vfio/test_util.h"

#include <string.h>

struct kvm {
	char name;
};

extern struct kvm vm_a, vm_b;

/* Devices 0 and 1 in group 20, 2 in group 21. */
#define NR 3u

struct rig {
	struct bench *b;
	struct mdev {
		struct vfio_device vdev;
		struct kvm *kvm, *at_open;
		char told[64]; /* "A-B-": a VM, none, ... */
		int open_result;
		struct vfio_notifier *late; /* registered in open, unregistered in close */
	} mdevs[NR];
};

/* Append to what somebody was told. */
void note(char *told, const struct kvm *kvm);
/* Tell the file behind fd. */
void set_kvm(int fd, struct kvm *kvm);
void unset_kvm(int fd, struct kvm *kvm);

int rig_setup(void **state);
int rig_teardown(void **state);

#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

#endif
