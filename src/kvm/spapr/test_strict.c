/* SPDX-License-Identifier: BSD-2-Clause */
/* The fast tier makes no system call, so that it can neither sleep nor get memory: the kernel kills who does.
 */
#include "kvm/spapr/test_rig.h"

#include "base/fault.h"
#include "iommu/spapr/test_forbid.h"

#include <endian.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define R  1u
#define W  2u
#define TG (MIB / PG)

/* Each hypercall, with each kind of answer; false: one is not as it should be. */
static bool hypercalls(const struct rig *r)
{
	uint64_t tce;
	bool good = true;

	for (uint64_t i = 0; i < TG; i++) {
		good &= !hcall(r, UVFIO_H_PUT_TCE, i * PG, (GPA + i * PG) | R | W, 0);
		good &= !hcall(r, UVFIO_H_PUT_TCE, i * PG, (GPA + i * 2 * PG) | R, 0);
		good &= !get(r, i * PG, &tce) && tce == ((GPA + i * 2 * PG) | R);
	}
	good &= !hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, TG);
	good &= !get(r, 7 * PG, &tce) && tce == ((GPA + 7 * PG) | R);
	good &= !hcall(r, UVFIO_H_STUFF_TCE, 0, 0x3000, TG);
	good &= hcall(r, UVFIO_H_PUT_TCE, 1, GPA | R, 0) == UVFIO_H_PARAMETER;
	good &= hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 513) == UVFIO_H_PARAMETER;
	good &= hcall(r, UVFIO_H_STUFF_TCE, 0, R, 1) == UVFIO_H_PARAMETER;
	good &= hcall(r, UVFIO_H_PUT_TCE, 0, (GPA + 20 * MIB) | R, 0) ==
		UVFIO_H_TOO_HARD;                                                 /* not registered */
	good &= hcall(r, UVFIO_H_PUT_TCE, 0, 1 << 20 | R, 0) == UVFIO_H_TOO_HARD; /* in no slot */
	return good;
}

static void test_no_system_call(void **state)
{
	struct rig *r = *state;
	uint64_t *list = (uint64_t *)r->t->memory;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG), status;
	uint64_t slow;
	pid_t child;

	for (uint64_t i = 0; i < TG; i++)
		list[i] = htobe64((GPA + i * PG) | R);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_true(hypercalls(r)); /* the first use of each entry */
	slow = in_tier(r, TCE_SLOW);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 1), 0); /* read by a system call */
	assert_int_equal(in_tier(r, TCE_SLOW), slow + 1);
	assert_int_equal(fault_handler_install(NULL), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 1), 0);
	assert_int_equal(in_tier(r, TCE_SLOW), slow + 1);
	child = fork();
	if (!child) {
#ifdef SANITIZED
		_exit(hypercalls(r) ? 0 : 1);
#else
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
		syscall(SYS_exit, hypercalls(r) ? 0 : 1);
#endif
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close_fd(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = { RIG(test_no_system_call) };

	return cmocka_run_group_tests_name("kvm_spapr_strict", tests, NULL, NULL);
}
