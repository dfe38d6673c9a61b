/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices are attached to.
 *
 * A group is attached as a whole, once per PASID: struct iommufd_attach has what to, and which of the
 * group's devices asked for it. The first one to ask attaches every device of the group that is bound, and
 * the last one to go detaches them. Each that asks holds a user reference of the HWPT, and has its reserved
 * windows taken out of the IOAS.
 *
 * All of it is under igroup->lock, which is inside an IOAS's mutex.
 */
#include "iommufd/impl.h"

#include "base/why.h"

#include <stdlib.h>

struct iommufd_attach {
	struct cds_list_head node; /* in igroup->attaches */
	uint32_t pasid;
	struct iommufd_hw_pagetable *hwpt;
	struct cds_list_head devices; /* struct attach_device: who asked */
	unsigned int nr;
};

struct attach_device {
	struct cds_list_head node;
	struct iommufd_device *idev;
};

static struct iommufd_attach *find_attach(struct iommufd_group *igroup, uint32_t pasid)
{
	struct iommufd_attach *attach;

	cds_list_for_each_entry (attach, &igroup->attaches, node)
		if (attach->pasid == pasid)
			return attach;
	return NULL;
}

static struct attach_device *find_device(struct iommufd_attach *attach, struct iommufd_device *idev)
{
	struct attach_device *asked;

	cds_list_for_each_entry (asked, &attach->devices, node)
		if (asked->idev == idev)
			return asked;
	return NULL;
}

struct iommufd_hw_pagetable *iommufd_device_hwpt(struct iommufd_device *idev, uint32_t pasid)
{
	struct iommufd_attach *attach = find_attach(idev->igroup, pasid);

	return attach ? attach->hwpt : NULL;
}

/* ---- the hardware */

/* A device without PASIDs makes no access with one. */
static bool concerned(const struct iommufd_device *idev, uint32_t pasid)
{
	return pasid == IOMMU_NO_PASID || idev->dev->max_pasid_log2;
}

static struct iommufd_domain *domain_of(const struct iommufd_hw_pagetable *hwpt)
{
	return hwpt ? hwpt->domain : NULL;
}

/* One device goes from one to the other; NULL: nothing. */
static int set_device(struct iommufd_device *idev, uint32_t pasid, struct iommufd_hw_pagetable *to,
		      struct iommufd_hw_pagetable *from)
{
	const struct iommufd_hw_dev *dev = idev->dev;
	int rc;

	if (to && to->domain->owner != dev->ops)
		return WHY(-EINVAL, "HWPT %u was made for other hardware than %s", to->obj.id, dev->name);
	if (!concerned(idev, pasid))
		return 0;
	if (to && pasid && pasid >> dev->max_pasid_log2)
		return WHY(-EINVAL, "PASID %u: %s has %u bits of them", pasid, dev->name,
			   dev->max_pasid_log2);
	rc = dev->ops->attach(idev->dev, pasid, domain_of(to), domain_of(from));
	if (!rc && from)
		iommufd_auto_response_faults(from, idev);
	return rc;
}

/* All devices of the group, or none. */
static int set_group(struct iommufd_group *igroup, uint32_t pasid, struct iommufd_hw_pagetable *hwpt,
		     struct iommufd_hw_pagetable *old)
{
	struct iommufd_device *idev, *done;
	int rc = 0;

	cds_list_for_each_entry (idev, &igroup->devices, group_node) {
		rc = set_device(idev, pasid, hwpt, old);
		if (rc)
			break;
	}
	if (!rc)
		return 0;
	cds_list_for_each_entry (done, &igroup->devices, group_node) {
		if (done == idev)
			break;
		set_device(done, pasid, old, hwpt);
	}
	return rc;
}

int iommufd_group_join(struct iommufd_device *idev)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_attach *attach, *done;
	int rc = 0;

	pthread_mutex_lock(&igroup->lock);
	cds_list_for_each_entry (attach, &igroup->attaches, node) {
		rc = set_device(idev, attach->pasid, attach->hwpt, NULL);
		if (rc)
			goto undo;
	}
	cds_list_add_tail(&idev->group_node, &igroup->devices);
	goto unlock;
