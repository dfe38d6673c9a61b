/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's devices behind their emulated IOMMU, an Intel VT-d: its domains are those of iommu/domain.h.
 *
 * It can do what is asked of plain paging domains, and track dirty pages. It says so in its registers, too:
 * no nesting, no PASID, no page requests, no device TLB.
 *
 * A device marks the entry that it writes through. So that marks are as fine as those of hardware, a domain
 * that tracks is filled entry by entry, with pages of at most 2 MiB, as transparent huge pages would be
 * mapped; other domains take a mapping as a whole, however large.
 */
#include "iommufd/impl.h"

#include "base/why.h"
#include "iommu/dma.h"

#include <stdlib.h>
#include <string.h>

#define TRACKED_PAGE_MAX ((uint64_t)2 << 20)

struct emulated_domain {
	struct iommufd_domain base;
	struct iommu_domain *table;
	uint64_t pgsizes;
	bool tracking; /* under the lock of the IO page table */
};

static struct emulated_domain *to_emulated(struct iommufd_domain *domain)
{
	return container_of(domain, struct emulated_domain, base);
}

static struct iommufd_emulated_dev *to_dev(struct iommufd_hw_dev *dev)
{
	return container_of(dev, struct iommufd_emulated_dev, hw);
}

static int emulated_map(struct iommufd_domain *domain, uint64_t iova, uint64_t size, struct mm *mm,
			uint64_t va, unsigned int prot)
{
	return iommu_domain_map(to_emulated(domain)->table, iova, size, mm, va, prot);
}

/* The largest page that [iova, iova+size) at va can begin with. */
static uint64_t tracked_page(uint64_t pgsizes, uint64_t iova, uint64_t va, uint64_t size)
{
	uint64_t page = TRACKED_PAGE_MAX, smallest = pgsizes & -pgsizes;

	while (page > smallest && (!(pgsizes & page) || !is_aligned(iova | va, page) || page > size))
		page >>= 1;
	page = MAX(page, smallest);
	return MIN(page, size);
}

static int emulated_map_tracked(struct iommufd_domain *domain, uint64_t iova, uint64_t size, struct mm *mm,
				uint64_t va, unsigned int prot)
{
	struct emulated_domain *emulated = to_emulated(domain);
	uint64_t done = 0, page;

	for (; done < size; done += page) {
		page = tracked_page(emulated->pgsizes, iova + done, va + done, size - done);
		if (iommu_domain_map(emulated->table, iova + done, page, mm, va + done, prot)) {
			iommu_domain_unmap(emulated->table, iova, done);
			return -ENOMEM;
		}
	}
	return 0;
}

static void emulated_unmap(struct iommufd_domain *domain, uint64_t iova, uint64_t size)
{
	iommu_domain_unmap(to_emulated(domain)->table, iova, size);
}

static int emulated_split(struct iommufd_domain *domain, uint64_t iova)
{
	return iommu_domain_split(to_emulated(domain)->table, iova);
}

static void emulated_unmap_begin(struct iommufd_domain *domain)
{
	iommu_domain_unmap_begin(to_emulated(domain)->table);
}

static void emulated_unmap_end(struct iommufd_domain *domain)
{
	iommu_domain_unmap_end(to_emulated(domain)->table);
}

static int emulated_set_dirty_tracking(struct iommufd_domain *domain, bool on)
{
	struct emulated_domain *emulated = to_emulated(domain);

	if (emulated->tracking != on)
		iommu_domain_set_dirty_tracking(emulated->table, on);
	emulated->tracking = on;
	return 0;
}

static void forget_dirty(void *arg, uint64_t iova, uint64_t size)
{
	(void)arg;
	(void)iova;
	(void)size;
}

/* Without fn the marks are only cleared: those of a time without tracking are nobody's. */
static int emulated_read_dirty(struct iommufd_domain *domain, uint64_t iova, uint64_t size, bool keep,
			       void (*fn)(void *arg, uint64_t iova, uint64_t size), void *arg)
{
	struct emulated_domain *emulated = to_emulated(domain);

	if (fn && !emulated->tracking)
		return WHY(-EINVAL, "dirty tracking is off");
	iommu_domain_read_dirty(emulated->table, iova, size, !keep, fn ? fn : forget_dirty, arg);
	return 0;
}

static void emulated_free(struct iommufd_domain *domain)
{
	struct emulated_domain *emulated = to_emulated(domain);

	iommu_domain_free(emulated->table);
	free(emulated);
}

static void emulated_set_describe(struct iommufd_domain *domain,
				  void (*describe)(void *owner, uint64_t iova, char *buf, size_t len),
				  void *owner)
{
	iommu_domain_set_describe(to_emulated(domain)->table, describe, owner);
}

static void emulated_domain_forked(struct iommufd_domain *domain)
{
	iommu_domain_forked(to_emulated(domain)->table);
}

static const struct iommufd_domain_ops emulated_domain_ops = {
	.map = emulated_map,
	.unmap = emulated_unmap,
	.unmap_begin = emulated_unmap_begin,
	.unmap_end = emulated_unmap_end,
	.split = emulated_split,
	.free = emulated_free,
	.set_describe = emulated_set_describe,
	.forked = emulated_domain_forked,
};

