/* SPDX-License-Identifier: BSD-2-Clause */
/* The description's lines about parents of mediated devices. */
#include "devices/models.h"
#include "machine/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct uvfio_mdev_driver *mdev_driver_of(const char *text)
{
	size_t len = strcspn(text, ",");

	for (const struct uvfio_mdev_driver *const *d = builtin_mdev_drivers; *d; d++)
		if (!strncmp((*d)->name, text, len) && !(*d)->name[len])
			return *d;
	return NULL;
}

int machine_config_add_parent(struct machine_config *config, const char *text, char *err, size_t err_len)
{
	const struct uvfio_mdev_driver *driver = mdev_driver_of(text);
	const char *options = text + strcspn(text, ",");
	struct mdev_parent_config *parents =
		reallocarray(config->parents, config->nr_parents + 1, sizeof(*parents));
	char *copy = strdup(options + (*options == ','));

	if (parents)
		config->parents = parents;
	if (!parents || !copy) {
		free(copy);
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < config->nr_parents; i++) {
		if (parents[i].driver != driver)
			continue;
		free(copy);
		snprintf(err, err_len, "%s: there can be one parent of a kind: make more instances of it",
			 driver->name);
		return -EINVAL;
	}
	parents[config->nr_parents++] = (struct mdev_parent_config){ driver, copy };
	return 0;
}

void machine_config_free_parents(struct machine_config *config)
{
	for (unsigned int i = 0; i < config->nr_parents; i++)
		free(config->parents[i].options);
	free(config->parents);
}
