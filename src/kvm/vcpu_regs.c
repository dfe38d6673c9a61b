/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_GET_REGS and KVM_GET_SREGS, and setting them: the general and the system registers. */
#include "base/why.h"
#include "kvm/vcpu.h"

#include <string.h>

#define CR0_PE    BIT64(0)
#define CR0_NW    BIT64(29)
#define CR0_CD    BIT64(30)
#define CR0_PG    BIT64(31)
#define CR4_PAE   BIT64(5)
#define CR4_PCIDE BIT64(17)
/* what the host has, too: not LA57, VMXE, SMXE, 15, 19, nor what is above PKE */
#define CR4_KNOWN UINT64_C(0x770fff)
#define EFER_LME  BIT64(8)
#define EFER_LMA  BIT64(10)

static long not_readable(const struct ioctl_call *call)
{
	return WHY(-EFAULT, "the argument at 0x%llx is not readable memory", (unsigned long long)call->arg);
}

static long not_writable(const struct ioctl_call *call)
{
	return WHY(-EFAULT, "the argument at 0x%llx is not writable memory", (unsigned long long)call->arg);
}

long vcpu_copy_in(const struct ioctl_call *call, void *to, size_t len)
{
	return copy_in(call->caller, to, call->arg, len) ? not_readable(call) : 0;
}

long vcpu_copy_out(const struct ioctl_call *call, const void *from, size_t len)
{
	return copy_out(call->caller, call->arg, from, len) ? not_writable(call) : 0;
}

long vcpu_get_regs(struct vcpu *vcpu, struct ioctl_call *call)
{
	const struct engine_state *state = engine_state(vcpu->engine);
	const uint64_t *r = state->regs;
	struct kvm_regs regs;

	vcpu_finish_store(vcpu);
	regs = (struct kvm_regs){
		.rax = r[0],
		.rcx = r[1],
		.rdx = r[2],
		.rbx = r[3],
		.rsp = r[4],
		.rbp = r[5],
		.rsi = r[6],
		.rdi = r[7],
		.r8 = r[8],
		.r9 = r[9],
		.r10 = r[10],
		.r11 = r[11],
		.r12 = r[12],
		.r13 = r[13],
		.r14 = r[14],
		.r15 = r[15],
		.rip = state->rip,
		.rflags = state->rflags,
	};
	return vcpu_copy_out(call, &regs, sizeof(regs));
}

long vcpu_set_regs(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct engine_state *state = engine_state(vcpu->engine);
	struct kvm_regs regs;
	long rc = vcpu_copy_in(call, &regs, sizeof(regs));
	const uint64_t r[16] = { regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp,
				 regs.rsi, regs.rdi, regs.r8,  regs.r9,  regs.r10, regs.r11,
				 regs.r12, regs.r13, regs.r14, regs.r15 };

	if (rc)
		return rc;
	vcpu_finish_store(vcpu);
	memcpy(state->regs, r, sizeof(r));
	state->rip = regs.rip;
	state->rflags = regs.rflags | BIT64(1);
	engine_derive(vcpu->engine);
	return 0;
}

/* ---- system registers */

static struct kvm_segment segment_out(const struct engine_segment *in)
{
	uint32_t flags = in->flags;

	return (struct kvm_segment){
		.base = in->base,
		.limit = in->limit,
		.selector = (uint16_t)in->selector,
		.type = (flags >> 8) & 15,
		.s = (flags >> 12) & 1,
		.dpl = (flags >> 13) & 3,
		.present = (flags >> 15) & 1,
		.avl = (flags >> 20) & 1,
		.l = (flags >> 21) & 1,
		.db = (flags >> 22) & 1,
		.g = (flags >> 23) & 1,
		.unusable = !(flags & BIT32(15)),
	};
}

static struct engine_segment segment_in(const struct kvm_segment *in)
{
	uint32_t flags = ((uint32_t)in->type & 15) << 8 | ((uint32_t)in->s & 1) << 12 |
			 ((uint32_t)in->dpl & 3) << 13 | ((uint32_t)in->present & 1) << 15 |
			 ((uint32_t)in->avl & 1) << 20 | ((uint32_t)in->l & 1) << 21 |
			 ((uint32_t)in->db & 1) << 22 | ((uint32_t)in->g & 1) << 23;

	return (struct engine_segment){
		.selector = in->selector,
		.base = in->base,
		.limit = in->limit,
		.flags = in->unusable ? 0 : flags,
	};
}

