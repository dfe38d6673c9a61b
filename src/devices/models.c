/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of the built-in device models: a new one is added here. */
#include "devices/models.h"

const struct uvfio_pci_model *const builtin_models[] = {
	&nvme_model,
	&ioat_model,
	NULL,
};

const struct uvfio_mdev_driver *const builtin_mdev_drivers[] = {
	&mtty_driver,
	NULL,
};
