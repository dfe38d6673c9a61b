/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interposed signal calls: the program's SIGSEGV and SIGBUS beside ours.
 *
 * Actions: for these two signals they are kept by base/fault (which is the kernel's business until our
 * handler is installed). For other signals a handler of ours stands before the program's, and waits while the
 * core is at work (section.h). A handler may touch a register, so neither of the two is ever blocked in it.
 * What people end a program with is let through to a thread in our handler while it has the default action.
 *
 * Masks: a blocked SIGSEGV kills a thread that faults, whoever the fault belongs to. So the two are never
 * blocked in the kernel's mask of a thread; what the program believes is kept per thread, and shown to it. It
 * may get out of step when a program leaves by siglongjmp() or setcontext(): then only what the program is
 * shown is wrong.
 */
#include "base/crash.h"
#include "base/fault.h"
#include "intercept/intercept.h"
#include "intercept/section.h"

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define HIDDEN_SEGV 1u
#define HIDDEN_BUS  2u

/* What this thread believes to have blocked. */
static __thread uint8_t believed;

/* The same for the sa_mask of each signal. */
static _Atomic uint8_t masked_by_action[NSIG];

static uint8_t hidden_in(const sigset_t *set)
{
	return (uint8_t)((sigismember(set, SIGSEGV) == 1 ? HIDDEN_SEGV : 0) |
			 (sigismember(set, SIGBUS) == 1 ? HIDDEN_BUS : 0));
}

static void strip(sigset_t *set)
{
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGBUS);
}

static void show(sigset_t *set, uint8_t hidden)
{
	if (hidden & HIDDEN_SEGV)
		sigaddset(set, SIGSEGV);
	if (hidden & HIDDEN_BUS)
		sigaddset(set, SIGBUS);
}

static uint64_t kernel_mask(const sigset_t *set)
{
	uint64_t mask;

	memcpy(&mask, set, sizeof(mask));
	return mask;
}

/* A program that unblocks its signal within its handler wants to get it again. */
static void unmark(sigset_t *set, uint8_t hidden)
{
	uint64_t mask = kernel_mask(set);

	if (hidden & HIDDEN_SEGV)
		mask |= fault_mask_mark(SIGSEGV);
	if (hidden & HIDDEN_BUS)
		mask |= fault_mask_mark(SIGBUS);
	memcpy(set, &mask, sizeof(mask));
}

/* The kernel's old mask as the program knows it. */
static void show_mask(sigset_t *old, uint8_t before)
{
	uint64_t mask = kernel_mask(old);

	for (int i = 0; i < 2; i++) {
		int sig = i ? SIGBUS : SIGSEGV;

		if (fault_mask_deferred(kernel_mask(old), sig)) {
			mask &= ~fault_mask_mark(sig);
			before |= i ? HIDDEN_BUS : HIDDEN_SEGV;
		}
	}
	memcpy(old, &mask, sizeof(mask));
	show(old, before);
}

typedef int (*set_mask_fn)(int how, const sigset_t *set, sigset_t *old);

static int change_mask(set_mask_fn real, int how, const sigset_t *set, sigset_t *old)
{
	uint8_t before = believed, hidden = set ? hidden_in(set) : 0;
	sigset_t stripped;
	int rc;

	if (set) {
		stripped = *set;
		strip(&stripped);
		if (how == SIG_UNBLOCK && hidden)
			unmark(&stripped, hidden);
	}
	rc = real(how, set ? &stripped : NULL, old);
	if (rc)
		return rc;
	if (old)
		show_mask(old, before);
	if (set && how == SIG_BLOCK)
		believed = before | hidden;
	else if (set && how == SIG_UNBLOCK)
		believed = (uint8_t)(before & ~hidden);
	else if (set)
		believed = hidden;
	return 0;
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	if (!session.on)
		return REAL(sigprocmask)(how, set, old);
	return change_mask(&REAL(sigprocmask), how, set, old);
}

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (!session.on)
		return REAL(pthread_sigmask)(how, set, old);
	return change_mask(&REAL(pthread_sigmask), how, set, old);
}

/* The mask for the duration of a call: set itself when there is nothing to strip. */
static const sigset_t *mask_for_call(const sigset_t *set, sigset_t *stripped)
{
	if (!set || !session.on || !hidden_in(set))
		return set;
	*stripped = *set;
	strip(stripped);
	return stripped;
}

EXPORT int sigsuspend(const sigset_t *set)
{
	sigset_t stripped;

	return REAL(sigsuspend)(mask_for_call(set, &stripped));
}

EXPORT int ppoll(struct pollfd *fds, nfds_t nr, const struct timespec *timeout, const sigset_t *set)
{
	sigset_t stripped;

	return REAL(ppoll)(fds, nr, timeout, mask_for_call(set, &stripped));
}

EXPORT int pselect(int nr, fd_set *in, fd_set *out, fd_set *except, const struct timespec *timeout,
		   const sigset_t *set)
{
	sigset_t stripped;

	return REAL(pselect)(nr, in, out, except, timeout, mask_for_call(set, &stripped));
}

EXPORT int epoll_pwait(int fd, struct epoll_event *events, int max, int timeout, const sigset_t *set)
{
	sigset_t stripped;

	return REAL(epoll_pwait)(fd, events, max, timeout, mask_for_call(set, &stripped));
}

