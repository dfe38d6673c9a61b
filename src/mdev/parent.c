/* SPDX-License-Identifier: BSD-2-Clause */
/* Parents and types of mediated devices, and the names of instances. */
#include "base/options.h"
#include "mdev/impl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_dash(unsigned int at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

int mdev_parse_uuid(const char *text, size_t len, char uuid[UUID_STRING_LEN + 1])
{
	if (len < UUID_STRING_LEN || len > UUID_STRING_LEN + 1)
		return -EINVAL;
	for (unsigned int i = 0; i < UUID_STRING_LEN; i++) {
		unsigned char c = (unsigned char)text[i];

		if (is_dash(i) ? c != '-' : !isxdigit(c))
			return -EINVAL;
		uuid[i] = (char)tolower(c);
	}
	uuid[UUID_STRING_LEN] = 0;
	return 0;
}

static void free_parent(struct mdev_parent *parent)
{
	free(parent->pub.priv);
	free(parent->options);
	free(parent->who);
	free(parent);
}

/* NULL: no memory. */
static struct mdev_parent *alloc_parent(const struct uvfio_mdev_driver *driver, const char *plugin)
{
	static const struct uvfio_option none[] = { { .key = NULL } };
	struct mdev_parent *parent = calloc(1, sizeof(*parent));

	if (!parent)
		return NULL;
	parent->driver = driver;
	parent->plugin = plugin;
	parent->table = driver->options ? driver->options : none;
	parent->options = calloc(1, MAX(driver->options_size, (size_t)1));
	parent->pub.priv = calloc(1, MAX(driver->parent_priv_size, (size_t)1));
	parent->pub.name = parent->pub.driver_name = driver->name;
	parent->pub.options = parent->options;
	if (asprintf(&parent->who, plugin ? "%s (%s)" : "%s", driver->name, plugin) < 0)
		parent->who = NULL;
	if (parent->options && parent->pub.priv && parent->who)
		return parent;
	free_parent(parent);
	return NULL;
}

static int call_create(struct mdev_parent *parent, char *err, size_t err_len)
{
	const char *name = parent->driver->name;
	int rc = 0;

	*err = 0;
	if (parent->driver->ops.parent_create)
		IN_PARENT(parent, "parent_create",
			  rc = parent->driver->ops.parent_create(&parent->pub, err, err_len));
	if (!rc)
		return 0;
	model_blame(name, err, err_len);
	if (!*err && (rc > 0 || rc < -4095))
		snprintf(err, err_len,
			 "%s: its parent_create returned %d, which is neither 0 nor a negative errno", name,
			 rc);
	else if (!*err)
		snprintf(
			err, err_len,
			"%s: cannot be made: %s (its parent_create gives no reason, by uvfio_create_error())",
			name, strerror(-rc));
	return rc < 0 && rc >= -4095 ? rc : -EINVAL;
}

int mdev_parent_create(const struct uvfio_mdev_driver *driver, const char *options, const char *plugin,
		       struct mdev_parent **out, char *err, size_t err_len)
{
	struct mdev_parent *parent = alloc_parent(driver, plugin);
	int rc;

	if (!parent) {
		snprintf(err, err_len, "%s: out of memory", driver->name);
		return -ENOMEM;
	}
	rc = options_parse(parent->table, driver->name, options, parent->options, err, err_len);
	if (rc)
		goto fail;
	rc = call_create(parent, err, err_len);
	if (!rc) {
		*out = parent;
		return 0;
	}
	options_free(parent->table, parent->options);
fail:
	free_parent(parent);
	return rc;
}

void mdev_parent_free(struct mdev_parent *parent)
{
	if (!parent)
		return;
	if (parent->driver->ops.parent_destroy)
		IN_PARENT(parent, "parent_destroy", parent->driver->ops.parent_destroy(&parent->pub));
	options_free(parent->table, parent->options);
	free_parent(parent);
}

void mdev_parent_forked(struct mdev_parent *parent)
{
	if (parent->driver->ops.parent_forked)
		IN_PARENT(parent, "parent_forked", parent->driver->ops.parent_forked(&parent->pub));
}

const struct uvfio_mdev_driver *mdev_parent_driver(const struct mdev_parent *parent)
{
	return parent->driver;
}

const char *mdev_parent_name(const struct mdev_parent *parent)
{
	return parent->pub.name;
}

void mdev_type_name(const struct mdev_parent *parent, const struct uvfio_mdev_type *type, char *buf,
		    size_t len)
{
	snprintf(buf, len, "%s-%s", parent->driver->name, type->name);
}

const struct uvfio_mdev_type *mdev_find_type(const struct mdev_parent *parent, const char *name)
{
	size_t len = strlen(parent->driver->name);

	if (strncmp(name, parent->driver->name, len) || name[len] != '-')
		return NULL;
	for (const struct uvfio_mdev_type *type = parent->driver->types; type->name; type++)
		if (!strcmp(type->name, name + len + 1))
			return type;
	return NULL;
}

unsigned int mdev_available(struct mdev_parent *parent, const struct uvfio_mdev_type *type)
{
	const struct uvfio_mdev_driver *driver = parent->driver;
	unsigned int n = 0;

	if (driver->ops.get_available) {
		IN_PARENT(parent, "get_available", n = driver->ops.get_available(&parent->pub, type));
		return n;
	}
	return driver->max_instances - MIN(parent->pub.nr_instances, driver->max_instances);
}
