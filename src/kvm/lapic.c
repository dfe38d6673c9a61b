/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APICs, in xAPIC mode: registers on a page of guest memory at 0xfee00000, one APIC for each vCPU. The
 * lock of the controllers protects them. The timer counts nothing.
 */
#include "kvm/lapic.h"
#include "kvm/impl.h"

#include <stdlib.h>
#include <string.h>

/* What is writable of each LVT, timer first. */
static const uint32_t lvt_mask[] = { 0x310ff, 0x117ff, 0x117ff, 0x1f7ff, 0x1f7ff, 0x110ff };

static void send_ipi(struct kvm_intc *chip, struct kvm_lapic *apic, uint32_t icr)
{
	const struct kvm_lapic_irq irq = { .dest_id = lapic_get(apic, APIC_ICR2) >> 24,
					   .vector = icr & 0xff,
					   .delivery = icr >> 8 & 7,
					   .logical = icr >> 11 & 1,
					   .level = icr >> 14 & 1,
					   .level_triggered = icr >> 15 & 1,
					   .shorthand = icr >> 18 & 3 };

	kvm_lapic_deliver(chip, apic, &irq);
}

/* ---- registers */

/* The vector that is ended, or -1. */
static int end_of_interrupt(struct kvm_intc *chip, struct kvm_lapic *apic)
{
	int vector = lapic_highest(apic, APIC_ISR);

	if (vector < 0)
		return -1;
	lapic_set_vector(apic, APIC_ISR, (uint8_t)vector, false);
	lapic_update_ppr(apic);
	chip->effects.kick |= BIT64(apic->vcpu->index);
	return vector;
}

static void set_spiv(struct kvm_lapic *apic, uint32_t value)
{
	lapic_set(apic, APIC_SPIV, value & 0x3ff);
	for (unsigned int reg = APIC_LVT; !(value & SPIV_ENABLED) && reg <= APIC_LVT_LAST; reg += 0x10)
		lapic_set(apic, reg, lapic_get(apic, reg) | LVT_MASKED);
}

static int write_reg(struct kvm_intc *chip, struct kvm_lapic *apic, unsigned int reg, uint32_t value)
{
	if (reg >= APIC_LVT && reg <= APIC_LVT_LAST) {
		if (!(lapic_get(apic, APIC_SPIV) & SPIV_ENABLED))
			value |= LVT_MASKED;
		lapic_set(apic, reg, value & lvt_mask[(reg - APIC_LVT) / 0x10]);
		return -1;
	}
	switch (reg) {
	case APIC_ID:
	case APIC_LDR:
	case APIC_ICR2:
		lapic_set(apic, reg, value & 0xff000000);
		break;
	case APIC_TPR:
		lapic_set(apic, reg, value & 0xff);
		lapic_update_ppr(apic);
		chip->effects.kick |= BIT64(apic->vcpu->index);
		break;
	case APIC_EOI:
		return end_of_interrupt(chip, apic);
	case APIC_DFR:
		lapic_set(apic, reg, value | 0x0fffffff);
		break;
	case APIC_SPIV:
		set_spiv(apic, value);
		break;
	case APIC_ICR:
		lapic_set(apic, reg, value & ~ICR_BUSY);
		send_ipi(chip, apic, value);
		break;
	case APIC_TMICT:
		lapic_set(apic, reg, value);
		break;
	case APIC_TDCR:
		lapic_set(apic, reg, value & 0xb);
		break;
	default:
		break;
	}
	return -1;
}

static bool is_readable(unsigned int reg)
{
	if (reg >= APIC_ISR && reg < APIC_ESR)
		return true;
	if (reg >= APIC_LVT && reg <= APIC_TMCCT)
		return true;
	switch (reg) {
	case APIC_ID:
	case APIC_VERSION:
	case APIC_TPR:
	case APIC_PPR:
	case APIC_LDR:
	case APIC_DFR:
	case APIC_SPIV:
	case APIC_ESR:
	case APIC_ICR:
	case APIC_ICR2:
	case APIC_TDCR:
		return true;
	default:
		return false;
	}
}

static void read_reg(struct kvm_lapic *apic, unsigned int offset, unsigned int len, void *data)
{
	uint32_t value;

	if ((offset & 0xf) + len > 4 || !is_readable(offset & ~0xfu))
		return;
	if ((offset & ~0xfu) == APIC_PPR)
		lapic_update_ppr(apic);
	value = lapic_get(apic, offset & ~0xfu);
	memcpy(data, (const char *)&value + (offset & 0xf), len);
}

