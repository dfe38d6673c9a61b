/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libuvfio: KVM's side of device assignment, for VMMs, emulators and simulators.
 *
 * A VM here has memory slots, port and memory buses, ioeventfds, coalesced zones, irqfds with routing and
 * resampling, and a model of the interrupt controllers. It is made and changed with the ioctls of
 * <linux/kvm.h> on descriptors, as with /dev/kvm, through uvfio_ioctl(). Who executes guest code is the
 * program's affair: it asks uvfio_kvm_io() at each access of the guest to ports or to memory that is no RAM,
 * and that either handles it or says that it is the program's.
 *
 *     int kvm = uvfio_kvm_open(O_RDWR);
 *     int fd = uvfio_ioctl(kvm, KVM_CREATE_VM, 0);
 *     struct kvm_ioeventfd io = { .addr = 0xfe001000, .len = 4, .fd = eventfd(0, EFD_NONBLOCK) };
 *     uvfio_ioctl(fd, KVM_IOEVENTFD, &io);
 *     struct uvfio_kvm *vm = uvfio_kvm_get(fd);
 *     ...
 *     done = uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, addr, len, data);
 *     if (done < len)
 *         device_write(addr + done, data + done, len - done);
 *     ...
 *     uvfio_kvm_put(vm); uvfio_close(fd); uvfio_close(kvm);
 *
 * examples/emulator.c is a whole program: slots, devices, a processor's loop, its interrupts.
 *
 * Errors, descriptors and threads are as <uvfio/machine.h> has them. All calls on a VM may be made by any
 * thread at any time; uvfio_kvm_io() takes no lock of its own. Where this differs from the kernel stands in
 * docs/differences.md.
 */
#ifndef UVFIO_KVM_H
#define UVFIO_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>
#include <uvfio/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uvfio_kvm;

/**
 * uvfio_kvm_open() - what open("/dev/kvm") is.
 * @flags: as for open(2): O_RDWR, O_CLOEXEC.
 *
 * Needs no machine, no /dev/kvm and no rights.
 *
 * Return: a descriptor for uvfio_ioctl() (KVM_CREATE_VM, KVM_CHECK_EXTENSION, ...), or -EMFILE, -ENFILE,
 * -ENOMEM.
 */
UVFIO_PUBLIC int uvfio_kvm_open(int flags);

/**
 * uvfio_kvm_get() - a VM for the calls below.
 * @fd: from KVM_CREATE_VM by uvfio_ioctl().
 *
 * Return: the VM, which lives on until uvfio_kvm_put(), also when @fd is closed (its irqfds end then). NULL:
 * @fd is no VM of these calls.
 */
UVFIO_PUBLIC struct uvfio_kvm *uvfio_kvm_get(int fd);

/**
 * uvfio_kvm_put() - let go of a VM.
 * @vm: from uvfio_kvm_get(); NULL does nothing.
 */
UVFIO_PUBLIC void uvfio_kvm_put(struct uvfio_kvm *vm);

enum uvfio_kvm_bus {
	UVFIO_KVM_MMIO,
	UVFIO_KVM_PIO,
};

/**
 * uvfio_kvm_io() - an access of the guest.
 * @vm: the VM.
 * @bus: memory or ports; what is neither is taken for memory.
 * @write: else a read.
 * @addr: guest physical address, or port.
 * @len: bytes. Ports: 1, 2 or 4, once for each element of a string instruction. Memory: as the instruction
 * has it; it is cut at page boundaries and then into pieces of at most 8 bytes, each of which is an access.
 * @data: what is written, or where to put what is read; little endian.
 *
 * Memory slots are not asked: call this for what no slot has, and for writes to KVM_MEM_READONLY slots. A
 * write that matches an ioeventfd signals it; one in a coalesced zone goes into the ring; interrupt
 * controllers (KVM_CREATE_IRQCHIP) and devices (uvfio_kvm_register()) are called.
 *
 * Return: how many bytes were handled, counted from @addr. @len: all. Less: what comes next is the program's,
 * up to the next page boundary, in pieces of at most 8 bytes; from there on call again. 0 for an access of at
 * most 8 bytes in one page: it is the program's.
 */
UVFIO_PUBLIC unsigned int uvfio_kvm_io(struct uvfio_kvm *vm, enum uvfio_kvm_bus bus, bool write,
				       uint64_t addr, unsigned int len, void *data);

