/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What IOMMUFD asks of the hardware below it: devices, and the domains that translate for them.
 *
 * Two kinds exist. hw_emulated.c: the machine's devices and the page tables of iommu/domain.h. mock/: what
 * the kernel's selftests drive, in builds with -Diommufd_test=enabled. Nothing else in this directory knows
 * which it has.
 */
#ifndef UVFIO_IOMMUFD_HW_H
#define UVFIO_IOMMUFD_HW_H

#include "base/base.h"
#include "file/caller.h"
#include "iommu/domain.h"
#include "iommu/mm.h"

#include <pthread.h>

struct iommufd_domain;
struct iommufd_hw_dev;
struct iommufd_viommu;
struct iommufd_viommu_ops;
struct iopf_response;

/* Devices that the IOMMU cannot tell apart. One owner at a time may do DMA with them. */
struct iommu_group {
	unsigned int id;
	pthread_mutex_t lock;
	void *owner;              /* who has claimed it: an iommufd_ctx, a vfio_group; under lock */
	unsigned int owner_count; /* under lock */
};
void iommu_group_init(struct iommu_group *group, unsigned int id);
void iommu_group_destroy(struct iommu_group *group);
/* 0; -EPERM: another owner has it. Each claim of the same owner is counted. */
int iommu_group_claim(struct iommu_group *group, void *owner);
void iommu_group_release(struct iommu_group *group);

/* Driver data that came with an ioctl: a type, and len bytes at uptr in the caller's memory. */
struct iommufd_user_data {
	const struct caller *caller;
	uint32_t type;
	uint64_t uptr;
	uint32_t len;
};
/*
 * Copy a structure of size bytes that the driver knows as type; min_len: up to its last member of the first
 * version. As the kernel's iommu_copy_struct_from_user(): -EINVAL another type, too short, or longer than
 * size; -EFAULT. What the caller's lacks is zero.
 */
int iommufd_copy_user_data(void *dst, const struct iommufd_user_data *data, uint32_t type, size_t size,
			   size_t min_len);

/* An array of such entries, for HWPT_INVALIDATE. */
struct iommufd_user_array {
	const struct caller *caller;
	uint32_t type;
	uint64_t uptr;
	uint32_t entry_len;
	uint32_t entry_num; /* in: how many; out: how many were handled */
};
int iommufd_copy_user_array(void *dst, const struct iommufd_user_array *array, uint32_t index, uint32_t type,
			    size_t size, size_t min_len);

struct iommufd_domain_ops {
	/*
	 * A paging domain. Map [iova, iova+size) to va in mm; aligned to pgsize, free before. 0 or -ENOMEM,
	 * and nothing is mapped then. prot: IOMMU_READ, IOMMU_WRITE, IOMMU_MMIO.
	 */
	int (*map)(struct iommufd_domain *domain, uint64_t iova, uint64_t size, struct mm *mm, uint64_t va,
		   unsigned int prot);
	/* Clear what map() calls mapped. Cannot fail. Between begin and end no unmap waits for DMA. */
	void (*unmap)(struct iommufd_domain *domain, uint64_t iova, uint64_t size);
	void (*unmap_begin)(struct iommufd_domain *domain);
	void (*unmap_end)(struct iommufd_domain *domain);
	/* What map() calls mapped across iova is to be unmapped on either side of it alone. 0 or -ENOMEM.
	 * NULL: that is so anyway. */
	int (*split)(struct iommufd_domain *domain, uint64_t iova);
	/* NULL when the domain cannot track dirty pages. */
	int (*set_dirty_tracking)(struct iommufd_domain *domain, bool on);
	/* Call fn for each dirty stretch; clear unless keep. -EINVAL: tracking is off; not with fn NULL. */
	int (*read_dirty)(struct iommufd_domain *domain, uint64_t iova, uint64_t size, bool keep,
			  void (*fn)(void *arg, uint64_t iova, uint64_t size), void *arg);
	/* A nested domain: NULL when it has nothing to invalidate. */
	int (*cache_invalidate)(struct iommufd_domain *domain, struct iommufd_user_array *array);
	void (*free)(struct iommufd_domain *domain);
	/* For fault reports: as iommu_domain_set_describe(). NULL: not wanted. */
	void (*set_describe)(struct iommufd_domain *domain,
			     void (*describe)(void *owner, uint64_t iova, char *buf, size_t len),
			     void *owner);
	void (*forked)(struct iommufd_domain *domain);
};

