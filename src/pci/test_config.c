/* SPDX-License-Identifier: BSD-2-Clause */
/* Config space: what can be read, what a write changes, and what it sets in motion. */
#include "pci/test_util.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void test_identity(void **state)
{
	struct rig *r = *state;

	assert_int_equal(cfg_read(r, PCI_VENDOR_ID, 4), 0x00101b36);
	assert_int_equal(cfg_read(r, PCI_CLASS_REVISION, 4), 0x01080202);
	assert_int_equal(cfg_read(r, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
	assert_int_equal(cfg_read(r, PCI_COMMAND, 4), 0x00100103);
	assert_int_equal(cfg_read(r, PCI_INTERRUPT_PIN, 1), 1);
}

static void test_capability_list(void **state)
{
	static const uint8_t msix[] = { 0x11, 0x80, 0x40, 0, 0, 0x20, 0, 0, 0, 0x30, 0, 0 };
	static const uint8_t exp[] = { 0x10, 0x60, 2,    0, 0x20, 0x80, 0, 0x10, 0,   0,
				       0,    0,    0x11, 4, 0,    0,    0, 0,    0x11 };
	static const uint8_t pm[] = { 1, 0, 3, 0, 8, 0, 0, 0 };
	struct rig *r = *state;
	uint8_t bytes[32];

	assert_int_equal(cfg_read(r, PCI_CAPABILITY_LIST, 1), 0x40);
	assert_int_equal(dev_read(r, CFG, 0x40, bytes, sizeof(msix)), sizeof(msix));
	assert_memory_equal(bytes, msix, sizeof(msix));
	assert_int_equal(dev_read(r, CFG, 0x80, bytes, sizeof(exp)), sizeof(exp));
	assert_memory_equal(bytes, exp, sizeof(exp));
	assert_int_equal(dev_read(r, CFG, 0x60, bytes, sizeof(pm)), sizeof(pm));
	assert_memory_equal(bytes, pm, sizeof(pm));
	assert_int_equal(cfg_read(r, 0x100, 4), 0x00020001);
}

static void test_bounds(void **state)
{
	struct rig *r = *state;
	uint8_t buf[8192];

	assert_int_equal(dev_read(r, CFG, 0, buf, 4096), 4096);
	assert_int_equal(dev_read(r, CFG, 0, buf, 4097), -EFAULT);
	assert_int_equal(dev_read(r, CFG, 4095, buf, 1), 1);
	assert_int_equal(dev_read(r, CFG, 4095, buf, 2), -EFAULT);
	assert_int_equal(dev_read(r, CFG, 4096, buf, 1), -EFAULT);
	assert_int_equal(dev_read(r, CFG, 4096, buf, 0), 0);
	assert_int_equal(dev_write(r, CFG, 4094, buf, 4), -EFAULT);
	assert_int_equal(dev_read(r, CFG, 0, (void *)16, 4), -EFAULT);
	assert_int_equal(dev_read(r, VFIO_PCI_VGA_REGION_INDEX, 0, buf, 4), -EINVAL);
	assert_int_equal(dev_read(r, 9, 0, buf, 4), -EINVAL);
}

/* Reads of any length and position agree with the whole. */
static void test_partial_reads(void **state)
{
	struct rig *r = *state;
	uint8_t whole[4096], part[300];

	assert_int_equal(dev_read(r, CFG, 0, whole, sizeof(whole)), sizeof(whole));
	for (uint32_t pos = 0; pos < 0x120; pos += 7)
		for (size_t len = 1; len <= sizeof(part); len += 13) {
			assert_int_equal(dev_read(r, CFG, pos, part, len), len);
			assert_memory_equal(part, whole + pos, len);
		}
}

static void test_read_only(void **state)
{
	static const uint16_t at[] = { 0,    2,    6,    8,    0xa,  0xe,  0x2c, 0x2e,
				       0x34, 0x38, 0x3e, 0x40, 0x42, 0x44, 0x62 };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		uint32_t before = cfg_read(r, at[i], 2);

		cfg_write(r, at[i], ~before, 2);
		assert_int_equal(cfg_read(r, at[i], 2), before);
	}
}

static void test_command(void **state)
{
	struct rig *r = *state;
	struct iommu_dev *dev = &r->func->iommu;

	cfg_write(r, PCI_COMMAND, 0xffff, 2);
	assert_int_equal(cfg_read(r, PCI_COMMAND, 2), 0x0507);
	assert_true(dev->enabled);
	cfg_write(r, PCI_COMMAND, 0, 2);
	assert_int_equal(cfg_read(r, PCI_COMMAND, 2), 0);
	assert_false(dev->enabled);
	/* by bytes */
	cfg_write(r, PCI_COMMAND, PCI_COMMAND_MASTER, 1);
	cfg_write(r, PCI_COMMAND + 1, 0xff, 1);
	assert_int_equal(cfg_read(r, PCI_COMMAND, 2), 0x0504);
	assert_true(dev->enabled);
}

static void test_bar_sizing(void **state)
{
	struct rig *r = *state;
	uint32_t bar0 = cfg_read(r, PCI_BASE_ADDRESS_0, 4);

	assert_int_equal(bar0 & 15, PCI_BASE_ADDRESS_MEM_TYPE_64);
	assert_int_equal(bar0 & ~15u, pci_func_bar_address(r->func, 0));
	cfg_write(r, PCI_BASE_ADDRESS_0, UINT32_MAX, 4);
	cfg_write(r, PCI_BASE_ADDRESS_1, UINT32_MAX, 4);
	assert_int_equal(cfg_read(r, PCI_BASE_ADDRESS_0, 4), 0xffffc004);
	assert_int_equal(cfg_read(r, PCI_BASE_ADDRESS_1, 4), UINT32_MAX);
	cfg_write(r, PCI_BASE_ADDRESS_0, 0, 4);
	assert_int_equal(cfg_read(r, PCI_BASE_ADDRESS_0, 4), 4);
	for (uint32_t i = 0; i < 4; i++)
		cfg_write(r, PCI_BASE_ADDRESS_0 + i, 0xff, 1);
	assert_int_equal(cfg_read(r, PCI_BASE_ADDRESS_0, 4), 0xffffc004);
	cfg_write(r, PCI_BASE_ADDRESS_2, UINT32_MAX, 4);
	assert_int_equal(cfg_read(r, PCI_BASE_ADDRESS_2, 4), 0xffffe000);
	cfg_write(r, PCI_BASE_ADDRESS_4, UINT32_MAX, 4);
	assert_int_equal(cfg_read(r, PCI_BASE_ADDRESS_4, 4), 0);
	cfg_write(r, PCI_ROM_ADDRESS, UINT32_MAX, 4);
	assert_int_equal(cfg_read(r, PCI_ROM_ADDRESS, 4), 0);
}

static void test_write_block(void **state)
{
	struct rig *r = *state;
	uint8_t block[16];

	assert_int_equal(dev_read(r, CFG, 3, block, sizeof(block)), sizeof(block));
	block[9] = 0x40; /* cache line size */
	block[3] ^= PCI_COMMAND_SERR >> 8;
	assert_int_equal(dev_write(r, CFG, 3, block, sizeof(block)), sizeof(block));
	assert_int_equal(cfg_read(r, PCI_CACHE_LINE_SIZE, 1), 0x40);
	assert_int_equal(cfg_read(r, PCI_COMMAND, 2), 0x0103);
	block[2] = PCI_COMMAND_SERR >> 8;
	assert_int_equal(dev_write(r, CFG, 3, block, 3), 3);
	assert_int_equal(cfg_read(r, PCI_COMMAND, 2), (unsigned int)block[1] | (unsigned int)block[2] << 8);
}

static void test_decode_off(void **state)
{
	struct rig *r = *state;
	uint32_t value = 0;

	cfg_write(r, PCI_COMMAND, PCI_COMMAND_IO, 2);
	assert_int_equal(dev_read(r, 0, 0, &value, 4), -EIO);
	assert_int_equal(dev_write(r, 0, 0, &value, 4), -EIO);
	assert_int_equal(dev_read(r, 1, 0, &value, 4), -EINVAL);
	/* the buffer comes first */
	assert_int_equal(dev_write(r, 0, 0, NULL, 4), -EFAULT);
	assert_int_equal(dev_write(r, 0, 0, NULL, 7), -EFAULT);
	assert_int_equal(pci_mmio(r->func, 0, &value, 4, false), -EIO);
	cfg_write(r, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(dev_read(r, 0, 0, &value, 4), 4);
}

static void test_power_states(void **state)
{
	struct rig *r = *state;
	uint32_t ctrl = find_cap(r, PCI_CAP_ID_PM) + PCI_PM_CTRL, value;
	int resets = r->fake->resets;

	cfg_write(r, ctrl, 1, 2);
	assert_int_equal(cfg_read(r, ctrl, 2), 8);
	cfg_write(r, ctrl, 3, 2);
	assert_int_equal(cfg_read(r, ctrl, 2), 0xb);
	assert_int_equal(dev_read(r, 0, 0, &value, 4), -EIO);
	assert_int_equal(pci_mmio(r->func, 0, &value, 4, false), -EIO);
	cfg_write(r, ctrl, 0, 2);
	assert_int_equal(cfg_read(r, ctrl, 2), 8);
	assert_int_equal(dev_read(r, 0, 0, &value, 4), 4);
	assert_int_equal(r->fake->resets, resets);
	/* a reset ends it, too */
	cfg_write(r, ctrl, 3, 2);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(cfg_read(r, ctrl, 2), 8);
	assert_int_equal(dev_read(r, 0, 0, &value, 4), 4);
}

/* Without No_Soft_Reset the way back from D3hot is a reset; config space is as before. */
static void test_soft_reset(void **state)
{
	struct rig *r = *state;
	uint32_t ctrl = find_cap(r, PCI_CAP_ID_PM) + PCI_PM_CTRL;
	int resets = r->fake->resets;

	cfg_write(r, PCI_INTERRUPT_LINE, 0x55, 1);
	cfg_write(r, ctrl, 3, 2);
	assert_int_equal(r->fake->resets, resets);
	cfg_write(r, ctrl, 0, 2);
	assert_int_equal(r->fake->resets, resets + 1);
	assert_int_equal(cfg_read(r, PCI_INTERRUPT_LINE, 1), 0x55);
}

static void test_flr(void **state)
{
	struct rig *r = *state;
	uint32_t devctl = find_cap(r, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
	int resets = r->fake->resets;

	cfg_write(r, PCI_COMMAND, 0x0107, 2);
	cfg_write(r, PCI_INTERRUPT_LINE, 0x77, 1);
	cfg_write(r, devctl, 0xffff, 2);
	assert_int_equal(r->fake->resets, resets + 1);
	assert_int_equal(cfg_read(r, devctl, 2), 0x70ef);
	assert_int_equal(cfg_read(r, PCI_COMMAND, 2), 0x0107);
	assert_int_equal(cfg_read(r, PCI_INTERRUPT_LINE, 1), 0x77);
	assert_true(r->func->iommu.enabled);
	/* the other byte does not reset */
	cfg_write(r, devctl, 0xff, 1);
	assert_int_equal(r->fake->resets, resets + 1);
}

/* What the model has under way at a reset, or at the last close, is ended by it, and may use memory until
 * then: it must not look as if the driver had forgotten bus mastering. */
static void test_quiesced_first(void **state)
{
	struct rig *r = *state;

	assert_false(r->fake->master);
	cfg_write(r, PCI_COMMAND, 0x0507, 2);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_RESET, NULL), 0);
	assert_true(r->fake->master);
	r->fake->master = false;
	close_device_fd(r);
	assert_true(r->fake->master);
	assert_false(r->func->iommu.enabled);
	open_device_again(r);
	assert_false(r->fake->master);
}

static void test_aer(void **state)
{
	struct rig *r = *state;
	uint32_t status = 0x100 + PCI_ERR_UNCOR_STATUS;
	uint32_t devsta = find_cap(r, PCI_CAP_ID_EXP) + PCI_EXP_DEVSTA;

	assert_int_equal(cfg_read(r, status, 4), 0);
	uvfio_pci_report_error(&r->func->pub);
	assert_int_equal(cfg_read(r, status, 4), PCI_ERR_UNC_INTN);
	assert_int_equal(cfg_read(r, devsta, 2), PCI_EXP_DEVSTA_FED);
	cfg_write(r, status, PCI_ERR_UNC_COMP_ABORT, 4);
	assert_int_equal(cfg_read(r, status, 4), PCI_ERR_UNC_INTN);
	cfg_write(r, status + 2, PCI_ERR_UNC_INTN >> 16, 2);
	assert_int_equal(cfg_read(r, status, 4), 0);
	cfg_write(r, 0x100 + PCI_ERR_UNCOR_MASK, UINT32_MAX, 4);
	assert_int_equal(cfg_read(r, 0x100 + PCI_ERR_UNCOR_MASK, 4), 0x03fff031);
}

static void test_conventional(void **state)
{
	struct rig *r = *state;
	uint8_t buf[4];

	assert_int_equal(dev_read(r, CFG, 255, buf, 1), 1);
	assert_int_equal(dev_read(r, CFG, 256, buf, 1), -EFAULT);
	assert_int_equal(find_cap(r, PCI_CAP_ID_EXP), 0);
	assert_int_equal(find_cap(r, PCI_CAP_ID_MSI), 0x40);
	assert_int_equal(find_cap(r, PCI_CAP_ID_PM), 0x60);
}

/* The driver's MSI enable bit and number of vectors exist only within what SET_IRQS has enabled. */
static void test_msi_flags(void **state)
{
	struct rig *r = *state;
	uint32_t flags = find_cap(r, PCI_CAP_ID_MSI) + PCI_MSI_FLAGS;
	int fds[4] = { -1, -1, -1, -1 };

	assert_int_equal(cfg_read(r, flags, 2), PCI_MSI_FLAGS_64BIT | 2 << 1);
	cfg_write(r, flags, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE, 2);
	assert_int_equal(cfg_read(r, flags, 2), PCI_MSI_FLAGS_64BIT | 2 << 1);
	assert_int_equal(set_irqs(r, EVFD | TRIG, VFIO_PCI_MSI_IRQ_INDEX, 0, 3, fds), 0);
	cfg_write(r, flags, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE, 2);
	assert_int_equal(cfg_read(r, flags, 2), PCI_MSI_FLAGS_64BIT | 2 << 1 | PCI_MSI_FLAGS_ENABLE | 2 << 4);
	cfg_write(r, flags + 2, 0xfee01004, 4);
	assert_int_equal(cfg_read(r, flags + 2, 4), 0xfee01004);
}

static void test_reopen(void **state)
{
	struct rig *r = *state;
	uint8_t before[4096], after[4096];
	int opened = r->fake->opened;

	assert_int_equal(pci_func_config_image(r->func, before, sizeof(before)), sizeof(before));
	cfg_write(r, PCI_COMMAND, 0x0507, 2);
	cfg_write(r, PCI_CACHE_LINE_SIZE, 0x10, 1);
	cfg_write(r, PCI_BASE_ADDRESS_0, 0, 4);
	cfg_write(r, find_cap(r, PCI_CAP_ID_PM) + PCI_PM_CTRL, 3, 2);
	close_device_fd(r);
	assert_int_equal(r->fake->closed, 1);
	assert_false(r->func->iommu.enabled);
	open_device_again(r);
	assert_int_equal(r->fake->opened, opened + 1);
	assert_int_equal(pci_func_config_image(r->func, after, sizeof(after)), sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
}

struct worker {
	struct rig *rig;
	void (*step)(struct rig *r, unsigned int i);
	_Atomic bool stop;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; !w->stop; i++)
		w->step(w->rig, i);
	return NULL;
}

static void step_command(struct rig *r, unsigned int i)
{
	uint16_t command = i & 1 ? 0x0103 : 0x0507;

	dev_write(r, CFG, PCI_COMMAND, &command, sizeof(command));
}

static void step_power(struct rig *r, unsigned int i)
{
	uint16_t ctrl = i & 1 ? 3 : 0;

	dev_write(r, CFG, 0x60 + PCI_PM_CTRL, &ctrl, sizeof(ctrl));
}

static void step_read(struct rig *r, unsigned int i)
{
	uint8_t buf[256];
	uint64_t value;

	dev_read(r, CFG, i % 16, buf, sizeof(buf) - 16);
	dev_read(r, 2, 0x1000 + i % 8 * 8, &value, sizeof(value));
	pci_mmio(r->func, ((uint64_t)2 << 40) + 0x1000, &value, sizeof(value), true);
}

static void step_reset(struct rig *r, unsigned int i)
{
	uint16_t flr = PCI_EXP_DEVCTL_BCR_FLR;

	if (i & 1)
		dev_ioctl(r, VFIO_DEVICE_RESET, NULL);
	else
		dev_write(r, CFG, 0x80 + PCI_EXP_DEVCTL, &flr, sizeof(flr));
}

/* Everything at once. At the end the state is that of the last writes. */
static void test_concurrent(void **state)
{
	void (*const steps[])(struct rig *, unsigned int) = { step_command, step_power, step_read,
							      step_reset };
	struct worker workers[ARRAY_SIZE(steps)] = { 0 };
	struct rig *r = *state;
	uint32_t value;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		workers[i].rig = r;
		workers[i].step = steps[i];
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		workers[i].stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		pthread_join(workers[i].thread, NULL);
	assert_true(r->fake->resets > 2);
	cfg_write(r, 0x60 + PCI_PM_CTRL, 0, 2);
	cfg_write(r, PCI_COMMAND, 0x0507, 2);
	assert_int_equal(dev_read(r, 2, 0x1000, &value, 4), 4);
	assert_true(r->func->iommu.enabled);
	cfg_write(r, PCI_COMMAND, 0x0101, 2);
	assert_int_equal(dev_read(r, 2, 0x1000, &value, 4), -EIO);
	assert_false(r->func->iommu.enabled);
}

static void test_d3hot_sends_nothing(void **state)
{
	struct rig *r = *state;

	cfg_write(r, PCI_COMMAND, 0x0506, 2);
	assert_true(r->func->iommu.enabled);
	cfg_write(r, 0x60 + PCI_PM_CTRL, 3, 2);
	assert_false(r->func->iommu.enabled);
	cfg_write(r, PCI_COMMAND, 0x0506, 2);
	assert_false(r->func->iommu.enabled);
	cfg_write(r, 0x60 + PCI_PM_CTRL, 0, 2);
	assert_true(r->func->iommu.enabled);
}

static void test_removal(void **state)
{
	struct rig *r = *state;
	uint32_t *mem = uvfio_pci_memory(&r->func->pub, 2, 0x1000), value = 0;
	int err = new_eventfd(), irq = new_eventfd();

	cfg_write(r, PCI_COMMAND, 0x0506, 2);
	assert_int_equal(set_irqs(r, EVFD | TRIG, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, &err), 0);
	assert_int_equal(set_irqs(r, EVFD | TRIG, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &irq), 0);
	uvfio_unplug(&r->func->pub.dev);
	uvfio_unplug(&r->func->pub.dev);
	assert_int_equal(eventfd_count(err, 0), 1);
	uvfio_pci_irq(&r->func->pub, 0);
	assert_int_equal(eventfd_count(irq, 0), 0);
	assert_int_equal(*mem, UINT32_MAX);
	assert_int_equal(cfg_read(r, PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(dev_read(r, 0, 0, &value, 4), 4);
	assert_int_equal(value, UINT32_MAX);
	cfg_write(r, PCI_COMMAND, 0, 2);
	assert_int_equal(dev_write(r, 0, 0x1000, &value, 4), 4);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_RESET, NULL), 0);
	assert_false(r->func->iommu.enabled);
	close(err);
	close(irq);
	close_device_fd(r);
}

static void test_names(void **state)
{
	static const struct {
		uint32_t offset;
		const char *name;
	} names[] = { { 4, "COMMAND" },
		      { 5, "COMMAND+1" },
		      { 0x14, "BAR1" },
		      { 0x42, "MSIX.CTRL" },
		      { 0x64, "PM.CTRL" },
		      { 0x88, "PCIE.DEVCTL" },
		      { 0x104, "AER.UNCOR_STATUS" },
		      { 0x50, "reserved" } };
	struct rig *r = *state;
	char buf[32];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		pci_config_name(r->func, names[i].offset, buf, sizeof(buf));
		assert_string_equal(buf, names[i].name);
	}
}

