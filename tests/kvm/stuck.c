/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests that would take their program with them: code that is more, or worse, than can be translated, and
 * breakpoints. Guests that go round without executing anything, or without end: exceptions whose handlers
 * cannot be fetched, stacks and vectors that are I/O or not there, a vCPU that waits for another one. KVM_RUN
 * ends, or a signal ends it. On the host's KVM and on software vCPUs.
 */
#include "machine.h"

#include <pthread.h>
#include <time.h>

#define TSS     0x2000
#define IDT     0x3000
#define PML4    0x4000
#define STACK   0x9000   /* of exceptions, when there is one for them */
#define IO      0x200000 /* mapped, and no memory */
#define NOWHERE 0x1000000000

static const struct kvm_segment code_segment = {
	.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
};
static const struct kvm_segment data_segment = {
	.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1
};

static void make_vectors(struct machine *m, uint64_t handler, unsigned int stack)
{
	const uint64_t gate[2] = { (handler & 0xffff) | 0x08ull << 16 | (uint64_t)stack << 32 |
					   0x8e00ull << 32 | (handler >> 16 & 0xffff) << 48,
				   handler >> 32 };
	const uint64_t top = STACK;

	for (unsigned int i = 0; i < 32; i++)
		memcpy(m->ram + IDT + i * sizeof(gate), gate, sizeof(gate));
	memcpy(m->ram + TSS + 0x24, &top, sizeof(top));
}

/* Long mode; memory is mapped one to one, and 2 MiB of I/O at IO. */
static void make_long(struct machine *m, const void *code, size_t len)
{
	static const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
	uint64_t *tables;
	struct kvm_sregs s;

	make(m, code, len);
	tables = (void *)(m->ram + PML4);
	tables[0] = (PML4 + 0x1000) | 3;
	tables[0x200] = (PML4 + 0x2000) | 3;
	tables[0x400] = 0x83;
	tables[0x401] = 0xe0000083;
	memcpy(m->ram + 0x800, gdt, sizeof(gdt));
	if (ioctl(m->vcpu[0], KVM_GET_SREGS, &s))
		err(1, "KVM_GET_SREGS");
	s.cs = code_segment;
	s.ds = s.es = s.fs = s.gs = s.ss = data_segment;
	s.tr = (struct kvm_segment){ .base = TSS, .limit = 0x67, .type = 11, .present = 1, .selector = 24 };
	s.gdt = (struct kvm_dtable){ .base = 0x800, .limit = 23 };
	s.idt = (struct kvm_dtable){ .base = IDT, .limit = 0x7ff };
	s.cr0 |= 0x80000001;
	s.cr3 = PML4;
	s.cr4 |= 0x620;
	s.efer |= 0x500;
	if (ioctl(m->vcpu[0], KVM_SET_SREGS, &s))
		err(1, "KVM_SET_SREGS");
}

static void set_stack(const struct machine *m, uint64_t rsp)
{
	struct kvm_regs regs = { .rip = CODE, .rsp = rsp, .rflags = 2 };

	if (ioctl(m->vcpu[0], KVM_SET_REGS, &regs))
		err(1, "KVM_SET_REGS");
}

static void no_handler(void)
{
	static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2 */
	struct machine m;

	make_long(&m, code, sizeof(code));
	make_vectors(&m, NOWHERE, 1);
	handled = 0;
	ualarm(50000, 0);
	result(run(&m, 0) == -EINTR && handled == 1 && rip(&m) == NOWHERE,
	       "a handler that is not mapped, with a stack of its own: a signal ends it");
	unmake(&m);
}

/* Kernels differ in what they call it. */
static int is_over(int end)
{
	return end == KVM_EXIT_INTERNAL_ERROR || end == KVM_EXIT_SHUTDOWN || end == -EFAULT;
}

