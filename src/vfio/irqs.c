/* SPDX-License-Identifier: BSD-2-Clause */
/* The argument of VFIO_DEVICE_SET_IRQS. */
#include "vfio/irqs.h"

#include "base/why.h"
#include "file/ioctl.h"
#include "uapi/vfio.h"

#include <stdlib.h>

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

int vfio_irq_data_get(const struct ioctl_call *call, const struct vfio_irq_set *hdr, unsigned int num_irqs,
		      unsigned int max_irq_type, struct vfio_irq_data *data)
{
	size_t size;
	int rc = vfio_set_irqs_validate(hdr, num_irqs, max_irq_type, &size);

	data->bytes = NULL;
	if (rc || !size)
		return rc;
	data->bytes = size <= sizeof(data->few) ? data->few : malloc(size);
	if (!data->bytes)
		return -ENOMEM;
	if (!copy_in(call->caller, data->bytes, call->arg + sizeof(*hdr), size))
		return 0;
	vfio_irq_data_put(data);
	return WHY(-EFAULT, "the data behind the structure is not readable memory");
}

void vfio_irq_data_put(struct vfio_irq_data *data)
{
	if (data->bytes != data->few)
		free(data->bytes);
}
