/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_DEVICE_SET_IRQS: its argument, as far as that does not depend on the kind of interrupt. */
#ifndef UVFIO_VFIO_IRQS_H
#define UVFIO_VFIO_IRQS_H

#include "base/base.h"

struct ioctl_call;
struct vfio_irq_set;

/*
 * Check *hdr as copied in (its data not yet). num_irqs: how many interrupts the index has; max_irq_type: how
 * many indices there are. 0 and *data_size, the bytes of data that follow the structure; or -EINVAL.
 */
int vfio_set_irqs_validate(const struct vfio_irq_set *hdr, unsigned int num_irqs, unsigned int max_irq_type,
			   size_t *data_size);

/* What follows the structure. */
struct vfio_irq_data {
	void *bytes; /* NULL: nothing */
	uint8_t few[64];
};

/*
 * Check *hdr, the structure of call, as above, and copy its data in: 0 and *data, for vfio_irq_data_put();
 * -EINVAL, -EFAULT, -ENOMEM.
 */
int vfio_irq_data_get(const struct ioctl_call *call, const struct vfio_irq_set *hdr, unsigned int num_irqs,
		      unsigned int max_irq_type, struct vfio_irq_data *data);
void vfio_irq_data_put(struct vfio_irq_data *data);

#endif
