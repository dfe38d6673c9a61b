/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices that are bound, attached to IOASes and HWPTs, replaced and detached, alone and in groups. */
#include "iommufd/test_bench.h"

#define WINDOW ((uint64_t)0x800000)

/* ---- bind */

static void test_bind(void **state)
{
	struct bench *b = *state;
	struct iommufd_device *idev;
	uint32_t id;

	assert_false(iommufd_ctx_has_group(b->ctx, &b->groups[0]));
	bind_dev(b, A);
	assert_int_not_equal(b->devs[A].id, 0);
	assert_int_equal(iommufd_device_to_id(b->devs[A].idev), b->devs[A].id);
	assert_ptr_equal(iommufd_device_to_ctx(b->devs[A].idev), b->ctx);
	assert_true(iommufd_ctx_has_group(b->ctx, &b->groups[0]));
	assert_false(iommufd_ctx_has_group(b->ctx, &b->groups[1]));
	assert_false(iommufd_ctx_has_group(b->other, &b->groups[0]));
	assert_int_equal(destroy(b, b->devs[A].id), -EBUSY);

	/* The group belongs to this context, until the last of its devices is gone. */
	assert_int_equal(iommufd_device_bind(b->other, &b->devs[B].hw, &idev, &id), -EPERM);
	bind_dev(b, B);
	unbind_dev(b, A);
	assert_int_equal(destroy(b, b->devs[A].id), -ENOENT);
	assert_int_equal(iommufd_device_bind(b->other, &b->devs[A].hw, &idev, &id), -EPERM);
	unbind_dev(b, B);
	assert_false(iommufd_ctx_has_group(b->ctx, &b->groups[0]));
	assert_int_equal(iommufd_device_bind(b->other, &b->devs[A].hw, &idev, &id), 0);
	iommufd_device_unbind(idev);
}

/* A bound device keeps the context, closed or not. */
static void test_bound_keeps_context(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);

	bind_dev(b, A);
	assert_true(attach(b, A, ioas) > 0);
	file_put(b->file);
	assert_int_not_equal(translated_by(b, A), 0);
	detach(b, A);
	unbind_dev(b, A);
	assert_int_equal(fake_domains, 0);
	assert_int_equal(iommufd_open(&b->params, false, O_RDWR, &b->file), 0);
}

static void test_no_group(void **state)
{
	struct bench *b = *state;

	b->devs[A].hw.group = NULL;
	assert_int_equal(iommufd_device_bind(b->ctx, &b->devs[A].hw, &b->devs[A].idev, &b->devs[A].id),
			 -ENODEV);
	b->devs[A].hw.group = &b->groups[0];
}

/* ---- one device */

static void test_attach_errors(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);

	bind_dev(b, A);
	assert_int_equal(attach(b, A, 9999), -ENOENT);
	assert_int_equal(attach(b, A, b->devs[A].id), -EINVAL);
	assert_int_equal(replace(b, A, ioas), -EINVAL); /* of nothing */
	b->devs[A].fail_attach = -EIO;
	assert_int_equal(attach(b, A, ioas), -EIO);
	assert_int_equal(fake_domains, 0);
	assert_true(attach(b, A, ioas) > 0);
	assert_int_equal(attach(b, A, ioas), -EBUSY); /* twice */
	assert_int_equal(replace(b, A, 9999), -ENOENT);
	assert_int_not_equal(translated_by(b, A), 0);
	detach(b, A);
	detach(b, A); /* nothing any more */
	assert_int_equal(destroy(b, ioas), 0);
	unbind_dev(b, A);
}

