/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What pinning says and what it refuses; drivers that let go late, or never; memory of a process that exits.
 */
#include "iommu/test_type1_pin.h"

#include "iommu/dma_fault.h"

/* ---- what pinning refuses and says */

static void test_pages(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va + 5 * PG, 2 * PG, RW, false), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE + 2 * PG, f->va, 2 * PG, RW, false), 0);
	assert_int_equal(pin(f, 0, 1, 2), 0);
	assert_ptr_equal(f->pages[0].mm, f->mm);
	assert_int_equal(f->pages[0].va, f->va + 6 * PG);
	assert_ptr_equal(f->pages[0].host, f->memory + 6 * PG);
	assert_ptr_equal(f->pages[1].host, f->memory);
	assert_int_equal(unmap(f, 0, 4), 4);
	assert_int_equal(f->mediated[0].told, 2); /* of each mapping that had pins */
	assert_int_equal(f->mediated[0].iova, BASE + 2 * PG);
	assert_int_equal(f->mediated[0].size, 2 * PG);
	detach_mediated(f, 0);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct type1_pinner *mute;
	uint64_t got;

	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, 4 * PG, IOMMU_READ, false), 0);
	assert_int_equal(pin(f, 0, 0, 1), -EPERM);
	assert_int_equal(type1_pin_pages(f->mediated[0].pinner, UINT64_MAX - PG + 1, 2, RW, f->pages),
			 -EOVERFLOW);
	assert_int_equal(type1_pin_pages(f->mediated[0].pinner, BASE, 1, IOMMU_READ, f->pages), 0);
	munmap(f->memory + PG, PG);
	assert_int_equal(type1_pin_pages(f->mediated[0].pinner, BASE, 3, IOMMU_READ, f->pages), -EFAULT);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), -EFAULT);
	assert_int_equal(atomic_load(&f->mm->locked_pages), 1);
	munmap(f->memory, PG); /* pinned is pinned */
	assert_int_equal(type1_pin_pages(f->mediated[0].pinner, BASE, 1, IOMMU_READ, f->pages), 0);
	assert_int_equal(type1_unpin_pages(f->mediated[0].pinner, BASE, 1), 0);
	assert_int_equal(type1_unpin_pages(f->mediated[0].pinner, BASE, 1), 0);
	mute = type1_pinner_new(f->iommu, "mute", NULL, NULL);
	assert_int_equal(type1_pin_pages(mute, BASE + 2 * PG, 1, IOMMU_READ, f->pages), -EINVAL);
	type1_pinner_free(mute);
	assert_int_equal(type1_unmap(f->iommu, 0, 0, TYPE1_UNMAP_ALL | TYPE1_UNMAP_VADDR, NULL, &got),
			 -EBUSY);
	detach_mediated(f, 0);
	assert_ptr_equal(mmap(f->memory, 2 * PG, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 f->memory);
}

/* What is noted of a call that has failed is not there behind one that has not. */
static void test_noted(void **state)
{
	struct dma_fault fault = { .kind = DMA_NO_DOMAIN };
	struct fixture *f = *state;

	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, 4 * PG, RW, false), 0);
	assert_int_equal(pin(f, 0, 1, 1), 0);
	munmap(f->memory + PG, PG);       /* pinned is pinned */
	dma_fault_noted(-EFAULT, &fault); /* another test's */
	assert_int_equal(pin(f, 0, 0, 3), 0);
	assert_false(dma_fault_noted(-EFAULT, &fault));
	assert_int_equal(unmap(f, 0, 4), 4);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, 4 * PG, RW, false), 0);
	assert_int_equal(pin(f, 0, 0, 3), -EFAULT);
	assert_true(dma_fault_noted(-EFAULT, &fault));
	assert_int_equal(fault.kind, DMA_LOST);
	assert_int_equal(fault.at, BASE + PG);
	assert_int_equal(fault.va, f->va + PG);
	assert_false(dma_fault_noted(-EFAULT, &fault));
	detach_mediated(f, 0);
	assert_ptr_equal(mmap(f->memory + PG, PG, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 f->memory + PG);
}

