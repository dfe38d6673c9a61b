/* SPDX-License-Identifier: BSD-2-Clause */
#include "iommufd/mock/test_rig.h"

#include <poll.h>

int rig_setup(void **state)
{
	static struct rig rig;
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };

	if (!self_caller.mm)
		self_caller.mm = mm_self();
	iommu_params_default(&rig.params);
	assert_int_equal(iommufd_open(&rig.params, false, O_RDWR, &rig.file), 0);
	assert_int_equal(rig_ioctl(&rig, IOMMU_IOAS_ALLOC, &cmd), 0);
	rig.ioas = cmd.out_ioas_id;
	*state = &rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;

	failpoint_set(0);
	file_put(rig->file);
	return 0;
}

long rig_ioctl(struct rig *rig, uint32_t cmd, void *arg)
{
	return file_ioctl(rig->file, &self_caller, cmd, (uintptr_t)arg);
}

long rig_test(struct rig *rig, struct iommu_test_cmd *cmd, uint32_t op, uint32_t id)
{
	cmd->size = sizeof(*cmd);
	cmd->op = op;
	cmd->id = id;
	return rig_ioctl(rig, IOMMU_TEST_CMD, cmd);
}

long rig_destroy(struct rig *rig, uint32_t id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return rig_ioctl(rig, IOMMU_DESTROY, &cmd);
}

long rig_device(struct rig *rig, uint32_t pt_id, uint32_t flags, uint32_t *stdev, uint32_t *hwpt,
		uint32_t *idev)
{
	struct iommu_test_cmd cmd = { .mock_domain.dev_flags = flags };
	long rc = rig_test(rig, &cmd, IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, pt_id);

	if (stdev)
		*stdev = cmd.mock_domain.out_stdev_id;
	if (hwpt)
		*hwpt = cmd.mock_domain.out_hwpt_id;
	if (idev)
		*idev = cmd.mock_domain.out_idev_id;
	return rc;
}

long rig_replace(struct rig *rig, uint32_t stdev, uint32_t pt_id)
{
	struct iommu_test_cmd cmd = { .mock_domain_replace.pt_id = pt_id };

	return rig_test(rig, &cmd, IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, stdev);
}

long rig_hwpt(struct rig *rig, uint32_t idev, uint32_t pt_id, uint32_t flags, uint32_t *hwpt)
{
	struct iommu_hwpt_alloc cmd = { .size = sizeof(cmd), .flags = flags, .dev_id = idev, .pt_id = pt_id };
	long rc = rig_ioctl(rig, IOMMU_HWPT_ALLOC, &cmd);

	*hwpt = cmd.out_hwpt_id;
	return rc;
}

long rig_nested(struct rig *rig, uint32_t idev, uint32_t pt_id, uint32_t fault_id, uint32_t *hwpt)
{
	struct iommu_hwpt_selftest config = { .iotlb = IOMMU_TEST_IOTLB_DEFAULT };
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = fault_id ? IOMMU_HWPT_FAULT_ID_VALID : 0,
		.dev_id = idev,
		.pt_id = pt_id,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(config),
		.data_uptr = (uintptr_t)&config,
		.fault_id = fault_id,
	};
	long rc = rig_ioctl(rig, IOMMU_HWPT_ALLOC, &cmd);

	*hwpt = cmd.out_hwpt_id;
	return rc;
}

long rig_map(struct rig *rig, void *va, uint64_t len, uint64_t iova)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = rig->ioas,
		.user_va = (uintptr_t)va,
		.length = len,
		.iova = iova,
	};

	return rig_ioctl(rig, IOMMU_IOAS_MAP, &cmd);
}

long rig_unmap(struct rig *rig, uint64_t iova, uint64_t len)
{
	struct iommu_ioas_unmap cmd = {
		.size = sizeof(cmd), .ioas_id = rig->ioas, .iova = iova, .length = len
	};

	return rig_ioctl(rig, IOMMU_IOAS_UNMAP, &cmd);
}

long rig_check_map(struct rig *rig, uint32_t hwpt, void *va, uint64_t len, uint64_t iova)
{
	struct iommu_test_cmd cmd = { .check_map = { .iova = iova, .length = len, .uptr = (uintptr_t)va } };

	return rig_test(rig, &cmd, IOMMU_TEST_OP_MD_CHECK_MAP, hwpt);
}

long rig_check_refs(struct rig *rig, void *va, uint64_t len, uint32_t refs)
{
	struct iommu_test_cmd cmd = { .check_refs = { .length = len, .uptr = (uintptr_t)va, .refs = refs } };

	return rig_test(rig, &cmd, IOMMU_TEST_OP_MD_CHECK_REFS, 0);
}

void *rig_memory(uint64_t len)
{
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	for (uint64_t at = 0; at < len; at += UVFIO_PAGE_SIZE)
		memcpy(p + at, &at, sizeof(at));
	return p;
}

static struct file *get(int fd)
{
	struct file *file = fdtable_get(fd);

	assert_non_null(file);
	return file;
}

ssize_t rig_read(int fd, void *buf, size_t len)
{
	struct file *file = get(fd);
	ssize_t rc = file_read(file, &self_caller, (uintptr_t)buf, len, 0);

	file_put(file);
	return rc;
}

ssize_t rig_write(int fd, const void *buf, size_t len)
{
	struct file *file = get(fd);
	ssize_t rc = file_write(file, &self_caller, (uintptr_t)buf, len, 0);

	file_put(file);
	return rc;
}

void rig_close(int fd)
{
	fdtable_close(fd);
	assert_int_equal(close(fd), 0);
}

short rig_poll(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI };

	assert_true(poll(&pfd, 1, 0) >= 0);
	return pfd.revents;
}
