/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_IOMMU_MAP_DMA: sizes, flags, the order of the checks, overlaps, and which memory may be mapped. */
#include "client.h"

#include <sys/mman.h>
#include <unistd.h>

#define IOVA 0x1000000ull
#define R    VFIO_DMA_MAP_FLAG_READ
#define W    VFIO_DMA_MAP_FLAG_WRITE
#define VA   VFIO_DMA_MAP_FLAG_VADDR

static void fill_map(struct client *c, void *arg)
{
	*(struct vfio_iommu_type1_dma_map *)arg = (struct vfio_iommu_type1_dma_map){
		.flags = RW,
		.vaddr = (uintptr_t)c->memory,
		.iova = IOVA,
		.size = PG,
	};
}

static void test_sizes(struct client *c)
{
	const struct sweep sweep = { c->container, VFIO_IOMMU_MAP_DMA, 32, 32, fill_map, 0, unmap_all };

	sweep_argsz(c, &sweep);
}

static void test_flags(struct client *c)
{
	for (unsigned int bit = 3; bit < 32; bit++)
		assert_int_equal(map(c, RW | 1u << bit, c->memory, IOVA, PG), -EINVAL);
	assert_int_equal(map(c, 0, c->memory, IOVA, PG), -EINVAL);
	assert_int_equal(map(c, VA, c->memory, IOVA, PG), c->mode->compat ? -EINVAL : -ENOENT);
	assert_int_equal(map(c, VA | R, c->memory, IOVA, PG), -EINVAL);
	assert_int_equal(map(c, VA | W, c->memory, IOVA, PG), -EINVAL);
	assert_int_equal(map(c, R, c->memory, IOVA, PG), 0);
	assert_int_equal(map(c, W, c->memory, IOVA + PG, PG), 0);
}

static void test_order_of_checks(struct client *c)
{
	const uint8_t *const m = c->memory, *const top = (void *)-PG;
	const struct {
		uint32_t flags;
		const uint8_t *memory;
		uint64_t iova, size;
		long result;
	} cases[] = {
		{ 8 | RW, m, -PG, 2 * PG, -EINVAL }, /* unknown flag before wrap */
		{ RW, m, -PG, 0, -EINVAL },          /* size 0 */
		{ RW, m, -PG, 2 * PG, -EOVERFLOW },  /* wrap */
		{ RW, top, IOVA, 2 * PG, -EOVERFLOW },
		{ 0, m, -PG, 2 * PG, -EOVERFLOW },     /* before permissions */
		{ RW, m, 1 - PG, 2 * PG, -EOVERFLOW }, /* before alignment */
		{ RW, m, IOVA, UINT64_MAX, -EOVERFLOW },
		{ 0, m, IOVA + 1, PG, -EINVAL },
		{ RW, m, IOVA + 1, PG, -EINVAL }, /* alignment */
		{ RW, m + 0x800, IOVA, PG, -EINVAL },
		{ RW, m, IOVA, PG - 1, -EINVAL },
		{ RW, m, 1ull << 63, PG, -EINVAL }, /* beyond the address width */
		{ RW, m, -PG, PG, -EINVAL },
		{ RW, top, IOVA, PG, -EFAULT }, /* not memory */
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(map(c, cases[i].flags, cases[i].memory, cases[i].iova, cases[i].size),
				 cases[i].result);
	/* what is mapped is looked at before the memory is */
	assert_int_equal(map(c, RW, m, IOVA, PG), 0);
	assert_int_equal(map(c, RW, top, IOVA, PG), -EEXIST);
	assert_int_equal(map(c, RW, m + 1, IOVA, PG), -EINVAL);
}

static void test_overlaps(struct client *c)
{
	assert_int_equal(map(c, RW, c->memory, IOVA, 4 * PG), 0);
	for (int first = -3; first < 4; first++)
		for (int pages = 1; pages < 8; pages++) {
			bool touches = first + pages > 0;

			if (touches)
				assert_int_equal(map(c, RW, c->memory, IOVA + (uint64_t)(first * (long)PG),
						     (uint64_t)pages * PG),
						 -EEXIST);
		}
	assert_int_equal(map(c, RW, c->memory, IOVA - 3 * PG, 3 * PG), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA + 4 * PG, PG), 0);
	/* the same memory may be mapped as often as one likes */
	assert_int_equal(map(c, R, c->memory, IOVA + 8 * PG, PG), 0);
}

