/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "model,key=value,..." options: declared in one table, which serves parsing, the error messages, and
 * `uvfio devices`. A comma within a value is written twice.
 */
#ifndef UVFIO_BASE_OPTIONS_H
#define UVFIO_BASE_OPTIONS_H

#include "base/base.h"

enum option_type {
	OPTION_STRING, /* char *, allocated */
	OPTION_SIZE,   /* uint64_t bytes; suffixes K M G T (powers of 1024) */
	OPTION_UINT,   /* uint64_t; decimal or 0x... */
	OPTION_BOOL,   /* bool; on or off */
};

struct option_desc {
	const char *key;
	enum option_type type;
	size_t offset;       /* of the field in the options structure */
	const char *preset;  /* the default, as one would write it; NULL: none (zero) */
	uint64_t min, max;   /* for SIZE and UINT; max 0: no bounds */
	const char *choices; /* for SIZE and UINT: "512|4096", or NULL */
	const char *help;    /* one line, with the unit */
};

/*
 * Set every field of *opts to its default, then parse text ("key=value,..."; may be empty or NULL).
 * On error returns -EINVAL (or -ENOMEM), frees what was set, and writes one line without newline to err that
 * names the option and what would be right. what: whose options ("nvme"), for the message.
 * The table ends with a NULL key.
 */
int options_parse(const struct option_desc *table, const char *what, const char *text, void *opts, char *err,
		  size_t err_len);
void options_free(const struct option_desc *table, void *opts);

/* "256M", "4096", "1G" -> bytes. 0 or -EINVAL (not a number) or -ERANGE. */
int parse_size(const char *text, uint64_t *bytes);

#endif
