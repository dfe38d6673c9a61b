/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies that survive a fault.
 *
 * The copy is one leaf routine in assembly that uses no stack and no register that a caller expects back. So
 * a fault at any of its instructions is recovered from by resuming at its exit: the handler needs to know
 * only the routine's bounds (fault_copy_exit). That the routine is ours also keeps sanitizers from reporting
 * the races with a program's own threads that DMA consists of.
 *
 * Promise to devices: a copy of exactly 1, 2, 4, 8 or 16 bytes is one load and one store.
 *
 * Without a handler the kernel copies, with process_vm_readv() on this process. Where a sandbox forbids that,
 * the handler is installed after all.
 */
#include "base/fault.h"
#include "base/fault_impl.h"

#include <cpuid.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* From here on the call is worth more than the short copies' branches. */
#define WIDE_MIN 512
/* And from here on the processor's own copy wins over any loop. */
#define STRING_MIN ((size_t)48 * 1024)

/* How far our frame may lie from its stack's upper end for that end to be recognised. */
#define NEAR_STACK ((uintptr_t)256 * 1024)

int fault_copy_short(void *dst, const void *src, size_t len) __attribute__((visibility("hidden")));
int fault_copy_wide(void *dst, const void *src, size_t len) __attribute__((visibility("hidden")));
int fault_copy_string(void *dst, const void *src, size_t len) __attribute__((visibility("hidden")));
extern const char fault_copy_short_end[] __attribute__((visibility("hidden")));
extern const char fault_copy_short_exit[] __attribute__((visibility("hidden")));
extern const char fault_copy_wide_end[] __attribute__((visibility("hidden")));
extern const char fault_copy_wide_exit[] __attribute__((visibility("hidden")));
extern const char fault_copy_string_end[] __attribute__((visibility("hidden")));
extern const char fault_copy_string_exit[] __attribute__((visibility("hidden")));
int fault_touch(void *at) __attribute__((visibility("hidden")));
extern const char fault_touch_end[] __attribute__((visibility("hidden")));
extern const char fault_touch_exit[] __attribute__((visibility("hidden")));

