/* SPDX-License-Identifier: BSD-2-Clause */
/* Hot resets of devices that were opened by their cdevs: by who owns the functions of the slot. */
#include "pci/test_util.h"

#include "file/fdtable.h"
#include "iommufd/iommufd.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define FUNCTIONS 4

/* Functions 0 and 1 of a slot in group 7, 2 in group 8; 3, in group 9, is another slot's. */
struct slot {
	struct iommu_params params;
	struct rig rig; /* for add_function() */
	struct pci_func *func[FUNCTIONS];
	int iommufd, other;
	int cdev[FUNCTIONS]; /* bound; -1: not open */
};

static long call(int fd, unsigned long cmd, const void *arg)
{
	struct file *file = fdtable_get(fd);
	long rc = file ? file_ioctl(file, &self_caller, cmd, (uintptr_t)arg) : -EBADF;

	if (file)
		file_put(file);
	return rc;
}

static void close_fd(int *fd)
{
	if (*fd < 0)
		return;
	fdtable_close(*fd);
	close(*fd);
	*fd = -1;
}

static int open_iommufd(struct slot *s)
{
	struct file *file;

	assert_int_equal(iommufd_open(&s->params, false, O_RDWR, &file), 0);
	return fdtable_install(file, O_CLOEXEC);
}

/* The id, or -errno. */
static long bind_function(struct slot *s, int fn, int iommufd)
{
	uint32_t arg[4] = { sizeof(arg), 0, (uint32_t)iommufd, 0 };
	struct file *file;
	long rc;

	if (s->cdev[fn] < 0) {
		assert_int_equal(vfio_cdev_open(s->rig.vfio, pci_func_vfio_index(s->func[fn]), O_RDWR, &file),
				 0);
		s->cdev[fn] = fdtable_install(file, O_CLOEXEC);
	}
	rc = call(s->cdev[fn], VFIO_DEVICE_BIND_IOMMUFD, arg);
	return rc ? rc : arg[3];
}

static int set_up(void **state)
{
	static const char *const addresses[FUNCTIONS] = { "0000:00:01.0", "0000:00:01.1", "0000:00:01.2",
							  "0000:00:02.0" };
	static const unsigned int groups[FUNCTIONS] = { 7, 7, 8, 9 };
	struct slot *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	if (!self_caller.mm)
		self_caller.mm = mm_self();
	fake_desc_default();
	iommu_params_default(&s->params);
	s->rig.vfio = vfio_new(&s->params, false);
	for (int i = 0; i < FUNCTIONS; i++) {
		s->func[i] = add_function(&s->rig, addresses[i], groups[i]);
		s->cdev[i] = -1;
	}
	s->iommufd = open_iommufd(s);
	s->other = open_iommufd(s);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct slot *s = *state;

	for (int i = 0; i < FUNCTIONS; i++)
		close_fd(&s->cdev[i]);
	close_fd(&s->iommufd);
	close_fd(&s->other);
	for (int i = 0; i < FUNCTIONS; i++)
		pci_func_destroy(s->func[i]);
	vfio_free(s->rig.vfio);
	free(s);
	return 0;
}

/* What the first function's cdev hears: the flags, and the ids into id[]. */
static uint32_t info(struct slot *s, uint32_t id[3])
{
	struct {
		uint32_t argsz, flags, count;
		struct vfio_pci_dependent_device dev[4];
	} arg = { .argsz = sizeof(arg) };

	assert_int_equal(call(s->cdev[0], VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &arg), 0);
	assert_int_equal(arg.count, 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(arg.dev[i].devfn, 1 << 3 | i);
		id[i] = arg.dev[i].group_id;
	}
	return arg.flags;
}

static long hot_reset(struct slot *s)
{
	uint32_t arg[3] = { sizeof(arg) };

	return call(s->cdev[0], VFIO_DEVICE_PCI_HOT_RESET, arg);
}

