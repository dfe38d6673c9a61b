/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a table of options one that can be parsed by? What <uvfio/option.h> asks for. */
#include "base/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
	const struct uvfio_option *table;
	size_t size; /* of the options structure */
	char *err;
	size_t err_len;
};

static __printf(3, 4) int refuse(const struct check *check, const struct uvfio_option *opt, const char *fmt,
				 ...)
{
	size_t n = (size_t)snprintf(check->err, check->err_len, "option %s ", opt->key);
	va_list ap;

	va_start(ap, fmt);
	if (n < check->err_len)
		vsnprintf(check->err + n, check->err_len - n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static bool is_number(const struct uvfio_option *opt)
{
	return opt->type == UVFIO_OPTION_SIZE || opt->type == UVFIO_OPTION_UINT;
}

static size_t field_size(const struct uvfio_option *opt)
{
	return opt->type == UVFIO_OPTION_BOOL ? sizeof(bool) : sizeof(uint64_t);
}

static int check_words(const struct check *check, const struct uvfio_option *opt)
{
	if (!*opt->key || strpbrk(opt->key, "=, \t\r\n"))
		return refuse(check, opt,
			      "has a key that nobody can write: leave out commas, spaces and equals signs");
	for (const struct uvfio_option *other = check->table; other < opt; other++)
		if (!strcmp(other->key, opt->key))
			return refuse(check, opt, "is declared twice: rename one of the two");
	return 0;
}

/* The field that the option is parsed into. */
static int check_field(const struct check *check, const struct uvfio_option *opt)
{
	size_t size = field_size(opt);

	if ((unsigned int)opt->type > UVFIO_OPTION_BOOL)
		return refuse(check, opt,
			      "has type %u, which does not exist: use one of enum uvfio_option_type",
			      (unsigned int)opt->type);
	if (check->size < size || opt->offset > check->size - size)
		return refuse(
			check, opt,
			"lies outside the model's options: it has %zu bytes at %zu, and options_size is "
			"%zu",
			size, opt->offset, check->size);
	if (opt->offset % size)
		return refuse(
			check, opt,
			"has its %zu bytes at %zu of the options, which is not aligned: use offsetof() a "
			"field of the type that it has",
			size, opt->offset);
	for (const struct uvfio_option *other = check->table; other < opt; other++)
		if (other->offset < opt->offset + size && opt->offset < other->offset + field_size(other))
			return refuse(
				check, opt,
				"is parsed into bytes that option %s has, too: give each a field of its "
				"own",
				other->key);
	return 0;
}

static int check_choices(const struct check *check, const struct uvfio_option *opt)
{
	for (const char *word = opt->choices; word;) {
		size_t len = strcspn(word, "|");
		char number[32];
		uint64_t v;

		snprintf(number, sizeof(number), "%.*s", (int)MIN(len, sizeof(number)), word);
		if (parse_size(number, &v))
			return refuse(check, opt,
				      "has \"%s\" in its choices: they are numbers, as in 512|4096", number);
		if (opt->max && (v < opt->min || v > opt->max))
			return refuse(check, opt, "has the choice %s, which is not within min and max",
				      number);
		word = word[len] ? word + len + 1 : NULL;
	}
	return 0;
}

static int check_bounds(const struct check *check, const struct uvfio_option *opt)
{
	if (!is_number(opt) && (opt->min || opt->max || opt->choices))
		return refuse(
			check, opt,
			"has %s, which only SIZE and UINT have: leave it out, and check the value in create",
			opt->choices ? "choices" : "min or max");
	if (opt->min && !opt->max)
		return refuse(
			check, opt,
			"has min and no max, which would mean no bounds: give max, if need be UINT64_MAX");
	if (opt->min > opt->max)
		return refuse(check, opt, "has a min above its max: exchange them");
	return check_choices(check, opt);
}

/* Parse nothing: the presets are what is left. */
static int check_presets(const struct check *check)
{
	void *opts = calloc(1, MAX(check->size, (size_t)1));
	int rc = -ENOMEM;

	if (opts)
		rc = options_parse(check->table, "preset", "", opts, check->err, check->err_len);
	else
		snprintf(check->err, check->err_len, "out of memory");
	if (!rc)
		options_free(check->table, opts);
	free(opts);
	return rc;
}

int options_check(const struct uvfio_option *table, size_t size, char *err, size_t err_len)
{
	const struct check check = { table, size, err, err_len };
	int rc = 0;

	for (const struct uvfio_option *opt = table; opt->key && !rc; opt++) {
		rc = check_words(&check, opt);
		if (!rc)
			rc = check_field(&check, opt);
		if (!rc)
			rc = check_bounds(&check, opt);
	}
	return rc ? rc : check_presets(&check);
}
