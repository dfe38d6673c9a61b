/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual machine of KVM's: memory slots, the two I/O buses, ioeventfds, coalesced zones, interrupt routing
 * and irqfds, a model of the interrupt controllers, and what vCPUs and devices of a VM are made on.
 *
 * A VM is kept alive by its file, by each vCPU, by each device file, and by who took kvm_get(). When the last
 * file of the VM is closed its irqfds end at once; everything else ends with the last reference. The order
 * then: irqfds, ioeventfds and zones, devices that have no file of their own, memory slots.
 *
 * Lock order: slots_lock, vcpus_lock, a bus's lock; irqfds.lock, the interrupt controllers' lock; last that
 * of the srcu. None is held while an access is dispatched, and none while a vCPU, a device's handler or the
 * program is called, but where a function below says so.
 *
 * All ioctls go through the tables of src/file. Every one of them, whatever the file, gets EIO when it comes
 * from an address space other than the one that made the VM: kvm_check_mm().
 */
#ifndef UVFIO_KVM_KVM_H
#define UVFIO_KVM_KVM_H

#include "base/base.h"
#include "file/ioctl.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <urcu/list.h>

struct kvm;
struct kvm_vcpu;
struct kvm_device;
struct kvm_lapic;

/* ---- life */

/* An open of /dev/kvm. 0 or -ENOMEM. */
int kvm_dev_open(int oflags, struct file **file);
/* Called, if set, when the program has made a VM: what it maps may be a guest's memory from now on. */
extern void (*kvm_created)(void);

void kvm_get(struct kvm *kvm);
void kvm_put(struct kvm *kvm); /* the last one ends the VM; no lock held */

/* The VM behind an open VM file (any caller's), with a reference; NULL: the file is another kind. */
struct kvm *kvm_of_file(struct file *file);

/* 0, or -EIO: the VM belongs to another address space. For the ioctl operation of each file of a VM. */
int kvm_check_mm(const struct kvm *kvm, const struct caller *caller);

/* ---- buses */

enum kvm_bus {
	KVM_MMIO_BUS,
	KVM_PIO_BUS,
	KVM_VIRTIO_CCW_NOTIFY_BUS, /* entries are accepted, no access comes here on x86 */
	KVM_NR_BUSES,
};

/*
 * One access of at most 8 bytes, which is not cut. data: len bytes in guest byte order. vcpu: who makes it,
 * or NULL. 0: handled; -EOPNOTSUPP: user space's. Takes no lock; any thread.
 */
int kvm_io_bus_write(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index, uint64_t addr,
		     unsigned int len, const void *data);
int kvm_io_bus_read(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index, uint64_t addr,
		    unsigned int len, void *data);

/*
 * An access as an instruction makes it: on MMIO cut at page boundaries, then into pieces of at most 8 bytes.
 * How many bytes were handled, from addr on. When that is less than len, what lies before the next page
 * boundary (of addr + result) is user space's in pieces of at most 8 bytes, even where a handler covers a
 * later piece; behind it, call again. A vCPU's local APIC comes before the bus.
 */
unsigned int kvm_io(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus bus, bool write, uint64_t addr,
		    unsigned int len, void *data);

/*
 * A range with handlers. An access belongs to it when it lies within it; a handler that does not want it
 * returns -EOPNOTSUPP, and the next one in the bus's order is asked. Handlers run without locks;
 * unregistering waits for those of its device.
 */
struct kvm_io_device;

struct kvm_io_device_ops {
	int (*read)(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		    void *data);
	int (*write)(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		     const void *data);
	/* Nobody is inside any more: at unregistering, and when the VM ends. */
	void (*destructor)(struct kvm_io_device *dev);
};

struct kvm_io_device {
	const struct kvm_io_device_ops *ops;
	_Atomic uint32_t users; /* the bus's: who may be in a handler */
};

/* 0; -ENOSPC: 1000 are there; -ENOMEM. len 0 never matches. */
int kvm_io_bus_register_dev(struct kvm *kvm, enum kvm_bus index, uint64_t addr, uint32_t len,
			    struct kvm_io_device *dev);
