/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of a PCI function. */
#include "pci_client.h"

static void test_set_irqs_arguments(struct client *c)
{
	int fd = new_eventfd();
	struct vfio_irq_set set = { .argsz = sizeof(set) - 1, .flags = NONE | TRIG, .index = REQ };

	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_SET_IRQS, NULL), -EFAULT);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_SET_IRQS, &set), -EINVAL);
	set = (struct vfio_irq_set){ .argsz = sizeof(set), .flags = EVFD | TRIG, .index = REQ, .count = 1 };
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_SET_IRQS, &set), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG, 5, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG, REQ, 1, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(c, NONE | TRIG, REQ, 0, UINT32_MAX, NULL), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG | 0x40, REQ, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | NONE | TRIG, REQ, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG | MASK, REQ, 0, 1, &fd), -ENOTTY);
	assert_int_equal(set_irqs(c, NONE | MASK, REQ, 0, 1, NULL), -ENOTTY);
	assert_int_equal(set_irqs(c, NONE | UNMASK, MSIX, 0, 1, NULL), -ENOTTY);
	close(fd);
}

/* ERR and REQ: one eventfd each. */
static void test_single_eventfds(struct client *c)
{
	static const uint32_t which[] = { ERR, REQ };
	const int off = -1, minus_two = -2, none = 1000;
	const uint8_t yes = 1;

	for (size_t i = 0; i < COUNT(which); i++) {
		uint32_t x = which[i];
		int a = new_eventfd(), b = new_eventfd(), null = open("/dev/null", O_RDWR | O_CLOEXEC);

		assert_int_equal(set_irqs(c, NONE | TRIG, x, 0, 0, NULL), -EINVAL);
		assert_int_equal(set_irqs(c, NONE | TRIG, x, 0, 1, NULL), -EINVAL);
		assert_int_equal(set_irqs(c, BOOL | TRIG, x, 0, 1, &yes), 0);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &none), -EBADF);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &null), -EINVAL);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &minus_two), -EINVAL);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &a), 0);
		assert_int_equal(set_irqs(c, NONE | TRIG, x, 0, 1, NULL), 0);
		assert_int_equal(signalled(a), 1);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &b), 0);
		assert_int_equal(set_irqs(c, BOOL | TRIG, x, 0, 1, &yes), 0);
		assert_int_equal(signalled(a), 0);
		assert_int_equal(signalled(b), 1);
		assert_int_equal(set_irqs(c, EVFD | TRIG, x, 0, 1, &off), 0);
		assert_int_equal(set_irqs(c, NONE | TRIG, x, 0, 1, NULL), -EINVAL);
		close(a);
		close(b);
		close(null);
	}
}

static bool msix_enabled(struct client *c)
{
	return cfg_read(c, find_cap(c, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_ENABLE;
}

static void test_msix(struct client *c)
{
	int fd[3] = { new_eventfd(), -1, new_eventfd() };
	const int off = -1, none = 1000;
	uint32_t last = irq_count(c, MSIX) - 1;

	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 0, 0, NULL), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 0, NULL), -ERANGE);
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 1, &none), -EBADF);
	assert_false(msix_enabled(c));
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 3, fd), 0);
	assert_true(msix_enabled(c));
	assert_int_equal(set_irqs(c, EVFD | TRIG, INTX, 0, 1, fd), -EINVAL);
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 0, 3, NULL), 0);
	assert_int_equal(signalled(fd[0]), 1);
	assert_int_equal(signalled(fd[2]), 1);
	/* a vector added later, and one taken away */
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, last, 1, &fd[0]), 0);
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 1, &off), 0);
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 0, last + 1, NULL), 0);
	assert_int_equal(signalled(fd[0]), 1);
	/* kept across a reset; the device has its own reference */
	assert_int_equal(do_ioctl_value(c->device, VFIO_DEVICE_RESET, 0), 0);
	assert_true(msix_enabled(c));
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 2, 1, NULL), 0);
	assert_int_equal(signalled(fd[2]), 2);
	close(fd[2]);
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 2, 1, NULL), 0);
	assert_int_equal(set_irqs(c, NONE | TRIG, MSIX, 0, 0, NULL), 0);
	assert_false(msix_enabled(c));
	close(fd[0]);
}

static void test_intx(struct client *c)
{
	int a = new_eventfd(), resample = new_eventfd();
	const int off = -1, none = 1000;

	assert_int_equal(set_irqs(c, NONE | MASK, INTX, 0, 1, NULL), -EINVAL);
	assert_int_equal(set_irqs(c, EVFD | TRIG, INTX, 0, 1, &none), -EBADF);
	assert_int_equal(set_irqs(c, EVFD | TRIG, INTX, 0, 1, &a), 0);
	assert_int_equal(set_irqs(c, EVFD | TRIG, MSIX, 0, 1, &a), -EINVAL);
	assert_int_equal(set_irqs(c, NONE | TRIG, INTX, 0, 1, NULL), 0);
	assert_int_equal(signalled(a), 1);
	assert_int_equal(set_irqs(c, NONE | MASK, INTX, 0, 1, NULL), 0);
	assert_int_equal(set_irqs(c, NONE | UNMASK, INTX, 0, 1, NULL), 0);
	assert_int_equal(signalled(a), 0);
	assert_int_equal(set_irqs(c, EVFD | MASK, INTX, 0, 1, &a), -ENOTTY);
	assert_int_equal(set_irqs(c, EVFD | UNMASK, INTX, 0, 1, &resample), 0);
	assert_int_equal(set_irqs(c, EVFD | UNMASK, INTX, 0, 1, &resample), -EBUSY);
	assert_int_equal(set_irqs(c, EVFD | UNMASK, INTX, 0, 1, &off), 0);
	assert_int_equal(set_irqs(c, NONE | TRIG, INTX, 0, 0, NULL), 0);
	assert_int_equal(set_irqs(c, NONE | TRIG, INTX, 0, 0, NULL), -EINVAL);
	close(a);
	close(resample);
}

int main(void)
{
	static const struct test tests[] = {
		T_ALL(test_set_irqs_arguments),
		T_ALL(test_single_eventfds),
		T_ALL(test_msix),
		T_ALL(test_intx),
	};

	return run_in_modes("pci_irq", tests, COUNT(tests));
}
