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

#define TRACED(test) cmocka_unit_test_setup_teardown(test, traced, untraced)

int main(void)
{
	const struct CMUnitTest tests[] = { TRACED(test_tables), TRACED(test_groups) };

	return cmocka_run_group_tests_name("kvm_spapr_why", tests, NULL, NULL);
}
