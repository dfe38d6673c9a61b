/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypercalls. Each is done in the fast tier; where memory is missing (AGAIN), from the start in the slow
 * one. Where a device may be using what was taken out of a hardware table, the rest is in the slow one.
 *
 * A TCE of the guest's is a guest address and, in its lowest bits, what devices may do there. One without
 * permissions is nothing, whatever else it says, but the guest sees it as it has put it.
 */
#include "kvm/spapr/spapr_tce.h"

#include "base/fault.h"
#include "kvm/memslot.h"

#include <endian.h>
#include <string.h>

#define TCE_READ  ((uint64_t)1)
#define TCE_WRITE ((uint64_t)2)
#define TCE_RW    (TCE_READ | TCE_WRITE)
#define MAX_LIST  512u /* of H_PUT_TCE_INDIRECT */

/* Beside the answers of the guest's: do it in the slow tier. */
#define AGAIN (-9999)

struct call {
	struct kvm *kvm;
	struct guest_table *guest;
	const struct kvm_slot *slot; /* where a guest address was last, or NULL */
	bool slow;
};

/* ---- arguments */

static bool is_in_window(const struct guest_table *guest, uint64_t ioba, uint64_t npages, uint64_t *index)
{
	const uint64_t n = (ioba >> guest->page_shift) - guest->offset;

	*index = n;
	return !(ioba & (BIT64(guest->page_shift) - 1)) && ioba >> guest->page_shift >= guest->offset &&
	       n <= guest->size && npages <= guest->size - n;
}

/* Where [gpa, gpa+len) of one slot is in the program; 0: nowhere. */
static uint64_t to_ua(struct call *call, uint64_t gpa, uint64_t len)
{
	const struct kvm_slot *slot = call->slot;

	if (unlikely(!slot || gpa - slot->pub.gpa >= slot->pub.size)) {
		slot = call->slot = kvm_slot_find(call->kvm, gpa);
		if (!slot)
			return 0;
	}
	if (unlikely(len > slot->pub.size - (gpa - slot->pub.gpa)))
		return 0;
	return slot->pub.hva + (gpa - slot->pub.gpa);
}

/* The address that a TCE with permissions stands for: whole pages of the guest table's. 0: none. */
static uint64_t tce_ua(struct call *call, uint64_t tce)
{
	const uint64_t gpa = tce & ~TCE_RW, page = BIT64(call->guest->page_shift);

	return unlikely(gpa & (page - 1)) ? 0 : to_ua(call, gpa, page);
}

/* ---- hardware tables */

static struct hw_table *first_hw(const struct guest_table *guest)
{
	return atomic_load(&guest->hw);
}

static struct hw_table *next_hw(const struct hw_table *hw)
{
	return atomic_load(&hw->next);
}

/* Its window has been removed. It has no registered memory then, or what was so once may not be any more. */
static bool is_gone(const struct hw_table *hw)
{
	return !hw->table->memory || tce_table_is_dead(hw->table);
}

static struct tce_memory *get_hint(const struct hw_table *hw)
{
	return atomic_load_explicit(&hw->hint[stripe()].at, memory_order_acquire);
}

static void set_hint(struct hw_table *hw, struct tce_memory *mem)
{
	atomic_store_explicit(&hw->hint[stripe()].at, mem, memory_order_release);
}

/* Can it take ua for an entry of the guest's? */
static bool may_map(struct hw_table *hw, uint64_t ua)
{
	const uint64_t page = BIT64(hw->table->page_shift);
	struct tce_memory *hint = get_hint(hw);

	if (likely(hint && !hw->shift && tce_memory_place_is_for(hint, ua, hw->table->page_shift)))
		return true;
	if (unlikely(tce_table_is_dead(hw->table)))
		return true;
	if (unlikely(!hw->table->memory))
		return false; /* v1: pinned page by page, by the program's calls */
	if (unlikely(ua & (page - 1)))
		return false; /* the memory slot is not aligned as the guest sees it */
	for (uint64_t i = 0; i < BIT64(hw->shift); i++)
		if (!tce_memory_is_for(hw->table->memory, ua + i * page, hw->table->page_shift, hint))
			return false;
	return true;
}

/*
 * No device uses any more what was taken out of this one. Before the next one is looked at: this one may be
 * unlinked meanwhile.
 */
static void finish(struct call *call, const struct hw_table *hw, bool taken)
{
	if (!taken || likely(!tce_try_finish(hw->table)))
		return;
	call->slow = true;
	tce_finish(hw->table);
}

