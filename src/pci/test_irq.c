/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts: SET_IRQS in all its forms, what the model raises, and the INTx line. */
#include "pci/test_util.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTX VFIO_PCI_INTX_IRQ_INDEX
#define MSI  VFIO_PCI_MSI_IRQ_INDEX
#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define ERR  VFIO_PCI_ERR_IRQ_INDEX
#define REQ  VFIO_PCI_REQ_IRQ_INDEX

static const int off = -1;
static const int closed_fd = 1000;
static const uint8_t yes = 1, no = 0;

static bool msix_enabled(struct rig *r)
{
	return cfg_read(r, find_cap(r, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_ENABLE;
}

static void test_info(void **state)
{
	static const uint32_t flags[] = { 7, 9, 1, 9, 9 }, count[] = { 1, 0, 65, 1, 1 };
	struct rig *r = *state;

	for (uint32_t i = 0; i < 7; i++) {
		struct vfio_irq_info info = { .argsz = sizeof(info), .index = i };

		assert_int_equal(dev_ioctl(r, VFIO_DEVICE_GET_IRQ_INFO, &info), i < 5 ? 0 : -EINVAL);
		assert_int_equal(info.flags, i < 5 ? flags[i] : 0);
		assert_int_equal(info.count, i < 5 ? count[i] : 0);
	}
}

static void test_arguments(void **state)
{
	struct rig *r = *state;
	struct vfio_irq_set set = { .argsz = 19, .flags = NONE | TRIG, .index = REQ };
	int fd = new_eventfd();

	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_SET_IRQS, &set), -EINVAL);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_SET_IRQS, NULL), -EFAULT);
	assert_int_equal(set_irqs(r, EVFD | TRIG, REQ, 0, 1, &fd), 0);
	assert_int_equal(set_irqs(r, EVFD | TRIG, 5, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG, REQ, 1, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG, REQ, 0, 2, NULL), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG | 64, REQ, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | NONE | TRIG, REQ, 0, 1, &fd), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD, REQ, 0, 1, &fd), -ENOTTY);
	assert_int_equal(set_irqs(r, EVFD | TRIG | MASK, REQ, 0, 1, &fd), -ENOTTY);
	assert_int_equal(set_irqs(r, NONE | MASK, REQ, 0, 1, NULL), -ENOTTY);
	assert_int_equal(set_irqs(r, NONE | UNMASK, MSIX, 0, 1, NULL), -ENOTTY);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSI, 0, 1, &fd), -EINVAL);
	close(fd);
}

static void test_req(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd(), b = new_eventfd(), minus_two = -2;

	assert_int_equal(set_irqs(r, NONE | TRIG, REQ, 0, 0, NULL), -EINVAL);
	assert_int_equal(set_irqs(r, NONE | TRIG, REQ, 0, 1, NULL), -EINVAL);
	assert_int_equal(set_irqs(r, BOOL | TRIG, REQ, 0, 1, &yes), 0);
	assert_int_equal(set_irqs(r, BOOL | TRIG, REQ, 0, 0, NULL), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG, REQ, 0, 1, &minus_two), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG, REQ, 0, 1, &a), 0);
	r->func->vdev.ops->request(&r->func->vdev, 0);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(set_irqs(r, NONE | TRIG, REQ, 0, 1, NULL), 0);
	assert_int_equal(set_irqs(r, BOOL | TRIG, REQ, 0, 1, &no), 0);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(set_irqs(r, EVFD | TRIG, REQ, 0, 1, &b), 0);
	assert_int_equal(set_irqs(r, EVFD | TRIG, REQ, 0, 1, &closed_fd), -EBADF);
	assert_int_equal(set_irqs(r, NONE | TRIG, REQ, 0, 1, NULL), 0);
	assert_int_equal(eventfd_count(a, 0), 0);
	assert_int_equal(eventfd_count(b, 0), 1);
	assert_int_equal(set_irqs(r, NONE | TRIG, REQ, 0, 0, NULL), 0);
	assert_int_equal(set_irqs(r, NONE | TRIG, REQ, 0, 0, NULL), -EINVAL);
	close(a);
	close(b);
}

static void test_err(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd();

	uvfio_pci_report_error(&r->func->pub); /* nobody listens */
	assert_int_equal(set_irqs(r, EVFD | TRIG, ERR, 0, 1, &a), 0);
	uvfio_pci_report_error(&r->func->pub);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(set_irqs(r, EVFD | TRIG, ERR, 0, 1, &off), 0);
	uvfio_pci_report_error(&r->func->pub);
	assert_int_equal(eventfd_count(a, 0), 0);
	close(a);
}

