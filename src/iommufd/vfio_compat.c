/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO's container ioctls on an IOMMUFD: they work on one of its IOASes, the compat IOAS, which the first
 * group makes that comes with SET_CONTAINER, or IOMMU_VFIO_IOAS chooses.
 *
 * What is different from a container's type1: an IOMMU is there as soon as a group is, SET_IOMMU may be
 * repeated, and mappings stay when groups leave. Type1 v1, which cuts mappings in unmapping, has to be chosen
 * while nothing is mapped. Dirty pages are not tracked, addresses cannot be exchanged (VADDR).
 *
 * Which IOAS it is stands under the lock of ids; one that is destroyed is the compat IOAS no longer. GET_INFO
 * is in vfio_compat_info.c.
 */
#include "iommufd/vfio_compat.h"

#include "base/why.h"
#include "iommufd/iopt_private.h"
#include "uapi/type1_text.h"

/* ---- the compat IOAS */

struct iommufd_ioas *iommufd_get_compat_ioas(struct iommufd_ctx *ctx)
{
	struct iommufd_ioas *ioas = NULL;

	iommufd_ids_lock(ctx);
	if (ctx->vfio_ioas && iommufd_lock_obj(&ctx->vfio_ioas->obj))
		ioas = ctx->vfio_ioas;
	iommufd_ids_unlock(ctx);
	if (!ioas)
		(void)WHY(-ENODEV, "there is no IOAS for this: VFIO_GROUP_SET_CONTAINER comes first");
	return ioas;
}

static void set_compat_ioas(struct iommufd_ctx *ctx, struct iommufd_ioas *ioas)
{
	iommufd_ids_lock(ctx);
	ctx->vfio_ioas = ioas;
	iommufd_ids_unlock(ctx);
}

int iommufd_vfio_compat_ioas_get_id(struct iommufd_ctx *ctx, uint32_t *id)
{
	struct iommufd_ioas *ioas = iommufd_get_compat_ioas(ctx);

	if (!ioas)
		return -ENODEV;
	*id = ioas->obj.id;
	iommufd_put_object(ctx, &ioas->obj);
	return 0;
}

int iommufd_vfio_compat_set_no_iommu(struct iommufd_ctx *ctx)
{
	int rc = 0;

	iommufd_ids_lock(ctx);
	if (ctx->vfio_ioas)
		rc = WHY(-EINVAL, "the IOMMUFD serves groups with an IOMMU");
	else
		ctx->no_iommu_mode = true;
	iommufd_ids_unlock(ctx);
	return rc;
}

static bool is_no_iommu(struct iommufd_ctx *ctx)
{
	bool is;

	iommufd_ids_lock(ctx);
	is = ctx->no_iommu_mode;
	iommufd_ids_unlock(ctx);
	return is;
}

/* Make ioas the compat IOAS unless there is one. *made: it is now. */
static int offer_compat_ioas(struct iommufd_ctx *ctx, struct iommufd_ioas *ioas, bool *made)
{
	int rc = 0;

	*made = false;
	iommufd_ids_lock(ctx);
	if (ctx->no_iommu_mode) {
		rc = WHY(-EINVAL, "the IOMMUFD serves groups without an IOMMU");
	} else if (!ctx->vfio_ioas) {
		ctx->vfio_ioas = ioas;
		*made = true;
	}
	iommufd_ids_unlock(ctx);
	return rc;
}

int iommufd_vfio_compat_ioas_create(struct iommufd_ctx *ctx)
{
	struct iommufd_ioas *ioas;
	bool made;
	int rc = iommufd_ioas_alloc(ctx, &ioas);

	if (rc)
		return rc;
	rc = offer_compat_ioas(ctx, ioas, &made);
	if (made)
		iommufd_object_finalize(ctx, &ioas->obj);
	else
		iommufd_object_abort_and_destroy(ctx, &ioas->obj);
	return rc;
}

static int vfio_ioas_get(struct iommufd_ucmd *ucmd, struct iommu_vfio_ioas *cmd)
{
	int rc = iommufd_vfio_compat_ioas_get_id(ucmd->ctx, &cmd->ioas_id);

	return rc ? rc : iommufd_ucmd_respond(ucmd, sizeof(*cmd));
}

static int vfio_ioas_set(struct iommufd_ctx *ctx, uint32_t id)
{
	struct iommufd_ioas *ioas = iommufd_get_ioas(ctx, id);

	if (!ioas)
		return -ENOENT;
	set_compat_ioas(ctx, ioas);
	iommufd_put_object(ctx, &ioas->obj);
	return 0;
}