/* In the child of vfork(), what is kept here is its parent's. */
static bool is_ours(int sig)
{
	return session.on && (sig == SIGSEGV || sig == SIGBUS) && !intercept_foreign_process();
}

static void handler_changes(int sig, sighandler_t handler)
{
	if (handler != SIG_DFL && !intercept_foreign_process())
		fault_ending_signal(sig, false);
}

static void handler_changed(int sig, sighandler_t handler)
{
	if (handler == SIG_DFL && !intercept_foreign_process())
		fault_ending_signal(sig, true);
}

static int change_action(int sig, const struct sigaction *act, struct sigaction *old)
{
	uint8_t before = atomic_load(&masked_by_action[sig]), hidden = act ? hidden_in(&act->sa_mask) : 0;
	struct sigaction given = { .sa_handler = SIG_DFL };
	sighandler_t handler_before;
	int rc;

	if (act)
		given = *act;
	given.sa_handler = section_handler(sig, given.sa_handler, given.sa_flags, &handler_before);
	strip(&given.sa_mask);
	if (act)
		handler_changes(sig, act->sa_handler);
	rc = REAL(sigaction)(sig, act ? &given : NULL, old);
	if (rc) {
		section_handler_restore(sig, handler_before);
		return rc;
	}
	if (act) {
		atomic_store(&masked_by_action[sig], hidden);
		handler_changed(sig, act->sa_handler);
	}
	if (old && crash_handler_is(old->sa_handler))
		*old = (struct sigaction){ .sa_handler = SIG_DFL };
	if (old) {
		show(&old->sa_mask, before);
		old->sa_handler = section_handler_shown(old->sa_handler, handler_before);
	}
	return 0;
}

EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	if (!session.on || sig <= 0 || sig >= NSIG)
		return REAL(sigaction)(sig, act, old);
	if (is_ours(sig))
		return (int)ret_errno(fault_program_action(sig, act, old));
	return change_action(sig, act, old);
}

/* signal() and its kin for one of ours: the previous handler, or SIG_ERR. */
static sighandler_t set_handler(int sig, sighandler_t handler, int flags, bool masked)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = flags }, old;

	if (handler == SIG_ERR)
		return (sighandler_t)ret_errno(-EINVAL);
	if (masked)
		sigaddset(&act.sa_mask, sig);
	if (ret_errno(fault_program_action(sig, &act, &old)))
		return SIG_ERR;
	return old.sa_handler;
}

/* The same for any other signal: real sets it. once: SA_RESETHAND. */
static sighandler_t set_other(sighandler_t (*real)(int, sighandler_t), int sig, sighandler_t handler,
			      bool once)
{
	sighandler_t given, before, old;

	if (!session.on || sig <= 0 || sig >= NSIG)
		return real(sig, handler);
	given = section_handler(sig, handler, once ? (int)SA_RESETHAND : 0, &before);
	handler_changes(sig, handler);
	old = real(sig, given);
	if (old == SIG_ERR)
		section_handler_restore(sig, before);
	else
		handler_changed(sig, handler);
	if (crash_handler_is(old))
		return SIG_DFL;
	return section_handler_shown(old, before);
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	if (is_ours(sig))
		return set_handler(sig, handler, SA_RESTART, true);
	return set_other(&REAL(signal), sig, handler, false);
}

EXPORT sighandler_t ssignal(int sig, sighandler_t handler)
{
	if (is_ours(sig))
		return set_handler(sig, handler, SA_RESTART, true);
	return set_other(&REAL(ssignal), sig, handler, false);
}

EXPORT sighandler_t bsd_signal(int sig, sighandler_t handler)
{
	if (is_ours(sig))
		return set_handler(sig, handler, SA_RESTART, true);
	return set_other(&REAL(bsd_signal), sig, handler, false);
}

EXPORT sighandler_t sysv_signal(int sig, sighandler_t handler)
{
	if (is_ours(sig))
		return set_handler(sig, handler, (int)SA_RESETHAND | SA_NODEFER, false);
	return set_other(&REAL(sysv_signal), sig, handler, true);
}

EXPORT sighandler_t __sysv_signal(int sig, sighandler_t handler)
{
	if (is_ours(sig))
		return set_handler(sig, handler, (int)SA_RESETHAND | SA_NODEFER, false);
	return set_other(&REAL(__sysv_signal), sig, handler, true);
}

/* System V's: also sets whether the signal is blocked, and says whether it was. */
EXPORT sighandler_t sigset(int sig, sighandler_t handler)
{
	sighandler_t before;
	sigset_t set, old;

	if (!is_ours(sig))
		return set_other(&REAL(sigset), sig, handler, false);
	sigemptyset(&set);
	sigaddset(&set, sig);
	if (change_mask(&REAL(sigprocmask), handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &set, &old))
		return SIG_ERR;
	if (handler == SIG_HOLD) {
		struct sigaction now;

		before = fault_program_action(sig, NULL, &now) ? SIG_ERR : now.sa_handler;
	} else {
		before = set_handler(sig, handler, 0, false);
	}
	return sigismember(&old, sig) == 1 ? SIG_HOLD : before;
}
