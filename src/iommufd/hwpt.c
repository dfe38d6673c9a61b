/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware page tables: the domains of an IOAS, and those that a guest's page tables are nested in.
 *
 * A paging HWPT is a user of its IOAS and has all of its areas; ioas->mutex is held from before it is filled
 * until it is published, so that the list of an IOAS's HWPTs has only complete ones. A nested one is a user
 * of its parent, or of its vIOMMU, which uses the parent.
 */
#include "iommufd/impl.h"

#include "base/why.h"

#define INVALIDATE_ENTRIES_MAX ((uint32_t)1 << 19)

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

static void hwpt_destroy(struct iommufd_hw_pagetable *hwpt)
{
	if (hwpt->domain)
		hwpt->domain->ops->free(hwpt->domain);
	if (hwpt->fault)
		iommufd_object_unuse(&hwpt->fault->common.obj);
}

static void paging_destroy(struct iommufd_hwpt_paging *paging)
{
	hwpt_destroy(&paging->common);
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

void iommufd_hwpt_nested_destroy(struct iommufd_object *obj)
{
	struct iommufd_hwpt_nested *nested = container_of(obj, struct iommufd_hwpt_nested, common.obj);

	hwpt_destroy(&nested->common);
	iommufd_object_unuse(nested->viommu ? &nested->viommu->obj : &nested->parent->common.obj);
}

void iommufd_hwpt_nested_abort(struct iommufd_object *obj)
{
	iommufd_hwpt_nested_destroy(obj);
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
		return WHY(-EOPNOTSUPP, "unknown flags 0x%x", flags & ~known);
	if (flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING && !dev->dirty_tracking)
		return WHY(-EOPNOTSUPP, "%s has an IOMMU that does not track dirty pages", dev->name);
	if (flags & IOMMU_HWPT_FAULT_ID_VALID && flags & IOMMU_HWPT_ALLOC_NEST_PARENT)
		return WHY(-EOPNOTSUPP, "a nesting parent has no fault queue");
	return 0;
}

static void hwpt_set_domain(struct iommufd_hw_pagetable *hwpt, struct iommufd_domain *domain,
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
	hwpt_set_domain(&paging->common, domain, dev->ops);
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

/* ---- nested */

static int check_nested_flags(uint32_t flags, const struct iommufd_user_data *data)
{
	if (flags & ~(uint32_t)(IOMMU_HWPT_FAULT_ID_VALID | IOMMU_HWPT_ALLOC_PASID))
		return WHY(-EOPNOTSUPP, "a nested HWPT has only FAULT_ID_VALID and ALLOC_PASID as flags");
	if (!data->len)
		return WHY(-EOPNOTSUPP, "a nested HWPT is described by data");
	return 0;
}

/* By viommu, or (NULL) directly on parent. */
static int nested_alloc(struct iommufd_device *idev, struct iommufd_hwpt_paging *parent,
			struct iommufd_viommu *viommu, uint32_t flags, const struct iommufd_user_data *data,
			struct iommufd_hw_pagetable **hwpt)
{
	uint32_t driver_flags = flags & ~(uint32_t)IOMMU_HWPT_FAULT_ID_VALID;
	struct iommufd_hwpt_nested *nested;
	struct iommufd_domain *domain;
	int rc;

	rc = iommufd_object_alloc(idev->ctx, sizeof(*nested), IOMMUFD_OBJ_HWPT_NESTED, &nested);
	if (rc)
		return rc;
	nested->common.pasid_compat = flags & IOMMU_HWPT_ALLOC_PASID;
	nested->parent = parent;
	nested->viommu = viommu;
	iommufd_object_use(viommu ? &viommu->obj : &parent->common.obj);
	if (viommu)
		rc = viommu->ops->alloc_domain_nested(viommu, driver_flags, data, &domain);
	else
		rc = idev->dev->ops->alloc_nested(idev->dev, parent->common.domain, driver_flags, data,
						  &domain);
	if (rc) {
		iommufd_object_abort_and_destroy(idev->ctx, &nested->common.obj);
		return rc;
	}
	hwpt_set_domain(&nested->common, domain, parent->common.domain->owner);
	*hwpt = &nested->common;
	return 0;
}

static int alloc_on_parent(struct iommufd_device *idev, struct iommufd_hwpt_paging *parent, uint32_t flags,
			   const struct iommufd_user_data *data, struct iommufd_hw_pagetable **hwpt)
{
	int rc = check_nested_flags(flags, data);

	if (rc)
		return rc;
	if (!idev->dev->ops->alloc_nested)
		return WHY(-EOPNOTSUPP, "%s has an IOMMU without nesting", idev->dev->name);
	if (parent->auto_domain || !parent->nest_parent)
		return WHY(-EINVAL, "HWPT %u was not made with IOMMU_HWPT_ALLOC_NEST_PARENT",
			   parent->common.obj.id);
	if (parent->common.domain->owner != idev->dev->ops)
		return WHY(-EINVAL, "HWPT %u was made for other hardware", parent->common.obj.id);
	return nested_alloc(idev, parent, NULL, flags, data, hwpt);
}

static int alloc_on_viommu(struct iommufd_device *idev, struct iommufd_viommu *viommu, uint32_t flags,
			   const struct iommufd_user_data *data, struct iommufd_hw_pagetable **hwpt)
{
	int rc;

	if (viommu->hwpt->common.domain->owner != idev->dev->ops)
		return WHY(-EINVAL, "vIOMMU %u is of other hardware", viommu->obj.id);
	rc = check_nested_flags(flags, data);
	if (rc)
		return rc;
	if (!viommu->ops || !viommu->ops->alloc_domain_nested)
		return WHY(-EOPNOTSUPP, "vIOMMU %u has no nesting", viommu->obj.id);
	return nested_alloc(idev, viommu->hwpt, viommu, flags, data, hwpt);
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
		return alloc_on_parent(idev, paging_of(on), flags, data, hwpt);
	case IOMMUFD_OBJ_VIOMMU:
		return alloc_on_viommu(idev, container_of(on, struct iommufd_viommu, obj), flags, data, hwpt);
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
	int rc = -EINVAL;

	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is not 0");
	if ((cmd->data_type == IOMMU_HWPT_DATA_NONE) != !cmd->data_len)
		return WHY(-EINVAL, "data of type %u with %u bytes", cmd->data_type, cmd->data_len);
	idev = iommufd_get_device(ucmd->ctx, cmd->dev_id);
	if (!idev)
		return -ENOENT;
	on = iommufd_get_object(ucmd->ctx, cmd->pt_id, IOMMUFD_OBJ_ANY);
	if (!on)
		goto put_idev;
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

/* ---- IOMMU_HWPT_INVALIDATE */

/* array->entry_num: what was handled, which is nothing when there is no one to handle it. */
static int invalidate(struct iommufd_object *obj, struct iommufd_user_array *array)
{
	uint32_t nr = array->entry_num;
	struct iommufd_viommu *viommu;
	struct iommufd_domain *domain;

	array->entry_num = 0;
	if (obj->type == IOMMUFD_OBJ_HWPT_NESTED) {
		domain = container_of(obj, struct iommufd_hw_pagetable, obj)->domain;
		if (!domain->ops->cache_invalidate)
			return WHY(-EOPNOTSUPP, "HWPT %u has nothing to invalidate", obj->id);
		array->entry_num = nr;
		return domain->ops->cache_invalidate(domain, array);
	}
	if (obj->type == IOMMUFD_OBJ_VIOMMU) {
		viommu = container_of(obj, struct iommufd_viommu, obj);
		if (!viommu->ops || !viommu->ops->cache_invalidate)
			return WHY(-EOPNOTSUPP, "vIOMMU %u has nothing to invalidate", obj->id);
		array->entry_num = nr;
		return viommu->ops->cache_invalidate(viommu, array);
	}
	return WHY(-EINVAL, "object %u is neither a nested HWPT nor a vIOMMU", obj->id);
}

static int check_invalidate(const struct iommu_hwpt_invalidate *cmd)
{
	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is not 0");
	if (cmd->entry_num && (!cmd->data_uptr || !cmd->entry_len || cmd->entry_len > UVFIO_PAGE_SIZE ||
			       cmd->entry_num > INVALIDATE_ENTRIES_MAX))
		return WHY(-EINVAL, "%u entries of %u bytes at 0x%llx: at most %u of 4096 bytes",
			   cmd->entry_num, cmd->entry_len, (unsigned long long)cmd->data_uptr,
			   INVALIDATE_ENTRIES_MAX);
	return 0;
}

/* The caller is told how many entries were handled also when it fails. */
int iommufd_hwpt_invalidate(struct iommufd_ucmd *ucmd)
{
	struct iommu_hwpt_invalidate *cmd = ucmd->arg;
	struct iommufd_user_array array = {
		.caller = ucmd->caller,
		.type = cmd->data_type,
		.uptr = cmd->data_uptr,
		.entry_len = cmd->entry_len,
		.entry_num = cmd->entry_num,
	};
	struct iommufd_object *obj;
	int rc = check_invalidate(cmd);

	cmd->entry_num = 0;
	if (!rc) {
		obj = iommufd_get_object(ucmd->ctx, cmd->hwpt_id, IOMMUFD_OBJ_ANY);
		rc = obj ? invalidate(obj, &array) : -ENOENT;
		if (obj) {
			cmd->entry_num = array.entry_num;
			iommufd_put_object(ucmd->ctx, obj);
		}
	}
	return iommufd_ucmd_respond(ucmd, sizeof(*cmd)) ? -EFAULT : rc;
}
