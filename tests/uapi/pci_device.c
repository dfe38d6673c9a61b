/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device file of a PCI function: information, regions, config space, interrupts, resets, features. Where
 * a test needs a register that can be written, it is the NVMe controller's admin queue attributes.
 */
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

/* ---- calls */

/* An address where nothing is, which no compiler sees through. */
static void *nowhere(void)
{
	volatile uintptr_t address = 16;

	return (void *)address;
}

static ssize_t rd(struct client *c, void *buf, size_t len, off_t off)
{
	ssize_t n = pread(c->device, buf, len, off);

	return n < 0 ? -errno : n;
}

static ssize_t wr(struct client *c, const void *buf, size_t len, off_t off)
{
	ssize_t n = pwrite(c->device, buf, len, off);

	return n < 0 ? -errno : n;
}

static uint32_t cfg_read(struct client *c, uint32_t at, unsigned int size)
{
	uint32_t value = 0;

	assert_int_equal(rd(c, &value, size, CFG + at), size);
	return value;
}

static void cfg_write(struct client *c, uint32_t at, uint32_t value, unsigned int size)
{
	assert_int_equal(wr(c, &value, size, CFG + at), size);
}

static uint32_t find_cap(struct client *c, uint8_t id)
{
	uint32_t at = cfg_read(c, PCI_CAPABILITY_LIST, 1) & ~3u;

	for (int n = 0; at && n < 48; n++) {
		if (cfg_read(c, at, 1) == id)
			return at;
		at = cfg_read(c, at + 1, 1) & ~3u;
	}
	return 0;
}

static void region_info(struct client *c, uint32_t index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, info), 0);
}

static uint32_t irq_count(struct client *c, uint32_t index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	return do_ioctl(c->device, VFIO_DEVICE_GET_IRQ_INFO, &info) ? 0 : info.count;
}

static long set_irqs(struct client *c, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
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

static int new_eventfd(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static long signalled(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? (long)count : 0;
}

/* ---- information */

static void test_info(struct client *c)
{
	struct vfio_device_info info = { .argsz = 16 };

	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_INFO, &info), 0);
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(info.num_regions, VFIO_PCI_NUM_REGIONS);
	assert_int_equal(info.num_irqs, VFIO_PCI_NUM_IRQS);
}

static void test_region_info(struct client *c)
{
	struct vfio_region_info info;

	for (uint32_t i = 0; i <= VFIO_PCI_CONFIG_REGION_INDEX; i++) {
		region_info(c, i, &info);
		assert_int_equal(info.offset, REGION(i));
	}
	assert_int_equal(info.flags, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
	assert_int_equal(info.size, 4096);
	info.index = VFIO_PCI_VGA_REGION_INDEX;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, &info), -EINVAL);
	info.index = UINT32_MAX;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, &info), -EINVAL);
}

/* Ask with room for the fixed part, then with what the first answer wants: the chain lies within that. */
static void test_region_caps(struct client *c)
{
	struct vfio_region_info info, *full;
	struct vfio_info_cap_header *cap;
	bool mappable = false;

	region_info(c, 0, &info);
	assert_true(info.flags & VFIO_REGION_INFO_FLAG_CAPS);
	assert_int_equal(info.cap_offset, 0);
	assert_true(info.argsz > sizeof(info));
	full = calloc(1, info.argsz);
	full->argsz = info.argsz;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, full), 0);
	assert_true(full->cap_offset >= sizeof(info));
	for (uint32_t at = full->cap_offset; at; at = cap->next) {
		assert_true(at + sizeof(*cap) <= full->argsz);
		cap = (void *)((uint8_t *)full + at);
		mappable |= cap->id == VFIO_REGION_INFO_CAP_MSIX_MAPPABLE;
	}
	assert_true(mappable);
	free(full);
}

