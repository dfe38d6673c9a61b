/* SPDX-License-Identifier: BSD-2-Clause */
/* Surprise removal of a function: what is left of it, and what others do to it meanwhile. */
#include "pci/test_util.h"

#include "file/fdtable.h"

#include <linux/pci_regs.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define PLAIN 0x1000 /* in BAR 2 */
#define TABLE 0x2000 /* the MSI-X table, in BAR 0 */

static void assert_ones(struct rig *r)
{
	const uint64_t *plain = pci_memory(&r->func->pub, 2, PLAIN);
	const uint64_t *table = pci_memory(&r->func->pub, 0, TABLE);
	uint64_t value = 0;
	uint32_t word = 0;

	assert_int_equal(cfg_read(r, 0, 4), UINT32_MAX);
	assert_int_equal(cfg_read(r, PCI_COMMAND, 2), UINT16_MAX);
	assert_int_equal(dev_read(r, 0, 0, &value, 8), 8);
	assert_true(value == UINT64_MAX);
	assert_int_equal(dev_read(r, 2, PLAIN, &word, 4), 4);
	assert_int_equal(word, UINT32_MAX);
	assert_int_equal(pci_mmio(r->func, 0x1000, &word, 4, false), 0);
	assert_int_equal(word, UINT32_MAX);
	for (unsigned int i = 0; i < 512; i++)
		assert_true(plain[i] == UINT64_MAX && table[i] == UINT64_MAX);
	assert_false(atomic_load(&r->func->iommu.enabled));
}

static void test_ones(void **state)
{
	struct rig *r = *state;
	int err = new_eventfd(), msix = new_eventfd();
	uint64_t value = 5;
	unsigned int asked;

	cfg_write(r, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_int_equal(set_irqs(r, EVFD | TRIG, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, &err), 0);
	assert_int_equal(set_irqs(r, EVFD | TRIG, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, &msix), 0);
	pci_irq(&r->func->pub, 0);
	assert_int_equal(eventfd_count(msix, 100), 1);
	asked = r->fake->nr;

	r->func->pub.dev.calls->unplug(&r->func->pub.dev);
	assert_int_equal(eventfd_count(err, 100), 1);
	assert_ones(r);
	assert_int_equal(dev_write(r, 0, 0x1000, &value, 8), 8);
	assert_int_equal(r->fake->nr, asked); /* the model is asked no more */
	pci_irq(&r->func->pub, 0);
	pci_intx(&r->func->pub, true);
	assert_int_equal(eventfd_count(msix, 0), 0);
	pci_func_unplug(r->func); /* a second time: nothing more happens */
	assert_int_equal(eventfd_count(err, 0), 0);
	close(err);
	close(msix);
}

static void test_nothing_comes_back(void **state)
{
	struct rig *r = *state;
	int resets;

	cfg_write(r, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	pci_func_unplug(r->func);
	resets = atomic_load(&r->fake->resets);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_RESET, NULL), 0);
	assert_int_equal(pci_func_reset(r->func), 0);
	assert_int_equal(atomic_load(&r->fake->resets), resets + 2);
	assert_ones(r);
	cfg_write(r, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_ones(r);
}

static long open_again(struct rig *r)
{
	struct file *group = fdtable_get(r->group);
	long rc = file_ioctl(group, &self_caller, VFIO_GROUP_GET_DEVICE_FD, (uintptr_t)r->func->name);

	file_put(group);
	return rc;
}

static void test_closed_for_good(void **state)
{
	struct rig *r = *state;

	pci_func_unplug(r->func);
	assert_int_equal(open_again(r), -ENODEV);
	close_device_fd(r);
	assert_int_equal(r->fake->closed, 1);
	assert_int_equal(open_again(r), -ENODEV);
	assert_int_equal(pci_func_reset(r->func), -ENODEV);
	assert_int_equal(pci_func_error(r->func), -ENODEV);
}

static _Atomic bool working;

/* Writes to the function's memory as the last thing that it does. */
static void write_late(struct uvfio_worker *worker)
{
	uint64_t *plain = pci_memory(worker->arg, 2, PLAIN);

	atomic_store(&working, true);
	while (!uvfio_worker_stopping(worker))
		sched_yield();
	__atomic_store_n(plain, 0, __ATOMIC_RELAXED);
}

static void test_ones_after_worker(void **state)
{
	struct rig *r = *state;
	struct uvfio_worker *worker;

	close_device_fd(r);
	r->func->host.created = false; /* as if its create made one */
	worker = uvfio_worker_new(&r->func->pub.dev, "late", write_late, &r->func->pub);
	assert_non_null(worker);
	open_device_again(r);
	uvfio_worker_kick(worker);
	while (!atomic_load(&working))
		sched_yield();
	pci_func_unplug(r->func);
	assert_ones(r);
}

/* What a model says instead of 0 is an error, whatever its sign, and the function can be opened later. */
static void test_refused_by_model(void **state)
{
	struct rig *r = *state;

	close_device_fd(r);
	r->fake->open_rc = -EBUSY;
	assert_int_equal(open_again(r), -EBUSY);
	r->fake->open_rc = 3;
	assert_int_equal(open_again(r), -EIO);
	assert_int_equal(r->fake->closed, 1);
	r->fake->open_rc = 0;
	open_device_again(r);
}

/* ---- with others at it */

static void *reset_often(void *arg)
{
	for (int i = 0; i < 20; i++)
		dev_ioctl(arg, VFIO_DEVICE_RESET, NULL);
	return NULL;
}

static void *use_often(void *arg)
{
	uint32_t value;

	for (int i = 0; i < 100; i++) {
		cfg_write(arg, PCI_COMMAND, i % 2 ? PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER : 0, 2);
		dev_read(arg, 2, PLAIN, &value, 4);
	}
	return NULL;
}

/* As a worker or an access to the device would. */
static void *unplug(void *arg)
{
	struct rig *r = arg;

	r->func->pub.dev.calls->unplug(&r->func->pub.dev);
	return NULL;
}

static void *unplug_from_outside(void *arg)
{
	pci_func_unplug(((struct rig *)arg)->func);
	return NULL;
}

static void test_under_load(void **state)
{
	void *(*const work[])(void *) = { reset_often, use_often, unplug, unplug_from_outside };
	pthread_t threads[ARRAY_SIZE(work)];

	(void)state;
	for (int round = 0; round < 40; round++) {
		struct rig *r;

		rig_setup((void **)&r);
		for (unsigned int i = 0; i < ARRAY_SIZE(work); i++)
			assert_int_equal(pthread_create(&threads[i], NULL, work[i], r), 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(work); i++)
			pthread_join(threads[i], NULL);
		assert_ones(r);
		rig_teardown((void **)&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ones, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_comes_back, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_closed_for_good, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_ones_after_worker, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refused_by_model, rig_setup, rig_teardown),
		cmocka_unit_test(test_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
