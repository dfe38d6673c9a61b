/* SPDX-License-Identifier: BSD-2-Clause */
/* Files, descriptors, the ioctl engine and eventfds, in this process. */
#include "base/private_fd.h"
#include "file/eventfd.h"
#include "file/fdtable.h"
#include "file/ioctl.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

static _Atomic int releases;

static void count_release(struct file *file)
{
	(void)file;
	atomic_fetch_add(&releases, 1);
}

struct arg {
	uint32_t argsz, flags;
	uint32_t in, out;
};

static long add_one(struct ioctl_call *call, void *p)
{
	struct arg *arg = p;

	(void)call;
	if (arg->in == 99)
		return -EBUSY;
	arg->out = arg->in + 1;
	return 7;
}

static long give_value(struct ioctl_call *call, void *arg)
{
	assert_null(arg);
	return (long)call->arg * 2;
}

struct sized {
	uint32_t size, in;
	uint64_t optional;
};

static struct sized seen;

static long see_sized(struct ioctl_call *call, void *arg)
{
	seen = *(const struct sized *)arg;
	assert_ptr_equal(call->row->data, &seen);
	return call->argsz;
}

static const struct ioctl_row rows[] = {
	{ .cmd = 0x3b64, .name = "VALUE", .row_flags = IOC_VALUE, .handler = give_value },
	{ .cmd = 0x3b65,
	  .name = "ADD",
	  .minsz = 12,
	  .outsz = 16,
	  .row_flags = IOC_OUT,
	  .check_flags = true,
	  .known_flags = 3,
	  .handler = add_one },
	{ .cmd = 0x3b80,
	  .name = "SIZED",
	  .minsz = 8,
	  .fullsz = 16,
	  .row_flags = IOC_SIZED,
	  .data = &seen,
	  .handler = see_sized },
};

static long test_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}

static const struct file_ops ops = { .name = "test", .release = count_release, .ioctl = test_ioctl };

static int open_test_file(int oflags)
{
	struct file *file = file_alloc(&ops, NULL, oflags, "/dev/test");

	assert_non_null(file);
	releases = 0;
	return fdtable_install(file, oflags);
}

static void close_both(int fd)
{
	fdtable_close(fd);
	assert_int_equal(close(fd), 0);
}

static void test_last_close_releases(void **state)
{
	int fd = open_test_file(O_RDWR | O_CLOEXEC);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct file *file;

	(void)state;
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	fdtable_dup(fd, copy);
	close_both(fd);
	assert_false(fdtable_is_ours(fd));
	file = fdtable_get(copy);
	assert_non_null(file);
	close_both(copy);
	assert_int_equal(releases, 0); /* a call is under way */
	file_put(file);
	assert_int_equal(releases, 1);
}

static void test_dup_over_ours(void **state)
{
	int a = open_test_file(O_RDWR);
	int b = open_test_file(O_RDWR);

	(void)state;
	fdtable_dup(a, b); /* as after dup2(a, b) */
	assert_int_equal(releases, 1);
	fdtable_dup(0, b); /* as after dup2(0, b) */
	assert_false(fdtable_is_ours(b));
	assert_int_equal(releases, 1);
	close(b);
	close_both(a);
	assert_int_equal(releases, 2);
}

static void test_access_mode_and_identity(void **state)
{
	int fd = open_test_file(O_RDONLY);
	int copy = dup(fd);

	(void)state;
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_false(fdtable_is_ours(copy));
	assert_true(fdtable_adopt(copy)); /* as after recvmsg */
	assert_true(fdtable_is_ours(copy));
	assert_false(fdtable_adopt(STDERR_FILENO));
	fdtable_close_range((unsigned int)MIN(fd, copy), ~0u);
	assert_int_equal(releases, 1);
	close(fd);
	close(copy);
}

static void test_get_file_errors(void **state)
{
	int path = open("/", O_PATH);
	int fd = open_test_file(O_RDWR);
	struct file *file;

	(void)state;
	assert_int_equal(self_caller.ops->get_file(&self_caller, -1, &file), -EBADF);
	assert_int_equal(self_caller.ops->get_file(&self_caller, 900, &file), -EBADF);
	assert_int_equal(self_caller.ops->get_file(&self_caller, path, &file), -EBADF);
	assert_int_equal(self_caller.ops->get_file(&self_caller, STDERR_FILENO, &file), -EBADFD);
	assert_int_equal(self_caller.ops->get_file(&self_caller, fd, &file), 0);
	file_put(file);
	close_both(fd);
	close(path);
}

