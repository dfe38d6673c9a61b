/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a vCPU may do something twice, or never come back: signals in the middle of a loop, accesses that are
 * completed later, what follows a triple fault, memory that goes. On the host's KVM and on software vCPUs.
 */
#include "machine.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>

/* What a block of code has stored before a signal is not stored again. */
static void counts_once(void)
{
	/* mov ecx,100000; 1: inc dword [0x7000]; inc edi; dec ecx; jnz 1b; hlt */
	static const uint8_t code[] = { 0x66, 0xb9, 0xa0, 0x86, 0x01, 0x00, 0x66, 0xff, 0x06,
					0x00, 0x70, 0x66, 0x47, 0x66, 0x49, 0x75, 0xf5, 0xf4 };
	struct itimerval often = { .it_value.tv_usec = 200, .it_interval.tv_usec = 200 };
	struct kvm_regs regs;
	struct machine m;
	uint32_t count;
	int end;

	make(&m, code, sizeof(code));
	setitimer(ITIMER_REAL, &often, NULL);
	do
		end = run(&m, 0);
	while (end == -EINTR);
	memset(&often, 0, sizeof(often));
	setitimer(ITIMER_REAL, &often, NULL);
	memcpy(&count, m.ram + 0x7000, sizeof(count));
	result(end == KVM_EXIT_HLT && !ioctl(m.vcpu[0], KVM_GET_REGS, &regs) && regs.rdi == 100000 &&
		       count == 100000,
	       "a loop counts right while signals come");
	unmake(&m);
}

/* A page that the guest has read, and then executes, is code as any other. */
static void code_after_data(void)
{
	static const uint8_t code[] = { 0xa0, 0x00, 0x30, 0xe9, 0xfa, 0x1f };   /* mov al,[3000]; jmp 3000 */
	static const uint8_t behind[] = { 0xb0, 0x01, 0xee, 0xe9, 0xfa, 0xdf }; /* mov al,1; out; jmp 1000 */
	static const uint8_t other[] = { 0xb0, 0x09, 0xee, 0xf4 };              /* of another slot */
	struct kvm_userspace_memory_region region = { 0, 0, 0, 0x10000, 0 };
	struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000, .rflags = 2, .rdx = 0x500 };
	struct machine m;
	uint8_t *data, *ram;

	make(&m, code, sizeof(code));
	memcpy(m.ram + 0x3000, behind, sizeof(behind));
	data = (uint8_t *)m.run[0] + 0x1000;
	run(&m, 0);
	result(*data == 1, "code on a page that was read before");
	m.ram[0x3001] = 7;
	run(&m, 0);
	result(*data == 7, "that the program changes");
	ram = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(ram, m.ram, 0x10000);
	memcpy(ram + 0x3000, other, sizeof(other));
	set_memory(&m, 0, 0, 0, 0);
	region.userspace_addr = (uintptr_t)ram;
	if (ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region))
		err(1, "KVM_SET_USER_MEMORY_REGION");
	if (ioctl(m.vcpu[0], KVM_SET_REGS, &regs))
		err(1, "KVM_SET_REGS");
	run(&m, 0);
	result(*data == 9, "and for which there is other memory then");
	unmake(&m);
	munmap(ram, 0x10000);
}

static long user_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000;
}

/* What a slot costs a vCPU does not depend on its size: 256 GiB that nobody uses. */
static void huge_slot(void)
{
	static const uint8_t code[] = { 0xee, 0xeb, 0xfd }; /* 1: out; jmp 1b */
	const uint64_t size = UINT64_C(1) << 38;
	struct kvm_userspace_memory_region region = { 5, 0, UINT64_C(1) << 34, size, 0 };
	void *at = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long start = user_ms();
	struct machine m;
	int wrong = 0;

	make(&m, code, sizeof(code));
	region.userspace_addr = (uintptr_t)at;
	for (int i = 0; i < 6; i++) {
		region.memory_size = i % 2 ? 0 : size;
		wrong += ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) || run(&m, 0) != KVM_EXIT_IO;
	}
	printf("# %ld ms\n", user_ms() - start);
	result(at != MAP_FAILED && !wrong && user_ms() - start < 300, "a slot of 256 GiB comes and goes");
	unmake(&m);
	munmap(at, size);
}

