/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uapi/iommufd.h is the interface: its numbers and layouts are those that are known outside of any header,
 * and those of the system's header where that is not older.
 */
#include "base/base.h"
#include "uapi/iommufd.h"
#include "uapi/requests.h"
#include "uapi/test_iommufd_figures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void check(const struct figure *figure, bool may_have_grown)
{
	bool right = figure->is == figure->should_be ||
		     (may_have_grown && figure->is_size && figure->is > figure->should_be);

	if (!right)
		print_error("%s: %llu, not %llu\n", figure->what, (unsigned long long)figure->is,
			    (unsigned long long)figure->should_be);
	assert_true(right);
}

static void test_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		check(&figures[i], false);
}

static void test_systems(void **state)
{
	(void)state;
	for (size_t i = 0; i < system_figures_nr; i++)
		check(&system_figures[i], true);
}

/* A trace knows the name of each request. */
static void test_names(void **state)
{
	const struct vfio_request *request;

	(void)state;
	for (uint32_t nr = IOMMUFD_CMD_DESTROY; nr <= IOMMUFD_CMD_HW_QUEUE_ALLOC; nr++) {
		request = vfio_request_next(_IO(IOMMUFD_TYPE, nr), NULL);
		assert_non_null(request);
		assert_null(vfio_request_next(request->cmd, request));
		for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
			if (figures[i].is == request->cmd)
				assert_string_equal(figures[i].what, request->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_names),
	};
	const struct CMUnitTest tests_of_system[] = {
		cmocka_unit_test(test_systems),
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_names),
	};

	if (!system_figures_nr) /* nothing to compare with */
		return cmocka_run_group_tests_name("uapi_iommufd", tests, NULL, NULL);
	return cmocka_run_group_tests_name("uapi_iommufd", tests_of_system, NULL, NULL);
}
