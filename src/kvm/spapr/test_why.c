/* SPDX-License-Identifier: BSD-2-Clause */
/* Each mistake with a PAPR guest's VM has its reason in the trace. */
#include "kvm/spapr/test_rig.h"

#define TG (MIB / PG)

static void wrong(long rc, long error)
{
	assert_int_equal(rc, error);
	if (!*why_text())
		fail_msg("%ld has no reason", rc);
}

static int traced(void **state)
{
	rig_setup(state);
	return trace_start(0, TRACE_IOCTL, "/dev/null");
}

static int untraced(void **state)
{
	trace_start(0, 0, NULL);
	return rig_teardown(state);
}

static void test_tables(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_PPC_ENABLE_HCALL, .args = { UVFIO_H_PUT_TCE, 2 } };

	wrong(create_table(r, 1, 11, 0, 1), -EINVAL);
	wrong(create_table(r, LIOBN, 12, 0, TG), -EBUSY);
	wrong(create_table(r, 1, 12, 0, BIT64(51)), -ENOMEM);
	wrong(call_ptr(r->vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	cap.args[1] = 1;
	cap.args[0] = 4;
	wrong(call_ptr(r->vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	cap.flags = 1;
	wrong(call_ptr(r->vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	cap = (struct kvm_enable_cap){ .cap = 1 };
	wrong(call_ptr(r->vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	wrong(call(r->sys, KVM_CREATE_VM, 2), -EINVAL);
	close_fd(fd);
}

static void test_groups(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG), other = (int)create_table(r, 2, 12, 1, 1);
	int device = get_device(r->t->g, NAME_A);

	wrong(set_attr(r, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, (void *)8), -EFAULT);
	wrong(tie(r, 9999, fd), -EBADF);
	wrong(tie(r, STDIN_FILENO, fd), -ENOENT);
	wrong(tie(r, r->t->g, fd), -ENOENT);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(add_group(r, device), 0);
	wrong(tie(r, device, fd), -EIO);
	wrong(tie(r, r->t->g, 9999), -EBADF);
	wrong(tie(r, r->t->g, STDIN_FILENO), -EINVAL);
	wrong(tie(r, r->t->g, r->t->c), -EINVAL);
	wrong(tie(r, r->t->g, other), -EINVAL);
	assert_int_equal(del_group(r, device), 0);
	close_fd(device);
	close_fd(other);
	close_fd(fd);
}

/* Those that are the program's, or a mistake of the guest's. */
static void test_hypercalls(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG);
	const struct {
		uint64_t number, ioba, a, b;
		long answer;
		const char *why;
	} cases[] = {
		{ UVFIO_H_PUT_TCE, 1, 0, 0, UVFIO_H_PARAMETER, "0x1 pages of 2^12 at 0x1 are not in" },
		{ UVFIO_H_GET_TCE, MIB, 0, 0, UVFIO_H_PARAMETER, "0x100 pages from 0x0 on" },
		{ UVFIO_H_PUT_TCE, 0, 0x103, 0, UVFIO_H_TOO_HARD, "TCE 0x103 is not the address of a page" },
		{ UVFIO_H_PUT_TCE, 0, 0x1003, 0, UVFIO_H_TOO_HARD,
		  "no memory slot has guest address 0x1000" },
		{ UVFIO_H_PUT_TCE, 0, (GPA + 16 * MIB) | 3, 0, UVFIO_H_TOO_HARD, "is not registered with" },
		{ UVFIO_H_STUFF_TCE, 0, 1, 1, UVFIO_H_PARAMETER, "TCE 0x1 has permissions" },
		{ UVFIO_H_STUFF_TCE, 0, 0, 257, UVFIO_H_PARAMETER, "0x101 pages" },
		{ UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 513, UVFIO_H_PARAMETER, "513 entries, at most 512" },
		{ UVFIO_H_PUT_TCE_INDIRECT, 0, GPA + 8, 1, UVFIO_H_PARAMETER, "does not begin a page" },
		{ UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 257, UVFIO_H_PARAMETER, "0x101 pages" },
		{ UVFIO_H_PUT_TCE_INDIRECT, 0, 0, 1, UVFIO_H_TOO_HARD, "no memory slot" },
	};
	uint64_t args[] = { LIOBN + 1, 0, 0 };

	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(hcall(r, cases[i].number, cases[i].ioba, cases[i].a, cases[i].b),
				 cases[i].answer);
		if (!strstr(why_text(), cases[i].why))
			fail_msg("\"%s\" is not in \"%s\"", cases[i].why, why_text());
	}
	wrong(kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL), UVFIO_H_TOO_HARD);
	assert_int_equal(get(r, 0, NULL), 0);
	assert_string_equal(why_text(), "");
	assert_int_equal(del_group(r, r->t->g), 0);
	close_fd(fd);
}

static void test_first_version(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 16, 0, DEFAULT >> 16);

	assert_int_equal(call(r->t->c, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(map(r->t->c, 0, r->t->memory, 64 << 10, RW), 0); /* which makes the window */
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, i ? 0 : GPA | 3, 0), UVFIO_H_TOO_HARD);
		assert_non_null(strstr(why_text(), "of the first version"));
	}
	assert_int_equal(del_group(r, r->t->g), 0);
	close_fd(fd);
}

static int traced_v1(void **state)
{
	rig_setup_type(state, VFIO_SPAPR_TCE_IOMMU);
	return trace_start(0, TRACE_IOCTL, "/dev/null");
}

#define TRACED(test) cmocka_unit_test_setup_teardown(test, traced, untraced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TRACED(test_tables),
		TRACED(test_groups),
		TRACED(test_hypercalls),
		cmocka_unit_test_setup_teardown(test_first_version, traced_v1, untraced),
	};

	return cmocka_run_group_tests_name("kvm_spapr_why", tests, NULL, NULL);
}
