/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of this directory share about a VM. */
#ifndef UVFIO_KVM_IMPL_H
#define UVFIO_KVM_IMPL_H

#include "base/why.h"
#include "iommu/mm.h"
#include "kvm/arch.h"
#include "kvm/ioeventfd.h"
#include "kvm/irqfd.h"
#include "kvm/kvm.h"
#include "kvm/srcu.h"

#define KVM_NR_IOBUS_DEVS  1000 /* that are no ioeventfds, on one bus */
#define KVM_MAX_VCPU_IDS   256
#define KVM_MAX_IRQ_ROUTES 4096

/* ---- bus.c */

struct kvm_io_range {
	uint64_t addr, seq;
	int len; /* as the kernel has it: negative for zones of 2 GiB and more */
	struct kvm_io_device *dev;
};

/* Never changed once published. In the order of their registration. */
struct kvm_io_ranges {
	unsigned int nr;
	struct kvm_io_range range[];
};

/* lock protects changes; looking up takes none. */
struct kvm_io_bus {
	pthread_mutex_t lock;
	uint64_t seq;                           /* of the next registration */
	_Atomic(struct kvm_io_ranges *) ranges; /* NULL: none; valid in a section of kvm->srcu */
	struct ioeventfds ioeventfds;
};

int kvm_io_bus_init(struct kvm_io_bus *bus);
void kvm_io_bus_destroy(struct kvm_io_bus *bus); /* calls destructors */
/* A write to a bus that has, or had a moment ago, ranges. */
int kvm_io_bus_write_among_ranges(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index, uint64_t addr,
				  unsigned int len, const void *data);
/* Is there room for one registration more? The bus's lock is held. */
bool kvm_io_bus_has_room(const struct kvm_io_bus *bus);

/* ---- coalesced.c */

struct kvm_coalesced {
	pthread_mutex_t ring_lock; /* innermost: writers of the ring */
	struct kvm_coalesced_mmio_ring *ring;
	int fd;                     /* of the ring's page; -1: not made yet; under slots_lock */
	struct cds_list_head zones; /* under slots_lock */
};

void kvm_coalesced_init(struct kvm *kvm);
void kvm_coalesced_destroy(struct kvm *kvm); /* after the buses */
long kvm_ioctl_register_zone(struct ioctl_call *call, void *arg);
long kvm_ioctl_unregister_zone(struct ioctl_call *call, void *arg);

/* ---- ioeventfd.c */

long kvm_ioctl_ioeventfd(struct ioctl_call *call, void *arg);

/* ---- memslot.c */

struct kvm_slots;

void kvm_memslots_destroy(struct kvm *kvm);
long kvm_ioctl_set_memory(struct ioctl_call *call, void *arg);
long kvm_ioctl_get_dirty_log(struct ioctl_call *call, void *arg);
long kvm_ioctl_clear_dirty_log(struct ioctl_call *call, void *arg);

/* ---- vcpu_list.c; slots_lock is held */

void kvm_vcpus_stop(struct kvm *kvm);
void kvm_vcpus_slots_changed(struct kvm *kvm);

/* ---- device.c */

long kvm_ioctl_create_device(struct ioctl_call *call, void *arg);

/* ---- vm.c */

struct kvm {
	_Atomic uint32_t refs;
	struct mm *mm; /* whose VM it is */
	pthread_mutex_t slots_lock;
	struct kvm_srcu srcu; /* sections: bus ranges, memory slots */
	struct kvm_io_bus buses[KVM_NR_BUSES];
	struct kvm_coalesced coalesced;
	_Atomic(struct kvm_slots *) slots; /* NULL: none; changed under slots_lock, read in a section */
	_Atomic uint64_t slots_generation;
	uint64_t manual_dirty_protect; /* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, under slots_lock */
	struct cds_list_head devices;  /* under slots_lock */
	pthread_mutex_t vcpus_lock;
	_Atomic(struct kvm_vcpu *)
		vcpus[KVM_MAX_VCPU_COUNT];  /* changed under slots_lock and vcpus_lock, read in a section */
	bool vcpus_made;                    /* there has been one; under vcpus_lock */
	_Atomic(struct kvm_intc *) irqchip; /* set once */
	_Atomic(struct kvm_routing *) routing; /* NULL: none; changed under vcpus_lock, read in a section */
	struct kvm_irqfds irqfds;
	const struct kvm_arch_ops *arch_ops; /* NULL: the host's */
	void *arch;                          /* theirs */
};

/* 0 or -errno: a VM with one reference. type: KVM_CREATE_VM's argument; -EINVAL: there is no such. */
int kvm_create(const struct caller *caller, uint64_t type, struct kvm **out);

static inline struct kvm *kvm_of_call(const struct ioctl_call *call)
{
	return call->file->priv;
}

extern const struct kvm_cpu_type *kvm_cpu_type; /* NULL: none */

/* The file of a new VM. */
int kvm_vm_file(struct kvm *kvm, struct file **file);
long kvm_check_extension(const struct kvm *kvm, uint32_t cap); /* kvm: NULL on /dev/kvm */

#endif
