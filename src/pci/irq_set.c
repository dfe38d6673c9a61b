/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO_DEVICE_SET_IRQS: which action with which kind of data means what for which index. All of it runs under
 * irqs.lock, but for the eventfds that the clients write.
 */
#include "base/why.h"
#include "pci/func.h"
#include "vfio/irqs.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <string.h>

/* One call, with its arguments. */
struct set_irqs {
	struct pci_func *func;
	const struct caller *caller;
	uint32_t flags, index, start, count;
	const void *data;
};

static int32_t data_fd(const struct set_irqs *set, uint32_t i)
{
	int32_t fd;

	memcpy(&fd, (const uint8_t *)set->data + i * sizeof(fd), sizeof(fd));
	return fd;
}

/* Does entry i, of NONE or BOOL data, ask for the action? */
static bool data_wants(const struct set_irqs *set, uint32_t i)
{
	return (set->flags & VFIO_IRQ_SET_DATA_NONE) || ((const uint8_t *)set->data)[i];
}

static int mode_now(const struct pci_func *func)
{
	return atomic_load(&func->irqs.mode);
}

/* Why the call does not go with the kind of interrupt that is enabled now. */
static int wrong_mode(const struct set_irqs *set, int wanted)
{
	static const char *const names[] = { [UVFIO_IRQ_NONE] = "none",
					     [UVFIO_IRQ_INTX] = "INTx",
					     [UVFIO_IRQ_MSI] = "MSI",
					     [UVFIO_IRQ_MSIX] = "MSI-X" };
	int mode = mode_now(set->func);

	if (mode != wanted && mode != UVFIO_IRQ_NONE)
		return WHY(-EINVAL, "%s is enabled: disable it first, with DATA_NONE and count 0",
			   names[mode]);
	if (wanted == UVFIO_IRQ_INTX && (set->start != 0 || set->count != 1))
		return WHY(-EINVAL, "INTx is one interrupt: start 0 and count 1");
	return WHY(-EINVAL, "%s is not enabled: give it eventfds first", names[wanted]);
}

/* ---- INTx */

static void intx_unmask_event(void *arg)
{
	pci_intx_unmask(arg);
}

static void intx_unwatch(struct pci_irqs *irqs)
{
	if (irqs->unmask)
		eventfd_unwatch(irqs->unmask);
	irqs->unmask = NULL;
}

static int intx_watch(const struct set_irqs *set, int32_t fd)
{
	struct pci_irqs *irqs = &set->func->irqs;
	struct eventfd_ctx *ctx;
	int rc;

	rc = eventfd_ctx_get(set->caller, fd, &ctx);
	if (rc)
		return rc;
	if (irqs->unmask && !eventfd_watch_has_client(irqs->unmask, set->caller->pid))
		intx_unwatch(irqs); /* closing it is how QEMU says that it is done with it */
	rc = irqs->unmask ? -EBUSY : eventfd_watch(ctx, intx_unmask_event, set->func, &irqs->unmask);
	eventfd_ctx_put(ctx);
	return rc;
}

static void intx_disable(struct pci_func *func)
{
	struct pci_irqs *irqs = &func->irqs;

	intx_unwatch(irqs);
	atomic_store(&irqs->mode, UVFIO_IRQ_NONE);
	pci_intx_enable(func, false);
	pci_slot_set(irqs, &irqs->intx_slot, NULL);
}

static int intx_trigger(const struct set_irqs *set)
{
	struct pci_func *func = set->func;
	struct eventfd_ctx *ctx = NULL;
	int mode = mode_now(func), rc;

	if (mode == UVFIO_IRQ_INTX && !set->count && (set->flags & VFIO_IRQ_SET_DATA_NONE)) {
		intx_disable(func);
		return 0;
	}
	if ((mode != UVFIO_IRQ_INTX && mode != UVFIO_IRQ_NONE) || set->start != 0 || set->count != 1)
		return wrong_mode(set, UVFIO_IRQ_INTX);
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (data_fd(set, 0) >= 0) {
			rc = eventfd_ctx_get(set->caller, data_fd(set, 0), &ctx);
			if (rc)
				return rc;
		}
		pci_slot_set(&func->irqs, &func->irqs.intx_slot, ctx);
		atomic_store(&func->irqs.mode, UVFIO_IRQ_INTX);
		pci_intx_enable(func, true);
		if (func->model->ops.intx_enabled)
			IN_MODEL(func, "intx_enabled", func->model->ops.intx_enabled(&func->pub));
		return 0;
	}
	if (mode != UVFIO_IRQ_INTX)
		return wrong_mode(set, UVFIO_IRQ_INTX);
	if (data_wants(set, 0) && !(atomic_load(&func->irqs.intx) & INTX_DISABLED))
		pci_slot_signal(func, &func->irqs.intx_slot, "INTx loop-back", 0);
	return 0;
}

