/* SPDX-License-Identifier: BSD-2-Clause */
/* HWPTs that are made on request, nested ones, what a device says of its hardware, and dirty bitmaps. */
#include "iommufd/test_bench.h"

#define BASE ((uint64_t)0x40000000)

/* ---- IOMMU_HWPT_ALLOC */

static void test_alloc_errors(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct iommu_hwpt_alloc cmd = { .size = sizeof(cmd), .pt_id = ioas };

	bind_dev(b, A);
	bind_dev(b, C);
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, &cmd), -ENOENT); /* no device */
	cmd.dev_id = b->devs[A].id;
	cmd.__reserved = 1;
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, &cmd), -EOPNOTSUPP);
	cmd.__reserved = 0;
	cmd.data_len = 8;
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, &cmd), -EINVAL);
	cmd.data_type = 5;
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, &cmd), -EOPNOTSUPP); /* the driver's answer */
	cmd.data_len = 0;
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, &cmd), -EINVAL);
	assert_int_equal(hwpt_new(b, A, 9999, 0), -EINVAL);
	assert_int_equal(hwpt_new(b, A, b->devs[A].id, 0), -EINVAL);
	assert_int_equal(hwpt_new(b, A, ioas, 1u << 31), -EOPNOTSUPP);
	assert_int_equal(hwpt_new(b, A, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_FAULT_ID_VALID),
			 -EOPNOTSUPP);
	assert_int_equal(hwpt_new(b, A, ioas, IOMMU_HWPT_FAULT_ID_VALID), -ENOENT);
	assert_int_equal(hwpt_new(b, C, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING), -EOPNOTSUPP);
	assert_int_equal(fake_domains, 0);
	assert_int_equal(destroy(b, ioas), 0);
	unbind_dev(b, A);
	unbind_dev(b, C);
}

/* A structure that cannot be written: nothing was made. */
static void test_alloc_fault(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	struct iommu_hwpt_alloc *cmd = (void *)b->memory;

	bind_dev(b, A);
	*cmd = (struct iommu_hwpt_alloc){ .size = sizeof(*cmd), .dev_id = b->devs[A].id, .pt_id = ioas };
	assert_int_equal(mprotect(b->memory, PG, PROT_READ), 0);
	assert_int_equal(call(b, IOMMU_HWPT_ALLOC, cmd), -EFAULT);
	assert_int_equal(fake_domains, 0);
	assert_int_equal(destroy(b, ioas), 0);
	unbind_dev(b, A);
}

static void test_nested(void **state)
{
	struct bench *b = *state;
	struct fake_data data = { .value = 0x1234 };
	uint32_t ioas = ioas_new(b), parent, plain;
	long nested;

	bind_dev(b, A);
	bind_dev(b, C);
	plain = (uint32_t)hwpt_new(b, A, ioas, 0);
	parent = (uint32_t)hwpt_new(b, A, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT);
	assert_int_equal(nested_new(b, A, plain, &data, sizeof(data)), -EINVAL);
	assert_int_equal(nested_new(b, C, parent, &data, sizeof(data)), -EOPNOTSUPP); /* cannot */
	assert_int_equal(hwpt_new(b, A, parent, 0), -EOPNOTSUPP);
	assert_int_equal(hwpt_new(b, A, parent, IOMMU_HWPT_ALLOC_DIRTY_TRACKING), -EOPNOTSUPP);
	assert_int_equal(nested_new(b, A, parent, &data, 2), -EINVAL);
	assert_int_equal(nested_new(b, A, parent, &data, 64), -EINVAL);
	assert_int_equal(nested_new(b, A, parent, NULL, sizeof(data)), -EFAULT);
	nested = nested_new(b, A, parent, &data, 4);
	assert_true(nested > 0);
	assert_int_equal(destroy(b, parent), -EBUSY);
	assert_int_equal(nested_new(b, A, (uint32_t)nested, &data, sizeof(data)), -EINVAL);
	assert_int_equal(attach(b, A, (uint32_t)nested), nested);
	assert_int_equal(domain_of(b, A)->data, 0x1234);
	assert_int_equal(attach(b, C, (uint32_t)nested), -EINVAL);
	assert_int_equal(replace(b, A, parent), parent);
	assert_int_equal(destroy(b, (uint32_t)nested), 0);
	detach(b, A);
	assert_int_equal(destroy(b, parent), 0);
	assert_int_equal(destroy(b, plain), 0);
	assert_int_equal(destroy(b, ioas), 0);
	unbind_dev(b, A);
	unbind_dev(b, C);
}

