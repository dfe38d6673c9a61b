/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registered memory, with a call of another thread's in the middle of a call: before each of its atomic
 * accesses in turn, until it has no more of them. The other call is made there, as a whole, by the same
 * thread; so where the first one holds the lock, the other one is of the kind that takes none.
 */
#include "base/base.h"

static void step(void);

/* Those that tce_memory makes, each with a step before it. */
#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_fetch_add
#undef atomic_fetch_sub
#ifdef __clang__
#define atomic_load_explicit(at, order) (step(), __c11_atomic_load(at, order))
#define atomic_store_explicit_(at, to)  (step(), __c11_atomic_store(at, to, __ATOMIC_SEQ_CST))
#define atomic_fetch_add(at, nr)        (step(), __c11_atomic_fetch_add(at, nr, __ATOMIC_SEQ_CST))
#define atomic_fetch_sub(at, nr)        (step(), __c11_atomic_fetch_sub(at, nr, __ATOMIC_SEQ_CST))
#else
#define atomic_load_explicit(at, order) (step(), __atomic_load_n(at, order))
#define atomic_store_explicit_(at, to)  (step(), __atomic_store_n(at, to, __ATOMIC_SEQ_CST))
#define atomic_fetch_add(at, nr)        (step(), __atomic_fetch_add(at, nr, __ATOMIC_SEQ_CST))
#define atomic_fetch_sub(at, nr)        (step(), __atomic_fetch_sub(at, nr, __ATOMIC_SEQ_CST))
#endif
#define atomic_load(at)      atomic_load_explicit(at, __ATOMIC_SEQ_CST)
#define atomic_store(at, to) atomic_store_explicit_(at, to)

/* Waiting for devices is a step, too. */
#include "iommu/domain.h"
#define iommu_domain_sync(domain) (step(), iommu_domain_sync(domain))

#include "iommu/spapr/tce_memory.c" /* NOLINT(bugprone-suspicious-include): its accesses have steps here */

#include "iommu/spapr/tce_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PG    UVFIO_PAGE_SIZE
#define PAGES 64u

/* ---- steps */

static unsigned int before; /* the other call comes before this many accesses; 0: it has come, or does not */
static void (*other)(void);

static void step(void)
{
	if (before && !--before)
		other();
}

/* Make call with the other one before access number n. False: it has not so many. */
static bool with_other(unsigned int n, void (*call)(void), void (*the_other)(void))
{
	bool came;

	other = the_other;
	before = n;
	call();
	came = !before;
	before = 0;
	return came;
}

/* ---- memory */

static struct {
	struct iommu_params params;
	struct mm *mm;
	uint64_t ua;
	struct tce_mm *tmm;
	struct tce_mm_domain use;
	struct iommu_domain *domain;
	struct tce_table *table;
	uint64_t charged; /* before the test */
	struct tce_memory *mem;
	int rc, other_rc;
	bool reap;
} f;

static uint64_t charged(void)
{
	return f.mm->locked_pages - f.charged;
}

