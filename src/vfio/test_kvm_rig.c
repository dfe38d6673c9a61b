/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfio/test_kvm_rig.h"

#include "file/fdtable.h"

#include <stdio.h>
#include <stdlib.h>

struct kvm vm_a = { 'A' }, vm_b = { 'B' };

void note(char *told, const struct kvm *kvm)
{
	size_t len = strlen(told);

	assert_true(len < 63);
	told[len] = kvm ? kvm->name : '-';
}

static void mdev_set_kvm(struct vfio_device *vdev, struct kvm *kvm)
{
	struct mdev *mdev = container_of(vdev, struct mdev, vdev);

	assert_true(!mdev->kvm == !!kvm);
	mdev->kvm = kvm;
	note(mdev->told, kvm);
}

static int mdev_open(struct vfio_device *vdev)
{
	struct mdev *mdev = container_of(vdev, struct mdev, vdev);

	mdev->at_open = mdev->kvm;
	if (!mdev->open_result && mdev->late)
		assert_int_equal(vfio_register_notifier(vdev, mdev->late), 0);
	return mdev->open_result;
}

static void mdev_close(struct vfio_device *vdev)
{
	struct mdev *mdev = container_of(vdev, struct mdev, vdev);

	if (mdev->late)
		assert_int_equal(vfio_unregister_notifier(vdev, mdev->late), 0);
}

static const struct vfio_device_ops mdev_ops = {
	.name = "mdev",
	.open_device = mdev_open,
	.close_device = mdev_close,
	.set_kvm = mdev_set_kvm,
};

int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	void *b;

	bench_setup(&b);
	r->b = b;
	for (unsigned int i = 0; i < NR; i++) {
		r->mdevs[i].vdev.ops = &mdev_ops;
		snprintf(r->mdevs[i].vdev.name, sizeof(r->mdevs[i].vdev.name), "mdev%u", i);
		assert_int_equal(vfio_register_emulated_iommu_dev(r->b->vfio, &r->mdevs[i].vdev, 20 + i / 2,
								  VFIO_ANY_INDEX),
				 0);
	}
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;
	void *b = r->b;

	for (unsigned int i = 0; i < NR; i++)
		vfio_unregister_device(&r->mdevs[i].vdev);
	bench_teardown(&b);
	free(r);
	return 0;
}

void set_kvm(int fd, struct kvm *kvm)
{
	struct file *file = fdtable_get(fd);

	assert_true(vfio_file_is_valid(file));
	vfio_file_set_kvm(file, kvm);
	file_put(file);
}

void unset_kvm(int fd, struct kvm *kvm)
{
	struct file *file = fdtable_get(fd);

	vfio_file_unset_kvm(file, kvm);
	file_put(file);
}