static void immediate_exit_load(void)
{
	/* mov ax,2000; mov ds,ax; mov al,[1000]; hlt */
	static const uint8_t code[] = { 0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xa0, 0x00, 0x10, 0xf4 };
	struct kvm_regs regs;
	struct machine m;

	make(&m, code, sizeof(code));
	result(run(&m, 0) == KVM_EXIT_MMIO && !m.run[0]->mmio.is_write, "a load");
	m.run[0]->mmio.data[0] = 0x42;
	m.run[0]->immediate_exit = 1;
	result(run(&m, 0) == -EINTR && !ioctl(m.vcpu[0], KVM_GET_REGS, &regs) && regs.rax == 0x2042 &&
		       regs.rip == CODE + 8,
	       "immediate_exit completes it, too");
	m.run[0]->immediate_exit = 0;
	m.run[0]->mmio.data[0] = 0;
	alarm(5);
	result(run(&m, 0) == KVM_EXIT_HLT && rip(&m) == CODE + 9, "and then HLT");
	alarm(0);
	unmake(&m);
}

/* Code that is executed already, in memory that goes. */
static void memory_goes(void)
{
	struct machine m;
	int rc;

	make(&m, endless, sizeof(endless));
	ualarm(20000, 0);
	result(run(&m, 0) == -EINTR, "a guest runs");
	munmap(m.ram, MEMORY);
	alarm(5);
	rc = run(&m, 0);
	alarm(0);
	result(rc == -EFAULT || rc == KVM_EXIT_MMIO || rc == KVM_EXIT_INTERNAL_ERROR,
	       "its memory is unmapped: EFAULT");
	unmake(&m);
}

/* How often each byte of [ZONE, ZONE + 8) has been stored. */
#define ZONE 0x21000

static void count_bytes(uint8_t *counts, uint64_t at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (at + i - ZONE < 8)
			counts[at + i - ZONE]++;
}

static void zone_ends(void)
{
	/* mov ax,2000; mov ds,ax; mov dword [1002],3; inc dword [1002]; hlt */
	static const uint8_t code[] = { 0xb8, 0x00, 0x20, 0x8e, 0xd8, 0x66, 0xc7, 0x06, 0x02, 0x10,
					0x03, 0x00, 0x00, 0x00, 0x66, 0xff, 0x06, 0x02, 0x10, 0xf4 };
	static const uint8_t twice[8] = { 0, 0, 2, 2, 2, 2, 0, 0 };
	struct kvm_coalesced_mmio_zone zone = { .addr = ZONE, .size = 4 };
	struct kvm_coalesced_mmio_ring *ring;
	uint8_t counts[8] = { 0 };
	struct machine m;
	int end;

	make(&m, code, sizeof(code));
	if (ioctl(m.vm, KVM_REGISTER_COALESCED_MMIO, &zone))
		err(1, "KVM_REGISTER_COALESCED_MMIO");
	ring = (void *)((uint8_t *)m.run[0] + 0x2000);
	for (int i = 0; (end = run(&m, 0)) == KVM_EXIT_MMIO && i < 40; i++) {
		if (m.run[0]->mmio.is_write)
			count_bytes(counts, m.run[0]->mmio.phys_addr, m.run[0]->mmio.len);
		else
			memset(m.run[0]->mmio.data, 0, sizeof(m.run[0]->mmio.data));
	}
	for (; ring->first != ring->last; ring->first++)
		count_bytes(counts, ring->coalesced_mmio[ring->first].phys_addr,
			    ring->coalesced_mmio[ring->first].len);
	result(end == KVM_EXIT_HLT && !memcmp(counts, twice, 8),
	       "stores over the end of a coalesced zone happen once");
	unmake(&m);
}

/* One instruction, in blocks of code that begin in different places: a store that an eventfd takes, and then
 * one for the program. */
