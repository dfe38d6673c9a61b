/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carrying out a decoded instruction on the registers of a signal frame.
 *
 * Every form reads memory, computes, writes memory, and only then changes registers, so that an instruction
 * whose access fails has had no effect but that of its first access. String instructions keep their registers
 * true after each element, and are left in the middle when they are long: the processor starts them again.
 */
#include "intercept/insn.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIRECTION_FLAG 0x400u

/* Elements of a string instruction that one trap carries out at most. */
#define STRING_MAX  4096u

#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

struct emulation {
	const struct insn *insn;
	greg_t *regs;
	uint64_t va;
	uint64_t flags;
	insn_access_fn access;
};

static const uint8_t greg_of[17] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8,
	REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
};

static greg_t *greg(const struct emulation *emu, unsigned int reg)
{
	return &emu->regs[greg_of[reg]];
}

static uint64_t truncate_to(uint64_t value, unsigned int width)
{
	return width >= 8 ? value : value & (BIT64(8 * width) - 1);
}

static uint64_t sign_extend(uint64_t value, unsigned int width)
{
	unsigned int shift = 64 - 8 * width;

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

static uint64_t swap_bytes(uint64_t value, unsigned int width)
{
	return __builtin_bswap64(value) >> (64 - 8 * width);
}

static uint64_t read_reg(const struct emulation *emu, unsigned int reg, unsigned int width, bool high)
{
	uint64_t value = (uint64_t)*greg(emu, reg);

	return truncate_to(high ? value >> 8 : value, width);
}

/* 8 and 16 bits merge, 32 bits clear the upper half. */
static void write_reg(const struct emulation *emu, unsigned int reg, unsigned int width, bool high,
		      uint64_t value)
{
	unsigned int shift = high ? 8 : 0;
	uint64_t keep = width >= 4 ? 0 : ~((BIT64(8 * width) - 1) << shift);
	greg_t *r = greg(emu, reg);

	*r = (greg_t)(((uint64_t)*r & keep) | (truncate_to(value, width) << shift));
}

static uint64_t segment_base(uint8_t segment)
{
	uint64_t base = 0;
	int saved = errno;

	syscall(SYS_arch_prctl, segment == 'f' ? ARCH_GET_FS : ARCH_GET_GS, &base);
	errno = saved;
	return base;
}

static uint64_t effective_address(const struct insn *insn, const struct emulation *emu)
{
	uint64_t va = (uint64_t)insn->disp;

	if (insn->base == INSN_RIP)
		va += (uint64_t)*greg(emu, INSN_RIP) + insn->length;
	else if (insn->base != INSN_NO_REG)
		va += (uint64_t)*greg(emu, insn->base);
	if (insn->index != INSN_NO_REG)
		va += (uint64_t)*greg(emu, insn->index) * insn->scale;
	if (insn->address32)
		va = (uint32_t)va;
	if (insn->segment)
		va += segment_base(insn->segment);
	return va;
}

static enum access_result load(const struct emulation *emu, uint64_t *value)
{
	*value = 0;
	return emu->access(emu->va, value, emu->insn->width, false);
}

static enum access_result store(const struct emulation *emu, uint64_t value)
{
	return emu->access(emu->va, &value, emu->insn->width, true);
}

/* The operand that is not memory, as wide as memory is. */
static uint64_t other(const struct emulation *emu)
{
	const struct insn *insn = emu->insn;

	if (insn->reg == INSN_NO_REG)
		return truncate_to((uint64_t)insn->imm, insn->width);
	return read_reg(emu, insn->reg, insn->width, insn->high);
}

static enum access_result do_load(struct emulation *emu)
{
	const struct insn *insn = emu->insn;
	uint64_t value;
	enum access_result r = load(emu, &value);

	if (r)
		return r;
	if (insn->sign)
		value = sign_extend(value, insn->width);
	if (insn->swap)
		value = swap_bytes(value, insn->width);
	write_reg(emu, insn->reg, insn->reg_width, insn->high, value);
	return ACCESS_OK;
}

static enum access_result do_store(struct emulation *emu)
{
	uint64_t value = other(emu);

	return store(emu, emu->insn->swap ? swap_bytes(value, emu->insn->width) : value);
}

static enum access_result do_alu(struct emulation *emu)
{
	const struct insn *insn = emu->insn;
	bool drop = insn->alu == ALU_CMP || insn->alu == ALU_TEST;
	uint64_t mem, a, b, out;
	enum access_result r = load(emu, &mem);

	if (r)
		return r;
	a = insn->to_memory ? mem : other(emu);
	b = insn->to_memory ? other(emu) : mem;
	out = alu(insn->alu, insn->width, a, b, &emu->flags);
	if (drop)
		return ACCESS_OK;
	if (insn->to_memory)
		return store(emu, out);
	write_reg(emu, insn->reg, insn->width, insn->high, out);
	return ACCESS_OK;
}

static enum access_result do_alu1(struct emulation *emu)
{
	uint64_t mem;
	enum access_result r = load(emu, &mem);

	return r ? r : store(emu, alu(emu->insn->alu, emu->insn->width, mem, 0, &emu->flags));
}

static enum access_result do_imul(struct emulation *emu)
{
	const struct insn *insn = emu->insn;
	uint64_t mem, factor;
	enum access_result r = load(emu, &mem);

	if (r)
		return r;
	factor = insn->reg2 == INSN_NO_REG ? (uint64_t)insn->imm
					   : read_reg(emu, insn->reg2, insn->width, false);
	write_reg(emu, insn->reg, insn->width, false, alu(ALU_IMUL, insn->width, mem, factor, &emu->flags));
	return ACCESS_OK;
}

/* A bit number in a register reaches beyond the operand. */
static enum access_result do_bit(struct emulation *emu)
{
	const struct insn *insn = emu->insn;
	unsigned int bits = 8u * insn->width;
	uint64_t bit = other(emu), mem, out;
	enum access_result r;

	if (insn->reg != INSN_NO_REG) {
		int64_t number = (int64_t)sign_extend(bit, insn->width);

		emu->va += (uint64_t)(number >> (insn->width == 8   ? 6
						 : insn->width == 4 ? 5
								    : 4)) *
			   insn->width;
	}
	r = load(emu, &mem);
	if (r)
		return r;
	out = alu(insn->alu, insn->width, mem, bit & (bits - 1), &emu->flags);
	return insn->alu == ALU_BT ? ACCESS_OK : store(emu, out);
}

static enum access_result do_xchg(struct emulation *emu)
{
	const struct insn *insn = emu->insn;
	uint64_t mem, reg = other(emu), out = reg, flags = emu->flags;
	enum access_result r = load(emu, &mem);

	if (r)
		return r;
	if (insn->op == INSN_XADD)
		out = alu(ALU_ADD, insn->width, mem, reg, &flags);
	r = store(emu, out);
	if (r)
		return r;
	emu->flags = flags;
	write_reg(emu, insn->reg, insn->width, insn->high, mem);
	return ACCESS_OK;
}

static enum access_result do_cmpxchg(struct emulation *emu)
{
	const struct insn *insn = emu->insn;
	uint64_t mem, old = read_reg(emu, 0, insn->width, false), flags = emu->flags;
	enum access_result r = load(emu, &mem);

	if (r)
		return r;
	alu(ALU_CMP, insn->width, old, mem, &flags);
	if (mem == old) {
		r = store(emu, other(emu));
		if (r)
			return r;
	} else {
		write_reg(emu, 0, insn->width, false, mem);
	}
	emu->flags = flags;
	return ACCESS_OK;
}

static enum access_result do_cmov(struct emulation *emu)
{
	const struct insn *insn = emu->insn;
	uint64_t mem;
	enum access_result r = load(emu, &mem);

	if (r)
		return r;
	if (!condition(insn->alu, emu->flags))
		mem = read_reg(emu, insn->reg, insn->width, false);
	write_reg(emu, insn->reg, insn->width, false, mem);
	return ACCESS_OK;
}

static enum access_result do_push(struct emulation *emu)
{
	greg_t *sp = greg(emu, 4);
	uint64_t value;
	enum access_result r = load(emu, &value);

	if (!r)
		r = emu->access((uint64_t)*sp - emu->insn->width, &value, emu->insn->width, true);
	if (!r)
		*sp -= emu->insn->width;
	return r;
}

/* The address of the destination is that with the stack pointer already moved. */
static enum access_result do_pop(struct emulation *emu)
{
	greg_t *sp = greg(emu, 4);
	uint64_t value = 0;
	enum access_result r = emu->access((uint64_t)*sp, &value, emu->insn->width, false);

	if (emu->insn->base == 4)
		emu->va += emu->insn->width;
	if (!r)
		r = store(emu, value);
	if (!r)
		*sp += emu->insn->width;
	return r;
}

static uint64_t string_reg(const struct emulation *emu, unsigned int reg)
{
	return read_reg(emu, reg, emu->insn->address32 ? 4 : 8, false);
}

static void step_reg(const struct emulation *emu, unsigned int reg, int64_t by)
{
	write_reg(emu, reg, emu->insn->address32 ? 4 : 8, false, string_reg(emu, reg) + (uint64_t)by);
}

static enum access_result string_element(const struct emulation *emu)
{
	const struct insn *insn = emu->insn;
	int64_t step = emu->flags & DIRECTION_FLAG ? -(int64_t)insn->width : insn->width;
	uint64_t value = read_reg(emu, 0, insn->width, false);
	enum access_result r = ACCESS_OK;

	if (insn->op != INSN_STOS) {
		uint64_t from = string_reg(emu, 6) + (insn->segment ? segment_base(insn->segment) : 0);

		value = 0;
		r = emu->access(from, &value, insn->width, false);
	}
	if (!r && insn->op != INSN_LODS)
		r = emu->access(string_reg(emu, 7), &value, insn->width, true);
	if (r)
		return r;
	if (insn->op == INSN_LODS)
		write_reg(emu, 0, insn->width, false, value);
	if (insn->op != INSN_STOS)
		step_reg(emu, 6, step);
	if (insn->op != INSN_LODS)
		step_reg(emu, 7, step);
	return ACCESS_OK;
}

static enum access_result do_string(struct emulation *emu)
{
	enum access_result r;

	if (!emu->insn->repeat)
		return string_element(emu);
	for (unsigned int n = 0; string_reg(emu, 1); n++) {
		if (n == STRING_MAX) {
			*greg(emu, INSN_RIP) -= emu->insn->length;
			break;
		}
		r = string_element(emu);
		if (r)
			return r;
		step_reg(emu, 1, -1);
	}
	return ACCESS_OK;
}

static enum access_result carry_out(struct emulation *emu, ucontext_t *uc)
{
	switch ((enum insn_op)emu->insn->op) {
	case INSN_LOAD:
		return do_load(emu);
	case INSN_STORE:
		return do_store(emu);
	case INSN_ALU:
		return do_alu(emu);
	case INSN_ALU1:
		return do_alu1(emu);
	case INSN_IMUL:
		return do_imul(emu);
	case INSN_BIT:
		return do_bit(emu);
	case INSN_XCHG:
	case INSN_XADD:
		return do_xchg(emu);
	case INSN_CMPXCHG:
		return do_cmpxchg(emu);
	case INSN_CMOV:
		return do_cmov(emu);
	case INSN_SETCC:
		return store(emu, condition(emu->insn->alu, emu->flags));
	case INSN_PUSH:
		return do_push(emu);
	case INSN_POP:
		return do_pop(emu);
	case INSN_MOVS:
	case INSN_STOS:
	case INSN_LODS:
		return do_string(emu);
	case INSN_VLOAD:
	case INSN_VSTORE:
		return emulate_vector(emu->insn, uc, emu->va, emu->access);
	case INSN_UNKNOWN:
		break;
	}
	return ACCESS_FAULT;
}

enum access_result emulate(const struct insn *insn, ucontext_t *uc, insn_access_fn access)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	struct emulation emu = {
		.insn = insn,
		.regs = regs,
		.flags = (uint64_t)regs[REG_EFL],
		.access = access,
	};
	enum access_result r;

	emu.va = effective_address(insn, &emu);
	regs[REG_RIP] += insn->length;
	r = carry_out(&emu, uc);
	if (r)
		regs[REG_RIP] -= insn->length;
	else
		regs[REG_EFL] = (greg_t)emu.flags;
	return r;
}
