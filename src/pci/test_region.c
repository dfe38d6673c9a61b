/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions: what GET_REGION_INFO says, how accesses are cut, what is plain memory, what can be mapped. */
#include "pci/test_util.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_region_info(void **state)
{
	struct rig *r = *state;
	struct {
		struct vfio_region_info info;
		struct vfio_info_cap_header cap;
	} arg = { .info = { .argsz = sizeof(arg) } };

	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_REGION_INFO, &arg), 0);
	assert_int_equal(arg.info.flags, 0xf);
	assert_int_equal(arg.info.size, 0x4000);
	assert_int_equal(arg.info.cap_offset, 32);
	assert_int_equal(arg.cap.id, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE);
	assert_int_equal(arg.cap.next, 0);
	arg.info.argsz = sizeof(arg.info);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_REGION_INFO, &arg), 0);
	assert_int_equal(arg.info.argsz, 40);
	assert_int_equal(arg.info.cap_offset, 0);
	arg.info = (struct vfio_region_info){ .argsz = 32, .index = 2 };
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_REGION_INFO, &arg), 0);
	assert_int_equal(arg.info.flags, 7);
	assert_int_equal(arg.info.argsz, 32);
	for (uint32_t i = 0; i < 8; i++) {
		arg.info = (struct vfio_region_info){ .argsz = 32, .index = i };
		assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_REGION_INFO, &arg), 0);
		assert_int_equal(arg.info.offset, (uint64_t)i << 40);
	}
	assert_int_equal(arg.info.size, 4096);
	assert_int_equal(arg.info.flags, 3);
	for (uint32_t i = 8; i < 12; i++) {
		arg.info.index = i;
		assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_REGION_INFO, &arg), -EINVAL);
	}
	arg.info = (struct vfio_region_info){ .argsz = 31 };
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_REGION_INFO, &arg), -EINVAL);
}

static void test_device_info(void **state)
{
	struct rig *r = *state;
	uint32_t info[8];

	for (uint32_t argsz = 15; argsz < 26; argsz++) {
		memset(info, 0xa5, sizeof(info));
		info[0] = argsz;
		info[1] = 0;
		assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_INFO, info), argsz < 16 ? -EINVAL : 0);
		if (argsz < 16)
			continue;
		assert_int_equal(info[1], VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
		assert_int_equal(info[2], 9);
		assert_int_equal(info[3], 5);
		/* nothing behind what the caller has */
		assert_int_equal(((uint8_t *)info)[MIN(argsz, 24u)], 0xa5);
	}
}

static void expect(struct rig *r, unsigned int i, uint64_t offset, unsigned int size)
{
	assert_int_equal(r->fake->access[i].offset, offset);
	assert_int_equal(r->fake->access[i].size, size);
}

/* An access at off of len bytes arrives as these sizes. */
static void check_cut(struct rig *r, uint64_t off, size_t len, const unsigned int *sizes)
{
	uint8_t bytes[160], want[160];
	size_t at = 0;
	unsigned int i;

	r->fake->nr = 0;
	assert_int_equal(dev_read(r, 0, off, bytes, len), len);
	for (i = 0; at < len; i++) {
		uint64_t value = FAKE_VALUE;

		expect(r, i, off + at, sizes[i]);
		memcpy(want + at, &value, sizes[i]);
		at += sizes[i];
	}
	assert_int_equal(r->fake->nr, i);
	assert_memory_equal(bytes, want, len);
	r->fake->nr = 0;
	assert_int_equal(dev_write(r, 0, off, bytes, len), len);
	assert_int_equal(r->fake->nr, i);
	for (i = 0, at = 0; at < len; at += sizes[i++]) {
		uint64_t value = 0;

		expect(r, i, off + at, sizes[i]);
		memcpy(&value, bytes + at, sizes[i]);
		assert_true(r->fake->access[i].write);
		assert_int_equal(r->fake->access[i].value, value);
	}
}

static void test_cutting(void **state)
{
	struct rig *r = *state;

	check_cut(r, 0, 1, (const unsigned int[]){ 1 });
	check_cut(r, 0, 8, (const unsigned int[]){ 8 });
	check_cut(r, 4, 8, (const unsigned int[]){ 4, 4 });
	check_cut(r, 1, 7, (const unsigned int[]){ 1, 2, 4 });
	check_cut(r, 2, 3, (const unsigned int[]){ 2, 1 });
	check_cut(r, 8, 16, (const unsigned int[]){ 8, 8 });
	check_cut(r, 5, 140,
		  (const unsigned int[]){ 1, 2, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 1 });
}

