/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of base/fault share. */
#ifndef UVFIO_BASE_FAULT_IMPL_H
#define UVFIO_BASE_FAULT_IMPL_H

#include "base/fault.h"

#include <sys/syscall.h>
#include <ucontext.h>

/* The signal action as rt_sigaction() takes it. */
struct kernel_sigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

#define KERNEL_SA_RESTORER 0x04000000u
#define SIGBIT(sig)        BIT64((sig)-1)

/* Signals that an instruction raises: blocking them means death, so that nothing of ours ever does. */
#define SYNCHRONOUS_SIGNALS                                                                                  \
	(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGILL) | SIGBIT(SIGFPE) | SIGBIT(SIGTRAP) |              \
	 SIGBIT(SIGSYS))

/* Signals that people end a program with. */
#define ENDING_SIGNALS (SIGBIT(SIGHUP) | SIGBIT(SIGINT) | SIGBIT(SIGQUIT) | SIGBIT(SIGTERM))

/* System calls that keep errno and meet no hook; the result is negative errno on failure. */
static inline long raw_syscall4(long nr, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long raw_sigaction(int sig, const struct kernel_sigaction *act, struct kernel_sigaction *old)
{
	return raw_syscall4(SYS_rt_sigaction, sig, (long)act, (long)old, sizeof(uint64_t));
}

static inline void raw_sigmask(int how, uint64_t set, uint64_t *old)
{
	raw_syscall4(SYS_rt_sigprocmask, how, (long)&set, (long)old, sizeof(uint64_t));
}

/* Where a fault at ip within the copy routine goes on; 0: ip is elsewhere. */
uintptr_t fault_copy_exit(uintptr_t ip);

/* The code that a handler returns to. */
extern const char fault_sigaction_restorer[] __attribute__((visibility("hidden")));

/*
 * The program's action for SIGSEGV or SIGBUS, while ours is installed. Read in the handler without a lock.
 * forget: SA_RESETHAND has taken effect.
 */
void program_action_read(int sig, struct kernel_sigaction *act);
void program_action_forget(int sig);

/* The default action, when the signal frame is returned from. raises_again: the interrupted instruction will,
 * by itself. */
void fault_die(int sig, siginfo_t *info, bool raises_again);

/*
 * Give the program the signal sig at the place where it was interrupted, as the kernel would have. Returns
 * when the signal frame is to be returned from. raises_again: running the instruction again would raise sig.
 */
void fault_deliver(int sig, siginfo_t *info, ucontext_t *uc, bool raises_again);

#endif
