/* SPDX-License-Identifier: BSD-2-Clause */
/* Each mistake with an sPAPR TCE container has its reason in the trace; groups of mediated devices have none.
 */
#include "vfio/test_spapr.h"

#include "base/why.h"
#include "file/fdtable.h"

#include <fcntl.h>

static char trace[] = "/tmp/spapr-why-XXXXXX";

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
	int fd = mkstemp(strcpy(trace, "/tmp/spapr-why-XXXXXX"));

	assert_true(fd >= 0);
	close(fd);
	setup_v2(state);
	return trace_start(0, TRACE_IOCTL, trace);
}

static int traced_v1(void **state)
{
	int rc = traced(state);
	struct client *t = *state;

	close_fd(t->g);
	close_fd(t->c);
	open_all(t->bench, 1, VFIO_SPAPR_TCE_IOMMU, &t->c, &t->g);
	return rc;
}

static int untraced(void **state)
{
	trace_start(0, 0, NULL);
	unlink(trace);
	return teardown(state);
}

/* What the last call was refused with was traced with its name here, which other requests have the number of.
 */
static void named(long rc, long error, const char *name, const char *why)
{
	static char text[1 << 16];
	int fd = open(trace, O_RDWR);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	assert_int_equal(rc, error);
	assert_true(n > 0);
	text[n] = 0;
	if (!strstr(text, name) || !strstr(text, why))
		fail_msg("neither %s nor %s in %s", name, why, text);
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
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

/* What is printed about a device's access. */
static void faults(struct client *t, uint64_t iova, bool write, const char *line)
{
	struct iommu_dev *dev = &t->bench->fake[0].iommu_dev;
	struct uvfio_dma *dma = dma_user_new(dev, NULL);
	int fd = memfd_create("stderr", 0), err = dup(STDERR_FILENO);
	char text[1024] = "", byte = 0;

	atomic_store(&dev->enabled, true);
	assert_true(fd >= 0 && err >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	dma_begin(dma);
	assert_int_equal(write ? dma_write(dma, iova, &byte, 1, "test") : dma_read(dma, iova, &byte, 1, NULL),
			 -EFAULT);
	dma_end(dma);
	dup2(err, STDERR_FILENO);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	if (!strstr(text, line))
		fail_msg("%s, not %s", text, line);
	close(fd);
	close(err);
	dma_user_free(dma);
}

static void test_faults(void **state)
{
	struct client *t = *state;

	faults(t, 0x1000, false,
	       "DMA fault: read of 1 bytes at IOVA 0x1000 failed at 0x1000: nothing is mapped there; map it "
	       "with VFIO_IOMMU_MAP_DMA or H_PUT_TCE, and unmap it only when the device is done with it; no "
	       "DMA window has been made yet: the default one is made by the first VFIO_IOMMU_MAP_DMA or "
	       "VFIO_IOMMU_SPAPR_TCE_CREATE\n");
	assert_int_equal(reg(t, t->memory, PG, true), 0);
	assert_int_equal(map(t->c, 0x2000, t->memory, PG, VFIO_DMA_MAP_FLAG_READ), 0);
	faults(t, 0x2008, true,
	       "(test): the mapping does not allow it; map with VFIO_DMA_MAP_FLAG_WRITE, or bit 1 of the "
	       "TCE; "
	       "the entry [0x2000-0x2fff] of its DMA window is for reading only\n");
	faults(t, 0x3000, false, "; it is in the DMA window [0-0x7fffffff], which has no entry for it\n");
	assert_int_equal(remove_at(t, 0), 0);
	faults(t, 0x4000, false, "; there is no DMA window: all have been removed\n");
}

static void test_words(void **state)
{
	struct client *t = *state;

	assert_int_equal(reg(t, t->memory, 2 * PG, true), 0);
	assert_int_equal(map(t->c, 0, t->memory, PG, RW), 0);
	wrong(reg(t, t->memory, 2 * PG, false), -EBUSY);
	assert_string_equal(why_text(), "1 entry of a TCE table points into it");
	assert_int_equal(map(t->c, PG, t->memory, PG, RW), 0);
	wrong(reg(t, t->memory, 2 * PG, false), -EBUSY);
	assert_string_equal(why_text(), "2 entries of TCE tables point into it");
	wrong(create(t, 12, PG / 2, 1, NULL), -EINVAL);
	assert_non_null(strstr(why_text(), "no table has 1 level for 0x800 bytes"));
	assert_int_equal(create(t, 16, MIB, 1, NULL), 0);
	assert_int_equal(reg(t, t->memory + 16 * PG, 17 * PG, true), 0);
	wrong(map(t->c, HIGH, t->memory + 16 * PG, 16 * PG, RW), -EINVAL);
	assert_non_null(strstr(why_text(), "is for pages of 2^12, the window has 2^16: larger ones take "
					   "--iommu ram-page=, and memory that is aligned so"));
}

#define REGISTER "VFIO_IOMMU_SPAPR_REGISTER_MEMORY"

static void test_v1_has_no_v2_requests(void **state)
{
	static const char why[] = "_MEMORY is for SPAPR_TCE_v2_IOMMU; this container is v1: ";
	struct client *t = *state;

	named(reg(t, t->memory, PG, true), -ENOTTY, "\"" REGISTER, why);
	named(reg(t, t->memory, PG, false), -ENOTTY, "\"VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY", why);
	named(create(t, 12, MIB, 1, NULL), -ENOTTY, "\"VFIO_IOMMU_SPAPR_TCE_CREATE",
	      "TCE_CREATE is for SPAPR_TCE_v2_IOMMU; this");
	named(remove_at(t, 0), -ENOTTY, "\"VFIO_IOMMU_SPAPR_TCE_REMOVE", "whose default window stays");
}

static void test_v2_has_no_v1_requests(void **state)
{
	struct client *t = *state;

	named(call(t->c, VFIO_IOMMU_ENABLE, 0), -ENOTTY, "\"VFIO_IOMMU_ENABLE",
	      " is for SPAPR_TCE_IOMMU (v1); this container is v2, which registers memory instead");
	named(call(t->c, VFIO_IOMMU_DISABLE, 0), -ENOTTY, "\"VFIO_IOMMU_DISABLE", "this container is v2");
}

static void test_too_early(void **state)
{
	struct client *t = *state, early = *t;

	early.c = open_container(t->bench);
	named(reg(&early, t->memory, PG, true), -EINVAL, "\"" REGISTER, "VFIO_SET_IOMMU comes first");
	named(create(&early, 12, MIB, 1, NULL), -EINVAL, "\"VFIO_IOMMU_SPAPR_TCE_CREATE", "no IOMMU is set");
	named(call(early.c, VFIO_IOMMU_SPAPR_TCE_GET_INFO, 0), -EINVAL, "\"VFIO_IOMMU_SPAPR_TCE_GET_INFO",
	      "no IOMMU is set");
	close_fd(early.c);
}

static void test_other_process(void **state)
{
	struct client *t = *state;
	struct mm *mm = self_caller.mm;

	assert_int_equal(reg(t, t->memory, PG, true), 0);
	assert_int_equal(mm_of_pid(getppid(), &self_caller.mm), 0);
	named(reg(t, t->memory, PG, true), -EPERM, "\"" REGISTER, "the container serves another process");
	named(remove_at(t, 0), -EPERM, "\"VFIO_IOMMU_SPAPR_TCE_REMOVE", "serves another process");
	mm_put(self_caller.mm);
	self_caller.mm = mm;
}

#define TRACED(test) cmocka_unit_test_setup_teardown(test, traced, untraced)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TRACED(test_memory),
		TRACED(test_windows),
		TRACED(test_mediated),
		cmocka_unit_test_setup_teardown(test_v1_has_no_v2_requests, traced_v1, untraced),
		TRACED(test_v2_has_no_v1_requests),
		TRACED(test_too_early),
		TRACED(test_other_process),
		TRACED(test_faults),
		TRACED(test_words),
	};

	return cmocka_run_group_tests_name("spapr_why", tests, NULL, NULL);
}
