/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type1 back end of a container: its ioctls, in front of iommu/type1.
 *
 * Bitmaps of dirty pages are gathered in memory of ours, and copied to the caller by vfio/bitmap.
 */
#include "vfio/internal.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "iommu/type1.h"
#include "uapi/type1_text.h"
#include "vfio/bitmap.h"

#include <stdlib.h>
#include <string.h>

struct type1_container {
	struct type1 *iommu;
	bool v2;
};

/* ---- GET_INFO */

#define MAX_RANGES ARRAY_SIZE(((struct type1_info *)NULL)->ranges)

/* The capabilities as they follow struct vfio_iommu_type1_info, in the kernel's order. */
struct info_caps {
	struct vfio_iommu_type1_info_cap_migration migration;
	struct vfio_iommu_type1_info_dma_avail avail;
	uint32_t pad;
	struct {
		struct vfio_info_cap_header header;
		uint32_t nr_iovas;
		uint32_t reserved;
		struct vfio_iova_range range[MAX_RANGES];
	} ranges;
};

_Static_assert(sizeof(struct vfio_iommu_type1_info) == 24 && offsetof(struct info_caps, avail) == 32 &&
		       offsetof(struct info_caps, ranges) == 48 &&
		       offsetof(struct info_caps, ranges.range) == 64,
	       "capabilities are 8 byte aligned and without gaps");

/* Fill *caps; returns how many bytes of it count. */
static uint32_t build_caps(const struct type1_info *info, struct info_caps *caps)
{
	const uint32_t base = sizeof(struct vfio_iommu_type1_info);
	uint32_t nr = info->nr_ranges;

	memset(caps, 0, sizeof(*caps));
	caps->migration.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION;
	caps->migration.header.version = 1;
	caps->migration.header.next = base + (uint32_t)offsetof(struct info_caps, avail);
	caps->migration.pgsize_bitmap = info->pgsizes & -info->pgsizes;
	caps->migration.max_dirty_bitmap_size = VFIO_BITMAP_MAX;
	caps->avail.header.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
	caps->avail.header.version = 1;
	caps->avail.avail = (uint32_t)MIN(info->avail, (uint64_t)UINT32_MAX);
	if (!nr)
		return (uint32_t)offsetof(struct info_caps, ranges);
	caps->avail.header.next = base + (uint32_t)offsetof(struct info_caps, ranges);
	caps->ranges.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
	caps->ranges.header.version = 1;
	caps->ranges.nr_iovas = nr;
	for (uint32_t i = 0; i < nr; i++) {
		caps->ranges.range[i].start = info->ranges[i].start;
		caps->ranges.range[i].end = info->ranges[i].last;
	}
	return (uint32_t)offsetof(struct info_caps, ranges.range) +
	       nr * (uint32_t)sizeof(caps->ranges.range[0]);
}

static long ioctl_get_info(struct ioctl_call *call, void *arg)
{
	struct type1_container *tc = vfio_container_data(call->file);
	struct vfio_iommu_type1_info *info = arg;
	struct type1_info now;
	struct info_caps caps;
	uint32_t size;

	type1_get_info(tc->iommu, &now);
	size = build_caps(&now, &caps);
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = now.pgsizes;
	info->cap_offset = 0;
	if (call->argsz < sizeof(*info) + size) {
		info->argsz = (uint32_t)sizeof(*info) + size;
		return 0;
	}
	info->cap_offset = sizeof(*info);
	return copy_out(call->caller, call->arg + sizeof(*info), &caps, size) ? -EFAULT : 0;
}

static void describe_info(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_iommu_type1_info *info = arg;

	type1_info_text(info, call->argsz, buf, len);
}

/* ---- MAP_DMA */

static long ioctl_map_dma(struct ioctl_call *call, void *arg)
{
	struct type1_container *tc = vfio_container_data(call->file);
	const struct vfio_iommu_type1_dma_map *map = arg;
	unsigned int prot = 0;

	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= IOMMU_READ;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= IOMMU_WRITE;
	return type1_map(tc->iommu, call->caller->mm, map->iova, map->vaddr, map->size, prot,
			 map->flags & VFIO_DMA_MAP_FLAG_VADDR);
}

static void describe_map(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	(void)call;
	type1_map_text(arg, buf, len);
}

/* ---- UNMAP_DMA */

/* What follows the structure in the engine's buffer. */
struct unmap_tail {
	struct vfio_bitmap bitmap; /* with GET_DIRTY_BITMAP */
	uint64_t asked;            /* for the trace: the size as it came, and whether it is an answer now */
	bool done;
};

