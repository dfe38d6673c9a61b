/* SPDX-License-Identifier: BSD-2-Clause */
/* What --iommu type= says: which type, its own options, and which nodes are left then. */
#include "machine/config.h"

#include "iommu/spapr/spapr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct spapr_params parse(const char *description)
{
	struct machine_config config;
	struct spapr_params hw;
	char err[1024] = "";

	if (machine_config_parse(description, &config, err, sizeof(err)))
		fail_msg("%s", err);
	assert_string_equal(config.iommu.type, "spapr");
	assert_int_equal(config.iommu.nr_reserved, 0);
	assert_true(config.vfio.legacy);
	assert_false(config.vfio.iommufd);
	memcpy(&hw, config.iommu.of_type, sizeof(hw));
	machine_config_free(&config);
	return hw;
}

static void assert_wrong(const char *description, const char *message)
{
	struct machine_config config;
	char err[1024] = "";

	assert_int_equal(machine_config_parse(description, &config, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, message);
}

static void test_presets(void **state)
{
	struct spapr_params hw = parse("iommu type=spapr");

	(void)state;
	assert_int_equal(hw.pgsizes, 0x1011000);
	assert_int_equal(hw.window_size, 0x80000000);
	assert_int_equal(hw.max_windows, 2);
	assert_int_equal(hw.levels, 5);
	assert_int_equal(hw.ram_shift, 16);
}

static void test_options(void **state)
{
	struct spapr_params hw = parse("iommu pgsizes=4K+16G,window=256M,ram-page=16G,type=spapr,version=1");

	(void)state;
	assert_int_equal(hw.pgsizes, 0x400001000);
	assert_int_equal(hw.window_size, 0x10000000);
	assert_int_equal(hw.max_windows, 0);
	assert_int_equal(hw.ram_shift, 34);
	hw = parse("iommu type=spapr\niommu version=2\nvfio nodes=legacy");
	assert_int_equal(hw.max_windows, 2);
}

static void test_type1_is_as_before(void **state)
{
	struct machine_config config;
	char err[1024];

	(void)state;
	assert_int_equal(machine_config_parse("iommu type=type1,width=39", &config, err, sizeof(err)), 0);
	assert_string_equal(config.iommu.type, "type1");
	assert_int_equal(config.iommu.width, 39);
	assert_true(config.vfio.iommufd);
	machine_config_free(&config);
	assert_int_equal(machine_config_parse("", &config, err, sizeof(err)), 0);
	assert_string_equal(config.iommu.type, "type1");
	machine_config_free(&config);
}

static void test_wrong(void **state)
{
	(void)state;
	assert_wrong("iommu type=smmu", "--iommu: type=smmu is not possible: use type1 or spapr");
	assert_wrong("iommu type=", "--iommu: type= is not possible: use type1 or spapr");
	assert_wrong("iommu type=spapr,width=48",
		     "--iommu: width= goes with type=type1, and this is type=spapr");
	assert_wrong("iommu version=1", "--iommu: version= goes with type=spapr, and this is type=type1");
	assert_wrong("iommu window=1G,type=type1",
		     "--iommu: window= goes with type=spapr, and this is type=type1");
	assert_wrong("iommu ram-page", "--iommu: ram-page= goes with type=spapr, and this is type=type1");
	assert_wrong("iommu type=spapr,foo=1", "--iommu: there is no option foo: known are type, version, "
					       "pgsizes, window, ram-page, memlock");
	assert_wrong("iommu type=spapr,type=type1",
		     "--iommu: type= is given twice: leave one of the two out");
	assert_wrong("iommu type=spapr\niommu type=spapr",
		     "--iommu: type= is given twice: leave one of the two out");
	assert_wrong("iommu type=spapr,version=3",
		     "--iommu: version=3 is not possible: use a number from 1 to 2");
	assert_wrong("iommu type=spapr,window=3G",
		     "--iommu: window=3G is not possible: use one of 64M|128M|256M|512M|1G|2G");
	assert_wrong("iommu type=spapr,pgsizes=64K",
		     "--iommu: pgsizes=64K is not possible: add 4K, as in 4K+64K: the default window has "
		     "such pages");
	assert_wrong(
		"iommu type=spapr\nvfio nodes=iommufd",
		"--iommu: type=spapr has groups and containers of its own only: leave --iommufd-only and "
		"--container=iommufd out");
	assert_wrong(
		"iommu type=spapr\nvfio container=iommufd",
		"--iommu: type=spapr has groups and containers of its own only: leave --iommufd-only and "
		"--container=iommufd out");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presets),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_type1_is_as_before),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests_name("iommu_spapr", tests, NULL, NULL);
}
