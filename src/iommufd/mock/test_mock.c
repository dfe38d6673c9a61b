/* SPDX-License-Identifier: BSD-2-Clause */
/* The mock itself: that what the kernel's tests look at is there, and that a look can fail. */
#include "iommufd/mock/test_rig.h"

#define IOVA ((uint64_t)MOCK_APERTURE_START)

static void test_check_map(void **state)
{
	struct rig *rig = *state;
	char *memory = rig_memory(4 * 4096);
	uint32_t hwpt;

	assert_int_equal(rig_device(rig, rig->ioas, 0, NULL, &hwpt, NULL), 0);
	assert_int_equal(rig_check_map(rig, hwpt, memory, 4096, IOVA), -EINVAL);
	assert_int_equal(rig_map(rig, memory + 2048, 2 * 4096, IOVA), 0);
	assert_int_equal(rig_check_map(rig, hwpt, memory + 2048, 2 * 4096, IOVA), 0);
	assert_int_equal(rig_check_map(rig, hwpt, memory + 4096, 2048, IOVA + 2048), 0);
	assert_int_equal(rig_check_map(rig, hwpt, memory, 2048, IOVA), -EINVAL);
	assert_int_equal(rig_check_map(rig, hwpt, memory + 2048, 2 * 4096 + 2048, IOVA), -EINVAL);
	assert_int_equal(rig_check_map(rig, hwpt, memory + 1024, 2048, IOVA), -EINVAL);
	assert_int_equal(rig_check_map(rig, rig->ioas, memory, 2048, IOVA), -ENOENT);
	assert_int_equal(rig_unmap(rig, IOVA, 2 * 4096), 0);
	assert_int_equal(rig_check_map(rig, hwpt, memory + 2048, 2048, IOVA), -EINVAL);
	munmap(memory, 4 * 4096);
	assert_int_equal(rig_check_map(rig, hwpt, memory + 2048, 2048, IOVA), -EFAULT);
}

/* Two mappings of a file's page are one page; the same contents are not. */
static void test_same_file(void **state)
{
	struct rig *rig = *state;
	int fd = memfd_create("test", 0);
	char *a, *b, *other;
	uint32_t hwpt;

	assert_int_equal(ftruncate(fd, 3 * 4096), 0);
	a = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
	other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(rig_device(rig, rig->ioas, 0, NULL, &hwpt, NULL), 0);
	assert_int_equal(rig_map(rig, a, 3 * 4096, IOVA), 0);
	assert_int_equal(rig_check_map(rig, hwpt, b, 2 * 4096, IOVA + 4096), 0);
	assert_int_equal(rig_check_map(rig, hwpt, b, 4096, IOVA), -EINVAL);
	assert_int_equal(rig_check_map(rig, hwpt, other, 4096, IOVA), -EINVAL);
	assert_int_equal(rig_unmap(rig, IOVA, 3 * 4096), 0);
	munmap(a, 3 * 4096);
	munmap(b, 2 * 4096);
	munmap(other, 4096);
	close(fd);
}

static void test_check_refs(void **state)
{
	struct rig *rig = *state;
	char *memory = rig_memory(3 * 4096);

	assert_int_equal(rig_check_refs(rig, memory, 3 * 4096, 0), 0);
	assert_int_equal(rig_check_refs(rig, memory, 4096, 1), -EIO);
	assert_int_equal(rig_check_refs(rig, memory + 1, 4096, 0), -EINVAL);
	assert_int_equal(rig_map(rig, memory + 4096, 4096, IOVA), 0);
	assert_int_equal(rig_check_refs(rig, memory, 3 * 4096, 0), 0); /* in no domain yet */
	assert_int_equal(rig_device(rig, rig->ioas, 0, NULL, NULL, NULL), 0);
	assert_int_equal(rig_check_refs(rig, memory + 4096, 4096, 1), 0);
	assert_int_equal(rig_check_refs(rig, memory, 4096, 0), 0);
	assert_int_equal(rig_unmap(rig, IOVA, 4096), 0);
	assert_int_equal(rig_check_refs(rig, memory, 3 * 4096, 0), 0);
	munmap(memory, 3 * 4096);
	assert_int_equal(rig_check_refs(rig, memory, 4096, 0), -EFAULT);
}

/* ---- accesses */

