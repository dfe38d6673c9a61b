/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies next to missing memory, with and without the handler; and that a program's crashes and handlers stay
 * its own. What may kill runs in a forked child.
 */
#include "base/fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE     4096u
#define BEFORE   (16 * PAGE)
#define ALT_SIZE 16384u

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

static char *guarded; /* plain pages, then one without access, then one more page */

static enum fault_verdict no_trap(siginfo_t *info, void *uc)
{
	(void)info;
	(void)uc;
	return FAULT_NOT_OURS;
}

static void check_copies(void)
{
	char *end = guarded + BEFORE;
	static char buf[BEFORE + 2 * PAGE], want[BEFORE + 2 * PAGE];

	for (size_t i = 0; i < BEFORE; i++)
		guarded[i] = (char)(i * 7 + 1);
	for (size_t len = 0; len <= BEFORE; len += len < 700 ? 1 : 3 * len / 8) {
		for (size_t over = 0; over < 40; over += 13) {
			size_t n = len + over;
			int rc;

			if (n > BEFORE)
				continue;
			memset(buf, 0x55, sizeof(buf));
			memcpy(want, buf, sizeof(buf));
			memcpy(want + 64, end - n, len);
			assert_int_equal(copy_nofault(buf + 64, end - n, len), 0);
			assert_memory_equal(buf, want, len + 128);
			assert_int_equal(copy_nofault(end - n, buf + 64, len), 0);
			rc = copy_nofault(buf + 64, end - n, n + 1);
			assert_int_equal(rc, -EFAULT);
			assert_int_equal(copy_nofault(end - n, buf, n + 1), -EFAULT);
			assert_int_equal(copy_nofault(end + 1, buf, len + 1), -EFAULT);
			memcpy(end - n, want + 64, len);
		}
	}
	assert_int_equal(copy_nofault(buf, (void *)(uintptr_t)0x8000000000000000u, 8), -EFAULT);
	assert_int_equal(copy_nofault(NULL, buf, 600), -EFAULT);
}

static void check_args(void)
{
	char local[32] = "argument", out[32] = { 0 };

	for (int i = 0; i < 3; i++) {
		assert_int_equal(copy_arg_nofault(out, local, 32, local), 0);
		assert_string_equal(out, "argument");
		assert_int_equal(copy_arg_nofault(local, out, 32, local), 0);
		assert_int_equal(copy_arg_nofault(out, guarded + BEFORE - 8, 16, guarded + BEFORE - 8),
				 -EFAULT);
		assert_int_equal(copy_arg_nofault(out, NULL, 16, NULL), -EFAULT);
	}
}

#define STACK_SIZE (8 * 1024 * 1024u)

static void *argument_above_stack(void *page)
{
	char local[8] = "mine", out[8];

	for (int i = 0; i < 2; i++) {
		assert_int_equal(copy_arg_nofault(out, local, 8, local), 0);
		assert_int_equal(copy_arg_nofault(out, page, 8, page), 0);
	}
	mprotect(page, PAGE, PROT_READ);
	assert_int_equal(copy_arg_nofault(out, page, 8, page), 0);
	assert_int_equal(copy_arg_nofault(page, out, 8, page), -EFAULT);
	mprotect(page, PAGE, PROT_NONE);
	assert_int_equal(copy_arg_nofault(out, page, 8, page), -EFAULT);
	return NULL;
}

/* What lies just above a thread's stack is not the stack, and may go at any time. */
static void test_argument_above_stack(void **state)
{
	char *stack =
		mmap(NULL, STACK_SIZE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attr;
	pthread_t thread;

	(void)state;
	assert_false(fault_handler_installed());
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK_SIZE);
	assert_int_equal(pthread_create(&thread, &attr, argument_above_stack, stack + STACK_SIZE), 0);
	pthread_attr_destroy(&attr);
	pthread_join(thread, NULL);
	munmap(stack, STACK_SIZE + PAGE);
}