/* The HWPT that an attach to an IOAS makes lives as long as devices are attached to it. */
static void test_auto_domain(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	long hwpt;

	assert_int_equal(map(b, ioas, 0x10000, 4), 0);
	bind_dev(b, A);
	hwpt = attach(b, A, ioas);
	assert_true(hwpt > 0 && (uint32_t)hwpt != ioas);
	assert_int_equal(translated_by(b, A), hwpt);
	assert_int_equal(domain_of(b, A)->mapped, 4 * PG);
	assert_int_equal(map(b, ioas, 0x20000, 1), 0);
	assert_int_equal(domain_of(b, A)->mapped, 5 * PG);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	assert_int_equal(destroy(b, (uint32_t)hwpt), -EBUSY);
	assert_int_equal(replace(b, A, ioas), hwpt); /* to the same */

	/* A device of another group takes it, too. */
	bind_dev(b, D);
	assert_int_equal(attach(b, D, ioas), hwpt);
	detach(b, A);
	assert_int_equal(translated_by(b, A), 0);
	assert_int_equal(translated_by(b, D), hwpt);
	detach(b, D);
	assert_int_equal(fake_domains, 0);
	assert_int_equal(destroy(b, (uint32_t)hwpt), -ENOENT);
	unbind_dev(b, D);
	unbind_dev(b, A);
	assert_int_equal(destroy(b, ioas), 0);
}

/* A device that the HWPT there is does not suit gets one of its own; other failures are failures. */
static void test_auto_domain_refused(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);
	long first, second;

	bind_dev(b, A);
	bind_dev(b, C);
	bind_dev(b, D);
	first = attach(b, A, ioas);
	assert_true(first > 0);
	b->devs[D].fail_attach = -EIO;
	assert_int_equal(attach(b, D, ioas), -EIO);
	b->devs[D].refuses = b->devs[A].now[0];
	second = attach(b, D, ioas);
	assert_true(second > 0 && second != first);
	assert_true(attach(b, C, ioas) > 0); /* other hardware: a third one */
	assert_int_equal(fake_domains, 3);
	detach(b, D);
	assert_int_equal(fake_domains, 2);
	detach(b, A);
	detach(b, C);
	unbind_dev(b, A);
	unbind_dev(b, C);
	unbind_dev(b, D);
}

/* One that was made on request is found only by its own id, and outlives its devices. */
static void test_manual_hwpt(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), other = ioas_new(b);
	long hwpt, automatic;

	bind_dev(b, A);
	hwpt = hwpt_new(b, A, ioas, 0);
	assert_true(hwpt > 0);
	assert_int_equal(destroy(b, ioas), -EBUSY);
	assert_int_equal(attach(b, A, (uint32_t)hwpt), hwpt);
	assert_int_equal(destroy(b, (uint32_t)hwpt), -EBUSY);
	automatic = replace(b, A, ioas);
	assert_true(automatic > 0 && automatic != hwpt);
	assert_int_equal(replace(b, A, (uint32_t)hwpt), hwpt);
	assert_int_equal(destroy(b, (uint32_t)automatic), -ENOENT);
	detach(b, A);
	assert_int_equal(fake_domains, 1);
	assert_int_equal(attach(b, A, (uint32_t)hwpt), hwpt);
	assert_true(replace(b, A, other) > 0);
	assert_int_equal(destroy(b, (uint32_t)hwpt), 0);
	assert_int_equal(destroy(b, ioas), 0);
	detach(b, A);
	unbind_dev(b, A);
}

/* ---- a group of two */

static void test_group(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), one, two;

	bind_dev(b, A);
	bind_dev(b, B);
	one = (uint32_t)hwpt_new(b, A, ioas, 0);
	two = (uint32_t)hwpt_new(b, A, ioas, 0);
	assert_int_equal(attach(b, A, one), one);
	assert_int_equal(translated_by(b, B), one); /* the IOMMU cannot tell them apart */
	assert_int_equal(replace(b, B, two), -EINVAL);
	assert_int_equal(attach(b, B, two), -EINVAL);
	assert_int_equal(attach(b, B, one), one);
	assert_int_equal(replace(b, A, two), two); /* both go */
	assert_int_equal(translated_by(b, A), two);
	assert_int_equal(translated_by(b, B), two);
	assert_int_equal(destroy(b, one), 0);
	detach(b, A);
	assert_int_equal(destroy(b, two), -EBUSY);
	assert_int_equal(translated_by(b, B), two);
	detach(b, B);
	assert_int_equal(translated_by(b, A), 0);
	assert_int_equal(translated_by(b, B), 0);
	assert_int_equal(destroy(b, two), 0);
	unbind_dev(b, A);
	unbind_dev(b, B);
}

