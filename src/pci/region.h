/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BARs. A BAR is plain memory (a memfd, mapped here, which clients may map too) where its description says so
 * and where the MSI-X table and PBA are; everywhere else each access is a call to the model.
 *
 * The memory exists while the function is open.
 */
#ifndef UVFIO_PCI_REGION_H
#define UVFIO_PCI_REGION_H

#include "base/base.h"
#include "file/caller.h"
#include "file/file.h"

#include <uvfio/pci.h>

struct pci_func;

#define PCI_OFFSET_SHIFT 40
#define PCI_OFFSET_MASK  (((uint64_t)1 << PCI_OFFSET_SHIFT) - 1)

#define PCI_MAX_SPANS    6

struct pci_span {
	uint64_t start, end;
};

struct pci_bar {
	uint64_t address;
	unsigned int nr_spans; /* plain memory, ascending, disjoint */
	struct pci_span spans[PCI_MAX_SPANS];
	struct pci_span msix_table; /* not to be reached by pread and pwrite; empty when it is elsewhere */
	int fd;                     /* -1: no memory */
	uint8_t *mem;               /* the whole BAR */
};

/* bar.c */
#define PCI_BAR_MIN_SIZE 16u
#define PCI_SPACE_32     0x1000000u    /* addresses that a function's 32-bit BARs may take, */
#define PCI_SPACE_64     0x1000000000u /* and its 64-bit ones */
uint64_t pci_bars_space(const struct uvfio_pci_desc *desc, bool mem64);
uint64_t pci_msix_table_size(const struct uvfio_pci_desc *desc);
uint64_t pci_msix_pba_size(const struct uvfio_pci_desc *desc);
/* Give the MSI-X structures, whose place the model leaves to us, a BAR of their own. False: none is free. */
bool pci_place_msix(struct uvfio_pci_desc *desc);
void pci_bars_init(struct pci_func *func, unsigned int instance); /* the description has been checked */
int pci_bars_open(struct pci_func *func);                         /* make the memory; -errno */
void pci_bars_close(struct pci_func *func);
void pci_bars_reset(struct pci_func *func); /* the MSI-X structures as after a reset */

bool pci_bar_is_plain(const struct pci_bar *bar, uint64_t offset);

/* One register access: size 1, 2, 4 or 8, naturally aligned, inside the BAR. */
uint64_t pci_bar_load(struct pci_func *func, unsigned int bar, uint64_t offset, unsigned int size);
void pci_bar_store(struct pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		   unsigned int size);

/* region.c */
ssize_t pci_rw(struct pci_func *func, const struct caller *caller, uint64_t buf, size_t len, uint64_t off,
	       bool write);
bool pci_bar_is_mappable(const struct pci_func *func, unsigned int bar);
int pci_mmap(struct pci_func *func, struct mmap_plan *plan);
int pci_mmio(struct pci_func *func, uint64_t off, void *data, unsigned int len, bool write);

/* bar_trace.c */
void pci_bar_trace(const struct pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		   unsigned int size, bool write);

#endif
