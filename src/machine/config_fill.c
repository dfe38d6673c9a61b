/* SPDX-License-Identifier: BSD-2-Clause */
/* What a description leaves open: addresses, groups and numbers. */
#include "machine/config.h"

#include "base/id.h"

#include <stdio.h>

static bool same_slot(const struct pci_slot *a, const struct pci_slot *b)
{
	return a->domain == b->domain && a->bus == b->bus && a->dev == b->dev && a->fn == b->fn;
}

static bool slot_taken(const struct machine_config *config, const struct pci_slot *slot,
		       const struct device_config *but)
{
	for (unsigned int i = 0; i < config->nr_devices; i++)
		if (&config->devices[i] != but && config->devices[i].has_addr &&
		    same_slot(&config->devices[i].slot, slot))
			return true;
	return false;
}

/* The next device number, on the next bus after the last. False at the very end. */
static bool next_slot(struct pci_slot *slot)
{
	slot->dev = (uint8_t)((slot->dev + 1) % 32);
	if (!slot->dev)
		slot->bus++;
	return slot->dev || slot->bus;
}

static int fill_addresses(struct machine_config *config, char *err, size_t err_len)
{
	struct pci_slot slot = { .dev = 1 };

	for (unsigned int i = 0; i < config->nr_devices; i++) {
		struct device_config *dev = &config->devices[i];
		char bdf[16];

		if (!dev->has_addr) {
			while (slot_taken(config, &slot, dev) && next_slot(&slot))
				continue;
			dev->slot = slot;
			dev->has_addr = true;
		}
		if (slot_taken(config, &dev->slot, dev)) {
			pci_format_bdf(&dev->slot, bdf);
			snprintf(err, err_len, "%s: two devices at %s: give one another address with addr=",
				 dev->model->name, bdf);
			return -EINVAL;
		}
	}
	return 0;
}

/* A device without an IOMMU has no node of its own. */
static int check_nodes(const struct machine_config *config, char *err, size_t err_len)
{
	for (unsigned int i = 0; i < config->nr_devices && !config->vfio.legacy; i++) {
		if (!config->devices[i].noiommu)
			continue;
		snprintf(err, err_len,
			 "%s: noiommu=on: only a group gives such a device, and there are none with "
			 "--iommufd-only (nodes=iommufd): leave one of the two out",
			 config->devices[i].model->name);
		return -EINVAL;
	}
	return 0;
}

static const struct device_config *group_member(const struct machine_config *config, unsigned int group,
						const struct device_config *but)
{
	for (unsigned int i = 0; i < config->nr_devices; i++)
		if (&config->devices[i] != but && config->devices[i].has_group &&
		    config->devices[i].group == group)
			return &config->devices[i];
	return NULL;
}

static int fill_groups(struct machine_config *config, char *err, size_t err_len)
{
	unsigned int next = 1;

	for (unsigned int i = 0; i < config->nr_devices; i++) {
		struct device_config *dev = &config->devices[i];
		const struct device_config *other;

		if (!dev->has_group) {
			while (group_member(config, next, dev))
				next++;
			dev->group = next;
			dev->has_group = true;
		}
		other = group_member(config, dev->group, dev);
		if (other && other->noiommu != dev->noiommu) {
			snprintf(err, err_len,
				 "%s: group=%u has devices with noiommu=on and with noiommu=off: use two "
				 "groups",
				 dev->model->name, dev->group);
			return -EINVAL;
		}
	}
	return 0;
}

/* Instances count on from the highest; a new group gets the lowest minor that is free. */
static void fill_numbers(struct machine_config *config)
{
	for (unsigned int i = 0; i < config->nr_devices; i++) {
		struct device_config *dev = &config->devices[i];
		unsigned int minor = NOT_GIVEN;
		bool taken[256] = { false };

		for (unsigned int k = 0; k < config->nr_devices; k++) {
			const struct device_config *other = &config->devices[k];

			if (other->instance != NOT_GIVEN)
				config->next_instance = MAX(config->next_instance, other->instance + 1);
			if (other->minor < ARRAY_SIZE(taken))
				taken[other->minor] = true;
			if (other->group == dev->group && other->minor != NOT_GIVEN)
				minor = other->minor;
		}
		for (unsigned int k = 0; k < ARRAY_SIZE(taken) && minor == NOT_GIVEN; k++)
			minor = taken[k] ? NOT_GIVEN : k;
		dev->minor = minor == NOT_GIVEN ? dev->group : minor;
		if (dev->instance == NOT_GIVEN)
			dev->instance = config->next_instance++;
	}
}

/* Each device's own node has the lowest number that is free. */
static int fill_indexes(struct machine_config *config, char *err, size_t err_len)
{
	struct id_allocator ids;
	int rc = 0;

	id_init(&ids, NOT_GIVEN);
	for (unsigned int i = 0; i < config->nr_devices && !rc; i++) {
		if (config->devices[i].index == NOT_GIVEN)
			continue;
		rc = id_reserve(&ids, config->devices[i].index);
		if (rc == -EBUSY)
			snprintf(err, err_len, "two devices have the node vfio%u", config->devices[i].index);
	}
	for (unsigned int i = 0; i < config->nr_devices && !rc; i++)
		if (config->devices[i].index == NOT_GIVEN)
			rc = id_alloc(&ids, &config->devices[i].index);
	id_destroy(&ids);
	if (rc == -ENOMEM)
		snprintf(err, err_len, "out of memory");
	return rc;
}

int machine_config_fill(struct machine_config *config, char *err, size_t err_len)
{
	int rc = fill_addresses(config, err, err_len);

	if (!rc)
		rc = fill_groups(config, err, err_len);
	if (!rc)
		rc = check_nodes(config, err, err_len);
	if (rc)
		return rc;
	fill_numbers(config);
	return fill_indexes(config, err, err_len);
}
