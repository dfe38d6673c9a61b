/* SPDX-License-Identifier: BSD-2-Clause */
/* Config space, regions and interrupts of a PCI function, in one call each. */
#include "pci_client.h"

void *nowhere(void)
{
	volatile uintptr_t address = 16;

	return (void *)address;
}

ssize_t rd(struct client *c, void *buf, size_t len, off_t off)
{
	ssize_t n = pread(c->device, buf, len, off);

	return n < 0 ? -errno : n;
}

ssize_t wr(struct client *c, const void *buf, size_t len, off_t off)
{
	ssize_t n = pwrite(c->device, buf, len, off);

	return n < 0 ? -errno : n;
}

uint32_t cfg_read(struct client *c, uint32_t at, unsigned int size)
{
	uint32_t value = 0;

	assert_int_equal(rd(c, &value, size, CFG + at), size);
	return value;
}

void cfg_write(struct client *c, uint32_t at, uint32_t value, unsigned int size)
{
	assert_int_equal(wr(c, &value, size, CFG + at), size);
}

uint32_t find_cap(struct client *c, uint8_t id)
{
	uint32_t at = cfg_read(c, PCI_CAPABILITY_LIST, 1) & ~3u;

	for (int n = 0; at && n < 48; n++) {
		if (cfg_read(c, at, 1) == id)
			return at;
		at = cfg_read(c, at + 1, 1) & ~3u;
	}
	return 0;
}

void region_info(struct client *c, uint32_t index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, info), 0);
}

uint32_t irq_count(struct client *c, uint32_t index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	return do_ioctl(c->device, VFIO_DEVICE_GET_IRQ_INFO, &info) ? 0 : info.count;
}

long set_irqs(struct client *c, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
	      const void *data)
{
	union {
		struct vfio_irq_set set;
		uint8_t bytes[256];
	} arg = { .bytes = { 0 } };
	size_t size = flags & EVFD ? 4 * count : flags & BOOL ? count : 0;

	arg.set.argsz = (uint32_t)(sizeof(arg.set) + size);
	arg.set.flags = flags;
	arg.set.index = index;
	arg.set.start = start;
	arg.set.count = count;
	if (data)
		memcpy(arg.set.data, data, size);
	return do_ioctl(c->device, VFIO_DEVICE_SET_IRQS, &arg);
}

int new_eventfd(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

long signalled(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? (long)count : 0;
}
