/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fast tier allocates nothing, takes no lock and does not sleep: here it cannot. And which hypercalls end
 * in which tier.
 */
#include "kvm/spapr/test_rig.h"

#include "base/failpoint.h"
#include "base/fault.h"
#include "iommu/spapr/test_forbid.h"

#include "iommu/dma.h"
#include "vfio/spapr.h"

#include <endian.h>

#define R  1u
#define W  2u
#define TG (MIB / PG)

static long fast(const struct rig *r, uint64_t number, uint64_t ioba, uint64_t a, uint64_t b)
{
	const uint64_t before = in_tier(r, TCE_FAST);
	long rc;

	forbidden = true;
	rc = hcall(r, number, ioba, a, b);
	forbidden = false;
	assert_int_equal(in_tier(r, TCE_FAST), before + 1);
	return rc;
}

static long fast_get(const struct rig *r, uint64_t ioba, uint64_t *tce)
{
	long rc;

	forbidden = true;
	rc = get(r, ioba, tce);
	forbidden = false;
	return rc;
}

static void write_list(const struct rig *r, uint64_t first)
{
	uint64_t *list = (uint64_t *)r->t->memory;

	for (uint64_t i = 0; i < TG; i++)
		list[i] = htobe64((GPA + (first + i) * PG) | R | W);
}

static int attached(const struct rig *r)
{
	int fd = (int)create_table(r, LIOBN, 12, 0, TG);

	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R, 0), 0); /* the first use */
	assert_int_equal(in_tier(r, TCE_SLOW), 1);
	return fd;
}

/* Whether it succeeds or not. */
static void test_fast(void **state)
{
	struct rig *r = *state;
	int fd = attached(r);
	uint64_t tce;

	for (uint64_t i = 0; i < TG; i++) {
		assert_int_equal(fast(r, UVFIO_H_PUT_TCE, i * PG, (GPA + i * PG) | R | W, 0), 0);
		assert_int_equal(fast(r, UVFIO_H_PUT_TCE, i * PG, (GPA + (i + 1) * PG) | R | W, 0), 0);
		assert_int_equal(fast_get(r, i * PG, &tce), 0);
		assert_int_equal(tce, (GPA + (i + 1) * PG) | R | W);
		assert_int_equal(translated(r->t, i * PG, RW), (uintptr_t)r->t->memory + (i + 1) * PG);
	}
	write_list(r, 5);
	assert_int_equal(fast(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, TG), 0);
	assert_int_equal(translated(r->t, 9 * PG, RW), (uintptr_t)r->t->memory + 14 * PG);
	assert_int_equal(fast(r, UVFIO_H_STUFF_TCE, PG, 0, TG - 1), 0);
	assert_int_equal(fast(r, UVFIO_H_PUT_TCE, 0, 0, 0), 0);
	assert_int_equal(fast(r, UVFIO_H_PUT_TCE, 0, 0x5000, 0), 0); /* no permissions */
	assert_int_equal(fast(r, UVFIO_H_PUT_TCE, 1, 0, 0), UVFIO_H_PARAMETER);
	assert_int_equal(fast(r, UVFIO_H_STUFF_TCE, 0, R, 1), UVFIO_H_PARAMETER);
	assert_int_equal(in_tier(r, TCE_SLOW), 1);
	assert_int_equal(reg(r->t, r->t->memory, 16 * MIB, false), 0); /* no entry is left */
	assert_int_equal(in_tier(r, TCE_USER), 0);
	forbidden = true;
	tce = (uint64_t)hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R, 0);
	forbidden = false;
	assert_int_equal(tce, UVFIO_H_TOO_HARD);
	assert_int_equal(in_tier(r, TCE_USER), 1);
	close_fd(fd);
}

/* A table without devices, and with arrays of entries in several levels: what was never used is slow, once.
 */