undo:
	cds_list_for_each_entry (done, &igroup->attaches, node) {
		if (done == attach)
			break;
		set_device(idev, done->pasid, NULL, done->hwpt);
	}
unlock:
	pthread_mutex_unlock(&igroup->lock);
	return rc;
}

void iommufd_group_leave(struct iommufd_device *idev)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_attach *attach;

	pthread_mutex_lock(&igroup->lock);
	cds_list_del(&idev->group_node);
	cds_list_for_each_entry (attach, &igroup->attaches, node)
		set_device(idev, attach->pasid, NULL, attach->hwpt);
	pthread_mutex_unlock(&igroup->lock);
}

/* ---- one HWPT */

/* An HWPT that is not made for PASIDs is used alone, and never with one. */
static int pasid_compat(const struct iommufd_hw_pagetable *hwpt, struct iommufd_group *igroup, uint32_t pasid)
{
	const struct iommufd_attach *attach;

	if (!hwpt->pasid_compat && pasid != IOMMU_NO_PASID)
		return WHY(-EINVAL, "HWPT %u was not made with IOMMU_HWPT_ALLOC_PASID", hwpt->obj.id);
	cds_list_for_each_entry (attach, &igroup->attaches, node) {
		if (attach->pasid == pasid)
			continue;
		if (pasid == IOMMU_NO_PASID && !hwpt->pasid_compat)
			return WHY(-EINVAL, "HWPT %u is not for devices that use PASIDs", hwpt->obj.id);
		if (attach->pasid == IOMMU_NO_PASID && !attach->hwpt->pasid_compat)
			return WHY(-EINVAL, "HWPT %u, attached without PASID, is not for PASIDs",
				   attach->hwpt->obj.id);
	}
	return 0;
}

static int reserve(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev, uint32_t pasid)
{
	if (pasid != IOMMU_NO_PASID)
		return 0;
	return iopt_table_enforce_dev_resv_regions(&iommufd_find_hwpt_paging(hwpt)->ioas->iopt, idev->dev);
}

static void unreserve(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev, uint32_t pasid)
{
	if (pasid == IOMMU_NO_PASID)
		iopt_remove_reserved_iova(&iommufd_find_hwpt_paging(hwpt)->ioas->iopt, idev->dev);
}

/* The group's first device. */
static int attach_first(struct iommufd_attach *attach, struct iommufd_device *idev)
{
	int rc = pasid_compat(attach->hwpt, idev->igroup, attach->pasid);

	if (!rc)
		rc = set_group(idev->igroup, attach->pasid, attach->hwpt, NULL);
	if (!rc)
		cds_list_add_tail(&attach->node, &idev->igroup->attaches);
	return rc;
}

static int attach_device(struct iommufd_attach *attach, struct iommufd_hw_pagetable *hwpt,
			 struct iommufd_device *idev)
{
	struct attach_device *asked;
	int rc;

	if (find_device(attach, idev))
		return WHY(-EBUSY, "the device is attached already");
	if (attach->hwpt != hwpt)
		return WHY(-EINVAL, "the device's group is attached to HWPT %u", attach->hwpt->obj.id);
	asked = iommufd_zalloc(sizeof(*asked));
	if (!asked)
		return -ENOMEM;
	rc = reserve(hwpt, idev, attach->pasid);
	if (rc)
		goto free;
	rc = attach->nr ? 0 : attach_first(attach, idev);
	if (rc)
		goto unreserve;
	asked->idev = idev;
	cds_list_add_tail(&asked->node, &attach->devices);
	attach->nr++;
	iommufd_object_use(&hwpt->obj);
	return 0;
unreserve:
	unreserve(hwpt, idev, attach->pasid);
free:
	free(asked);
	return rc;
}

