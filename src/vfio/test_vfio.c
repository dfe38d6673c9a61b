/* SPDX-License-Identifier: BSD-2-Clause */
/* Containers, groups and devices: who may do what when, and who keeps what alive. */
#include "vfio/test_util.h"

#include "file/fdtable.h"
#include "vfio/internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char page[UVFIO_PAGE_SIZE] __attribute__((aligned(UVFIO_PAGE_SIZE)));

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static void test_extensions(void **state)
{
	struct bench *b = *state;
	int c, g;

	c = open_container(b);
	assert_int_equal(call(c, VFIO_GET_API_VERSION, 7), VFIO_API_VERSION);
	assert_int_equal(call(c, 0xffffffff00000000 | VFIO_GET_API_VERSION, 0), 0);
	for (uint64_t ext = 0; ext < 24; ext++)
		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, ext),
				 ext == 1 || ext == 3 || ext == 8 || ext == 9);
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, 0x100000001), 0);
	g = open_group(b, 1);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 0);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR), 1);
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), 0);
	b->params.coherent = true;
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), 1);
	close_fd(g);
	close_fd(c);
}

static void test_set_iommu_can_be_retried(void **state)
{
	static const uint64_t unknown[] = { 0, 2, 4, 5, 6, 7, 8, 10, 11, 0xffffffff };
	struct bench *b = *state;
	int c, g;

	c = open_container(b);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), -EINVAL);
	g = open_group(b, 1);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		assert_int_equal(call(c, VFIO_SET_IOMMU, unknown[i]), -ENODEV);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_UNMAP_ALL), -EINVAL);
	assert_int_equal(map(c, 0, page, sizeof(page), RW), -EINVAL);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	assert_int_equal(map(c, 0, page, sizeof(page), RW), 0);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), -EINVAL);
	assert_int_equal(call(c, VFIO_GROUP_GET_STATUS, 0), -ENOTTY);
	close_fd(g);
	close_fd(c);
}

static void test_status(void **state)
{
	struct bench *b = *state;
	struct {
		struct vfio_group_status s;
		uint32_t behind;
	} arg;
	int g = open_group(b, 1);

	for (uint32_t argsz = 0; argsz < 16; argsz++) {
		arg.s.argsz = argsz;
		arg.s.flags = arg.behind = 0xdeadbeef;
		assert_int_equal(call_ptr(g, VFIO_GROUP_GET_STATUS, &arg), argsz < 8 ? -EINVAL : 0);
		assert_int_equal(arg.s.flags, argsz < 8 ? 0xdeadbeef : VFIO_GROUP_FLAGS_VIABLE);
		assert_int_equal(arg.s.argsz, argsz);
		assert_int_equal(arg.behind, 0xdeadbeef);
	}
	assert_int_equal(call(g, VFIO_GROUP_GET_STATUS, 0), -EFAULT);
	close_fd(g);
}

