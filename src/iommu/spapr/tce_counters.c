/* SPDX-License-Identifier: BSD-2-Clause */
/* Sums of what was counted in the tiers. */
#include "iommu/spapr/tce_counters.h"

#include <pthread.h>

static pthread_mutex_t sources_lock = PTHREAD_MUTEX_INITIALIZER; /* innermost */

void tce_counters_forked(void)
{
	pthread_mutex_init(&sources_lock, NULL);
}

void tce_counters_add(const struct tce_counters *counters, struct tce_counts *sum)
{
	for (unsigned int i = 0; i < STRIPES; i++)
		for (unsigned int tier = 0; tier < TCE_TIERS; tier++)
			sum->calls[tier] +=
				atomic_load_explicit(&counters->stripe[i].calls[tier], memory_order_relaxed);
}

/* What a source has counted since it is one. */
static void add_since(const struct tce_source *source, struct tce_counts *sum)
{
	struct tce_counts now = { { 0 } };

	tce_counters_add(source->counters, &now);
	for (unsigned int tier = 0; tier < TCE_USER; tier++)
		sum->calls[tier] += now.calls[tier] - source->before.calls[tier];
}

void tce_sources_init(struct tce_sources *sources)
{
	*sources = (struct tce_sources){ .past = { { 0 } } };
	CDS_INIT_LIST_HEAD(&sources->list);
}

void tce_source_add(struct tce_sources *sources, struct tce_source *source,
		    const struct tce_counters *counters)
{
	*source = (struct tce_source){ .counters = counters };
	tce_counters_add(counters, &source->before);
	pthread_mutex_lock(&sources_lock);
	cds_list_add(&source->node, &sources->list);
	pthread_mutex_unlock(&sources_lock);
}

void tce_source_remove(struct tce_sources *sources, struct tce_source *source)
{
	pthread_mutex_lock(&sources_lock);
	add_since(source, &sources->past);
	cds_list_del(&source->node);
	pthread_mutex_unlock(&sources_lock);
}

void tce_sources_sum(const struct tce_sources *sources, struct tce_counts *sum)
{
	const struct tce_source *source;

	*sum = sources->own;
	pthread_mutex_lock(&sources_lock);
	for (unsigned int tier = 0; tier < TCE_TIERS; tier++)
		sum->calls[tier] += sources->past.calls[tier];
	cds_list_for_each_entry (source, &sources->list, node)
		add_since(source, sum);
	pthread_mutex_unlock(&sources_lock);
}
