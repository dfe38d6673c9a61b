/* SPDX-License-Identifier: BSD-2-Clause */
/* A memory slot and its dirty pages; between memslot.c and dirty_log.c. */
#ifndef UVFIO_KVM_MEMSLOT_H
#define UVFIO_KVM_MEMSLOT_H

#include "kvm/kvm.h"

struct kvm_slot {
	struct kvm_memory_slot pub;
	_Atomic uint64_t *dirty; /* a bit for each page; NULL: not logged */
};

/* Never changed once published. Ascending by gpa. */
struct kvm_slots {
	unsigned int nr;
	struct kvm_slot *slot[];
};

static inline size_t kvm_slot_words(const struct kvm_slot *slot)
{
	return ((slot->pub.size >> UVFIO_PAGE_SHIFT) + 63) / 64;
}

/* In a section: the slot that has gpa, or NULL; there to the end of the section. */
const struct kvm_slot *kvm_slot_find(struct kvm *kvm, uint64_t gpa);

/* slots_lock is held. */
struct kvm_slot *kvm_slot_by_id(struct kvm *kvm, uint32_t id);

#endif
