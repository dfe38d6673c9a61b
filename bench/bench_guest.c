/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary client of /dev/kvm: what a guest's OUT costs that an ioeventfd takes, and what one costs that
 * leaves for the program. The guest is a loop of OUTs; what the same loop of NOPs costs is taken off.
 *
 *     bench_guest NAME TARGET    NAME: which KVM it is; TARGET: 1 for "write(2) + 60 ns"
 */
#include "bench.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOPS 40000
#define EXITS 4000
#define CODE  0x1000

static int vm, vcpu, event;
static struct kvm_run *run;
static uint8_t *ram;

static void must(long rc, const char *what)
{
	if (rc >= 0)
		return;
	perror(what);
	exit(1);
}

static void make_vm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_userspace_memory_region memory = { .memory_size = 0x10000 };
	struct kvm_ioeventfd io = { .addr = 0x500, .len = 1, .flags = KVM_IOEVENTFD_FLAG_PIO };
	struct kvm_sregs sregs;

	must(kvm, "/dev/kvm");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	must(vm, "KVM_CREATE_VM");
	ram = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memory.userspace_addr = (uintptr_t)ram;
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &memory), "KVM_SET_USER_MEMORY_REGION");
	io.fd = event = eventfd(0, EFD_NONBLOCK);
	must(ioctl(vm, KVM_IOEVENTFD, &io), "KVM_IOEVENTFD");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	must(vcpu, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
		   vcpu, 0);
	must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = sregs.cs.selector = 0;
	must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
}

/* ns for each turn of: insn; dec cx; jnz. */
static double loop(uint8_t insn, uint16_t port, uint16_t turns)
{
	const uint8_t code[] = { insn, 0x49, 0x75, 0xfc, 0xf4 };
	struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rcx = turns, .rdx = port };
	double start;

	memcpy(ram + CODE, code, sizeof(code));
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	start = bench_now_ns();
	do
		must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	while (run->exit_reason == KVM_EXIT_IO);
	return (bench_now_ns() - start) / turns;
}

static double floor_of_write(void)
{
	uint64_t one = 1;
	double start = bench_now_ns();

	for (int i = 0; i < LOOPS; i++)
		syscall(SYS_write, event, &one, sizeof(one));
	return (bench_now_ns() - start) / LOOPS;
}

int main(int argc, char **argv)
{
	double taken[RUNS], left[RUNS], floors[RUNS], out, leave, floor;
	const char *kvm = argc > 1 ? argv[1] : "KVM";
	bool target = argc > 2 && *argv[2] == '1';
	char name[96];

	make_vm();
	for (int i = 0; i < RUNS; i++) {
		double nop = loop(0x90, 0, LOOPS);

		taken[i] = loop(0xee, 0x500, LOOPS) - nop;
		floors[i] = floor_of_write();
		left[i] = loop(0xee, 0x501, EXITS) - nop;
	}
	out = bench_median(taken, RUNS);
	leave = bench_median(left, RUNS);
	floor = bench_median(floors, RUNS);
	snprintf(name, sizeof(name), "guest's OUT taken by an ioeventfd, %s", kvm);
	bench_row(name, out, "ns", "write(2) to the eventfd", floor, target ? "+ 60 ns" : NULL,
		  out <= floor + 60);
	snprintf(name, sizeof(name), "guest's OUT that leaves for the program, %s", kvm);
	bench_row(name, leave, "ns", "taken by an ioeventfd", out, NULL, false);
	return 0;
}