/* Mapping looks at no memory; where there can be none is found out later. */
static void test_no_address(void **state)
{
	struct fixture *f = *state;
	uint64_t end = BIT64(47), byte = 0;

	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va | end, PG, RW, false), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE + PG, end - PG, 2 * PG, RW, false), 0);
	assert_int_equal(
		type1_map(f->iommu, f->mm, BASE + 3 * PG, UINT64_MAX - 2 * PG + 1, 2 * PG, RW, false), 0);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(pin(f, 0, i, 1), -EFAULT);
		assert_int_equal(type1_dma_rw(f->mediated[0].pinner, BASE + i * PG, &byte, 1, false),
				 -EFAULT);
	}
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), -EFAULT);
	assert_int_equal(unmap(f, 0, 5), 5);
	detach_mediated(f, 0);
}

/* What a mapping without its virtual address shows cannot be reached by a driver. */
static void test_no_vaddr(void **state)
{
	struct fixture *f = *state;
	struct type1_pinner *pinner;
	uint64_t got;

	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, 2 * PG, RW, false), 0);
	pinner = type1_pinner_new(f->iommu, "mdev", told_to_unpin, &f->mediated[0]);
	assert_non_null(pinner);
	assert_int_equal(type1_unmap(f->iommu, BASE, 2 * PG, TYPE1_UNMAP_VADDR, NULL, &got), 0);
	assert_int_equal(type1_attach_emulated(f->iommu), -EBUSY);
	assert_int_equal(type1_pin_pages(pinner, BASE, 1, RW, f->pages), -EBUSY);
	assert_int_equal(type1_dma_rw(pinner, BASE, &got, 8, false), -EBUSY);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, 2 * PG, 0, true), 0);
	assert_int_equal(type1_pin_pages(pinner, BASE, 1, RW, f->pages), 0);
	assert_int_equal(type1_dma_rw(pinner, BASE, &got, 8, false), 0);
	assert_int_equal(type1_pinner_free(pinner), 1);
	type1_detach(f->iommu, f->devs, 1);
}

static void test_v1(void **state)
{
	struct fixture *f = *state;

	type1_free(f->iommu);
	f->iommu = type1_new(&f->params, false);
	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, PG, RW, false), 0);
	assert_int_equal(pin(f, 0, 0, 1), -EACCES);
	assert_int_equal(type1_pin_pages(f->mediated[0].pinner, UINT64_MAX - PG + 1, 2, RW, f->pages),
			 -EACCES);
	detach_mediated(f, 0);
}

/* Without an IOMMU every IOVA will do; a device that has one cannot join then. */
static void test_apertures(void **state)
{
	struct fixture *f = *state;
	uint64_t msi = 0xfee00000, got;
	struct type1_info info;

	assert_int_equal(attach_mediated(f, 0), 0);
	type1_get_info(f->iommu, &info);
	assert_int_equal(info.nr_ranges, 0);
	assert_int_equal(info.pgsizes, ~(PG - 1));
	assert_int_equal(type1_map(f->iommu, f->mm, msi, f->va, PG, RW, false), 0);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), -EINVAL);
	assert_int_equal(type1_unmap(f->iommu, msi, PG, 0, NULL, &got), 0);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, msi, f->va, PG, RW, false), -EINVAL);
	type1_get_info(f->iommu, &info);
	assert_int_equal(info.nr_ranges, 2);
	type1_detach(f->iommu, f->devs, 1);
	detach_mediated(f, 0);
}

