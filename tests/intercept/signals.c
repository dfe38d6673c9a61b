/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program's own SIGSEGV: its handlers, masks, stacks and crashes are what they would be without a handler
 * of ours, before and after a BAR is mapped; and registers can be touched wherever they could be.
 */
#include "client.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <ucontext.h>

#define VS 0x08

static volatile char *regs;
static sigjmp_buf env;
static volatile int hits;

static uint32_t version(void)
{
	return *(const volatile uint32_t *)(const volatile void *)(regs + VS);
}

static void touch_null(void)
{
	__asm__ volatile("movb $1, (%0)" : : "a"((uintptr_t)16) : "memory");
}

static void step_over(int sig, siginfo_t *info, void *context)
{
	CHECK(sig == SIGSEGV && info->si_addr == (void *)16 && info->si_code == SEGV_MAPERR);
	hits++;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 3;
	if (regs)
		CHECK(version() == 0x10400);
}

static void simple(int sig)
{
	hits++;
	siglongjmp(env, sig);
}

static void reads_register(int sig)
{
	(void)sig;
	CHECK(version() == 0x10400);
	hits++;
}

static void own_handler(void)
{
	struct sigaction sa = { .sa_sigaction = step_over, .sa_flags = SA_SIGINFO }, old, now;

	sigaddset(&sa.sa_mask, SIGUSR2);
	CHECK(!sigaction(SIGSEGV, &sa, &old));
	CHECK(!sigaction(SIGSEGV, NULL, &now));
	CHECK(now.sa_sigaction == step_over && (now.sa_flags & SA_SIGINFO) && !(now.sa_flags & SA_ONSTACK));
	CHECK(sigismember(&now.sa_mask, SIGUSR2) == 1 && sigismember(&now.sa_mask, SIGUSR1) == 0);
	hits = 0;
	for (int i = 0; i < 3; i++)
		touch_null();
	CHECK(hits == 3);
	CHECK(!sigaction(SIGSEGV, &old, &now) && now.sa_sigaction == step_over);
	CHECK(!sigaction(SIGSEGV, NULL, &now) && now.sa_handler == old.sa_handler);
}

static void old_calls(void)
{
	CHECK(signal(SIGSEGV, simple) == SIG_DFL);
	for (volatile int i = 0; i < 3; i++)
		if (!sigsetjmp(env, 1))
			touch_null();
	CHECK(signal(SIGSEGV, SIG_DFL) == simple);
	CHECK(sysv_signal(SIGSEGV, simple) == SIG_DFL);
	if (!sigsetjmp(env, 1))
		touch_null();
	CHECK(signal(SIGSEGV, SIG_DFL) == SIG_DFL); /* once only */
	CHECK(signal(SIGBUS, SIG_IGN) == SIG_DFL && signal(SIGBUS, SIG_DFL) == SIG_IGN);
	FAILS((long)signal(SIGSEGV, SIG_ERR), EINVAL);
	FAILS((long)signal(SIGKILL, simple), EINVAL);
}

static void masks(void)
{
	sigset_t all, old, now;

	sigfillset(&all);
	CHECK(!sigprocmask(SIG_SETMASK, &all, &old) && sigismember(&old, SIGSEGV) == 0);
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGSEGV) == 1 && sigismember(&now, SIGBUS) == 1 &&
	      sigismember(&now, SIGUSR1) == 1);
	if (regs)
		CHECK(version() == 0x10400);
	sigemptyset(&now);
	sigaddset(&now, SIGSEGV);
	CHECK(!pthread_sigmask(SIG_UNBLOCK, &now, NULL));
	CHECK(!pthread_sigmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGSEGV) == 0 && sigismember(&now, SIGBUS) == 1);
	CHECK(!pthread_sigmask(SIG_SETMASK, &old, &now) && sigismember(&now, SIGBUS) == 1);
	CHECK(!sigprocmask(SIG_BLOCK, NULL, &now) && sigismember(&now, SIGBUS) == 0);
	FAILS(sigprocmask(77, &now, NULL), EINVAL);
}

/* A handler that has everything blocked, SIGSEGV too, may touch a register. */
static void full_mask_handler(void)
{
	struct sigaction sa = { .sa_handler = reads_register }, now;

	sigfillset(&sa.sa_mask);
	CHECK(!sigaction(SIGUSR1, &sa, NULL));
	CHECK(!sigaction(SIGUSR1, NULL, &now) && sigismember(&now.sa_mask, SIGSEGV) == 1);
	hits = 0;
	raise(SIGUSR1);
	CHECK(hits == 1);
}

static void *blocked_thread(void *arg)
{
	CHECK(version() == 0x10400);
	return arg;
}

static void thread_with_everything_blocked(void)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	CHECK(!pthread_create(&thread, NULL, blocked_thread, NULL));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	CHECK(!pthread_join(thread, NULL));
}

/* The small alternate stack of old programs. */
static void small_alternate_stack(void)
{
	static char stack[8192];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) }, off = { .ss_flags = SS_DISABLE };
	struct sigaction sa = { .sa_handler = reads_register, .sa_flags = SA_ONSTACK };

	if (sigaltstack(&ss, NULL))
		return; /* the processor's registers do not even fit */
	memset(stack, 0, 64);
	CHECK(version() == 0x10400);
	for (int i = 0; i < 64; i++)
		CHECK(!stack[i]); /* room was left */
	own_handler();
	CHECK(!sigaction(SIGUSR1, &sa, NULL));
	CHECK(!sigaltstack(&off, NULL));
}

#define DIES(code, sig)                                                                                      \
	do {                                                                                                 \
		pid_t pid_ = fork();                                                                         \
		int status_;                                                                                 \
                                                                                                             \
		if (!pid_) {                                                                                 \
			struct rlimit none_ = { 0, 0 };                                                      \
                                                                                                             \
			setrlimit(RLIMIT_CORE, &none_);                                                      \
			code;                                                                                \
			_exit(0);                                                                            \
		}                                                                                            \
		CHECK(waitpid(pid_, &status_, 0) == pid_);                                                   \
		CHECK(WIFSIGNALED(status_) && WTERMSIG(status_) == (sig));                                   \
	} while (0)

static void crashes(void)
{
	DIES(touch_null(), SIGSEGV);
	DIES(raise(SIGSEGV), SIGSEGV);
	DIES(kill(getpid(), SIGBUS), SIGBUS);
	DIES(abort(), SIGABRT);
	DIES(((void (*)(void))16)(), SIGSEGV);
}

int main(void)
{
	struct client c;
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX };
	void *p;

	own_handler();
	old_calls();
	masks();
	crashes();
	c = client_open();
	CHECK(!ioctl(c.device, VFIO_DEVICE_GET_REGION_INFO, &info));
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, c.device, (off_t)info.offset);
	CHECK(p != MAP_FAILED);
	regs = p;
	own_handler();
	old_calls();
	masks();
	full_mask_handler();
	thread_with_everything_blocked();
	small_alternate_stack();
	crashes();
	return 0;
}
