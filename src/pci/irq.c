/* SPDX-License-Identifier: BSD-2-Clause */
/* Raising interrupts: slots, the INTx line, and what a model calls. See irq.h. */
#include "base/log.h"
#include "base/trace.h"
#include "pci/func.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sched.h>
#include <stdlib.h>

int pci_irqs_init(struct pci_func *func)
{
	struct pci_irqs *irqs = &func->irqs;

	irqs->nr_vectors = MAX(func->desc.msix_vectors, func->desc.msi_vectors);
	irqs->vectors = calloc(MAX(irqs->nr_vectors, 1u), sizeof(*irqs->vectors));
	irqs->retired = calloc(MAX(irqs->nr_vectors, 1u), sizeof(struct eventfd_ctx *));
	if (!irqs->vectors || !irqs->retired) {
		free(irqs->vectors);
		free(irqs->retired);
		return -ENOMEM;
	}
	pthread_mutex_init(&irqs->lock, NULL);
	return 0;
}

void pci_irqs_destroy(struct pci_func *func)
{
	free(func->irqs.vectors);
	free(func->irqs.retired);
	pthread_mutex_destroy(&func->irqs.lock);
}

void pci_irqs_forked(struct pci_func *func)
{
	pthread_mutex_init(&func->irqs.lock, NULL);
	atomic_store(&func->irqs.raisers[0], 0);
	atomic_store(&func->irqs.raisers[1], 0);
}

unsigned int pci_irq_count(const struct pci_func *func, uint32_t index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return func->desc.intx ? 1 : 0;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return func->desc.msi_vectors;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return func->desc.msix_vectors;
	case VFIO_PCI_ERR_IRQ_INDEX:
		return func->desc.pcie ? 1 : 0;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0;
	}
}

/* Wait until everybody who may have loaded a slot before this call is done with it. */
static void wait_for_raisers(struct pci_irqs *irqs)
{
	for (int round = 0; round < 2; round++) {
		uint32_t old = atomic_fetch_xor(&irqs->phase, 1) & 1;

		while (atomic_load(&irqs->raisers[old]))
			sched_yield();
	}
}

void pci_slot_set(struct pci_irqs *irqs, struct irq_slot *slot, struct eventfd_ctx *ctx)
{
	struct eventfd_ctx *old = atomic_exchange(&slot->trigger, ctx);

	if (!old)
		return;
	wait_for_raisers(irqs);
	eventfd_ctx_put(old);
}

void pci_vectors_clear(struct pci_irqs *irqs)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < irqs->nr_vectors; i++) {
		struct eventfd_ctx *old = atomic_exchange(&irqs->vectors[i].trigger, NULL);

		if (old)
			irqs->retired[nr++] = old;
	}
	if (!nr)
		return;
	wait_for_raisers(irqs);
	while (nr)
		eventfd_ctx_put(irqs->retired[--nr]);
}

bool pci_slot_signal(struct pci_func *func, struct irq_slot *slot, const char *what, unsigned int vector)
{
	struct pci_irqs *irqs = &func->irqs;
	uint32_t phase = atomic_load(&irqs->phase) & 1;
	struct eventfd_ctx *ctx;

	atomic_fetch_add(&irqs->raisers[phase], 1);
	ctx = atomic_load(&slot->trigger);
	if (ctx) {
		/* before anybody can react to it, and perhaps end the program */
		stat_add(STAT_IRQS, 1);
		if (trace_on(TRACE_IRQ))
			trace_emit(TRACE_IRQ, func->name, "irq", 0, "%s vector=%u", what, vector);
		eventfd_signal(ctx, 1);
	}
	atomic_fetch_sub(&irqs->raisers[phase], 1);
	return ctx != NULL;
}

enum uvfio_irq_mode pci_irq_mode(struct uvfio_pci_func *pub)
{
	struct pci_func *func = to_func(pub);

	return (enum uvfio_irq_mode)atomic_load_explicit(&func->irqs.mode, memory_order_relaxed);
}

/* Messages are memory writes, and so the function's bus mastering decides. */
static bool may_send(const struct pci_func *func, enum uvfio_irq_mode mode)
{
	if (atomic_load_explicit(&func->iommu.enabled, memory_order_relaxed))
		return true;
	if (pci_gone(func))
		return false;
	if (mode == UVFIO_IRQ_MSI || mode == UVFIO_IRQ_MSIX)
		uvfio_err_once((uintptr_t)func,
			       "%s: interrupt lost: bus mastering is off; set bit 2 of the PCI command "
			       "register first",
			       func->name);
	return false;
}

