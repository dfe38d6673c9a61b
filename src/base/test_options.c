/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct opts {
	char *file;
	uint64_t size;
	uint64_t lba;
	uint64_t ns;
	bool readonly;
};

static const struct uvfio_option table[] = {
	{ .key = "file",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct opts, file),
	  .help = "image" },
	{ .key = "size", .type = UVFIO_OPTION_SIZE, .offset = offsetof(struct opts, size), .preset = "256M" },
	{ .key = "lba",
	  .type = UVFIO_OPTION_UINT,
	  .offset = offsetof(struct opts, lba),
	  .preset = "512",
	  .choices = "512|4096" },
	{ .key = "ns",
	  .type = UVFIO_OPTION_UINT,
	  .offset = offsetof(struct opts, ns),
	  .preset = "1",
	  .min = 1,
	  .max = 16 },
	{ .key = "readonly",
	  .type = UVFIO_OPTION_BOOL,
	  .offset = offsetof(struct opts, readonly),
	  .preset = "off" },
	{ .key = NULL },
};

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0, 0 },
		{ "4096", 0, 4096 },
		{ "0x10", 0, 16 },
		{ "1K", 0, 1024 },
		{ "3m", 0, 3 << 20 },
		{ "16T", 0, 16ull << 40 },
		{ "", -EINVAL, 0 },
		{ "K", -EINVAL, 0 },
		{ "1KB", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "16777216T", -ERANGE, 0 },
		{ " 1", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 0;

		assert_int_equal(parse_size(cases[i].text, &bytes), cases[i].rc);
		assert_int_equal(bytes, cases[i].bytes);
	}
}

static void test_defaults_and_values(void **state)
{
	struct opts o;
	char err[200];

	(void)state;
	assert_int_equal(options_parse(table, "nvme", "", &o, err, sizeof(err)), 0);
	assert_null(o.file);
	assert_int_equal(o.size, 256 << 20);
	assert_int_equal(o.lba, 512);
	assert_false(o.readonly);
	options_free(table, &o);

	assert_int_equal(options_parse(table, "nvme", "file=a,,b.img,lba=4096,readonly=on,ns=0x10,size=1G",
				       &o, err, sizeof(err)),
			 0);
	assert_string_equal(o.file, "a,b.img");
	assert_int_equal(o.lba, 4096);
	assert_int_equal(o.ns, 16);
	assert_int_equal(o.size, 1 << 30);
	assert_true(o.readonly);
	options_free(table, &o);
	assert_null(o.file);
}

static void expect_error(const char *text, const char *message)
{
	struct opts o;
	char err[200] = "";

	assert_int_equal(options_parse(table, "nvme", text, &o, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, message);
}

static void test_errors_name_the_option(void **state)
{
	(void)state;
	expect_error("color=red", "nvme: there is no option color: known are file, size, lba, ns, readonly");
	expect_error("readonly=yes", "nvme: readonly=yes is not possible: use on or off");
	expect_error("lba=1024", "nvme: lba=1024 is not possible: use one of 512|4096");
	expect_error("ns=17", "nvme: ns=17 is not possible: use a number from 1 to 16");
	expect_error("ns=1K", "nvme: ns=1K is not possible: use a number from 1 to 16");
	expect_error("size=big", "nvme: size=big is not possible: use a size like 4096, 512K, 64M or 1G");
	expect_error("file", "nvme: \"file\" has no value: write it as key=value; a comma within a value is "
			     "written twice");
	expect_error("file=x,size=", "nvme: size= is not possible: use a size like 4096, 512K, 64M or 1G");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_defaults_and_values),
		cmocka_unit_test(test_errors_name_the_option),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
