/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of the interrupt controllers: two 8259, an IO-APIC, a local APIC for each vCPU.
 *
 * One lock for all of them. What a change has for consequence outside (vCPUs to be kicked, interrupts that
 * the guest has finished) is noted in effects while it is held, and done by kvm_irqchip_unlock() without it.
 *
 * There are no timers in it: neither the local APICs' nor a PIT.
 */
#ifndef UVFIO_KVM_IRQCHIP_H
#define UVFIO_KVM_IRQCHIP_H

#include "kvm/kvm.h"

#define IRQ_SOURCE_USER     0u /* KVM_IRQ_LINE, irqfds */
#define IRQ_SOURCE_RESAMPLE 1u /* irqfds with a resamplefd */

#define PIC_PINS            16u
#define ACK_IOAPIC          PIC_PINS /* in effects.acked: pins of the PIC, then those of the IO-APIC */

struct kvm_irq_effects {
	uint64_t kick, nmi, init, startup; /* by vCPU index */
	uint8_t startup_vector;
	uint64_t acked;
	uint32_t resample; /* pins of the IO-APIC whose lines are to be looked at again */
};

struct kvm_pic {
	struct kvm_io_device master, slave, elcr;
	struct kvm_pic_state chip[2];
	bool output;
	uint8_t lines[PIC_PINS]; /* sources that drive each */
};

struct kvm_ioapic {
	struct kvm_io_device dev;
	struct kvm_ioapic_state state;
	uint32_t irr_delivered;
	uint8_t lines[KVM_IOAPIC_NUM_PINS];
};

struct kvm_intc {
	struct kvm *kvm;
	bool split; /* local APICs only */
	pthread_mutex_t lock;
	struct kvm_irq_effects effects;
	struct kvm_pic pic;
	struct kvm_ioapic ioapic;
};

/* An interrupt on its way to local APICs. */
struct kvm_lapic_irq {
	uint32_t dest_id;
	uint8_t vector, delivery; /* delivery: 0 fixed, 1 lowest priority, ... as in an ICR */
	uint8_t shorthand;        /* as in an ICR */
	bool logical, level_triggered, level, redirection_hint;
};

/* ---- irqchip.c */

void kvm_irqchip_init(struct kvm *kvm);
void kvm_irqchip_destroy(struct kvm *kvm);
struct kvm_intc *kvm_irqchip_of(struct kvm *kvm); /* NULL: none */
int kvm_irqchip_create_split(struct kvm *kvm, uint64_t reserved_pins);
long kvm_ioctl_create_irqchip(struct ioctl_call *call, void *arg);
long kvm_ioctl_get_irqchip(struct ioctl_call *call, void *arg);
long kvm_ioctl_set_irqchip(struct ioctl_call *call, void *arg);

static inline void kvm_irqchip_lock(struct kvm_intc *chip)
{
	pthread_mutex_lock(&chip->lock);
}

void kvm_irqchip_unlock(struct kvm_intc *chip);

/* ---- pic.c; the lock is held, but for the bus's calls */

extern const struct kvm_io_device_ops kvm_pic_master_ops, kvm_pic_slave_ops, kvm_pic_elcr_ops;
void kvm_pic_reset(struct kvm_intc *chip);
int kvm_pic_set_line(struct kvm_intc *chip, uint32_t source, unsigned int pin, bool level);
void kvm_pic_update(struct kvm_intc *chip);
int kvm_pic_acknowledge(struct kvm_intc *chip); /* the vector */

/* ---- ioapic.c; the same */

extern const struct kvm_io_device_ops kvm_ioapic_ops;
void kvm_ioapic_reset(struct kvm_intc *chip);
int kvm_ioapic_set_line(struct kvm_intc *chip, uint32_t source, unsigned int pin, bool level);
void kvm_ioapic_get_state(const struct kvm_intc *chip, struct kvm_ioapic_state *state);
void kvm_ioapic_set_state(struct kvm_intc *chip, const struct kvm_ioapic_state *state);
/* A local APIC has finished vector. Not with the lock. */
void kvm_ioapic_eoi(struct kvm_intc *chip, uint8_t vector, bool level_triggered);

/* ---- lapic.c */

int kvm_lapic_create(struct kvm_vcpu *vcpu); /* vcpus_lock is held */
void kvm_lapic_free(struct kvm_vcpu *vcpu);
/* 0; -EOPNOTSUPP: not its page. */
int kvm_lapic_access(struct kvm_vcpu *vcpu, bool write, uint64_t addr, unsigned int len, void *data);
/* With the lock: how many have taken it; -1: there are none. src: for shorthands, may be NULL. */
int kvm_lapic_deliver(struct kvm_intc *chip, struct kvm_lapic *src, const struct kvm_lapic_irq *irq);
/* Who takes what the PIC has. The lock is held. */
bool kvm_lapic_accepts_pic(const struct kvm_vcpu *vcpu);
struct kvm_vcpu *kvm_lapic_pic_listener(struct kvm_intc *chip); /* NULL: nobody */
void kvm_lapic_kick_pic(struct kvm_intc *chip);

/* ---- routing.c */

struct kvm_routing;

long kvm_ioctl_set_gsi_routing(struct ioctl_call *call, void *arg);
long kvm_ioctl_irq_line(struct ioctl_call *call, void *arg);
long kvm_ioctl_signal_msi(struct ioctl_call *call, void *arg);
int kvm_routing_set_default(struct kvm *kvm); /* 16 lines of the PIC and 24 of the IO-APIC */
void kvm_routing_clear(struct kvm *kvm);
void kvm_routing_destroy(struct kvm *kvm);
/* The GSI of a pin, or -1. */
int kvm_routing_gsi_of(struct kvm *kvm, unsigned int irqchip, unsigned int pin);

#endif
