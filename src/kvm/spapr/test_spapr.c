/* SPDX-License-Identifier: BSD-2-Clause */
/* Each ioctl, attribute and hypercall of PAPR guests: valid, boundary and invalid arguments; both endings. */
#include "kvm/spapr/test_rig.h"

#include "vfio/spapr.h"

#include <endian.h>
#include <sys/eventfd.h>

#define R  1u
#define W  2u
#define TG (MIB / PG) /* entries of the window */

/* ---- the ioctls */

static void test_capabilities(void **state)
{
	static const uint32_t caps[] = { KVM_CAP_SPAPR_TCE, KVM_CAP_SPAPR_TCE_64, KVM_CAP_SPAPR_MULTITCE,
					 KVM_CAP_SPAPR_TCE_VFIO };
	struct rig *r = *state;
	long plain = call(r->sys, KVM_CREATE_VM, 0);

	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++) {
		assert_int_equal(call(r->sys, KVM_CHECK_EXTENSION, caps[i]), 1);
		assert_int_equal(call(r->vm, KVM_CHECK_EXTENSION, caps[i]), 1);
		assert_int_equal(call((int)plain, KVM_CHECK_EXTENSION, caps[i]), 0);
	}
	/* Another VM has none of it. */
	assert_int_equal(call_ptr((int)plain, KVM_CREATE_SPAPR_TCE_64, caps), -ENOTTY);
	assert_int_equal(call(r->sys, KVM_CREATE_VM, 2), -EINVAL);
	close_fd((int)plain);
}

/* A PC's are none of this architecture's; there are no others. */
static void test_no_controllers(void **state)
{
	static const uint32_t requests[] = { KVM_CREATE_IRQCHIP, (uint32_t)KVM_GET_IRQCHIP, KVM_SET_IRQCHIP,
					     KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI };
	static const uint32_t caps[] = { KVM_CAP_IRQCHIP, KVM_CAP_IRQ_INJECT_STATUS, KVM_CAP_IRQ_ROUTING,
					 KVM_CAP_SIGNAL_MSI, KVM_CAP_SPLIT_IRQCHIP };
	struct rig *r = *state;
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd(0, EFD_CLOEXEC), .gsi = 5 };
	struct kvm_irq_level line = { .irq = 5, .level = 1 };
	long plain = call(r->sys, KVM_CREATE_VM, 0);
	uint64_t arg[512] = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(requests); i++)
		assert_int_equal(call_ptr(r->vm, requests[i], arg), -ENOTTY);
	for (unsigned int i = 0; i < ARRAY_SIZE(caps); i++) {
		assert_int_equal(call(r->vm, KVM_CHECK_EXTENSION, caps[i]), 0);
		assert_true(call((int)plain, KVM_CHECK_EXTENSION, caps[i]) > 0);
	}
	assert_int_equal(call_ptr(r->vm, KVM_ENABLE_CAP, &split), -EINVAL);
	assert_int_equal(call_ptr((int)plain, KVM_ENABLE_CAP, &split), 0);
	assert_int_equal(call(r->vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD), 1);
	assert_int_equal(call_ptr(r->vm, KVM_IRQFD, &irqfd), -EAGAIN);
	assert_int_equal(call_ptr(r->vm, KVM_IRQ_LINE, &line), -ENXIO);
	close((int)irqfd.fd);
	close_fd((int)plain);
}

