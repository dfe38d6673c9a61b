/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every instruction form, executed twice with the same registers and the same memory contents: once by the
 * processor on plain memory, once trapped at the same address on a file whose registers are memory. All
 * registers, flags and memory must come out the same.
 *
 * The memory: four pages, of which the middle two are the file's, so that accesses also begin before it and
 * end behind it. The code under test runs in a forked child, because cmocka has SIGSEGV in the parent.
 */
#include "base/fault.h"
#include "intercept/insn.h"
#include "intercept/io_table.h"
#include "intercept/test_emulate_cases.h"
#include "intercept/test_emulate_native.h"
#include "intercept/trap.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE           4096u
#define AREA           (4 * PAGE)
#define TRAPPED        (2 * PAGE)
#define ROUNDS         24

#define FLAGS_COMPARED 0xcd5u /* CF PF AF ZF SF DF OF */
#define FLAGS_AF       0x010u
#define FLAGS_SZAP     0x0d4u
#define FLAGS_FREE     0x8d5u

struct emu_case {
	void (*code)(void);
	const char *text;
};

extern const struct emu_case __start_emu_cases[], __stop_emu_cases[];

static char *area;              /* AREA bytes, below 4 GiB so that 32-bit addresses work */
static uint8_t device[TRAPPED]; /* what the file's registers hold */
static atomic_uint sizes[65], calls;
static bool broken; /* mmio fails */
static bool copies; /* mmio copies from memory that is not there */

static int fake_mmio(struct file *file, uint64_t off, void *data, unsigned int len, bool write)
{
	(void)file;
	calls++;
	if (copies && copy_nofault(data, NULL, 8) != -EFAULT)
		return -EIO;
	if (broken || off + len > sizeof(device) || len > 64)
		return -EIO;
	sizes[len]++;
	if (write)
		memcpy(device + off, data, len);
	else
		memcpy(data, device + off, len);
	return 0;
}

static void fake_release(struct file *file)
{
	(void)file;
}

static const struct file_ops fake_ops = { .name = "fake", .release = fake_release, .mmio = fake_mmio };
static struct file *fake;

static void trap_area(int prot)
{
	struct io_range range = { .start = (uint64_t)(uintptr_t)area + PAGE,
				  .end = (uint64_t)(uintptr_t)area + PAGE + TRAPPED,
				  .file = fake,
				  .prot = prot,
				  .trapped = true };
	struct io_change change;

	if (io_change_begin(&change))
		abort();
	io_change_remove(&change, range.start, range.end);
	io_change_add(&change, &range);
	io_change_commit(&change);
}

/* trapped: the middle pages without access, or plain. */
static void set_access(bool trapped)
{
	if (mprotect(area + PAGE, TRAPPED, trapped ? PROT_NONE : PROT_READ | PROT_WRITE))
		abort();
}

static uint64_t random64(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void randomize(void *p, size_t len)
{
	uint8_t *b = p;

	while (len--)
		*b++ = (uint8_t)(random64() >> 32);
}

static unsigned int processor_level(void)
{
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
		return 2;
	return __builtin_cpu_supports("avx") ? 1 : 0;
}

static bool mentions(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strstr(text, *words))
			return true;
	return false;
}

static unsigned int needed_level(const char *text)
{
	static const char *const avx512[] = { "zmm",  "{",    "mm16", "mm17", "mm18", "mm20",
					      "mm21", "mm22", "mm23", "mm30", "mm31", NULL };
	static const char *const avx[] = { "vmov", "vpins", "vpext", "vins", "vext", "vzero", "vldd", NULL };

	if (mentions(text, avx512))
		return 2;
	return mentions(text, avx) ? 1 : 0;
}

static bool needs_alignment(const char *text)
{
	static const char *const words[] = { "movap", "movdqa", "movnt", NULL };

	return mentions(text, words);
}

/* Where rdi points: within the file, and across both of its ends. */
static uint64_t place(unsigned int round, bool aligned)
{
	uint64_t base = (uint64_t)(uintptr_t)area;

	if (round % 4 == 1 && !aligned)
		return base + PAGE - 1 - round % 7;
	if (round % 4 == 2 && !aligned)
		return base + PAGE + TRAPPED - 1 - round % 7;
	if (round % 4 == 3)
		return base + 2 * PAGE - (aligned ? 64 : round % 9);
	return base + PAGE + 1024 + (aligned ? 0 : round % 8);
}

