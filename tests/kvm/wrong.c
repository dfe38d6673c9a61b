/* SPDX-License-Identifier: BSD-2-Clause */
/* Mistakes with KVM, and two exits, for what a trace says of them: test_soft.py has the lines. */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static void fails(int fd, unsigned long request, const void *arg)
{
	if (ioctl(fd, request, arg) >= 0)
		errx(1, "request 0x%lx succeeds", request);
}

static void exits(int vm, uint8_t *ram)
{
	/* mov $0x3f8,%dx; out %al,(%dx); mov %al,0x5000 */
	static const uint8_t code[] = { 0xba, 0xf8, 0x03, 0xee, 0xa2, 0x00, 0x50 };
	struct kvm_userspace_memory_region slot = { 0, 0, 0, 0x1000, (uintptr_t)ram };
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs s;
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

	memcpy(ram, code, sizeof(code));
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) || ioctl(vcpu, KVM_GET_SREGS, &s))
		err(1, "a vCPU");
	s.cs.base = s.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &s) || ioctl(vcpu, KVM_SET_REGS, &regs))
		err(1, "registers");
	for (int times = 0; times < 2; times++)
		if (ioctl(vcpu, KVM_RUN, 0))
			err(1, "KVM_RUN");
	fails(vcpu, KVM_RUN, (void *)3);
	fails(vcpu, KVM_SET_GUEST_DEBUG, NULL);
	fails(vcpu, KVM_IRQFD, NULL);
}

int main(void)
{
	static uint8_t ram[0x1000] __attribute__((aligned(0x1000)));
	struct kvm_userspace_memory_region slot = { .slot = 99999 };
	struct kvm_pit_config pit = { 0 };
	struct kvm_msi msi = { .flags = 4 };
	int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);

	if (vm < 0)
		err(1, "a VM");
	fails(kvm, KVM_GET_API_VERSION, (void *)1);
	fails(kvm, KVM_GET_VCPU_MMAP_SIZE, (void *)2);
	fails(kvm, KVM_RUN, NULL);
	fails(vm, KVM_CREATE_PIT2, &pit);
	fails(vm, KVM_GET_REGS, NULL);
	fails(vm, 0x1234, NULL);
	fails(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	fails(vm, KVM_SIGNAL_MSI, &msi);
	if (ioctl(vm, KVM_CREATE_IRQCHIP, 0))
		err(1, "KVM_CREATE_IRQCHIP");
	fails(vm, KVM_SIGNAL_MSI, &msi);
	exits(vm, ram);
	return 0;
}
