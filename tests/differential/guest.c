/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each kind of access is a place in a page of code: the instruction, and then an OUT to END_PORT. Memory is
 * addressed by EBX, ports by DX; the value is in EAX, MM0 or XMM0.
 */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define PLACE 16 /* bytes for each */

static const struct {
	enum bus bus;
	bool write;
	unsigned int len, size;
	unsigned char code[8];
} kinds[] = {
	{ BUS_PIO, true, 1, 1, { 0xee } },
	{ BUS_PIO, true, 2, 1, { 0xef } },
	{ BUS_PIO, true, 4, 2, { 0x66, 0xef } },
	{ BUS_PIO, false, 1, 1, { 0xec } },
	{ BUS_PIO, false, 2, 1, { 0xed } },
	{ BUS_PIO, false, 4, 2, { 0x66, 0xed } },
	{ BUS_MMIO, true, 1, 3, { 0x67, 0x88, 0x03 } },
	{ BUS_MMIO, true, 2, 3, { 0x67, 0x89, 0x03 } },
	{ BUS_MMIO, true, 4, 4, { 0x66, 0x67, 0x89, 0x03 } },
	{ BUS_MMIO, true, 8, 4, { 0x67, 0x0f, 0x7f, 0x03 } },
	{ BUS_MMIO, true, 16, 5, { 0x67, 0xf3, 0x0f, 0x7f, 0x03 } },
	{ BUS_MMIO, false, 1, 3, { 0x67, 0x8a, 0x03 } },
	{ BUS_MMIO, false, 2, 3, { 0x67, 0x8b, 0x03 } },
	{ BUS_MMIO, false, 4, 4, { 0x66, 0x67, 0x8b, 0x03 } },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void guest_write_code(unsigned char *page)
{
	for (size_t i = 0; i < KINDS; i++) {
		unsigned char *at = page + i * PLACE;

		memcpy(at, kinds[i].code, kinds[i].size);
		at += kinds[i].size;
		*at++ = 0xe6; /* out END_PORT, al */
		*at++ = END_PORT;
		*at = 0xf4;
	}
}

long guest_prepare(struct subject *s)
{
	struct kvm_sregs sregs;

	if (ioctl(s->vcpu, KVM_GET_SREGS, &sregs))
		return -errno;
	sregs.cs.base = CODE_GPA;
	sregs.cs.selector = 0;
	sregs.ds.base = sregs.ss.base = sregs.es.base = 0;
	sregs.ds.limit = sregs.ss.limit = sregs.es.limit = 0xffffffff;
	sregs.ds.g = sregs.ss.g = sregs.es.g = 1;
	sregs.cr4 |= 0x600; /* SSE */
	return ioctl(s->vcpu, KVM_SET_SREGS, &sregs) ? -errno : 0;
}

static void fail(const char *what)
{
	fprintf(stderr, "differential: %s: %s\n", what, strerror(errno));
	exit(2);
}

static unsigned int kind_of(enum bus bus, bool write, unsigned int len)
{
	for (unsigned int i = 0; i < KINDS; i++)
		if (kinds[i].bus == bus && kinds[i].write == write && kinds[i].len == len)
			return i;
	fprintf(stderr, "differential: the guest has no such access\n");
	exit(2);
}

static void set_registers(struct subject *s, unsigned int kind, uint64_t addr, const unsigned char *data)
{
	struct kvm_regs regs = { .rip = kind * PLACE, .rbx = addr, .rdx = addr, .rflags = 2 };
	struct kvm_xsave xsave;
	unsigned char *area = (unsigned char *)&xsave;
	const uint32_t fcw = 0x37f, mxcsr = 0x1f80;
	const uint64_t used = 3; /* x87 and SSE */

	memcpy(&regs.rax, data, 4);
	memset(&xsave, 0, sizeof(xsave));
	if (ioctl(s->vcpu, KVM_SET_REGS, &regs))
		fail("KVM_SET_REGS");
	if (kinds[kind].len < 8)
		return;
	/* the XSAVE area: control words, ST0 to ST7 at 32, XMM0 at 160, what is in it at 512 */
	memcpy(area, &fcw, 2);
	memcpy(area + 24, &mxcsr, sizeof(mxcsr));
	memcpy(area + 32, data, 8);
	memcpy(area + 160, data, 16);
	memcpy(area + 512, &used, sizeof(used));
	if (ioctl(s->vcpu, KVM_SET_XSAVE, &xsave))
		fail("KVM_SET_XSAVE");
}

/* False: that was the end. */
static bool take_exit(struct subject *s, char *text)
{
	struct kvm_run *run = s->run;
	unsigned char *data;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		data = (unsigned char *)run + run->io.data_offset;
		if (run->io.port == END_PORT)
			return false;
		subject_exit(text, BUS_PIO, run->io.direction == KVM_EXIT_IO_OUT, run->io.port, run->io.size,
			     data);
		if (run->io.direction == KVM_EXIT_IO_IN)
			memset(data, 0, run->io.size);
		return true;
	case KVM_EXIT_MMIO:
		subject_exit(text, BUS_MMIO, run->mmio.is_write, run->mmio.phys_addr, run->mmio.len,
			     run->mmio.data);
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
		return true;
	default:
		append(text, " exit_reason=%u", run->exit_reason);
		return false;
	}
}

void guest_access(struct subject *s, enum bus bus, bool write, uint64_t addr, unsigned int len,
		  unsigned char *data, char *text)
{
	unsigned int kind = kind_of(bus, write, len);
	struct kvm_regs regs;

	set_registers(s, kind, addr, data);
	do {
		if (ioctl(s->vcpu, KVM_RUN, 0))
			fail("KVM_RUN");
	} while (take_exit(s, text));
	if (write)
		return;
	if (ioctl(s->vcpu, KVM_GET_REGS, &regs))
		fail("KVM_GET_REGS");
	memcpy(data, &regs.rax, len);
}