/**
 * struct uvfio_kvm_io_ops - handlers of a range of addresses.
 * @read: fill in @len bytes of @data. NULL: reads are not handled.
 * @write: take @len bytes of @data. NULL: writes are not handled.
 *
 * @len is 1 to 8. They return true when they have handled the access; false passes it on to who comes next on
 * the bus, at last the program. They are called by the threads that call uvfio_kvm_io(), several at a time;
 * no lock is held. They may make every call on the VM, but not unregister their own range.
 */
struct uvfio_kvm_io_ops {
	bool (*read)(void *arg, uint64_t addr, unsigned int len, void *data);
	bool (*write)(void *arg, uint64_t addr, unsigned int len, const void *data);
};

struct uvfio_kvm_range;

/**
 * uvfio_kvm_register() - put a device on a bus.
 * @vm: the VM.
 * @bus: memory or ports.
 * @addr: the first address.
 * @len: bytes; accesses that lie in this range as a whole come to it.
 * @ops: handlers, valid until it is unregistered.
 * @arg: for them.
 * @range: for uvfio_kvm_unregister().
 *
 * Where ranges overlap, with ioeventfds and coalesced zones too, who is first is decided as the kernel's bus
 * decides: who was registered first, but of two that begin at the same address the shorter one.
 *
 * Return: 0, or
 *   -EINVAL	@bus is none of the two, @len is 0, or @addr + @len is no address
 *   -ENOSPC	1000 devices and zones are on the bus
 *   -ENOMEM
 */
UVFIO_PUBLIC int uvfio_kvm_register(struct uvfio_kvm *vm, enum uvfio_kvm_bus bus, uint64_t addr, uint32_t len,
				    const struct uvfio_kvm_io_ops *ops, void *arg,
				    struct uvfio_kvm_range **range);

/**
 * uvfio_kvm_unregister() - take a device off its bus.
 * @range: from uvfio_kvm_register().
 *
 * Returns when no handler of it runs, and none will. Also ends with the VM: then @range is no more.
 *
 * Return: 0, or -EDEADLK: called by a handler of it. (Two handlers that unregister each other's ranges at the
 *   same time wait for ever.)
 */
UVFIO_PUBLIC int uvfio_kvm_unregister(struct uvfio_kvm_range *range);

/**
 * uvfio_kvm_read_memory() - read guest memory.
 * @vm: the VM.
 * @gpa: guest physical address.
 * @data: where to.
 * @len: bytes.
 *
 * Return: 0, or -EFAULT: no memory slot has all of it, or the program's memory is not there. A part may have
 * been read.
 */
UVFIO_PUBLIC int uvfio_kvm_read_memory(struct uvfio_kvm *vm, uint64_t gpa, void *data, size_t len);

/**
 * uvfio_kvm_write_memory() - write guest memory, and the dirty log of slots that have one.
 * @vm: the VM.
 * @gpa: guest physical address.
 * @data: where from.
 * @len: bytes.
 *
 * Return: 0, or -EFAULT as above, or because the slot is read-only. A part may have been written.
 */
UVFIO_PUBLIC int uvfio_kvm_write_memory(struct uvfio_kvm *vm, uint64_t gpa, const void *data, size_t len);

/**
 * uvfio_kvm_mark_dirty() - the program has written guest memory itself.
 * @vm: the VM.
 * @gpa: guest physical address.
 * @len: bytes.
 *
 * Takes no lock: an emulator may call it for every store.
 */
UVFIO_PUBLIC void uvfio_kvm_mark_dirty(struct uvfio_kvm *vm, uint64_t gpa, uint64_t len);

/**
 * uvfio_kvm_coalesced_ring() - the ring of the VM's coalesced zones.
 * @vm: the VM.
 *
 * The program takes entries at ring->first and moves it on. The ring has as many entries as fit into a page
 * of 4096 bytes.
 *
 * Return: the ring, valid as long as @vm; NULL: no memory.
 */
UVFIO_PUBLIC struct kvm_coalesced_mmio_ring *uvfio_kvm_coalesced_ring(struct uvfio_kvm *vm);

