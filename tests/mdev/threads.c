/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that make, open, use, list and remove the same few mediated devices, without a word to each other:
 * each call does what it says or refuses with one of its errors, and in the end nothing is left.
 */
#define PARENT "mtty"
#include "mdev.h"

#include <dirent.h>
#include <pthread.h>

#define THREADS   4
#define ROUNDS    150
#define INSTANCES 3 /* ports for two and a half */

static const char *const uuids[INSTANCES] = { ONE, TWO, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1003" };
static unsigned int made, opened, removed;

static bool one_of(int rc, int a, int b, int c)
{
	return !rc || rc == -a || rc == -b || rc == -c;
}

/* Any step may find that it is gone, or another's. */
static void use(const char *uuid)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), group, device;
	char link[128], target[256] = "", path[64];
	uint32_t id = 0;

	CHECK(container >= 0);
	snprintf(link, sizeof(link), DEVICES "%s/iommu_group", uuid);
	if (readlink(link, target, sizeof(target) - 1) > 0) {
		snprintf(path, sizeof(path), "/dev/vfio/%.40s", strrchr(target, '/') + 1);
		group = open(path, O_RDWR | O_CLOEXEC);
		CHECK(one_of(group < 0 ? -errno : 0, ENOENT, EBUSY, ENODEV));
		if (group >= 0 && !ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) &&
		    !ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
			device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid);
			CHECK(one_of(device < 0 ? -errno : 0, ENODEV, EBUSY, 0));
			if (device >= 0) {
				CHECK(pread(device, &id, 4, AT(VFIO_PCI_CONFIG_REGION_INDEX, 0)) == 4 &&
				      id == 0x32534348);
				__atomic_fetch_add(&opened, 1, __ATOMIC_RELAXED);
				CHECK(!close(device));
			}
		}
		if (group >= 0)
			CHECK(!close(group));
	}
	CHECK(!close(container));
}

static void list(void)
{
	DIR *dir = opendir(DEVICES);
	unsigned int n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	CHECK(n <= 2 + INSTANCES);
}

static void *work(void *arg)
{
	unsigned int state = (unsigned int)(uintptr_t)arg * 2654435761u;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		const char *uuid = uuids[(state >> 8) % INSTANCES];
		int rc;

		state = state * 1664525 + 1013904223;
		switch (state >> 30) {
		case 0:
			rc = create(state & 1 << 20 ? "mtty-1" : "mtty-2", uuid);
			CHECK(one_of(rc, EEXIST, ENOSPC, 0));
			if (!rc)
				__atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
			break;
		case 1:
			rc = remove_mdev(uuid);
			CHECK(one_of(rc, ENOENT, ENODEV, 0));
			if (!rc)
				__atomic_fetch_add(&removed, 1, __ATOMIC_RELAXED);
			break;
		case 2:
			use(uuid);
			break;
		default:
			list();
		}
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];

	alarm(180);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&threads[i], NULL, work, (void *)(i + 1)));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(threads[i], NULL));
	for (int i = 0; i < INSTANCES; i++)
		if (exists(DEVICES) && create("mtty-1", uuids[i]) == -EEXIST)
			CHECK(!remove_mdev(uuids[i]));
		else
			remove_mdev(uuids[i]);
	CHECK(file_says(TYPES "mtty-1/available_instances", "5\n"));
	CHECK(made && removed && opened);
	return 0;
}
