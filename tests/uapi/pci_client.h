/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of a PCI function's device file share. Where one needs a register that can be written, it is
 * the NVMe controller's admin queue attributes.
 */
#ifndef UVFIO_TESTS_UAPI_PCI_CLIENT_H
#define UVFIO_TESTS_UAPI_PCI_CLIENT_H

#include "client.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGION(index) ((off_t)(index) << 40)
#define CFG           REGION(VFIO_PCI_CONFIG_REGION_INDEX)
#define AQA           0x24 /* NVMe: admin queue attributes */

#define INTX          VFIO_PCI_INTX_IRQ_INDEX
#define MSI           VFIO_PCI_MSI_IRQ_INDEX
#define MSIX          VFIO_PCI_MSIX_IRQ_INDEX
#define ERR           VFIO_PCI_ERR_IRQ_INDEX
#define REQ           VFIO_PCI_REQ_IRQ_INDEX

#define NONE          VFIO_IRQ_SET_DATA_NONE
#define BOOL          VFIO_IRQ_SET_DATA_BOOL
#define EVFD          VFIO_IRQ_SET_DATA_EVENTFD
#define MASK          VFIO_IRQ_SET_ACTION_MASK
#define UNMASK        VFIO_IRQ_SET_ACTION_UNMASK
#define TRIG          VFIO_IRQ_SET_ACTION_TRIGGER

/* An address where nothing is, which no compiler sees through. */
void *nowhere(void);
/* pread and pwrite of the device file; -errno. */
ssize_t rd(struct client *c, void *buf, size_t len, off_t off);
ssize_t wr(struct client *c, const void *buf, size_t len, off_t off);
uint32_t cfg_read(struct client *c, uint32_t at, unsigned int size);
void cfg_write(struct client *c, uint32_t at, uint32_t value, unsigned int size);
/* Offset in config space; 0: none. */
uint32_t find_cap(struct client *c, uint8_t id);
void region_info(struct client *c, uint32_t index, struct vfio_region_info *info);
uint32_t irq_count(struct client *c, uint32_t index);
long set_irqs(struct client *c, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	      const void *data);
int new_eventfd(void);
/* How often since the last call. */
long signalled(int fd);

#endif