/* Also when the second is bound later, and until it is unbound. */
static void test_group_late(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), hwpt;

	bind_dev(b, A);
	hwpt = (uint32_t)attach(b, A, ioas);
	bind_dev(b, B);
	assert_int_equal(translated_by(b, B), hwpt);
	unbind_dev(b, B);
	assert_int_equal(translated_by(b, B), 0);
	assert_int_equal(translated_by(b, A), hwpt);
	b->devs[B].fail_attach = -EIO;
	assert_int_equal(iommufd_device_bind(b->ctx, &b->devs[B].hw, &b->devs[B].idev, &b->devs[B].id), -EIO);
	detach(b, A);
	unbind_dev(b, A);
}

/* What the second device refuses, the first one does not get either. */
static void test_group_all_or_nothing(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), one, two;

	bind_dev(b, A);
	bind_dev(b, B);
	one = (uint32_t)hwpt_new(b, A, ioas, 0);
	two = (uint32_t)hwpt_new(b, A, ioas, 0);
	b->devs[B].fail_attach = -EIO;
	assert_int_equal(attach(b, A, one), -EIO);
	assert_int_equal(translated_by(b, A), 0);
	attach(b, A, one);
	attach(b, B, one);
	b->devs[B].fail_attach = -EIO;
	assert_int_equal(replace(b, A, two), -EIO);
	assert_int_equal(translated_by(b, A), one);
	assert_int_equal(translated_by(b, B), one);
	assert_int_equal(destroy(b, one), -EBUSY);
	assert_int_equal(destroy(b, two), 0);
	detach(b, A);
	assert_int_equal(destroy(b, one), -EBUSY);
	detach(b, B);
	assert_int_equal(destroy(b, one), 0);
	unbind_dev(b, A);
	unbind_dev(b, B);
}

/* ---- reserved windows */

static void set_window(struct bench *b, int dev, uint64_t start)
{
	b->devs[dev].window = (struct iommu_range){ start, start + 0xfffff };
}

static void test_window(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b);

	set_window(b, A, WINDOW);
	bind_dev(b, A);
	assert_int_equal(map(b, ioas, WINDOW + 0x1000, 1), 0);
	assert_int_equal(attach(b, A, ioas), -EADDRINUSE);
	assert_int_equal(fake_domains, 0);
	assert_int_equal(unmap(b, ioas, WINDOW + 0x1000, PG), 0);
	assert_true(attach(b, A, ioas) > 0);
	assert_false(usable(b, ioas, WINDOW));
	assert_true(usable(b, ioas, WINDOW - 1));
	assert_int_equal(map(b, ioas, WINDOW + 0x1000, 1), -EINVAL);
	detach(b, A);
	assert_true(usable(b, ioas, WINDOW));
	unbind_dev(b, A);
}

