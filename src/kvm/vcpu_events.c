/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts, exceptions and what else waits for a vCPU; whether it runs; its signal mask; its reset. */
#include "base/why.h"
#include "kvm/vcpu.h"

#include <string.h>

#define INHIBIT_IRQ BIT32(3) /* of hflags */

long vcpu_interrupt(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_interrupt irq;
	long rc = vcpu_copy_in(call, &irq, sizeof(irq));

	if (rc)
		return rc;
	if (irq.irq >= 256)
		return WHY(-EINVAL, "vector %u", irq.irq);
	if (!kvm_has_irqchip(vcpu->base.kvm)) {
		vcpu->irq = (int)irq.irq;
		return 0;
	}
	if (kvm_has_pic(vcpu->base.kvm))
		return WHY(-ENXIO, "the VM has interrupt controllers of its own");
	if (vcpu->extint >= 0)
		return WHY(-EEXIST, "vector %d has not been taken yet", vcpu->extint);
	vcpu->extint = (int)irq.irq;
	return 0;
}

long vcpu_nmi(struct vcpu *vcpu, struct ioctl_call *call)
{
	(void)call;
	vcpu->nmi_pending = true;
	return 0;
}

long vcpu_get_events(struct vcpu *vcpu, struct ioctl_call *call)
{
	const struct engine_state *state = engine_state(vcpu->engine);
	struct kvm_vcpu_events events = { 0 };

	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	if (vcpu->exception >= 0) {
		events.exception.injected = 1;
		events.exception.nr = (uint8_t)vcpu->exception;
		events.exception.has_error_code = vcpu->exception_error >= 0;
		events.exception.error_code = (uint32_t)MAX(vcpu->exception_error, (int64_t)0);
	}
	if (vcpu->irq >= 0) {
		events.interrupt.injected = 1;
		events.interrupt.nr = (uint8_t)vcpu->irq;
	}
	if (state->hflags & INHIBIT_IRQ)
		events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	events.nmi.pending = vcpu->nmi_pending;
	events.nmi.masked = !!(state->hflags2 & ENGINE_HFLAGS2_NMI);
	return vcpu_copy_out(call, &events, sizeof(events));
}

