/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mediated devices of a machine that threads make, find, open, use, list and remove at the same time: each
 * call does what it says or refuses, and nothing is left. For ThreadSanitizer, above all.
 */
#include "iommu/mm.h"
#include "machine/machine.h"
#include "uapi/vfio.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uvfio/machine.h>

#include <cmocka.h>

#define THREADS   4
#define ROUNDS    400
#define INSTANCES 3u /* with ports for two and a half */
#define PARENT    "/sys/devices/virtual/mtty/mtty/"

static struct uvfio_machine *machine;
static atomic_uint made, opened, removed;

/* No cmocka in threads. */
static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void name_of(unsigned int n, char uuid[40])
{
	snprintf(uuid, 40, "83b8f4f2-509f-382f-3c1e-e6bfe0fa%04u", n);
}

static void make(const char *uuid, bool two)
{
	int fd = uvfio_open(machine,
			    two ? PARENT "mdev_supported_types/mtty-2/create"
				: PARENT "mdev_supported_types/mtty-1/create",
			    O_WRONLY);
	long rc;

	need(fd >= 0, "create cannot be opened");
	rc = uvfio_pwrite(fd, uuid, 36, 0);
	need(rc == 36 || rc == -EEXIST || rc == -ENOSPC, "create");
	made += rc == 36;
	uvfio_close(fd);
}

static void take_away(const char *uuid)
{
	int rc = machine_mdev_remove(machine, uuid);

	need(!rc || rc == -ENODEV || rc == -EALREADY, "remove");
	removed += !rc;
}

static void use(const char *uuid, unsigned int number)
{
	int container = uvfio_open(machine, "/dev/vfio/vfio", O_RDWR), group, device;
	char path[32];
	uint32_t id = 0;
	long rc;

	need(container >= 0, "/dev/vfio/vfio");
	snprintf(path, sizeof(path), "/dev/vfio/%u", number);
	group = uvfio_open(machine, path, O_RDWR);
	need(group >= 0 || group == -ENOENT || group == -EBUSY || group == -ENODEV, "a group's open");
	if (group >= 0 && !uvfio_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container)) {
		/* EINVAL: the instance has gone, and its group has left the container with it. */
		rc = uvfio_ioctl(container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
		need(!rc || rc == -EINVAL, "VFIO_SET_IOMMU");
		device = (int)uvfio_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)uuid);
		need((!rc && device >= 0) || device == -ENODEV, "VFIO_GROUP_GET_DEVICE_FD");
		if (device >= 0) {
			need(uvfio_pread(device, &id, 4, (off_t)7 << 40) == 4 && id == 0x32534348, "a read");
			opened++;
			uvfio_close(device);
		}
	}
	if (group >= 0)
		uvfio_close(group);
	uvfio_close(container);
}

static void list(void)
{
	FILE *out = fopen("/dev/null", "we");

	need(out, "/dev/null");
	machine_mdev_list(machine, false, out);
	machine_mdev_list(machine, true, out);
	fclose(out);
}

static void *work(void *arg)
{
	unsigned int state = *(unsigned int *)arg * 2654435761u;
	char uuid[64]; /* the name of a device is read 64 bytes at a time */

	for (unsigned int i = 0; i < ROUNDS; i++) {
		state = state * 1664525 + 1013904223;
		name_of((state >> 8) % INSTANCES, uuid);
		switch (state >> 30) {
		case 0:
			make(uuid, state & 1 << 20);
			break;
		case 1:
			take_away(uuid);
			break;
		case 2:
			use(uuid, 256 + (state >> 12) % INSTANCES);
			break;
		default:
			list();
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	unsigned int seeds[THREADS];
	char err[256] = "", uuid[40];

	(void)state;
	machine = uvfio_machine_new("device mtty,ports=5,type=none\n", err, sizeof(err));
	assert_string_equal(err, "");
	for (unsigned int i = 0; i < THREADS; i++) {
		seeds[i] = i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, work, &seeds[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < INSTANCES; i++) {
		name_of(i, uuid);
		take_away(uuid);
	}
	assert_int_equal(made, removed);
	assert_true(made > 10 && opened > 10);
	name_of(9, uuid);
	assert_int_equal(machine_mdev_create(machine, "mtty-2", uuid, 36), 0);
	uvfio_machine_free(machine);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };

	return cmocka_run_group_tests_name("mdev_race", tests, NULL, NULL);
}
