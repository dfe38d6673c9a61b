/* SPDX-License-Identifier: BSD-2-Clause */
/* The notifiers of <uvfio/device.h>, on a PCI function. */
#include "pci/test_util.h"

#include "file/fdtable.h"

#include <string.h>

struct told {
	struct uvfio_notifier notifier;
	struct kvm *kvm;
	unsigned int times;
	bool leaves;
};

static void set_kvm(struct uvfio_notifier *notifier, struct kvm *kvm)
{
	struct told *told = container_of(notifier, struct told, notifier);

	told->kvm = kvm;
	told->times++;
	if (!told->leaves)
		return;
	assert_int_equal(uvfio_unregister_notifier(notifier->dev, notifier), 0);
	memset(notifier, 0x5a, sizeof(*notifier)); /* nobody looks there */
}

static void dma_unmap(struct uvfio_notifier *notifier, uint64_t iova, uint64_t length)
{
	(void)notifier;
	(void)iova;
	(void)length;
	fail();
}

static void test_notifier(void **state)
{
	struct rig *r = *state;
	struct uvfio_device *dev = &r->func->pub.dev;
	struct told told = { .notifier = { .set_kvm = set_kvm } };
	struct uvfio_notifier none = { 0 }, unmaps = { .dma_unmap = dma_unmap };
	struct file *group = fdtable_get(r->group);
	struct kvm *kvm = (struct kvm *)r;

	assert_int_equal(uvfio_register_notifier(dev, &none), -EINVAL);
	assert_int_equal(uvfio_register_notifier(dev, &unmaps), -EOPNOTSUPP);
	assert_int_equal(uvfio_unregister_notifier(dev, &unmaps), -ENOENT);
	assert_int_equal(uvfio_register_notifier(dev, &told.notifier), 0);
	assert_int_equal(uvfio_register_notifier(dev, &told.notifier), -EEXIST);
	assert_ptr_equal(told.notifier.dev, dev);
	vfio_file_set_kvm(group, kvm);
	assert_ptr_equal(told.kvm, kvm);
	assert_int_equal(uvfio_unregister_notifier(dev, &told.notifier), 0);
	assert_null(told.kvm);
	assert_int_equal(uvfio_unregister_notifier(dev, &told.notifier), -ENOENT);
	assert_int_equal(told.times, 2);
	told.leaves = true;
	assert_int_equal(uvfio_register_notifier(dev, &told.notifier), 0);
	assert_ptr_equal(told.kvm, kvm);
	vfio_file_set_kvm(group, NULL);
	assert_int_equal(told.times, 3);
	file_put(group);
}

static int in_create = 1;
static struct uvfio_notifier early = { .set_kvm = set_kvm };

static int create(struct uvfio_pci_func *pub, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	(void)err, (void)err_len;
	*desc = fake_desc;
	in_create = uvfio_register_notifier(&pub->dev, &early);
	return 0;
}

static void test_in_create(void **state)
{
	struct rig *r = *state;
	static struct uvfio_pci_model model;
	const struct uvfio_pci_model *fake = r->func->model;
	struct pci_func_config config = { .group_id = 7, .vfio_index = VFIO_ANY_INDEX };
	struct pci_func *func;
	char err[128] = "";

	model = *fake;
	model.ops.create = create;
	assert_int_equal(pci_parse_bdf("0000:00:07.0", &config.slot), 0);
	assert_int_equal(pci_func_create(r->vfio, &model, &config, &func, err, sizeof(err)), 0);
	assert_int_equal(in_create, -ENODEV);
	pci_func_destroy(func);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_notifier, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_in_create, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
