/* SPDX-License-Identifier: BSD-2-Clause */
/* A write to a bus, inline: the usual one signals an ioeventfd, and is a system call and little else. */
#ifndef UVFIO_KVM_DISPATCH_H
#define UVFIO_KVM_DISPATCH_H

#include "kvm/impl.h"
#include "kvm/ioeventfd_find.h"

static inline int kvm_dispatch_write(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus index,
				     uint64_t addr, unsigned int len, const void *data)
{
	struct kvm_io_bus *bus = &kvm->buses[index];
	struct ioeventfd *e;

	if (unlikely(atomic_load_explicit(&bus->ranges, memory_order_relaxed)))
		return kvm_io_bus_write_among_ranges(kvm, vcpu, index, addr, len, data);
	e = ioeventfd_find(&bus->ioeventfds, addr, len, data);
	if (!e)
		return -EOPNOTSUPP;
	eventfd_signal_once(e->ctx);
	ioeventfd_put(e);
	return 0;
}

/* Is it one access of the bus, whatever the bus? */
static inline bool kvm_is_one_access(uint64_t addr, unsigned int len)
{
	return len <= 8 && (addr & UVFIO_PAGE_MASK) + len <= UVFIO_PAGE_SIZE;
}

#endif