/* A page that is not enabled reads as ones. */
static int access_locked(struct kvm_intc *chip, struct kvm_lapic *apic, bool write, uint64_t offset,
			 unsigned int len, void *data)
{
	uint32_t value;

	if (!lapic_is_present(apic) || apic->base & BASE_X2APIC) {
		if (!write)
			memset(data, 0xff, len);
		return -1;
	}
	if (!write) {
		if (offset < KVM_APIC_REG_SIZE)
			read_reg(apic, (unsigned int)offset, len, data);
		return -1;
	}
	if (len != 4 || offset & 0xf || offset >= KVM_APIC_REG_SIZE)
		return -1;
	memcpy(&value, data, sizeof(value));
	return write_reg(chip, apic, (unsigned int)offset, value);
}

int kvm_lapic_access(struct kvm_vcpu *vcpu, bool write, uint64_t addr, unsigned int len, void *data)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);
	struct kvm_lapic *apic = vcpu->apic;
	bool level = false;
	int ended;

	/* only the vCPU itself moves its page */
	if (addr - (apic->base & BASE_ADDRESS) >= UVFIO_PAGE_SIZE)
		return -EOPNOTSUPP;
	kvm_irqchip_lock(chip);
	ended = access_locked(chip, apic, write, addr - (apic->base & BASE_ADDRESS), len, data);
	if (ended >= 0)
		level = *lapic_word(apic, APIC_TMR, (uint8_t)ended) & BIT32((unsigned int)ended % 32);
	kvm_irqchip_unlock(chip);
	if (ended >= 0)
		kvm_ioapic_eoi(chip, (uint8_t)ended, level);
	return 0;
}

/* ---- state, for who executes guest code */

void kvm_lapic_get_state(struct kvm_vcpu *vcpu, struct kvm_lapic_state *state)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);

	kvm_irqchip_lock(chip);
	lapic_update_ppr(vcpu->apic);
	memcpy(state->regs, vcpu->apic->regs, sizeof(state->regs));
	kvm_irqchip_unlock(chip);
}

int kvm_lapic_set_state(struct kvm_vcpu *vcpu, const struct kvm_lapic_state *state)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);

	kvm_irqchip_lock(chip);
	memcpy(vcpu->apic->regs, state->regs, sizeof(state->regs));
	lapic_set(vcpu->apic, APIC_VERSION, VERSION);
	chip->effects.kick |= BIT64(vcpu->index);
	kvm_irqchip_unlock(chip);
	return 0;
}

uint64_t kvm_lapic_get_base(struct kvm_vcpu *vcpu)
{
	return vcpu->apic->base;
}

int kvm_lapic_set_base(struct kvm_vcpu *vcpu, uint64_t base)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);

	if (base & ~(BASE_ADDRESS | BASE_BSP | BASE_ENABLE))
		return -EINVAL;
	kvm_irqchip_lock(chip);
	vcpu->apic->base = base;
	kvm_irqchip_unlock(chip);
	return 0;
}

uint8_t kvm_lapic_get_cr8(struct kvm_vcpu *vcpu)
{
	return lapic_get(vcpu->apic, APIC_TPR) >> 4 & 0xf;
}

void kvm_lapic_set_cr8(struct kvm_vcpu *vcpu, uint8_t cr8)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);

	kvm_irqchip_lock(chip);
	write_reg(chip, vcpu->apic, APIC_TPR, (uint32_t)(cr8 & 0xf) << 4);
	kvm_irqchip_unlock(chip);
}

static void reset(struct kvm_lapic *apic)
{
	memset(apic->regs, 0, sizeof(apic->regs));
	lapic_set(apic, APIC_ID, apic->vcpu->id << 24);
	lapic_set(apic, APIC_VERSION, VERSION);
	for (unsigned int reg = APIC_LVT; reg <= APIC_LVT_LAST; reg += 0x10)
		lapic_set(apic, reg, LVT_MASKED);
	if (!apic->vcpu->id)
		lapic_set(apic, APIC_LVT0, DELIVER_EXTINT << 8);
	lapic_set(apic, APIC_DFR, DFR_FLAT);
	lapic_set(apic, APIC_SPIV, 0xff);
}

void kvm_lapic_reset(struct kvm_vcpu *vcpu)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);

	if (!vcpu->apic)
		return;
	kvm_irqchip_lock(chip);
	reset(vcpu->apic);
	kvm_irqchip_unlock(chip);
}

int kvm_lapic_create(struct kvm_vcpu *vcpu)
{
	vcpu->apic = NULL;
	if (!kvm_irqchip_of(vcpu->kvm))
		return 0;
	vcpu->apic = calloc(1, sizeof(*vcpu->apic));
	if (!vcpu->apic)
		return -ENOMEM;
	vcpu->apic->vcpu = vcpu;
	vcpu->apic->base = APIC_BASE | BASE_ENABLE | (vcpu->id ? 0 : BASE_BSP);
	reset(vcpu->apic);
	return 0;
}

void kvm_lapic_free(struct kvm_vcpu *vcpu)
{
	free(vcpu->apic);
}
