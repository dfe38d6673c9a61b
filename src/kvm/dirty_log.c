/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG: the bits of a slot, taken word by word while they are being set.
 */
#include "kvm/impl.h"
#include "kvm/memslot.h"

#define CHUNK 64u /* words that are copied at once */

/* slots_lock is held. */
static int logged_slot(struct kvm *kvm, uint32_t id, struct kvm_slot **slot)
{
	if (id >> 16 || (id & 0xffff) >= 32764)
		return WHY(-EINVAL, "there is no slot number %u", id);
	*slot = kvm_slot_by_id(kvm, id);
	if (!*slot || !(*slot)->dirty)
		return WHY(-ENOENT, "slot %u is not there, or does not log", id);
	return 0;
}

/* While clearing is a call of its own, nothing is cleared here. */
static int get_log(struct kvm *kvm, const struct caller *caller, const struct kvm_dirty_log *in)
{
	struct kvm_slot *slot;
	uint64_t words[CHUNK];
	size_t n, nr;
	int rc = logged_slot(kvm, in->slot, &slot);

	if (rc)
		return rc;
	nr = kvm_slot_words(slot);
	for (size_t done = 0; done < nr; done += n) {
		n = MIN(nr - done, (size_t)CHUNK);
		for (size_t i = 0; i < n; i++)
			words[i] = kvm->manual_dirty_protect || !atomic_load(&slot->dirty[done + i])
					   ? atomic_load(&slot->dirty[done + i])
					   : atomic_exchange(&slot->dirty[done + i], 0);
		if (copy_out(caller, (uint64_t)(uintptr_t)in->dirty_bitmap + done * 8, words, n * 8))
			rc = WHY(-EFAULT, "dirty_bitmap is not writable memory");
	}
	return rc;
}

long kvm_ioctl_get_dirty_log(struct ioctl_call *call, void *arg)
{
	struct kvm *kvm = kvm_of_call(call);
	int rc;

	pthread_mutex_lock(&kvm->slots_lock);
	kvm_vcpus_stop(kvm); /* a page whose bit is cleared is to be seen again when it is written */
	rc = get_log(kvm, call->caller, arg);
	kvm_vcpus_slots_changed(kvm);
	pthread_mutex_unlock(&kvm->slots_lock);
	return rc;
}

static int clear_bits(const struct caller *caller, const struct kvm_clear_dirty_log *in,
		      struct kvm_slot *slot)
{
	size_t first = in->first_page / 64, nr = ((size_t)in->num_pages + 63) / 64, n;
	uint64_t words[CHUNK];

	for (size_t done = 0; done < nr; done += n) {
		n = MIN(nr - done, (size_t)CHUNK);
		if (copy_in(caller, words, (uint64_t)(uintptr_t)in->dirty_bitmap + done * 8, n * 8))
			return WHY(-EFAULT, "dirty_bitmap is not readable memory");
		for (size_t i = 0; i < n; i++)
			if (words[i])
				atomic_fetch_and(&slot->dirty[first + done + i], ~words[i]);
	}
	return 0;
}

static int clear_log(struct kvm *kvm, const struct caller *caller, const struct kvm_clear_dirty_log *in)
{
	struct kvm_slot *slot;
	uint64_t pages, rest;
	int rc;

	if (in->first_page & 63)
		return WHY(-EINVAL, "first_page is a multiple of 64");
	rc = logged_slot(kvm, in->slot, &slot);
	if (rc)
		return rc;
	pages = slot->pub.size >> UVFIO_PAGE_SHIFT;
	rest = pages - in->first_page;
	if (in->first_page > pages || in->num_pages > rest || (in->num_pages < rest && in->num_pages & 63))
		return WHY(-EINVAL,
			   "first_page and num_pages are multiples of 64 within the slot's %llu pages",
			   (unsigned long long)pages);
	return clear_bits(caller, in, slot);
}

long kvm_ioctl_clear_dirty_log(struct ioctl_call *call, void *arg)
{
	struct kvm *kvm = kvm_of_call(call);
	int rc;

	pthread_mutex_lock(&kvm->slots_lock);
	kvm_vcpus_stop(kvm);
	rc = clear_log(kvm, call->caller, arg);
	kvm_vcpus_slots_changed(kvm);
	pthread_mutex_unlock(&kvm->slots_lock);
	return rc;
}
