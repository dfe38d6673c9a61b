/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Option text that has options of two kinds in it: those of one model or driver, and those that all of its
 * kind have. They are told apart by their keys, and what is of neither kind is complained of.
 */
#include "machine/config.h"

#include <stdio.h>
#include <string.h>

static void nearest_option(const struct uvfio_option *table, const char *key, const char **nearest,
			   unsigned int *distance)
{
	for (; table->key; table++) {
		unsigned int d = edit_distance(table->key, key);

		if (d < *distance) {
			*distance = d;
			*nearest = table->key;
		}
	}
}

static int unknown_option(const struct option_tables *tables, const char *key, char *err, size_t err_len)
{
	const struct uvfio_option *both[] = { tables->own, tables->common };
	const char *nearest = NULL;
	unsigned int distance = 3;
	size_t n;

	for (unsigned int i = 0; i < ARRAY_SIZE(both); i++)
		nearest_option(both[i], key, &nearest, &distance);
	n = (size_t)snprintf(err, err_len, "%s: there is no option %s: ", tables->who, key);
	if (nearest && n < err_len) {
		snprintf(err + n, err_len - n, "did you mean %s?", nearest);
		return -EINVAL;
	}
	if (n < err_len)
		n += (size_t)snprintf(err + n, err_len - n, "known are");
	for (unsigned int i = 0; i < ARRAY_SIZE(both); i++)
		for (const struct uvfio_option *opt = both[i]; opt->key && n < err_len; opt++)
			n += (size_t)snprintf(err + n, err_len - n, " %s%s", opt->key,
					      i && !opt[1].key ? "" : ",");
	return -EINVAL;
}

void option_append(char *text, const char *item, size_t len)
{
	size_t n = strlen(text);

	if (n)
		text[n++] = ',';
	memcpy(text + n, item, len);
	text[n + len] = 0;
}

bool option_given(const char *text, const char *key)
{
	const char *item;
	size_t len;

	while (option_item(&text, &item, &len))
		if (len >= strlen(key) && !memcmp(item, key, strlen(key)) &&
		    (len == strlen(key) || item[strlen(key)] == '='))
			return true;
	return false;
}

int options_split(const struct option_tables *tables, const char *text, char *common, char *own, char *err,
		  size_t err_len)
{
	const char *item;
	size_t len;

	while (option_item(&text, &item, &len)) {
		const char *eq = memchr(item, '=', len);
		size_t key_len = eq ? (size_t)(eq - item) : len;
		char key[64];

		if (option_find(tables->common, item, key_len)) {
			option_append(common, item, len);
		} else if (!eq || option_find(tables->own, item, key_len)) {
			option_append(own, item, len);
		} else {
			snprintf(key, sizeof(key), "%.*s", (int)MIN(key_len, sizeof(key)), item);
			return unknown_option(tables, key, err, err_len);
		}
	}
	return 0;
}