static void test_irq_info(struct client *c)
{
	struct vfio_irq_info info = { .argsz = sizeof(info) };

	for (info.index = INTX; info.index <= REQ; info.index++) {
		assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_IRQ_INFO, &info), 0);
		assert_true(info.flags & VFIO_IRQ_INFO_EVENTFD);
	}
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_IRQ_INFO, &info), -EINVAL);
	assert_true(irq_count(c, MSIX) >= 4);
	assert_int_equal(irq_count(c, REQ), 1);
}

static void test_foreign_requests(struct client *c)
{
	assert_int_equal(do_ioctl_value(c->device, VFIO_GET_API_VERSION, 0), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->device, VFIO_GROUP_UNSET_CONTAINER, 0), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->device, _IO(VFIO_TYPE, VFIO_BASE + 14), 0), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->device, _IO('x', VFIO_BASE + 7), 0), -ENOTTY);
}

/* ---- config space */

static void test_config_bounds(struct client *c)
{
	uint8_t buf[4097];

	assert_int_equal(rd(c, buf, 4096, CFG), 4096);
	assert_int_equal(rd(c, buf, 4097, CFG), -EFAULT);
	assert_int_equal(rd(c, buf, 1, CFG + 4096), -EFAULT);
	assert_int_equal(rd(c, buf, 0, CFG + 4096), 0);
	assert_int_equal(wr(c, buf, 4, CFG + 4094), -EFAULT);
	assert_int_equal(rd(c, nowhere(), 4, CFG), -EFAULT);
	assert_int_equal(rd(c, buf, 4, REGION(VFIO_PCI_VGA_REGION_INDEX)), -EINVAL);
	assert_int_equal(rd(c, buf, 4, REGION(9)), -EINVAL);
	assert_int_equal(rd(c, buf, 4, -1), -EINVAL);
}

