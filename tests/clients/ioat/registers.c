/* SPDX-License-Identifier: BSD-2-Clause */
/* What the engine is, and its registers at every width. */
#include "client.h"

#include <linux/pci_regs.h>
#include <unistd.h>

static void identity(struct engine *e)
{
	bool v34 = e->version == 0x34;
	uint8_t msix = find_capability(e, PCI_CAP_ID_MSIX);

	EQUAL(config_read(e, PCI_VENDOR_ID, 2), 0x8086);
	EQUAL(config_read(e, PCI_DEVICE_ID, 2), v34 ? 0x0b00 : 0x2021);
	EQUAL(config_read(e, PCI_CLASS_REVISION, 4) >> 8, 0x088000);
	EQUAL(config_read(e, PCI_HEADER_TYPE, 1), 0);
	EQUAL(config_read(e, PCI_BASE_ADDRESS_0, 1) & 0xf, PCI_BASE_ADDRESS_MEM_TYPE_64);
	CHECK(find_capability(e, PCI_CAP_ID_EXP));
	CHECK(find_capability(e, PCI_CAP_ID_PM));
	CHECK(msix);
	CHECK(config_read(e, msix + PCI_MSIX_TABLE, 4) >= 0x1000);
	EQUAL(r8(e, CHANCNT), 1);
	EQUAL(r8(e, XFERCAP), 20);
	CHECK(v34 || e->version == 0x33);
	EQUAL(r32(e, DMACAP), v34 ? CAP_FILL | CAP_XOR | CAP_PQ | CAP_RAID16SS | CAP_DPS : CAP_FILL);
	EQUAL(r16(e, INTRDELAY) & 0x8000, 0);
	EQUAL(r16(e, CS_STATUS), 0);
	EQUAL(r16(e, DCAOFFSET), 0);
}

static void power_on(struct engine *e)
{
	EQUAL(r64(e, CHANSTS), HALTED);
	EQUAL(r32(e, CHANERR), 0);
	EQUAL(r64(e, CHANCMP), 0);
	EQUAL(r64(e, CHAINADDR), 0);
	EQUAL(r16(e, CHANCTRL), 0);
	EQUAL(r8(e, CHANCMD), 0);
	EQUAL(r16(e, DMACOUNT), 0);
	EQUAL(r8(e, INTRCTRL), 0);
	EQUAL(r32(e, ATTNSTATUS), 0);
}

/* What drivers do in configuration space before anything else: read the errors and write them back. */
static void config_errors(struct engine *e)
{
	EQUAL(config_read(e, CFG_DMAUNCERRSTS, 4), 0);
	EQUAL(config_read(e, CFG_CHANERR_INT, 4), 0);
	config_write(e, CFG_CHANERR_INT, 0xffffffff, 4);
	EQUAL(config_read(e, CFG_CHANERR_INT, 4), 0);
	config_write(e, CFG_CHANERRMSK_INT, 0x3e07, 4);
	EQUAL(config_read(e, CFG_CHANERRMSK_INT, 4), 0x3e07);
	config_write(e, CFG_CHANERRMSK_INT, 0, 4);
}

/* ---- widths */

static uint64_t read_at(struct engine *e, unsigned int at, unsigned int size)
{
	switch (size) {
	case 1:
		return r8(e, at);
	case 2:
		return r16(e, at);
	case 4:
		return r32(e, at);
	default:
		return r64(e, at);
	}
}

static void write_at(struct engine *e, unsigned int at, uint64_t value, unsigned int size)
{
	switch (size) {
	case 1:
		w8(e, at, (uint8_t)value);
		break;
	case 2:
		w16(e, at, (uint16_t)value);
		break;
	case 4:
		w32(e, at, (uint32_t)value);
		break;
	default:
		w64(e, at, value);
	}
}

static uint64_t low_bytes(uint64_t value, unsigned int size)
{
	return size == 8 ? value : value & ((1ull << size * 8) - 1);
}

/* Every access of the first page that is aligned, mapped and by pread, sees the same bytes. */
static void read_widths(struct engine *e)
{
	w64(e, CHAINADDR, 0x123456789abcdec0ull);
	w64(e, CHANCMP, 0xfedcba9876543210ull);
	for (unsigned int at = 0; at < 0x200; at += 8) {
		uint64_t word = r64(e, at);

		for (unsigned int size = 1; size <= 8; size *= 2)
			for (unsigned int i = 0; i < 8; i += size) {
				uint64_t value = 0;

				EQUAL(read_at(e, at + i, size), low_bytes(word >> i * 8, size));
				CHECK(pread(e->device, &value, size, at + i) == (ssize_t)size);
				EQUAL(value, low_bytes(word >> i * 8, size));
			}
	}
}

