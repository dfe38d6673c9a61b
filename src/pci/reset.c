/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets: of one function (ioctl, PCIe FLR, power state), and hot reset.
 *
 * A hot reset takes with it all functions of a device: those with the same domain, bus and device number. Its
 * caller must have the groups of all of them. Those that nobody has open are as after a reset already; their
 * models have not seen an open yet, and see no reset.
 */
#include "base/why.h"
#include "file/ioctl.h"
#include "pci/func.h"

#include <linux/vfio.h>

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

static long tell_set(const struct ioctl_call *call, struct vfio_pci_hot_reset_info *info,
		     struct pci_func *const *set, unsigned int nr)
{
	uint64_t room = (info->argsz - sizeof(*info)) / sizeof(info->devices[0]);
	uint64_t at = call->arg + sizeof(*info);

	for (unsigned int i = 0; i < nr && i < room; i++) {
		struct vfio_pci_dependent_device dev = {
			.group_id = vfio_group_id(set[i]->vdev.group),
			.segment = set[i]->slot.domain,
			.bus = set[i]->slot.bus,
			.devfn = (uint8_t)(set[i]->slot.dev << 3 | set[i]->slot.fn),
		};

		if (copy_out(call->caller, at + i * sizeof(dev), &dev, sizeof(dev)))
			return -EFAULT;
	}
	info->flags = 0;
	info->count = nr;
	if (copy_out(call->caller, call->arg, info, sizeof(*info)))
		return -EFAULT;
	return nr > room ? WHY(-ENOSPC, "argsz leaves room for fewer than %u devices", nr) : 0;
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

static bool owned(const struct pci_func *func, struct vfio_group *const *groups, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		if (func->vdev.group == groups[i])
			return true;
	return false;
}

static long hot_reset(const struct ioctl_call *call, const struct vfio_pci_hot_reset *reset,
		      struct pci_func *const *set, unsigned int nr)
{
	struct vfio_group *groups[MAX_FUNCTIONS];
	int32_t fds[MAX_FUNCTIONS];

	if (!reset->count || reset->count > nr)
		return WHY(-EINVAL, "count %u: 1 to %u groups", reset->count, nr);
	if (copy_in(call->caller, fds, call->arg + sizeof(*reset), reset->count * sizeof(fds[0])))
		return -EFAULT;
	for (unsigned int i = 0; i < reset->count; i++) {
		int rc = get_group(call->caller, fds[i], &groups[i]);

		if (rc)
			return rc;
	}
	for (unsigned int i = 0; i < nr; i++)
		if (!owned(set[i], groups, reset->count))
			return WHY(-EINVAL, "%s would be reset, too: its group is not given", set[i]->name);
	for (unsigned int i = 0; i < nr; i++)
		pci_reset_function(set[i]);
	return 0;
}

long pci_ioctl_hot_reset(struct ioctl_call *call, void *arg)
{
	struct pci_func *set[MAX_FUNCTIONS];
	unsigned int nr = reset_set(pci_call_func(call), set);
	long rc = hot_reset(call, arg, set, nr);

	put_set(set, nr);
	return rc;
}
