/* SPDX-License-Identifier: BSD-2-Clause */
/* The ioctls of a device file: one row each, the information calls, and what traces say about arguments. */
#include "file/ioctl.h"
#include "base/why.h"
#include "pci/func.h"
#include "uapi/vfio.h"
#include "vfio/describe.h"
#include "vfio/irqs.h"

#include <stdio.h>

/* struct vfio_device_info as of Linux 6.4: a word of padding behind cap_offset. */
#define DEVICE_INFO_SIZE 24

struct pci_func *pci_call_func(const struct ioctl_call *call)
{
	return to_pci_func(vfio_file_device(call->file));
}

static long get_info(struct ioctl_call *call, void *arg)
{
	struct vfio_device_info *info = arg;

	(void)call;
	info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	info->num_irqs = VFIO_PCI_NUM_IRQS;
	return 0;
}

/* A region of one capability without content (MSIX_MAPPABLE), behind the structure if there is room. */
static long add_region_cap(struct ioctl_call *call, struct vfio_region_info *info, uint16_t id)
{
	struct vfio_info_cap_header cap = { .id = id, .version = 1 };

	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->cap_offset = 0;
	if (info->argsz < sizeof(*info) + sizeof(cap)) {
		info->argsz = sizeof(*info) + sizeof(cap);
		return 0;
	}
	if (copy_out(call->caller, call->arg + sizeof(*info), &cap, sizeof(cap)))
		return -EFAULT;
	info->cap_offset = sizeof(*info);
	return 0;
}