_Static_assert(sizeof(struct vfio_iommu_type1_dma_unmap) + sizeof(struct unmap_tail) <= IOC_ARG_MAX,
	       "both fit into the engine's buffer");

static struct unmap_tail *unmap_tail(void *arg)
{
	return (void *)((char *)arg + sizeof(struct vfio_iommu_type1_dma_unmap));
}

static int unmap(struct type1_container *tc, struct vfio_iommu_type1_dma_unmap *arg,
		 struct type1_bitmap *bitmap)
{
	unsigned int flags = 0;
	uint64_t unmapped = 0;
	int rc;

	if (arg->flags & VFIO_DMA_UNMAP_FLAG_ALL)
		flags |= TYPE1_UNMAP_ALL;
	if (arg->flags & VFIO_DMA_UNMAP_FLAG_VADDR)
		flags |= TYPE1_UNMAP_VADDR;
	rc = type1_unmap(tc->iommu, arg->iova, arg->size, flags, bitmap, &unmapped);
	if (!rc)
		arg->size = unmapped;
	unmap_tail(arg)->done = !rc;
	return rc;
}

/*
 * The bitmap at addr must be writable before anything is unmapped: afterwards nobody could ask again. But
 * first come the mistakes that type1 finds, and where nothing is mapped nothing will be written.
 */
static int check_writable(struct ioctl_call *call, struct type1_container *tc,
			  const struct vfio_iommu_type1_dma_unmap *arg, struct type1_bitmap bitmap,
			  uint64_t addr)
{
	uint64_t none;
	int rc;

	if (!mm_check(call->caller->mm, addr, bitmap.size, true))
		return 0;
	rc = type1_unmap(tc->iommu, arg->iova, arg->size, TYPE1_UNMAP_ASK, &bitmap, &none);
	if (!rc && bitmap.bits && !vfio_bitmap_is_untouched(&bitmap, arg->size) &&
	    mm_check(call->caller->mm, addr, type1_bitmap_bytes(bitmap.pgsize, arg->size), true))
		rc = -EFAULT;
	free(bitmap.bits);
	return rc;
}

static int unmap_dirty(struct ioctl_call *call, struct type1_container *tc,
		       struct vfio_iommu_type1_dma_unmap *arg, const struct vfio_bitmap *given)
{
	struct type1_bitmap bitmap;
	uint64_t size = arg->size, addr;
	int rc;

	rc = vfio_bitmap_begin(given, &bitmap, &addr);
	if (!rc)
		rc = check_writable(call, tc, arg, bitmap, addr);
	if (rc == -EFAULT)
		WHY(rc, "the bitmap at 0x%llx is not writable memory", (unsigned long long)addr);
	if (rc)
		return rc;
	rc = unmap(tc, arg, &bitmap);
	if (!rc && bitmap.bits)
		rc = vfio_bitmap_copy_out(call->caller, &bitmap, size, addr);
	free(bitmap.bits);
	return rc;
}

static long ioctl_unmap_dma(struct ioctl_call *call, void *argp)
{
	struct type1_container *tc = vfio_container_data(call->file);
	struct vfio_iommu_type1_dma_unmap *arg = argp;
	struct unmap_tail *tail = unmap_tail(argp);

	tail->asked = arg->size;
	if (!(arg->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP))
		return unmap(tc, arg, NULL);
	if (arg->flags & (VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR))
		return WHY(-EINVAL, "GET_DIRTY_BITMAP goes with neither ALL nor VADDR");
	if (call->argsz < sizeof(*arg) + sizeof(tail->bitmap))
		return WHY(-EINVAL, "argsz %u, at least %zu with GET_DIRTY_BITMAP", call->argsz,
			   sizeof(*arg) + sizeof(tail->bitmap));
	if (copy_in(call->caller, &tail->bitmap, call->arg + sizeof(*arg), sizeof(tail->bitmap)))
		return -EFAULT;
	return unmap_dirty(call, tc, arg, &tail->bitmap);
}

static void describe_unmap(const struct ioctl_call *call, const void *argp, char *buf, size_t len)
{
	const struct vfio_iommu_type1_dma_unmap *arg = argp;
	const struct unmap_tail *tail = unmap_tail((void *)(uintptr_t)argp);
	uint64_t unmapped = arg->size;

	(void)call;
	type1_unmap_text(arg, tail->asked, tail->done ? &unmapped : NULL, buf, len);
}

/* ---- DIRTY_PAGES */

