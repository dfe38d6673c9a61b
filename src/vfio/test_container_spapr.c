/* SPDX-License-Identifier: BSD-2-Clause */
/* The ioctls of an sPAPR TCE container: sizes, flags, the order of the checks, what is copied back. */
#include "vfio/test_spapr.h"

#include "file/fdtable.h"

#include <sys/prctl.h>
#include <sys/wait.h>

/* ---- which types there are */

static void test_extensions(void **state)
{
	struct client *t = *state;

	for (int set = 0; set < 2; set++) {
		int c = set ? t->c : open_container(t->bench);

		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_IOMMU), 1);
		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU), 1);
		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_EEH), 1);
		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 0);
		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU), 0);
		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_DMA_CC_IOMMU), 0);
		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL), 0);
		assert_int_equal(call(c, VFIO_CHECK_EXTENSION, 77), 0);
		if (!set)
			close_fd(c);
	}
}

static void test_set_iommu(void **state)
{
	struct client *t = *state;
	int c = open_container(t->bench), g = open_group(t->bench, 2);

	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &c), 0);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), -ENODEV);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_EEH), -EINVAL);
	assert_int_equal(call(c, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), 0);
	close_fd(g);
	close_fd(c);
}

/* Without dynamic windows v2 is refused, and v1 can be asked for next. */
static void test_version_1(void **state)
{
	struct spapr_params hw;
	struct client *t;

	spapr_params_default(&hw);
	hw.max_windows = 0;
	t = client_new(&hw);
	*state = t;
	t->c = open_container(t->bench);
	t->g = open_group(t->bench, 1);
	assert_int_equal(call_ptr(t->g, VFIO_GROUP_SET_CONTAINER, &t->c), 0);
	assert_int_equal(call(t->c, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU), 1);
	assert_int_equal(call(t->c, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU), -EINVAL);
	assert_int_equal(call(t->c, VFIO_SET_IOMMU, VFIO_SPAPR_TCE_IOMMU), 0);
	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), 0);
}

static void test_groups(void **state)
{
	struct client *t = *state;
	int g = open_group(t->bench, 2);

	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &t->c), 0);
	assert_ptr_equal(domain_of(t->bench, 2), domain_of(t->bench, 0));
	close_fd(g);
	assert_null(domain_of(t->bench, 2));
}

static void test_one_group_v1(void **state)
{
	struct client *t = *state;
	int g = open_group(t->bench, 2);

	assert_int_equal(call_ptr(g, VFIO_GROUP_SET_CONTAINER, &t->c), -EBUSY);
	close_fd(g);
}

/* ---- arguments: each one byte short, as it is, one byte long; flags; no memory there */

static const struct {
	uint32_t cmd, minsz;
	bool flags; /* are checked */
	unsigned int versions;
} structures[] = {
	{ VFIO_IOMMU_SPAPR_TCE_GET_INFO, 16, false, 3 },
	{ VFIO_IOMMU_MAP_DMA, 32, true, 3 },
	{ VFIO_IOMMU_UNMAP_DMA, 24, true, 3 },
	{ VFIO_EEH_PE_OP, 12, true, 3 },
	{ VFIO_IOMMU_SPAPR_REGISTER_MEMORY, 24, true, 2 },
	{ VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 24, true, 2 },
	{ VFIO_IOMMU_SPAPR_TCE_CREATE, 40, true, 2 },
	{ VFIO_IOMMU_SPAPR_TCE_REMOVE, 16, true, 2 },
};

/* A structure whose other members are zero: what each says when size and flags are right. v2 has no window.
 */
static long plain_answer(uint32_t cmd, unsigned int version)
{
	switch (cmd) {
	case VFIO_IOMMU_MAP_DMA: /* no flag: no direction */
		return version == 2 ? -ENXIO : -EINVAL;
	case VFIO_IOMMU_UNMAP_DMA:
		return version == 2 ? -ENXIO : 0;
	case VFIO_IOMMU_SPAPR_TCE_CREATE:
	case VFIO_IOMMU_SPAPR_TCE_REMOVE:
		return -EINVAL;
	case VFIO_IOMMU_SPAPR_REGISTER_MEMORY:
		return -ENOMEM; /* size 0 */
	case VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY:
		return -ENOENT;
	default:
		return 0;
	}
}

