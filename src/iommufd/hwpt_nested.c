/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware page tables that a guest owns, nested in one of an IOAS.
 *
 * A nested HWPT is a user of its parent, or of its vIOMMU, which uses the parent. What stands in it only the
 * driver knows, to whom the data that describe it, and what invalidates its caches, are passed on.
 */
#include "iommufd/impl.h"

#include "base/why.h"

#define INVALIDATE_ENTRIES_MAX ((uint32_t)1 << 19)

void iommufd_hwpt_nested_destroy(struct iommufd_object *obj)
{
	struct iommufd_hwpt_nested *nested = container_of(obj, struct iommufd_hwpt_nested, common.obj);

	iommufd_hwpt_fini(&nested->common);
	iommufd_object_unuse(nested->viommu ? &nested->viommu->obj : &nested->parent->common.obj);
}

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
	iommufd_hwpt_set_domain(&nested->common, domain, parent->common.domain->owner);
	*hwpt = &nested->common;
	return 0;
}

int iommufd_hwpt_nested_alloc(struct iommufd_device *idev, struct iommufd_hwpt_paging *parent, uint32_t flags,
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

int iommufd_viommu_alloc_hwpt_nested(struct iommufd_viommu *viommu, struct iommufd_device *idev,
				     uint32_t flags, const struct iommufd_user_data *data,
				     struct iommufd_hw_pagetable **hwpt)
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
		rc = obj ? invalidate(obj, &array)
			 : WHY(-ENOENT, "no object has the id %u: it must be a nested HWPT or a vIOMMU",
			       cmd->hwpt_id);
		if (obj) {
			cmd->entry_num = array.entry_num;
			iommufd_put_object(ucmd->ctx, obj);
		}
	}
	return iommufd_ucmd_respond(ucmd, sizeof(*cmd)) ? -EFAULT : rc;
}
