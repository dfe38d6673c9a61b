/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fault queues: page faults of devices, for user space to answer.
 *
 * Faults come in groups: a device reports some with the same group number, the last of them marked so, and
 * gets one answer to all. A group is partial until its last fault has come, then it waits in deliver to be
 * read, then, with a cookie, in response to be answered. When its device is detached, or the queue
 * destroyed, it is answered invalid wherever it is.
 *
 * The driver's page_response() runs with the queue's mutex held, and must not call back.
 */
#include "base/why.h"
#include "iommufd/eventq.h"

#include <stdlib.h>

struct iopf_group {
	struct cds_list_head node; /* in partial, deliver or response */
	struct iommufd_device *idev;
	struct iommufd_hw_pagetable *hwpt;
	uint32_t pasid, grpid;
	uint32_t cookie;
	size_t nr;
	struct iopf_fault *faults;
};

static void free_group(struct iopf_group *group)
{
	free(group->faults);
	free(group);
}

static void answer(struct iommufd_hw_dev *dev, uint32_t pasid, uint32_t grpid, uint32_t code)
{
	struct iopf_response response = { .pasid = pasid, .grpid = grpid, .code = code };

	if (dev->ops->page_response)
		dev->ops->page_response(dev, &response);
}

/* Of no list any more. */
static void answer_group(struct iopf_group *group, uint32_t code)
{
	answer(group->idev->dev, group->pasid, group->grpid, code);
	free_group(group);
}

/* Move what is idev's faults in hwpt (NULL: all) to the list out. */
static void move_groups(struct cds_list_head *from, const struct iommufd_hw_pagetable *hwpt,
			const struct iommufd_device *idev, struct cds_list_head *out)
{
	struct iopf_group *group, *next;

	cds_list_for_each_entry_safe (group, next, from, node) {
		if (idev && (group->idev != idev || group->hwpt != hwpt))
			continue;
		cds_list_del(&group->node);
		cds_list_add_tail(&group->node, out);
	}
}

static void answer_all(struct cds_list_head *groups)
{
	struct iopf_group *group, *next;

	cds_list_for_each_entry_safe (group, next, groups, node)
		answer_group(group, IOMMUFD_PAGE_RESP_INVALID);
}

/* The device has had no last fault of these: it waits for no answer. */
static void free_all(struct cds_list_head *groups)
{
	struct iopf_group *group, *next;

	cds_list_for_each_entry_safe (group, next, groups, node)
		free_group(group);
}

static void drop_faults(struct iommufd_fault *fault, const struct iommufd_hw_pagetable *hwpt,
			const struct iommufd_device *idev)
{
	CDS_LIST_HEAD(complete);
	CDS_LIST_HEAD(partial);

	pthread_mutex_lock(&fault->mutex);
	move_groups(&fault->partial, hwpt, idev, &partial);
	pthread_mutex_lock(&fault->common.lock);
	move_groups(&fault->common.deliver, hwpt, idev, &complete);
	if (cds_list_empty(&fault->common.deliver))
		iommufd_eventq_hush(&fault->common);
	pthread_mutex_unlock(&fault->common.lock);
	move_groups(&fault->response, hwpt, idev, &complete);
	answer_all(&complete);
	free_all(&partial);
	pthread_mutex_unlock(&fault->mutex);
}

void iommufd_auto_response_faults(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev)
{
	if (hwpt->fault)
		drop_faults(hwpt->fault, hwpt, idev);
}

static struct iommufd_fault *fault_of(struct iommufd_object *obj)
{
	return container_of(obj, struct iommufd_fault, common.obj);
}

void iommufd_fault_destroy(struct iommufd_object *obj)
{
	drop_faults(fault_of(obj), NULL, NULL);
}

/* ---- a device reports */

static struct iopf_group *find_partial(struct iommufd_fault *fault, const struct iommufd_hw_pagetable *hwpt,
				       const struct iommufd_device *idev, const struct iopf_fault *iopf)
{
	struct iopf_group *group;

	cds_list_for_each_entry (group, &fault->partial, node)
		if (group->idev == idev && group->hwpt == hwpt && group->grpid == iopf->grpid)
			return group;
	return NULL;
}

static struct iopf_group *new_partial(struct iommufd_fault *fault, struct iommufd_hw_pagetable *hwpt,
				      struct iommufd_device *idev, const struct iopf_fault *iopf)
{
	struct iopf_group *group = iommufd_zalloc(sizeof(*group));

	if (!group)
		return NULL;
	group->idev = idev;
	group->hwpt = hwpt;
	group->grpid = iopf->grpid;
	cds_list_add_tail(&group->node, &fault->partial);
	return group;
}

