/* SPDX-License-Identifier: BSD-2-Clause */
/* What it costs to tell drivers to which VM their devices belong (library, no ioctl). */
#include "bench.h"

#include "vfio/vfio.h"

#include <fcntl.h>
#include <string.h>

#define MANY  1000u
#define TIMES 100

static struct vfio *vfio;
static struct vfio_device vdev = { .name = "mdev" };
static const struct vfio_device_ops ops = { .name = "mdev" };
static struct vfio_notifier notifiers[MANY];
static unsigned long told;

static void check(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "bench_notify: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static void tell(struct vfio_notifier *notifier, struct kvm *kvm)
{
	(void)notifier;
	(void)kvm;
	told++;
}

/* One notifier more and less, ns. */
static double registering(void)
{
	struct vfio_notifier one = { .set_kvm = tell };
	double v[RUNS];

	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		for (int i = 0; i < TIMES; i++) {
			check(vfio_register_notifier(&vdev, &one), "register");
			check(vfio_unregister_notifier(&vdev, &one), "unregister");
		}
		v[r] = (bench_now_ns() - t) / TIMES;
	}
	return bench_median(v, RUNS);
}

/* A VM set and taken away with nr notifiers registered, ns for one of the two. */
static double setting(struct file *file, unsigned int nr)
{
	struct kvm *kvm = (struct kvm *)&vdev;
	double v[RUNS];

	for (unsigned int i = 0; i < nr; i++) {
		notifiers[i].set_kvm = tell;
		check(vfio_register_notifier(&vdev, &notifiers[i]), "register");
	}
	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		told = 0;
		for (int i = 0; i < TIMES; i++) {
			vfio_file_set_kvm(file, kvm);
			vfio_file_set_kvm(file, NULL);
		}
		v[r] = (bench_now_ns() - t) / (2 * TIMES);
		check(told == 2ul * TIMES * nr ? 0 : -EPROTO, "each is told once");
	}
	for (unsigned int i = 0; i < nr; i++)
		check(vfio_unregister_notifier(&vdev, &notifiers[i]), "unregister");
	return bench_median(v, RUNS);
}

int main(void)
{
	struct iommu_params params;
	struct file *file;
	double few, many;

	iommu_params_default(&params);
	vfio = vfio_new(&params, false);
	vdev.ops = &ops;
	check(vfio ? vfio_register_emulated_iommu_dev(vfio, &vdev, 1, VFIO_ANY_INDEX) : -ENOMEM, "device");
	check(vfio_group_open(vfio, 1, false, O_RDWR, &file), "group");
	bench_row("register+unregister a notifier", registering(), "ns", NULL, 0, NULL, false);
	few = setting(file, MANY / 10);
	many = setting(file, MANY);
	bench_row("set_kvm with 1000 notifiers", many / 1e3, "us", "10 times 100", few / 1e2, "linear",
		  many <= 15 * few);
	file_put(file);
	vfio_unregister_device(&vdev);
	vfio_free(vfio);
	return 0;
}
