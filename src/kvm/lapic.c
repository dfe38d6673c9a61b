/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Local APICs, in xAPIC mode: registers on a page of guest memory at 0xfee00000, one APIC for each vCPU. The
 * lock of the controllers protects them. The timer counts nothing.
 */
#include "kvm/impl.h"
#include "kvm/irqchip.h"

#include <stdlib.h>
#include <string.h>

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

/* What is writable of each LVT, timer first. */
static const uint32_t lvt_mask[] = { 0x310ff, 0x117ff, 0x117ff, 0x1f7ff, 0x1f7ff, 0x110ff };

static inline uint32_t get(const struct kvm_lapic *apic, unsigned int reg)
{
	return apic->regs[reg / 4];
}

static inline void set(struct kvm_lapic *apic, unsigned int reg, uint32_t value)
{
	apic->regs[reg / 4] = value;
}

/* ---- 256 bits, 32 in every fourth register */

static inline uint32_t *word_of(struct kvm_lapic *apic, unsigned int reg, uint8_t vector)
{
	return &apic->regs[(reg + vector / 32 * 0x10u) / 4];
}

static void set_vector(struct kvm_lapic *apic, unsigned int reg, uint8_t vector, bool on)
{
	uint32_t *word = word_of(apic, reg, vector), bit = BIT32(vector % 32);

	*word = on ? *word | bit : *word & ~bit;
}

static int highest(const struct kvm_lapic *apic, unsigned int reg)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t word = get(apic, reg + (unsigned int)i * 0x10);

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

/* ---- what is deliverable */

static inline bool is_present(const struct kvm_lapic *apic)
{
	return apic->base & BASE_ENABLE;
}

static inline bool is_enabled(const struct kvm_lapic *apic)
{
	return is_present(apic) && get(apic, APIC_SPIV) & SPIV_ENABLED;
}

static uint32_t update_ppr(struct kvm_lapic *apic)
{
	int isr = highest(apic, APIC_ISR);
	uint32_t tpr = get(apic, APIC_TPR) & 0xff, ppr = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

	if ((tpr & 0xf0) >= ppr)
		ppr = tpr;
	set(apic, APIC_PPR, ppr);
	return ppr;
}

/* The vector, or -1. */
static int deliverable(struct kvm_lapic *apic)
{
	int irr = is_present(apic) ? highest(apic, APIC_IRR) : -1;

	return irr >= 0 && ((uint32_t)irr & 0xf0) > (update_ppr(apic) & 0xf0) ? irr : -1;
}