/* Has the model said that it would have the vector? */
static bool declared(struct pci_func *func, unsigned int vector, enum uvfio_irq_mode mode)
{
	unsigned int nr = mode == UVFIO_IRQ_MSIX ? func->desc.msix_vectors : func->irqs.nr_vectors;

	if (likely(vector < nr))
		return true;
	if (!atomic_exchange(&func->irqs.undeclared, true))
		uvfio_err("%s: the model %s raises interrupt vector %u and has declared %u: nothing happens; "
			  "declare more with msix_vectors or msi_vectors",
			  func->name, func->model->name, vector, nr);
	return false;
}

void pci_irq(struct uvfio_pci_func *pub, unsigned int vector)
{
	struct pci_func *func = to_func(pub);
	struct pci_irqs *irqs = &func->irqs;
	enum uvfio_irq_mode mode = pci_irq_mode(pub);

	if (!declared(func, vector, mode) || !may_send(func, mode))
		return;
	if (mode == UVFIO_IRQ_MSI) {
		/* a function that was given fewer vectors than it asked for shares them */
		unsigned int enabled = __atomic_load_n(&irqs->enabled, __ATOMIC_RELAXED);

		if (enabled)
			vector %= enabled;
	}
	pci_slot_signal(func, &irqs->vectors[vector], mode == UVFIO_IRQ_MSI ? "MSI" : "MSI-X", vector);
}

/*
 * Change bits of the line's state. Should the line be signalled after that, it is masked in the same step.
 * Returns whether it is to be signalled; *was: the state before.
 */
static bool intx_change(struct pci_irqs *irqs, uint32_t clear, uint32_t set, uint32_t *was)
{
	uint32_t old = atomic_load(&irqs->intx), new;
	bool signal;

	do {
		new = (old & ~clear) | set;
		signal = (new &INTX_ENABLED) && (new &INTX_LEVEL) && !(new &(INTX_MASKED | INTX_DISABLED));
		if (signal)
			new |= INTX_MASKED;
	} while (!atomic_compare_exchange_weak(&irqs->intx, &old, new));
	*was = old;
	return signal;
}

static void intx_update(struct pci_func *func, uint32_t clear, uint32_t set)
{
	uint32_t was;

	if (intx_change(&func->irqs, clear, set, &was))
		pci_slot_signal(func, &func->irqs.intx_slot, "INTx", 0);
}

void pci_intx(struct uvfio_pci_func *pub, bool level)
{
	struct pci_func *func = to_func(pub);

	if (level && !func->desc.intx) {
		if (!atomic_exchange(&func->irqs.no_line, true))
			uvfio_err("%s: the model %s drives INTx and has declared none: nothing happens; "
				  "declare it "
				  "with intx",
				  func->name, func->model->name);
		return;
	}
	if (!pci_gone(func))
		intx_update(func, level ? 0 : INTX_LEVEL, level ? INTX_LEVEL : 0);
}

/* As in vfio-pci, the disable bit masks the line and clearing the bit unmasks it. */
void pci_intx_set_disabled(struct pci_func *func, bool disabled)
{
	bool is = atomic_load(&func->irqs.intx) & INTX_DISABLED;

	if (disabled && !is)
		intx_update(func, 0, INTX_DISABLED | INTX_MASKED);
	else if (!disabled && is)
		intx_update(func, INTX_DISABLED | INTX_MASKED, 0);
}

static void trace_masking(const struct pci_func *func, const char *what)
{
	if (trace_on(TRACE_IRQ))
		trace_emit(TRACE_IRQ, func->name, what, 0, "INTx");
}

void pci_intx_mask(struct pci_func *func)
{
	trace_masking(func, "mask");
	intx_update(func, 0, INTX_MASKED);
}

void pci_intx_unmask(struct pci_func *func)
{
	trace_masking(func, "unmask");
	if (!(atomic_load(&func->irqs.intx) & INTX_DISABLED) && !pci_gone(func))
		intx_update(func, INTX_MASKED, 0);
}

bool pci_intx_enable(struct pci_func *func, bool on)
{
	uint32_t state = atomic_load(&func->irqs.intx);

	if (!!(state & INTX_ENABLED) == on)
		return false;
	if (on)
		intx_update(func, INTX_MASKED, INTX_ENABLED | (state & INTX_DISABLED ? INTX_MASKED : 0));
	else
		intx_update(func, INTX_ENABLED | INTX_MASKED, 0);
	return true;
}

bool pci_intx_pending(const struct pci_func *func)
{
	return atomic_load_explicit(&func->irqs.intx, memory_order_relaxed) & INTX_LEVEL;
}

void pci_report_error(struct uvfio_pci_func *pub)
{
	struct pci_func *func = to_func(pub);
	struct pci_config *config = &func->config;

	if (config->exp)
		pci_config_update(func, config->exp + PCI_EXP_DEVCTL, 0, (uint32_t)PCI_EXP_DEVSTA_FED << 16);
	if (config->aer)
		pci_config_update(func, config->aer + PCI_ERR_UNCOR_STATUS, 0, PCI_ERR_UNC_INTN);
	pci_slot_signal(func, &func->irqs.err, "ERR", 0);
}