/**
 * struct uvfio_kvm_cpu_ops - what a virtual processor of the program's is told.
 * @kick: there may be an interrupt for it: have it call uvfio_kvm_interrupt() soon.
 * @nmi, @init, @startup: sent by a local APIC; may be NULL.
 *
 * Called by any thread, also by one that is in uvfio_kvm_io() or uvfio_ioctl(). They note what is to be done
 * and return: they may not call into this library, nor wait for a lock that is held around calls into it.
 */
struct uvfio_kvm_cpu_ops {
	void (*kick)(void *arg);
	void (*nmi)(void *arg);
	void (*init)(void *arg);
	void (*startup)(void *arg, uint8_t vector);
};

struct uvfio_kvm_cpu;

/**
 * uvfio_kvm_cpu_new() - a virtual processor that the program executes.
 * @vm: the VM; interrupt controllers (KVM_CREATE_IRQCHIP, KVM_CAP_SPLIT_IRQCHIP) are made before.
 * @id: its number, and that of its local APIC; 0 is the one that boots.
 * @ops: valid as long as it is.
 * @arg: for them.
 * @cpu: where to put it.
 *
 * Return: 0, -EEXIST: the id is taken; -EINVAL: @id is 256 or more, or there are 64; -ENOMEM.
 */
UVFIO_PUBLIC int uvfio_kvm_cpu_new(struct uvfio_kvm *vm, unsigned int id, const struct uvfio_kvm_cpu_ops *ops,
				   void *arg, struct uvfio_kvm_cpu **cpu);
/**
 * uvfio_kvm_cpu_free() - the virtual processor goes.
 * @cpu: may not be in another call; the VM stays.
 *
 * When it returns, its ops are not called any more.
 */
UVFIO_PUBLIC void uvfio_kvm_cpu_free(struct uvfio_kvm_cpu *cpu);

/**
 * uvfio_kvm_cpu_io() - uvfio_kvm_io() of a virtual processor: its local APIC comes first.
 * @cpu: the one that makes the access.
 * @bus: as in uvfio_kvm_io(), like all that follow.
 * @write: the guest writes.
 * @addr: port, or guest physical address.
 * @len: bytes.
 * @data: what is written, or where to put what is read.
 *
 * Return: as uvfio_kvm_io().
 */
UVFIO_PUBLIC unsigned int uvfio_kvm_cpu_io(struct uvfio_kvm_cpu *cpu, enum uvfio_kvm_bus bus, bool write,
					   uint64_t addr, unsigned int len, void *data);

/**
 * uvfio_kvm_interrupt() - take the interrupt that is due.
 * @cpu: can take one now (its interrupt flag is set).
 *
 * Return: the vector, acknowledged: the guest must get it. -1: there is none.
 */
UVFIO_PUBLIC int uvfio_kvm_interrupt(struct uvfio_kvm_cpu *cpu);

/*
 * Machines of POWER's PAPR ("pseries"), for emulators. KVM_CREATE_VM with KVM_VM_PPC_HV makes such a VM. It
 * has KVM_CREATE_SPAPR_TCE and _TCE_64, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE on its KVM-VFIO device, and these
 * hypercalls. examples/papr.c is a program that uses all of it, in this order:
 *
 *  - memory slots: a TCE is a guest address, and what devices may do there: 1 read, 2 write, 3 both;
 *  - a container of a machine with "iommu type=spapr", VFIO_SPAPR_TCE_v2_IOMMU. What the guest's TCEs may
 *    point to is registered with it: VFIO_IOMMU_SPAPR_REGISTER_MEMORY;
 *  - its window. The default one is made by the first VFIO_IOMMU_MAP_DMA or VFIO_IOMMU_SPAPR_TCE_CREATE; a
 *    program that wants windows of its own removes it, and makes those;
 *  - KVM_CREATE_SPAPR_TCE_64: the table as the guest sees it, for a LIOBN. mmap() of its descriptor is the
 *    guest's view: an entry is 8 bytes, in the program's byte order. It is charged against RLIMIT_MEMLOCK;
 *  - KVM_DEV_VFIO_GROUP_ADD, then KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE: hypercalls change the window's table,
 *    too, from then on, until the KVM-VFIO device is closed. The window has to begin where the table does,
 * and to be at least as large;
 *  - whoever ends first, guest table, group or container, the others work on. A window that was removed and
 *    made again is tied again.
 *
 * uvfio_set_trace("ioctl") says of each call that fails, and of each hypercall that is the program's, why.
 *
 * Only the process that made a VM makes hypercalls, not its children. What <linux/kvm.h> has of all this on
 * that architecture only:
 */