static void test_ends(void **state)
{
	struct rig *r = *state;
	uint8_t bytes[64];

	assert_int_equal(dev_read(r, 3, 0xfc, bytes, 4), 4);
	assert_int_equal(dev_read(r, 3, 0xfc, bytes, 8), 4);
	assert_int_equal(dev_read(r, 3, 0xff, bytes, 64), 1);
	assert_int_equal(dev_read(r, 3, 0x100, bytes, 4), -EINVAL);
	assert_int_equal(dev_write(r, 3, 0x100, bytes, 4), -EINVAL);
	assert_int_equal(dev_read(r, 3, (uint64_t)1 << 39, bytes, 4), -EINVAL);
	assert_int_equal(dev_read(r, 4, 0, bytes, 4), -EINVAL);
	assert_int_equal(dev_read(r, VFIO_PCI_ROM_REGION_INDEX, 0, bytes, 4), -EINVAL);
	assert_int_equal(dev_read(r, 0, 0, (void *)16, 4), -EFAULT);
	assert_int_equal(dev_write(r, 0, 0, (void *)16, 4), -EFAULT);
	assert_int_equal(dev_read(r, 0, 0, bytes, 0), 0);
}

/* The table: ones, and writes vanish. What follows it in its page is memory. */
static void test_msix_hidden(void **state)
{
	struct rig *r = *state;
	uint64_t end = 0x2000 + 65 * 16;
	uint8_t bytes[64], ones[64];

	memset(ones, 0xff, sizeof(ones));
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(dev_write(r, 0, 0x2000, bytes, 16), 16);
	assert_int_equal(dev_read(r, 0, 0x2000, bytes, 16), 16);
	assert_memory_equal(bytes, ones, 16);
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(dev_write(r, 0, end - 8, bytes, 16), 16);
	assert_int_equal(dev_read(r, 0, end - 8, bytes, 16), 16);
	assert_memory_equal(bytes, ones, 8);
	assert_int_equal(bytes[8], 0x5a);
	assert_int_equal(bytes[15], 0x5a);
	/* a register before it is reached as far as it goes */
	r->fake->nr = 0;
	assert_int_equal(dev_read(r, 0, 0x1ffe, bytes, 4), 4);
	assert_int_equal(r->fake->nr, 1);
	expect(r, 0, 0x1ffe, 2);
	assert_memory_equal(bytes + 2, ones, 2);
	/* through a mapping it is there, every vector masked */
	assert_int_equal(pci_mmio(r->func, 0x2000 + 12, bytes, 4, false), 0);
	assert_int_equal(bytes[0], PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void test_plain(void **state)
{
	struct rig *r = *state;
	uint32_t *mem = uvfio_pci_memory(&r->func->pub, 2, 0x1000), value = 0x12345678;

	assert_non_null(mem);
	assert_null(uvfio_pci_memory(&r->func->pub, 2, 0xfff));
	assert_null(uvfio_pci_memory(&r->func->pub, 6, 0));
	r->fake->nr = 0;
	assert_int_equal(dev_write(r, 2, 0x1000, &value, 4), 4);
	assert_int_equal(*mem, value);
	*mem = 0x55;
	assert_int_equal(dev_read(r, 2, 0x1000, &value, 4), 4);
	assert_int_equal(value, 0x55);
	assert_int_equal(r->fake->nr, 0);
	assert_int_equal(dev_read(r, 2, 0xffc, &value, 4), 4);
	assert_int_equal(r->fake->nr, 1);
}

static int plan_of(struct rig *r, struct mmap_plan *plan, unsigned int region, uint64_t pos, uint64_t len,
		   int flags)
{
	*plan = (struct mmap_plan){
		.offset = ((uint64_t)region << 40) + pos, .length = len, .prot = PROT_READ, .flags = flags
	};
	return pci_mmap(r->func, plan);
}

static void check_segment(const struct mmap_plan *plan, unsigned int i, uint64_t offset, uint64_t length,
			  bool trapped, uint64_t fd_offset)
{
	struct stat st;

	assert_int_equal(plan->segments[i].offset, offset);
	assert_int_equal(plan->segments[i].length, length);
	if (trapped) {
		assert_int_equal(plan->segments[i].fd, -1);
		return;
	}
	assert_int_equal(fstat(plan->segments[i].fd, &st), 0);
	assert_int_equal(plan->segments[i].fd_offset, fd_offset);
	assert_true((uint64_t)st.st_size >= fd_offset + length);
}

static void test_mmap_plan(void **state)
{
	struct rig *r = *state;
	struct mmap_plan plan;

	assert_int_equal(plan_of(r, &plan, 0, 0, 0x4000, MAP_SHARED), 0);
	assert_int_equal(plan.nr, 2);
	check_segment(&plan, 0, 0, 0x2000, true, 0);
	check_segment(&plan, 1, 0x2000, 0x2000, false, 0x2000);
	assert_int_equal(plan_of(r, &plan, 0, 0x3000, 0x1000, MAP_SHARED), 0);
	assert_int_equal(plan.nr, 1);
	check_segment(&plan, 0, 0, 0x1000, false, 0x3000);
	assert_int_equal(plan_of(r, &plan, 0, 0x1000, 0x2000, MAP_SHARED), 0);
	assert_int_equal(plan.nr, 2);
	check_segment(&plan, 0, 0, 0x1000, true, 0);
	check_segment(&plan, 1, 0x1000, 0x1000, false, 0x2000);
	/* smaller than a page: one page */
	assert_int_equal(plan_of(r, &plan, 3, 0, 0x1000, MAP_SHARED), 0);
	check_segment(&plan, 0, 0, 0x1000, true, 0);

	assert_int_equal(plan_of(r, &plan, 0, 0, 0x5000, MAP_SHARED), -EINVAL);
	assert_int_equal(plan_of(r, &plan, 0, 0x4000, 0x1000, MAP_SHARED), -EINVAL);
	assert_int_equal(plan_of(r, &plan, 0, 0, 0x1000, MAP_PRIVATE), -EINVAL);
	assert_int_equal(plan_of(r, &plan, 1, 0, 0x1000, MAP_SHARED), -EINVAL);
	assert_int_equal(plan_of(r, &plan, 0, 0x1000, UINT64_MAX & ~0xfffull, MAP_SHARED), -EINVAL);
	for (unsigned int region = 6; region < 10; region++)
		assert_int_equal(plan_of(r, &plan, region, 0, 0x1000, MAP_SHARED), -EINVAL);
	/* before anything else is looked at */
	plan.prot = PROT_READ | PROT_EXEC;
	assert_int_equal(pci_mmap(r->func, &plan), -EPERM);
}

/* What is mapped and what pread sees is the same memory. */
static void test_mapped_memory(void **state)
{
	struct rig *r = *state;
	struct mmap_plan plan;
	uint32_t *map, value;

	assert_int_equal(plan_of(r, &plan, 2, 0x1000, 0x1000, MAP_SHARED), 0);
	map = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, plan.segments[0].fd,
		   (off_t)plan.segments[0].fd_offset);
	assert_ptr_not_equal(map, MAP_FAILED);
	map[3] = 77;
	assert_int_equal(dev_read(r, 2, 0x100c, &value, 4), 4);
	assert_int_equal(value, 77);
	munmap(map, 0x1000);
}

static void test_mmio(void **state)
{
	struct rig *r = *state;
	uint8_t bytes[64];
	uint64_t value = 0;

	r->fake->nr = 0;
	assert_int_equal(pci_mmio(r->func, 0x1008, &value, 4, true), 0);
	expect(r, 0, 0x1008, 4);
	assert_int_equal(pci_mmio(r->func, 0, bytes, 64, false), 0);
	assert_int_equal(r->fake->nr, 9);
	expect(r, 8, 56, 8);
	assert_int_equal(pci_mmio(r->func, ((uint64_t)3 << 40) + 0x100, &value, 8, false), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(pci_mmio(r->func, (uint64_t)6 << 40, &value, 8, false), -EIO);
	assert_int_equal(pci_mmio(r->func, (uint64_t)4 << 40, &value, 8, false), 0);
}

static void test_feature_low_power(void **state)
{
	struct rig *r = *state;
	struct {
		uint32_t argsz, flags;
		struct vfio_device_low_power_entry_with_wakeup entry;
	} arg = { .argsz = 16,
		  .flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
		  .entry = { .wakeup_eventfd = new_eventfd() } };
	struct vfio_device_feature entry = {
		.argsz = 8, .flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
	};
	struct vfio_device_feature leave = {
		.argsz = 8, .flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
	};
	uint32_t value;

	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &entry), 0);
	assert_int_equal(pci_mmio(r->func, 0, &value, 4, false), -EIO);
	assert_int_equal(dev_read(r, 0, 0, &value, 4), 4);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &entry), -EINVAL);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &leave), 0);
	assert_int_equal(pci_mmio(r->func, 0, &value, 4, false), 0);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &leave), 0);

	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &arg), 0);
	assert_int_equal(eventfd_count(arg.entry.wakeup_eventfd, 0), 0);
	cfg_read(r, 0, 4);
	assert_int_equal(eventfd_count(arg.entry.wakeup_eventfd, 0), 1);
	assert_int_equal(pci_mmio(r->func, 0, &value, 4, false), 0);
	close(arg.entry.wakeup_eventfd);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &arg), -EBADF);
	arg.entry.wakeup_eventfd = -1;
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &arg), -EINVAL);
	arg.argsz = 15;
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &arg), -EINVAL);
	/* closed in low power: the next user begins awake */
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_FEATURE, &entry), 0);
	close_device_fd(r);
	open_device_again(r);
	assert_int_equal(pci_mmio(r->func, 0, &value, 4, false), 0);
}

