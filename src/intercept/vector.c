/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Vector registers in a signal frame, and loads and stores of them.
 *
 * The kernel leaves the registers in the frame in the processor's standard XSAVE format: xmm in the legacy
 * area, what is beyond in components whose places the processor tells. A component whose bit in the header is
 * clear holds zeroes, whatever the memory says; its bit must be set for a change to take effect.
 */
#include "intercept/insn.h"

#include <cpuid.h>
#include <string.h>

#define XSAVE_HEADER  512u
#define LEGACY_XMM    160u
#define SW_SIZE       480u /* where the kernel says how long the whole is */
#define SW_MAGIC      464u
#define FPSTATE_MAGIC 0x46505853u
#define VECTOR_MAX    64u

enum component {
	COMPONENT_SSE = 1,
	COMPONENT_AVX = 2,
	COMPONENT_OPMASK = 5,
	COMPONENT_ZMM_HI = 6, /* bits 511..256 of 0..15 */
	COMPONENT_HI16 = 7,   /* 16..31, whole */
	COMPONENT_COUNT,
};

static struct {
	uint32_t offset, size;
} components[COMPONENT_COUNT];

void vector_init(void)
{
	unsigned int a, b, c, d;

	for (unsigned int i = COMPONENT_AVX; i < COMPONENT_COUNT; i++) {
		if (!__get_cpuid_count(0xd, i, &a, &b, &c, &d))
			return;
		components[i].offset = b;
		components[i].size = a;
	}
	components[COMPONENT_SSE].offset = LEGACY_XMM;
	components[COMPONENT_SSE].size = 256;
}

static uint32_t word_at(const uint8_t *area, unsigned int at)
{
	uint32_t word;

	memcpy(&word, area + at, sizeof(word));
	return word;
}

/* The component's memory in the frame, NULL when the frame has none. use: make it the registers' contents. */
static uint8_t *component_at(uint8_t *area, enum component which, bool use, bool *in_use)
{
	uint64_t end = (uint64_t)components[which].offset + components[which].size;
	uint8_t *p = area + components[which].offset;
	uint64_t bits;

	*in_use = which == COMPONENT_SSE;
	if (word_at(area, SW_MAGIC) != FPSTATE_MAGIC)
		return *in_use ? p : NULL;
	if (!components[which].size || end > word_at(area, SW_SIZE))
		return NULL;
	memcpy(&bits, area + XSAVE_HEADER, sizeof(bits));
	*in_use = bits & BIT64(which);
	if (use && !*in_use) {
		memset(p, 0, components[which].size);
		bits |= BIT64(which);
		memcpy(area + XSAVE_HEADER, &bits, sizeof(bits));
	}
	return p;
}

/* A piece of register reg: bytes [from, from + len) of it lie at *at within component *which. */
struct piece {
	enum component which;
	unsigned int at, from, len;
};

static unsigned int pieces_of(unsigned int reg, unsigned int width, struct piece out[3])
{
	unsigned int nr = 0;

	if (reg >= 16) {
		out[nr++] = (struct piece){ COMPONENT_HI16, (reg - 16) * 64, 0, width };
		return nr;
	}
	out[nr++] = (struct piece){ COMPONENT_SSE, reg * 16, 0, 16 };
	if (width > 16)
		out[nr++] = (struct piece){ COMPONENT_AVX, reg * 16, 16, 16 };
	if (width > 32)
		out[nr++] = (struct piece){ COMPONENT_ZMM_HI, reg * 32, 32, 32 };
	return nr;
}

static bool vector_read(uint8_t *area, unsigned int reg, unsigned int width, uint8_t *out)
{
	struct piece pieces[3];
	unsigned int nr = pieces_of(reg, width, pieces);
	bool in_use;

	for (unsigned int i = 0; i < nr; i++) {
		const uint8_t *p = component_at(area, pieces[i].which, false, &in_use);

		if (!p)
			return false;
		if (in_use)
			memcpy(out + pieces[i].from, p + pieces[i].at, pieces[i].len);
		else
			memset(out + pieces[i].from, 0, pieces[i].len);
	}
	return true;
}

