/* SPDX-License-Identifier: BSD-2-Clause */
/* The ioctls of an IOAS: their flags, their errors in the kernel's order, ranges, another process. */
#include "iommufd/test_bench.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIXED ((uint32_t)IOMMU_IOAS_MAP_FIXED_IOVA)
#define RWF   ((uint32_t)(IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE))

static long map_flags(struct bench *b, uint32_t ioas, uint32_t flags, uint64_t *iova, uint64_t va,
		      uint64_t len)
{
	struct iommu_ioas_map cmd = { sizeof(cmd), flags, ioas, 0, va, len, *iova };
	long rc = call(b, IOMMU_IOAS_MAP, &cmd);

	*iova = cmd.iova;
	return rc;
}

static void test_alloc_flags(void **state)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd), .flags = 1 };
	struct bench *b = *state;

	assert_int_equal(call(b, IOMMU_IOAS_ALLOC, &cmd), -EOPNOTSUPP);
}

static void test_map_order(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_map cmd = { .size = sizeof(cmd), .flags = 8, .ioas_id = 99, .iova = UINT64_MAX };
	uint64_t iova = 0;
	uint32_t ioas;

	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd), -EOPNOTSUPP);
	cmd.flags = 0;
	cmd.__reserved = 1;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd), -EOPNOTSUPP);
	cmd.__reserved = 0;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd), -EOVERFLOW);
	cmd.iova = 0;
	cmd.length = UINT64_MAX;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd), -EOVERFLOW);
	cmd.length = 0;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd), -EINVAL);
	cmd.flags = RWF;
	assert_int_equal(call(b, IOMMU_IOAS_MAP, &cmd), -ENOENT);
	ioas = ioas_new(b);
	assert_int_equal(map_flags(b, ioas, RWF, &iova, UINT64_MAX, 8), -EOVERFLOW);
	assert_int_equal(map_flags(b, ioas, RWF, &iova, b->va, PG), 0);
	assert_int_equal(iova, PG);
	assert_int_equal(map_flags(b, ioas, FIXED | RWF, &iova, b->va, PG), -EEXIST);
}

