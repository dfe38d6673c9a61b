/* SPDX-License-Identifier: BSD-2-Clause */
/* Device models by name. */
#ifndef UVFIO_MACHINE_PLUGIN_H
#define UVFIO_MACHINE_PLUGIN_H

#include "base/base.h"

#include <uvfio/mdev.h>
#include <uvfio/pci.h>

/* Is this the name of a plug-in's file rather than of a built-in model? "./x.so", "/lib/x.so", "x.so" */
bool plugin_named(const char *name);

/* The model of that name; a plug-in is loaded, once. 0, -EINVAL or -ENOMEM with one line in err. */
int model_find(const char *name, const struct uvfio_pci_model **model, char *err, size_t err_len);

/* The mediated driver of that name. The same. */
int mdev_driver_find(const char *name, const struct uvfio_mdev_driver **driver, char *err, size_t err_len);

/* plugin_check.c: has it everything, and is what it says possible? 0, or -EINVAL (-ENOMEM) with one line in
 * err that does not say whose model it is. */
int model_check(const struct uvfio_pci_model *model, char *err, size_t err_len);

/* plugin_check_mdev.c */
int mdev_driver_check(const struct uvfio_mdev_driver *driver, char *err, size_t err_len);

/* For both. whose: "its model"; common: options that it cannot have, for every device has them. */
int plugin_check_text(const char *whose, const char *text, const char *field, char *err, size_t err_len);
int plugin_check_options(const struct uvfio_option *options, size_t size, const struct uvfio_option *common,
			 char *err, size_t err_len);

/* plugin_file.c: is the file at path a whole shared object? 0, or -EINVAL with one line in err. */
int plugin_check_file(const char *path, char *err, size_t err_len);

#endif