long vcpu_set_events(struct vcpu *vcpu, struct ioctl_call *call)
{
	const uint32_t known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			       KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	struct engine_state *state = engine_state(vcpu->engine);
	struct kvm_vcpu_events events;
	long rc = vcpu_copy_in(call, &events, sizeof(events));

	if (rc)
		return rc;
	if (events.flags & ~known)
		return WHY(-EINVAL, "unknown flags 0x%x", events.flags & ~known);
	if (events.exception.injected && (events.exception.nr > 31 || events.exception.nr == 2))
		return WHY(-EINVAL, "%u is no exception", events.exception.nr);
	if ((events.flags & KVM_VCPUEVENT_VALID_SMM) && events.smi.smm)
		return WHY(-EINVAL, "there is no system management mode");
	vcpu->exception = events.exception.injected ? events.exception.nr : -1;
	vcpu->exception_error = events.exception.has_error_code ? (int64_t)events.exception.error_code : -1;
	vcpu->irq = events.interrupt.injected ? events.interrupt.nr : -1;
	if (events.flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		vcpu->nmi_pending = events.nmi.pending;
	vcpu->nmi_pending |= events.nmi.injected;
	state->hflags2 &= ~ENGINE_HFLAGS2_NMI;
	if (events.nmi.masked && !events.nmi.injected)
		state->hflags2 |= ENGINE_HFLAGS2_NMI;
	if (events.flags & KVM_VCPUEVENT_VALID_SHADOW)
		state->hflags = (state->hflags & ~INHIBIT_IRQ) | (events.interrupt.shadow ? INHIBIT_IRQ : 0);
	return 0;
}

long vcpu_get_mp_state(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_mp_state state = { .mp_state = vcpu->mp_state };

	return vcpu_copy_out(call, &state, sizeof(state));
}

long vcpu_set_mp_state(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_mp_state state;
	long rc = vcpu_copy_in(call, &state, sizeof(state));

	if (rc)
		return rc;
	if (state.mp_state != KVM_MP_STATE_RUNNABLE &&
	    (!vcpu->base.apic || state.mp_state > KVM_MP_STATE_SIPI_RECEIVED))
		return WHY(-EINVAL, "state %u is for vCPUs with a local APIC", state.mp_state);
	vcpu->mp_state =
		state.mp_state == KVM_MP_STATE_SIPI_RECEIVED ? KVM_MP_STATE_RUNNABLE : state.mp_state;
	return 0;
}

long vcpu_set_signal_mask(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_signal_mask head;
	uint64_t mask;

	if (!call->arg) {
		vcpu->has_mask = false;
		return 0;
	}
	if (vcpu_copy_in(call, &head, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(mask))
		return WHY(-EINVAL, "len %u: a signal mask is 8 bytes", head.len);
	if (copy_in(call->caller, &mask, call->arg + sizeof(head), sizeof(mask)))
		return WHY(-EFAULT, "the mask is not readable memory");
	vcpu->mask = mask & ~(BIT64(8) | BIT64(18)); /* SIGKILL and SIGSTOP */
	vcpu->has_mask = true;
	return 0;
}

long vcpu_get_lapic(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_lapic_state state;

	if (!vcpu->base.apic)
		return WHY(-EINVAL, "the vCPU has no local APIC");
	kvm_lapic_get_state(&vcpu->base, &state);
	return vcpu_copy_out(call, &state, sizeof(state));
}

long vcpu_set_lapic(struct vcpu *vcpu, struct ioctl_call *call)
{
	struct kvm_lapic_state state;

	if (!vcpu->base.apic)
		return WHY(-EINVAL, "the vCPU has no local APIC");
	if (vcpu_copy_in(call, &state, sizeof(state)))
		return -EFAULT;
	return kvm_lapic_set_state(&vcpu->base, &state);
}

/* ---- reset: Intel's manual, volume 3, table 9-1 */

void vcpu_reset(struct vcpu *vcpu)
{
	const struct engine_segment data = { .limit = 0xffff, .flags = 0x9300 };
	struct engine_state *state = engine_state(vcpu->engine);
	struct engine_fpu fpu = { .fcw = 0x40, .mxcsr = 0x1f80, .tags = 0xff };

	memset(state->regs, 0, sizeof(state->regs));
	state->regs[2] = 0x600;
	state->rip = 0xfff0;
	state->rflags = 2;
	for (int i = 0; i < 6; i++)
		state->segs[i] = data;
	state->segs[ENGINE_CS] = (struct engine_segment){ 0xf000, 0xffff0000, 0xffff, 0x9b00 };
	state->ldt = (struct engine_segment){ .limit = 0xffff, .flags = 0x8200 };
	state->tr = (struct engine_segment){ .limit = 0xffff, .flags = 0x8b00 };
	state->gdt = state->idt = (struct engine_segment){ .limit = 0xffff };
	memset(state->cr, 0, sizeof(state->cr));
	state->cr[0] = 0x60000010;
	engine_set_efer(vcpu->engine, 0);
	engine_derive(vcpu->engine);
	engine_set_fpu(vcpu->engine, &fpu);
	vcpu->irq = vcpu->extint = vcpu->exception = -1;
	vcpu->nmi_pending = false;
	state->hflags2 &= ~ENGINE_HFLAGS2_NMI;
	vcpu->nr_log = 0;
	vcpu->pending = vcpu->replaying = false;
	vcpu->cr8 = 0;
	vcpu->apic_base = 0xfee00000 | BIT64(11) | (vcpu->base.id ? 0 : BIT64(8));
	vcpu->mp_state =
		vcpu->base.apic && vcpu->base.id ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
}
