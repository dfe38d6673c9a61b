/* SPDX-License-Identifier: BSD-2-Clause */
/* The IO-APIC: 24 pins, each with an entry that says which local APIC gets which vector. */
#include "kvm/irqchip.h"
#include "kvm/irqfd.h"

#include <string.h>

#define IOAPIC_BASE   0xfec00000u
#define REG_SELECT    0x00
#define REG_WINDOW    0x10
#define REG_ID        0x00u
#define REG_VERSION   0x01u
#define REG_ARBITRATE 0x02u
#define REG_TABLE     0x10u
#define VERSION       0x11u

void kvm_ioapic_reset(struct kvm_intc *chip)
{
	struct kvm_ioapic_state *state = &chip->ioapic.state;

	memset(state, 0, sizeof(*state));
	state->base_address = IOAPIC_BASE;
	for (unsigned int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		state->redirtbl[i].fields.mask = 1;
}

/* Deliver what a pin has: as kvm_set_irq(). */
static int service(struct kvm_intc *chip, unsigned int pin)
{
	__typeof__(&chip->ioapic.state.redirtbl[0]) entry = &chip->ioapic.state.redirtbl[pin];
	const struct kvm_lapic_irq irq = { .dest_id = entry->fields.dest_id,
					   .vector = entry->fields.vector,
					   .delivery = entry->fields.delivery_mode,
					   .logical = entry->fields.dest_mode,
					   .level_triggered = entry->fields.trig_mode,
					   .level = true };
	int rc;

	if (entry->fields.mask || (irq.level_triggered && entry->fields.remote_irr))
		return -1;
	if (!irq.level_triggered)
		chip->ioapic.irr_delivered |= BIT32(pin);
	rc = kvm_lapic_deliver(chip, NULL, &irq);
	if (rc && irq.level_triggered)
		entry->fields.remote_irr = 1;
	return rc;
}

static int set_pin(struct kvm_intc *chip, unsigned int pin, bool level)
{
	struct kvm_ioapic *ioapic = &chip->ioapic;
	bool edge = !ioapic->state.redirtbl[pin].fields.trig_mode, was = ioapic->state.irr & BIT32(pin);

	if (!level) {
		ioapic->state.irr &= ~BIT32(pin);
		return 1;
	}
	ioapic->state.irr |= BIT32(pin);
	if (edge) {
		ioapic->irr_delivered &= ~BIT32(pin);
		if (was)
			return 0;
	}
	return service(chip, pin);
}

int kvm_ioapic_set_line(struct kvm_intc *chip, uint32_t source, unsigned int pin, bool level)
{
	uint8_t *line = &chip->ioapic.lines[pin], bit = (uint8_t)(1u << source);

	*line = (uint8_t)(level ? *line | bit : *line & ~bit);
	return set_pin(chip, pin, *line != 0);
}

/* ---- end of interrupt */

static uint32_t pins_of(struct kvm_intc *chip, uint8_t vector)
{
	uint32_t pins = 0;

	for (unsigned int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		if (chip->ioapic.state.redirtbl[i].fields.vector == vector)
			pins |= BIT32(i);
	return pins;
}

/* Who waits for the end of it hears so first: lines that it lowers are not served once more. */
void kvm_ioapic_eoi(struct kvm_intc *chip, uint8_t vector, bool level_triggered)
{
	uint32_t pins;

	if (chip->split)
		return;
	kvm_irqchip_lock(chip);
	pins = pins_of(chip, vector);
	chip->effects.acked |= (uint64_t)pins << ACK_IOAPIC;
	kvm_irqchip_unlock(chip);
	if (!pins || !level_triggered)
		return;
	kvm_irqchip_lock(chip);
	for (; pins; pins &= pins - 1) {
		unsigned int pin = (unsigned int)__builtin_ctz(pins);

		chip->ioapic.state.redirtbl[pin].fields.remote_irr = 0;
		if (!chip->ioapic.state.redirtbl[pin].fields.mask && chip->ioapic.state.irr & BIT32(pin))
			service(chip, pin);
	}
	kvm_irqchip_unlock(chip);
}

/* ---- state */

void kvm_ioapic_get_state(const struct kvm_intc *chip, struct kvm_ioapic_state *state)
{
	*state = chip->ioapic.state;
	state->irr &= ~chip->ioapic.irr_delivered;
}

void kvm_ioapic_set_state(struct kvm_intc *chip, const struct kvm_ioapic_state *state)
{
	uint32_t irr = state->irr;

	chip->ioapic.state = *state;
	chip->ioapic.state.irr = 0;
	chip->ioapic.irr_delivered = 0;
	for (unsigned int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		if (irr & BIT32(i))
			set_pin(chip, i, true);
}

/* ---- registers */

static uint32_t read_window(const struct kvm_intc *chip)
{
	const struct kvm_ioapic_state *state = &chip->ioapic.state;
	unsigned int pin = (state->ioregsel - REG_TABLE) / 2;
	uint64_t bits = UINT64_MAX;

	switch (state->ioregsel) {
	case REG_VERSION:
		return (KVM_IOAPIC_NUM_PINS - 1) << 16 | VERSION;
	case REG_ID:
	case REG_ARBITRATE:
		return (state->id & 0xf) << 24;
	default:
		if (pin < KVM_IOAPIC_NUM_PINS)
			bits = state->redirtbl[pin].bits;
		return (uint32_t)(state->ioregsel & 1 ? bits >> 32 : bits);
	}
}

static void write_entry(struct kvm_intc *chip, unsigned int pin, bool high, uint32_t value)
{
	__typeof__(&chip->ioapic.state.redirtbl[0]) entry = &chip->ioapic.state.redirtbl[pin];
	__typeof__(*entry) old = *entry;

	if (high)
		entry->bits = (entry->bits & UINT32_MAX) | (uint64_t)value << 32;
	else
		entry->bits = (entry->bits & ~(uint64_t)UINT32_MAX) | value;
	entry->fields.delivery_status = old.fields.delivery_status;
	/* some guests end a level interrupt by making it an edge one for a moment */
	entry->fields.remote_irr = entry->fields.trig_mode ? old.fields.remote_irr : 0;
	if (!entry->fields.trig_mode || !(chip->ioapic.state.irr & BIT32(pin)) || entry->fields.mask ||
	    entry->fields.remote_irr)
		return;
	/* The line may have fallen while the pin was masked: who can look again does. */
	if (kvm_irqfds_resamples(chip->kvm, KVM_IRQCHIP_IOAPIC, pin)) {
		chip->ioapic.state.irr &= ~BIT32(pin);
		chip->effects.resample |= BIT32(pin);
	} else {
		service(chip, pin);
	}
}

static void write_window(struct kvm_intc *chip, uint32_t value)
{
	struct kvm_ioapic_state *state = &chip->ioapic.state;
	unsigned int pin = (state->ioregsel - REG_TABLE) / 2;

	if (state->ioregsel == REG_ID)
		state->id = value >> 24 & 0xf;
	else if (state->ioregsel >= REG_TABLE && pin < KVM_IOAPIC_NUM_PINS)
		write_entry(chip, pin, state->ioregsel & 1, value);
}

static int ioapic_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
			const void *data)
{
	struct kvm_intc *chip = container_of(dev, struct kvm_intc, ioapic.dev);
	uint32_t value = 0;

	(void)vcpu;
	if (len != 1 && len != 2 && len != 4 && len != 8)
		return 0;
	memcpy(&value, data, MIN(len, (unsigned int)sizeof(value)));
	kvm_irqchip_lock(chip);
	if ((addr & 0xff) == REG_SELECT)
		chip->ioapic.state.ioregsel = value & 0xff;
	else if ((addr & 0xff) == REG_WINDOW)
		write_window(chip, value);
	kvm_irqchip_unlock(chip);
	return 0;
}

static int ioapic_read(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		       void *data)
{
	struct kvm_intc *chip = container_of(dev, struct kvm_intc, ioapic.dev);
	uint32_t value = 0;

	(void)vcpu;
	kvm_irqchip_lock(chip);
	if ((addr & 0xff) == REG_SELECT)
		value = chip->ioapic.state.ioregsel;
	else if ((addr & 0xff) == REG_WINDOW)
		value = read_window(chip);
	kvm_irqchip_unlock(chip);
	memset(data, 0, len);
	memcpy(data, &value, MIN(len, (unsigned int)sizeof(value)));
	return 0;
}

const struct kvm_io_device_ops kvm_ioapic_ops = { .read = ioapic_read, .write = ioapic_write };
