/* SPDX-License-Identifier: BSD-2-Clause */
/* A hypercall under way: between its tiers (hcall.c) and what it does (tces.c). */
#ifndef UVFIO_KVM_SPAPR_HCALL_H
#define UVFIO_KVM_SPAPR_HCALL_H

#include "kvm/spapr/spapr_tce.h"

/* Beside the answers of the guest's: do it in the slow tier. */
#define SPAPR_AGAIN (-9999)

#define HEX(number) ((unsigned long long)(number))

struct spapr_call {
	struct kvm *kvm;
	struct guest_table *guest;
	const struct kvm_slot *slot; /* where a guest address was last, or NULL */
	bool slow;
};

/*
 * args: from the LIOBN on; rets: H_GET_TCE's. In a section. What it returns is the guest's, or
 * UVFIO_H_TOO_HARD, or SPAPR_AGAIN when slow is not set.
 */
long spapr_put_tce(struct spapr_call *call, const uint64_t *args, uint64_t *rets);
long spapr_put_tce_indirect(struct spapr_call *call, const uint64_t *args, uint64_t *rets);
long spapr_stuff_tce(struct spapr_call *call, const uint64_t *args, uint64_t *rets);
long spapr_get_tce(struct spapr_call *call, const uint64_t *args, uint64_t *rets);

#endif
