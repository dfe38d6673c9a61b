/* SPDX-License-Identifier: BSD-2-Clause */
/* For the describe member of ioctl rows (file/ioctl.h): the requests of a device with the regions and
 * interrupts of PCI. */
#ifndef UVFIO_VFIO_DESCRIBE_H
#define UVFIO_VFIO_DESCRIBE_H

#include "base/base.h"

struct ioctl_call;

/* "BAR0"; "?" behind the last. */
const char *vfio_region_name(uint32_t index);

/* VFIO_DEVICE_GET_INFO, _GET_REGION_INFO, _GET_IRQ_INFO, _SET_IRQS, _FEATURE */
void vfio_describe_info(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void vfio_describe_region(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void vfio_describe_irq(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void vfio_describe_set_irqs(const struct ioctl_call *call, const void *arg, char *buf, size_t len);
void vfio_describe_feature(const struct ioctl_call *call, const void *arg, char *buf, size_t len);

#endif
