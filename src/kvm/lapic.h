/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of a local APIC, between lapic.c, which the guest writes them with, and lapic_irq.c, which
 * delivers. */
#ifndef UVFIO_KVM_LAPIC_H
#define UVFIO_KVM_LAPIC_H

#include "kvm/irqchip.h"

#define APIC_BASE     0xfee00000u
#define BASE_BSP      BIT64(8)
#define BASE_X2APIC   BIT64(10)
#define BASE_ENABLE   BIT64(11)
#define BASE_ADDRESS  0x000ffffffffff000u

#define APIC_ID       0x20
#define APIC_VERSION  0x30
#define APIC_TPR      0x80
#define APIC_PPR      0xa0
#define APIC_EOI      0xb0
#define APIC_LDR      0xd0
#define APIC_DFR      0xe0
#define APIC_SPIV     0xf0
#define APIC_ISR      0x100
#define APIC_TMR      0x180
#define APIC_IRR      0x200
#define APIC_ESR      0x280
#define APIC_ICR      0x300
#define APIC_ICR2     0x310
#define APIC_LVT      0x320 /* timer, thermal, performance, LINT0, LINT1, error */
#define APIC_LVT0     0x350
#define APIC_LVT_LAST 0x370
#define APIC_TMICT    0x380
#define APIC_TMCCT    0x390
#define APIC_TDCR     0x3e0

#define VERSION       0x50014u
#define SPIV_ENABLED  0x100u
#define LVT_MASKED    0x10000u
#define ICR_BUSY      0x1000u
#define DFR_FLAT      0xffffffffu
#define DFR_CLUSTER   0x0fffffffu
#define BROADCAST     0xffu

enum {
	DELIVER_FIXED,
	DELIVER_LOWEST,
	DELIVER_SMI,
	DELIVER_RESERVED,
	DELIVER_NMI,
	DELIVER_INIT,
	DELIVER_STARTUP,
	DELIVER_EXTINT
};

enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

struct kvm_lapic {
	struct kvm_vcpu *vcpu;
	uint64_t base; /* the MSR */
	uint32_t regs[KVM_APIC_REG_SIZE / 4];
};

static inline uint32_t lapic_get(const struct kvm_lapic *apic, unsigned int reg)
{
	return apic->regs[reg / 4];
}

static inline void lapic_set(struct kvm_lapic *apic, unsigned int reg, uint32_t value)
{
	apic->regs[reg / 4] = value;
}

/* ---- 256 bits, 32 in every fourth register */

static inline uint32_t *lapic_word(struct kvm_lapic *apic, unsigned int reg, uint8_t vector)
{
	return &apic->regs[(reg + vector / 32 * 0x10u) / 4];
}

static inline void lapic_set_vector(struct kvm_lapic *apic, unsigned int reg, uint8_t vector, bool on)
{
	uint32_t *word = lapic_word(apic, reg, vector), bit = BIT32(vector % 32);

	*word = on ? *word | bit : *word & ~bit;
}

static inline int lapic_highest(const struct kvm_lapic *apic, unsigned int reg)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t word = lapic_get(apic, reg + (unsigned int)i * 0x10);

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

static inline bool lapic_is_present(const struct kvm_lapic *apic)
{
	return apic->base & BASE_ENABLE;
}

static inline bool lapic_is_enabled(const struct kvm_lapic *apic)
{
	return lapic_is_present(apic) && lapic_get(apic, APIC_SPIV) & SPIV_ENABLED;
}

/* lapic_irq.c: the processor's priority, from what is in service and from TPR. */
uint32_t lapic_update_ppr(struct kvm_lapic *apic);

#endif
