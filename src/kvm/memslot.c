/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory slots: which guest physical addresses are which memory of the program, and which of their pages have
 * been written.
 *
 * The table of slots is replaced as a whole, under slots_lock; readers are in a section of the VM's srcu. A
 * slot is in one version of the table after another, and its bitmap in one slot after another; each is freed
 * when the last table that had it is no longer read.
 */
#include "kvm/impl.h"

#include "kvm/memslot.h"

#include <stdlib.h>
#include <string.h>

#define USER_SLOTS     32764u      /* KVM_CAP_NR_MEMSLOTS */
#define MAX_PAGES      0x7fffffffu /* in one slot */
#define GPA_LIMIT      BIT64(52)
#define USER_SPACE_END 0x7ffffffff000u

/* ---- lookup */

static struct kvm_slot *slot_at(const struct kvm_slots *slots, uint64_t gpa)
{
	unsigned int low = 0, high = slots ? slots->nr : 0;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (slots->slot[mid]->pub.gpa <= gpa)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || gpa - slots->slot[low - 1]->pub.gpa >= slots->slot[low - 1]->pub.size)
		return NULL;
	return slots->slot[low - 1];
}

const struct kvm_slot *kvm_slot_find(struct kvm *kvm, uint64_t gpa)
{
	return slot_at(atomic_load(&kvm->slots), gpa);
}

bool kvm_memslot_at(struct kvm *kvm, uint64_t gpa, struct kvm_memory_slot *out)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);
	const struct kvm_slot *slot = slot_at(atomic_load(&kvm->slots), gpa);

	if (slot)
		*out = slot->pub;
	srcu_read_unlock(in);
	return slot;
}

void kvm_each_memslot(struct kvm *kvm, bool (*fn)(void *arg, const struct kvm_memory_slot *slot), void *arg)
{
	const struct kvm_slots *slots;

	pthread_mutex_lock(&kvm->slots_lock);
	slots = atomic_load(&kvm->slots);
	for (unsigned int i = 0; slots && i < slots->nr; i++)
		if (!fn(arg, &slots->slot[i]->pub))
			break;
	pthread_mutex_unlock(&kvm->slots_lock);
}

uint64_t kvm_slots_generation(struct kvm *kvm)
{
	return atomic_load(&kvm->slots_generation);
}

/* Called in a section. */
static void mark(const struct kvm_slot *slot, uint64_t gpa, uint64_t len)
{
	uint64_t page = (gpa - slot->pub.gpa) >> UVFIO_PAGE_SHIFT;
	uint64_t last = (gpa + len - 1 - slot->pub.gpa) >> UVFIO_PAGE_SHIFT;

	for (; slot->dirty && page <= last; page++) {
		_Atomic uint64_t *word = &slot->dirty[page / 64];

		if (!(atomic_load_explicit(word, memory_order_relaxed) & BIT64(page % 64)))
			atomic_fetch_or(word, BIT64(page % 64));
	}
}

void kvm_mark_dirty(struct kvm *kvm, uint64_t gpa, uint64_t len)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);
	const struct kvm_slots *slots = atomic_load(&kvm->slots);

	for (uint64_t n; len; gpa += n, len -= n) {
		const struct kvm_slot *slot = slot_at(slots, gpa);

		n = MIN(len, UVFIO_PAGE_SIZE - (gpa & UVFIO_PAGE_MASK));
		if (slot)
			mark(slot, gpa, n);
	}
	srcu_read_unlock(in);
}

/* Called in a section: within one page. */
static int access_page(struct kvm *kvm, const struct kvm_slot *slot, uint64_t gpa, void *data, size_t len,
		       bool write)
{
	uint64_t va = slot ? slot->pub.hva + (gpa - slot->pub.gpa) : 0;
	int rc;

	if (!slot || (write && slot->pub.flags & KVM_MEM_READONLY))
		return -EFAULT;
	rc = write ? mm_write(kvm->mm, va, data, len) : mm_read(kvm->mm, data, va, len);
	if (!rc && write)
		mark(slot, gpa, len);
	return rc;
}