static long bar_info(struct ioctl_call *call, struct vfio_region_info *info)
{
	const struct pci_func *func = pci_call_func(call);
	const struct uvfio_pci_bar *desc = &func->desc.bar[info->index];

	info->size = desc->size;
	if (!desc->size)
		return 0;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (!pci_bar_is_mappable(func, info->index))
		return 0;
	info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	if (func->desc.msix_vectors && info->index == func->desc.msix_bar)
		return add_region_cap(call, info, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	return 0;
}

static long get_region_info(struct ioctl_call *call, void *arg)
{
	struct vfio_region_info *info = arg;

	if (info->index >= VFIO_PCI_VGA_REGION_INDEX)
		return WHY(-EINVAL, "index %u: there are regions 0 to %u", info->index,
			   VFIO_PCI_VGA_REGION_INDEX - 1u);
	info->flags = 0;
	info->size = 0;
	info->offset = (uint64_t)info->index << PCI_OFFSET_SHIFT;
	if (info->index < UVFIO_PCI_BARS)
		return bar_info(call, info);
	if (info->index == VFIO_PCI_CONFIG_REGION_INDEX) {
		info->size = pci_call_func(call)->config.size;
		info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	}
	return 0;
}

static long get_irq_info(struct ioctl_call *call, void *arg)
{
	const struct pci_func *func = pci_call_func(call);
	struct vfio_irq_info *info = arg;

	if (info->index >= VFIO_PCI_NUM_IRQS || (info->index == VFIO_PCI_ERR_IRQ_INDEX && !func->desc.pcie))
		return WHY(-EINVAL, "index %u: the device has no such kind of interrupt", info->index);
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	info->count = pci_irq_count(func, info->index);
	if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info->index != VFIO_PCI_MSIX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_NORESIZE; /* MSI-X vectors can be added while it is enabled */
	return 0;
}

static long set_irqs(struct ioctl_call *call, void *arg)
{
	struct pci_func *func = pci_call_func(call);
	const struct vfio_irq_set *set = arg;
	struct vfio_irq_data data;
	long rc = vfio_irq_data_get(call, set, pci_irq_count(func, set->index), VFIO_PCI_NUM_IRQS, &data);

	if (rc)
		return rc;
	rc = pci_set_irqs(func, call->caller, set->flags, set->index, set->start, set->count, data.bytes);
	vfio_irq_data_put(&data);
	return rc;
}

/* ---- traces */

static void describe_hot_reset(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_pci_hot_reset *reset = arg;

	(void)call;
	snprintf(buf, len, "argsz=%u count=%u", reset->argsz, reset->count);
}

static void describe_ioeventfd(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_device_ioeventfd *io = arg;

	(void)call;
	snprintf(buf, len, "%s+0x%llx size=%u data=0x%llx fd=%d",
		 vfio_region_name((uint32_t)(io->offset >> PCI_OFFSET_SHIFT)),
		 (unsigned long long)(io->offset & PCI_OFFSET_MASK), io->flags, (unsigned long long)io->data,
		 io->fd);
}

/* ---- the table */

static const struct ioctl_row rows[] = {
	{ .cmd = VFIO_DEVICE_GET_INFO,
	  .name = "VFIO_DEVICE_GET_INFO",
	  .minsz = offsetof(struct vfio_device_info, cap_offset),
	  .outsz = DEVICE_INFO_SIZE,
	  .row_flags = IOC_OUT,
	  .handler = get_info,
	  .describe = vfio_describe_info },
	{ .cmd = VFIO_DEVICE_GET_REGION_INFO,
	  .name = "VFIO_DEVICE_GET_REGION_INFO",
	  .minsz = sizeof(struct vfio_region_info),
	  .outsz = sizeof(struct vfio_region_info),
	  .row_flags = IOC_OUT_FIXED,
	  .handler = get_region_info,
	  .describe = vfio_describe_region },
	{ .cmd = VFIO_DEVICE_GET_IRQ_INFO,
	  .name = "VFIO_DEVICE_GET_IRQ_INFO",
	  .minsz = sizeof(struct vfio_irq_info),
	  .outsz = sizeof(struct vfio_irq_info),
	  .row_flags = IOC_OUT_FIXED,
	  .handler = get_irq_info,
	  .describe = vfio_describe_irq },
	{ .cmd = VFIO_DEVICE_SET_IRQS,
	  .name = "VFIO_DEVICE_SET_IRQS",
	  .minsz = sizeof(struct vfio_irq_set),
	  .handler = set_irqs,
	  .describe = vfio_describe_set_irqs },
	{ .cmd = VFIO_DEVICE_RESET,
	  .name = "VFIO_DEVICE_RESET",
	  .row_flags = IOC_VALUE,
	  .handler = pci_ioctl_reset },
	{ .cmd = VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
	  .name = "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO",
	  .minsz = sizeof(struct vfio_pci_hot_reset_info),
	  .handler = pci_ioctl_hot_reset_info,
	  .describe = describe_hot_reset },
	{ .cmd = VFIO_DEVICE_PCI_HOT_RESET,
	  .name = "VFIO_DEVICE_PCI_HOT_RESET",
	  .minsz = sizeof(struct vfio_pci_hot_reset),
	  .check_flags = true,
	  .handler = pci_ioctl_hot_reset,
	  .describe = describe_hot_reset },
	{ .cmd = VFIO_DEVICE_IOEVENTFD,
	  .name = "VFIO_DEVICE_IOEVENTFD",
	  .minsz = offsetof(struct vfio_device_ioeventfd, fd) + sizeof(int32_t),
	  .check_flags = true,
	  .known_flags = VFIO_DEVICE_IOEVENTFD_SIZE_MASK,
	  .handler = pci_ioctl_ioeventfd,
	  .describe = describe_ioeventfd },
	{ .cmd = VFIO_DEVICE_FEATURE,
	  .name = "VFIO_DEVICE_FEATURE",
	  .minsz = sizeof(struct vfio_device_feature),
	  .handler = pci_ioctl_feature,
	  .describe = vfio_describe_feature },
};

long pci_ioctl(struct vfio_device *vdev, struct file *file, const struct caller *caller, uint32_t cmd,
	       uint64_t arg)
{
	struct pci_func *func = to_pci_func(vdev);

	if (pci_gate(func) & GATE_LOW_POWER)
		pci_wake(func);
	return ioctl_dispatch(rows, ARRAY_SIZE(rows), file, caller, cmd, arg);
}
