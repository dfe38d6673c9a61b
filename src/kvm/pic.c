/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two cascaded 8259, as a PC has them: lines 0 to 7 on the master, 8 to 15 on the slave, which is the
 * master's line 2. Registers and modes are those of the data sheet that the kernel's model has: no single
 * mode, no level mode by ICW1; level by the edge/level registers at ports 0x4d0 and 0x4d1.
 *
 * Chip states are the kernel's structure, which programs read and write.
 */
#include "kvm/irqchip.h"

#include <string.h>

#define CASCADE    2u
#define SPURIOUS   7u
#define NO_REQUEST 8u /* a priority */

void kvm_pic_reset(struct kvm_intc *chip)
{
	memset(chip->pic.chip, 0, sizeof(chip->pic.chip));
	chip->pic.chip[0].elcr_mask = 0xf8;
	chip->pic.chip[1].elcr_mask = 0xde;
}

static unsigned int number_of(const struct kvm_intc *chip, const struct kvm_pic_state *pic)
{
	return pic == &chip->pic.chip[1];
}

/* The guest is done with irq. */
static void clear_isr(struct kvm_intc *chip, struct kvm_pic_state *pic, unsigned int irq)
{
	pic->isr &= (uint8_t) ~(1u << irq);
	chip->effects.acked |= BIT64(irq + 8 * number_of(chip, pic));
}

/* ---- requests */

/* As kvm_set_irq(): -1 masked, 0 it was pending, 1. */
static int set_request(struct kvm_pic_state *pic, unsigned int irq, bool level)
{
	uint8_t bit = (uint8_t)(1u << irq);
	bool by_level = pic->elcr & bit;
	int rc = 1;

	if (level && (by_level || !(pic->last_irr & bit))) {
		rc = !(pic->irr & bit);
		pic->irr |= bit;
	} else if (!level && by_level) {
		pic->irr &= (uint8_t)~bit;
	}
	if (level)
		pic->last_irr |= bit;
	else
		pic->last_irr &= (uint8_t)~bit;
	return pic->imr & bit ? -1 : rc;
}

/* How many places behind the one with the highest priority the first of mask stands. */
static unsigned int priority_of(const struct kvm_pic_state *pic, uint8_t mask)
{
	for (unsigned int i = 0; i < 8; i++)
		if (mask & 1u << ((i + pic->priority_add) & 7))
			return i;
	return NO_REQUEST;
}

/* The request that wants to be served now, or -1. */
static int wanted(const struct kvm_intc *chip, const struct kvm_pic_state *pic)
{
	uint8_t in_service = pic->isr;
	unsigned int priority = priority_of(pic, (uint8_t)(pic->irr & ~pic->imr));

	if (pic->special_fully_nested_mode && !number_of(chip, pic))
		in_service &= (uint8_t) ~(1u << CASCADE);
	return priority < priority_of(pic, in_service) ? (int)((priority + pic->priority_add) & 7) : -1;
}

void kvm_pic_update(struct kvm_intc *chip)
{
	struct kvm_pic *pic = &chip->pic;
	bool output;

	if (wanted(chip, &pic->chip[1]) >= 0) {
		set_request(&pic->chip[0], CASCADE, true);
		set_request(&pic->chip[0], CASCADE, false);
	}
	output = wanted(chip, &pic->chip[0]) >= 0;
	if (output && !pic->output)
		kvm_lapic_kick_pic(chip);
	pic->output = output;
}

int kvm_pic_set_line(struct kvm_intc *chip, uint32_t source, unsigned int pin, bool level)
{
	uint8_t *line = &chip->pic.lines[pin], bit = (uint8_t)(1u << source);
	int rc;

	*line = (uint8_t)(level ? *line | bit : *line & ~bit);
	rc = set_request(&chip->pic.chip[pin / 8], pin % 8, *line != 0);
	kvm_pic_update(chip);
	return rc;
}

static void acknowledge(struct kvm_intc *chip, struct kvm_pic_state *pic, unsigned int irq)
{
	uint8_t bit = (uint8_t)(1u << irq);

	pic->isr |= bit;
	if (!(pic->elcr & bit))
		pic->irr &= (uint8_t)~bit;
	if (!pic->auto_eoi)
		return;
	if (pic->rotate_on_auto_eoi)
		pic->priority_add = (irq + 1) & 7;
	clear_isr(chip, pic, irq);
}

