/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines, messages, and the guest's accesses to registers, with what makes something of them more often than
 * not. Left out: timers; interrupts that would stop the guest (INIT, SMI, and NMI, for which it has no
 * handler); and line 8, of which the kernel's IO-APIC keeps a record of its own, for clocks.
 */
#include "chips.h"

#include <stdio.h>

typedef uint32_t (*below_fn)(void *arg, uint32_t n);

static void draw_line(below_fn below, void *arg, char *line)
{
	uint32_t gsi = below(arg, 26);

	sprintf(line, "line %u %u", gsi == 8 ? 9 : gsi, below(arg, 2));
}

static void draw_msi(below_fn below, void *arg, char *line)
{
	static const uint32_t modes[] = { 0, 0, 0, 0x100, 0x8000, 0x700 };
	uint32_t address = 0xfee00000 | below(arg, 3) << 12 | below(arg, 4) << 2;

	if (!below(arg, 5))
		address |= 0xff000;
	sprintf(line, "msi 0x%x 0 0x%x 0", address, modes[below(arg, 6)] | below(arg, 256));
}

static void draw_pic(below_fn below, void *arg, char *line)
{
	static const uint32_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
	static const uint32_t commands[] = { 0x11, 0x10, 0x13, 0x20, 0x20, 0x60, 0x63, 0x67, 0xa0,
					     0xc2, 0xe1, 0x80, 0x00, 0x0a, 0x0b, 0x0c, 0x48, 0x68 };
	uint32_t port = ports[below(arg, 6)], value;

	if (!below(arg, 3)) {
		sprintf(line, "r pio 0x%x %u", port, below(arg, 8) ? 1u : 2u);
		return;
	}
	value = port & 1 || port > 0x100 ? below(arg, 256) : commands[below(arg, 18)];
	sprintf(line, "w pio 0x%x %u 0x%x", port, below(arg, 16) ? 1u : 2u, value);
}

/* A select, or what it has selected. Delivery modes: fixed, and the lowest priority. */
static void draw_ioapic(below_fn below, void *arg, char *line)
{
	uint32_t value = below(arg, 256) | below(arg, 2) << 8 | below(arg, 2) << 11 | below(arg, 2) << 15;

	if (below(arg, 2)) {
		sprintf(line, "w mmio 0xfec00000 4 %u",
			below(arg, 10) ? 0x10 + below(arg, 50) : below(arg, 4));
		return;
	}
	if (!below(arg, 4))
		value |= 0x10000;
	if (!below(arg, 8))
		value = below(arg, 3) << 24;
	if (below(arg, 3))
		sprintf(line, "w mmio 0xfec00010 4 0x%x", value);
	else
		sprintf(line, "r mmio 0xfec00010 %u", 1u << below(arg, 3));
}

static void draw_lapic(below_fn below, void *arg, char *line)
{
	static const uint32_t written[] = { 0x20,  0x80,  0x80,  0xb0,  0xb0,  0xb0,  0xd0, 0xe0, 0xf0,
					    0x300, 0x310, 0x350, 0x360, 0x370, 0x280, 0x90, 0x3f0 };
	uint32_t reg = written[below(arg, 17)], value = below(arg, 256);

	if (below(arg, 2)) { /* others have time in them, or cannot be read */
		static const uint32_t read[] = {
			0x20, 0x30, 0x80, 0xa0, 0xd0, 0xe0, 0xf0, 0x300, 0x310, 0x350
		};

		reg = below(arg, 10) ? 0x100 + below(arg, 24) * 0x10 : read[below(arg, 10)];
		sprintf(line, "r mmio 0xfee00%03x 4", reg);
		return;
	}
	if (reg == 0xf0)
		value |= below(arg, 8) ? 0x100 : 0;
	else if (reg == 0xe0)
		value = below(arg, 2) ? 0xffffffff : 0x0fffffff;
	else if (reg == 0x20 || reg == 0xd0 || reg == 0x310)
		value = below(arg, 4) << 24;
	else if (reg == 0x300)
		value |= 0x4000 | below(arg, 4) << 18 | below(arg, 2) << 11;
	else if (reg == 0x350)
		value |= below(arg, 2) ? 0x700 : 0x10700;
	sprintf(line, "w mmio 0xfee00%03x 4 0x%x", reg, value);
}

void draw_chip_op(below_fn below, void *arg, char *line)
{
	uint32_t kind = below(arg, 100);

	if (kind < 22)
		draw_line(below, arg, line);
	else if (kind < 32)
		draw_msi(below, arg, line);
	else if (kind < 52)
		draw_pic(below, arg, line);
	else if (kind < 70)
		draw_ioapic(below, arg, line);
	else if (kind < 90)
		draw_lapic(below, arg, line);
	else
		sprintf(line, "chip %u", below(arg, 3));
}