/* Returns when nobody is inside. 0; -ENOENT; -EDEADLK: the calling thread is in a handler of dev. */
int kvm_io_bus_unregister_dev(struct kvm *kvm, enum kvm_bus index, struct kvm_io_device *dev);

/* ---- memory slots */

struct kvm_memory_slot {
	uint32_t id, flags; /* KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY */
	uint64_t gpa, size; /* bytes, page aligned */
	uint64_t hva;       /* in the VM's address space */
};

/*
 * Call fn for every slot, by ascending gpa, until it returns false; holding slots_lock. Slots changed after
 * the number kvm_slots_generation() gave are told to vCPUs by ops->slots_changed.
 */
void kvm_each_memslot(struct kvm *kvm, bool (*fn)(void *arg, const struct kvm_memory_slot *slot), void *arg);
uint64_t kvm_slots_generation(struct kvm *kvm);

/* The slot that has gpa: true and a copy of it. Takes no lock. */
bool kvm_memslot_at(struct kvm *kvm, uint64_t gpa, struct kvm_memory_slot *slot);

/* Guest memory: 0, or -EFAULT (no slot, or its memory is not there). Writing marks dirty, and refuses
 * READONLY slots. A part may have been copied. */
int kvm_read_guest(struct kvm *kvm, uint64_t gpa, void *data, size_t len);
int kvm_write_guest(struct kvm *kvm, uint64_t gpa, const void *data, size_t len);

/* [gpa, gpa + len) has been written past kvm_write_guest(): mark the pages of slots that log. No lock. */
void kvm_mark_dirty(struct kvm *kvm, uint64_t gpa, uint64_t len);

/* ---- vCPUs: the seam to what executes guest code */

struct kvm_vcpu_ops {
	/*
	 * Something may have become deliverable (or, with the local APIC, a vCPU must wake from HLT): leave
	 * guest code soon and ask kvm_cpu_has_interrupt(). Any thread, also a vCPU's own inside kvm_io().
	 * Takes no lock that is held around calls into this header; must be cheap when it is pending already.
	 */
	void (*kick)(struct kvm_vcpu *vcpu);
	/* From the local APIC's command register; may be NULL. */
	void (*nmi)(struct kvm_vcpu *vcpu);
	void (*init)(struct kvm_vcpu *vcpu);
	void (*startup)(struct kvm_vcpu *vcpu, uint8_t vector);
	/*
	 * Memory slots are about to change, and have changed; slots_lock is held. Between the two no guest
	 * code of this vCPU may run on memory of slots; stop returns when it does not. Both may be NULL.
	 */
	void (*slots_stop)(struct kvm_vcpu *vcpu);
	void (*slots_changed)(struct kvm_vcpu *vcpu);
};

/* What every vCPU begins with. */
struct kvm_vcpu {
	struct kvm *kvm; /* a reference, from kvm_vcpu_add() to kvm_vcpu_del() */
	uint32_t id;
	const struct kvm_vcpu_ops *ops;
	struct kvm_lapic *apic; /* NULL: the VM has no interrupt controllers of ours */
	unsigned int index;     /* of the VM's vCPUs, in the order of their making */
};

#define KVM_MAX_VCPU_COUNT 64

/* vcpu: kvm, id and ops are set. 0; -EEXIST: the id is taken; -EINVAL: too many, or id too large; -ENOMEM. */
int kvm_vcpu_add(struct kvm_vcpu *vcpu);
void kvm_vcpu_del(struct kvm_vcpu *vcpu); /* nobody calls its ops any more when this returns */

/* Is there an interrupt for it (the local APIC's, or the PIC's through it)? Without irqchip: false. */
bool kvm_cpu_has_interrupt(struct kvm_vcpu *vcpu);
/* Acknowledge: the vector, or -1 when there is none any more. The caller checks IF and shadows first. */
int kvm_cpu_get_interrupt(struct kvm_vcpu *vcpu);

