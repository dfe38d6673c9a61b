/* SPDX-License-Identifier: BSD-2-Clause */
/* The mock's buffers of devices (iommufd/dmabuf.h), as the tests make and revoke them. */
#include "iommufd/dmabuf.h"

#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <fcntl.h>

#define MAX_SIZE (512 * UVFIO_PAGE_SIZE)

/* Returns the descriptor. */
int mock_test_dmabuf_get(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	uint64_t size = align_up(cmd->dmabuf_get.length, UVFIO_PAGE_SIZE);
	struct file *file;
	int rc;

	if (!size || size > MAX_SIZE)
		return WHY(-EINVAL, "0x%llx bytes: 1 to 2 MiB", (unsigned long long)size);
	rc = iommufd_dmabuf_create(size, &file);
	if (rc)
		return rc;
	return ucmd->caller->ops->install(ucmd->caller, file, (int)cmd->dmabuf_get.open_flags & O_CLOEXEC);
}

int mock_test_dmabuf_revoke(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	int fd = cmd->dmabuf_revoke.dmabuf_fd;
	struct file *file;
	int rc = ucmd->caller->ops->get_file(ucmd->caller, fd, &file);

	if (rc)
		return rc == -EBADFD ? WHY(-EINVAL, "descriptor %d is no buffer of a device", fd) : rc;
	if (iommufd_dmabuf_is(file))
		iommufd_dmabuf_revoke(file, cmd->dmabuf_revoke.revoked);
	else
		rc = WHY(-EINVAL, "descriptor %d is no buffer of a device", fd);
	file_put(file);
	return rc;
}
