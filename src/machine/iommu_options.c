/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What --iommu means: an option table for each type of IOMMU, and the values that are more than a number.
 */
#include "machine/config.h"

#include "base/options.h"
#include "machine/machine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct iommu_options {
	char *type;
	uint64_t width;
	char *reserved;
	char *pgsizes;
	uint64_t dma_entries;
	char *memlock;
	bool coherent;
	bool dirty_tracking;
};

static const struct uvfio_option iommu_options[] = {
	{ .key = "type",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct iommu_options, type),
	  .preset = "type1",
	  .help = "this one: an Intel IOMMU, type1 containers, /dev/iommu" },
	{ .key = "width",
	  .type = UVFIO_OPTION_UINT,
	  .offset = offsetof(struct iommu_options, width),
	  .preset = "48",
	  .min = 12,
	  .max = 57,
	  .help = "IOVA width in bits" },
	{ .key = "reserved",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct iommu_options, reserved),
	  .preset = "0xfee00000-0xfeefffff:msi",
	  .help = "windows that cannot be mapped: FIRST-LAST[:msi|direct|reserved], several joined by +, or "
		  "none" },
	{ .key = "pgsizes",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct iommu_options, pgsizes),
	  .preset = "4K+2M+1G",
	  .help = "page sizes in bytes, joined by +" },
	{ .key = "dma-entries",
	  .type = UVFIO_OPTION_UINT,
	  .offset = offsetof(struct iommu_options, dma_entries),
	  .preset = "1048576",
	  .min = 1,
	  .max = UINT_MAX,
	  .help = "mappings that a container can hold; a stock kernel has 65535" },
	{ .key = "memlock",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct iommu_options, memlock),
	  .preset = "unlimited",
	  .help = "memory that may be mapped: unlimited, rlimit (RLIMIT_MEMLOCK, as the kernel does), or "
		  "bytes" },
	{ .key = "coherent",
	  .type = UVFIO_OPTION_BOOL,
	  .offset = offsetof(struct iommu_options, coherent),
	  .preset = "off",
	  .help = "on: DMA is announced as cache coherent (VFIO_DMA_CC_IOMMU)" },
	{ .key = "dirty-tracking",
	  .type = UVFIO_OPTION_BOOL,
	  .offset = offsetof(struct iommu_options, dirty_tracking),
	  .preset = "on",
	  .help = "off: page tables of /dev/iommu cannot track which pages devices write" },
	{ .key = NULL },
};

int iommu_bad_value(const char *key, const char *value, const char *right, char *err, size_t err_len)
{
	snprintf(err, err_len, "--iommu: %s=%s is not possible: use %s", key, value, right);
	return -EINVAL;
}

/* "FIRST-LAST[:type]" */
static int parse_window(char *word, struct iommu_range *range, char type[12])
{
	static const char *const types[] = { "msi", "direct", "reserved" };
	char *colon = strchr(word, ':'), *dash = strchr(word, '-');

	strcpy(type, "reserved");
	if (colon) {
		*colon = 0;
		*type = 0;
		for (unsigned int i = 0; i < ARRAY_SIZE(types); i++)
			if (!strcmp(colon + 1, types[i]))
				strcpy(type, types[i]);
	}
	if (!dash || !*type)
		return -EINVAL;
	*dash = 0;
	if (parse_size(word, &range->start) || parse_size(dash + 1, &range->last))
		return -EINVAL;
	if (range->start >= range->last || (range->start & UVFIO_PAGE_MASK) ||
	    (~range->last & UVFIO_PAGE_MASK))
		return -EINVAL;
	return 0;
}

static bool window_overlaps(const struct iommu_params *params, const struct iommu_range *range)
{
	for (unsigned int i = 0; i < params->nr_reserved; i++)
		if (range->start <= params->reserved[i].last && params->reserved[i].start <= range->last)
			return true;
	return false;
}

