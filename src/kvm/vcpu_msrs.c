/* SPDX-License-Identifier: BSD-2-Clause */
/* Model specific registers, and what the guest has of CR8 and of the local APIC's base. */
#include "base/why.h"
#include "kvm/vcpu.h"

#include <stdlib.h>
#include <time.h>

#define MAX_MSRS  4096 /* in one call */
#define TSC       0x10
#define APIC_BASE 0x1b
#define MTRRCAP   0xfe
#define MCG_CAP   0x179
#define EFER      0xc0000080
#define EFER_LMA  BIT64(10)
#define EFER_ALL  (BIT64(0) | BIT64(8) | BIT64(10) | BIT64(11))

/* That the engine has. */
static const uint32_t msrs[] = {
	0x10,                                           /* TSC */
	0x1b,                                           /* APIC_BASE */
	0x174,      0x175,      0x176,                  /* SYSENTER */
	0x1a0,                                          /* MISC_ENABLE */
	0x277,                                          /* PAT */
	0xc0000080,                                     /* EFER */
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, /* STAR, LSTAR, CSTAR, FMASK */
	0xc0000100, 0xc0000101, 0xc0000102,             /* FS_BASE, GS_BASE, KERNEL_GS_BASE */
	0xc0000103,                                     /* TSC_AUX */
};

static bool is_known(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		if (msrs[i] == index)
			return true;
	/* memory types and machine checks: the engine keeps them */
	return index == 0xfe || (index >= 0x200 && index <= 0x20f) || index == 0x250 || index == 0x258 ||
	       index == 0x259 || (index >= 0x268 && index <= 0x26f) || index == 0x2ff || index == 0x179 ||
	       index == 0x17a || index == 0x17b || index == 0x8b;
}

uint64_t vcpu_apic_base(struct vcpu *vcpu)
{
	return vcpu->base.apic ? kvm_lapic_get_base(&vcpu->base) : vcpu->apic_base;
}

long vcpu_set_apic_base(struct vcpu *vcpu, uint64_t base)
{
	/* an address of 52 bits, BSP and ENABLE; no x2APIC */
	if (base >> 52 || base & 0x6ff)
		return WHY(-EINVAL, "apic_base 0x%llx cannot be", (unsigned long long)base);
	if (vcpu->base.apic)
		return kvm_lapic_set_base(&vcpu->base, base);
	vcpu->apic_base = base;
	return 0;
}

/* Without a local APIC it is the program's, by way of the run structure. */
uint64_t vcpu_cr8(struct vcpu *vcpu)
{
	return vcpu->base.apic ? kvm_lapic_get_cr8(&vcpu->base) : vcpu->cr8;
}

void vcpu_set_cr8(struct vcpu *vcpu, uint64_t cr8)
{
	if (cr8 > 15)
		return; /* as with the kernel's KVM_SET_SREGS */
	if (vcpu->base.apic)
		kvm_lapic_set_cr8(&vcpu->base, (uint8_t)cr8);
	else
		vcpu->cr8 = cr8;
}

static bool get(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	if (!is_known(entry->index))
		return false;
	if (entry->index == APIC_BASE)
		entry->data = vcpu_apic_base(vcpu);
	else if (entry->index == TSC)
		entry->data = __builtin_ia32_rdtsc(); /* the guest's is the host's */
	else
		entry->data = engine_msr(vcpu->engine, entry->index);
	return true;
}

static bool is_canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* As the kernel has it; the others take anything. */
static bool can_be(const struct kvm_msr_entry *entry)
{
	switch (entry->index) {
	case MTRRCAP:
	case MCG_CAP:
		return false;
	case 0xc0000082:
	case 0xc0000083:
	case 0xc0000100 ... 0xc0000102:
		return is_canonical(entry->data);
	case 0xc0000103:
		return !(entry->data >> 32);
	default:
		return true;
	}
}

static bool set(struct vcpu *vcpu, const struct kvm_msr_entry *entry)
{
	uint64_t efer = engine_efer(vcpu->engine);

	if (!is_known(entry->index) || !can_be(entry))
		return false;
	switch (entry->index) {
	case APIC_BASE:
		return !vcpu_set_apic_base(vcpu, entry->data);
	case EFER:
		if (entry->data & ~EFER_ALL)
			return false;
		engine_set_efer(vcpu->engine, (entry->data & ~EFER_LMA) | (efer & EFER_LMA));
		engine_derive(vcpu->engine);
		return true;
	default:
		engine_set_msr(vcpu->engine, entry->index, entry->data);
		return true;
	}
}