static void test_create(void **state)
{
	struct rig *r = *state;
	struct kvm_create_spapr_tce old = { .liobn = 7, .window_size = 4095 };
	struct kvm_create_spapr_tce_64 in = { .liobn = 7, .page_shift = 12, .size = 1, .flags = 1 };
	uint64_t before = r->t->mm->locked_pages;
	long fd, second;

	assert_int_equal(call(r->vm, KVM_CREATE_SPAPR_TCE_64, 8), -EFAULT);
	assert_int_equal(call_ptr(r->vm, KVM_CREATE_SPAPR_TCE_64, &in), -EINVAL);
	assert_int_equal(call_ptr(r->vm, KVM_CREATE_SPAPR_TCE, &old), -EINVAL);
	assert_int_equal(create_table(r, 7, 12, 0, 0), -EINVAL);
	assert_int_equal(create_table(r, 7, 11, 0, 1), -EINVAL);
	assert_int_equal(create_table(r, 7, 35, 0, 1), -EINVAL);
	assert_int_equal(create_table(r, 7, 12, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(create_table(r, 7, 12, 1, BIT64(52) - 1), -EINVAL);
	assert_int_equal(create_table(r, 7, 12, 0, BIT64(52) - 1), -ENOMEM);
	assert_int_equal(r->t->mm->locked_pages, before);
	fd = create_table(r, 7, 34, BIT64(30) - 2, 1); /* ends at 2^64 - 2^34 */
	assert_true(fd >= 0);
	close_fd((int)fd);
	old.window_size = 4096;
	fd = call_ptr(r->vm, KVM_CREATE_SPAPR_TCE, &old);
	assert_true(fd >= 0);
	assert_int_equal(r->t->mm->locked_pages, before + 1 + 1); /* the view, and what it takes */
	assert_int_equal(create_table(r, 7, 16, 0, 1), -EBUSY);
	second = create_table(r, 8, 16, 0, 100000);
	assert_true(second >= 0);
	close_fd((int)fd);
	assert_int_equal(create_table(r, 8, 16, 0, 1), -EBUSY);
	close_fd((int)second);
	assert_int_equal(r->t->mm->locked_pages, before);
	fd = create_table(r, 8, 16, 0, 1);
	assert_true(fd >= 0);
	close_fd((int)fd);
}

/* What the guest has put is seen through the file, and what the program writes there is the guest's. */
static void test_view(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, 1024);
	struct file *file = fdtable_get(fd);
	struct mmap_plan plan = { .length = 2 * PG, .prot = PROT_READ | PROT_WRITE, .flags = MAP_SHARED };
	volatile uint64_t *view;
	uint64_t tce = 1;

	assert_int_equal(file_mmap(file, &plan), 0);
	assert_int_equal(plan.nr, 1);
	view = mmap(NULL, plan.length, PROT_READ | PROT_WRITE, MAP_SHARED, plan.segments[0].fd,
		    (off_t)plan.segments[0].fd_offset);
	assert_ptr_not_equal(view, MAP_FAILED);
	assert_int_equal(get(r, 5 * PG, &tce), 0);
	assert_int_equal(tce, 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 5 * PG, GPA | R, 0), 0);
	assert_int_equal(view[5], GPA | R);
	view[600] = 0x1234000; /* in a page that no hypercall has used */
	assert_int_equal(get(r, 600 * PG, &tce), 0);
	assert_int_equal(tce, 0x1234000);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0, 1024), 0);
	assert_int_equal(view[5] | view[600], 0);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0x5000, 1024), 0); /* poison */
	assert_int_equal(view[1023], 0x5000);
	munmap((void *)view, plan.length);
	view = mmap(NULL, plan.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); /* as a program's call */
	assert_ptr_not_equal(view, MAP_FAILED);
	assert_int_equal(view[1023], 0x5000);
	munmap((void *)view, plan.length);
	assert_int_equal(ftruncate(fd, 0), -1); /* the hypercalls would meet a bus error */
	file_put(file);
	close_fd(fd);
}

/* ---- tying groups and tables */

static void test_tie_errors(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG), other, g2 = open_group(r->t->bench, 2);
	struct kvm_device_attr attr = { .group = KVM_DEV_VFIO_GROUP,
					.attr = KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE };

	assert_int_equal(call_ptr(r->kv, KVM_HAS_DEVICE_ATTR, &attr), 0);
	assert_int_equal(set_attr(r, KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, (void *)8), -EFAULT);
	assert_int_equal(tie(r, 9999, fd), -EBADF);
	assert_int_equal(tie(r, r->t->g, fd), -ENOENT);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, 9999), -EBADF);
	assert_int_equal(tie(r, r->t->g, r->t->c), -EINVAL);
	assert_int_equal(tie(r, g2, fd), -ENOENT);
	assert_int_equal(add_group(r, g2), 0);
	assert_int_equal(tie(r, g2, fd), -EINVAL); /* in no container */
	assert_int_equal(tie(r, r->t->g, fd), 0);
	other = (int)create_table(r, 2, 12, 1, TG - 1);
	assert_int_equal(tie(r, r->t->g, other), -EINVAL); /* begins elsewhere */
	close_fd(other);
	other = (int)create_table(r, 2, 12, 0, TG + 1);
	assert_int_equal(tie(r, r->t->g, other), -EINVAL); /* larger */
	close_fd(other);
	other = (int)create_table(r, 2, 16, 0, 16); /* larger pages, the same bytes */
	assert_int_equal(tie(r, r->t->g, other), 0);
	close_fd(other);
	other = (int)create_table(r, 2, 12, 0, 3); /* a part */
	assert_int_equal(tie(r, r->t->g, other), 0);
	close_fd(other);
	close_fd(fd);
	close_fd(g2);
}

