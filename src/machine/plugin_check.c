/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every model must have, and what the compiler has not checked of it.
 *
 * A model with create may still add to its description: what it leaves open is looked at when a device is
 * made.
 */
#include "machine/plugin.h"

#include "base/options.h"
#include "machine/machine.h"
#include "pci/check.h"

#include <stdio.h>
#include <string.h>

static int check_text(const char *text, const char *field, char *err, size_t err_len)
{
	if (text && *text && !strpbrk(text, "\r\n"))
		return 0;
	return uvfio_create_error(err, err_len, EINVAL, "its model has %s %s: give one line",
				  text && *text ? "a line break in its" : "no", field);
}

static int check_callbacks(const struct uvfio_pci_ops *ops, char *err, size_t err_len)
{
	const struct {
		const char *name;
		bool given;
	} needed[] = { { "read", ops->read }, { "write", ops->write }, { "reset", ops->reset } };

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!needed[i].given)
			return uvfio_create_error(err, err_len, EINVAL,
						  "its model has no callback %s: every model has read, write "
						  "and reset",
						  needed[i].name);
	return 0;
}

static int check_options(const struct uvfio_pci_model *model, char *err, size_t err_len)
{
	const struct uvfio_option *common = machine_common_device_options();

	for (const struct uvfio_option *opt = model->options; opt && opt->key; opt++)
		for (const struct uvfio_option *taken = common; taken->key; taken++)
			if (!strcmp(opt->key, taken->key))
				return uvfio_create_error(err, err_len, EINVAL,
							  "option %s is one that every device has: rename it",
							  opt->key);
	return model->options ? options_check(model->options, model->options_size, err, err_len) : 0;
}

int model_check(const struct uvfio_pci_model *model, char *err, size_t err_len)
{
	int rc;

	if (!model)
		return uvfio_create_error(err, err_len, EINVAL,
					  "its entry names no model: write UVFIO_PCI_PLUGIN(model)");
	rc = check_text(model->name, "name", err, err_len);
	if (!rc)
		rc = check_text(model->summary, "summary", err, err_len);
	if (!rc)
		rc = check_callbacks(&model->ops, err, err_len);
	if (!rc)
		rc = check_options(model, err, err_len);
	if (!rc)
		rc = pci_check_desc(&model->desc, !model->ops.create, err, err_len);
	return rc;
}

int mdev_driver_check(const struct uvfio_mdev_driver *driver, char *err, size_t err_len)
{
	int rc = check_text(driver->name, "name", err, err_len);

	if (!rc)
		rc = check_text(driver->summary, "summary", err, err_len);
	if (!rc)
		rc = check_text(driver->device_api, "device_api", err, err_len);
	if (!rc && strpbrk(driver->name, "/,. "))
		rc = uvfio_create_error(err, err_len, EINVAL,
					"its driver's name is %s: it becomes a directory's, give one word",
					driver->name);
	if (!rc && (!driver->ops.read || !driver->ops.write))
		rc = uvfio_create_error(err, err_len, EINVAL, "its driver has no callback %s",
					driver->ops.read ? "write" : "read");
	if (!rc && (!driver->types || !driver->types->name))
		rc = uvfio_create_error(err, err_len, EINVAL, "its driver has no types: give one");
	if (!rc && !driver->ops.get_available && !driver->max_instances)
		rc = uvfio_create_error(err, err_len, EINVAL,
					"its driver has neither get_available nor max_instances");
	if (!rc && driver->options)
		rc = options_check(driver->options, driver->options_size, err, err_len);
	return rc;
}