static void test_msix(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd(), b = new_eventfd();

	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 0, NULL), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 0, NULL), -ERANGE);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 1, &closed_fd), -EBADF);
	assert_false(msix_enabled(r));
	uvfio_pci_irq(&r->func->pub, 0);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 1, &a), 0);
	assert_true(msix_enabled(r));
	assert_int_equal(pci_irq_mode(&r->func->pub), UVFIO_IRQ_MSIX);
	assert_int_equal(eventfd_count(a, 0), 0);
	uvfio_pci_irq(&r->func->pub, 0);
	uvfio_pci_irq(&r->func->pub, 1);
	uvfio_pci_irq(&r->func->pub, 70000);
	assert_int_equal(eventfd_count(a, 0), 1);
	/* added later, replaced, taken away */
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 64, 1, &b), 0);
	uvfio_pci_irq(&r->func->pub, 64);
	assert_int_equal(eventfd_count(b, 0), 1);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 1, &b), 0);
	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 65, NULL), 0);
	assert_int_equal(eventfd_count(a, 0), 0);
	assert_int_equal(eventfd_count(b, 0), 2);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 1, &off), 0);
	uvfio_pci_irq(&r->func->pub, 0);
	assert_int_equal(eventfd_count(b, 0), 0);
	assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), -EINVAL);
	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 0, NULL), 0);
	assert_false(msix_enabled(r));
	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 1, 0, NULL), -EINVAL);
	close(a);
	close(b);
}

/* A block that fails leaves the vectors up to the failing one empty, and the rest as it was. */
static void test_msix_failed_block(void **state)
{
	static const uint8_t bools[] = { 1, 0, 1, 0 };
	static const long counts[] = { 1, 0, 1, 1 }, by_bools[] = { 1, 0, 1, 0 }, after[] = { 0, 0, 1, 1 };
	struct rig *r = *state;
	int fd[4], block[4];

	for (int i = 0; i < 4; i++)
		fd[i] = block[i] = new_eventfd();
	block[1] = -1;
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 4, block), 0);
	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 4, NULL), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(eventfd_count(fd[i], 0), counts[i]);
	assert_int_equal(set_irqs(r, BOOL | TRIG, MSIX, 0, 4, bools), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(eventfd_count(fd[i], 0), by_bools[i]);
	block[1] = closed_fd;
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 4, block), -EBADF);
	assert_true(msix_enabled(r));
	for (unsigned int i = 0; i < 4; i++)
		uvfio_pci_irq(&r->func->pub, i);
	for (int i = 0; i < 4; i++)
		assert_int_equal(eventfd_count(fd[i], 0), after[i]);
	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 0, NULL), 0);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 4, block), -EBADF);
	assert_false(msix_enabled(r));
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

/* The function has references of its own; a reset keeps interrupts; the last close lets go of them. */
static void test_lifetime(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd(), copy = dup(a);

	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 3, 1, &a), 0);
	close(a);
	assert_int_equal(dev_ioctl(r, VFIO_DEVICE_RESET, NULL), 0);
	assert_true(msix_enabled(r));
	uvfio_pci_irq(&r->func->pub, 3);
	assert_int_equal(eventfd_count(copy, 0), 1);
	close_device_fd(r);
	uvfio_pci_irq(&r->func->pub, 3);
	assert_int_equal(eventfd_count(copy, 0), 0);
	open_device_again(r);
	assert_false(msix_enabled(r));
	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 1, NULL), -EINVAL);
	close(copy);
}

static void test_msi(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd(), fds[2] = { -1, a };

	assert_int_equal(set_irqs(r, EVFD | TRIG, ERR, 0, 1, &a), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSI, 0, 2, fds), 0);
	uvfio_pci_irq(&r->func->pub, 1);
	assert_int_equal(eventfd_count(a, 0), 1);
	/* two vectors of the four asked for: the function shares them */
	uvfio_pci_irq(&r->func->pub, 3);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSI, 2, 1, &a), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSI, 2, 1, &off), 0);
	assert_int_equal(set_irqs(r, NONE | MASK, MSI, 0, 1, NULL), -ENOTTY);
	assert_int_equal(set_irqs(r, NONE | TRIG, MSI, 0, 0, NULL), 0);
	assert_int_equal(pci_irq_mode(&r->func->pub), UVFIO_IRQ_NONE);
	close(a);
}

/* A message is a memory write: without bus mastering the function cannot send one. The INTx line is none. */
static void test_msi_needs_master(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd();

	cfg_write(r, PCI_COMMAND, 0x0103, 2);
	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 1, &a), 0);
	uvfio_pci_irq(&r->func->pub, 0);
	assert_int_equal(eventfd_count(a, 0), 0);
	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 1, NULL), 0);
	assert_int_equal(eventfd_count(a, 0), 1);
	cfg_write(r, PCI_COMMAND, 0x0107, 2);
	assert_int_equal(eventfd_count(a, 0), 0);
	uvfio_pci_irq(&r->func->pub, 0);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 0, NULL), 0);
	cfg_write(r, PCI_COMMAND, 0x0103, 2);
	assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), 0);
	uvfio_pci_intx(&r->func->pub, true);
	assert_int_equal(eventfd_count(a, 0), 1);
	uvfio_pci_intx(&r->func->pub, false);
	close(a);
}