static void test_ioctl_engine(void **state)
{
	int fd = open_test_file(O_RDWR);
	struct file *file = fdtable_get(fd);
	struct arg arg;

	(void)state;
	assert_int_equal(file_ioctl(file, &self_caller, 0x3b63, 0), -ENOTTY);
	assert_int_equal(file_ioctl(file, &self_caller, 0x3b64, 21), 42);
	assert_int_equal(file_ioctl(file, &self_caller, 0xffffffff00003b64, 21),
			 42); /* sign-extended request */
	assert_int_equal(file_ioctl(file, &self_caller, 0x3b65, 0), -EFAULT);
	for (uint32_t argsz = 0; argsz < 12; argsz++) {
		arg = (struct arg){ .argsz = argsz };
		assert_int_equal(file_ioctl(file, &self_caller, 0x3b65, (uintptr_t)&arg), -EINVAL);
	}
	arg = (struct arg){ .argsz = 16, .flags = 4 };
	assert_int_equal(file_ioctl(file, &self_caller, 0x3b65, (uintptr_t)&arg), -EINVAL);
	arg = (struct arg){ .argsz = 12, .flags = 3, .in = 5, .out = 1000 };
	assert_int_equal(file_ioctl(file, &self_caller, 0x3b65, (uintptr_t)&arg), 7);
	assert_int_equal(arg.out, 1000); /* beyond argsz */
	arg = (struct arg){ .argsz = 17, .in = 5, .out = 1000 };
	assert_int_equal(file_ioctl(file, &self_caller, 0x3b65, (uintptr_t)&arg), 7);
	assert_int_equal(arg.out, 6);
	arg = (struct arg){ .argsz = 16, .in = 99, .out = 1000 };
	assert_int_equal(file_ioctl(file, &self_caller, 0x3b65, (uintptr_t)&arg), -EBUSY);
	assert_int_equal(arg.out, 1000); /* nothing is copied out on failure */
	file_put(file);
	close_both(fd);
}

static void *open_and_close(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		struct file *file = file_alloc(&ops, NULL, O_RDWR, "/dev/test");
		int fd = fdtable_install(file, O_RDWR);

		assert_true(fd >= 0);
		close_both(fd);
	}
	return NULL;
}

static _Atomic bool stop;

static void *look_up(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		for (int fd = 0; fd < 32; fd++) {
			struct file *file = fdtable_get(fd);

			if (file) {
				assert_int_equal(file_ioctl(file, &self_caller, 0x3b64, 1), 2);
				file_put(file);
			}
		}
	}
	return NULL;
}

static long sized_ioctl(struct file *file, const void *arg)
{
	seen = (struct sized){ 0 };
	return file_ioctl(file, &self_caller, 0x3b80, (uintptr_t)arg);
}

static void test_sized_structures(void **state)
{
	int fd = open_test_file(O_RDWR);
	struct file *file = fdtable_get(fd);
	union {
		struct sized s;
		unsigned char bytes[304];
	} arg;

	(void)state;
	assert_int_equal(sized_ioctl(file, NULL), -EFAULT);
	for (uint32_t size = 0; size < 8; size++) {
		arg.s = (struct sized){ size, 5, 6 };
		assert_int_equal(sized_ioctl(file, &arg), -EINVAL);
		assert_int_equal(seen.in, 0);
	}
	for (uint32_t size = 8; size <= 16; size++) {
		arg.s = (struct sized){ size, 5, 0x0101010101010101 };
		assert_int_equal(sized_ioctl(file, &arg), size);
		assert_int_equal(seen.in, 5);
		assert_memory_equal(&seen.optional, &arg.bytes[8], size - 8);
		for (uint32_t missing = size - 8; missing < 8; missing++)
			assert_int_equal((seen.optional >> missing * 8) & 0xff, 0);
	}
	for (uint32_t size = 17; size <= sizeof(arg); size++) {
		memset(&arg, 0, sizeof(arg));
		arg.s = (struct sized){ size, 5, 6 };
		assert_int_equal(sized_ioctl(file, &arg), size);
		assert_int_equal(seen.optional, 6);
		if (size < sizeof(arg))
			arg.bytes[size] = 1; /* not the argument's any more */
		assert_int_equal(sized_ioctl(file, &arg), size);
		for (uint32_t at = 16; at < size; at++) {
			arg.bytes[at] = 1;
			assert_int_equal(sized_ioctl(file, &arg), -E2BIG);
			assert_int_equal(seen.in, 0);
			arg.bytes[at] = 0;
		}
	}
	file_put(file);
	close_both(fd);
}