/* Far from where the kernel puts mappings: nobody else's comes to lie in the holes that the tests make. */
static uint8_t *pages(size_t nr, int prot)
{
	static uint8_t *next = (uint8_t *)0x300000000000;
	uint8_t *p = mmap(next, nr * PG, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	assert_ptr_equal(p, next);
	next += nr * PG;
	return p;
}

/* Map nr pages for the device to do what flags say, and take the mapping away again. */
static void expect(struct client *c, uint32_t flags, const uint8_t *p, size_t nr, long result)
{
	assert_int_equal(map(c, flags, p, IOVA, nr * PG), result);
	unmap_all(c);
}

static void test_anonymous_memory(struct client *c)
{
	uint8_t *p = pages(8, PROT_READ | PROT_WRITE);

	expect(c, RW, p, 8, 0);
	mprotect(p + 4 * PG, 4 * PG, PROT_READ);
	expect(c, RW, p, 8, -EFAULT);
	expect(c, W, p + 4 * PG, 1, -EFAULT);
	expect(c, R, p, 8, 0);
	mprotect(p, PG, PROT_NONE);
	expect(c, R, p, 1, -EFAULT);
	expect(c, R, p + PG, 7, 0);
	munmap(p + 2 * PG, PG);
	expect(c, R, p + PG, 3, -EFAULT);
	expect(c, R, p + PG, 1, 0);
	mprotect(p + 4 * PG, 4 * PG, PROT_READ | PROT_WRITE);
	expect(c, RW, p + 3 * PG, 5, 0);
	munmap(p, 8 * PG);
	expect(c, R, p, 1, -EFAULT);
	expect(c, R, NULL, 1, -EFAULT);
}

/* The processor has no such pages: type1 looks at permissions, an IOMMUFD at what is there. */
static void test_write_only_memory(struct client *c)
{
	uint8_t *p = pages(1, PROT_READ | PROT_WRITE);

	*p = 1;
	mprotect(p, PG, PROT_WRITE);
	expect(c, R, p, 1, c->mode->compat || c->mode->native ? 0 : -EFAULT);
	expect(c, RW, p, 1, 0);
	munmap(p, PG);
}

static void test_shared_memory(struct client *c)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint8_t *rw, *ro;

	assert_int_equal(ftruncate(fd, 2 * PG), 0);
	rw = mmap(NULL, 4 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ro = mmap(NULL, 2 * PG, PROT_READ, MAP_SHARED, fd, 0);
	expect(c, RW, rw, 2, 0);
	expect(c, RW, ro, 2, -EFAULT);
	expect(c, R, ro, 2, 0);
	/* pages beyond the end of the file are not there */
	expect(c, RW, rw + 2 * PG, 1, -EFAULT);
	expect(c, RW, rw, 4, -EFAULT);
	munmap(rw, 4 * PG);
	munmap(ro, 2 * PG);
	close(fd);
}

static void test_reserved_terabyte(struct client *c)
{
	const uint64_t size = 1ull << 40;
	void *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t bytes = size;

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(map(c, RW, p, 1ull << 41, size), 0);
	assert_int_equal(unmap(c, 0, 1ull << 41, &bytes), 0);
	assert_true(bytes == size);
	munmap(p, size);
}

static void test_memory_goes_away_under_a_mapping(struct client *c)
{
	uint8_t *p = pages(1, PROT_READ | PROT_WRITE);
	uint64_t size = PG;

	assert_int_equal(map(c, RW, p, IOVA, PG), 0);
	munmap(p, PG);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), -EEXIST);
	assert_int_equal(unmap(c, 0, IOVA, &size), 0);
	assert_int_equal(size, PG);
}

int main(void)
{
	static const struct test tests[] = {
		T(test_sizes),
		T(test_flags),
		T_TYPE1(test_order_of_checks),
		T_ALL(test_overlaps),
		T_ALL(test_anonymous_memory),
		T_ALL(test_write_only_memory),
		T_ALL(test_shared_memory),
		T_ALL(test_reserved_terabyte),
		T_ALL(test_memory_goes_away_under_a_mapping),
	};

	return run_in_modes("map", tests, COUNT(tests));
}
