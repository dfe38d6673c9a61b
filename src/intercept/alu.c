/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arithmetic with flags, done by the processor itself: the same operation on registers, and the flags that it
 * leaves. So flags that the manual calls undefined are what this processor makes of them.
 */
#include "intercept/insn.h"

#define CF         0x001u
#define PF         0x004u
#define AF         0x010u
#define ZF         0x040u
#define SF         0x080u
#define OF         0x800u

#define ARITHMETIC (CF | PF | AF | ZF | SF | OF)

/* lahf leaves SF ZF AF PF CF in ah, in the places that they have in the flags register. */
static uint64_t flags_of(uint32_t ax)
{
	return ((ax >> 8) & (CF | PF | AF | ZF | SF)) | ((ax & 1u) << 11);
}

/* One operation at one width; "r" and "q" registers as the width needs. The carry flag goes in. */
#define RUN2(text, type, out, a, b, flags)                                                                   \
	do {                                                                                                 \
		type a_ = (type)(a), b_ = (type)(b);                                                         \
		uint32_t ax_;                                                                                \
                                                                                                             \
		__asm__("btl $0, %k3\n\t" text "\n\tlahf\n\tseto %%al"                                       \
			: "=&a"(ax_), "+&r"(a_)                                                              \
			: "c"(b_), "r"(flags)                                                                \
			: "cc");                                                                             \
		(flags) = flags_of(ax_);                                                                     \
		(out) = a_;                                                                                  \
	} while (0)

#define OPERATION(name, insn2)                                                                               \
	static uint64_t name(unsigned int width, uint64_t a, uint64_t b, uint64_t *flags)                    \
	{                                                                                                    \
		uint64_t out, f = *flags;                                                                    \
                                                                                                             \
		if (width == 1)                                                                              \
			RUN2(insn2, uint8_t, out, a, b, f);                                                  \
		else if (width == 2)                                                                         \
			RUN2(insn2, uint16_t, out, a, b, f);                                                 \
		else if (width == 4)                                                                         \
			RUN2(insn2, uint32_t, out, a, b, f);                                                 \
		else                                                                                         \
			RUN2(insn2, uint64_t, out, a, b, f);                                                 \
		*flags = f;                                                                                  \
		return out;                                                                                  \
	}

OPERATION(do_add, "add %2, %1")
OPERATION(do_or, "or %2, %1")
OPERATION(do_adc, "adc %2, %1")
OPERATION(do_sbb, "sbb %2, %1")
OPERATION(do_and, "and %2, %1")
OPERATION(do_sub, "sub %2, %1")
OPERATION(do_xor, "xor %2, %1")
OPERATION(do_shl, "shl %%cl, %1")
OPERATION(do_shr, "shr %%cl, %1")
OPERATION(do_sar, "sar %%cl, %1")
OPERATION(do_rol, "rol %%cl, %1")
OPERATION(do_ror, "ror %%cl, %1")
OPERATION(do_inc, "inc %1")
OPERATION(do_dec, "dec %1")
OPERATION(do_neg, "neg %1")

static uint64_t do_imul(unsigned int width, uint64_t a, uint64_t b, uint64_t *flags)
{
	uint64_t out, f = *flags;

	if (width == 2)
		RUN2("imul %2, %1", uint16_t, out, a, b, f);
	else if (width == 4)
		RUN2("imul %2, %1", uint32_t, out, a, b, f);
	else
		RUN2("imul %2, %1", uint64_t, out, a, b, f);
	*flags = f;
	return out;
}

typedef uint64_t (*operation_fn)(unsigned int width, uint64_t a, uint64_t b, uint64_t *flags);

static const struct {
	operation_fn fn;
	uint32_t changes; /* flags */
} operations[] = {
	[ALU_ADD] = { do_add, ARITHMETIC },  [ALU_OR] = { do_or, ARITHMETIC },
	[ALU_ADC] = { do_adc, ARITHMETIC },  [ALU_SBB] = { do_sbb, ARITHMETIC },
	[ALU_AND] = { do_and, ARITHMETIC },  [ALU_SUB] = { do_sub, ARITHMETIC },
	[ALU_XOR] = { do_xor, ARITHMETIC },  [ALU_CMP] = { do_sub, ARITHMETIC },
	[ALU_TEST] = { do_and, ARITHMETIC }, [ALU_SHL] = { do_shl, ARITHMETIC },
	[ALU_SHR] = { do_shr, ARITHMETIC },  [ALU_SAR] = { do_sar, ARITHMETIC },
	[ALU_ROL] = { do_rol, CF | OF },     [ALU_ROR] = { do_ror, CF | OF },
	[ALU_INC] = { do_inc, ARITHMETIC },  [ALU_DEC] = { do_dec, ARITHMETIC },
	[ALU_NEG] = { do_neg, ARITHMETIC },  [ALU_IMUL] = { do_imul, CF | OF },
};

static bool is_shift(enum insn_alu op)
{
	return op >= ALU_SHL && op <= ALU_ROR;
}

static uint64_t bit_operation(enum insn_alu op, uint64_t a, uint64_t bit, uint64_t *flags)
{
	*flags = (*flags & ~(uint64_t)CF) | ((a >> bit) & 1);
	if (op == ALU_BTS)
		return a | BIT64(bit);
	if (op == ALU_BTR)
		return a & ~BIT64(bit);
	if (op == ALU_BTC)
		return a ^ BIT64(bit);
	return a;
}

uint64_t alu(enum insn_alu op, unsigned int width, uint64_t a, uint64_t b, uint64_t *flags)
{
	uint64_t out, changed = *flags;

	if (op == ALU_NOT)
		return ~a;
	if (op >= ALU_BT)
		return bit_operation(op, a, b, flags);
	if (is_shift(op)) {
		b &= width == 8 ? 63 : 31;
		if (b == 0)
			return a;
	}
	out = operations[op].fn(width, a, b, &changed);
	*flags = (*flags & ~(uint64_t)operations[op].changes) | (changed & operations[op].changes);
	return out;
}

bool condition(unsigned int cc, uint64_t flags)
{
	bool less = !(flags & SF) != !(flags & OF), r = false;

	switch (cc >> 1) {
	case 0:
		r = flags & OF;
		break;
	case 1:
		r = flags & CF;
		break;
	case 2:
		r = flags & ZF;
		break;
	case 3:
		r = flags & (CF | ZF);
		break;
	case 4:
		r = flags & SF;
		break;
	case 5:
		r = flags & PF;
		break;
	case 6:
		r = less;
		break;
	case 7:
		r = less || (flags & ZF);
		break;
	}
	return r != (cc & 1);
}