/* Without an IOMMU pages are the system's, whatever those of the IOMMU will be. */
static void test_page_size(void **state)
{
	struct fixture *f = *state;
	struct type1_bitmap bitmap = { .pgsize = PG, .size = 8 };
	uint64_t got, huge = 0x200000;

	f->params.pgsizes = huge;
	type1_free(f->iommu);
	f->iommu = type1_new(&f->params, true);
	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, PG, RW, false), 0);
	assert_int_equal(type1_dirty_start(f->iommu), 0);
	assert_int_equal(pin(f, 0, 0, 1), 0);
	assert_int_equal(type1_dirty_get(f->iommu, BASE, 4 * PG, &bitmap), 0);
	assert_int_equal(bitmap.bits[0], 1);
	free(bitmap.bits);
	type1_dirty_stop(f->iommu);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), -EINVAL); /* it cannot map that */
	assert_int_equal(unmap(f, 0, 1), 1);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, PG, RW, false), -EINVAL);
	assert_int_equal(type1_unmap(f->iommu, BASE, PG, 0, NULL, &got), -EINVAL);
	type1_detach(f->iommu, f->devs, 1);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, PG, RW, false), 0);
	detach_mediated(f, 0);
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, PG, RW, false), -EINVAL);
	type1_detach(f->iommu, f->devs, 1);
}

static void test_rw(void **state)
{
	struct fixture *f = *state;
	struct type1_pinner *pinner;
	char buf[64] = "0123456789abcdef";

	assert_int_equal(attach_mediated(f, 0), 0);
	pinner = f->mediated[0].pinner;
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va + PG, PG, RW, false), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE + PG, f->va, PG, RW, false), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE + 2 * PG, f->va, PG, IOMMU_READ, false), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE + 3 * PG, f->va, PG, IOMMU_WRITE, false), 0);
	assert_int_equal(type1_dma_rw(pinner, BASE + PG - 8, buf, 16, true), 0); /* over two mappings */
	assert_memory_equal(f->memory + 2 * PG - 8, "01234567", 8);
	assert_memory_equal(f->memory, "89abcdef", 8);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(type1_dma_rw(pinner, BASE + PG - 8, buf, 16, false), 0);
	assert_memory_equal(buf, "0123456789abcdef", 16);
	assert_int_equal(type1_dma_rw(pinner, BASE + 2 * PG, buf, 1, true), -EPERM);
	assert_int_equal(type1_dma_rw(pinner, BASE + 3 * PG, buf, 1, true), -EPERM); /* as the kernel */
	assert_int_equal(type1_dma_rw(pinner, BASE + 3 * PG, buf, 1, false), -EPERM);
	assert_int_equal(type1_dma_rw(pinner, BASE - 1, buf, 2, false), -EINVAL);
	assert_int_equal(type1_dma_rw(pinner, BASE + 4 * PG, buf, 1, false), -EINVAL);
	munmap(f->memory, PG);
	assert_int_equal(type1_dma_rw(pinner, BASE + PG, buf, 1, false), -EFAULT);
	assert_ptr_equal(
		mmap(f->memory, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		f->memory);
	detach_mediated(f, 0);
}

/* A BAR behind memory, in one mapping: its device may come back, to a lock that nobody holds then. */

static struct type1 *container;

static int access_bar(uint64_t va, void *data, size_t len, bool write)
{
	(void)va;
	type1_is_backed(container);
	if (!write)
		memset(data, 'b', len);
	return 0;
}

static void test_rw_of_bar(void **state)
{
	struct fixture *f = *state;
	char buf[16] = "0123456789abcdef";

	container = f->iommu;
	mm_io_access = access_bar;
	mm_note_map(f->va + PG, PG, PROT_READ | PROT_WRITE, MM_IO);
	alarm(10); /* who waits for a lock that he holds */
	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, 3 * PG, RW, false), 0);
	assert_int_equal(type1_dma_rw(f->mediated[0].pinner, BASE + PG - 8, buf, 16, true), 0);
	assert_memory_equal(f->memory + PG - 8, "01234567", 8);
	assert_int_equal(type1_dma_rw(f->mediated[0].pinner, BASE + PG - 8, buf, 16, false), 0);
	assert_memory_equal(buf, "01234567bbbbbbbb", 16);
	f->memory[2 * PG] = 'm';
	assert_int_equal(type1_dma_rw(f->mediated[0].pinner, BASE + 2 * PG - 1, buf, 2, false), 0);
	assert_memory_equal(buf, "bm", 2);
	alarm(0);
	detach_mediated(f, 0);
	mm_note_change(f->va + PG, PG);
	mm_io_access = NULL;
}

/* ---- drivers that do not let go at once */

