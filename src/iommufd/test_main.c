/* SPDX-License-Identifier: BSD-2-Clause */
/* /dev/iommu as its client sees it: the sizes of structures, ids, options, and what a failure leaves behind.
 */
#include "base/failpoint.h"
#include "base/test_sanitizer.h"
#include "file/fdtable.h"
#include "iommufd/describe.h"
#include "iommufd/impl.h"
#include "uapi/vfio.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct iommu_params params;
	struct file *file;
};

static long call(struct fixture *f, uint32_t cmd, void *arg)
{
	return file_ioctl(f->file, &self_caller, cmd, (uintptr_t)arg);
}

static int setup(void **state)
{
	static struct fixture f;

	iommu_params_default(&f.params);
	*state = &f;
	return iommufd_open(&f.params, false, O_RDWR, &f.file);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	file_put(f->file);
	return 0;
}

static long ioas_alloc(struct fixture *f, uint32_t *id)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };
	long rc = call(f, IOMMU_IOAS_ALLOC, &cmd);

	*id = cmd.out_ioas_id;
	return rc;
}

static long destroy(struct fixture *f, uint32_t id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return call(f, IOMMU_DESTROY, &cmd);
}

/* ---- sizes */

static const struct {
	uint32_t cmd, min, full;
} sizes[] = {
	{ IOMMU_DESTROY, 8, 8 },
	{ IOMMU_IOAS_ALLOC, 12, 12 },
	{ IOMMU_IOAS_ALLOW_IOVAS, 24, 24 },
	{ IOMMU_IOAS_COPY, 40, 40 },
	{ IOMMU_IOAS_IOVA_RANGES, 32, 32 },
	{ IOMMU_IOAS_MAP, 40, 40 },
	{ IOMMU_IOAS_UNMAP, 24, 24 },
	{ IOMMU_OPTION, 24, 24 },
	{ IOMMU_VFIO_IOAS, 12, 12 },
	{ IOMMU_HWPT_ALLOC, 24, 48 },
	{ IOMMU_GET_HW_INFO, 32, 40 },
	{ IOMMU_HWPT_SET_DIRTY_TRACKING, 16, 16 },
	{ IOMMU_HWPT_GET_DIRTY_BITMAP, 48, 48 },
	{ IOMMU_HWPT_INVALIDATE, 32, 32 },
	{ IOMMU_FAULT_QUEUE_ALLOC, 16, 16 },
	{ IOMMU_IOAS_MAP_FILE, 40, 40 },
	{ IOMMU_VIOMMU_ALLOC, 24, 40 },
	{ IOMMU_VDEVICE_ALLOC, 24, 24 },
	{ IOMMU_IOAS_CHANGE_PROCESS, 8, 8 },
	{ IOMMU_VEVENTQ_ALLOC, 28, 32 },
	{ IOMMU_HW_QUEUE_ALLOC, 40, 40 },
};

static void test_sizes(void **state)
{
	union {
		uint32_t size;
		unsigned char bytes[80];
	} arg;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t cmd = sizes[i].cmd;
		long rc;

		assert_int_equal(call(*state, cmd, NULL), -EFAULT);
		memset(&arg, 0xff, sizeof(arg)); /* no length makes sense of this */
		for (arg.size = 0; arg.size < sizes[i].min; arg.size++)
			assert_int_equal(call(*state, cmd, &arg), -EINVAL);
		for (uint32_t size = sizes[i].full + 1; size <= sizeof(arg); size++) {
			memset(&arg, 0, sizeof(arg));
			arg.size = size;
			arg.bytes[size - 1] = 1;
			assert_int_equal(call(*state, cmd, &arg), -E2BIG);
		}
		memset(&arg, 0, sizeof(arg));
		memset(arg.bytes + 4, 0xff, 4); /* a bad flag, or a bad id */
		for (arg.size = sizes[i].min; arg.size <= sizeof(arg); arg.size++) {
			rc = call(*state, cmd, &arg);
			assert_true(rc == -ENOENT || rc == -EOPNOTSUPP || rc == -ENODEV);
		}
	}
}

