/* SPDX-License-Identifier: BSD-2-Clause */
/* What the decoder's files share. */
#ifndef UVFIO_INTERCEPT_DECODE_IMPL_H
#define UVFIO_INTERCEPT_DECODE_IMPL_H

#include "intercept/insn.h"

#include <Zydis/Zydis.h>

/*
 * Each fills the rest of insn for the instructions that it knows, and says whether it did. The memory operand
 * and length are set before; for integers also the other operand.
 */
bool decode_string(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops, struct insn *insn);
bool decode_integer(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops, struct insn *insn);
/* at: which operand is memory. */
bool decode_vector(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops, unsigned int at,
		   struct insn *insn);

/* 0..31, or INSN_NO_REG. */
uint8_t decode_vector_register(ZydisRegister reg);

/* The cache: what was decoded at ip, if the bytes there are still the same. */
bool decode_cache_find(uint64_t ip, struct insn *insn);
void decode_cache_add(uint64_t ip, const uint8_t *bytes, const struct insn *insn);

#endif