static void test_config_writes(struct client *c)
{
	uint32_t vendor = cfg_read(c, PCI_VENDOR_ID, 4);

	assert_int_equal(cfg_read(c, PCI_COMMAND, 2) & (PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY),
			 PCI_COMMAND_MEMORY);
	cfg_write(c, PCI_VENDOR_ID, ~vendor, 4);
	assert_int_equal(cfg_read(c, PCI_VENDOR_ID, 4), vendor);
	cfg_write(c, PCI_INTERRUPT_LINE, 0x5a, 1);
	assert_int_equal(cfg_read(c, PCI_INTERRUPT_LINE, 1), 0x5a);
	cfg_write(c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_int_equal(cfg_read(c, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	/* the next user sees nothing of it */
	reopen_device(c);
	assert_false(cfg_read(c, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
	assert_int_not_equal(cfg_read(c, PCI_INTERRUPT_LINE, 1), 0x5a);
}

static void test_bar_sizing(struct client *c)
{
	uint32_t before = cfg_read(c, PCI_BASE_ADDRESS_0, 4), ones;
	struct vfio_region_info info;

	region_info(c, 0, &info);
	cfg_write(c, PCI_BASE_ADDRESS_0, UINT32_MAX, 4);
	ones = cfg_read(c, PCI_BASE_ADDRESS_0, 4);
	assert_int_equal(~(ones & ~15u) + 1, info.size);
	for (uint32_t i = 0; i < 4; i++)
		cfg_write(c, PCI_BASE_ADDRESS_0 + i, 0xff, 1);
	assert_int_equal(cfg_read(c, PCI_BASE_ADDRESS_0, 4), ones);
	cfg_write(c, PCI_BASE_ADDRESS_0, before, 4);
	assert_int_equal(cfg_read(c, PCI_BASE_ADDRESS_0, 4), before);
}

static void test_flr(struct client *c)
{
	uint32_t devctl = find_cap(c, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL, value = 0x00070007;

	assert_int_equal(wr(c, &value, 4, AQA), 4);
	cfg_write(c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	cfg_write(c, devctl, cfg_read(c, devctl, 2) | PCI_EXP_DEVCTL_BCR_FLR, 2);
	assert_false(cfg_read(c, devctl, 2) & PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(cfg_read(c, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(rd(c, &value, 4, AQA), 4);
	assert_int_equal(value, 0);
}

/* ---- regions */

static void test_bar_access(struct client *c)
{
	uint32_t value = 0x00ff00ff, back = 0;
	struct vfio_region_info info;
	uint8_t bytes[8];

	region_info(c, 0, &info);
	assert_int_equal(wr(c, &value, 4, AQA), 4);
	assert_int_equal(rd(c, &back, 4, AQA), 4);
	assert_int_equal(back, value);
	assert_int_equal(rd(c, bytes, 7, 1), 7);
	assert_int_equal(rd(c, bytes, 8, (off_t)info.size - 4), 4);
	assert_int_equal(rd(c, bytes, 4, (off_t)info.size), -EINVAL);
	assert_int_equal(wr(c, bytes, 4, (off_t)info.size), -EINVAL);
	assert_int_equal(rd(c, nowhere(), 4, 0), -EFAULT);
	assert_int_equal(rd(c, bytes, 4, REGION(VFIO_PCI_ROM_REGION_INDEX)), -EINVAL);
	cfg_write(c, PCI_COMMAND, 0, 2);
	assert_int_equal(rd(c, bytes, 4, 0), -EIO);
	assert_int_equal(wr(c, bytes, 4, AQA), -EIO);
}

static void test_msix_table(struct client *c)
{
	uint32_t cap = find_cap(c, PCI_CAP_ID_MSIX);
	uint32_t table = cfg_read(c, cap + PCI_MSIX_TABLE, 4);
	off_t at = REGION(table & 7) + (off_t)(table & ~7u);
	uint32_t entry[4] = { 0 };

	assert_int_equal(wr(c, entry, sizeof(entry), at), sizeof(entry));
	assert_int_equal(rd(c, entry, sizeof(entry), at), sizeof(entry));
	for (int i = 0; i < 4; i++)
		assert_int_equal(entry[i], UINT32_MAX);
}

static int map_error(struct client *c, size_t len, int flags, off_t off)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, c->device, off);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, len);
	return 0;
}

static void test_mmap(struct client *c)
{
	struct vfio_region_info info;

	region_info(c, 0, &info);
	assert_int_equal(map_error(c, PG, MAP_SHARED, 0), 0);
	assert_int_equal(map_error(c, info.size, MAP_SHARED, 0), 0);
	assert_int_equal(map_error(c, PG, MAP_SHARED, (off_t)(info.size - PG)), 0);
	assert_int_equal(map_error(c, 16, MAP_SHARED, 0), 0);
	assert_int_equal(map_error(c, info.size + PG, MAP_SHARED, 0), -EINVAL);
	assert_int_equal(map_error(c, PG, MAP_SHARED, (off_t)info.size), -EINVAL);
	assert_int_equal(map_error(c, PG, MAP_PRIVATE, 0), -EINVAL);
	assert_int_equal(map_error(c, 0, MAP_SHARED, 0), -EINVAL);
	assert_int_equal(map_error(c, PG, MAP_SHARED, 16), -EINVAL);
	assert_int_equal(map_error(c, PG, MAP_SHARED, CFG), -EINVAL);
	assert_int_equal(map_error(c, PG, MAP_SHARED, REGION(VFIO_PCI_ROM_REGION_INDEX)), -EINVAL);
	assert_int_equal(map_error(c, PG, MAP_SHARED, REGION(200)), -EINVAL);
}

/* A device that reaches another's registers, or plain memory of its BARs: type1 lets it, an IOMMUFD takes
 * memory only. */
static void test_bar_for_dma(struct client *c)
{
	const uint64_t iova = 0x1000000;
	struct vfio_region_info info;
	unsigned int pages = 0;
	uint64_t size;
	uint8_t *bar;

	region_info(c, 0, &info);
	bar = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, c->device, (off_t)info.offset);
	assert_ptr_not_equal(bar, MAP_FAILED);
	for (uint64_t at = 0; at < info.size; at += PG, pages++) {
		if (c->mode->compat || c->mode->native) {
			assert_int_equal(map(c, RW, bar + at, iova, PG), -EFAULT);
			continue;
		}
		assert_int_equal(map(c, RW, bar + at, iova, PG), 0);
		size = PG;
		assert_int_equal(unmap(c, 0, iova, &size), 0);
	}
	assert_in_range(pages, 2, 1024); /* registers, and plain memory: the MSI-X table */
	munmap(bar, info.size);
}

static void test_mapped_registers(struct client *c)
{
	volatile uint32_t *regs = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED, c->device, 0);
	uint32_t value = 0;

	assert_ptr_not_equal((void *)regs, MAP_FAILED);
	regs[AQA / 4] = 0x000f000f;
	assert_int_equal(rd(c, &value, 4, AQA), 4);
	assert_int_equal(value, 0x000f000f);
	value = 0x001f001f;
	assert_int_equal(wr(c, &value, 4, AQA), 4);
	assert_int_equal(regs[AQA / 4], value);
	munmap((void *)regs, PG);
}

/* ---- interrupts */

static void test_set_irqs_arguments(struct client *c)
{
	int fd = new_eventfd();
	struct vfio_irq_set set = { .argsz = sizeof(set) - 1, .flags = NONE | TRIG, .index = REQ };

	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_SET_IRQS, NULL), -EFAULT);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_SET_IRQS, &set), -EINVAL);
	set = (struct vfio_irq_set){ .argsz = sizeof(set), .flags = EVFD | TRIG, .index = REQ, .count = 1 };
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_SET_IRQS, &set), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG, 5, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG, REQ, 1, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(c, NONE | TRIG, REQ, 0, UINT32_MAX, NULL), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG | 0x40, REQ, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | NONE | TRIG, REQ, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG | MASK, REQ, 0, 1, &fd), -ENOTTY);
	assert_int_equal(set_irqs(c, NONE | MASK, REQ, 0, 1, NULL), -ENOTTY);
	assert_int_equal(set_irqs(c, NONE | UNMASK, MSIX, 0, 1, NULL), -ENOTTY);
	close(fd);
}

