/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two software vCPUs with the VM's interrupt controllers: the first starts the second by INIT and STARTUP,
 * waits in a loop until that has run, and then interrupts itself, awake and asleep. A counter that both add
 * to with locked instructions, while they take turns, is right in the end.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY  0x10000
#define FIRST   0x1000
#define SECOND  0x2000 /* STARTUP's vector is 2 */
#define VECTOR  0x40
#define COUNTER 0x7000 /* then: interrupts, whether the second has run */
#define ADDS    60000

/* ES is at the local APIC. */
__asm__(".pushsection .rodata\n"
	".globl first, second, sizes\n"
	".code16\n"
	"first:\n"
	"	movl $0x1ff, %es:0xf0\n"
	"	movl $0x01000000, %es:0x310\n"
	"	movl $0x4500, %es:0x300\n" /* INIT to vCPU 1 */
	"	movl $0x4602, %es:0x300\n" /* STARTUP */
	"1:	pause\n"
	"	cmpw $1, 0x7008\n"
	"	jne 1b\n"
	"	movl $0x44040, %es:0x300\n" /* to itself */
	"	sti\n"
	"	nop\n"
	"	nop\n"
	"	cli\n"
	"	movl $0x44040, %es:0x300\n"
	"	sti\n"
	"	hlt\n"
	"	movl $60000, %ecx\n"
	"1:	lock incl 0x7000\n"
	"	decl %ecx\n"
	"	jnz 1b\n"
	"	outb %al, $0xf4\n"
	"handler:\n"
	"	incw 0x7004\n"
	"	movl $0, %es:0xb0\n"
	"	iretw\n"
	"first_end:\n"
	"second:\n"
	"	incw 0x7008\n"
	"	movl $60000, %ecx\n"
	"1:	lock incl 0x7000\n"
	"	decl %ecx\n"
	"	jnz 1b\n"
	"	outb %al, $0xf4\n"
	"second_end:\n"
	"	.balign 4\n"
	"sizes: .long first_end - first, second_end - second, handler - first\n"
	".code64\n"
	".popsection\n");

extern const char first[], second[];
extern const uint32_t sizes[3]; /* of both, and where the handler is in the first */

static int vm, vcpu[2];
static struct kvm_run *run[2];
static uint8_t *ram;

static void add_vcpu(int kvm, int i)
{
	struct kvm_regs regs = { .rip = FIRST, .rsp = 0x8000, .rflags = 2 };
	struct kvm_sregs sregs;

	vcpu[i] = ioctl(vm, KVM_CREATE_VCPU, i);
	run[i] = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
		      vcpu[i], 0);
	if (vcpu[i] < 0 || run[i] == MAP_FAILED)
		err(1, "vCPU %d", i);
	if (i)
		return;
	if (ioctl(vcpu[i], KVM_GET_SREGS, &sregs))
		err(1, "KVM_GET_SREGS");
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.es.base = 0xfee00000;
	if (ioctl(vcpu[i], KVM_SET_SREGS, &sregs) || ioctl(vcpu[i], KVM_SET_REGS, &regs))
		err(1, "registers");
}

static void *execute(void *arg)
{
	int i = *(int *)arg;

	if (ioctl(vcpu[i], KVM_RUN, 0) || run[i]->exit_reason != KVM_EXIT_IO || run[i]->io.port != 0xf4)
		errx(1, "vCPU %d: exit %u", i, run[i]->exit_reason);
	return NULL;
}

static void expect(const char *what, uint32_t is, uint32_t expected)
{
	if (is != expected)
		errx(1, "%s: %u, expected %u", what, is, expected);
}

static void round_of_two(int kvm)
{
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };
	uint16_t handler[2] = { (uint16_t)(FIRST + sizes[2]), 0 }, interrupts, started;
	int index[2] = { 0, 1 };
	pthread_t thread[2];
	uint32_t counter;

	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_CREATE_IRQCHIP, 0))
		err(1, "a VM");
	memset(ram, 0, MEMORY);
	memcpy(ram + FIRST, first, sizes[0]);
	memcpy(ram + SECOND, second, sizes[1]);
	memcpy(ram + 4 * VECTOR, handler, sizeof(handler));
	region.userspace_addr = (uintptr_t)ram;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
		err(1, "KVM_SET_USER_MEMORY_REGION");
	for (int i = 0; i < 2; i++)
		add_vcpu(kvm, i);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, execute, &index[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	memcpy(&counter, ram + COUNTER, sizeof(counter));
	memcpy(&interrupts, ram + COUNTER + 4, sizeof(interrupts));
	memcpy(&started, ram + COUNTER + 8, sizeof(started));
	expect("the counter", counter, 2 * ADDS);
	expect("interrupts", interrupts, 2);
	expect("the second", started, 1);
	for (int i = 0; i < 2; i++) {
		munmap(run[i], (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
		close(vcpu[i]);
	}
	close(vm);
}

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	ram = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kvm < 0 || ram == MAP_FAILED)
		err(1, "/dev/kvm");
	for (int i = 0; i < 20; i++)
		round_of_two(kvm);
	return 0;
}