static void clear_hw(const struct hw_table *hw, uint64_t index, uint64_t count, bool *taken)
{
	if (tce_table_clear(hw->table, index << hw->shift, count << hw->shift))
		*taken = true;
}

static long map_hw(struct call *call, struct hw_table *hw, uint64_t index, uint64_t ua, uint64_t tce,
		   bool *taken)
{
	struct tce_memory *hint = get_hint(hw), *found = hint;
	const uint64_t page = BIT64(hw->table->page_shift);
	const uint64_t first = index << hw->shift;
	unsigned int prot = IOMMU_READ | (tce & TCE_WRITE ? IOMMU_WRITE : 0);
	int rc = 0;

	if (unlikely(is_gone(hw)))
		return UVFIO_H_SUCCESS;
	for (uint64_t i = 0; !rc && i < BIT64(hw->shift); i++)
		rc = tce_put_registered(hw->table, first + i, ua + i * page, prot, call->slow, &found, taken);
	if (found != hint)
		set_hint(hw, found);
	if (likely(!rc) || rc == -ENXIO)
		return UVFIO_H_SUCCESS;
	if (rc == -EAGAIN)
		return AGAIN;
	clear_hw(hw, index, 1, taken);
	return UVFIO_H_TOO_HARD;
}

/* ---- the guest's view */

static long view_ready(struct call *call, uint64_t index, uint64_t tce)
{
	int rc = spapr_view_page(call->guest, index, tce, call->slow);

	return rc == -EAGAIN ? AGAIN : rc == -ENOMEM ? UVFIO_H_TOO_HARD : UVFIO_H_SUCCESS;
}

/* view_ready() has said yes. */
static void view_put(struct call *call, uint64_t index, uint64_t tce)
{
	if (!spapr_view_page(call->guest, index, false, false))
		atomic_store_explicit(&call->guest->view[index], tce, memory_order_relaxed);
}

static long view_fill(struct call *call, uint64_t index, uint64_t count, uint64_t tce)
{
	const uint64_t per_page = UVFIO_PAGE_SIZE / sizeof(tce);
	long rc = UVFIO_H_SUCCESS;

	for (uint64_t n; !rc && count; index += n, count -= n) {
		n = MIN(per_page - index % per_page, count);
		rc = view_ready(call, index, tce);
		if (rc || spapr_view_page(call->guest, index, false, false))
			continue;
		for (uint64_t i = 0; i < n; i++)
			atomic_store_explicit(&call->guest->view[index + i], tce, memory_order_relaxed);
	}
	return rc;
}

/* ---- the calls */

/* Before anything is changed. */
static inline long validate(struct call *call, uint64_t tce, uint64_t *ua)
{
	*ua = 0;
	if (!(tce & TCE_RW))
		return UVFIO_H_SUCCESS;
	*ua = tce_ua(call, tce);
	if (unlikely(!*ua))
		return UVFIO_H_TOO_HARD;
	for (struct hw_table *hw = first_hw(call->guest); hw; hw = next_hw(hw))
		if (unlikely(!may_map(hw, *ua)))
			return UVFIO_H_TOO_HARD;
	return UVFIO_H_SUCCESS;
}

/* A TCE that is valid, for ua; 0: nothing. */
static long put_entry(struct call *call, uint64_t index, uint64_t tce, uint64_t ua)
{
	long rc = view_ready(call, index, tce);

	for (struct hw_table *hw = rc ? NULL : first_hw(call->guest); hw && !rc; hw = next_hw(hw)) {
		bool taken = false;

		if (ua)
			rc = map_hw(call, hw, index, ua, tce, &taken);
		else
			clear_hw(hw, index, 1, &taken);
		finish(call, hw, taken);
	}
	if (likely(!rc))
		view_put(call, index, tce);
	return rc;
}

/* Entries of v1 are taken out by the program's calls, too. */
static bool may_clear(const struct guest_table *guest)
{
	for (struct hw_table *hw = first_hw(guest); hw; hw = next_hw(hw))
		if (!hw->table->memory && !tce_table_is_dead(hw->table))
			return false;
	return true;
}

static long put_tce(struct call *call, const uint64_t *args, uint64_t *rets)
{
	const uint64_t tce = args[2];
	uint64_t index, ua;
	long rc;

	(void)rets;
	if (!is_in_window(call->guest, args[1], 1, &index))
		return UVFIO_H_PARAMETER;
	if (!(tce & TCE_RW) && !may_clear(call->guest))
		return UVFIO_H_TOO_HARD;
	rc = validate(call, tce, &ua);
	return rc ? rc : put_entry(call, index, tce, ua);
}