long vcpu_get_sregs(struct vcpu *vcpu, struct ioctl_call *call)
{
	const struct engine_state *state = engine_state(vcpu->engine);
	struct kvm_sregs sregs;

	vcpu_finish_store(vcpu);
	sregs = (struct kvm_sregs){
		.cs = segment_out(&state->segs[ENGINE_CS]),
		.ds = segment_out(&state->segs[ENGINE_DS]),
		.es = segment_out(&state->segs[ENGINE_ES]),
		.fs = segment_out(&state->segs[ENGINE_FS]),
		.gs = segment_out(&state->segs[ENGINE_GS]),
		.ss = segment_out(&state->segs[ENGINE_SS]),
		.tr = segment_out(&state->tr),
		.ldt = segment_out(&state->ldt),
		.gdt = { .base = state->gdt.base, .limit = (uint16_t)state->gdt.limit },
		.idt = { .base = state->idt.base, .limit = (uint16_t)state->idt.limit },
		.cr0 = state->cr[0],
		.cr2 = state->cr[2],
		.cr3 = state->cr[3],
		.cr4 = state->cr[4],
		.cr8 = vcpu_cr8(vcpu),
		.efer = engine_efer(vcpu->engine),
		.apic_base = vcpu_apic_base(vcpu),
	};
	if (vcpu->irq >= 0)
		sregs.interrupt_bitmap[vcpu->irq / 64] = BIT64(vcpu->irq % 64);
	return vcpu_copy_out(call, &sregs, sizeof(sregs));
}

static long check_sregs(const struct kvm_sregs *sregs)
{
	if ((sregs->cr0 >> 32) || ((sregs->cr0 & CR0_PG) && !(sregs->cr0 & CR0_PE)) ||
	    ((sregs->cr0 & CR0_NW) && !(sregs->cr0 & CR0_CD)))
		return WHY(-EINVAL, "cr0 0x%llx cannot be", sregs->cr0);
	if (sregs->cr4 & ~CR4_KNOWN || ((sregs->cr4 & CR4_PCIDE) && !(sregs->efer & EFER_LMA)))
		return WHY(-EINVAL, "cr4 0x%llx cannot be", sregs->cr4);
	if ((sregs->efer & EFER_LME) && (sregs->cr0 & CR0_PG)) {
		if (!(sregs->cr4 & CR4_PAE) || !(sregs->efer & EFER_LMA))
			return WHY(-EINVAL, "long mode is with PAE in cr4 and LMA in efer");
		if (sregs->cr3 >> 52)
			return WHY(-EINVAL, "cr3 0x%llx is no physical address", sregs->cr3);
	} else if ((sregs->efer & EFER_LMA) || sregs->cs.l) {
		return WHY(-EINVAL, "LMA in efer and cs.l are for long mode");
	}
	return 0;
}

static void set_tables(struct engine_state *state, const struct kvm_sregs *sregs)
{
	state->tr = segment_in(&sregs->tr);
	state->ldt = segment_in(&sregs->ldt);
	state->gdt.base = sregs->gdt.base;
	state->gdt.limit = sregs->gdt.limit;
	state->idt.base = sregs->idt.base;
	state->idt.limit = sregs->idt.limit;
}

static void set_segments(struct engine_state *state, const struct kvm_sregs *sregs)
{
	state->segs[ENGINE_CS] = segment_in(&sregs->cs);
	state->segs[ENGINE_DS] = segment_in(&sregs->ds);
	state->segs[ENGINE_ES] = segment_in(&sregs->es);
	state->segs[ENGINE_FS] = segment_in(&sregs->fs);
	state->segs[ENGINE_GS] = segment_in(&sregs->gs);
	state->segs[ENGINE_SS] = segment_in(&sregs->ss);
}

static int pending_interrupt(const struct kvm_sregs *sregs)
{
	for (int i = 0; i < 256; i++)
		if (sregs->interrupt_bitmap[i / 64] & BIT64(i % 64))
			return i;
	return -1;
}

long vcpu_set_sregs(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct engine_state *state = engine_state(vcpu->engine);
	struct kvm_sregs sregs;
	long rc = vcpu_copy_in(call, &sregs, sizeof(sregs));

	if (!rc)
		rc = check_sregs(&sregs);
	if (rc)
		return rc;
	vcpu_finish_store(vcpu);
	rc = vcpu_set_apic_base(vcpu, sregs.apic_base);
	if (rc)
		return rc;
	set_segments(state, &sregs);
	set_tables(state, &sregs);
	state->cr[0] = sregs.cr0 | BIT64(4); /* ET */
	state->cr[2] = sregs.cr2;
	state->cr[3] = sregs.cr3;
	state->cr[4] = sregs.cr4;
	vcpu_set_cr8(vcpu, sregs.cr8);
	engine_set_efer(vcpu->engine, sregs.efer);
	if (pending_interrupt(&sregs) >= 0)
		vcpu->irq = pending_interrupt(&sregs);
	engine_derive(vcpu->engine);
	return 0;
}

long vcpu_translate(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_translation t;
	uint64_t gpa = 0;
	long rc = vcpu_copy_in(call, &t, sizeof(t));

	if (!rc)
		rc = vcpu_update_memory(vcpu);
	if (rc)
		return rc;
	t.valid = engine_translate(vcpu->engine, t.linear_address, &gpa);
	t.physical_address = t.valid ? gpa : UINT64_MAX;
	t.writeable = 1;
	t.usermode = 0;
	return vcpu_copy_out(call, &t, sizeof(t));
}
