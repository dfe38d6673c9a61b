/* SPDX-License-Identifier: BSD-2-Clause */
/* Groups that come, and leave, beside others: what hypercalls under way still owe them. */
#include "kvm/spapr/test_rig.h"

#include "iommu/dma.h"
#include "vfio/spapr.h"

#include <pthread.h>

#define R  1u
#define W  2u
#define TG (MIB / PG)

static struct client second_container(const struct rig *r)
{
	struct client other = *r->t;

	open_all(r->t->bench, 2, VFIO_SPAPR_TCE_v2_IOMMU, &other.c, &other.g);
	assert_int_equal(remove_at(&other, 0), 0);
	assert_int_equal(create(&other, 12, MIB, 1, NULL), 0);
	return other;
}

static struct uvfio_dma *device(struct rig *r, unsigned int fake)
{
	struct iommu_dev *dev = &r->t->bench->fake[fake].iommu_dev;

	atomic_store(&dev->enabled, true);
	return dma_user_new(dev, NULL);
}

static int read_byte(struct uvfio_dma *dma)
{
	char byte;

	return dma_read(dma, 0, &byte, 1, "test");
}

static atomic_bool stuffed;

static void *stuff(void *arg)
{
	assert_int_equal(hcall(arg, UVFIO_H_STUFF_TCE, 0, 0, TG), 0);
	atomic_store(&stuffed, true);
	return NULL;
}

static void *unplug(void *arg)
{
	struct rig *r = arg;

	assert_int_equal(del_group(r, r->t->g), 0);
	return NULL;
}

/*
 * While a hypercall waits for a device of one table, the other table is detached. If the hypercall has taken
 * anything out of that, its device does not use it any more.
 */
static void test_detached_meanwhile(void **state)
{
	struct rig *r = *state;
	struct client other = second_container(r);
	int fd = (int)create_table(r, LIOBN, 12, 0, TG);
	struct uvfio_dma *first = device(r, 0), *second = device(r, 2);
	struct iommu_translation to;
	pthread_t vcpu, monitor;
	bool waits;

	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(add_group(r, other.g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(tie(r, other.g, fd), 0); /* stands in front */
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R | W, 0), 0);
	dma_begin(first);
	assert_int_equal(read_byte(first), 0);
	dma_end(first);
	dma_begin(second);
	assert_int_equal(read_byte(second), 0);
	assert_int_equal(pthread_create(&vcpu, NULL, stuff, r), 0);
	while (!iommu_domain_translate(domain_of(r->t->bench, 2), 0, IOMMU_READ, &to))
		usleep(1000);
	usleep(50000);
	waits = !atomic_load(&stuffed);
	assert_int_equal(pthread_create(&monitor, NULL, unplug, r), 0);
	while (atomic_load(&atomic_load(&atomic_load(&spapr_of(r)->tables)->hw)->next))
		usleep(1000);
	dma_end(second);
	pthread_join(vcpu, NULL);
	dma_begin(first);
	assert_int_equal(!read_byte(first), !!translated(r->t, 0, IOMMU_READ));
	dma_end(first);
	pthread_join(monitor, NULL);
	dma_user_free(first);
	dma_user_free(second);
	close_fd(fd);
	assert_int_equal(del_group(r, other.g), 0);
	close_fd(other.g);
	close_fd(other.c);
	assert_true(waits);
}

/* ---- who is tied, and how often */

static uint32_t nr_hw(const struct rig *r)
{
	uint32_t nr = 0;

	for (struct hw_table *hw = atomic_load(&atomic_load(&spapr_of(r)->tables)->hw); hw; hw = hw->next)
		nr++;
	return nr;
}

/* Two groups of one container: its table is there once, until both have left. */
static void test_one_container(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG), g2 = open_group(r->t->bench, 2);

	assert_int_equal(call_ptr(g2, VFIO_GROUP_SET_CONTAINER, &r->t->c), 0);
	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(add_group(r, g2), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(tie(r, g2, fd), 0);
	assert_int_equal(tie(r, g2, fd), 0); /* once more */
	assert_int_equal(nr_hw(r), 1);
	assert_int_equal(atomic_load(&atomic_load(&spapr_of(r)->tables)->hw)->attachments, 2);
	assert_int_equal(del_group(r, r->t->g), 0);
	assert_int_equal(nr_hw(r), 1);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R, 0), 0);
	assert_int_equal(translated(r->t, 0, IOMMU_READ), (uintptr_t)r->t->memory);
	assert_int_equal(del_group(r, g2), 0);
	assert_int_equal(nr_hw(r), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, 0, 0), 0);
	assert_int_equal(translated(r->t, 0, IOMMU_READ), (uintptr_t)r->t->memory); /* the program's now */
	close_fd(g2);
	close_fd(fd);
}

