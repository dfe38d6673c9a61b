/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Surprise removal: what a driver sees of a function that has been pulled out. Loads give all ones, stores
 * and DMA go nowhere, no interrupt comes any more but ERR. The rest is as ever, so that the program can close
 * it.
 */
#include "pci/func.h"

#include <string.h>

void pci_surprise_removal(struct pci_func *func)
{
	if (atomic_exchange(&func->gone, true))
		return;
	atomic_store(&func->iommu.gone, true);
	atomic_store(&func->iommu.enabled, false);
	for (unsigned int i = 0; i < UVFIO_PCI_BARS; i++)
		if (func->bars[i].mem)
			memset(func->bars[i].mem, 0xff, func->desc.bar[i].size);
	pci_report_error(&func->pub);
}