static int access_guest(struct kvm *kvm, uint64_t gpa, void *data, size_t len, bool write)
{
	_Atomic uint32_t *in = srcu_read_lock(&kvm->srcu);
	const struct kvm_slots *slots = atomic_load(&kvm->slots);
	int rc = 0;

	for (size_t n, done = 0; !rc && done < len; done += n) {
		uint64_t at = gpa + done;

		n = MIN(len - done, UVFIO_PAGE_SIZE - (at & UVFIO_PAGE_MASK));
		rc = access_page(kvm, slot_at(slots, at), at, (char *)data + done, n, write);
	}
	srcu_read_unlock(in);
	return rc;
}

int kvm_read_guest(struct kvm *kvm, uint64_t gpa, void *data, size_t len)
{
	return access_guest(kvm, gpa, data, len, false);
}

int kvm_write_guest(struct kvm *kvm, uint64_t gpa, const void *data, size_t len)
{
	return access_guest(kvm, gpa, (void *)(uintptr_t)data, len, true);
}

/* ---- changes; slots_lock is held */

struct kvm_slot *kvm_slot_by_id(struct kvm *kvm, uint32_t id)
{
	const struct kvm_slots *slots = atomic_load(&kvm->slots);

	for (unsigned int i = 0; slots && i < slots->nr; i++)
		if (slots->slot[i]->pub.id == id)
			return slots->slot[i];
	return NULL;
}

static bool overlaps(struct kvm *kvm, const struct kvm_memory_slot *new)
{
	const struct kvm_slots *slots = atomic_load(&kvm->slots);

	for (unsigned int i = 0; slots && i < slots->nr; i++) {
		const struct kvm_memory_slot *slot = &slots->slot[i]->pub;

		if (slot->id != new->id &&
		    slot->gpa < new->gpa + new->size &&new->gpa < slot->gpa + slot->size)
			return true;
	}
	return false;
}

/* The table with new (or NULL) in old's (or NULL's) place; new and old may be the same id elsewhere. */
static struct kvm_slots *table_with(const struct kvm_slots *was, const struct kvm_slot *old,
				    struct kvm_slot *new)
{
	unsigned int nr = was ? was->nr : 0;
	struct kvm_slots *slots = malloc(sizeof(*slots) + (nr + 1) * sizeof(slots->slot[0]));

	if (!slots)
		return NULL;
	slots->nr = 0;
	for (unsigned int i = 0; i < nr; i++) {
		if (was->slot[i] == old)
			continue;
		if (new &&new->pub.gpa < was->slot[i]->pub.gpa) {
			slots->slot[slots->nr++] = new;
			new = NULL;
		}
		slots->slot[slots->nr++] = was->slot[i];
	}
	if (new)
		slots->slot[slots->nr++] = new;
	return slots;
}

static void slot_free(struct kvm_slot *slot, const struct kvm_slot *heir)
{
	if (!slot)
		return;
	if (!heir || heir->dirty != slot->dirty)
		free(slot->dirty);
	free(slot);
}

static int replace(struct kvm *kvm, struct kvm_slot *old, struct kvm_slot *new)
{
	struct kvm_slots *was = atomic_load(&kvm->slots);
	struct kvm_slots *slots = table_with(was, old, new);

	if (!slots)
		return -ENOMEM;
	kvm_vcpus_stop(kvm);
	atomic_store(&kvm->slots, slots);
	atomic_fetch_add(&kvm->slots_generation, 1);
	kvm_vcpus_slots_changed(kvm);
	srcu_synchronize(&kvm->srcu);
	free(was);
	slot_free(old, new);
	return 0;
}

static int make_bitmap(struct kvm *kvm, const struct kvm_slot *old, struct kvm_slot *new)
{
	size_t words = kvm_slot_words(new);

	if (!(new->pub.flags &KVM_MEM_LOG_DIRTY_PAGES))
		return 0;
	if (old && old->dirty) {
		new->dirty = old->dirty;
		return 0;
	}
	new->dirty = calloc(words, sizeof(*new->dirty));
	if (!new->dirty)
		return -ENOMEM;
	if (kvm->manual_dirty_protect & KVM_DIRTY_LOG_INITIALLY_SET)
		for (uint64_t page = 0; page < new->pub.size >> UVFIO_PAGE_SHIFT; page++)
			new->dirty[page / 64] |= BIT64(page % 64);
	return 0;
}