static int setup(void **state)
{
	void *memory = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	iommu_params_default(&f.params);
	f.mm = mm_self();
	f.charged = f.mm->locked_pages;
	f.ua = (uintptr_t)memory;
	f.tmm = tce_mm_get(f.mm);
	f.domain = iommu_domain_alloc(&f.params);
	tce_mm_add_domain(f.tmm, &f.use, f.domain);
	f.table = tce_table_new(f.mm, f.tmm, 0, 12, BIT64(20), 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tce_table_put(f.table);
	tce_mm_remove_domain(f.tmm, &f.use);
	tce_mm_put(f.tmm);
	iommu_domain_free(f.domain);
	assert_int_equal(charged(), 0);
	mm_put(f.mm);
	munmap((void *)(uintptr_t)f.ua, PAGES * PG);
	return 0;
}

static struct tce_memory *reg(uint64_t page, uint64_t pages)
{
	struct tce_memory *mem;

	assert_int_equal(tce_memory_register(f.tmm, &f.params, 12, f.ua + page * PG, pages * PG, &mem), 0);
	return mem;
}

/* ---- an entry goes while a place is used for something else */

#define MIDDLE 20u

static const struct {
	uint64_t page, pages;
} beside[2] = { { 0, 1 }, { 30, 32 } }; /* the one's start and the other's size: MIDDLE is in that */
static unsigned int now;

static void unmap_middle(void)
{
	tce_memory_unmapped(f.tmm, f.ua + MIDDLE * PG);
}

static void register_the_other(void)
{
	assert_int_equal(tce_memory_unregister(f.tmm, f.mem), 0);
	now = !now;
	assert_ptr_equal(reg(beside[now].page, beside[now].pages), f.mem);
}

static void test_unmap_while_places_change(void **state)
{
	struct tce_memory *middle, *mem;
	bool came = true;

	(void)state;
	now = 0;
	f.mem = reg(beside[0].page, beside[0].pages);
	middle = reg(MIDDLE, 1);
	for (unsigned int n = 1; came; n++)
		for (unsigned int twice = 0; twice < 2; twice++) {
			assert_int_equal(tce_memory_lookup(f.tmm, f.ua + MIDDLE * PG, PG, NULL, false, &mem),
					 0);
			assert_ptr_equal(mem, middle);
			came = with_other(n, unmap_middle, register_the_other);
			assert_int_equal(tce_memory_entries(middle), 0);
			assert_int_equal(tce_memory_entries(f.mem), 0);
		}
	assert_int_equal(tce_memory_unregister(f.tmm, middle), 0);
	assert_int_equal(tce_memory_unregister(f.tmm, f.mem), 0);
}

/* ---- memory is unregistered while somebody begins to use it */

static void unregister_mem(void)
{
	f.rc = tce_memory_unregister(f.tmm, f.mem);
}

static void look_up(void)
{
	struct tce_memory *mem = NULL;

	f.other_rc = tce_memory_lookup(f.tmm, f.ua, PG, f.mem, false, &mem);
	assert_true(f.other_rc || mem == f.mem);
}

static void test_lookup_in_unregister(void **state)
{
	bool came = true;

	(void)state;
	for (unsigned int n = 1; came; n++) {
		f.mem = reg(0, 1);
		came = with_other(n, unregister_mem, look_up);
		if (!came || f.other_rc) {
			assert_int_equal(f.rc, 0);
			continue;
		}
		assert_int_equal(f.rc, -EBUSY);
		assert_int_equal(tce_memory_entries(f.mem), 1);
		tce_memory_unmapped(f.tmm, f.ua);
		assert_int_equal(tce_memory_unregister(f.tmm, f.mem), 0);
	}
	assert_int_equal(charged(), 0);
}

static void look_up_mem(void)
{
	look_up();
	f.rc = f.other_rc;
}

static int unregistered;

static void unregister_other(void)
{
	unregistered = tce_memory_unregister(f.tmm, f.mem);
}

static void test_unregister_in_lookup(void **state)
{
	bool came = true;

	(void)state;
	for (unsigned int n = 1; came; n++) {
		f.mem = reg(0, 1);
		came = with_other(n, look_up_mem, unregister_other);
		if (f.rc) {
			assert_true(came);
			/* it was counted while it looked, and is no more */
			if (unregistered)
				assert_int_equal(tce_memory_unregister(f.tmm, f.mem), 0);
			continue;
		}
		assert_true(!came || unregistered == -EBUSY);
		tce_memory_unmapped(f.tmm, f.ua);
		assert_int_equal(tce_memory_unregister(f.tmm, f.mem), 0);
	}
	assert_int_equal(charged(), 0);
}

/* ---- a container ends, and the last entry of another one's goes */

static void leave(void)
{
	tce_memory_leave(f.tmm, f.mem);
}

static void take_out(void)
{
	tce_memory_unmapped(f.tmm, f.ua);
	f.reap = tce_memory_has_left(f.tmm);
}

static void test_last_entry_in_leave(void **state)
{
	bool came = true;

	(void)state;
	for (unsigned int n = 1; came; n++) {
		f.mem = reg(0, 1);
		look_up();
		assert_int_equal(f.other_rc, 0);
		f.reap = false;
		came = with_other(n, leave, take_out);
		if (!came)
			take_out();
		if (f.reap)
			tce_memory_reap(f.tmm);
		assert_int_equal(charged(), 0);
		assert_false(tce_memory_has_left(f.tmm));
	}
}

/* Counted in for a page that the region is not for. */
static void put_large(void)
{
	struct tce_memory *hint = f.mem;
	const uint32_t shift = f.mem->page_shift;

	f.reap = false;
	f.mem->page_shift = 11;
	f.other_rc = tce_put_registered(f.table, 0, f.ua, IOMMU_READ, false, &hint, &f.reap);
	f.mem->page_shift = shift;
}

static void test_leave_in_refused_entry(void **state)
{
	bool came = true;

	(void)state;
	for (unsigned int n = 1; came; n++) {
		f.mem = reg(0, 1);
		came = with_other(n, put_large, leave);
		assert_true(f.other_rc);
		if (!came)
			leave();
		else if (f.reap)
			tce_memory_reap(f.tmm);
		assert_int_equal(charged(), 0);
		assert_false(tce_memory_has_left(f.tmm));
	}
}

static unsigned int later;
static bool came_at_all, moved;

/* The region makes room for another one, whose container ends so many accesses later. */
static void move_and_leave(void)
{
	came_at_all = true;
	moved = !tce_memory_unregister(f.tmm, f.mem);
	if (!moved)
		return;
	assert_ptr_equal(reg(30, 1), f.mem);
	other = leave;
	before = later;
}

/* False: it did not go so far that the container ended meanwhile. */
static bool try_move_and_leave(unsigned int n)
{
	bool left;

	f.mem = reg(0, 1);
	came_at_all = moved = false;
	left = with_other(n, put_large, move_and_leave) && moved;
	if (!moved)
		assert_int_equal(tce_memory_unregister(f.tmm, f.mem), 0);
	else if (!left)
		leave();
	else if (f.reap)
		tce_memory_reap(f.tmm);
	assert_int_equal(charged(), 0);
	assert_false(tce_memory_has_left(f.tmm));
	return left;
}

/* Who looks where a region was is counted in another one for a moment. */
static void test_leave_in_lookup_of_another(void **state)
{
	unsigned int left = 0;

	(void)state;
	came_at_all = true;
	for (unsigned int n = 1; came_at_all; n++)
		for (later = 1; try_move_and_leave(n); later++)
			left++;
	assert_true(left);
}

/* ---- fork */

static pid_t child;

/* There the region is as before, or not there. */
static void in_child(void)
{
	tce_mm_forked();
	reg(0, 1);
	if (tce_memory_unregister(f.tmm, f.mem) || charged() != 1)
		_exit(1);
	if (tce_memory_unregister(f.tmm, f.mem) || charged())
		_exit(2);
	_exit(0);
}

static void fork_here(void)
{
	child = fork();
	if (!child)
		in_child();
}

static void test_fork_in_unregister(void **state)
{
	bool came = true;
	int status;

	(void)state;
	for (unsigned int n = 1; came; n++) {
		f.mem = reg(0, 1);
		came = with_other(n, unregister_mem, fork_here);
		assert_int_equal(f.rc, 0);
		if (!came)
			break;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

/* What was left behind, or about to be, goes there, too. */
static void fork_and_reap(void)
{
	child = fork();
	if (child)
		return;
	tce_mm_forked();
	tce_memory_reap(f.tmm);
	_exit(charged() || tce_memory_has_left(f.tmm) ? 1 : 0);
}

static void test_fork_in_leave(void **state)
{
	bool came = true;
	int status;

	(void)state;
	for (unsigned int n = 1; came; n++) {
		f.mem = reg(0, 1);
		came = with_other(n, leave, fork_and_reap);
		if (!came)
			break;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	assert_int_equal(charged(), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_unmap_while_places_change), T(test_lookup_in_unregister),
		T(test_unregister_in_lookup),      T(test_last_entry_in_leave),
		T(test_leave_in_refused_entry),    T(test_leave_in_lookup_of_another),
		T(test_fork_in_unregister),        T(test_fork_in_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