int iommufd_hw_pagetable_attach(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev,
				uint32_t pasid)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_attach *attach;
	int rc = -ENOMEM;

	pthread_mutex_lock(&igroup->lock);
	attach = find_attach(igroup, pasid);
	if (!attach) {
		attach = iommufd_zalloc(sizeof(*attach));
		if (!attach)
			goto unlock;
		attach->pasid = pasid;
		attach->hwpt = hwpt;
		CDS_INIT_LIST_HEAD(&attach->devices);
	}
	rc = attach_device(attach, hwpt, idev);
	if (!attach->nr)
		free(attach);
unlock:
	pthread_mutex_unlock(&igroup->lock);
	return rc;
}

struct iommufd_hw_pagetable *iommufd_hw_pagetable_detach(struct iommufd_device *idev, uint32_t pasid)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_hw_pagetable *hwpt = NULL;
	struct iommufd_attach *attach;
	struct attach_device *asked;

	pthread_mutex_lock(&igroup->lock);
	attach = find_attach(igroup, pasid);
	asked = attach ? find_device(attach, idev) : NULL;
	if (asked) {
		hwpt = attach->hwpt;
		cds_list_del(&asked->node);
		free(asked);
		if (!--attach->nr) {
			set_group(igroup, pasid, NULL, hwpt);
			cds_list_del(&attach->node);
			free(attach);
		}
		unreserve(hwpt, idev, pasid);
	}
	pthread_mutex_unlock(&igroup->lock);
	if (hwpt)
		iommufd_hw_pagetable_put(idev->ctx, hwpt);
	return hwpt;
}

/* ---- replace */

static void unreserve_group(struct iommufd_attach *attach, struct iommufd_hw_pagetable *hwpt)
{
	struct attach_device *asked;

	cds_list_for_each_entry (asked, &attach->devices, node)
		unreserve(hwpt, asked->idev, attach->pasid);
}

static int reserve_group(struct iommufd_attach *attach, struct iommufd_hw_pagetable *hwpt)
{
	struct attach_device *asked;
	int rc;

	cds_list_for_each_entry (asked, &attach->devices, node) {
		rc = reserve(hwpt, asked->idev, attach->pasid);
		if (rc) {
			unreserve_group(attach, hwpt);
			return rc;
		}
	}
	return 0;
}

/* The references that its devices hold move to hwpt; one of the old one is kept for the caller to give back.
 */
static int replace_group(struct iommufd_attach *attach, struct iommufd_group *igroup,
			 struct iommufd_hw_pagetable *hwpt)
{
	struct iommufd_hw_pagetable *old = attach->hwpt;
	bool other_ioas = iommufd_find_hwpt_paging(hwpt)->ioas != iommufd_find_hwpt_paging(old)->ioas;
	int rc = other_ioas ? reserve_group(attach, hwpt) : 0;

	if (rc)
		return rc;
	rc = pasid_compat(hwpt, igroup, attach->pasid);
	if (!rc)
		rc = set_group(igroup, attach->pasid, hwpt, old);
	if (other_ioas)
		unreserve_group(attach, rc ? hwpt : old);
	if (rc)
		return rc;
	attach->hwpt = hwpt;
	atomic_fetch_add(&hwpt->obj.users, attach->nr);
	atomic_fetch_sub(&old->obj.users, attach->nr - 1);
	return 0;
}

int iommufd_hw_pagetable_replace(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev,
				 uint32_t pasid, struct iommufd_hw_pagetable **old)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_hw_pagetable *before;
	struct iommufd_attach *attach;
	int rc = 0;

	pthread_mutex_lock(&igroup->lock);
	attach = find_attach(igroup, pasid);
	if (!attach || !find_device(attach, idev)) {
		rc = WHY(-EINVAL, "the device is not attached");
	} else if (attach->hwpt != hwpt) {
		before = attach->hwpt;
		rc = replace_group(attach, igroup, hwpt);
		if (!rc)
			*old = before;
	}
	pthread_mutex_unlock(&igroup->lock);
	return rc;
}