static long create_access(struct rig *rig, uint32_t flags, uint32_t *fd)
{
	struct iommu_test_cmd cmd = { .create_access.flags = flags };
	long rc = rig_test(rig, &cmd, IOMMU_TEST_OP_CREATE_ACCESS, rig->ioas);

	*fd = cmd.create_access.out_access_fd;
	return rc;
}

static long pin(struct rig *rig, uint32_t fd, uint64_t iova, uint64_t length, void *va, uint32_t flags,
		uint32_t *id)
{
	struct iommu_test_cmd cmd = {
		.access_pages = { .flags = flags, .iova = iova, .length = length, .uptr = (uintptr_t)va }
	};
	long rc = rig_test(rig, &cmd, IOMMU_TEST_OP_ACCESS_PAGES, fd);

	*id = cmd.access_pages.out_access_pages_id;
	return rc;
}

static long unpin(struct rig *rig, uint32_t fd, uint32_t id)
{
	struct iommu_test_cmd cmd = { .destroy_access_pages.access_pages_id = id };

	return rig_test(rig, &cmd, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, fd);
}

static void test_access_pages(void **state)
{
	struct rig *rig = *state;
	char *memory = rig_memory(3 * 4096);
	uint32_t plain, fd, a, b;

	assert_int_equal(create_access(rig, 2, &fd), -EOPNOTSUPP);
	assert_int_equal(create_access(rig, 0, &plain), 0);
	assert_int_equal(create_access(rig, MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES, &fd), 0);
	assert_int_equal(pin(rig, fd, IOVA, 4096, memory, 0, &a), -ENOENT);
	assert_int_equal(rig_map(rig, memory, 3 * 4096, IOVA), 0);
	assert_int_equal(pin(rig, plain, IOVA, 4096, memory, 0, &a), -EOPNOTSUPP);
	assert_int_equal(pin(rig, 0xffff, IOVA, 4096, memory, 0, &a), -EBADFD);
	assert_int_equal(pin(rig, fd, IOVA, (16 << 20) + 1, memory, 0, &a), -ENOMEM);
	assert_int_equal(pin(rig, fd, IOVA, 4096, memory, 4, &a), -EOPNOTSUPP);
	assert_int_equal(pin(rig, fd, IOVA, 4096, memory + 4096, 0, &a), -EBADE);
	assert_int_equal(rig_check_refs(rig, memory, 4096, 0), 0);
	assert_int_equal(pin(rig, fd, IOVA, 4096, memory, MOCK_FLAGS_ACCESS_WRITE, &a), 0);
	assert_int_equal(rig_check_refs(rig, memory, 4096, 1), 0);
	/* The second area, by its number: there is none; the first, with an offset. */
	assert_int_equal(pin(rig, fd, 1, 4096, NULL, MOCK_FLAGS_ACCESS_SYZ, &b), -ENOENT);
	assert_int_equal(pin(rig, fd, (uint64_t)4096 << 32, 4096, memory + 4096, MOCK_FLAGS_ACCESS_SYZ, &b),
			 0);
	assert_int_equal(unpin(rig, fd, a), 0);
	assert_int_equal(unpin(rig, fd, a), -ENOENT);
	assert_int_equal(rig_check_refs(rig, memory, 4096, 0), 0);
	assert_int_equal(rig_check_refs(rig, memory + 4096, 4096, 1), 0);
	assert_int_equal(rig_unmap(rig, IOVA, 3 * 4096), 0); /* which unpins what is left */
	assert_int_equal(unpin(rig, fd, b), -ENOENT);
	rig_close((int)fd);
	rig_close((int)plain);
	munmap(memory, 3 * 4096);
}

