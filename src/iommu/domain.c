/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Domains: a page table, and the waiting that makes an unmap final.
 *
 * To unmap: clear the entries, take a new generation (every translation cache is void), then wait for the DMA
 * sections that were open. A section announces itself before it reads the generation or an entry, and an
 * unmap reads the announcements after it has cleared, both with full ordering: one of the two sees the other.
 *
 * A section also marks the generation as seen before it reads an entry. An unmap that finds it unmarked,
 * after it has cleared, with full ordering here, too, needs no new one: no cache is of this generation, and
 * who marks it later finds the entries cleared.
 *
 * Lock order: describe_lock, the owner's lock, users_lock (dma.c). DMA sections take none of them.
 */
#include "base/failpoint.h"
#include "iommu/domain_private.h"

#include <stdlib.h>

static uint64_t next_generation(void)
{
	static _Atomic uint64_t last;

	return (atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1) * (GENERATION_SEEN + 1);
}

/* Translation caches are void. When no section has begun since the last time there are none: nothing is
 * written, and those who unmap at the same time do not meet. Else whoever changes it changes it for all. */
static void new_generation(struct iommu_domain *domain)
{
	uint64_t generation = atomic_load(&domain->generation);

	if (generation & GENERATION_SEEN)
		atomic_compare_exchange_strong(&domain->generation, &generation, next_generation());
}

struct iommu_domain *iommu_domain_alloc(const struct iommu_params *params)
{
	struct iommu_domain *domain = failpoint() ? NULL : aligned_alloc(64, align_up(sizeof(*domain), 64));

	if (!domain)
		return NULL;
	*domain = (struct iommu_domain){ .refs = 1 };
	if (pgtable_init(&domain->pt, params->width)) {
		free(domain);
		return NULL;
	}
	domain->generation = next_generation();
	CDS_INIT_LIST_HEAD(&domain->devs);
	pthread_mutex_init(&domain->describe_lock, NULL);
	return domain;
}

void iommu_domain_get(struct iommu_domain *domain)
{
	atomic_fetch_add_explicit(&domain->refs, 1, memory_order_relaxed);
}

