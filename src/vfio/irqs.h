/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_DEVICE_SET_IRQS: the checks that do not depend on the kind of interrupt; traces. */
#ifndef UVFIO_VFIO_IRQS_H
#define UVFIO_VFIO_IRQS_H

#include "base/base.h"

struct vfio_irq_set;

/*
 * Check *hdr as copied in (its data not yet). num_irqs: how many interrupts the index has; max_irq_type: how
 * many indices there are. 0 and *data_size, the bytes of data that follow the structure; or -EINVAL.
 */
int vfio_set_irqs_validate(const struct vfio_irq_set *hdr, unsigned int num_irqs, unsigned int max_irq_type,
			   size_t *data_size);

/* For rows of ioctls: VFIO_DEVICE_GET_IRQ_INFO and VFIO_DEVICE_SET_IRQS of a device with the interrupts of
 * PCI. */
struct ioctl_call;
void vfio_describe_irq(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void vfio_describe_set_irqs(const struct ioctl_call *call, const void *arg, char *buf, size_t len);

#endif
