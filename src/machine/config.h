/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine's description, parsed: which devices at which addresses in which groups, and the IOMMU.
 *
 * Everything that the text alone decides is checked here; what a model's own options mean is the model's
 * affair. Addresses and groups that the text leaves open are filled in: functions 0000:00:01.0, 02.0, ... in
 * the order of the devices, groups 1, 2, ...; both skip what the text gives to someone else.
 */
#ifndef UVFIO_MACHINE_CONFIG_H
#define UVFIO_MACHINE_CONFIG_H

#include "iommu/domain.h"
#include "pci/pci.h"

struct device_config {
	const struct uvfio_pci_model *model;
	char *options; /* for the model: the text without the common options */
	struct pci_slot slot;
	unsigned int group;
	bool noiommu;
	bool has_addr, has_group; /* given, not filled in */
};

struct machine_config {
	struct iommu_params iommu;
	unsigned int nr_devices;
	struct device_config *devices;
};

/* 0, -EINVAL or -ENOMEM; on error one line in err and nothing to free. */
int machine_config_parse(const char *description, struct machine_config *config, char *err, size_t err_len);
void machine_config_free(struct machine_config *config);

/* "key=value,..." of all iommu lines joined by commas. reserved= may come several times. */
int iommu_config_parse(const char *text, struct iommu_params *params, char *err, size_t err_len);

/* The option text's next item, [*start, *start + *len), doubled commas kept. False at the end. */
bool option_item(const char **text, const char **start, size_t *len);

/* The entry of table whose key is [key, key + len), or NULL. */
const struct uvfio_option *option_find(const struct uvfio_option *table, const char *key, size_t len);

/* A model's own options; an empty table when it has none. */
const struct uvfio_option *model_options(const struct uvfio_pci_model *model);

/* How many letters have to change to make a from b: for "did you mean". Stops counting at 9. */
unsigned int edit_distance(const char *a, const char *b);

#endif
