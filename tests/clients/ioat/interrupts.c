/* SPDX-License-Identifier: BSD-2-Clause */
/* MSI-X, MSI and INTx. */
#include "client.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FROM DATA
#define TO   (DATA + MIB)

static int event;

static void enable(struct engine *e, unsigned int index, uint8_t control)
{
	event = eventfd(0, EFD_NONBLOCK);
	w8(e, INTRCTRL, control);
	set_irq(e, index, event);
}

static void disable(struct engine *e, unsigned int index)
{
	set_irq(e, index, -1);
	close(event);
}

static void one(struct engine *e, uint32_t flags)
{
	put(e, 0, flags | D_COMPL, 64, FROM, TO);
	run(e, 1);
}

static void msix(struct engine *e)
{
	/* With INTRCTRL as each driver has it, and as it is after power-on. */
	static const uint8_t controls[] = { INTR_MSIX, INTR_MSIX | INTR_MASTER, 0, INTR_MASTER };

	for (unsigned int i = 0; i < sizeof(controls); i++) {
		enable(e, VFIO_PCI_MSIX_IRQ_INDEX, controls[i]);
		for (unsigned int n = 0; n < 200; n++) {
			one(e, D_INT);
			EQUAL(wait_event(event), 1);
			one(e, 0);
			one(e, D_NULL | D_INT);
			EQUAL(wait_event(event), 1);
		}
		EQUAL(drain(event), 0);
		disable(e, VFIO_PCI_MSIX_IRQ_INDEX);
	}
}

/* Several may become one, none may be lost: after the last one a driver finds everything done. */
static void many(struct engine *e)
{
	enable(e, VFIO_PCI_MSIX_IRQ_INDEX, INTR_MSIX);
	for (unsigned int round = 0; round < 100; round++) {
		uint64_t events = 0;

		for (unsigned int i = 0; i < 300; i++)
			put(e, i, D_COMPL | (i % 3 ? 0 : D_INT), 256, FROM, TO);
		start(e, 300);
		while ((completion(e) & ~7ull) < slot(e, 297))
			events += wait_event(event);
		await(e, IDLE);
		channel_reset(e); /* what is to come has come */
		events += drain(event);
		CHECK(events >= 1 && events <= 100);
	}
	disable(e, VFIO_PCI_MSIX_IRQ_INDEX);
}

/* Data and completion are there when the interrupt is. */
static void order(struct engine *e)
{
	enable(e, VFIO_PCI_MSIX_IRQ_INDEX, INTR_MSIX);
	for (unsigned int i = 0; i < 2000; i++) {
		paint(memory(FROM), 64, i);
		put(e, 0, D_INT | D_COMPL, 64, FROM, TO);
		start(e, 1);
		EQUAL(wait_event(event), 1);
		EQUAL(completion(e) & ~7ull, slot(e, 0));
		CHECK(painted(memory(TO), 64, i));
		EQUAL(r64(e, CHANSTS), slot(e, 0) | IDLE);
	}
	disable(e, VFIO_PCI_MSIX_IRQ_INDEX);
	one(e, D_INT); /* to nobody */
}

static void error_interrupt(struct engine *e)
{
	enable(e, VFIO_PCI_MSIX_IRQ_INDEX, INTR_MSIX);
	for (unsigned int i = 0; i < 200; i++) {
		bool wanted = i % 2;

		put(e, 0, D_INT, 64, NOWHERE, TO);
		channel_reset(e);
		arm(e, (uint16_t)(CTRL_ERR_ABORT | CTRL_ERR_COMPL | (wanted ? CTRL_ERR_INT : 0)));
		w16(e, DMACOUNT, 1);
		if (wanted)
			EQUAL(wait_event(event), 1);
		await(e, HALTED);
		channel_reset(e);
		EQUAL(drain(event), 0);
	}
	disable(e, VFIO_PCI_MSIX_IRQ_INDEX);
}

/* The interrupt of one channel: status and attention say so until the driver writes INTRCTRL. */
static void expect_attention(struct engine *e)
{
	EQUAL(r8(e, INTRCTRL), INTR_MASTER | INTR_STATUS | INTR_INT);
	EQUAL(r32(e, ATTNSTATUS), 1);
	w8(e, INTRCTRL, INTR_MASTER);
	EQUAL(r8(e, INTRCTRL), INTR_MASTER);
	EQUAL(r32(e, ATTNSTATUS), 0);
}

static void msi(struct engine *e)
{
	enable(e, VFIO_PCI_MSI_IRQ_INDEX, INTR_MASTER);
	for (unsigned int i = 0; i < 200; i++) {
		one(e, D_INT);
		EQUAL(wait_event(event), 1);
		expect_attention(e);
		one(e, 0);
		EQUAL(drain(event), 0);
	}
	/* Not enabled: the status alone. */
	w8(e, INTRCTRL, 0);
	one(e, D_INT);
	channel_reset(e);
	EQUAL(r8(e, INTRCTRL), INTR_STATUS);
	EQUAL(drain(event), 0);
	disable(e, VFIO_PCI_MSI_IRQ_INDEX);
}

static void unmask_intx(struct engine *e)
{
	struct vfio_irq_set set = { .argsz = sizeof(set),
				    .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK,
				    .index = VFIO_PCI_INTX_IRQ_INDEX,
				    .count = 1 };

	CHECK(!ioctl(e->device, VFIO_DEVICE_SET_IRQS, &set));
}

/* A level: masked by VFIO when it comes, and here again at once when it is unmasked too early. */
static void intx(struct engine *e)
{
	enable(e, VFIO_PCI_INTX_IRQ_INDEX, INTR_MASTER);
	for (unsigned int i = 0; i < 200; i++) {
		one(e, D_INT);
		EQUAL(wait_event(event), 1);
		if (i % 2) {
			unmask_intx(e);
			EQUAL(wait_event(event), 1);
		}
		expect_attention(e);
		unmask_intx(e);
		EQUAL(drain(event), 0);
		one(e, 0);
		EQUAL(drain(event), 0);
	}
	/* A reset of the device takes the level away. */
	one(e, D_INT);
	EQUAL(wait_event(event), 1);
	device_reset(e);
	EQUAL(r8(e, INTRCTRL), 0);
	unmask_intx(e);
	EQUAL(drain(event), 0);
	disable(e, VFIO_PCI_INTX_IRQ_INDEX);
}

const struct test interrupt_tests[] = {
	{ "interrupts: MSI-X", msix, ANY },
	{ "interrupts: many become few, none is lost", many, ANY },
	{ "interrupts: after data, completion and status", order, ANY },
	{ "interrupts: of errors, when they are wanted", error_interrupt, ANY },
	{ "interrupts: MSI", msi, ANY },
	{ "interrupts: INTx", intx, ANY },
	{ NULL, NULL, ANY },
};
