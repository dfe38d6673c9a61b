/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets: of one function (ioctl, PCIe FLR, power state), and hot reset.
 *
 * A hot reset takes with it all functions of a device: those with the same domain, bus and device number. Its
 * caller must have the groups of all of them; or, when it opened the device by its cdev, have bound each to
 * the same IOMMUFD, or another device of its group. Those that nobody has open are as after a reset already;
 * their models have not seen an open yet, and see no reset.
 */
#include "base/why.h"
#include "file/ioctl.h"
#include "pci/func.h"
#include "uapi/vfio.h"

#define MAX_FUNCTIONS 8

void pci_reset_locked(struct pci_func *func, const char *what)
{
	uint64_t start = trace_on(TRACE_CONFIG) ? trace_now() : 0;

	/* First the model: what it has under way may still use memory. */
	model_host_hold(&func->host, what);
	IN_MODEL(func, "reset", func->model->ops.reset(&func->pub));
	model_host_release(&func->host);
	pci_bars_reset(func);
	pci_config_resume(func);
	if (start)
		trace_emit(TRACE_CONFIG, func->name, "reset", start, "function");
}

void pci_reset_function(struct pci_func *func)
{
	pthread_mutex_lock(&func->reset_lock);
	if (func->opened)
		pci_reset_locked(func, "reset");
	pthread_mutex_unlock(&func->reset_lock);
}

long pci_ioctl_reset(struct ioctl_call *call, void *arg)
{
	(void)arg;
	pci_reset_function(pci_call_func(call));
	return 0;
}

/* The functions that a hot reset of func would reset, func among them, kept. Returns how many. */
static unsigned int reset_set(struct pci_func *func, struct pci_func *set[MAX_FUNCTIONS])
{
	struct pci_slot slot = func->slot;
	unsigned int nr = 0;

	for (slot.fn = 0; slot.fn < MAX_FUNCTIONS; slot.fn++) {
		struct vfio_device *vdev;
		char name[16];

		pci_format_bdf(&slot, name);
		vdev = vfio_device_get(func->vdev.vfio, name);
		if (vdev && vdev->ops == &pci_vfio_device_ops)
			set[nr++] = to_pci_func(vdev);
		else if (vdev)
			vfio_device_put(vdev);
	}
	return nr;
}

static void put_set(struct pci_func *const *set, unsigned int nr)
{
	while (nr)
		vfio_device_put(&set[--nr]->vdev);
}

/* Nobody opens, closes or binds one of them meanwhile. */
static void lock_set(struct pci_func *const *set, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		vfio_device_lock(&set[i]->vdev);
}

static void unlock_set(struct pci_func *const *set, unsigned int nr)
{
	while (nr)
		vfio_device_unlock(&set[--nr]->vdev);
}

/* What a device is called in the information for a cdev that is bound to ctx. */
static int32_t device_id(struct pci_func *func, struct iommufd_ctx *ctx)
{
	int64_t id = vfio_iommufd_get_dev_id(&func->vdev, ctx);

	if (id == -ENOENT)
		return VFIO_PCI_DEVID_OWNED;
	return id > 0 ? (int32_t)id : VFIO_PCI_DEVID_NOT_OWNED;
}

/* Fill devs, and flags, for func's caller. The set is locked. */
static uint32_t fill_set(struct pci_func *func, struct pci_func *const *set, unsigned int nr,
			 struct vfio_pci_dependent_device *devs)
{
	bool cdev = vfio_device_cdev_opened(&func->vdev), owned = true;
	struct iommufd_ctx *ctx = vfio_iommufd_device_ctx(&func->vdev);

	for (unsigned int i = 0; i < nr; i++) {
		devs[i] = (struct vfio_pci_dependent_device){
			.group_id = vfio_group_id(set[i]->vdev.group), /* or the device's id, in its place */
			.segment = set[i]->slot.domain,
			.bus = set[i]->slot.bus,
			.devfn = (uint8_t)(set[i]->slot.dev << 3 | set[i]->slot.fn),
		};
		if (cdev)
			devs[i].group_id = (uint32_t)device_id(set[i], ctx);
		owned &= devs[i].group_id != (uint32_t)VFIO_PCI_DEVID_NOT_OWNED;
	}
	if (!cdev)
		return 0;
	return VFIO_PCI_HOT_RESET_FLAG_DEV_ID | (owned ? VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED : 0);
}

