/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: eventfds in slots, and the INTx line.
 *
 * A slot is one eventfd that may be signalled from any thread at any time. Signalling takes no lock: it marks
 * itself in one of two counters, loads the slot, writes to the eventfd, and unmarks. Who empties a slot
 * waits, before it drops the reference, until both counters have been seen at zero after the change.
 *
 * INTx is one atomic word (INTX_*). It is signalled once when the line rises, and is masked by that;
 * unmasking while the line is still high signals again and leaves it masked.
 */
#ifndef UVFIO_PCI_IRQ_H
#define UVFIO_PCI_IRQ_H

#include "base/base.h"
#include "file/caller.h"
#include "file/eventfd.h"

#include <pthread.h>

struct pci_func;

struct irq_slot {
	_Atomic(struct eventfd_ctx *) trigger;
};

#define INTX_ENABLED  1u /* this is the kind of interrupt that the driver has chosen */
#define INTX_MASKED   2u /* by the driver, or by having been signalled */
#define INTX_DISABLED 4u /* COMMAND.INTX_DISABLE */
#define INTX_LEVEL    8u /* the model drives the line */

struct pci_irqs {
	pthread_mutex_t lock; /* SET_IRQS: one at a time */
	_Atomic int mode;     /* enum uvfio_irq_mode, written under lock */
	unsigned int enabled; /* MSI, MSI-X: vectors enabled, under lock but for MSI's folding */
	_Atomic uint32_t intx;
	_Atomic uint32_t phase, raisers[2];
	struct eventfd_watch *unmask; /* under lock */
	struct irq_slot intx_slot, err, req;
	_Atomic(struct eventfd_ctx *) wakeup; /* feature.c: taken by exchange only */
	unsigned int nr_vectors;
	struct irq_slot *vectors;
	struct eventfd_ctx **retired; /* as many; for pci_vectors_clear, under lock */
	/* the model has raised a vector that it has not, has driven a line that it has not: that has been
	 * said */
	_Atomic bool undeclared, no_line;
};

int pci_irqs_init(struct pci_func *func);
void pci_irqs_destroy(struct pci_func *func);
void pci_irqs_forked(struct pci_func *func);

/* How many interrupts has index (VFIO_PCI_*_IRQ_INDEX)? */
unsigned int pci_irq_count(const struct pci_func *func, uint32_t index);

/* Put ctx (or NULL) into a slot: takes over the reference, drops the old one once nobody uses it. */
void pci_slot_set(struct pci_irqs *irqs, struct irq_slot *slot, struct eventfd_ctx *ctx);
/* The same with NULL for all vectors, with one wait. */
void pci_vectors_clear(struct pci_irqs *irqs);
/* Signal what is in the slot: was there anything? */
bool pci_slot_signal(struct pci_func *func, struct irq_slot *slot, const char *what, unsigned int vector);

void pci_intx_set_disabled(struct pci_func *func, bool disabled); /* COMMAND.INTX_DISABLE was written */
void pci_intx_mask(struct pci_func *func);
void pci_intx_unmask(struct pci_func *func);
bool pci_intx_enable(struct pci_func *func, bool on); /* false: it is that already */
bool pci_intx_pending(const struct pci_func *func);   /* STATUS.INTERRUPT */

/*
 * irq_set.c: VFIO_DEVICE_SET_IRQS after the general checks. data: count bytes or descriptors, or NULL. flags:
 * one action, one kind of data.
 */
int pci_set_irqs(struct pci_func *func, const struct caller *caller, uint32_t flags, uint32_t index,
		 uint32_t start, uint32_t count, const void *data);
void pci_irqs_disable(struct pci_func *func); /* last close: everything off, every eventfd let go */

#endif