/* ERR and REQ: one eventfd each. */
static void test_single_eventfds(struct client *c)
{
	static const uint32_t which[] = { ERR, REQ };
	const int off = -1, minus_two = -2, none = 1000;
	const uint8_t yes = 1;

	for (size_t i = 0; i < COUNT(which); i++) {
		uint32_t x = which[i];
		int a = new_eventfd(), b = new_eventfd(), null = open("/dev/null", O_RDWR | O_CLOEXEC);

		assert_int_equal(set_irqs(c, NONE | TRIG, x, 0, 0, NULL), -EINVAL);
		assert_int_equal(set_irqs(c, NONE | TRIG, x, 0, 1, NULL), -EINVAL);
		assert_int_equal(set_irqs(c, BOOL | TRIG, x, 0, 1, &yes), 0);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &none), -EBADF);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &null), -EINVAL);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &minus_two), -EINVAL);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &a), 0);
		assert_int_equal(set_irqs(c, NONE | TRIG, x, 0, 1, NULL), 0);
		assert_int_equal(signalled(a), 1);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &b), 0);
		assert_int_equal(set_irqs(c, BOOL | TRIG, x, 0, 1, &yes), 0);
		assert_int_equal(signalled(a), 0);
		assert_int_equal(signalled(b), 1);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &off), 0);
		assert_int_equal(set_irqs(c, NONE | TRIG, x, 0, 1, NULL), -EINVAL);
		close(a);
		close(b);
		close(null);
	}
}