static int child_status(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct sigaction sa = { .sa_handler = SIG_DFL };
		struct rlimit no_core = { 0, 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		sigaction(SIGSEGV, &sa, NULL); /* cmocka's */
		sigaction(SIGBUS, &sa, NULL);
		fault_handler_install(no_trap);
		fn();
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#define assert_dies(fn, sig)                                                                                 \
	do {                                                                                                 \
		int status_ = child_status(fn);                                                              \
		assert_true(WIFSIGNALED(status_));                                                           \
		assert_int_equal(WTERMSIG(status_), sig);                                                    \
	} while (0)
#define assert_exits(fn, code)                                                                               \
	do {                                                                                                 \
		int status_ = child_status(fn);                                                              \
		assert_true(WIFEXITED(status_));                                                             \
		assert_int_equal(WEXITSTATUS(status_), code);                                                \
	} while (0)

static void copies_with_handler(void)
{
	if (!fault_handler_installed())
		_exit(1);
	check_copies();
	check_args();
	_exit(0);
}

static void test_copy(void **state)
{
	(void)state;
	assert_false(fault_handler_installed());
	check_copies();
	check_args();
	assert_exits(copies_with_handler, 0);
}

static void set_action(void (*fn)(int, siginfo_t *, void *), int flags, int also_masked)
{
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO };

	if (also_masked)
		sigaddset(&sa.sa_mask, also_masked);
	fault_program_action(SIGSEGV, &sa, NULL);
	fault_program_action(SIGBUS, &sa, NULL);
}

/* An instruction of known length, and a way to continue behind it. */
static void touch_null(void)
{
	__asm__ volatile("movb $1, (%0)" : : "a"((uintptr_t)16) : "memory", "rbx");
}

#define TOUCH_LENGTH 3 /* movb $1, (%rax) */

static void raise_segv(void)
{
	raise(SIGSEGV);
}

static sigjmp_buf env;
static volatile int count;
static char *alt;

static void step_over(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	sigset_t now;

	count++;
	if (sig != SIGSEGV || info->si_addr != (void *)16 || info->si_signo != SIGSEGV)
		_exit(3);
	sigprocmask(SIG_SETMASK, NULL, &now);
	if (!sigismember(&now, SIGUSR1))
		_exit(4);
	uc->uc_mcontext.gregs[REG_RIP] += TOUCH_LENGTH;
	uc->uc_mcontext.gregs[REG_RBX] = 1234;
}

static void handler_returns(void)
{
	uint64_t rbx = 0;
	sigset_t now;

	set_action(step_over, 0, SIGUSR1);
	for (int i = 0; i < 3; i++)
		__asm__ volatile("movb $1, (%1)" : "+b"(rbx) : "a"((uintptr_t)16) : "memory");
	sigprocmask(SIG_SETMASK, NULL, &now);
	_exit(count == 3 && rbx == 1234 && !sigismember(&now, SIGUSR1) ? 0 : 1);
}

static void jump(int sig, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	siglongjmp(env, sig);
}

static void handler_jumps(void)
{
	set_action(jump, 0, 0);
	for (volatile int i = 0; i < 5; i++) {
		if (sigsetjmp(env, 1) != 0)
			continue;
		touch_null();
		_exit(1);
	}
	_exit(0);
}

static void jump_deeper(volatile int depth)
{
	volatile char pad[512];

	pad[0] = (char)depth;
	if (depth)
		jump_deeper(depth - 1);
	else if (!sigsetjmp(env, 1))
		touch_null();
	pad[1] = pad[0];
}

static void handler_jumps_at_depths(void)
{
	set_action(jump, 0, 0);
	jump_deeper(1);
	jump_deeper(40);
	jump_deeper(3);
	_exit(0);
}

static void bad_handler(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	if (++count > 1)
		_exit(5);
	touch_null();
}

static void handler_crashes(void)
{
	set_action(bad_handler, 0, 0);
	touch_null();
}

static void handler_crashes_nodefer(void)
{
	set_action(bad_handler, SA_NODEFER, 0);
	touch_null();
}

static void once(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	count++;
}

static void reset_hand(void)
{
	set_action(once, SA_RESETHAND, 0);
	touch_null(); /* the handler returns without a change, and the second time kills */
	_exit(1);
}

static void reset_hand_action(void)
{
	struct sigaction old;

	set_action(step_over, SA_RESETHAND, SIGUSR1);
	touch_null();
	fault_program_action(SIGSEGV, NULL, &old);
	_exit(old.sa_handler == SIG_DFL && count == 1 ? 0 : 1);
}

static void ignored(void)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	fault_program_action(SIGSEGV, &sa, NULL);
	raise(SIGSEGV);
	touch_null();
}