/* How many were done, from the first on. */
static long each(struct vcpu *vcpu, struct ioctl_call *call, bool write)
{
	uint64_t at = call->arg + sizeof(struct kvm_msrs);
	struct kvm_msr_entry entry;
	struct kvm_msrs head;
	long rc = vcpu_copy_in(call, &head, sizeof(head));
	uint32_t done = 0;

	if (rc)
		return rc;
	if (head.nmsrs >= MAX_MSRS)
		return WHY(-E2BIG, "%u registers; fewer than %d can be asked for at once", head.nmsrs,
			   MAX_MSRS);
	for (; done < head.nmsrs; done++, at += sizeof(entry)) {
		if (copy_in(call->caller, &entry, at, sizeof(entry)))
			return WHY(-EFAULT, "entry %u is not readable memory", done);
		if (!(write ? set(vcpu, &entry) : get(vcpu, &entry)))
			break;
		if (!write && copy_out(call->caller, at, &entry, sizeof(entry)))
			return WHY(-EFAULT, "entry %u is not writable memory", done);
	}
	return done;
}

long vcpu_get_msrs(struct vcpu *vcpu, struct ioctl_call *call)
{
	return each(vcpu, call, false);
}

long vcpu_set_msrs(struct vcpu *vcpu, struct ioctl_call *call)
{
	return each(vcpu, call, true);
}

long soft_get_msr_index_list(struct ioctl_call *call, void *arg)
{
	bool features = call->row->cmd == KVM_GET_MSR_FEATURE_INDEX_LIST;
	uint32_t nr = features ? 0 : ARRAY_SIZE(msrs);
	struct kvm_msr_list list;
	long rc = vcpu_copy_in(call, &list, sizeof(list));
	bool enough;

	(void)arg;
	if (rc)
		return rc;
	enough = list.nmsrs >= nr;
	list.nmsrs = nr;
	if (vcpu_copy_out(call, &list, sizeof(list)))
		return -EFAULT;
	if (!enough)
		return WHY(-E2BIG, "there are %u registers", nr);
	if (nr && copy_out(call->caller, call->arg + sizeof(list), msrs, sizeof(msrs)))
		return WHY(-EFAULT, "the list is not writable memory");
	return 0;
}

/* There are none. */
long soft_get_feature_msrs(struct ioctl_call *call, void *arg)
{
	struct kvm_msrs head;
	long rc = vcpu_copy_in(call, &head, sizeof(head));

	(void)arg;
	if (rc)
		return rc;
	return head.nmsrs >= MAX_MSRS ? -E2BIG : 0;
}

long vcpu_get_debugregs(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_debugregs regs = { 0 };

	for (unsigned int i = 0; i < 4; i++)
		regs.db[i] = engine_debug_register(vcpu->engine, i);
	regs.dr6 = engine_debug_register(vcpu->engine, 6);
	regs.dr7 = engine_debug_register(vcpu->engine, 7);
	return vcpu_copy_out(call, &regs, sizeof(regs));
}

long vcpu_set_debugregs(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_debugregs regs;
	long rc = vcpu_copy_in(call, &regs, sizeof(regs));

	if (rc)
		return rc;
	if (regs.flags || regs.dr6 >> 32 || regs.dr7 >> 32)
		return WHY(-EINVAL, "flags, and the upper halves of dr6 and dr7, are 0");
	for (unsigned int i = 0; i < 4; i++)
		engine_set_debug_register(vcpu->engine, i, regs.db[i]);
	engine_set_debug_register(vcpu->engine, 6, regs.dr6);
	engine_set_debug_register(vcpu->engine, 7, regs.dr7);
	return 0;
}

long vcpu_tsc_khz(struct vcpu *vcpu, struct ioctl_call *call)
{
	static _Atomic long measured;
	struct timespec a, b;
	uint64_t ticks;
	long ns;

	(void)vcpu;
	if (call->row->cmd == KVM_SET_TSC_KHZ)
		return 0; /* the guest's is the host's, as near as a program can tell */
	if (!measured) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		ticks = __builtin_ia32_rdtsc();
		do {
			clock_gettime(CLOCK_MONOTONIC, &b);
			ns = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
		} while (ns < 1000000);
		measured = (long)((__builtin_ia32_rdtsc() - ticks) * 1000000 / (uint64_t)ns);
	}
	return measured;
}
