/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptions that no function can have: each is refused with a line that says what is wrong. */
#include "pci/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct uvfio_register registers[4];
static struct uvfio_field fields[3];
static struct uvfio_pci_config_register config[3];
static struct uvfio_pci_vendor_cap caps[3];

/* A good one: registers, an array, fields, and room behind them. */
static struct uvfio_pci_desc good(void)
{
	struct uvfio_pci_desc desc = {
		.vendor = 0x1234,
		.bar[0] = { .size = 0x1000, .registers = registers },
		.bar[2] = { .size = 0x2000, .plain = { { 0, 0x1000 }, { 0x1000, 8 } } },
		.msix_vectors = 4,
		.msix_table = 0x800,
		.msix_pba = 0x840,
		.pcie = true,
		.aer = true,
		.config = config,
		.vendor_caps = caps,
	};

	memset(registers, 0, sizeof(registers));
	memset(fields, 0, sizeof(fields));
	memset(config, 0, sizeof(config));
	memset(caps, 0, sizeof(caps));
	registers[0] = (struct uvfio_register){ 0x10, 8, "LOAD_%%", 0, 0, fields };
	registers[1] = (struct uvfio_register){ 0x100, 4, "SQ%uTDBL", 16, 8, NULL };
	registers[2] = (struct uvfio_register){ 0x104, 4, "CQ%2uHDBL", 16, 8, NULL };
	fields[0] = (struct uvfio_field){ 4, 63, "HIGH", NULL };
	fields[1] = (struct uvfio_field){ 0, 3, "LOW", NULL };
	config[0] = (struct uvfio_pci_config_register){ 0x148, 4, "ONE", 7, 1, 2 };
	config[1] = (struct uvfio_pci_config_register){ 0x14c, 2, "TWO", 7, 0, 0 };
	caps[0] = (struct uvfio_pci_vendor_cap){ 4, (const uint8_t *)"x", NULL };
	return desc;
}

static void expect(const struct uvfio_pci_desc *desc, bool complete, const char *message)
{
	char err[512] = "";

	assert_int_equal(pci_check_desc(desc, complete, err, sizeof(err)), message ? -EINVAL : 0);
	assert_string_equal(err, message ? message : "");
}

/* The change to a good one, and what is said of it. */
#define BAD(change, message)                                                                                 \
	do {                                                                                                 \
		struct uvfio_pci_desc desc = good();                                                         \
		change;                                                                                      \
		expect(&desc, true, message);                                                                \
	} while (0)
#define GOOD(change) BAD(change, NULL)

static void test_ids(void **state)
{
	(void)state;
	GOOD((void)0);
	BAD(desc.vendor = 0xffff, "vendor is 0xffff, which nobody has: give the id of the device's maker, "
				  "for example .vendor = 0x1234");
	BAD(desc.class_code = 0x1000000, "class_code 0x1000000 has more than 24 bits: give class, subclass "
					 "and interface, for example 0x010802");
	BAD(desc.pcie = false,
	    "aer without pcie: advanced error reporting belongs to PCI Express: set pcie, too");
	BAD(desc.no_soft_reset = true, "no_soft_reset without pm: it is about power management: set pm, too");
	BAD(desc.intx = 5, "intx is 5: use 0 for none, or 1 to 4 for INTA to INTD");
	BAD(desc.msi_vectors = 3, "msi_vectors is 3: use 0, 1, 2, 4, 8, 16 or 32");
	BAD(desc.msi_vectors = 64, "msi_vectors is 64: use 0, 1, 2, 4, 8, 16 or 32");
	BAD(desc.msix_vectors = 2049, "msix_vectors is 2049: use 0 to 2048");
}