static int append(struct iopf_group *group, const struct iopf_fault *iopf)
{
	struct iopf_fault *faults = NULL;

	if (!iommufd_should_fail())
		faults = realloc(group->faults, (group->nr + 1) * sizeof(*faults));
	if (!faults)
		return -ENOMEM;
	faults[group->nr++] = *iopf;
	group->faults = faults;
	return 0;
}

static void deliver(struct iommufd_fault *fault, struct iopf_group *group)
{
	pthread_mutex_lock(&fault->common.lock);
	cds_list_del(&group->node);
	cds_list_add_tail(&group->node, &fault->common.deliver);
	iommufd_eventq_ring(&fault->common);
	pthread_mutex_unlock(&fault->common.lock);
}

static int queue_fault(struct iommufd_hw_pagetable *hwpt, struct iommufd_device *idev,
		       const struct iopf_fault *iopf)
{
	struct iommufd_fault *fault = hwpt->fault;
	struct iopf_group *group;
	int rc = -ENOMEM;

	pthread_mutex_lock(&fault->mutex);
	group = find_partial(fault, hwpt, idev, iopf);
	if (!group)
		group = new_partial(fault, hwpt, idev, iopf);
	if (group)
		rc = append(group, iopf);
	if (!rc && (iopf->flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE)) {
		group->pasid = iopf->pasid;
		deliver(fault, group);
	} else if (rc && group && !group->nr) {
		cds_list_del(&group->node);
		free_group(group);
	}
	pthread_mutex_unlock(&fault->mutex);
	return rc;
}

/* A device whose tables of PASIDs are the guest's: their faults are those of the nested table. */
static struct iommufd_hw_pagetable *find_hwpt(struct iommufd_device *idev, const struct iopf_fault *iopf)
{
	struct iommufd_hw_pagetable *hwpt = NULL;

	if (iopf->flags & IOMMU_PGFAULT_FLAGS_PASID_VALID)
		hwpt = iommufd_device_hwpt(idev, iopf->pasid);
	if (hwpt)
		return hwpt;
	hwpt = iommufd_device_hwpt(idev, IOMMU_NO_PASID);
	if (hwpt && (iopf->flags & IOMMU_PGFAULT_FLAGS_PASID_VALID) &&
	    hwpt->obj.type != IOMMUFD_OBJ_HWPT_NESTED)
		return NULL;
	return hwpt;
}

int iommufd_report_fault(struct iommufd_device *idev, const struct iopf_fault *iopf)
{
	struct iommufd_hw_pagetable *hwpt;
	int rc = -EINVAL;

	pthread_mutex_lock(&idev->igroup->lock);
	hwpt = find_hwpt(idev, iopf);
	if (hwpt && hwpt->fault)
		rc = queue_fault(hwpt, idev, iopf);
	if (rc && (iopf->flags & IOMMU_PGFAULT_FLAGS_LAST_PAGE))
		answer(idev->dev, iopf->pasid, iopf->grpid, IOMMUFD_PAGE_RESP_INVALID);
	pthread_mutex_unlock(&idev->igroup->lock);
	return rc;
}

/* ---- user space reads, and answers */

/* Into response, which is sorted by cookie: with the lowest that is free, from 1 on. */
static void add_response(struct iommufd_fault *fault, struct iopf_group *group)
{
	struct iopf_group *each;

	group->cookie = 1;
	cds_list_for_each_entry (each, &fault->response, node) {
		if (each->cookie != group->cookie)
			break;
		group->cookie++;
	}
	cds_list_add_tail(&group->node, &each->node);
}

static struct iopf_group *take_response(struct iommufd_fault *fault, uint32_t cookie)
{
	struct iopf_group *group;

	cds_list_for_each_entry (group, &fault->response, node) {
		/* The analyzer does not see that what was freed has left the list. */
		if (group->cookie == cookie) { /* NOLINT(clang-analyzer-unix.Malloc) */
			cds_list_del(&group->node);
			return group;
		}
	}
	return NULL;
}

static int copy_group(const struct iopf_group *group, const struct caller *caller, uint64_t buf)
{
	for (size_t i = 0; i < group->nr; i++) {
		const struct iopf_fault *iopf = &group->faults[i];
		struct iommu_hwpt_pgfault out = {
			.flags = iopf->flags,
			.dev_id = group->idev->obj.id,
			.pasid = iopf->pasid,
			.grpid = iopf->grpid,
			.perm = iopf->perm,
			.addr = iopf->addr,
			.cookie = group->cookie,
		};

		if (copy_out(caller, buf + i * sizeof(out), &out, sizeof(out)))
			return -EFAULT;
	}
	return 0;
}