static int difference(const struct emu_case *c, unsigned int round, const struct state *want,
		      const struct state *got)
{
	/* what the manual leaves undefined may depend on the processor, and on the form of the instruction */
	uint64_t ignore = strstr(c->text, "imul")                           ? FLAGS_SZAP
			  : strstr(c->text, "sh") || strstr(c->text, "sar") ? FLAGS_AF
									    : 0;

	for (unsigned int i = 0; i < 16; i++) {
		if (want->gpr[i] != got->gpr[i]) {
			printf("# %s: round %u: register %u is %llx instead of %llx\n", c->text, round, i,
			       (unsigned long long)got->gpr[i], (unsigned long long)want->gpr[i]);
			return 1;
		}
	}
	if ((want->flags ^ got->flags) & FLAGS_COMPARED & ~ignore) {
		printf("# %s: round %u: flags are %llx instead of %llx\n", c->text, round,
		       (unsigned long long)got->flags, (unsigned long long)want->flags);
		return 1;
	}
	if (memcmp(want->vec, got->vec, sizeof(want->vec)) ||
	    memcmp(want->mask, got->mask, sizeof(want->mask))) {
		printf("# %s: round %u: vector registers differ\n", c->text, round);
		return 1;
	}
	return 0;
}

static int run_case(const struct emu_case *c, unsigned int round)
{
	static uint8_t before[AREA], after[AREA];
	struct state want, got;

	randomize(&want, sizeof(want));
	randomize(before, sizeof(before));
	want.gpr[7] = place(round, needs_alignment(c->text));
	want.gpr[6] = (uint64_t)(uintptr_t)area + (round & 1 ? 100 : 3 * PAGE + 1000);
	want.flags &= FLAGS_FREE;
	got = want;

	set_access(false);
	memcpy(area, before, AREA);
	run_native(c->code, &want, processor_level());
	memcpy(after, area, AREA);

	memcpy(area, before, AREA);
	memcpy(device, before + PAGE, TRAPPED);
	memset(area + PAGE, 0xee, TRAPPED);
	set_access(true);
	calls = 0;
	run_native(c->code, &got, processor_level());
	set_access(false);
	memcpy(area + PAGE, device, TRAPPED);
	if (memcmp(area, after, AREA)) {
		printf("# %s: round %u: memory differs\n", c->text, round);
		return 1;
	}
	if (!calls && round % 4 == 0 && !strstr(c->text, "{") && !strstr(c->text, "xorl %ecx")) {
		printf("# %s: round %u: the file was not asked\n", c->text, round);
		return 1;
	}
	return difference(c, round, &want, &got);
}

static int all_cases(void)
{
	int bad = 0;

	for (const struct emu_case *c = __start_emu_cases; c < __stop_emu_cases; c++) {
		if (needed_level(c->text) > processor_level())
			continue;
		for (unsigned int round = 0; round < ROUNDS && bad < 20; round++)
			bad += run_case(c, round);
	}
	return bad ? 1 : 0;
}

/* A register sees an access of its natural width as one access. */
static int natural_widths(void)
{
	volatile char *at = area + PAGE + 256;
	uint64_t value = 0x1122334455667788;

	set_access(true);
	memset((void *)sizes, 0, sizeof(sizes));
	__asm__ volatile("movb %b1, (%0)\n\tmovw %w1, (%0)\n\tmovl %k1, 4(%0)\n\tmovq %1, 8(%0)"
			 :
			 : "r"(at), "r"(value)
			 : "memory");
	if (calls == 0 || sizes[1] != 1 || sizes[2] != 1 || sizes[4] != 1 || sizes[8] != 1)
		return 1;
	memset((void *)sizes, 0, sizeof(sizes));
	__asm__ volatile("movups (%0), %%xmm0" : : "r"(at) : "xmm0", "memory");
	return sizes[8] == 2 ? 0 : 2;
}

