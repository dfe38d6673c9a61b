/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --iommu type=spapr: the IOMMU of a POWER machine. Which versions of its back end there are is the
 * platform's affair: without dynamic windows there is the first one only.
 */
#include "machine/config.h"

#include "base/options.h"
#include "iommu/spapr/spapr.h"

#include <stdio.h>

struct spapr_options {
	char *type;
	uint64_t version;
	char *pgsizes;
	uint64_t window;
	uint64_t ram_page;
	char *memlock;
};

static const struct uvfio_option options[] = {
	{ .key = "type",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct spapr_options, type),
	  .help = "spapr: this one, that of a POWER machine: sPAPR TCE containers, no /dev/iommu; without it "
		  "type1" },
	{ .key = "version",
	  .type = UVFIO_OPTION_UINT,
	  .offset = offsetof(struct spapr_options, version),
	  .preset = "2",
	  .min = 1,
	  .max = 2,
	  .help = "1: a platform without dynamic windows, where SET_IOMMU refuses SPAPR_TCE_v2_IOMMU" },
	{ .key = "pgsizes",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct spapr_options, pgsizes),
	  .preset = "4K+64K+16M",
	  .help = "page sizes of DMA windows in bytes, joined by +" },
	{ .key = "window",
	  .type = UVFIO_OPTION_SIZE,
	  .offset = offsetof(struct spapr_options, window),
	  .preset = "2G",
	  .choices = "64M|128M|256M|512M|1G|2G",
	  .help = "size of the default window" },
	{ .key = "ram-page",
	  .type = UVFIO_OPTION_SIZE,
	  .offset = offsetof(struct spapr_options, ram_page),
	  .preset = "64K",
	  .choices = "4K|64K|2M|16M|1G|16G",
	  .help = "size of memory's pages: windows with larger ones cannot map it" },
	{ .key = "memlock",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct spapr_options, memlock),
	  .preset = "unlimited",
	  .help = "memory that may be locked: unlimited, rlimit (RLIMIT_MEMLOCK, as the kernel does), or "
		  "bytes" },
	{ .key = NULL },
};

static int fill(const struct spapr_options *opts, struct iommu_params *params, char *err, size_t err_len)
{
	struct spapr_params hw;
	int rc;

	spapr_params_default(&hw);
	hw.window_size = opts->window;
	hw.ram_shift = (uint32_t)__builtin_ctzll(opts->ram_page);
	if (opts->version == 1)
		hw.max_windows = 0;
	rc = iommu_parse_pgsizes(opts->pgsizes, &hw.pgsizes, err, err_len);
	if (!rc && !(hw.pgsizes & UVFIO_PAGE_SIZE)) {
		snprintf(err, err_len,
			 "--iommu: pgsizes=%s is not possible: add 4K, as in 4K+%s: the default window has "
			 "such pages",
			 opts->pgsizes, opts->pgsizes);
		rc = -EINVAL;
	}
	spapr_params_set(params, &hw);
	return rc;
}

static int parse(const char *text, struct iommu_params *params, char *err, size_t err_len)
{
	struct spapr_options opts;
	int rc = options_parse(options, "--iommu", text, &opts, err, err_len);

	if (rc)
		return rc;
	iommu_params_default(params);
	params->nr_reserved = 0;
	rc = fill(&opts, params, err, err_len);
	if (!rc)
		rc = iommu_parse_memlock(opts.memlock, params, err, err_len);
	options_free(options, &opts);
	return rc;
}

const struct iommu_type iommu_type_spapr = { "spapr", options, parse, .iommufd = false };