static void run_until_over(const struct machine *m, const char *what)
{
	int end = KVM_EXIT_MMIO;

	alarm(5);
	for (int i = 0; i < 100 && end == KVM_EXIT_MMIO; i++)
		end = run(m, 0);
	alarm(0);
	if (!is_over(end))
		printf("# it ended with %d\n", end);
	result(is_over(end), what);
}

static void not_memory(void)
{
	static const uint8_t code[] = { 0xcd, 0x11, 0xf4 }; /* int $0x11; hlt */
	struct kvm_interrupt irq = { .irq = 0x1e };
	struct kvm_sregs s;
	struct machine m;

	make_long(&m, code, sizeof(code));
	make_vectors(&m, CODE + 2, 0);
	set_stack(&m, IO + 0x800);
	run_until_over(&m, "an exception with a stack that is I/O");
	set_stack(&m, IO + 0x800);
	ioctl(m.vcpu[0], KVM_INTERRUPT, &irq);
	run_until_over(&m, "an interrupt with one");
	set_stack(&m, 0x8000);
	ioctl(m.vcpu[0], KVM_GET_SREGS, &s);
	s.idt.base = IO;
	ioctl(m.vcpu[0], KVM_SET_SREGS, &s);
	run_until_over(&m, "vectors that are I/O");
	unmake(&m);
}

static void no_stack(void)
{
	static const uint8_t code[] = { 0xcd, 0x11, 0xf4 };
	struct machine m;

	make_long(&m, code, sizeof(code));
	make_vectors(&m, CODE + 2, 0);
	set_stack(&m, 0x18000);
	munmap(m.ram + 0x10000, 0x10000);
	run_until_over(&m, "an exception with a stack in a slot without memory");
	unmake(&m);
}

static void odd_code(void)
{
	static const uint8_t code[] = { 0xff, 0xdb, 0xf4 }; /* lcall by bx, which there is not; hlt */
	static const uint16_t vector[] = { CODE + 2, 0 };
	struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000, .rflags = 2, .rbx = 0x3000 };
	struct machine m;
	int end;

	make(&m, code, sizeof(code));
	memcpy(m.ram + 4 * 6, vector, sizeof(vector));
	end = run(&m, 0);
	result(end == KVM_EXIT_HLT || end == KVM_EXIT_INTERNAL_ERROR, "a far call by a register");
	for (unsigned int i = 0; i < 0x1000; i += 2)
		memcpy(m.ram + CODE + i, "\xdd\x21", 2); /* frstor [bx+di] */
	m.ram[CODE + 0x1000] = 0xf4;
	ioctl(m.vcpu[0], KVM_SET_REGS, &regs);
	end = run(&m, 0);
	/* a kernel that emulates does not know it */
	result((end == KVM_EXIT_HLT && rip(&m) == CODE + 0x1001) || end == KVM_EXIT_INTERNAL_ERROR,
	       "a page full of FRSTOR");
	unmake(&m);
}

