/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of a device model: "--device MODEL,key=value,...".
 *
 * One table serves parsing, error messages and `uvfio devices MODEL`. What it declares is checked before the
 * model sees it: a model need only check what the table cannot say.
 *
 *     struct my_options { uint64_t size; bool loud; };
 *
 *     static const struct uvfio_option options[] = {
 *             { .key = "size", .type = UVFIO_OPTION_SIZE, .offset = offsetof(struct my_options, size),
 *               .preset = "1M", .min = 4096, .max = 1 << 30, .help = "bytes of memory" },
 *             { .key = "loud", .type = UVFIO_OPTION_BOOL, .offset = offsetof(struct my_options, loud),
 *               .preset = "off", .help = "on: log every command" },
 *             { .key = NULL },
 *     };
 *
 * The keys addr, group and noiommu belong to every device and cannot be declared. The table itself, presets
 * among it, is checked when a plug-in is loaded.
 */
#ifndef UVFIO_OPTION_H
#define UVFIO_OPTION_H

#include <stddef.h>
#include <stdint.h>

enum uvfio_option_type {
	UVFIO_OPTION_STRING, /* char *; NULL when not given and without preset. A comma is written twice. */
	UVFIO_OPTION_PATH,   /* char *, as STRING; a file, absolute whatever the user wrote */
	UVFIO_OPTION_SIZE,   /* uint64_t, bytes; the user may write K, M, G, T (powers of 1024) */
	UVFIO_OPTION_UINT,   /* uint64_t; decimal or 0x... */
	UVFIO_OPTION_BOOL,   /* bool; the user writes on or off */
};

struct uvfio_option {
	const char *key; /* NULL ends a table */
	enum uvfio_option_type type;
	size_t offset;       /* of the field in the options structure, which is no other option's */
	const char *preset;  /* the default, as a user would write it; NULL: none (zero) */
	uint64_t min, max;   /* SIZE and UINT: bounds, both included; both 0: none */
	const char *choices; /* SIZE and UINT: the values that are possible, "512|4096"; NULL: any */
	const char *help;    /* one line, with the unit */
};

#endif
