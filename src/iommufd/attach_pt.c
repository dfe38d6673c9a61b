/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching to an id: that of an HWPT, or of an IOAS.
 *
 * An IOAS stands for any automatic HWPT of it that suits the device; when there is none, one is made. Such a
 * HWPT goes with its last user reference, which whoever holds the last one gives back with no lock held.
 */
#include "iommufd/impl.h"

#include "base/why.h"

typedef int change_fn(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hw_pagetable *hwpt,
		      struct iommufd_hw_pagetable **old);

static int do_attach(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hw_pagetable *hwpt,
		     struct iommufd_hw_pagetable **old)
{
	(void)old;
	return iommufd_hw_pagetable_attach(hwpt, idev, pasid);
}

static int do_replace(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hw_pagetable *hwpt,
		      struct iommufd_hw_pagetable **old)
{
	return iommufd_hw_pagetable_replace(hwpt, idev, pasid, old);
}

/*
 * An automatic HWPT of ioas that suits the device. -EINVAL: none does. *kept: a user reference of it is the
 * caller's: when another device of the group has moved on meanwhile, it may be the last one.
 */
static int change_to_existing(struct iommufd_device *idev, uint32_t pasid, struct iommufd_ioas *ioas,
			      change_fn *change, struct iommufd_hw_pagetable **old,
			      struct iommufd_hw_pagetable **kept)
{
	struct iommufd_hwpt_paging *paging;

	cds_list_for_each_entry (paging, &ioas->hwpt_list, hwpt_item) {
		struct iommufd_object *obj = &paging->common.obj;
		int rc;

		if (!paging->auto_domain || !iommufd_lock_listed_obj(idev->ctx, obj))
			continue;
		rc = change(idev, pasid, &paging->common, old);
		if (!rc) {
			iommufd_object_use(obj);
			*kept = &paging->common;
		}
		iommufd_put_object(idev->ctx, obj);
		if (rc != -EINVAL)
			return rc;
	}
	return -EINVAL;
}

/* The same with a new one. */
static int change_to_new(struct iommufd_device *idev, uint32_t pasid, struct iommufd_ioas *ioas,
			 change_fn *change, struct iommufd_hw_pagetable **old,
			 struct iommufd_hw_pagetable **kept)
{
	struct iommufd_hwpt_paging *paging;
	struct iommufd_object *obj;
	int rc = iommufd_hwpt_paging_alloc(idev->ctx, ioas, idev, 0, NULL, &paging);

	if (rc)
		return rc;
	obj = &paging->common.obj;
	paging->auto_domain = true;
	iommufd_object_use(obj);
	rc = change(idev, pasid, &paging->common, old);
	if (rc) {
		iommufd_object_unuse(obj);
		iommufd_object_abort_and_destroy(idev->ctx, obj);
		return rc;
	}
	*kept = &paging->common;
	iommufd_object_finalize(idev->ctx, obj);
	return 0;
}

static int change_to_ioas(struct iommufd_device *idev, uint32_t pasid, struct iommufd_ioas *ioas,
			  uint32_t *pt_id, change_fn *change, struct iommufd_hw_pagetable **old)
{
	struct iommufd_hw_pagetable *kept;
	int rc;

	pthread_mutex_lock(&ioas->mutex);
	rc = change_to_existing(idev, pasid, ioas, change, old, &kept);
	if (rc == -EINVAL) {
		why_clear(); /* of those that were tried */
		rc = change_to_new(idev, pasid, ioas, change, old, &kept);
	}
	pthread_mutex_unlock(&ioas->mutex);
	if (rc)
		return rc;
	*pt_id = kept->obj.id;
	iommufd_hw_pagetable_put(idev->ctx, kept);
	return 0;
}

static int change_pt(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id, change_fn *change)
{
	struct iommufd_object *obj = iommufd_get_object(idev->ctx, *pt_id, IOMMUFD_OBJ_ANY);
	struct iommufd_hw_pagetable *old = NULL;
	int rc;

	if (!obj)
		return WHY(-ENOENT, "no object has the id %u: it must be an IOAS or an HWPT", *pt_id);
	switch (obj->type) {
	case IOMMUFD_OBJ_HWPT_PAGING:
	case IOMMUFD_OBJ_HWPT_NESTED:
		rc = change(idev, pasid, container_of(obj, struct iommufd_hw_pagetable, obj), &old);
		break;
	case IOMMUFD_OBJ_IOAS:
		rc = change_to_ioas(idev, pasid, container_of(obj, struct iommufd_ioas, obj), pt_id, change,
				    &old);
		break;
	default:
		rc = WHY(-EINVAL, "object %u is neither an IOAS nor an HWPT", *pt_id);
	}
	iommufd_put_object(idev->ctx, obj);
	if (old)
		iommufd_hw_pagetable_put(idev->ctx, old);
	return rc;
}

int iommufd_device_attach(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id)
{
	int rc = change_pt(idev, pasid, pt_id, do_attach);

	if (!rc)
		iommufd_object_use(&idev->obj);
	return rc;
}

int iommufd_device_replace(struct iommufd_device *idev, uint32_t pasid, uint32_t *pt_id)
{
	return change_pt(idev, pasid, pt_id, do_replace);
}

void iommufd_device_detach(struct iommufd_device *idev, uint32_t pasid)
{
	if (iommufd_hw_pagetable_detach(idev, pasid))
		iommufd_object_unuse(&idev->obj);
}
