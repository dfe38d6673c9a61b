/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No memory: a client's whole life, with the first, the second, the nth allocation of ours failing. Each call
 * says ENOMEM or does its work, and either way everything can be closed, and everything works afterwards.
 */
#include "vfio/test_util.h"

#include <stdlib.h>

/* A sanitizer brings its own allocator, which nobody may stand before. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CAN_FAIL 0
#endif
#endif
#ifndef CAN_FAIL
#define CAN_FAIL 1
#endif

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static char page[UVFIO_PAGE_SIZE] __attribute__((aligned(UVFIO_PAGE_SIZE)));

static bool armed;
static unsigned int until; /* this many allocations succeed, the next one does not */
static bool failed;

#if CAN_FAIL
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t nr, size_t size);
void *__libc_realloc(void *p, size_t size);

/* What the whole program calls by the names behind. */
void *failing_malloc(size_t size) __asm__("malloc");
void *failing_calloc(size_t nr, size_t size) __asm__("calloc");
void *failing_realloc(void *p, size_t size) __asm__("realloc");

static bool must_fail(void)
{
	if (!armed || failed)
		return false;
	failed = until == 0;
	until -= !failed;
	return failed;
}

void *failing_malloc(size_t size)
{
	return must_fail() ? NULL : __libc_malloc(size);
}

void *failing_calloc(size_t nr, size_t size)
{
	return must_fail() ? NULL : __libc_calloc(nr, size);
}

void *failing_realloc(void *p, size_t size)
{
	return must_fail() ? NULL : __libc_realloc(p, size);
}
#endif

/* Each: 0 when all went well, -ENOMEM when one thing did not; anything else is a mistake of ours. */

static long live_in_container(struct bench *b)
{
	int c = open_container(b), g = open_group(b, 1), d = -1;
	long rc = c < 0 ? c : g;

	if (rc >= 0)
		rc = call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c);
	if (!rc)
		rc = call(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	if (!rc)
		rc = map(c, 0, page, sizeof(page), RW);
	if (!rc)
		rc = d = get_device(g, NAME_A);
	if (d >= 0)
		close_fd(d);
	if (g >= 0)
		close_fd(g);
	if (c >= 0)
		close_fd(c);
	return rc < 0 ? rc : 0;
}

static long live_on_iommufd(struct bench *b)
{
	int f = open_iommufd(b), g = open_group(b, 1), d = -1, second = -1;
	long rc = f < 0 ? f : g;

	if (rc >= 0)
		rc = call_ptr(g, VFIO_GROUP_SET_CONTAINER, &f);
	if (!rc)
		rc = call(f, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	if (!rc)
		rc = map(f, 0, page, sizeof(page), RW);
	if (!rc)
		rc = d = get_device(g, NAME_A);
	if (rc >= 0)
		rc = second = get_device(g, NAME_B);
	if (g >= 0)
		close_fd(g);
	if (f >= 0)
		close_fd(f);
	if (d >= 0)
		close_fd(d);
	if (second >= 0)
		close_fd(second);
	return rc < 0 ? rc : 0;
}

static long live_by_cdev(struct bench *b)
{
	int f = open_iommufd(b), d = open_cdev(b, 0), second = open_cdev(b, 1);
	long rc = f < 0 ? f : d < 0 ? d : MIN(second, 0);
	uint32_t ioas = rc ? 0 : ioas_alloc(f);

	if (!rc && !ioas)
		rc = -ENOMEM;
	if (!rc)
		rc = bind_to(d, f);
	if (!rc)
		rc = attach(d, ioas);
	if (!rc)
		rc = bind_to(second, f);
	if (!rc)
		rc = attach(second, ioas);
	if (second >= 0)
		close_fd(second);
	if (f >= 0)
		close_fd(f);
	if (d >= 0)
		close_fd(d);
	return rc;
}

static void every_allocation(struct bench *b, long (*live)(struct bench *b))
{
	unsigned int nth = 0;
	long rc;

	assert_int_equal(live(b), 0);
	do {
		until = nth++;
		failed = false;
		armed = CAN_FAIL;
		rc = live(b);
		armed = false;
		assert_int_equal(rc, failed ? -ENOMEM : 0);
		assert_null(domain_of(b, 0));
		assert_null(domain_of(b, 1));
		assert_int_equal(live(b), 0);
	} while (failed);
	if (CAN_FAIL)
		assert_true(nth > 4);
}

static void test_in_container(void **state)
{
	every_allocation(*state, live_in_container);
}

static void test_on_iommufd(void **state)
{
	every_allocation(*state, live_on_iommufd);
}

static void test_by_cdev(void **state)
{
	every_allocation(*state, live_by_cdev);
}

static void test_registration(void **state)
{
	struct bench *b = *state;
	unsigned int nth = 0;
	int rc;

	vfio_unregister_device(&b->fake[2].vdev);
	do {
		until = nth++;
		failed = false;
		armed = CAN_FAIL;
		rc = vfio_register_device(b->vfio, &b->fake[2].vdev, 2, false, VFIO_ANY_INDEX);
		armed = false;
		assert_int_equal(rc, failed ? -ENOMEM : 0);
	} while (failed);
	assert_int_equal(b->fake[2].vdev.index, 2);
	assert_ptr_equal(vfio_find_device(b->vfio, NAME_C), &b->fake[2].vdev);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_in_container),
		TEST(test_on_iommufd),
		TEST(test_by_cdev),
		TEST(test_registration),
	};

	return cmocka_run_group_tests_name("vfio_memory", tests, NULL, NULL);
}
