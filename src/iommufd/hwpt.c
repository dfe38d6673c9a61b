/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware page tables of an IOAS, and IOMMU_HWPT_ALLOC, which makes nested ones, too (hwpt_nested.c).
 *
 * A paging HWPT is a user of its IOAS and has all of its areas; ioas->mutex is held from before it is filled
 * until it is published, so that the list of an IOAS's HWPTs has only complete ones.
 */
#include "iommufd/impl.h"

#include "base/why.h"

static struct iommufd_hwpt_paging *to_paging(struct iommufd_hw_pagetable *hwpt)
{
	return container_of(hwpt, struct iommufd_hwpt_paging, common);
}

static struct iommufd_hwpt_paging *paging_of(struct iommufd_object *obj)
{
	return container_of(obj, struct iommufd_hwpt_paging, common.obj);
}

struct iommufd_hwpt_paging *iommufd_find_hwpt_paging(struct iommufd_hw_pagetable *hwpt)
{
	if (hwpt->obj.type == IOMMUFD_OBJ_HWPT_PAGING)
		return to_paging(hwpt);
	return container_of(hwpt, struct iommufd_hwpt_nested, common)->parent;
}

/* ---- the end */

void iommufd_hwpt_fini(struct iommufd_hw_pagetable *hwpt)
{
	if (hwpt->domain)
		hwpt->domain->ops->free(hwpt->domain);
	if (hwpt->fault)
		iommufd_object_unuse(&hwpt->fault->common.obj);
}

static void paging_destroy(struct iommufd_hwpt_paging *paging)
{
	iommufd_hwpt_fini(&paging->common);
	iommufd_object_unuse(&paging->ioas->obj);
}

void iommufd_hwpt_paging_abort(struct iommufd_object *obj)
{
	struct iommufd_hwpt_paging *paging = paging_of(obj);

	if (!cds_list_empty(&paging->hwpt_item)) {
		cds_list_del(&paging->hwpt_item);
		iopt_table_remove_domain(&paging->ioas->iopt, paging->common.domain);
	}
	paging_destroy(paging);
}

void iommufd_hwpt_paging_destroy(struct iommufd_object *obj)
{
	struct iommufd_hwpt_paging *paging = paging_of(obj);

	pthread_mutex_lock(&paging->ioas->mutex);
	cds_list_del(&paging->hwpt_item);
	pthread_mutex_unlock(&paging->ioas->mutex);
	iopt_table_remove_domain(&paging->ioas->iopt, paging->common.domain);
	paging_destroy(paging);
}

void iommufd_hw_pagetable_put(struct iommufd_ctx *ctx, struct iommufd_hw_pagetable *hwpt)
{
	if (hwpt->obj.type == IOMMUFD_OBJ_HWPT_PAGING && to_paging(hwpt)->auto_domain)
		iommufd_object_put_and_try_destroy(ctx, &hwpt->obj);
	else
		iommufd_object_unuse(&hwpt->obj);
}

/* ---- paging */

static int check_flags(const struct iommufd_hw_dev *dev, uint32_t flags)
{
	const uint32_t known = IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING |
			       IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID;

	if (flags & ~known)
		return WHY(-EOPNOTSUPP,
			   "unknown flags 0x%x: known are NEST_PARENT, DIRTY_TRACKING, FAULT_ID_VALID, PASID",
			   flags & ~known);
	if (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING && !dev->dirty_tracking)
		return WHY(-EOPNOTSUPP, "%s has an IOMMU that does not track dirty pages", dev->name);
	if (flags & IOMMU_HWPT_FAULT_ID_VALID && flags & IOMMU_HWPT_ALLOC_NEST_PARENT)
		return WHY(-EOPNOTSUPP, "a nesting parent has no fault queue");
	return 0;
}

void iommufd_hwpt_set_domain(struct iommufd_hw_pagetable *hwpt, struct iommufd_domain *domain,
			     const struct iommufd_hw_dev_ops *owner)
{
	hwpt->domain = domain;
	domain->owner = owner;
	domain->hwpt = hwpt;
}

/* Make the domain and fill it. The caller aborts when it fails. */
static int paging_init(struct iommufd_hwpt_paging *paging, struct iommufd_device *idev, uint32_t flags,
		       const struct iommufd_user_data *data)
{
	struct iommufd_hw_dev *dev = idev->dev;
	struct iommufd_domain *domain;
	int rc;

	rc = dev->ops->alloc_paging(dev, flags & ~(uint32_t)IOMMU_HWPT_FAULT_ID_VALID, data, &domain);
	if (rc)
		return rc;
	iommufd_hwpt_set_domain(&paging->common, domain, dev->ops);
	paging->enforce_cache_coherency = dev->enforce_coherency;
	return iopt_table_add_domain(&paging->ioas->iopt, domain);
}

int iommufd_hwpt_paging_alloc(struct iommufd_ctx *ctx, struct iommufd_ioas *ioas, struct iommufd_device *idev,
			      uint32_t flags, const struct iommufd_user_data *data,
			      struct iommufd_hwpt_paging **hwpt)
{
	struct iommufd_hwpt_paging *paging;
	int rc = check_flags(idev->dev, flags);