static int in_child(int (*fn)(void), int prot)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct sigaction sa = { .sa_handler = SIG_DFL };

		sigaction(SIGSEGV, &sa, NULL); /* cmocka's */
		sigaction(SIGBUS, &sa, NULL);
		if (trap_init())
			_exit(100);
		trap_area(prot);
		status = fn();
		fflush(stdout);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_all_forms(void **state)
{
	(void)state;
	assert_true(__stop_emu_cases - __start_emu_cases > 400);
	assert_int_equal(in_child(all_cases, PROT_READ | PROT_WRITE), 0);
}

static void test_natural_widths(void **state)
{
	(void)state;
	assert_int_equal(in_child(natural_widths, PROT_READ | PROT_WRITE), 0);
}

static int load_register(void)
{
	set_access(true);
	return *(volatile uint32_t *)(void *)(area + PAGE) == 0 ? 0 : 1;
}

static int store_register(void)
{
	set_access(true);
	*(volatile uint32_t *)(void *)(area + PAGE) = 1;
	return 0;
}

static int modify_register(void)
{
	set_access(true);
	__asm__ volatile("orl $1, (%0)" : : "r"(area + PAGE) : "memory");
	return 0;
}

/* One line on stderr says why; the test only looks at what becomes of the program. */
static int unknown_instruction(void)
{
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	set_access(true);
	__asm__ volatile("pcmpeqb (%0), %%xmm0" : : "r"(area + PAGE) : "xmm0");
	return 0;
}

static void test_permissions(void **state)
{
	(void)state;
	assert_int_equal(in_child(load_register, PROT_READ), 0);
	assert_int_equal(in_child(store_register, PROT_READ), 1000 + SIGSEGV);
	assert_int_equal(in_child(modify_register, PROT_READ), 1000 + SIGSEGV);
	assert_int_equal(in_child(store_register, PROT_WRITE), 0);
	assert_int_equal(in_child(load_register, PROT_WRITE), 0);
	assert_int_equal(in_child(load_register, PROT_NONE), 1000 + SIGSEGV);
	assert_int_equal(in_child(unknown_instruction, PROT_READ), 1000 + SIGSEGV);
}

static sigjmp_buf env;

static void jump(int sig)
{
	siglongjmp(env, sig);
}

static int bus_error_default(void)
{
	broken = true;
	return load_register();
}

/* Leaving by siglongjmp() must leave nothing behind: the table can still be changed. */
static int bus_error_handled(void)
{
	struct sigaction sa = { .sa_handler = jump };
	volatile int caught = 0;

	fault_program_action(SIGBUS, &sa, NULL);
	broken = true;
	for (volatile int i = 0; i < 100; i++) {
		int sig = sigsetjmp(env, 1);

		if (!sig)
			load_register();
		else if (sig == SIGBUS)
			caught++;
	}
	trap_area(PROT_READ);
	broken = false;
	return caught == 100 && !load_register() ? 0 : 1;
}

static int lower_half(void)
{
	uint64_t old = 0xdeadbeefcafef00d, value = 0;
	char *at = area + PAGE + 8;

	set_access(true);
	if (trap_access((uint64_t)(uintptr_t)at, &old, 8, true))
		return 1;
	if (trap_access((uint64_t)(uintptr_t)at, &value, 8, false) || value != old)
		return 2;
	if (trap_access((uint64_t)(uintptr_t)area + AREA, &value, 8, false) != -EFAULT)
		return 3;
	broken = true;
	return trap_access((uint64_t)(uintptr_t)at, &value, 8, false) == -EIO ? 0 : 4;
}

static void use_alternate_stack(void)
{
	stack_t ss = { .ss_size = 16384 };

	ss.ss_sp = malloc(ss.ss_size);
	if (!ss.ss_sp || sigaltstack(&ss, NULL))
		abort();
}

/* A fault within a trap, where there is an alternate stack that holds the first frame. */
static int fault_in_trap(void)
{
	stack_t ss;

	use_alternate_stack();
	copies = true;
	device[0] = 0;
	for (int i = 0; i < 3; i++)
		if (load_register())
			return 1;
	return sigaltstack(NULL, &ss) || ss.ss_size != 16384 || ss.ss_flags ? 2 : 0;
}

