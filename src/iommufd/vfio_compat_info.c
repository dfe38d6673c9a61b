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

struct ranges {
	struct vfio_iova_range *range;
	uint32_t nr;
	bool no_memory;
};

static void add_range(void *arg, uint64_t start, uint64_t last)
{
	struct ranges *ranges = arg;
	struct vfio_iova_range *more = reallocarray(ranges->range, ranges->nr + 1, sizeof(*more));

	if (!more) {
		ranges->no_memory = true;
		return;
	}
	more[ranges->nr++] = (struct vfio_iova_range){ .start = start, .end = last };
	ranges->range = more;
}

/* As many ranges as there is room for; the head, which says how many there are, when all have. */
static void put_ranges(struct caps *caps, const struct ranges *ranges)
{
	const uint32_t head = (uint32_t)sizeof(struct vfio_iommu_type1_info_cap_iova_range);
	const struct vfio_iommu_type1_info_cap_iova_range cap = {
		.header = { .id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .version = 1 },
		.nr_iovas = ranges->nr,
	};
	uint32_t at = caps->size, len = head + ranges->nr * (uint32_t)sizeof(ranges->range[0]);

	for (uint32_t i = 0; i < ranges->nr; i++)
		put(caps, at + head + i * (uint32_t)sizeof(ranges->range[0]), &ranges->range[i],
		    sizeof(ranges->range[0]));
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
	struct ranges ranges = { .range = NULL };
	uint64_t alignment;

	if (!ioas)
		return -ENODEV;
	alignment = iopt_iova_ranges(&ioas->iopt, add_range, &ranges);
	info->iova_pgsizes = MAX(page_sizes(ioas, ctx->params->pgsizes), alignment);
	iommufd_put_object(ctx, &ioas->obj);
	if (ranges.no_memory) {
		free(ranges.range);
		return -ENOMEM;
	}
	put_dma_avail(&caps);
	put_ranges(&caps, &ranges);
	free(ranges.range);
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->cap_offset = call->argsz >= caps.size ? INFO_SIZE : 0;
	info->argsz = caps.size;
	return caps.fault ? -EFAULT : 0;
}
