/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's failure injection as a program finds it: fail-nth of a thread, its switches in debugfs. */
#include "client.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int open_nth(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", (int)syscall(SYS_gettid));
	return open(path, O_RDWR);
}

static void reads(int fd, const char *expected)
{
	char text[16] = "";

	CHECK(pread(fd, text, sizeof(text), 0) == (ssize_t)strlen(expected) && !strcmp(text, expected));
}

static void *other_thread(void *arg)
{
	int fd = open_nth();

	CHECK(fd >= 0);
	reads(fd, "0\n");
	CHECK(pwrite(fd, "5", 1, 0) == 1);
	reads(fd, "5\n");
	FAILS(pread(*(int *)arg, &(char){ 0 }, 1, 0), ESRCH);
	close(fd);
	return NULL;
}

static void fail_nth(void)
{
	const void *volatile nowhere = NULL;
	int fd = open_nth(), by_pid;
	pthread_t thread;
	char path[64];

	CHECK(fd >= 0);
	reads(fd, "0\n");
	CHECK(pwrite(fd, "17\n", 3, 0) == 3);
	reads(fd, "17\n");
	CHECK(!pthread_create(&thread, NULL, other_thread, &fd) && !pthread_join(thread, NULL));
	reads(fd, "17\n");
	FAILS(pwrite(fd, "x", 1, 0), EINVAL);
	FAILS(pwrite(fd, "1 2", 3, 0), EINVAL);
	FAILS(pwrite(fd, "4294967296", 10, 0), ERANGE);
	FAILS(pwrite(fd, nowhere, 1, 0), EFAULT);
	snprintf(path, sizeof(path), "/proc/%d/fail-nth", getpid());
	by_pid = open(path, O_RDWR);
	CHECK(by_pid >= 0);
	reads(by_pid, "17\n");
	CHECK(pwrite(by_pid, "0", 1, 0) == 1);
	reads(fd, "0\n");
	FAILS(open("/proc/1/fail-nth", O_RDWR), ENOENT);
	FAILS(open("/proc/self/task/1/fail-nth", O_RDWR), ENOENT);
	close(by_pid);
	close(fd);
}

/* The first failpoint on the way to an IOMMUFD fails, and only that. */
static void makes_fail(void)
{
	int fd = open_nth(), iommu;

	CHECK(fd >= 0);
	CHECK(pwrite(fd, "1", 1, 0) == 1);
	FAILS(open("/dev/iommu", O_RDWR), ENOMEM);
	reads(fd, "0\n");
	iommu = open("/dev/iommu", O_RDWR);
	CHECK(iommu >= 0);
	close(iommu);
	close(fd);
}

/* What a thread has set is not its child's. */
static void child_begins_anew(void)
{
	int fd = open_nth(), status;

	CHECK(fd >= 0 && pwrite(fd, "1000", 4, 0) == 4);
	if (!fork()) {
		FAILS(pwrite(fd, "5", 1, 0), ESRCH);
		fd = open_nth();
		CHECK(fd >= 0);
		reads(fd, "0\n");
		_exit(0);
	}
	CHECK(wait(&status) > 0 && !status);
	CHECK(pwrite(fd, "0", 1, 0) == 1);
	close(fd);
}

static void make_it_fail(void)
{
	int fd = open("/proc/self/make-it-fail", O_RDWR);

	CHECK(fd >= 0);
	reads(fd, "0\n");
	CHECK(pwrite(fd, "1", 1, 0) == 1);
	reads(fd, "1\n");
	FAILS(pwrite(fd, "2", 1, 0), EINVAL);
	close(fd);
}

static void switches(void)
{
	DIR *debugfs = opendir("/sys/kernel/debug/");
	struct dirent *entry;
	char text[4] = "";
	int fd, found = 0;

	CHECK(debugfs);
	while ((entry = readdir(debugfs)))
		found += !strncmp(entry->d_name, "fail", 4);
	CHECK(found >= 3);
	fd = openat(dirfd(debugfs), "failslab/ignore-gfp-wait", O_RDWR);
	CHECK(fd >= 0 && write(fd, "Y", 1) == 1 && pread(fd, text, 3, 0) == 2 && !strcmp(text, "Y\n"));
	close(fd);
	fd = open("/sys/kernel/debug/fail_page_alloc/verbose", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "0", 1) == 1);
	close(fd);
	closedir(debugfs);
}

int main(void)
{
	if (!access("/proc/self/fail-nth", F_OK)) {
		puts("this kernel has failure injection itself");
		return 77;
	}
	fail_nth();
	makes_fail();
	child_begins_anew();
	make_it_fail();
	switches();
	return 0;
}
