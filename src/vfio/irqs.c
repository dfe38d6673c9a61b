/* SPDX-License-Identifier: BSD-2-Clause */
/* The argument checks of VFIO_DEVICE_SET_IRQS. */
#include "vfio/irqs.h"
#include "uapi/vfio.h"

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
		return -EINVAL;
	}
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
		return -EINVAL;
	if (hdr->start >= num_irqs || end > num_irqs)
		return -EINVAL;
	unit = data_unit(hdr->flags);
	if (unit < 0)
		return unit;
	size = (size_t)hdr->count * (size_t)unit;
	if (hdr->argsz - minsz < size)
		return -EINVAL;
	*data_size = size;
	return 0;
}
