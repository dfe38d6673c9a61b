/* SPDX-License-Identifier: BSD-2-Clause */
/* Stacks for traps: see trap_stack.h. One bit of a word says that a stack is in use; nobody waits for one. */
#include "intercept/trap_stack.h"

#include "base/base.h"

#include <pthread.h>
#include <sys/mman.h>

#define STACKS     64u
#define STACK_SIZE ((size_t)64 * 1024)

static _Atomic(char *) stacks;
static _Atomic uint64_t busy;

void trap_stack_switch(void *top, void (*fn)(void *), void *arg) __attribute__((visibility("hidden")));
__asm__(".pushsection .text\n"
	"	.p2align 4\n"
	"	.globl trap_stack_switch\n"
	"	.hidden trap_stack_switch\n"
	"	.type trap_stack_switch, @function\n"
	"trap_stack_switch:\n"
	"	.cfi_startproc\n"
	"	push %rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %rbp, -16\n"
	"	mov %rsp, %rbp\n"
	"	.cfi_def_cfa_register %rbp\n"
	"	mov %rdi, %rsp\n"
	"	mov %rdx, %rdi\n"
	"	call *%rsi\n"
	"	mov %rbp, %rsp\n"
	"	pop %rbp\n"
	"	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	"	.size trap_stack_switch, . - trap_stack_switch\n"
	".popsection\n");

/* The threads that used them are not in this process. */
static void forked(void)
{
	atomic_store(&busy, 0);
}

static void make_stacks(void)
{
	char *p = mmap(NULL, STACKS * STACK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (p == MAP_FAILED)
		return;
	pthread_atfork(NULL, NULL, forked);
	atomic_store(&stacks, p);
}

int trap_stacks_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_stacks);
	return atomic_load(&stacks) ? 0 : -ENOMEM;
}

/* The number of a free stack, now taken; STACKS: none. */
static unsigned int take(void)
{
	uint64_t now = atomic_load_explicit(&busy, memory_order_relaxed);
	unsigned int n;

	do {
		if (now == UINT64_MAX)
			return STACKS;
		n = (unsigned int)__builtin_ctzll(~now);
	} while (!atomic_compare_exchange_weak(&busy, &now, now | BIT64(n)));
	return n;
}

void trap_stack_call(void (*fn)(void *arg), void *arg)
{
	unsigned int n = take();

	if (n == STACKS) {
		fn(arg);
		return;
	}
	trap_stack_switch(atomic_load(&stacks) + (n + 1) * STACK_SIZE, fn, arg);
	atomic_fetch_and(&busy, ~BIT64(n));
}
