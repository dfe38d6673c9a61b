/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layouts and numbers of the VFIO interface as they are known outside of any header: what the system's
 * header says, or uapi/vfio.h where that is too old, must be these. On a system whose header is newer, this
 * compares our definitions with it.
 */
#include "base/base.h"
#include "uapi/vfio.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct figure {
	const char *what;
	uint64_t is, should_be;
};

#define SIZE(s, n)                                                                                           \
	{                                                                                                    \
		"sizeof " #s, sizeof(struct s), n                                                            \
	}
#define OFFSET(s, m, n)                                                                                      \
	{                                                                                                    \
#s "." #m, offsetof(struct s, m), n                                                          \
	}
#define NUMBER(c, n)                                                                                         \
	{                                                                                                    \
#c, (uint64_t)(c), n                                                                         \
	}

static void check(const struct figure *figures, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		if (figures[i].is != figures[i].should_be)
			print_error("%s\n", figures[i].what);
		assert_int_equal(figures[i].is, figures[i].should_be);
	}
}

static void test_requests(void **state)
{
	static const struct figure figures[] = {
		NUMBER(VFIO_GET_API_VERSION, 0x3b64),
		NUMBER(VFIO_CHECK_EXTENSION, 0x3b65),
		NUMBER(VFIO_SET_IOMMU, 0x3b66),
		NUMBER(VFIO_GROUP_GET_STATUS, 0x3b67),
		NUMBER(VFIO_GROUP_SET_CONTAINER, 0x3b68),
		NUMBER(VFIO_GROUP_UNSET_CONTAINER, 0x3b69),
		NUMBER(VFIO_GROUP_GET_DEVICE_FD, 0x3b6a),
		NUMBER(VFIO_DEVICE_GET_INFO, 0x3b6b),
		NUMBER(VFIO_DEVICE_GET_REGION_INFO, 0x3b6c),
		NUMBER(VFIO_DEVICE_GET_IRQ_INFO, 0x3b6d),
		NUMBER(VFIO_DEVICE_SET_IRQS, 0x3b6e),
		NUMBER(VFIO_DEVICE_RESET, 0x3b6f),
		NUMBER(VFIO_IOMMU_GET_INFO, 0x3b70),
		NUMBER(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 0x3b70),
		NUMBER(VFIO_IOMMU_MAP_DMA, 0x3b71),
		NUMBER(VFIO_DEVICE_PCI_HOT_RESET, 0x3b71),
		NUMBER(VFIO_IOMMU_UNMAP_DMA, 0x3b72),
		NUMBER(VFIO_DEVICE_IOEVENTFD, 0x3b74),
		NUMBER(VFIO_IOMMU_DIRTY_PAGES, 0x3b75),
		NUMBER(VFIO_DEVICE_FEATURE, 0x3b75),
		NUMBER(VFIO_DEVICE_BIND_IOMMUFD, 0x3b76),
		NUMBER(VFIO_DEVICE_ATTACH_IOMMUFD_PT, 0x3b77),
		NUMBER(VFIO_DEVICE_DETACH_IOMMUFD_PT, 0x3b78),
	};

	(void)state;
	check(figures, ARRAY_SIZE(figures));
}

static void test_container_structures(void **state)
{
	static const struct figure figures[] = {
		SIZE(vfio_group_status, 8),
		SIZE(vfio_iommu_type1_info, 24),
		OFFSET(vfio_iommu_type1_info, iova_pgsizes, 8),
		OFFSET(vfio_iommu_type1_info, cap_offset, 16),
		SIZE(vfio_info_cap_header, 8),
		SIZE(vfio_iommu_type1_info_cap_iova_range, 16),
		SIZE(vfio_iova_range, 16),
		SIZE(vfio_iommu_type1_info_cap_migration, 32),
		OFFSET(vfio_iommu_type1_info_cap_migration, pgsize_bitmap, 16),
		SIZE(vfio_iommu_type1_info_dma_avail, 12),
		SIZE(vfio_iommu_type1_dma_map, 32),
		OFFSET(vfio_iommu_type1_dma_map, vaddr, 8),
		OFFSET(vfio_iommu_type1_dma_map, iova, 16),
		OFFSET(vfio_iommu_type1_dma_map, size, 24),
		SIZE(vfio_bitmap, 24),
		SIZE(vfio_iommu_type1_dma_unmap, 24),
		OFFSET(vfio_iommu_type1_dma_unmap, data, 24),
		SIZE(vfio_iommu_type1_dirty_bitmap, 8),
		SIZE(vfio_iommu_type1_dirty_bitmap_get, 40),
	};

	(void)state;
	check(figures, ARRAY_SIZE(figures));
}

static void test_device_structures(void **state)
{
	static const struct figure figures[] = {
		OFFSET(vfio_device_info, cap_offset, 16),
		SIZE(vfio_region_info, 32),
		OFFSET(vfio_region_info, offset, 24),
		SIZE(vfio_irq_info, 16),
		SIZE(vfio_irq_set, 20),
		SIZE(vfio_pci_dependent_device, 8),
		SIZE(vfio_pci_hot_reset_info, 12),
		SIZE(vfio_pci_hot_reset, 12),
		SIZE(vfio_device_ioeventfd, 32),
		OFFSET(vfio_device_ioeventfd, fd, 24),
		SIZE(vfio_device_feature, 8),
		OFFSET(vfio_device_bind_iommufd, iommufd, 8),
		OFFSET(vfio_device_bind_iommufd, out_devid, 12),
		OFFSET(vfio_device_attach_iommufd_pt, pt_id, 8),
		SIZE(vfio_device_feature_mig_data_size, 8),
		SIZE(vfio_device_feature_bus_master, 4),
		SIZE(vfio_device_feature_dma_buf, 16),
		SIZE(vfio_region_dma_range, 16),
		SIZE(vfio_device_info_cap_pci_atomic_comp, 12),
	};

	(void)state;
	check(figures, ARRAY_SIZE(figures));
}

static void test_constants(void **state)
{
	static const struct figure figures[] = {
		NUMBER(VFIO_NOIOMMU_IOMMU, 8),
		NUMBER(VFIO_UNMAP_ALL, 9),
		NUMBER(VFIO_UPDATE_VADDR, 10),
		NUMBER(VFIO_DEVICE_FEATURE_PROBE, 1 << 18),
		NUMBER(VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, 3),
		NUMBER(VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, 8),
		NUMBER(VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, 9),
		NUMBER(VFIO_DEVICE_FEATURE_BUS_MASTER, 10),
		NUMBER(VFIO_DEVICE_FEATURE_DMA_BUF, 11),
		NUMBER(VFIO_MIGRATION_PRE_COPY, 4),
		NUMBER(VFIO_PCI_HOT_RESET_FLAG_DEV_ID, 1),
		NUMBER(VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED, 2),
		NUMBER(VFIO_DEVICE_FLAGS_CDX, 1 << 8),
	};

	(void)state;
	check(figures, ARRAY_SIZE(figures));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_container_structures),
		cmocka_unit_test(test_device_structures),
		cmocka_unit_test(test_constants),
	};

	return cmocka_run_group_tests_name("uapi", tests, NULL, NULL);
}
