/* SPDX-License-Identifier: BSD-2-Clause */
/* The description's lines about parents of mediated devices. */
#include "machine/config.h"
#include "machine/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct uvfio_mdev_driver *mdev_driver_of(const char *text)
{
	const struct uvfio_mdev_driver *driver = NULL;
	const char *item = text;
	size_t len = 0;
	char *name = option_item(&text, &item, &len) ? option_text(item, len) : NULL;
	char err[512];

	if (name && mdev_driver_find(name, &driver, err, sizeof(err)))
		driver = NULL;
	free(name);
	return driver;
}

int machine_config_add_parent(struct machine_config *config, const char *text, char *err, size_t err_len)
{
	const struct uvfio_mdev_driver *driver = mdev_driver_of(text);
	const char *options = text, *item = text;
	size_t len = 0;
	struct mdev_parent_config *parents =
		reallocarray(config->parents, config->nr_parents + 1, sizeof(*parents));
	char *name, *copy;

	option_item(&options, &item, &len);
	name = strndup(item, len);
	copy = strdup(options);
	if (parents)
		config->parents = parents;
	if (!parents || !name || !copy) {
		free(name);
		free(copy);
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < config->nr_parents; i++) {
		if (strcmp(parents[i].driver->name, driver->name))
			continue;
		free(name);
		free(copy);
		snprintf(err, err_len, "%s: there can be one parent of a kind: make more instances of it",
			 driver->name);
		return -EINVAL;
	}
	parents[config->nr_parents++] = (struct mdev_parent_config){ driver, name, copy };
	return 0;
}

void machine_config_free_parents(struct machine_config *config)
{
	for (unsigned int i = 0; i < config->nr_parents; i++) {
		free(config->parents[i].name);
		free(config->parents[i].options);
	}
	free(config->parents);
}