/* The local APIC: registers as KVM_GET_LAPIC has them, and CR8. */
struct kvm_lapic_state;
void kvm_lapic_get_state(struct kvm_vcpu *vcpu, struct kvm_lapic_state *state);
int kvm_lapic_set_state(struct kvm_vcpu *vcpu, const struct kvm_lapic_state *state);
uint64_t kvm_lapic_get_base(struct kvm_vcpu *vcpu); /* MSR IA32_APIC_BASE */
int kvm_lapic_set_base(struct kvm_vcpu *vcpu, uint64_t base);
uint8_t kvm_lapic_get_cr8(struct kvm_vcpu *vcpu);
void kvm_lapic_set_cr8(struct kvm_vcpu *vcpu, uint8_t cr8);
void kvm_lapic_reset(struct kvm_vcpu *vcpu); /* as INIT does */

/*
 * What makes vCPUs, if there is such a thing in this process: the program's ioctls on /dev/kvm and on VM
 * files that are not in the tables here are looked up in these rows (file->priv is the struct kvm of a VM
 * file).
 */
struct kvm_cpu_type {
	/* KVM_CREATE_VCPU: a descriptor for the caller, or -errno. */
	long (*create)(struct kvm *kvm, const struct caller *caller, uint32_t id);
	uint32_t mmap_size; /* KVM_GET_VCPU_MMAP_SIZE */
	const struct ioctl_row *system_rows, *vm_rows;
	unsigned int nr_system_rows, nr_vm_rows;
	/* KVM_CHECK_EXTENSION of what is not known here: 0 or more. */
	long (*check_extension)(uint32_t cap);
};

void kvm_set_cpu_type(const struct kvm_cpu_type *type); /* at start, before any VM */

/* The coalesced ring of the VM, a page that is mapped by vCPUs: a descriptor that belongs to the VM, or
 * -errno. Its pages are all that the file has. */
int kvm_coalesced_ring_fd(struct kvm *kvm);
struct kvm_coalesced_mmio_ring *kvm_coalesced_ring(struct kvm *kvm);

/* ---- interrupts */

/* KVM_CREATE_IRQCHIP, or the split one, has been done. */
bool kvm_has_irqchip(struct kvm *kvm);
/* The first of them. */
bool kvm_has_pic(struct kvm *kvm);
/* Deliver a message. 1: delivered; 0: nobody took it; -errno. Any thread, no lock held by the caller. */
int kvm_send_msi(struct kvm *kvm, uint64_t address, uint32_t data);
/* Set a line (a GSI of the routing table) for source. 1, 0 (coalesced), or -1: nothing is routed there. */
int kvm_set_irq(struct kvm *kvm, uint32_t source, uint32_t gsi, bool level);

/* ---- devices (KVM_CREATE_DEVICE) */

struct kvm_device_ops {
	const char *name; /* "kvm-vfio": readlink says anon_inode:kvm-vfio */
	/* dev->kvm is set. 0 or -errno; slots_lock is held. */
	int (*create)(struct kvm_device *dev, uint32_t type);
	/* The last descriptor was closed; the VM is alive. Frees what create made. No lock held. */
	void (*release)(struct kvm_device *dev);
	/* attr is copied in. NULL: -EPERM, as the kernel. */
	int (*set_attr)(struct kvm_device *dev, const struct caller *caller,
			const struct kvm_device_attr *attr);
	int (*get_attr)(struct kvm_device *dev, const struct caller *caller,
			const struct kvm_device_attr *attr);
	int (*has_attr)(struct kvm_device *dev, const struct caller *caller,
			const struct kvm_device_attr *attr);
};

struct kvm_device {
	struct kvm *kvm; /* a reference */
	const struct kvm_device_ops *ops;
	void *private;             /* the type's */
	struct cds_list_head node; /* the VM's devices, under slots_lock */
};

/* At start: KVM_CREATE_DEVICE of this type. -EEXIST, -ENOSPC (no such type). */
int kvm_register_device_ops(const struct kvm_device_ops *ops, uint32_t type);

/* Call fn for each device of the VM; slots_lock held (or, inside create, already held: pass locked). */
bool kvm_has_device(struct kvm *kvm, const struct kvm_device_ops *ops, bool locked);

/* The device behind an open device file of these ops, or NULL; valid while the file is. */
struct kvm_device *kvm_device_of_file(struct file *file, const struct kvm_device_ops *ops);

#endif