/* Hardware breakpoints of the guest's own: software vCPUs have none. */
static void breakpoints(void)
{
	/* xor eax,eax; mov ax,1020; mov dr0,eax; mov ax,2 or a watchpoint; mov dr7,eax; jmp 1020 */
	static uint8_t code[] = { 0x66, 0x31, 0xc0, 0xb8, 0x20, 0x10, 0x0f, 0x23, 0xc0,
				  0xb8, 0x02, 0x00, 0x0f, 0x23, 0xf8, 0xeb, 0x0f };
	static const uint8_t target[] = {
		0x90, 0x80, 0x06, 0x20, 0x10, 0x01, 0xf4
	}; /* nop; add byte [1020],1; hlt */
	static const uint16_t vector[] = { CODE + 0x40, 0 };
	struct kvm_debugregs debug = { .db = { CODE + 0x20 }, .dr6 = 0xffff0ff0, .dr7 = 0x402 };
	struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000, .rflags = 2 };
	struct machine m;
	int end[3];

	make(&m, code, sizeof(code));
	memcpy(m.ram + CODE + 0x20, target, sizeof(target));
	memcpy(m.ram + 4 * 1, vector, sizeof(vector));
	m.ram[CODE + 0x40] = 0xf4;
	end[0] = run(&m, 0);
	ioctl(m.vcpu[0], KVM_SET_REGS, &regs);
	m.ram[CODE + 0x20] = 0x90;
	m.ram[CODE + 2] = 0xdb; /* xor ebx,ebx: a watchpoint for stores by the upper half of eax, 1 */
	regs.rax = 0x10000;
	ioctl(m.vcpu[0], KVM_SET_REGS, &regs);
	end[1] = run(&m, 0);
	result(end[0] == KVM_EXIT_HLT && end[1] == KVM_EXIT_HLT, "a guest sets breakpoints");
	ioctl(m.vcpu[0], KVM_SET_REGS, &regs);
	end[2] = ioctl(m.vcpu[0], KVM_SET_DEBUGREGS, &debug);
	regs.rip = CODE + 0x20;
	m.ram[CODE + 0x20] = 0x90;
	ioctl(m.vcpu[0], KVM_SET_REGS, &regs);
	result(!end[2] && run(&m, 0) == KVM_EXIT_HLT, "the program sets some of the guest's");
	unmake(&m);
}

/* Accesses of one instruction to I/O: they end some time. A kernel may not emulate it: then it is a fault. */
static void many_accesses(void)
{
	static const uint8_t code[] = { 0x0f, 0xae, 0x07, 0xf4 }; /* fxsave (rdi); hlt */
	struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000, .rflags = 2, .rdi = IO };
	struct machine m;
	int end = KVM_EXIT_MMIO;

	make_long(&m, code, sizeof(code));
	make_vectors(&m, CODE + 3, 0);
	ioctl(m.vcpu[0], KVM_SET_REGS, &regs);
	for (int i = 0; i < 200 && end == KVM_EXIT_MMIO; i++)
		end = run(&m, 0);
	result(end == KVM_EXIT_HLT && rip(&m) == CODE + 4, "FXSAVE to I/O");
	unmake(&m);
}

/* ---- vCPUs in turns */

struct one {
	const struct machine *m;
	pthread_t thread;
	unsigned int i;
};

static void *run_one(void *arg)
{
	struct one *one = arg;

	return (void *)(intptr_t)run(one->m, one->i);
}

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1000000;
}

/* One is endless, and the other asks the program again and again. */
static void gets_its_turn(void)
{
	static const uint8_t out[] = { 0xee, 0xeb, 0xfd }; /* 1: out; jmp 1b */
	struct kvm_regs regs = { .rip = 0x1100, .rsp = 0x7000, .rflags = 2 };
	struct one one = { .i = 0 };
	struct machine m;
	double start;
	void *end;
	int wrong = 0;

	make(&m, endless, sizeof(endless));
	memcpy(m.ram + 0x1100, out, sizeof(out));
	add_vcpu(&m, 1);
	if (ioctl(m.vcpu[1], KVM_SET_REGS, &regs))
		err(1, "KVM_SET_REGS");
	one.m = &m;
	pthread_create(&one.thread, NULL, run_one, &one);
	usleep(20000);
	start = milliseconds();
	for (int i = 0; i < 100; i++)
		wrong += run(&m, 1) != KVM_EXIT_IO;
	printf("# %.1f ms\n", milliseconds() - start);
	result(!wrong && milliseconds() - start < 3000, "a vCPU gets its turn beside one that is endless");
	pthread_kill(one.thread, SIGUSR1);
	pthread_join(one.thread, &end);
	result((intptr_t)end == -EINTR, "which a signal ends");
	unmake(&m);
}

int main(void)
{
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) {
		printf("1..0 # SKIP /dev/kvm: %s\n", strerror(errno));
		return 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	catch_signals();
	no_handler();
	not_memory();
	no_stack();
	odd_code();
	breakpoints();
	many_accesses();
	gets_its_turn();
	printf("1..%d\n", nr);
	return failed != 0;
}