/* A register that keeps what is written: at once, in pieces, and by pwrite; its neighbours keep theirs. */
static void check_writable(struct engine *e, unsigned int at, unsigned int size)
{
	uint64_t value = 0x1122334455667788ull;
	unsigned int word = at & ~7u;
	uint64_t others = r64(e, word) & ~(low_bytes(~0ull, size) << (at - word) * 8);

	for (unsigned int piece = 1; piece <= size; piece *= 2) {
		value = ~value * 3;
		for (unsigned int i = 0; i < size; i += piece)
			write_at(e, at + i, value >> i * 8, piece);
		EQUAL(read_at(e, at, size), low_bytes(value, size));
	}
	CHECK(pwrite(e->device, &value, size, at) == (ssize_t)size);
	EQUAL(read_at(e, at, size), low_bytes(value, size));
	write_at(e, at, 0, size);
	EQUAL(r64(e, word), others);
}

static void write_widths(struct engine *e)
{
	check_writable(e, GENCTRL, 1);
	check_writable(e, CHANCMP, 8);
	check_writable(e, CHAINADDR, 8);
	check_writable(e, CHANERRMSK, 4);
	check_writable(e, DCACTRL, 4);
	check_writable(e, DRSCTL, 2);
	check_writable(e, LTR_SWSEL, 1);
	check_writable(e, LTR_ACTIVE, 4);
	check_writable(e, LTR_IDLE, 4);
	check_writable(e, CHWPREFLMT, 1);
	/* And what the description does not name. */
	check_writable(e, 0x200, 8);
	check_writable(e, 0xff8, 8);
	w16(e, INTRDELAY, 0x1234);
	EQUAL(r16(e, INTRDELAY), 0x1234);
	w16(e, CHANCTRL, CTRL_IN_USE | CTRL_ERR_ABORT);
	EQUAL(r16(e, CHANCTRL) & ~CTRL_REARM, CTRL_IN_USE | CTRL_ERR_ABORT);
	w8(e, INTRCTRL, INTR_MASTER | INTR_MSIX);
	EQUAL(r8(e, INTRCTRL), INTR_MASTER | INTR_MSIX);
}

static void read_only(struct engine *e)
{
	static const struct {
		unsigned int at, size;
	} regs[] = { { CHANCNT, 1 },    { XFERCAP, 1 },  { CBVER, 1 },  { CS_STATUS, 2 },
		     { DMACAP, 4 },     { CHANSTS, 8 },  { CDAR, 8 },   { CHANERR, 4 },
		     { ATTNSTATUS, 4 }, { DMA_COMP, 2 }, { CHANCMD, 1 } };

	for (unsigned int i = 0; i < sizeof(regs) / sizeof(*regs); i++) {
		uint64_t before = read_at(e, regs[i].at, regs[i].size);

		if (regs[i].at != CHANCMD)
			write_at(e, regs[i].at, ~0ull, regs[i].size);
		else
			w8(e, CHANCMD, CMD_START);
		EQUAL(read_at(e, regs[i].at, regs[i].size), before);
	}
}

/* The rest of the BAR, outside the MSI-X table: accesses are harmless. */
static void rest_of_bar(struct engine *e)
{
	for (unsigned int at = 0x1000; at < 0x4000; at += 0x88) {
		if (at >= 0x2000 && at < 0x2010)
			continue;
		w32(e, at, 0xffffffff);
		(void)r32(e, at);
		(void)r64(e, at);
	}
	EQUAL(r64(e, CHANSTS), HALTED);
}

const struct test register_tests[] = {
	{ "registers: identity", identity, ANY },
	{ "registers: after power-on", power_on, ANY },
	{ "registers: errors in configuration space", config_errors, ANY },
	{ "registers: reads of every width", read_widths, ANY },
	{ "registers: writes of every width", write_widths, ANY },
	{ "registers: what cannot be written", read_only, ANY },
	{ "registers: the rest of the BAR", rest_of_bar, ANY },
	{ NULL, NULL, ANY },
};