static void test_answer_cannot_be_written(void **state)
{
	struct bench *b = *state;
	struct iommu_ioas_map *cmd = (void *)b->memory;
	uint32_t ioas = ioas_new(b);

	*cmd = (struct iommu_ioas_map){ sizeof(*cmd), RWF, ioas, 0, b->va, PG, 0 };
	assert_int_equal(mprotect(b->memory, PG, PROT_READ), 0);
	assert_int_equal(call(b, IOMMU_IOAS_MAP, cmd), -EFAULT);
	assert_int_equal(mprotect(b->memory, PG, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(unmap(b, ioas, 0, UINT64_MAX), 0); /* it is mapped all the same, as in the kernel */
}

static void test_unmap(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct iommu_ioas_unmap cmd = { sizeof(cmd), ioas, 0, UINT64_MAX };

	assert_int_equal(call(b, IOMMU_IOAS_UNMAP, &cmd), 0); /* everything may be nothing */
	assert_int_equal(cmd.length, 0);
	assert_int_equal(unmap(b, 99, 0, PG), -ENOENT);
	assert_int_equal(unmap(b, ioas, PG, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(unmap(b, ioas, UINT64_MAX, PG), -EOVERFLOW);
	assert_int_equal(unmap(b, ioas, PG, UINT64_MAX - 1), -EOVERFLOW);
	assert_int_equal(unmap(b, ioas, PG, 0), -EINVAL);
	assert_int_equal(unmap(b, ioas, PG, PG), -ENOENT);
	assert_int_equal(map(b, ioas, PG, 2), 0);
	assert_int_equal(map(b, ioas, 8 * PG, 1), 0);
	cmd = (struct iommu_ioas_unmap){ sizeof(cmd), ioas, 0, 16 * PG };
	assert_int_equal(call(b, IOMMU_IOAS_UNMAP, &cmd), 0);
	assert_int_equal(cmd.length, 3 * PG);
}

static long copy(struct bench *b, uint32_t flags, uint32_t dst, uint32_t src, uint64_t len,
		 uint64_t *dst_iova, uint64_t src_iova)
{
	struct iommu_ioas_copy cmd = { sizeof(cmd), flags, dst, src, len, *dst_iova, src_iova };
	long rc = call(b, IOMMU_IOAS_COPY, &cmd);

	*dst_iova = cmd.dst_iova;
	return rc;
}

static void test_copy(void **state)
{
	struct bench *b = *state;
	uint32_t src = ioas_new(b), dst = ioas_new(b);
	uint64_t iova = UINT64_MAX;

	assert_int_equal(map(b, src, PG, 2), 0);
	assert_int_equal(copy(b, 16, 99, 99, UINT64_MAX, &iova, 0), -EOPNOTSUPP);
	assert_int_equal(copy(b, 0, 99, 99, 0, &iova, 0), -EOVERFLOW);
	iova = 0;
	assert_int_equal(copy(b, 0, 99, 99, 0, &iova, 0), -EINVAL);
	assert_int_equal(copy(b, RWF, 99, 99, 0, &iova, 0), -ENOENT);
	assert_int_equal(copy(b, RWF, 99, src, 0, &iova, PG), -EINVAL); /* comes before dst is looked for */
	assert_int_equal(copy(b, RWF, 99, src, PG, &iova, PG), -ENOENT);
	assert_int_equal(copy(b, RWF, dst, src, 3 * PG, &iova, PG), -ENOENT);
	assert_int_equal(copy(b, RWF, dst, src, PG, &iova, 2 * PG), 0);
	assert_int_equal(iova, PG);
	iova = 7 * PG;
	assert_int_equal(copy(b, RWF | FIXED, dst, src, 2 * PG, &iova, PG), 0);
	assert_int_equal(destroy(b, src), 0);
	assert_int_equal(unmap(b, dst, 7 * PG, 2 * PG), 0);
}

static long ranges(struct bench *b, uint32_t ioas, struct iommu_iova_range *out, uint32_t *nr,
		   uint64_t *alignment)
{
	struct iommu_ioas_iova_ranges cmd = { sizeof(cmd), ioas, *nr, 0, (uintptr_t)out, 0 };
	long rc = call(b, IOMMU_IOAS_IOVA_RANGES, &cmd);

	*nr = cmd.num_iovas;
	*alignment = cmd.out_iova_alignment;
	return rc;
}

static long allow(struct bench *b, uint32_t ioas, const struct iommu_iova_range *in, uint32_t nr)
{
	struct iommu_ioas_allow_iovas cmd = { sizeof(cmd), ioas, nr, 0, (uintptr_t)in };

	return call(b, IOMMU_IOAS_ALLOW_IOVAS, &cmd);
}

static void test_ranges(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), nr = 4;
	struct iommu_iova_range got[4];
	uint64_t alignment;
	struct iommufd_ioas *obj = iommufd_get_ioas(b->ctx, ioas);

	assert_int_equal(ranges(b, ioas, got, &nr, &alignment), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(got[0].start, 0);
	assert_int_equal(got[0].last, UINT64_MAX);
	assert_int_equal(alignment, 1);
	assert_int_equal(iopt_reserve_iova(&obj->iopt, 0, PG - 1, b), 0);
	assert_int_equal(iopt_reserve_iova(&obj->iopt, 4 * PG, 8 * PG - 1, b), 0);
	assert_int_equal(iopt_reserve_iova(&obj->iopt, 6 * PG, 9 * PG - 1, b), 0);
	nr = 1;
	assert_int_equal(ranges(b, ioas, got, &nr, &alignment), -EMSGSIZE);
	assert_int_equal(nr, 2);
	assert_int_equal(got[0].start, PG);
	assert_int_equal(got[0].last, 4 * PG - 1);
	nr = 0;
	assert_int_equal(ranges(b, ioas, NULL, &nr, &alignment), -EMSGSIZE);
	assert_int_equal(nr, 2);
	nr = 2;
	assert_int_equal(ranges(b, ioas, NULL, &nr, &alignment), -EFAULT);
	assert_int_equal(nr, 2); /* as it was given */
	assert_int_equal(ranges(b, ioas, got, &nr, &alignment), 0);
	assert_int_equal(got[1].start, 9 * PG);
	iopt_remove_reserved_iova(&obj->iopt, b);
	iommufd_put_object(b->ctx, &obj->obj);
}

static struct io_pagetable *asked;

static int out_unlocked(const struct caller *caller, uint64_t dst, const void *src, size_t len)
{
	assert_int_equal(pthread_rwlock_trywrlock(&asked->lock), 0);
	pthread_rwlock_unlock(&asked->lock);
	return self_caller.ops->copy_out(caller, dst, src, len);
}

/* The memory may be another process's, which is slow, or stopped. */
static void test_ranges_slowly(void **state)
{
	struct bench *b = *state;
	struct caller_ops ops = *self_caller.ops;
	struct caller slow = { .ops = &ops, .mm = self_caller.mm };
	struct iommu_iova_range out = { 1, 1 };
	struct iommu_ioas_iova_ranges cmd = { sizeof(cmd), ioas_new(b), 1, 0, (uintptr_t)&out, 0 };
	struct iommufd_ioas *ioas = iommufd_get_ioas(b->ctx, cmd.ioas_id);

	ops.copy_out = out_unlocked;
	asked = &ioas->iopt;
	assert_int_equal(file_ioctl(b->file, &slow, IOMMU_IOAS_IOVA_RANGES, (uintptr_t)&cmd), 0);
	assert_true(!out.start && out.last == UINT64_MAX);
	iommufd_put_object(b->ctx, &ioas->obj);
}

static void test_allow(void **state)
{
	const struct iommu_iova_range apart[] = { { 9 * PG, 10 * PG - 1 }, { 3 * PG, 4 * PG - 1 } };
	const struct iommu_iova_range touching[] = { { PG, 2 * PG }, { 2 * PG, 3 * PG } };
	const struct iommu_iova_range single = { PG, PG };
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	uint64_t iova = 0;

	assert_int_equal(allow(b, ioas, touching, 2), -EINVAL);
	assert_int_equal(allow(b, ioas, &single, 1), -EINVAL);
	assert_int_equal(allow(b, ioas, NULL, 1), -EFAULT);
	assert_int_equal(allow(b, 99, apart, 2), -ENOENT);
	assert_int_equal(allow(b, ioas, apart, 2), 0);
	assert_int_equal(map_flags(b, ioas, RWF, &iova, b->va, PG), 0);
	assert_int_equal(iova, 3 * PG);
	assert_int_equal(map_flags(b, ioas, RWF, &iova, b->va, PG), 0);
	assert_int_equal(iova, 9 * PG);
	assert_int_equal(map_flags(b, ioas, RWF, &iova, b->va, PG), -ENOSPC);
	assert_int_equal(map(b, ioas, 20 * PG, 1), 0); /* a given one may be anywhere */
	assert_int_equal(allow(b, ioas, NULL, 0), 0);
	assert_int_equal(map_flags(b, ioas, RWF, &iova, b->va, PG), 0);
	assert_int_equal(iova, PG);
}

/* ---- another process */

static long change_process(struct bench *b, const struct caller *caller)
{
	struct iommu_ioas_change_process cmd = { .size = sizeof(cmd) };

	return file_ioctl(b->file, caller, IOMMU_IOAS_CHANGE_PROCESS, (uintptr_t)&cmd);
}

static void test_change_process(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), second = ioas_new(b);
	struct caller child = self_caller;
	int fd = memory_file(4 * PG), status;
	uint64_t iova, copied = 0;

	child.pid = fork();
	if (!child.pid) {
		pause();
		_exit(0);
	}
	assert_int_equal(mm_of_pid(child.pid, &child.mm), 0);
	bind_dev(b, A);
	assert_true(attach(b, A, ioas) > 0);
	assert_int_equal(map(b, second, PG, 1), 0);
	assert_int_equal(change_process(b, &child), -EINVAL);
	assert_int_equal(unmap(b, second, PG, PG), 0);
	assert_int_equal(map_file(b, ioas, fd, 0, 3 * PG, &iova), 0);
	assert_int_equal(copy(b, RWF, second, ioas, PG, &copied, iova), 0);
	assert_int_equal(self_caller.mm->pinned_pages, 3);
	assert_int_equal(change_process(b, &child), 0);
	assert_int_equal(self_caller.mm->pinned_pages, 0);
	assert_int_equal(child.mm->pinned_pages, 3);
	assert_int_equal(change_process(b, &self_caller), 0);
	assert_int_equal(child.mm->pinned_pages, 0);
	detach(b, A);
	unbind_dev(b, A);
	assert_int_equal(self_caller.mm->pinned_pages, 0);
	mm_put(child.mm);
	kill(child.pid, SIGKILL);
	waitpid(child.pid, &status, 0);
	close(fd);
}

/* What another process has mapped is found gone with it. */
static void test_process_is_gone(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct iommufd_ioas *obj = iommufd_get_ioas(b->ctx, ioas);
	struct iommufd_access *access = access_new(b, ioas);
	struct mm *mm;
	uint64_t iova = PG, word;
	int status;
	pid_t child = fork();

	if (!child) {
		pause();
		_exit(0);
	}
	assert_int_equal(mm_of_pid(child, &mm), 0);
	assert_int_equal(iopt_map_user_pages(b->ctx, &obj->iopt, mm, &iova, b->va, PG, IOMMU_READ, 0), 0);
	mm_put(mm);
	assert_int_equal(iommufd_access_rw(access, PG, &word, 8, IOMMUFD_ACCESS_RW_READ), 0);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	assert_int_equal(iommufd_access_rw(access, PG, &word, 8, IOMMUFD_ACCESS_RW_READ), -EFAULT);
	bind_dev(b, A);
	assert_int_equal(attach(b, A, ioas), -EFAULT);
	unbind_dev(b, A);
	assert_int_equal(unmap(b, ioas, PG, PG), 0);
	iommufd_access_destroy(access);
	iommufd_put_object(b->ctx, &obj->obj);
}

static void test_huge_pages_option(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct iommu_option cmd = { .size = sizeof(cmd),
				    .option_id = IOMMU_OPTION_HUGE_PAGES,
				    .op = IOMMU_OPTION_OP_GET,
				    .object_id = ioas };

	assert_int_equal(call(b, IOMMU_OPTION, &cmd), 0);
	assert_int_equal(cmd.val64, 1);
	cmd.op = IOMMU_OPTION_OP_SET;
	cmd.val64 = 2;
	assert_int_equal(call(b, IOMMU_OPTION, &cmd), -EINVAL);
	cmd.val64 = 0;
	assert_int_equal(call(b, IOMMU_OPTION, &cmd), 0);
	assert_int_equal(map_va(b, ioas, PG, b->va, 512), -EINVAL); /* whole pages only */
	cmd.op = IOMMU_OPTION_OP_GET;
	cmd.val64 = 7;
	assert_int_equal(call(b, IOMMU_OPTION, &cmd), 0);
	assert_int_equal(cmd.val64, 0);
	cmd.op = IOMMU_OPTION_OP_SET;
	cmd.val64 = 1;
	assert_int_equal(call(b, IOMMU_OPTION, &cmd), 0);
	assert_int_equal(map_va(b, ioas, PG, b->va, 512), 0);
}

#ifdef UVFIO_IOMMUFD_TEST
static int sweep_fd;

static long sweep_file(struct bench *b)
{
	uint64_t iova;

	return map_file(b, b->devs[A].id + 1, sweep_fd, 0, PG, &iova);
}

static void test_failures(void **state)
{
	struct bench *b = *state;

	sweep_fd = memory_file(PG);
	bind_dev(b, A);
	assert_int_equal(ioas_new(b), b->devs[A].id + 1);
	assert_true(attach(b, A, b->devs[A].id + 1) > 0);
	sweep(b, sweep_file);
	assert_int_equal(self_caller.mm->pinned_pages, 1);
	detach(b, A);
	unbind_dev(b, A);
	close(sweep_fd);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_alloc_flags),
		T(test_map_order),
		T(test_answer_cannot_be_written),
		T(test_unmap),
		T(test_copy),
		T(test_ranges),
		T(test_ranges_slowly),
		T(test_allow),
		T(test_change_process),
		T(test_process_is_gone),
		T(test_huge_pages_option),
#ifdef UVFIO_IOMMUFD_TEST
		T(test_failures),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
