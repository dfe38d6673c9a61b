/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors closed in any order, duplicated, inherited; reopening. */
#include "client.h"

#include <sys/mman.h>
#include <unistd.h>

static long device_info(int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	return do_ioctl(fd, VFIO_DEVICE_GET_INFO, &info);
}

static void test_container_first(struct client *c)
{
	int second;

	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	close_fd(&c->container);
	assert_int_equal(device_info(c->device), 0);
	assert_int_equal(group_flags(c->group), 3);
	second = get_device(c->group, bdf());
	assert_true(second >= 0);
	close_fd(&second);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	close_fd(&c->group);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
}

static void test_group_first(struct client *c)
{
	close_fd(&c->group);
	assert_int_equal(open_group(bdf()), -EBUSY);
	assert_int_equal(device_info(c->device), 0);
	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	close_fd(&c->device);
	assert_int_equal(map(c, RW, c->memory, PG, PG), -EINVAL);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
	assert_int_equal(group_flags(c->group), 1);
}

static void test_device_last(struct client *c)
{
	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	close_fd(&c->group);
	close_fd(&c->container);
	assert_int_equal(device_info(c->device), 0);
	assert_int_equal(open_group(bdf()), -EBUSY);
	close_fd(&c->device);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
}

static void test_duplicates(struct client *c)
{
	int container = dup(c->container), device = dup(c->device);

	close_fd(&c->device);
	close(c->container);
	c->container = container;
	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	assert_int_equal(device_info(device), 0);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	close_fd(&device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(map(c, RW, c->memory, PG, PG), -EINVAL);
}

static void test_dup2_closes_what_it_covers(struct client *c)
{
	int spare = dup(2);

	assert_int_equal(dup2(spare, c->device), c->device);
	close(spare);
	assert_int_equal(device_info(c->device), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
}

static void test_reopen(struct client *c)
{
	assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
	for (int i = 0; i < 20; i++) {
		reopen_device(c);
		assert_int_equal(device_info(c->device), 0);
	}
	/* mappings are the container's, not the device's */
	assert_int_equal(map(c, RW, c->memory, 0, PG), -EEXIST);
}

static void test_mapped_bar_holds_the_device(struct client *c)
{
	struct vfio_region_info region = { .argsz = sizeof(region) };
	void *bar = MAP_FAILED;

	for (region.index = 0; region.index < 6 && bar == MAP_FAILED; region.index++) {
		region.argsz = sizeof(region);
		assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, &region), 0);
		if (region.flags & VFIO_REGION_INFO_FLAG_MMAP)
			bar = mmap(NULL, PG, PROT_READ, MAP_SHARED, c->device, (off_t)region.offset);
	}
	assert_ptr_not_equal(bar, MAP_FAILED);
	close_fd(&c->device);
	assert_int_equal(do_ioctl_value(c->group, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	close_fd(&c->group);
	assert_int_equal(open_group(bdf()), -EBUSY);
	munmap(bar, PG);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
}

/* Everything again and again: nothing is used up. */
static void test_many_rounds(struct client *c)
{
	for (int i = 0; i < 200; i++) {
		close_fd(&c->device);
		close_fd(&c->group);
		close_fd(&c->container);
		c->container = open_container(c->mode);
		c->group = open_group(bdf());
		assert_true(c->container >= 0 && c->group >= 0);
		assert_int_equal(set_container(c->group, c->container), 0);
		assert_int_equal(do_ioctl_value(c->container, VFIO_SET_IOMMU, c->mode->type), 0);
		assert_int_equal(map(c, RW, c->memory, 0, PG), 0);
		c->device = get_device(c->group, bdf());
		assert_true(c->device >= 0);
	}
}

int main(void)
{
	static const struct test tests[] = {
		T_TYPE1(test_container_first),
		T_TYPE1(test_group_first),
		T_TYPE1(test_device_last),
		T_TYPE1(test_duplicates),
		T(test_dup2_closes_what_it_covers),
		T_ALL(test_reopen),
		T_TYPE1(test_mapped_bar_holds_the_device),
		T(test_many_rounds),
	};

	return run_in_modes("lifetime", tests, COUNT(tests));
}
