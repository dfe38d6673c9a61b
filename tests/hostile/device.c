/* SPDX-License-Identifier: BSD-2-Clause */
/* The device as a VFIO client has it: opened, its config space and its interrupts set to anything. */
#include "hostile.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BAR_SIZE 0x4000

static void must(long rc, const char *what)
{
	if (rc < 0)
		die("%s: %s", what, strerror((int)-rc));
}

void device_open(struct device *dev)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX };

	dev->container = port_open("/dev/vfio/vfio");
	must(dev->container, "/dev/vfio/vfio");
	dev->group = port_open("/dev/vfio/1");
	must(dev->group, "/dev/vfio/1");
	must(port_ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->container), "SET_CONTAINER");
	must(port_ioctl(dev->container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU), "SET_IOMMU");
	memory_map(dev->container);
	dev->fd = (int)port_ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:01.0");
	must(dev->fd, "GET_DEVICE_FD");
	must(port_ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info), "config space");
	dev->config = info.offset;
	port_map_bar(dev->fd, BAR_SIZE);
	for (int i = 0; i < 4; i++) {
		dev->events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		must(dev->events[i], "eventfd");
	}
}

void device_close(struct device *dev)
{
	port_unmap_bar();
	port_close(dev->fd);
	port_close(dev->group);
	port_close(dev->container);
	for (int i = 0; i < 4; i++)
		close(dev->events[i]);
}

void device_master(struct device *dev)
{
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	must(port_pwrite(dev->fd, &command, 2, dev->config + PCI_COMMAND), "COMMAND");
}

static uint8_t find_capability(struct device *dev, uint8_t id)
{
	uint8_t at = 0, entry[2];

	must(port_pread(dev->fd, &at, 1, dev->config + PCI_CAPABILITY_LIST), "capabilities");
	while (at) {
		must(port_pread(dev->fd, entry, 2, dev->config + at), "capability");
		if (entry[0] == id)
			return at;
		at = entry[1];
	}
	die("capability %#x is missing", id);
}

void device_random_config(struct device *dev)
{
	uint64_t value = random_odd_value();
	uint64_t at;

	switch (random_below(4)) {
	case 0:
		port_pwrite(dev->fd, &value, 2, dev->config + PCI_COMMAND);
		break;
	case 1: /* sometimes a function level reset */
		at = find_capability(dev, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
		port_pwrite(dev->fd, &value, 2, dev->config + at);
		break;
	case 2: /* into D3hot and back */
		at = find_capability(dev, PCI_CAP_ID_PM) + PCI_PM_CTRL;
		value = random_below(4);
		port_pwrite(dev->fd, &value, 2, dev->config + at);
		value = 0;
		port_pwrite(dev->fd, &value, 2, dev->config + at);
		break;
	default:
		port_pwrite(dev->fd, &value, 1u << random_below(3),
			    dev->config + (random_below(0x1000) & ~3u));
	}
}

void device_random_irqs(struct device *dev)
{
	_Alignas(struct vfio_irq_set) uint8_t arg[sizeof(struct vfio_irq_set) + 4 * sizeof(int32_t)];
	struct vfio_irq_set set = {
		.argsz = sizeof(arg),
		.index = random_below(2) ? VFIO_PCI_MSIX_IRQ_INDEX : random_below(6),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.start = one_in(4) ? random_below(70) : 0,
		.count = 1 + random_below(4),
	};
	int32_t fds[4];
	uint64_t drained;

	for (int i = 0; i < 4; i++) {
		fds[i] = one_in(5) ? -1 : dev->events[i];
		if (read(dev->events[i], &drained, sizeof(drained)) < 0)
			drained = 0;
	}
	if (one_in(2)) {
		set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
		set.count = 0;
		set.start = 0;
	}
	memcpy(arg, &set, sizeof(set));
	memcpy(arg + sizeof(set), fds, sizeof(fds));
	port_ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, arg); /* may well be refused */
}