static bool msix_enabled(struct client *c)
{
	return cfg_read(c, find_cap(c, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_ENABLE;
}

static void test_msix(struct client *c)
{
	int fd[3] = { new_eventfd(), -1, new_eventfd() };
	const int off = -1, none = 1000;
	uint32_t last = irq_count(c, MSIX) - 1;

	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 0, 0, NULL), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 0, NULL), -ERANGE);
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 1, &none), -EBADF);
	assert_false(msix_enabled(c));
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 3, fd), 0);
	assert_true(msix_enabled(c));
	assert_int_equal(set_irqs(c, EVFD | TRIG, INTX, 0, 1, fd), -EINVAL);
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 0, 3, NULL), 0);
	assert_int_equal(signalled(fd[0]), 1);
	assert_int_equal(signalled(fd[2]), 1);
	/* a vector added later, and one taken away */
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, last, 1, &fd[0]), 0);
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 1, &off), 0);
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 0, last + 1, NULL), 0);
	assert_int_equal(signalled(fd[0]), 1);
	/* kept across a reset; the device has its own reference */
	assert_int_equal(do_ioctl_value(c->device, VFIO_DEVICE_RESET, 0), 0);
	assert_true(msix_enabled(c));
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 2, 1, NULL), 0);
	assert_int_equal(signalled(fd[2]), 2);
	close(fd[2]);
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 2, 1, NULL), 0);
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 0, 0, NULL), 0);
	assert_false(msix_enabled(c));
	close(fd[0]);
}

static void test_intx(struct client *c)
{
	int a = new_eventfd(), resample = new_eventfd();
	const int off = -1, none = 1000;

	assert_int_equal(set_irqs(c, NONE | MASK, INTX, 0, 1, NULL), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG, INTX, 0, 1, &none), -EBADF);
	assert_int_equal(set_irqs(c, EVFD | TRIG, INTX, 0, 1, &a), 0);
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 1, &a), -EINVAL);
	assert_int_equal(set_irqs(c, NONE | TRIG, INTX, 0, 1, NULL), 0);
	assert_int_equal(signalled(a), 1);
	assert_int_equal(set_irqs(c, NONE | MASK, INTX, 0, 1, NULL), 0);
	assert_int_equal(set_irqs(c, NONE | UNMASK, INTX, 0, 1, NULL), 0);
	assert_int_equal(signalled(a), 0);
	assert_int_equal(set_irqs(c, EVFD | MASK, INTX, 0, 1, &a), -ENOTTY);
	assert_int_equal(set_irqs(c, EVFD | UNMASK, INTX, 0, 1, &resample), 0);
	assert_int_equal(set_irqs(c, EVFD | UNMASK, INTX, 0, 1, &resample), -EBUSY);
	assert_int_equal(set_irqs(c, EVFD | UNMASK, INTX, 0, 1, &off), 0);
	assert_int_equal(set_irqs(c, NONE | TRIG, INTX, 0, 0, NULL), 0);
	assert_int_equal(set_irqs(c, NONE | TRIG, INTX, 0, 0, NULL), -EINVAL);
	close(a);
	close(resample);
}

/* ---- resets, ioeventfds, features */

static void test_reset(struct client *c)
{
	uint32_t value = 0x00070007;

	assert_int_equal(wr(c, &value, 4, AQA), 4);
	cfg_write(c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_int_equal(do_ioctl_value(c->device, VFIO_DEVICE_RESET, 0x1234), 0);
	assert_int_equal(cfg_read(c, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(rd(c, &value, 4, AQA), 4);
	assert_int_equal(value, 0);
}

static void test_hot_reset(struct client *c)
{
	struct {
		uint32_t argsz, flags, count;
		struct vfio_pci_dependent_device dev[64];
	} info = { .argsz = 12 };
	struct {
		uint32_t argsz, flags, count;
		int32_t fd;
	} reset = { .argsz = sizeof(reset), .count = 1, .fd = c->group };

	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, NULL), -EFAULT);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), -ENOSPC);
	assert_true(info.count >= 1);
	info.argsz = sizeof(info);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), 0);
	reset.flags = 1;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.flags = 0;
	reset.fd = c->device;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.fd = 1000;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EBADF);
	reset.count = 0;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	if (info.count > 1)
		return; /* others would be reset, too */
	reset.count = 1;
	reset.fd = c->group;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
}

