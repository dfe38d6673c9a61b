/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of this directory share: a machine of fake devices, and the system calls of a client. */
#ifndef UVFIO_VFIO_TEST_UTIL_H
#define UVFIO_VFIO_TEST_UTIL_H

#include "uapi/vfio.h"
#include "vfio/vfio.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fake_device {
	struct vfio_device vdev;
	struct iommu_dev iommu_dev;
	_Atomic int opened, closed; /* calls of open_device and close_device */
	_Atomic int requested;
	int resets; /* of its bus */
	int open_result;
};

#define NR_FAKES 4

/* Devices a and b in group 1, c in group 2, and d in no-IOMMU group 9. */
struct bench {
	struct iommu_params params;
	struct vfio *vfio;
	struct fake_device fake[NR_FAKES];
};

#define NAME_A "0000:00:01.0"
#define NAME_B "0000:00:01.1"
#define NAME_C "0000:00:02.0"
#define NAME_D "0000:00:03.0"

int bench_setup(void **state);
int bench_teardown(void **state);

/* Each returns a descriptor, or a value, or a negative errno. */
int open_container(struct bench *b);
int open_group(struct bench *b, unsigned int id);
long call(int fd, unsigned long cmd, uint64_t arg);
long call_ptr(int fd, unsigned long cmd, const void *arg);
int get_device(int group, const char *name);
void close_fd(int fd);

long map(int container, uint64_t iova, const void *va, uint64_t size, uint32_t flags);
long unmap(int container, uint64_t iova, uint64_t *size, uint32_t flags);

/* A container with group id in it, and type set. */
void open_all(struct bench *b, unsigned int id, uint64_t type, int *container, int *group);

/* The same for cdevs and IOMMUFDs. */
int open_iommufd(struct bench *b);
int open_index(struct bench *b, unsigned int index);
int open_cdev(struct bench *b, int fake);
long bind_to(int cdev, int iommufd);
uint32_t ioas_alloc(int iommufd); /* 0: no memory */
long attach(int cdev, uint32_t pt_id);
long detach(int cdev);

/* The domain that a fake device is translated by. */
struct iommu_domain *domain_of(struct bench *b, int fake);

#endif
