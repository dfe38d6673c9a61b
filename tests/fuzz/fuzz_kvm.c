/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: the ioctls of a VM, of the host's kind and of POWER's, and accesses and hypercalls of its guest.
 *
 * The input is a sequence of calls on one VM with a processor. What a call names of the client's memory is
 * moved into memory set aside for it, descriptors become eventfds: see fuzz_ioctl.c for why.
 */
#include "input.h"

#include "uvfio/kvm.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE   4096u
#define ARENA  (4u << 20)
#define EVENTS 4
#define TABLES 4
#define CALLS  200

static uint8_t *arg_page, *arena;
static int kvm, events[EVENTS], tables[TABLES];

static const struct {
	unsigned long request;
	unsigned int size;
} requests[] = {
	{ KVM_IOEVENTFD, sizeof(struct kvm_ioeventfd) },
	{ KVM_IRQFD, sizeof(struct kvm_irqfd) },
	{ KVM_REGISTER_COALESCED_MMIO, sizeof(struct kvm_coalesced_mmio_zone) },
	{ KVM_UNREGISTER_COALESCED_MMIO, sizeof(struct kvm_coalesced_mmio_zone) },
	{ KVM_SET_USER_MEMORY_REGION, sizeof(struct kvm_userspace_memory_region) },
	{ KVM_GET_DIRTY_LOG, sizeof(struct kvm_dirty_log) },
	{ KVM_CLEAR_DIRTY_LOG, sizeof(struct kvm_clear_dirty_log) },
	{ KVM_IRQ_LINE_STATUS, sizeof(struct kvm_irq_level) },
	{ KVM_SIGNAL_MSI, sizeof(struct kvm_msi) },
	{ KVM_SET_GSI_ROUTING, sizeof(struct kvm_irq_routing) + 4 * sizeof(struct kvm_irq_routing_entry) },
	{ KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip) },
	{ KVM_GET_IRQCHIP, sizeof(struct kvm_irqchip) },
	{ KVM_ENABLE_CAP, sizeof(struct kvm_enable_cap) },
	{ KVM_CREATE_DEVICE, sizeof(struct kvm_create_device) },
	{ KVM_CREATE_SPAPR_TCE, sizeof(struct kvm_create_spapr_tce) },
	{ KVM_CREATE_SPAPR_TCE_64, sizeof(struct kvm_create_spapr_tce_64) },
};

union argument {
	struct kvm_ioeventfd io;
	struct kvm_irqfd irqfd;
	struct kvm_userspace_memory_region slot;
	struct kvm_dirty_log log;
	struct kvm_clear_dirty_log clear;
	struct kvm_create_device device;
	struct kvm_create_spapr_tce_64 tce; /* the other one begins with liobn, too */
};

static void make_harmless(union argument *arg, unsigned long request)
{
	if (request == KVM_IOEVENTFD && arg->io.fd >= 0)
		arg->io.fd = events[(unsigned int)arg->io.fd % EVENTS];
	if (request == KVM_IRQFD) {
		arg->irqfd.fd = (uint32_t)events[arg->irqfd.fd % EVENTS];
		arg->irqfd.resamplefd = (uint32_t)events[arg->irqfd.resamplefd % EVENTS];
	}
	if (request == KVM_SET_USER_MEMORY_REGION) {
		arg->slot.memory_size %= ARENA / 2 + 1;
		arg->slot.userspace_addr = (uintptr_t)arena + arg->slot.userspace_addr % (ARENA / 2);
	}
	if (request == KVM_GET_DIRTY_LOG)
		arg->log.dirty_bitmap = arena;
	if (request == KVM_CLEAR_DIRTY_LOG)
		arg->clear.dirty_bitmap = arena;
	if (request == KVM_CREATE_DEVICE)
		arg->device.flags |= KVM_CREATE_DEVICE_TEST;
	if (request == KVM_CREATE_SPAPR_TCE || request == KVM_CREATE_SPAPR_TCE_64)
		arg->tce.liobn %= TABLES;
	if (request == KVM_CREATE_SPAPR_TCE_64 && arg->tce.size >> 60)
		arg->tce.size %= 1 << 20;
}

/* The oldest one goes. */
static void keep_table(int fd)
{
	static unsigned int next;

	if (tables[next] > 0)
		uvfio_close(tables[next]);
	tables[next] = fd;
	next = (next + 1) % TABLES;
}

