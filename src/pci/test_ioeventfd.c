/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_DEVICE_IOEVENTFD: which may be made, and that they write. */
#include "pci/test_util.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static long ioeventfd(struct rig *r, uint32_t size, unsigned int bar, uint64_t pos, uint64_t data, int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = 28, .flags = size, .offset = ((uint64_t)bar << 40) + pos, .data = data, .fd = fd
	};

	return dev_ioctl(r, VFIO_DEVICE_IOEVENTFD, &arg);
}

static void kick(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* Wait for the model to have been written to nr times. */
static bool wait_for_writes(struct rig *r, unsigned int nr)
{
	for (int i = 0; i < 5000 && r->fake->nr < nr; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	return r->fake->nr == nr;
}

static void test_arguments(void **state)
{
	struct rig *r = *state;
	int fd = new_eventfd();

	assert_int_equal(ioeventfd(r, 0, 0, 0, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 3, 0, 0, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 8, 0, 0, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 20, 0, 0, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, 0, 0, 0, -2), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, 0, 0, 0, -1), -ENODEV);
	assert_int_equal(ioeventfd(r, 4, 0, 0, 0, 1000), -EBADF);
	assert_int_equal(ioeventfd(r, 4, 0, 0x4000, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, 0, 0x3ffe, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, 1, 0, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, CFG, 0, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, 0, 0x1ffe, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, 0, 0x2000, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, 0, 0x240e, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(r, 4, 0, 0x2410, 0, fd), 0);
	close(fd);
}

static void test_duplicates(void **state)
{
	struct rig *r = *state;
	int fd = new_eventfd();

	for (uint32_t size = 1; size <= 4; size *= 2) {
		assert_int_equal(ioeventfd(r, size, 0, 0, 1, fd), 0);
		assert_int_equal(ioeventfd(r, size, 0, 0, 1, fd), -EEXIST);
		assert_int_equal(ioeventfd(r, size, 0, 0, 2, fd), 0);
		assert_int_equal(ioeventfd(r, size, 0, 0, 3, -1), -ENODEV);
		assert_int_equal(ioeventfd(r, size, 0, 0, 1, -1), 0);
		assert_int_equal(ioeventfd(r, size, 0, 0, 1, -1), -ENODEV);
	}
	close(fd);
}

static void test_writes(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd(), b = new_eventfd();

	assert_int_equal(ioeventfd(r, 4, 0, 0x1008, 0x12345678, a), 0);
	assert_int_equal(ioeventfd(r, 2, 2, 0x10, 0xabcd, b), 0);
	r->fake->nr = 0;
	kick(a);
	assert_true(wait_for_writes(r, 1));
	assert_int_equal(r->fake->access[0].bar, 0);
	assert_int_equal(r->fake->access[0].offset, 0x1008);
	assert_int_equal(r->fake->access[0].size, 4);
	assert_int_equal(r->fake->access[0].value, 0x12345678);
	assert_true(r->fake->access[0].write);
	close(b); /* not ours: the reference stays */
	assert_int_equal(ioeventfd(r, 2, 2, 0x10, 0xabcd, -1), 0);
	assert_int_equal(ioeventfd(r, 4, 0, 0x1008, 0x12345678, -1), 0);
	kick(a);
	assert_int_equal(eventfd_count(a, 1000), 1);
	assert_int_equal(r->fake->nr, 1);
	/* no memory decode, no write */
	assert_int_equal(ioeventfd(r, 4, 0, 0x1008, 1, a), 0);
	cfg_write(r, PCI_COMMAND, 0, 2);
	kick(a);
	while (eventfd_count(a, 0)) /* taken by the watch, or by us */
		;
	assert_int_equal(ioeventfd(r, 4, 0, 0x1008, 1, -1), 0);
	assert_int_equal(r->fake->nr, 1);
	close(a);
}

/* What was signalled before the removal is written; nothing is afterwards. */
static void test_removal(void **state)
{
	struct rig *r = *state;
	int fd = new_eventfd();

	for (unsigned int i = 1; i <= 200; i++) {
		assert_int_equal(ioeventfd(r, 4, 0, 0x1008, i, fd), 0);
		kick(fd);
		assert_int_equal(ioeventfd(r, 4, 0, 0x1008, i, -1), 0);
		assert_int_equal(r->fake->nr, i);
		assert_int_equal(eventfd_count(fd, 0), 0);
	}
	close(fd);
}

static void test_limit(void **state)
{
	struct rig *r = *state;
	int fd = new_eventfd();
	unsigned int n = 0;

	while (n < 2000 && !ioeventfd(r, 4, 0, 0, n, fd))
		n++;
	assert_int_equal(n, 1000);
	assert_int_equal(ioeventfd(r, 4, 0, 0, n, fd), -ENOSPC);
	assert_int_equal(ioeventfd(r, 4, 0, 0, 0, fd), -EEXIST);
	r->fake->nr = 0;
	r->fake->sum = 0;
	kick(fd);
	assert_true(wait_for_writes(r, 1000));
	assert_int_equal(r->fake->sum, 999 * 1000 / 2);
	/* closing the device takes them all */
	close_device_fd(r);
	open_device_again(r);
	kick(fd);
	assert_int_equal(ioeventfd(r, 4, 0, 0, 0, -1), -ENODEV);
	assert_int_equal(eventfd_count(fd, 0), 1);
	close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_arguments), CASE(test_duplicates), CASE(test_writes),
		CASE(test_removal),   CASE(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