/* rdi: dst, rsi: src, rdx: bytes. The wide one (at least 256 bytes) needs AVX. */
__asm__(".pushsection .text\n"
	".macro UVFIO_COPY_ENTRY name\n"
	"	.p2align 6\n"
	"	.globl \\name\n"
	"	.hidden \\name\n"
	"	.type \\name, @function\n"
	"\\name:\n"
	".endm\n"
	".macro UVFIO_COPY_EXIT name\n"
	"	.globl \\name\\()_end\n"
	"	.hidden \\name\\()_end\n"
	"	.globl \\name\\()_exit\n"
	"	.hidden \\name\\()_exit\n"
	"\\name\\()_end:\n"
	"\\name\\()_exit:\n"
	".endm\n"

	"UVFIO_COPY_ENTRY fault_copy_short\n"
	"	.cfi_startproc\n"
	"	xorl %eax, %eax\n"
	"	cmpq $16, %rdx\n"
	"	ja 5f\n"
	"	je 4f\n"
	"	cmpq $8, %rdx\n"
	"	ja 3f\n"
	"	je 2f\n"
	"	cmpq $4, %rdx\n"
	"	ja 1f\n"
	"	je 0f\n"
	"	cmpq $2, %rdx\n"
	"	ja 7f\n"
	"	je 6f\n"
	"	testq %rdx, %rdx\n"
	"	je 8f\n"
	"	movzbl (%rsi), %ecx\n"
	"	movb %cl, (%rdi)\n"
	"8:	ret\n"
	"6:	movzwl (%rsi), %ecx\n"
	"	movw %cx, (%rdi)\n"
	"	ret\n"
	"7:	movzwl (%rsi), %ecx\n"
	"	movzbl 2(%rsi), %r8d\n"
	"	movw %cx, (%rdi)\n"
	"	movb %r8b, 2(%rdi)\n"
	"	ret\n"
	"0:	movl (%rsi), %ecx\n"
	"	movl %ecx, (%rdi)\n"
	"	ret\n"
	"1:	movl (%rsi), %ecx\n"
	"	movl -4(%rsi,%rdx), %r8d\n"
	"	movl %ecx, (%rdi)\n"
	"	movl %r8d, -4(%rdi,%rdx)\n"
	"	ret\n"
	"2:	movq (%rsi), %rcx\n"
	"	movq %rcx, (%rdi)\n"
	"	ret\n"
	"3:	movq (%rsi), %rcx\n"
	"	movq -8(%rsi,%rdx), %r8\n"
	"	movq %rcx, (%rdi)\n"
	"	movq %r8, -8(%rdi,%rdx)\n"
	"	ret\n"
	"4:	movups (%rsi), %xmm0\n"
	"	movups %xmm0, (%rdi)\n"
	"	ret\n"
	/* 17 and more: the last 16 bytes first, then forward in steps of 64 and of 16. */
	"5:	movups -16(%rsi,%rdx), %xmm0\n"
	"	leaq -16(%rdi,%rdx), %r8\n"
	"	cmpq $64, %rdx\n"
	"	jbe 2f\n"
	"1:	movups (%rsi), %xmm1\n"
	"	movups 16(%rsi), %xmm2\n"
	"	movups 32(%rsi), %xmm3\n"
	"	movups 48(%rsi), %xmm4\n"
	"	movups %xmm1, (%rdi)\n"
	"	movups %xmm2, 16(%rdi)\n"
	"	movups %xmm3, 32(%rdi)\n"
	"	movups %xmm4, 48(%rdi)\n"
	"	addq $64, %rsi\n"
	"	addq $64, %rdi\n"
	"	subq $64, %rdx\n"
	"	cmpq $64, %rdx\n"
	"	ja 1b\n"
	"2:	cmpq $16, %rdx\n"
	"	jbe 3f\n"
	"	movups (%rsi), %xmm1\n"
	"	movups %xmm1, (%rdi)\n"
	"	addq $16, %rsi\n"
	"	addq $16, %rdi\n"
	"	subq $16, %rdx\n"
	"	jmp 2b\n"
	"3:	movups %xmm0, (%r8)\n"
	"	ret\n"
	"UVFIO_COPY_EXIT fault_copy_short\n"
	"	movl $-14, %eax\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size fault_copy_short, . - fault_copy_short\n"

	"UVFIO_COPY_ENTRY fault_copy_wide\n"
	"	.cfi_startproc\n"
	"	xorl %eax, %eax\n"
	"	vmovups (%rsi), %ymm0\n"
	"	vmovups %ymm0, (%rdi)\n"
	"	movl %edi, %ecx\n"
	"	andl $31, %ecx\n"
	"	negq %rcx\n"
	"	addq $32, %rcx\n" /* 1..32 bytes bring dst to a boundary */
	"	addq %rcx, %rsi\n"
	"	addq %rcx, %rdi\n"
	"	subq %rcx, %rdx\n"
	"	.p2align 4\n"
	"1:	vmovups (%rsi), %ymm0\n"
	"	vmovups 32(%rsi), %ymm1\n"
	"	vmovups 64(%rsi), %ymm2\n"
	"	vmovups 96(%rsi), %ymm3\n"
	"	vmovaps %ymm0, (%rdi)\n"
	"	vmovaps %ymm1, 32(%rdi)\n"
	"	vmovaps %ymm2, 64(%rdi)\n"
	"	vmovaps %ymm3, 96(%rdi)\n"
	"	subq $-128, %rsi\n"
	"	subq $-128, %rdi\n"
	"	addq $-128, %rdx\n"
	"	cmpq $128, %rdx\n"
	"	ja 1b\n"
	"	vmovups -128(%rsi,%rdx), %ymm0\n"
	"	vmovups -96(%rsi,%rdx), %ymm1\n"
	"	vmovups -64(%rsi,%rdx), %ymm2\n"
	"	vmovups -32(%rsi,%rdx), %ymm3\n"
	"	vmovups %ymm0, -128(%rdi,%rdx)\n"
	"	vmovups %ymm1, -96(%rdi,%rdx)\n"
	"	vmovups %ymm2, -64(%rdi,%rdx)\n"
	"	vmovups %ymm3, -32(%rdi,%rdx)\n"
	"	vzeroupper\n"
	"	ret\n"
	"UVFIO_COPY_EXIT fault_copy_wide\n"
	"	vzeroupper\n"
	"	movl $-14, %eax\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size fault_copy_wide, . - fault_copy_wide\n"

	"UVFIO_COPY_ENTRY fault_copy_string\n"
	"	.cfi_startproc\n"
	"	xorl %eax, %eax\n"
	"	movq %rdx, %rcx\n"
	"	rep movsb\n"
	"	ret\n"
	"UVFIO_COPY_EXIT fault_copy_string\n"
	"	movl $-14, %eax\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size fault_copy_string, . - fault_copy_string\n"

	"UVFIO_COPY_ENTRY fault_touch\n"
	"	.cfi_startproc\n"
	"	xorl %eax, %eax\n"
	"	lock orb $0, (%rdi)\n"
	"	ret\n"
	"UVFIO_COPY_EXIT fault_touch\n"
	"	movl $-14, %eax\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size fault_touch, . - fault_touch\n"
	".popsection\n");