/* ---- hypercalls */

static void test_arguments(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 16, TG);
	uint64_t args[] = { LIOBN + 1, 0, 0, 0 }, tce;

	for (uint64_t n = 0; n < 0x200; n += 4)
		assert_int_equal(kvm_hcall(kvm_of(r), n, args, &tce), UVFIO_H_TOO_HARD);
	assert_int_equal(get(r, 15 * PG, &tce), UVFIO_H_PARAMETER);
	assert_int_equal(get(r, 16 * PG, &tce), 0);
	assert_int_equal(get(r, 16 * PG + 1, &tce), UVFIO_H_PARAMETER);
	assert_int_equal(get(r, (16 + TG) * PG, &tce), UVFIO_H_PARAMETER);
	assert_int_equal(get(r, (15 + TG) * PG, &tce), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 15 * PG, 0, 0), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 16 * PG + 4, 0, 0), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 16 * PG, (GPA + 1024) | R, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 16 * PG, (GPA - PG) | R, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 16 * PG, (GPA + 32 * MIB) | W, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 16 * PG, GPA, 513), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 16 * PG, GPA + 8, 1), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 16 * PG, 0, 1), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, TG * PG, GPA, 17), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, TG * PG, GPA, 16), 0);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 16 * PG, R, 1), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 16 * PG, 0, TG + 1), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 17 * PG, 0, UINT64_MAX), UVFIO_H_PARAMETER);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 16 * PG, 0, TG), 0);
	close_fd(fd);
	assert_int_equal(get(r, 16 * PG, &tce), UVFIO_H_TOO_HARD);
}

static void test_enable_hcall(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_PPC_ENABLE_HCALL, .args = { UVFIO_H_PUT_TCE, 0 } };

	assert_int_equal(call_ptr(r->vm, KVM_ENABLE_CAP, &cap), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, 0, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0, 1), 0);
	cap.args[1] = 2;
	assert_int_equal(call_ptr(r->vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	cap.args[1] = 1;
	assert_int_equal(call_ptr(r->vm, KVM_ENABLE_CAP, &cap), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, 0, 0), 0);
	cap.args[0] = 4;
	assert_int_equal(call_ptr(r->vm, KVM_ENABLE_CAP, &cap), -EINVAL);
	close_fd(fd);
}

/* With a device behind the table. */
static void test_mapping(void **state)
{
	struct rig *r = *state;
	char *memory = r->t->memory;
	uint64_t *list = (uint64_t *)memory, tce;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG);

	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 3 * PG, (GPA + 7 * PG) | R | W, 0), 0);
	assert_int_equal(in_tier(r, TCE_SLOW), 1); /* its first use */
	assert_int_equal(translated(r->t, 3 * PG + 5, RW), (uintptr_t)memory + 7 * PG + 5);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 4 * PG, (GPA + 8 * PG) | R, 0), 0);
	assert_int_equal(in_tier(r, TCE_FAST), 1);
	assert_int_equal(translated(r->t, 4 * PG, IOMMU_WRITE), 0);
	assert_int_equal(translated(r->t, 4 * PG, IOMMU_READ), (uintptr_t)memory + 8 * PG);
	/* In a slot, but not registered. */
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 4 * PG, (GPA + 20 * MIB) | R, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(translated(r->t, 4 * PG, IOMMU_READ), (uintptr_t)memory + 8 * PG);
	for (unsigned int i = 0; i < 512; i++)
		list[i] = htobe64((GPA + i * PG) | W);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, TG), 0);
	assert_int_equal(translated(r->t, 3 * PG, RW), (uintptr_t)memory + 3 * PG);
	assert_int_equal(get(r, (TG - 1) * PG, &tce), 0);
	assert_int_equal(tce, (GPA + (TG - 1) * PG) | W);
	/* Wrong in the middle: nothing is done. */
	list[0] = 0;
	list[9] = htobe64((GPA + 20 * MIB) | R);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 20), UVFIO_H_TOO_HARD);
	assert_int_equal(translated(r->t, 0, RW), (uintptr_t)memory);
	list[9] = 0;
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 20), 0);
	assert_int_equal(translated(r->t, 0, IOMMU_READ), 0);
	assert_int_equal(translated(r->t, PG, RW), (uintptr_t)memory + PG);
	assert_int_equal(reg(r->t, memory, 16 * MIB, false), -EBUSY);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0x7000, TG), 0);
	assert_int_equal(translated(r->t, PG, IOMMU_READ), 0);
	assert_int_equal(get(r, PG, &tce), 0);
	assert_int_equal(tce, 0x7000);
	assert_int_equal(reg(r->t, memory, 16 * MIB, false), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, PG, GPA | R, 0), UVFIO_H_TOO_HARD);
	close_fd(fd);
}

