/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses of devices that fail, and how they are told: one line for each place, and up to a limit for each
 * device. Devices behind an IOMMU note theirs inside of sections (dma_private.h). For those without one, who
 * pins and copies notes for the thread what has failed where, and whoever was called for the driver tells it.
 */
#ifndef UVFIO_IOMMU_DMA_FAULT_H
#define UVFIO_IOMMU_DMA_FAULT_H

#include "base/why.h"
#include "iommu/dma.h"

enum dma_fault_kind {
	DMA_NO_DOMAIN = 1,
	DMA_NO_IOMMU, /* a mediated device */
	DMA_NO_MASTER,
	DMA_NOT_MAPPED,
	DMA_NO_PERMISSION,
	DMA_LOST,   /* the process has taken the memory away */
	DMA_EXITED, /* it is gone itself */
};

struct dma_fault {
	enum dma_fault_kind kind;
	bool write;
	uint64_t at;   /* the IOVA that failed */
	uint64_t iova; /* the access */
	size_t len;
	uint64_t va;                 /* DMA_LOST, DMA_EXITED */
	struct iommu_domain *domain; /* referenced; NULL: none */
	char what[48];
	bool lacks_read; /* a write that needs reading allowed, too */
};

/* Tell of it, unless that was done. near: about the mappings nearby, or "". No lock is held. */
void dma_fault_tell(struct iommu_dev *dev, const struct dma_fault *fault, const char *near);
/* Would nobody see it? */
bool dma_fault_is_quiet(struct iommu_dev *dev);

/* Note what has failed with error, which is returned, where: fault.at, and what belongs to the kind. */
int dma_fault_note(int error, struct dma_fault fault);
/* The thread's last note, if it was one of error: kind, at, va and lacks_read of fault. */
bool dma_fault_noted(int error, struct dma_fault *fault);

#define DMA_FAILED(error, fault_, ...)                                                                       \
	({                                                                                                   \
		why_clear();                                                                                 \
		why_say(__VA_ARGS__);                                                                        \
		dma_fault_note(error, (struct dma_fault)fault_);                                             \
	})

#endif
