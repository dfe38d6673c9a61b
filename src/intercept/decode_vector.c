/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads and stores of vector registers: which bytes of the register move, and what becomes of the others. */
#include "intercept/decode_impl.h"

enum shape {
	SHAPE_MOVE,    /* from byte 0 of the register, as wide as memory is */
	SHAPE_LOW,     /* movlps: bytes 0..7, the others stay */
	SHAPE_HIGH,    /* movhps: bytes 8..15 */
	SHAPE_ELEMENT, /* pinsr, pextr: the element that the immediate names */
	SHAPE_LANE,    /* vinsert, vextract: the lane that the immediate names */
};

static const struct {
	ZydisMnemonic mnemonic;
	uint8_t shape;
	uint8_t element; /* what one bit of an opmask stands for */
} table[] = {
	{ ZYDIS_MNEMONIC_MOVD, SHAPE_MOVE, 4 },         { ZYDIS_MNEMONIC_VMOVD, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVQ, SHAPE_MOVE, 8 },         { ZYDIS_MNEMONIC_VMOVQ, SHAPE_MOVE, 8 },
	{ ZYDIS_MNEMONIC_MOVSS, SHAPE_MOVE, 4 },        { ZYDIS_MNEMONIC_VMOVSS, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVSD, SHAPE_MOVE, 8 },        { ZYDIS_MNEMONIC_VMOVSD, SHAPE_MOVE, 8 },
	{ ZYDIS_MNEMONIC_MOVUPS, SHAPE_MOVE, 4 },       { ZYDIS_MNEMONIC_VMOVUPS, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVUPD, SHAPE_MOVE, 8 },       { ZYDIS_MNEMONIC_VMOVUPD, SHAPE_MOVE, 8 },
	{ ZYDIS_MNEMONIC_MOVAPS, SHAPE_MOVE, 4 },       { ZYDIS_MNEMONIC_VMOVAPS, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVAPD, SHAPE_MOVE, 8 },       { ZYDIS_MNEMONIC_VMOVAPD, SHAPE_MOVE, 8 },
	{ ZYDIS_MNEMONIC_MOVDQU, SHAPE_MOVE, 4 },       { ZYDIS_MNEMONIC_VMOVDQU, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVDQA, SHAPE_MOVE, 4 },       { ZYDIS_MNEMONIC_VMOVDQA, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_VMOVDQU8, SHAPE_MOVE, 1 },     { ZYDIS_MNEMONIC_VMOVDQU16, SHAPE_MOVE, 2 },
	{ ZYDIS_MNEMONIC_VMOVDQU32, SHAPE_MOVE, 4 },    { ZYDIS_MNEMONIC_VMOVDQU64, SHAPE_MOVE, 8 },
	{ ZYDIS_MNEMONIC_VMOVDQA32, SHAPE_MOVE, 4 },    { ZYDIS_MNEMONIC_VMOVDQA64, SHAPE_MOVE, 8 },
	{ ZYDIS_MNEMONIC_LDDQU, SHAPE_MOVE, 4 },        { ZYDIS_MNEMONIC_VLDDQU, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVNTDQ, SHAPE_MOVE, 4 },      { ZYDIS_MNEMONIC_VMOVNTDQ, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVNTDQA, SHAPE_MOVE, 4 },     { ZYDIS_MNEMONIC_VMOVNTDQA, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVNTPS, SHAPE_MOVE, 4 },      { ZYDIS_MNEMONIC_VMOVNTPS, SHAPE_MOVE, 4 },
	{ ZYDIS_MNEMONIC_MOVNTPD, SHAPE_MOVE, 8 },      { ZYDIS_MNEMONIC_VMOVNTPD, SHAPE_MOVE, 8 },
	{ ZYDIS_MNEMONIC_MOVLPS, SHAPE_LOW, 0 },        { ZYDIS_MNEMONIC_VMOVLPS, SHAPE_LOW, 0 },
	{ ZYDIS_MNEMONIC_MOVLPD, SHAPE_LOW, 0 },        { ZYDIS_MNEMONIC_VMOVLPD, SHAPE_LOW, 0 },
	{ ZYDIS_MNEMONIC_MOVHPS, SHAPE_HIGH, 0 },       { ZYDIS_MNEMONIC_VMOVHPS, SHAPE_HIGH, 0 },
	{ ZYDIS_MNEMONIC_MOVHPD, SHAPE_HIGH, 0 },       { ZYDIS_MNEMONIC_VMOVHPD, SHAPE_HIGH, 0 },
	{ ZYDIS_MNEMONIC_PINSRB, SHAPE_ELEMENT, 0 },    { ZYDIS_MNEMONIC_VPINSRB, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_PINSRW, SHAPE_ELEMENT, 0 },    { ZYDIS_MNEMONIC_VPINSRW, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_PINSRD, SHAPE_ELEMENT, 0 },    { ZYDIS_MNEMONIC_VPINSRD, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_PINSRQ, SHAPE_ELEMENT, 0 },    { ZYDIS_MNEMONIC_VPINSRQ, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_PEXTRB, SHAPE_ELEMENT, 0 },    { ZYDIS_MNEMONIC_VPEXTRB, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_PEXTRW, SHAPE_ELEMENT, 0 },    { ZYDIS_MNEMONIC_VPEXTRW, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_PEXTRD, SHAPE_ELEMENT, 0 },    { ZYDIS_MNEMONIC_VPEXTRD, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_PEXTRQ, SHAPE_ELEMENT, 0 },    { ZYDIS_MNEMONIC_VPEXTRQ, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_EXTRACTPS, SHAPE_ELEMENT, 0 }, { ZYDIS_MNEMONIC_VEXTRACTPS, SHAPE_ELEMENT, 0 },
	{ ZYDIS_MNEMONIC_VEXTRACTF128, SHAPE_LANE, 0 }, { ZYDIS_MNEMONIC_VEXTRACTI128, SHAPE_LANE, 0 },
	{ ZYDIS_MNEMONIC_VINSERTF128, SHAPE_LANE, 0 },  { ZYDIS_MNEMONIC_VINSERTI128, SHAPE_LANE, 0 },
};