/* A window that is made anew is another one: the group is tied again. Both go with the group. */
static void test_window_anew(void **state)
{
	struct rig *r = *state;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG);

	assert_int_equal(add_group(r, r->t->g), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R, 0), 0);
	assert_int_equal(remove_at(r->t, 0), 0);
	assert_int_equal(tie(r, r->t->g, fd), -EINVAL);
	assert_int_equal(create(r->t, 12, MIB, 2, NULL), 0);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R, 0), 0);
	assert_int_equal(translated(r->t, 0, IOMMU_READ), 0);
	assert_int_equal(tie(r, r->t->g, fd), 0);
	assert_int_equal(nr_hw(r), 2);
	assert_int_equal(hcall(r, UVFIO_H_PUT_TCE, 0, GPA | R, 0), 0);
	assert_int_equal(translated(r->t, 0, IOMMU_READ), (uintptr_t)r->t->memory);
	assert_int_equal(del_group(r, r->t->g), 0);
	assert_int_equal(nr_hw(r), 0);
	close_fd(fd);
}

/* The window is that of a container that another process has made. */
static void tie_as_another_process(const struct rig *r, int fd)
{
	struct file *file = fdtable_get(r->t->g);
	struct tce_table *window = vfio_spapr_get_table(file, 0, MIB, 12);
	struct mm *mm = window->mm, other = { .self = false };
	long rc;

	window->mm = &other;
	rc = tie(r, r->t->g, fd);
	window->mm = mm;
	tce_table_put(window);
	file_put(file);
	assert_int_equal(rc, -EINVAL);
}

/* A device's file has no table; nor has another VM this one's. */
static void test_not_ours(void **state)
{
	struct rig *r = *state, other = *r;
	int fd = (int)create_table(r, LIOBN, 12, 0, TG), device = get_device(r->t->g, NAME_A);

	assert_true(device >= 0);
	assert_int_equal(add_group(r, device), 0);
	assert_int_equal(tie(r, device, fd), -EIO);
	assert_int_equal(tie(r, device, 9999), -EIO);
	assert_int_equal(del_group(r, device), 0);
	close_fd(device);
	other.vm = (int)call(r->sys, KVM_CREATE_VM, KVM_VM_PPC_HV);
	other.kv = new_device(&other);
	assert_int_equal(add_group(&other, r->t->g), 0);
	assert_int_equal(tie(&other, r->t->g, fd), -EINVAL);
	assert_int_equal(tie(r, r->t->g, fd), -ENOENT);
	close_fd(other.kv);
	close_fd(other.vm);
	assert_int_equal(add_group(r, r->t->g), 0);
	tie_as_another_process(r, fd);
	close_fd(fd);
}

/* One group in two tables leaves both. */
static void test_two_tables(void **state)
{
	struct rig *r = *state;
	int fds[] = { (int)create_table(r, LIOBN, 12, 0, TG), (int)create_table(r, LIOBN + 1, 12, 0, TG) };

	assert_int_equal(add_group(r, r->t->g), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(tie(r, r->t->g, fds[i]), 0);
	assert_int_equal(del_group(r, r->t->g), 0);
	for (struct guest_table *table = atomic_load(&spapr_of(r)->tables); table; table = table->next) {
		assert_null(atomic_load(&table->hw));
		assert_true(cds_list_empty(&table->attachments));
	}
	close_fd(fds[0]);
	close_fd(fds[1]);
}

/* Memory of a container that has gone is given back when nothing of another one points there any more. */
static void test_memory_left(void **state)
{
	struct rig *r = *state;
	struct client other = second_container(r);
	uint64_t locked, size = PG;

	assert_int_equal(reg(&other, r->t->memory + 20 * MIB, MIB, true), 0);
	assert_int_equal(map(r->t->c, 0, r->t->memory + 20 * MIB, PG, RW), 0);
	close_fd(other.g);
	close_fd(other.c);
	locked = r->t->mm->locked_pages;
	assert_int_equal(unmap(r->t->c, 0, &size, 0), 0);
	assert_int_equal(locked - r->t->mm->locked_pages, MIB / PG);
}

int main(void)
{
	const struct CMUnitTest tests[] = { RIG(test_detached_meanwhile), RIG(test_one_container),
					    RIG(test_two_tables),         RIG(test_memory_left),
					    RIG(test_window_anew),        RIG(test_not_ours) };

	return cmocka_run_group_tests_name("kvm_spapr_leave", tests, NULL, NULL);
}
