/* SPDX-License-Identifier: BSD-2-Clause */
/* The built-in device models. */
#ifndef UVFIO_DEVICES_MODELS_H
#define UVFIO_DEVICES_MODELS_H

#include <uvfio/pci.h>

extern const struct uvfio_pci_model ioat_model;
extern const struct uvfio_pci_model nvme_model;

/* All of them, ended by NULL. */
extern const struct uvfio_pci_model *const builtin_models[];

#endif
