/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accesses: how a driver without an IOMMU uses the memory of an IOAS.
 *
 * ioas is what new pins and reads go to; ioas_unpin is where pages can still be pinned, and differs only
 * while a change tells the driver to let go of everything: that is done without ioas_lock, because the driver
 * unpins from there. A second change at that time gets -EBUSY.
 *
 * ioas_lock is outside an IO page table's locks.
 */
#include "iommufd/impl.h"

#include "base/why.h"
#include "iommu/dma_fault.h"
#include "iommufd/iopt_private.h"

static bool is_internal(const struct iommufd_access *access)
{
	return !access->ctx;
}

/* ---- attach, replace, detach; ioas_lock is held */

static void leave_ioas(struct iommufd_access *access, struct iommufd_ioas *ioas, uint32_t list_id)
{
	if (!is_internal(access) && access->ops->unmap) {
		pthread_mutex_unlock(&access->ioas_lock);
		access->ops->unmap(access->data, 0, UINT64_MAX);
		pthread_mutex_lock(&access->ioas_lock);
	}
	iopt_remove_access(&ioas->iopt, list_id);
	iommufd_object_unuse(&ioas->obj);
}

static int change_ioas(struct iommufd_access *access, struct iommufd_ioas *ioas)
{
	struct iommufd_ioas *old = access->ioas;
	uint32_t list_id = access->iopt_access_list_id;
	int rc;

	if (old != access->ioas_unpin)
		return WHY(-EBUSY, "the access is just being detached");
	if (old == ioas)
		return 0;
	if (ioas) {
		rc = iopt_add_access(&ioas->iopt, access, &access->iopt_access_list_id);
		if (rc)
			return rc;
		iommufd_object_use(&ioas->obj);
	}
	access->ioas = NULL;
	if (old)
		leave_ioas(access, old, list_id);
	access->ioas = ioas;
	access->ioas_unpin = ioas;
	return 0;
}

static int change_ioas_id(struct iommufd_access *access, uint32_t id)
{
	struct iommufd_ioas *ioas = iommufd_get_ioas(access->ctx, id);
	int rc;

	if (!ioas)
		return -ENOENT;
	rc = change_ioas(access, ioas);
	iommufd_put_object(access->ctx, &ioas->obj);
	return rc;
}

int iommufd_access_attach(struct iommufd_access *access, uint32_t ioas_id)
{
	int rc;

	pthread_mutex_lock(&access->ioas_lock);
	rc = access->ioas ? WHY(-EINVAL, "the access is attached already") : change_ioas_id(access, ioas_id);
	pthread_mutex_unlock(&access->ioas_lock);
	return rc;
}

int iommufd_access_attach_internal(struct iommufd_access *access, struct iommufd_ioas *ioas)
{
	int rc;

	pthread_mutex_lock(&access->ioas_lock);
	rc = access->ioas ? -EINVAL : change_ioas(access, ioas);
	pthread_mutex_unlock(&access->ioas_lock);
	return rc;
}

int iommufd_access_replace(struct iommufd_access *access, uint32_t ioas_id)
{
	int rc;

	pthread_mutex_lock(&access->ioas_lock);
	rc = access->ioas ? change_ioas_id(access, ioas_id) : WHY(-ENOENT, "the access is not attached");
	pthread_mutex_unlock(&access->ioas_lock);
	return rc;
}

void iommufd_access_detach(struct iommufd_access *access)
{
	pthread_mutex_lock(&access->ioas_lock);
	if (access->ioas)
		change_ioas(access, NULL);
	pthread_mutex_unlock(&access->ioas_lock);
}

/* ---- life */

static int access_new(struct iommufd_ctx *ctx, uint64_t iova_alignment, struct iommufd_access **access)
{
	int rc = iommufd_object_alloc(ctx, sizeof(**access), IOMMUFD_OBJ_ACCESS, access);

	if (rc)
		return rc;
	iommufd_object_use(&(*access)->obj); /* until it is destroyed */
	pthread_mutex_init(&(*access)->ioas_lock, NULL);
	(*access)->iova_alignment = iova_alignment;
	return 0;
}

int iommufd_access_create(struct iommufd_ctx *ctx, const struct iommufd_access_ops *ops, void *data,
			  struct iommufd_access **paccess, uint32_t *id)
{
	struct iommufd_access *access;
	int rc = access_new(ctx, ops->needs_pin_pages ? UVFIO_PAGE_SIZE : 1, &access);

	if (rc)
		return rc;
	access->data = data;
	access->ops = ops;
	access->ctx = ctx;
	access->bytes = stat_slot_take();
	iommufd_ctx_get(ctx);
	*id = access->obj.id;
	*paccess = access;
	iommufd_object_finalize(ctx, &access->obj);
	return 0;
}

int iommufd_access_create_internal(struct iommufd_ctx *ctx, struct iommufd_access **paccess)
{
	struct iommufd_access *access;
	int rc = access_new(ctx, UVFIO_PAGE_SIZE, &access);

	if (rc)
		return rc;
	*paccess = access;
	iommufd_object_finalize(ctx, &access->obj);
	return 0;
}

