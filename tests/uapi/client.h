/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary VFIO client, and a test runner that runs each test in each mode of the interface.
 *
 * Nothing here knows who implements the interface: run the programs under `uvfio run`, or as root against a
 * kernel. What they need:
 *     UVFIO_TEST_BDF      a device (default 0000:00:01.0)
 *     UVFIO_TEST_SIBLING  another device of its group (default 0000:00:02.0)
 *     UVFIO_TEST_PEER     a device of another group (default 0000:00:03.0)
 * UVFIO_TEST_CONTAINER_IS_IOMMUFD says that /dev/vfio/vfio is one.
 */
#ifndef UVFIO_TESTS_UAPI_CLIENT_H
#define UVFIO_TESTS_UAPI_CLIENT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#define PG           4096ull
#define RW           (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define COUNT(a)     (sizeof(a) / sizeof((a)[0]))
#define MEMORY_PAGES 256

/* The ways to use a device. */
enum {
	TYPE1 = 1, /* a container */
	TYPE1V2 = 2,
	COMPAT_TYPE1 = 4, /* an IOMMUFD as the container */
	COMPAT_TYPE1V2 = 8,
	NATIVE = 16, /* an IOMMUFD, and the device's cdev: no container, no group */
	OF_CONTAINER = TYPE1 | TYPE1V2,
	COMPAT = COMPAT_TYPE1 | COMPAT_TYPE1V2,
};

struct mode {
	const char *name;
	const char *container; /* the node, or that of the IOMMUFD in its place */
	unsigned long type;    /* for SET_IOMMU */
	bool v2;               /* unmapping must not cut a mapping; a container tracks dirty pages */
	bool compat, native;
};

/* An opened device: -1 where a descriptor is closed. */
struct client {
	const struct mode *mode;
	int container, group, device;
	uint32_t ioas;   /* what the device is attached to in native mode */
	uint8_t *memory; /* MEMORY_PAGES of it, writable and populated */
};

/* A test gets a client whose device is open; what it leaves open is closed. */
struct test {
	const char *name;
	void (*fn)(struct client *client);
	unsigned int modes; /* in which it is run */
};

#define T_IN(modes, fn)                                                                                      \
	{                                                                                                    \
#fn, fn, modes                                                                               \
	}
#define T(fn)        T_IN(OF_CONTAINER | COMPAT, fn)
#define T_ALL(fn)    T_IN(OF_CONTAINER | COMPAT | NATIVE, fn)
#define T_TYPE1(fn)  T_IN(OF_CONTAINER, fn)
#define T_COMPAT(fn) T_IN(COMPAT, fn)
#define T_V2(fn)     T_IN(TYPE1V2, fn)
#define T_NATIVE(fn) T_IN(NATIVE, fn)

/* Run the tests in their modes; what main() returns. */
int run_in_modes(const char *suite, const struct test *tests, size_t nr);

const char *bdf(void);
const char *sibling(void);
const char *peer(void);

/* A descriptor or a result, or a negative errno. */
int open_container(const struct mode *mode);
int open_group(const char *device); /* with or without an IOMMU */
int open_group_flags(const char *device, int oflags);
long do_ioctl(int fd, unsigned long request, const void *arg);
long do_ioctl_value(int fd, unsigned long request, unsigned long value);
int get_device(int group, const char *name);
void close_fd(int *fd);
/* Close the device, and open it again in the same way. */
void reopen_device(struct client *client);

/* In native mode. */
int open_iommufd(void);
int open_cdev(const char *device, int oflags);
long bind_cdev(int cdev, int iommufd, uint32_t *devid);
long attach_pt(int cdev, uint32_t *pt_id);
long detach_pt(int cdev);
long ioas_alloc(int iommufd, uint32_t *id);
long destroy_id(int iommufd, uint32_t id);

long set_container(int group, int container);
uint32_t group_flags(int group); /* of GET_STATUS */

/* As MAP_DMA and UNMAP_DMA; in native mode as IOAS_MAP (of a given IOVA) and IOAS_UNMAP. */
long map(struct client *client, uint32_t flags, const void *memory, uint64_t iova, uint64_t size);
long unmap(struct client *client, uint32_t flags, uint64_t iova, uint64_t *size);
void unmap_all(struct client *client);

/*
 * An ioctl whose argument ends where readable memory ends: with argsz one short (EINVAL), exact, one longer
 * with a zero byte, one longer with another byte. fill makes the argument (argsz is set afterwards); after
 * each call that succeeds undo is called.
 */
struct sweep {
	int fd;
	unsigned long request;
	uint32_t fixed; /* bytes that are read before anything is looked at */
	uint32_t size;
	void (*fill)(struct client *client, void *arg);
	long result; /* of the other three */
	void (*undo)(struct client *client);
};
void sweep_argsz(struct client *client, const struct sweep *sweep);

#endif
