/* SPDX-License-Identifier: BSD-2-Clause */
/* The argument checks that devices share: DEVICE_FEATURE and SET_IRQS. */
#include "uapi/vfio.h"
#include "vfio/feature.h"
#include "vfio/irqs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define GET   ((uint32_t)VFIO_DEVICE_FEATURE_GET)
#define SET   ((uint32_t)VFIO_DEVICE_FEATURE_SET)
#define PROBE ((uint32_t)VFIO_DEVICE_FEATURE_PROBE)

static void test_feature_flags(void **state)
{
	(void)state;
	assert_int_equal(vfio_feature_check_flags(0), 0);
	assert_int_equal(vfio_feature_check_flags(0xffff | GET), 0);
	assert_int_equal(vfio_feature_check_flags(GET | SET), -EINVAL);
	assert_int_equal(vfio_feature_check_flags(GET | SET | PROBE), 0);
	for (unsigned int bit = 19; bit < 32; bit++)
		assert_int_equal(vfio_feature_check_flags(BIT32(bit) | GET), -EINVAL);
}

static void test_feature_operations(void **state)
{
	(void)state;
	assert_int_equal(vfio_feature_check(GET, 8, GET, 8), 1);
	assert_int_equal(vfio_feature_check(GET, 9, GET, 8), 1);
	assert_int_equal(vfio_feature_check(GET, 7, GET, 8), -EINVAL);
	assert_int_equal(vfio_feature_check(SET, 8, GET, 8), -EINVAL);
	assert_int_equal(vfio_feature_check(0, 8, GET, 8), -EINVAL);
	/* a probe needs no room, but the operations that it names must exist */
	assert_int_equal(vfio_feature_check(PROBE, 0, SET, 8), 0);
	assert_int_equal(vfio_feature_check(PROBE | SET, 0, SET, 8), 0);
	assert_int_equal(vfio_feature_check(PROBE | GET, 0, SET, 8), -EINVAL);
	assert_int_equal(vfio_feature_check(PROBE | GET | SET, 0, SET, 8), -EINVAL);
}

static void test_feature_core(void **state)
{
	int err = 0;

	(void)state;
	assert_true(vfio_feature_core(GET | VFIO_DEVICE_FEATURE_MIGRATION, &err));
	assert_int_equal(err, -ENOTTY);
	assert_true(vfio_feature_core(PROBE | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &err));
	assert_false(vfio_feature_core(GET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, &err));
	assert_false(vfio_feature_core(SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, &err));
}

struct irq_case {
	uint32_t argsz, flags, index, start, count;
	int result;
	size_t data;
};

static void test_irqs(void **state)
{
	enum {
		NONE = VFIO_IRQ_SET_DATA_NONE,
		BOOL = VFIO_IRQ_SET_DATA_BOOL,
		EVENTFD = VFIO_IRQ_SET_DATA_EVENTFD,
		TRIGGER = VFIO_IRQ_SET_ACTION_TRIGGER,
		ALL_ACTIONS = VFIO_IRQ_SET_ACTION_TYPE_MASK,
	};
	static const struct irq_case cases[] = {
		/* 8 interrupts, 5 indices */
		{ 20, NONE | TRIGGER, 0, 0, 0, 0, 0 },
		{ 19, NONE | TRIGGER, 0, 0, 0, -EINVAL, 0 },
		{ 20, NONE | TRIGGER, 4, 0, 8, 0, 0 },
		{ 20, NONE | TRIGGER, 5, 0, 8, -EINVAL, 0 },
		{ 20, NONE | TRIGGER, 0, 0, 9, -EINVAL, 0 },
		{ 20, NONE | TRIGGER, 0, 7, 1, 0, 0 },
		{ 20, NONE | TRIGGER, 0, 7, 2, -EINVAL, 0 },
		{ 20, NONE | TRIGGER, 0, 8, 0, -EINVAL, 0 },
		{ 20, NONE | TRIGGER, 0, 1, UINT32_MAX, -EINVAL, 0 },
		{ 20, NONE | TRIGGER, 0, UINT32_MAX, 1, -EINVAL, 0 },
		{ 20, NONE | TRIGGER, 0, UINT32_MAX, UINT32_MAX, -EINVAL, 0 },
		{ 20, TRIGGER, 0, 0, 1, -EINVAL, 0 },
		{ 20, NONE | BOOL | TRIGGER, 0, 0, 1, -EINVAL, 0 },
		{ 20, NONE | 0x40, 0, 0, 1, -EINVAL, 0 },
		{ 20, NONE, 0, 0, 1, 0, 0 },
		{ 20, NONE | ALL_ACTIONS, 0, 0, 1, 0, 0 },
		{ 23, BOOL | TRIGGER, 0, 0, 3, 0, 3 },
		{ 22, BOOL | TRIGGER, 0, 0, 3, -EINVAL, 0 },
		{ 52, EVENTFD | TRIGGER, 0, 0, 8, 0, 32 },
		{ 51, EVENTFD | TRIGGER, 0, 0, 8, -EINVAL, 0 },
		{ 4096, EVENTFD | TRIGGER, 0, 2, 6, 0, 24 },
		{ 20, EVENTFD | TRIGGER, 0, 0, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct irq_case *c = &cases[i];
		struct vfio_irq_set hdr = {
			.argsz = c->argsz,
			.flags = c->flags,
			.index = c->index,
			.start = c->start,
			.count = c->count,
		};
		size_t data = 0;

		assert_int_equal(vfio_set_irqs_validate(&hdr, 8, 5, &data), c->result);
		assert_int_equal(data, c->data);
	}
}

static void test_no_irqs(void **state)
{
	struct vfio_irq_set hdr = { .argsz = 20, .flags = VFIO_IRQ_SET_DATA_NONE };
	size_t data;

	(void)state;
	assert_int_equal(vfio_set_irqs_validate(&hdr, 0, 5, &data), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_feature_flags), cmocka_unit_test(test_feature_operations),
		cmocka_unit_test(test_feature_core),  cmocka_unit_test(test_irqs),
		cmocka_unit_test(test_no_irqs),
	};

	return cmocka_run_group_tests_name("vfio_checks", tests, NULL, NULL);
}
