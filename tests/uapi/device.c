/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's ioctls with every size, and requests that are not its own. */
#include "client.h"

#include <string.h>

static void fill_index_0(struct client *c, void *arg)
{
	(void)c;
	(void)arg;
}

static void test_get_info(struct client *c)
{
	const struct sweep sweep = { c->device, VFIO_DEVICE_GET_INFO, 16, 16, fill_index_0, 0, NULL };

	sweep_argsz(c, &sweep);
}

static void test_get_region_info(struct client *c)
{
	const struct sweep sweep = { c->device, VFIO_DEVICE_GET_REGION_INFO, 32, 32, fill_index_0, 0, NULL };

	sweep_argsz(c, &sweep);
}

static void test_get_irq_info(struct client *c)
{
	const struct sweep sweep = { c->device, VFIO_DEVICE_GET_IRQ_INFO, 16, 16, fill_index_0, 0, NULL };

	sweep_argsz(c, &sweep);
}

static void fill_set_irqs(struct client *c, void *arg)
{
	struct vfio_irq_set *set = arg;

	/* the request interrupt, which every device has: no eventfd for it */
	(void)c;
	set->flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_REQ_IRQ_INDEX;
	set->count = 1;
}

static void test_set_irqs(struct client *c)
{
	/* well formed, but nothing is set up that could be triggered */
	const struct sweep sweep = { c->device, VFIO_DEVICE_SET_IRQS, 20, 20, fill_set_irqs, -EINVAL, NULL };

	sweep_argsz(c, &sweep);
}

static void fill_set_irqs_eventfd(struct client *c, void *arg)
{
	struct vfio_irq_set *set = arg;
	const int32_t none = -1;

	(void)c;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_REQ_IRQ_INDEX;
	set->count = 1;
	memcpy(set->data, &none, sizeof(none));
}

static void test_set_irqs_with_data(struct client *c)
{
	const struct sweep sweep = {
		c->device, VFIO_DEVICE_SET_IRQS, 20, 24, fill_set_irqs_eventfd, 0, NULL
	};

	sweep_argsz(c, &sweep);
}

static void fill_feature(struct client *c, void *arg)
{
	struct vfio_device_feature *feature = arg;

	(void)c;
	feature->flags = 0xffff | VFIO_DEVICE_FEATURE_GET;
}

static void test_feature(struct client *c)
{
	const struct sweep sweep = { c->device, VFIO_DEVICE_FEATURE, 8, 8, fill_feature, -ENOTTY, NULL };
	struct vfio_device_feature feature = { .argsz = sizeof(feature) };

	sweep_argsz(c, &sweep);
	feature.flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_FEATURE, &feature), -EINVAL);
	feature.flags = VFIO_DEVICE_FEATURE_MIGRATION | VFIO_DEVICE_FEATURE_PROBE;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_FEATURE, &feature), -ENOTTY);
}

static void fill_ioeventfd(struct client *c, void *arg)
{
	struct vfio_device_ioeventfd *ioeventfd = arg;

	/* no size: not a request that could be served, whatever its length */
	(void)c;
	ioeventfd->fd = -1;
}

static void test_ioeventfd(struct client *c)
{
	const struct sweep sweep = {
		c->device, VFIO_DEVICE_IOEVENTFD, 28, 28, fill_ioeventfd, -EINVAL, NULL
	};

	sweep_argsz(c, &sweep);
}

static void test_hot_reset(struct client *c)
{
	/* no room for a single device; no group that would prove the right to reset */
	const struct sweep info = {
		c->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 12, 12, fill_index_0, -ENOSPC, NULL
	};
	const struct sweep reset = {
		c->device, VFIO_DEVICE_PCI_HOT_RESET, 12, 12, fill_index_0, -EINVAL, NULL
	};

	sweep_argsz(c, &info);
	sweep_argsz(c, &reset);
}

static void test_reset(struct client *c)
{
	assert_int_equal(do_ioctl_value(c->device, VFIO_DEVICE_RESET, 0), 0);
	assert_int_equal(do_ioctl_value(c->device, VFIO_DEVICE_RESET, 1), 0);
}

static void test_foreign_requests(struct client *c)
{
	assert_int_equal(do_ioctl_value(c->device, VFIO_GET_API_VERSION, 0), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->device, VFIO_GROUP_GET_STATUS, 0), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->device, _IO(VFIO_TYPE, 255), 0), -ENOTTY);
	assert_int_equal(do_ioctl_value(c->device, 0, 0), -ENOTTY);
}

int main(void)
{
	static const struct test tests[] = {
		T_ALL(test_get_info),
		T_ALL(test_get_region_info),
		T_ALL(test_get_irq_info),
		T_ALL(test_set_irqs),
		T_ALL(test_feature),
		T_ALL(test_ioeventfd),
		T_ALL(test_set_irqs_with_data),
		T_ALL(test_reset),
		T(test_hot_reset), /* cdev.c has the other */
		T_ALL(test_foreign_requests),
	};

	return run_in_modes("device", tests, COUNT(tests));
}