static void test_unknown_requests(void **state)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd) };

	assert_int_equal(call(*state, _IO(IOMMUFD_TYPE, IOMMUFD_CMD_BASE - 1), &cmd), -ENOTTY);
	assert_int_equal(call(*state, _IO(IOMMUFD_TYPE, IOMMUFD_CMD_HW_QUEUE_ALLOC + 1), &cmd), -ENOTTY);
	assert_int_equal(call(*state, _IO(IOMMUFD_TYPE, 0xff), &cmd), -ENOTTY);
	assert_int_equal(call(*state, _IOWR(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY, cmd), &cmd), -ENOTTY);
	assert_int_equal(call(*state, _IO('k', IOMMUFD_CMD_DESTROY), &cmd), -ENOTTY);
	assert_int_equal(call(*state, _IO('k', IOMMUFD_CMD_DESTROY), NULL), -EFAULT);
	assert_int_equal(call(*state, VFIO_DEVICE_GET_INFO, NULL), -ENOTTY);
	assert_int_equal(call(*state, VFIO_DEVICE_GET_INFO, &cmd), -ENOTTY);
	assert_int_equal(call(*state, VFIO_GET_API_VERSION, NULL), VFIO_API_VERSION);
}

/* ---- objects */

static void test_ids(void **state)
{
	uint32_t a, b, c;

	assert_int_equal(destroy(*state, 0), -ENOENT);
	assert_int_equal(destroy(*state, 1), -ENOENT);
	assert_int_equal(ioas_alloc(*state, &a), 0);
	assert_int_equal(ioas_alloc(*state, &b), 0);
	assert_int_equal(a, 1);
	assert_int_equal(b, 2);
	assert_int_equal(destroy(*state, a), 0);
	assert_int_equal(destroy(*state, a), -ENOENT);
	assert_int_equal(ioas_alloc(*state, &c), 0);
	assert_int_equal(c, a);
}

/* The answer cannot be written: no object is left. */
static void test_answer_is_not_writable(void **state)
{
	struct iommu_ioas_alloc *cmd =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t id;

	assert_ptr_not_equal(cmd, MAP_FAILED);
	cmd->size = sizeof(*cmd);
	assert_int_equal(mprotect(cmd, 4096, PROT_READ), 0);
	assert_int_equal(call(*state, IOMMU_IOAS_ALLOC, cmd), -EFAULT);
	munmap(cmd, 4096);
	assert_int_equal(ioas_alloc(*state, &id), 0);
	assert_int_equal(id, 1);
}

#ifdef UVFIO_IOMMUFD_TEST
static void test_every_failure(void **state)
{
	unsigned int nth = 0, left;
	uint32_t id = 0;
	long rc;

	do {
		failpoint_set(++nth);
		rc = ioas_alloc(*state, &id);
		left = failpoint_get();
		failpoint_set(0);
		if (!left)
			assert_int_equal(rc, -ENOMEM);
	} while (!left);
	assert_int_equal(rc, 0);
	assert_int_equal(id, 1);
	assert_true(nth > 2);
}
#endif

static void test_context_keeps_file(void **state)
{
	struct fixture *f = *state;
	struct iommufd_ctx *ctx = iommufd_ctx_from_file(f->file);
	uint32_t id;

	assert_non_null(ctx);
	iommufd_ctx_get(ctx);
	iommufd_ctx_put(ctx);
	file_put(f->file); /* the program closes it */
	assert_int_equal(ioas_alloc(f, &id), 0);
	assert_int_equal(file_read(f->file, &self_caller, (uintptr_t)&id, sizeof(id), 0), -EINVAL);
}

/* ---- fork */

static int in_child(struct fixture *f, uint32_t held, uint32_t *other)
{
	iommufd_forked(f->file);
	return destroy(f, held) || ioas_alloc(f, other) || *other != held;
}

/* Another thread of the parent is in a call, and has locks: the child has neither. */
static void test_fork_during_calls(void **state)
{
	struct fixture *f = *state;
	struct iommufd_ctx *ctx = f->file->priv;
	struct iommufd_ioas *ioas;
	uint32_t id, other;
	int status;
	pid_t pid;

	if (THREAD_SANITIZER) /* which takes the child's new locks for the parent's old ones */
		skip();
	assert_int_equal(ioas_alloc(f, &id), 0);
	ioas = iommufd_get_ioas(ctx, id);
	assert_non_null(ioas);
	assert_int_equal(destroy(f, id), -EBUSY);
	pthread_mutex_lock(&ioas->mutex);
	iommufd_ids_lock(ctx);
	pid = fork();
	if (!pid)
		_exit(in_child(f, id, &other));
	iommufd_ids_unlock(ctx);
	pthread_mutex_unlock(&ioas->mutex);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	iommufd_put_object(ctx, &ioas->obj);
	assert_int_equal(destroy(f, id), 0);
}

