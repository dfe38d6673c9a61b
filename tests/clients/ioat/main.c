/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_ioat [CASE...]
 *
 * Runs its cases with the first engine on the bus, all of them or those whose names begin like the arguments,
 * and speaks TAP. A case that does not apply to the engine's version is not counted.
 */
#include "client.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static jmp_buf next_case;

void wrong(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	printf("# %s:%d: ", file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	longjmp(next_case, 1);
}

static const struct test *const groups[] = { register_tests, operation_tests, raid_tests,      error_tests,
					     state_tests,    driver_tests,    interrupt_tests, chain_tests,
					     flight_tests,   big_tests };

static bool applies(const struct test *test, int argc, char **argv)
{
	bool named = argc < 2;

	for (int i = 1; i < argc; i++)
		named |= !strncmp(test->name, argv[i], strlen(argv[i]));
	switch (test->needs) {
	case V33:
		return named && engines[0].version < 0x34;
	case V34:
		return named && engines[0].version >= 0x34;
	case MANY:
		return named && nr_engines > 1;
	case MAPPINGS:
		return named && !windows;
	default:
		return named;
	}
}

static unsigned int count(int argc, char **argv)
{
	unsigned int n = 0;

	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		for (const struct test *test = groups[i]; test->name; test++)
			n += applies(test, argc, argv);
	return n;
}

/* A core shows where it hangs. */
static void on_alarm(int sig)
{
	static const char text[] = "# nothing has moved for 120 seconds\n";

	(void)sig;
	if (write(STDOUT_FILENO, text, sizeof(text) - 1) >= 0)
		abort();
}

static bool run_case(const struct test *test)
{
	alarm(120);
	if (setjmp(next_case))
		return false;
	device_reset(&engines[0]);
	test->run(&engines[0]);
	return true;
}

int main(int argc, char **argv)
{
	unsigned int number = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, on_alarm);
	engines_open();
	printf("TAP version 13\n1..%u\n", count(argc, argv));
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		for (const struct test *test = groups[i]; test->name; test++) {
			bool ok;

			if (!applies(test, argc, argv))
				continue;
			ok = run_case(test);
			failed += !ok;
			printf("%sok %u - %s\n", ok ? "" : "not ", ++number, test->name);
		}
	engines_close();
	return failed || !number;
}