static void test_access_rw(void **state)
{
	struct rig *rig = *state;
	char *memory = rig_memory(2 * 4096), buf[32] = "";
	struct iommu_test_cmd cmd = { .access_rw = {
					      .iova = IOVA + 4090, .length = 16, .uptr = (uintptr_t)buf } };
	uint32_t fd;

	assert_int_equal(create_access(rig, 0, &fd), 0);
	assert_int_equal(rig_map(rig, memory, 2 * 4096, IOVA), 0);
	memcpy(memory + 4090, "across two pages", 16);
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_ACCESS_RW, fd), 0);
	assert_memory_equal(buf, "across two pages", 16);
	memcpy(buf, "the other way ok", 16);
	cmd.access_rw.flags = MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_ACCESS_RW, fd), 0);
	assert_memory_equal(memory + 4090, "the other way ok", 16);
	cmd.access_rw.flags = 2;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_ACCESS_RW, fd), -EOPNOTSUPP);
	cmd.access_rw.flags = 0;
	cmd.access_rw.uptr = 0;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_ACCESS_RW, fd), -EFAULT);
	cmd.access_rw.uptr = (uintptr_t)buf;
	cmd.access_rw.iova = IOVA + 2 * 4096 - 8;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_ACCESS_RW, fd), -ENOENT);
	rig_close((int)fd);
	munmap(memory, 2 * 4096);
}

/* ---- dirty pages */

static long dirty(struct rig *rig, uint32_t hwpt, uint64_t length, unsigned char *bits)
{
	struct iommu_test_cmd cmd = {
		.dirty = { .iova = IOVA, .length = length, .page_size = 2048, .uptr = (uintptr_t)bits }
	};
	long rc = rig_test(rig, &cmd, IOMMU_TEST_OP_DIRTY, hwpt);

	return rc ? rc : (long)cmd.dirty.out_nr_dirty;
}

static long track(struct rig *rig, uint32_t hwpt, bool on)
{
	struct iommu_hwpt_set_dirty_tracking cmd = { .size = sizeof(cmd),
						     .flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
						     .hwpt_id = hwpt };

	return rig_ioctl(rig, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

static long get_dirty(struct rig *rig, uint32_t hwpt, uint64_t length, uint32_t flags, unsigned char *bits)
{
	struct iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = hwpt,
		.flags = flags,
		.iova = IOVA,
		.length = length,
		.page_size = 2048,
		.data = (uintptr_t)bits,
	};

	memset(bits, 0, length / 2048 / 8);
	return rig_ioctl(rig, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

static void test_dirty(void **state)
{
	struct rig *rig = *state;
	char *memory = rig_memory(16384);
	unsigned char bits[8] = { 0xff }; /* words are read and written */
	uint32_t idev, hwpt, plain;

	assert_int_equal(rig_device(rig, rig->ioas, 0, NULL, &plain, &idev), 0);
	assert_int_equal(rig_map(rig, memory, 16384, IOVA), 0);
	assert_int_equal(rig_hwpt(rig, idev, rig->ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt), 0);
	assert_int_equal(dirty(rig, plain, 16384, bits), -EINVAL);
	assert_int_equal(dirty(rig, hwpt, 16384, bits), -EINVAL); /* not on yet */
	assert_int_equal(track(rig, hwpt, true), 0);
	bits[0] = 0x4d;
	assert_int_equal(dirty(rig, hwpt, 16384, bits), 4);
	assert_int_equal(get_dirty(rig, hwpt, 16384, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, bits), 0);
	assert_int_equal(bits[0], 0x4d);
	assert_int_equal(get_dirty(rig, hwpt, 16384, 0, bits), 0);
	assert_int_equal(bits[0], 0x4d);
	assert_int_equal(get_dirty(rig, hwpt, 16384, 0, bits), 0);
	assert_int_equal(bits[0], 0);
	bits[0] = 0x01;
	assert_int_equal(dirty(rig, hwpt, 16384, bits), 1);
	assert_int_equal(track(rig, hwpt, false), 0);
	assert_int_equal(get_dirty(rig, hwpt, 16384, 0, bits), 0); /* but nothing is read */
	assert_int_equal(bits[0], 0);
	assert_int_equal(track(rig, hwpt, true), 0); /* which forgets what was before */
	assert_int_equal(get_dirty(rig, hwpt, 16384, 0, bits), 0);
	assert_int_equal(bits[0], 0);
	munmap(memory, 16384);
}

static long alloc_huge(struct rig *rig, uint32_t idev, uint32_t type, uint32_t *hwpt)
{
	struct iommu_hwpt_selftest config = { .pagetable_type = type };
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
		.dev_id = idev,
		.pt_id = rig->ioas,
		.data_type = IOMMU_HWPT_DATA_SELFTEST,
		.data_len = sizeof(config),
		.data_uptr = (uintptr_t)&config,
	};
	long rc = rig_ioctl(rig, IOMMU_HWPT_ALLOC, &cmd);

	*hwpt = cmd.out_hwpt_id;
	return rc;
}

/* In a huge domain 1 MiB is dirty as a whole; what does not fill it is not. */
static void test_dirty_huge(void **state)
{
	const uint64_t length = (1 << 20) + 16384;
	struct rig *rig = *state;
	char *memory = rig_memory(length);
	static unsigned char bits[72];
	uint32_t idev, hwpt;

	assert_int_equal(rig_device(rig, rig->ioas, 0, NULL, NULL, &idev), 0);
	assert_int_equal(rig_map(rig, memory, length, IOVA), 0);
	assert_int_equal(alloc_huge(rig, idev, 2, &hwpt), -EOPNOTSUPP);
	assert_int_equal(alloc_huge(rig, idev, MOCK_IOMMUPT_HUGE, &hwpt), 0);
	assert_int_equal(track(rig, hwpt, true), 0);
	memset(bits, 0, sizeof(bits));
	bits[5] = 0x10;
	bits[64] = 0x02;
	assert_int_equal(dirty(rig, hwpt, length, bits), 2);
	assert_int_equal(get_dirty(rig, hwpt, length, 0, bits), 0);
	for (int i = 0; i < 64; i++)
		assert_int_equal(bits[i], 0xff);
	assert_int_equal(bits[64], 0x02);
	munmap(memory, length);
}

/* ---- devices */

static void test_devices(void **state)
{
	struct iommu_test_cmd cmd = { .add_reserved = { .start = IOVA, .length = 0 } };
	struct rig *rig = *state;
	uint32_t stdev, hwpt, idev;

	assert_int_equal(rig_device(rig, rig->ioas, 8, NULL, NULL, NULL), -EINVAL);
	assert_int_equal(rig_device(rig, 0xffff, 0, NULL, NULL, NULL), -ENOENT);
	assert_int_equal(rig_device(rig, rig->ioas, 0, &stdev, &hwpt, &idev), 0);
	assert_int_equal(rig_destroy(rig, idev), -EBUSY);
	assert_int_equal(rig_destroy(rig, hwpt), -EBUSY);
	assert_int_equal(rig_destroy(rig, stdev), 0);
	assert_int_equal(rig_destroy(rig, hwpt), -ENOENT); /* it was made for the device */
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_ADD_RESERVED, rig->ioas), -EINVAL);
	cmd.add_reserved.length = -IOVA + 1;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_ADD_RESERVED, rig->ioas), -EOVERFLOW);
	cmd.add_reserved.length = 4096;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_ADD_RESERVED, rig->ioas), 0);
	assert_int_equal(rig_test(rig, &cmd, 24, 0), -EOPNOTSUPP);
	assert_int_equal(rig_test(rig, &cmd, 0, 0), -EOPNOTSUPP);
}

