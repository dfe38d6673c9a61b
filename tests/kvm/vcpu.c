/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs count on of a vCPU, beside executing guests: that signals end KVM_RUN, the log of written
 * pages, registers that come back as they were set, several vCPUs, and errors for wrong arguments. On the
 * host's KVM and on software vCPUs.
 */
#include "machine.h"

#include <pthread.h>
#include <sys/time.h>
#include <sys/wait.h>

#define LOOPS 20000

/* ---- signals */

static void signals(void)
{
	struct itimerval soon = { .it_value.tv_usec = 20000 };
	struct machine m;

	make(&m, endless, sizeof(endless));
	handled = 0;
	setitimer(ITIMER_REAL, &soon, NULL);
	result(run(&m, 0) == -EINTR && handled == 1 && m.run[0]->exit_reason == KVM_EXIT_INTR,
	       "a signal ends KVM_RUN, and its handler has run");
	soon.it_interval.tv_usec = 2000;
	setitimer(ITIMER_REAL, &soon, NULL);
	for (int i = 0; i < 50; i++)
		if (run(&m, 0) != -EINTR)
			result(0, "one signal of many");
	memset(&soon, 0, sizeof(soon));
	setitimer(ITIMER_REAL, &soon, NULL);
	result(handled >= 51 && rip(&m) == CODE, "fifty more");
	unmake(&m);
}

static void signal_mask(void)
{
	char buffer[sizeof(struct kvm_signal_mask) + 8];
	struct kvm_signal_mask *mask = (void *)buffer;
	struct timespec now = { 0 };
	sigset_t usr1, old, is;
	struct machine m;

	make(&m, endless, sizeof(endless));
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &old);
	mask->len = 8;
	memcpy(mask->sigset, &old, 8);
	result(!ioctl(m.vcpu[0], KVM_SET_SIGNAL_MASK, mask), "KVM_SET_SIGNAL_MASK");
	handled = 0;
	raise(SIGUSR1);
	result(run(&m, 0) == -EINTR, "a pending signal that the mask lets through ends KVM_RUN at once");
	pthread_sigmask(SIG_SETMASK, NULL, &is);
	result(!handled && sigismember(&is, SIGUSR1) == 1 && sigtimedwait(&usr1, NULL, &now) == SIGUSR1,
	       "it is pending still, and blocked");
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	mask->len = 4;
	result(ioctl(m.vcpu[0], KVM_SET_SIGNAL_MASK, mask) && errno == EINVAL, "a mask of 4 bytes: EINVAL");
	unmake(&m);
}