/* What is printed while a driver keeps its pages. Returns what unmapping says. */
static int unmap_and_listen(struct fixture *f, char *text, size_t len)
{
	int saved = dup(2), ends[2], ret;
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], 2);
	close(ends[1]);
	ret = unmap(f, 0, 4);
	dup2(saved, 2);
	close(saved);
	n = read(ends[0], text, len - 1);
	text[MAX(n, (ssize_t)0)] = '\0';
	close(ends[0]);
	return ret;
}

static void test_never_lets_go(void **state)
{
	struct fixture *f = *state;
	char text[512];

	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, 2 * PG, RW, false), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE + 2 * PG, f->va, 2 * PG, RW, false), 0);
	assert_int_equal(pin(f, 0, 3, 1), 0);
	f->mediated[0].lets_go = false;
	assert_int_equal(unmap_and_listen(f, text, sizeof(text)), -EBUSY);
	assert_non_null(strstr(text, "mdev keeps pages of 0x1002000-0x1003fff pinned (1)"));
	assert_int_equal(f->mediated[0].told, 10);
	assert_int_equal(atomic_load(&f->mm->locked_pages), 1);
	assert_int_equal(type1_dma_rw(f->mediated[0].pinner, BASE, text, 16, false), 0);
	f->mediated[0].lets_go = true;
	assert_int_equal(unmap(f, 0, 4), 4);
	detach_mediated(f, 0);
}

struct late {
	struct fixture *f;
	pthread_t thread;
};

static void *unpin_late(void *arg)
{
	struct late *late = arg;

	usleep(30000);
	assert_int_equal(unpin(late->f, 0, 0, 2), 0);
	return NULL;
}

static void test_lets_go_late(void **state)
{
	struct late late = { .f = *state };
	struct fixture *f = *state;

	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE, f->va, 2 * PG, RW, false), 0);
	assert_int_equal(pin(f, 0, 0, 2), 0);
	f->mediated[0].lets_go = false;
	pthread_create(&late.thread, NULL, unpin_late, &late);
	assert_int_equal(unmap(f, 0, 2), 2);
	pthread_join(late.thread, NULL);
	detach_mediated(f, 0);
}

/* ---- another process's memory, and its end */

static void test_exited(void **state)
{
	struct fixture *f = *state;
	char *hole = f->memory + 8 * PG;
	struct mm *mm;
	uint64_t got;
	pid_t child;

	munmap(hole, PG);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_int_equal(mm_of_pid(child, &mm), 0);
	assert_ptr_equal(
		mmap(hole, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), hole);
	assert_int_equal(mm_read(mm, &got, f->va + 8 * PG - 4, 8), -EFAULT); /* half of it is there */
	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(type1_map(f->iommu, mm, BASE, f->va, 4 * PG, RW, false), 0);
	assert_int_equal(type1_map(f->iommu, f->mm, BASE + 4 * PG, f->va, 4 * PG, RW, false), 0);
	assert_int_equal(pin(f, 0, 2, 4), 0);
	assert_null(f->pages[0].host);
	assert_int_equal(atomic_load(&mm->locked_pages), 2);
	assert_int_equal(atomic_load(&f->mm->locked_pages), 2);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(pin(f, 0, 0, 1), -ENODEV);
	assert_int_equal(pin(f, 0, 6, 1), 0); /* the rest goes on */
	assert_int_equal(type1_attach(f->iommu, f->devs, 1), -EFAULT);
	assert_int_equal(type1_dma_rw(f->mediated[0].pinner, BASE, &got, 8, false), -EPERM);
	assert_int_equal(unpin(f, 0, 2, 1), 0);
	assert_int_equal(atomic_load(&mm->locked_pages), 1);
	assert_int_equal(unmap(f, 0, 4), 4);
	assert_int_equal(atomic_load(&mm->locked_pages), 0);
	assert_int_equal(atomic_load(&f->mm->locked_pages), 3);
	mm_put(mm);
	detach_mediated(f, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_vaddr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_v1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_apertures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_page_size, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rw, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rw_of_bar, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_lets_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lets_go_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exited, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