	if (rc)
		return rc;
	rc = iommufd_object_alloc(ctx, sizeof(*paging), IOMMUFD_OBJ_HWPT_PAGING, &paging);
	if (rc)
		return rc;
	CDS_INIT_LIST_HEAD(&paging->hwpt_item);
	iommufd_object_use(&ioas->obj);
	paging->ioas = ioas;
	paging->common.pasid_compat = flags & IOMMU_HWPT_ALLOC_PASID;
	paging->nest_parent = flags & IOMMU_HWPT_ALLOC_NEST_PARENT;
	rc = paging_init(paging, idev, flags, data);
	if (rc) {
		iommufd_object_abort_and_destroy(ctx, &paging->common.obj);
		return rc;
	}
	cds_list_add_tail(&paging->hwpt_item, &ioas->hwpt_list);
	*hwpt = paging;
	return 0;
}

/* ---- IOMMU_HWPT_ALLOC */

static int alloc_on(struct iommufd_device *idev, struct iommufd_object *on, uint32_t flags,
		    const struct iommufd_user_data *data, struct iommufd_hw_pagetable **hwpt)
{
	struct iommufd_hwpt_paging *paging;
	int rc;

	switch (on->type) {
	case IOMMUFD_OBJ_IOAS:
		rc = iommufd_hwpt_paging_alloc(idev->ctx, container_of(on, struct iommufd_ioas, obj), idev,
					       flags, data->len ? data : NULL, &paging);
		if (!rc)
			*hwpt = &paging->common;
		return rc;
	case IOMMUFD_OBJ_HWPT_PAGING:
		return iommufd_hwpt_nested_alloc(idev, paging_of(on), flags, data, hwpt);
	case IOMMUFD_OBJ_VIOMMU:
		return iommufd_viommu_alloc_hwpt_nested(container_of(on, struct iommufd_viommu, obj), idev,
							flags, data, hwpt);
	default:
		return WHY(-EINVAL, "object %u is no IOAS, HWPT or vIOMMU", on->id);
	}
}

static int set_fault(struct iommufd_ctx *ctx, struct iommufd_hw_pagetable *hwpt, uint32_t fault_id)
{
	struct iommufd_fault *fault = iommufd_get_object(ctx, fault_id, IOMMUFD_OBJ_FAULT);

	if (!fault)
		return -ENOENT;
	hwpt->fault = fault;
	iommufd_object_use(&fault->common.obj);
	iommufd_put_object(ctx, &fault->common.obj);
	return 0;
}

/* Alloc and publish; for an IOAS under its mutex. */
static int alloc_and_tell(struct iommufd_ucmd *ucmd, struct iommufd_device *idev, struct iommufd_object *on)
{
	struct iommu_hwpt_alloc *cmd = ucmd->arg;
	const struct iommufd_user_data data = { ucmd->caller, cmd->data_type, cmd->data_uptr, cmd->data_len };
	struct iommufd_hw_pagetable *hwpt;
	int rc = alloc_on(idev, on, cmd->flags, &data, &hwpt);

	if (rc)
		return rc;
	if (cmd->flags & IOMMU_HWPT_FAULT_ID_VALID)
		rc = set_fault(ucmd->ctx, hwpt, cmd->fault_id);
	if (!rc) {
		cmd->out_hwpt_id = hwpt->obj.id;
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	}
	if (rc)
		iommufd_object_abort_and_destroy(ucmd->ctx, &hwpt->obj);
	else
		iommufd_object_finalize(ucmd->ctx, &hwpt->obj);
	return rc;
}

int iommufd_hwpt_alloc(struct iommufd_ucmd *ucmd)
{
	struct iommu_hwpt_alloc *cmd = ucmd->arg;
	struct iommufd_ioas *ioas = NULL;
	struct iommufd_device *idev;
	struct iommufd_object *on;
	int rc;

	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is not 0");
	if ((cmd->data_type == IOMMU_HWPT_DATA_NONE) != !cmd->data_len)
		return WHY(-EINVAL, "data of type %u with %u bytes", cmd->data_type, cmd->data_len);
	idev = iommufd_get_device(ucmd->ctx, cmd->dev_id);
	if (!idev)
		return -ENOENT;
	on = iommufd_get_object(ucmd->ctx, cmd->pt_id, IOMMUFD_OBJ_ANY);
	if (!on) {
		rc = WHY(-EINVAL, "no object has the id %u: it must be an IOAS, an HWPT or a vIOMMU",
			 cmd->pt_id);
		goto put_idev;
	}
	if (on->type == IOMMUFD_OBJ_IOAS)
		ioas = container_of(on, struct iommufd_ioas, obj);
	if (ioas)
		pthread_mutex_lock(&ioas->mutex);
	rc = alloc_and_tell(ucmd, idev, on);
	if (ioas)
		pthread_mutex_unlock(&ioas->mutex);
	iommufd_put_object(ucmd->ctx, on);
put_idev:
	iommufd_put_object(ucmd->ctx, &idev->obj);
	return rc;
}
