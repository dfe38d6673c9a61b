/* SPDX-License-Identifier: BSD-2-Clause */
/* Accesses as instructions make them, cut into those of the buses. */
#include "kvm/dispatch.h"
#include "kvm/irqchip.h"

#define PIECE 8u /* the most that is one access of a bus */

/* A vCPU's local APIC comes first. */
static inline int one(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus bus, bool write, uint64_t addr,
		      unsigned int len, void *data)
{
	if (vcpu && vcpu->apic && bus == KVM_MMIO_BUS && !kvm_lapic_access(vcpu, write, addr, len, data))
		return 0;
	return write ? kvm_dispatch_write(kvm, vcpu, bus, addr, len, data)
		     : kvm_io_bus_read(kvm, vcpu, bus, addr, len, data);
}

/* Pieces up to the first that nobody has. */
static unsigned int pieces(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus bus, bool write,
			   uint64_t addr, unsigned int len, unsigned char *data)
{
	unsigned int done = 0, n;

	for (; done < len; done += n) {
		n = MIN(len - done, PIECE);
		if (one(kvm, vcpu, bus, write, addr + done, n, data + done))
			break;
	}
	return done;
}

unsigned int kvm_io(struct kvm *kvm, struct kvm_vcpu *vcpu, enum kvm_bus bus, bool write, uint64_t addr,
		    unsigned int len, void *data)
{
	unsigned int done = 0, n, handled;

	if (likely(kvm_is_one_access(addr, len)) || bus != KVM_MMIO_BUS)
		return len <= PIECE && !one(kvm, vcpu, bus, write, addr, len, data) ? len : 0;
	do {
		n = (unsigned int)MIN((uint64_t)(len - done),
				      UVFIO_PAGE_SIZE - ((addr + done) & UVFIO_PAGE_MASK));
		handled = pieces(kvm, vcpu, bus, write, addr + done, n, (unsigned char *)data + done);
		done += handled;
	} while (handled == n && done < len);
	return done;
}