static void test_bars(void **state)
{
	(void)state;
	BAD(desc.bar[1].size = 100, "BAR 1 has 100 bytes: use a power of two from 16 on");
	BAD(desc.bar[1].size = 8, "BAR 1 has 8 bytes: use a power of two from 16 on");
	BAD(desc.bar[5].size = 16;
	    desc.bar[5].mem64 = true,
	    "BAR 5 is the last and has mem64, which takes the next one's place, too: use BAR 0 to 4");
	BAD(desc.bar[1] = desc.bar[2];
	    desc.bar[1].mem64 = true,
	    "BAR 1 has mem64 and takes the place of BAR 2, too, which has a size: leave that empty");
	BAD(desc.bar[4].mem64 = true, "BAR 4 is described and has no size: give its bytes");
	BAD(desc.bar[1].size = 1 << 24;
	    desc.bar[3].size = 16, "32-bit BARs have 16 MiB of addresses together, which is not enough for "
				   "these: set mem64 in the large ones");
	BAD(desc.bar[4].size = (uint64_t)1 << 37;
	    desc.bar[4].mem64 = true, "64-bit BARs have 64 GiB of addresses together, which is not enough "
				      "for these: make them smaller");
	GOOD(desc.bar[4].size = (uint64_t)1 << 36; desc.bar[4].mem64 = true);
}

static void test_plain(void **state)
{
	(void)state;
	BAD(desc.bar[2].plain[1].size = 12,
	    "BAR 2: plain[1] is at 0x1000 and has 0xc bytes: use multiples of 8");
	BAD(desc.bar[2].plain[1].size = 0x1008, "BAR 2: plain[1] at 0x1000 with 0x1008 bytes ends behind the "
						"BAR, which has 0x2000: make the BAR larger");
	BAD(desc.bar[2].plain[1].offset = 0xff8, "BAR 2: plain[0] and plain[1] overlap: make one of them");
	BAD(desc.bar[2].plain[3].size = 8,
	    "BAR 2: plain[3] is behind one of size 0, which ends them: leave none out");
}

static void test_names(void **state)
{
	static const char printf_only[] =
		"BAR 0: register %s at 0x100 has a name that printf cannot be given: in a name only %%u (the "
		"index, in arrays) and %%%% (a percent sign) are possible";
	static const char *const names[] = { "SQ%sTDBL", "SQ%n", "%lu", "%ld",
					     "SQ%u%d",   "100%", "%2%", "%999u" };
	char message[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(message, sizeof(message), printf_only, names[i]);
		BAD(registers[1].name = names[i], message);
	}
	BAD(registers[0].name = "REG%u", "BAR 0: register REG%u at 0x10 has a name with %u and is no array: "
					 "give a count above 1, or write %%u");
	BAD(registers[1].name = "TDBL",
	    "BAR 0: register TDBL at 0x100 is an array of 16: its name has to have one "
	    "%u, where the index goes");
	BAD(registers[1].name = "%u_%u",
	    "BAR 0: register %u_%u at 0x100 is an array of 16: its name has to have "
	    "one %u, where the index goes");
	BAD(registers[0].name = "",
	    "BAR 0: register  at 0x10 has an empty name, or one with a line break: traces "
	    "print it");
}