static void raise_too_much(struct uvfio_pci_func *func)
{
	uvfio_pci_irq(func, 64);
	uvfio_pci_irq(func, 65);
	uvfio_pci_irq(func, UINT32_MAX);
}

static void drive_no_line(struct uvfio_pci_func *func)
{
	uvfio_pci_intx(func, false);
	uvfio_pci_intx(func, true);
	uvfio_pci_intx(func, true);
}

/* What is said on standard error while act runs. */
static void expect_said(struct rig *r, void (*act)(struct uvfio_pci_func *func), const char *line)
{
	int errors = dup(STDERR_FILENO), ends[2];
	char said[512] = "";

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	act(&r->func->pub);
	dup2(errors, STDERR_FILENO);
	close(ends[1]);
	assert_true(read(ends[0], said, sizeof(said) - 1) >= 0);
	assert_string_equal(said, line);
	close(ends[0]);
	close(errors);
}

/* Interrupts that the model has not declared are its mistake: said once, and nothing comes of it. */
static void test_undeclared(void **state)
{
	static const char line[] =
		"uvfio: 0000:00:01.0: the model fake raises interrupt vector 65 and has declared "
		"65: nothing happens; declare more with msix_vectors or msi_vectors\n";
	struct rig *r = *state;
	int a = new_eventfd();

	assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 64, 1, &a), 0);
	expect_said(r, raise_too_much, line);
	assert_int_equal(eventfd_count(a, 0), 1);
	r->func->desc.intx = 0;
	expect_said(r, drive_no_line,
		    "uvfio: 0000:00:01.0: the model fake drives INTx and has declared none: nothing happens; "
		    "declare "
		    "it with intx\n");
	assert_false(cfg_read(r, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	close(a);
}

static void test_intx_automask(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd();

	assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), 0);
	uvfio_pci_intx(&r->func->pub, true);
	uvfio_pci_intx(&r->func->pub, true);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_true(cfg_read(r, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	/* still high: once more, and masked again */
	assert_int_equal(set_irqs(r, NONE | UNMASK, INTX, 0, 1, NULL), 0);
	assert_int_equal(eventfd_count(a, 0), 1);
	uvfio_pci_intx(&r->func->pub, false);
	uvfio_pci_intx(&r->func->pub, true);
	assert_int_equal(eventfd_count(a, 0), 0);
	uvfio_pci_intx(&r->func->pub, false);
	assert_false(cfg_read(r, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	assert_int_equal(set_irqs(r, BOOL | UNMASK, INTX, 0, 1, &yes), 0);
	assert_int_equal(eventfd_count(a, 0), 0);
	uvfio_pci_intx(&r->func->pub, true);
	assert_int_equal(eventfd_count(a, 0), 1);
	uvfio_pci_irq(&r->func->pub, 0); /* no vector of this mode */
	assert_int_equal(eventfd_count(a, 0), 0);
	close(a);
}

static void test_intx_mask(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd();

	assert_int_equal(set_irqs(r, NONE | MASK, INTX, 0, 1, NULL), -EINVAL);
	assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), 0);
	assert_int_equal(set_irqs(r, NONE | MASK, INTX, 0, 1, NULL), 0);
	uvfio_pci_intx(&r->func->pub, true);
	assert_int_equal(eventfd_count(a, 0), 0);
	assert_int_equal(set_irqs(r, NONE | TRIG, INTX, 0, 1, NULL), 0);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(set_irqs(r, BOOL | UNMASK, INTX, 0, 1, &no), 0);
	assert_int_equal(eventfd_count(a, 0), 0);
	assert_int_equal(set_irqs(r, NONE | UNMASK, INTX, 0, 1, NULL), 0);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(set_irqs(r, EVFD | MASK, INTX, 0, 1, &a), -ENOTTY);
	assert_int_equal(set_irqs(r, NONE | MASK, INTX, 0, 0, NULL), -EINVAL);
	close(a);
}

/* COMMAND.INTX_DISABLE: no signal at all while it is set, and what has been pending when it is cleared. */
static void test_intx_disable(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd();

	cfg_write(r, PCI_COMMAND, 0x0503, 2);
	assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), 0);
	uvfio_pci_intx(&r->func->pub, true);
	assert_int_equal(set_irqs(r, NONE | TRIG, INTX, 0, 1, NULL), 0);
	assert_int_equal(set_irqs(r, NONE | UNMASK, INTX, 0, 1, NULL), 0);
	assert_int_equal(eventfd_count(a, 0), 0);
	cfg_write(r, PCI_COMMAND, 0x0103, 2);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(set_irqs(r, NONE | TRIG, INTX, 0, 0, NULL), 0);
	assert_int_equal(set_irqs(r, NONE | TRIG, INTX, 0, 0, NULL), -EINVAL);
	/* high when it is enabled */
	assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), 0);
	assert_int_equal(eventfd_count(a, 0), 1);
	close(a);
}

