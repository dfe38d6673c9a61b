/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's devices: what is mapped in an IOAS is what they reach, and nothing else is. */
#include "iommufd/test_bench.h"

#include "iommu/dma.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE ((uint64_t)0x40000000)

struct emulated {
	struct bench *b;
	struct iommu_dev iommu_dev;
	struct iommufd_emulated_dev dev;
	struct iommufd_device *idev;
	uint32_t id;
	struct uvfio_dma *dma;
};

/* Where there is no domain, faults are not what is tested here. */
static int setup(void **state)
{
	struct emulated *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	bench_setup((void **)&e->b);
	iommu_dev_init(&e->iommu_dev, "0000:00:01.0");
	atomic_store(&e->iommu_dev.enabled, true);
	atomic_store(&e->iommu_dev.gone, true); /* there it faults without a word */
	iommufd_emulated_dev_init(&e->dev, &e->iommu_dev, &e->b->groups[0], &e->b->params);
	assert_int_equal(iommufd_device_bind(e->b->ctx, &e->dev.hw, &e->idev, &e->id), 0);
	e->dma = dma_user_new(&e->iommu_dev, NULL);
	assert_non_null(e->dma);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct emulated *e = *state;

	iommufd_device_detach(e->idev, IOMMU_NO_PASID);
	iommufd_device_unbind(e->idev);
	dma_user_free(e->dma);
	iommu_dev_destroy(&e->iommu_dev);
	bench_teardown((void **)&e->b);
	free(e);
	return 0;
}

static uint32_t attach_to(struct emulated *e, uint32_t pt)
{
	assert_int_equal(iommufd_device_attach(e->idev, IOMMU_NO_PASID, &pt), 0);
	return pt;
}

static int read_byte(struct emulated *e, uint64_t iova)
{
	unsigned char c;
	int rc = dma_read(e->dma, iova, &c, 1, "test");

	return rc ? rc : c;
}

static void test_dma(void **state)
{
	struct emulated *e = *state;
	struct bench *b = e->b;
	uint32_t ioas = ioas_new(b);

	memset(b->memory, 0x11, PG);
	memset(b->memory + PG, 0x22, PG);
	assert_true(read_byte(e, BASE) < 0);
	assert_int_equal(map(b, ioas, BASE, 1), 0);
	assert_true(read_byte(e, BASE) < 0);
	attach_to(e, ioas);
	assert_int_equal(read_byte(e, BASE), 0x11);
	assert_true(read_byte(e, BASE + PG) < 0);
	assert_int_equal(map_va(b, ioas, BASE + PG, b->va + PG, PG), 0);
	assert_int_equal(read_byte(e, BASE + PG), 0x22);
	assert_int_equal(dma_write(e->dma, BASE + PG - 1, "xy", 2, "test"), 0);
	assert_memory_equal(b->memory + PG - 1, "xy", 2);
	assert_int_equal(unmap(b, ioas, BASE, PG), 0);
	assert_true(read_byte(e, BASE) < 0);
	assert_int_equal(read_byte(e, BASE + PG + 1), 0x22);
	iommufd_device_detach(e->idev, IOMMU_NO_PASID);
	assert_true(read_byte(e, BASE + PG + 1) < 0);
}

/* A device that is bound and in no IOAS reaches nothing, nor does one that is not bound any more. */
static void test_windows(void **state)
{
	struct emulated *e = *state;
	uint32_t ioas = ioas_new(e->b);

	attach_to(e, ioas);
	assert_false(usable(e->b, ioas, 0xfee00000));
	assert_true(usable(e->b, ioas, BIT64(48) - 1));
	assert_false(usable(e->b, ioas, BIT64(48)));
	assert_int_equal(map(e->b, ioas, 0xfee00000, 1), -EINVAL);
	assert_int_equal(map(e->b, ioas, BIT64(48), 1), -EINVAL);
	assert_int_equal(map_va(e->b, ioas, BASE, 0, PG), -EFAULT);
	iommufd_device_detach(e->idev, IOMMU_NO_PASID);
	assert_true(usable(e->b, ioas, 0xfee00000));
}