static long tell_set(const struct ioctl_call *call, struct vfio_pci_hot_reset_info *info,
		     struct pci_func *const *set, unsigned int nr)
{
	struct vfio_pci_dependent_device devs[MAX_FUNCTIONS];
	bool room = nr <= (info->argsz - sizeof(*info)) / sizeof(devs[0]);

	info->count = nr;
	info->flags = 0;
	if (room) {
		lock_set(set, nr);
		info->flags = fill_set(pci_call_func(call), set, nr, devs);
		unlock_set(set, nr);
		if (copy_out(call->caller, call->arg + sizeof(*info), devs, nr * sizeof(devs[0])))
			return -EFAULT;
	}
	if (copy_out(call->caller, call->arg, info, sizeof(*info)))
		return -EFAULT;
	return room ? 0 : WHY(-ENOSPC, "argsz leaves room for fewer than %u devices", nr);
}

long pci_ioctl_hot_reset_info(struct ioctl_call *call, void *arg)
{
	struct pci_func *set[MAX_FUNCTIONS];
	unsigned int nr = reset_set(pci_call_func(call), set);
	long rc = tell_set(call, arg, set, nr);

	put_set(set, nr);
	return rc;
}

/* The group that the caller's descriptor stands for. */
static int get_group(const struct caller *caller, int32_t fd, struct vfio_group **group)
{
	struct file *file;
	int rc;

	rc = caller->ops->get_file(caller, fd, &file);
	if (rc)
		return WHY(rc == -EBADF ? -EBADF : -EINVAL, "descriptor %d is no group", fd);
	*group = vfio_file_group(file);
	file_put(file);
	return *group ? 0 : WHY(-EINVAL, "descriptor %d is no group", fd);
}

static bool in_groups(const struct pci_func *func, struct vfio_group *const *groups, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (func->vdev.group == groups[i])
			return true;
	return false;
}

/* Does the caller have all of the set: by its groups, or, without any, by func's IOMMUFD? The set is locked.
 */
static int check_owner(struct pci_func *func, struct pci_func *const *set, unsigned int nr,
		       struct vfio_group *const *groups, unsigned int nr_groups)
{
	struct iommufd_ctx *ctx = vfio_iommufd_device_ctx(&func->vdev);

	for (unsigned int i = 0; i < nr; i++) {
		if (nr_groups && !in_groups(set[i], groups, nr_groups))
			return WHY(-EINVAL, "%s would be reset, too: its group is not given", set[i]->name);
		if (!nr_groups && device_id(set[i], ctx) == VFIO_PCI_DEVID_NOT_OWNED)
			return WHY(-EINVAL, "%s would be reset, too: it is not bound to the same IOMMUFD",
				   set[i]->name);
	}
	return 0;
}

static int get_groups(const struct ioctl_call *call, const struct vfio_pci_hot_reset *reset,
		      struct vfio_group **groups)
{
	int32_t fds[MAX_FUNCTIONS];
	int rc = 0;

	if (copy_in(call->caller, fds, call->arg + sizeof(*reset), reset->count * sizeof(fds[0])))
		return -EFAULT;
	for (unsigned int i = 0; i < reset->count && !rc; i++)
		rc = get_group(call->caller, fds[i], &groups[i]);
	return rc;
}

static long hot_reset(const struct ioctl_call *call, const struct vfio_pci_hot_reset *reset,
		      struct pci_func *const *set, unsigned int nr)
{
	struct pci_func *func = pci_call_func(call);
	struct vfio_group *groups[MAX_FUNCTIONS];
	int rc;

	if (vfio_device_cdev_opened(&func->vdev) && reset->count)
		return WHY(-EINVAL, "count %u: none for a device that is bound to an IOMMUFD", reset->count);
	if (!vfio_device_cdev_opened(&func->vdev) && !reset->count)
		return WHY(-EINVAL, "count 0: 1 to %u groups", nr);
	if (reset->count > nr)
		return WHY(-EINVAL, "count %u: 1 to %u groups", reset->count, nr);
	rc = get_groups(call, reset, groups);
	if (rc)
		return rc;
	lock_set(set, nr);
	rc = check_owner(func, set, nr, groups, reset->count);
	for (unsigned int i = 0; i < nr && !rc; i++)
		pci_reset_function(set[i]);
	unlock_set(set, nr);
	return rc;
}

long pci_ioctl_hot_reset(struct ioctl_call *call, void *arg)
{
	struct pci_func *set[MAX_FUNCTIONS];
	unsigned int nr = reset_set(pci_call_func(call), set);
	long rc = hot_reset(call, arg, set, nr);

	put_set(set, nr);
	return rc;
}
