/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/crash.h"

#include "base/fault_impl.h"
#include "base/inside.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define DEEPEST ((uintptr_t)8 << 20) /* how far below its caller a callback can be */

__thread struct inside inside_now;

bool crash_naming;
void (*crash_told)(const char *line);

/* Those besides SIGSEGV and SIGBUS. */
static const int crashes[] = { SIGFPE, SIGILL, SIGABRT };

/* A signal that somebody sends is no crash, but for abort(). */
static bool own_fault(int sig, const siginfo_t *info)
{
	return info->si_code > 0 || (sig == SIGABRT && info->si_code == SI_TKILL);
}

void crash_report(int sig, const siginfo_t *info, const void *context)
{
	const greg_t *regs = ((const ucontext_t *)context)->uc_mcontext.gregs;
	uintptr_t below = (uintptr_t)inside_now.frame - (uintptr_t)regs[REG_RSP];
	char line[400], touched[40] = "";

	if (!inside_now.who || below > DEEPEST || !own_fault(sig, info))
		return;
	if (sig == SIGSEGV || sig == SIGBUS)
		snprintf(touched, sizeof(touched), ", which touched 0x%llx",
			 (unsigned long long)(uintptr_t)info->si_addr);
	snprintf(line, sizeof(line), "%s: its %s crashed: SIG%s at 0x%llx%s", inside_now.who, inside_now.what,
		 sigabbrev_np(sig), (unsigned long long)regs[REG_RIP], touched);
	if (crash_told)
		crash_told(line);
	else
		uvfio_err("%s", line);
}

static void handle_crash(int sig, siginfo_t *info, void *context)
{
	crash_report(sig, info, context);
	fault_die(sig, info, info->si_code > 0);
}

bool crash_handler_is(sighandler_t handler)
{
	return (void *)handler == (void *)handle_crash;
}

static void take_over(int sig)
{
	struct kernel_sigaction ours = {
		.handler = (uint64_t)(uintptr_t)handle_crash,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | KERNEL_SA_RESTORER,
		.restorer = (uint64_t)(uintptr_t)fault_sigaction_restorer,
		.mask = ~SYNCHRONOUS_SIGNALS,
	};
	const uint64_t default_action = (uint64_t)(uintptr_t)SIG_DFL;
	struct kernel_sigaction theirs;

	if (raw_sigaction(sig, NULL, &theirs) || theirs.handler != default_action)
		return;
	if (!raw_sigaction(sig, &ours, &theirs) && theirs.handler != default_action)
		raw_sigaction(sig, &theirs, NULL); /* another thread has just set one */
}

void crash_watch(void)
{
	static atomic_bool watching;

	if (!crash_naming || atomic_exchange(&watching, true))
		return;
	fault_handler_install(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++)
		take_over(crashes[i]);
}