/* The oldest group, or NULL. Only who holds the mutex takes one away. */
static struct iopf_group *first_group(struct iommufd_fault *fault)
{
	struct iopf_group *group = NULL;

	pthread_mutex_lock(&fault->common.lock);
	if (!cds_list_empty(&fault->common.deliver))
		group = cds_list_first_entry(&fault->common.deliver, struct iopf_group, node);
	else
		iommufd_eventq_hush(&fault->common);
	pthread_mutex_unlock(&fault->common.lock);
	return group;
}

/* Bytes read, or -errno and the group is still to be read. */
static ssize_t read_group(struct iommufd_fault *fault, struct iopf_group *group, const struct caller *caller,
			  uint64_t buf, size_t room)
{
	size_t size = group->nr * sizeof(struct iommu_hwpt_pgfault);

	if (size > room)
		return -EINVAL;
	if (iommufd_should_fail())
		return -ENOMEM;
	pthread_mutex_lock(&fault->common.lock);
	cds_list_del(&group->node);
	pthread_mutex_unlock(&fault->common.lock);
	add_response(fault, group);
	if (!copy_group(group, caller, buf))
		return (ssize_t)size;
	cds_list_del(&group->node);
	pthread_mutex_lock(&fault->common.lock);
	cds_list_add(&group->node, &fault->common.deliver);
	pthread_mutex_unlock(&fault->common.lock);
	return -EFAULT;
}

static ssize_t fault_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			  uint64_t off)
{
	struct iommufd_fault *fault = container_of(file->priv, struct iommufd_fault, common);
	struct iopf_group *group;
	size_t done = 0;
	ssize_t rc = 0;

	if (off || len % sizeof(struct iommu_hwpt_pgfault))
		return -ESPIPE;
	pthread_mutex_lock(&fault->mutex);
	while (rc >= 0 && (group = first_group(fault))) {
		rc = read_group(fault, group, caller, buf + done, len - done);
		if (rc > 0)
			done += (size_t)rc;
	}
	pthread_mutex_unlock(&fault->mutex);
	return done ? (ssize_t)done : rc;
}

/* One answer. The mutex is held. */
static int write_response(struct iommufd_fault *fault, const struct caller *caller, uint64_t buf)
{
	struct iommu_hwpt_page_response response;
	struct iopf_group *group;

	if (copy_in(caller, &response, buf, sizeof(response)))
		return -EFAULT;
	if (response.code != IOMMUFD_PAGE_RESP_SUCCESS && response.code != IOMMUFD_PAGE_RESP_INVALID)
		return -EINVAL;
	group = take_response(fault, response.cookie);
	if (!group)
		return -EINVAL;
	answer_group(group, response.code);
	return 0;
}

static ssize_t fault_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			   uint64_t off)
{
	struct iommufd_fault *fault = container_of(file->priv, struct iommufd_fault, common);
	size_t done = 0;
	int rc = 0;

	if (off || len % sizeof(struct iommu_hwpt_page_response))
		return -ESPIPE;
	pthread_mutex_lock(&fault->mutex);
	while (!rc && done < len) {
		rc = write_response(fault, caller, buf + done);
		if (!rc)
			done += sizeof(struct iommu_hwpt_page_response);
	}
	pthread_mutex_unlock(&fault->mutex);
	return done ? (ssize_t)done : rc;
}

static const struct file_ops fault_file_ops = {
	.name = "iommufd-pgfault",
	.release = iommufd_eventq_release,
	.read = fault_read,
	.write = fault_write,
	.descriptor = iommufd_eventq_descriptor,
	.asked_for_nothing = true,
};

int iommufd_fault_alloc(struct iommufd_ucmd *ucmd)
{
	struct iommu_fault_alloc *cmd = ucmd->arg;
	struct iommufd_fault *fault;
	int rc;

	if (cmd->flags)
		return WHY(-EOPNOTSUPP, "flags 0x%x: none are known", cmd->flags);
	rc = iommufd_object_alloc_ucmd(ucmd, sizeof(*fault), IOMMUFD_OBJ_FAULT, &fault);
	if (rc)
		return rc;
	pthread_mutex_init(&fault->mutex, NULL);
	CDS_INIT_LIST_HEAD(&fault->partial);
	CDS_INIT_LIST_HEAD(&fault->response);
	rc = iommufd_eventq_init(&fault->common, ucmd->ctx, &fault_file_ops, "anon_inode:[iommufd-pgfault]");
	if (rc)
		return rc;
	cmd->out_fault_id = fault->common.obj.id;
	return iommufd_eventq_respond(&fault->common, ucmd, offsetof(struct iommu_fault_alloc, out_fault_fd),
				      sizeof(*cmd));
}
