/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copy engine as a PCI function: identity, options, and the model's operations.
 *
 * BAR0 (16 KiB): registers at 0, MSI-X table at 0x2000, pending bits at 0x3000.
 */
#include "devices/ioat/ioat.h"

#include <stdlib.h>
#include <string.h>

#define OPTION(field) offsetof(struct ioat_options, field)

static const struct uvfio_option ioat_options[] = {
	{ .key = "profile",
	  .type = UVFIO_OPTION_STRING,
	  .offset = OPTION(profile),
	  .preset = "3.3",
	  .help = "3.3: 8086:2021, copy and fill; 3.4: 8086:0b00, XOR and PQ too" },
	{ .key = "xfercap",
	  .type = UVFIO_OPTION_UINT,
	  .offset = OPTION(xfercap),
	  .preset = "20",
	  .min = 12,
	  .max = 31,
	  .help = "largest transfer of one descriptor, as a power of two of bytes" },
	{ .key = NULL },
};

static const struct uvfio_pci_config_register config_registers[] = {
	{ IOAT_CFG_DMAUNCERRSTS, 4, "DMAUNCERRSTS", 0, 0, UINT32_MAX },
	{ IOAT_CFG_CHANERR_INT, 4, "CHANERR_INT", 0, 0, UINT32_MAX },
	{ IOAT_CFG_CHANERRMSK_INT, 4, "CHANERRMSK_INT", 0, UINT32_MAX, 0 },
	{ 0, 0, NULL, 0, 0, 0 },
};

/* What the two versions differ in. */
static const struct profile {
	const char *name;
	uint16_t device;
	uint8_t version;
	uint32_t cap;
} profiles[] = {
	{ "3.3", 0x2021, 0x33, IOAT_CAP_FILL },
	{ "3.4", 0x0b00, 0x34,
	  IOAT_CAP_FILL | IOAT_CAP_XOR | IOAT_CAP_PQ | IOAT_CAP_PQ16 | IOAT_CAP_PREFETCH },
};

static const struct profile *find_profile(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++)
		if (name && !strcmp(name, profiles[i].name))
			return &profiles[i];
	return NULL;
}

static int ioat_create(struct uvfio_pci_func *func, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	const struct ioat_options *options = func->dev.options;
	const struct profile *profile = find_profile(options->profile);
	struct ioat *ioat = func->dev.priv;

	ioat->func = func;
	if (!profile)
		return uvfio_create_error(err, err_len, EINVAL, "ioat: profile=%s: give 3.3 or 3.4",
					  options->profile ? options->profile : "");
	ioat->version = profile->version;
	ioat->cap = profile->cap;
	ioat->xfercap = (uint8_t)options->xfercap;
	desc->device = profile->device;
	ioat->worker = uvfio_worker_new(&func->dev, "ioat", ioat_run, ioat);
	if (ioat->cap & (IOAT_CAP_XOR | IOAT_CAP_PQ))
		ioat->raid = calloc(1, sizeof(*ioat->raid));
	if (!ioat->worker || (ioat->cap & (IOAT_CAP_XOR | IOAT_CAP_PQ) && !ioat->raid))
		return uvfio_create_error(err, err_len, ENOMEM, "ioat: out of memory");
	return 0;
}

static void ioat_destroy(struct uvfio_pci_func *func)
{
	struct ioat *ioat = func->dev.priv;

	free(ioat->raid);
}

static void ioat_reset(struct uvfio_pci_func *func)
{
	struct ioat *ioat = func->dev.priv;

	ioat_regs_reset(ioat);
	ioat->fetched = false;
	ioat->irqs = 0;
	ioat->failed = false;
}

/* The worker of before is gone, maybe in the middle of a descriptor: the new one does it again. */
static void ioat_forked(struct uvfio_pci_func *func)
{
	struct ioat *ioat = func->dev.priv;

	atomic_store(&ioat->running, 0);
	if (ioat_state(atomic_load(&ioat->ctl)) == IOAT_ACTIVE)
		uvfio_worker_kick(ioat->worker);
}

const struct uvfio_pci_model ioat_model = {
	.name = "ioat",
	.summary = "Intel I/OAT copy engine with one channel",
	.options = ioat_options,
	.options_size = sizeof(struct ioat_options),
	.priv_size = sizeof(struct ioat),
	.desc = {
		.vendor = 0x8086,
		.device = 0x2021,
		.subsys_vendor = 0x8086,
		.class_code = 0x088000,
		.revision = 4,
		.bar[0] = { .size = IOAT_BAR_SIZE, .mem64 = true, .registers = ioat_registers },
		.intx = 1,
		.msi_vectors = 1,
		.msix_vectors = 1,
		.msix_bar = 0,
		.msix_table = IOAT_MSIX_TABLE,
		.msix_pba = IOAT_MSIX_PBA,
		.pcie = true,
		.aer = true,
		.pm = true,
		.config = config_registers,
	},
	.ops = {
		.create = ioat_create,
		.destroy = ioat_destroy,
		.reset = ioat_reset,
		.read = ioat_read,
		.write = ioat_write,
		.forked = ioat_forked,
	},
};
