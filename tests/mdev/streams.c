/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files create and remove by standard streams: what the C library has written is carried out, and
 * refused, where a kernel would see it. Run with `uvfio run --device mtty,ports=16,type=none`.
 */
#define PARENT "mtty"
#include "mdev.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>

#define CREATE TYPES "mtty-1/create"
#define NAME   "83b8f4f2-509f-382f-3c1e-e6bfe0fa10"

static bool made(const char *digits)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES NAME "%s", digits);
	return exists(path);
}

static FILE *stream_on(const char *path)
{
	FILE *f = fopen(path, "we");

	CHECK(f);
	return f;
}

static void flushed(void)
{
	FILE *f = stream_on(CREATE), *other = stream_on("/dev/null");

	CHECK(fputs(NAME "10\n", f) >= 0 && !made("10"));
	CHECK(!fflush(f) && made("10"));
	CHECK(fputs(NAME "11\n", f) >= 0 && !fflush(other) && !made("11"));
	CHECK(!fflush_unlocked(f) && made("11"));
	CHECK(fputs("zzz\n", f) >= 0);
	FAILS(fflush_unlocked(f), EINVAL);
	CHECK(ferror(f));
	clearerr(f);
	CHECK(fputs(NAME "12\n", f) >= 0);
	errno = 0;
	CHECK(!fflush(NULL) && !errno && made("12"));
	CHECK(fputs("zzz\n", f) >= 0);
	FAILS(fflush(NULL), EINVAL);
	CHECK(!fflush(NULL));
	CHECK(fputs(NAME "13\n", f) >= 0);
	CHECK(!fclose(f) && made("13"));
	CHECK(!fclose(other));
}

static int print(int fd, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vdprintf(fd, format, ap);
	va_end(ap);
	return n;
}

static void printed(void)
{
	int fd = open(CREATE, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(dprintf(fd, "%s%d\n", NAME, 20) == 37 && made("20"));
	CHECK(print(fd, "%s%d", NAME, 21) == 36 && made("21"));
	FAILS(dprintf(fd, "%s", "zzz"), EINVAL);
	FAILS(print(fd, "%0200d", 0), EINVAL);
	CHECK(!close(fd));
	CHECK(dprintf(1, "%s", "") == 0);
}

/* The stream's descriptor keeps its number. */
static void reopened(void)
{
	static FILE *closed[3]; /* for who looks for leaks: what cannot be reopened is not freed */
	FILE *f = stream_on("/dev/null");
	int fd = fileno(f);

	CHECK(freopen(CREATE, "w", f) == f && fileno(f) == fd && !fcntl(fd, F_GETFD));
	CHECK(fputs(NAME "30\n", f) >= 0 && !fflush(f) && made("30"));
	CHECK(fputs(NAME "31\n", f) >= 0);
	CHECK(freopen(NULL, "we", f) == f && fileno(f) == fd && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(made("31"));
	CHECK(fputs(NAME "32\n", f) >= 0 && !fflush(f) && made("32"));
	CHECK(fputs("zzz\n", f) >= 0);
	CHECK(freopen("/dev/null", "w", f) == f && fileno(f) == fd);
	CHECK(fputs(NAME "33\n", f) >= 0 && !fclose(f) && !made("33"));

	closed[0] = stream_on(CREATE);
	fd = fileno(closed[0]);
	CHECK(!freopen(CREATE, "r", closed[0]) && errno == EACCES);
	FAILS(fcntl(fd, F_GETFD), EBADF);
	closed[1] = stream_on("/dev/null");
	fd = fileno(closed[1]);
	CHECK(!freopen(TYPES "mtty-1/new", "w", closed[1]) && errno == EACCES);
	FAILS(fcntl(fd, F_GETFD), EBADF);
	FAILS(access(TYPES "mtty-1/new", F_OK), ENOENT);
	closed[2] = stream_on("/dev/null");
	CHECK(!freopen(TYPES "none/new", "w", closed[2]) && errno == ENOENT);
}

/* Nobody waits for a stream that another thread is reading. */
static void *read_for_ever(void *arg)
{
	return fgetc(arg) == EOF ? NULL : arg;
}

static void ends(void)
{
	static FILE *f, *empty;
	int ends[2];
	pthread_t thread;

	f = stream_on(CREATE);
	CHECK(!pipe2(ends, O_CLOEXEC) && (empty = fdopen(ends[0], "re")));
	CHECK(!pthread_create(&thread, NULL, read_for_ever, empty));
	CHECK(fputs(NAME "40\n", f) >= 0);
	while (!ftrylockfile(empty)) {
		funlockfile(empty);
		usleep(1000);
	}
	exit(0);
}

int main(void)
{
	pid_t child;
	int status = -1;

	flushed();
	printed();
	reopened();
	child = fork();
	CHECK(child >= 0);
	if (!child)
		ends();
	for (int i = 0; i < 1000 && !waitpid(child, &status, WNOHANG); i++)
		usleep(10000);
	kill(child, SIGKILL);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status) && made("40"));
	return 0;
}
