/* SPDX-License-Identifier: BSD-2-Clause */
/* The argument checks of VFIO_DEVICE_SET_IRQS, and what traces say of a device's interrupts. */
#include "vfio/irqs.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "uapi/vfio.h"

#include <stdio.h>

#define IRQ_SET_KNOWN ((uint32_t)(VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK))

/* Bytes of data per interrupt; -EINVAL when not exactly one kind of data is named. */
static int data_unit(uint32_t flags)
{
	switch (flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		return 0;
	case VFIO_IRQ_SET_DATA_BOOL:
		return sizeof(uint8_t);
	case VFIO_IRQ_SET_DATA_EVENTFD:
		return sizeof(int32_t);
	default:
		return WHY(-EINVAL, "flags 0x%x: one of DATA_NONE, DATA_BOOL and DATA_EVENTFD", flags);
	}
}

static int bad_header(const struct vfio_irq_set *hdr, size_t minsz, unsigned int max_irq_type)
{
	if (hdr->argsz < minsz)
		return WHY(-EINVAL, "argsz %u, at least %zu", hdr->argsz, minsz);
	if (hdr->index >= max_irq_type)
		return WHY(-EINVAL, "index %u: there are %u", hdr->index, max_irq_type);
	if (hdr->flags & ~IRQ_SET_KNOWN)
		return WHY(-EINVAL, "flags 0x%x: known are 0x%x", hdr->flags, IRQ_SET_KNOWN);
	return WHY(-EINVAL, "start and count go beyond 32 bits");
}

int vfio_set_irqs_validate(const struct vfio_irq_set *hdr, unsigned int num_irqs, unsigned int max_irq_type,
			   size_t *data_size)
{
	const size_t minsz = offsetofend(struct vfio_irq_set, count);
	uint64_t end = (uint64_t)hdr->start + hdr->count;
	size_t size;
	int unit;

	if (hdr->argsz < minsz || hdr->index >= max_irq_type || end >= UINT32_MAX ||
	    (hdr->flags & ~IRQ_SET_KNOWN))
		return bad_header(hdr, minsz, max_irq_type);
	if (hdr->start >= num_irqs || end > num_irqs)
		return WHY(-EINVAL, "start %u and count %u: this index has %u interrupts", hdr->start,
			   hdr->count, num_irqs);
	unit = data_unit(hdr->flags);
	if (unit < 0)
		return unit;
	size = (size_t)hdr->count * (size_t)unit;
	if (hdr->argsz - minsz < size)
		return WHY(-EINVAL, "argsz %u, %zu with the data of %u interrupts", hdr->argsz, minsz + size,
			   hdr->count);
	*data_size = size;
	return 0;
}

/* ---- for traces */

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