static void *send_signal(void *thread)
{
	usleep(20000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

static void from_a_thread(void)
{
	pthread_t self = pthread_self(), other;
	struct machine m;

	make(&m, endless, sizeof(endless));
	handled = 0;
	pthread_create(&other, NULL, send_signal, &self);
	result(run(&m, 0) == -EINTR && handled == 1, "another thread's pthread_kill ends KVM_RUN");
	pthread_join(other, NULL);
	unmake(&m);
}

static void immediate_exit(void)
{
	static const uint8_t code[] = { 0xec, 0xf4 }; /* in; hlt */
	struct kvm_regs regs;
	struct machine m;

	make(&m, code, sizeof(code));
	result(run(&m, 0) == KVM_EXIT_IO, "an IN");
	*((uint8_t *)m.run[0] + m.run[0]->io.data_offset) = 0x42;
	m.run[0]->immediate_exit = 1;
	result(run(&m, 0) == -EINTR && !ioctl(m.vcpu[0], KVM_GET_REGS, &regs) && regs.rax == 0x42 &&
		       regs.rip == CODE + 1,
	       "immediate_exit completes it, and executes nothing");
	m.run[0]->immediate_exit = 0;
	result(run(&m, 0) == KVM_EXIT_HLT, "and then HLT");
	unmake(&m);
}

/* What an IN leaves behind, once it is complete. */
static void after_in(void)
{
	static const uint8_t code[] = { 0xfb, 0x66, 0xed, 0xf4 }; /* sti; in eax, dx; hlt */
	struct kvm_vcpu_events events;
	struct kvm_regs regs;
	struct machine m;

	make(&m, code, sizeof(code));
	ioctl(m.vcpu[0], KVM_GET_REGS, &regs);
	regs.rax = UINT64_MAX;
	ioctl(m.vcpu[0], KVM_SET_REGS, &regs);
	result(run(&m, 0) == KVM_EXIT_IO && m.run[0]->io.size == 4, "an IN of 4 bytes behind STI");
	*(uint32_t *)((char *)m.run[0] + m.run[0]->io.data_offset) = 0x12345678;
	m.run[0]->immediate_exit = 1;
	result(run(&m, 0) == -EINTR && !ioctl(m.vcpu[0], KVM_GET_REGS, &regs) && regs.rax == 0x12345678,
	       "all of RAX is written");
	result(!ioctl(m.vcpu[0], KVM_GET_VCPU_EVENTS, &events) && !events.interrupt.shadow,
	       "and STI's shadow has gone");
	unmake(&m);
}

/* ---- memory */

static uint16_t dirty_pages(const struct machine *m)
{
	uint64_t bitmap[2] = { 0 };
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	if (ioctl(m->vm, KVM_GET_DIRTY_LOG, &log))
		err(1, "KVM_GET_DIRTY_LOG");
	return (uint16_t)bitmap[0];
}

static void dirty_log(void)
{
	/* mov ax,1000; mov ds,ax; then twice: store to 0x3000 and 0x5002, out; hlt */
	static const uint8_t code[] = { 0xb8, 0x00, 0x10, 0x8e, 0xd8, 0xc6, 0x06, 0x00, 0x30,
					0x01, 0xc7, 0x06, 0x02, 0x50, 0x34, 0x12, 0xa0, 0x00,
					0x70, 0xee, 0xc6, 0x06, 0x00, 0x30, 0x02, 0xee, 0xf4 };
	struct machine m;
	uint16_t first, none, again;

	make(&m, code, sizeof(code));
	run(&m, 0);
	first = dirty_pages(&m);
	none = dirty_pages(&m);
	run(&m, 0);
	again = dirty_pages(&m);
	result(first == 0x28 && !none && again == 0x08,
	       "the dirty log has what was written since the last time");
	result(m.ram[0x13000] == 2 && m.ram[0x15002] == 0x34, "and memory has it, too");
	unmake(&m);
}

static void code_changes(void)
{
	static const uint8_t code[] = { 0xb0, 0x01, 0xee, 0xeb, 0xfb }; /* 1: mov al,1; out; jmp 1b */
	struct machine m;
	uint8_t *data;

	make(&m, code, sizeof(code));
	data = (uint8_t *)m.run[0] + 0x1000;
	run(&m, 0);
	m.ram[CODE + 1] = 7;
	run(&m, 0);
	result(*data == 7, "code that the program has changed is executed as it is");
	unmake(&m);
}

/* A load, a store, and code where there is a slot but no memory. */
static void no_memory(void)
{
	static const struct {
		uint8_t code[16];
		const char *what;
	} guests[] = {
		{ { 0xb8, 0x00, 0x10, 0x8e, 0xd8, 0xa0, 0x00, 0x10, 0xf4 },
		  "a load from a slot without memory: EFAULT" },
		{ { 0xb8, 0x00, 0x10, 0x8e, 0xd8, 0xa2, 0x00, 0x10, 0xf4 }, "a store to one" },
		{ { 0xea, 0x00, 0x10, 0x00, 0x10 }, "a jump there" },
	};

	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		struct machine m;
		int rc;

		make(&m, guests[i].code, sizeof(guests[i].code));
		munmap(m.ram + 0x10000, 0x10000);
		rc = run(&m, 0);
		/* a kernel that emulates the instruction takes it for I/O */
		result(rc == -EFAULT || rc == KVM_EXIT_MMIO || rc == KVM_EXIT_INTERNAL_ERROR, guests[i].what);
		unmake(&m);
	}
}

static void *remap(void *arg)
{
	struct machine *m = arg;

	for (int i = 0; i < 200; i++) {
		set_memory(m, 1, 0, 0x10000, 0);
		set_memory(m, 1, i & 1 ? KVM_MEM_LOG_DIRTY_PAGES : 0, 0x10000, 0x10000);
	}
	return NULL;
}

static void slots_change(void)
{
	static const uint8_t code[] = { 0xee, 0xeb, 0xfd }; /* 1: out; jmp 1b */
	struct machine m;
	pthread_t other;
	int wrong = 0;

	make(&m, code, sizeof(code));
	pthread_create(&other, NULL, remap, &m);
	for (int i = 0; i < 3000; i++)
		wrong += run(&m, 0) != KVM_EXIT_IO;
	pthread_join(other, NULL);
	result(!wrong, "memory slots come and go while a guest runs");
	unmake(&m);
}

/* ---- several */

struct one {
	struct machine *m;
	unsigned int i;
	int end;
};

static void *run_one(void *arg)
{
	struct one *one = arg;

	one->end = run(one->m, one->i);
	return NULL;
}

static void two_vcpus(void)
{
	/* mov cx,LOOPS; 1: lock inc dword [0x7000]; loop 1b; hlt */
	static const uint8_t code[] = { 0xb9, LOOPS & 0xff, LOOPS >> 8, 0xf0, 0x66, 0xff,
					0x06, 0x00,         0x70,       0xe2, 0xf8, 0xf4 };
	struct one one[2];
	pthread_t thread[2];
	struct machine m;
	uint32_t sum;

	make(&m, code, sizeof(code));
	add_vcpu(&m, 1);
	for (unsigned int i = 0; i < 2; i++) {
		one[i] = (struct one){ &m, i, 0 };
		pthread_create(&thread[i], NULL, run_one, &one[i]);
	}
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	memcpy(&sum, m.ram + 0x7000, sizeof(sum));
	if (sum != 2 * LOOPS)
		printf("# ends %d and %d, sum %u\n", one[0].end, one[1].end, sum);
	result(one[0].end == KVM_EXIT_HLT && one[1].end == KVM_EXIT_HLT && sum == 2 * LOOPS,
	       "two vCPUs count with locked instructions");
	unmake(&m);
}

/* ---- registers */

static void same(const struct machine *m, unsigned long get, unsigned long set, size_t len, const char *what)
{
	uint8_t *a = calloc(1, len), *b = calloc(1, len);

	result(!ioctl(m->vcpu[0], get, a) && !ioctl(m->vcpu[0], set, a) && !ioctl(m->vcpu[0], get, b) &&
		       !memcmp(a, b, len),
	       what);
	free(a);
	free(b);
}

static void registers(void)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[2];
	} msrs = { .head.nmsrs = 2, .entry = { { .index = 0xc0000082, .data = 0x1234 }, { .index = 0x7f } } };
	struct kvm_fpu fpu = { .fcw = 0x37f, .ftwx = 1, .mxcsr = 0x1f80 }, back;
	struct kvm_mp_state state = { 99 };
	struct machine m;

	make(&m, endless, sizeof(endless));
	same(&m, KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), "REGS come back");
	same(&m, KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs), "SREGS come back");
	same(&m, KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave), "XSAVE comes back");
	same(&m, KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), "XCRS come back");
	same(&m, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs), "DEBUGREGS come back");
	same(&m, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events),
	     "EVENTS come back");
	memset(fpu.xmm[3], 0x5a, 16);
	memset(fpu.fpr[0], 0x3f, 10);
	result(!ioctl(m.vcpu[0], KVM_SET_FPU, &fpu) && !ioctl(m.vcpu[0], KVM_GET_FPU, &back) &&
		       !memcmp(fpu.xmm, back.xmm, sizeof(fpu.xmm)) && !memcmp(fpu.fpr[0], back.fpr[0], 10) &&
		       back.fcw == 0x37f && back.ftwx == 1,
	       "FPU comes back");
	result(ioctl(m.vcpu[0], KVM_SET_MSRS, &msrs) == 1, "SET_MSRS stops at one that there is not");
	msrs.entry[0].data = 0;
	result(ioctl(m.vcpu[0], KVM_GET_MSRS, &msrs) == 1 && msrs.entry[0].data == 0x1234, "GET_MSRS, too");
	result(!ioctl(m.vcpu[0], KVM_GET_MP_STATE, &state) && state.mp_state == KVM_MP_STATE_RUNNABLE,
	       "MP_STATE is runnable");
	unmake(&m);
}