/* A nested HWPT has its parent's windows. */
static void test_nested_window(void **state)
{
	struct bench *b = *state;
	struct fake_data data = { .value = 1 };
	uint32_t ioas = ioas_new(b), parent;
	long nested;

	b->devs[A].window = (struct iommu_range){ BASE, BASE + PG - 1 };
	bind_dev(b, A);
	parent = (uint32_t)hwpt_new(b, A, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT);
	nested = nested_new(b, A, parent, &data, sizeof(data));
	assert_int_equal(attach(b, A, (uint32_t)nested), nested);
	assert_false(usable(b, ioas, BASE));
	assert_int_equal(replace(b, A, parent), parent);
	assert_false(usable(b, ioas, BASE));
	detach(b, A);
	assert_true(usable(b, ioas, BASE));
	unbind_dev(b, A);
}

/* ---- IOMMU_HWPT_INVALIDATE */

static long invalidate(struct bench *b, uint32_t id, void *entries, uint32_t len, uint32_t *nr)
{
	struct iommu_hwpt_invalidate cmd = {
		.size = sizeof(cmd),
		.hwpt_id = id,
		.data_uptr = (uint64_t)(uintptr_t)entries,
		.data_type = FAKE_DATA,
		.entry_len = len,
		.entry_num = *nr,
	};
	long rc = call(b, IOMMU_HWPT_INVALIDATE, &cmd);

	*nr = cmd.entry_num;
	return rc;
}

static void expect_invalidate(struct bench *b, uint32_t id, void *entries, uint32_t len, uint32_t nr,
			      long want, uint32_t want_nr)
{
	assert_int_equal(invalidate(b, id, entries, len, &nr), want);
	assert_int_equal(nr, want_nr);
}

static void test_invalidate(void **state)
{
	struct bench *b = *state;
	struct fake_data entries[3] = { { 1, 0 }, { 2, 1 }, { 3, 0 } }, quiet = { 0, 1 };
	uint32_t ioas = ioas_new(b), parent, nested;

	bind_dev(b, A);
	parent = (uint32_t)hwpt_new(b, A, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT);
	nested = (uint32_t)nested_new(b, A, parent, entries, 8);
	expect_invalidate(b, nested, entries, 8, 1, 0, 1);
	expect_invalidate(b, nested, entries, 8, 3, -EIO, 1);
	expect_invalidate(b, nested, entries, 4, 3, 0, 3); /* 4 bytes are the first version */
	expect_invalidate(b, nested, NULL, 0, 0, 0, 0);
	expect_invalidate(b, nested, NULL, 8, 1, -EINVAL, 0);
	expect_invalidate(b, nested, entries, 0, 1, -EINVAL, 0);
	expect_invalidate(b, nested, entries, 4097, 1, -EINVAL, 0);
	expect_invalidate(b, nested, entries, 4096, 1, -EINVAL, 0);
	expect_invalidate(b, nested, entries, 8, (1u << 19) + 1, -EINVAL, 0);
	expect_invalidate(b, nested, (void *)8, 8, 1, -EFAULT, 0);
	expect_invalidate(b, parent, entries, 8, 1, -EINVAL, 0);
	expect_invalidate(b, 9999, entries, 8, 1, -ENOENT, 0);
	assert_int_equal(destroy(b, nested), 0);
	nested = (uint32_t)nested_new(b, A, parent, &quiet, 8);
	expect_invalidate(b, nested, entries, 8, 1, -EOPNOTSUPP, 0);
	unbind_dev(b, A);
}

/* ---- IOMMU_GET_HW_INFO */