/* Guest pages of 64 KiB on hardware pages of 4 KiB, and two windows of one group on two tables. */
static void test_sizes(void **state)
{
	struct rig *r = *state;
	uint64_t args[] = { 5, HIGH, (GPA + 65536) | R | W, 0 };
	int fd = (int)create_table(r, LIOBN, 16, 0, 16), high;

	assert_int_equal(create(r->t, 16, 16 * MIB, 2, NULL), 0);
	high = (int)create_table(r, 5, 16, HIGH >> 16, 256);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(tie(r, r->t->g, high), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 65536, (GPA + 4096) | R, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 65536, GPA | R, 0), 0);
	assert_int_equal(translated(r->t, 65536 + 9 * PG, IOMMU_READ), (uintptr_t)r->t->memory + 9 * PG);
	assert_int_equal(translated(r->t, 2 * 65536 - 1, IOMMU_READ), (uintptr_t)r->t->memory + 65535);
	assert_int_equal(translated(r->t, 2 * 65536, IOMMU_READ), 0);
	assert_int_equal(kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL), 0);
	assert_int_equal(translated(r->t, HIGH + 77, RW), (uintptr_t)r->t->memory + 65536 + 77);
	/* Registered for pages of 4 KiB only: where it begins. */
	assert_int_equal(reg(r->t, r->t->memory + 16 * MIB + PG, MIB - PG, true), 0);
	args[2] = (GPA + 16 * MIB + 65536) | R;
	assert_int_equal(kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, args[2], 0), 0);
	assert_int_equal(translated(r->t, 5 * PG, IOMMU_READ), (uintptr_t)r->t->memory + 16 * MIB + 21 * PG);
	/* Where a part of the guest's page is not registered, what was there stays. */
	assert_int_equal(reg(r->t, r->t->memory + 18 * MIB, 5 * PG, true), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, (GPA + 18 * MIB) | R, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(translated(r->t, 4 * PG, IOMMU_READ), (uintptr_t)r->t->memory + 16 * MIB + 20 * PG);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0, 1), 0);
	args[2] = (GPA + 65536) | R | W;
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 65536, 0, 1), 0);
	assert_int_equal(translated(r->t, 65536 + 9 * PG, IOMMU_READ), 0);
	/* The window goes: the guest's table stays, and its hypercalls change only that. */
	assert_int_equal(remove_at(r->t, HIGH), 0);
	assert_int_equal(kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL), 0);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0, 16), 0);
	assert_int_equal(reg(r->t, r->t->memory, 16 * MIB, false), 0);
	assert_int_equal(kvm_hcall(kvm_of(r), UVFIO_H_PUT_TCE, args, NULL), 0);
	close_fd(high);
	close_fd(fd);
}

