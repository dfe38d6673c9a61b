/* SPDX-License-Identifier: BSD-2-Clause */
/* Address spaces that are other processes, by their pidfds, and files. */
#include "iommu/mm.h"
#include "iommu/mm_usage.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PG UVFIO_PAGE_SIZE

static int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void test_pidfd(void **state)
{
	char word[8] = "0123456", back[8] = "", text[64], want[64];
	int fd = memfd_create("none", 0), own = pidfd_of(getpid()), pidfd;
	struct mm *mm, *same;
	pid_t child = fork();

	(void)state;
	if (!child)
		for (;;)
			pause();
	pidfd = pidfd_of(child);
	assert_int_equal(mm_of_pidfd(-1, &mm), -EBADF);
	assert_int_equal(mm_of_pidfd(fd, &mm), -EINVAL);
	assert_int_equal(mm_of_pidfd(own, &mm), 0);
	assert_true(mm->self);
	mm_put(mm);
	assert_int_equal(mm_of_pidfd(pidfd, &mm), 0);
	assert_int_equal(mm_of_pid(child, &same), 0);
	assert_ptr_equal(same, mm);
	mm_put(same);
	assert_int_equal(mm_read(mm, back, (uintptr_t)word, sizeof(word)), 0);
	assert_memory_equal(back, word, sizeof(word));
	mm_describe(mm, text, sizeof(text));
	snprintf(want, sizeof(want), "process %d", (int)child);
	assert_string_equal(text, want);
	kill(child, SIGKILL);
	waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT);
	assert_int_equal(mm_of_pidfd(pidfd, &same), -ESRCH); /* a zombie */
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(mm_of_pidfd(pidfd, &same), -ESRCH);
	assert_true(mm_is_gone(mm));
	assert_int_equal(mm_read(mm, back, (uintptr_t)word, sizeof(word)), -EFAULT);
	mm_describe(mm, text, sizeof(text));
	strcat(want, " (exited)");
	assert_string_equal(text, want);
	assert_int_equal(mm->refs, 1);
	mm_put(mm);
	close(pidfd);
	close(own);
	close(fd);
}

static void test_no_file(void **state)
{
	int ends[2], empty = memfd_create("empty", 0), device = open("/dev/zero", O_RDWR);
	struct mm *mm;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(mm_of_file(-1, &mm), -EBADF);
	assert_int_equal(mm_of_file(ends[0], &mm), -EINVAL);
	assert_int_equal(mm_of_file(empty, &mm), -EINVAL);
	assert_int_equal(mm_of_file(device, &mm), -EINVAL);
	close(ends[0]);
	close(ends[1]);
	close(empty);
	close(device);
}

static void test_file(void **state)
{
	int fd = memfd_create("memory", 0);
	struct mm *mm, *self = mm_self();
	char word[8] = "abcdefg", back[8];
	struct mm_page page;
	bool io;

	(void)state;
	assert_int_equal(ftruncate(fd, 4 * PG), 0);
	assert_int_equal(mm_of_file(fd, &mm), 0);
	assert_false(mm->self || mm_is_gone(mm));
	assert_int_equal(mm_write(mm, PG - 4, word, sizeof(word)), 0);
	assert_int_equal(pread(fd, back, sizeof(back), PG - 4), sizeof(back));
	assert_memory_equal(back, word, sizeof(word));
	page = mm_page_at(mm, PG);
	assert_memory_equal(page.host, word + 4, 4);
	assert_int_equal(mm_check_io(mm, 0, 4 * PG, true, &io), 0);
	assert_false(io);
	assert_int_equal(mm_check(mm, 0, 4 * PG + 1, false), -EFAULT);
	assert_int_equal(mm_check(mm, 4 * PG, 1, false), -EFAULT);
	assert_int_equal(mm_read(mm, back, 4 * PG - 4, sizeof(back)), -EFAULT);
	assert_int_equal(mm_read(mm, back, UINT64_MAX - 2, sizeof(back)), -EFAULT);
	assert_int_equal(ftruncate(fd, PG), 0); /* the program takes memory away */
	assert_int_equal(mm_check(mm, 0, PG, true), 0);
	assert_int_equal(mm_check(mm, 0, 2 * PG, true), -EFAULT);
	assert_int_equal(mm_read(mm, back, PG - 4, sizeof(back)), -EFAULT);
	assert_int_equal(mm_read(mm, back, PG - 4, 4), 0);
	close(fd);
	assert_int_equal(mm_read(mm, back, PG - 4, 4), 0);
	assert_int_equal(mm_charge(mm, 3, 3), 0); /* to this process */
	assert_int_equal(self->locked_pages, 3);
	assert_int_equal(mm_charge(mm, 1, 3), -ENOMEM);
	assert_int_equal(mm_memlock_room(mm, 4), mm_memlock_room(self, 4));
	mm_uncharge(mm, 3);
	assert_int_equal(self->locked_pages, 0);
	mm_put(mm);
	mm_put(self);
}

static void test_file_for_reading(void **state)
{
	int fd = memfd_create("memory", 0), reader;
	struct mm *mm;
	char path[40], byte = 'x';

	(void)state;
	assert_int_equal(ftruncate(fd, 100), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY);
	assert_int_equal(mm_of_file(reader, &mm), 0);
	close(reader);
	assert_int_equal(mm_check(mm, 0, PG, false), 0);
	assert_int_equal(mm_check(mm, 0, PG, true), -EFAULT);
	assert_int_equal(mm_write(mm, 0, &byte, 1), -EFAULT);
	assert_int_equal(mm_read(mm, &byte, 0, 1), 0);
	assert_int_equal(byte, 0);
	mm_put(mm);
	close(fd);
}

static void test_usages(void **state)
{
	struct mm_usages usages = { 0 };
	struct mm *self = mm_self();
	uint32_t refs = self->refs;

	(void)state;
	mm_usage_of(&usages, self)->mapped += 5;
	mm_usage_of(&usages, self)->mapped += 6;
	assert_int_equal(usages.nr, 1);
	assert_int_equal(usages.usage->mapped, 11);
	assert_int_equal(self->refs, refs + 1);
	mm_usages_free(&usages);
	assert_int_equal(self->refs, refs);
	mm_put(self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pidfd),  cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_file),   cmocka_unit_test(test_file_for_reading),
		cmocka_unit_test(test_usages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
