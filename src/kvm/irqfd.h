/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irqfds: a signal of an eventfd becomes an interrupt.
 *
 * A signal that comes from this process (a device model's, an ioeventfd's) raises the interrupt at once and
 * leaves no trace in the eventfd, as in the kernel. What the program writes itself is seen by a helper thread
 * a moment later, and read then.
 *
 * Resampling: all irqfds of a GSI that have a resamplefd drive its line together, and all of these are
 * signalled when the guest has finished it.
 */
#ifndef UVFIO_KVM_IRQFD_H
#define UVFIO_KVM_IRQFD_H

#include "kvm/kvm.h"

struct kvm_resamplers;

struct kvm_irqfds {
	pthread_mutex_t lock;                        /* outside of the locks of the controllers */
	struct cds_list_head list;                   /* under lock */
	_Atomic(struct kvm_resamplers *) resamplers; /* NULL: none; changed under lock, read in a section */
};

void kvm_irqfds_init(struct kvm *kvm);
void kvm_irqfds_release(struct kvm *kvm); /* the VM's file is closed: all end */
void kvm_irqfds_destroy(struct kvm *kvm);
long kvm_ioctl_irqfd(struct ioctl_call *call, void *arg);

/* The guest has finished the interrupt of a pin. */
void kvm_irqfds_acked(struct kvm *kvm, unsigned int irqchip, unsigned int pin);
/* Is there a resamplefd for a pin? And signal them. */
bool kvm_irqfds_resamples(struct kvm *kvm, unsigned int irqchip, unsigned int pin);
void kvm_irqfds_resample(struct kvm *kvm, unsigned int irqchip, unsigned int pin);

#endif