/* The argument ends with the last byte of memory. */
static void test_sized_at_the_edge(void **state)
{
	unsigned char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open_test_file(O_RDWR);
	struct file *file = fdtable_get(fd);
	struct sized *arg;

	(void)state;
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(mprotect(pages + 4096, 4096, PROT_NONE), 0);
	arg = (struct sized *)(void *)(pages + 4096 - 8);
	arg->size = 8;
	assert_int_equal(sized_ioctl(file, arg), 8);
	arg->size = 9;
	assert_int_equal(sized_ioctl(file, arg), -EFAULT);
	arg->size = 4;
	assert_int_equal(sized_ioctl(file, arg), -EINVAL);
	arg = (struct sized *)(void *)(pages + 4096 - 16);
	arg->size = 16;
	assert_int_equal(sized_ioctl(file, arg), 16);
	arg->size = 17;
	assert_int_equal(sized_ioctl(file, arg), -EFAULT);
	arg->size = UINT32_MAX;
	assert_int_equal(sized_ioctl(file, arg), -EFAULT);
	assert_int_equal(sized_ioctl(file, pages + 4096 - 2), -EFAULT);
	munmap(pages, 8192);
	file_put(file);
	close_both(fd);
}

static void test_lookup_races_close(void **state)
{
	pthread_t opener[2], looker;

	(void)state;
	releases = 0;
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&looker, NULL, look_up, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(opener); i++)
		assert_int_equal(pthread_create(&opener[i], NULL, open_and_close, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(opener); i++)
		pthread_join(opener[i], NULL);
	atomic_store(&stop, true);
	pthread_join(looker, NULL);
	assert_int_equal(releases, 4000);
}

static void test_eventfd_reference(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC), null = open("/dev/null", O_RDWR);
	struct eventfd_ctx *a, *b;
	uint64_t count;
	int copy = dup(fd);

	(void)state;
	assert_int_equal(eventfd_ctx_get(&self_caller, -1, &a), -EBADF);
	assert_int_equal(eventfd_ctx_get(&self_caller, 900, &a), -EBADF);
	assert_int_equal(eventfd_ctx_get(&self_caller, null, &a), -EINVAL);
	assert_int_equal(eventfd_ctx_get(&self_caller, fd, &a), 0);
	assert_int_equal(eventfd_ctx_get(&self_caller, copy, &b), 0);
	assert_true(eventfd_ctx_same(a, b));
	close(fd); /* ours stays */
	eventfd_signal(a, 1);
	eventfd_signal(b, 2);
	assert_int_equal(read(copy, &count, 8), 8);
	assert_int_equal(count, 3);
	count = UINT64_MAX - 1; /* full: a signal must not block */
	assert_int_equal(write(copy, &count, 8), 8);
	eventfd_signal(a, 1);
	eventfd_ctx_put(a);
	eventfd_ctx_put(b);
	close(copy);
	close(null);
}

static void count_call(void *arg)
{
	atomic_fetch_add((_Atomic int *)arg, 1);
}

static void test_eventfd_watches(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	_Atomic int calls[2] = { 0, 0 };
	struct eventfd_watch *watch[2];
	struct eventfd_ctx *ctx;
	uint64_t one = 1;

	(void)state;
	assert_int_equal(eventfd_ctx_get(&self_caller, fd, &ctx), 0);
	assert_int_equal(eventfd_watch(ctx, count_call, &calls[0], &watch[0]), 0);
	assert_int_equal(eventfd_watch(ctx, count_call, &calls[1], &watch[1]), 0);
	eventfd_ctx_put(ctx); /* the watches hold it */
	assert_int_equal(write(fd, &one, 8), 8);
	for (int i = 0; i < 2000 && (calls[0] < 1 || calls[1] < 1); i++)
		usleep(1000);
	assert_int_equal(calls[0], 1);
	assert_int_equal(calls[1], 1);
	eventfd_unwatch(watch[0]);
	assert_int_equal(write(fd, &one, 8), 8);
	for (int i = 0; i < 2000 && calls[1] < 2; i++)
		usleep(1000);
	assert_int_equal(calls[0], 1);
	assert_int_equal(calls[1], 2);
	eventfd_unwatch(watch[1]);
	close(fd);
}