static void stores_once(void)
{
	/* mov ax,2000; mov ds,ax; mov di,1000; 1: mov [di],al; add di,4; cmp di,100c; jne 1b; hlt */
	static const uint8_t code[] = { 0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xbf, 0x00, 0x10, 0x88, 0x05,
					0x83, 0xc7, 0x04, 0x81, 0xff, 0x0c, 0x10, 0x75, 0xf5, 0xf4 };
	struct kvm_ioeventfd event = { .addr = 0x21000, .len = 1, .fd = eventfd(0, EFD_NONBLOCK) };
	struct machine m;
	uint64_t counts[2] = { 0 }, events = 0;
	int end;

	make(&m, code, sizeof(code));
	if (ioctl(m.vm, KVM_IOEVENTFD, &event))
		err(1, "KVM_IOEVENTFD");
	for (int i = 0; (end = run(&m, 0)) == KVM_EXIT_MMIO && i < 10; i++)
		counts[m.run[0]->mmio.phys_addr == 0x21008]++;
	result(end == KVM_EXIT_HLT && counts[0] == 1 && counts[1] == 1 &&
		       read(event.fd, &events, sizeof(events)) == sizeof(events) && events == 1,
	       "stores for an eventfd and for the program happen once");
	close(event.fd);
	unmake(&m);
}

static void popped(void)
{
	/* mov ax,2000; mov ds,ax; fld1; fstps [1000]; hlt */
	static const uint8_t code[] = {
		0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xd9, 0xe8, 0xd9, 0x1e, 0x00, 0x10, 0xf4
	};
	struct kvm_fpu fpu;
	struct machine m;
	int end;

	make(&m, code, sizeof(code));
	end = run(&m, 0);
	/* a kernel that emulates it does not know it */
	result(end == KVM_EXIT_INTERNAL_ERROR ||
		       (end == KVM_EXIT_MMIO && !ioctl(m.vcpu[0], KVM_GET_FPU, &fpu) && !fpu.ftwx &&
			run(&m, 0) == KVM_EXIT_HLT),
	       "FPU registers behind a store that pops");
	unmake(&m);
}

static void new_fpu(void)
{
	struct kvm_fpu fpu;
	struct machine m;

	make(&m, endless, sizeof(endless));
	result(!ioctl(m.vcpu[0], KVM_GET_FPU, &fpu) && fpu.fcw == 0x37f && !fpu.fsw && !fpu.ftwx,
	       "a new vCPU's FPU is as after FNINIT");
	unmake(&m);
}

/* Protected mode, with so much of vectors. */
static void set_vectors(const struct machine *m, uint16_t limit)
{
	const struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1
	};
	struct kvm_sregs s;

	if (ioctl(m->vcpu[0], KVM_GET_SREGS, &s))
		err(1, "KVM_GET_SREGS");
	s.cs = s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cs.selector = 8;
	s.cs.type = 11;
	s.cr0 |= 1;
	s.gdt.base = 0x800;
	s.gdt.limit = 23;
	s.idt.base = 0;
	s.idt.limit = limit;
	if (ioctl(m->vcpu[0], KVM_SET_SREGS, &s))
		err(1, "KVM_SET_SREGS");
}

static void shutdown_again(void)
{
	static const uint8_t code[] = { 0x0f, 0x0b, 0xf4 }; /* ud2; hlt */
	struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000, .rflags = 2 };
	const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff };
	const uint64_t gate = (CODE + 2) | 0x08ull << 16 | 0x8e00ull << 32;
	struct machine m;
	int rc;

	make(&m, code, sizeof(code));
	memcpy(m.ram + 8 * 6, &gate, sizeof(gate));
	memcpy(m.ram + 0x800, gdt, sizeof(gdt));
	set_vectors(&m, 0);
	result(run(&m, 0) == KVM_EXIT_SHUTDOWN, "a triple fault");
	alarm(5);
	rc = run(&m, 0);
	/* a kernel for AMD's processors resets the vCPU; its reset vector is no memory here */
	result(rc == KVM_EXIT_SHUTDOWN || rc == KVM_EXIT_MMIO || rc == KVM_EXIT_INTERNAL_ERROR,
	       "KVM_RUN after it ends, too");
	set_vectors(&m, 0x3ff);
	if (ioctl(m.vcpu[0], KVM_SET_REGS, &regs))
		err(1, "KVM_SET_REGS");
	result(run(&m, 0) == KVM_EXIT_HLT && rip(&m) == CODE + 3, "and behind a reset exceptions are taken");
	alarm(0);
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
	new_fpu();
	popped();
	counts_once();
	code_after_data();
	huge_slot();
	immediate_exit_load();
	zone_ends();
	stores_once();
	memory_goes();
	shutdown_again();
	printf("1..%d\n", nr);
	return failed != 0;
}
