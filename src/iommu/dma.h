/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a device reaches memory.
 *
 * An iommu_dev is a device as the IOMMU sees it: it is attached to at most one domain. Each thread of a
 * device that does DMA owns a dma_user: its translation cache, and the mark that it is inside a DMA section.
 *
 * A section is the stretch between dma_begin and dma_end. Translations, and pointers from dma_map(), are
 * valid to its end; unmapping waits for it. A section must be short, must not block on anything a client
 * holds, and takes no lock that is held across an unmap. dma_read and dma_write open one of their own when
 * none is open.
 */
#ifndef UVFIO_IOMMU_DMA_H
#define UVFIO_IOMMU_DMA_H

#include "base/base.h"
#include "iommu/domain.h"

#include <urcu/list.h>
#include <uvfio/device.h>

struct iommu_dev {
	const char *name;                      /* for reports: the BDF */
	_Atomic(struct iommu_domain *) domain; /* NULL: every access faults */
	_Atomic bool enabled;                  /* bus mastering */
	bool mediated;                         /* it is behind none: never in a domain */
	_Atomic bool gone;                     /* pulled out: faults without a word */
	struct cds_list_head users;            /* struct dma_user; under users_lock of dma.c */
	struct cds_list_head domain_node;      /* in the domain's devices; under users_lock */
	_Atomic uint64_t faults;
	_Atomic uint32_t faults_reported;
};

/* How long an unmap waits for a section before a line says so: ns; tests want less. */
extern uint64_t dma_patience;

/* In the child of a fork: the users of threads that are not there may be freed, domains attached and changed.
 */
void dma_forked(void);

void iommu_dev_init(struct iommu_dev *dev, const char *name);
void iommu_dev_destroy(struct iommu_dev *dev); /* no dma_user left */

/* Attach to domain, or detach with NULL; returns when no section uses the old one. Outside sections. */
void iommu_dev_attach(struct iommu_dev *dev, struct iommu_domain *domain);

/*
 * A new user for the calling thread (or one that will use it alone), as <uvfio/device.h> has it. owner: what
 * a model finds in it as its device; may be NULL. NULL: no memory.
 */
struct uvfio_dma *dma_user_new(struct iommu_dev *dev, struct uvfio_device *owner);
void dma_user_free(struct uvfio_dma *dma); /* NULL is fine */

/* What <uvfio/device.h> documents under these names, with uvfio_ in front. */
void dma_begin(struct uvfio_dma *dma);
void dma_end(struct uvfio_dma *dma);
int dma_read(struct uvfio_dma *dma, uint64_t iova, void *buf, size_t len, const char *what);
int dma_write(struct uvfio_dma *dma, uint64_t iova, const void *buf, size_t len, const char *what);
int dma_copy(struct uvfio_dma *dma, uint64_t dst, uint64_t src, size_t len, const char *what,
	     bool *dst_failed);
int dma_fill(struct uvfio_dma *dma, uint64_t iova, uint64_t pattern, size_t len, const char *what);
int dma_map(struct uvfio_dma *dma, uint64_t iova, size_t len, bool write, struct iovec *iov, unsigned int *nr,
	    unsigned int max, const char *what);
void dma_report_lost(struct uvfio_dma *dma, uint64_t iova, size_t len, bool write, const char *what);

#endif