static _Atomic bool stop_reading;

static bool reaches(const _Atomic int *calls, int value)
{
	for (int i = 0; i < 3000 && atomic_load(calls) != value; i++)
		usleep(1000);
	return atomic_load(calls) == value;
}

/* What is pending at first stays; when the client has read it, the same count again is a signal. */
static void test_eventfd_watch_pending(void **state)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	_Atomic int calls = 0;
	struct eventfd_watch *watch;
	struct eventfd_ctx *ctx;
	uint64_t value;

	(void)state;
	assert_int_equal(eventfd_ctx_get(&self_caller, fd, &ctx), 0);
	assert_int_equal(eventfd_watch_alone(ctx, count_call, &calls, &watch), 0);
	assert_int_equal(calls, 1);
	usleep(50000);
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 1);
	for (int i = 2; i < 4; i++) {
		value = 1;
		assert_int_equal(write(fd, &value, sizeof(value)), sizeof(value));
		assert_true(reaches(&calls, i));
		assert_int_equal(read(fd, &value, sizeof(value)), -1);
	}
	eventfd_unwatch(watch);
	eventfd_ctx_put(ctx);
	close(fd);
}

static void *read_eventfd(void *arg)
{
	uint64_t count;
	struct iovec iov = { &count, sizeof(count) };

	while (!atomic_load(&stop_reading))
		preadv2(*(int *)arg, &iov, 1, -1, RWF_NOWAIT);
	return NULL;
}

/* A client that reads its eventfd itself may be quicker than the watch, which must not wait for more. */
static void test_eventfd_watch_races_reader(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	_Atomic int calls = 0;
	struct eventfd_ctx *ctx, *again;
	struct eventfd_watch *watch;
	pthread_t reader;

	(void)state;
	alarm(60);
	atomic_store(&stop_reading, false);
	assert_int_equal(eventfd_ctx_get(&self_caller, fd, &ctx), 0);
	assert_int_equal(eventfd_watch(ctx, count_call, &calls, &watch), 0);
	assert_int_equal(pthread_create(&reader, NULL, read_eventfd, &fd), 0);
	for (int i = 0; i < 100000; i++) {
		eventfd_signal(ctx, 1);
		if (i % 8)
			continue;
		assert_int_equal(eventfd_ctx_get(&self_caller, fd, &again), 0);
		assert_ptr_equal(again, ctx);
		eventfd_ctx_put(again);
	}
	atomic_store(&stop_reading, true);
	pthread_join(reader, NULL);
	eventfd_unwatch(watch);
	eventfd_ctx_put(ctx);
	close(fd);
	alarm(0);
}

static void test_private_descriptors(void **state)
{
	int low = open("/dev/null", O_RDONLY), fd = private_fd(low);

	(void)state;
	assert_true(fd > low);
	assert_true(private_fd_is(fd));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fcntl(low, F_GETFD), -1);
	private_fd_close(fd);
	assert_false(private_fd_is(fd));
	assert_int_equal(private_fd(-1), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_close_releases),
		cmocka_unit_test(test_dup_over_ours),
		cmocka_unit_test(test_access_mode_and_identity),
		cmocka_unit_test(test_get_file_errors),
		cmocka_unit_test(test_ioctl_engine),
		cmocka_unit_test(test_sized_structures),
		cmocka_unit_test(test_sized_at_the_edge),
		cmocka_unit_test(test_lookup_races_close),
		cmocka_unit_test(test_eventfd_reference),
		cmocka_unit_test(test_eventfd_watches),
		cmocka_unit_test(test_eventfd_watch_pending),
		cmocka_unit_test(test_eventfd_watch_races_reader),
		cmocka_unit_test(test_private_descriptors),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