/* ---- wrong arguments */

static const struct {
	unsigned long request;
	const char *name;
} requests[] = {
#define R(request)                                                                                           \
	{                                                                                                    \
		request, #request                                                                            \
	}
	R(KVM_GET_REGS),      R(KVM_SET_REGS),      R(KVM_GET_SREGS),       R(KVM_SET_SREGS),
	R(KVM_GET_FPU),       R(KVM_SET_FPU),       R(KVM_GET_MSRS),        R(KVM_SET_MSRS),
	R(KVM_SET_CPUID2),    R(KVM_GET_CPUID2),    R(KVM_GET_MP_STATE),    R(KVM_SET_MP_STATE),
	R(KVM_GET_DEBUGREGS), R(KVM_SET_DEBUGREGS), R(KVM_GET_VCPU_EVENTS), R(KVM_SET_VCPU_EVENTS),
	R(KVM_GET_XSAVE),     R(KVM_SET_XSAVE),     R(KVM_GET_XCRS),        R(KVM_SET_XCRS),
	R(KVM_INTERRUPT),     R(KVM_TRANSLATE),
#undef R
};

static void wrong_pointers(const struct machine *m)
{
	uint8_t *page = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint64_t wrong[] = {
		0, 8, (uintptr_t)page + 0x1000 - 1, 0x7ffffffffff0, UINT64_MAX - 7, 0xffff800000000000
	};

	munmap(page + 0x1000, 0x1000);
	memset(page, 0xff, 0x1000);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		int ok = 1;

		for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++)
			ok &= ioctl(m->vcpu[0], requests[i].request, wrong[j]) == -1 && errno == EFAULT;
		result(ok, requests[i].name);
	}
	munmap(page, 0x1000);
}