/* CPUID leaf 7: fast rep movsb. */
static bool cpu_has_erms(void)
{
	static atomic_int known; /* 0: not asked yet, 1: no, 2: yes */
	int k = atomic_load_explicit(&known, memory_order_relaxed);
	unsigned int a, b, c, d;

	if (!k) {
		k = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & BIT32(9)) ? 2 : 1;
		atomic_store_explicit(&known, k, memory_order_relaxed);
	}
	return k == 2;
}

uintptr_t fault_copy_exit(uintptr_t ip)
{
	if (ip >= (uintptr_t)fault_copy_short && ip < (uintptr_t)fault_copy_short_end)
		return (uintptr_t)fault_copy_short_exit;
	if (ip >= (uintptr_t)fault_copy_wide && ip < (uintptr_t)fault_copy_wide_end)
		return (uintptr_t)fault_copy_wide_exit;
	if (ip >= (uintptr_t)fault_copy_string && ip < (uintptr_t)fault_copy_string_end)
		return (uintptr_t)fault_copy_string_exit;
	if (ip >= (uintptr_t)fault_touch && ip < (uintptr_t)fault_touch_end)
		return (uintptr_t)fault_touch_exit;
	return 0;
}

int touch_nofault(void *at)
{
	return fault_touch(at);
}

static int copy_trapped(void *dst, const void *src, size_t len)
{
	if (len >= STRING_MIN && cpu_has_erms())
		return fault_copy_string(dst, src, len);
	if (len >= WIDE_MIN && __builtin_cpu_supports("avx"))
		return fault_copy_wide(dst, src, len);
	return fault_copy_short(dst, src, len);
}

static int copy_by_kernel(void *dst, const void *src, size_t len)
{
	int saved = errno, rc = 0;

	while (len && !rc) {
		struct iovec to = { dst, len }, from = { (void *)(uintptr_t)src, len };
		ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

		if (n > 0) {
			dst = (char *)dst + n;
			src = (const char *)src + n;
			len -= (size_t)n;
		} else if (n < 0 && (errno == EPERM || errno == ENOSYS)) {
			rc = fault_handler_install(NULL);
			if (!rc)
				rc = copy_trapped(dst, src, len);
			break;
		} else {
			rc = -EFAULT;
		}
	}
	errno = saved;
	return rc;
}

int copy_nofault(void *dst, const void *src, size_t len)
{
	if (likely(fault_handler_installed()))
		return copy_trapped(dst, src, len);
	return copy_by_kernel(dst, src, len);
}

/*
 * Pages of this thread's stack that the kernel has copied an argument from or to. As long as they lie between
 * our frame and the upper end of the stack that we run on, they are in use and stay mapped.
 */
static __thread struct {
	uintptr_t start, end;
} known_stack;

extern void *__libc_stack_end; /* where the first thread began */

/* The upper end of the stack that holds frame: below a thread's own structure. 0: a program's own stack. */
static uintptr_t stack_end(uintptr_t frame)
{
	uintptr_t thread = (uintptr_t)pthread_self(), first = (uintptr_t)__libc_stack_end;

	if (thread - frame < NEAR_STACK)
		return thread;
	return first - frame < NEAR_STACK ? first : 0;
}

static void know_stack(uintptr_t at, size_t len)
{
	uintptr_t start = align_down(at, UVFIO_PAGE_SIZE), end = align_up(at + len, UVFIO_PAGE_SIZE);

	if (start <= known_stack.end && end >= known_stack.start) {
		known_stack.start = MIN(start, known_stack.start);
		known_stack.end = MAX(end, known_stack.end);
	} else {
		known_stack.start = start;
		known_stack.end = end;
	}
}

int copy_arg_nofault(void *dst, const void *src, size_t len, const void *foreign)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0), at = (uintptr_t)foreign, end;
	bool near;
	int rc;

	if (fault_handler_installed())
		return copy_trapped(dst, src, len);
	near = at >= frame && !add_overflows(at, len, &end) && end <= stack_end(frame);
	if (near && at >= known_stack.start && end <= known_stack.end) {
		memcpy(dst, src, len);
		return 0;
	}
	rc = copy_by_kernel(dst, src, len);
	if (!rc && near && len)
		know_stack(at, len);
	return rc;
}
