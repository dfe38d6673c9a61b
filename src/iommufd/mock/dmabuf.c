/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mock dma-bufs: memory behind a descriptor, which is a memfd, so that IOAS_MAP_FILE takes it as one. Once
 * revoked it cannot be mapped any more (until that is taken back).
 */
#include "base/private_fd.h"
#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_SIZE (512 * UVFIO_PAGE_SIZE)

struct mock_dmabuf {
	uint64_t size;
	_Atomic bool revoked;
};

static void dmabuf_release(struct file *file)
{
	free(file->priv);
}

static int dmabuf_descriptor(struct file *file, int oflags)
{
	const struct mock_dmabuf *dmabuf = file->priv;
	int fd = memfd_create("uvfio-dmabuf", oflags & O_CLOEXEC ? MFD_CLOEXEC : 0);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)dmabuf->size)) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

static const struct file_ops dmabuf_ops = {
	.name = "dmabuf",
	.release = dmabuf_release,
	.descriptor = dmabuf_descriptor,
};

int mock_test_dmabuf_get(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	uint64_t size = align_up(cmd->dmabuf_get.length, UVFIO_PAGE_SIZE);
	struct mock_dmabuf *dmabuf;
	struct file *file;

	if (!size || size > MAX_SIZE)
		return WHY(-EINVAL, "0x%llx bytes: 1 to 2 MiB", (unsigned long long)size);
	dmabuf = iommufd_zalloc(sizeof(*dmabuf));
	if (!dmabuf)
		return -ENOMEM;
	dmabuf->size = size;
	file = file_alloc(&dmabuf_ops, dmabuf, O_RDWR, "anon_inode:dmabuf");
	if (!file) {
		free(dmabuf);
		return -ENOMEM;
	}
	return ucmd->caller->ops->install(ucmd->caller, file, (int)cmd->dmabuf_get.open_flags & O_CLOEXEC);
}

/* The dma-buf behind the caller's descriptor, and its file with a reference; NULL: it is none. */
static struct mock_dmabuf *get_dmabuf(const struct caller *caller, int fd, struct file **file)
{
	if (caller->ops->get_file(caller, fd, file))
		return NULL;
	if ((*file)->ops == &dmabuf_ops)
		return (*file)->priv;
	file_put(*file);
	return NULL;
}

int mock_test_dmabuf_revoke(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct mock_dmabuf *dmabuf;
	struct file *file;

	dmabuf = get_dmabuf(ucmd->caller, cmd->dmabuf_revoke.dmabuf_fd, &file);
	if (!dmabuf)
		return WHY(-EINVAL, "descriptor %d is no dma-buf", cmd->dmabuf_revoke.dmabuf_fd);
	atomic_store(&dmabuf->revoked, cmd->dmabuf_revoke.revoked);
	file_put(file);
	return 0;
}