static void test_places(void **state)
{
	(void)state;
	BAD(registers[0].offset = 0x200, "BAR 0: register SQ%uTDBL at 0x100 stands behind LOAD_%% at 0x200: "
					 "sort the registers by their offsets");
	BAD(registers[0].offset = 0xf8; registers[0].size = 16, /* a block of more than one access */
					"BAR 0: register SQ%uTDBL at 0x100 overlaps register LOAD_%% at 0xf8 "
					"(16 bytes): registers have bytes of "
					"their own");
	GOOD(registers[0].offset = 0xf0; registers[0].size = 16);
	BAD(registers[2].offset = 0x100, "BAR 0: register CQ%2uHDBL at 0x100 overlaps register SQ%uTDBL at "
					 "0x100 (4 bytes): registers have bytes "
					 "of their own");
	BAD(registers[2].stride = 12, /* the second element meets the third of the other */
	    "BAR 0: register CQ%2uHDBL at 0x104 overlaps register SQ%uTDBL at 0x100 (4 bytes): registers "
	    "have bytes "
	    "of their own");
	BAD(registers[1].count = 2; registers[1].stride = 8; registers[2].offset = 0x108;
	    registers[2].count = 0;
	    registers[2].name = "X", "BAR 0: register X at 0x108 overlaps register SQ%uTDBL at 0x100 (4 "
				     "bytes): registers have bytes of their "
				     "own");
	GOOD(registers[1].count = 2; registers[2].offset = 0x110);
	BAD(registers[0].offset = 0x14,
	    "BAR 0: register LOAD_%% at 0x14 is not aligned to its size, 8 bytes: its "
	    "offset must be a multiple of 8");
	BAD(registers[1].stride = 6,
	    "BAR 0: register SQ%uTDBL at 0x100 is not aligned to its size, 4 bytes: its "
	    "offset and stride must be a multiple of 4");
	BAD(registers[1].stride = 0,
	    "BAR 0: register SQ%uTDBL at 0x100 is an array with 0 bytes from one element "
	    "of 4 bytes to the next: give a stride of 4 or more");
	BAD(registers[0].size = 0,
	    "BAR 0: register LOAD_%% at 0x10 has a size of 0: give its bytes, 1, 2, 4 or 8");
	BAD(registers[2].offset = 0x1000; registers[2].count = 0;
	    registers[2].name = "X",
	    "BAR 0: register X at 0x1000 ends behind the BAR, which has 0x1000 bytes: make the BAR larger");
	BAD(registers[2].count = 482, "BAR 0: register CQ%2uHDBL at 0x104 ends behind the BAR, which has "
				      "0x1000 bytes: make the BAR larger");
	BAD(registers[2].offset = UINT64_MAX - 3, "BAR 0: register CQ%2uHDBL at 0xfffffffffffffffc ends "
						  "behind the BAR, which has 0x1000 bytes: make the "
						  "BAR larger");
}

static void test_fields(void **state)
{
	static const char *const values[] = { "a", "b", "c", NULL };

	(void)state;
	BAD(fields[0].last = 64,
	    "BAR 0: register LOAD_%% at 0x10 has a field HIGH up to bit 64: its bits are 0 to 63");
	BAD(fields[0].first = 3,
	    "BAR 0: register LOAD_%% at 0x10 has fields HIGH and LOW that overlap: bits 3 to 63, 0 to 3");
	BAD(fields[1].first = 4,
	    "BAR 0: register LOAD_%% at 0x10 has a field LOW from bit 4 to bit 3: give the "
	    "lower one first, and at most 64 bits");
	BAD(fields[1].last = 0; fields[1].values = values,
				"BAR 0: register LOAD_%% at 0x10 has a field LOW with more names of values "
				"than its bits 0 to 0 can "
				"have: end them with NULL");
	GOOD(fields[1].last = 1; fields[1].values = values);
}

