/* SPDX-License-Identifier: BSD-2-Clause */
/* The group file: status, containers, device names, groups of several devices, several groups. */
#include "client.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define FREE 1u
#define SET  3u

static void fill_status(struct client *c, void *arg)
{
	struct vfio_group_status *status = arg;

	(void)c;
	status->flags = 0xdeadbeef;
}

static void test_status(struct client *c)
{
	const struct sweep sweep = { c->group, VFIO_GROUP_GET_STATUS, 8, 8, fill_status, 0, NULL };

	sweep_argsz(c, &sweep);
	assert_int_equal(group_flags(c->group), SET);
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(group_flags(c->group), FREE);
}

static void test_set_container(struct client *c)
{
	int none = -1, path = open("/", O_PATH | O_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	int fresh = open_container(c->mode);

	assert_int_equal(set_container(c->group, c->container), -EINVAL);
	assert_int_equal(set_container(c->group, fresh), -EINVAL);
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL);
	assert_int_equal(do_ioctl(c->group, VFIO_GROUP_SET_CONTAINER, NULL), -EFAULT);
	assert_int_equal(set_container(c->group, none), -EBADF);
	assert_int_equal(set_container(c->group, 1000), -EBADF);
	assert_int_equal(set_container(c->group, path), -EBADF);
	assert_int_equal(set_container(c->group, event), -EBADFD);
	assert_int_equal(set_container(c->group, c->group), -EBADFD);
	assert_int_equal(group_flags(c->group), FREE);
	assert_int_equal(set_container(c->group, fresh), 0);
	close(path);
	close(event);
	close_fd(&fresh);
}

static void test_one_open(struct client *c)
{
	int fd;

	assert_int_equal(open_group(bdf()), -EBUSY);
	assert_int_equal(open_group_flags(bdf(), O_RDONLY), -EBUSY);
	close_fd(&c->device);
	close_fd(&c->group);
	fd = open_group_flags(bdf(), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(group_flags(fd), FREE);
	assert_int_equal(set_container(fd, c->container), 0);
	assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, c->mode->type), 0);
	c->device = get_device(fd, bdf());
	assert_true(c->device >= 0);
	close_fd(&c->device);
	close_fd(&fd);
}

static void test_foreign_requests(struct client *c)
{
	char byte;

	assert_int_equal(do_ioctl_value(c->group, VFIO_GET_API_VERSION, 0), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->group, VFIO_SET_IOMMU, 1), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->group, _IO('x', 103), 0), -ENOTTY);
	assert_int_equal(write(c->group, "x", 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(read(c->group, &byte, 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(mmap(NULL, PG, PROT_READ, MAP_SHARED, c->group, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
}

static void test_device_names(struct client *c)
{
	static const char *const unknown[] = { "", "0000:ff:1f.7", "nothing" };
	char name[128], *big = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd;

	for (size_t i = 0; i < COUNT(unknown); i++)
		assert_int_equal(get_device(c->group, unknown[i]), -ENODEV);
	assert_int_equal(get_device(c->group, bdf() + 5), -ENODEV);
	assert_int_equal(get_device(c->group, peer()), -ENODEV);
	assert_int_equal(get_device(c->group, NULL), -EFAULT);
	snprintf(name, sizeof(name), "%sx", bdf());
	assert_int_equal(get_device(c->group, name), -ENODEV);
	snprintf(name, sizeof(name), "%s vf_token=not-a-uuid", bdf());
	assert_int_equal(get_device(c->group, name), -EINVAL);
	snprintf(name, sizeof(name), "%s ", bdf());
	fd = get_device(c->group, name);
	assert_true(fd >= 0);
	close_fd(&fd);
	memset(big, 'a', 2 * PG);
	assert_int_equal(get_device(c->group, big), -EINVAL);
	big[PG - 1] = 0;
	assert_int_equal(get_device(c->group, big), -ENODEV);
	munmap(big, 2 * PG);
}

static void test_name_at_the_end_of_memory(struct client *c)
{
	char *two = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *name = two + PG - strlen(bdf()) - 1;
	int fd;

	munmap(two + PG, PG);
	strcpy(name, bdf());
	fd = get_device(c->group, name);
	assert_true(fd >= 0);
	close_fd(&fd);
	two[PG - 1] = ' ';
	assert_int_equal(get_device(c->group, name), -EFAULT);
	munmap(two, PG);
}

static void test_no_iommu_yet(struct client *c)
{
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(get_device(c->group, bdf()), -EINVAL);
	assert_int_equal(get_device(c->group, "nothing"), -ENODEV);
	assert_int_equal(set_container(c->group, c->container), 0);
	assert_int_equal(get_device(c->group, bdf()), -EINVAL);
	assert_int_equal(get_device(c->group, "nothing"), -ENODEV);
	assert_int_equal(map(c, RW, c->memory, 0, PG), -EINVAL);
}

static void test_two_device_files(struct client *c)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int second = get_device(c->group, bdf());

	assert_true(second >= 0 && second != c->device);
	assert_int_equal(fcntl(second, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(second, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	close_fd(&second);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
}

static void test_two_devices_of_a_group(struct client *c)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int other = get_device(c->group, sibling());

	assert_true(other >= 0);
	assert_int_equal(open_group(sibling()), -EBUSY);
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	assert_int_equal(do_ioctl(other, VFIO_DEVICE_GET_INFO, &info), 0);
	close_fd(&other);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
}

static void test_two_groups(struct client *c)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int group = open_group(peer()), device;

	assert_true(group >= 0);
	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	assert_int_equal(set_container(group, c->container), 0);
	device = get_device(group, peer());
	assert_true(device >= 0);
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	/* the mapping belongs to the container, and stays while a group is in it */
	assert_int_equal(map(c, RW, c->memory, 0, PG), -EEXIST);
	assert_int_equal(do_ioctl(device, VFIO_DEVICE_GET_INFO, &info), 0);
	close_fd(&device);
	assert_int_equal(do_ioctl_value(group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(map(c, RW, c->memory, 0, PG), -EINVAL);
	assert_int_equal(set_container(group, c->container), 0);
	assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, c->mode->type), 0);
	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	close_fd(&group);
}

static void test_two_containers(struct client *c)
{
	struct client other = { .mode = c->mode, .container = open_container(c->mode), .device = -1 };

	other.group = open_group(peer());
	assert_int_equal(set_container(other.group, other.container), 0);
	assert_int_equal(do_ioctl_value(other.container, VFIO_SET_IOMMU, c->mode->type), 0);
	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	assert_int_equal(map(&other, RW, c->memory, 0, PG), 0);
	unmap_all(&other);
	assert_int_equal(map(c, RW, c->memory, 0, PG), -EEXIST);
	close_fd(&other.group);
	close_fd(&other.container);
}

int main(void)
{
	static const struct test tests[] = {
		T(test_status),
		T(test_set_container),
		T(test_one_open),
		T(test_foreign_requests),
		T(test_device_names),
		T(test_name_at_the_end_of_memory),
		T_TYPE1(test_no_iommu_yet),
		T_TYPE1(test_two_device_files),
		T_TYPE1(test_two_devices_of_a_group),
		T_TYPE1(test_two_groups),
		T(test_two_containers),
	};

	return run_in_modes("group", tests, COUNT(tests));
}
