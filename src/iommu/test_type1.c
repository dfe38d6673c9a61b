/* SPDX-License-Identifier: BSD-2-Clause */
/* type1: each rule of mapping and unmapping with its errno, in the kernel's order; what a device sees of it.
 */
#include "base/test_sanitizer.h"
#include "iommu/type1.h"

#include "base/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PG   UVFIO_PAGE_SIZE
#define BASE ((uint64_t)0x1000000)
#define RW   (IOMMU_READ | IOMMU_WRITE)

struct fixture {
	struct iommu_params params;
	struct type1 *iommu;
	struct iommu_dev dev;
	struct iommu_dev *devs[1];
	struct uvfio_dma *user;
	struct mm *mm;
	char *memory; /* 256 pages */
	uint64_t va;
};

static struct fixture *make(bool v2)
{
	struct fixture *f = calloc(1, sizeof(*f));

	iommu_params_default(&f->params);
	f->iommu = type1_new(&f->params, v2);
	iommu_dev_init(&f->dev, "0000:00:01.0");
	atomic_store(&f->dev.enabled, true);
	f->devs[0] = &f->dev;
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	f->user = dma_user_new(&f->dev, NULL);
	f->mm = mm_self();
	f->memory = mmap(NULL, 256 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	f->va = (uint64_t)(uintptr_t)f->memory;
	return f;
}

static int setup_v2(void **state)
{
	*state = make(true);
	return 0;
}

static int setup_v1(void **state)
{
	*state = make(false);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dma_user_free(f->user);
	type1_detach(f->iommu, f->devs, 1);
	type1_free(f->iommu);
	iommu_dev_destroy(&f->dev);
	assert_int_equal(stats[STAT_MAPPINGS], 0);
	assert_int_equal(stats[STAT_MAPPED_BYTES], 0);
	munmap(f->memory, 256 * PG);
	mm_put(f->mm);
	free(f);
	return 0;
}

/* A container with a limit in place of the fixture's own. */
static void use_memlock(struct fixture *f, uint64_t pages)
{
	f->params.memlock_pages = pages;
	type1_detach(f->iommu, f->devs, 1);
	type1_free(f->iommu);
	f->iommu = type1_new(&f->params, true);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
}

static int map(struct fixture *f, uint64_t iova, uint64_t va, uint64_t size, unsigned int prot)
{
	return type1_map(f->iommu, f->mm, iova, va, size, prot, false);
}

static int map_pages(struct fixture *f, uint64_t page, uint64_t n)
{
	return map(f, BASE + page * PG, f->va + page * PG, n * PG, RW);
}

static int unmap(struct fixture *f, uint64_t iova, uint64_t size, unsigned int flags, uint64_t *got)
{
	return type1_unmap(f->iommu, iova, size, flags, NULL, got);
}

static int unmap_pages(struct fixture *f, uint64_t page, uint64_t n, uint64_t *got)
{
	int ret = unmap(f, BASE + page * PG, n * PG, 0, got);

	*got /= PG;
	return ret;
}

/* "AAB.C": letters are mappings, one character a page. */
static void lay(struct fixture *f, const char *picture)
{
	uint64_t got;

	assert_int_equal(unmap(f, 0, 0, TYPE1_UNMAP_ALL, &got), 0);
	for (uint64_t i = 0, n; picture[i]; i += n) {
		for (n = 1; picture[i + n] == picture[i]; n++)
			;
		if (picture[i] != '.')
			assert_int_equal(map_pages(f, i, n), 0);
	}
}

/* What of these pages is still mapped, as a device sees it. */
static void assert_left(struct fixture *f, const char *picture)
{
	f->dev.faults_reported = 1000; /* quiet */
	for (uint64_t i = 0; picture[i]; i++) {
		char byte;
		int ret = dma_read(f->user, BASE + i * PG, &byte, 1, "probe");

		assert_int_equal(ret, picture[i] == '.' ? -EFAULT : 0);
	}
}

static void test_map_errors(void **state)
{
	struct fixture *f = *state;
	uint64_t va = f->va;

	assert_int_equal(map(f, BASE, va, 0, RW), -EINVAL);
	assert_int_equal(map(f, BASE, va, 0, 0), -EINVAL);
	assert_int_equal(map(f, -PG, va, 2 * PG, 0), -EOVERFLOW);
	assert_int_equal(map(f, -PG + 1, va + 1, 2 * PG, RW), -EOVERFLOW);
	assert_int_equal(map(f, -PG, va, PG + 1, RW), -EOVERFLOW);
	assert_int_equal(map(f, BASE, -PG, 2 * PG, RW), -EOVERFLOW);
	assert_int_equal(map(f, 0, va, -PG, RW), -EOVERFLOW);
	assert_int_equal(map(f, BASE, va, PG, 0), -EINVAL);
	assert_int_equal(map(f, BASE + 0x800, va, PG, RW), -EINVAL);
	assert_int_equal(map(f, BASE, va + 1, PG, RW), -EINVAL);
	assert_int_equal(map(f, BASE, va, PG + 1, RW), -EINVAL);
	assert_int_equal(map(f, -PG, va, PG, RW), -EINVAL);
	assert_int_equal(map(f, BASE, -PG, PG, RW), -EFAULT);
	assert_int_equal(map(f, BASE, 0xffff888000000000, PG, RW), -EFAULT);
	assert_int_equal(map(f, BASE, BIT64(52), PG, RW), -EFAULT);
	assert_int_equal(map(f, BASE, 0, PG, RW), -EFAULT);
	assert_int_equal(map(f, 0, va, BIT64(63), RW), -EINVAL);
	assert_int_equal(map(f, 0, 0, BIT64(47), RW), -EINVAL);
	assert_int_equal(map(f, 0xfee00000, va, PG, RW), -EINVAL);
	assert_int_equal(map(f, 0xfedff000, va, 2 * PG, RW), -EINVAL);
	assert_int_equal(map(f, 0xfeeff000, va, 2 * PG, RW), -EINVAL);
	assert_int_equal(map(f, BIT64(48), va, PG, RW), -EINVAL);
	assert_int_equal(map(f, BIT64(48) - PG, va, 2 * PG, RW), -EINVAL);
	assert_int_equal(map(f, BIT64(48) - 2 * PG, va, 2 * PG, RW), 0);
	assert_int_equal(map(f, 0, va, PG, RW), 0);
	assert_int_equal(map(f, 0xfedff000, va, PG, RW), 0);
	assert_int_equal(map(f, 0xfef00000, va, PG, RW), 0);
}

static void test_overlaps(void **state)
{
	struct fixture *f = *state;

	lay(f, "........AAAA");
	for (uint64_t at = 0; at < 14; at++)
		for (uint64_t n = 1; n < 14; n++)
			if (at < 12 && at + n > 8)
				assert_int_equal(map_pages(f, at, n), -EEXIST);
	assert_int_equal(map(f, BASE + 8 * PG, 0, 4 * PG, RW), -EEXIST);
	assert_int_equal(map_pages(f, 7, 1), 0);
	assert_int_equal(map_pages(f, 12, 1), 0);
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	struct type1_info info;
	uint64_t got;

	f->params.dma_entries = 3;
	type1_detach(f->iommu, f->devs, 1);
	type1_free(f->iommu);
	f->iommu = type1_new(&f->params, true);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(map_pages(f, i, 1), 0);
	assert_int_equal(map_pages(f, 3, 1), -ENOSPC);
	assert_int_equal(map_pages(f, 2, 1), -EEXIST);
	assert_int_equal(map(f, BIT64(60), 0, PG, RW), -ENOSPC);
	assert_int_equal(unmap_pages(f, 1, 1, &got), 0);
	type1_get_info(f->iommu, &info);
	assert_int_equal(info.avail, 1);
	assert_int_equal(map_pages(f, 3, 1), 0);
}

struct unmap_case {
	const char *before;
	uint64_t page, n;
	int v2_ret;
	uint64_t v2_got;
	const char *v2_after;
	uint64_t v1_got;
	const char *v1_after;
};

static const struct unmap_case unmap_cases[] = {
	{ "....", 0, 4, 0, 0, "....", 0, "...." },
	{ "AAAA", 0, 4, 0, 4, "....", 4, "...." },
	{ ".A.", 0, 3, 0, 1, "...", 1, "..." },
	{ "AA", 0, 1, -EINVAL, 0, "AA", 2, ".." },
	{ "AA", 1, 1, -EINVAL, 0, "AA", 0, "AA" },
	{ "AAAA", 1, 2, -EINVAL, 0, "AAAA", 0, "AAAA" },
	{ "AAAA", 0, 3, -EINVAL, 0, "AAAA", 4, "...." },
	{ ".AA.", 0, 2, -EINVAL, 0, ".AA.", 2, "...." },
	{ "AABB", 0, 3, -EINVAL, 0, "AABB", 4, "...." },
	{ "AABB", 1, 3, -EINVAL, 0, "AABB", 0, "AABB" },
	{ "AABB", 1, 2, -EINVAL, 0, "AABB", 0, "AABB" },
	{ "AABB", 2, 2, 0, 2, "AA..", 2, "AA.." },
	{ "A.B.C", 0, 5, 0, 3, ".....", 3, "....." },
	{ "A.B.C", 1, 1, 0, 0, "A.B.C", 0, "A.B.C" },
	{ "A.B.C", 1, 2, 0, 1, "A...C", 1, "A...C" },
	{ "A.BB.CC", 0, 6, -EINVAL, 0, "A.BB.CC", 5, "......." },
	{ "AA.B.CC", 1, 6, -EINVAL, 0, "AA.B.CC", 0, "AA.B.CC" },
	{ "ABCD", 1, 2, 0, 2, "A..D", 2, "A..D" },
};

static void test_unmap_v2(void **state)
{
	struct fixture *f = *state;
	uint64_t got;

	for (size_t i = 0; i < ARRAY_SIZE(unmap_cases); i++) {
		const struct unmap_case *c = &unmap_cases[i];

		lay(f, c->before);
		assert_int_equal(unmap_pages(f, c->page, c->n, &got), c->v2_ret);
		assert_int_equal(got, c->v2_got);
		assert_left(f, c->v2_after);
	}
}

static void test_unmap_v1(void **state)
{
	struct fixture *f = *state;
	uint64_t got;

	for (size_t i = 0; i < ARRAY_SIZE(unmap_cases); i++) {
		const struct unmap_case *c = &unmap_cases[i];

		lay(f, c->before);
		assert_int_equal(unmap_pages(f, c->page, c->n, &got), 0);
		assert_int_equal(got, c->v1_got);
		assert_left(f, c->v1_after);
	}
}

static void test_unmap_errors(void **state)
{
	struct fixture *f = *state;
	uint64_t got;

	lay(f, "AABB.C");
	assert_int_equal(unmap(f, 0, 0, 0, &got), -EINVAL);
	assert_int_equal(unmap(f, 0, 1, 0, &got), -EINVAL);
	assert_int_equal(unmap(f, BASE + 0x800, PG, 0, &got), -EINVAL);
	assert_int_equal(unmap(f, 0, UINT64_MAX, 0, &got), -EINVAL);
	assert_int_equal(unmap(f, -PG, 2 * PG, 0, &got), -EOVERFLOW);
	assert_int_equal(unmap(f, 0, PG, TYPE1_UNMAP_ALL, &got), -EINVAL);
	assert_int_equal(unmap(f, PG, 0, TYPE1_UNMAP_ALL, &got), -EINVAL);
	assert_int_equal(unmap(f, 1, 0, TYPE1_UNMAP_ALL, &got), -EINVAL);
	assert_left(f, "AABB.C");
	assert_int_equal(unmap(f, 0, -PG, 0, &got), 0);
	assert_int_equal(got, 5 * PG);
	lay(f, "AABB.C");
	assert_int_equal(unmap(f, PG, -PG, 0, &got), 0);
	assert_int_equal(got, 5 * PG);
	assert_int_equal(unmap(f, 0, 0, TYPE1_UNMAP_ALL, &got), 0);
	assert_int_equal(got, 0);
}

static int set_vaddr(struct fixture *f, uint64_t page, uint64_t n, uint64_t va)
{
	return type1_map(f->iommu, f->mm, BASE + page * PG, va, n * PG, 0, true);
}

static int inval(struct fixture *f, uint64_t page, uint64_t n, uint64_t *got)
{
	return unmap(f, BASE + page * PG, n * PG, TYPE1_UNMAP_VADDR, got);
}

static void test_vaddr(void **state)
{
	struct fixture *f = *state;
	uint64_t got, there = f->va + 64 * PG;
	char byte = 0;

	lay(f, "AA.BB");
	assert_int_equal(inval(f, 2, 1, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(inval(f, 0, 1, &got), -EINVAL);
	assert_int_equal(inval(f, 0, 2, &got), 0);
	assert_int_equal(got, 2 * PG);
	assert_int_equal(inval(f, 0, 2, &got), -EINVAL);
	assert_int_equal(inval(f, 0, 5, &got), -EINVAL);
	assert_int_equal(type1_attach(f->iommu, f->devs, 0), -EBUSY);
	f->memory[0] = 'o';
	assert_int_equal(dma_read(f->user, BASE, &byte, 1, "old"), 0);
	assert_int_equal(byte, 'o');
	assert_int_equal(set_vaddr(f, 2, 1, there), -ENOENT);
	assert_int_equal(set_vaddr(f, 0, 1, there), -EINVAL);
	assert_int_equal(set_vaddr(f, 0, 3, there), -EINVAL);
	assert_int_equal(set_vaddr(f, 1, 1, there), -EINVAL);
	assert_int_equal(set_vaddr(f, 3, 2, there), -EINVAL);
	assert_int_equal(set_vaddr(f, 0, 2, there + 1), -EINVAL);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, there, 2 * PG, IOMMU_READ, true), -EINVAL);
	assert_int_equal(map_pages(f, 0, 2), -EEXIST);
	assert_int_equal(map_pages(f, 8, 1), 0);
	assert_int_equal(set_vaddr(f, 0, 2, there), 0);
	assert_int_equal(set_vaddr(f, 0, 2, there), -EINVAL);
	f->memory[64 * PG] = 'n';
	assert_int_equal(dma_read(f->user, BASE, &byte, 1, "new"), 0);
	assert_int_equal(byte, 'n');
	assert_int_equal(type1_attach(f->iommu, f->devs, 0), 0);
	type1_detach(f->iommu, NULL, 0);
}

/* The charge stays with the address space that the mapping is of, whatever another one says. */
static void test_vaddr_of_another(void **state)
{
	struct fixture *f = *state;
	int stay[2], status;
	struct mm *other;
	uint64_t got;
	pid_t child;
	char byte;

	use_memlock(f, 16);
	assert_int_equal(pipe(stay), 0);
	child = fork();
	if (!child) {
		close(stay[1]);
		_exit(read(stay[0], &byte, 1) != 0);
	}
	assert_int_equal(mm_of_pid(child, &other), 0);
	for (int present = 0; present < 2; present++) {
		lay(f, "AA");
		assert_int_equal(inval(f, 0, 2, &got), 0);
		assert_int_equal(type1_map(f->iommu, other, BASE, present ? f->va : 0, 2 * PG, 0, true), 0);
		assert_int_equal(f->mm->locked_pages, present ? 0 : 2);
		assert_int_equal(other->locked_pages, present ? 2 : 0);
		assert_int_equal(unmap_pages(f, 0, 2, &got), 0);
		assert_int_equal(f->mm->locked_pages, 0);
		assert_int_equal(other->locked_pages, 0);
	}
	mm_put(other);
	close(stay[0]);
	close(stay[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
}

static void test_vaddr_all(void **state)
{
	struct fixture *f = *state;
	uint64_t got;
	char byte;

	lay(f, "AA.BB");
	assert_int_equal(unmap(f, 0, 0, TYPE1_UNMAP_ALL | TYPE1_UNMAP_VADDR, &got), 0);
	assert_int_equal(got, 4 * PG);
	assert_int_equal(set_vaddr(f, 0, 2, 0), 0); /* not looked at: the device keeps the pages it had */
	assert_int_equal(dma_read(f->user, BASE, &byte, 1, "kept"), 0);
	assert_int_equal(unmap_pages(f, 3, 2, &got), 0);
	assert_int_equal(unmap(f, 0, 0, TYPE1_UNMAP_ALL, &got), 0);
	assert_int_equal(got, 2 * PG);
	assert_int_equal(unmap(f, 0, 0, TYPE1_UNMAP_ALL | TYPE1_UNMAP_VADDR, &got), 0);
	assert_int_equal(got, 0);
	assert_int_equal(type1_attach(f->iommu, f->devs, 0), 0);
	type1_detach(f->iommu, NULL, 0);
}

static int dirty_get(struct fixture *f, int64_t page, uint64_t n, uint64_t bytes, uint64_t want[2])
{
	struct type1_bitmap bitmap = { PG, bytes, NULL, NULL };
	uint64_t iova = BASE + (uint64_t)page * PG;
	int ret = type1_dirty_get(f->iommu, iova, n * PG, &bitmap);

	assert_int_equal(bitmap.bits != NULL, !ret);
	if (bitmap.bits) {
		assert_int_equal(bitmap.bits[0], want[0]);
		if (n > 64)
			assert_int_equal(bitmap.bits[1], want[1]);
	}
	free(bitmap.bits);
	return ret;
}

static void test_dirty(void **state)
{
	struct fixture *f = *state;
	uint64_t got;
	struct type1_bitmap bitmap = { PG, 8, NULL, NULL };

	lay(f, "AABB.CCCC");
	assert_int_equal(dirty_get(f, 0, 2, 8, (uint64_t[]){ 0, 0 }), -EINVAL);
	assert_int_equal(type1_unmap(f->iommu, BASE, 2 * PG, 0, &bitmap, &got), -EINVAL);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
	assert_int_equal(dirty_get(f, 0, 2, 8, (uint64_t[]){ 3, 0 }), 0);
	assert_int_equal(dirty_get(f, 0, 2, 8, (uint64_t[]){ 3, 0 }), 0);
	assert_int_equal(dirty_get(f, 4, 5, 8, (uint64_t[]){ 0x1e, 0 }), 0);
	assert_int_equal(dirty_get(f, -4, 64, 8, (uint64_t[]){ 0x1ef0, 0 }), 0);
	assert_int_equal(dirty_get(f, -62, 72, 16, (uint64_t[]){ 0xc000000000000000, 0x7b }), 0);
	assert_int_equal(dirty_get(f, 0, 3, 8, (uint64_t[]){ 0, 0 }), -EINVAL);
	assert_int_equal(dirty_get(f, 6, 2, 8, (uint64_t[]){ 0, 0 }), -EINVAL);
	assert_int_equal(dirty_get(f, 0, 0, 8, (uint64_t[]){ 0, 0 }), -EINVAL);
	assert_int_equal(dirty_get(f, 0, 2, 7, (uint64_t[]){ 0, 0 }), -EINVAL);
	assert_int_equal(dirty_get(f, 0, 65, 8, (uint64_t[]){ 0, 0 }), -EINVAL);
	assert_int_equal(dirty_get(f, 0, 2, 1 << 28, (uint64_t[]){ 3, 0 }), 0);
	assert_int_equal(dirty_get(f, 0, 2, (1 << 28) + 8, (uint64_t[]){ 3, 0 }), -EINVAL);
	bitmap.pgsize = 1 << 21;
	assert_int_equal(type1_dirty_get(f->iommu, BASE, 1 << 21, &bitmap), -EINVAL);
	bitmap.pgsize = 0;
	assert_int_equal(type1_dirty_get(f->iommu, BASE, PG, &bitmap), -EINVAL);
	bitmap.pgsize = PG;
	assert_int_equal(type1_dirty_get(f->iommu, -PG, 2 * PG, &bitmap), -EOVERFLOW);
	assert_int_equal(type1_unmap(f->iommu, BASE, 2 * PG, 0, &bitmap, &got), 0);
	assert_int_equal(got, 2 * PG);
	assert_int_equal(bitmap.bits[0], 3);
	free(bitmap.bits);
	assert_left(f, "..BB.CCCC");
	type1_dirty_stop(f->iommu);
	assert_int_equal(dirty_get(f, 2, 2, 8, (uint64_t[]){ 0, 0 }), -EINVAL);
}

static void test_memlock(void **state)
{
	struct fixture *f = *state;
	uint64_t got;

	use_memlock(f, 16);
	assert_int_equal(map_pages(f, 0, 17), -ENOMEM);
	assert_int_equal(f->mm->locked_pages, 0);
	assert_int_equal(map_pages(f, 0, 16), 0);
	assert_int_equal(f->mm->locked_pages, 16);
	assert_int_equal(map_pages(f, 16, 1), -ENOMEM);
	assert_int_equal(map(f, BASE + 16 * PG, 0, PG, RW), -EFAULT);
	assert_int_equal(unmap_pages(f, 0, 16, &got), 0);
	assert_int_equal(f->mm->locked_pages, 0);
	assert_int_equal(map(f, BASE, f->va, 8 * PG, RW), 0);
	assert_int_equal(map(f, BASE + 8 * PG, f->va, 8 * PG, RW), 0);
	assert_int_equal(f->mm->locked_pages, 16);
	munmap(f->memory + 250 * PG, PG);
	assert_int_equal(unmap_pages(f, 0, 16, &got), 0);
	assert_int_equal(map(f, BASE, f->va + 240 * PG, 16 * PG, RW), -EFAULT);
	assert_int_equal(map(f, BASE, f->va + 230 * PG, 26 * PG, RW), -ENOMEM);
	assert_int_equal(f->mm->locked_pages, 0);
}

static void test_terabyte(void **state)
{
	struct fixture *f = *state;
	/* ThreadSanitizer has taken most of the address space. */
	uint64_t size = BIT64(THREAD_SANITIZER ? 36 : 40), got;
	char *reserved =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned char resident[2];
	char byte = 7;

	assert_ptr_not_equal(reserved, MAP_FAILED);
	assert_int_equal(map(f, size, (uint64_t)(uintptr_t)reserved, size, RW), 0);
	assert_int_equal(dma_write(f->user, size + (size - 1), &byte, 1, "end"), 0);
	assert_int_equal(reserved[size - 1], 7);
	assert_int_equal(mincore(reserved, 2 * PG, resident), 0);
	assert_int_equal(resident[0] & 1, 0);
	assert_int_equal(unmap(f, size, size, 0, &got), 0);
	assert_int_equal(got, size);
	assert_int_equal(map(f, size + 5 * PG, (uint64_t)(uintptr_t)reserved, size, RW), 0);
	byte = 9;
	assert_int_equal(dma_write(f->user, size + 5 * PG + size / 2 + 12345, &byte, 1, "middle"), 0);
	assert_int_equal(reserved[size / 2 + 12345], 9);
	assert_int_equal(unmap(f, 0, 0, TYPE1_UNMAP_ALL, &got), 0);
	assert_int_equal(got, size);
	munmap(reserved, size);
}

static void test_left_mappings(void **state)
{
	struct fixture *f = *state;
	uint64_t before = stats[STAT_LEFT_MAPPINGS];

	lay(f, "AABB.C");
	type1_detach(f->iommu, f->devs, 1);
	assert_int_equal(stats[STAT_LEFT_MAPPINGS] - before, 3);
	assert_int_equal(stats[STAT_MAPPINGS], 0);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	assert_left(f, "......");
	assert_int_equal(map_pages(f, 0, 1), 0);
	assert_left(f, "A.....");
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	uint64_t got;

	for (uint64_t i = 0; i < 60000; i++)
		assert_int_equal(map(f, BASE + i * 2 * PG, f->va + i % 256 * PG, PG, RW), 0);
	assert_int_equal(unmap(f, BASE + 2 * PG, 59998 * 2 * PG, 0, &got), 0);
	assert_int_equal(got, 59998 * PG);
	assert_left(f, "A.......");
	assert_int_equal(unmap(f, 0, 0, TYPE1_UNMAP_ALL, &got), 0);
	assert_int_equal(got, 2 * PG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_map_errors, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_overlaps, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_v2, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_v1, setup_v1, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_errors, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_vaddr, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_vaddr_of_another, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_vaddr_all, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_dirty, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_memlock, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_terabyte, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_left_mappings, setup_v2, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup_v2, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