void iommufd_access_destroy(struct iommufd_access *access)
{
	iommufd_object_destroy_user(access->ctx, &access->obj);
}

void iommufd_access_destroy_internal(struct iommufd_ctx *ctx, struct iommufd_access *access)
{
	iommufd_object_destroy_user(ctx, &access->obj);
}

void iommufd_access_destroy_object(struct iommufd_object *obj)
{
	struct iommufd_access *access = container_of(obj, struct iommufd_access, obj);

	iommufd_access_detach(access);
	stat_slot_give(access->bytes);
	pthread_mutex_destroy(&access->ioas_lock);
	if (!is_internal(access))
		iommufd_ctx_put(access->ctx);
}

/* ---- use */

/* Held for a call to its driver, so that a destroy waits. */
static struct iommufd_access *lock_access(struct io_pagetable *iopt, uint32_t *list_id)
{
	struct iommufd_access *access = NULL;

	pthread_mutex_lock(&iopt->accesses_lock);
	for (; *list_id < iopt->max_accesses; ++*list_id) {
		access = iopt->accesses[*list_id];
		if (access && !is_internal(access) && iommufd_lock_listed_obj(access->ctx, &access->obj))
			break;
		access = NULL;
	}
	pthread_mutex_unlock(&iopt->accesses_lock);
	return access;
}

void iommufd_access_notify_unmap(struct io_pagetable *iopt, uint64_t iova, uint64_t len)
{
	struct iommufd_access *access;
	uint32_t list_id = 0;

	for (; (access = lock_access(iopt, &list_id)); list_id++) {
		if (access->ops->unmap)
			access->ops->unmap(access->data, iova, len);
		iommufd_put_object(access->ctx, &access->obj);
	}
}

static int not_attached(uint64_t iova)
{
	return DMA_FAILED(-ENOENT, ((struct dma_fault){ .kind = DMA_NO_DOMAIN, .at = iova }),
			  "the access is not attached");
}

static int check_range(uint64_t iova, uint64_t length)
{
	uint64_t last;

	if (!length)
		return WHY_ALWAYS(-EINVAL, "length is 0");
	if (add_overflows(iova, length - 1, &last))
		return WHY_ALWAYS(-EOVERFLOW, "the range ends behind the last address");
	return 0;
}

pthread_mutex_t *iommufd_access_lock(struct iommufd_access *access)
{
	return &access->ioas_lock;
}

int iommufd_access_pin_locked(struct iommufd_access *access, uint64_t iova, uint64_t length,
			      struct mm_page *pages, unsigned int flags)
{
	int rc;

	if (access->iova_alignment != UVFIO_PAGE_SIZE || (!is_internal(access) && !access->ops->unmap))
		return WHY_ALWAYS(-EINVAL, "this access does not pin pages");
	rc = check_range(iova, length);
	if (rc)
		return rc;
	if (!access->ioas)
		return not_attached(iova);
	return iopt_access_pin(&access->ioas->iopt, iova, length, pages, flags, is_internal(access));
}

void iommufd_access_unpin_locked(struct iommufd_access *access, uint64_t iova, uint64_t length)
{
	if (!check_range(iova, length) && access->ioas_unpin)
		iopt_access_unpin(&access->ioas_unpin->iopt, iova, length, is_internal(access));
}

bool iommufd_access_find_locked(struct iommufd_access *access, uint64_t va,
				bool (*fn)(void *arg, uint64_t iova), void *arg)
{
	return access->ioas_unpin && iopt_access_find(&access->ioas_unpin->iopt, va, fn, arg);
}

int iommufd_access_pin_pages(struct iommufd_access *access, uint64_t iova, uint64_t length,
			     struct mm_page *pages, unsigned int flags)
{
	int rc;

	pthread_mutex_lock(&access->ioas_lock);
	rc = iommufd_access_pin_locked(access, iova, length, pages, flags);
	pthread_mutex_unlock(&access->ioas_lock);
	return rc;
}

void iommufd_access_unpin_pages(struct iommufd_access *access, uint64_t iova, uint64_t length)
{
	pthread_mutex_lock(&access->ioas_lock);
	iommufd_access_unpin_locked(access, iova, length);
	pthread_mutex_unlock(&access->ioas_lock);
}

int iommufd_access_rw(struct iommufd_access *access, uint64_t iova, void *data, size_t len,
		      unsigned int flags)
{
	int rc = check_range(iova, len);

	if (rc)
		return rc;
	pthread_mutex_lock(&access->ioas_lock);
	if (access->ioas)
		rc = iopt_access_rw(&access->ioas->iopt, iova, data, len, flags);
	else
		rc = not_attached(iova);
	if (likely(!rc))
		stat_slot_add(access->bytes, len, flags & IOMMUFD_ACCESS_RW_WRITE);
	pthread_mutex_unlock(&access->ioas_lock);
	return rc;
}

void iommufd_access_describe(struct iommufd_access *access, uint64_t iova, char *buf, size_t len)
{
	*buf = 0;
	pthread_mutex_lock(&access->ioas_lock);
	if (access->ioas)
		iopt_describe(&access->ioas->iopt, iova, buf, len);
	pthread_mutex_unlock(&access->ioas_lock);
}