int kvm_pic_acknowledge(struct kvm_intc *chip)
{
	struct kvm_pic_state *master = &chip->pic.chip[0], *slave = &chip->pic.chip[1], *from = master;
	int irq = wanted(chip, master);

	chip->pic.output = false;
	if (irq >= 0)
		acknowledge(chip, master, (unsigned int)irq);
	if (irq == (int)CASCADE) {
		from = slave;
		irq = wanted(chip, slave);
		if (irq >= 0)
			acknowledge(chip, slave, (unsigned int)irq);
	}
	if (irq < 0)
		irq = SPURIOUS;
	kvm_pic_update(chip);
	return (from->irq_base + irq) & 0xff;
}

/* ---- registers */

/* ICW1 */
static void initialize(struct kvm_intc *chip, struct kvm_pic_state *pic, uint8_t value)
{
	uint8_t edges = (uint8_t)(pic->irr & ~pic->elcr);

	pic->init4 = value & 1;
	pic->last_irr = 0;
	pic->irr &= pic->elcr;
	pic->imr = 0;
	pic->priority_add = 0;
	pic->special_mask = 0;
	pic->read_reg_select = 0;
	if (!pic->init4) {
		pic->special_fully_nested_mode = 0;
		pic->auto_eoi = 0;
	}
	pic->init_state = 1;
	if (!kvm_lapic_pic_listener(chip))
		return;
	for (unsigned int irq = 0; irq < 8; irq++)
		if (edges & 1u << irq)
			clear_isr(chip, pic, irq);
}

/* OCW3 */
static void select_mode(struct kvm_pic_state *pic, uint8_t value)
{
	if (value & 4)
		pic->poll = 1;
	if (value & 2)
		pic->read_reg_select = value & 1;
	if (value & 0x40)
		pic->special_mask = value >> 5 & 1;
}

/* False: none was in service. */
static bool end_highest(struct kvm_intc *chip, struct kvm_pic_state *pic, bool rotate)
{
	unsigned int priority = priority_of(pic, pic->isr), irq = (priority + pic->priority_add) & 7;

	if (priority == NO_REQUEST)
		return false;
	if (rotate)
		pic->priority_add = (irq + 1) & 7;
	clear_isr(chip, pic, irq);
	return true;
}

/* OCW2: bits 7 to 5 are rotate, specific, end of interrupt. */
static void end_of_interrupt(struct kvm_intc *chip, struct kvm_pic_state *pic, uint8_t value)
{
	unsigned int irq = value & 7;

	switch (value >> 5) {
	case 0:
	case 4:
		pic->rotate_on_auto_eoi = value >> 7;
		return;
	case 1:
	case 5:
		if (!end_highest(chip, pic, value >> 7))
			return;
		break;
	case 3:
		clear_isr(chip, pic, irq);
		break;
	case 6:
		pic->priority_add = (irq + 1) & 7;
		break;
	case 7:
		pic->priority_add = (irq + 1) & 7;
		clear_isr(chip, pic, irq);
		break;
	default:
		return;
	}
	kvm_pic_update(chip);
}

static void write_command(struct kvm_intc *chip, struct kvm_pic_state *pic, uint8_t value)
{
	if (value & 0x10)
		initialize(chip, pic, value);
	else if (value & 0x08)
		select_mode(pic, value);
	else
		end_of_interrupt(chip, pic, value);
}

/* ICW2 to ICW4 after ICW1, else the mask. */
static void write_data(struct kvm_intc *chip, struct kvm_pic_state *pic, uint8_t value)
{
	switch (pic->init_state) {
	case 0:
		pic->imr = value;
		kvm_pic_update(chip);
		break;
	case 1:
		pic->irq_base = value & 0xf8;
		pic->init_state = 2;
		break;
	case 2:
		pic->init_state = pic->init4 ? 3 : 0;
		break;
	case 3:
		pic->special_fully_nested_mode = value >> 4 & 1;
		pic->auto_eoi = value >> 1 & 1;
		pic->init_state = 0;
		break;
	default: /* state that a program has set */
		break;
	}
}