static void test_hot_reset(void **state)
{
	struct rig *r = *state;
	struct pci_func *peer = add_function(r, "0000:00:01.3", 8),
			*other = add_function(r, "0000:00:02.0", 7);
	struct {
		uint32_t argsz, flags, count;
		struct vfio_pci_dependent_device dev[4];
	} info = { .argsz = 12 + sizeof(info.dev[0]) };
	struct {
		uint32_t argsz, flags, count;
		int32_t fds[2];
	} reset = { .argsz = sizeof(reset), .count = 1, .fds = { r->group, r->group } };
	int before = r->fake->resets;

	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), -ENOSPC);
	assert_int_equal(info.count, 2);
	info.argsz = sizeof(info);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), 0);
	assert_int_equal(info.dev[0].group_id, 7);
	assert_int_equal(info.dev[0].devfn, 1 << 3);
	assert_int_equal(info.dev[1].group_id, 8);
	assert_int_equal(info.dev[1].devfn, 1 << 3 | 3);
	/* the other function's group is missing */
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	assert_int_equal(r->fake->resets, before);
	pci_func_destroy(peer);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	assert_int_equal(r->fake->resets, before + 1);
	reset.count = 2;
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.count = 0;
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.count = 1;
	reset.fds[0] = r->device;
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.fds[0] = 10000;
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EBADF);
	reset.fds[0] = 0;
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.fds[0] = r->group;
	reset.flags = 1;
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	pci_func_destroy(other);
}