static void test_hw_info(void **state)
{
	struct bench *b = *state;
	struct iommu_hw_info cmd = { .size = sizeof(cmd) };
	char buf[10000];

	bind_dev(b, A);
	bind_dev(b, C);
	bind_dev(b, D);
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), -ENOENT);
	cmd.dev_id = b->devs[A].id;
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), 0);
	assert_int_equal(cmd.data_len, 8);
	assert_int_equal(cmd.out_data_type, FAKE_DATA);
	assert_int_equal(cmd.out_capabilities,
			 IOMMU_HW_CAP_DIRTY_TRACKING | IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	assert_int_equal(cmd.out_max_pasid_log2, 0);

	memset(buf, 'x', sizeof(buf));
	cmd.data_uptr = (uint64_t)(uintptr_t)buf;
	cmd.data_len = 3;
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), 0);
	assert_memory_equal(buf, "abcx", 4);
	assert_int_equal(cmd.data_len, 8);
	cmd.data_len = 9999;
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), 0);
	assert_memory_equal(buf, "abcdefgh\0", 9);
	for (int i = 8; i < 9999; i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(buf[9999], 'x');

	cmd.data_uptr = 0;
	cmd.data_len = 1;
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), -EFAULT);
	cmd.data_len = 0;
	cmd.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	cmd.in_data_type = 99;
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), -EOPNOTSUPP);
	cmd.in_data_type = FAKE_DATA;
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), 0);
	cmd.flags = 2;
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), -EOPNOTSUPP);
	cmd.flags = 0;
	cmd.__reserved[2] = 1;
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), -EOPNOTSUPP);

	cmd = (struct iommu_hw_info){ .size = sizeof(cmd), .dev_id = b->devs[C].id };
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), 0);
	assert_int_equal(cmd.out_data_type, IOMMU_HW_INFO_TYPE_NONE);
	assert_int_equal(cmd.data_len, 0);
	assert_int_equal(cmd.out_capabilities, IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	cmd = (struct iommu_hw_info){ .size = sizeof(cmd), .dev_id = b->devs[D].id };
	assert_int_equal(call(b, IOMMU_GET_HW_INFO, &cmd), 0);
	assert_int_equal(cmd.out_max_pasid_log2, PASID_BITS);
	unbind_dev(b, A);
	unbind_dev(b, C);
	unbind_dev(b, D);
}

/* ---- dirty pages */

static long track(struct bench *b, uint32_t hwpt, uint32_t flags)
{
	struct iommu_hwpt_set_dirty_tracking cmd = { .size = sizeof(cmd), .flags = flags, .hwpt_id = hwpt };

	return call(b, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd);
}

static long bitmap(struct bench *b, uint32_t hwpt, uint64_t iova, uint64_t length, uint64_t page_size,
		   uint32_t flags, void *data)
{
	struct iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = hwpt,
		.flags = flags,
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.data = (uint64_t)(uintptr_t)data,
	};

	return call(b, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd);
}

static uint32_t tracked(struct bench *b, uint32_t ioas)
{
	long hwpt;

	bind_dev(b, A);
	hwpt = hwpt_new(b, A, ioas, IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	assert_true(hwpt > 0);
	assert_int_equal(attach(b, A, (uint32_t)hwpt), hwpt);
	return (uint32_t)hwpt;
}

static void untrack(struct bench *b)
{
	detach(b, A);
	unbind_dev(b, A);
}

static void set_dirty(struct bench *b, uint64_t at, uint64_t size)
{
	domain_of(b, A)->dirty_at = at;
	domain_of(b, A)->dirty_size = size;
}

static void test_dirty_errors(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), hwpt, plain;
	uint64_t bits = 0;

	assert_int_equal(map(b, ioas, BASE, 16), 0);
	hwpt = tracked(b, ioas);
	plain = (uint32_t)hwpt_new(b, A, ioas, 0);
	assert_int_equal(track(b, hwpt, 2), -EOPNOTSUPP);
	assert_int_equal(track(b, ioas, 1), -ENOENT);
	assert_int_equal(track(b, plain, 1), -EOPNOTSUPP);
	assert_int_equal(track(b, hwpt, 1), 0);
	assert_true(domain_of(b, A)->tracking);
	assert_int_equal(bitmap(b, ioas, BASE, PG, PG, 0, &bits), -ENOENT);
	assert_int_equal(bitmap(b, plain, BASE, PG, PG, 0, &bits), -EOPNOTSUPP);
	assert_int_equal(bitmap(b, hwpt, BASE, PG, PG, 2, &bits), -EOPNOTSUPP);
	assert_int_equal(bitmap(b, hwpt, BASE, PG, 0, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, hwpt, BASE + 1, PG, PG, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, hwpt, BASE, PG + 1, PG, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, hwpt, BASE + PG, 2 * PG, 2 * PG, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, hwpt, BASE, PG, 2 * PG, 0, &bits), -EINVAL);
	assert_int_equal(bitmap(b, hwpt, -PG, 2 * PG, PG, 0, &bits), -EOVERFLOW);
	assert_int_equal(bitmap(b, hwpt, BASE, 0, PG, 0, &bits), -EOVERFLOW);
	assert_int_equal(bitmap(b, hwpt, 0, PG, PG, 0, &bits), 0); /* a hole */
	assert_int_equal(bits, 0);
	assert_int_equal(track(b, hwpt, 0), 0);
	assert_false(domain_of(b, A)->tracking);
	untrack(b);
}

