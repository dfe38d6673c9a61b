/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many calls that change entries were done in which tier.
 *
 * A tier is who did it: one that neither allocates, locks nor waits (fast), one that may (slow), the program
 * by calls of its own, or because nobody else could (user).
 *
 * Hypercalls are counted once, where the guest's table is, in stripes (base/stripe.h): that is all that they
 * pay. A window's table has the counters of the guests' tables that are tied to it as its sources: what they
 * have counted since then is the window's, too.
 */
#ifndef UVFIO_IOMMU_SPAPR_TCE_COUNTERS_H
#define UVFIO_IOMMU_SPAPR_TCE_COUNTERS_H

#include "base/stripe.h"

#include <urcu/list.h>

enum tce_tier {
	TCE_FAST,
	TCE_SLOW,
	TCE_USER,
	TCE_TIERS,
};

struct tce_counts {
	uint64_t calls[TCE_TIERS];
};

struct tce_counters {
	struct {
		_Alignas(64) _Atomic uint64_t calls[TCE_TIERS];
	} stripe[STRIPES];
};

/* One more. Any thread; no lock. */
static inline void tce_count(struct tce_counters *counters, enum tce_tier tier)
{
	atomic_fetch_add_explicit(&counters->stripe[stripe()].calls[tier], 1, memory_order_relaxed);
}

/* Add what has been counted to *sum. */
void tce_counters_add(const struct tce_counters *counters, struct tce_counts *sum);

/* Counters that are someone's source. */
struct tce_source {
	struct cds_list_head node;
	const struct tce_counters *counters;
	struct tce_counts before; /* when they became it */
};

struct tce_sources {
	struct cds_list_head list; /* under a lock of tce_counters.c, like all of this but own */
	struct tce_counts past;    /* of sources that are none any more */
	struct tce_counts own;     /* counted without one; the owner's */
};

void tce_sources_init(struct tce_sources *sources);
/* counters stay until source is removed. Calls of the program's (user) are not taken: they come here again.
 */
void tce_source_add(struct tce_sources *sources, struct tce_source *source,
		    const struct tce_counters *counters);
void tce_source_remove(struct tce_sources *sources, struct tce_source *source);
/* All there were so far. */
void tce_sources_sum(const struct tce_sources *sources, struct tce_counts *sum);
/* In the child of a fork: the lock is held by nobody. */
void tce_counters_forked(void);

#endif