static void wrong_values(const struct machine *m)
{
	struct kvm_interrupt irq = { .irq = 256 };
	struct kvm_msrs many = { .nmsrs = 1u << 20 };
	struct kvm_cpuid2 cpuid = { .nent = 1u << 20 };
	struct kvm_vcpu_events events = { .flags = 1u << 31 };
	struct kvm_debugregs debug = { .flags = 1 };
	struct kvm_mp_state state = { 77 };
	struct kvm_sregs sregs;

	result(ioctl(m->vcpu[0], KVM_RUN, 1) && errno == EINVAL, "KVM_RUN with an argument: EINVAL");
	result(ioctl(m->vcpu[0], KVM_INTERRUPT, &irq) && errno == EINVAL, "vector 256: EINVAL");
	result(ioctl(m->vcpu[0], KVM_GET_MSRS, &many) && errno == E2BIG, "a million MSRs: E2BIG");
	result(ioctl(m->vcpu[0], KVM_SET_CPUID2, &cpuid) && errno == E2BIG, "a million leaves: E2BIG");
	result(ioctl(m->vcpu[0], KVM_SET_VCPU_EVENTS, &events) && errno == EINVAL, "unknown events: EINVAL");
	result(ioctl(m->vcpu[0], KVM_SET_DEBUGREGS, &debug) && errno == EINVAL, "flags of DEBUGREGS: EINVAL");
	result(ioctl(m->vcpu[0], KVM_SET_MP_STATE, &state) && errno == EINVAL, "state 77: EINVAL");
	ioctl(m->vcpu[0], KVM_GET_SREGS, &sregs);
	sregs.cr0 = 0x80000000;
	result(ioctl(m->vcpu[0], KVM_SET_SREGS, &sregs) && errno == EINVAL, "paging in real mode: EINVAL");
	result(ioctl(m->vcpu[0], _IO(KVMIO, 0xff)) && errno == EINVAL, "a request that there is not: EINVAL");
	result(ioctl(m->vm, KVM_CREATE_VCPU, 0) && errno == EEXIST, "the same vCPU again: EEXIST");
	result(ioctl(m->vm, KVM_CREATE_VCPU, 1u << 30) && errno == EINVAL, "vCPU 2^30: EINVAL");
	result(read(m->vcpu[0], &irq, 4) == -1 && errno == EINVAL, "read of a vCPU: EINVAL");
}

static void another_process(const struct machine *m)
{
	struct kvm_regs regs;
	int status = 1;
	pid_t pid = fork();

	if (!pid)
		_exit(!(ioctl(m->vcpu[0], KVM_RUN, 0) && errno == EIO &&
			ioctl(m->vcpu[0], KVM_GET_REGS, &regs) && errno == EIO));
	waitpid(pid, &status, 0);
	result(!status, "another process: EIO");
}

static void hostile(void)
{
	struct machine m;

	make(&m, endless, sizeof(endless));
	wrong_pointers(&m);
	wrong_values(&m);
	another_process(&m);
	/* registers full of anything: a guest that goes wrong, and no more */
	for (unsigned int i = 0; i < 200; i++) {
		struct kvm_regs regs;

		for (size_t j = 0; j < sizeof(regs); j++)
			((uint8_t *)&regs)[j] = (uint8_t)random();
		regs.rflags &= 0x3ffed7;
		ioctl(m.vcpu[0], KVM_SET_REGS, &regs);
		alarm(0);
		ualarm(3000, 0);
		run(&m, 0);
	}
	ualarm(0, 0);
	result(1, "random registers");
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
	signals();
	signal_mask();
	from_a_thread();
	immediate_exit();
	after_in();
	dirty_log();
	code_changes();
	no_memory();
	slots_change();
	two_vcpus();
	registers();
	hostile();
	printf("1..%d\n", nr);
	return failed != 0;
}