static bool all_zero(const uint8_t *data, unsigned int len)
{
	while (len && !*data) {
		data++;
		len--;
	}
	return !len;
}

/* What the processor does not have stays out, and so does a component that is and remains zero. */
static void vector_write(uint8_t *area, unsigned int reg, unsigned int width, const uint8_t *in)
{
	struct piece pieces[3];
	unsigned int nr = pieces_of(reg, width, pieces);
	bool in_use;

	for (unsigned int i = 0; i < nr; i++) {
		bool zero = all_zero(in + pieces[i].from, pieces[i].len);
		uint8_t *p = component_at(area, pieces[i].which, !zero, &in_use);

		if (p && (in_use || !zero))
			memcpy(p + pieces[i].at, in + pieces[i].from, pieces[i].len);
	}
}

static uint64_t opmask(uint8_t *area, unsigned int reg)
{
	uint64_t mask = 0;
	bool in_use;
	const uint8_t *p;

	if (!reg)
		return UINT64_MAX;
	p = component_at(area, COMPONENT_OPMASK, false, &in_use);
	if (p && in_use)
		memcpy(&mask, p + (size_t)reg * 8, sizeof(mask));
	return mask;
}

/* The elements that the mask selects; without a mask the whole at once. */
static enum access_result access_elements(const struct insn *insn, uint64_t va, uint8_t *data, uint64_t mask,
					  insn_access_fn access, bool write)
{
	enum access_result r = ACCESS_OK;

	if (!insn->mask_reg)
		return access(va, data, insn->width, write);
	for (unsigned int at = 0, i = 0; !r && at < insn->width; at += insn->element, i++)
		if (mask & BIT64(i))
			r = access(va + at, data + at, insn->element, write);
	return r;
}

static void clear_masked_out(const struct insn *insn, uint8_t *data, uint64_t mask)
{
	for (unsigned int at = 0, i = 0; at < insn->width; at += insn->element, i++)
		if (!(mask & BIT64(i)))
			memset(data + at, 0, insn->element);
}

static enum access_result vector_load(const struct insn *insn, uint8_t *area, uint64_t va,
				      insn_access_fn access)
{
	uint8_t value[VECTOR_MAX] = { 0 }, data[VECTOR_MAX] = { 0 };
	uint64_t mask = opmask(area, insn->mask_reg);
	enum access_result r;

	if (insn->vec == VEC_MERGE && !vector_read(area, insn->reg2, insn->reg_width, value))
		return ACCESS_FAULT;
	if (insn->mask_reg && !insn->mask_zero && !vector_read(area, insn->reg, insn->width, data))
		return ACCESS_FAULT;
	r = access_elements(insn, va, data, mask, access, false);
	if (r)
		return r;
	if (insn->mask_reg && insn->mask_zero)
		clear_masked_out(insn, data, mask);
	memcpy(value + insn->vec_at, data, insn->width);
	vector_write(area, insn->reg, insn->vex ? VECTOR_MAX : 16, value);
	return ACCESS_OK;
}

static enum access_result vector_store(const struct insn *insn, uint8_t *area, uint64_t va,
				       insn_access_fn access)
{
	uint8_t value[VECTOR_MAX];

	if (!vector_read(area, insn->reg, insn->reg_width, value))
		return ACCESS_FAULT;
	return access_elements(insn, va, value + insn->vec_at, opmask(area, insn->mask_reg), access, true);
}

enum access_result emulate_vector(const struct insn *insn, ucontext_t *uc, uint64_t va, insn_access_fn access)
{
	uint8_t *area = (uint8_t *)uc->uc_mcontext.fpregs;

	if (!area)
		return ACCESS_FAULT;
	return insn->op == INSN_VLOAD ? vector_load(insn, area, va, access)
				      : vector_store(insn, area, va, access);
}
