/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfio/test_util.h"

#include "file/fdtable.h"
#include "iommufd/iommufd.h"
#include "uapi/iommufd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fake_device *to_fake(struct vfio_device *vdev)
{
	return container_of(vdev, struct fake_device, vdev);
}

static int fake_open(struct vfio_device *vdev)
{
	struct fake_device *fake = to_fake(vdev);

	if (!fake->open_result)
		fake->opened++;
	return fake->open_result;
}

static void fake_close(struct vfio_device *vdev)
{
	to_fake(vdev)->closed++;
}

static long fake_ioctl(struct vfio_device *vdev, struct file *file, const struct caller *caller, uint32_t cmd,
		       uint64_t arg)
{
	(void)caller;
	assert_ptr_equal(vfio_file_device(file), vdev);
	return cmd == VFIO_DEVICE_RESET ? (long)arg : -ENOTTY;
}

/* The name, and options behind it: " ok" is one. */
static int fake_match(struct vfio_device *vdev, const char *name)
{
	size_t n = strlen(vdev->name);

	if (strncmp(name, vdev->name, n))
		return 0;
	if (!name[n] || !strcmp(name + n, " ok"))
		return 1;
	return name[n] == ' ' ? -EINVAL : 0;
}

static void fake_request(struct vfio_device *vdev, unsigned int count)
{
	(void)count;
	to_fake(vdev)->requested++;
}

static void fake_reset(struct vfio_device *vdev)
{
	to_fake(vdev)->resets++;
}

static const struct vfio_device_ops fake_ops = {
	.name = "fake",
	.open_device = fake_open,
	.close_device = fake_close,
	.ioctl = fake_ioctl,
	.match = fake_match,
	.reset = fake_reset,
	.request = fake_request,
};

static void add_fake(struct bench *b, int i, const char *name, unsigned int group, bool noiommu)
{
	struct fake_device *fake = &b->fake[i];

	fake->vdev.ops = &fake_ops;
	fake->vdev.iommu_dev = &fake->iommu_dev;
	snprintf(fake->vdev.name, sizeof(fake->vdev.name), "%s", name);
	iommu_dev_init(&fake->iommu_dev, fake->vdev.name);
	assert_int_equal(vfio_register_device(b->vfio, &fake->vdev, group, noiommu, VFIO_ANY_INDEX), 0);
}

int bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	if (!self_caller.mm)
		self_caller.mm = mm_self();
	iommu_params_default(&b->params);
	b->vfio = vfio_new(&b->params, true);
	assert_non_null(b->vfio);
	add_fake(b, 0, NAME_A, 1, false);
	add_fake(b, 1, NAME_B, 1, false);
	add_fake(b, 2, NAME_C, 2, false);
	add_fake(b, 3, NAME_D, 9, true);
	*state = b;
	return 0;
}

int bench_teardown(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < NR_FAKES; i++) {
		if (b->fake[i].vdev.vfio)
			vfio_unregister_device(&b->fake[i].vdev);
		assert_int_equal(b->fake[i].opened, b->fake[i].closed);
		assert_null(domain_of(b, i));
		iommu_dev_destroy(&b->fake[i].iommu_dev);
	}
	vfio_free(b->vfio);
	free(b);
	return 0;
}

int open_container(struct bench *b)
{
	struct file *file;
	int rc = vfio_container_open(b->vfio, O_RDWR, &file);

	return rc ? rc : fdtable_install(file, O_CLOEXEC);
}

int open_group(struct bench *b, unsigned int id)
{
	struct file *file;
	int rc = vfio_group_open(b->vfio, id, id == 9, O_RDWR, &file);

	return rc ? rc : fdtable_install(file, O_CLOEXEC);
}

long call(int fd, unsigned long cmd, uint64_t arg)
{
	struct file *file = fdtable_get(fd);
	long rc;

	if (!file)
		return -EBADF;
	rc = file_ioctl(file, &self_caller, cmd, arg);
	file_put(file);
	return rc;
}

long call_ptr(int fd, unsigned long cmd, const void *arg)
{
	return call(fd, cmd, (uintptr_t)arg);
}

int get_device(int group, const char *name)
{
	return (int)call_ptr(group, VFIO_GROUP_GET_DEVICE_FD, name);
}

void close_fd(int fd)
{
	fdtable_close(fd);
	close(fd);
}

long map(int container, uint64_t iova, const void *va, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.vaddr = (uintptr_t)va,
		.iova = iova,
		.size = size,
	};

	return call_ptr(container, VFIO_IOMMU_MAP_DMA, &arg);
}

long unmap(int container, uint64_t iova, uint64_t *size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.flags = flags,
		.iova = iova,
		.size = *size,
	};
	long rc = call_ptr(container, VFIO_IOMMU_UNMAP_DMA, &arg);

	*size = arg.size;
	return rc;
}

void open_all(struct bench *b, unsigned int id, uint64_t type, int *container, int *group)
{
	*container = open_container(b);
	assert_true(*container >= 0);
	*group = open_group(b, id);
	assert_true(*group >= 0);
	assert_int_equal(call_ptr(*group, VFIO_GROUP_SET_CONTAINER, container), 0);
	assert_int_equal(call(*container, VFIO_SET_IOMMU, type), 0);
}

int open_iommufd(struct bench *b)
{
	struct file *file;
	int rc = iommufd_open(&b->params, false, O_RDWR, &file);

	return rc ? rc : fdtable_install(file, O_CLOEXEC);
}

int open_index(struct bench *b, unsigned int index)
{
	struct file *file;
	int rc = vfio_cdev_open(b->vfio, index, O_RDWR, &file);

	return rc ? rc : fdtable_install(file, O_CLOEXEC);
}

int open_cdev(struct bench *b, int fake)
{
	return open_index(b, b->fake[fake].vdev.index);
}

long bind_to(int cdev, int iommufd)
{
	struct {
		uint32_t argsz, flags;
		int32_t iommufd;
		uint32_t devid;
	} arg = { sizeof(arg), 0, iommufd, 0 };

	return call_ptr(cdev, VFIO_DEVICE_BIND_IOMMUFD, &arg);
}

uint32_t ioas_alloc(int iommufd)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };

	return call_ptr(iommufd, IOMMU_IOAS_ALLOC, &arg) ? 0 : arg.out_ioas_id;
}

long attach(int cdev, uint32_t pt_id)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = 12, .pt_id = pt_id };

	return call_ptr(cdev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

long detach(int cdev)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = 8 };

	return call_ptr(cdev, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

struct iommu_domain *domain_of(struct bench *b, int fake)
{
	return atomic_load(&b->fake[fake].iommu_dev.domain);
}
