/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM that a device serves, as its driver hears of it: by groups and by cdevs, in any order. */
#include "vfio/test_kvm_rig.h"

#include "file/fdtable.h"

#define told(r, i, text)                                                                                     \
	do {                                                                                                 \
		assert_string_equal((r)->mdevs[i].told, text);                                               \
		memset((r)->mdevs[i].told, 0, sizeof((r)->mdevs[i].told));                                   \
	} while (0)

/* ---- by a group */

static void test_before_open(void **state)
{
	struct rig *r = *state;
	int container, group, device;

	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &container, &group);
	set_kvm(group, &vm_a);
	told(r, 0, "");
	device = get_device(group, "mdev0");
	told(r, 0, "A");
	told(r, 1, "");
	assert_ptr_equal(r->mdevs[0].at_open, &vm_a);
	close_fd(device);
	told(r, 0, "-");
	for (int i = 0; i < 5; i++) {
		device = get_device(group, "mdev0");
		close_fd(device);
	}
	told(r, 0, "A-A-A-A-A-");
	set_kvm(group, NULL);
	told(r, 0, "");
	close_fd(group);
	close_fd(container);
}

static void test_after_open(void **state)
{
	struct rig *r = *state;
	int container, group, device, again, other;

	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &container, &group);
	device = get_device(group, "mdev0");
	again = get_device(group, "mdev0");
	assert_null(r->mdevs[0].at_open);
	told(r, 0, "");
	set_kvm(group, &vm_a);
	told(r, 0, "A");
	set_kvm(group, &vm_a);
	told(r, 0, "");
	other = get_device(group, "mdev1");
	told(r, 1, "A");
	close_fd(device);
	told(r, 0, "");
	close_fd(again);
	told(r, 0, "-");
	set_kvm(group, NULL);
	told(r, 1, "-");
	told(r, 0, "");
	close_fd(other);
	told(r, 1, "");
	close_fd(group);
	close_fd(container);
}

static void test_moved(void **state)
{
	struct rig *r = *state;
	int container, group, device;

	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &container, &group);
	device = get_device(group, "mdev0");
	set_kvm(group, &vm_a);
	set_kvm(group, &vm_b);
	told(r, 0, "A-B");
	unset_kvm(group, &vm_a);
	told(r, 0, "");
	unset_kvm(group, &vm_b);
	told(r, 0, "-");
	unset_kvm(group, &vm_b);
	told(r, 0, "");
	close_fd(device);
	close_fd(group);
	close_fd(container);
}

static void test_open_fails(void **state)
{
	struct rig *r = *state;
	int container, group, device;

	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &container, &group);
	r->mdevs[0].open_result = -ESRCH;
	assert_int_equal(get_device(group, "mdev0"), -ESRCH);
	set_kvm(group, &vm_a);
	assert_int_equal(get_device(group, "mdev0"), -ESRCH);
	told(r, 0, "A-");
	r->mdevs[0].open_result = 0;
	device = get_device(group, "mdev0");
	told(r, 0, "A");
	set_kvm(group, NULL);
	close_fd(device);
	told(r, 0, "-");
	close_fd(group);
	close_fd(container);
}

/* A device's file that came from a group follows the group; one of another group hears nothing. */
static void test_who_counts(void **state)
{
	struct rig *r = *state;
	int container, group, device, other;

	open_all(r->b, 20, VFIO_TYPE1v2_IOMMU, &container, &group);
	device = get_device(group, "mdev0");
	set_kvm(device, &vm_b);
	told(r, 0, "");
	other = open_group(r->b, 21);
	set_kvm(other, &vm_b);
	set_kvm(group, &vm_a);
	told(r, 0, "A");
	told(r, 2, "");
	set_kvm(device, NULL);
	told(r, 0, "");
	set_kvm(group, NULL);
	set_kvm(other, NULL);
	close_fd(device);
	close_fd(other);
	close_fd(group);
	close_fd(container);
}

