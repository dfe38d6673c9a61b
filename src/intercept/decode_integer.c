/* SPDX-License-Identifier: BSD-2-Clause */
/* Integer and string instructions: which operation a mnemonic is. */
#include "intercept/decode_impl.h"

struct two_operands {
	ZydisMnemonic mnemonic;
	uint8_t op, alu;
};

static const struct two_operands table[] = {
	{ ZYDIS_MNEMONIC_MOVZX, INSN_LOAD, 0 },     { ZYDIS_MNEMONIC_MOVSX, INSN_LOAD, 0 },
	{ ZYDIS_MNEMONIC_MOVSXD, INSN_LOAD, 0 },    { ZYDIS_MNEMONIC_MOVNTI, INSN_STORE, 0 },
	{ ZYDIS_MNEMONIC_MOVDIRI, INSN_STORE, 0 },  { ZYDIS_MNEMONIC_ADD, INSN_ALU, ALU_ADD },
	{ ZYDIS_MNEMONIC_OR, INSN_ALU, ALU_OR },    { ZYDIS_MNEMONIC_ADC, INSN_ALU, ALU_ADC },
	{ ZYDIS_MNEMONIC_SBB, INSN_ALU, ALU_SBB },  { ZYDIS_MNEMONIC_AND, INSN_ALU, ALU_AND },
	{ ZYDIS_MNEMONIC_SUB, INSN_ALU, ALU_SUB },  { ZYDIS_MNEMONIC_XOR, INSN_ALU, ALU_XOR },
	{ ZYDIS_MNEMONIC_CMP, INSN_ALU, ALU_CMP },  { ZYDIS_MNEMONIC_TEST, INSN_ALU, ALU_TEST },
	{ ZYDIS_MNEMONIC_SHL, INSN_ALU, ALU_SHL },  { ZYDIS_MNEMONIC_SHR, INSN_ALU, ALU_SHR },
	{ ZYDIS_MNEMONIC_SAR, INSN_ALU, ALU_SAR },  { ZYDIS_MNEMONIC_ROL, INSN_ALU, ALU_ROL },
	{ ZYDIS_MNEMONIC_ROR, INSN_ALU, ALU_ROR },  { ZYDIS_MNEMONIC_INC, INSN_ALU1, ALU_INC },
	{ ZYDIS_MNEMONIC_DEC, INSN_ALU1, ALU_DEC }, { ZYDIS_MNEMONIC_NEG, INSN_ALU1, ALU_NEG },
	{ ZYDIS_MNEMONIC_NOT, INSN_ALU1, ALU_NOT }, { ZYDIS_MNEMONIC_BT, INSN_BIT, ALU_BT },
	{ ZYDIS_MNEMONIC_BTS, INSN_BIT, ALU_BTS },  { ZYDIS_MNEMONIC_BTR, INSN_BIT, ALU_BTR },
	{ ZYDIS_MNEMONIC_BTC, INSN_BIT, ALU_BTC },  { ZYDIS_MNEMONIC_XCHG, INSN_XCHG, 0 },
	{ ZYDIS_MNEMONIC_XADD, INSN_XADD, 0 },      { ZYDIS_MNEMONIC_CMPXCHG, INSN_CMPXCHG, 0 },
	{ ZYDIS_MNEMONIC_IMUL, INSN_IMUL, 0 },      { ZYDIS_MNEMONIC_PUSH, INSN_PUSH, 0 },
	{ ZYDIS_MNEMONIC_POP, INSN_POP, 0 },
};

static bool by_table(const ZydisDecodedInstruction *zi, struct insn *insn)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].mnemonic == zi->mnemonic) {
			insn->op = table[i].op;
			insn->alu = table[i].alu;
			return true;
		}
	}
	return false;
}

/* imul has one, two or three operands; that with one has hidden ones and two results. */
static bool finish_imul(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops, struct insn *insn)
{
	if (zi->operand_count_visible == 3)
		insn->imm = ops[2].imm.value.s;
	else
		insn->reg2 = insn->reg;
	return insn->reg != INSN_NO_REG;
}

bool decode_integer(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops, struct insn *insn)
{
	if (insn->width > 8 || (insn->width & (insn->width - 1)))
		return false;
	if (zi->mnemonic == ZYDIS_MNEMONIC_MOV || zi->mnemonic == ZYDIS_MNEMONIC_MOVBE) {
		insn->op = insn->to_memory ? INSN_STORE : INSN_LOAD;
		insn->swap = zi->mnemonic == ZYDIS_MNEMONIC_MOVBE;
		return true;
	}
	if (zi->meta.category == ZYDIS_CATEGORY_CMOV || zi->meta.category == ZYDIS_CATEGORY_SETCC) {
		insn->op = zi->meta.category == ZYDIS_CATEGORY_CMOV ? INSN_CMOV : INSN_SETCC;
		insn->alu = zi->opcode & 15;
		return zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
	}
	if (!by_table(zi, insn))
		return false;
	insn->sign = zi->mnemonic == ZYDIS_MNEMONIC_MOVSX || zi->mnemonic == ZYDIS_MNEMONIC_MOVSXD;
	if (insn->op == INSN_IMUL)
		return finish_imul(zi, ops, insn);
	return true;
}

static uint8_t string_op(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
		return INSN_MOVS;
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ:
		return INSN_STOS;
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ:
		return INSN_LODS;
	default:
		return INSN_UNKNOWN;
	}
}

/* The segment override, where there is one, belongs to the source. */
bool decode_string(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops, struct insn *insn)
{
	if (zi->meta.category != ZYDIS_CATEGORY_STRINGOP)
		return false;
	insn->op = string_op(zi->mnemonic);
	insn->base = insn->index = insn->reg = insn->reg2 = INSN_NO_REG;
	insn->width = (uint8_t)(ops[0].size / 8);
	insn->repeat = (zi->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)) != 0;
	insn->address32 = zi->address_width == 32;
	if (zi->attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS)
		insn->segment = 'f';
	if (zi->attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS)
		insn->segment = 'g';
	return insn->op != INSN_UNKNOWN;
}
