/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Config space as vfio-pci presents it. One 32-bit word at a time; per word a mask of the bits that a driver
 * may write and a mask of those that a written one clears.
 *
 * Words are read without a lock and written under lock. Bits that other parts own (MSI-X enable, AER status)
 * are changed through pci_config_update().
 */
#ifndef UVFIO_PCI_CONFIG_H
#define UVFIO_PCI_CONFIG_H

#include "base/base.h"
#include "file/caller.h"

#include <pthread.h>
#include <uvfio/pci.h>

#define PCI_CONFIG_OLD   256 /* without PCI Express */
#define PCI_CONFIG_MAX   4096
#define PCI_CONFIG_WORDS (PCI_CONFIG_MAX / 4)

/* What the model's own must keep clear of: see config_init.c. */
#define PCI_VNDR_AT  0xc0u
#define PCI_AER_AT   0x100u
#define PCI_AER_SIZE 0x48u

struct pci_func;

struct pci_config {
	uint32_t size;               /* 256 or 4096 */
	uint32_t msix, msi, exp, pm; /* offsets of the capabilities, 0: absent */
	uint32_t aer;
	unsigned int msi_qmax; /* log2 of the MSI vectors enabled, under lock */
	pthread_mutex_t lock;
	_Atomic uint32_t words[PCI_CONFIG_WORDS];
	uint32_t initial[PCI_CONFIG_WORDS]; /* when the function is opened */
	uint32_t wmask[PCI_CONFIG_WORDS];
	uint32_t w1c[PCI_CONFIG_WORDS];
};

/* config_init.c: lay out config space from the description, which has been checked, and the BARs' addresses;
 * pci_config_restore. */
void pci_config_init(struct pci_func *func);

/* Everything as at open: MASTER off, decode on, D0. Tells the rest of the function. */
void pci_config_restore(struct pci_func *func);

/* A reset is over: D0; what COMMAND says counts again. */
void pci_config_resume(struct pci_func *func);

/* The word at offset (a multiple of 4) as a driver reads it. */
uint32_t pci_config_word(struct pci_func *func, uint32_t offset);
/* Change bits of the word at offset, whatever a driver may write there. */
void pci_config_update(struct pci_func *func, uint32_t offset, uint32_t clear, uint32_t set);

/* What the model has declared at offset, or NULL; the bits of a register of size bytes. */
const struct uvfio_pci_config_register *pci_config_register(const struct pci_func *func, uint32_t offset);
static inline uint32_t pci_config_mask(unsigned int size)
{
	return size == 4 ? UINT32_MAX : BIT32(size * 8) - 1;
}

/* pread and pwrite at pos of config space. The length, or -EFAULT. */
ssize_t pci_config_read(struct pci_func *func, const struct caller *caller, uint64_t buf, size_t len,
			uint64_t pos);
ssize_t pci_config_write(struct pci_func *func, const struct caller *caller, uint64_t buf, size_t len,
			 uint64_t pos);

/* config_names.c: the register at offset, for traces: "COMMAND", "MSIX+2". */
void pci_config_name(const struct pci_func *func, uint32_t offset, char *buf, size_t len);

#endif
