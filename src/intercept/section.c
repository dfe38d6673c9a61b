/* SPDX-License-Identifier: BSD-2-Clause */
/* Sections and the handlers that wait for their end: see section.h. */
#include "intercept/section.h"

#include "base/fault.h"
#include "base/interruption.h"
#include "intercept/intercept.h"

#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

__thread struct section section;

static _Atomic(sighandler_t) handlers[NSIG]; /* the program's, where the kernel has ours */

void section_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	memcpy(&set, &section.mask, sizeof(section.mask));
	section.due = false;
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

/*
 * Two signals that arrive at once lie on the stack one above the other, and the upper one was interrupted
 * with the lower one blocked. Each goes back to the mask that the next one below saved; the last one to come
 * here is the lowest, and its mask the thread's.
 */
static void put_off(int sig, siginfo_t *info, ucontext_t *uc)
{
	int saved_errno = errno;
	uint64_t blocked;
	sigset_t all;

	memcpy(&section.mask, &uc->uc_sigmask, sizeof(section.mask));
	fault_thread_sigmask(&all);
	memcpy(&blocked, &all, sizeof(blocked));
	blocked |= section.mask;
	memcpy(&uc->uc_sigmask, &blocked, sizeof(blocked));
	section.due = true;
	if (interruption.fn)
		interruption.fn(interruption.arg);
	pthread_sigmask(SIG_BLOCK, &all, NULL); /* before it is raised: it may have SA_NODEFER */
	if (!info || syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), sig, info))
		tgkill(getpid(), gettid(), sig);
	errno = saved_errno;
}

static bool due(void)
{
	return section.due;
}

/* A signal that has been put off has the thread's mask with it; none comes between looking and setting. */
static void set_mask(uint64_t set, uint64_t *old)
{
	uint64_t all = ~(uint64_t)0, was;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &was, sizeof(all));
	*old = section.due ? section.mask : was;
	if (section.due)
		section.mask = set;
	else
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, NULL, sizeof(set));
}

void section_init(void)
{
	static const struct interruption_ops ops = { .due = due, .set_mask = set_mask };

	interruption_set_ops(&ops);
}

typedef void (*info_handler)(int sig, siginfo_t *info, void *context);

static void call(int sig, siginfo_t *info, void *context)
{
	((info_handler)(void *)atomic_load_explicit(&handlers[sig], memory_order_acquire))(sig, info,
											   context);
}

/* Without SA_SIGINFO the kernel leaves *info unset. */
static void handle_plain(int sig, siginfo_t *info, void *context)
{
	if (unlikely(section.depth))
		put_off(sig, NULL, context);
	else
		call(sig, info, context);
}

static void handle_info(int sig, siginfo_t *info, void *context)
{
	if (unlikely(section.depth))
		put_off(sig, info, context);
	else
		call(sig, info, context);
}

static bool may_wait(int sig)
{
	sigset_t all;

	fault_thread_sigmask(&all);
	return sigismember(&all, sig) == 1;
}

/*
 * A handler that is good for one signal only cannot be put off: the kernel has forgotten it by then. The
 * child of vfork() has handlers of its own, but not a table of its own.
 */
sighandler_t section_handler(int sig, sighandler_t handler, int flags, sighandler_t *before)
{
	if (handler == SIG_DFL || handler == SIG_IGN || handler == SIG_ERR || handler == SIG_HOLD ||
	    (flags & (int)SA_RESETHAND) || !may_wait(sig) || intercept_foreign_process()) {
		*before = atomic_load(&handlers[sig]);
		return handler;
	}
	*before = atomic_exchange(&handlers[sig], handler);
	return (sighandler_t)(void *)(flags & SA_SIGINFO ? handle_info : handle_plain);
}

void section_handler_restore(int sig, sighandler_t before)
{
	atomic_store(&handlers[sig], before);
}

sighandler_t section_handler_shown(sighandler_t kernels, sighandler_t before)
{
	return (void *)kernels == (void *)handle_info || (void *)kernels == (void *)handle_plain ? before
												 : kernels;
}
