/* SPDX-License-Identifier: BSD-2-Clause */
/* The device file of a PCI function: information, config space, resets, features. */
#include "pci_client.h"

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

/* ---- resets, features */

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
		T_ALL(test_reset),
		T(test_hot_reset),
		T_ALL(test_feature),
	};

	return run_in_modes("pci_device", tests, COUNT(tests));
}