static void test_bdf(void **state)
{
	static const char *const bad[] = {
		"",        "0000:00:01",   "0000:00:01.8", "0000:00:20.0", "0000:00:01.0 ",
		"00:01:0", "000g:00:01.0", "0000-00:01.0", "1:00:01.0"
	};
	struct pci_slot slot;
	char buf[16];

	(void)state;
	assert_int_equal(pci_parse_bdf("12aB:fe:1f.7", &slot), 0);
	pci_format_bdf(&slot, buf);
	assert_string_equal(buf, "12ab:fe:1f.7");
	assert_int_equal(pci_parse_bdf("00:01.0", &slot), 0);
	pci_format_bdf(&slot, buf);
	assert_string_equal(buf, "0000:00:01.0");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(pci_parse_bdf(bad[i], &slot), -EINVAL);
}

#define CASE(name)     cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
#define CASE_MSI(name) cmocka_unit_test_setup_teardown(name, rig_setup_msi, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_identity),
		CASE(test_capability_list),
		CASE(test_bounds),
		CASE(test_partial_reads),
		CASE(test_read_only),
		CASE(test_command),
		CASE(test_bar_sizing),
		CASE(test_write_block),
		CASE(test_decode_off),
		CASE(test_power_states),
		CASE_MSI(test_soft_reset),
		CASE(test_flr),
		CASE(test_quiesced_first),
		CASE(test_aer),
		CASE_MSI(test_conventional),
		CASE_MSI(test_msi_flags),
		CASE(test_reopen),
		CASE(test_names),
		CASE(test_d3hot_sends_nothing),
		CASE(test_removal),
		CASE(test_concurrent),
		cmocka_unit_test(test_bdf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
