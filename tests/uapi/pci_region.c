/* SPDX-License-Identifier: BSD-2-Clause */
/* Regions of a PCI function: accesses, mappings, DMA to a BAR, ioeventfds. */
#include "pci_client.h"

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

int main(void)
{
	static const struct test tests[] = {
		T_ALL(test_bar_access),  T_ALL(test_msix_table),       T_ALL(test_mmap),
		T_ALL(test_bar_for_dma), T_ALL(test_mapped_registers), T_ALL(test_ioeventfd),
	};

	return run_in_modes("pci_region", tests, COUNT(tests));
}