static int intx_mask(const struct set_irqs *set)
{
	if (mode_now(set->func) != UVFIO_IRQ_INTX || set->start != 0 || set->count != 1)
		return wrong_mode(set, UVFIO_IRQ_INTX);
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return WHY(-ENOTTY, "INTx cannot be masked by an eventfd");
	if (data_wants(set, 0))
		pci_intx_mask(set->func);
	return 0;
}

static int intx_unmask(const struct set_irqs *set)
{
	if (mode_now(set->func) != UVFIO_IRQ_INTX || set->start != 0 || set->count != 1)
		return wrong_mode(set, UVFIO_IRQ_INTX);
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (data_fd(set, 0) >= 0)
			return intx_watch(set, data_fd(set, 0));
		intx_unwatch(&set->func->irqs);
		return 0;
	}
	if (data_wants(set, 0))
		pci_intx_unmask(set->func);
	return 0;
}

/* ---- MSI and MSI-X */

static void msi_show_enabled(struct pci_func *func, bool on)
{
	/* MSI's enable bit is the driver's own, within what is enabled here */
	if (mode_now(func) == UVFIO_IRQ_MSIX)
		pci_config_update(func, func->config.msix, (uint32_t)PCI_MSIX_FLAGS_ENABLE << 16,
				  on ? (uint32_t)PCI_MSIX_FLAGS_ENABLE << 16 : 0);
}

static int msi_enable(struct pci_func *func, uint32_t nr, bool msix)
{
	if (mode_now(func) != UVFIO_IRQ_NONE)
		return -EINVAL;
	if (!nr)
		return WHY(-ERANGE, "count 0: enabling takes at least one eventfd");
	__atomic_store_n(&func->irqs.enabled, nr, __ATOMIC_RELAXED);
	atomic_store(&func->irqs.mode, msix ? UVFIO_IRQ_MSIX : UVFIO_IRQ_MSI);
	msi_show_enabled(func, true);
	if (!msix) {
		pthread_mutex_lock(&func->config.lock);
		func->config.msi_qmax = nr > 1 ? 32u - (unsigned int)__builtin_clz(nr - 1) : 0;
		pthread_mutex_unlock(&func->config.lock);
	}
	return 0;
}

static void msi_disable(struct pci_func *func)
{
	struct pci_irqs *irqs = &func->irqs;

	pci_vectors_clear(irqs);
	msi_show_enabled(func, false);
	atomic_store(&irqs->mode, UVFIO_IRQ_NONE);
	__atomic_store_n(&irqs->enabled, 0, __ATOMIC_RELAXED);
}

/* The old eventfd goes first, also when the new one turns out to be none. */
static int msi_set_vector(const struct set_irqs *set, uint32_t vector, int32_t fd)
{
	struct pci_irqs *irqs = &set->func->irqs;
	struct eventfd_ctx *ctx;
	int rc;

	pci_slot_set(irqs, &irqs->vectors[vector], NULL);
	if (fd < 0)
		return 0;
	/* only MSI-X gets vectors added while it is enabled */
	if (mode_now(set->func) == UVFIO_IRQ_MSI && vector >= irqs->enabled)
		return WHY(-EINVAL, "vector %u: MSI is enabled with %u; disable it to have more", vector,
			   irqs->enabled);
	rc = eventfd_ctx_get(set->caller, fd, &ctx);
	if (rc)
		return rc;
	pci_slot_set(irqs, &irqs->vectors[vector], ctx);
	return 0;
}

static int msi_set_block(const struct set_irqs *set)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < set->count && !rc; i++)
		rc = msi_set_vector(set, set->start + i, data_fd(set, i));
	while (rc && i-- > 0)
		msi_set_vector(set, set->start + i, -1);
	return rc;
}

