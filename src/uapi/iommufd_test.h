/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IOMMU_TEST_CMD: the ioctl by which the kernel's selftests of IOMMUFD make and look into mock devices, as of
 * Linux 7.2. What 6.12 has besides is marked. It is no part of the kernel's interface to programs.
 */
#ifndef UVFIO_UAPI_IOMMUFD_TEST_H
#define UVFIO_UAPI_IOMMUFD_TEST_H

#include "uapi/iommufd.h"

enum iommu_test_op {
	IOMMU_TEST_OP_ADD_RESERVED = 1,
	IOMMU_TEST_OP_MOCK_DOMAIN = 2,
	IOMMU_TEST_OP_MD_CHECK_MAP = 3,
	IOMMU_TEST_OP_MD_CHECK_REFS = 4,
	IOMMU_TEST_OP_CREATE_ACCESS = 5,
	IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6,
	IOMMU_TEST_OP_ACCESS_PAGES = 7,
	IOMMU_TEST_OP_ACCESS_RW = 8,
	IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9,
	IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10,
	IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11,
	IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12,
	IOMMU_TEST_OP_DIRTY = 13,
	IOMMU_TEST_OP_MD_CHECK_IOTLB = 14,
	IOMMU_TEST_OP_TRIGGER_IOPF = 15,
	IOMMU_TEST_OP_DEV_CHECK_CACHE = 16,
	IOMMU_TEST_OP_TRIGGER_VEVENT = 17,
	IOMMU_TEST_OP_PASID_ATTACH = 18,
	IOMMU_TEST_OP_PASID_REPLACE = 19,
	IOMMU_TEST_OP_PASID_DETACH = 20,
	IOMMU_TEST_OP_PASID_CHECK_HWPT = 21,
	IOMMU_TEST_OP_DMABUF_GET = 22,
	IOMMU_TEST_OP_DMABUF_REVOKE = 23,
};

/* Mock domains: 2 KiB pages, so that they are not the processor's. */
#define MOCK_PAGE_SIZE      2048u
#define MOCK_HUGE_PAGE_SIZE (512u * MOCK_PAGE_SIZE)
#define MOCK_APERTURE_START (1ul << 24)
#define MOCK_APERTURE_LAST  ((1ul << 31) - 1)
#define MOCK_PASID_WIDTH    20

/* iommu_hwpt_selftest.pagetable_type */
#define MOCK_IOMMUPT_DEFAULT 0u
#define MOCK_IOMMUPT_HUGE    1u

/* ...create_access.flags, access_pages.flags, access_rw.flags */
#define MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES 1u
#define MOCK_FLAGS_ACCESS_WRITE                  1u
#define MOCK_FLAGS_ACCESS_SYZ                    (1u << 16)
#define MOCK_ACCESS_RW_WRITE                     1u
#define MOCK_ACCESS_RW_SLOW_PATH                 4u

/* mock_domain.dev_flags */
#define MOCK_FLAGS_DEVICE_NO_DIRTY            1u
#define MOCK_FLAGS_DEVICE_HUGE_IOVA           2u /* 6.12 only */
#define MOCK_FLAGS_DEVICE_PASID               4u

#define MOCK_NESTED_DOMAIN_IOTLB_NUM          4u
#define MOCK_DEV_CACHE_NUM                    4u
#define IOMMU_TEST_IOTLB_DEFAULT              0xbadbeefu
#define IOMMU_TEST_DEV_CACHE_DEFAULT          0xbaddadu
#define IOMMU_TEST_PASID_RESERVED             1024u /* every second attach with it fails */
#define IOMMU_TEST_HW_QUEUE_MAX               2u

#define IOMMU_HW_INFO_TYPE_SELFTEST           0xfeedbeefu
#define IOMMU_HW_INFO_SELFTEST_REGVAL         0xdeadbeefu
#define IOMMU_HWPT_DATA_SELFTEST              0xdeadu
#define IOMMU_HWPT_INVALIDATE_DATA_SELFTEST   0xdeadbeefu
#define IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST 0xdeadbeefu
#define IOMMU_VIOMMU_TYPE_SELFTEST            0xdeadbeefu
#define IOMMU_VEVENTQ_TYPE_SELFTEST           0xbeefbeefu
#define IOMMU_HW_QUEUE_TYPE_SELFTEST          0xdeadbeefu
#define IOMMU_TEST_INVALIDATE_FLAG_ALL        1u

struct iommu_test_cmd {
	__u32 size;
	__u32 op;
	__u32 id;
	__u32 __reserved;
	union {
		struct {
			__aligned_u64 start, length;
		} add_reserved;
		struct {
			__u32 out_stdev_id, out_hwpt_id, out_idev_id;
			__u32 dev_flags; /* MOCK_DOMAIN_FLAGS */
		} mock_domain;
		struct {
			__u32 pt_id;
		} mock_domain_replace;
		struct {
			__aligned_u64 iova, length, uptr;
		} check_map;
		struct {
			__aligned_u64 length, uptr;
			__u32 refs;
		} check_refs;
		struct {
			__u32 out_access_fd, flags;
		} create_access;
		struct {
			__u32 access_pages_id;
		} destroy_access_pages;
		struct {
			__u32 flags, out_access_pages_id;
			__aligned_u64 iova, length, uptr;
		} access_pages;
		struct {
			__aligned_u64 iova, length, uptr;
			__u32 flags;
		} access_rw;
		struct {
			__u32 limit;
		} memory_limit;
		struct {
			__u32 ioas_id;
		} access_replace_ioas;
		struct {
			__u32 flags;
			__aligned_u64 iova, length, page_size, uptr, out_nr_dirty;
		} dirty;
		struct {
			__u32 id, iotlb;
		} check_iotlb;
		struct {
			__u32 dev_id, pasid, grpid, perm;
			__u64 addr;
		} trigger_iopf;
		struct {
			__u32 id, cache;
		} check_dev_cache;
		struct {
			__u32 dev_id;
		} trigger_vevent;
		struct {
			__u32 pasid, pt_id;
		} pasid_attach; /* and replace */
		struct {
			__u32 pasid;
		} pasid_detach;
		struct {
			__u32 pasid, hwpt_id;
		} pasid_check;
		struct {
			__u32 length, open_flags;
		} dmabuf_get;
		struct {
			__s32 dmabuf_fd;
			__u32 revoked;
		} dmabuf_revoke;
	};
	__u32 last;
};
#define IOMMU_TEST_CMD _IO(IOMMUFD_TYPE, IOMMUFD_CMD_BASE + 32)

struct iommu_test_hw_info {
	__u32 flags;
	__u32 test_reg;
};

struct iommu_hwpt_selftest {
	__u32 iotlb; /* 6.12 has this only */
	__u32 pagetable_type;
};

struct iommu_hwpt_invalidate_selftest {
	__u32 flags;
	__u32 iotlb_id;
};

struct iommu_viommu_selftest {
	__u32 in_data;
	__u32 out_data;
	__aligned_u64 out_mmap_offset;
	__aligned_u64 out_mmap_length;
};

struct iommu_viommu_invalidate_selftest {
	__u32 flags;
	__u32 vdev_id;
	__u32 cache_id;
};

struct iommu_viommu_event_selftest {
	__u32 virt_id;
};

#endif
