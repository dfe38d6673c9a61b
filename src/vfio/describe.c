/* SPDX-License-Identifier: BSD-2-Clause */
/* What traces say of the requests that all devices have. */
#include "vfio/describe.h"

#include "file/ioctl.h"
#include "uapi/vfio.h"

#include <stdio.h>

void vfio_describe_info(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_device_info *info = arg;

	if (!call->rc)
		snprintf(buf, len, "flags=0x%x regions=%u irqs=%u", info->flags, info->num_regions,
			 info->num_irqs);
}

/* ---- regions */

const char *vfio_region_name(uint32_t index)
{
	static const char *const names[] = { "BAR0", "BAR1", "BAR2",   "BAR3", "BAR4",
					     "BAR5", "ROM",  "CONFIG", "VGA" };

	return index < ARRAY_SIZE(names) ? names[index] : "?";
}

void vfio_describe_region(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_region_info *info = arg;
	int n = snprintf(buf, len, "%s(%u)", vfio_region_name(info->index), info->index);

	if (call->rc)
		return;
	snprintf(buf + n, len - (size_t)n, " size=0x%llx offset=0x%llx%s%s%s%s",
		 (unsigned long long)info->size, (unsigned long long)info->offset,
		 info->flags & VFIO_REGION_INFO_FLAG_READ ? " READ" : "",
		 info->flags & VFIO_REGION_INFO_FLAG_WRITE ? " WRITE" : "",
		 info->flags & VFIO_REGION_INFO_FLAG_MMAP ? " MMAP" : "",
		 info->flags & VFIO_REGION_INFO_FLAG_CAPS ? " CAPS" : "");
}

/* ---- interrupts */

static const char *irq_name(uint32_t index)
{
	static const char *const names[] = { "INTX", "MSI", "MSIX", "ERR", "REQ" };

	return index < ARRAY_SIZE(names) ? names[index] : "?";
}

void vfio_describe_irq(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_irq_info *info = arg;
	int n = snprintf(buf, len, "%s(%u)", irq_name(info->index), info->index);

	if (call->rc)
		return;
	snprintf(buf + n, len - (size_t)n, " count=%u%s%s%s%s", info->count,
		 info->flags & VFIO_IRQ_INFO_EVENTFD ? " EVENTFD" : "",
		 info->flags & VFIO_IRQ_INFO_MASKABLE ? " MASKABLE" : "",
		 info->flags & VFIO_IRQ_INFO_AUTOMASKED ? " AUTOMASKED" : "",
		 info->flags & VFIO_IRQ_INFO_NORESIZE ? " NORESIZE" : "");
}

/* " fds=5,-1,7": the first few. */
static void describe_fds(const struct ioctl_call *call, uint32_t count, char *buf, size_t len)
{
	int32_t fds[8];
	uint32_t nr = MIN(count, (uint32_t)ARRAY_SIZE(fds));

	if (copy_in(call->caller, fds, call->arg + sizeof(struct vfio_irq_set), nr * sizeof(fds[0])))
		return;
	for (uint32_t i = 0; i < nr; i++) {
		size_t n = (size_t)snprintf(buf, len, "%s%d", i ? "," : " fds=", fds[i]);

		if (n >= len)
			return;
		buf += n;
		len -= n;
	}
	if (count > nr)
		snprintf(buf, len, ",...");
}

void vfio_describe_set_irqs(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	const struct vfio_irq_set *set = arg;
	uint32_t f = set->flags;
	int n = snprintf(
		buf, len, "%s(%u) start=%u count=%u%s%s%s%s%s%s", irq_name(set->index), set->index,
		set->start, set->count, f & VFIO_IRQ_SET_DATA_NONE ? " NONE" : "",
		f & VFIO_IRQ_SET_DATA_BOOL ? " BOOL" : "", f & VFIO_IRQ_SET_DATA_EVENTFD ? " EVENTFD" : "",
		f & VFIO_IRQ_SET_ACTION_MASK ? " MASK" : "", f & VFIO_IRQ_SET_ACTION_UNMASK ? " UNMASK" : "",
		f & VFIO_IRQ_SET_ACTION_TRIGGER ? " TRIGGER" : "");

	if ((f & VFIO_IRQ_SET_DATA_EVENTFD) && set->count && (size_t)n < len)
		describe_fds(call, set->count, buf + n, len - (size_t)n);
}

/* ---- features */

void vfio_describe_feature(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	static const char *const names[] = {
		"PCI_VF_TOKEN",
		"MIGRATION",
		"MIG_DEVICE_STATE",
		"LOW_POWER_ENTRY",
		"LOW_POWER_ENTRY_WITH_WAKEUP",
		"LOW_POWER_EXIT",
		"DMA_LOGGING_START",
		"DMA_LOGGING_STOP",
		"DMA_LOGGING_REPORT",
		"MIG_DATA_SIZE",
		"BUS_MASTER",
		"DMA_BUF",
	};
	const struct vfio_device_feature *feature = arg;
	uint32_t which = feature->flags & VFIO_DEVICE_FEATURE_MASK;

	(void)call;
	snprintf(buf, len, "%s(%u)%s%s%s", which < ARRAY_SIZE(names) ? names[which] : "?", which,
		 feature->flags & VFIO_DEVICE_FEATURE_GET ? " GET" : "",
		 feature->flags & VFIO_DEVICE_FEATURE_SET ? " SET" : "",
		 feature->flags & VFIO_DEVICE_FEATURE_PROBE ? " PROBE" : "");
}
