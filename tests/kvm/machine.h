/* SPDX-License-Identifier: BSD-2-Clause */
/* A small machine for tests of vCPUs: 128 KiB of memory from address 0, the second half of it logged, and a
 * vCPU in real mode at CODE. Included once in a program. */
#ifndef UVFIO_TESTS_KVM_MACHINE_H
#define UVFIO_TESTS_KVM_MACHINE_H

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY 0x20000
#define CODE   0x1000

static int kvm, nr;
static unsigned int failed;

struct machine {
	int vm, vcpu[2];
	struct kvm_run *run[2];
	uint8_t *ram;
};

static void result(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++nr, what);
	failed += !ok;
}

static void add_vcpu(struct machine *m, unsigned int i)
{
	struct kvm_regs regs = { .rip = CODE, .rsp = 0x8000 - 0x1000 * i, .rflags = 2, .rdx = 0x500 };
	struct kvm_sregs s;

	m->vcpu[i] = ioctl(m->vm, KVM_CREATE_VCPU, i);
	m->run[i] = mmap(NULL, 0x3000, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu[i], 0);
	if (m->vcpu[i] < 0 || m->run[i] == MAP_FAILED || ioctl(m->vcpu[i], KVM_GET_SREGS, &s))
		err(1, "a vCPU");
	s.cs.base = s.cs.selector = 0;
	if (ioctl(m->vcpu[i], KVM_SET_SREGS, &s) || ioctl(m->vcpu[i], KVM_SET_REGS, &regs))
		err(1, "registers");
}

static void set_memory(struct machine *m, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size)
{
	struct kvm_userspace_memory_region region = { slot, flags, gpa, size, (uintptr_t)m->ram + gpa };

	if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region))
		err(1, "KVM_SET_USER_MEMORY_REGION");
}

static void make(struct machine *m, const void *code, size_t len)
{
	m->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	m->ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->vm < 0 || m->ram == MAP_FAILED)
		err(1, "a VM");
	memcpy(m->ram + CODE, code, len);
	set_memory(m, 0, 0, 0, 0x10000);
	set_memory(m, 1, KVM_MEM_LOG_DIRTY_PAGES, 0x10000, 0x10000);
	m->vcpu[1] = -1;
	add_vcpu(m, 0);
}

static void unmake(struct machine *m)
{
	for (int i = 0; i < 2 && m->vcpu[i] >= 0; i++) {
		munmap(m->run[i], 0x3000);
		close(m->vcpu[i]);
	}
	close(m->vm);
	munmap(m->ram, MEMORY);
}

static uint64_t rip(const struct machine *m)
{
	struct kvm_regs regs;

	return ioctl(m->vcpu[0], KVM_GET_REGS, &regs) ? 0 : regs.rip;
}

static int run(const struct machine *m, unsigned int i)
{
	return ioctl(m->vcpu[i], KVM_RUN, 0) ? -errno : (int)m->run[i]->exit_reason;
}

static volatile sig_atomic_t handled;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = handler };

	sigaction(SIGALRM, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
}

static const uint8_t endless[] = { 0xeb, 0xfe };

#endif