static void test_ids(void **state)
{
	const uint32_t none = (uint32_t)VFIO_PCI_DEVID_NOT_OWNED;
	struct slot *s = *state;
	uint32_t id[3];
	long first = bind_function(s, 0, s->iommufd), second, third;

	assert_true(first > 0);
	/* the sibling is not bound, but in a group of ours; the third is nobody's */
	assert_int_equal(info(s, id), VFIO_PCI_HOT_RESET_FLAG_DEV_ID);
	assert_true(id[0] == first && id[1] == VFIO_PCI_DEVID_OWNED && id[2] == none);
	assert_int_equal(hot_reset(s), -EINVAL);
	second = bind_function(s, 1, s->iommufd);
	third = bind_function(s, 2, s->other);
	assert_int_equal(info(s, id), VFIO_PCI_HOT_RESET_FLAG_DEV_ID);
	assert_true(id[0] == first && id[1] == second && id[2] == none);
	assert_int_equal(hot_reset(s), -EINVAL);
	close_fd(&s->cdev[2]);
	third = bind_function(s, 2, s->iommufd);
	assert_int_equal(info(s, id), VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
	assert_true(id[0] == first && id[1] == second && id[2] == third);
	close_fd(&s->cdev[1]);
	assert_int_equal(info(s, id), VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED);
	assert_true(id[0] == first && id[1] == VFIO_PCI_DEVID_OWNED && id[2] == third);
}

static void test_reset(void **state)
{
	struct slot *s = *state;
	int before[FUNCTIONS];

	bind_function(s, 0, s->iommufd);
	bind_function(s, 2, s->iommufd);
	bind_function(s, 3, s->iommufd);
	for (int i = 0; i < FUNCTIONS; i++)
		before[i] = fake_of(s->func[i])->resets;
	assert_int_equal(hot_reset(s), 0);
	assert_int_equal(fake_of(s->func[0])->resets, before[0] + 1);
	assert_int_equal(fake_of(s->func[1])->resets, before[1]); /* nobody has it open */
	assert_int_equal(fake_of(s->func[2])->resets, before[2] + 1);
	assert_int_equal(fake_of(s->func[3])->resets, before[3]); /* another slot */
}

/* Groups prove nothing for a device that was opened without one; and none, nothing for one with. */
static void test_groups_and_cdevs(void **state)
{
	struct slot *s = *state;
	struct {
		uint32_t argsz, flags, count;
		int32_t fd[2];
	} reset = { .argsz = sizeof(reset), .count = 2 };
	struct file *file;
	int group, eighth, device, sibling;

	bind_function(s, 0, s->iommufd);
	bind_function(s, 2, s->iommufd);
	reset.fd[0] = reset.fd[1] = s->iommufd;
	assert_int_equal(call(s->cdev[0], VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	close_fd(&s->cdev[0]);
	close_fd(&s->cdev[2]);
	assert_int_equal(vfio_group_open(s->rig.vfio, 7, false, O_RDWR, &file), 0);
	group = fdtable_install(file, O_CLOEXEC);
	assert_int_equal(vfio_group_open(s->rig.vfio, 8, false, O_RDWR, &file), 0);
	eighth = fdtable_install(file, O_CLOEXEC);
	assert_int_equal(call(group, VFIO_GROUP_SET_CONTAINER, &s->iommufd), 0);
	device = (int)call(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:01.0");
	sibling = (int)call(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:01.1");
	assert_true(device >= 0 && sibling >= 0);
	reset.count = 0;
	assert_int_equal(call(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.count = 1;
	reset.fd[0] = group;
	assert_int_equal(call(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.count = 2;
	reset.fd[1] = eighth;
	assert_int_equal(call(device, VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	close_fd(&sibling);
	close_fd(&device);
	close_fd(&group);
	close_fd(&eighth);
}

static void *bind_and_close(void *arg)
{
	struct slot *s = arg;

	for (int i = 0; i < 3000; i++) {
		if (bind_function(s, 2, i % 2 ? s->iommufd : s->other) < 0)
			return s;
		close_fd(&s->cdev[2]);
	}
	return NULL;
}

/* Ownership does not change between the look at it and the reset. */
static void test_while_it_is_bound(void **state)
{
	struct slot *s = *state;
	unsigned int refused = 0;
	pthread_t thread;
	void *failed;
	long rc;

	bind_function(s, 0, s->iommufd);
	assert_int_equal(pthread_create(&thread, NULL, bind_and_close, s), 0);
	for (int i = 0; i < 20000; i++) {
		rc = hot_reset(s);
		assert_true(rc == 0 || rc == -EINVAL);
		refused += !!rc;
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_true(refused > 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ids),
		CASE(test_reset),
		CASE(test_groups_and_cdevs),
		CASE(test_while_it_is_bound),
	};

	return cmocka_run_group_tests_name("hot_reset", tests, NULL, NULL);
}
