/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of the command line as the lines of a machine description.
 *
 * The program reads the description later and may be in another directory then: relative paths are made
 * absolute.
 */
#include "base/options.h"
#include "cli/cli.h"
#include "machine/config.h"
#include "machine/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An absolute path, with its commas doubled. */
static void put_path(FILE *out, const char *start, size_t len)
{
	char *text = option_text(start, len), *path = text ? path_absolute(text) : NULL;

	for (const char *p = path; p && *p; p++) {
		if (*p == ',')
			fputc(',', out);
		fputc(*p, out);
	}
	free(text);
	free(path);
}

static bool is_path(const struct uvfio_option *options, const char *key, size_t len)
{
	const struct uvfio_option *opt = options ? option_find(options, key, len) : NULL;

	return opt && opt->type == UVFIO_OPTION_PATH;
}

static bool plugin_item(const char *item, size_t len)
{
	char *name = option_text(item, len);
	bool is = name && plugin_named(name);

	free(name);
	return is;
}

/* The table of the model that the text begins with. What is wrong with it will be said when the machine is
 * made. */
static const struct uvfio_option *options_of(const char *text)
{
	const struct uvfio_mdev_driver *driver = mdev_driver_of(text);
	const struct uvfio_pci_model *model = NULL;
	const char *item = text;
	size_t len = 0;
	char *name = driver || !option_item(&text, &item, &len) ? NULL : option_text(item, len);
	char err[8];

	if (name && model_find(name, &model, err, sizeof(err)))
		model = NULL;
	free(name);
	if (driver)
		return driver->options;
	return model ? model_options(model) : NULL;
}

static void put_device(FILE *out, const char *text)
{
	const struct uvfio_option *options = options_of(text);
	const char *item;
	size_t len;

	for (bool first = true; option_item(&text, &item, &len); first = false) {
		const char *eq = memchr(item, '=', len);
		size_t key = eq ? (size_t)(eq - item) : 0;

		fputs(first ? "" : ",", out);
		if (first && plugin_item(item, len)) {
			put_path(out, item, len);
		} else if (eq && is_path(options, item, key) && len > key + 1) {
			fwrite(item, 1, key + 1, out);
			put_path(out, eq + 1, len - key - 1);
		} else {
			fwrite(item, 1, len, out);
		}
	}
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