/* All of a list, in a table with the guest's page size. */
static long map_list(struct call *call, struct hw_table *hw, uint64_t index, const uint64_t *uas,
		     const uint64_t *tces, unsigned int count, bool *taken)
{
	struct tce_memory *hint = get_hint(hw), *found = hint;
	uint64_t words[MAX_LIST];
	int rc;

	if (unlikely(is_gone(hw)))
		return UVFIO_H_SUCCESS;
	for (unsigned int i = 0; i < count; i++)
		words[i] = uas[i] ? tce_word(hw->table, uas[i], IOMMU_READ | (tces[i] & TCE_WRITE)) : 0;
	rc = tce_put_words(hw->table, index, words, count, call->slow, &found, taken);
	if (found != hint)
		set_hint(hw, found);
	if (likely(!rc) || rc == -ENXIO)
		return UVFIO_H_SUCCESS;
	if (rc == -EAGAIN)
		return AGAIN;
	clear_hw(hw, index, count, taken);
	return UVFIO_H_TOO_HARD;
}

static long map_each(struct call *call, struct hw_table *hw, uint64_t index, const uint64_t *uas,
		     const uint64_t *tces, unsigned int count, bool *taken)
{
	long rc = UVFIO_H_SUCCESS;

	for (unsigned int i = 0; !rc && i < count; i++) {
		if (uas[i])
			rc = map_hw(call, hw, index + i, uas[i], tces[i], taken);
		else
			clear_hw(hw, index + i, 1, taken);
	}
	return rc;
}

static long view_list(struct call *call, uint64_t index, const uint64_t *tces, uint64_t count)
{
	const uint64_t per_page = UVFIO_PAGE_SIZE / sizeof(*tces);
	long rc = UVFIO_H_SUCCESS;

	for (uint64_t n; !rc && count; index += n, tces += n, count -= n) {
		uint64_t any = 0;

		n = MIN(per_page - index % per_page, count);
		for (uint64_t i = 0; i < n; i++)
			any |= tces[i];
		rc = view_ready(call, index, any);
		if (rc || spapr_view_page(call->guest, index, false, false))
			continue;
		for (uint64_t i = 0; i < n; i++)
			atomic_store_explicit(&call->guest->view[index + i], tces[i], memory_order_relaxed);
	}
	return rc;
}

static long put_list(struct call *call, uint64_t index, uint64_t *tces, uint64_t count)
{
	uint64_t uas[MAX_LIST];
	long rc = UVFIO_H_SUCCESS;

	for (uint64_t i = 0; !rc && i < count; i++) {
		tces[i] = be64toh(tces[i]);
		rc = validate(call, tces[i], &uas[i]);
	}
	for (struct hw_table *hw = rc ? NULL : first_hw(call->guest); hw && !rc; hw = next_hw(hw)) {
		bool taken = false;

		rc = (hw->shift ? map_each : map_list)(call, hw, index, uas, tces, (unsigned int)count,
						       &taken);
		finish(call, hw, taken);
	}
	return rc ? rc : view_list(call, index, tces, count);
}

/* Nothing is changed when an entry of the list is not valid. */
static long put_tce_indirect(struct call *call, const uint64_t *args, uint64_t *rets)
{
	const uint64_t list = args[2], count = args[3];
	uint64_t tces[MAX_LIST], index, ua;

	(void)rets;
	if (count > MAX_LIST || list & UVFIO_PAGE_MASK || !is_in_window(call->guest, args[1], count, &index))
		return UVFIO_H_PARAMETER;
	ua = to_ua(call, list, UVFIO_PAGE_SIZE);
	if (!ua || !may_clear(call->guest))
		return UVFIO_H_TOO_HARD;
	if (unlikely(!call->slow && !fault_handler_installed()))
		return AGAIN; /* a system call reads it, which may wait */
	if (mm_copy_memory(call->kvm->mm, ua, tces, count * sizeof(*tces), false))
		return UVFIO_H_TOO_HARD;
	return put_list(call, index, tces, count);
}

static long stuff_tce(struct call *call, const uint64_t *args, uint64_t *rets)
{
	const uint64_t tce = args[2], count = args[3];
	uint64_t index;

	(void)rets;
	if (!is_in_window(call->guest, args[1], count, &index) || tce & TCE_RW)
		return UVFIO_H_PARAMETER;
	if (!may_clear(call->guest))
		return UVFIO_H_TOO_HARD;
	for (struct hw_table *hw = first_hw(call->guest); hw; hw = next_hw(hw)) {
		bool taken = false;

		clear_hw(hw, index, count, &taken);
		finish(call, hw, taken);
	}
	return view_fill(call, index, count, tce);
}