static void jump_from_address(int sig, siginfo_t *info, void *context)
{
	(void)context;
	siglongjmp(env, info->si_addr == area + AREA ? sig : 1000);
}

static int string_from_nowhere(void)
{
	struct sigaction sa = { .sa_sigaction = jump_from_address, .sa_flags = SA_ONSTACK | SA_SIGINFO };
	volatile int caught = 0;
	stack_t ss;

	use_alternate_stack();
	fault_program_action(SIGSEGV, &sa, NULL);
	set_access(true);
	for (volatile int i = 0; i < 10; i++) {
		uint64_t to = (uint64_t)(uintptr_t)area + PAGE, from = (uint64_t)(uintptr_t)area + AREA - 4,
			 n = 8;

		int sig = sigsetjmp(env, 1);

		if (sig)
			caught += sig == SIGSEGV;
		else
			__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	}
	return caught == 10 && !sigaltstack(NULL, &ss) && ss.ss_size == 16384 ? 0 : 1;
}

static void test_alternate_stack(void **state)
{
	(void)state;
	assert_int_equal(in_child(fault_in_trap, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(in_child(string_from_nowhere, PROT_READ | PROT_WRITE), 0);
}

static atomic_bool stop;

static void *touch(void *arg)
{
	volatile uint32_t *at = (volatile uint32_t *)(void *)(area + PAGE + 64);

	(void)arg;
	while (!atomic_load(&stop))
		if (*at != 0x5a5a5a5a)
			return area;
	return NULL;
}

/* Mappings of other files come and go; each file goes with its last mapping, and not before. */
static bool come_and_go(unsigned int round)
{
	uint64_t base = 0x100000000000u + (uint64_t)(round % 5) * 16 * PAGE;
	struct file *file = file_alloc(&fake_ops, NULL, 0, "another");
	struct io_range range = {
		.start = base, .end = base + 8 * PAGE, .file = file, .prot = PROT_READ, .trapped = true
	};
	struct io_change change;

	if (!file || io_change_begin(&change))
		return false;
	io_change_add(&change, &range);
	io_change_protect(&change, base + PAGE, base + 2 * PAGE, PROT_NONE);
	io_change_commit(&change);
	if (file->refs != 4 || !io_overlaps(base + PAGE, base + 2 * PAGE) || io_change_begin(&change))
		return false;
	io_change_remove(&change, base + 3 * PAGE, base + 4 * PAGE);
	io_change_commit(&change);
	if (file->refs != 5 || io_overlaps(base + 3 * PAGE, base + 4 * PAGE) || io_change_begin(&change))
		return false;
	io_change_remove(&change, base, base + 8 * PAGE);
	io_change_commit(&change);
	if (file->refs != 1 || io_overlaps(base, base + 8 * PAGE))
		return false;
	file_put(file);
	return true;
}

static int threads(void)
{
	pthread_t t[3];
	void *result;
	int bad = 0;

	memset(device, 0x5a, sizeof(device));
	set_access(true);
	for (int i = 0; i < 3; i++)
		if (pthread_create(&t[i], NULL, touch, NULL))
			return 1;
	for (unsigned int round = 0; round < 500; round++)
		bad |= !come_and_go(round);
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		bad |= pthread_join(t[i], &result) || result;
	return bad;
}

static void test_threads(void **state)
{
	(void)state;
	assert_int_equal(in_child(threads, PROT_READ), 0);
}

static void test_bus_errors(void **state)
{
	(void)state;
	assert_int_equal(in_child(bus_error_default, PROT_READ), 1000 + SIGBUS);
	assert_int_equal(in_child(bus_error_handled, PROT_READ), 0);
	assert_int_equal(in_child(lower_half, PROT_READ | PROT_WRITE), 0);
}

static int setup(void **state)
{
	(void)state;
	area = mmap(NULL, AREA + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
		    0);
	fake = file_alloc(&fake_ops, NULL, 0, "fake");
	return area == MAP_FAILED || !fake || mprotect(area + AREA, PAGE, PROT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_forms),       cmocka_unit_test(test_natural_widths),
		cmocka_unit_test(test_permissions),     cmocka_unit_test(test_bus_errors),
		cmocka_unit_test(test_alternate_stack), cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
