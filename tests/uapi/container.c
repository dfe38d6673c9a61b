/* SPDX-License-Identifier: BSD-2-Clause */
/* The container file: extensions, SET_IOMMU, and what it is not. */
#include "client.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_api_version(struct client *c)
{
	assert_int_equal(do_ioctl_value(c->container, VFIO_GET_API_VERSION, 0), VFIO_API_VERSION);
	assert_int_equal(do_ioctl_value(c->container, VFIO_GET_API_VERSION, 0x1234), VFIO_API_VERSION);
}

static void check_extensions(const struct mode *mode, int fd, bool set)
{
	for (unsigned long ext = 0; ext <= 20; ext++) {
		long rc = do_ioctl_value(fd, VFIO_CHECK_EXTENSION, ext);

		switch (ext) {
		case VFIO_TYPE1_IOMMU:
		case VFIO_TYPE1v2_IOMMU:
		case VFIO_UNMAP_ALL:
			assert_int_equal(rc, 1);
			break;
		case VFIO_UPDATE_VADDR:
			assert_int_equal(rc, set && !mode->compat);
			break;
		case VFIO_DMA_CC_IOMMU:
			if (mode->compat && !set)
				assert_int_equal(rc, -ENODEV);
			else
				assert_true(rc == 0 || (set && rc == 1));
			break;
		default:
			assert_int_equal(rc, 0);
		}
	}
	assert_int_equal(do_ioctl_value(fd, VFIO_CHECK_EXTENSION, 0xffffffff), 0);
	assert_int_equal(do_ioctl_value(fd, VFIO_CHECK_EXTENSION, 0x100000001), 0);
}

static void test_extensions(struct client *c)
{
	int fresh = open_container(c->mode);

	check_extensions(c->mode, fresh, false);
	check_extensions(c->mode, c->container, true);
	close_fd(&fresh);
}

static void test_without_iommu(struct client *c)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };
	int configured = c->container, fresh = open_container(c->mode);
	uint64_t size = PG;

	c->container = fresh;
	assert_int_equal(do_ioctl(fresh, VFIO_IOMMU_GET_INFO, &info), -EINVAL);
	assert_int_equal(do_ioctl(fresh, VFIO_IOMMU_GET_INFO, NULL), -EINVAL);
	assert_int_equal(map(c, RW, c->memory, 0, PG), -EINVAL);
	assert_int_equal(unmap(c, 0, 0, &size), -EINVAL);
	assert_int_equal(do_ioctl_value(fresh, 0, 0), -EINVAL);
	assert_int_equal(do_ioctl_value(fresh, VFIO_DEVICE_RESET, 0), -EINVAL);
	assert_int_equal(do_ioctl_value(fresh, _IO('x', 100), 0), -EINVAL);
	c->container = configured;
	close_fd(&fresh);
}

static void test_set_iommu(struct client *c)
{
	static const unsigned long unknown[] = { 0, 2, 4, 5, 6, 7, 8, 10, 11, 0xffffffff };
	int fresh = open_container(c->mode);

	assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, c->mode->type), -EINVAL);
	assert_int_equal(do_ioctl_value(fresh, VFIO_SET_IOMMU, c->mode->type), -EINVAL);
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(set_container(c->group, fresh), 0);
	for (size_t i = 0; i < COUNT(unknown); i++)
		assert_int_equal(do_ioctl_value(fresh, VFIO_SET_IOMMU, unknown[i]), -ENODEV);
	assert_int_equal(do_ioctl_value(fresh, VFIO_SET_IOMMU, VFIO_UNMAP_ALL), -EINVAL);
	assert_int_equal(do_ioctl_value(fresh, VFIO_SET_IOMMU, c->mode->type), 0);
	c->device = get_device(c->group, bdf());
	assert_true(c->device >= 0);
	close_fd(&fresh);
}

static void test_foreign_requests(struct client *c)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	assert_int_equal(do_ioctl(c->container, VFIO_GROUP_GET_STATUS, &status), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->container, _IO(VFIO_TYPE, 255), 0), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->container, 0, 0), -ENOTTY);
}

static void test_no_data(struct client *c)
{
	char byte;

	assert_int_equal(read(c->container, &byte, 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(pread(c->container, &byte, 1, 0), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(write(c->container, "x", 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(mmap(NULL, PG, PROT_READ, MAP_SHARED, c->container, 0), MAP_FAILED);
	assert_int_equal(errno, c->mode->compat ? ENXIO : ENODEV);
}

static void test_read_only(struct client *c)
{
	int fd = open(c->mode->container, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(do_ioctl_value(fd, VFIO_GET_API_VERSION, 0), VFIO_API_VERSION);
	assert_int_equal(do_ioctl_value(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 1);
	close_fd(&fd);
}

int main(void)
{
	static const struct test tests[] = {
		T(test_api_version),     T(test_extensions),       T_TYPE1(test_without_iommu),
		T_TYPE1(test_set_iommu), T(test_foreign_requests), T(test_no_data),
		T(test_read_only),
	};

	return run_in_modes("container", tests, COUNT(tests));
}