/* ---- options */

static long option(struct fixture *f, struct iommu_option cmd, uint64_t *value)
{
	long rc;

	cmd.size = sizeof(cmd);
	rc = call(f, IOMMU_OPTION, &cmd);
	*value = cmd.val64;
	return rc;
}

#define SET(...) option(*state, (struct iommu_option){ .op = IOMMU_OPTION_OP_SET, __VA_ARGS__ }, &value)
#define GET(...) option(*state, (struct iommu_option){ .op = IOMMU_OPTION_OP_GET, __VA_ARGS__ }, &value)

static void test_rlimit_mode(void **state)
{
	uint64_t value;
	uint32_t id;

	assert_int_equal(GET(.val64 = 9), 0);
	assert_int_equal(value, 0);
	assert_int_equal(GET(.object_id = 1, .val64 = 9), -EOPNOTSUPP);
	assert_int_equal(value, 9);
	assert_int_equal(SET(.val64 = 2), -EINVAL);
	assert_int_equal(SET(.val64 = 1), 0);
	assert_int_equal(GET(.val64 = 9), 0);
	assert_int_equal(value, 1);
	assert_int_equal(SET(.val64 = 0), 0);
	assert_int_equal(GET(.val64 = 9), 0);
	assert_int_equal(value, 0);
	assert_int_equal(ioas_alloc(*state, &id), 0);
	assert_int_equal(SET(.val64 = 1), -EBUSY);
	assert_int_equal(SET(.val64 = 2), -EBUSY);
	assert_int_equal(destroy(*state, id), 0);
	assert_int_equal(SET(.val64 = 1), 0);
}

static void *keep_setting(void *arg)
{
	uint64_t value;

	for (unsigned int i = 0; i < 1000; i++)
		option(arg, (struct iommu_option){ .op = IOMMU_OPTION_OP_SET, .val64 = i % 2 }, &value);
	return NULL;
}

/* For the thread sanitizer. */
static void test_rlimit_mode_of_threads(void **state)
{
	pthread_t thread;
	uint64_t value;

	assert_int_equal(pthread_create(&thread, NULL, keep_setting, *state), 0);
	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(GET(.val64 = 9), 0);
		assert_true(value <= 1);
	}
	pthread_join(thread, NULL);
}

static void test_options(void **state)
{
	uint64_t value;
	uint32_t id;

	assert_int_equal(ioas_alloc(*state, &id), 0);
	assert_int_equal(GET(.option_id = IOMMU_OPTION_HUGE_PAGES, .object_id = id), 0);
	assert_int_equal(value, 1);
	assert_int_equal(SET(.option_id = IOMMU_OPTION_HUGE_PAGES, .object_id = id, .val64 = 0), 0);
	assert_int_equal(GET(.option_id = IOMMU_OPTION_HUGE_PAGES, .object_id = id, .val64 = 9), 0);
	assert_int_equal(value, 0);
	assert_int_equal(SET(.option_id = IOMMU_OPTION_HUGE_PAGES, .object_id = id, .val64 = 2), -EINVAL);
	assert_int_equal(SET(.option_id = IOMMU_OPTION_HUGE_PAGES, .object_id = id + 1), -ENOENT);
	assert_int_equal(option(*state, (struct iommu_option){ .op = 2 }, &value), -EOPNOTSUPP);
	assert_int_equal(GET(.option_id = 2), -EOPNOTSUPP);
	assert_int_equal(GET(.__reserved = 1), -EOPNOTSUPP);
}

static void test_container_charges_like_vfio(void **state)
{
	struct fixture f = { 0 };
	uint64_t value;

	(void)state;
	iommu_params_default(&f.params);
	assert_int_equal(iommufd_open(&f.params, true, O_RDWR, &f.file), 0);
	assert_int_equal(option(&f, (struct iommu_option){ .op = IOMMU_OPTION_OP_GET }, &value), 0);
	assert_int_equal(value, 1);
	assert_string_equal(f.file->path, "/dev/vfio/vfio");
	file_put(f.file);
}

/* ---- traces */

/* What is said of a call with in for argument, which it made out, and that ended with rc. */
static const char *described_call(uint32_t cmd, void *in, const void *out, long rc, size_t len)
{
	static char buf[200];
	struct ioctl_row row = { .cmd = cmd };
	struct ioctl_call ioctl_call = { .row = &row, .in = in, .rc = rc };

	memset(buf, 'x', sizeof(buf));
	iommufd_describe(&ioctl_call, out, buf, len);
	if (len < sizeof(buf))
		assert_int_equal(buf[len], 'x');
	return buf;
}

