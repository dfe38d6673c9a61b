/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of this directory share: a function of a model that notes what it is asked, opened as a
 * client does. */
#ifndef UVFIO_PCI_TEST_UTIL_H
#define UVFIO_PCI_TEST_UTIL_H

#include "pci/func.h"
#include "uapi/vfio.h"

#include <linux/pci_regs.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct fake_access {
	unsigned int bar, size;
	uint64_t offset, value;
	bool write;
};

/* The model: registers that remember nothing but the last accesses; a read gives 0x1122334455667788 cut to
 * size. */
struct fake {
	int opened, closed;
	int open_rc; /* what open returns */
	_Atomic int resets;
	_Atomic bool master; /* could it still reach memory when it was last reset? */
	_Atomic unsigned int nr;
	struct fake_access access[64];
	_Atomic uint64_t sum; /* of all values written */
};

#define FAKE_VALUE 0x1122334455667788u

struct rig {
	struct iommu_params params;
	struct vfio *vfio;
	struct pci_func *func;
	struct fake *fake;
	int container, group, device;
};

/* The model's next description; reset to the default by every setup. */
extern struct uvfio_pci_desc fake_desc;
void fake_desc_default(void);

/* NVMe-like: BAR0 16 KiB with MSI-X, BAR2 8 KiB with a plain page, INTA, PCIe, AER. */
int rig_setup(void **state);
/* Conventional: 256 bytes of config space, MSI with 4 vectors. */
int rig_setup_msi(void **state);
int rig_teardown(void **state);

struct pci_func *add_function(struct rig *r, const char *bdf, unsigned int group);
struct fake *fake_of(struct pci_func *func);
void open_device_again(struct rig *r);
void close_device_fd(struct rig *r);

/* Each returns a value or a negative errno. */
long dev_ioctl(struct rig *r, unsigned long cmd, const void *arg);
ssize_t dev_read(struct rig *r, unsigned int region, uint64_t pos, void *buf, size_t len);
ssize_t dev_write(struct rig *r, unsigned int region, uint64_t pos, const void *buf, size_t len);
uint32_t cfg_read(struct rig *r, uint32_t pos, unsigned int size);
void cfg_write(struct rig *r, uint32_t pos, uint32_t value, unsigned int size);
uint32_t find_cap(struct rig *r, uint8_t id);

#define CFG VFIO_PCI_CONFIG_REGION_INDEX

long set_irqs(struct rig *r, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	      const void *data);

/* Shorthands for the flags. */
#define NONE   VFIO_IRQ_SET_DATA_NONE
#define BOOL   VFIO_IRQ_SET_DATA_BOOL
#define EVFD   VFIO_IRQ_SET_DATA_EVENTFD
#define MASK   VFIO_IRQ_SET_ACTION_MASK
#define UNMASK VFIO_IRQ_SET_ACTION_UNMASK
#define TRIG   VFIO_IRQ_SET_ACTION_TRIGGER

int new_eventfd(void);
/* The eventfd's count, taken; 0 when it is not signalled. Waits up to ms. */
long eventfd_count(int fd, int ms);

#endif
