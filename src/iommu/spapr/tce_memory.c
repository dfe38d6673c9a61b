/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registered memory. Lock order: all_lock, a tce_mm's lock.
 */
#include "iommu/spapr/tce_memory.h"

#include "base/failpoint.h"
#include "base/why.h"
#include "iommu/spapr/tce_counters.h"

#include <pthread.h>
#include <stdlib.h>

#define PLACES 32

struct places {
	struct tce_memory mem[PLACES];
	_Atomic(struct places *) next;
};

struct tce_mm {
	struct mm *mm;     /* a reference */
	unsigned int refs; /* under all_lock */
	struct cds_list_head node;
	pthread_mutex_t lock;         /* who registers and unregisters */
	_Atomic unsigned int left;    /* regions that nobody uses, but entries of others */
	struct cds_list_head domains; /* struct tce_mm_domain; under lock */
	struct places first;
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(all);

static struct tce_mm *tce_mm_new(struct mm *mm)
{
	struct tce_mm *tmm = failpoint() ? NULL : calloc(1, sizeof(*tmm));

	if (!tmm)
		return NULL;
	tmm->mm = mm_get(mm);
	tmm->refs = 1;
	pthread_mutex_init(&tmm->lock, NULL);
	CDS_INIT_LIST_HEAD(&tmm->domains);
	cds_list_add(&tmm->node, &all);
	return tmm;
}

struct tce_mm *tce_mm_get(struct mm *mm)
{
	struct tce_mm *tmm, *found = NULL;

	pthread_mutex_lock(&all_lock);
	cds_list_for_each_entry (tmm, &all, node)
		if (tmm->mm == mm)
			found = tmm;
	if (found)
		found->refs++;
	else
		found = tce_mm_new(mm);
	pthread_mutex_unlock(&all_lock);
	return found;
}

struct tce_mm *tce_mm_ref(struct tce_mm *tmm)
{
	pthread_mutex_lock(&all_lock);
	tmm->refs++;
	pthread_mutex_unlock(&all_lock);
	return tmm;
}

void tce_mm_put(struct tce_mm *tmm)
{
	struct places *next, *places;
	bool last;

	pthread_mutex_lock(&all_lock);
	last = !--tmm->refs;
	if (last)
		cds_list_del(&tmm->node);
	pthread_mutex_unlock(&all_lock);
	if (!last)
		return;
	tce_memory_reap(tmm);
	for (places = tmm->first.next; places; places = next) {
		next = places->next;
		free(places);
	}
	pthread_mutex_destroy(&tmm->lock);
	mm_put(tmm->mm);
	free(tmm);
}

void tce_mm_forked(void)
{
	struct tce_mm *tmm;

	tce_counters_forked();
	pthread_mutex_init(&all_lock, NULL);
	cds_list_for_each_entry (tmm, &all, node)
		pthread_mutex_init(&tmm->lock, NULL);
}

int tce_charge(struct mm *mm, const struct iommu_params *params, uint64_t pages)
{
	uint64_t limit = params->memlock_rlimit ? mm_memlock_limit(mm) : params->memlock_pages;

	if (!mm_charge(mm, pages, limit))
		return 0;
	return WHY(-ENOMEM, "%llu KiB of locked memory, and %llu KiB are left of %s",
		   (unsigned long long)pages * 4, (unsigned long long)mm_memlock_room(mm, limit) * 4,
		   params->memlock_rlimit ? "RLIMIT_MEMLOCK (ulimit -l)" : "--iommu memlock=");
}

/* ---- places */

/* Each place, whatever stands in it. */
#define for_each_place(tmm, places, mem)                                                                     \
	for (struct places *places = &(tmm)->first; places;                                                  \
	     places = atomic_load_explicit(&places->next, memory_order_acquire))                             \
		for (struct tce_memory *mem = places->mem; mem < places->mem + PLACES; mem++)

static bool taken(const struct tce_memory *mem)
{
	return atomic_load_explicit(&mem->mapped, memory_order_acquire);
}

/* Under the lock. A place without a region; NULL: no memory. */
static struct tce_memory *free_place(struct tce_mm *tmm)
{
	struct places *last = &tmm->first, *more;