/* Within an IOAS windows stay; to another one they go along, all or none. */
static void test_window_replace(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), other = ioas_new(b), one, two;

	set_window(b, A, WINDOW);
	set_window(b, B, 2 * WINDOW);
	bind_dev(b, A);
	bind_dev(b, B);
	one = (uint32_t)hwpt_new(b, A, ioas, 0);
	two = (uint32_t)hwpt_new(b, A, ioas, 0);
	attach(b, A, one);
	assert_true(usable(b, ioas, 2 * WINDOW)); /* b has not asked */
	attach(b, B, one);
	assert_false(usable(b, ioas, 2 * WINDOW));
	assert_int_equal(replace(b, A, two), two);
	assert_false(usable(b, ioas, WINDOW));
	b->devs[B].fail_attach = -EIO;
	assert_int_equal(replace(b, A, one), -EIO);
	assert_false(usable(b, ioas, WINDOW));

	assert_int_equal(map(b, other, 2 * WINDOW, 1), 0);
	assert_int_equal(replace(b, A, other), -EADDRINUSE);
	assert_true(usable(b, other, WINDOW));
	assert_false(usable(b, ioas, WINDOW));
	assert_int_equal(unmap(b, other, 2 * WINDOW, PG), 0);
	b->devs[B].fail_attach = -EIO;
	assert_int_equal(replace(b, A, other), -EIO);
	assert_true(usable(b, other, WINDOW));
	assert_false(usable(b, ioas, WINDOW) || usable(b, ioas, 2 * WINDOW));

	assert_true(replace(b, A, other) > 0);
	assert_true(usable(b, ioas, WINDOW) && usable(b, ioas, 2 * WINDOW));
	assert_false(usable(b, other, WINDOW) || usable(b, other, 2 * WINDOW));
	detach(b, B);
	assert_true(usable(b, other, 2 * WINDOW));
	detach(b, A);
	assert_true(usable(b, other, WINDOW));
	unbind_dev(b, A);
	unbind_dev(b, B);
}

/* ---- a domain that cannot be filled */

static void test_fill_fails(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), other = ioas_new(b);

	bind_dev(b, A);
	assert_int_equal(map_va(b, ioas, 0x10000, 0, 0x1000), 0); /* nobody looks yet */
	assert_int_equal(attach(b, A, ioas), -EFAULT);
	assert_int_equal(hwpt_new(b, A, ioas, 0), -EFAULT);
	assert_true(attach(b, A, other) > 0);
	assert_int_equal(replace(b, A, ioas), -EFAULT);
	assert_int_equal(fake_domains, 1);
	assert_int_equal(unmap(b, ioas, 0, UINT64_MAX), 0);
	assert_int_equal(map_va(b, ioas, 0x10800, b->va + 0x800, 0x800), 0); /* half a page */
	assert_int_equal(replace(b, A, ioas), -EADDRINUSE);
	detach(b, A);
	assert_int_equal(attach(b, A, ioas), -EADDRINUSE);
	assert_int_equal(unmap(b, ioas, 0, UINT64_MAX), 0);
	assert_int_equal(map(b, ioas, 0x10000, 1), 0);
	fake_fail_map = 1;
	assert_int_equal(attach(b, A, ioas), -ENOMEM);
	assert_int_equal(fake_domains, 0);
	unbind_dev(b, A);
}

/* ---- PASIDs */

static void test_pasid(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), plain, tagged, tagged2;

	bind_dev(b, D);
	plain = (uint32_t)hwpt_new(b, D, ioas, 0);
	tagged = (uint32_t)hwpt_new(b, D, ioas, IOMMU_HWPT_ALLOC_PASID);
	tagged2 = (uint32_t)hwpt_new(b, D, ioas, IOMMU_HWPT_ALLOC_PASID);
	assert_int_equal(attach_pasid(b, D, 1, ioas), -EINVAL); /* automatic ones are not for PASIDs */
	assert_int_equal(attach_pasid(b, D, 1, plain), -EINVAL);
	assert_int_equal(attach_pasid(b, D, 1u << PASID_BITS, tagged), -EINVAL);
	assert_int_equal(attach_pasid(b, D, 1, tagged), tagged);
	assert_int_equal(attach_pasid(b, D, 1, tagged), -EBUSY);
	assert_int_equal(attach_pasid(b, D, 2, tagged2), tagged2);
	assert_int_equal(attach(b, D, plain), -EINVAL);
	assert_int_equal(attach(b, D, tagged), tagged);
	assert_int_equal(replace(b, D, plain), -EINVAL);
	assert_int_equal(replace_pasid(b, D, 3, tagged), -EINVAL); /* of nothing */
	assert_int_equal(replace_pasid(b, D, 1, tagged2), tagged2);
	assert_int_equal(translated_by(b, D), tagged);
	assert_int_equal(translated_by_pasid(b, D, 1), tagged2);
	assert_int_equal(translated_by_pasid(b, D, 2), tagged2);
	detach(b, D);
	assert_int_equal(destroy(b, tagged), 0);
	detach_pasid(b, D, 1);
	assert_int_equal(destroy(b, tagged2), -EBUSY);
	detach_pasid(b, D, 2);
	assert_int_equal(destroy(b, tagged2), 0);
	assert_int_equal(attach(b, D, plain), plain);
	tagged = (uint32_t)hwpt_new(b, D, ioas, IOMMU_HWPT_ALLOC_PASID);
	assert_int_equal(attach_pasid(b, D, 1, tagged), -EINVAL); /* beside a plain one */
	detach(b, D);
	unbind_dev(b, D);
}

