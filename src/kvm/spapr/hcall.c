/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypercalls: which there are, their tiers, counters and traces.
 *
 * Each is done in the fast tier; where memory is missing (SPAPR_AGAIN), from the start in the slow one. Where
 * a device may be using what was taken out of a hardware table, the rest is in the slow one.
 */
#include "kvm/spapr/hcall.h"

#include "base/why.h"

#include <stdio.h>
#include <string.h>

static const struct hcall {
	uint64_t number;
	long (*fn)(struct spapr_call *call, const uint64_t *args, uint64_t *rets);
	const char *name;
	const char *text[2]; /* what the arguments behind the I/O bus address are */
} hcalls[] = {
	{ UVFIO_H_PUT_TCE, spapr_put_tce, "H_PUT_TCE", { " tce=0x" } },
	{ UVFIO_H_PUT_TCE_INDIRECT,
	  spapr_put_tce_indirect,
	  "H_PUT_TCE_INDIRECT",
	  { " list=0x", " npages=0x" } },
	{ UVFIO_H_STUFF_TCE, spapr_stuff_tce, "H_STUFF_TCE", { " tce=0x", " npages=0x" } },
	{ UVFIO_H_GET_TCE, spapr_get_tce, "H_GET_TCE", { NULL } },
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
static long run(struct spapr_call *call, const struct hcall *hcall, const uint64_t *args, uint64_t *rets)
{
	long rc = hcall->fn(call, args, rets);

	if (likely(rc != SPAPR_AGAIN))
		return rc;
	call->slow = true;
	return hcall->fn(call, args, rets);
}

static inline long answer(struct spapr_vm *vm, unsigned int which, const uint64_t *args, uint64_t *rets)
{
	struct spapr_call call = { .kvm = vm->kvm };
	_Atomic uint32_t *in;
	long rc = UVFIO_H_TOO_HARD;

	if (unlikely(atomic_load_explicit(&vm->disabled, memory_order_relaxed) & 1u << which)) {
		tce_count(&vm->others, TCE_USER);
		return WHY(rc, "KVM_CAP_PPC_ENABLE_HCALL has switched it off");
	}
	in = srcu_read_lock(&vm->kvm->srcu);
	call.guest = atomic_load(&vm->tables);
	while (call.guest && call.guest->liobn != args[0])
		call.guest = atomic_load(&call.guest->next);
	if (likely(call.guest))
		rc = run(&call, &hcalls[which], args, rets);
	else
		rc = WHY(rc, "no table of this VM has LIOBN 0x%llx", HEX(args[0]));
	tce_count(call.guest ? &call.guest->counters : &vm->others, rc == UVFIO_H_TOO_HARD ? TCE_USER
								    : call.slow            ? TCE_SLOW
											   : TCE_FAST);
	srcu_read_unlock(in);
	return rc;
}

static const char *name_of(long rc)
{
	return rc == UVFIO_H_SUCCESS ? "H_SUCCESS" : rc == UVFIO_H_PARAMETER ? "H_PARAMETER" : "H_TOO_HARD";
}

static __attribute__((noinline, cold)) long answer_traced(struct spapr_vm *vm, unsigned int which,
							  const uint64_t *args, uint64_t *rets)
{
	const struct hcall *hcall = &hcalls[which];
	const uint64_t start = trace_now();
	char more[64] = "";
	size_t n = 0;
	long rc;

	why_clear();
	rc = answer(vm, which, args, rets);
	for (unsigned int i = 0; i < ARRAY_SIZE(hcall->text) && hcall->text[i]; i++)
		n += (size_t)snprintf(more + n, sizeof(more) - n, "%s%llx", hcall->text[i], HEX(args[2 + i]));
	if (!hcall->text[0] && !rc && rets)
		snprintf(more, sizeof(more), " tce=0x%llx", HEX(rets[0]));
	trace_emit(TRACE_IOCTL, NULL, hcall->name, start, "liobn=0x%llx ioba=0x%llx%s = %s%s%s", HEX(args[0]),
		   HEX(args[1]), more, name_of(rc), rc ? ": " : "", rc ? why_text() : "");
	return rc;
}

long spapr_hcall(void *arch, uint64_t number, const uint64_t *args, uint64_t *rets)
{
	const unsigned int which = find_hcall(number);

	if (which == ARRAY_SIZE(hcalls))
		return UVFIO_H_TOO_HARD;
	if (trace_on(TRACE_IOCTL))
		return answer_traced(arch, which, args, rets);
	return answer(arch, which, args, rets);
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