/* Insert in ascending order. */
static void add_window(struct iommu_params *params, const struct iommu_range *range, const char type[12])
{
	unsigned int i = params->nr_reserved++;

	for (; i && params->reserved[i - 1].start > range->start; i--) {
		params->reserved[i] = params->reserved[i - 1];
		memcpy(params->reserved_type[i], params->reserved_type[i - 1],
		       sizeof(params->reserved_type[i]));
	}
	params->reserved[i] = *range;
	snprintf(params->reserved_type[i], sizeof(params->reserved_type[i]), "%s", type);
}

static int parse_reserved(const char *value, struct iommu_params *params, char *err, size_t err_len)
{
	char *text, *rest, *word;
	int rc = 0;

	params->nr_reserved = 0;
	if (!strcmp(value, "none"))
		return 0;
	text = rest = strdup(value);
	if (!text) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	while (!rc && (word = strsep(&rest, "+"))) {
		struct iommu_range range;
		char type[12], shown[64];

		snprintf(shown, sizeof(shown), "%s", word);
		if (parse_window(word, &range, type))
			rc = iommu_bad_value("reserved", shown,
					     "FIRST-LAST[:msi|direct|reserved] of whole pages, like "
					     "0xfee00000-0xfeefffff:msi, or none",
					     err, err_len);
		else if (window_overlaps(params, &range))
			rc = iommu_bad_value("reserved", shown, "windows that do not overlap", err, err_len);
		else if (params->nr_reserved == ARRAY_SIZE(params->reserved))
			rc = iommu_bad_value("reserved", shown, "at most 16 windows", err, err_len);
		else
			add_window(params, &range, type);
	}
	free(text);
	return rc;
}

int iommu_parse_pgsizes(const char *value, uint64_t *pgsizes, char *err, size_t err_len)
{
	char *text = strdup(value), *rest = text, *word;
	int rc = 0;

	if (!text) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	*pgsizes = 0;
	while (!rc && (word = strsep(&rest, "+"))) {
		uint64_t size;

		if (parse_size(word, &size) || size < UVFIO_PAGE_SIZE || (size & (size - 1)))
			rc = iommu_bad_value("pgsizes", value,
					     "powers of two from 4K on, joined by +, like 4K+2M+1G", err,
					     err_len);
		else
			*pgsizes |= size;
	}
	free(text);
	return rc;
}

int iommu_parse_memlock(const char *value, struct iommu_params *params, char *err, size_t err_len)
{
	uint64_t bytes;

	params->memlock_rlimit = !strcmp(value, "rlimit");
	params->memlock_pages = UINT64_MAX;
	if (params->memlock_rlimit || !strcmp(value, "unlimited"))
		return 0;
	if (parse_size(value, &bytes))
		return iommu_bad_value("memlock", value, "unlimited, rlimit, or a size like 64M", err,
				       err_len);
	params->memlock_pages = bytes >> UVFIO_PAGE_SHIFT;
	return 0;
}

/*
 * reserved= given several times means all of the windows: text with the windows joined in one reserved= at
 * the end. NULL: no memory.
 */
static char *join_reserved(const char *text)
{
	static const char key[] = "reserved=";
	char *joined = calloc(1, strlen(text) + 2), *windows = calloc(1, strlen(text) + 2);
	const char *item;
	size_t len;

	while (joined && windows && option_item(&text, &item, &len)) {
		bool window = len >= strlen(key) && !memcmp(item, key, strlen(key));

		if (!window)
			strncat(strcat(joined, *joined ? "," : ""), item, len);
		else if (*windows)
			strncat(strcat(windows, "+"), item + strlen(key), len - strlen(key));
		else
			strncat(windows, item, len);
	}
	if (joined && windows && *windows)
		strcat(strcat(joined, *joined ? "," : ""), windows);
	if (!windows) {
		free(joined);
		joined = NULL;
	}
	free(windows);
	return joined;
}

