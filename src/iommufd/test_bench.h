/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of devices share: a context, driven by its ioctls, and four devices behind an IOMMU that
 * only notes what it is asked. a and b are in one group, c and d each in its own; d has PASIDs.
 */
#ifndef UVFIO_IOMMUFD_TEST_BENCH_H
#define UVFIO_IOMMUFD_TEST_BENCH_H

#include "iommufd/impl.h"

#include "base/failpoint.h"
#include "file/fdtable.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PG         UVFIO_PAGE_SIZE
#define NR_PASIDS  4
#define NR_DEVS    4
#define MEM_PAGES  64
#define PASID_BITS 2

enum { A, B, C, D };

struct fake_dev {
	struct iommufd_hw_dev hw;
	struct iommufd_domain *now[NR_PASIDS];
	struct iommu_range window; /* last 0: none */
	int fail_attach;           /* what the next attach to a domain returns */
	struct iommufd_domain *refuses;
	struct iommufd_device *idev;
	uint32_t id;
};

struct fake_domain {
	struct iommufd_domain base;
	_Atomic uint64_t mapped; /* bytes */
	bool tracking;
	uint64_t dirty_at, dirty_size; /* a stretch that is dirty */
	struct iommufd_domain *parent; /* of a nested one */
	uint32_t data;                 /* and its description */
};

/* The data of a nested HWPT, and an entry that invalidates. */
#define FAKE_DATA 0x77u
struct fake_data {
	uint32_t value, fail;
};

struct bench {
	struct iommu_params params;
	struct iommu_group groups[3];
	struct fake_dev devs[NR_DEVS];
	struct file *file, *other_file;
	struct iommufd_ctx *ctx, *other; /* without references */
	char *memory;                    /* MEM_PAGES */
	uint64_t va;
};

extern _Atomic int fake_domains;  /* how many there are */
extern _Atomic int fake_fail_map; /* the next map fails */

int bench_setup(void **state);
int bench_teardown(void **state);

long call(struct bench *b, uint32_t cmd, void *arg);
uint32_t ioas_new(struct bench *b);
long destroy(struct bench *b, uint32_t id);
/* -errno, or the HWPT's id. */
long hwpt_new(struct bench *b, int dev, uint32_t on, uint32_t flags);
long nested_new(struct bench *b, int dev, uint32_t on, struct fake_data *data, uint32_t len);
long map_va(struct bench *b, uint32_t ioas, uint64_t iova, uint64_t va, uint64_t len);
long map(struct bench *b, uint32_t ioas, uint64_t iova, uint64_t pages);
long unmap(struct bench *b, uint32_t ioas, uint64_t iova, uint64_t len);
/* At an IOVA that is chosen. */
long map_file(struct bench *b, uint32_t ioas, int fd, uint64_t start, uint64_t len, uint64_t *iova);
int memory_file(uint64_t size);
/* An access that reads and writes. */
struct iommufd_access *access_new(struct bench *b, uint32_t ioas);
/* May iova be mapped in ioas? */
bool usable(struct bench *b, uint32_t ioas, uint64_t iova);

void bind_dev(struct bench *b, int dev);
void unbind_dev(struct bench *b, int dev);
/* -errno, or the HWPT's id. */
long attach(struct bench *b, int dev, uint32_t pt);
long replace(struct bench *b, int dev, uint32_t pt);
long attach_pasid(struct bench *b, int dev, uint32_t pasid, uint32_t pt);
long replace_pasid(struct bench *b, int dev, uint32_t pasid, uint32_t pt);
void detach(struct bench *b, int dev);
void detach_pasid(struct bench *b, int dev, uint32_t pasid);

/* The id of the HWPT by which dev is translated; 0: none. */
uint32_t translated_by(struct bench *b, int dev);
uint32_t translated_by_pasid(struct bench *b, int dev, uint32_t pasid);
struct fake_domain *domain_of(struct bench *b, int dev);

#ifdef UVFIO_IOMMUFD_TEST
/* fn with the first, the second .. failpoint failing, until it gets through: what fails has no effect. */
void sweep(struct bench *b, long (*fn)(struct bench *b));
#endif

#define T(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

#endif
