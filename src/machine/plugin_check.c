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

int plugin_check_text(const char *whose, const char *text, const char *field, char *err, size_t err_len)
{
	if (text && *text && !strpbrk(text, "\r\n"))
		return 0;
	return uvfio_create_error(err, err_len, EINVAL, "%s has %s %s: give one line", whose,
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

int plugin_check_options(const struct uvfio_option *options, size_t size, const struct uvfio_option *common,
			 char *err, size_t err_len)
{
	for (const struct uvfio_option *opt = options; opt && opt->key; opt++)
		for (const struct uvfio_option *taken = common; taken->key; taken++)
			if (!strcmp(opt->key, taken->key))
				return uvfio_create_error(err, err_len, EINVAL,
							  "option %s is one that every device has: rename it",
							  opt->key);
	return options ? options_check(options, size, err, err_len) : 0;
}

int model_check(const struct uvfio_pci_model *model, char *err, size_t err_len)
{
	int rc;

	if (!model)
		return uvfio_create_error(err, err_len, EINVAL,
					  "its entry names no model: write UVFIO_PCI_PLUGIN(model)");
	rc = plugin_check_text("its model", model->name, "name", err, err_len);
	if (!rc)
		rc = plugin_check_text("its model", model->summary, "summary", err, err_len);
	if (!rc)
		rc = check_callbacks(&model->ops, err, err_len);
	if (!rc)
		rc = plugin_check_options(model->options, model->options_size,
					  machine_common_device_options(), err, err_len);
	if (!rc)
		rc = pci_check_desc(&model->desc, !model->ops.create, err, err_len);
	return rc;
}
