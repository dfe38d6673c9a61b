/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs small guests (guests.h) on /dev/kvm and prints every exit of each, with what belongs to it: one line.
 * The same lines are expected from the kernel's KVM and from software vCPUs.
 */
#include "guests.h"

#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY    0xf000
#define READONLY  0xf000
#define CODE      0x1000
#define STACK     0x8000
#define HANDLERS  0x2000 /* 16 bytes for each vector */
#define GDT       0x0600
#define IDT       0x3000
#define PML4      0x4000
#define PDPT      0x5000
#define PD_LOW    0x6000
#define PD_IO     0x7000
#define IO        0xe0000000
#define MAX_EXITS 12

#define X(name, mode, flags, text)                                                                           \
	__asm__(".pushsection .rodata\n.code" BITS_##mode "\nguest_" #name ":\n" text "\nguest_" #name       \
							  "_end:\n.code64\n.popsection");                    \
	extern const char guest_##name[], guest_##name##_end[];
GUESTS(X)
#undef X

static const struct guest guests[] = {
#define X(name, mode, flags, text) { #name, mode, guest_##name, guest_##name##_end, flags },
	GUESTS(X)
#undef X
};

struct machine {
	int kvm, vm, vcpu, event;
	struct kvm_run *run;
	uint8_t *ram;
};

static void must(long rc, const char *what)
{
	if (rc < 0)
		err(1, "%s", what);
}

/* push the number; out; pop what the processor has pushed last; out; halt */
static void make_handler(uint8_t *at, unsigned int vector)
{
	const uint8_t report[] = { 0xb0, (uint8_t)vector, 0xe6, 0x77, 0x58, 0xe7, 0x78, 0xf4 };
	const uint8_t back[] = { 0x43, 0xcf }; /* inc bx; iret, in 16 bits */

	memcpy(at, vector == 0x40 ? back : report, vector == 0x40 ? sizeof(back) : sizeof(report));
}

static void make_vectors(struct machine *m, enum guest_mode mode)
{
	for (unsigned int i = 0; i < 0x80; i++) {
		uint32_t handler = HANDLERS + 16 * i;
		uint64_t gate[2] = { handler | 0x08ull << 16 | 0x8e00ull << 32, 0 };

		make_handler(m->ram + handler, i);
		if (mode == REAL)
			memcpy(m->ram + 4 * i, &handler, 4);
		else if (mode == PROTECTED)
			memcpy(m->ram + IDT + 8 * i, gate, 8);
		else
			memcpy(m->ram + IDT + 16 * i, gate, 16);
	}
}

static void make_tables(struct machine *m)
{
	const uint64_t gdt[4] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0xe0cf93000000ffff };
	uint64_t *pml4 = (void *)(m->ram + PML4), *pdpt = (void *)(m->ram + PDPT);
	uint64_t *low = (void *)(m->ram + PD_LOW), *io = (void *)(m->ram + PD_IO);

	memcpy(m->ram + GDT, gdt, sizeof(gdt));
	pml4[0] = PDPT | 3;
	pdpt[0] = PD_LOW | 3;
	pdpt[1] = PD_IO | 3;
	low[0] = 0x83;
	io[0] = IO | 0x83;
}

static struct kvm_segment segment(enum guest_mode mode, uint16_t selector, uint8_t type)
{
	struct kvm_segment s = { .limit = 0xffff, .selector = selector, .type = type, .present = 1, .s = 1 };

	if (mode == REAL) {
		s.selector = 0;
		return s;
	}
	s.limit = 0xffffffff;
	s.g = 1;
	s.db = mode == PROTECTED || type == 3;
	s.l = mode == LONG && type == 11;
	return s;
}

