/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small guests, each a few instructions, which end with HLT or something worse. Memory is 64 KiB from address
 * 0; a page at READONLY may not be written; everything else is I/O. ES is at I/O, EBX is 0x10, ECX 3, EDX
 * 0x500. Every vector leads to a handler that puts its number out at port 0x77, and the top of its stack at
 * 0x78, and halts; vector 0x40 has one that returns. In long mode pages are mapped one to one, but for
 * 0x40000000, which is I/O at 0xe0000000, and 0x40200000, which is not present.
 */
#ifndef UVFIO_TESTS_KVM_GUESTS_H
#define UVFIO_TESTS_KVM_GUESTS_H

enum guest_mode { REAL, PROTECTED, LONG };

struct guest {
	const char *name;
	enum guest_mode mode;
	const char *code, *end;
	unsigned int flags;
};

#define WINDOW         1u /* the program asks for the interrupt window, then interrupts with 0x40 */
#define INTERRUPT      2u /* vector 0x40 is waiting from the start */
#define NO_IDT         4u
#define ELSEWHERE      8u  /* kernels differ, by what they have of the processor */
#define BETWEEN        16u /* registers differ between the accesses of one instruction */

#define BITS_REAL      "16"
#define BITS_PROTECTED "32"
#define BITS_LONG      "64"