/* PASIDs that are attached when their device goes are detached first. */
static void test_pasids(void **state)
{
	struct iommu_test_cmd cmd = { .pasid_attach.pasid = 100 };
	struct rig *rig = *state;
	uint32_t stdev, idev, hwpt;

	assert_int_equal(rig_device(rig, rig->ioas, MOCK_FLAGS_DEVICE_PASID, &stdev, NULL, &idev), 0);
	assert_int_equal(rig_hwpt(rig, idev, rig->ioas, IOMMU_HWPT_ALLOC_PASID, &hwpt), 0);
	assert_int_equal(rig_replace(rig, stdev, hwpt), 0);
	cmd.pasid_attach.pt_id = hwpt;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_PASID_ATTACH, stdev), 0);
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_PASID_ATTACH, stdev), -EBUSY);
	cmd.pasid_check.hwpt_id = hwpt;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev), 0);
	cmd.pasid_check.hwpt_id = 0;
	assert_int_equal(rig_test(rig, &cmd, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev), -EINVAL);
	assert_int_equal(rig_destroy(rig, stdev), 0);
	assert_int_equal(rig_destroy(rig, hwpt), 0);
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_check_map),    RIG_TEST(test_same_file), RIG_TEST(test_check_refs),
		RIG_TEST(test_access_pages), RIG_TEST(test_access_rw), RIG_TEST(test_dirty),
		RIG_TEST(test_dirty_huge),   RIG_TEST(test_devices),   RIG_TEST(test_pasids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
