/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: what a software vCPU can do, and what the program says that it can. */
#include "base/why.h"
#include "kvm/vcpu.h"

#include <string.h>

/* The local APIC's number is the program's to put in. */
static const struct kvm_cpuid_entry2 supported[] = {
	{ .function = 0, .eax = 7, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69 },
	{ .function = 1,
	  .eax = 0x663,
	  .ebx = 0x800,
	  .ecx = ENGINE_FEATURES_1_ECX,
	  .edx = ENGINE_FEATURES_1_EDX },
	{ .function = 2, .eax = 1 },
	{ .function = 7, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .ebx = 0x180080 /* SMEP ADX SMAP */ },
	{ .function = 0x80000000,
	  .eax = 0x80000008,
	  .ebx = 0x756e6547,
	  .ecx = 0x6c65746e,
	  .edx = 0x49656e69 },
	{ .function = 0x80000001, .ecx = ENGINE_FEATURES_81_ECX, .edx = ENGINE_FEATURES_81_EDX },
	{ .function = 0x80000008, .eax = 0x3028 /* 40 physical, 48 virtual bits */ },
};

long soft_get_supported_cpuid(struct ioctl_call *call, void *arg)
{
	uint32_t nr = call->row->cmd == KVM_GET_EMULATED_CPUID ? 0 : ARRAY_SIZE(supported), asked;
	struct kvm_cpuid2 head;
	long rc = vcpu_copy_in(call, &head, sizeof(head));

	(void)arg;
	if (rc)
		return rc;
	asked = head.nent;
	if (asked < MAX(nr, 1u))
		return WHY(-E2BIG, "there are %u entries", nr);
	head.nent = nr;
	if (nr && copy_out(call->caller, call->arg + sizeof(head), supported, sizeof(supported)))
		return WHY(-EFAULT, "the entries are not writable memory");
	return vcpu_copy_out(call, &head, sizeof(head));
}

long vcpu_get_cpuid(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_cpuid2 head;
	long rc = vcpu_copy_in(call, &head, sizeof(head));

	if (rc)
		return rc;
	if (head.nent < vcpu->nr_cpuid)
		return WHY(-E2BIG, "there are %u entries", vcpu->nr_cpuid);
	head.nent = vcpu->nr_cpuid;
	if (copy_out(call->caller, call->arg + sizeof(head), vcpu->cpuid,
		     vcpu->nr_cpuid * sizeof(vcpu->cpuid[0])))
		return WHY(-EFAULT, "the entries are not writable memory");
	return vcpu_copy_out(call, &head, sizeof(head));
}

long vcpu_set_cpuid(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_cpuid_entry2 entries[VCPU_CPUID_MAX];
	struct kvm_cpuid2 head;
	long rc = vcpu_copy_in(call, &head, sizeof(head));

	if (rc)
		return rc;
	if (head.nent > VCPU_CPUID_MAX)
		return WHY(-E2BIG, "%u entries; %d are the most", head.nent, VCPU_CPUID_MAX);
	if (copy_in(call->caller, entries, call->arg + sizeof(head), head.nent * sizeof(entries[0])))
		return WHY(-EFAULT, "the entries are not readable memory");
	memcpy(vcpu->cpuid, entries, head.nent * sizeof(entries[0]));
	vcpu->nr_cpuid = head.nent;
	return 0;
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid_entry2 *entries, uint32_t nr,
					   uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < nr; i++)
		if (entries[i].function == function &&
		    (!(entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entries[i].index == index))
			return &entries[i];
	return NULL;
}

/* A program that sets nothing gets nothing, as with the kernel's. */
void vcpu_cpuid(void *arg, uint32_t regs[4])
{
	struct vcpu *vcpu = arg;
	const struct kvm_cpuid_entry2 *entry = find(vcpu->cpuid, vcpu->nr_cpuid, regs[0], regs[2]);

	memset(regs, 0, 4 * sizeof(regs[0]));
	if (!entry)
		return;
	regs[0] = entry->eax;
	regs[1] = entry->ebx;
	regs[2] = entry->ecx;
	regs[3] = entry->edx;
}
