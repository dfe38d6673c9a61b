/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of this directory share: a guest of POWER's with memory, its tables, and a container. */
#ifndef UVFIO_KVM_SPAPR_TEST_RIG_H
#define UVFIO_KVM_SPAPR_TEST_RIG_H

#include "vfio/test_spapr.h"

#include "file/fdtable.h"
#include "kvm/spapr/spapr_tce.h"

#include <fcntl.h>

#define LIOBN 0x80000000u
#define GPA   ((uint64_t)1 << 30) /* of guest memory: the client's 32 MiB */

struct rig {
	struct client *t;
	int sys, vm, kv; /* /dev/kvm, the VM, its KVM-VFIO device */
	struct uvfio_kvm *uvm;
};

static inline long create_table(const struct rig *r, uint64_t liobn, uint32_t shift, uint64_t offset,
				uint64_t size)
{
	struct kvm_create_spapr_tce_64 in = {
		.liobn = liobn, .page_shift = shift, .offset = offset, .size = size
	};

	return call_ptr(r->vm, KVM_CREATE_SPAPR_TCE_64, &in);
}

static inline long set_attr(const struct rig *r, uint64_t which, const void *arg)
{
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_GROUP, .attr = which, .addr = (uintptr_t)arg };

	return call_ptr(r->kv, KVM_SET_DEVICE_ATTR, &attr);
}

static inline long add_group(const struct rig *r, int group)
{
	return set_attr(r, KVM_DEV_VFIO_GROUP_ADD, &group);
}

static inline long del_group(const struct rig *r, int group)
{
	return set_attr(r, KVM_DEV_VFIO_GROUP_DEL, &group);
}

static inline long tie(const struct rig *r, int group, int table)
{
	struct kvm_vfio_spapr_tce arg = { group, table };

	return set_attr(r, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, &arg);
}

static inline int new_device(const struct rig *r)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };

	assert_int_equal(call_ptr(r->vm, KVM_CREATE_DEVICE, &device), 0);
	return (int)device.fd;
}

static inline struct kvm *kvm_of(const struct rig *r)
{
	return (struct kvm *)r->uvm;
}

static inline struct spapr_vm *spapr_of(const struct rig *r)
{
	return kvm_of(r)->arch;
}

static inline long hcall(const struct rig *r, uint64_t number, uint64_t ioba, uint64_t a, uint64_t b)
{
	uint64_t args[] = { LIOBN, ioba, a, b };

	return kvm_hcall(kvm_of(r), number, args, NULL);
}

static inline long get(const struct rig *r, uint64_t ioba, uint64_t *tce)
{
	uint64_t args[] = { LIOBN, ioba };

	return kvm_hcall(kvm_of(r), UVFIO_H_GET_TCE, args, tce);
}

/* How many hypercalls have ended in this tier. */
static inline uint64_t in_tier(const struct rig *r, enum tce_tier tier)
{
	uint64_t counts[TCE_TIERS];

	assert_int_equal(kvm_hcall_counts(kvm_of(r), NULL, counts), 0);
	return counts[tier];
}

/* A VM whose memory is the client's, with a KVM-VFIO device. */
static inline struct rig *rig_new(struct client *t)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct kvm_userspace_memory_region slot = { .guest_phys_addr = GPA,
						    .memory_size = 32 * MIB,
						    .userspace_addr = (uintptr_t)t->memory };
	struct file *file;

	r->t = t;
	assert_int_equal(kvm_dev_open(O_RDWR, &file), 0);
	r->sys = fdtable_install(file, O_RDWR);
	r->vm = (int)call(r->sys, KVM_CREATE_VM, KVM_VM_PPC_HV);
	assert_true(r->vm >= 0);
	file = fdtable_get(r->vm);
	r->uvm = (struct uvfio_kvm *)kvm_of_file(file);
	file_put(file);
	assert_int_equal(call_ptr(r->vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	r->kv = new_device(r);
	return r;
}

static inline void rig_free(struct rig *r)
{
	if (r->kv >= 0)
		close_fd(r->kv);
	close_fd(r->vm);
	assert_null(atomic_load(&spapr_of(r)->tables));
	assert_int_equal(kvm_of(r)->refs, 1);
	kvm_put(kvm_of(r));
	close_fd(r->sys);
	free(r);
}

/* A window of 4 KiB pages at 0 of 1 MiB, in place of the default one. */
static inline void small_window(const struct client *t)
{
	assert_int_equal(remove_at(t, 0), 0);
	assert_int_equal(create(t, 12, MIB, 1, NULL), 0);
}

/* A container with group 1, v2 or v1, with a small window when v2. */
static inline int rig_setup_type(void **state, uint64_t type)
{
	void *client;
	struct rig *r;

	setup(&client, type);
	r = rig_new(client);
	if (type == VFIO_SPAPR_TCE_v2_IOMMU) {
		small_window(r->t);
		assert_int_equal(reg(r->t, r->t->memory, 16 * MIB, true), 0);
	}
	*state = r;
	return 0;
}

static inline int rig_setup(void **state)
{
	return rig_setup_type(state, VFIO_SPAPR_TCE_v2_IOMMU);
}

static inline int rig_teardown(void **state)
{
	struct rig *r = *state;
	void *client = r->t;

	rig_free(r);
	return teardown(&client); /* nothing is charged any more */
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

#endif