/* Bits are set, and no other bit of the caller's changes. */
static void expect_bits(struct bench *b, uint32_t hwpt, uint64_t at, uint64_t size, uint64_t page_size,
			uint32_t first, uint32_t n)
{
	uint64_t want[4] = { 0x400, 0, 0x1000000000, 0 }, got[4] = { 0x400, 0, 0x1000000000, 0 };

	set_dirty(b, at, size);
	for (uint32_t bit = first; bit < first + n; bit++)
		want[bit / 64] |= BIT64(bit % 64);
	assert_int_equal(bitmap(b, hwpt, BASE, 256 * page_size, page_size, 0, got), 0);
	assert_memory_equal(got, want, sizeof(got));
}

static void test_dirty_bits(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), hwpt;

	for (uint64_t at = 0; at < 512; at += MEM_PAGES)
		assert_int_equal(map(b, ioas, BASE + at * PG, MEM_PAGES), 0);
	hwpt = tracked(b, ioas);
	expect_bits(b, hwpt, BASE, 0, PG, 0, 0);
	expect_bits(b, hwpt, BASE, PG, PG, 0, 1);
	expect_bits(b, hwpt, BASE + 63 * PG, PG, PG, 63, 1);
	expect_bits(b, hwpt, BASE + 63 * PG, 2 * PG, PG, 63, 1); /* the stretch ends with the area */
	expect_bits(b, hwpt, BASE + 64 * PG, 64 * PG, PG, 64, 64);
	expect_bits(b, hwpt, BASE + 255 * PG, PG, PG, 255, 1);
	expect_bits(b, hwpt, BASE + 256 * PG, PG, PG, 0, 0); /* behind what was asked for */
	expect_bits(b, hwpt, BASE + 3 * PG, PG, 2 * PG, 1, 1);
	expect_bits(b, hwpt, BASE + 3 * PG, 2 * PG, 2 * PG, 1, 2);
	untrack(b);
}

static void test_dirty_keep(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), hwpt;
	uint64_t bits = 0;

	assert_int_equal(map(b, ioas, BASE, 16), 0);
	hwpt = tracked(b, ioas);
	set_dirty(b, BASE + PG, PG);
	assert_int_equal(bitmap(b, hwpt, BASE, 16 * PG, PG, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, &bits), 0);
	assert_int_equal(bits, 2);
	bits = 0;
	assert_int_equal(bitmap(b, hwpt, BASE, 16 * PG, PG, 0, &bits), 0);
	assert_int_equal(bits, 2);
	bits = 0;
	assert_int_equal(bitmap(b, hwpt, BASE, 16 * PG, PG, 0, &bits), 0);
	assert_int_equal(bits, 0);
	untrack(b);
}

/* What was dirty before tracking began does not count. */
static void test_dirty_start(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), hwpt;
	uint64_t bits = 0;

	assert_int_equal(map(b, ioas, BASE, 16), 0);
	hwpt = tracked(b, ioas);
	set_dirty(b, BASE, PG);
	assert_int_equal(track(b, hwpt, 1), 0);
	assert_int_equal(bitmap(b, hwpt, BASE, 16 * PG, PG, 0, &bits), 0);
	assert_int_equal(bits, 0);
	untrack(b);
}

