/* SPDX-License-Identifier: BSD-2-Clause */
/* IOMMU_IOAS_MAP_FILE: files that are short, grow, are for reading only, or no memory. */
#include "iommufd/test_bench.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_file(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	int fd = memory_file(8 * PG), socks[2];
	struct iommufd_access *access = access_new(b, ioas);
	uint64_t iova, word = 0x0123456789abcdef, got;

	assert_int_equal(map_file(b, ioas, -1, 0, PG, &iova), -EBADF);
	assert_int_equal(map_file(b, ioas, 500, 0, PG, &iova), -EBADF);
	assert_int_equal(map_file(b, ioas, fd, 0, 0, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, fd, UINT64_MAX, 2, &iova), -EOVERFLOW);
	assert_int_equal(map_file(b, ioas, fd, 0, UINT64_MAX - 1, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, -1, 0, UINT64_MAX - 1, &iova), -EBADF);
	assert_int_equal(map_file(b, ioas, fd, (uint64_t)1 << 63, PG, &iova), 0); /* never there to be used */
	assert_int_equal(map_file(b, ioas, fd, 2 * PG, 3 * PG, &iova), 0);
	assert_int_equal(pwrite(fd, &word, 8, 3 * PG), 8);
	close(fd); /* the memory stays */
	assert_int_equal(iommufd_access_rw(access, iova + PG, &got, 8, IOMMUFD_ACCESS_RW_READ), 0);
	assert_int_equal(got, word);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, socks), 0);
	assert_int_equal(map_file(b, ioas, socks[0], 0, PG, &iova), 0); /* shows itself when it is used */
	assert_int_equal(iommufd_access_rw(access, iova, &got, 8, IOMMUFD_ACCESS_RW_READ), -EINVAL);
	assert_int_equal(map_file(b, ioas, socks[1], UINT64_MAX / 2, PG, &iova), 0);
	close(socks[0]);
	close(socks[1]);
	iommufd_access_destroy(access);
}

static void test_file_in_a_domain(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	int fd = memory_file(4 * PG), pipes[2];
	uint64_t iova, again;

	assert_int_equal(pipe(pipes), 0);
	bind_dev(b, A);
	assert_true(attach(b, A, ioas) > 0);
	assert_int_equal(map_file(b, ioas, pipes[0], 0, PG, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, fd, 3 * PG, 2 * PG, &iova), -EINVAL);
	assert_int_equal(map_file(b, ioas, fd, 3 * PG, PG, &iova), 0);
	assert_int_equal(map_file(b, ioas, fd, 0, 4 * PG, &again), 0);
	assert_int_equal(self_caller.mm->pinned_pages, 5);
	assert_int_equal(unmap(b, ioas, 0, UINT64_MAX), 0);
	assert_int_equal(self_caller.mm->pinned_pages, 0);
	assert_int_equal(ftruncate(fd, 8 * PG), 0);
	assert_int_equal(map_file(b, ioas, fd, 3 * PG, 5 * PG, &iova), 0); /* it has grown */
	detach(b, A);
	unbind_dev(b, A);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

/* Of our files. */
static unsigned int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int n = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:test") != NULL;
	fclose(maps);
	return n;
}

/* The program's mappings are limited: ours must not use them up. */
static void test_file_grows(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	int fd = memory_file(0), late = memory_file(0);
	struct iommufd_access *access = access_new(b, ioas);
	uint64_t iova, word = 5;

	for (uint64_t i = 0; i < 300; i++) {
		assert_int_equal(ftruncate(fd, (off_t)((i + 1) * PG)), 0);
		assert_int_equal(map_file(b, ioas, fd, i * PG, PG, &iova), 0);
		assert_int_equal(iommufd_access_rw(access, iova, &word, 8, IOMMUFD_ACCESS_RW_WRITE), 0);
		assert_int_equal(map_file(b, ioas, late, i * PG, PG, &iova), 0);
		assert_int_equal(iommufd_access_rw(access, iova, &word, 8, IOMMUFD_ACCESS_RW_WRITE), -EINVAL);
	}
	assert_true(count_mappings() < 30);
	assert_int_equal(ftruncate(late, 300 * PG), 0);
	assert_int_equal(iommufd_access_rw(access, iova, &word, 8, IOMMUFD_ACCESS_RW_WRITE), 0);
	assert_int_equal(ftruncate(late, 0), 0);
	assert_int_equal(iommufd_access_rw(access, iova, &word, 8, IOMMUFD_ACCESS_RW_WRITE), -EINVAL);
	iommufd_access_destroy(access);
	assert_int_equal(unmap(b, ioas, 0, UINT64_MAX), 0);
	assert_int_equal(count_mappings(), 0);
	close(fd);
	close(late);
}

/* To map such a file writable makes it as long as the mapping. */
static void test_huge_file_stays_short(void **state)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	uint64_t iova;

	if (fd < 0)
		skip();
	assert_int_equal(map_file(b, ioas, fd, PG, PG, &iova), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	close(fd);
}

/* A descriptor for reading only is as good, as in the kernel. */
static void test_file_read_only(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	int fd = memory_file(PG), again;
	struct iommufd_access *access = access_new(b, ioas);
	uint64_t iova, word = 7, got = 0;
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(again >= 0);
	assert_int_equal(map_file(b, ioas, again, 0, PG, &iova), 0);
	assert_int_equal(iommufd_access_rw(access, iova, &word, 8, IOMMUFD_ACCESS_RW_WRITE), 0);
	assert_int_equal(pread(fd, &got, 8, 0), 8);
	assert_int_equal(got, word);
	close(again);
	again = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(map_file(b, ioas, again, 0, PG, &iova), -EBADF);
	close(again);
	close(fd);
	iommufd_access_destroy(access);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_file),           T(test_file_in_a_domain),
		T(test_file_grows),     T(test_huge_file_stays_short),
		T(test_file_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
