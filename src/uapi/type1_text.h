/* SPDX-License-Identifier: BSD-2-Clause */
/* The arguments of a container's ioctls as text, for traces: of type1's, and of the same on an IOMMUFD. */
#ifndef UVFIO_UAPI_TYPE1_TEXT_H
#define UVFIO_UAPI_TYPE1_TEXT_H

#include "base/base.h"
#include "uapi/vfio.h"

void type1_map_text(const struct vfio_iommu_type1_dma_map *map, char *buf, size_t len);
/* asked: the size as it came; unmapped: NULL, or how much was. */
void type1_unmap_text(const struct vfio_iommu_type1_dma_unmap *unmap, uint64_t asked,
		      const uint64_t *unmapped, char *buf, size_t len);
void type1_info_text(const struct vfio_iommu_type1_info *info, uint32_t asked, char *buf, size_t len);
void type1_dirty_text(const struct vfio_iommu_type1_dirty_bitmap *dirty, char *buf, size_t len);
void vfio_extension_text(uint64_t extension, char *buf, size_t len);

#endif