/* A model that has not been opened is not reset. */
static void test_hot_reset_closed(void **state)
{
	struct rig *r = *state;
	struct pci_func *peer = add_function(r, "0000:00:01.1", 7);
	struct {
		uint32_t argsz, flags, count;
		int32_t fd;
	} reset = { .argsz = sizeof(reset), .count = 1, .fd = r->group };
	int before = r->fake->resets;

	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	assert_int_equal(r->fake->resets, before + 1);
	assert_int_equal(fake_of(peer)->resets, 0);
	assert_int_equal(peer->vdev.ops->open_device(&peer->vdev), 0);
	assert_int_equal(fake_of(peer)->resets, 1);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	assert_int_equal(fake_of(peer)->resets, 2);
	peer->vdev.ops->close_device(&peer->vdev);
	pci_func_destroy(peer);
}

static void *hot_resets(void *arg)
{
	struct rig *r = arg;
	struct {
		uint32_t argsz, flags, count;
		int32_t fd;
	} reset = { .argsz = sizeof(reset), .count = 1, .fd = r->group };

	for (int i = 0; i < 20000; i++)
		if (dev_ioctl(r, VFIO_DEVICE_PCI_HOT_RESET, &reset))
			return r;
	return NULL;
}

/* A hot reset of one function takes another with it that is just being opened or closed. */
static void test_hot_reset_closing(void **state)
{
	struct rig *r = *state;
	struct pci_func *peer = add_function(r, "0000:00:01.1", 7);
	pthread_t thread;
	void *failed;

	assert_int_equal(pthread_create(&thread, NULL, hot_resets, r), 0);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(peer->vdev.ops->open_device(&peer->vdev), 0);
		peer->vdev.ops->close_device(&peer->vdev);
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	pci_func_destroy(peer);
}

static void test_match(void **state)
{
	struct rig *r = *state;
	struct vfio_device *vdev = &r->func->vdev;

	assert_int_equal(vdev->ops->match(vdev, "0000:00:01.0"), 1);
	assert_int_equal(vdev->ops->match(vdev, "0000:00:01.0 "), 1);
	assert_int_equal(vdev->ops->match(vdev, "0000:00:01"), 0);
	assert_int_equal(vdev->ops->match(vdev, "0000:00:01.0x"), 0);
	assert_int_equal(vdev->ops->match(vdev, "0000:00:01.0 vf_token=2ab74924-c335-45f4-9b16-8569e5b08258"),
			 -EINVAL);
	assert_int_equal(vdev->ops->match(vdev, "0000:00:01.0 x"), -EINVAL);
}