static int dirty_get(struct ioctl_call *call, struct type1_container *tc)
{
	const size_t minsz = offsetofend(struct vfio_iommu_type1_dirty_bitmap, flags);
	struct vfio_iommu_type1_dirty_bitmap_get get;
	struct type1_bitmap bitmap;
	uint64_t addr;
	int rc;

	if (call->argsz - minsz < sizeof(get))
		return WHY(-EINVAL, "argsz %u, at least %zu with GET_BITMAP", call->argsz,
			   minsz + sizeof(get));
	if (copy_in(call->caller, &get, call->arg + minsz, sizeof(get)))
		return -EFAULT;
	rc = vfio_bitmap_begin(&get.bitmap, &bitmap, &addr);
	if (rc)
		return get.size && add_overflows(get.iova, get.size - 1, &addr) ? -EOVERFLOW : rc;
	rc = type1_dirty_get(tc->iommu, get.iova, get.size, &bitmap);
	if (rc)
		return rc;
	rc = vfio_bitmap_copy_out(call->caller, &bitmap, get.size, addr);
	if (rc)
		type1_dirty_put_back(tc->iommu, get.iova, get.size, &bitmap);
	free(bitmap.bits);
	return rc;
}

static long ioctl_dirty_pages(struct ioctl_call *call, void *arg)
{
	struct type1_container *tc = vfio_container_data(call->file);
	const struct vfio_iommu_type1_dirty_bitmap *dirty = arg;

	switch (dirty->flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		return type1_dirty_start(tc->iommu);
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		type1_dirty_stop(tc->iommu);
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		return dirty_get(call, tc);
	default:
		return WHY(-EINVAL, "one of START, STOP and GET_BITMAP at a time");
	}
}

static void describe_dirty(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	(void)call;
	type1_dirty_text(arg, buf, len);
}

/* v1 has no dirty tracking, whatever the argument. */
static long ioctl_dirty_pages_v1(struct ioctl_call *call, void *arg)
{
	(void)call;
	(void)arg;
	return WHY(-EACCES, "TYPE1_IOMMU (v1) tracks no dirty pages: use TYPE1v2_IOMMU");
}

/* ---- the tables */

#define COMMON_ROWS                                                                                          \
	{ .cmd = VFIO_IOMMU_MAP_DMA,                                                                         \
	  .name = "VFIO_IOMMU_MAP_DMA",                                                                      \
	  .minsz = offsetofend(struct vfio_iommu_type1_dma_map, size),                                       \
	  .check_flags = true,                                                                               \
	  .known_flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE | VFIO_DMA_MAP_FLAG_VADDR,         \
	  .flag_names = "READ, WRITE, VADDR",                                                                \
	  .handler = ioctl_map_dma,                                                                          \
	  .describe = describe_map },                                                                        \
		{ .cmd = VFIO_IOMMU_UNMAP_DMA,                                                               \
		  .name = "VFIO_IOMMU_UNMAP_DMA",                                                            \
		  .minsz = offsetofend(struct vfio_iommu_type1_dma_unmap, size),                             \
		  .outsz = offsetofend(struct vfio_iommu_type1_dma_unmap, size),                             \
		  .row_flags = IOC_OUT,                                                                      \
		  .check_flags = true,                                                                       \
		  .known_flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL |            \
				 VFIO_DMA_UNMAP_FLAG_VADDR,                                                  \
		  .flag_names = "GET_DIRTY_BITMAP, ALL, VADDR",                                              \
		  .handler = ioctl_unmap_dma,                                                                \
		  .describe = describe_unmap },                                                              \
	{                                                                                                    \
		.cmd = VFIO_IOMMU_GET_INFO, .name = "VFIO_IOMMU_GET_INFO",                                   \
		.minsz = offsetofend(struct vfio_iommu_type1_info, iova_pgsizes),                            \
		.outsz = sizeof(struct vfio_iommu_type1_info), .row_flags = IOC_OUT,                         \
		.handler = ioctl_get_info, .describe = describe_info                                         \
	}

static const struct ioctl_row v2_rows[] = {
	COMMON_ROWS,
	{ .cmd = VFIO_IOMMU_DIRTY_PAGES,
	  .name = "VFIO_IOMMU_DIRTY_PAGES",
	  .minsz = offsetofend(struct vfio_iommu_type1_dirty_bitmap, flags),
	  .check_flags = true,
	  .known_flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START | VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP |
			 VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
	  .flag_names = "START, STOP, GET_BITMAP",
	  .handler = ioctl_dirty_pages,
	  .describe = describe_dirty },
};