static void test_first_use(void **state)
{
	struct rig *r = *state;
	struct client *t = r->t;
	uint64_t tce;
	int fd = (int)create_table(r, LIOBN, 12, 0, BIT64(24));

	for (uint64_t i = 0; i < 100; i++) {
		assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, i * 512 * PG, GPA | R, 0), 0);
		assert_int_equal(in_tier(r, TCE_SLOW), i + 1);
		assert_int_equal(fast(r, UVFIO_H_PUT_TCE, (i * 512 + 511) * PG, GPA | R, 0), 0);
	}
	close_fd(fd);
	assert_int_equal(remove_at(t, 0), 0);
	assert_int_equal(create(t, 12, BIT64(36), 3, NULL), 0);
	fd = (int)create_table(r, LIOBN, 12, 0, BIT64(24));
	assert_int_equal(add_group(r, t->g), 0);
	assert_int_equal(tie(r, t->g, fd), 0);
	write_list(r, 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, (BIT64(23) - 100) * PG, GPA, 200), 0);
	assert_int_equal(in_tier(r, TCE_SLOW), 101);
	assert_int_equal(fast(r, UVFIO_H_PUT_TCE_INDIRECT, (BIT64(23) - 100) * PG, GPA, 200), 0);
	assert_int_equal(translated(t, BIT64(35) + 99 * PG, RW), (uintptr_t)t->memory + 199 * PG);
	assert_int_equal(fast_get(r, BIT64(35) + 99 * PG, &tce), 0);
	assert_int_equal(tce, (GPA + 199 * PG) | R | W);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 512), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 513), UVFIO_H_PARAMETER);
	close_fd(fd);
}

/* While a device uses a page, what unmaps it waits, in the slow tier. */
static void *end_section(void *arg)
{
	usleep(20000);
	dma_end(arg);
	return NULL;
}

static void test_waits(void **state)
{
	struct rig *r = *state;
	int fd = attached(r);
	struct uvfio_dma *dma;
	pthread_t thread;
	char byte;

	atomic_store(&r->t->bench->fake[0].iommu_dev.enabled, true);
	dma = dma_user_new(&r->t->bench->fake[0].iommu_dev, NULL);
	dma_begin(dma);
	assert_int_equal(dma_read(dma, 0, &byte, 1, "test"), 0);
	assert_int_equal(fast(r, UVFIO_H_PUT_TCE, PG, GPA | R, 0), 0); /* takes nothing out */
	assert_int_equal(pthread_create(&thread, NULL, end_section, dma), 0);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0, TG), 0);
	pthread_join(thread, NULL);
	assert_int_equal(in_tier(r, TCE_SLOW), 2);
	dma_user_free(dma);
	close_fd(fd);
}

/* ---- counters */

static struct tce_counts of_table(const struct rig *r, uint64_t liobn)
{
	struct tce_counts counts;

	assert_int_equal(kvm_hcall_counts(kvm_of(r), &liobn, counts.calls), 0);
	return counts;
}

/* Of the window at 0, for which the program has made so many calls. */
static void check_window(const struct rig *r, uint64_t fast, uint64_t slow, uint64_t user)
{
	struct file *file = fdtable_get(r->t->g);
	struct tce_table *window = vfio_spapr_get_table(file, 0, MIB, 12);
	struct tce_counts counts;

	assert_non_null(window);
	tce_sources_sum(&window->calls, &counts);
	assert_int_equal(counts.calls[TCE_FAST], fast);
	assert_int_equal(counts.calls[TCE_SLOW], slow);
	assert_int_equal(counts.calls[TCE_USER], user);
	tce_table_put(window);
	file_put(file);
}

static void check_counts(const struct tce_counts *counts, uint64_t fast, uint64_t slow, uint64_t user)
{
	assert_int_equal(counts->calls[TCE_FAST], fast);
	assert_int_equal(counts->calls[TCE_SLOW], slow);
	assert_int_equal(counts->calls[TCE_USER], user);
}

