/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving the program a signal that arrived at our handler, as the kernel would have done.
 *
 * Default action: the kernel's own is put back and the instruction runs again, so that the core file shows
 * the place. Handler: called on our frame, which is the very frame that the kernel made, unless it wants the
 * other stack; then a copy of the frame is made there and we return into the handler.
 *
 * SIGSEGV and SIGBUS are never blocked while ours is installed. That the program's handler runs "with its
 * signal blocked" is therefore kept as a pattern in the thread's signal mask (one of two high real-time
 * signals blocked, a third not): the kernel takes it away by itself when the handler returns or is left by
 * siglongjmp(). A second fault under the pattern kills, as a blocked one does.
 */
#include "base/crash.h"
#include "base/fault_impl.h"

#include <string.h>

#define MARK_SEGV      61
#define MARK_BUS       62
#define MARK_NONE      60 /* not blocked: the pattern is ours, and not a program's that blocks everything */

#define DIRECTION_FLAG 0x400
#define TRAP_FLAG      0x100
#define RESUME_FLAG    0x10000

#define RED_ZONE       128
#define FPSTATE_SIZE   512 /* without extension */
#define FPSTATE_SW     464 /* offset of what the kernel says about the extension */
#define FPSTATE_MAGIC  0x46505853u
#define FPSTATE_MAX    16384

/* What the kernel lays out for a handler. Its ucontext ends with a mask of one word. */
#define KERNEL_UC_SIZE (offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t))

struct kernel_sigframe {
	uint64_t restorer;
	uint8_t uc[KERNEL_UC_SIZE];
	siginfo_t info;
};

static uint64_t get_mask(const ucontext_t *uc)
{
	uint64_t mask;

	memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
	return mask;
}

static void set_mask(ucontext_t *uc, uint64_t mask)
{
	memcpy(&uc->uc_sigmask, &mask, sizeof(mask));
}

bool fault_mask_deferred(uint64_t mask, int sig)
{
	uint64_t mark = sig == SIGBUS ? SIGBIT(MARK_BUS) : SIGBIT(MARK_SEGV);

	return (mask & mark) && !(mask & SIGBIT(MARK_NONE));
}

uint64_t fault_mask_mark(int sig)
{
	return sig == SIGBUS ? SIGBIT(MARK_BUS) : SIGBIT(MARK_SEGV);
}

static uint64_t handler_mask(int sig, const struct kernel_sigaction *act, uint64_t interrupted)
{
	uint64_t mask = (interrupted | act->mask) & ~(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS));

	if (!(act->flags & SA_NODEFER))
		mask = (mask & ~SIGBIT(MARK_NONE)) | fault_mask_mark(sig);
	return mask;
}

void fault_die(int sig, siginfo_t *info, bool raises_again)
{
	struct kernel_sigaction dfl = { .handler = (uint64_t)(uintptr_t)SIG_DFL };

	raw_sigaction(sig, &dfl, NULL);
	if (raises_again)
		return;
	/* Blocked until our frame is returned from, so that it arrives at the interrupted place. */
	raw_sigmask(SIG_BLOCK, SIGBIT(sig), NULL);
	raw_syscall4(SYS_rt_tgsigqueueinfo, raw_syscall4(SYS_getpid, 0, 0, 0, 0),
		     raw_syscall4(SYS_gettid, 0, 0, 0, 0), sig, (long)info);
}

static bool on_alt_stack(const ucontext_t *uc, uintptr_t at)
{
	const stack_t *ss = &uc->uc_stack;

	return !(ss->ss_flags & SS_DISABLE) && at - (uintptr_t)ss->ss_sp < ss->ss_size;
}

static size_t fpstate_size(const void *fpstate)
{
	uint32_t magic, size;

	if (!fpstate)
		return 0;
	memcpy(&magic, (const char *)fpstate + FPSTATE_SW, sizeof(magic));
	memcpy(&size, (const char *)fpstate + FPSTATE_SW + sizeof(magic), sizeof(size));
	return magic == FPSTATE_MAGIC && size <= FPSTATE_MAX ? size : FPSTATE_SIZE;
}

/* Return into the handler on the interrupted stack. -EFAULT: there is no room, and the program has to die. */
static int move_to_stack(int sig, siginfo_t *info, ucontext_t *uc, const struct kernel_sigaction *act)
{
	greg_t *regs = uc->uc_mcontext.gregs;
	size_t fp_size = fpstate_size(uc->uc_mcontext.fpregs);
	uint64_t fp_at = align_down((uint64_t)regs[REG_RSP] - RED_ZONE - fp_size, 64);
	uint64_t at = align_down(fp_at - sizeof(struct kernel_sigframe), 16) - 8;
	uint64_t mask = get_mask(uc);
	struct kernel_sigframe frame = { .restorer = (uint64_t)(uintptr_t)fault_sigaction_restorer,
					 .info = *info };

	memcpy(frame.uc, uc, sizeof(frame.uc));
	if (fp_size)
		memcpy(frame.uc + offsetof(ucontext_t, uc_mcontext.fpregs), &fp_at, sizeof(fp_at));
	if (copy_nofault((void *)at, &frame, sizeof(frame)) ||
	    (fp_size && copy_nofault((void *)fp_at, uc->uc_mcontext.fpregs, fp_size)))
		return -EFAULT;
	regs[REG_RSP] = (greg_t)at;
	regs[REG_RIP] = (greg_t)act->handler;
	regs[REG_RAX] = 0;
	regs[REG_RDI] = sig;
	regs[REG_RSI] = (greg_t)(at + offsetof(struct kernel_sigframe, info));
	regs[REG_RDX] = (greg_t)(at + offsetof(struct kernel_sigframe, uc));
	regs[REG_EFL] &= ~(greg_t)(DIRECTION_FLAG | TRAP_FLAG | RESUME_FLAG);
	set_mask(uc, handler_mask(sig, act, mask));
	return 0;
}

static void call_handler(int sig, siginfo_t *info, ucontext_t *uc, const struct kernel_sigaction *act)
{
	void (*handler)(int, siginfo_t *, void *) =
		(void (*)(int, siginfo_t *, void *))(uintptr_t)act->handler;

	raw_sigmask(SIG_SETMASK, handler_mask(sig, act, get_mask(uc)), NULL);
	handler(sig, info, uc);
	set_mask(uc, get_mask(uc) & ~(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS)));
}

void fault_deliver(int sig, siginfo_t *info, ucontext_t *uc, bool raises_again)
{
	bool synchronous = info->si_code > 0 && !(sig == SIGBUS && info->si_code == BUS_MCEERR_AO);
	struct kernel_sigaction act;

	program_action_read(sig, &act);
	if (act.handler == (uint64_t)(uintptr_t)SIG_IGN && !synchronous)
		return;
	if (act.handler == (uint64_t)(uintptr_t)SIG_DFL || act.handler == (uint64_t)(uintptr_t)SIG_IGN ||
	    (synchronous && fault_mask_deferred(get_mask(uc), sig))) {
		crash_report(sig, info, uc);
		fault_die(sig, info, raises_again && synchronous);
		return;
	}
	if (act.flags & SA_RESETHAND)
		program_action_forget(sig);
	if (!(act.flags & SA_ONSTACK) && on_alt_stack(uc, (uintptr_t)info) &&
	    !on_alt_stack(uc, (uintptr_t)uc->uc_mcontext.gregs[REG_RSP])) {
		if (move_to_stack(sig, info, uc, &act))
			fault_die(SIGSEGV, info, false);
	} else {
		call_handler(sig, info, uc, &act);
	}
}