/* A bitmap of many windows; where nothing is dirty it is not looked at. */
static void test_dirty_large(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), hwpt;
	uint64_t n = 64 * PG, last = n - 1;
	size_t bytes = n / 8 + PG;
	unsigned char *bits = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(map(b, ioas, BASE, MEM_PAGES), 0);
	hwpt = tracked(b, ioas);
	mprotect(bits + bytes - PG, PG, PROT_NONE);
	set_dirty(b, BASE, n); /* every byte, with a bit for each */
	assert_int_equal(bitmap(b, hwpt, BASE, n, 1, 0, bits), 0);
	for (size_t i = 0; i < n / 8; i++)
		assert_int_equal(bits[i], 0xff);
	memset(bits, 0, n / 8);
	set_dirty(b, BASE + last, 1);
	assert_int_equal(bitmap(b, hwpt, BASE, n, 1, 0, bits), 0);
	assert_int_equal(bits[n / 8 - 1], 0x80);
	mprotect(bits, PG, PROT_NONE); /* the first window, which is clean */
	set_dirty(b, BASE + last, 1);
	assert_int_equal(bitmap(b, hwpt, BASE, n, 1, 0, bits), 0);
	set_dirty(b, BASE, 1);
	assert_int_equal(bitmap(b, hwpt, BASE, n, 1, 0, bits), -EFAULT);
	mprotect(bits, PG, PROT_READ);
	set_dirty(b, BASE, 1);
	assert_int_equal(bitmap(b, hwpt, BASE, n, 1, 0, bits), -EFAULT);
	munmap(bits, bytes);
	untrack(b);
}

/* Only what has a bit to set is touched: what is around it may be no memory, or somebody else's. */
static void test_dirty_edges(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), hwpt;
	unsigned char *page = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *last = page + PG - 1;

	assert_int_equal(map(b, ioas, BASE, MEM_PAGES), 0);
	hwpt = tracked(b, ioas);
	mprotect(page + PG, PG, PROT_NONE);
	set_dirty(b, BASE + 3 * PG, PG); /* eight pages: a byte */
	assert_int_equal(bitmap(b, hwpt, BASE, 8 * PG, PG, 0, last), 0);
	assert_int_equal(*last, 8);
	set_dirty(b, BASE, PG); /* the rest of the bitmap is clean */
	assert_int_equal(bitmap(b, hwpt, BASE, MEM_PAGES * PG, PG, 0, last), 0);
	assert_int_equal(*last, 9);
	set_dirty(b, BASE, 9 * PG);
	assert_int_equal(bitmap(b, hwpt, BASE, MEM_PAGES * PG, PG, 0, last), -EFAULT);
	munmap(page, 2 * PG);
	untrack(b);
}

/* ---- failures everywhere */

#ifdef UVFIO_IOMMUFD_TEST
static uint32_t sweep_parent;

static long sweep_nested(struct bench *b)
{
	struct fake_data data = { .value = 1 };
	long nested = nested_new(b, A, sweep_parent, &data, sizeof(data));

	if (nested > 0)
		assert_int_equal(destroy(b, (uint32_t)nested), 0);
	return nested;
}

static long sweep_track(struct bench *b)
{
	return track(b, sweep_parent, 1);
}

static void test_failpoints(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);

	bind_dev(b, A);
	assert_int_equal(map(b, ioas, BASE, 4), 0);
	sweep_parent = (uint32_t)hwpt_new(b, A, ioas,
					  IOMMU_HWPT_ALLOC_NEST_PARENT | IOMMU_HWPT_ALLOC_DIRTY_TRACKING);
	sweep(b, sweep_nested);
	sweep(b, sweep_track);
	assert_int_equal(destroy(b, sweep_parent), 0);
	assert_int_equal(destroy(b, ioas), 0);
	unbind_dev(b, A);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_alloc_errors), T(test_alloc_fault), T(test_nested),       T(test_nested_window),
		T(test_invalidate),   T(test_hw_info),     T(test_dirty_errors), T(test_dirty_bits),
		T(test_dirty_keep),   T(test_dirty_start), T(test_dirty_large),  T(test_dirty_edges),
#ifdef UVFIO_IOMMUFD_TEST
		T(test_failpoints),
#endif

	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
