/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the hypercalls do, in either tier: arguments, hardware tables, the guest's view.
 *
 * A TCE of the guest's is a guest address and, in its lowest bits, what devices may do there. One without
 * permissions is nothing, whatever else it says, but the guest sees it as it has put it.
 */
#include "kvm/spapr/hcall.h"

#include "base/fault.h"
#include "base/why.h"
#include "kvm/memslot.h"

#include <endian.h>

#define TCE_READ  ((uint64_t)1)
#define TCE_WRITE ((uint64_t)2)
#define TCE_RW    (TCE_READ | TCE_WRITE)
#define MAX_LIST  512u /* of H_PUT_TCE_INDIRECT */

/* ---- arguments */

static __attribute__((cold)) long outside(const struct guest_table *guest, uint64_t ioba, uint64_t npages)
{
	return WHY(
		UVFIO_H_PARAMETER,
		"0x%llx pages of 2^%u at 0x%llx are not in the table's window, 0x%llx pages from 0x%llx on",
		HEX(npages), guest->page_shift, HEX(ioba), HEX(guest->size),
		HEX(guest->offset << guest->page_shift));
}

static __attribute__((cold)) long too_hard_for_v1(void)
{
	return WHY(UVFIO_H_TOO_HARD, "a container of the first version is changed by its own calls, "
				     "VFIO_IOMMU_MAP_DMA and VFIO_IOMMU_UNMAP_DMA");
}

static bool is_in_window(const struct guest_table *guest, uint64_t ioba, uint64_t npages, uint64_t *index)
{
	const uint64_t n = (ioba >> guest->page_shift) - guest->offset;

	*index = n;
	return !(ioba & (BIT64(guest->page_shift) - 1)) && ioba >> guest->page_shift >= guest->offset &&
	       n <= guest->size && npages <= guest->size - n;
}

/* Where [gpa, gpa+len) of one slot is in the program; 0: nowhere. */
static uint64_t to_ua(struct spapr_call *call, uint64_t gpa, uint64_t len)
{
	const struct kvm_slot *slot = call->slot;

	if (unlikely(!slot || gpa - slot->pub.gpa >= slot->pub.size)) {
		slot = call->slot = kvm_slot_find(call->kvm, gpa);
		if (!slot)
			return WHY((uint64_t)0, "no memory slot has guest address 0x%llx", HEX(gpa));
	}
	if (unlikely(len > slot->pub.size - (gpa - slot->pub.gpa)))
		return WHY((uint64_t)0, "the memory slot ends within 0x%llx bytes of guest address 0x%llx",
			   HEX(len), HEX(gpa));
	return slot->pub.hva + (gpa - slot->pub.gpa);
}