static const struct iommufd_domain_ops tracked_domain_ops = {
	.map = emulated_map_tracked,
	.unmap = emulated_unmap,
	.unmap_begin = emulated_unmap_begin,
	.unmap_end = emulated_unmap_end,
	.split = emulated_split,
	.set_dirty_tracking = emulated_set_dirty_tracking,
	.read_dirty = emulated_read_dirty,
	.free = emulated_free,
	.set_describe = emulated_set_describe,
	.forked = emulated_domain_forked,
};

static int emulated_alloc_paging(struct iommufd_hw_dev *hw, uint32_t flags,
				 const struct iommufd_user_data *data, struct iommufd_domain **domain)
{
	const struct iommu_params *params = to_dev(hw)->params;
	struct emulated_domain *emulated;

	if (flags & ~(uint32_t)(IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_PASID) || data)
		return WHY(-EOPNOTSUPP, "the emulated IOMMU has no nesting, and takes no data");
	emulated = iommufd_zalloc(sizeof(*emulated));
	if (!emulated)
		return -ENOMEM;
	emulated->table = iommu_domain_alloc(params);
	if (!emulated->table) {
		free(emulated);
		return -ENOMEM;
	}
	emulated->pgsizes = params->pgsizes;
	emulated->base = (struct iommufd_domain){
		.ops = flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING ? &tracked_domain_ops : &emulated_domain_ops,
		.pgsize = params->pgsizes & -params->pgsizes,
		.aperture_last = BIT64(params->width) - 1,
	};
	*domain = &emulated->base;
	return 0;
}

static int emulated_attach(struct iommufd_hw_dev *hw, uint32_t pasid, struct iommufd_domain *domain,
			   struct iommufd_domain *old)
{
	const struct iommufd_hw_pagetable *hwpt = domain ? domain->hwpt : NULL;

	(void)pasid;
	(void)old;
	if (hwpt && hwpt->fault)
		return WHY(-ENODEV, "the device %s reports no page faults (no PRI)", hw->name);
	iommu_dev_attach(to_dev(hw)->iommu_dev, domain ? to_emulated(domain)->table : NULL);
	return 0;
}

static unsigned int emulated_reserved(struct iommufd_hw_dev *hw, struct iommu_range *out, unsigned int max)
{
	const struct iommu_params *params = to_dev(hw)->params;
	unsigned int n = MIN(params->nr_reserved, max);

	memcpy(out, params->reserved, n * sizeof(*out));
	return params->nr_reserved;
}

/* The capability register: what it says of address width, page sizes, and how it flushes. */
uint64_t iommufd_emulated_cap(const struct iommu_params *params)
{
	uint64_t cap = 6 /* 64K domains */ | BIT64(22) /* zero length reads */ |
		       (uint64_t)0x20 << 24 /* fault record */ | BIT64(39) /* flushes of pages */ |
		       (uint64_t)9 << 48 /* up to 2^9 of them */ | BIT64(54) | BIT64(55) /* drains */;

	cap |= (uint64_t)(params->width - 1) << 16;
	for (unsigned int level = 1; level <= 3; level++) /* 3, 4, 5 levels of tables */
		if (level == 1 || params->width > 30 + 9 * (level - 1))
			cap |= BIT64(8 + level);
	if (params->pgsizes & BIT64(21))
		cap |= BIT64(34);
	if (params->pgsizes & BIT64(30))
		cap |= BIT64(35);
	return cap;
}

/* The extended one. Marks for dirty pages exist in scalable mode only, with second-stage tables. */
uint64_t iommufd_emulated_ecap(const struct iommu_params *params)
{
	uint64_t ecap = BIT64(0) /* coherent walks */ | BIT64(1) /* queued invalidation */ |
			(uint64_t)0x50 << 8 /* IOTLB registers */;

	ecap |= BIT64(3) | BIT64(4); /* interrupt remapping, x2APIC */
	if (params->coherent)
		ecap |= BIT64(7); /* snoop control */
	if (params->dirty_tracking)
		ecap |= BIT64(43) | BIT64(45) | BIT64(46);
	return ecap;
}

static int emulated_hw_info(struct iommufd_hw_dev *hw, uint32_t *type, void *buf, size_t *len)
{
	const struct iommu_params *params = to_dev(hw)->params;
	struct iommu_hw_info_vtd info = { .cap_reg = iommufd_emulated_cap(params),
					  .ecap_reg = iommufd_emulated_ecap(params) };

	if (*type != IOMMU_HW_INFO_TYPE_DEFAULT && *type != IOMMU_HW_INFO_TYPE_INTEL_VTD)
		return WHY(-EOPNOTSUPP, "data of type %u: the emulated IOMMU is an Intel VT-d", *type);
	*type = IOMMU_HW_INFO_TYPE_INTEL_VTD;
	memcpy(buf, &info, MIN(*len, sizeof(info)));
	*len = sizeof(info);
	return 0;
}

static const struct iommufd_hw_dev_ops emulated_dev_ops = {
	.name = "emulated",
	.alloc_paging = emulated_alloc_paging,
	.attach = emulated_attach,
	.hw_info = emulated_hw_info,
	.reserved = emulated_reserved,
};

void iommufd_emulated_dev_init(struct iommufd_emulated_dev *dev, struct iommu_dev *iommu_dev,
			       struct iommu_group *group, const struct iommu_params *params)
{
	*dev = (struct iommufd_emulated_dev){
		.hw = {
			.ops = &emulated_dev_ops,
			.group = group,
			.name = iommu_dev->name,
			.dirty_tracking = params->dirty_tracking,
			.enforce_coherency = params->coherent,
		},
		.iommu_dev = iommu_dev,
		.params = params,
	};
}