/* Embedded first in the domain of a kind. The kind fills everything but owner and hwpt. */
struct iommufd_domain {
	const struct iommufd_domain_ops *ops;
	const struct iommufd_hw_dev_ops *owner; /* devices with these may be attached */
	bool nested;
	uint64_t pgsize;                        /* the smallest page; 0 for a nested domain */
	uint64_t aperture_first, aperture_last; /* IOVAs that can be mapped */
	void *hwpt;                             /* the struct iommufd_hw_pagetable around it */
};

struct iommufd_hw_dev_ops {
	const char *name;
	bool mock; /* does not keep the iommufd file open, is not asked for isolated interrupts */
	/* A domain for HWPT_ALLOC (flags: IOMMU_HWPT_ALLOC_*; data: NULL or the driver's) or automatic. */
	int (*alloc_paging)(struct iommufd_hw_dev *dev, uint32_t flags, const struct iommufd_user_data *data,
			    struct iommufd_domain **domain);
	/* NULL: no nesting (-EOPNOTSUPP). */
	int (*alloc_nested)(struct iommufd_hw_dev *dev, struct iommufd_domain *parent, uint32_t flags,
			    const struct iommufd_user_data *data, struct iommufd_domain **domain);
	/*
	 * Translate dev's accesses (with pasid, 0: without) by domain, which replaces old; NULL for either:
	 * none. Cannot fail with domain NULL, nor when it goes back to what it had. Called for every device
	 * of the group that is bound; with a pasid only for those that have PASIDs.
	 */
	int (*attach)(struct iommufd_hw_dev *dev, uint32_t pasid, struct iommufd_domain *domain,
		      struct iommufd_domain *old);
	/* GET_HW_INFO. *type in: what is asked for; out: what buf holds. *len in: room, out: bytes. */
	int (*hw_info)(struct iommufd_hw_dev *dev, uint32_t *type, void *buf, size_t *len);
	/* Windows that the device must not map, at most max. Returns how many. */
	unsigned int (*reserved)(struct iommufd_hw_dev *dev, struct iommu_range *out, unsigned int max);
	/* NULL: no vIOMMU. 0 or -EOPNOTSUPP; *size: of the driver's structure that begins with struct
	 * iommufd_viommu. */
	int (*viommu_size)(struct iommufd_hw_dev *dev, uint32_t type, size_t *size);
	int (*viommu_init)(struct iommufd_viommu *viommu, struct iommufd_domain *parent,
			   const struct iommufd_user_data *data);
	/* The answer to a page fault that the device reported. */
	void (*page_response)(struct iommufd_hw_dev *dev, const struct iopf_response *response);
};

struct iommufd_hw_dev {
	const struct iommufd_hw_dev_ops *ops;
	struct iommu_group *group;
	const char *name;       /* for traces */
	bool dirty_tracking;    /* IOMMU_HW_CAP_DIRTY_TRACKING, IOMMU_HWPT_ALLOC_DIRTY_TRACKING is legal */
	bool enforce_coherency; /* IOMMU_CAP_ENFORCE_CACHE_COHERENCY */
	bool ats;               /* else IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED is reported */
	unsigned int max_pasid_log2; /* 0: no PASID */
};

/* hw_emulated.c: a device of the machine. iommu_dev, group and params outlive it. */
struct iommufd_emulated_dev {
	struct iommufd_hw_dev hw;
	struct iommu_dev *iommu_dev;
	const struct iommu_params *params;
};
void iommufd_emulated_dev_init(struct iommufd_emulated_dev *dev, struct iommu_dev *iommu_dev,
			       struct iommu_group *group, const struct iommu_params *params);
/* The registers that say what the emulated IOMMU can do. */
uint64_t iommufd_emulated_cap(const struct iommu_params *params);
uint64_t iommufd_emulated_ecap(const struct iommu_params *params);

#endif