static void test_other_files(void **state)
{
	struct rig *r = *state;
	int container = open_container(r->b), iommufd = open_iommufd(r->b);
	struct file *file = fdtable_get(container);

	assert_false(vfio_file_is_valid(file));
	vfio_file_set_kvm(file, &vm_a);
	vfio_file_unset_kvm(file, &vm_a);
	file_put(file);
	file = fdtable_get(iommufd);
	assert_false(vfio_file_is_valid(file));
	file_put(file);
	close_fd(container);
	close_fd(iommufd);
}

/* ---- by a cdev, and by a group on an IOMMUFD */

static void test_cdev(void **state)
{
	struct rig *r = *state;
	int iommufd = open_iommufd(r->b), cdev = open_index(r->b, r->mdevs[0].vdev.index);
	int second = open_index(r->b, r->mdevs[0].vdev.index);

	set_kvm(cdev, &vm_a);
	set_kvm(second, &vm_b);
	told(r, 0, "");
	assert_int_equal(bind_to(cdev, iommufd), 0);
	told(r, 0, "A");
	assert_ptr_equal(r->mdevs[0].at_open, &vm_a);
	set_kvm(second, NULL);
	told(r, 0, "");
	set_kvm(cdev, &vm_b);
	told(r, 0, "-B");
	set_kvm(cdev, NULL);
	told(r, 0, "-");
	set_kvm(cdev, &vm_a);
	close_fd(cdev);
	told(r, 0, "A-");
	assert_int_equal(bind_to(second, iommufd), 0);
	told(r, 0, "");
	close_fd(second);
	close_fd(iommufd);
}

static void test_cdev_open_fails(void **state)
{
	struct rig *r = *state;
	int iommufd = open_iommufd(r->b), cdev = open_index(r->b, r->mdevs[0].vdev.index);

	r->mdevs[0].open_result = -ENXIO;
	set_kvm(cdev, &vm_a);
	assert_int_equal(bind_to(cdev, iommufd), -ENXIO);
	told(r, 0, "A-");
	assert_null(r->mdevs[0].vdev.kvm_file);
	r->mdevs[0].open_result = 0;
	assert_int_equal(bind_to(cdev, iommufd), 0);
	close_fd(cdev);
	told(r, 0, "A-");
	close_fd(iommufd);
}

static void test_compat(void **state)
{
	struct rig *r = *state;
	int iommufd = open_iommufd(r->b), group = open_group(r->b, 20), device;

	assert_int_equal(call_ptr(group, VFIO_GROUP_SET_CONTAINER, &iommufd), 0);
	assert_int_equal(call(iommufd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	set_kvm(group, &vm_a);
	device = get_device(group, "mdev0");
	told(r, 0, "A");
	set_kvm(group, NULL);
	told(r, 0, "-");
	close_fd(device);
	close_fd(group);
	close_fd(iommufd);
}

static void test_coherency(void **state)
{
	struct rig *r = *state;
	int real = open_group(r->b, 1), none = open_group(r->b, 9), mdevs = open_group(r->b, 20);
	struct file *files[] = { fdtable_get(real), fdtable_get(none), fdtable_get(mdevs) };

	for (int coherent = 0; coherent < 2; coherent++) {
		r->b->params.coherent = coherent;
		assert_int_equal(vfio_file_enforced_coherent(files[0]), coherent);
		assert_false(vfio_file_enforced_coherent(files[1]));
		assert_false(vfio_file_enforced_coherent(files[2]));
	}
	for (int i = 0; i < 3; i++)
		file_put(files[i]);
	close_fd(real);
	close_fd(none);
	close_fd(mdevs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_before_open), RIG_TEST(test_after_open),      RIG_TEST(test_moved),
		RIG_TEST(test_open_fails),  RIG_TEST(test_who_counts),      RIG_TEST(test_other_files),
		RIG_TEST(test_cdev),        RIG_TEST(test_cdev_open_fails), RIG_TEST(test_compat),
		RIG_TEST(test_coherency),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