static void check_structures(struct client *t, unsigned int version)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(structures); i++) {
		const uint32_t minsz = structures[i].minsz;
		char *page = t->memory + PG; /* nothing behind it */
		uint32_t *arg = (void *)(page - minsz);

		if (!(structures[i].versions & version)) {
			assert_int_equal(call(t->c, structures[i].cmd, 0), -ENOTTY);
			continue;
		}
		memset(t->memory, 0, PG);
		assert_int_equal(mprotect(page, PG, PROT_NONE), 0);
		arg[0] = minsz;
		assert_int_equal(call_ptr(t->c, structures[i].cmd, arg),
				 plain_answer(structures[i].cmd, version));
		assert_int_equal(call_ptr(t->c, structures[i].cmd, arg + 1), -EFAULT);
		assert_int_equal(call(t->c, structures[i].cmd, 0), -EFAULT);
		arg[0] = minsz - 1;
		assert_int_equal(call_ptr(t->c, structures[i].cmd, arg), -EINVAL);
		arg[0] = 0;
		assert_int_equal(call_ptr(t->c, structures[i].cmd, arg), -EINVAL);
		arg[0] = minsz + 1;
		assert_int_equal(call_ptr(t->c, structures[i].cmd, arg),
				 plain_answer(structures[i].cmd, version));
		assert_int_equal(mprotect(page, PG, PROT_READ | PROT_WRITE), 0);
		arg[1] = 4;
		assert_int_equal(call_ptr(t->c, structures[i].cmd, arg), structures[i].flags ? -EINVAL : 0);
	}
}

static void test_structures_v1(void **state)
{
	struct client *t = *state;

	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), 0);
	check_structures(t, 1);
}

static void test_structures_v2(void **state)
{
	struct client *t = *state;

	assert_int_equal(reg(t, t->memory, PG, true), 0);
	assert_int_equal(remove_at(t, 0), 0);
	check_structures(t, 2);
	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), -ENOTTY);
	assert_int_equal(call(t->c, VFIO_IOMMU_DISABLE, 0), -ENOTTY);
}

/* ---- GET_INFO */

static void check_info(const struct client *t, bool v2)
{
	struct vfio_iommu_spapr_tce_info info;
	const size_t ddw = offsetof(struct vfio_iommu_spapr_tce_info, ddw);

	for (uint32_t argsz = 16; argsz <= sizeof(info) + 1; argsz++) {
		memset(&info, 0xa5, sizeof(info));
		info.argsz = argsz;
		assert_int_equal(call_ptr(t->c, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), 0);
		assert_int_equal(info.argsz, argsz);
		assert_int_equal(info.flags, v2 ? VFIO_IOMMU_SPAPR_INFO_DDW : 0);
		assert_int_equal(info.dma32_window_start, 0);
		assert_int_equal(info.dma32_window_size, DEFAULT);
		if (argsz < sizeof(info)) {
			for (size_t i = ddw; i < sizeof(info); i++)
				assert_int_equal(((unsigned char *)&info)[i], 0xa5);
			continue;
		}
		assert_int_equal(info.ddw.pgsizes, v2 ? 0x401011000 : 0);
		assert_int_equal(info.ddw.max_dynamic_windows_supported, v2 ? 2 : 0);
		assert_int_equal(info.ddw.levels, v2 ? 5 : 0);
	}
}

static void test_info_v1(void **state)
{
	check_info(*state, false);
}

static void test_info_v2(void **state)
{
	check_info(*state, true);
}

/* ---- v1 */

static void test_enable(void **state)
{
	struct client *t = *state;
	const uint64_t window_pages = DEFAULT / PG, table_pages = 2 * window_pages * 8 / PG;

	assert_int_equal(map(t->c, 0, t->memory, PG, RW), -EPERM);
	assert_int_equal(map(t->c, 0, t->memory, PG, 77), -EPERM);
	assert_int_equal(unmap_all(t, 0, PG), -EPERM);
	assert_int_equal(call(t->c, VFIO_IOMMU_MAP_DMA, 0), -EPERM);
	assert_int_equal(call(t->c, VFIO_IOMMU_DISABLE, 0), 0);
	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), -EBUSY);
	assert_int_equal(t->mm->locked_pages, window_pages);
	assert_int_equal(map(t->c, 0, t->memory, PG, RW), 0);
	assert_int_equal(t->mm->locked_pages, window_pages + table_pages);
	assert_int_equal(call(t->c, VFIO_IOMMU_DISABLE, 0), 0);
	assert_int_equal(call(t->c, VFIO_IOMMU_DISABLE, 0), 0);
	assert_int_equal(t->mm->locked_pages, table_pages);
	assert_int_equal(unmap_all(t, 0, PG), -EPERM);
	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(unmap_all(t, 0, PG), 0);
}

