/* SPDX-License-Identifier: BSD-2-Clause */
/* Mappings of BARs: their pages are no memory, so they are neither charged nor pinned by drivers. */
#include "iommu/test_type1_pin.h"

#define TRAPPED                                                                                              \
	((uint64_t)2) /* pages 2 and 3 of the memory are a trapped BAR, 4 to 6 a BAR of plain memory */
#define PLAIN ((uint64_t)4)
#define MIXED ((uint64_t)10) /* pages that are mapped, 5 of which are memory */

static unsigned int accesses;

static int access_bar(uint64_t va, void *data, size_t len, bool write)
{
	(void)va;
	if (!write)
		memset(data, 0x5a, len);
	accesses++;
	return 0;
}

static int start(void **state)
{
	int fd = memfd_create(MM_BAR_MEMFD, MFD_CLOEXEC);
	struct fixture *f;

	setup(state);
	f = *state;
	assert_int_equal(ftruncate(fd, (off_t)(3 * PG)), 0);
	assert_ptr_not_equal(
		mmap(f->memory + PLAIN * PG, 3 * PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
		MAP_FAILED);
	close(fd);
	assert_int_equal(mprotect(f->memory + TRAPPED * PG, 2 * PG, PROT_NONE), 0);
	mm_note_map(f->va + TRAPPED * PG, 2 * PG, PROT_READ | PROT_WRITE, MM_IO);
	mm_io_access = access_bar;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	mm_note_change(f->va + TRAPPED * PG, 2 * PG);
	mm_io_access = NULL;
	return teardown(state);
}

static int map(struct fixture *f, uint64_t page, uint64_t n)
{
	return type1_map(f->iommu, f->mm, BASE + page * PG, f->va + page * PG, n * PG, RW, false);
}

static uint64_t charged(const struct fixture *f)
{
	return atomic_load(&f->mm->locked_pages);
}

static void read_bar(struct fixture *f)
{
	struct uvfio_dma *dma = dma_user_new(&f->backed[0], NULL);
	uint32_t word = 0;

	accesses = 0;
	atomic_store(&f->backed[0].enabled, true);
	assert_int_equal(dma_read(dma, BASE + TRAPPED * PG, &word, 4, "test"), 0);
	assert_int_equal(word, 0x5a5a5a5a);
	assert_int_equal(accesses, 1);
	dma_user_free(dma);
}

static void test_backed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	assert_int_equal(map(f, 0, MIXED), 0);
	assert_int_equal(charged(f), 5);
	read_bar(f);
	assert_int_equal(map(f, 20, LIMIT - 4), -ENOMEM);
	assert_int_equal(map(f, 20, LIMIT - 5), 0);
	assert_int_equal(charged(f), LIMIT);
	assert_int_equal(unmap(f, 0, MIXED), MIXED);
	assert_int_equal(charged(f), LIMIT - 5);
	assert_int_equal(map(f, PLAIN, 3), 0); /* no more is charged */
	assert_int_equal(map(f, TRAPPED, 2), 0);
	assert_int_equal(map(f, 0, 2), 0);
	assert_int_equal(charged(f), LIMIT - 3);
	assert_int_equal(unmap(f, 0, NR_PAGES), LIMIT - 5 + 7);
	assert_int_equal(charged(f), 0);
	assert_int_equal(map(f, 0, MIXED), 0);
	type1_detach(f->iommu, &f->devs[0], 1);
	assert_int_equal(charged(f), 0);
}

/* One call unmaps a BAR of this process and memory of another: each is given back what it was charged. */
static void test_of_two(void **state)
{
	struct fixture *f = *state;
	pid_t child = fork();
	struct mm *other;

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_int_equal(mm_of_pid(child, &other), 0);
	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	assert_int_equal(map(f, 0, MIXED), 0);
	assert_int_equal(type1_map(f->iommu, other, BASE + MIXED * PG, f->va, 2 * PG, RW, false), 0);
	assert_int_equal(charged(f), 5);
	assert_int_equal(atomic_load(&other->locked_pages), 2);
	assert_int_equal(unmap(f, 0, MIXED + 2), MIXED + 2);
	assert_int_equal(charged(f), 0);
	assert_int_equal(atomic_load(&other->locked_pages), 0);
	type1_detach(f->iommu, &f->devs[0], 1);
	mm_put(other);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* With fewer pages left than there are, it is the memory among them that counts. */
static void test_little_room(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	assert_int_equal(map(f, 20, LIMIT - 5), 0);
	assert_int_equal(map(f, 0, MIXED + 1), -ENOMEM);
	assert_int_equal(map(f, 0, MIXED), 0);
	assert_int_equal(charged(f), LIMIT);
	type1_detach(f->iommu, &f->devs[0], 1);
}

/* A device with an IOMMU joins a mediated one, and leaves it. */
static void test_joined(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(map(f, 0, MIXED), 0);
	assert_int_equal(pin(f, 0, TRAPPED, 1), -EINVAL);
	assert_int_equal(pin(f, 0, PLAIN, 1), -EINVAL);
	assert_int_equal(pin(f, 0, 0, MIXED), -EINVAL);
	assert_int_equal(pin(f, 0, 0, 2), 0);
	assert_int_equal(charged(f), 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
		assert_int_equal(charged(f), 5);
		read_bar(f);
		type1_detach(f->iommu, &f->devs[0], 1);
		assert_int_equal(charged(f), 2);
	}
	assert_int_equal(map(f, 20, LIMIT - 5), 0);
	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	assert_int_equal(charged(f), LIMIT);
	type1_detach(f->iommu, &f->devs[0], 1);
	assert_int_equal(map(f, 600, 1), 0);
	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), -ENOMEM);
	assert_int_equal(charged(f), 2);
	detach_mediated(f, 0);
}

/* The program maps other things where mappings are. */
static void test_changes(void **state)
{
	struct fixture *f = *state;
	void *at = f->memory + PLAIN * PG;

	assert_int_equal(attach_mediated(f, 0), 0);
	assert_int_equal(map(f, PLAIN, 3), 0);
	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	assert_int_equal(charged(f), 0);
	assert_ptr_equal(
		mmap(at, 3 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), at);
	assert_int_equal(pin(f, 0, PLAIN, 2), 0); /* memory by now */
	assert_int_equal(charged(f), 0);
	f->params.memlock_pages = 1; /* leaving cannot fail */
	type1_detach(f->iommu, &f->devs[0], 1);
	f->params.memlock_pages = LIMIT;
	assert_int_equal(charged(f), 2);
	mm_note_map(f->va + PLAIN * PG, PG, PROT_READ | PROT_WRITE, MM_IO); /* and a BAR again */
	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	type1_detach(f->iommu, &f->devs[0], 1);
	assert_int_equal(charged(f), 2);
	mm_note_map(f->va + PLAIN * PG, 3 * PG, PROT_READ | PROT_WRITE, MM_IO); /* also what is pinned */
	assert_int_equal(type1_attach(f->iommu, &f->devs[0], 1), 0);
	assert_int_equal(charged(f), 2);
	type1_detach(f->iommu, &f->devs[0], 1);
	assert_int_equal(charged(f), 2);
	mm_note_change(f->va + PLAIN * PG, 3 * PG);
	detach_mediated(f, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_backed), TEST(test_of_two),  TEST(test_little_room),
		TEST(test_joined), TEST(test_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