static bool set_opmask(const ZydisDecodedInstruction *zi, uint8_t element, struct insn *insn)
{
	if (zi->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX || zi->avx.mask.reg <= ZYDIS_REGISTER_K0)
		return true;
	insn->mask_reg = (uint8_t)(zi->avx.mask.reg - ZYDIS_REGISTER_K0);
	insn->mask_zero = zi->avx.mask.mode == ZYDIS_MASK_MODE_ZEROING;
	insn->element = element;
	return element != 0;
}

/* The last vector register among operands from..to-1 (between them stand opmasks and immediates), or none. */
static uint8_t register_among(const ZydisDecodedOperand *ops, unsigned int from, unsigned int to)
{
	uint8_t reg = INSN_NO_REG;

	for (unsigned int i = from; i < to; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    decode_vector_register(ops[i].reg.value) != INSN_NO_REG)
			reg = decode_vector_register(ops[i].reg.value);
	return reg;
}

/* Merging loads name the register whose other bits are taken: the destination itself without VEX. */
static void set_shape(uint8_t shape, const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops,
		      unsigned int at, struct insn *insn)
{
	const ZydisDecodedOperand *last = &ops[zi->operand_count_visible - 1];
	uint8_t number = last->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? (uint8_t)last->imm.value.u : 0;

	insn->vec = shape == SHAPE_MOVE ? VEC_ZERO_REST : VEC_MERGE;
	insn->reg2 = at ? register_among(ops, 1, at) : insn->reg;
	if (insn->reg2 == INSN_NO_REG)
		insn->reg2 = insn->reg;
	if (shape == SHAPE_HIGH)
		insn->vec_at = 8;
	if (shape == SHAPE_ELEMENT)
		insn->vec_at = (uint8_t)((number & (16u / insn->width - 1)) * insn->width);
	if (shape == SHAPE_LANE)
		insn->vec_at = (uint8_t)((number & 1) * 16);
	insn->reg_width = (uint8_t)(insn->vec_at + insn->width <= 16 ? 16 : insn->vec_at + insn->width);
	if (shape == SHAPE_LANE)
		insn->reg_width = 32;
}

bool decode_vector(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops, unsigned int at,
		   struct insn *insn)
{
	unsigned int i = 0;

	while (i < ARRAY_SIZE(table) && table[i].mnemonic != zi->mnemonic)
		i++;
	if (i == ARRAY_SIZE(table))
		return false;
	insn->reg = at ? register_among(ops, 0, 1) : register_among(ops, 1, zi->operand_count_visible);
	insn->op = at == 0 ? INSN_VSTORE : INSN_VLOAD;
	insn->vex = zi->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ||
		    zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
	if (insn->reg == INSN_NO_REG || !insn->width || !set_opmask(zi, table[i].element, insn))
		return false;
	set_shape(table[i].shape, zi, ops, at, insn);
	return true;
}