static void set_system(struct machine *m, const struct guest *guest)
{
	struct kvm_sregs s;

	must(ioctl(m->vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cs = segment(guest->mode, 8, 11);
	s.ds = s.es = s.fs = s.gs = s.ss = segment(guest->mode, 16, 3);
	if (guest->mode == REAL)
		s.es.base = IO;
	s.gdt = (struct kvm_dtable){ .base = GDT, .limit = 31 };
	s.idt.base = guest->mode == REAL ? 0 : IDT;
	s.idt.limit = guest->flags & NO_IDT ? 0 : 0x7ff;
	if (guest->mode != REAL)
		s.cr0 |= 1;
	if (guest->mode == LONG) {
		s.cr0 |= 0x80000000;
		s.cr3 = PML4;
		s.cr4 |= 0x620;
		s.efer |= 0x500;
	}
	must(ioctl(m->vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
}

static void set_slot(struct machine *m, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size)
{
	struct kvm_userspace_memory_region region = { slot, flags, gpa, size, (uintptr_t)m->ram + gpa };

	must(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void add_event(struct machine *m, uint64_t addr, uint32_t len, uint32_t flags)
{
	struct kvm_ioeventfd event = { .addr = addr, .len = len, .fd = m->event, .flags = flags };

	must(ioctl(m->vm, KVM_IOEVENTFD, &event), "KVM_IOEVENTFD");
}

static void open_machine(struct machine *m, const struct guest *guest)
{
	struct kvm_regs regs = {
		.rip = CODE, .rsp = STACK, .rflags = 2, .rbx = 0x10, .rcx = 3, .rdx = 0x500
	};

	m->vm = ioctl(m->kvm, KVM_CREATE_VM, 0);
	must(m->vm, "KVM_CREATE_VM");
	m->ram = mmap(NULL, MEMORY + 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memcpy(m->ram + CODE, guest->code, (size_t)(guest->end - guest->code));
	memcpy(m->ram + READONLY, "read", 4);
	make_tables(m);
	make_vectors(m, guest->mode);
	set_slot(m, 0, 0, 0, MEMORY);
	set_slot(m, 1, KVM_MEM_READONLY, READONLY, 0x1000);
	m->event = eventfd(0, EFD_NONBLOCK);
	add_event(m, 0x80, 2, KVM_IOEVENTFD_FLAG_PIO);
	add_event(m, IO + 0x80, 4, 0);
	add_event(m, IO + 0x88, 8, 0);
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	must(m->vcpu, "KVM_CREATE_VCPU");
	m->run = mmap(NULL, (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		      MAP_SHARED, m->vcpu, 0);
	set_system(m, guest);
	must(ioctl(m->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void close_machine(struct machine *m)
{
	munmap(m->run, (size_t)ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	munmap(m->ram, MEMORY + 0x1000);
	close(m->vcpu);
	close(m->vm);
	close(m->event);
}

/* A value that can be told from others. */
static void answer(void *data, uint64_t address, unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		((uint8_t *)data)[i] = (uint8_t)(0xa1 + address + 0x11 * i);
}

static void print_bytes(const void *data, unsigned int len)
{
	for (unsigned int i = 0; i < len; i++)
		printf("%02x", ((const uint8_t *)data)[i]);
}

static void tell_io(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	printf(" %s port 0x%x size %u", run->io.direction ? "out" : "in", run->io.port, run->io.size);
	for (unsigned int i = 0; i < run->io.count; i++, data += run->io.size) {
		if (!run->io.direction)
			answer(data, run->io.port, run->io.size);
		printf(" ");
		print_bytes(data, run->io.size);
	}
}

static void tell_mmio(struct kvm_run *run)
{
	printf(" %s 0x%llx len %u ", run->mmio.is_write ? "store" : "load", run->mmio.phys_addr,
	       run->mmio.len);
	if (!run->mmio.is_write)
		answer(run->mmio.data, run->mmio.phys_addr, run->mmio.len);
	print_bytes(run->mmio.data, run->mmio.len);
}

static void tell_end(struct machine *m)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	uint64_t events = 0;

	must(ioctl(m->vcpu, KVM_GET_REGS, &r), "KVM_GET_REGS");
	must(ioctl(m->vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	if (read(m->event, &events, sizeof(events)) < 0)
		events = 0;
	printf("  ax %llx bx %llx cx %llx dx %llx si %llx di %llx sp %llx ip %llx flags %llx cr2 %llx events "
	       "%llu\n",
	       r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rip, r.rflags & 0x6d7, s.cr2,
	       (unsigned long long)events);
}

static int watched;

/* Between two runs, as a debugger has it. */
static void tell_registers(struct machine *m)
{
	struct kvm_regs r;

	if (!watched)
		return;
	must(ioctl(m->vcpu, KVM_GET_REGS, &r), "KVM_GET_REGS");
	printf(" ax %llx bx %llx cx %llx si %llx di %llx sp %llx ip %llx", r.rax, r.rbx, r.rcx, r.rsi, r.rdi,
	       r.rsp, r.rip);
}

static void interrupt(struct machine *m)
{
	struct kvm_interrupt irq = { .irq = 0x40 };

	must(ioctl(m->vcpu, KVM_INTERRUPT, &irq), "KVM_INTERRUPT");
}

/* false: it is over */
static int step(struct machine *m)
{
	struct kvm_run *run = m->run;

	must(ioctl(m->vcpu, KVM_RUN, 0), "KVM_RUN");
	printf("  exit %u", run->exit_reason);
	if (run->exit_reason == KVM_EXIT_IO)
		tell_io(run);
	else if (run->exit_reason == KVM_EXIT_MMIO)
		tell_mmio(run);
	printf("; if %u ready %u", run->if_flag, run->ready_for_interrupt_injection);
	tell_registers(m);
	printf("\n");
	if (run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN) {
		run->request_interrupt_window = 0;
		interrupt(m);
		return 1;
	}
	return run->exit_reason == KVM_EXIT_IO || run->exit_reason == KVM_EXIT_MMIO;
}

static void run_guest(int kvm, const struct guest *guest)
{
	struct machine m = { .kvm = kvm };
	int exits = 0;

	open_machine(&m, guest);
	printf("%s\n", guest->name);
	m.run->request_interrupt_window = !!(guest->flags & WINDOW);
	if (guest->flags & INTERRUPT)
		interrupt(&m);
	while (exits++ < MAX_EXITS && step(&m))
		;
	tell_end(&m);
	close_machine(&m);
}

/* which: a guest; "common": those that all KVMs agree about; "watched": these, with registers; NULL: all. */
static int is_wanted(const struct guest *guest, const char *which)
{
	if (which && (!strcmp(which, "common") || watched))
		return !(guest->flags & (watched ? ELSEWHERE | BETWEEN : ELSEWHERE));
	return !which || !strcmp(which, guest->name);
}

int main(int argc, char **argv)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	watched = argc > 1 && !strcmp(argv[1], "watched");
	if (kvm < 0)
		err(77, "/dev/kvm");
	for (unsigned int i = 0; i < sizeof(guests) / sizeof(guests[0]); i++)
		if (is_wanted(&guests[i], argv[1]))
			run_guest(kvm, &guests[i]);
	return 0;
}
