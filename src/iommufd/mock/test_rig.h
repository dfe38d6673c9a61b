/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests that drive the mock share: an open of /dev/iommu, and its ioctls with fewer words. */
#ifndef UVFIO_IOMMUFD_MOCK_TEST_RIG_H
#define UVFIO_IOMMUFD_MOCK_TEST_RIG_H

#include "base/failpoint.h"
#include "file/fdtable.h"
#include "iommufd/impl.h"
#include "uapi/iommufd_test.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct rig {
	struct iommu_params params;
	struct file *file;
	uint32_t ioas;
};

int rig_setup(void **state);
int rig_teardown(void **state);

long rig_ioctl(struct rig *rig, uint32_t cmd, void *arg);
/* rig_test(rig, &cmd, IOMMU_TEST_OP_..., id) with the rest of cmd filled in. */
long rig_test(struct rig *rig, struct iommu_test_cmd *cmd, uint32_t op, uint32_t id);
long rig_destroy(struct rig *rig, uint32_t id);

/* A mock device with flags, attached to pt_id. Any of the ids may be NULL. */
long rig_device(struct rig *rig, uint32_t pt_id, uint32_t flags, uint32_t *stdev, uint32_t *hwpt,
		uint32_t *idev);
long rig_replace(struct rig *rig, uint32_t stdev, uint32_t pt_id);
long rig_hwpt(struct rig *rig, uint32_t idev, uint32_t pt_id, uint32_t flags, uint32_t *hwpt);
/* Nested on pt_id, with its IOTLB set; fault_id: 0 or its queue. */
long rig_nested(struct rig *rig, uint32_t idev, uint32_t pt_id, uint32_t fault_id, uint32_t *hwpt);
long rig_map(struct rig *rig, void *va, uint64_t len, uint64_t iova);
long rig_unmap(struct rig *rig, uint64_t iova, uint64_t len);
long rig_check_map(struct rig *rig, uint32_t hwpt, void *va, uint64_t len, uint64_t iova);
long rig_check_refs(struct rig *rig, void *va, uint64_t len, uint32_t refs);

/* len bytes of memory, filled so that no two pages are alike. */
void *rig_memory(uint64_t len);
ssize_t rig_read(int fd, void *buf, size_t len);
ssize_t rig_write(int fd, const void *buf, size_t len);
void rig_close(int fd);
/* What poll() says at once. */
short rig_poll(int fd);

#endif