static void test_enable_limited(void **state)
{
	struct client *t = *state;

	t->bench->params.memlock_pages = DEFAULT / PG - 1;
	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), -ENOMEM);
	assert_int_equal(t->mm->locked_pages, 0);
	assert_int_equal(map(t->c, 0, t->memory, PG, RW), -EPERM);
	t->bench->params.memlock_pages = DEFAULT / PG;
	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(map(t->c, 0, t->memory, PG, RW), -ENOMEM); /* the table */
	t->bench->params.memlock_pages = UINT64_MAX;
	assert_int_equal(map(t->c, 0, t->memory, PG, RW), 0);
}

static void test_map_v1(void **state)
{
	struct client *t = *state;
	char *memory = t->memory;

	assert_int_equal(call(t->c, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(map(t->c, 3 * PG, memory, 4 * PG, RW), 0);
	assert_int_equal(translated(t, 4 * PG + 5, IOMMU_WRITE), (uintptr_t)memory + PG + 5);
	assert_int_equal(map(t->c, 3 * PG, memory + PG, PG, VFIO_DMA_MAP_FLAG_READ), 0); /* replaces */
	assert_int_equal(translated(t, 3 * PG, IOMMU_READ), (uintptr_t)memory + PG);
	assert_int_equal(translated(t, 3 * PG, IOMMU_WRITE), 0);
	assert_int_equal(map(t->c, 3 * PG, memory, PG, VFIO_DMA_MAP_FLAG_WRITE), 0); /* reads, too */
	assert_int_equal(translated(t, 3 * PG, RW), (uintptr_t)memory);
	/* A page in the middle is not there: none of those before it is mapped then, even where one was. */
	assert_int_equal(mprotect(memory + 2 * PG, PG, PROT_READ), 0);
	assert_int_equal(map(t->c, 3 * PG, memory, 4 * PG, RW), -EFAULT);
	assert_int_equal(translated(t, 3 * PG, 0), 0);
	assert_int_equal(translated(t, 4 * PG, 0), 0);
	assert_int_equal(translated(t, 5 * PG, 0), (uintptr_t)memory + 2 * PG);
	assert_int_equal(map(t->c, 3 * PG, memory, 4 * PG, VFIO_DMA_MAP_FLAG_READ), 0);
	assert_int_equal(mprotect(memory + 2 * PG, PG, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(map(t->c, 0, (void *)(UINT64_MAX - PG + 1), PG, RW), -EFAULT);
	assert_int_equal(unmap_all(t, 0, DEFAULT), 0);
	assert_int_equal(translated(t, 6 * PG, 0), 0);
}

/* ---- another process */

static long call_as(int fd, struct mm *mm, unsigned long cmd, const void *arg)
{
	struct caller caller = self_caller;
	struct file *file = fdtable_get(fd);
	long rc;

	caller.mm = mm;
	rc = file_ioctl(file, &caller, (uint32_t)cmd, (uintptr_t)arg);
	file_put(file);
	return rc;
}

/* In a child: to its end, or its parent's. */
static void wait_for_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() != 1)
		pause();
	_exit(1);
}

/* A process registers, and is killed: its memory stays charged to it until the container goes. */
static void test_other_process(void **state)
{
	struct client *t = *state;
	struct vfio_iommu_spapr_register_memory arg = { sizeof(arg), 0, (uintptr_t)t->memory, 4 * PG };
	struct vfio_iommu_spapr_tce_info info = { .argsz = sizeof(info) };
	struct vfio_iommu_type1_dma_map dma = { sizeof(dma), RW, (uintptr_t)t->memory, 0, PG };
	struct mm *mm;
	pid_t child = fork();
	char byte = 0;

	if (!child)
		wait_for_parent();
	assert_int_equal(mm_of_pid(child, &mm), 0);
	assert_int_equal(call_as(t->c, mm, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &arg), 0);
	assert_int_equal(call_as(t->c, mm, VFIO_IOMMU_MAP_DMA, &dma), 0);
	assert_int_equal(reg(t, t->memory, PG, true), -EPERM);
	assert_int_equal(call_ptr(t->c, VFIO_IOMMU_SPAPR_TCE_GET_INFO, &info), -EPERM);
	assert_int_equal(call(t->c, 0x1234, 0), -EPERM);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	assert_true(mm_is_gone(mm));
	assert_int_equal(t->mm->locked_pages, 0);
	assert_true(mm->locked_pages >= 4);
	assert_int_equal(reg(t, t->memory, PG, true), -EPERM); /* it serves that one, who is gone */
	assert_int_equal(mm_read(mm, &byte, (uintptr_t)t->memory, 1), -EFAULT);
	close_fd(t->c);
	close_fd(t->g);
	t->c = t->g = 0;
	assert_int_equal(mm->locked_pages, 0);
	mm_put(mm);
}

/* Whom a container serves is settled before the argument is looked at. */
static void test_served_by_mistake(void **state)
{
	static const uint32_t settling[] = { VFIO_IOMMU_SPAPR_REGISTER_MEMORY, VFIO_IOMMU_SPAPR_TCE_CREATE,
					     VFIO_IOMMU_SPAPR_TCE_REMOVE };
	static const uint32_t others[] = { VFIO_IOMMU_MAP_DMA, VFIO_IOMMU_UNMAP_DMA,
					   VFIO_IOMMU_SPAPR_TCE_GET_INFO, VFIO_EEH_PE_OP,
					   VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY };
	struct client *t = *state;
	struct mm *mm;
	pid_t child = fork();

	if (!child)
		wait_for_parent();
	assert_int_equal(mm_of_pid(child, &mm), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(settling); i++) {
		assert_int_equal(call(t->c, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 0), -EPERM);
		for (unsigned int k = 0; k < ARRAY_SIZE(others); k++)
			call_as(t->c, mm, others[k], NULL);
		assert_int_equal(call(t->c, settling[i], 0), -EFAULT);
		assert_int_equal(call_as(t->c, mm, settling[i], NULL), -EPERM);
		assert_int_equal(call_as(t->c, mm, VFIO_EEH_PE_OP, NULL), -EPERM);
		assert_int_equal(call(t->c, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, 0), -EFAULT);
		close_fd(t->c);
		close_fd(t->g);
		open_all(t->bench, 1, VFIO_SPAPR_TCE_v2_IOMMU, &t->c, &t->g);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	mm_put(mm);
}

/* ---- EEH */

static void test_eeh(void **state)
{
	struct client *t = *state;
	struct vfio_eeh_pe_op inject = { .argsz = sizeof(inject), .op = VFIO_EEH_PE_INJECT_ERR };

	assert_int_equal(eeh(t, VFIO_EEH_PE_ENABLE), 0);
	assert_int_equal(eeh(t, VFIO_EEH_PE_GET_STATE), VFIO_EEH_PE_STATE_NORMAL);
	assert_int_equal(eeh(t, VFIO_EEH_PE_UNFREEZE_IO), 0);
	assert_int_equal(eeh(t, VFIO_EEH_PE_UNFREEZE_DMA), 0);
	assert_int_equal(eeh(t, VFIO_EEH_PE_RESET_HOT), 0);
	assert_int_equal(t->bench->fake[0].resets, 1);
	assert_int_equal(t->bench->fake[1].resets, 1);
	assert_int_equal(t->bench->fake[2].resets, 0); /* in another group */
	assert_int_equal(eeh(t, VFIO_EEH_PE_GET_STATE), VFIO_EEH_PE_STATE_RESET);
	assert_int_equal(eeh(t, VFIO_EEH_PE_RESET_DEACTIVATE), 0);
	assert_int_equal(eeh(t, VFIO_EEH_PE_GET_STATE), VFIO_EEH_PE_STATE_NORMAL);
	assert_int_equal(eeh(t, VFIO_EEH_PE_RESET_FUNDAMENTAL), 0);
	assert_int_equal(eeh(t, VFIO_EEH_PE_RESET_DEACTIVATE), 0);
	assert_int_equal(t->bench->fake[0].resets, 2);
	assert_int_equal(eeh(t, VFIO_EEH_PE_CONFIGURE), 0);
	assert_int_equal(eeh(t, VFIO_EEH_PE_DISABLE), 0);
	assert_int_equal(eeh(t, 10), -EINVAL);
	assert_int_equal(call_ptr(t->c, VFIO_EEH_PE_OP, &inject), -ENXIO);
	inject.err.type = 2;
	assert_int_equal(call_ptr(t->c, VFIO_EEH_PE_OP, &inject), -ERANGE);
	inject.err.func = 20;
	assert_int_equal(call_ptr(t->c, VFIO_EEH_PE_OP, &inject), -EINVAL);
	inject.err = (struct vfio_eeh_pe_err){ .type = 1, .func = 19 };
	assert_int_equal(call_ptr(t->c, VFIO_EEH_PE_OP, &inject), -ENXIO);
	inject.argsz = 39;
	assert_int_equal(call_ptr(t->c, VFIO_EEH_PE_OP, &inject), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		V1(test_extensions),    V2(test_extensions),    V2(test_set_iommu),
		ANY(test_version_1),    V2(test_groups),        V1(test_one_group_v1),
		V1(test_structures_v1), V2(test_structures_v2), V1(test_info_v1),
		V2(test_info_v2),       V1(test_enable),        V1(test_enable_limited),
		V1(test_map_v1),        V2(test_other_process), V2(test_served_by_mistake),
		V1(test_eeh),           V2(test_eeh),
	};

	return cmocka_run_group_tests_name("container_spapr", tests, NULL, NULL);
}