int iommufd_vfio_ioas(struct iommufd_ucmd *ucmd)
{
	struct iommu_vfio_ioas *cmd = ucmd->arg;

	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is 0x%x", cmd->__reserved);
	switch (cmd->op) {
	case IOMMU_VFIO_IOAS_GET:
		return vfio_ioas_get(ucmd, cmd);
	case IOMMU_VFIO_IOAS_SET:
		return vfio_ioas_set(ucmd->ctx, cmd->ioas_id);
	case IOMMU_VFIO_IOAS_CLEAR:
		set_compat_ioas(ucmd->ctx, NULL);
		return 0;
	default:
		return WHY(-EOPNOTSUPP, "op %u: 0 is GET, 1 is SET, 2 is CLEAR", cmd->op);
	}
}

/* ---- MAP_DMA and UNMAP_DMA */

static struct iommufd_ctx *call_ctx(const struct ioctl_call *call)
{
	return call->file->priv;
}

/* No page table has an entry that lets nobody pass; before that is noticed, sums are. */
static bool maps_nothing(const struct vfio_iommu_type1_dma_map *map, unsigned int prot)
{
	uint64_t last;

	return !prot && map->size && !add_overflows(map->iova, map->size - 1, &last) &&
	       !add_overflows(map->vaddr, map->size - 1, &last);
}

static const struct iopt_words vfio_words = { "vaddr", "size", "VFIO_IOMMU_GET_INFO" };

/* Which words a traced call's reasons are in. */
static void say_as(const struct iopt_words *words)
{
	if (trace_on(TRACE_IOCTL))
		iopt_words = words;
}

static long ioctl_map_dma(struct ioctl_call *call, void *arg)
{
	const struct vfio_iommu_type1_dma_map *map = arg;
	struct iommufd_ctx *ctx = call_ctx(call);
	struct iommufd_ioas *ioas = iommufd_get_compat_ioas(ctx);
	uint64_t iova = map->iova;
	unsigned int prot = 0;
	int rc;

	if (!ioas)
		return -ENODEV;
	if (map->flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= IOMMU_READ;
	if (map->flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= IOMMU_WRITE;
	say_as(&vfio_words);
	rc = maps_nothing(map, prot) ? WHY(-EINVAL, "neither READ nor WRITE")
				     : iopt_map_user_pages(ctx, &ioas->iopt, call->caller->mm, &iova,
							   map->vaddr, map->size, prot, 0);
	say_as(&iopt_iommufd_words);
	iommufd_put_object(ctx, &ioas->obj);
	return rc;
}

static bool cuts_mappings(struct io_pagetable *iopt)
{
	bool cuts;

	pthread_rwlock_rdlock(&iopt->lock);
	cuts = iopt->disable_large_pages;
	pthread_rwlock_unlock(&iopt->lock);
	return cuts;
}

/* What v1 does with a mapping that reaches out of the range. */
static int cut_at(struct io_pagetable *iopt, uint64_t iova, uint64_t size)
{
	const uint64_t lasts[] = { iova + size - 1, iova - 1 };

	return cuts_mappings(iopt) ? iopt_cut_iova(iopt, lasts, iova ? 2 : 1) : 0;
}

/* *tell: the argument gets to say how much was unmapped. */
static int unmap(struct io_pagetable *iopt, const struct vfio_iommu_type1_dma_unmap *unmap,
		 uint64_t *unmapped, bool *tell)
{
	int rc;

	*tell = true;
	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		*tell = !unmap->iova && !unmap->size;
		return *tell ? iopt_unmap_all(iopt, unmapped) : WHY(-EINVAL, "ALL takes no iova and no size");
	}
	rc = cut_at(iopt, unmap->iova, unmap->size);
	*tell = !rc;
	return rc ? rc : iopt_unmap_iova(iopt, unmap->iova, unmap->size, unmapped);
}

/* Also when it fails, it says how much was unmapped. */
static long ioctl_unmap_dma(struct ioctl_call *call, void *argp)
{
	struct vfio_iommu_type1_dma_unmap *arg = argp;
	struct iommufd_ctx *ctx = call_ctx(call);
	struct iommufd_ioas *ioas = iommufd_get_compat_ioas(ctx);
	uint64_t unmapped = 0;
	bool tell;
	int rc;

	if (!ioas)
		return -ENODEV;
	say_as(&vfio_words);
	rc = unmap(&ioas->iopt, arg, &unmapped, &tell);
	say_as(&iopt_iommufd_words);
	iommufd_put_object(ctx, &ioas->obj);
	if (!tell)
		return rc;
	arg->size = unmapped;
	if (copy_out(call->caller, call->arg, arg, offsetofend(struct vfio_iommu_type1_dma_unmap, size)))
		return WHY(-EFAULT, "the argument at 0x%llx is not writable memory",
			   (unsigned long long)call->arg);
	return rc;
}

/* ---- what a container has by itself */

static long ioctl_get_api_version(struct ioctl_call *call, void *arg)
{
	(void)call;
	(void)arg;
	return VFIO_API_VERSION;
}

/* Is every domain such that devices cannot get around the caches? */
static long check_coherency(struct iommufd_ctx *ctx)
{
	struct iommufd_ioas *ioas = iommufd_get_compat_ioas(ctx);
	struct iommufd_hwpt_paging *hwpt;
	long rc = 1;

	if (!ioas)
		return -ENODEV;
	pthread_mutex_lock(&ioas->mutex);
	cds_list_for_each_entry (hwpt, &ioas->hwpt_list, hwpt_item)
		if (!hwpt->enforce_cache_coherency)
			rc = 0;
	pthread_mutex_unlock(&ioas->mutex);
	iommufd_put_object(ctx, &ioas->obj);
	return rc;
}

static long ioctl_check_extension(struct ioctl_call *call, void *arg)
{
	struct iommufd_ctx *ctx = call_ctx(call);

	(void)arg;
	switch (call->arg) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
		return !is_no_iommu(ctx);
	case VFIO_NOIOMMU_IOMMU:
		return is_no_iommu(ctx);
	case VFIO_DMA_CC_IOMMU:
		return check_coherency(ctx);
	default:
		return 0;
	}
}

