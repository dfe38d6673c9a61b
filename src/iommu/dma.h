/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a device reaches memory.
 *
 * An iommu_dev is a device as the IOMMU sees it: it is attached to at most one domain. Each thread of a
 * device that does DMA owns a dma_user: its translation cache, and the mark that it is inside a DMA section.
 *
 * A section is the stretch between dma_begin and dma_end. Translations, and pointers from dma_map_iov(), are
 * valid to its end; unmapping waits for it. A section must be short, must not block on anything a client
 * holds, and takes no lock that is held across an unmap. dma_read and dma_write open one of their own when
 * none is open.
 */
#ifndef UVFIO_IOMMU_DMA_H
#define UVFIO_IOMMU_DMA_H

#include "base/base.h"
#include "iommu/domain.h"

#include <sys/uio.h>
#include <urcu/list.h>

struct dma_user;

struct iommu_dev {
	const char *name;                      /* for reports: the BDF */
	_Atomic(struct iommu_domain *) domain; /* NULL: every access faults */
	_Atomic bool enabled;                  /* bus mastering */
	struct cds_list_head users;            /* struct dma_user; under users_lock of dma.c */
	struct cds_list_head domain_node;      /* in the domain's devices; under users_lock */
	_Atomic uint64_t faults;
	_Atomic uint32_t faults_reported;
};

/* In the child of a fork: the users of threads that are not there may be freed, domains attached and changed.
 */
void dma_forked(void);

void iommu_dev_init(struct iommu_dev *dev, const char *name);
void iommu_dev_destroy(struct iommu_dev *dev); /* no dma_user left */

/* Attach to domain, or detach with NULL; returns when no section uses the old one. Outside sections. */
void iommu_dev_attach(struct iommu_dev *dev, struct iommu_domain *domain);

/* A new user for the calling thread (or one that will use it alone). NULL: no memory. */
struct dma_user *dma_user_new(struct iommu_dev *dev);
void dma_user_free(struct dma_user *user);

void dma_begin(struct dma_user *user); /* nests */
void dma_end(struct dma_user *user);

/*
 * Copy between the device and memory at iova. what names the access for the fault report ("SQ 1 entry").
 * 0; -EFAULT: not mapped, no permission, or the memory is gone: reported once per place; what was copied
 * before stays.
 */
int dma_read(struct dma_user *user, uint64_t iova, void *buf, size_t len, const char *what);
int dma_write(struct dma_user *user, uint64_t iova, const void *buf, size_t len, const char *what);

/*
 * The memory at [iova, iova+len) as pieces of this process's own memory, for zero-copy I/O by system calls
 * (they survive a fault by themselves). Inside a section only. Appends to iov[*nr..max); merges adjacent
 * pieces. write: the device writes to that memory. 0; -EFAULT; -E2BIG: more than max pieces; -EREMOTE: the
 * memory belongs to another process or is a BAR: use dma_read/dma_write through a bounce buffer.
 */
int dma_map_iov(struct dma_user *user, uint64_t iova, size_t len, bool write, struct iovec *iov,
		unsigned int *nr, unsigned int max, const char *what);

/* A system call on such pieces returned EFAULT: report which page has gone away. */
void dma_report_lost(struct dma_user *user, uint64_t iova, size_t len, bool write, const char *what);

#endif
