/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No-IOMMU groups: UVFIO_TEST_BDF is a device without an IOMMU, UVFIO_TEST_PEER one with. Against a kernel
 * this needs CAP_SYS_RAWIO and the vfio parameter enable_unsafe_noiommu_mode.
 */
#include "client.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct fixture {
	int container, group, peers_group;
};

static struct fixture f;

static int set_up(void **state)
{
	const struct mode mode = { .container = "/dev/vfio/vfio" };

	(void)state;
	f.container = open_container(&mode);
	f.group = open_group(bdf());
	f.peers_group = open_group(peer());
	return f.container < 0 || f.group < 0 || f.peers_group < 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_fd(&f.container);
	close_fd(&f.group);
	close_fd(&f.peers_group);
	return 0;
}

static void test_parameter(void **state)
{
	int fd = open("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", O_RDONLY | O_CLOEXEC);
	char value = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &value, 1), 1);
	assert_int_equal(value, 'Y');
	close_fd(&fd);
}

static void test_extensions(void **state)
{
	(void)state;
	assert_int_equal(do_ioctl_value(f.container, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(do_ioctl_value(f.container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 1);
	assert_int_equal(set_container(f.group, f.container), 0);
	assert_int_equal(do_ioctl_value(f.container, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(do_ioctl_value(f.container, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(do_ioctl_value(f.container, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(do_ioctl_value(f.container, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL), 0);
}

static void test_types(void **state)
{
	(void)state;
	assert_int_equal(set_container(f.group, f.container), 0);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), -ENODEV);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -ENODEV);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), -EINVAL);
}

static void test_kinds_do_not_mix(void **state)
{
	(void)state;
	assert_int_equal(set_container(f.group, f.container), 0);
	assert_int_equal(set_container(f.peers_group, f.container), -EPERM);
	assert_int_equal(do_ioctl_value(f.group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(set_container(f.peers_group, f.container), 0);
	assert_int_equal(set_container(f.group, f.container), -EPERM);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), -ENODEV);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
}

static void test_device(void **state)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int device;

	(void)state;
	assert_int_equal(group_flags(f.group), 1);
	assert_int_equal(set_container(f.group, f.container), 0);
	assert_int_equal(get_device(f.group, bdf()), -EINVAL);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	device = get_device(f.group, bdf());
	assert_true(device >= 0);
	assert_int_equal(do_ioctl(device, VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(open_group(bdf()), -EBUSY);
	close_fd(&device);
}

static void test_no_mappings(void **state)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	struct client c = { .container = f.container };

	(void)state;
	assert_int_equal(set_container(f.group, f.container), 0);
	assert_int_equal(map(&c, RW, page, 0, PG), -EINVAL);
	assert_int_equal(do_ioctl_value(f.container, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(map(&c, RW, page, 0, PG), -ENOTTY);
	assert_int_equal(do_ioctl_value(f.container, VFIO_IOMMU_GET_INFO, 0), -ENOTTY);
}

/* An IOMMUFD as the container, for devices that it does not translate for. */
static void test_on_an_iommufd(void **state)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int iommufd = open_iommufd(), other = open_iommufd(), device;
	struct iommu_vfio_ioas ioas = { .size = sizeof(ioas) };

	(void)state;
	assert_int_equal(do_ioctl_value(iommufd, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(set_container(f.peers_group, other), 0);
	assert_int_equal(do_ioctl_value(other, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(set_container(f.group, other), -EINVAL); /* it translates already */
	assert_int_equal(set_container(f.group, iommufd), 0);
	assert_int_equal(do_ioctl_value(f.group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(do_ioctl_value(f.peers_group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(set_container(f.peers_group, iommufd), -EINVAL);
	assert_int_equal(set_container(f.group, iommufd), 0);
	assert_int_equal(do_ioctl_value(iommufd, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(do_ioctl_value(iommufd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(do_ioctl_value(iommufd, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), -EINVAL);
	assert_int_equal(do_ioctl_value(iommufd, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	device = get_device(f.group, bdf());
	assert_true(device >= 0);
	assert_int_equal(do_ioctl(device, VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(do_ioctl(iommufd, VFIO_IOMMU_GET_INFO, NULL), -EFAULT);
	close_fd(&device);
	/* with a compat IOAS somebody counts on translation */
	assert_int_equal(ioas_alloc(iommufd, &ioas.ioas_id), 0);
	ioas.op = IOMMU_VFIO_IOAS_SET;
	assert_int_equal(do_ioctl(iommufd, IOMMU_VFIO_IOAS, &ioas), 0);
	assert_int_equal(get_device(f.group, bdf()), -EPERM);
	close_fd(&iommufd);
	close_fd(&other);
}

static void test_no_cdev(void **state)
{
	char path[128];
	int fd = open_cdev(peer(), O_RDWR);

	(void)state;
	assert_true(fd >= 0);
	close_fd(&fd);
	assert_int_equal(open_cdev(bdf(), O_RDWR), -ENOENT);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf());
	assert_int_equal(access(path, F_OK), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parameter),        TEST(test_extensions), TEST(test_types),
		TEST(test_kinds_do_not_mix), TEST(test_device),     TEST(test_no_mappings),
		TEST(test_on_an_iommufd),    TEST(test_no_cdev),
	};

	return cmocka_run_group_tests_name("noiommu", tests, NULL, NULL);
}