/* A window has what its tables have counted while they were tied to it, and the program's own calls. */
static void test_counters(void **state)
{
	struct rig *r = *state;
	int fd = attached(r), other = (int)create_table(r, LIOBN + 1, 12, 0, TG);
	uint64_t args[] = { LIOBN + 1, 0, GPA | R, 0 }, none = LIOBN + 2;
	struct tce_counts counts = of_table(r, LIOBN);

	check_counts(&counts, 0, 1, 0);
	check_window(r, 0, 1, 0);
	assert_int_equal(fast(r, UVFIO_H_PUT_TCE, PG, GPA | R, 0), 0);
	assert_int_equal(fast(r, UVFIO_H_PUT_TCE, 1, 0, 0), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, PG, 1 | R, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(map(r->t->c, 5 * PG, r->t->memory, PG, RW), 0);
	assert_int_equal(unmap_all(r->t, 0, 8 * PG), 0);
	assert_int_equal(unmap_all(r->t, 1, PG), -EINVAL);
	check_window(r, 2, 1, 2);
	assert_int_equal(kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL), 0);
	counts = of_table(r, LIOBN + 1);
	check_counts(&counts, 0, 1, 0); /* the first use of its view; tied to nothing */
	check_window(r, 2, 1, 2);
	assert_int_equal(tie(r, r->t->g, other), 0);
	assert_int_equal(kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL), 0);
	check_window(r, 3, 1, 2);
	close_fd(fd);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, PG, 0, 0), UVFIO_H_TOO_HARD); /* of no table any more */
	check_window(r, 3, 1, 2);
	counts = of_table(r, LIOBN + 1);
	check_counts(&counts, 1, 1, 0);
	assert_int_equal(del_group(r, r->t->g), 0);
	assert_int_equal(kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL), 0);
	check_window(r, 3, 1, 2);
	assert_int_equal(kvm_hcall_counts(kvm_of(r), NULL, counts.calls), 0);
	check_counts(&counts, 2 + 2, 2, 2);
	assert_int_equal(kvm_hcall_counts(kvm_of(r), &none, counts.calls), -ENOENT);
	close_fd(other);
	assert_int_equal(kvm_hcall_counts(kvm_of(r), NULL, counts.calls), 0);
	check_counts(&counts, 2 + 2, 2, 2);
}

/* Each allocation fails once: the program is asked, and nothing is left. */
#ifdef UVFIO_IOMMUFD_TEST
static void test_no_memory(void **state)
{
	struct rig *r = *state;
	const uint64_t before = r->t->mm->locked_pages;
	unsigned int failed = 0;
	long fd, rc;

	for (unsigned int nth = 1; failpoint_set(nth), (fd = create_table(r, LIOBN, 12, 0, TG)) < 0; nth++) {
		assert_int_equal(fd, -ENOMEM);
		assert_int_equal(r->t->mm->locked_pages, before);
		failed++;
	}
	failpoint_set(0);
	assert_int_equal(add_group(r, r->t->g), 0);
	for (unsigned int nth = 1; failpoint_set(nth), (rc = tie(r, r->t->g, (int)fd)); nth++, failed++)
		assert_int_equal(rc, -ENOMEM);
	failpoint_set(0);
	for (unsigned int nth = 1; failpoint_set(nth), (rc = hcall(r, UVFIO_H_PUT_TCE, PG, GPA | R, 0));
	     nth++, failed++) {
		assert_int_equal(rc, UVFIO_H_TOO_HARD);
		assert_int_equal(translated(r->t, PG, IOMMU_READ), 0);
	}
	failpoint_set(0);
	assert_int_equal(failed, 2 + 2 + 2);
	close_fd((int)fd);
}

/* The same for the second part of a list, which is in other arrays of the window's: the first part goes. */
static void test_no_memory_for_list(void **state)
{
	struct rig *r = *state;
	const uint64_t at = BIT64(35) - 100 * PG;
	unsigned int failed = 0;
	int fd = (int)create_table(r, LIOBN, 12, 0, BIT64(24));
	long rc;

	assert_int_equal(remove_at(r->t, 0), 0);
	assert_int_equal(create(r->t, 12, BIT64(36), 3, NULL), 0);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	write_list(r, 0);
	for (unsigned int nth = 1;
	     failpoint_set(nth), (rc = hcall(r, UVFIO_H_PUT_TCE_INDIRECT, at, GPA, 200)) && nth < 20;
	     nth++, failed++) {
		assert_int_equal(rc, UVFIO_H_TOO_HARD);
		if (!translated(r->t, BIT64(35), IOMMU_READ))
			assert_int_equal(translated(r->t, at, IOMMU_READ), 0);
	}
	failpoint_set(0);
	assert_int_equal(rc, 0);
	assert_true(failed > 2);
	assert_int_equal(translated(r->t, at, IOMMU_READ), (uintptr_t)r->t->memory);
	close_fd(fd);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(test_fast),      RIG(test_first_use),          RIG(test_waits), RIG(test_counters),
#ifdef UVFIO_IOMMUFD_TEST
		RIG(test_no_memory), RIG(test_no_memory_for_list),
#endif
	};

	if (fault_handler_install(NULL))
		return 1;
	return cmocka_run_group_tests_name("kvm_spapr_fast", tests, NULL, NULL);
}