static void ignored_raise(void)
{
	struct sigaction sa = { .sa_handler = SIG_IGN };

	fault_program_action(SIGSEGV, &sa, NULL);
	raise(SIGSEGV);
	_exit(0);
}

static void use_alt_stack(void)
{
	stack_t ss = { .ss_size = ALT_SIZE };

	ss.ss_sp = alt = malloc(ss.ss_size);
	sigaltstack(&ss, NULL);
}

static bool on_alt(void)
{
	char here;

	return (uintptr_t)&here - (uintptr_t)alt < ALT_SIZE;
}

static void skip_on_alt(int sig, siginfo_t *info, void *context)
{
	if (!on_alt())
		_exit(6);
	step_over(sig, info, context);
}

static void skip_off_alt(int sig, siginfo_t *info, void *context)
{
	stack_t ss;

	if (on_alt())
		_exit(7);
	if (sigaltstack(NULL, &ss) || (ss.ss_flags & SS_ONSTACK))
		_exit(8);
	step_over(sig, info, context);
}

static void alt_stack_wanted(void)
{
	use_alt_stack();
	set_action(skip_on_alt, SA_ONSTACK, SIGUSR1);
	touch_null();
	touch_null();
	_exit(count == 2 ? 0 : 1);
}

static void alt_stack_not_wanted(void)
{
	double a = 1.5, b;

	use_alt_stack();
	set_action(skip_off_alt, 0, SIGUSR1);
	for (int i = 0; i < 3; i++) {
		__asm__ volatile("movsd %2, %%xmm7\n\t"
				 "movb $1, (%1)\n\t"
				 "movsd %%xmm7, %0"
				 : "=m"(b)
				 : "a"((uintptr_t)16), "m"(a)
				 : "memory", "rbx", "xmm7");
		if (b < 1.5 || b > 1.5)
			_exit(9);
	}
	handler_jumps_at_depths();
}

static int overflow_stack(volatile int n)
{
	volatile char pad[4096];

	pad[0] = (char)n;
	return n ? overflow_stack(n + 1) + pad[0] : 0;
}

static void overflow_with_alt_stack(void)
{
	use_alt_stack();
	set_action(jump, SA_ONSTACK, 0);
	if (!sigsetjmp(env, 1))
		overflow_stack(1);
	_exit(0);
}

static void overflow_without_alt_stack(void)
{
	use_alt_stack();
	set_action(jump, 0, 0);
	overflow_stack(1);
}

static void test_program_crashes(void **state)
{
	(void)state;
	assert_dies(touch_null, SIGSEGV);
	assert_dies(raise_segv, SIGSEGV);
	assert_dies(handler_crashes, SIGSEGV);
	assert_exits(handler_crashes_nodefer, 5);
	assert_dies(reset_hand, SIGSEGV);
	assert_dies(ignored, SIGSEGV);
	assert_exits(ignored_raise, 0);
	assert_dies(overflow_without_alt_stack, SIGSEGV);
}

