/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Surprise removal: what a driver sees of a function that has been pulled out. Loads give all ones, stores
 * and DMA go nowhere, no interrupt comes any more but ERR. The rest is as ever, so that the program can close
 * it; opened again it is not (-ENODEV).
 *
 * gone is set first and never cleared. Whoever gives the function something back (a reset, config space: bus
 * mastering, the MSI-X table) looks at gone after that, so that in the end it has nothing.
 *
 * A store that the driver makes to plain memory of a BAR which it has mapped stays there: it is memory.
 */
#include "pci/func.h"

bool pci_func_gone(const struct pci_func *func)
{
	return atomic_load(&func->gone);
}

void pci_fill_ones(struct pci_func *func)
{
	for (unsigned int i = 0; i < UVFIO_PCI_BARS; i++) {
		uint64_t *words = (uint64_t *)(void *)func->bars[i].mem;
		uint64_t nr = align_up(func->desc.bar[i].size, UVFIO_PAGE_SIZE) / sizeof(*words);

		for (uint64_t k = 0; words && k < nr; k++)
			__atomic_store_n(&words[k], UINT64_MAX, __ATOMIC_RELAXED);
	}
}

/* A worker may call this while a reset that holds reset_lock waits for it; so may the program in an access,
 * while another thread of it does. */
void pci_surprise_removal(struct pci_func *func)
{
	if (atomic_exchange(&func->gone, true))
		return;
	atomic_store(&func->iommu.gone, true);
	atomic_store(&func->iommu.enabled, false);
	pci_fill_ones(func);
	pci_report_error(&func->pub);
}

/* The workers are held to the end: what they have under way is over when this returns. */
void pci_func_unplug(struct pci_func *func)
{
	pthread_mutex_lock(&func->reset_lock);
	pci_surprise_removal(func);
	if (func->opened) {
		model_host_hold(&func->host, "removal");
		pci_fill_ones(func); /* a worker may have written there last */
	}
	pthread_mutex_unlock(&func->reset_lock);
}

int pci_func_reset(struct pci_func *func)
{
	int rc = -ENODEV;

	pthread_mutex_lock(&func->reset_lock);
	if (func->opened) {
		pci_reset_locked(func, "reset");
		rc = 0;
	}
	pthread_mutex_unlock(&func->reset_lock);
	return rc;
}

int pci_func_error(struct pci_func *func)
{
	bool opened;

	pthread_mutex_lock(&func->reset_lock);
	opened = func->opened;
	pthread_mutex_unlock(&func->reset_lock);
	if (!opened)
		return -ENODEV;
	pci_report_error(&func->pub);
	return 0;
}