static uint8_t poll(struct kvm_intc *chip, struct kvm_pic_state *pic)
{
	int irq = wanted(chip, pic);
	bool slave = number_of(chip, pic);

	pic->poll = 0;
	if (irq >= 0) {
		if (slave) {
			chip->pic.chip[0].isr &= (uint8_t) ~(1u << CASCADE);
			chip->pic.chip[0].irr &= (uint8_t) ~(1u << CASCADE);
		}
		pic->irr &= (uint8_t) ~(1u << irq);
		clear_isr(chip, pic, (unsigned int)irq);
	}
	if (irq < 0 || slave || irq != (int)CASCADE)
		kvm_pic_update(chip);
	return irq < 0 ? SPURIOUS : (uint8_t)(irq | 0x80);
}

static uint8_t read_register(struct kvm_intc *chip, struct kvm_pic_state *pic, bool data)
{
	if (pic->poll)
		return poll(chip, pic);
	if (data)
		return pic->imr;
	return pic->read_reg_select ? pic->isr : pic->irr;
}

/* ---- the bus: what is not one byte is taken, and does nothing */

static int port_write(struct kvm_intc *chip, unsigned int nr, uint64_t addr, unsigned int len,
		      const void *data)
{
	struct kvm_pic_state *pic = &chip->pic.chip[nr];
	uint8_t value = *(const uint8_t *)data;

	if (len != 1)
		return 0;
	kvm_irqchip_lock(chip);
	if (addr & 1)
		write_data(chip, pic, value);
	else
		write_command(chip, pic, value);
	kvm_irqchip_unlock(chip);
	return 0;
}

static int port_read(struct kvm_intc *chip, unsigned int nr, uint64_t addr, unsigned int len, void *data)
{
	memset(data, 0, len);
	if (len != 1)
		return 0;
	kvm_irqchip_lock(chip);
	*(uint8_t *)data = read_register(chip, &chip->pic.chip[nr], addr & 1);
	kvm_irqchip_unlock(chip);
	return 0;
}

static int master_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
			const void *data)
{
	(void)vcpu;
	return port_write(container_of(dev, struct kvm_intc, pic.master), 0, addr, len, data);
}

static int master_read(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		       void *data)
{
	(void)vcpu;
	return port_read(container_of(dev, struct kvm_intc, pic.master), 0, addr, len, data);
}

static int slave_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		       const void *data)
{
	(void)vcpu;
	return port_write(container_of(dev, struct kvm_intc, pic.slave), 1, addr, len, data);
}

static int slave_read(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		      void *data)
{
	(void)vcpu;
	return port_read(container_of(dev, struct kvm_intc, pic.slave), 1, addr, len, data);
}

static int elcr_write(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		      const void *data)
{
	struct kvm_intc *chip = container_of(dev, struct kvm_intc, pic.elcr);
	struct kvm_pic_state *pic = &chip->pic.chip[addr & 1];

	(void)vcpu;
	if (len != 1)
		return 0;
	kvm_irqchip_lock(chip);
	pic->elcr = *(const uint8_t *)data & pic->elcr_mask;
	kvm_irqchip_unlock(chip);
	return 0;
}

static int elcr_read(struct kvm_io_device *dev, struct kvm_vcpu *vcpu, uint64_t addr, unsigned int len,
		     void *data)
{
	struct kvm_intc *chip = container_of(dev, struct kvm_intc, pic.elcr);

	(void)vcpu;
	memset(data, 0, len);
	kvm_irqchip_lock(chip);
	if (len == 1)
		*(uint8_t *)data = chip->pic.chip[addr & 1].elcr;
	kvm_irqchip_unlock(chip);
	return 0;
}

const struct kvm_io_device_ops kvm_pic_master_ops = { .read = master_read, .write = master_write };
const struct kvm_io_device_ops kvm_pic_slave_ops = { .read = slave_read, .write = slave_write };
const struct kvm_io_device_ops kvm_pic_elcr_ops = { .read = elcr_read, .write = elcr_write };
