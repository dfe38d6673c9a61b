/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware queues of vIOMMUs, which hardware reads at an address of the guest; and the memory of a vIOMMU
 * that the program may map.
 *
 * The pages of a queue are pinned, and their stretch of the nesting parent's IOAS is locked, for as long as
 * the queue exists: an unmap there fails.
 *
 * What can be mapped stands in the context by its offset, each with a user reference of its vIOMMU per
 * mapping, which the mapping's own file (struct mmap_plan's holder) gives back.
 */
#include "base/why.h"
#include "iommufd/impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

void iommufd_hw_queue_destroy(struct iommufd_object *obj)
{
	struct iommufd_hw_queue *queue = container_of(obj, struct iommufd_hw_queue, obj);
	uint64_t first = align_down(queue->base_addr, UVFIO_PAGE_SIZE);

	if (queue->destroy)
		queue->destroy(queue);
	if (queue->access) {
		iommufd_access_unpin_pages(queue->access, first,
					   align_up(queue->base_addr + queue->length, UVFIO_PAGE_SIZE) -
						   first);
		iommufd_access_destroy_internal(queue->viommu->ctx, queue->access);
	}
	if (queue->viommu)
		iommufd_object_unuse(&queue->viommu->obj);
}

static bool contiguous(const struct mm_page *pages, uint64_t nr)
{
	for (uint64_t i = 1; i < nr; i++)
		if (pages[i].mm != pages[0].mm || pages[i].va != pages[0].va + i * UVFIO_PAGE_SIZE)
			return false;
	return true;
}

/* Pin [first, +length), whose pages follow each other in memory: *base, where it begins. */
static int pin_queue(struct iommufd_access *access, uint64_t first, uint64_t length, struct mm_page *base)
{
	struct mm_page *pages = iommufd_calloc(length / UVFIO_PAGE_SIZE, sizeof(*pages));
	int rc;

	if (!pages)
		return -ENOMEM;
	rc = iommufd_access_pin_pages(access, first, length, pages, 0);
	*base = pages[0];
	if (!rc && !contiguous(pages, length / UVFIO_PAGE_SIZE)) {
		iommufd_access_unpin_pages(access, first, length);
		rc = WHY(-EFAULT, "the queue's pages are not one behind the other in memory");
	}
	free(pages);
	return rc;
}

static int queue_access(struct iommufd_viommu *viommu, const struct iommu_hw_queue_alloc *cmd,
			struct iommufd_access **access, struct mm_page *base)
{
	uint64_t first = align_down(cmd->nesting_parent_iova, UVFIO_PAGE_SIZE), length;
	uint64_t offset = cmd->nesting_parent_iova - first;
	int rc;

	if (add_overflows(offset, cmd->length, &length) || add_overflows(length, UVFIO_PAGE_MASK, &length))
		return WHY(-ERANGE, "length 0x%llx", (unsigned long long)cmd->length);
	length = align_down(length, UVFIO_PAGE_SIZE);
	rc = iommufd_access_create_internal(viommu->ctx, access);
	if (rc)
		return rc;
	rc = iommufd_access_attach_internal(*access, viommu->hwpt->ioas);
	if (!rc)
		rc = pin_queue(*access, first, length, base);
	if (rc)
		iommufd_access_destroy_internal(viommu->ctx, *access);
	base->va += offset;
	return rc;
}

static int new_queue(struct iommufd_ucmd *ucmd, struct iommufd_viommu *viommu)
{
	struct iommu_hw_queue_alloc *cmd = ucmd->arg;
	struct iommufd_hw_queue *queue;
	struct mm_page base = { 0 };
	struct iommufd_access *access;
	size_t size;
	int rc;

	if (!viommu->ops->get_hw_queue_size || !viommu->ops->hw_queue_init)
		return WHY(-EOPNOTSUPP, "this vIOMMU has no queues");
	size = viommu->ops->get_hw_queue_size(viommu, cmd->type);
	if (!size)
		return WHY(-EOPNOTSUPP, "this vIOMMU has no queues of type 0x%x", cmd->type);
	rc = iommufd_object_alloc_ucmd(ucmd, size, IOMMUFD_OBJ_HW_QUEUE, &queue);
	if (rc)
		return rc;
	rc = queue_access(viommu, cmd, &access, &base);
	if (rc)
		return rc;
	queue->viommu = viommu;
	iommufd_object_use(&viommu->obj);
	queue->access = access;
	queue->type = cmd->type;
	queue->length = cmd->length;
	queue->base_addr = cmd->nesting_parent_iova;
	rc = viommu->ops->hw_queue_init(queue, cmd->index, &base);
	if (rc)
		return WHY(rc, "the driver refuses the queue with index %u", cmd->index);
	cmd->out_hw_queue_id = queue->obj.id;
	return iommufd_ucmd_respond(ucmd, sizeof(*cmd));
}

