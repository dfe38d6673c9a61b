/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An x86-64 instruction with a memory operand, as decode.c understands it and emulate.c carries it out.
 *
 * General registers go by their number in the instruction set (0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6
 * rsi, 7 rdi, 8..15), vector registers by 0..31. Widths are in bytes.
 */
#ifndef UVFIO_INTERCEPT_INSN_H
#define UVFIO_INTERCEPT_INSN_H

#include "base/base.h"

#include <ucontext.h>

enum insn_op {
	INSN_UNKNOWN,
	INSN_LOAD,  /* reg = mem, extended from width to reg_width: mov movzx movsx movsxd movbe */
	INSN_STORE, /* mem = reg or imm: mov movnti movbe */
	INSN_ALU,   /* alu(dst, src), one of them memory; the result is dropped for cmp and test */
	INSN_ALU1,  /* alu(mem) */
	INSN_IMUL,  /* reg = mem * (imm or reg) */
	INSN_BIT,   /* bt bts btr btc */
	INSN_XCHG,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_CMOV,
	INSN_SETCC,
	INSN_PUSH,
	INSN_POP,
	INSN_MOVS,
	INSN_STOS,
	INSN_LODS,
	INSN_VLOAD, /* vector register = mem; the rest as vec says */
	INSN_VSTORE,
};

/* The operations of INSN_ALU, INSN_ALU1 and INSN_BIT. */
enum insn_alu {
	ALU_ADD,
	ALU_OR,
	ALU_ADC,
	ALU_SBB,
	ALU_AND,
	ALU_SUB,
	ALU_XOR,
	ALU_CMP,
	ALU_TEST,
	ALU_SHL,
	ALU_SHR,
	ALU_SAR,
	ALU_ROL,
	ALU_ROR,
	ALU_INC,
	ALU_DEC,
	ALU_NEG,
	ALU_NOT,
	ALU_IMUL,
	ALU_BT,
	ALU_BTS,
	ALU_BTR,
	ALU_BTC,
};

enum insn_vec {
	VEC_ZERO_REST, /* the register's other bits up to 127 become 0; with VEX or EVEX, all others */
	VEC_MERGE,     /* the register keeps its other bits (VEX: takes those up to 127 from reg2) */
};

#define INSN_NO_REG 0xff
#define INSN_RIP    16

struct insn {
	uint8_t op;        /* enum insn_op */
	uint8_t alu;       /* enum insn_alu; cmov, setcc: the condition's number */
	uint8_t width;     /* of the memory operand */
	uint8_t reg_width; /* of the register operand; vectors: of what a write defines, 16, 32 or 64 */
	uint8_t reg, reg2; /* INSN_NO_REG: the other operand is imm */
	uint8_t length;    /* of the instruction */
	uint8_t base, index, scale;
	uint8_t segment;  /* 0, or 'f', or 'g' */
	uint8_t vec;      /* enum insn_vec */
	uint8_t vec_at;   /* byte within the vector register */
	uint8_t mask_reg; /* AVX-512 opmask, 0: none */
	uint8_t element;  /* bytes per bit of the opmask */
	uint8_t high : 1; /* reg is ah, ch, dh or bh */
	uint8_t sign : 1;
	uint8_t swap : 1;      /* movbe */
	uint8_t to_memory : 1; /* INSN_ALU: the destination is memory */
	uint8_t repeat : 1;
	uint8_t address32 : 1;
	uint8_t vex : 1;       /* VEX or EVEX encoded */
	uint8_t mask_zero : 1; /* elements that are masked out become 0 */
	int64_t imm;
	int64_t disp;
};

/* Load the decoder. Not in a signal handler. 0, or -ENOSYS and one line on stderr. */
int decode_init(void);

/*
 * The instruction at ip. Safe in a signal handler. False: it cannot be carried out, or cannot be read;
 * unknown then says in words what is there ("f30f6f00 movdqu").
 */
bool decode(uint64_t ip, struct insn *insn, char *unknown, size_t len);

enum access_result {
	ACCESS_OK,
	ACCESS_FAULT, /* SIGSEGV */
	ACCESS_BUS,   /* SIGBUS */
};

/* How an instruction reaches memory: len bytes at va. */
typedef enum access_result (*insn_access_fn)(uint64_t va, void *data, unsigned int len, bool write);

/* Carry insn out on uc. Unless ACCESS_OK, no register has changed. */
enum access_result emulate(const struct insn *insn, ucontext_t *uc, insn_access_fn access);

/* A vector instruction (vector.c). vector_init: find out where the registers lie in a signal frame. */
void vector_init(void);
enum access_result emulate_vector(const struct insn *insn, ucontext_t *uc, uint64_t va,
				  insn_access_fn access);

/*
 * The result of op, with *flags (the flags register) changed as the processor does. b is ignored by
 * operations on one operand. width: 1, 2, 4 or 8.
 */
uint64_t alu(enum insn_alu op, unsigned int width, uint64_t a, uint64_t b, uint64_t *flags);

/* Is condition cc (as instructions encode it, 0..15) true? */
bool condition(unsigned int cc, uint64_t flags);

#endif
