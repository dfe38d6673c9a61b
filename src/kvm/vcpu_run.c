/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM_RUN: guest code is executed until the program is needed, or a signal comes.
 *
 * A signal that is put off until the call is over (base/interruption.h) kicks the engine; a handler that runs
 * in the middle of it can do the same by setting immediate_exit before a kick of another thread. Whoever
 * wakes a halted vCPU counts its futex up, so no wake is lost between looking and sleeping.
 */
#include "base/interruption.h"
#include "base/why.h"
#include "kvm/irqchip.h"
#include "kvm/vcpu.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RFLAGS_TF   BIT64(8)
#define RFLAGS_IF   BIT64(9)
#define ASKED_INIT  BIT32(8)
#define ASKED_START BIT32(9)

#define INHIBIT_IRQ BIT32(3) /* of hflags */

void vcpu_wake(struct vcpu *vcpu)
{
	atomic_fetch_add(&vcpu->wake, 1);
	syscall(SYS_futex, &vcpu->wake, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* In a signal handler of this thread. */
static void on_signal(void *arg)
{
	struct vcpu *vcpu = arg;
	int saved_errno = errno;

	atomic_store(&vcpu->interrupted, true);
	engine_kick(vcpu->engine);
	vcpu_wake(vcpu);
	errno = saved_errno;
}

/* ---- from other threads */

static void kick(struct kvm_vcpu *base)
{
	engine_want(to_vcpu(base)->engine);
	vcpu_wake(to_vcpu(base));
}

static void ask(struct vcpu *vcpu, uint32_t what)
{
	atomic_fetch_or(&vcpu->asked, what);
	engine_kick(vcpu->engine);
	vcpu_wake(vcpu);
}

static void nmi(struct kvm_vcpu *base)
{
	ask(to_vcpu(base), BIT32(10));
}

static void init(struct kvm_vcpu *base)
{
	ask(to_vcpu(base), ASKED_INIT);
}

static void startup(struct kvm_vcpu *base, uint8_t vector)
{
	struct vcpu *vcpu = to_vcpu(base);

	atomic_fetch_and(&vcpu->asked, ~(uint32_t)0xff);
	ask(vcpu, ASKED_START | vector);
}

const struct kvm_vcpu_ops vcpu_ops = {
	.kick = kick,
	.nmi = nmi,
	.init = init,
	.startup = startup,
	.slots_stop = vcpu_slots_stop,
	.slots_changed = vcpu_slots_changed,
};

/* ---- interrupts */

static bool takes_extint(struct vcpu *vcpu)
{
	return vcpu->extint >= 0 && kvm_lapic_accepts_pic(&vcpu->base);
}

static bool has_interrupt(struct vcpu *vcpu)
{
	return takes_extint(vcpu) || kvm_cpu_has_interrupt(&vcpu->base);
}

static int take_interrupt(void *arg)
{
	struct vcpu *vcpu = arg;

	if (vcpu->replaying) {
		vcpu->irq_put_off = true;
		return -1;
	}
	if (takes_extint(vcpu)) {
		int vector = vcpu->extint;

		vcpu->extint = -1;
		return vector;
	}
	return kvm_cpu_get_interrupt(&vcpu->base);
}

const struct engine_ops vcpu_engine_ops = {
	.out = vcpu_out,
	.in = vcpu_in,
	.read = vcpu_read,
	.write = vcpu_write,
	.dirty = vcpu_dirty,
	.interrupt = take_interrupt,
	.cpuid = vcpu_cpuid,
};

static bool can_take_interrupt(const struct vcpu *vcpu)
{
	const struct engine_state *state = engine_state(vcpu->engine);

	return (state->rflags & RFLAGS_IF) && !(state->hflags & INHIBIT_IRQ);
}

/* What was sent by another vCPU's local APIC. */
static void take_asked(struct vcpu *vcpu)
{
	uint32_t asked = atomic_exchange(&vcpu->asked, 0);

	if (asked & ASKED_INIT) {
		vcpu_reset(vcpu);
		kvm_lapic_reset(&vcpu->base);
		vcpu->mp_state = vcpu->base.id ? KVM_MP_STATE_INIT_RECEIVED : KVM_MP_STATE_RUNNABLE;
	}
	if ((asked & ASKED_START) && vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		struct engine_state *state = engine_state(vcpu->engine);

		state->segs[ENGINE_CS].selector = (asked & 0xff) << 8;
		state->segs[ENGINE_CS].base = (uint64_t)(asked & 0xff) << 12;
		state->rip = 0;
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	}
	if (asked & BIT32(10))
		vcpu->nmi_pending = true;
}

static bool can_take_nmi(const struct vcpu *vcpu)
{
	return vcpu->nmi_pending && !(engine_state(vcpu->engine)->hflags2 & ENGINE_HFLAGS2_NMI);
}

static bool accepts_interrupts(struct vcpu *vcpu)
{
	if (!kvm_has_irqchip(vcpu->base.kvm))
		return vcpu->irq < 0;
	return !kvm_has_pic(vcpu->base.kvm) && vcpu->extint < 0 && kvm_lapic_accepts_pic(&vcpu->base);
}

static bool wants_window(struct vcpu *vcpu)
{
	return vcpu->run->request_interrupt_window && accepts_interrupts(vcpu);
}

static bool has_events(struct vcpu *vcpu)
{
	return vcpu->exception >= 0 || vcpu->irq >= 0 || vcpu->nmi_pending || atomic_load(&vcpu->asked) ||
	       has_interrupt(vcpu) || wants_window(vcpu);
}

/* One at a time: what is left is for the next run, which begins when this one has been taken. */
static void inject(struct vcpu *vcpu)
{
	bool nmi = can_take_nmi(vcpu), irq = vcpu->irq >= 0; /* the program says that it can be taken */

	if (vcpu->exception >= 0) {
		engine_inject(vcpu->engine, (uint8_t)vcpu->exception, vcpu->exception_error, irq || nmi);
		vcpu->injected = INJECTED_EXCEPTION;
	} else if (irq) {
		engine_inject(vcpu->engine, (uint8_t)vcpu->irq, ENGINE_INTERRUPT, nmi);
		vcpu->injected = INJECTED_IRQ;
	} else if (nmi) {
		engine_inject(vcpu->engine, 2, ENGINE_NMI, false);
		vcpu->injected = INJECTED_NMI;
	}
}

static void set_up_events(struct vcpu *vcpu)
{
	inject(vcpu);
	if (has_interrupt(vcpu))
		engine_want(vcpu->engine);
	engine_nmi_window(vcpu->engine, vcpu->nmi_pending && !can_take_nmi(vcpu));
	engine_window(vcpu->engine, vcpu->irq < 0 && wants_window(vcpu));
}

/* Behind a run: what has been taken is not there any more. */
static void note_injected(struct vcpu *vcpu)
{
	bool left = engine_take_back(vcpu->engine);

	if (!left && vcpu->injected == INJECTED_EXCEPTION)
		vcpu->exception = -1;
	else if (!left && vcpu->injected == INJECTED_IRQ)
		vcpu->irq = -1;
	else if (!left && vcpu->injected == INJECTED_NMI)
		vcpu->nmi_pending = false;
	vcpu->injected = INJECTED_NOTHING;
}

/* ---- halted */

static bool wakes(struct vcpu *vcpu)
{
	take_asked(vcpu);
	if (can_take_nmi(vcpu) || vcpu->exception >= 0)
		return true;
	return vcpu->mp_state == KVM_MP_STATE_HALTED && can_take_interrupt(vcpu) && has_interrupt(vcpu);
}

static bool must_leave(const struct vcpu *vcpu)
{
	return atomic_load(&vcpu->interrupted) || interruption_due() || vcpu->run->immediate_exit;
}

/* 0: go on; -EINTR. */
static int sleep_until_woken(struct vcpu *vcpu)
{
	while (vcpu->mp_state != KVM_MP_STATE_RUNNABLE) {
		uint32_t seen = atomic_load(&vcpu->wake);

		if (wakes(vcpu) && vcpu->mp_state == KVM_MP_STATE_HALTED)
			vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
		if (vcpu->mp_state == KVM_MP_STATE_RUNNABLE)
			break;
		if (must_leave(vcpu))
			return -EINTR;
		syscall(SYS_futex, &vcpu->wake, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	}
	return 0;
}

/* ---- running */

static int internal_error(struct vcpu *vcpu, uint32_t suberror)
{
	vcpu->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	vcpu->run->internal.suberror = suberror;
	vcpu->run->internal.ndata = 0;
	return 0;
}

/* A run of the engine is over. 1: go on; 0: to the program; -errno. */
static int after(struct vcpu *vcpu, enum engine_end end)
{
	switch (end) {
	case ENGINE_IO:
		vcpu->pending_rip = engine_state(vcpu->engine)->rip;
		vcpu_finish_out(vcpu);
		return 0;
	case ENGINE_HALT:
		if (!kvm_has_irqchip(vcpu->base.kvm)) {
			vcpu->run->exit_reason = KVM_EXIT_HLT;
			return 0;
		}
		vcpu->mp_state = KVM_MP_STATE_HALTED;
		return 1;
	case ENGINE_WINDOW:
		vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		return 0;
	case ENGINE_SHUTDOWN:
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	case ENGINE_FAULT:
		return WHY(-EFAULT, "memory of a slot is not there");
	case ENGINE_FETCH:
	case ENGINE_FAILED:
		return internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
	default:
		return 1;
	}
}

static enum engine_end run_engine(struct vcpu *vcpu, bool one)
{
	enum engine_end end;

	vcpu_turn_take(vcpu);
	pthread_mutex_lock(&vcpu->running);
	/* slots that were changed since they were looked at: once more */
	if (atomic_load(&vcpu->forget))
		end = ENGINE_KICKED;
	else
		end = engine_run(vcpu->engine, one);
	pthread_mutex_unlock(&vcpu->running);
	vcpu_turn_give(vcpu);
	return end;
}

bool vcpu_step(struct vcpu *vcpu)
{
	enum engine_end end = ENGINE_KICKED;

	if (engine_state(vcpu->engine)->rflags & RFLAGS_TF)
		return true; /* a guest that steps itself: it is executed by the next run */
	engine_window(vcpu->engine, false);
	while (!vcpu_update_memory(vcpu) && end == ENGINE_KICKED)
		end = run_engine(vcpu, true);
	if (end == ENGINE_IO)
		vcpu->pending_rip = engine_state(vcpu->engine)->rip;
	return end != ENGINE_IO;
}

static int run_guest(struct vcpu *vcpu)
{
	enum engine_end end;
	int rc = 1;

	/* what the program has answered comes before anything else */
	if (vcpu->replaying && (vcpu->run->immediate_exit || has_events(vcpu)) && !vcpu_step(vcpu))
		return 0;
	while (rc > 0) {
		rc = sleep_until_woken(vcpu);
		if (!rc && must_leave(vcpu))
			rc = -EINTR;
		if (rc) {
			if (!vcpu->run->immediate_exit)
				vcpu->run->exit_reason = KVM_EXIT_INTR;
			return rc;
		}
		rc = vcpu_update_memory(vcpu);
		if (rc)
			return rc;
		take_asked(vcpu);
		set_up_events(vcpu);
		end = run_engine(vcpu, false);
		note_injected(vcpu);
		rc = after(vcpu, end);
	}
	return rc;
}

static void tell_state(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(engine_state(vcpu->engine)->rflags & RFLAGS_IF);
	run->ready_for_interrupt_injection =
		kvm_has_pic(vcpu->base.kvm) ||
		(accepts_interrupts(vcpu) && vcpu->exception < 0 && can_take_interrupt(vcpu));
	run->cr8 = vcpu_cr8(vcpu);
	run->apic_base = vcpu_apic_base(vcpu);
	run->flags = 0;
}

/* Without a local APIC it is the program's. */
static long take_cr8(struct vcpu *vcpu)
{
	uint64_t cr8 = vcpu->run->cr8;

	if (vcpu->base.apic)
		return 0;
	if (cr8 > 15)
		return WHY(-EINVAL, "cr8 0x%llx of the run structure cannot be", (unsigned long long)cr8);
	vcpu_set_cr8(vcpu, cr8);
	return 0;
}

static long run(struct vcpu *vcpu)
{
	struct interruption outer = interruption;
	uint64_t mask = 0, unused;
	long rc;

	atomic_store(&vcpu->interrupted, false);
	interruption = (struct interruption){ .fn = on_signal, .arg = vcpu };
	if (vcpu->has_mask)
		interruption_set_mask(vcpu->mask, &mask);
	rc = take_cr8(vcpu);
	vcpu_take_answer(vcpu);
	if (!rc)
		rc = run_guest(vcpu);
	if (vcpu->has_mask)
		interruption_set_mask(mask, &unused);
	interruption = outer;
	tell_state(vcpu);
	return rc;
}

long vcpu_ioctl_run(struct ioctl_call *call, void *arg)
{
	struct vcpu *vcpu = call->file->priv;
	long rc;

	(void)arg;
	if (call->arg)
		return WHY(-EINVAL, "the argument is %llu, must be 0", (unsigned long long)call->arg);
	pthread_mutex_lock(&vcpu->lock);
	rc = run(vcpu);
	pthread_mutex_unlock(&vcpu->lock);
	return rc;
}
