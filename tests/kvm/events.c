/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts, NMIs and exceptions that the program gives a vCPU: what replaces what, in which order they are
 * taken, and which of them wait. On the host's KVM and on software vCPUs.
 */
#include "machine.h"

#include <pthread.h>

#define HANDLER 0x1010 /* inc bx; jmp . */
#define NMI     0x1020
#define COUNTER 0x7000
#define ROUNDS  300

static long call(const struct machine *m, unsigned long request, void *arg)
{
	return ioctl(m->vcpu[0], request, arg) < 0 ? -errno : 0;
}

static long interrupt(const struct machine *m, uint32_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return call(m, KVM_INTERRUPT, &irq);
}

static struct kvm_vcpu_events events(const struct machine *m)
{
	struct kvm_vcpu_events events;

	if (call(m, KVM_GET_VCPU_EVENTS, &events))
		err(1, "KVM_GET_VCPU_EVENTS");
	return events;
}

static struct kvm_regs regs(const struct machine *m)
{
	struct kvm_regs regs;

	if (call(m, KVM_GET_REGS, &regs))
		err(1, "KVM_GET_REGS");
	return regs;
}

static void set_vector(struct machine *m, unsigned int vector, uint16_t handler)
{
	const uint16_t far[2] = { handler, 0 };

	memcpy(m->ram + 4 * vector, far, sizeof(far));
}

static void make_handlers(struct machine *m)
{
	static const uint8_t handler[] = { 0x43, 0xeb, 0xfe };
	static const uint8_t nmi[] = { 0x41, 0xee, 0xcf }; /* inc cx; out; iret */

	memcpy(m->ram + HANDLER, handler, sizeof(handler));
	memcpy(m->ram + NMI, nmi, sizeof(nmi));
	set_vector(m, 6, HANDLER);
	set_vector(m, 0x40, HANDLER);
	set_vector(m, 2, NMI);
}

/* A guest that does nothing by itself. */
static void make_idle(struct machine *m)
{
	make(m, endless, sizeof(endless));
	make_handlers(m);
}

static int run_a_little(const struct machine *m)
{
	int end;

	ualarm(20000, 0);
	end = run(m, 0);
	ualarm(0, 0);
	return end;
}

static void replaced(void)
{
	struct kvm_sregs s;
	struct machine m;

	make_idle(&m);
	result(!interrupt(&m, 0x41) && !interrupt(&m, 0x40) && events(&m).interrupt.nr == 0x40,
	       "an interrupt takes the place of one that has not been taken");
	if (call(&m, KVM_GET_SREGS, &s))
		err(1, "KVM_GET_SREGS");
	result(s.interrupt_bitmap[1] == 1, "SREGS have it");
	memset(s.interrupt_bitmap, 0, sizeof(s.interrupt_bitmap));
	result(!call(&m, KVM_SET_SREGS, &s) && events(&m).interrupt.injected,
	       "SREGS without one leave it where it is");
	unmake(&m);
}

static void exception_stays(void)
{
	struct kvm_vcpu_events e;
	struct kvm_regs r;
	struct machine m;

	make_idle(&m);
	e = events(&m);
	e.exception.injected = 1;
	e.exception.nr = 6;
	r = regs(&m);
	result(!call(&m, KVM_SET_VCPU_EVENTS, &e) && !call(&m, KVM_SET_REGS, &r) &&
		       run_a_little(&m) == -EINTR && rip(&m) == HANDLER + 1,
	       "an exception is taken, though registers were set behind it");
	e = events(&m);
	e.flags = KVM_VCPUEVENT_VALID_SMM;
	e.smi.smm = 1;
	result(call(&m, KVM_SET_VCPU_EVENTS, &e) == -EINVAL, "SMM: EINVAL");
	unmake(&m);
}

static void both(void)
{
	struct machine m;

	make_idle(&m);
	result(!interrupt(&m, 0x40) && !call(&m, KVM_NMI, NULL) && run(&m, 0) == KVM_EXIT_IO &&
		       regs(&m).rsp == 0x8000 - 12 && run_a_little(&m) == -EINTR && rip(&m) == HANDLER + 1 &&
		       regs(&m).rbx == 1 && regs(&m).rcx == 1 && !events(&m).interrupt.injected,
	       "an interrupt and an NMI: both are taken");
	unmake(&m);
}

/* With interrupt controllers, HLT waits in KVM_RUN. */
static void halted(void)
{
	static const uint8_t hlt[] = { 0xf4 };
	struct kvm_mp_state state;
	struct machine m = { .vm = ioctl(kvm, KVM_CREATE_VM, 0), .vcpu = { -1, -1 } };

	m.ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m.vm < 0 || m.ram == MAP_FAILED || ioctl(m.vm, KVM_CREATE_IRQCHIP, 0))
		err(1, "a VM with interrupt controllers");
	memcpy(m.ram + CODE, hlt, sizeof(hlt));
	set_memory(&m, 0, 0, 0, 0x10000);
	add_vcpu(&m, 0);
	make_handlers(&m);
	result(run_a_little(&m) == -EINTR && !call(&m, KVM_GET_MP_STATE, &state) &&
		       state.mp_state == KVM_MP_STATE_HALTED,
	       "HLT waits for an interrupt");
	result(!call(&m, KVM_NMI, NULL) && run_a_little(&m) == KVM_EXIT_IO && regs(&m).rcx == 1,
	       "an NMI wakes it");
	unmake(&m);
}

