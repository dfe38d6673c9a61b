/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our handler of SIGSEGV and SIGBUS, and what the program believes its own to be.
 *
 * The handler decides in this order: a fault within the copy routine is recovered from; a fault that the trap
 * engine has carried out is over; everything else is the program's. It runs on the alternate stack where
 * there is one, with every signal blocked but those that an instruction raises: a handler of the program must
 * not leave, by siglongjmp(), a device that holds a lock. It allocates nothing and uses little stack. What
 * people end a program with (^C) is not blocked as long as the program leaves it to the kernel, which then
 * runs nothing: a device model that never returns from an access must not keep it from them.
 *
 * Lock: actions_lock, innermost, held with all signals blocked; it covers the change of an action, here and
 * in the kernel. The handler reads actions by their sequence counter.
 */
#include "base/fault.h"
#include "base/fault_impl.h"
#include "base/inside.h"

#include <sched.h>
#include <string.h>

/* The bytes by which debuggers and unwinders know a signal frame; gdb looks at them in a function whose name
 * has "sigaction" in it. */
__asm__(".pushsection .text\n"
	"	.p2align 4\n"
	"	nop\n"
	"	.globl fault_sigaction_restorer\n"
	"	.hidden fault_sigaction_restorer\n"
	"	.type fault_sigaction_restorer, @function\n"
	"fault_sigaction_restorer:\n"
	"	.byte 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00\n" /* mov $SYS_rt_sigreturn, %rax */
	"	syscall\n"
	"	.size fault_sigaction_restorer, . - fault_sigaction_restorer\n"
	".popsection\n");

static atomic_flag actions_lock = ATOMIC_FLAG_INIT;
static atomic_bool installed, offered;
static _Atomic(fault_trap_fn) trap_fn;
static _Atomic(fault_lost_fn) lost_fn;
__thread fault_trap_fn fault_thread_trap;

/* seq is odd while the words change. */
static struct program_action {
	_Atomic uint32_t seq;
	_Atomic uint64_t words[sizeof(struct kernel_sigaction) / sizeof(uint64_t)];
} actions[2];

static struct program_action *action_of(int sig)
{
	return &actions[sig == SIGBUS];
}

/* Nothing faults under the lock, and a SIGSEGV that somebody sends must wait: the handler reads actions. */
static uint64_t lock_actions(void)
{
	uint64_t old;

	raw_sigmask(SIG_SETMASK, ~(uint64_t)0, &old);
	while (atomic_flag_test_and_set_explicit(&actions_lock, memory_order_acquire))
		sched_yield();
	return old;
}

static void unlock_actions(uint64_t old)
{
	atomic_flag_clear_explicit(&actions_lock, memory_order_release);
	raw_sigmask(SIG_SETMASK, old, NULL);
}

void program_action_read(int sig, struct kernel_sigaction *act)
{
	struct program_action *action = action_of(sig);
	uint64_t words[ARRAY_SIZE(action->words)];
	uint32_t seq;

	do {
		seq = atomic_load_explicit(&action->seq, memory_order_acquire);
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			words[i] = atomic_load_explicit(&action->words[i], memory_order_acquire);
	} while ((seq & 1) || seq != atomic_load_explicit(&action->seq, memory_order_relaxed));
	memcpy(act, words, sizeof(*act));
}

/* Under actions_lock. */
static void program_action_write(int sig, const struct kernel_sigaction *act)
{
	struct program_action *action = action_of(sig);
	uint64_t words[ARRAY_SIZE(action->words)];

	memcpy(words, act, sizeof(words));
	atomic_fetch_add_explicit(&action->seq, 1, memory_order_acq_rel);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		atomic_store_explicit(&action->words[i], words[i], memory_order_release);
	atomic_fetch_add_explicit(&action->seq, 1, memory_order_release);
}

void program_action_forget(int sig)
{
	uint64_t old = lock_actions();
	struct kernel_sigaction act;

	program_action_read(sig, &act);
	act.handler = (uint64_t)(uintptr_t)SIG_DFL;
	program_action_write(sig, &act);
	unlock_actions(old);
}

/* Nobody is left who could complete a change that was under way: the action may be half the new one. */
void fault_forked(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		atomic_store(&actions[i].seq, atomic_load(&actions[i].seq) & ~1u);
	atomic_flag_clear(&actions_lock);
}

void fault_lost_handler(fault_lost_fn fn)
{
	atomic_store_explicit(&lost_fn, fn, memory_order_release);
}

static bool found_again(int sig, const siginfo_t *info)
{
	fault_lost_fn fn = atomic_load_explicit(&lost_fn, memory_order_acquire);

	return sig == SIGSEGV && info->si_code == SEGV_MAPERR && inside_now.who && fn &&
	       fn((uintptr_t)info->si_addr, inside_now.who);
}