static int msi_trigger(const struct set_irqs *set)
{
	struct pci_func *func = set->func;
	bool msix = set->index == VFIO_PCI_MSIX_IRQ_INDEX;
	int mine = msix ? UVFIO_IRQ_MSIX : UVFIO_IRQ_MSI, mode = mode_now(func), rc;

	if (mode == mine && !set->count && (set->flags & VFIO_IRQ_SET_DATA_NONE)) {
		msi_disable(func);
		return 0;
	}
	if (mode != mine && mode != UVFIO_IRQ_NONE)
		return wrong_mode(set, mine);
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (mode == mine)
			return msi_set_block(set);
		rc = msi_enable(func, set->start + set->count, msix);
		if (rc)
			return rc;
		rc = msi_set_block(set);
		if (rc)
			msi_disable(func);
		return rc;
	}
	if (mode != mine)
		return wrong_mode(set, mine);
	for (uint32_t i = 0; i < set->count; i++)
		if (data_wants(set, i))
			pci_slot_signal(func, &func->irqs.vectors[set->start + i],
					msix ? "MSI-X loop-back" : "MSI loop-back", set->start + i);
	return 0;
}

/* ---- ERR and REQ: one eventfd each, independent of the mode */

static int single_eventfd(const struct set_irqs *set, struct irq_slot *slot)
{
	struct eventfd_ctx *ctx = NULL;
	int32_t fd;
	int rc;

	if (!set->count)
		return WHY(-EINVAL, "count 0: this index takes one eventfd");
	fd = data_fd(set, 0);
	if (fd < -1)
		return WHY(-EINVAL, "%d is no descriptor; -1 removes the eventfd", fd);
	if (fd >= 0) {
		rc = eventfd_ctx_get(set->caller, fd, &ctx);
		if (rc)
			return rc;
	}
	pci_slot_set(&set->func->irqs, slot, ctx);
	return 0;
}

static int single_trigger(const struct set_irqs *set, struct irq_slot *slot, const char *what)
{
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return single_eventfd(set, slot);
	if (set->flags & VFIO_IRQ_SET_DATA_BOOL) {
		if (!set->count)
			return -EINVAL;
		if (data_wants(set, 0))
			pci_slot_signal(set->func, slot, what, 0);
		return 0;
	}
	if (!atomic_load(&slot->trigger))
		return WHY(-EINVAL, "there is no eventfd to signal or to remove");
	if (set->count)
		pci_slot_signal(set->func, slot, what, 0);
	else
		pci_slot_set(&set->func->irqs, slot, NULL);
	return 0;
}

static int err_trigger(const struct set_irqs *set)
{
	return single_trigger(set, &set->func->irqs.err, "ERR loop-back");
}

static int req_trigger(const struct set_irqs *set)
{
	return single_trigger(set, &set->func->irqs.req, "REQ loop-back");
}

/* ---- the matrix */

static const struct {
	int (*mask)(const struct set_irqs *set);
	int (*unmask)(const struct set_irqs *set);
	int (*trigger)(const struct set_irqs *set);
} actions[VFIO_PCI_NUM_IRQS] = {
	[VFIO_PCI_INTX_IRQ_INDEX] = { intx_mask, intx_unmask, intx_trigger },
	[VFIO_PCI_MSI_IRQ_INDEX] = { NULL, NULL, msi_trigger },
	[VFIO_PCI_MSIX_IRQ_INDEX] = { NULL, NULL, msi_trigger },
	[VFIO_PCI_ERR_IRQ_INDEX] = { NULL, NULL, err_trigger },
	[VFIO_PCI_REQ_IRQ_INDEX] = { NULL, NULL, req_trigger },
};

int pci_set_irqs(struct pci_func *func, const struct caller *caller, uint32_t flags, uint32_t index,
		 uint32_t start, uint32_t count, const void *data)
{
	const struct set_irqs set = { func, caller, flags, index, start, count, data };
	int (*fn)(const struct set_irqs *set) = NULL;
	int rc;

	switch (flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
	case VFIO_IRQ_SET_ACTION_MASK:
		fn = actions[index].mask;
		break;
	case VFIO_IRQ_SET_ACTION_UNMASK:
		fn = actions[index].unmask;
		break;
	case VFIO_IRQ_SET_ACTION_TRIGGER:
		fn = actions[index].trigger;
		break;
	}
	if (!fn)
		return WHY(-ENOTTY, "flags 0x%x: this index does not have the action", flags);
	pthread_mutex_lock(&func->irqs.lock);
	rc = fn(&set);
	pthread_mutex_unlock(&func->irqs.lock);
	return rc;
}

void pci_irqs_disable(struct pci_func *func)
{
	struct pci_irqs *irqs = &func->irqs;

	pthread_mutex_lock(&irqs->lock);
	if (mode_now(func) == UVFIO_IRQ_INTX)
		intx_disable(func);
	else if (mode_now(func) != UVFIO_IRQ_NONE)
		msi_disable(func);
	pci_slot_set(irqs, &irqs->err, NULL);
	pci_slot_set(irqs, &irqs->req, NULL);
	pthread_mutex_unlock(&irqs->lock);
}
