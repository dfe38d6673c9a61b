/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO_DEVICE_FEATURE: low power states. Everything else that the kernel knows is not offered by these
 * functions.
 *
 * In low power the mappings of BARs are dead until LOW_POWER_EXIT. Other accesses work: with a wakeup eventfd
 * the first of them ends the low power state and signals it.
 */
#include "vfio/feature.h"
#include "base/why.h"
#include "file/ioctl.h"
#include "pci/func.h"
#include "uapi/vfio.h"

#ifndef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 12
#endif

/* Takes over wakeup on success. */
static long enter(struct pci_func *func, struct eventfd_ctx *wakeup)
{
	long rc = -EINVAL;

	pthread_mutex_lock(&func->irqs.lock);
	if (!(pci_gate(func) & GATE_LOW_POWER)) {
		atomic_store(&func->irqs.wakeup, wakeup);
		pci_gate_set(func, GATE_LOW_POWER, true);
		rc = 0;
	}
	pthread_mutex_unlock(&func->irqs.lock);
	return rc;
}

void pci_low_power_exit(struct pci_func *func)
{
	struct eventfd_ctx *wakeup;

	pthread_mutex_lock(&func->irqs.lock);
	wakeup = atomic_exchange(&func->irqs.wakeup, NULL);
	pci_gate_set(func, GATE_LOW_POWER, false);
	pthread_mutex_unlock(&func->irqs.lock);
	eventfd_ctx_put(wakeup);
}

void pci_wake(struct pci_func *func)
{
	struct eventfd_ctx *wakeup;

	pthread_mutex_lock(&func->irqs.lock);
	wakeup = atomic_exchange(&func->irqs.wakeup, NULL);
	if (wakeup)
		pci_gate_set(func, GATE_LOW_POWER, false);
	pthread_mutex_unlock(&func->irqs.lock);
	if (!wakeup)
		return;
	eventfd_signal(wakeup, 1);
	eventfd_ctx_put(wakeup);
}

static long low_power_entry(struct ioctl_call *call, uint32_t flags, size_t room)
{
	int rc = vfio_feature_check(flags, room, VFIO_DEVICE_FEATURE_SET, 0);

	return rc == 1 ? enter(pci_call_func(call), NULL) : rc;
}

static long low_power_entry_with_wakeup(struct ioctl_call *call, uint32_t flags, size_t room)
{
	struct vfio_device_low_power_entry_with_wakeup entry;
	struct eventfd_ctx *wakeup;
	long rc;

	rc = vfio_feature_check(flags, room, VFIO_DEVICE_FEATURE_SET, sizeof(entry));
	if (rc != 1)
		return rc;
	if (copy_in(call->caller, &entry, call->arg + sizeof(struct vfio_device_feature), sizeof(entry)))
		return -EFAULT;
	if (entry.wakeup_eventfd < 0)
		return -EINVAL;
	rc = eventfd_ctx_get(call->caller, entry.wakeup_eventfd, &wakeup);
	if (rc)
		return rc;
	rc = enter(pci_call_func(call), wakeup);
	if (rc)
		eventfd_ctx_put(wakeup);
	return rc;
}

static long low_power_exit(struct ioctl_call *call, uint32_t flags, size_t room)
{
	int rc = vfio_feature_check(flags, room, VFIO_DEVICE_FEATURE_SET, 0);

	if (rc != 1)
		return rc;
	pci_low_power_exit(pci_call_func(call));
	return 0;
}

long pci_ioctl_feature(struct ioctl_call *call, void *arg)
{
	const struct vfio_device_feature *feature = arg;
	size_t room = feature->argsz - sizeof(*feature);
	int rc = vfio_feature_check_flags(feature->flags);

	if (rc)
		return rc;
	if (vfio_feature_core(feature->flags, &rc))
		return WHY(rc, "the device does not have this feature");
	switch (feature->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
		return low_power_entry(call, feature->flags, room);
	case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
		return low_power_entry_with_wakeup(call, feature->flags, room);
	case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
		return low_power_exit(call, feature->flags, room);
	case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
		return -EINVAL; /* needs migration, and says so in its own way */
	default:
		return WHY(-ENOTTY, "the device does not have this feature");
	}
}