/* A device without PASIDs has nothing to translate, but its group is attached. */
static void test_pasid_of_none(void **state)
{
	struct bench *b = *state;
	uint32_t ioas = ioas_new(b), tagged;

	bind_dev(b, A);
	tagged = (uint32_t)hwpt_new(b, A, ioas, IOMMU_HWPT_ALLOC_PASID);
	assert_int_equal(attach_pasid(b, A, 1, tagged), tagged);
	assert_int_equal(translated_by_pasid(b, A, 1), 0);
	bind_dev(b, C);
	assert_int_equal(attach_pasid(b, C, 1, tagged), -EINVAL); /* other hardware, all the same */
	unbind_dev(b, C);
	assert_int_equal(destroy(b, tagged), -EBUSY);
	detach_pasid(b, A, 1);
	unbind_dev(b, A);
}

/* ---- failures everywhere */

#ifdef UVFIO_IOMMUFD_TEST
static uint32_t sweep_ioas[2];

static long bind_a(struct bench *b)
{
	if (b->devs[A].idev)
		return 0;
	return iommufd_device_bind(b->ctx, &b->devs[A].hw, &b->devs[A].idev, &b->devs[A].id);
}

static long attach_a(struct bench *b)
{
	if (translated_by(b, A))
		detach(b, A);
	return attach(b, A, sweep_ioas[0]);
}

static long replace_a(struct bench *b)
{
	return replace(b, A, sweep_ioas[1]);
}

static long alloc_a(struct bench *b)
{
	long hwpt = hwpt_new(b, A, sweep_ioas[0], IOMMU_HWPT_ALLOC_DIRTY_TRACKING);

	if (hwpt > 0)
		assert_int_equal(destroy(b, (uint32_t)hwpt), 0);
	return hwpt;
}

static void test_failpoints(void **state)
{
	struct bench *b = *state;

	set_window(b, A, WINDOW);
	for (int i = 0; i < 2; i++) {
		sweep_ioas[i] = ioas_new(b);
		assert_int_equal(map(b, sweep_ioas[i], 0x10000, 4), 0);
	}
	sweep(b, bind_a);
	bind_dev(b, B);
	sweep(b, alloc_a);
	sweep(b, attach_a);
	attach(b, B, translated_by(b, A));
	sweep(b, replace_a);
	detach(b, A);
	detach(b, B);
	for (int i = 0; i < 2; i++)
		assert_int_equal(destroy(b, sweep_ioas[i]), 0);
	unbind_dev(b, A);
	unbind_dev(b, B);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_bind),          T(test_bound_keeps_context),
		T(test_no_group),      T(test_attach_errors),
		T(test_auto_domain),   T(test_auto_domain_refused),
		T(test_manual_hwpt),   T(test_group),
		T(test_group_late),    T(test_group_all_or_nothing),
		T(test_window),        T(test_window_replace),
		T(test_fill_fails),    T(test_pasid),
		T(test_pasid_of_none),
#ifdef UVFIO_IOMMUFD_TEST
		T(test_failpoints),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