/* Closing the descriptor ends the watch, as in the kernel; a duplicate keeps it. */
static void test_intx_resample_closed(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd(), resample = new_eventfd(), again = new_eventfd(), copy = dup(resample);
	uint64_t one = 1;

	assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), 0);
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &resample), 0);
	close(resample);
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &again), -EBUSY);
	close(copy);
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &again), 0);
	uvfio_pci_intx(&r->func->pub, true);
	assert_int_equal(eventfd_count(a, 0), 1);
	assert_int_equal(write(again, &one, sizeof(one)), sizeof(one));
	assert_int_equal(eventfd_count(a, 5000), 1);
	uvfio_pci_intx(&r->func->pub, false);
	close(a);
	close(again);
}

static void test_intx_resample(void **state)
{
	struct rig *r = *state;
	int a = new_eventfd(), resample = new_eventfd();
	uint64_t one = 1;

	assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), 0);
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &resample), 0);
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &resample), -EBUSY);
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &closed_fd), -EBADF);
	uvfio_pci_intx(&r->func->pub, true);
	assert_int_equal(eventfd_count(a, 0), 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(write(resample, &one, sizeof(one)), sizeof(one));
		assert_int_equal(eventfd_count(a, 5000), 1);
	}
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &off), 0);
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &off), 0);
	assert_int_equal(write(resample, &one, sizeof(one)), sizeof(one));
	assert_int_equal(eventfd_count(a, 20), 0);
	assert_int_equal(set_irqs(r, EVFD | UNMASK, INTX, 0, 1, &a), 0);
	close(a);
	close(resample);
}

struct raiser {
	struct pci_func *func;
	_Atomic bool stop;
};

static void *raise(void *arg)
{
	struct raiser *raiser = arg;

	for (unsigned int i = 0; !raiser->stop; i++) {
		uvfio_pci_irq(&raiser->func->pub, i % 4);
		uvfio_pci_intx(&raiser->func->pub, i & 1);
	}
	return NULL;
}

/* Threads raise interrupts while their eventfds come and go. */
static void test_concurrent(void **state)
{
	struct rig *r = *state;
	struct raiser raiser = { .func = r->func };
	int a = new_eventfd(), b = new_eventfd();
	time_t end = time(NULL) + 2;
	pthread_t thread[2];
	long sum = 0;

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, raise, &raiser), 0);
	/* on a busy machine each round may wait for a thread that is not running */
	for (int i = 0; i < 300 && (time(NULL) < end || i < 10); i++) {
		const int fds[] = { a, b, i & 1 ? a : -1, b };

		assert_int_equal(set_irqs(r, EVFD | TRIG, MSIX, 0, 4, fds), 0);
		sum += eventfd_count(a, 0) + eventfd_count(b, 10);
		assert_int_equal(set_irqs(r, NONE | TRIG, MSIX, 0, 0, NULL), 0);
		assert_int_equal(set_irqs(r, EVFD | TRIG, INTX, 0, 1, &a), 0);
		assert_int_equal(set_irqs(r, NONE | TRIG, INTX, 0, 0, NULL), 0);
	}
	raiser.stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_true(sum > 0);
	/* nothing is signalled any more */
	eventfd_count(a, 0);
	uvfio_pci_irq(&r->func->pub, 0);
	assert_int_equal(eventfd_count(a, 0), 0);
	close(a);
	close(b);
}

static int master_setup(void **state)
{
	rig_setup(state);
	cfg_write(*state, PCI_COMMAND, 0x0107, 2);
	return 0;
}

static int master_setup_msi(void **state)
{
	rig_setup_msi(state);
	cfg_write(*state, PCI_COMMAND, 0x0107, 2);
	return 0;
}

#define CASE(name)     cmocka_unit_test_setup_teardown(name, master_setup, rig_teardown)
#define CASE_MSI(name) cmocka_unit_test_setup_teardown(name, master_setup_msi, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_info),
		CASE(test_arguments),
		CASE(test_req),
		CASE(test_err),
		CASE(test_msix),
		CASE(test_msix_failed_block),
		CASE(test_lifetime),
		CASE_MSI(test_msi),
		CASE(test_intx_automask),
		CASE(test_msi_needs_master),
		CASE(test_intx_mask),
		CASE(test_intx_disable),
		CASE(test_intx_resample),
		CASE(test_concurrent),
		CASE(test_intx_resample_closed),
		CASE(test_concurrent),
		CASE(test_undeclared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
