/* SPDX-License-Identifier: BSD-2-Clause */
#include "uapi/type1_text.h"

#include <stdio.h>

/* "READ|WRITE", and what has no name as a number. */
static const char *flag_names(const char *const *names, uint32_t flags, char *buf, size_t len)
{
	size_t n = 0;
	uint32_t bit = 1;

	snprintf(buf, len, "0");
	for (; *names; names++, bit <<= 1) {
		if ((flags & bit) && n < len)
			n += (size_t)snprintf(buf + n, len - n, "%s%s", n ? "|" : "", *names);
		flags &= ~bit;
	}
	if (flags && n < len)
		snprintf(buf + n, len - n, "%s0x%x", n ? "|" : "", flags);
	return buf;
}

void type1_map_text(const struct vfio_iommu_type1_dma_map *map, char *buf, size_t len)
{
	static const char *const names[] = { "READ", "WRITE", "VADDR", NULL };
	char flags[64];

	snprintf(buf, len, "iova=0x%llx size=0x%llx vaddr=0x%llx %s", (unsigned long long)map->iova,
		 (unsigned long long)map->size, (unsigned long long)map->vaddr,
		 flag_names(names, map->flags, flags, sizeof(flags)));
}

void type1_unmap_text(const struct vfio_iommu_type1_dma_unmap *unmap, uint64_t asked,
		      const uint64_t *unmapped, char *buf, size_t len)
{
	static const char *const names[] = { "GET_DIRTY_BITMAP", "ALL", "VADDR", NULL };
	char flags[64];
	size_t n;

	n = (size_t)snprintf(buf, len, "iova=0x%llx size=0x%llx", (unsigned long long)unmap->iova,
			     (unsigned long long)asked);
	if (unmap->flags && n < len)
		n += (size_t)snprintf(buf + n, len - n, " %s",
				      flag_names(names, unmap->flags, flags, sizeof(flags)));
	if (unmapped && n < len)
		snprintf(buf + n, len - n, " unmapped=0x%llx", (unsigned long long)*unmapped);
}

void type1_info_text(const struct vfio_iommu_type1_info *info, uint32_t asked, char *buf, size_t len)
{
	snprintf(buf, len, "argsz=%u->%u pgsizes=0x%llx", asked, info->argsz,
		 (unsigned long long)info->iova_pgsizes);
}

void type1_dirty_text(const struct vfio_iommu_type1_dirty_bitmap *dirty, char *buf, size_t len)
{
	static const char *const names[] = { "START", "STOP", "GET_BITMAP", NULL };

	flag_names(names, dirty->flags, buf, len);
}

void vfio_extension_text(uint64_t extension, char *buf, size_t len)
{
	static const char *const names[] = {
		[VFIO_TYPE1_IOMMU] = "TYPE1_IOMMU",
		[VFIO_SPAPR_TCE_IOMMU] = "SPAPR_TCE_IOMMU",
		[VFIO_TYPE1v2_IOMMU] = "TYPE1v2_IOMMU",
		[VFIO_DMA_CC_IOMMU] = "DMA_CC_IOMMU",
		[VFIO_EEH] = "EEH",
		[VFIO_TYPE1_NESTING_IOMMU] = "TYPE1_NESTING_IOMMU",
		[VFIO_SPAPR_TCE_v2_IOMMU] = "SPAPR_TCE_v2_IOMMU",
		[VFIO_NOIOMMU_IOMMU] = "NOIOMMU_IOMMU",
		[VFIO_UNMAP_ALL] = "UNMAP_ALL",
		[VFIO_UPDATE_VADDR] = "UPDATE_VADDR",
	};

	if (extension < ARRAY_SIZE(names) && names[extension])
		snprintf(buf, len, "%s", names[extension]);
	else
		snprintf(buf, len, "%llu", (unsigned long long)extension);
}
