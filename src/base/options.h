/* SPDX-License-Identifier: BSD-2-Clause */
/* Parsing "key=value,..." by a table of <uvfio/option.h>. */
#ifndef UVFIO_BASE_OPTIONS_H
#define UVFIO_BASE_OPTIONS_H

#include "base/base.h"

#include <uvfio/option.h>

/*
 * Set every field of *opts to its default, then parse text ("key=value,..."; may be empty or NULL; a key
 * once). On error returns -EINVAL (or -ENOMEM), frees what was set, and writes one line without newline to
 * err that names the option and what would be right. what: whose options ("nvme"), for the message. The table
 * ends with a NULL key.
 */
int options_parse(const struct uvfio_option *table, const char *what, const char *text, void *opts, char *err,
		  size_t err_len);
void options_free(const struct uvfio_option *table, void *opts);

/*
 * options_check.c: is it a table as <uvfio/option.h> has it, for a structure of size bytes, presets and all?
 * 0, or -EINVAL (-ENOMEM) with one line in err that does not say whose table it is.
 */
int options_check(const struct uvfio_option *table, size_t size, char *err, size_t err_len);

/* text as an absolute path, without "./" and needless slashes in front; allocated. NULL: no memory. */
char *path_absolute(const char *text);

/* "256M", "4096", "1G" -> bytes. 0 or -EINVAL (not a number) or -ERANGE. */
int parse_size(const char *text, uint64_t *bytes);

#endif
