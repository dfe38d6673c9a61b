/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that programs may meet: values of system registers, offsets, sizes. On the host's KVM and
 * here. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int nr, failed;

static void result(int ok, const char *what)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++nr, what);
	failed += !ok;
}

static void set_sregs(int vcpu, const char *chip)
{
	static const int no_cr4[] = { 12, 13, 14, 15, 17, 19, 23, 24, 31, 32, 63 };
	static const uint64_t no_base[] = { 0x12345678, 0xfee00d00, 0x10000000000000 };
	struct kvm_sregs old, s;
	int refused = 0, taken = 0;
	char what[80];

	if (ioctl(vcpu, KVM_GET_SREGS, &old))
		err(1, "KVM_GET_SREGS");
	for (unsigned int i = 0; i < sizeof(no_cr4) / sizeof(no_cr4[0]); i++) {
		s = old;
		s.cr4 |= 1ull << no_cr4[i];
		refused += ioctl(vcpu, KVM_SET_SREGS, &s) && errno == EINVAL;
	}
	snprintf(what, sizeof(what), "%s: bits of cr4 that cannot be: EINVAL", chip);
	result(refused == sizeof(no_cr4) / sizeof(no_cr4[0]), what);
	for (int i = 0; i < 12; i++) {
		s = old;
		s.cr4 |= 1ull << i;
		taken += !ioctl(vcpu, KVM_SET_SREGS, &s);
	}
	snprintf(what, sizeof(what), "%s: bits 0 to 11 of cr4 can be", chip);
	result(taken == 12 && !ioctl(vcpu, KVM_SET_SREGS, &old), what);
	refused = 0;
	for (int i = 0; i < 3; i++) {
		s = old;
		s.apic_base = no_base[i];
		refused += ioctl(vcpu, KVM_SET_SREGS, &s) && errno == EINVAL;
	}
	snprintf(what, sizeof(what), "%s: apic_base that cannot be: EINVAL", chip);
	result(refused == 3, what);
	s = old;
	s.apic_base = 0x12345900;
	snprintf(what, sizeof(what), "%s: another apic_base", chip);
	result(!ioctl(vcpu, KVM_SET_SREGS, &s) && !ioctl(vcpu, KVM_SET_SREGS, &old), what);
}

static void offsets(int kvm, int vm, int vcpu)
{
	result(!lseek(kvm, 3, SEEK_SET) && !lseek(vm, 5, SEEK_SET) && !lseek(vcpu, 7, SEEK_SET) &&
		       !lseek(vm, 0, SEEK_CUR) && !lseek(vm, 0, SEEK_END),
	       "lseek is 0");
	result(lseek(vm, 0, 99) == -1 && errno == EINVAL, "lseek from nowhere: EINVAL");
}

static void mappings(int kvm, int vcpu)
{
	size_t size = (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run = mmap(NULL, size + 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	void *behind = mmap(NULL, 0x2000, PROT_READ, MAP_SHARED, vcpu, (off_t)size + 0x1000);

	result(run != MAP_FAILED && !run->immediate_exit, "a page more than there is can be mapped");
	result(behind != MAP_FAILED, "what is behind can be mapped");
	munmap(run, size + 0x1000);
	munmap(behind, 0x2000);
}

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR), vm, vcpu;

	if (kvm < 0) {
		puts("1..0 # SKIP there is no /dev/kvm");
		return 0;
	}
	for (int chip = 0; chip < 2; chip++) {
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
		if (vm < 0 || (chip && ioctl(vm, KVM_CREATE_IRQCHIP, 0)))
			err(1, "a VM");
		vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
		if (vcpu < 0)
			err(1, "a vCPU");
		set_sregs(vcpu, chip ? "with a local APIC" : "without");
		offsets(kvm, vm, vcpu);
		mappings(kvm, vcpu);
		close(vcpu);
		close(vm);
	}
	printf("1..%d\n", nr);
	return !!failed;
}