#define GUESTS(X)                                                                                            \
	X(halt, REAL, 0, "hlt")                                                                              \
	X(out_byte, REAL, 0, "movb $0x5a, %al; outb %al, %dx; hlt")                                          \
	X(out_word, REAL, 0, "movw $0x1234, %ax; outw %ax, %dx; outw %ax, $0x44; hlt")                       \
	X(out_long, REAL, 0, "movl $0x12345678, %eax; outl %eax, %dx; incw %bx; hlt")                        \
	X(in_byte, REAL, 0, "movl $-1, %eax; inb %dx, %al; outl %eax, %dx; hlt")                             \
	X(in_word, REAL, 0, "movl $-1, %eax; inw %dx, %ax; outl %eax, %dx; hlt")                             \
	X(in_long, REAL, 0, "inl %dx, %eax; outl %eax, %dx; inl $0x10, %eax; hlt")                           \
	X(in_adds, REAL, 0, "inb %dx, %al; addb $0x70, %al; pushfw; popw %ax; outw %ax, %dx; hlt")           \
	X(eventfd_out, REAL, 0, "movw $0x5aa5, %ax; outw %ax, $0x80; outb %al, $0x80; outb %al, %dx; hlt")   \
	X(eventfd_mmio, REAL, 0, "movl $7, %eax; movl %eax, %es:0x80; movw %ax, %es:0x80; hlt")              \
	X(flags_kept, REAL, 0,                                                                               \
	  "cmpw $4, %cx; outb %al, %dx; jb 1f; incw %bx; 1: setc %al; outb %al, %dx; hlt")                   \
	X(loop_out, REAL, 0, "1: movb %cl, %al; outb %al, %dx; loop 1b; hlt")                                \
	X(outs, REAL, 0, "movw $0x9000, %si; movw $0x4241, (%si); outsb; hlt")                               \
	X(outs_repeated, REAL, 0, "movw $0x9000, %si; movl $0x44434241, (%si); rep outsb; incw %bx; hlt")    \
	X(store_byte, REAL, 0, "movb $0x5a, %es:0x21; hlt")                                                  \
	X(store_word, REAL, 0, "movw $0x1234, %es:0x20; hlt")                                                \
	X(store_long, REAL, 0, "movl $0x12345678, %es:0x20; incw %bx; hlt")                                  \
	X(load_byte, REAL, 0, "movl $-1, %eax; movb %es:0x21, %al; outl %eax, %dx; hlt")                     \
	X(load_word, REAL, 0, "movl $-1, %eax; movw %es:0x20, %ax; outl %eax, %dx; hlt")                     \
	X(load_long, REAL, 0, "movl %es:0x20, %eax; outl %eax, %dx; hlt")                                    \
	X(load_extend, REAL, 0, "movzbl %es:0x20, %eax; movsbl %es:0x21, %ebx; outl %eax, %dx; hlt")         \
	X(add_to_io, REAL, 0, "addb $5, %es:0x20; pushfw; popw %ax; outw %ax, %dx; hlt")                     \
	X(add_from_io, REAL, 0, "movl $1, %eax; addl %es:0x20, %eax; outl %eax, %dx; hlt")                   \
	X(exchange_io, REAL, 0, "movl $0x11, %eax; xchgl %eax, %es:0x20; outl %eax, %dx; hlt")               \
	X(test_io, REAL, 0, "testb $1, %es:0x20; setz %al; outb %al, %dx; hlt")                              \
	X(move_to_io, REAL, 0, "movw $0x9000, %si; movw $0x4241, (%si); movw $0x30, %di; movsw; hlt")        \
	X(store_string, REAL, BETWEEN, "movw $0x30, %di; movb $0x11, %al; rep stosb; hlt")                   \
	X(unmapped, REAL, 0, "movw %es:0x1000, %ax; hlt")                                                    \
	X(readonly_load, REAL, 0, "movw $0xf000, %si; movl (%si), %eax; outl %eax, %dx; hlt")                \
	X(readonly_store, REAL, 0,                                                                           \
	  "movw $0xf000, %si; movl $9, (%si); movl (%si), %eax; outl %eax, %dx; hlt")                        \
	X(vector, REAL, 0, "int $0x31; hlt")                                                                 \
	X(vector_returns, REAL, 0, "stc; int $0x40; setc %al; outb %al, %dx; hlt")                           \
	X(breakpoint, REAL, 0, "int3; hlt")                                                                  \
	X(invalid, REAL, 0, "ud2; hlt")                                                                      \
	X(divide, REAL, 0, "xorw %bx, %bx; divw %bx; hlt")                                                   \
	X(interrupted, REAL, INTERRUPT, "nop; sti; nop; incw %bx; nop; hlt")                                 \
	X(not_interrupted, REAL, INTERRUPT, "cli; incw %bx; hlt")                                            \
	X(window, REAL, WINDOW | ELSEWHERE, "incw %bx; sti; nop; incw %bx; incw %bx; hlt")                   \
	X(shutdown, REAL, NO_IDT | ELSEWHERE, "int $0x31; hlt")                                              \
	X(self_made, REAL, 0, "movw $0xf490, 0x1008; jmp 1f; 1: int3; int3; hlt")                            \
	X(stack, REAL, 0,                                                                                    \
	  "pushw $0x1234; pushw %cx; popw %ax; outw %ax, %dx; movw %sp, %ax; outw %ax, %dx; hlt")            \
	X(call_far, REAL, 0, "pushw %cs; pushw $0x1005; lretw; outb %al, %dx; hlt")                          \
	X(p_out, PROTECTED, 0, "movl $0x12345678, %eax; outl %eax, %dx; inb %dx, %al; hlt")                  \
	X(p_store, PROTECTED, 0, "movl $0x12345678, 0xe0000020; movl 0xe0000024, %eax; outl %eax, %dx; hlt") \
	X(p_vector, PROTECTED, ELSEWHERE, "int $0x31; hlt")                                                  \
	X(p_limit, PROTECTED, 0, "movw $0x33, %ax; movw %ax, %ds; hlt")                                      \
	X(p_segment, PROTECTED, 0, "movw $0x18, %ax; movw %ax, %ds; movl 0x20, %eax; hlt")                   \
	X(p_system, PROTECTED, 0, "movl %cr0, %eax; andl $1, %eax; outb %al, %dx; smsw %ax; hlt")            \
	X(l_out, LONG, 0, "movq $-1, %rax; inl %dx, %eax; outl %eax, %dx; hlt")                              \
	X(l_store8, LONG, 0,                                                                                 \
	  "movq $0x123456789abcdef, %rax; movl $0x40000020, %edi; movq %rax, (%rdi); hlt")                   \
	X(l_load8, LONG, 0,                                                                                  \
	  "movl $0x40000020, %edi; movq (%rdi), %rax; outl %eax, %dx; movq %rax, %rbx; hlt")                 \
	X(l_eventfd8, LONG, 0, "movl $0x40000088, %edi; movq %rdi, (%rdi); movl %edi, (%rdi); hlt")          \
	X(l_store16, LONG, BETWEEN, "movl $0x40000020, %edi; movups %xmm0, (%rdi); hlt")                     \
	X(l_fault, LONG, 0, "movl $0x40200123, %edi; movb (%rdi), %al; hlt")                                 \
	X(l_fault_store, LONG, 0, "movl $0x40200ffe, %edi; movl %eax, (%rdi); hlt")                          \
	X(l_cross, LONG, ELSEWHERE, "movl $0x40000ffe, %edi; movl $0x12345678, (%rdi); hlt")                 \
	X(l_vector, LONG, ELSEWHERE, "int $0x31; hlt")                                                       \
	X(l_invalid, LONG, 0, "ud2; hlt")                                                                    \
	X(l_canonical, LONG, 0, "movabsq $0x8000000000000000, %rdi; movb (%rdi), %al; hlt")                  \
	X(l_msr, LONG, 0,                                                                                    \
	  "movl $0xc0000100, %ecx; movl $0x1000, %eax; xorl %edx, %edx; wrmsr; movb %fs:0x0, %al; movw "     \
	  "$0x500, %dx; outb %al, %dx; hlt")                                                                 \
	X(l_control, LONG, 0,                                                                                \
	  "movq %cr3, %rax; outl %eax, %dx; movq %cr4, %rax; andl $0x20, %eax; outl %eax, %dx; hlt")

#endif