static void test_set_container_errors(void **state)
{
	struct bench *b = *state;
	int c = open_container(b), g = open_group(b, 1), other = eventfd(0, EFD_CLOEXEC), none = -1;
	int path = open("/", O_PATH | O_CLOEXEC);

	assert_int_equal(call(g, VFIO_GROUP_SET_CONTAINER, 0), -EFAULT);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &none), -EBADF);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &path), -EBADF);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &other), -EBADFD);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &g), -EBADFD);
	assert_int_equal(call(g, VFIO_GROUP_UNSET_CONTAINER, 0), -EINVAL);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	/* a group that is in a container does not care what the descriptor is, as long as it is one */
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &other), -EINVAL);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &none), -EBADF);
	assert_int_equal(call(g, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(call(g, VFIO_GET_API_VERSION, 0), -ENOTTY);
	close_fd(g);
	close_fd(c);
	close(other);
	close(path);
}

static void test_one_open_per_group(void **state)
{
	struct bench *b = *state;
	struct file *file;
	int g = open_group(b, 1);

	assert_true(g >= 0);
	assert_int_equal(open_group(b, 1), -EBUSY);
	assert_int_equal(open_group(b, 3), -ENODEV);
	assert_int_equal(vfio_group_open(b->vfio, 1, true, O_RDWR, &file), -ENODEV);
	assert_int_equal(vfio_group_open(b->vfio, 9, false, O_RDWR, &file), -ENODEV);
	close_fd(g);
	g = open_group(b, 1);
	assert_true(g >= 0);
	close_fd(g);
}

static void test_device_names(void **state)
{
	struct bench *b = *state;
	char *two =
		mmap(NULL, 2 * UVFIO_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at_end = two + UVFIO_PAGE_SIZE - sizeof(NAME_A);
	int c, g, d;

	assert_ptr_not_equal(two, MAP_FAILED);
	g = open_group(b, 1);
	assert_int_equal(get_device(g, NAME_A), -EINVAL);
	assert_int_equal(get_device(g, NAME_C), -ENODEV);
	c = open_container(b);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	assert_int_equal(get_device(g, NAME_A), -EINVAL);
	assert_int_equal(get_device(g, "nothing"), -ENODEV);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	assert_int_equal(get_device(g, NULL), -EFAULT);
	assert_int_equal(get_device(g, ""), -ENODEV);
	assert_int_equal(get_device(g, NAME_A " bad"), -EINVAL);
	assert_int_equal(get_device(g, NAME_C), -ENODEV);
	d = get_device(g, NAME_B " ok");
	assert_true(d >= 0);
	assert_int_equal(fcntl(d, F_GETFD), FD_CLOEXEC);
	close_fd(d);
	/* the string may end where the memory ends, but not later */
	memset(two, 'x', 2 * UVFIO_PAGE_SIZE);
	assert_int_equal(get_device(g, two), -EINVAL);
	two[UVFIO_PAGE_SIZE - 1] = 0;
	assert_int_equal(get_device(g, two), -ENODEV);
	munmap(two + UVFIO_PAGE_SIZE, UVFIO_PAGE_SIZE);
	memcpy(at_end, NAME_A, sizeof(NAME_A));
	d = get_device(g, at_end);
	assert_true(d >= 0);
	close_fd(d);
	at_end[sizeof(NAME_A) - 1] = 'x';
	assert_int_equal(get_device(g, at_end), -EFAULT);
	munmap(two, UVFIO_PAGE_SIZE);
	close_fd(g);
	close_fd(c);
}

static void test_device_opens_and_closes_once(void **state)
{
	struct bench *b = *state;
	int c, g, d, d2;

	open_all(b, 1, VFIO_TYPE1_IOMMU, &c, &g);
	d = get_device(g, NAME_A);
	d2 = get_device(g, NAME_A);
	assert_true(d >= 0 && d2 >= 0 && d != d2);
	assert_int_equal(b->fake[0].opened, 1);
	assert_int_equal(call(d, VFIO_DEVICE_RESET, 42), 42);
	assert_int_equal(call(g, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	close_fd(d);
	assert_int_equal(b->fake[0].closed, 0);
	assert_int_equal(call(g, VFIO_GROUP_UNSET_CONTAINER, 0), -EBUSY);
	close_fd(d2);
	assert_int_equal(b->fake[0].closed, 1);
	assert_int_equal(call(g, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	close_fd(g);
	close_fd(c);
}

static void test_failed_open_leaves_nothing(void **state)
{
	struct bench *b = *state;
	int c, g, d;

	open_all(b, 1, VFIO_TYPE1_IOMMU, &c, &g);
	b->fake[0].open_result = -EIO;
	assert_int_equal(get_device(g, NAME_A), -EIO);
	b->fake[0].open_result = 0;
	d = get_device(g, NAME_A);
	assert_true(d >= 0);
	assert_int_equal(b->fake[0].opened, 1);
	close_fd(d);
	assert_int_equal(call(g, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	close_fd(g);
	close_fd(c);
}

static void test_all_devices_of_a_group_attach(void **state)
{
	struct bench *b = *state;
	int c, g, g2;

	c = open_container(b);
	g = open_group(b, 1);
	g2 = open_group(b, 2);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	assert_null(domain_of(b, 0));
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	assert_non_null(domain_of(b, 0));
	assert_ptr_equal(domain_of(b, 0), domain_of(b, 1));
	assert_null(domain_of(b, 2));
	assert_int_equal(map(c, 0, page, sizeof(page), RW), 0);
	/* a second group comes later, and sees the mapping that is there */
	assert_int_equal(call_ptr(g2, VFIO_GROUP_SET_CONTAINER, &c), 0);
	assert_ptr_equal(domain_of(b, 2), domain_of(b, 0));
	assert_int_equal(call(g, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_null(domain_of(b, 0));
	assert_int_equal(map(c, 0, page, sizeof(page), RW), -EEXIST);
	/* the last group takes the mappings along */
	assert_int_equal(call(g2, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_null(domain_of(b, 2));
	assert_int_equal(map(c, 0, page, sizeof(page), RW), -EINVAL);
	assert_int_equal(call_ptr(g2, VFIO_GROUP_SET_CONTAINER, &c), 0);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(map(c, 0, page, sizeof(page), RW), 0);
	close_fd(g2);
	close_fd(g);
	close_fd(c);
}

static void test_container_closed_first(void **state)
{
	struct bench *b = *state;
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int c, g, d;

	open_all(b, 1, VFIO_TYPE1v2_IOMMU, &c, &g);
	assert_int_equal(map(c, 0, page, sizeof(page), RW), 0);
	close_fd(c);
	d = get_device(g, NAME_A);
	assert_true(d >= 0);
	assert_int_equal(call_ptr(g, VFIO_GROUP_GET_STATUS, &status), 0);
	assert_int_equal(status.flags, VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET);
	assert_non_null(domain_of(b, 0));
	close_fd(d);
	assert_int_equal(call(g, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	close_fd(g);
}

static void test_group_closed_first(void **state)
{
	struct bench *b = *state;
	int c, g, d;

	open_all(b, 1, VFIO_TYPE1v2_IOMMU, &c, &g);
	d = get_device(g, NAME_A);
	close_fd(g);
	assert_int_equal(open_group(b, 1), -EBUSY);
	assert_int_equal(call(d, VFIO_DEVICE_RESET, 1), 1);
	assert_int_equal(map(c, 0, page, sizeof(page), RW), 0);
	close_fd(d);
	assert_int_equal(b->fake[0].closed, 1);
	assert_int_equal(map(c, UVFIO_PAGE_SIZE, page, sizeof(page), RW), -EINVAL);
	g = open_group(b, 1);
	assert_true(g >= 0);
	close_fd(g);
	close_fd(c);
}

static void test_noiommu(void **state)
{
	struct bench *b = *state;
	struct iommu_translation t;
	int c, g, g9, d;

	c = open_container(b);
	g = open_group(b, 1);
	g9 = open_group(b, 9);
	assert_int_equal(call_ptr(g9, VFIO_GROUP_SET_CONTAINER, &c), 0);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), -EPERM);
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 0);
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU), -ENODEV);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_NOIOMMU_IOMMU), 0);
	assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU), 1);
	assert_int_equal(map(c, 0, page, sizeof(page), RW), -ENOTTY);
	d = get_device(g9, NAME_D);
	assert_true(d >= 0);
	assert_int_equal(iommu_domain_translate(domain_of(b, 3), (uintptr_t)page, IOMMU_WRITE, &t), 0);
	assert_int_equal(t.va, (uintptr_t)page);
	close_fd(d);
	close_fd(g9);
	assert_null(domain_of(b, 3));
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	close_fd(g);
	close_fd(c);
}

static int claims, claim_result;

static int note_claim(unsigned int group_id, bool noiommu, bool claim)
{
	assert_int_equal(group_id, 2);
	assert_false(noiommu);
	if (claim && claim_result)
		return claim_result;
	claims += claim ? 1 : -1;
	return 0;
}

static void test_claim(void **state)
{
	struct bench *b = *state;
	int c, g, d;

	vfio_group_claim = note_claim;
	claim_result = -EBUSY;
	assert_int_equal(open_group(b, 2), -EBUSY);
	claim_result = 0;
	open_all(b, 2, VFIO_TYPE1_IOMMU, &c, &g);
	assert_int_equal(claims, 1);
	assert_int_equal(open_group(b, 2), -EBUSY);
	d = get_device(g, NAME_C);
	close_fd(g);
	assert_int_equal(claims, 1);
	close_fd(d);
	assert_int_equal(claims, 0);
	close_fd(c);
	vfio_group_claim = NULL;
}

static void test_registry(void **state)
{
	struct bench *b = *state;
	struct vfio_device extra = { .ops = b->fake[0].vdev.ops, .name = NAME_A };

	assert_int_equal(b->fake[3].vdev.index, 3);
	assert_ptr_equal(vfio_find_device(b->vfio, NAME_C), &b->fake[2].vdev);
	assert_null(vfio_find_device(b->vfio, "0000:00:1f.0"));
	assert_int_equal(vfio_group_id(b->fake[2].vdev.group), 2);
	assert_int_equal(vfio_register_device(b->vfio, &extra, 4, false, VFIO_ANY_INDEX), -EEXIST);
	strcpy(extra.name, "0000:00:04.0");
	assert_int_equal(vfio_register_device(b->vfio, &extra, 9, false, VFIO_ANY_INDEX), -EINVAL);
	assert_int_equal(vfio_register_device(b->vfio, &extra, 1, true, VFIO_ANY_INDEX), -EINVAL);
}

static void *unregister(void *arg)
{
	vfio_unregister_device(arg);
	return NULL;
}

static void test_removal_waits(void **state)
{
	struct bench *b = *state;
	struct vfio_group_status status = { .argsz = sizeof(status) };
	pthread_t thread;
	int c, g, d;

	open_all(b, 2, VFIO_TYPE1v2_IOMMU, &c, &g);
	d = get_device(g, NAME_C);
	assert_int_equal(pthread_create(&thread, NULL, unregister, &b->fake[2].vdev), 0);
	while (!b->fake[2].requested)
		usleep(1000);
	assert_int_equal(get_device(g, NAME_C), -ENODEV);
	assert_int_equal(call(d, VFIO_DEVICE_RESET, 3), 3);
	close_fd(d);
	pthread_join(thread, NULL);
	b->fake[2].vdev.vfio = NULL;
	assert_null(domain_of(b, 2));
	assert_int_equal(call_ptr(g, VFIO_GROUP_GET_STATUS, &status), -ENODEV);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), -ENODEV);
	assert_int_equal(open_group(b, 2), -ENODEV);
	close_fd(g);
	close_fd(c);
}

/* One device of two leaves a group whose other device stays attached, and comes back. */
static void test_device_joins_a_live_group(void **state)
{
	struct bench *b = *state;
	int c, g;

	open_all(b, 1, VFIO_TYPE1v2_IOMMU, &c, &g);
	vfio_unregister_device(&b->fake[0].vdev);
	assert_null(domain_of(b, 0));
	assert_non_null(domain_of(b, 1));
	assert_int_equal(map(c, 0, page, sizeof(page), RW), 0);
	assert_int_equal(vfio_register_device(b->vfio, &b->fake[0].vdev, 1, false, VFIO_ANY_INDEX), 0);
	assert_ptr_equal(domain_of(b, 0), domain_of(b, 1));
	assert_int_equal(b->fake[0].vdev.index, 0);
	close_fd(g);
	close_fd(c);
}

static void live_in_child(struct bench *b)
{
	int c, g;

	/* whatever was held at the fork, the child can begin anew */
	vfio_forked(b->vfio);
	open_all(b, 1, VFIO_TYPE1_IOMMU, &c, &g);
	close_fd(g);
	close_fd(c);
}

/* The child of a fork in which every lock is held by a thread that it has not got. */
static void test_fork(void **state)
{
	struct bench *b = *state;
	int status = 0;
	pid_t child;

	pthread_mutex_lock(&b->vfio->lock);
	pthread_mutex_lock(&b->vfio->containers_lock);
	pthread_mutex_lock(&b->fake[0].vdev.group->lock);
	pthread_mutex_lock(&b->fake[0].vdev.lock);
	child = fork();
	if (!child) {
		alarm(20);
		live_in_child(b);
		_exit(0);
	}
	pthread_mutex_unlock(&b->fake[0].vdev.lock);
	pthread_mutex_unlock(&b->fake[0].vdev.group->lock);
	pthread_mutex_unlock(&b->vfio->containers_lock);
	pthread_mutex_unlock(&b->vfio->lock);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

static void *unmap_thread(void *container)
{
	uint64_t size = sizeof(page);

	unmap(*(int *)container, 0, &size, 0);
	return NULL;
}

/* The same, with a thread in the middle of an ioctl of the container that stays the child's. */
static void test_fork_in_an_ioctl(void **state)
{
	struct bench *b = *state;
	struct uvfio_dma *user = dma_user_new(&b->fake[0].iommu_dev, NULL);
	pthread_t thread;
	int status = 0, c, g;
	pid_t child;

	open_all(b, 1, VFIO_TYPE1v2_IOMMU, &c, &g);
	assert_int_equal(map(c, 0, page, sizeof(page), RW), 0);
	dma_begin(user);
	pthread_create(&thread, NULL, unmap_thread, &c);
	usleep(30000);
	child = fork();
	if (!child) {
		alarm(20);
		dma_forked();
		vfio_forked(b->vfio);
		dma_end(user);
		_exit(map(c, 0x100000, page, sizeof(page), RW) != 0);
	}
	dma_end(user);
	pthread_join(thread, NULL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close_fd(g);
	close_fd(c);
	dma_user_free(user);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_extensions),
		TEST(test_set_iommu_can_be_retried),
		TEST(test_status),
		TEST(test_set_container_errors),
		TEST(test_one_open_per_group),
		TEST(test_device_names),
		TEST(test_device_opens_and_closes_once),
		TEST(test_failed_open_leaves_nothing),
		TEST(test_all_devices_of_a_group_attach),
		TEST(test_container_closed_first),
		TEST(test_group_closed_first),
		TEST(test_noiommu),
		TEST(test_claim),
		TEST(test_registry),
		TEST(test_removal_waits),
		TEST(test_device_joins_a_live_group),
		TEST(test_fork),
		TEST(test_fork_in_an_ioctl),
	};

	return cmocka_run_group_tests_name("vfio", tests, NULL, NULL);
}