/* The device reads all the time; it sees the one memory or the other, never a hole. */
struct reader {
	struct emulated *e;
	_Atomic bool stop;
	_Atomic uint64_t reads, wrong;
};

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct uvfio_dma *dma = dma_user_new(&r->e->iommu_dev, NULL);
	unsigned char c;

	while (!atomic_load(&r->stop)) {
		if (dma_read(dma, BASE, &c, 1, "test") || (c != 0x11 && c != 0x22))
			atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->reads, 1);
	}
	dma_user_free(dma);
	return NULL;
}

static void test_replace_under_dma(void **state)
{
	struct emulated *e = *state;
	struct bench *b = e->b;
	struct reader r = { .e = e };
	uint32_t ioas[2] = { ioas_new(b), ioas_new(b) }, pt;
	pthread_t thread;

	memset(b->memory, 0x11, PG);
	memset(b->memory + PG, 0x22, PG);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(map_va(b, ioas[i], BASE, b->va + i * PG, PG), 0);
	attach_to(e, ioas[0]);
	assert_int_equal(pthread_create(&thread, NULL, reader_main, &r), 0);
	for (unsigned int i = 0; i < 2000 || !atomic_load(&r.reads); i++) {
		pt = ioas[(i + 1) % 2];
		assert_int_equal(iommufd_device_replace(e->idev, IOMMU_NO_PASID, &pt), 0);
		assert_int_equal(read_byte(e, BASE), i % 2 ? 0x11 : 0x22);
	}
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(r.wrong, 0);
}

/* ---- fork */

/* In the child, where who held the locks is not there. */
static bool works_in_child(struct emulated *e, uint32_t ioas, uint32_t other)
{
	uint32_t pt = other;

	dma_forked();
	iommufd_forked(e->b->file);
	if (unmap(e->b, ioas, BASE, PG) || map(e->b, other, BASE, 1) ||
	    iommufd_device_replace(e->idev, IOMMU_NO_PASID, &pt))
		return false;
	iommufd_device_detach(e->idev, IOMMU_NO_PASID);
	return !destroy(e->b, other) && iommufd_ctx_has_group(e->b->ctx, &e->b->groups[0]);
}

