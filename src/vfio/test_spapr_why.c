/* SPDX-License-Identifier: BSD-2-Clause */
/* Each mistake with an sPAPR TCE container has its reason in the trace; groups of mediated devices have none.
 */
#include "vfio/test_spapr.h"

#include "base/why.h"

static const struct vfio_device_ops mdev_ops = { .name = "test" };

static long wrong(long rc, long error)
{
	assert_int_equal(rc, error);
	if (!*why_text())
		fail_msg("%ld has no reason", rc);
	return rc;
}

static int traced(void **state)
{
	setup_v2(state);
	return trace_start(0, TRACE_IOCTL, "/dev/null");
}

static int untraced(void **state)
{
	trace_start(0, 0, NULL);
	return teardown(state);
}

static void test_memory(void **state)
{
	struct client *t = *state;

	wrong(reg(t, t->memory, PG, false), -EPERM);
	wrong(map(t->c, 0, t->memory, PG, RW), -EPERM);
	wrong(reg(t, t->memory + 1, PG, true), -EINVAL);
	wrong(reg(t, t->memory, 0, true), -ENOMEM);
	wrong(reg(t, (void *)PG, PG, true), -EFAULT);
	assert_int_equal(reg(t, t->memory, 4 * PG, true), 0);
	wrong(reg(t, t->memory, 4 * PG, true), -EBUSY);
	wrong(reg(t, t->memory, 2 * PG, true), -EINVAL);
	wrong(reg(t, t->memory, 2 * PG, false), -ENOENT);
	wrong(reg(t, t->memory, PG + 1, false), -EINVAL);
	assert_int_equal(map(t->c, 0, t->memory, PG, RW), 0);
	wrong(reg(t, t->memory, 4 * PG, false), -EBUSY);
	t->bench->params.memlock_pages = 5;
	wrong(reg(t, t->memory + 8 * PG, 4 * PG, true), -ENOMEM);
}

static void test_windows(void **state)
{
	struct client *t = *state;
	uint64_t start;

	assert_int_equal(reg(t, t->memory, 4 * PG, true), 0);
	wrong(create(t, 13, MIB, 1, &start), -EINVAL);
	wrong(create(t, 12, MIB + 1, 1, &start), -EINVAL);
	wrong(create(t, 12, BIT64(40), 1, &start), -ENOMEM);
	assert_int_equal(create(t, 12, MIB, 1, &start), 0);
	wrong(create(t, 12, MIB, 1, &start), -ENOSPC);
	wrong(remove_at(t, HIGH * 2), -EINVAL);
	wrong(map(t->c, HIGH * 2, t->memory, PG, RW), -ENXIO);
	wrong(map(t->c, 1, t->memory, PG, RW), -EINVAL);
	wrong(map(t->c, 0, t->memory, PG, 0), -EINVAL);
	wrong(map(t->c, 0, t->memory, PG, 8), -EINVAL);
	wrong(map(t->c, HIGH, t->memory, 2 * MIB, RW), -EINVAL);
	wrong(map(t->c, 0, t->memory + 4 * PG, PG, RW), -EINVAL);
	wrong(unmap_all(t, HIGH, 2 * MIB), -EINVAL);
	wrong(eeh(t, 77), -EINVAL);
	wrong(call(t->c, VFIO_IOMMU_SPAPR_TCE_CREATE, 0), -EFAULT);
}

/* No container of this kind takes them, whether it has its type already or not. */
static void test_mediated(void **state)
{
	struct client *t = *state;
	struct vfio_device mdev = { .ops = &mdev_ops, .name = "mdev" };
	int c = open_container(t->bench), g;

	assert_int_equal(vfio_register_emulated_iommu_dev(t->bench->vfio, &mdev, 20, VFIO_ANY_INDEX), 0);
	g = open_group(t->bench, 20);
	wrong(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &t->c), -EINVAL);
	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	wrong(call(c, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), -EINVAL);
	wrong(call(c, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), -EINVAL);
	close_fd(g);
	close_fd(c);
	vfio_unregister_device(&mdev);
}

#define TRACED(test) cmocka_unit_test_setup_teardown(test, traced, untraced)

int main(void)
{
	const struct CMUnitTest tests[] = { TRACED(test_memory), TRACED(test_windows),
					    TRACED(test_mediated) };

	return cmocka_run_group_tests_name("spapr_why", tests, NULL, NULL);
}