void iommu_domain_put(struct iommu_domain *domain)
{
	if (atomic_fetch_sub_explicit(&domain->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&domain->describe_lock);
	pgtable_fini(&domain->pt);
	dma_free_users(domain);
	free(domain);
}

uint64_t iommu_domain_table_bytes(const struct iommu_domain *domain)
{
	return pgtable_bytes(&domain->pt);
}

void iommu_domain_free(struct iommu_domain *domain)
{
	if (domain)
		iommu_domain_put(domain);
}

/* Who was reading or unmapping at the fork never ends it here. */
void iommu_domain_forked(struct iommu_domain *domain)
{
	pthread_mutex_init(&domain->describe_lock, NULL);
	atomic_store(&domain->readers, 0);
	domain->batch = 0;
}

/* Nothing uses what was cleared once this returns. */
static void wait_for_devices(struct iommu_domain *domain)
{
	new_generation(domain);
	dma_wait_sections(domain);
	for (unsigned int round = 0; atomic_load(&domain->readers); round++)
		dma_back_off(round);
}

/* Entries are cleared by stores that loads may overtake: the generation must be read behind them. */
static void quiesce(struct iommu_domain *domain)
{
	atomic_thread_fence(memory_order_seq_cst);
	wait_for_devices(domain);
	pgtable_reclaim(&domain->pt);
}

void iommu_domain_set_walk(struct iommu_domain *domain,
			   bool (*walk)(void *arg, uint64_t iova, struct pt_leaf *leaf), void *arg)
{
	domain->walk_arg = arg;
	domain->walk = walk;
}

void iommu_domain_sync(struct iommu_domain *domain)
{
	wait_for_devices(domain);
}

bool iommu_domain_try_sync(struct iommu_domain *domain)
{
	new_generation(domain);
	return !dma_sections_open(domain) && !atomic_load(&domain->readers);
}

void iommu_domain_prefetch(const struct iommu_domain *domain, uint64_t iova)
{
	if (domain)
		pgtable_prefetch(&domain->pt, iova);
}

int iommu_domain_map(struct iommu_domain *domain, uint64_t iova, uint64_t size, struct mm *mm, uint64_t va,
		     unsigned int prot)
{
	uint64_t pte = va | prot | (uint64_t)mm->index << PTE_MM_SHIFT;
	int ret = pgtable_map(&domain->pt, iova, iova + (size - 1), pte);

	if (ret)
		iommu_domain_unmap(domain, iova, size);
	return ret;
}

int iommu_domain_split(struct iommu_domain *domain, uint64_t iova)
{
	return pgtable_split(&domain->pt, iova);
}

void iommu_domain_unmap(struct iommu_domain *domain, uint64_t iova, uint64_t size)
{
	if (!size || !pgtable_clear(&domain->pt, iova, iova + (size - 1)))
		return;
	if (domain->batch)
		domain->cleared = true;
	else
		quiesce(domain);
}

void iommu_domain_remap(struct iommu_domain *domain, uint64_t iova, uint64_t size, struct mm *mm, uint64_t va,
			unsigned int prot)
{
	if (!iommu_domain_map(domain, iova, size, mm, va, prot))
		quiesce(domain);
}

void iommu_domain_unmap_begin(struct iommu_domain *domain)
{
	domain->batch++;
}

void iommu_domain_unmap_end(struct iommu_domain *domain)
{
	if (--domain->batch || !domain->cleared)
		return;
	domain->cleared = false;
	quiesce(domain);
}

void iommu_domain_set_dirty_tracking(struct iommu_domain *domain, bool on)
{
	atomic_store(&domain->dirty_tracking, on);
	quiesce(domain);
}

struct dirty_read {
	uint64_t start, last;
	bool clear;
	void (*fn)(void *arg, uint64_t iova, uint64_t size);
	void *arg;
};

static void read_leaf(void *arg, const struct pt_leaf *leaf)
{
	struct dirty_read *read = arg;
	uint64_t start = MAX(leaf->first, read->start), last = MIN(leaf->last, read->last), pte;

	if (read->clear)
		pte = atomic_fetch_and(leaf->word, ~PTE_DIRTY);
	else
		pte = leaf->pte;
	if (pte & PTE_DIRTY)
		read->fn(read->arg, start, last - start + 1);
}

/*
 * A device marks a page before it writes. So a mark that is cleared here may belong to a write still to come:
 * waiting for its section means that who copies the page now copies what was written.
 */
void iommu_domain_read_dirty(struct iommu_domain *domain, uint64_t iova, uint64_t size, bool clear,
			     void (*fn)(void *arg, uint64_t iova, uint64_t size), void *arg)
{
	struct dirty_read read = { iova, iova + (size - 1), clear, fn, arg };

	if (!size)
		return;
	pgtable_each(&domain->pt, read.start, read.last, read_leaf, &read);
	if (clear)
		quiesce(domain);
}

int iommu_domain_translate(struct iommu_domain *domain, uint64_t iova, unsigned int prot,
			   struct iommu_translation *out)
{
	struct pt_leaf leaf;
	int ret = -ENOENT;

	atomic_fetch_add(&domain->readers, 1);
	atomic_thread_fence(memory_order_seq_cst); /* before an entry is read */
	if (iommu_domain_walk(domain, iova, &leaf)) {
		*out = (struct iommu_translation){
			.mm = mm_by_index((uint16_t)(leaf.pte >> PTE_MM_SHIFT)),
			.va = (leaf.pte & PTE_ADDR) + (iova - leaf.first),
			.len = leaf.last - iova + 1,
			.prot = leaf.pte & (IOMMU_READ | IOMMU_WRITE),
		};
		ret = (leaf.pte & prot) == prot ? 0 : -EACCES;
	}
	atomic_fetch_sub(&domain->readers, 1);
	return ret;
}

void iommu_domain_set_advice(struct iommu_domain *domain, const struct iommu_advice *advice)
{
	domain->advice = advice;
}

void iommu_domain_set_describe(struct iommu_domain *domain,
			       void (*describe)(void *owner, uint64_t iova, char *buf, size_t len),
			       void *owner)
{
	pthread_mutex_lock(&domain->describe_lock);
	domain->describe = describe;
	domain->owner = owner;
	pthread_mutex_unlock(&domain->describe_lock);
}
