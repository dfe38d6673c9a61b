/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO_IOMMU_GET_INFO on an IOMMUFD.
 *
 * As in the kernel, a capability is written as soon as there is room for it, also when not all fit;
 * cap_offset says whether they all do.
 */
#include "iommufd/vfio_compat.h"

#include "uapi/vfio.h"

#include <stdlib.h>

#define INFO_SIZE ((uint32_t)sizeof(struct vfio_iommu_type1_info))

/* A list of capabilities that is being written behind the structure. */
struct caps {
	const struct ioctl_call *call;
	uint32_t size; /* of the structure and the capabilities so far */
	uint32_t last; /* where the last one begins; 0: none yet */
	bool fault;
};

static void put(struct caps *caps, uint32_t at, const void *data, size_t len)
{
	if (at + len <= caps->call->argsz && copy_out(caps->call->caller, caps->call->arg + at, data, len))
		caps->fault = true;
}

/* A capability of len bytes begins at caps->size: link it. */
static void link_cap(struct caps *caps, uint32_t len)
{
	uint32_t at = caps->size;

	if (caps->last && caps->call->argsz >= at)
		put(caps, caps->last + (uint32_t)offsetof(struct vfio_info_cap_header, next), &at,
		    sizeof(at));
	caps->last = at;
	caps->size = at + (uint32_t)align_up(len, sizeof(uint64_t));
}

/* There is no limit to mappings but memory. */
static void put_dma_avail(struct caps *caps)
{
	const struct vfio_iommu_type1_info_dma_avail avail = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, .version = 1 },
		.avail = UINT32_MAX,
	};

	put(caps, caps->size, &avail, sizeof(avail));
	link_cap(caps, sizeof(avail));
}

/* As many ranges as there is room for; the head, which says how many there are, when all have. */
static void put_ranges(struct caps *caps, const struct iommu_range *ranges, uint32_t nr)
{
	const uint32_t head = (uint32_t)sizeof(struct vfio_iommu_type1_info_cap_iova_range);
	const struct vfio_iommu_type1_info_cap_iova_range cap = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .version = 1 },
		.nr_iovas = nr,
	};
	uint32_t at = caps->size, len = head + nr * (uint32_t)sizeof(struct vfio_iova_range);

	for (uint32_t i = 0; i < nr; i++) {
		const struct vfio_iova_range range = { .start = ranges[i].start, .end = ranges[i].last };

		put(caps, at + head + i * (uint32_t)sizeof(range), &range, sizeof(range));
	}
	if (at + len <= caps->call->argsz)
		put(caps, at, &cap, head);
	link_cap(caps, len);
}

/* What every domain can map as one page; like VFIO, pages of the CPU's size where a domain has smaller ones.
 */
static uint64_t page_sizes(struct iommufd_ioas *ioas, uint64_t hardware)
{
	uint64_t sizes = UINT64_MAX;

	pthread_rwlock_rdlock(&ioas->iopt.lock);
	for (unsigned int i = 0; i < ioas->iopt.nr_domains; i++) {
		uint64_t smallest = ioas->iopt.domains[i]->pgsize;

		sizes &= smallest == (hardware & -hardware) ? hardware : smallest;
	}
	pthread_rwlock_unlock(&ioas->iopt.lock);
	if (sizes & UVFIO_PAGE_MASK)
		sizes = (sizes & ~(uint64_t)UVFIO_PAGE_MASK) | UVFIO_PAGE_SIZE;
	return sizes;
}

long iommufd_vfio_get_info(struct ioctl_call *call, void *arg)
{
	struct iommufd_ctx *ctx = call->file->priv;
	struct iommufd_ioas *ioas = iommufd_get_compat_ioas(ctx);
	struct caps caps = { .call = call, .size = INFO_SIZE };
	struct vfio_iommu_type1_info *info = arg;
	struct iommu_range *ranges;
	uint64_t alignment;
	uint32_t nr;
	int ret;

	if (!ioas)
		return -ENODEV;
	ret = iopt_iova_ranges(&ioas->iopt, &ranges, &nr, &alignment);
	info->iova_pgsizes = MAX(page_sizes(ioas, ctx->params->pgsizes), alignment);
	iommufd_put_object(ctx, &ioas->obj);
	if (ret)
		return ret;
	put_dma_avail(&caps);
	put_ranges(&caps, ranges, nr);
	free(ranges);
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->cap_offset = call->argsz >= caps.size ? INFO_SIZE : 0;
	info->argsz = caps.size;
	return caps.fault ? -EFAULT : 0;
}
