/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts on their way to local APICs, and from these to the vCPU. The lock of the controllers is held,
 * but where a vCPU asks.
 */
#include "kvm/impl.h"
#include "kvm/lapic.h"

/* ---- what is deliverable */

uint32_t lapic_update_ppr(struct kvm_lapic *apic)
{
	int isr = lapic_highest(apic, APIC_ISR);
	uint32_t tpr = lapic_get(apic, APIC_TPR) & 0xff, ppr = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

	if ((tpr & 0xf0) >= ppr)
		ppr = tpr;
	lapic_set(apic, APIC_PPR, ppr);
	return ppr;
}

/* The vector, or -1. */
static int deliverable(struct kvm_lapic *apic)
{
	int irr = lapic_is_present(apic) ? lapic_highest(apic, APIC_IRR) : -1;

	return irr >= 0 && ((uint32_t)irr & 0xf0) > (lapic_update_ppr(apic) & 0xf0) ? irr : -1;
}

bool kvm_lapic_accepts_pic(const struct kvm_vcpu *vcpu)
{
	uint32_t lint0 = lapic_get(vcpu->apic, APIC_LVT0);

	return !lapic_is_present(vcpu->apic) || (!(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == DELIVER_EXTINT);
}

static bool has_extint(const struct kvm_intc *chip, const struct kvm_vcpu *vcpu)
{
	return !chip->split && chip->pic.output && kvm_lapic_accepts_pic(vcpu);
}

bool kvm_cpu_has_interrupt(struct kvm_vcpu *vcpu)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);
	bool has;

	if (!vcpu->apic)
		return false;
	kvm_irqchip_lock(chip);
	has = has_extint(chip, vcpu) || deliverable(vcpu->apic) >= 0;
	kvm_irqchip_unlock(chip);
	return has;
}

int kvm_cpu_get_interrupt(struct kvm_vcpu *vcpu)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);
	int vector;

	if (!vcpu->apic)
		return -1;
	kvm_irqchip_lock(chip);
	if (has_extint(chip, vcpu)) {
		vector = kvm_pic_acknowledge(chip);
	} else {
		vector = deliverable(vcpu->apic);
		if (vector >= 0) {
			lapic_set_vector(vcpu->apic, APIC_IRR, (uint8_t)vector, false);
			lapic_set_vector(vcpu->apic, APIC_ISR, (uint8_t)vector, true);
		}
	}
	kvm_irqchip_unlock(chip);
	return vector;
}

/* The first vCPU that listens to the PIC. The lock is held. */
struct kvm_vcpu *kvm_lapic_pic_listener(struct kvm_intc *chip)
{
	for (unsigned int i = 0; i < KVM_MAX_VCPU_COUNT; i++) {
		struct kvm_vcpu *vcpu = atomic_load(&chip->kvm->vcpus[i]);

		if (vcpu && vcpu->apic && kvm_lapic_accepts_pic(vcpu))
			return vcpu;
	}
	return NULL;
}

void kvm_lapic_kick_pic(struct kvm_intc *chip)
{
	struct kvm_vcpu *vcpu = kvm_lapic_pic_listener(chip);

	if (vcpu)
		chip->effects.kick |= BIT64(vcpu->index);
}

/* ---- delivery */

static bool accept(struct kvm_intc *chip, struct kvm_lapic *apic, const struct kvm_lapic_irq *irq)
{
	uint64_t bit = BIT64(apic->vcpu->index);

	switch (irq->delivery) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		if ((irq->level_triggered && !irq->level) || !lapic_is_enabled(apic))
			return false;
		lapic_set_vector(apic, APIC_TMR, irq->vector, irq->level_triggered);
		lapic_set_vector(apic, APIC_IRR, irq->vector, true);
		break;
	case DELIVER_RESERVED: /* once a remote read: taken, and nothing follows */
		break;
	case DELIVER_NMI:
		chip->effects.nmi |= bit;
		break;
	case DELIVER_INIT:
		if (irq->level_triggered && !irq->level)
			return false;
		chip->effects.init |= bit;
		break;
	case DELIVER_STARTUP:
		chip->effects.startup |= bit;
		chip->effects.startup_vector = irq->vector;
		break;
	default:
		return false;
	}
	chip->effects.kick |= bit;
	return true;
}

