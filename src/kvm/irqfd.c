/* SPDX-License-Identifier: BSD-2-Clause */
#include "kvm/irqfd.h"

#include "kvm/impl.h"
#include "kvm/irqchip.h"

#include <stdlib.h>
#include <string.h>

struct irqfd {
	struct kvm *kvm;
	uint32_t gsi;
	struct eventfd_ctx *ctx, *resample; /* resample: NULL, or signalled at the end of the interrupt */
	struct eventfd_watch *watch;
	struct cds_list_head node;
};

/* Never changed once published. */
struct kvm_resamplers {
	unsigned int nr;
	struct resampler {
		uint32_t gsi;
		struct eventfd_ctx *ctx;
	} one[];
};

/* ---- interrupts */

static void inject(void *arg)
{
	struct irqfd *irqfd = arg;

	if (irqfd->resample) {
		kvm_set_irq(irqfd->kvm, IRQ_SOURCE_RESAMPLE, irqfd->gsi, true);
		return;
	}
	kvm_set_irq(irqfd->kvm, IRQ_SOURCE_USER, irqfd->gsi, true);
	kvm_set_irq(irqfd->kvm, IRQ_SOURCE_USER, irqfd->gsi, false);
}

static bool signal_resamplers(struct kvm *kvm, int gsi, bool really)
{
	_Atomic uint32_t *in;
	const struct kvm_resamplers *all;
	bool any = false;

	if (gsi < 0 || !atomic_load(&kvm->irqfds.resamplers))
		return false;
	in = srcu_read_lock(&kvm->srcu);
	all = atomic_load(&kvm->irqfds.resamplers);
	for (unsigned int i = 0; all && i < all->nr; i++) {
		if (all->one[i].gsi != (uint32_t)gsi)
			continue;
		any = true;
		if (really)
			eventfd_signal(all->one[i].ctx, 1);
	}
	srcu_read_unlock(in);
	return any;
}

bool kvm_irqfds_resamples(struct kvm *kvm, unsigned int irqchip, unsigned int pin)
{
	return signal_resamplers(kvm, kvm_routing_gsi_of(kvm, irqchip, pin), false);
}

void kvm_irqfds_resample(struct kvm *kvm, unsigned int irqchip, unsigned int pin)
{
	signal_resamplers(kvm, kvm_routing_gsi_of(kvm, irqchip, pin), true);
}

void kvm_irqfds_acked(struct kvm *kvm, unsigned int irqchip, unsigned int pin)
{
	int gsi = kvm_routing_gsi_of(kvm, irqchip, pin);

	if (!signal_resamplers(kvm, gsi, false))
		return;
	kvm_set_irq(kvm, IRQ_SOURCE_RESAMPLE, (uint32_t)gsi, false);
	signal_resamplers(kvm, gsi, true);
}

/* ---- the list; lock is held */

/* All that have a resamplefd, but one; with more behind them. */
static struct kvm_resamplers *resamplers_but(struct kvm *kvm, const struct irqfd *out, unsigned int more)
{
	unsigned int nr = more;
	struct kvm_resamplers *all;
	struct irqfd *irqfd;

	cds_list_for_each_entry (irqfd, &kvm->irqfds.list, node)
		nr += irqfd->resample != NULL;
	all = malloc(sizeof(*all) + nr * sizeof(all->one[0]));
	if (!all)
		return NULL;
	all->nr = 0;
	cds_list_for_each_entry (irqfd, &kvm->irqfds.list, node)
		if (irqfd->resample && irqfd != out)
			all->one[all->nr++] = (struct resampler){ irqfd->gsi, irqfd->resample };
	return all;
}

static void publish(struct kvm *kvm, struct kvm_resamplers *all)
{
	struct kvm_resamplers *old = atomic_exchange(&kvm->irqfds.resamplers, all);

	srcu_synchronize(&kvm->srcu);
	free(old);
}

static int add_resampler(struct kvm *kvm, const struct irqfd *irqfd)
{
	struct kvm_resamplers *all = resamplers_but(kvm, NULL, 1);

	if (!all)
		return -ENOMEM;
	all->one[all->nr++] = (struct resampler){ irqfd->gsi, irqfd->resample };
	publish(kvm, all);
	return 0;
}

/* Without memory those of others go, too: none is signalled that may be gone. */
static void remove_resampler(struct kvm *kvm, const struct irqfd *irqfd)
{
	struct kvm_resamplers *all = resamplers_but(kvm, irqfd, 0);

	if (all && !all->nr) {
		free(all);
		all = NULL;
	}
	publish(kvm, all);
	if (!signal_resamplers(kvm, (int)(irqfd->gsi & INT32_MAX), false))
		kvm_set_irq(kvm, IRQ_SOURCE_RESAMPLE, irqfd->gsi, false);
}

static void irqfd_free(struct irqfd *irqfd)
{
	eventfd_ctx_put(irqfd->ctx);
	eventfd_ctx_put(irqfd->resample);
	free(irqfd);
}