static int set_slot(struct kvm *kvm, struct kvm_slot *old, const struct kvm_memory_slot *pub)
{
	struct kvm_slot *new = calloc(1, sizeof(*new));
	int rc = -ENOMEM;

	if (new) {
		new->pub = *pub;
		rc = make_bitmap(kvm, old, new);
	}
	if (!rc)
		rc = replace(kvm, old, new);
	if (rc)
		slot_free(new, old);
	return rc;
}

/* ---- KVM_SET_USER_MEMORY_REGION */

static int check_region(const struct kvm_memory_slot *new)
{
	if ((new->id & 0xffff) >= USER_SLOTS)
		return WHY(-EINVAL, "slot %u (the low 16 bits of %u), the last is %u", new->id & 0xffff,
			   new->id, USER_SLOTS - 1);
	if (new->flags & ~(uint32_t)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return WHY(-EINVAL, "unknown flags 0x%x", new->flags);
	if ((new->size | new->gpa | new->hva) & UVFIO_PAGE_MASK)
		return WHY(-EINVAL, "size, guest_phys_addr and userspace_addr are multiples of 4096");
	if (new->size > USER_SPACE_END || new->hva > USER_SPACE_END - new->size)
		return WHY(-EINVAL, "userspace_addr 0x%llx + 0x%llx is no user space",
			   (unsigned long long)new->hva, (unsigned long long)new->size);
	if (new->id >> 16)
		return WHY(-EINVAL, "there is one address space, not number %u", new->id >> 16);
	if (new->gpa + new->size < new->gpa)
		return WHY(-EINVAL, "guest_phys_addr + size is beyond the end");
	if (new->size >> UVFIO_PAGE_SHIFT > MAX_PAGES)
		return WHY(-EINVAL, "more than %u pages", MAX_PAGES);
	return 0;
}

static int check_change(const struct kvm_memory_slot *old, const struct kvm_memory_slot *new)
{
	if (old->hva != new->hva || old->size != new->size)
		return WHY(-EINVAL, "slot %u is there: its size and userspace_addr stay", new->id);
	if ((old->flags ^ new->flags) & KVM_MEM_READONLY)
		return WHY(-EINVAL, "slot %u is there: READONLY stays as it is", new->id);
	return 0;
}

static int set_memory(struct kvm *kvm, const struct kvm_memory_slot *new)
{
	struct kvm_slot *old = kvm_slot_by_id(kvm, new->id);
	int rc;

	if (!new->size)
		return old ? replace(kvm, old, NULL) : WHY(-EINVAL, "there is no slot %u", new->id);
	rc = old ? check_change(&old->pub, new) : 0;
	if (rc)
		return rc;
	if (old && old->pub.gpa == new->gpa && old->pub.flags == new->flags)
		return 0;
	if ((!old || old->pub.gpa != new->gpa)) {
		if (overlaps(kvm, new))
			return WHY(-EEXIST, "another slot has a part of 0x%llx + 0x%llx",
				   (unsigned long long)new->gpa, (unsigned long long)new->size);
		if (new->gpa + new->size > GPA_LIMIT)
			return WHY(-EINVAL, "guest physical addresses have 52 bits");
	}
	return set_slot(kvm, old, new);
}

long kvm_ioctl_set_memory(struct ioctl_call *call, void *arg)
{
	const struct kvm_userspace_memory_region *in = arg;
	const struct kvm_memory_slot new = { in->slot, in->flags, in->guest_phys_addr, in->memory_size,
					     in->userspace_addr };
	struct kvm *kvm = kvm_of_call(call);
	int rc = check_region(&new);

	if (rc)
		return rc;
	pthread_mutex_lock(&kvm->slots_lock);
	rc = set_memory(kvm, &new);
	pthread_mutex_unlock(&kvm->slots_lock);
	return rc;
}

void kvm_memslots_destroy(struct kvm *kvm)
{
	struct kvm_slots *slots = atomic_load(&kvm->slots);

	for (unsigned int i = 0; slots && i < slots->nr; i++)
		slot_free(slots->slot[i], NULL);
	free(slots);
}