static void test_msix(void **state)
{
	(void)state;
	BAD(desc.msix_bar = 6, "msix_bar is 6: use 0 to 5");
	BAD(desc.msix_bar = 1,
	    "msix_bar is 1, and BAR 1 has no size: give it one, or leave msix_table and msix_pba 0 "
	    "for a BAR of their own");
	BAD(desc.msix_table = 0x804, "msix_table is 0x804: use a multiple of 8");
	BAD(desc.msix_table = 0xfc8,
	    "msix_table is 0xfc8 to 0x1007 for 4 vectors, and BAR 0 has 0x1000 bytes: make "
	    "the BAR larger, or msix_vectors smaller");
	BAD(desc.msix_pba = 0x1000,
	    "msix_pba is 0x1000 to 0x1007 for 4 vectors, and BAR 0 has 0x1000 bytes: make the "
	    "BAR larger, or msix_vectors smaller");
	BAD(desc.msix_pba = 0x838, "msix_table is 0x800 to 0x83f for 4 vectors, where msix_pba is, 0x838 to "
				   "0x83f: move one of them");
	BAD(desc.msix_pba = 0x800, "msix_table is 0x800 to 0x83f for 4 vectors, where msix_pba is, 0x800 to "
				   "0x807: move one of them");
	BAD(desc.msix_table = 0x140,
	    "msix_table is 0x140 to 0x17f of BAR 0, where register SQ%uTDBL at 0x100 is: move one of them");
	BAD(desc.msix_pba = 0x10,
	    "msix_pba is 0x10 to 0x17 of BAR 0, where register LOAD_%% at 0x10 is: move one of them");
	GOOD(registers[1].count = 2; registers[2].count = 2; desc.msix_table = 0x140);
	GOOD(desc.msix_table = desc.msix_pba = 0);
	BAD(desc.msix_table = desc.msix_pba = 0; desc.msix_bar = 3,
						 "msix_bar is 3, with msix_table and msix_pba 0: give these, "
						 "too, or none of the three for a BAR of their "
						 "own");
	BAD(desc.msix_table = desc.msix_pba = 0; desc.bar[1].size = desc.bar[3].size = 16;
	    desc.bar[4].size = 16;
	    desc.bar[4].mem64 = true, "no BAR is free for the MSI-X table: say where in one it is with "
				      "msix_bar, msix_table and msix_pba");
}

static void test_config(void **state)
{
	(void)state;
	BAD(config[0].size = 3, "configuration register ONE at 0x148 has 3 bytes: use 1, 2 or 4");
	BAD(config[1].offset = 0x14d,
	    "configuration register TWO at 0x14d is not aligned to its size, 2 bytes: its "
	    "offset must be a multiple of that");
	BAD(config[1].offset = 0x40, "configuration register TWO at 0x40 has no place there: what is free "
				     "for a model is 0x148 to 0xfff");
	BAD(config[1].offset = 0x40; desc.aer = false, "configuration register TWO at 0x40 has no place "
						       "there: what is free for a model is 0x100 to 0xfff");
	BAD(config[0].offset = config[1].offset = 0xc0;
	    desc.aer = desc.pcie = false, "configuration register ONE at 0xc0 has no place there: what is "
					  "free for a model is 0xc4 to 0xff");
	BAD(config[1].offset = 0x14a,
	    "configuration registers at 0x148 and 0x14a overlap: each has bytes of its own");
	BAD(config[1].initial = 0x10000, "configuration register TWO at 0x14c of 2 bytes has bits above them "
					 "in initial, writable or clear");
	BAD(config[0].clear = 3, "configuration register ONE at 0x148: bits 0x1 are in writable and in "
				 "clear: a bit is written, or "
				 "cleared by writing 1");
	BAD(caps[0].len = 2, "vendor_caps[0] has len = 2: count its header of 3 bytes, too");
	BAD(caps[0].body = NULL, "vendor_caps[0] has no body: give its 1 bytes behind the header");
	BAD(caps[1] = caps[0];
	    caps[1].len = 61, "vendor_caps[1] has no place: all of them together have 64 bytes");
	GOOD(caps[1].len = 3);
}

/* As long as create may add something, what is missing is not wrong. */
static void test_incomplete(void **state)
{
	struct uvfio_pci_desc desc = good();

	(void)state;
	desc.vendor = 0;
	desc.bar[0].size = 0;
	expect(&desc, false, NULL);
	desc.bar[0].size = 24;
	expect(&desc, false, "BAR 0 has 24 bytes: use a power of two from 16 on");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),        cmocka_unit_test(test_bars),
		cmocka_unit_test(test_plain),      cmocka_unit_test(test_names),
		cmocka_unit_test(test_places),     cmocka_unit_test(test_fields),
		cmocka_unit_test(test_msix),       cmocka_unit_test(test_config),
		cmocka_unit_test(test_incomplete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