static void handle_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *ip = &uc->uc_mcontext.gregs[REG_RIP];
	fault_trap_fn trap = atomic_load_explicit(&trap_fn, memory_order_acquire);
	int saved = errno;
	bool raises_again = true;

	if (info->si_code > 0) {
		uintptr_t exit = fault_copy_exit((uintptr_t)*ip);
		enum fault_verdict verdict = FAULT_NOT_OURS;

		if (exit) {
			*ip = (greg_t)exit;
			return;
		}
		if (fault_thread_trap)
			verdict = fault_thread_trap(info, uc);
		if (verdict == FAULT_NOT_OURS && sig == SIGSEGV && trap)
			verdict = trap(info, uc);
		if (verdict == FAULT_NOT_OURS && found_again(sig, info))
			verdict = FAULT_DONE;
		errno = saved;
		if (verdict == FAULT_DONE)
			return;
		if (verdict == FAULT_BUS) {
			sig = info->si_signo = SIGBUS;
			info->si_code = BUS_ADRERR;
			raises_again = false;
		}
	}
	fault_deliver(sig, info, uc, raises_again);
	errno = saved;
}

/* The signals that end a program which has not asked for anything else. */
static uint64_t deadly_signals(void)
{
	uint64_t deadly = 0;

	for (int sig = 1; sig <= SIGTERM; sig++) {
		struct kernel_sigaction act;

		if ((ENDING_SIGNALS & SIGBIT(sig)) && !raw_sigaction(sig, NULL, &act) &&
		    act.handler == (uint64_t)(uintptr_t)SIG_DFL)
			deadly |= SIGBIT(sig);
	}
	return deadly;
}

static int take_over(int sig)
{
	struct kernel_sigaction ours = {
		.handler = (uint64_t)(uintptr_t)handle_fault,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART | KERNEL_SA_RESTORER,
		.restorer = (uint64_t)(uintptr_t)fault_sigaction_restorer,
		.mask = ~(SYNCHRONOUS_SIGNALS | deadly_signals()),
	};
	struct kernel_sigaction theirs;
	long rc = raw_sigaction(sig, NULL, &theirs);

	if (rc)
		return (int)rc;
	program_action_write(sig, &theirs);
	return (int)raw_sigaction(sig, &ours, NULL);
}

int fault_handler_install(fault_trap_fn trap)
{
	uint64_t old;
	int rc = 0;

	if (trap)
		atomic_store_explicit(&trap_fn, trap, memory_order_release);
	if (atomic_load_explicit(&installed, memory_order_acquire))
		return 0;
	old = lock_actions();
	if (!atomic_load_explicit(&installed, memory_order_relaxed)) {
		rc = take_over(SIGBUS);
		if (!rc)
			rc = take_over(SIGSEGV);
		if (!rc)
			atomic_store_explicit(&installed, true, memory_order_release);
	}
	unlock_actions(old & ~(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS)));
	return rc;
}

void fault_ending_signal(int sig, bool deadly)
{
	static const int ours[] = { SIGSEGV, SIGBUS };
	struct kernel_sigaction act;
	uint64_t old;

	if (sig <= 0 || sig > SIGTERM || !(ENDING_SIGNALS & SIGBIT(sig)) || !fault_handler_installed())
		return;
	old = lock_actions();
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (raw_sigaction(ours[i], NULL, &act) || act.handler != (uint64_t)(uintptr_t)handle_fault)
			continue;
		act.mask = deadly ? act.mask & ~SIGBIT(sig) : act.mask | SIGBIT(sig);
		raw_sigaction(ours[i], &act, NULL);
	}
	unlock_actions(old);
}

bool fault_handler_installed(void)
{
	return atomic_load_explicit(&installed, memory_order_acquire);
}

void fault_handler_offer(void)
{
	atomic_store(&offered, true);
}

void fault_handler_want(void)
{
	if (unlikely(!fault_handler_installed()) && atomic_load_explicit(&offered, memory_order_relaxed))
		fault_handler_install(NULL);
}

static void to_kernel(const struct sigaction *act, struct kernel_sigaction *out)
{
	*out = (struct kernel_sigaction){
		.handler = (uint64_t)(uintptr_t)act->sa_handler,
		.flags = (uint32_t)act->sa_flags | KERNEL_SA_RESTORER,
		.restorer = (uint64_t)(uintptr_t)fault_sigaction_restorer,
	};
	memcpy(&out->mask, &act->sa_mask, sizeof(out->mask));
}

static void from_kernel(const struct kernel_sigaction *act, struct sigaction *out)
{
	memset(out, 0, sizeof(*out));
	out->sa_handler = (__sighandler_t)(uintptr_t)act->handler;
	out->sa_flags = (int)act->flags;
	out->sa_restorer = (void (*)(void))(uintptr_t)act->restorer;
	memcpy(&out->sa_mask, &act->mask, sizeof(act->mask));
}

int fault_program_action(int signum, const struct sigaction *act, struct sigaction *old)
{
	struct kernel_sigaction new_action, old_action;
	uint64_t mask;
	int rc = 0;

	if (signum != SIGSEGV && signum != SIGBUS)
		return -EINVAL;
	if (act)
		to_kernel(act, &new_action);
	mask = lock_actions();
	if (atomic_load_explicit(&installed, memory_order_relaxed)) {
		program_action_read(signum, &old_action);
		if (act)
			program_action_write(signum, &new_action);
	} else {
		rc = (int)raw_sigaction(signum, act ? &new_action : NULL, &old_action);
	}
	unlock_actions(mask);
	if (!rc && old)
		from_kernel(&old_action, old);
	return rc;
}

void fault_thread_sigmask(sigset_t *set)
{
	uint64_t mask = ~SYNCHRONOUS_SIGNALS;

	sigemptyset(set);
	memcpy(set, &mask, sizeof(mask));
}