/* Two groups, each in a container of its own, on one table. */
static void test_two_groups(void **state)
{
	struct rig *r = *state;
	struct client other = *r->t;
	struct iommu_translation to;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG);

	open_all(r->t->bench, 2, VFIO_SPAPR_TCE_v2_IOMMU, &other.c, &other.g);
	assert_int_equal(remove_at(&other, 0), 0);
	assert_int_equal(create(&other, 12, 2 * MIB, 1, NULL), 0);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(add_group(r, other.g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(tie(r, other.g, fd), 0);
	assert_int_equal(tie(r, other.g, fd), 0); /* once is enough */
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, PG, GPA | R | W, 0), 0);
	assert_int_equal(translated(r->t, PG, RW), (uintptr_t)r->t->memory);
	assert_int_equal(iommu_domain_translate(domain_of(r->t->bench, 2), PG, RW, &to), 0);
	assert_int_equal(to.va, (uintptr_t)r->t->memory);
	assert_int_equal(del_group(r, r->t->g), 0);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0, TG), 0);
	assert_int_equal(translated(r->t, PG, RW), (uintptr_t)r->t->memory); /* not its any more */
	assert_int_not_equal(iommu_domain_translate(domain_of(r->t->bench, 2), PG, RW, &to), 0);
	assert_int_equal(reg(r->t, r->t->memory, 16 * MIB, false), -EBUSY);
	assert_int_equal(unmap_all(r->t, PG, PG), 0);
	close_fd(fd);
	close_fd(other.g);
	close_fd(other.c);
}

static int v1_setup(void **state)
{
	return rig_setup_type(state, VFIO_SPAPR_TCE_IOMMU);
}

/* v1: memory is pinned by the program's calls, so each hypercall that changes something is its own. */
static void test_v1(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, DEFAULT / PG);

	assert_int_equal(call(r->t->c, VFIO_IOMMU_ENABLE, 0), 0);
	assert_int_equal(map(r->t->c, 0, r->t->memory, PG, RW), 0);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, 0, 0), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0, 8), UVFIO_H_TOO_HARD);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 8), UVFIO_H_TOO_HARD);
	assert_int_equal(translated(r->t, 0, RW), (uintptr_t)r->t->memory);
	/* Without the window they change the guest's table only. */
	assert_int_equal(call(r->t->g, VFIO_GROUP_UNSET_CONTAINER, 0), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R, 0), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE_INDIRECT, 0, GPA, 8), 0);
	assert_int_equal(hcall(r, UVFIO_H_STUFF_TCE, 0, 0, 8), 0);
	close_fd(fd);
}

/* ---- both endings, ten thousand of each: nothing is left */

#define ENDINGS 10000u

static uint32_t refs_of_window(const struct rig *r)
{
	struct file *group = fdtable_get(r->t->g);
	struct tce_table *table = vfio_spapr_get_table(group, 0, MIB, 12);
	uint32_t refs = table->refs - 1;

	file_put(group);
	tce_table_put(table);
	return refs;
}

/* which: 0 the table's file first, 1 the group deleted first, 2 the device closed first. */
static void endings(struct rig *r, unsigned int which)
{
	const uint64_t before = r->t->mm->locked_pages;
	const uint32_t refs = refs_of_window(r);

	for (unsigned int i = 0; i < ENDINGS; i++) {
		int fd = (int)create_table(r, LIOBN, 12, 0, TG);

		if (which == 2 && i)
			r->kv = new_device(r);
		if (which || !i)
			assert_int_equal(add_group(r, r->t->g), 0);
		assert_int_equal(tie(r, r->t->g, fd), 0);
		assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, (i % TG) * PG, GPA | R, 0), 0);
		if (which == 1)
			assert_int_equal(del_group(r, r->t->g), 0);
		else if (which == 2)
			close_fd(r->kv);
		assert_int_equal(refs_of_window(r), refs + !which);
		close_fd(fd);
		assert_int_equal(refs_of_window(r), refs);
		assert_int_equal(r->t->mm->locked_pages, before);
		assert_int_equal(unmap_all(r->t, 0, MIB), 0);
	}
	assert_int_equal(kvm_of(r)->refs, which == 2 ? 2 : 3); /* ours, the VM's file, the device */
	if (which == 2)
		r->kv = -1;
	assert_int_equal(reg(r->t, r->t->memory, 16 * MIB, false), 0);
}

static void test_reboots(void **state)
{
	endings(*state, 0);
}

static void test_unplugs(void **state)
{
	endings(*state, 1);
}

static void test_closes(void **state)
{
	endings(*state, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG(test_capabilities), RIG(test_no_controllers),
		RIG(test_create),       RIG(test_view),
		RIG(test_tie_errors),   RIG(test_arguments),
		RIG(test_enable_hcall), RIG(test_mapping),
		RIG(test_sizes),        RIG(test_two_groups),
		RIG(test_reboots),      RIG(test_unplugs),
		RIG(test_closes),       cmocka_unit_test_setup_teardown(test_v1, v1_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("kvm_spapr", tests, NULL, NULL);
}
