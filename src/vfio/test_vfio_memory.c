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

/* 0 when all went well, -ENOMEM when one thing did not; anything else is a mistake of ours. */
static long live(struct bench *b)
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

static void test_every_allocation(void **state)
{
	struct bench *b = *state;
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
		TEST(test_every_allocation),
		TEST(test_registration),
	};

	return cmocka_run_group_tests_name("vfio_memory", tests, NULL, NULL);
}
