/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is a model's description one that a PCI function can have? What <uvfio/pci.h> asks for, and the compiler
 * cannot check. Each function returns 0, or -EINVAL with a line in err that says what is wrong and what would
 * be right, without saying whose description it is.
 *
 * What it cannot find: a table without its end, and pointers to nowhere.
 */
#ifndef UVFIO_PCI_CHECK_H
#define UVFIO_PCI_CHECK_H

#include "base/base.h"

#include <uvfio/pci.h>

/*
 * check.c: the whole. complete: nothing will be added to it. As long as create may add something, a vendor of
 * 0 and BARs without a size are not wrong, nor what depends on the latter.
 */
int pci_check_desc(const struct uvfio_pci_desc *desc, bool complete, char *err, size_t err_len);

/* check_registers.c: the registers declared in a BAR that has a size. */
int pci_check_registers(const struct uvfio_pci_desc *desc, unsigned int bar, char *err, size_t err_len);
/* A declared register of the BAR that has a byte in [start, start + size), or NULL. */
const struct uvfio_register *pci_register_within(const struct uvfio_pci_bar *bar, uint64_t start,
						 uint32_t size);

/* check_config.c: vendor-specific capabilities and registers of configuration space. */
int pci_check_config(const struct uvfio_pci_desc *desc, char *err, size_t err_len);

#endif