static bool is_logical_target(const struct kvm_lapic *apic, uint32_t dest)
{
	uint32_t id = lapic_get(apic, APIC_LDR) >> 24;

	if (dest == BROADCAST)
		return true;
	if (lapic_get(apic, APIC_DFR) == DFR_FLAT)
		return id & dest;
	return lapic_get(apic, APIC_DFR) == DFR_CLUSTER && id >> 4 == dest >> 4 && id & dest & 0xf;
}

static bool is_target(const struct kvm_lapic *apic, const struct kvm_lapic *src,
		      const struct kvm_lapic_irq *irq)
{
	switch (irq->shorthand) {
	case SHORTHAND_SELF:
		return apic == src;
	case SHORTHAND_ALL:
		return true;
	case SHORTHAND_OTHERS:
		return apic != src;
	default:
		if (irq->logical)
			return is_logical_target(apic, irq->dest_id);
		return irq->dest_id == BROADCAST || lapic_get(apic, APIC_ID) >> 24 == irq->dest_id;
	}
}

/*
 * Can every logical destination be looked up? As the kernel has it: all that are enabled use the same model,
 * and each has a bit of its own. What a message says that nobody takes depends on it.
 */
static bool has_logical_map(struct kvm_intc *chip)
{
	uint32_t model = 0, seen[16] = { 0 };

	for (unsigned int i = 0; i < KVM_MAX_VCPU_COUNT; i++) {
		struct kvm_vcpu *vcpu = atomic_load(&chip->kvm->vcpus[i]);
		uint32_t id, cluster, own;

		if (!vcpu || !vcpu->apic || !lapic_is_enabled(vcpu->apic) || !lapic_get(vcpu->apic, APIC_LDR))
			continue;
		own = lapic_get(vcpu->apic, APIC_DFR);
		if (model && model != own)
			return false;
		model = own;
		id = lapic_get(vcpu->apic, APIC_LDR) >> 24;
		cluster = own == DFR_FLAT ? 0 : id >> 4;
		id = own == DFR_FLAT ? id : id & 0xf;
		if (id & (id - 1) || seen[cluster] & id)
			return false;
		seen[cluster] |= id;
	}
	return true;
}

static bool is_looked_up(struct kvm_intc *chip, const struct kvm_lapic_irq *irq)
{
	return !irq->shorthand && irq->dest_id != BROADCAST && (!irq->logical || has_logical_map(chip));
}

struct targets {
	unsigned int nr;
	bool any; /* local APIC at all */
	struct kvm_lapic *apic[KVM_MAX_VCPU_COUNT];
};

static void find_targets(struct kvm_intc *chip, const struct kvm_lapic *src, const struct kvm_lapic_irq *irq,
			 bool enabled_only, struct targets *targets)
{
	for (unsigned int i = 0; i < KVM_MAX_VCPU_COUNT; i++) {
		struct kvm_vcpu *vcpu = atomic_load(&chip->kvm->vcpus[i]);

		if (!vcpu || !vcpu->apic || !lapic_is_present(vcpu->apic))
			continue;
		targets->any = true;
		if (is_target(vcpu->apic, src, irq) && (!enabled_only || lapic_is_enabled(vcpu->apic)))
			targets->apic[targets->nr++] = vcpu->apic;
	}
}

int kvm_lapic_deliver(struct kvm_intc *chip, struct kvm_lapic *src, const struct kvm_lapic_irq *irq)
{
	bool looked_up = is_looked_up(chip, irq);
	struct kvm_lapic_irq fixed = *irq;
	struct targets targets = { 0 };
	bool one_of_them;
	int taken = 0;

	/* no lowest priority of all there are */
	if (!irq->shorthand && !irq->logical && irq->dest_id == BROADCAST &&
	    (irq->delivery == DELIVER_LOWEST || irq->redirection_hint))
		fixed.delivery = DELIVER_FIXED;
	irq = &fixed;
	one_of_them = irq->redirection_hint || irq->delivery == DELIVER_LOWEST;
	find_targets(chip, src, irq, looked_up ? irq->logical : one_of_them, &targets);
	if (!targets.any || (!targets.nr && !looked_up))
		return -1;
	if (one_of_them && targets.nr)
		return accept(chip, targets.apic[irq->vector % targets.nr], irq);
	for (unsigned int i = 0; i < targets.nr; i++)
		taken += accept(chip, targets.apic[i], irq);
	return taken;
}
