/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile-* [SEED [OPERATIONS]]
 *
 * Without a seed: the time. UVFIO_HOSTILE_OPERATIONS: operations, when the second argument is not given
 * (default 100000). A failure names seed and operation; threads of the device make a run not wholly
 * repeatable.
 */
#include "hostile.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK_EVERY 4096
#define WATCHDOG    180 /* seconds without CHECK_EVERY operations */

static unsigned long long seed, operations, done;

void die(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "hostile: seed %llu, operation %llu: ", seed, done);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static void on_alarm(int sig)
{
	(void)sig;
	die("hang: nothing has moved for %d seconds", WATCHDOG);
}

static unsigned int entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned int n = 0;

	if (!dir)
		die("%s cannot be read", path);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void run(struct device *dev)
{
	device_open(dev);
	driver_bring_up(dev);
	for (; done < operations; done++) {
		driver_operation(dev);
		if (done % CHECK_EVERY == 0) {
			memory_check();
			alarm(WATCHDOG);
		}
	}
	memory_check();
	driver_final_check(dev);
	device_close(dev);
	memory_check();
}

int main(int argc, char **argv)
{
	const char *count = getenv("UVFIO_HOSTILE_OPERATIONS");
	unsigned int threads, fds;
	struct device dev;

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (unsigned long long)time(NULL);
	operations = argc > 2 ? strtoull(argv[2], NULL, 0) : count ? strtoull(count, NULL, 0) : 100000;
	printf("hostile: seed %llu, %llu operations\n", seed, operations);
	fflush(stdout);
	random_seed(seed);
	signal(SIGALRM, on_alarm);
	alarm(WATCHDOG);
	memory_make();
	port_setup();
	/* Once for what is made at the first use and stays. */
	device_open(&dev);
	device_close(&dev);
	threads = entries("/proc/self/task");
	fds = entries("/proc/self/fd");
	run(&dev);
	if (entries("/proc/self/task") != threads || entries("/proc/self/fd") != fds)
		die("left behind: %u threads instead of %u, %u descriptors instead of %u",
		    entries("/proc/self/task") - 2, threads - 2, entries("/proc/self/fd") - 3, fds - 3);
	port_teardown();
	memory_free();
	printf("hostile: done, nothing foreign was touched\n");
	return 0;
}
