/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs of this directory share: making, opening and removing mediated devices. */
#ifndef UVFIO_TESTS_MDEV_H
#define UVFIO_TESTS_MDEV_H

#include "../intercept/client.h"

#include "uapi/vfio.h"

#define ONE     "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define TWO     "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002"
#define DEVICES "/sys/bus/mdev/devices/"

static inline int write_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), saved;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	saved = errno;
	CHECK(!close(fd));
	CHECK(n < 0 || n == (ssize_t)len);
	return n < 0 ? -saved : 0;
}

/* PARENT is the including program's. */
#define TYPES "/sys/class/mdev_bus/" PARENT "/mdev_supported_types/"

static inline int create(const char *type, const char *uuid)
{
	char path[128];

	snprintf(path, sizeof(path), TYPES "%s/create", type);
	return write_file(path, uuid, strlen(uuid));
}

static inline int remove_mdev(const char *uuid)
{
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s/remove", uuid);
	return write_file(path, "1", 1);
}

static inline bool file_says(const char *path, const char *text)
{
	char buf[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	CHECK(fd >= 0);
	n = read(fd, buf, sizeof(buf) - 1);
	CHECK(n >= 0);
	buf[n] = 0;
	close(fd);
	return !strcmp(buf, text);
}

static inline bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static inline const char *group_of(const char *uuid)
{
	static char path[64];
	char link[128], target[256];
	ssize_t n;

	snprintf(link, sizeof(link), DEVICES "%s/iommu_group", uuid);
	n = readlink(link, target, sizeof(target) - 1);
	CHECK(n > 0);
	target[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(target, '/') + 1);
	return path;
}

static inline struct client open_mdev(const char *uuid)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct client c;

	c.container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	c.group = open(group_of(uuid), O_RDWR | O_CLOEXEC);
	CHECK(c.container >= 0 && c.group >= 0);
	CHECK(!ioctl(c.group, VFIO_GROUP_GET_STATUS, &status));
	CHECK(status.flags == VFIO_GROUP_FLAGS_VIABLE);
	CHECK(!ioctl(c.group, VFIO_GROUP_SET_CONTAINER, &c.container));
	CHECK(!ioctl(c.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	FAILS(ioctl(c.group, VFIO_GROUP_GET_DEVICE_FD, "83b8f4f2"), ENODEV);
	c.device = ioctl(c.group, VFIO_GROUP_GET_DEVICE_FD, uuid);
	CHECK(c.device >= 0);
	return c;
}

static inline void close_mdev(struct client *c)
{
	CHECK(!close(c->device) && !close(c->group) && !close(c->container));
}

#define AT(region, offset) ((off_t)(region) << 40 | (offset))

#endif