static const char *described(uint32_t cmd, void *arg, size_t len)
{
	return described_call(cmd, arg, arg, 0, len);
}

static void test_results_in_descriptions(void **state)
{
	struct iommu_ioas_iova_ranges asked = { .ioas_id = 2 },
				      told = { .ioas_id = 2, .num_iovas = 3, .out_iova_alignment = 1 };
	struct iommu_option get = { .op = IOMMU_OPTION_OP_GET, .val64 = 9 }, got = { .val64 = 1 };
	struct iommu_hwpt_invalidate invalidate = { .entry_num = 5 }, stopped = { .entry_num = 2 };
	struct iommu_vfio_ioas ask = { .ioas_id = 9 }, answer = { .ioas_id = 1 };

	(void)state;
	assert_string_equal(described_call(IOMMU_IOAS_IOVA_RANGES, &asked, &told, -EMSGSIZE, 200),
			    "ioas=2 num_iovas=0 -> num_iovas=3 alignment=0x1");
	assert_string_equal(described_call(IOMMU_IOAS_IOVA_RANGES, &asked, &told, -ENOENT, 200),
			    "ioas=2 num_iovas=0");
	assert_string_equal(described_call(IOMMU_OPTION, &get, &got, 0, 200), "GET RLIMIT_MODE -> val64=1");
	assert_string_equal(described_call(IOMMU_OPTION, &get, &get, -EPERM, 200), "GET RLIMIT_MODE");
	assert_string_equal(described_call(IOMMU_HWPT_INVALIDATE, &invalidate, &stopped, -EINVAL, 200),
			    "hwpt=0 data_type=0 entry_len=0 entry_num=5 -> entry_num=2");
	assert_string_equal(described_call(IOMMU_VFIO_IOAS, &ask, &answer, 0, 200), "GET -> ioas=1");
}

static void test_descriptions(void **state)
{
	struct iommu_ioas_map map = {
		.flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_FIXED_IOVA | 0x100,
		.ioas_id = 7,
		.user_va = 0x2000,
		.length = 0x1000,
		.iova = 0x5000,
	};
	struct iommu_option opt = { .option_id = IOMMU_OPTION_HUGE_PAGES, .object_id = 3, .op = 5 };
	struct iommu_fault_alloc fault = { .flags = 0x10, .out_fault_id = 3, .out_fault_fd = 7 };

	(void)state;
	assert_string_equal(described(IOMMU_IOAS_MAP, &map, 200),
			    "ioas=7 iova=0x5000 length=0x1000 user_va=0x2000 FIXED_IOVA|READABLE|0x100");
	assert_string_equal(described(IOMMU_IOAS_MAP, &map, 20), "ioas=7 iova=0x5000 ");
	assert_string_equal(described(IOMMU_IOAS_MAP, &map, 8), "ioas=7 ");
	assert_string_equal(described(IOMMU_FAULT_QUEUE_ALLOC, &fault, 200), "flags=0x10 -> fault=3 fd=7");
	assert_string_equal(described_call(IOMMU_FAULT_QUEUE_ALLOC, &fault, &fault, -ENOMEM, 200),
			    "flags=0x10");
	assert_string_equal(described(IOMMU_OPTION, &opt, 200), "0x5 HUGE_PAGES object=3 val64=0");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		static uint64_t zeroes[16];

		assert_true(strlen(described(sizes[i].cmd, zeroes, 200)) > 3 ||
			    sizes[i].cmd == IOMMU_IOAS_CHANGE_PROCESS);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sizes),
		TEST(test_unknown_requests),
		TEST(test_ids),
		TEST(test_answer_is_not_writable),
#ifdef UVFIO_IOMMUFD_TEST
		TEST(test_every_failure),
#endif
		TEST(test_context_keeps_file),
		TEST(test_fork_during_calls),
		TEST(test_rlimit_mode),
		TEST(test_rlimit_mode_of_threads),
		TEST(test_options),
		cmocka_unit_test(test_container_charges_like_vfio),
		cmocka_unit_test(test_descriptions),
		cmocka_unit_test(test_results_in_descriptions),
	};

	return cmocka_run_group_tests_name("iommufd_main", tests, NULL, NULL);
}