	for_each_place(tmm, places, mem)
	{
		if (!taken(mem))
			return mem;
		last = places;
	}
	more = failpoint() ? NULL : calloc(1, sizeof(*more));
	if (more)
		atomic_store_explicit(&last->next, more, memory_order_release);
	return more ? more->mem : NULL;
}

/* One entry more, if it is a region that has all of [ua, ua+size). */
static bool count_in(struct tce_memory *mem, uint64_t ua, uint64_t size)
{
	uint64_t mapped = atomic_load_explicit(&mem->mapped, memory_order_acquire);

	if (!tce_memory_has(mem, ua, size))
		return false;
	do {
		if (!mapped)
			return false;
	} while (!atomic_compare_exchange_weak(&mem->mapped, &mapped, mapped + 1));
	if (likely(tce_memory_has(mem, ua, size)))
		return true;
	atomic_fetch_sub(&mem->mapped, 1);
	return false;
}

struct tce_memory *tce_memory_lookup(struct tce_mm *tmm, uint64_t ua, uint64_t size, struct tce_memory *hint)
{
	if (hint && count_in(hint, ua, size))
		return hint;
	for_each_place(tmm, places, mem) if (count_in(mem, ua, size)) return mem;
	return NULL;
}

bool tce_memory_any_is_for(struct tce_mm *tmm, uint64_t ua, unsigned int page_shift)
{
	for_each_place(tmm, places, mem) if (tce_memory_place_is_for(mem, ua, page_shift)) return true;
	return false;
}

/* The region that an entry points into, which keeps it from going. */
static struct tce_memory *region_of(struct tce_mm *tmm, uint64_t ua)
{
	for_each_place(tmm, places, mem) if (taken(mem) && tce_memory_has(mem, ua, 1)) return mem;
	return NULL;
}

void tce_memory_unmapped(struct tce_mm *tmm, uint64_t ua)
{
	struct tce_memory *mem = region_of(tmm, ua);

	if (mem)
		atomic_fetch_sub(&mem->mapped, 1);
}

void tce_unmapping_end(struct tce_unmapping *unmapping)
{
	if (unmapping->mem)
		atomic_fetch_sub(&unmapping->mem->mapped, unmapping->entries);
	unmapping->mem = NULL;
	unmapping->entries = 0;
}

void tce_unmapping_note(struct tce_unmapping *unmapping, uint64_t ua)
{
	if (unlikely(!unmapping->mem || !tce_memory_has(unmapping->mem, ua, 1))) {
		tce_unmapping_end(unmapping);
		unmapping->mem = region_of(unmapping->tmm, ua);
	}
	unmapping->entries++;
}

/* ---- registering */

/* Under the lock. */
static struct tce_memory *same(struct tce_mm *tmm, uint64_t ua, uint64_t size)
{
	for_each_place(tmm, places, mem) if (taken(mem) && mem->ua == ua && mem->size == size) return mem;
	return NULL;
}

/* Under the lock. */
static int check_overlap(struct tce_mm *tmm, uint64_t ua, uint64_t size)
{
	for_each_place(
		tmm, places,
		mem) if (taken(mem) && mem->ua < ua + size &&
			 ua < mem->ua + mem->size) return WHY(-EINVAL, "0x%llx-0x%llx is registered already",
							      (unsigned long long)mem->ua,
							      (unsigned long long)(mem->ua + mem->size - 1));
	return 0;
}

static int check_memory(struct mm *mm, uint64_t ua, uint64_t size)
{
	bool bar;

	if (mm_check_bar(mm, ua, size, true, &bar))
		return WHY(-EFAULT, "some of the memory at vaddr 0x%llx is not there, or not writable",
			   (unsigned long long)ua);
	return bar ? WHY(-EFAULT, "a BAR cannot be registered") : 0;
}

/* Under the lock. */
static int add(struct tce_mm *tmm, const struct iommu_params *params, unsigned int ram_shift, uint64_t ua,
	       uint64_t size, struct tce_memory **out)
{
	struct tce_memory *mem;
	int rc;

	if (!size)
		return WHY(-ENOMEM, "size is 0");
	rc = tce_charge(tmm->mm, params, size / UVFIO_PAGE_SIZE);
	if (rc)
		return rc;
	rc = check_memory(tmm->mm, ua, size);
	if (!rc)
		rc = check_overlap(tmm, ua, size);
	mem = rc ? NULL : free_place(tmm);
	if (!mem) {
		mm_uncharge(tmm->mm, size / UVFIO_PAGE_SIZE);
		return rc ? rc : -ENOMEM;
	}
	atomic_store_explicit(&mem->ua, ua, memory_order_relaxed);
	atomic_store_explicit(&mem->size, size, memory_order_relaxed);
	atomic_store_explicit(&mem->page_shift, MIN(ram_shift, (unsigned int)__builtin_ctzll(ua | size)),
			      memory_order_relaxed);
	mem->used = 1;
	atomic_store_explicit(&mem->mapped, 1, memory_order_release);
	*out = mem;
	return 0;
}

int tce_memory_register(struct tce_mm *tmm, const struct iommu_params *params, unsigned int ram_shift,
			uint64_t ua, uint64_t size, struct tce_memory **mem)
{
	int rc = 0;

	pthread_mutex_lock(&tmm->lock);
	*mem = same(tmm, ua, size);
	if (*mem && !(*mem)->used++)
		atomic_fetch_sub(&tmm->left, 1);
	if (!*mem)
		rc = add(tmm, params, ram_shift, ua, size, mem);
	pthread_mutex_unlock(&tmm->lock);
	return rc;
}

bool tce_memory_has_left(struct tce_mm *tmm)
{
	return unlikely(atomic_load(&tmm->left));
}

void tce_mm_add_domain(struct tce_mm *tmm, struct tce_mm_domain *use, struct iommu_domain *domain)
{
	use->domain = domain;
	pthread_mutex_lock(&tmm->lock);
	cds_list_add(&use->node, &tmm->domains);
	pthread_mutex_unlock(&tmm->lock);
}

void tce_mm_remove_domain(struct tce_mm *tmm, struct tce_mm_domain *use)
{
	pthread_mutex_lock(&tmm->lock);
	cds_list_del(&use->node);
	pthread_mutex_unlock(&tmm->lock);
}

/*
 * Under the lock: is it gone? *entries: else, that point into it. Who takes an entry out may have left the
 * waiting for devices to someone else.
 */
static bool release(struct tce_mm *tmm, struct tce_memory *mem, uint64_t *entries)
{
	const uint64_t size = mem->size;
	struct tce_mm_domain *use;
	uint64_t mapped = 1;

	if (!atomic_compare_exchange_strong(&mem->mapped, &mapped, 0)) {
		*entries = mapped - 1;
		return false;
	}
	cds_list_for_each_entry (use, &tmm->domains, node)
		iommu_domain_sync(use->domain);
	mm_uncharge(tmm->mm, size / UVFIO_PAGE_SIZE);
	return true;
}

int tce_memory_unregister(struct tce_mm *tmm, struct tce_memory *mem)
{
	uint64_t entries;
	int rc = 0;

	pthread_mutex_lock(&tmm->lock);
	if (mem->used == 1 && !release(tmm, mem, &entries))
		rc = WHY(-EBUSY, "%llu entries of TCE tables point into it", (unsigned long long)entries);
	else
		mem->used--;
	pthread_mutex_unlock(&tmm->lock);
	return rc;
}

void tce_memory_leave(struct tce_mm *tmm, struct tce_memory *mem)
{
	uint64_t entries;

	pthread_mutex_lock(&tmm->lock);
	if (!--mem->used && !release(tmm, mem, &entries))
		atomic_fetch_add(&tmm->left, 1);
	pthread_mutex_unlock(&tmm->lock);
}

void tce_memory_reap(struct tce_mm *tmm)
{
	uint64_t entries;

	if (likely(!atomic_load(&tmm->left)))
		return;
	pthread_mutex_lock(&tmm->lock);
	for_each_place(tmm, places, mem) if (taken(mem) && !mem->used && release(tmm, mem, &entries))
		atomic_fetch_sub(&tmm->left, 1);
	pthread_mutex_unlock(&tmm->lock);
}

void tce_memory_each(struct tce_mm *tmm, void (*fn)(void *arg, const struct tce_memory_info *info), void *arg)
{
	pthread_mutex_lock(&tmm->lock);
	for_each_place(tmm, places, mem)
	{
		struct tce_memory_info info = { mem->ua, mem->size, mem->mapped, mem->page_shift, mem->used };

		if (!info.entries)
			continue;
		info.entries--;
		fn(arg, &info);
	}
	pthread_mutex_unlock(&tmm->lock);
}
