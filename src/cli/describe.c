/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of the command line as the lines of a machine description.
 *
 * The program reads the description later and may be in another directory then: relative paths are made
 * absolute. By convention an option that names a file is called "file".
 */
#include "cli/cli.h"
#include "machine/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_doubling_commas(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == ',')
			fputc(',', out);
		fputc(*text, out);
	}
}

static int put_device(FILE *out, const char *text)
{
	static const char key[] = "file=";
	char cwd[PATH_MAX];
	const char *item;
	bool first = true;
	size_t len;

	if (!getcwd(cwd, sizeof(cwd)))
		*cwd = 0; /* then relative paths stay: they fail in a moment */
	while (option_item(&text, &item, &len)) {
		fputs(first ? "" : ",", out);
		first = false;
		if (len > strlen(key) && !memcmp(item, key, strlen(key)) && item[strlen(key)] != '/' &&
		    *cwd) {
			fputs(key, out);
			put_doubling_commas(out, cwd);
			fputc('/', out);
			item += strlen(key);
			len -= strlen(key);
		}
		fwrite(item, 1, len, out);
	}
	return 0;
}

int describe(struct description *description, const char *kind, const char *text)
{
	size_t size = 0;
	char *all = NULL;
	FILE *out;

	if (strchr(text, '\n')) {
		complain("--%s: a value cannot contain a line break", kind);
		return EXIT_ERROR;
	}
	out = open_memstream(&all, &size);
	if (!out) {
		complain("out of memory");
		return EXIT_ERROR;
	}
	fprintf(out, "%s%s ", description->text ? description->text : "", kind);
	if (!strcmp(kind, "device"))
		put_device(out, text);
	else
		fputs(text, out);
	fputc('\n', out);
	if (fclose(out)) {
		free(all);
		complain("out of memory");
		return EXIT_ERROR;
	}
	free(description->text);
	description->text = all;
	return 0;
}