static int parse_type1(const char *text, struct iommu_params *params, char *err, size_t err_len)
{
	struct iommu_options opts;
	char *joined = join_reserved(text);
	int rc;

	if (!joined) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	rc = options_parse(iommu_options, "--iommu", joined, &opts, err, err_len);
	free(joined);
	if (rc)
		return rc;
	iommu_params_default(params);
	params->width = (unsigned int)opts.width;
	params->dma_entries = opts.dma_entries;
	params->coherent = opts.coherent;
	params->dirty_tracking = opts.dirty_tracking;
	rc = parse_reserved(opts.reserved, params, err, err_len);
	if (!rc)
		rc = iommu_parse_pgsizes(opts.pgsizes, &params->pgsizes, err, err_len);
	if (!rc)
		rc = iommu_parse_memlock(opts.memlock, params, err, err_len);
	options_free(iommu_options, &opts);
	return rc;
}

static const struct iommu_type type1 = { "type1", iommu_options, parse_type1, .iommufd = true };

const struct iommu_type *const iommu_types[] = { &type1, &iommu_type_spapr, NULL };

static void no_type(const char *name, size_t len, char *err, size_t err_len)
{
	size_t n = (size_t)snprintf(err, err_len, "--iommu: type=%.*s is not possible: use ", (int)len, name);

	for (const struct iommu_type *const *t = iommu_types; *t && n < err_len; t++)
		n += (size_t)snprintf(err + n, err_len - n, "%s%s", t == iommu_types ? "" : " or ",
				      (*t)->name);
}

/* Of type= in text, or the first type. NULL, and a line in err: there is no such type. */
static const struct iommu_type *type_of(const char *text, char *err, size_t err_len)
{
	static const char key[] = "type=";
	const struct iommu_type *type = iommu_types[0];
	const char *item;
	size_t len;

	while (type && option_item(&text, &item, &len)) {
		if (len < strlen(key) || memcmp(item, key, strlen(key)))
			continue;
		item += strlen(key);
		len -= strlen(key);
		type = NULL;
		for (const struct iommu_type *const *t = iommu_types; *t && !type; t++)
			if (strlen((*t)->name) == len && !memcmp((*t)->name, item, len))
				type = *t;
		if (!type)
			no_type(item, len, err, err_len);
	}
	return type;
}

/* Keys that only another type has. */
static int check_keys(const struct iommu_type *type, const char *text, char *err, size_t err_len)
{
	const char *item;
	size_t len;

	while (option_item(&text, &item, &len)) {
		const char *eq = memchr(item, '=', len);
		const size_t key = eq ? (size_t)(eq - item) : len;

		if (option_find(type->options, item, key))
			continue;
		for (const struct iommu_type *const *t = iommu_types; *t; t++) {
			if (!option_find((*t)->options, item, key))
				continue;
			snprintf(err, err_len, "--iommu: %.*s= goes with type=%s, and this is type=%s",
				 (int)key, item, (*t)->name, type->name);
			return -EINVAL;
		}
	}
	return 0;
}

int iommu_config_parse(const char *text, struct iommu_params *params, char *err, size_t err_len)
{
	const struct iommu_type *type = type_of(text, err, err_len);

	if (!type || check_keys(type, text, err, err_len))
		return -EINVAL;
	return type->parse(text, params, err, err_len);
}

int iommu_config_nodes(const struct iommu_params *params, struct vfio_config *vfio, char *err, size_t err_len)
{
	const struct iommu_type *type = NULL;

	for (const struct iommu_type *const *t = iommu_types; *t; t++)
		if (!strcmp((*t)->name, params->type))
			type = *t;
	if (!type || type->iommufd)
		return 0;
	if (!vfio->legacy || vfio->iommufd_container) {
		snprintf(err, err_len,
			 "--iommu: type=%s has groups and containers of its own only: leave --iommufd-only "
			 "and "
			 "--container=iommufd out",
			 type->name);
		return -EINVAL;
	}
	vfio->iommufd = false;
	return 0;
}