static long ioeventfd(struct client *c, uint32_t flags, off_t offset, uint64_t data, int fd)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = 28, .flags = flags, .offset = (uint64_t)offset, .data = data, .fd = fd
	};

	return do_ioctl(c->device, VFIO_DEVICE_IOEVENTFD, &arg);
}

static void test_ioeventfd(struct client *c)
{
	int fd = new_eventfd();
	uint64_t one = 1;
	uint32_t value = 0;

	assert_int_equal(ioeventfd(c, 0, AQA, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(c, 3, AQA, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(c, 4, CFG, 0, fd), -EINVAL);
	assert_int_equal(ioeventfd(c, 4, AQA, 0, 1000), -EBADF);
	assert_int_equal(ioeventfd(c, 4, AQA, 0x00030003, fd), 0);
	assert_int_equal(ioeventfd(c, 4, AQA, 0x00030003, fd), -EEXIST);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	for (int i = 0; i < 2000 && value != 0x00030003; i++) {
		poll(NULL, 0, 1);
		assert_int_equal(rd(c, &value, 4, AQA), 4);
	}
	assert_int_equal(value, 0x00030003);
	assert_int_equal(ioeventfd(c, 4, AQA, 0x00030003, -1), 0);
	assert_int_equal(ioeventfd(c, 4, AQA, 0x00030003, -1), -ENODEV);
	close(fd);
}

static long feature(struct client *c, uint32_t argsz, uint32_t flags)
{
	uint32_t arg[16] = { argsz, flags };

	return do_ioctl(c->device, VFIO_DEVICE_FEATURE, arg);
}

static void test_feature(struct client *c)
{
	const uint32_t get = VFIO_DEVICE_FEATURE_GET, set = VFIO_DEVICE_FEATURE_SET;
	const uint32_t probe = VFIO_DEVICE_FEATURE_PROBE;

	assert_int_equal(feature(c, 7, probe), -EINVAL);
	assert_int_equal(feature(c, 8, probe | 1u << 19), -EINVAL);
	assert_int_equal(feature(c, 8, get | set | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY), -EINVAL);
	assert_int_equal(feature(c, 8, probe | 0xffff), -ENOTTY);
	assert_int_equal(feature(c, 8, probe | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN), -ENOTTY);
	assert_int_equal(feature(c, 8, probe | VFIO_DEVICE_FEATURE_MIGRATION), -ENOTTY);
	assert_int_equal(feature(c, 8, probe | set | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY), 0);
	assert_int_equal(feature(c, 8, get | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY), -EINVAL);
	assert_int_equal(feature(c, 8, set | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY), 0);
	assert_int_equal(feature(c, 8, set | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY), -EINVAL);
	assert_int_equal(feature(c, 8, set | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT), 0);
	assert_int_equal(feature(c, 8, set | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT), 0);
}

int main(void)
{
	static const struct test tests[] = {
		T_ALL(test_info),
		T_ALL(test_region_info),
		T_ALL(test_region_caps),
		T_ALL(test_irq_info),
		T_ALL(test_foreign_requests),
		T_ALL(test_config_bounds),
		T_ALL(test_config_writes),
		T_ALL(test_bar_sizing),
		T_ALL(test_flr),
		T_ALL(test_bar_access),
		T_ALL(test_msix_table),
		T_ALL(test_mmap),
		T_ALL(test_bar_for_dma),
		T_ALL(test_mapped_registers),
		T_ALL(test_set_irqs_arguments),
		T_ALL(test_single_eventfds),
		T_ALL(test_msix),
		T_ALL(test_intx),
		T_ALL(test_reset),
		T(test_hot_reset),
		T_ALL(test_ioeventfd),
		T_ALL(test_feature),
	};

	return run_in_modes("pci_device", tests, COUNT(tests));
}
