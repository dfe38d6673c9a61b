/* SPDX-License-Identifier: BSD-2-Clause */
/* Which memory may be mapped, with the permission cache trusted and without; other processes; accounting. */
#include "iommu/mm.h"

#include "base/fault.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PG UVFIO_PAGE_SIZE

static struct mm *mm;

static char *new_memory(size_t pages, int prot, int flags, int fd)
{
	char *p = mmap(NULL, pages * PG, prot, flags, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	mm_note_map((uintptr_t)p, pages * PG, prot, flags & MAP_ANONYMOUS ? MM_ANON : 0);
	return p;
}

static void no_memory(char *p, size_t pages)
{
	munmap(p, pages * PG);
	mm_note_change((uintptr_t)p, pages * PG);
}

static void protect(char *p, size_t pages, int prot)
{
	assert_int_equal(mprotect(p, pages * PG, prot), 0);
	mm_note_change((uintptr_t)p, pages * PG);
}

/* Twice: the second time it may be known. */
static int check(char *p, size_t pages, bool write)
{
	int ret = mm_check(mm, (uintptr_t)p, pages * PG, write);

	assert_int_equal(mm_check(mm, (uintptr_t)p, pages * PG, write), ret);
	return ret;
}

static void test_anonymous(void **state)
{
	char *p = new_memory(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	unsigned char resident[4];

	(void)state;
	assert_int_equal(check(p, 4, true), 0);
	assert_int_equal(check(p, 4, false), 0);
	assert_int_equal(mincore(p, 4 * PG, resident), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(resident[i] & 1, 0);
	no_memory(p + PG, 1);
	assert_int_equal(check(p, 4, true), -EFAULT);
	assert_int_equal(check(p, 2, true), -EFAULT);
	assert_int_equal(check(p + PG, 2, true), -EFAULT);
	assert_int_equal(check(p + PG, 1, false), -EFAULT);
	assert_int_equal(check(p + 2 * PG, 2, true), 0);
	no_memory(p, 4);
}

static void test_protection(void **state)
{
	char *p = new_memory(2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)state;
	assert_int_equal(check(p, 1, true), -EFAULT);
	assert_int_equal(check(p, 1, false), 0);
	protect(p, 1, PROT_READ | PROT_WRITE);
	assert_int_equal(check(p, 1, true), 0);
	assert_int_equal(check(p, 2, true), -EFAULT);
	assert_int_equal(check(p, 2, false), 0);
	protect(p, 2, PROT_NONE);
	assert_int_equal(check(p, 1, true), -EFAULT);
	assert_int_equal(check(p, 1, false), -EFAULT);
	protect(p, 2, PROT_WRITE);
	assert_int_equal(check(p, 1, true), 0);
	assert_int_equal(check(p, 1, false), -EFAULT);
	no_memory(p, 2);
}

static void test_addresses(void **state)
{
	(void)state;
	assert_int_equal(mm_check(mm, 0, PG, false), -EFAULT);
	assert_int_equal(mm_check(mm, 0xffff888000000000, PG, false), -EFAULT);
	assert_int_equal(mm_check(mm, BIT64(52), PG, true), -EFAULT);
	assert_int_equal(mm_check(mm, -PG, PG, true), -EFAULT);
	assert_int_equal(mm_check(mm, BIT64(47) - PG, 2 * PG, true), -EFAULT);
	assert_int_equal(mm_check(mm, PG, UINT64_MAX, true), -EFAULT);
}

static void test_files(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC), exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *p;

	(void)state;
	assert_int_equal(ftruncate(fd, 4 * PG), 0);
	p = new_memory(8, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	assert_int_equal(check(p, 1, true), 0);
	assert_int_equal(check(p, 4, true), 0);
	assert_int_equal(check(p + 4 * PG, 1, true), -EFAULT);
	assert_int_equal(check(p, 8, true), -EFAULT);
	assert_int_equal(check(p, 5, false), -EFAULT);
	no_memory(p, 8);
	p = new_memory(4, PROT_READ, MAP_SHARED, fd);
	assert_int_equal(check(p, 4, true), -EFAULT);
	assert_int_equal(check(p, 4, false), 0);
	no_memory(p, 4);
	p = new_memory(1, PROT_READ, MAP_PRIVATE, exe);
	assert_int_equal(check(p, 1, true), -EFAULT);
	assert_int_equal(check(p, 1, false), 0);
	no_memory(p, 1);
	p = new_memory(1, PROT_READ | PROT_WRITE, MAP_PRIVATE, exe);
	assert_int_equal(check(p, 1, true), 0);
	no_memory(p, 1);
	close(fd);
	close(exe);
}

static void test_unlike_neighbours(void **state)
{
	char *p = new_memory(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	unsigned char resident[1];

	(void)state;
	assert_ptr_equal(
		mmap(p + PG, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		p + PG);
	mm_note_change((uintptr_t)p + PG, PG);
	assert_int_equal(check(p, 2, true), 0);
	assert_int_equal(mincore(p + PG, PG, resident), 0);
	assert_int_equal(resident[0] & 1, 0);
	no_memory(p, 2);
}

/* More stretches than can be remembered, changed at random; a plain array says what is right. */
static void test_many_changes(void **state)
{
	enum { N = 2000 };
	static int prot[N];
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_WRITE };
	char *p = new_memory(N, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)state;
	srand(7);
	for (int i = 0; i < 20000; i++) {
		int at = rand() % N, n = MIN(1 + rand() % 4, N - at), want = 0;
		bool write = rand() % 2;

		if (rand() % 2) {
			int new = prots[rand() % 4];

			protect(p + (size_t)at * PG, (size_t)n, new);
			for (int k = at; k < at + n; k++)
				prot[k] = new;
			continue;
		}
		for (int k = at; k < at + n; k++)
			if (!(prot[k] & (write ? PROT_WRITE : PROT_READ)))
				want = -EFAULT;
		assert_int_equal(check(p + (size_t)at * PG, (size_t)n, write), want);
	}
	no_memory(p, N);
	memset(prot, 0, sizeof(prot));
}

static char bar[64];

static int bar_access(uint64_t va, void *data, size_t len, bool write)
{
	char *at = &bar[va % PG];

	if (va % PG + len > sizeof(bar))
		return -EFAULT;
	memcpy(write ? at : data, write ? data : at, len);
	return 0;
}

static void test_bar(void **state)
{
	char *p = new_memory(3, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1), buf[16] = "register";
	uint64_t va = (uintptr_t)p;
	bool io;

	(void)state;
	protect(p, 1, PROT_READ | PROT_WRITE);
	mm_io_access = bar_access;
	mm_note_map(va + PG, PG, PROT_READ | PROT_WRITE, MM_IO);
	assert_int_equal(mm_check_io(mm, va, 2 * PG, true, &io), 0);
	assert_true(io);
	assert_int_equal(mm_check_io(mm, va, PG, true, &io), 0);
	assert_false(io);
	assert_int_equal(mm_check(mm, va, 3 * PG, true), -EFAULT);
	assert_int_equal(mm_write(mm, va + PG - 4, buf, 8), 0);
	assert_memory_equal(p + PG - 4, "regi", 4);
	assert_memory_equal(bar, "ster", 4);
	assert_int_equal(mm_read(mm, buf + 8, va + PG - 4, 8), 0);
	assert_memory_equal(buf + 8, "register", 8);
	no_memory(p, 3);
	assert_int_equal(mm_check(mm, va + PG, PG, true), -EFAULT);
	mm_io_access = NULL;
}

static void test_copies(void **state)
{
	char *p = new_memory(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1), buf[8] = "abcdefg";

	(void)state;
	assert_int_equal(mm_write(mm, (uintptr_t)p + PG - 4, buf, 8), 0);
	memset(buf, 0, 8);
	assert_int_equal(mm_read(mm, buf, (uintptr_t)p + PG - 4, 8), 0);
	assert_string_equal(buf, "abcdefg");
	no_memory(p + PG, 1);
	assert_int_equal(mm_read(mm, buf, (uintptr_t)p + PG - 4, 8), -EFAULT);
	assert_int_equal(mm_write(mm, (uintptr_t)p + PG - 4, buf, 8), -EFAULT);
	assert_int_equal(mm_read(mm, buf, -4ull, 8), -EFAULT);
	no_memory(p, 1);
}

static void test_other_process(void **state)
{
	char *p = new_memory(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1), byte = 0;
	int ready[2];
	struct mm *other, *again;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		mm_forked();
		p[0] = 'c';
		munmap(p + PG, PG);
		byte = mm_check(mm, (uintptr_t)p, PG, true) == 0 &&
		       mm_check(mm, (uintptr_t)p, 2 * PG, true) != 0;
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	assert_int_equal(mm_of_pid(pid, &other), 0);
	assert_int_equal(mm_of_pid(pid, &again), 0);
	assert_ptr_equal(other, again);
	assert_ptr_equal(mm_by_index(other->index), other);
	mm_put(again);
	assert_int_equal(mm_check(other, (uintptr_t)p, PG, true), 0);
	assert_int_equal(mm_check(other, (uintptr_t)p, 2 * PG, false), -EFAULT);
	assert_int_equal(mm_read(other, &byte, (uintptr_t)p, 1), 0);
	assert_int_equal(byte, 'c');
	assert_int_equal(p[0], 0);
	assert_int_equal(mm_write(other, (uintptr_t)p, "d", 1), 0);
	assert_int_equal(mm_read(other, &byte, (uintptr_t)p + PG, 1), -EFAULT);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(mm_read(other, &byte, (uintptr_t)p, 1), -EFAULT);
	assert_int_equal(mm_check(other, (uintptr_t)p, PG, false), -EFAULT);
	assert_int_equal(mm_of_pid(pid, &again), -ESRCH);
	mm_put(other);
	assert_int_equal(mm_of_pid(getpid(), &other), 0);
	assert_ptr_equal(other, mm);
	mm_put(other);
	close(ready[0]);
	close(ready[1]);
	no_memory(p, 2);
}

/* A process that has used up its descriptors can map memory nevertheless. */
/* What a process has shared with us outlives it, if anyone has looked at it in time. */
static void test_gone(void **state)
{
	char *p = new_memory(4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1), byte = 0;
	char *private = new_memory(1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int ready[2];
	struct mm *other;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		munmap(p, PG);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(mm_of_pid(pid, &other), 0);
	assert_int_equal(mm_check(other, (uintptr_t)p + PG, 3 * PG, true), 0);
	assert_int_equal(mm_check(other, (uintptr_t) private, PG, true), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	no_memory(p + 2 * PG, 1);
	p[PG] = 's';
	assert_int_equal(mm_read(other, &byte, (uintptr_t)p + PG, 1), 0);
	assert_int_equal(byte, 's');
	assert_int_equal(mm_write(other, (uintptr_t)p + 4 * PG - 1, "t", 1), 0);
	assert_int_equal(p[4 * PG - 1], 't');
	assert_int_equal(mm_read(other, &byte, (uintptr_t)p, 1), -EFAULT);
	assert_int_equal(mm_read(other, &byte, (uintptr_t)p + 2 * PG, 1), -EFAULT);
	assert_int_equal(mm_read(other, &byte, (uintptr_t) private, 1), -EFAULT);
	assert_int_equal(mm_check(other, (uintptr_t)p + PG, PG, false), -EFAULT);
	mm_put(other);
	close(ready[0]);
	close(ready[1]);
	no_memory(p, 2);
	no_memory(p + 3 * PG, 1);
	no_memory(private, 1);
}

static void test_no_descriptors(void **state)
{
	char *p = new_memory(3, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int status;
	pid_t pid;

	(void)state;
	no_memory(p + 2 * PG, 1);
	pid = fork();
	if (!pid) {
		struct rlimit none = { 0, 0 };

		mm_forked();
		setrlimit(RLIMIT_NOFILE, &none);
		_exit(mm_check(mm, (uintptr_t)p, 2 * PG, true) != 0 ||
		      mm_check(mm, (uintptr_t)p, 3 * PG, true) != -EFAULT);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	no_memory(p, 2);
}

static void test_charge(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(mm_charge(mm, 10, 10), 0);
	assert_int_equal(mm_charge(mm, 1, 10), -ENOMEM);
	assert_int_equal(mm_charge(mm, UINT64_MAX, UINT64_MAX), -ENOMEM);
	assert_int_equal(mm_charge(mm, 1, UINT64_MAX), 0);
	assert_int_equal(mm_memlock_room(mm, 15), 4);
	assert_int_equal(mm_memlock_room(mm, 5), 0);
	if (!syscall(SYS_mlock, &limit, 1)) { /* counts, too; sanitizers make nothing of mlock() */
		assert_int_equal(mm_memlock_room(mm, 15), 3);
		syscall(SYS_munlock, &limit, 1);
	}
	mm_uncharge(mm, 11);
	assert_int_equal(mm->locked_pages, 0);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (geteuid() && limit.rlim_cur != RLIM_INFINITY)
		assert_int_equal(mm_memlock_limit(mm), limit.rlim_cur / PG);
}

static int check_page(const char *p, bool write)
{
	bool is_bar = true;
	int ret = mm_check_page(mm, (uintptr_t)p, write, &is_bar);

	return ret ? ret : is_bar;
}

/* In a child. Returns which of these is not so. */
static int check_pages(void)
{
	char *p = new_memory(4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int fd = memfd_create("test", 0);
	char *file;

	mm_forked();
	p[0] = 7;
	if (fault_handler_install(NULL) || ftruncate(fd, PG) || check_page(p, true) || p[0] != 7)
		return 1;
	if (check_page(p + PG, false) || check_page(p + 2 * PG, true) || p[2 * PG])
		return 2;
	protect(p, 2, PROT_READ);
	if (check_page(p, true) != -EFAULT || check_page(p, false))
		return 3;
	protect(p, 2, PROT_NONE);
	if (check_page(p, true) != -EFAULT || check_page(p, false) != -EFAULT)
		return 4;
	no_memory(p, 1);
	if (check_page(p, true) != -EFAULT || check_page(p, false) != -EFAULT)
		return 5;
	file = new_memory(2, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	if (check_page(file, true) || check_page(file + PG, true) != -EFAULT)
		return 6;
	return 0;
}

static void test_page(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid)
		_exit(check_pages());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int trusting(void **state)
{
	(void)state;
	mm = mm_self();
	mm_trust_notes(true);
	return 0;
}

static int asking(void **state)
{
	(void)state;
	mm = mm_self();
	mm_trust_notes(false);
	return 0;
}

static int done(void **state)
{
	(void)state;
	mm_put(mm);
	return 0;
}

#define BOTH(test)                                                                                           \
	{ #test ", trusting", test, trusting, done, NULL },                                                  \
	{                                                                                                    \
#test ", asking", test, asking, done, NULL                                                   \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_page), /* before there are BARs */
		BOTH(test_anonymous), BOTH(test_protection),     BOTH(test_addresses),
		BOTH(test_files),     BOTH(test_many_changes),   BOTH(test_unlike_neighbours),
		BOTH(test_bar),       BOTH(test_copies),         BOTH(test_other_process),
		BOTH(test_gone),      BOTH(test_no_descriptors), BOTH(test_charge),

	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