static void test_program_handlers(void **state)
{
	(void)state;
	assert_exits(handler_returns, 0);
	assert_exits(handler_jumps, 0);
	assert_exits(handler_jumps_at_depths, 0);
	assert_exits(reset_hand_action, 0);
	assert_exits(alt_stack_wanted, 0);
	assert_exits(alt_stack_not_wanted, 0);
	/* ThreadSanitizer does not survive it, with or without a handler of ours. */
	if (!UNDER_TSAN)
		assert_exits(overflow_with_alt_stack, 0);
}

static enum fault_verdict bus_trap(siginfo_t *info, void *uc)
{
	(void)uc;
	return info->si_addr == (void *)16 ? FAULT_BUS : FAULT_NOT_OURS;
}

static void bus_default(void)
{
	fault_handler_install(bus_trap);
	touch_null();
}

static void expect_bus(int sig, siginfo_t *info, void *context)
{
	(void)context;
	_exit(sig == SIGBUS && info->si_code == BUS_ADRERR && info->si_addr == (void *)16 ? 0 : 1);
}

static void bus_handler(void)
{
	fault_handler_install(bus_trap);
	set_action(expect_bus, 0, 0);
	touch_null();
}

static void test_bus(void **state)
{
	(void)state;
	assert_dies(bus_default, SIGBUS);
	assert_exits(bus_handler, 0);
}

static _Atomic bool stop_changing;

static void *change_actions(void *arg)
{
	struct sigaction old;

	(void)arg;
	while (!atomic_load(&stop_changing)) {
		fault_program_action(SIGBUS, NULL, &old);
		fault_program_action(SIGBUS, &old, NULL);
	}
	return NULL;
}

/* How child ended; killed when it does not within 10 seconds, for it may wait with every signal blocked. */
static int end_of(pid_t child)
{
	int status = 0;

	for (int i = 0; i < 10000; i++) {
		if (waitpid(child, &status, WNOHANG) == child)
			return status;
		usleep(1000);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return status;
}

/* Another thread is just changing an action. */
static void test_fork(void **state)
{
	struct sigaction old;
	pthread_t thread;
	int status = 0;

	(void)state;
	atomic_store(&stop_changing, false);
	pthread_create(&thread, NULL, change_actions, NULL);
	for (int i = 0; i < 100 && !status; i++) {
		pid_t child = fork();

		if (!child) {
			fault_forked();
			_exit(fault_program_action(SIGBUS, NULL, &old) != 0);
		}
		status = end_of(child);
	}
	atomic_store(&stop_changing, true);
	pthread_join(thread, NULL);
	assert_int_equal(status, 0);
}

static _Atomic int handled;

static void count_signal(int sig)
{
	(void)sig;
	atomic_fetch_add(&handled, 1);
}

static void signal_a_changer(void)
{
	struct sigaction sa = { .sa_handler = count_signal };
	pthread_t thread;

	fault_handler_install(no_trap);
	fault_program_action(SIGBUS, &sa, NULL);
	atomic_store(&stop_changing, false);
	pthread_create(&thread, NULL, change_actions, NULL);
	for (int i = 0; i < 20000; i++) {
		pthread_kill(thread, SIGBUS);
		while (atomic_load(&handled) <= i)
			sched_yield();
	}
	atomic_store(&stop_changing, true);
	pthread_join(thread, NULL);
}

/* A signal that someone sends arrives just as its own action is being changed. */
static void test_signal_during_change(void **state)
{
	pid_t child = fork();

	(void)state;
	if (!child) {
		signal_a_changer();
		_exit(0);
	}
	assert_int_equal(end_of(child), 0);
}

static int setup(void **state)
{
	(void)state;
	guarded = mmap(NULL, BEFORE + 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return guarded == MAP_FAILED || mprotect(guarded + BEFORE, PAGE, PROT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_argument_above_stack),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_program_crashes),
		cmocka_unit_test(test_program_handlers),
		cmocka_unit_test(test_bus),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_signal_during_change),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
