/* SPDX-License-Identifier: BSD-2-Clause */
/* Groups that come, and leave, beside others: what hypercalls under way still owe them. */
#include "kvm/spapr/test_rig.h"

#include "iommu/dma.h"

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

static void *stuff(void *arg)
{
	assert_int_equal(hcall(arg, UVFIO_H_STUFF_TCE, 0, 0, TG), 0);
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
	usleep(50000); /* it waits */
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
}

int main(void)
{
	const struct CMUnitTest tests[] = { RIG(test_detached_meanwhile) };

	return cmocka_run_group_tests_name("kvm_spapr_leave", tests, NULL, NULL);
}