static long ioctl_set_iommu(struct ioctl_call *call, void *arg)
{
	struct iommufd_ctx *ctx = call_ctx(call);
	bool no_iommu = is_no_iommu(ctx);
	struct iommufd_ioas *ioas;
	int rc = 0;

	(void)arg;
	if (no_iommu)
		return call->arg == VFIO_NOIOMMU_IOMMU
			       ? 0
			       : WHY(-EINVAL, "groups without an IOMMU have NOIOMMU_IOMMU (8) only");
	if (call->arg != VFIO_TYPE1_IOMMU && call->arg != VFIO_TYPE1v2_IOMMU)
		return WHY(-EINVAL, "type %llu: there are TYPE1_IOMMU (1) and TYPE1v2_IOMMU (3)",
			   (unsigned long long)call->arg);
	ioas = iommufd_get_compat_ioas(ctx);
	if (!ioas)
		return -ENODEV;
	if (call->arg == VFIO_TYPE1_IOMMU)
		rc = iopt_disable_large_pages(&ioas->iopt);
	iommufd_put_object(ctx, &ioas->obj);
	return rc == -EINVAL ? WHY(rc, "TYPE1_IOMMU (v1) is chosen before something is mapped") : rc;
}

/* ---- the table */

static void describe_extension(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	(void)arg;
	vfio_extension_text(call->arg, buf, len);
}

static void describe_map(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	(void)call;
	type1_map_text(arg, buf, len);
}

static void describe_unmap(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_iommu_type1_dma_unmap *in = call->in, *out = arg;
	bool told = !call->rc || out->size != in->size;
	uint64_t unmapped = out->size;

	type1_unmap_text(in, in->size, told ? &unmapped : NULL, buf, len);
}

static void describe_info(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	type1_info_text(arg, call->argsz, buf, len);
}

static const struct ioctl_row rows[] = {
	{ .cmd = VFIO_IOMMU_MAP_DMA,
	  .name = "VFIO_IOMMU_MAP_DMA",
	  .minsz = offsetofend(struct vfio_iommu_type1_dma_map, size),
	  .check_flags = true,
	  .known_flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
	  .flag_names = "READ, WRITE",
	  .handler = ioctl_map_dma,
	  .describe = describe_map },
	{ .cmd = VFIO_IOMMU_UNMAP_DMA,
	  .name = "VFIO_IOMMU_UNMAP_DMA",
	  .minsz = offsetofend(struct vfio_iommu_type1_dma_unmap, size),
	  .check_flags = true,
	  .known_flags = VFIO_DMA_UNMAP_FLAG_ALL,
	  .flag_names = "ALL",
	  .handler = ioctl_unmap_dma,
	  .describe = describe_unmap },
	{ .cmd = VFIO_IOMMU_GET_INFO,
	  .name = "VFIO_IOMMU_GET_INFO",
	  .minsz = offsetofend(struct vfio_iommu_type1_info, iova_pgsizes),
	  .outsz = sizeof(struct vfio_iommu_type1_info),
	  .row_flags = IOC_OUT,
	  .handler = iommufd_vfio_get_info,
	  .describe = describe_info },
	{ .cmd = VFIO_GET_API_VERSION,
	  .name = "VFIO_GET_API_VERSION",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_get_api_version },
	{ .cmd = VFIO_CHECK_EXTENSION,
	  .name = "VFIO_CHECK_EXTENSION",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_check_extension,
	  .describe = describe_extension },
	{ .cmd = VFIO_SET_IOMMU,
	  .name = "VFIO_SET_IOMMU",
	  .row_flags = IOC_VALUE,
	  .handler = ioctl_set_iommu,
	  .describe = describe_extension },
};

long iommufd_vfio_ioctl(struct iommufd_ctx *ctx, struct file *file, const struct caller *caller, uint32_t cmd,
			uint64_t arg)
{
	(void)ctx;
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}