/* It is on no list. Returns when no interrupt of it is under way. */
static void irqfd_end(struct irqfd *irqfd)
{
	eventfd_unwatch(irqfd->watch);
	if (irqfd->resample)
		remove_resampler(irqfd->kvm, irqfd);
	irqfd_free(irqfd);
}

/* ---- KVM_IRQFD */

static int irqfd_new(const struct ioctl_call *call, const struct kvm_irqfd *in, struct irqfd **out)
{
	struct irqfd *irqfd = calloc(1, sizeof(*irqfd));
	int rc;

	if (!irqfd)
		return -ENOMEM;
	irqfd->kvm = kvm_of_call(call);
	irqfd->gsi = in->gsi;
	rc = eventfd_ctx_get(call->caller, (int)in->fd, &irqfd->ctx);
	if (!rc && in->flags & KVM_IRQFD_FLAG_RESAMPLE)
		rc = eventfd_ctx_get(call->caller, (int)in->resamplefd, &irqfd->resample);
	if (rc)
		irqfd_free(irqfd);
	else
		*out = irqfd;
	return rc;
}

/* What was signalled before is an interrupt now, and stays in the eventfd. */
static int irqfd_begin(struct irqfd *irqfd)
{
	struct kvm *kvm = irqfd->kvm;
	int rc = irqfd->resample ? add_resampler(kvm, irqfd) : 0;

	if (rc)
		return rc;
	rc = eventfd_watch_alone(irqfd->ctx, inject, irqfd, &irqfd->watch);
	if (rc < 0) {
		if (irqfd->resample)
			remove_resampler(kvm, irqfd);
		return WHY(rc, "the eventfd is an irqfd already");
	}
	cds_list_add_tail(&irqfd->node, &kvm->irqfds.list);
	return 0;
}

static int assign(const struct ioctl_call *call, const struct kvm_irqfd *in)
{
	struct kvm *kvm = kvm_of_call(call);
	const struct kvm_intc *chip = kvm_irqchip_of(kvm);
	struct irqfd *irqfd;
	int rc;

	if (!chip && kvm->arch_ops)
		return WHY(-EAGAIN, "the VM has no interrupt controller of its architecture");
	if (!chip || (chip->split && in->flags & KVM_IRQFD_FLAG_RESAMPLE))
		return WHY(-EINVAL, "the VM has no interrupt controllers for it");
	rc = irqfd_new(call, in, &irqfd);
	if (rc)
		return rc;
	pthread_mutex_lock(&kvm->irqfds.lock);
	rc = irqfd_begin(irqfd);
	pthread_mutex_unlock(&kvm->irqfds.lock);
	if (rc)
		irqfd_free(irqfd);
	return rc;
}

/* A wrong GSI is no mistake. */
static int deassign(const struct ioctl_call *call, const struct kvm_irqfd *in)
{
	struct kvm *kvm = kvm_of_call(call);
	struct irqfd *irqfd, *next;
	struct eventfd_ctx *ctx;
	int rc = eventfd_ctx_get(call->caller, (int)in->fd, &ctx);

	if (rc)
		return rc;
	pthread_mutex_lock(&kvm->irqfds.lock);
	cds_list_for_each_entry_safe (irqfd, next, &kvm->irqfds.list, node) {
		if (irqfd->ctx != ctx || irqfd->gsi != in->gsi)
			continue;
		cds_list_del(&irqfd->node);
		irqfd_end(irqfd);
	}
	pthread_mutex_unlock(&kvm->irqfds.lock);
	eventfd_ctx_put(ctx);
	return 0;
}

long kvm_ioctl_irqfd(struct ioctl_call *call, void *arg)
{
	const struct kvm_irqfd *in = arg;
	uint32_t known = KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE;

	if (in->flags & ~known)
		return WHY(-EINVAL, "unknown flags 0x%x", in->flags & ~known);
	return in->flags & KVM_IRQFD_FLAG_DEASSIGN ? deassign(call, in) : assign(call, in);
}

/* ---- life */

void kvm_irqfds_init(struct kvm *kvm)
{
	pthread_mutex_init(&kvm->irqfds.lock, NULL);
	CDS_INIT_LIST_HEAD(&kvm->irqfds.list);
	atomic_store(&kvm->irqfds.resamplers, NULL);
}

void kvm_irqfds_release(struct kvm *kvm)
{
	struct irqfd *irqfd, *next;

	pthread_mutex_lock(&kvm->irqfds.lock);
	cds_list_for_each_entry_safe (irqfd, next, &kvm->irqfds.list, node) {
		cds_list_del(&irqfd->node);
		irqfd_end(irqfd);
	}
	pthread_mutex_unlock(&kvm->irqfds.lock);
}

void kvm_irqfds_destroy(struct kvm *kvm)
{
	free(atomic_load(&kvm->irqfds.resamplers));
	pthread_mutex_destroy(&kvm->irqfds.lock);
}