static long get_tce(struct call *call, const uint64_t *args, uint64_t *rets)
{
	uint64_t index;
	long rc;

	if (!is_in_window(call->guest, args[1], 1, &index))
		return UVFIO_H_PARAMETER;
	rc = view_ready(call, index, 0);
	if (rc)
		return rc;
	rets[0] = spapr_view_page(call->guest, index, false, false)
			  ? 0
			  : atomic_load_explicit(&call->guest->view[index], memory_order_relaxed);
	return UVFIO_H_SUCCESS;
}

static const struct hcall {
	uint64_t number;
	long (*fn)(struct call *call, const uint64_t *args, uint64_t *rets);
} hcalls[] = {
	{ UVFIO_H_PUT_TCE, put_tce },
	{ UVFIO_H_PUT_TCE_INDIRECT, put_tce_indirect },
	{ UVFIO_H_STUFF_TCE, stuff_tce },
	{ UVFIO_H_GET_TCE, get_tce },
};

static unsigned int find_hcall(uint64_t number)
{
	unsigned int i = 0;

	while (i < ARRAY_SIZE(hcalls) && hcalls[i].number != number)
		i++;
	return i;
}

/* ---- tiers */

/* In a section. */
static long run(struct call *call, const struct hcall *hcall, const uint64_t *args, uint64_t *rets)
{
	long rc = hcall->fn(call, args, rets);

	if (likely(rc != AGAIN))
		return rc;
	call->slow = true;
	return hcall->fn(call, args, rets);
}

long spapr_hcall(void *arch, uint64_t number, const uint64_t *args, uint64_t *rets)
{
	struct spapr_vm *vm = arch;
	const unsigned int which = find_hcall(number);
	struct call call = { .kvm = vm->kvm };
	_Atomic uint32_t *in;
	long rc = UVFIO_H_TOO_HARD;

	if (which == ARRAY_SIZE(hcalls))
		return rc;
	if (unlikely(atomic_load_explicit(&vm->disabled, memory_order_relaxed) & 1u << which)) {
		tce_count(&vm->others, TCE_USER);
		return rc;
	}
	in = srcu_read_lock(&vm->kvm->srcu);
	call.guest = atomic_load(&vm->tables);
	while (call.guest && call.guest->liobn != args[0])
		call.guest = atomic_load(&call.guest->next);
	if (call.guest)
		rc = run(&call, &hcalls[which], args, rets);
	tce_count(call.guest ? &call.guest->counters : &vm->others, rc == UVFIO_H_TOO_HARD ? TCE_USER
								    : call.slow            ? TCE_SLOW
											   : TCE_FAST);
	srcu_read_unlock(in);
	return rc;
}

int spapr_enable_hcall(struct spapr_vm *vm, uint64_t number, bool on)
{
	const unsigned int which = find_hcall(number);

	if (which == ARRAY_SIZE(hcalls))
		return WHY(-EINVAL,
			   "hypercall 0x%llx is none of H_GET_TCE, H_PUT_TCE, _INDIRECT, H_STUFF_TCE",
			   (unsigned long long)number);
	if (on)
		atomic_fetch_and(&vm->disabled, ~(1u << which));
	else
		atomic_fetch_or(&vm->disabled, 1u << which);
	return 0;
}

_Static_assert((int)TCE_TIERS == KVM_HCALL_COUNTS, "all of them");
_Static_assert((int)UVFIO_H_TOO_HARD == KVM_HCALL_USER, "they say the same");

/* Under the lock. */
static void count_all(const struct spapr_vm *vm, struct tce_counts *sum)
{
	*sum = vm->past;
	tce_counters_add(&vm->others, sum);
	for (const struct cds_list_head *at = vm->all.next; at != &vm->all; at = at->next)
		tce_counters_add(&cds_list_entry(at, struct guest_table, node)->counters, sum);
}

int spapr_get_counts(void *arch, const uint64_t *liobn, uint64_t counts[TCE_TIERS])
{
	struct spapr_vm *vm = arch;
	struct tce_counts sum = { { 0 } };
	struct guest_table *guest;

	pthread_mutex_lock(&vm->lock);
	guest = vm->tables;
	while (guest && liobn && guest->liobn != *liobn)
		guest = guest->next;
	if (!liobn)
		count_all(vm, &sum);
	else if (guest)
		tce_counters_add(&guest->counters, &sum);
	pthread_mutex_unlock(&vm->lock);
	memcpy(counts, sum.calls, sizeof(sum.calls));
	return liobn && !guest ? -ENOENT : 0;
}
