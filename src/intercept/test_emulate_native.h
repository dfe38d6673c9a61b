/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_native(): call a piece of code with all registers and flags set from a structure, and put what it
 * leaves there back. For one test program only; not for several threads.
 */
#ifndef UVFIO_INTERCEPT_TEST_EMULATE_NATIVE_H
#define UVFIO_INTERCEPT_TEST_EMULATE_NATIVE_H

#include <stdint.h>

/* Also known to the assembly below. */
struct state {
	uint64_t gpr[16]; /* rax rcx rdx rbx (rsp) rbp rsi rdi r8.. */
	uint64_t flags;
	uint64_t pad[7];
	uint8_t vec[32][64]; /* at 192 */
	uint64_t mask[8];    /* at 2240 */
};

void run_native(void (*code)(void), struct state *state, unsigned int level);
extern struct state *run_state;
extern void (*run_code)(void);
extern uint64_t run_rax;
extern uint32_t run_level;
struct state *run_state;
void (*run_code)(void);
uint64_t run_rax;
uint32_t run_level; /* 0: SSE, 1: AVX, 2: AVX-512 */

__asm__(".pushsection .text\n"
	".irp dir, load, store\n"
	".type vectors_\\dir, @function\n"
	"vectors_\\dir:\n" /* of the state at rax */
	"	cmpl $1, run_level(%rip)\n"
	"	je 1f\n"
	"	ja 2f\n"
	"	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	.ifc \\dir, load\n"
	"	movups 192+64*\\n(%rax), %xmm\\n\n"
	"	.else\n"
	"	movups %xmm\\n, 192+64*\\n(%rax)\n"
	"	.endif\n"
	"	.endr\n"
	"	ret\n"
	"1:\n"
	"	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	.ifc \\dir, load\n"
	"	vmovups 192+64*\\n(%rax), %ymm\\n\n"
	"	.else\n"
	"	vmovups %ymm\\n, 192+64*\\n(%rax)\n"
	"	.endif\n"
	"	.endr\n"
	"	ret\n"
	"2:\n"
	"	.irp n, "
	"0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
	"	.ifc \\dir, load\n"
	"	vmovups 192+64*\\n(%rax), %zmm\\n\n"
	"	.else\n"
	"	vmovups %zmm\\n, 192+64*\\n(%rax)\n"
	"	.endif\n"
	"	.endr\n"
	"	.irp n, 1,2,3,4,5,6,7\n"
	"	.ifc \\dir, load\n"
	"	kmovq 2240+8*\\n(%rax), %k\\n\n"
	"	.else\n"
	"	kmovq %k\\n, 2240+8*\\n(%rax)\n"
	"	.endif\n"
	"	.endr\n"
	"	ret\n"
	".endr\n"
	".globl run_native\n"
	".type run_native, @function\n"
	"run_native:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	sub $8, %rsp\n"
	"	mov %rdi, run_code(%rip)\n"
	"	mov %rsi, run_state(%rip)\n"
	"	mov %edx, run_level(%rip)\n"
	"	mov %rsi, %rax\n"
	"	call vectors_load\n"
	"	push 128(%rax)\n"
	"	popfq\n"
	"	mov 8(%rax), %rcx\n	mov 16(%rax), %rdx\n	mov 24(%rax), %rbx\n"
	"	mov 40(%rax), %rbp\n	mov 48(%rax), %rsi\n	mov 56(%rax), %rdi\n"
	"	mov 64(%rax), %r8\n	mov 72(%rax), %r9\n	mov 80(%rax), %r10\n"
	"	mov 88(%rax), %r11\n	mov 96(%rax), %r12\n	mov 104(%rax), %r13\n"
	"	mov 112(%rax), %r14\n	mov 120(%rax), %r15\n	mov (%rax), %rax\n"
	"	call *run_code(%rip)\n"
	"	mov %rax, run_rax(%rip)\n"
	"	mov run_state(%rip), %rax\n"
	"	pushfq\n"
	"	popq 128(%rax)\n"
	"	mov %rcx, 8(%rax)\n	mov %rdx, 16(%rax)\n	mov %rbx, 24(%rax)\n"
	"	mov %rbp, 40(%rax)\n	mov %rsi, 48(%rax)\n	mov %rdi, 56(%rax)\n"
	"	mov %r8, 64(%rax)\n	mov %r9, 72(%rax)\n	mov %r10, 80(%rax)\n"
	"	mov %r11, 88(%rax)\n	mov %r12, 96(%rax)\n	mov %r13, 104(%rax)\n"
	"	mov %r14, 112(%rax)\n	mov %r15, 120(%rax)\n"
	"	call vectors_store\n"
	"	mov run_rax(%rip), %rcx\n"
	"	mov %rcx, (%rax)\n"
	"	cld\n"
	"	add $8, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n"
	".popsection\n");

#endif