/* Registers that are not declared are the model's, in the page of the MSI-X structures, too. */
static void test_undeclared_registers(void **state)
{
	struct rig *r = *state;
	struct pci_func *func;

	fake_desc.msix_bar = 3;
	fake_desc.msix_vectors = 2;
	fake_desc.msix_table = 0x40;
	fake_desc.msix_pba = 0x80;
	func = add_function(r, "0000:00:03.0", 7);
	assert_int_equal(func->vdev.ops->open_device(&func->vdev), 0);
	assert_true(pci_bar_load(func, 3, 0, 8) == FAKE_VALUE);
	assert_true(pci_bar_load(func, 3, 0x38, 8) == FAKE_VALUE);
	assert_true(pci_bar_load(func, 3, 0x48, 8) == (uint64_t)1 << 32);
	assert_true(pci_bar_load(func, 3, 0x60, 8) == FAKE_VALUE);
	assert_true(pci_bar_load(func, 3, 0x80, 8) == 0);
	assert_true(pci_bar_load(func, 3, 0x88, 8) == FAKE_VALUE);
	func->vdev.ops->close_device(&func->vdev);
	pci_func_destroy(func);
}

/* What a trace calls memory: plain areas and the pages of the MSI-X structures, not what the model is asked.
 */
static void test_what_is_plain(void **state)
{
	struct rig *r = *state;

	assert_false(pci_bar_is_plain(&r->func->bars[0], 0x1ff8));
	assert_true(pci_bar_is_plain(&r->func->bars[0], 0x2000));
	assert_false(pci_bar_is_plain(&r->func->bars[2], 0xff8));
	assert_true(pci_bar_is_plain(&r->func->bars[2], 0x1000));
	assert_false(pci_bar_is_plain(&r->func->bars[3], 0));
}

/* Addresses do not overlap, whatever the BARs' sizes. */
static void test_addresses(void **state)
{
	struct rig *r = *state;
	struct pci_func *big[2];
	uint64_t a, b;

	fake_desc.bar[0].size = (uint64_t)1 << 30;
	fake_desc.bar[2].size = 1 << 20;
	big[0] = add_function(r, "0000:00:03.1", 7);
	big[1] = add_function(r, "0000:00:03.2", 7);
	a = pci_func_bar_address(big[0], 0);
	b = pci_func_bar_address(big[1], 0);
	assert_true(a % (1 << 30) == 0 && a >> 32 && b >= a + (1 << 30));
	a = pci_func_bar_address(big[0], 2);
	b = pci_func_bar_address(big[1], 2);
	assert_true(a % (1 << 20) == 0 && !(a >> 32) && b >= a + (1 << 20));
	pci_func_destroy(big[0]);
	pci_func_destroy(big[1]);
}

/* The last test: there is no way back. BAR 2 is plain as a whole in the second function, half of it in the
 * first. */
static void test_for_guests(void **state)
{
	struct rig *r = *state;
	struct vfio_region_info info;
	struct mmap_plan plan;
	struct pci_func *plain;

	fake_desc.bar[2].plain[0] = (struct uvfio_pci_area){ 0, 0x2000 };
	plain = add_function(r, "0000:00:03.1", 7);
	assert_int_equal(pci_bars_open(plain), 0);
	assert_true(pci_bar_is_mappable(plain, 2));
	pci_map_for_guests();
	assert_true(pci_bar_is_mappable(plain, 2));
	assert_false(pci_bar_is_mappable(plain, 0));
	for (uint32_t i = 0; i < 6; i++) {
		info = (struct vfio_region_info){ .argsz = sizeof(info), .index = i };
		assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
		assert_int_equal(info.flags, info.size ? 3 : 0);
		assert_int_equal(plan_of(r, &plan, i, 0, 0x1000, MAP_SHARED), -EINVAL);
	}
	pci_bars_close(plain);
	pci_func_destroy(plain);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_region_info),
		CASE(test_device_info),
		CASE(test_cutting),
		CASE(test_ends),
		CASE(test_msix_hidden),
		CASE(test_plain),
		CASE(test_mmap_plan),
		CASE(test_mapped_memory),
		CASE(test_mmio),
		CASE(test_feature_low_power),
		CASE(test_hot_reset),
		CASE(test_hot_reset_closing),
		CASE(test_match),
		CASE(test_addresses),
		CASE(test_hot_reset_closed),
		CASE(test_undeclared_registers),
		CASE(test_what_is_plain),
		CASE(test_for_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
