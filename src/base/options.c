/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/options.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int parse_size(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	unsigned int shift = 0;
	char *end;
	uint64_t v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno == ERANGE)
		return -ERANGE;
	if (*end) {
		const char *s = strchr(suffixes, *end >= 'a' && *end <= 'z' ? *end - 32 : *end);

		if (!s || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(s - suffixes + 1);
	}
	if (shift && v > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = v << shift;
	return 0;
}

char *path_absolute(const char *text)
{
	char cwd[PATH_MAX], *path;

	while (text[0] == '/' && text[1] == '/')
		text++;
	while (text[0] == '.' && text[1] == '/')
		text += 1 + strspn(text + 1, "/");
	/* Without a working directory a relative path is as good as it gets. */
	if (*text == '/' || !*text || !getcwd(cwd, sizeof(cwd)))
		return strdup(text);
	return asprintf(&path, "%s/%s", strcmp(cwd, "/") ? cwd : "", text) < 0 ? NULL : path;
}

static bool is_text(const struct uvfio_option *opt)
{
	return opt->type == UVFIO_OPTION_STRING || opt->type == UVFIO_OPTION_PATH;
}

static void *field(const struct uvfio_option *opt, void *opts)
{
	return (char *)opts + opt->offset;
}

/* Is value one of "a|b|c"? The words are numbers in the option's notation. */
static bool among(const char *choices, uint64_t value)
{
	while (*choices) {
		size_t len = strcspn(choices, "|");
		char word[32];
		uint64_t v;

		snprintf(word, sizeof(word), "%.*s", (int)len, choices);
		if (!parse_size(word, &v) && v == value)
			return true;
		choices += len + (choices[len] == '|');
	}
	return false;
}

static int bad_number(const struct uvfio_option *opt, const char *what, const char *value, char *err,
		      size_t len)
{
	const char *kind = opt->type == UVFIO_OPTION_SIZE ? "a size like 4096, 512K, 64M or 1G" : "a number";

	if (opt->choices)
		snprintf(err, len, "%s: %s=%s is not possible: use one of %s", what, opt->key, value,
			 opt->choices);
	else if (opt->max)
		snprintf(err, len, "%s: %s=%s is not possible: use %s from %" PRIu64 " to %" PRIu64, what,
			 opt->key, value, kind, opt->min, opt->max);
	else
		snprintf(err, len, "%s: %s=%s is not possible: use %s", what, opt->key, value, kind);
	return -EINVAL;
}

static int set_number(const struct uvfio_option *opt, const char *what, const char *value, void *opts,
		      char *err, size_t len)
{
	bool suffix =
		opt->type == UVFIO_OPTION_UINT && *value && strchr("KMGTkmgt", value[strlen(value) - 1]);
	uint64_t v;

	if (suffix || parse_size(value, &v) || (opt->max && (v < opt->min || v > opt->max)) ||
	    (opt->choices && !among(opt->choices, v)))
		return bad_number(opt, what, value, err, len);
	*(uint64_t *)field(opt, opts) = v;
	return 0;
}

static int set_option(const struct uvfio_option *opt, const char *what, const char *value, void *opts,
		      char *err, size_t len)
{
	switch (opt->type) {
	case UVFIO_OPTION_STRING:
	case UVFIO_OPTION_PATH: {
		char **p = field(opt, opts);
		char *copy = opt->type == UVFIO_OPTION_PATH ? path_absolute(value) : strdup(value);

		if (!copy) {
			snprintf(err, len, "out of memory");
			return -ENOMEM;
		}
		free(*p);
		*p = copy;
		return 0;
	}
	case UVFIO_OPTION_BOOL:
		if (strcmp(value, "on") && strcmp(value, "off")) {
			snprintf(err, len, "%s: %s=%s is not possible: use on or off", what, opt->key, value);
			return -EINVAL;
		}
		*(bool *)field(opt, opts) = !strcmp(value, "on");
		return 0;
	case UVFIO_OPTION_SIZE:
	case UVFIO_OPTION_UINT:
		return set_number(opt, what, value, opts, err, len);
	}
	return -EINVAL;
}

static int unknown_option(const struct uvfio_option *table, const char *what, const char *key, char *err,
			  size_t len)
{
	size_t n = (size_t)snprintf(err, len, "%s: there is no option %s: known are", what, key);

	for (; table->key && n < len; table++)
		n += (size_t)snprintf(err + n, len - n, " %s%s", table->key, table[1].key ? "," : "");
	return -EINVAL;
}

/* Split off the next "key=value" of *text into word, undoing doubled commas. False at the end. */
static bool next_word(const char **text, char *word, size_t size, bool *too_long)
{
	const char *s = *text;
	size_t n = 0;

	*too_long = false;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s == ',') {
			if (s[1] != ',')
				break;
			s++;
		}
		if (n + 1 < size)
			word[n++] = *s;
		else
			*too_long = true;
	}
	word[n] = 0;
	*text = *s ? s + 1 : s;
	return true;
}

/* Does key have a value in text, too? */
static bool is_given(const char *text, const char *key)
{
	const size_t len = strlen(key);

	while (*text) {
		if (!strncmp(text, key, len) && text[len] == '=')
			return true;
		while (*text && (*text != ',' || text[1] == ','))
			text += *text == ',' ? 2 : 1;
		text += *text == ',';
	}
	return false;
}

/* rest: what comes behind the word. */
static int parse_word(const struct uvfio_option *table, const char *what, char *word, const char *rest,
		      void *opts, char *err, size_t len)
{
	char *eq = strchr(word, '=');
	const struct uvfio_option *opt;

	if (!eq) {
		snprintf(err, len,
			 "%s: \"%s\" has no value: write it as key=value; a comma within a value is written "
			 "twice",
			 what, word);
		return -EINVAL;
	}
	*eq = 0;
	for (opt = table; opt->key && strcmp(opt->key, word); opt++)
		;
	if (!opt->key)
		return unknown_option(table, what, word, err, len);
	if (is_given(rest, word)) {
		snprintf(err, len, "%s: %s= is given twice: leave one of the two out", what, word);
		return -EINVAL;
	}
	return set_option(opt, what, eq + 1, opts, err, len);
}

int options_parse(const struct uvfio_option *table, const char *what, const char *text, void *opts, char *err,
		  size_t err_len)
{
	char word[4352]; /* a path and its key */
	bool too_long;
	int rc = 0;

	for (const struct uvfio_option *opt = table; opt->key; opt++)
		if (is_text(opt))
			*(char **)field(opt, opts) = NULL;
	for (const struct uvfio_option *opt = table; opt->key && !rc; opt++) {
		if (opt->preset)
			rc = set_option(opt, what, opt->preset, opts, err, err_len);
		else if (opt->type == UVFIO_OPTION_BOOL)
			*(bool *)field(opt, opts) = false;
		else if (!is_text(opt))
			*(uint64_t *)field(opt, opts) = 0;
	}
	while (!rc && text && next_word(&text, word, sizeof(word), &too_long)) {
		if (too_long) {
			snprintf(err, err_len, "%s: an option is longer than %zu characters", what,
				 sizeof(word) - 1);
			rc = -EINVAL;
		} else if (*word) {
			rc = parse_word(table, what, word, text, opts, err, err_len);
		}
	}
	if (rc)
		options_free(table, opts);
	return rc;
}

void options_free(const struct uvfio_option *table, void *opts)
{
	for (; table->key; table++) {
		if (is_text(table)) {
			char **p = field(table, opts);

			free(*p);
			*p = NULL;
		}
	}
}
