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

static long set_msr(int vcpu, uint32_t index, uint64_t value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

	return ioctl(vcpu, KVM_SET_MSRS, &msr);
}

static void set_msrs(int vcpu)
{
	static const uint32_t addresses[] = { 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102 };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} tsc = { .head.nmsrs = 1, .entry.index = 0x10 };
	uint64_t first;
	int right = 0;

	for (unsigned int i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		right += !set_msr(vcpu, addresses[i], 0x800000000000) &&
			 set_msr(vcpu, addresses[i], 0x7fffffffffff) == 1 &&
			 set_msr(vcpu, addresses[i], 0xffff800000000000) == 1;
	result(right == sizeof(addresses) / sizeof(addresses[0]), "MSRs with addresses: canonical ones");
	result(!set_msr(vcpu, 0xc0000103, 1ull << 32) && !set_msr(vcpu, 0xfe, 0x12345) &&
		       !set_msr(vcpu, 0x179, 0x12345),
	       "TSC_AUX has 32 bits, MTRRCAP and MCG_CAP are not writable");
	result(ioctl(vcpu, KVM_GET_MSRS, &tsc) == 1, "the time stamp counter can be read");
	first = tsc.entry.data;
	result(first && ioctl(vcpu, KVM_GET_MSRS, &tsc) == 1 && tsc.entry.data > first, "and counts");
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
		set_msrs(vcpu);
		offsets(kvm, vm, vcpu);
		mappings(kvm, vcpu);
		close(vcpu);
		close(vm);
	}
	printf("1..%d\n", nr);
	return !!failed;
}