bool kvm_lapic_accepts_pic(const struct kvm_vcpu *vcpu)
{
	uint32_t lint0 = get(vcpu->apic, APIC_LVT0);

	return !is_present(vcpu->apic) || (!(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == DELIVER_EXTINT);
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
			set_vector(vcpu->apic, APIC_IRR, (uint8_t)vector, false);
			set_vector(vcpu->apic, APIC_ISR, (uint8_t)vector, true);
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
		if ((irq->level_triggered && !irq->level) || !is_enabled(apic))
			return false;
		set_vector(apic, APIC_TMR, irq->vector, irq->level_triggered);
		set_vector(apic, APIC_IRR, irq->vector, true);
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
	uint32_t id = get(apic, APIC_LDR) >> 24;

	if (dest == BROADCAST)
		return true;
	if (get(apic, APIC_DFR) == DFR_FLAT)
		return id & dest;
	return get(apic, APIC_DFR) == DFR_CLUSTER && id >> 4 == dest >> 4 && id & dest & 0xf;
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
		return irq->dest_id == BROADCAST || get(apic, APIC_ID) >> 24 == irq->dest_id;
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

		if (!vcpu || !vcpu->apic || !is_enabled(vcpu->apic) || !get(vcpu->apic, APIC_LDR))
			continue;
		own = get(vcpu->apic, APIC_DFR);
		if (model && model != own)
			return false;
		model = own;
		id = get(vcpu->apic, APIC_LDR) >> 24;
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

		if (!vcpu || !vcpu->apic || !is_present(vcpu->apic))
			continue;
		targets->any = true;
		if (is_target(vcpu->apic, src, irq) && (!enabled_only || is_enabled(vcpu->apic)))
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

static void send_ipi(struct kvm_intc *chip, struct kvm_lapic *apic, uint32_t icr)
{
	const struct kvm_lapic_irq irq = { .dest_id = get(apic, APIC_ICR2) >> 24,
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
	int vector = highest(apic, APIC_ISR);

	if (vector < 0)
		return -1;
	set_vector(apic, APIC_ISR, (uint8_t)vector, false);
	update_ppr(apic);
	chip->effects.kick |= BIT64(apic->vcpu->index);
	return vector;
}

static void set_spiv(struct kvm_lapic *apic, uint32_t value)
{
	set(apic, APIC_SPIV, value & 0x3ff);
	for (unsigned int reg = APIC_LVT; !(value & SPIV_ENABLED) && reg <= APIC_LVT_LAST; reg += 0x10)
		set(apic, reg, get(apic, reg) | LVT_MASKED);
}

static int write_reg(struct kvm_intc *chip, struct kvm_lapic *apic, unsigned int reg, uint32_t value)
{
	if (reg >= APIC_LVT && reg <= APIC_LVT_LAST) {
		if (!(get(apic, APIC_SPIV) & SPIV_ENABLED))
			value |= LVT_MASKED;
		set(apic, reg, value & lvt_mask[(reg - APIC_LVT) / 0x10]);
		return -1;
	}
	switch (reg) {
	case APIC_ID:
	case APIC_LDR:
	case APIC_ICR2:
		set(apic, reg, value & 0xff000000);
		break;
	case APIC_TPR:
		set(apic, reg, value & 0xff);
		update_ppr(apic);
		chip->effects.kick |= BIT64(apic->vcpu->index);
		break;
	case APIC_EOI:
		return end_of_interrupt(chip, apic);
	case APIC_DFR:
		set(apic, reg, value | 0x0fffffff);
		break;
	case APIC_SPIV:
		set_spiv(apic, value);
		break;
	case APIC_ICR:
		set(apic, reg, value & ~ICR_BUSY);
		send_ipi(chip, apic, value);
		break;
	case APIC_TMICT:
		set(apic, reg, value);
		break;
	case APIC_TDCR:
		set(apic, reg, value & 0xb);
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
		update_ppr(apic);
	value = get(apic, offset & ~0xfu);
	memcpy(data, (const char *)&value + (offset & 0xf), len);
}

/* A page that is not enabled reads as ones. */
static int access_locked(struct kvm_intc *chip, struct kvm_lapic *apic, bool write, uint64_t offset,
			 unsigned int len, void *data)
{
	uint32_t value;

	if (!is_present(apic) || apic->base & BASE_X2APIC) {
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
		level = *word_of(apic, APIC_TMR, (uint8_t)ended) & BIT32((unsigned int)ended % 32);
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
	update_ppr(vcpu->apic);
	memcpy(state->regs, vcpu->apic->regs, sizeof(state->regs));
	kvm_irqchip_unlock(chip);
}

int kvm_lapic_set_state(struct kvm_vcpu *vcpu, const struct kvm_lapic_state *state)
{
	struct kvm_intc *chip = kvm_irqchip_of(vcpu->kvm);

	kvm_irqchip_lock(chip);
	memcpy(vcpu->apic->regs, state->regs, sizeof(state->regs));
	set(vcpu->apic, APIC_VERSION, VERSION);
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
	return get(vcpu->apic, APIC_TPR) >> 4 & 0xf;
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
	set(apic, APIC_ID, apic->vcpu->id << 24);
	set(apic, APIC_VERSION, VERSION);
	for (unsigned int reg = APIC_LVT; reg <= APIC_LVT_LAST; reg += 0x10)
		set(apic, reg, LVT_MASKED);
	if (!apic->vcpu->id)
		set(apic, APIC_LVT0, DELIVER_EXTINT << 8);
	set(apic, APIC_DFR, DFR_FLAT);
	set(apic, APIC_SPIV, 0xff);
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
