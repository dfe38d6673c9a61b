/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mock: an IOMMU and devices that the kernel's selftests of IOMMUFD make, drive and look into with
 * IOMMU_TEST_CMD (test.c). Only in builds with -Diommufd_test=enabled.
 *
 * A page is where it is in the memory of a process, where the kernel's mock has a physical address; same.c
 * knows when two such pages are one. Numbers and structures are those of uapi/iommufd_test.h.
 */
#ifndef UVFIO_IOMMUFD_MOCK_H
#define UVFIO_IOMMUFD_MOCK_H

#include "iommufd/impl.h"
#include "uapi/iommufd_test.h"

/* ---- domains (domain.c, nested.c) */

struct mock_domain;

/* flags: IOMMU_HWPT_ALLOC_*; huge_iova: the device has MOCK_FLAGS_DEVICE_HUGE_IOVA. */
int mock_domain_alloc(uint32_t flags, const struct iommufd_user_data *data, bool huge_iova,
		      struct iommufd_domain **domain);
/* NULL: it is no paging domain of the mock. */
struct mock_domain *to_mock_domain(struct iommufd_domain *domain);
/* Where iova leads. -ENOENT. */
int mock_domain_translate(struct mock_domain *mock, uint64_t iova, struct mm_page *out);
bool mock_domain_tracks_dirty(struct mock_domain *domain);
void mock_domain_set_dirty(struct mock_domain *mock, uint64_t iova);

struct mock_viommu;

struct mock_nested {
	struct iommufd_domain base;
	struct mock_viommu *viommu; /* or NULL */
	uint32_t iotlb[MOCK_NESTED_DOMAIN_IOTLB_NUM];
};
int mock_nested_alloc(uint32_t flags, const struct iommufd_user_data *data, struct mock_viommu *viommu,
		      struct iommufd_domain **domain);
struct mock_nested *to_mock_nested(struct iommufd_domain *domain);

/* ---- devices (device.c: what they are; stdev.c: how they are bound and attached) */

struct mock_dev {
	struct iommufd_hw_dev hw;
	struct iommu_group group;
	char name[24];
	uint32_t flags; /* MOCK_FLAGS_DEVICE_* */
	/* Under the lock of its struct iommufd_group: */
	bool pasid_error;           /* the next attach with IOMMU_TEST_PASID_RESERVED fails */
	struct mock_viommu *viommu; /* whose nested domain it is attached to */
	uint64_t virt_id;
	_Atomic uint32_t cache[MOCK_DEV_CACHE_NUM];
};

extern const struct iommufd_hw_dev_ops mock_dev_ops;
int mock_dev_create(uint32_t flags, struct mock_dev **out); /* -EINVAL, -ENOMEM */
void mock_dev_destroy(struct mock_dev *mdev);
/* Of the bound device with that id, until put. NULL: there is none. */
struct iommufd_device *mock_get_idev(struct iommufd_ucmd *ucmd, uint32_t id, struct mock_dev **mdev);

int mock_test_domain(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_domain_replace(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_pasid_attach(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_pasid_replace(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_pasid_detach(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_pasid_check(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);

/* ---- vIOMMUs (viommu.c) */

int mock_viommu_size(struct iommufd_hw_dev *hw, uint32_t type, size_t *size);
int mock_viommu_init(struct iommufd_viommu *viommu, struct iommufd_domain *parent,
		     const struct iommufd_user_data *data);
struct iommufd_viommu *mock_viommu_core(struct mock_viommu *viommu);

/* ---- accesses (access.c) */

int mock_test_create_access(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_replace_ioas(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_access_pages(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_destroy_pages(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_access_rw(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);

/* The IOVA that a fuzzer means (syz.c). */
uint64_t mock_nth_iova(struct iommufd_access *access, uint64_t coded);

/* ---- looking (check.c, same.c) */

int mock_test_check_map(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_check_refs(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_dirty(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_check_iotlb(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_check_cache(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);

/* A stretch of memory that maps a file: remembered from one question to the next. Zeroed at first. */
struct mock_vma {
	struct mm *mm;
	uint64_t start, end, offset;
	uint64_t dev, inode;
};
/* Are the bytes at two addresses one and the same? a, b: what was found out about either. */
bool mock_same_byte(const struct mm_page *page, struct mock_vma *a, struct mm *mm, uint64_t va,
		    struct mock_vma *b);

/* ---- dma-bufs (dmabuf.c) */

int mock_test_dmabuf_get(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);
int mock_test_dmabuf_revoke(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd);

#endif