/* The address that a TCE with permissions stands for: whole pages of the guest table's. 0: none. */
static uint64_t tce_ua(struct spapr_call *call, uint64_t tce)
{
	const uint64_t gpa = tce & ~TCE_RW, page = BIT64(call->guest->page_shift);

	if (unlikely(gpa & (page - 1)))
		return WHY((uint64_t)0, "TCE 0x%llx is not the address of a page of 2^%u, and permissions",
			   HEX(tce), call->guest->page_shift);
	return to_ua(call, gpa, page);
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
static long check_map(struct hw_table *hw, uint64_t ua)
{
	const uint64_t page = BIT64(hw->table->page_shift);
	struct tce_memory *hint = get_hint(hw);

	if (likely(hint && !hw->shift && tce_memory_place_is_for(hint, ua, hw->table->page_shift)))
		return UVFIO_H_SUCCESS;
	if (unlikely(tce_table_is_dead(hw->table)))
		return UVFIO_H_SUCCESS;
	if (unlikely(!hw->table->memory))
		return too_hard_for_v1(); /* pinned page by page */
	if (unlikely(ua & (page - 1)))
		return WHY(UVFIO_H_TOO_HARD,
			   "the memory slot is not aligned for pages of 2^%u as the guest sees it",
			   hw->table->page_shift);
	for (uint64_t i = 0; i < BIT64(hw->shift); i++)
		if (!tce_memory_is_for(hw->table->memory, ua + i * page, hw->table->page_shift, hint))
			return WHY(UVFIO_H_TOO_HARD,
				   "vaddr 0x%llx is not registered with the group's container, or not for "
				   "pages of 2^%u: VFIO_IOMMU_SPAPR_REGISTER_MEMORY",
				   HEX(ua + i * page), hw->table->page_shift);
	return UVFIO_H_SUCCESS;
}

/*
 * No device uses any more what was taken out of this one. Before the next one is looked at: this one may be
 * unlinked meanwhile.
 */
static void finish(struct spapr_call *call, const struct hw_table *hw, bool taken)
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

static long map_hw(struct spapr_call *call, struct hw_table *hw, uint64_t index, uint64_t ua, uint64_t tce,
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
		return SPAPR_AGAIN;
	clear_hw(hw, index, 1, taken);
	return UVFIO_H_TOO_HARD;
}

/* ---- the guest's view */

static long view_ready(struct spapr_call *call, uint64_t index, uint64_t tce)
{
	int rc = spapr_view_page(call->guest, index, tce, call->slow);

	if (rc == -ENOMEM)
		return WHY(UVFIO_H_TOO_HARD, "no memory for the table");
	return rc == -EAGAIN ? SPAPR_AGAIN : UVFIO_H_SUCCESS;
}

/* view_ready() has said yes. */
static void view_put(struct spapr_call *call, uint64_t index, uint64_t tce)
{
	if (!spapr_view_page(call->guest, index, false, false))
		atomic_store_explicit(&call->guest->view[index], tce, memory_order_relaxed);
}

static long view_fill(struct spapr_call *call, uint64_t index, uint64_t count, uint64_t tce)
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
static inline long validate(struct spapr_call *call, uint64_t tce, uint64_t *ua)
{
	long rc = UVFIO_H_SUCCESS;

	*ua = 0;
	if (!(tce & TCE_RW))
		return UVFIO_H_SUCCESS;
	*ua = tce_ua(call, tce);
	if (unlikely(!*ua))
		return UVFIO_H_TOO_HARD;
	for (struct hw_table *hw = first_hw(call->guest); hw && likely(!rc); hw = next_hw(hw))
		rc = check_map(hw, *ua);
	return rc;
}

/* A TCE that is valid, for ua; 0: nothing. */
static long put_entry(struct spapr_call *call, uint64_t index, uint64_t tce, uint64_t ua)
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

long spapr_put_tce(struct spapr_call *call, const uint64_t *args, uint64_t *rets)
{
	const uint64_t tce = args[2];
	uint64_t index, ua;
	long rc;

	(void)rets;
	if (!is_in_window(call->guest, args[1], 1, &index))
		return outside(call->guest, args[1], 1);
	if (!(tce & TCE_RW) && !may_clear(call->guest))
		return too_hard_for_v1();
	rc = validate(call, tce, &ua);
	return rc ? rc : put_entry(call, index, tce, ua);
}

/* All of a list, in a table with the guest's page size. */
static long map_list(struct spapr_call *call, struct hw_table *hw, uint64_t index, const uint64_t *uas,
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
		return SPAPR_AGAIN;
	clear_hw(hw, index, count, taken);
	return UVFIO_H_TOO_HARD;
}

static long map_each(struct spapr_call *call, struct hw_table *hw, uint64_t index, const uint64_t *uas,
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

static long view_list(struct spapr_call *call, uint64_t index, const uint64_t *tces, uint64_t count)
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

static long put_list(struct spapr_call *call, uint64_t index, uint64_t *tces, uint64_t count)
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
long spapr_put_tce_indirect(struct spapr_call *call, const uint64_t *args, uint64_t *rets)
{
	const uint64_t list = args[2], count = args[3];
	uint64_t tces[MAX_LIST], index, ua;

	(void)rets;
	if (count > MAX_LIST)
		return WHY(UVFIO_H_PARAMETER, "%llu entries, at most %u", HEX(count), MAX_LIST);
	if (list & UVFIO_PAGE_MASK)
		return WHY(UVFIO_H_PARAMETER, "the list at 0x%llx does not begin a page of 4 KiB", HEX(list));
	if (!is_in_window(call->guest, args[1], count, &index))
		return outside(call->guest, args[1], count);
	ua = to_ua(call, list, UVFIO_PAGE_SIZE);
	if (!ua)
		return UVFIO_H_TOO_HARD;
	if (!may_clear(call->guest))
		return too_hard_for_v1();
	if (unlikely(!call->slow && !fault_handler_installed()))
		return SPAPR_AGAIN; /* a system call reads it, which may wait */
	if (mm_copy_memory(call->kvm->mm, ua, tces, count * sizeof(*tces), false))
		return WHY(UVFIO_H_TOO_HARD, "the list at vaddr 0x%llx is not readable memory", HEX(ua));
	return put_list(call, index, tces, count);
}

long spapr_stuff_tce(struct spapr_call *call, const uint64_t *args, uint64_t *rets)
{
	const uint64_t tce = args[2], count = args[3];
	uint64_t index;

	(void)rets;
	if (!is_in_window(call->guest, args[1], count, &index))
		return outside(call->guest, args[1], count);
	if (tce & TCE_RW)
		return WHY(UVFIO_H_PARAMETER, "TCE 0x%llx has permissions: H_PUT_TCE is for those", HEX(tce));
	if (!may_clear(call->guest))
		return too_hard_for_v1();
	for (struct hw_table *hw = first_hw(call->guest); hw; hw = next_hw(hw)) {
		bool taken = false;

		clear_hw(hw, index, count, &taken);
		finish(call, hw, taken);
	}
	return view_fill(call, index, count, tce);
}

long spapr_get_tce(struct spapr_call *call, const uint64_t *args, uint64_t *rets)
{
	uint64_t index;
	long rc;

	if (!is_in_window(call->guest, args[1], 1, &index))
		return outside(call->guest, args[1], 1);
	rc = view_ready(call, index, 0);
	if (rc)
		return rc;
	if (!rets)
		return UVFIO_H_SUCCESS;
	rets[0] = spapr_view_page(call->guest, index, false, false)
			  ? 0
			  : atomic_load_explicit(&call->guest->view[index], memory_order_relaxed);
	return UVFIO_H_SUCCESS;
}