static const struct ioctl_row v1_rows[] = {
	COMMON_ROWS,
	{ .cmd = VFIO_IOMMU_DIRTY_PAGES,
	  .name = "VFIO_IOMMU_DIRTY_PAGES",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_dirty_pages_v1 },
};

static long type1_ioctl(void *data, struct file *file, const struct caller *caller, uint32_t cmd,
			uint64_t arg)
{
	struct type1_container *tc = data;

	if (tc->v2)
		return ioctl_dispatch(v2_rows, ARRAY_SIZE(v2_rows), file, caller, cmd, arg);
	return ioctl_dispatch(v1_rows, ARRAY_SIZE(v1_rows), file, caller, cmd, arg);
}

/* ---- the driver */

static long type1_check_extension(struct vfio_container *container, void *data, uint64_t ext)
{
	switch (ext) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return 1;
	case VFIO_UPDATE_VADDR: /* a mediated device needs the addresses all the time */
		return data && !type1_has_emulated(((struct type1_container *)data)->iommu);
	case VFIO_DMA_CC_IOMMU:
		return data && (!type1_is_backed(((struct type1_container *)data)->iommu) ||
				vfio_container_params(container)->coherent);
	default:
		return 0;
	}
}

static int type1_open(struct vfio_container *container, uint64_t type, struct mm *mm, void **data)
{
	struct type1_container *tc;

	(void)mm;
	if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		return WHY(-EINVAL, "%llu is an extension, but no type of IOMMU", (unsigned long long)type);
	tc = calloc(1, sizeof(*tc));
	if (!tc)
		return -ENOMEM;
	tc->v2 = type == VFIO_TYPE1v2_IOMMU;
	tc->iommu = type1_new(vfio_container_params(container), tc->v2);
	if (!tc->iommu) {
		free(tc);
		return -ENOMEM;
	}
	*data = tc;
	return 0;
}

static void type1_release(void *data)
{
	struct type1_container *tc = data;

	type1_free(tc->iommu);
	free(tc);
}

static void type1_container_forked(void *data)
{
	struct type1_container *tc = data;

	type1_forked(tc->iommu);
}

static int type1_attach_group(void *data, struct iommu_dev *const *devs, unsigned int nr)
{
	struct type1_container *tc = data;

	return type1_attach(tc->iommu, devs, nr);
}

static void type1_detach_group(void *data, struct iommu_dev *const *devs, unsigned int nr)
{
	struct type1_container *tc = data;

	type1_detach(tc->iommu, devs, nr);
}

static int type1_container_attach_emulated(void *data)
{
	struct type1_container *tc = data;

	return type1_attach_emulated(tc->iommu);
}

static void type1_container_detach_emulated(void *data)
{
	struct type1_container *tc = data;

	type1_detach_emulated(tc->iommu);
}

static struct type1 *type1_pinnable(void *data)
{
	struct type1_container *tc = data;

	return tc->iommu;
}

static void add_mapping(void *arg, const struct type1_mapping *mapping)
{
	struct vfio_mapping_list *list = arg;

	list->mappings[list->nr++] =
		(struct vfio_mapping){ mapping->iova, mapping->va, mapping->size, mapping->prot };
}

static int type1_list(void *data, struct vfio_mapping_list *list, unsigned int max)
{
	struct type1_container *tc = data;

	list->mappings = calloc(MAX(max, 1u), sizeof(*list->mappings));
	if (!list->mappings)
		return -ENOMEM;
	type1_each_mapping(tc->iommu, max, add_mapping, list, &list->count, &list->bytes);
	return 0;
}

static void type1_usages(void *data, struct mm_usages *usages)
{
	struct type1_container *tc = data;

	type1_get_usages(tc->iommu, usages);
}

static const char *type1_type(void *data)
{
	struct type1_container *tc = data;

	return tc->v2 ? "type1v2" : "type1";
}

const struct vfio_iommu_driver vfio_type1_driver = {
	.name = "vfio-type1",
	.check_extension = type1_check_extension,
	.open = type1_open,
	.release = type1_release,
	.attach_group = type1_attach_group,
	.detach_group = type1_detach_group,
	.attach_emulated = type1_container_attach_emulated,
	.detach_emulated = type1_container_detach_emulated,
	.pinnable = type1_pinnable,
	.ioctl = type1_ioctl,
	.forked = type1_container_forked,
	.type = type1_type,
	.list = type1_list,
	.usages = type1_usages,
};
