/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
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
	expect_error("size=1M,lba=512,size=2M", "nvme: size= is given twice: leave one of the two out");
	expect_error("file=a,,size=b,file=", "nvme: file= is given twice: leave one of the two out");
	expect_error("file=x,size=", "nvme: size= is not possible: use a size like 4096, 512K, 64M or 1G");
}

static void expect_bad_table(struct uvfio_option second, const char *message)
{
	struct uvfio_option two[] = { table[1], second, { .key = NULL } };
	char err[300] = "";

	assert_int_equal(options_check(two, sizeof(struct opts), err, sizeof(err)), message ? -EINVAL : 0);
	assert_string_equal(err, message ? message : "");
}

/* table[1] is size. */
static void test_bad_tables(void **state)
{
	const struct uvfio_option good = {
		.key = "ns", .type = UVFIO_OPTION_UINT, .offset = offsetof(struct opts, ns), .help = ""
	};
	struct uvfio_option bad;

#define BAD(change, message)                                                                                 \
	bad = good;                                                                                          \
	change;                                                                                              \
	expect_bad_table(bad, message)
	(void)state;
	expect_bad_table(good, NULL);
	BAD(bad.key = "size", "option size is declared twice: rename one of the two");
	BAD(bad.key = "a,b",
	    "option a,b has a key that nobody can write: leave out commas, spaces and equals signs");
	BAD(bad.type = 5, "option ns has type 5, which does not exist: use one of enum uvfio_option_type");
	BAD(bad.offset += 4,
	    "option ns has its 8 bytes at 28 of the options, which is not aligned: use offsetof() a "
	    "field of the type that it has");
	BAD(bad.offset = offsetof(struct opts, size),
	    "option ns is parsed into bytes that option size has, too: give each a field of its own");
	BAD(bad.offset = sizeof(struct opts),
	    "option ns lies outside the model's options: it has 8 bytes at 40, and options_size is 40");
	BAD(bad.type = UVFIO_OPTION_STRING;
	    bad.choices = "a|b", "option ns has choices, which only SIZE and UINT have: leave it out, and "
				 "check the value in create");
	BAD(bad.type = UVFIO_OPTION_BOOL; bad.max = 1, "option ns has min or max, which only SIZE and UINT "
						       "have: leave it out, and check the value in create");
	BAD(bad.choices = "1|two", "option ns has \"two\" in its choices: they are numbers, as in 512|4096");
	BAD(bad.choices = "1|20";
	    bad.max = 9, "option ns has the choice 20, which is not within min and max");
	BAD(bad.min = 1,
	    "option ns has min and no max, which would mean no bounds: give max, if need be UINT64_MAX");
	BAD(bad.min = 2; bad.max = 1, "option ns has a min above its max: exchange them");
	BAD(bad.max = 8; bad.preset = "9", "preset: ns=9 is not possible: use a number from 0 to 8");
	BAD(bad.type = UVFIO_OPTION_BOOL;
	    bad.preset = "yes", "preset: ns=yes is not possible: use on or off");
}

static void test_paths(void **state)
{
	static const char *const same[] = { "a", "./a", ".//./a" };
	char *first = path_absolute("a"), *path;

	(void)state;
	assert_true(*first == '/' && first[1] != '/');
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		path = path_absolute(same[i]);
		assert_string_equal(path, first);
		free(path);
	}
	free(first);
	path = path_absolute("///a//b/../.c");
	assert_string_equal(path, "/a//b/../.c");
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_defaults_and_values),
		cmocka_unit_test(test_errors_name_the_option),
		cmocka_unit_test(test_bad_tables),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
