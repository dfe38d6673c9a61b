/* SPDX-License-Identifier: BSD-2-Clause */
/* The built-in device models. */
#ifndef UVFIO_DEVICES_MODELS_H
#define UVFIO_DEVICES_MODELS_H

#include <uvfio/mdev.h>
#include <uvfio/pci.h>

extern const struct uvfio_pci_model ioat_model;
extern const struct uvfio_pci_model nvme_model;
extern const struct uvfio_mdev_driver mtty_driver;

/* All of them, each table ended by NULL. */
extern const struct uvfio_pci_model *const builtin_models[];
extern const struct uvfio_mdev_driver *const builtin_mdev_drivers[];

#endif
