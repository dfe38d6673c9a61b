/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The description's lines about mediated devices: parents, and the instances that there are at the start.
 *
 * The UUID of an instance that is given none is MDEV_UUID with its number: the same in every run, so that a
 * script can have it in it.
 */
#include "base/options.h"
#include "machine/config.h"
#include "machine/machine.h"
#include "machine/plugin.h"
#include "mdev/mdev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MDEV_UUID "75766669-6f00-4000-8000-" /* "uvfio" */

struct instance_options {
	char *type, *uuid;
};

static const struct uvfio_option instance_options[] = {
	{ .key = "type",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct instance_options, type),
	  .help = "which instance is there from the start: one of its driver's types, or none; uvfio mdev "
		  "makes more; without it one of the first type" },
	{ .key = "uuid",
	  .type = UVFIO_OPTION_STRING,
	  .offset = offsetof(struct instance_options, uuid),
	  .help = "its UUID; without it " MDEV_UUID "000000000001, ...2 for the next" },
	{ .key = NULL },
};

const struct uvfio_option *machine_instance_options(void)
{
	return instance_options;
}

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

static int no_memory(char *err, size_t err_len)
{
	snprintf(err, err_len, "out of memory");
	return -ENOMEM;
}

/* ---- parents */

/* The parent of that driver, made if there is none. */
static int place_parent(struct machine_config *config, const struct uvfio_mdev_driver *driver,
			const char *name, size_t name_len, const char *options, unsigned int *index,
			char *err, size_t err_len)
{
	struct mdev_parent_config *parents;
	struct mdev_parent_config parent = { .driver = driver };

	for (*index = 0; *index < config->nr_parents; ++*index) {
		if (strcmp(config->parents[*index].driver->name, driver->name))
			continue;
		if (config->parents[*index].driver != driver) {
			snprintf(err, err_len, "%s is the name of two drivers, in %s and %.*s: rename one",
				 driver->name, config->parents[*index].name, (int)name_len, name);
			return -EINVAL;
		}
		if (!*options)
			return 0;
		snprintf(err, err_len,
			 "%s: %s: options of the parent go with the first --device %s: there is one parent",
			 driver->name, options, driver->name);
		return -EINVAL;
	}
	parents = reallocarray(config->parents, config->nr_parents + 1, sizeof(*parents));
	if (!parents)
		return no_memory(err, err_len);
	config->parents = parents;
	parent.name = strndup(name, name_len);
	parent.options = strdup(options);
	if (!parent.name || !parent.options) {
		free(parent.name);
		free(parent.options);
		return no_memory(err, err_len);
	}
	parents[config->nr_parents++] = parent;
	return 0;
}

/* ---- instances */

static const struct mdev_instance_config *find_instance(const struct machine_config *config, const char *uuid)
{
	for (unsigned int i = 0; i < config->nr_instances; i++)
		if (!strcmp(config->instances[i].uuid, uuid))
			return &config->instances[i];
	return NULL;
}

/* The type that sysfs calls "DRIVER-TYPE". */
static int choose_type(const struct uvfio_mdev_driver *driver, const char *name,
		       const struct uvfio_mdev_type **type, char *err, size_t err_len)
{
	size_t len = strlen(driver->name), n;

	*type = driver->types;
	if (!name)
		return 0;
	for (; (*type)->name; ++*type)
		if (!strncmp(name, driver->name, len) && name[len] == '-' &&
		    !strcmp(name + len + 1, (*type)->name))
			return 0;
	*type = NULL;
	if (!strcmp(name, "none"))
		return 0;
	n = (size_t)snprintf(err, err_len, "%s: type=%s is not possible: use", driver->name, name);
	for (const struct uvfio_mdev_type *t = driver->types; t->name && n < err_len; t++)
		n += (size_t)snprintf(err + n, err_len - n, " %s-%s,", driver->name, t->name);
	if (n < err_len)
		snprintf(err + n, err_len - n, " or none");
	return -EINVAL;
}

static int choose_uuid(const struct machine_config *config, const char *who, const char *given, char uuid[40],
		       char *err, size_t err_len)
{
	unsigned int number = 0;

	if (given && (strlen(given) != UUID_STRING_LEN || mdev_parse_uuid(given, UUID_STRING_LEN, uuid))) {
		snprintf(err, err_len, "%s: uuid=%s is not possible: use a UUID like %s000000000001", who,
			 given, MDEV_UUID);
		return -EINVAL;
	}
	if (given && find_instance(config, uuid)) {
		snprintf(err, err_len, "%s: two instances with uuid=%s: give one another", who, uuid);
		return -EINVAL;
	}
	while (!given) {
		snprintf(uuid, 40, MDEV_UUID "%012x", ++number);
		if (!find_instance(config, uuid))
			break;
	}
	return 0;
}

static int add_instance(struct machine_config *config, unsigned int parent,
			const struct instance_options *opts, char *err, size_t err_len)
{
	const struct uvfio_mdev_driver *driver = config->parents[parent].driver;
	struct mdev_instance_config instance = { .parent = parent }, *instances;
	int rc = choose_type(driver, opts->type, &instance.type, err, err_len);

	if (!rc && !instance.type && opts->uuid) {
		snprintf(err, err_len, "%s: uuid=%s with type=none: there is no instance to have it",
			 driver->name, opts->uuid);
		rc = -EINVAL;
	}
	if (rc || !instance.type)
		return rc;
	rc = choose_uuid(config, driver->name, opts->uuid, instance.uuid, err, err_len);
	if (rc)
		return rc;
	instances = reallocarray(config->instances, config->nr_instances + 1, sizeof(*instances));
	if (!instances)
		return no_memory(err, err_len);
	config->instances = instances;
	instances[config->nr_instances++] = instance;
	return 0;
}

int machine_config_add_parent(struct machine_config *config, const char *text, char *err, size_t err_len)
{
	static const struct uvfio_option none[] = { { .key = NULL } };
	const struct uvfio_mdev_driver *driver = mdev_driver_of(text);
	const struct option_tables tables = { driver->name, driver->options ? driver->options : none,
					      instance_options };
	const char *rest = text, *name = text;
	char *own = calloc(1, strlen(text) + 1), *common = calloc(1, strlen(text) + 1);
	struct instance_options opts;
	unsigned int parent;
	size_t len = 0;
	int rc = own && common ? 0 : no_memory(err, err_len);

	option_item(&rest, &name, &len);
	if (!rc)
		rc = options_split(&tables, rest, common, own, err, err_len);
	if (!rc)
		rc = options_parse(instance_options, driver->name, common, &opts, err, err_len);
	if (!rc) {
		rc = place_parent(config, driver, name, len, own, &parent, err, err_len);
		if (!rc)
			rc = add_instance(config, parent, &opts, err, err_len);
		options_free(instance_options, &opts);
	}
	free(own);
	free(common);
	return rc;
}

void machine_config_free_parents(struct machine_config *config)
{
	for (unsigned int i = 0; i < config->nr_parents; i++) {
		free(config->parents[i].name);
		free(config->parents[i].options);
	}
	free(config->parents);
	free(config->instances);
}
