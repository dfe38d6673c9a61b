/* SPDX-License-Identifier: BSD-2-Clause */
/* Option text, "word,key=value,...": its items, and what they say. */
#include "machine/config.h"

#include <stdlib.h>
#include <string.h>

bool option_item(const char **text, const char **start, size_t *len)
{
	const char *s = *text;

	if (!*s)
		return false;
	*start = s;
	while (*s && (*s != ',' || s[1] == ','))
		s += *s == ',' ? 2 : 1;
	*len = (size_t)(s - *start);
	*text = *s ? s + 1 : s;
	return true;
}

char *option_text(const char *start, size_t len)
{
	char *text = malloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; text && i < len; i++) {
		text[n++] = start[i];
		i += start[i] == ',' && i + 1 < len && start[i + 1] == ',';
	}
	if (text)
		text[n] = 0;
	return text;
}

const struct uvfio_option *option_find(const struct uvfio_option *table, const char *key, size_t len)
{
	for (; table->key; table++)
		if (strlen(table->key) == len && !memcmp(table->key, key, len))
			return table;
	return NULL;
}

unsigned int edit_distance(const char *a, const char *b)
{
	unsigned int row[33], best = 0;
	size_t la = strlen(a), lb = strlen(b);

	if (la >= ARRAY_SIZE(row) || lb >= ARRAY_SIZE(row))
		return 9;
	for (unsigned int j = 0; j <= lb; j++)
		row[j] = j;
	for (unsigned int i = 1; i <= la; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= lb; j++) {
			unsigned int above = row[j];

			best = diagonal + (a[i - 1] != b[j - 1]);
			best = MIN(best, above + 1);
			best = MIN(best, row[j - 1] + 1);
			row[j] = best;
			diagonal = above;
		}
	}
	return MIN(row[lb], 9u);
}
