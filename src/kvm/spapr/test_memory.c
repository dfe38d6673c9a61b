/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory slots that lie otherwise than windows want them; locked memory that tables are charged with. */
#include "kvm/spapr/test_rig.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define R       1u
#define LIOBN_2 5u
#define GPA_2   (8 * (uint64_t)1 << 30)

static void add_slot(const struct rig *r, uint64_t gpa, const char *at, uint64_t size)
{
	struct kvm_userspace_memory_region slot = {
		.slot = 1, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uintptr_t)at
	};

	assert_int_equal(call_ptr(r->vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
}

static long put_2(const struct rig *r, uint64_t ioba, uint64_t tce)
{
	uint64_t args[] = { LIOBN_2, ioba, tce, 0 };

	return kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL);
}

/* The guest's page is aligned, the program's memory behind it is not: MAP_DMA would not take it either. */
static void test_alignment(void **state)
{
	struct rig *r = *state;
	char *at = r->t->memory + PG;
	int low = (int)create_table(r, LIOBN, 16, 0, 16), high;

	assert_int_equal(create(r->t, 16, 16 * MIB, 1, NULL), 0);
	high = (int)create_table(r, LIOBN_2, 16, HIGH >> 16, 256);
	add_slot(r, GPA_2, at, MIB);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, low), 0);
	assert_int_equal(tie(r, r->t->g, high), 0);
	assert_int_equal(map(r->t->c, HIGH, at, 65536, RW), -EINVAL);
	assert_int_equal(put_2(r, HIGH, GPA_2 | R), UVFIO_H_TOO_HARD);
	assert_int_equal(translated(r->t, HIGH, IOMMU_READ), 0);
	assert_int_equal(put_2(r, HIGH, GPA | R), 0);
	/* In a window with pages of 4 KiB they are 16 of them. */
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA_2 | R, 0), 0);
	assert_int_equal(translated(r->t, 65535, IOMMU_READ), (uintptr_t)at + 65535);
	/* The last page of the slot has to be a whole one. */
	add_slot(r, GPA_2, at, 0);
	add_slot(r, GPA_2, at, 65536 - PG);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA_2 | R, 0), UVFIO_H_TOO_HARD);
	close_fd(low);
	close_fd(high);
}

/* ---- locked memory */

static void limit_memory(uint64_t bytes)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	struct rlimit limit;

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~BIT32(CAP_IPC_LOCK);
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

/* What the kernel counts: the view, and a list of its pages. What containers have without a limit is no part
 * of it.
 */
static void test_limit(void **state)
{
	struct rig *r = *state;
	const uint64_t before = r->t->mm->locked_pages, entries = PG / 8;
	long fds[3];

	assert_true(before > 16);
	limit_memory(16 * PG);
	assert_int_equal(create_table(r, LIOBN, 12, 0, 15 * entries + 1), -ENOMEM);
	assert_int_equal(r->t->mm->locked_pages, before);
	fds[0] = create_table(r, LIOBN, 12, 0, 13 * entries);
	assert_true(fds[0] >= 0);
	assert_int_equal(r->t->mm->locked_pages, before + 14);
	assert_int_equal(create_table(r, LIOBN, 12, 0, 2 * entries), -ENOMEM); /* comes before EBUSY */
	assert_int_equal(create_table(r, LIOBN, 12, 0, 1), -EBUSY);
	fds[1] = create_table(r, 1, 12, 0, 1);
	assert_true(fds[1] >= 0);
	assert_int_equal(create_table(r, 2, 12, 0, 1), -ENOMEM);
	close_fd((int)fds[1]);
	fds[2] = create_table(r, 2, 12, 0, entries);
	assert_true(fds[2] >= 0);
	close_fd((int)fds[0]);
	close_fd((int)fds[2]);
	assert_int_equal(r->t->mm->locked_pages, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = { RIG(test_alignment), RIG(test_limit) };

	return cmocka_run_group_tests_name("kvm_spapr_memory", tests, NULL, NULL);
}