static void call(struct input *in, int vm)
{
	long rc;
	unsigned int which = (unsigned int)take(in, 1) % (sizeof(requests) / sizeof(requests[0]));
	/* at most alignment is behind it */
	void *arg = arg_page + PAGE - (requests[which].size + 7) / 8 * 8;

	take_bytes(in, arg, requests[which].size);
	make_harmless(arg, requests[which].request);
	rc = uvfio_ioctl(vm, requests[which].request, arg);
	if (rc > 0 && (requests[which].request == KVM_CREATE_SPAPR_TCE ||
		       requests[which].request == KVM_CREATE_SPAPR_TCE_64))
		keep_table((int)rc);
}

static void hcall(struct input *in, struct uvfio_kvm_cpu *cpu)
{
	static const uint64_t numbers[] = { UVFIO_H_PUT_TCE, UVFIO_H_GET_TCE, UVFIO_H_PUT_TCE_INDIRECT,
					    UVFIO_H_STUFF_TCE };
	unsigned int how = (unsigned int)take(in, 1);
	uint64_t args[4] = { how >> 2 & 7, take(in, 4), take(in, 8), take(in, 2) }, rets[4];

	if (how & 0x20)
		args[1] &= ~(uint64_t)(PAGE - 1);
	if (how & 0x40)
		args[2] %= ARENA;
	uvfio_kvm_hcall(cpu, numbers[how & 3], args, rets);
}

static void access_bus(struct input *in, struct uvfio_kvm_cpu *cpu)
{
	unsigned int how = (unsigned int)take(in, 1);
	static const uint64_t bases[] = { 0,    0xfec00000, 0xfee00000, 0x1000,
					  0x20, 0xa0,       0x4d0,      ~(uint64_t)0 - 16 };
	uint64_t addr = bases[how >> 2 & 7] + take(in, 2);
	uint8_t data[64];

	take_bytes(in, data, 8);
	uvfio_kvm_cpu_io(cpu, how & 1 ? UVFIO_KVM_PIO : UVFIO_KVM_MMIO, how & 2, addr,
			 how & 0x80 ? (unsigned int)sizeof(data) : 1u << (how >> 5 & 3), data);
}

static void kick(void *arg)
{
	(void)arg;
}

static const struct uvfio_kvm_cpu_ops cpu_ops = { .kick = kick };

static void set_up(void)
{
	arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	kvm = uvfio_kvm_open(O_RDWR);
	for (int i = 0; i < EVENTS; i++)
		events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	arg_page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED || arg_page == MAP_FAILED || mprotect(arg_page + PAGE, PAGE, PROT_NONE) ||
	    kvm < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct uvfio_kvm *vm;
	struct uvfio_kvm_cpu *cpu;
	uint8_t kind;
	int fd;

	if (!arena)
		set_up();
	kind = (uint8_t)take(&in, 1);
	fd = (int)uvfio_ioctl(kvm, KVM_CREATE_VM, (void *)(uintptr_t)(kind & 2 ? KVM_VM_PPC_HV : 0));
	vm = uvfio_kvm_get(fd);
	if (!vm)
		abort();
	if (kind & 1)
		uvfio_ioctl(fd, KVM_CREATE_IRQCHIP, NULL);
	if (uvfio_kvm_cpu_new(vm, 0, &cpu_ops, NULL, &cpu))
		abort();
	for (int i = 0; i < CALLS && in.left; i++) {
		uint8_t what = (uint8_t)take(&in, 1);

		if (what < 100)
			call(&in, fd);
		else if (what < 200)
			access_bus(&in, cpu);
		else if (what >= 230)
			hcall(&in, cpu);
		else if (what < 210)
			uvfio_kvm_interrupt(cpu);
		else
			uvfio_kvm_write_memory(vm, take(&in, 3), data, size);
	}
	for (int i = 0; i < TABLES; i++)
		keep_table(-1);
	if (size & 1) { /* in either order */
		uvfio_close(fd);
		uvfio_kvm_cpu_free(cpu);
	} else {
		uvfio_kvm_cpu_free(cpu);
		uvfio_close(fd);
	}
	uvfio_kvm_put(vm);
	return 0;
}