int iommufd_hw_queue_alloc_ioctl(struct iommufd_ucmd *ucmd)
{
	struct iommu_hw_queue_alloc *cmd = ucmd->arg;
	struct iommufd_viommu *viommu;
	uint64_t last;
	int rc;

	if (cmd->flags || cmd->type == IOMMU_HW_QUEUE_TYPE_DEFAULT)
		return WHY(-EOPNOTSUPP, "flags 0x%x, type 0x%x: no flags, a type", cmd->flags, cmd->type);
	if (!cmd->length)
		return WHY(-EINVAL, "length is 0");
	if (add_overflows(cmd->nesting_parent_iova, cmd->length - 1, &last))
		return WHY(-EOVERFLOW, "the queue ends beyond the address space");
	viommu = iommufd_get_viommu(ucmd->ctx, cmd->viommu_id);
	if (!viommu)
		return WHY(-ENOENT, "no vIOMMU has id %u", cmd->viommu_id);
	rc = new_queue(ucmd, viommu);
	iommufd_put_object(ucmd->ctx, &viommu->obj);
	return rc;
}

/* ---- memory to be mapped */

struct iommufd_mmap {
	struct iommufd_viommu *owner;
	uint64_t offset, length;
	int fd; /* the owner's */
};

int iommufd_viommu_alloc_mmap(struct iommufd_viommu *viommu, int fd, size_t length, uint64_t *offset)
{
	struct iommufd_ctx *ctx = viommu->ctx;
	struct iommufd_mmap *immap;
	uint64_t at = UVFIO_PAGE_SIZE; /* never 0, which is what comes out of a zeroed structure */
	struct range taken;
	int rc;

	if (!length || !is_aligned(length, UVFIO_PAGE_SIZE))
		return -EINVAL;
	immap = iommufd_zalloc(sizeof(*immap));
	if (!immap)
		return -ENOMEM;
	pthread_mutex_lock(&ctx->mmaps_lock);
	while (range_map_first(&ctx->mmaps, at, at + length - 1, &taken))
		at = taken.last + 1;
	*immap = (struct iommufd_mmap){ .owner = viommu, .offset = at, .length = length, .fd = fd };
	rc = range_map_insert(&ctx->mmaps, at, at + length - 1, immap);
	pthread_mutex_unlock(&ctx->mmaps_lock);
	if (rc)
		free(immap);
	*offset = at;
	return rc;
}

void iommufd_viommu_destroy_mmap(struct iommufd_viommu *viommu, uint64_t offset)
{
	struct iommufd_ctx *ctx = viommu->ctx;

	pthread_mutex_lock(&ctx->mmaps_lock);
	free(range_map_remove(&ctx->mmaps, offset));
	if (!ctx->mmaps.count)
		range_map_destroy(&ctx->mmaps);
	pthread_mutex_unlock(&ctx->mmaps_lock);
}

/* The last of a mapping is gone. */
static void holder_release(struct file *file)
{
	struct iommufd_viommu *viommu = file->priv;
	struct iommufd_ctx *ctx = viommu->ctx;

	iommufd_object_unuse(&viommu->obj);
	iommufd_ctx_put(ctx);
}

static const struct file_ops holder_ops = {
	.name = "iommufd-mapping",
	.release = holder_release,
};

static struct file *new_holder(struct iommufd_viommu *viommu)
{
	struct file *holder = file_alloc(&holder_ops, viommu, O_RDWR, viommu->ctx->file->path);

	if (holder) {
		iommufd_object_use(&viommu->obj);
		iommufd_ctx_get(viommu->ctx);
	}
	return holder;
}

/* Offset and length are to be exactly what the driver gave out. mmaps_lock is held: its owner is there. */
static int plan_mapping(struct iommufd_ctx *ctx, struct mmap_plan *plan)
{
	const struct iommufd_mmap *immap;
	struct range range;

	if (!range_map_find(&ctx->mmaps, plan->offset, &range))
		return -ENXIO;
	immap = range.value;
	if (immap->offset != plan->offset || immap->length != plan->length)
		return -ENXIO;
	if (!iommufd_lock_listed_obj(ctx, &immap->owner->obj)) /* is going */
		return -ENXIO;
	plan->holder = new_holder(immap->owner);
	iommufd_put_object(ctx, &immap->owner->obj);
	if (!plan->holder)
		return -ENOMEM;
	plan->segments[0] = (struct mmap_segment){ .length = plan->length, .fd = immap->fd };
	plan->nr = 1;
	return 0;
}

int iommufd_mmap(struct iommufd_ctx *ctx, struct mmap_plan *plan)
{
	int rc;

	if ((plan->flags & MAP_TYPE) == MAP_PRIVATE)
		return -EINVAL;
	if (plan->prot & PROT_EXEC)
		return -EPERM;
	pthread_mutex_lock(&ctx->mmaps_lock);
	rc = plan_mapping(ctx, plan);
	pthread_mutex_unlock(&ctx->mmaps_lock);
	return rc;
}
