/* SPDX-License-Identifier: BSD-2-Clause */
/* What every mediated driver must have, and what the compiler has not checked of it. */
#include "machine/plugin.h"

#include "machine/machine.h"

#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_LEN    60 /* of DRIVER-TYPE, which is a directory's */
#define REGION_MAX      ((uint64_t)1 << 40)
#define IRQ_VECTORS_MAX 2048u

#define WORD            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

/* Directories of /sys/class that are not a driver's. */
static bool is_class(const char *name)
{
	static const char *const classes[] = { "iommu", "mdev_bus", "vfio", "vfio-dev" };

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!strcmp(name, classes[i]))
			return true;
	return false;
}

static int check_names(const struct uvfio_mdev_driver *driver, char *err, size_t err_len)
{
	int rc = plugin_check_text("its driver", driver->name, "name", err, err_len);

	if (!rc)
		rc = plugin_check_text("its driver", driver->summary, "summary", err, err_len);
	if (!rc)
		rc = plugin_check_text("its driver", driver->device_api, "device_api", err, err_len);
	if (!rc && driver->name[strspn(driver->name, WORD)])
		return uvfio_create_error(
			err, err_len, EINVAL,
			"its driver's name is %s: it becomes a directory's, give one word of letters, "
			"digits, - and _",
			driver->name);
	if (!rc && is_class(driver->name))
		return uvfio_create_error(
			err, err_len, EINVAL,
			"its driver's name is %s, and /sys/class/%s is something else: rename it",
			driver->name, driver->name);
	if (!rc && strcmp(driver->device_api, "vfio-pci"))
		return uvfio_create_error(err, err_len, EINVAL,
					  "its driver's device_api is %s: there is vfio-pci",
					  driver->device_api);
	return rc;
}

static int check_callbacks(const struct uvfio_mdev_driver *driver, char *err, size_t err_len)
{
	if (!driver->ops.read || !driver->ops.write)
		return uvfio_create_error(err, err_len, EINVAL,
					  "its driver has no callback %s: every driver has read and write",
					  driver->ops.read ? "write" : "read");
	if (!driver->ops.get_available && !driver->max_instances)
		return uvfio_create_error(err, err_len, EINVAL,
					  "its driver has neither get_available nor max_instances");
	return 0;
}

/* ---- types */

static int check_type_name(const struct uvfio_mdev_driver *driver, const struct uvfio_mdev_type *type,
			   char *err, size_t err_len)
{
	if (!*type->name || type->name[strspn(type->name, WORD)])
		return uvfio_create_error(
			err, err_len, EINVAL,
			"type \"%s\": its name becomes a directory's, give one word of letters, "
			"digits, - and _",
			type->name);
	if (strlen(driver->name) + strlen(type->name) + 1 > NAME_MAX_LEN)
		return uvfio_create_error(
			err, err_len, EINVAL,
			"type %s: %s-%s is longer than %d letters: shorten one of the names", type->name,
			driver->name, type->name, NAME_MAX_LEN);
	for (const struct uvfio_mdev_type *other = driver->types; other < type; other++)
		if (!strcmp(other->name, type->name))
			return uvfio_create_error(err, err_len, EINVAL,
						  "type %s: there are two of them: rename one", type->name);
	return 0;
}

static int check_type_texts(const struct uvfio_mdev_type *type, char *err, size_t err_len)
{
	char whose[80];
	int rc = 0;

	snprintf(whose, sizeof(whose), "type %s", type->name);
	if (type->pretty_name)
		rc = plugin_check_text(whose, type->pretty_name, "pretty_name", err, err_len);
	if (!rc && type->description && !*type->description)
		rc = uvfio_create_error(err, err_len, EINVAL, "%s has an empty description: leave it NULL",
					whose);
	return rc;
}

static int check_regions(const struct uvfio_mdev_type *type, char *err, size_t err_len)
{
	for (unsigned int i = 0; i < UVFIO_MDEV_REGIONS; i++)
		if (type->regions[i].size > REGION_MAX)
			return uvfio_create_error(err, err_len, EINVAL,
						  "type %s: region %u has more than 2^40 bytes", type->name,
						  i);
	return 0;
}

static int check_irqs(const struct uvfio_mdev_type *type, char *err, size_t err_len)
{
	for (unsigned int i = 0; i < UVFIO_MDEV_IRQS; i++) {
		const struct uvfio_mdev_irq *irq = &type->irqs[i];
		unsigned int most = i == VFIO_PCI_MSI_IRQ_INDEX    ? 32
				    : i == VFIO_PCI_MSIX_IRQ_INDEX ? IRQ_VECTORS_MAX
								   : 1;

		if (irq->count > most)
			return uvfio_create_error(err, err_len, EINVAL,
						  "type %s: irqs[%u] has %u vectors: there can be %u",
						  type->name, i, irq->count, most);
		if (irq->automasked && !irq->maskable)
			return uvfio_create_error(
				err, err_len, EINVAL,
				"type %s: irqs[%u] is automasked and not maskable: nobody could unmask it",
				type->name, i);
	}
	return 0;
}

static int check_types(const struct uvfio_mdev_driver *driver, char *err, size_t err_len)
{
	int rc = 0;

	if (!driver->types || !driver->types->name)
		return uvfio_create_error(err, err_len, EINVAL, "its driver has no types: give one");
	for (const struct uvfio_mdev_type *type = driver->types; type->name && !rc; type++) {
		rc = check_type_name(driver, type, err, err_len);
		if (!rc)
			rc = check_type_texts(type, err, err_len);
		if (!rc)
			rc = check_regions(type, err, err_len);
		if (!rc)
			rc = check_irqs(type, err, err_len);
	}
	return rc;
}

int mdev_driver_check(const struct uvfio_mdev_driver *driver, char *err, size_t err_len)
{
	int rc = check_names(driver, err, err_len);

	if (!rc)
		rc = check_callbacks(driver, err, err_len);
	if (!rc)
		rc = check_types(driver, err, err_len);
	if (!rc)
		rc = plugin_check_options(driver->options, driver->options_size, machine_instance_options(),
					  err, err_len);
	return rc;
}