static void test_fork(void **state)
{
	struct emulated *e = *state;
	struct bench *b = e->b;
	uint32_t ioas = ioas_new(b), other = ioas_new(b);
	struct iommufd_ioas *locked;
	int status;
	pid_t pid;

	assert_int_equal(map(b, ioas, BASE, 1), 0);
	attach_to(e, ioas);
	locked = iommufd_get_ioas(b->ctx, ioas); /* a call under way */
	pthread_mutex_lock(&locked->mutex);
	pthread_mutex_lock(&e->idev->igroup->lock);
	pthread_mutex_lock(&b->ctx->groups_lock);
	pid = fork();
	if (!pid)
		_exit(works_in_child(e, ioas, other) ? 7 : 1);
	pthread_mutex_unlock(&b->ctx->groups_lock);
	pthread_mutex_unlock(&e->idev->igroup->lock);
	pthread_mutex_unlock(&locked->mutex);
	iommufd_put_object(b->ctx, &locked->obj);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

/* ---- HWPTs */

static long alloc(struct emulated *e, uint32_t ioas, struct iommu_hwpt_alloc cmd)
{
	long rc;

	cmd.size = sizeof(cmd);
	cmd.dev_id = e->id;
	cmd.pt_id = ioas;
	rc = call(e->b, IOMMU_HWPT_ALLOC, &cmd);
	return rc ? rc : cmd.out_hwpt_id;
}

static void test_hwpt(void **state)
{
	struct emulated *e = *state;
	uint32_t ioas = ioas_new(e->b), pt;
	struct iommu_fault_alloc queue = { .size = sizeof(queue) };

	assert_int_equal(alloc(e, ioas, (struct iommu_hwpt_alloc){ .flags = IOMMU_HWPT_ALLOC_NEST_PARENT }),
			 -EOPNOTSUPP);
	assert_int_equal(alloc(e, ioas,
			       (struct iommu_hwpt_alloc){ .data_type = IOMMU_HWPT_DATA_VTD_S1,
							  .data_len = 24,
							  .data_uptr = e->b->va }),
			 -EOPNOTSUPP);
	assert_true(alloc(e, ioas, (struct iommu_hwpt_alloc){ .flags = IOMMU_HWPT_ALLOC_PASID }) > 0);
	assert_int_equal(call(e->b, IOMMU_FAULT_QUEUE_ALLOC, &queue), 0);
	pt = (uint32_t)alloc(e, ioas,
			     (struct iommu_hwpt_alloc){ .flags = IOMMU_HWPT_FAULT_ID_VALID,
							.fault_id = queue.out_fault_id });
	/* The device cannot report page faults. */
	assert_int_equal(iommufd_device_attach(e->idev, IOMMU_NO_PASID, &pt), -ENODEV);
	assert_int_equal(destroy(e->b, queue.out_fault_id), -EBUSY);
	assert_int_equal(destroy(e->b, pt), 0);
	close((int)queue.out_fault_fd);
}

static void test_hw_info(void **state)
{
	struct emulated *e = *state;
	struct iommu_hw_info_vtd vtd;
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.dev_id = e->id,
		.data_len = sizeof(vtd),
		.data_uptr = (uint64_t)(uintptr_t)&vtd,
	};

	assert_int_equal(call(e->b, IOMMU_GET_HW_INFO, &cmd), 0);
	assert_int_equal(cmd.out_data_type, IOMMU_HW_INFO_TYPE_INTEL_VTD);
	assert_int_equal(cmd.data_len, sizeof(vtd));
	assert_int_equal(cmd.out_capabilities,
			 IOMMU_HW_CAP_DIRTY_TRACKING | IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	assert_int_equal(cmd.out_max_pasid_log2, 0);
	assert_int_equal((vtd.cap_reg >> 16 & 0x3f) + 1, 48);
	assert_int_equal(vtd.cap_reg >> 8 & 0x1f, 6); /* tables of 3 and 4 levels */
	assert_int_equal(vtd.cap_reg >> 34 & 0xf, 3); /* pages of 2 MiB and 1 GiB */
	assert_int_equal(vtd.ecap_reg >> 26 & 1, 0);  /* no nesting */
	assert_int_equal(vtd.ecap_reg >> 40 & 1, 0);  /* no PASIDs */
	assert_int_equal(vtd.ecap_reg >> 45 & 3, 3);  /* dirty marks in second-stage tables */
	assert_int_equal(vtd.ecap_reg >> 7 & 1, 0);   /* does not snoop on its own */
	cmd.flags = IOMMU_HW_INFO_FLAG_INPUT_TYPE;
	cmd.in_data_type = IOMMU_HW_INFO_TYPE_ARM_SMMUV3;
	assert_int_equal(call(e->b, IOMMU_GET_HW_INFO, &cmd), -EOPNOTSUPP);
}

/* ---- dirty pages */

static void bits_of(struct emulated *e, uint32_t hwpt, uint64_t iova, uint32_t flags, uint64_t *bits)
{
	struct iommu_hwpt_get_dirty_bitmap cmd = {
		.size = sizeof(cmd),
		.hwpt_id = hwpt,
		.flags = flags,
		.iova = iova,
		.length = MEM_PAGES * PG,
		.page_size = PG,
		.data = (uint64_t)(uintptr_t)bits,
	};

	*bits = 0;
	assert_int_equal(call(e->b, IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd), 0);
}

static void track(struct emulated *e, uint32_t hwpt, bool on)
{
	struct iommu_hwpt_set_dirty_tracking cmd = { .size = sizeof(cmd), .flags = on, .hwpt_id = hwpt };

	assert_int_equal(call(e->b, IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd), 0);
}

/* --iommu dirty-tracking=off */
static void test_no_tracking(void **state)
{
	struct emulated *e = *state;
	struct iommu_hw_info_vtd vtd = { 0 };
	struct iommu_hw_info cmd = {
		.size = sizeof(cmd),
		.dev_id = e->id,
		.data_len = sizeof(vtd),
		.data_uptr = (uint64_t)(uintptr_t)&vtd,
	};
	uint32_t ioas = ioas_new(e->b);

	e->b->params.dirty_tracking = false;
	iommufd_emulated_dev_init(&e->dev, &e->iommu_dev, &e->b->groups[0], &e->b->params);
	assert_int_equal(call(e->b, IOMMU_GET_HW_INFO, &cmd), 0);
	assert_int_equal(cmd.out_capabilities, IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED);
	assert_int_equal(vtd.ecap_reg >> 43, 0);
	assert_int_equal(
		alloc(e, ioas, (struct iommu_hwpt_alloc){ .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING }),
		-EOPNOTSUPP);
}

/* Exactly the pages that the device wrote, from when tracking began. */
static void test_dirty(void **state)
{
	struct emulated *e = *state;
	uint32_t ioas = ioas_new(e->b), hwpt;
	uint64_t bits;

	assert_int_equal(map(e->b, ioas, BASE, MEM_PAGES), 0);
	hwpt = (uint32_t)alloc(e, ioas,
			       (struct iommu_hwpt_alloc){ .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING });
	attach_to(e, hwpt);
	assert_int_equal(dma_write(e->dma, BASE, "x", 1, "before"), 0);
	track(e, hwpt, true);
	bits_of(e, hwpt, BASE, 0, &bits);
	assert_int_equal(bits, 0);
	assert_int_equal(dma_write(e->dma, BASE + 5 * PG, "x", 1, "test"), 0);
	assert_int_equal(dma_write(e->dma, BASE + 63 * PG - 1, "xy", 2, "test"), 0);
	assert_true(read_byte(e, BASE + 9 * PG) >= 0);
	bits_of(e, hwpt, BASE, IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, &bits);
	assert_int_equal(bits, BIT64(5) | BIT64(62) | BIT64(63));
	bits_of(e, hwpt, BASE, 0, &bits);
	assert_int_equal(bits, BIT64(5) | BIT64(62) | BIT64(63));
	bits_of(e, hwpt, BASE, 0, &bits);
	assert_int_equal(bits, 0);
	assert_int_equal(dma_write(e->dma, BASE + 5 * PG, "x", 1, "again"), 0);
	bits_of(e, hwpt, BASE, 0, &bits);
	assert_int_equal(bits, BIT64(5));
	assert_int_equal(dma_write(e->dma, BASE + 7 * PG, "x", 1, "again"), 0);
	track(e, hwpt, true); /* begins anew */
	bits_of(e, hwpt, BASE, 0, &bits);
	assert_int_equal(bits, 0);
	track(e, hwpt, false);
	assert_int_equal(dma_write(e->dma, BASE + 6 * PG, "x", 1, "after"), 0);
	bits_of(e, hwpt, BASE, 0, &bits);
	assert_int_equal(bits, 0);
}

/* What can be a page of 2 MiB is one, whose mark stands for all of it. */
static void test_dirty_huge(void **state)
{
	struct emulated *e = *state;
	uint32_t ioas = ioas_new(e->b), hwpt;
	char *mem = mmap(NULL, 6u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t va = align_up((uint64_t)(uintptr_t)mem, 2u << 20), bits;

	assert_int_equal(map_va(e->b, ioas, BASE, va, (2u << 20) + MEM_PAGES * PG), 0);
	hwpt = (uint32_t)alloc(e, ioas,
			       (struct iommu_hwpt_alloc){ .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING });
	attach_to(e, hwpt);
	track(e, hwpt, true);
	assert_int_equal(dma_write(e->dma, BASE + (1u << 20), "x", 1, "test"), 0);
	assert_int_equal(dma_write(e->dma, BASE + (2u << 20) + PG, "x", 1, "test"), 0);
	bits_of(e, hwpt, BASE, 0, &bits);
	assert_int_equal(bits, UINT64_MAX);
	bits_of(e, hwpt, BASE + (2u << 20), 0, &bits);
	assert_int_equal(bits, 2);
	iommufd_device_detach(e->idev, IOMMU_NO_PASID);
	munmap(mem, 6u << 20);
}

#define E(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		E(test_dma),   E(test_windows),    E(test_replace_under_dma), E(test_hwpt), E(test_hw_info),
		E(test_dirty), E(test_dirty_huge), E(test_no_tracking),       E(test_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
