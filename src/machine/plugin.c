/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device models by name: built in, or a plug-in by its file's name.
 *
 * A plug-in stays loaded: its model may be in use to the end of the process.
 */
#include "machine/plugin.h"

#include "base/crash.h"
#include "base/inside.h"
#include "base/options.h"
#include "devices/models.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool plugin_named(const char *name)
{
	const char *dot = strrchr(name, '.');

	return strchr(name, '/') || (dot && !strcmp(dot, ".so"));
}

static int unknown_model(const char *name, char *err, size_t err_len)
{
	size_t n = (size_t)snprintf(err, err_len, "there is no device model %s: known are",
				    *name ? name : "\"\"");

	for (const struct uvfio_pci_model *const *m = builtin_models; *m && n < err_len; m++)
		n += (size_t)snprintf(err + n, err_len - n, " %s,", (*m)->name);
	for (const struct uvfio_mdev_driver *const *d = builtin_mdev_drivers; *d && n < err_len; d++)
		n += (size_t)snprintf(err + n, err_len - n, " %s,", (*d)->name);
	if (n < err_len)
		snprintf(err + n, err_len - n, " and plug-ins by their path, ./NAME.so");
	return -EINVAL;
}

/* The mediated driver, if it is one. */
static const struct uvfio_mdev_driver *driver_in(const struct uvfio_plugin *plugin)
{
	return plugin->minor >= 1 && !plugin->pci ? plugin->mdev : NULL;
}

static int check_plugin(const struct uvfio_plugin *plugin, const char *path, char *err, size_t err_len)
{
	char why[512];
	int rc = driver_in(plugin) ? mdev_driver_check(driver_in(plugin), why, sizeof(why))
				   : model_check(plugin->pci, why, sizeof(why));

	if (rc)
		snprintf(err, err_len, "plug-in %s: %s", path, why);
	return rc;
}

/* Its constructors run. */
static void *open_object(const char *path)
{
	struct inside before;
	void *handle;

	crash_watch();
	before = inside_begin(path, "loading");
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	inside_end(&before);
	return handle;
}

static int load(const char *path, const struct uvfio_plugin **out, char *err, size_t err_len)
{
	const struct uvfio_plugin *plugin;
	void *handle;

	if (plugin_check_file(path, err, err_len))
		return -EINVAL;
	handle = open_object(path);
	if (!handle) {
		snprintf(err, err_len, "plug-in cannot be loaded: %s", dlerror());
		return -EINVAL;
	}
	plugin = dlsym(handle, "uvfio_plugin");
	if (!plugin) {
		snprintf(err, err_len,
			 "%s is no plug-in of uvfio: a model ends with UVFIO_PCI_PLUGIN(model), a mediated "
			 "driver with UVFIO_MDEV_PLUGIN(driver)",
			 path);
		goto unload;
	}
	if (plugin->major != UVFIO_DEVICE_MAJOR || plugin->minor > UVFIO_DEVICE_MINOR) {
		snprintf(err, err_len,
			 "plug-in %s is made for device interface %u.%u, this uvfio has %d.%d: compile it "
			 "again",
			 path, (unsigned int)plugin->major, (unsigned int)plugin->minor, UVFIO_DEVICE_MAJOR,
			 UVFIO_DEVICE_MINOR);
		goto unload;
	}
	if (check_plugin(plugin, path, err, err_len))
		goto unload;
	*out = plugin;
	return 0;

unload:
	dlclose(handle);
	return -EINVAL;
}

/* The plug-in behind a name. */
static int find_plugin(const char *name, const struct uvfio_plugin **plugin, char *err, size_t err_len)
{
	char *path;
	int rc;

	if (!plugin_named(name))
		return unknown_model(name, err, err_len);
	path = path_absolute(name);
	if (!path) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	rc = load(path, plugin, err, err_len);
	free(path);
	return rc;
}

int model_find(const char *name, const struct uvfio_pci_model **model, char *err, size_t err_len)
{
	const struct uvfio_plugin *plugin;
	int rc;

	for (const struct uvfio_pci_model *const *m = builtin_models; *m; m++)
		if (!strcmp((*m)->name, name)) {
			*model = *m;
			return 0;
		}
	rc = find_plugin(name, &plugin, err, err_len);
	if (!rc && driver_in(plugin)) {
		snprintf(err, err_len, "%s is a parent of mediated devices, not a device", name);
		rc = -EINVAL;
	}
	if (!rc)
		*model = plugin->pci;
	return rc;
}

int mdev_driver_find(const char *name, const struct uvfio_mdev_driver **driver, char *err, size_t err_len)
{
	const struct uvfio_plugin *plugin;
	int rc;

	for (const struct uvfio_mdev_driver *const *d = builtin_mdev_drivers; *d; d++)
		if (!strcmp((*d)->name, name)) {
			*driver = *d;
			return 0;
		}
	rc = find_plugin(name, &plugin, err, err_len);
	if (!rc && !driver_in(plugin)) {
		snprintf(err, err_len, "%s is a device, not a parent of mediated devices", name);
		rc = -EINVAL;
	}
	if (!rc)
		*driver = driver_in(plugin);
	return rc;
}