static void masked(void)
{
	struct machine m;

	make_idle(&m);
	result(!call(&m, KVM_NMI, NULL) && run(&m, 0) == KVM_EXIT_IO && events(&m).nmi.masked,
	       "an NMI masks others");
	result(!call(&m, KVM_NMI, NULL) && events(&m).nmi.pending && run(&m, 0) == KVM_EXIT_IO &&
		       regs(&m).rcx == 2 && regs(&m).rsp == 0x8000 - 6,
	       "the next one is taken behind the first one's IRET");
	result(run_a_little(&m) == -EINTR && !events(&m).nmi.masked && rip(&m) == CODE && regs(&m).rcx == 2,
	       "and then no more");
	unmake(&m);
}

static void cr8(void)
{
	static const uint8_t code[] = { 0xf4, 0xf4 };
	struct kvm_sregs s;
	struct machine m;

	make(&m, code, sizeof(code));
	m.run[0]->cr8 = 5;
	result(run(&m, 0) == KVM_EXIT_HLT && !call(&m, KVM_GET_SREGS, &s) && s.cr8 == 5 && m.run[0]->cr8 == 5,
	       "cr8 of the run structure is the vCPU's");
	m.run[0]->cr8 = 16;
	result(run(&m, 0) == -EINVAL && m.run[0]->cr8 == 5, "cr8 16: EINVAL");
	unmake(&m);
}

/* ---- the program has the PIC, and the kernel the local APICs */

static void make_split(struct machine *m)
{
	static const uint8_t code[] = { 0xfb, 0x90, 0xeb, 0xfe }; /* sti; nop; jmp . */
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	m->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	m->ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->vm < 0 || m->ram == MAP_FAILED || ioctl(m->vm, KVM_ENABLE_CAP, &split))
		err(1, "a VM with local APICs");
	memcpy(m->ram + CODE, code, sizeof(code));
	make_handlers(m);
	set_memory(m, 0, 0, 0, 0x10000);
	m->vcpu[1] = -1;
	add_vcpu(m, 0);
}

static void split(void)
{
	struct machine m;

	make_split(&m);
	m.run[0]->request_interrupt_window = 1;
	result(run_a_little(&m) == KVM_EXIT_IRQ_WINDOW_OPEN && m.run[0]->ready_for_interrupt_injection,
	       "local APICs only: the interrupt window");
	m.run[0]->request_interrupt_window = 0;
	result(!interrupt(&m, 0x40) && interrupt(&m, 0x40) == -EEXIST, "one interrupt, and a second: EEXIST");
	result(run_a_little(&m) == -EINTR && rip(&m) == HANDLER + 1 && regs(&m).rbx == 1 &&
		       !interrupt(&m, 0x40),
	       "it is taken, and the next one can come");
	result(run_a_little(&m) == -EINTR && regs(&m).rbx == 1 && !m.run[0]->ready_for_interrupt_injection,
	       "which waits while interrupts are disabled");
	unmake(&m);
}

/* ---- immediate_exit is the program's, whatever a call does to the run structure */

static struct kvm_run *shared;
static volatile int go, done;

static void *ask_to_leave(void *arg)
{
	(void)arg;
	for (int i = 1; i <= ROUNDS; i++) {
		while (go != i)
			;
		for (volatile int wait = i * 37 % 3000; wait; wait--)
			;
		*(volatile uint8_t *)&shared->immediate_exit = 1;
		done = i;
	}
	return NULL;
}

static void asked_to_leave(void)
{
	/* mov ax,2000; mov ds,ax; 1: mov [1000],al; jmp 1b */
	static const uint8_t code[] = { 0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xa2, 0x00, 0x10, 0xeb, 0xfb };
	pthread_t other;
	struct machine m;
	int wrong = 0;

	make(&m, code, sizeof(code));
	shared = m.run[0];
	pthread_create(&other, NULL, ask_to_leave, NULL);
	for (int i = 1; i <= ROUNDS; i++) {
		shared->immediate_exit = 0;
		wrong += run(&m, 0) != KVM_EXIT_MMIO;
		go = i;
		regs(&m);
		while (done != i)
			;
		wrong += !*(volatile uint8_t *)&shared->immediate_exit;
	}
	pthread_join(other, NULL);
	result(!wrong, "immediate_exit that is set while registers are read stays");
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
	replaced();
	exception_stays();
	both();
	halted();
	masked();
	cr8();
	split();
	asked_to_leave();
	printf("1..%d\n", nr);
	return failed != 0;
}