#if !defined(__powerpc__)
struct kvm_create_spapr_tce {
	uint64_t liobn;
	uint32_t window_size;
};

struct kvm_create_spapr_tce_64 {
	uint64_t liobn;
	uint32_t page_shift;
	uint32_t flags;
	uint64_t offset; /* of the window on the bus, in pages */
	uint64_t size;   /* in pages */
};
#endif

enum uvfio_kvm_hcall {
	UVFIO_H_GET_TCE = 0x1c,
	UVFIO_H_PUT_TCE = 0x20,
	UVFIO_H_STUFF_TCE = 0x138,
	UVFIO_H_PUT_TCE_INDIRECT = 0x13c,
};

enum uvfio_kvm_hcall_answer {
	UVFIO_H_SUCCESS = 0,
	UVFIO_H_PARAMETER = -4,
	UVFIO_H_TOO_HARD = 9999,
};

/**
 * uvfio_kvm_hcall() - a hypercall of the guest.
 * @cpu: who makes it; of a VM made with KVM_VM_PPC_HV.
 * @number: as the guest has it in r3.
 * @args: from r4 on: LIOBN, I/O bus address, and
 *   H_PUT_TCE: the TCE;  H_GET_TCE: -;  H_PUT_TCE_INDIRECT: the guest address of a page with up to 512 TCEs,
 *   big endian, and how many;  H_STUFF_TCE: a TCE without permissions, and how many entries get it: any
 *   number, as on Linux; older guests do not keep to PAPR's 512.
 * @rets: for r4 on: H_GET_TCE: the TCE. Others leave it alone. May be NULL.
 *
 * Where VFIO's containers have the window, and the memory is registered with them, it is mapped for their
 * devices when this returns, and devices do not use any more what was unmapped.
 *
 * UVFIO_H_TOO_HARD leaves all of it to the program, as KVM_EXIT_PAPR_HCALL does; a part of a list may have
 * been done. Causes: the number is none of these, or switched off (KVM_CAP_PPC_ENABLE_HCALL); the LIOBN has
 * no table here; the memory is in no slot, not aligned for the table's pages, or not registered; the
 * container is a VFIO_SPAPR_TCE_IOMMU one. What the program does then: VFIO_IOMMU_MAP_DMA or _UNMAP_DMA, and
 * storing the TCE in its mapping of the table, for H_GET_TCE. Or it registers the memory, and makes the
 * hypercall again.
 *
 * Return: what the guest gets in r3, or UVFIO_H_TOO_HARD.
 */
UVFIO_PUBLIC long uvfio_kvm_hcall(struct uvfio_kvm_cpu *cpu, uint64_t number, const uint64_t args[],
				  uint64_t rets[]);

/**
 * struct uvfio_kvm_hcall_counts - how many of these hypercalls were answered in which tier.
 * @fast: without allocating, locking or waiting, whatever the answer was.
 * @slow: with one of these: an entry was used for the first time, a device was using what was unmapped, or,
 *   without uvfio_catch_faults(), a list was read by a system call.
 * @user: UVFIO_H_TOO_HARD.
 *
 * Numbers that are none of enum uvfio_kvm_hcall are not counted.
 */
struct uvfio_kvm_hcall_counts {
	uint64_t fast;
	uint64_t slow;
	uint64_t user;
};

/**
 * uvfio_kvm_get_hcall_counts() - how fast a guest's hypercalls were.
 * @vm: the VM.
 * @liobn: the table to ask for. NULL: all hypercalls since the VM was made, also for tables that are gone,
 *   and for LIOBNs that have none.
 * @counts: where to put them.
 *
 * Hypercalls go on meanwhile: one that another thread has not returned from may be counted or not.
 *
 * Return: 0, -ENOENT: the VM has no table of that LIOBN; -EINVAL: it was not made with KVM_VM_PPC_HV.
 */
UVFIO_PUBLIC int uvfio_kvm_get_hcall_counts(struct uvfio_kvm *vm, const uint64_t *liobn,
					    struct uvfio_kvm_hcall_counts *counts);

#ifdef __cplusplus
}
#endif

#endif
