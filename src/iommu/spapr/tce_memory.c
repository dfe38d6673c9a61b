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

struct places {
	struct tce_memory mem[TCE_PLACES];
	_Atomic(struct places *) next;
	/* How many entries point into each: who has nothing to do with a stripe is not in its cache lines. */
	struct {
		_Alignas(64) _Atomic uint64_t of[TCE_PLACES];
	} entries[STRIPES];
};
_Static_assert(TCE_PLACES * sizeof(uint64_t) % 64 == 0, "stripes are TCE_PLACES counters apart");

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

static void places_init(struct places *places)
{
	*places = (struct places){ .next = NULL };
	for (unsigned int i = 0; i < TCE_PLACES; i++)
		places->mem[i].entries = &places->entries[0].of[i];
}

static struct tce_mm *tce_mm_new(struct mm *mm)
{
	struct tce_mm *tmm = failpoint() ? NULL : aligned_alloc(_Alignof(struct tce_mm), sizeof(*tmm));

	if (!tmm)
		return NULL;
	*tmm = (struct tce_mm){ .mm = NULL };
	places_init(&tmm->first);
	tmm->mm = mm_get(mm);
	tmm->refs = 1;
	pthread_mutex_init(&tmm->lock, NULL);
	CDS_INIT_LIST_HEAD(&tmm->domains);
	cds_list_add(&tmm->node, &all);
	return tmm;
}

/* Each, by its node: the head is in nothing that is aligned as a tce_mm. Under all_lock. */
#define for_each_node(at) for (struct cds_list_head * (at) = all.next; (at) != &all; (at) = (at)->next)

struct tce_mm *tce_mm_get(struct mm *mm)
{
	struct tce_mm *found = NULL;

	pthread_mutex_lock(&all_lock);
	for_each_node(at)
	{
		struct tce_mm *tmm = cds_list_entry(at, struct tce_mm, node);

		if (tmm->mm == mm)
			found = tmm;
	}
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
		for (struct tce_memory *mem = places->mem; mem < places->mem + TCE_PLACES; mem++)

/* Who was unregistering is not there any more: nothing has come of it. What nobody uses by now is left. */
static void stay(struct tce_mm *tmm)
{
	unsigned int left = 0;

	for_each_place(tmm, places, mem)
	{
		if (atomic_load(&mem->state) == TCE_MEMORY_LEAVING)
			atomic_store(&mem->state, TCE_MEMORY_LIVE);
		left += atomic_load(&mem->state) && !mem->used;
	}
	atomic_store(&tmm->left, left);
}

void tce_mm_forked(void)
{
	tce_counters_forked();
	pthread_mutex_init(&all_lock, NULL);
	for_each_node(at)
	{
		struct tce_mm *tmm = cds_list_entry(at, struct tce_mm, node);

		pthread_mutex_init(&tmm->lock, NULL);
		stay(tmm);
	}
}

static bool taken(const struct tce_memory *mem)
{
	return atomic_load_explicit(&mem->state, memory_order_acquire);
}

/* Modulo 2^64: parts of it can be less than 0. */
static uint64_t sum(const struct tce_memory *mem)
{
	uint64_t entries = 0;

	for (unsigned int i = 0; i < STRIPES; i++)
		entries += atomic_load(mem->entries + (size_t)i * TCE_PLACES);
	return entries;
}

uint64_t tce_memory_entries(const struct tce_memory *mem)
{
	uint64_t entries = sum(mem);

	return entries >> 63 ? 0 : entries;
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
	more = failpoint() ? NULL : aligned_alloc(_Alignof(struct places), sizeof(*more));
	if (!more)
		return NULL;
	places_init(more);
	atomic_store_explicit(&last->next, more, memory_order_release);
	return more->mem;
}

/* One entry more, if it is a region that has all of [ua, ua+size): 0; -ENOENT: it is not; -EAGAIN: it leaves.
 */
static inline int count_in(struct tce_memory *mem, uint64_t ua, uint64_t size)
{
	_Atomic uint64_t *stripe;
	uint32_t state;

	if (!tce_memory_has(mem, ua, size) || !taken(mem))
		return -ENOENT;
	stripe = tce_memory_stripe(mem);
	atomic_fetch_add(stripe, 1);
	state = atomic_load(&mem->state);
	if (likely(state == TCE_MEMORY_LIVE && tce_memory_has(mem, ua, size)))
		return 0;
	atomic_fetch_sub(stripe, 1);
	return state == TCE_MEMORY_LEAVING ? -EAGAIN : -ENOENT;
}

static int count_in_any(struct tce_mm *tmm, uint64_t ua, uint64_t size, struct tce_memory **out)
{
	int found = -ENOENT;

	for_each_place(tmm, places, mem)
	{
		int rc = count_in(mem, ua, size);

		if (!rc) {
			*out = mem;
			return 0;
		}
		if (rc == -EAGAIN)
			found = rc;
	}
	return found;
}

int tce_memory_lookup(struct tce_mm *tmm, uint64_t ua, uint64_t size, struct tce_memory *hint, bool may_wait,
		      struct tce_memory **mem)
{
	int rc;

	if (likely(hint && !count_in(hint, ua, size))) {
		*mem = hint;
		return 0;
	}
	rc = count_in_any(tmm, ua, size, mem);
	if (rc != -EAGAIN || !may_wait)
		return rc;
	pthread_mutex_lock(&tmm->lock);
	rc = count_in_any(tmm, ua, size, mem);
	pthread_mutex_unlock(&tmm->lock);
	return rc;
}

int tce_memory_add(struct tce_mm *tmm, struct tce_memory *mem, uint64_t entries, bool may_wait)
{
	_Atomic uint64_t *stripe = tce_memory_stripe(mem);

	atomic_fetch_add(stripe, entries);
	if (likely(atomic_load(&mem->state) == TCE_MEMORY_LIVE))
		return 0;
	atomic_fetch_sub(stripe, entries);
	if (!may_wait)
		return -EAGAIN;
	pthread_mutex_lock(&tmm->lock);
	atomic_fetch_add(stripe, entries);
	pthread_mutex_unlock(&tmm->lock);
	return 0;
}

bool tce_memory_any_is_for(struct tce_mm *tmm, uint64_t ua, unsigned int page_shift)
{
	for_each_place(tmm, places, mem) if (tce_memory_place_is_for(mem, ua, page_shift)) return true;
	return false;
}

/*
 * Does this region have ua? In the one that has, the caller has an entry. In a place of another one, a new
 * region may be coming at this moment: start and size of two regions say nothing.
 */
static bool has_entry_at(const struct tce_memory *mem, uint64_t ua)
{
	const uint32_t version = atomic_load_explicit(&mem->version, memory_order_acquire);
	uint64_t start, size;

	if (!taken(mem))
		return false;
	start = atomic_load_explicit(&mem->ua, memory_order_acquire);
	size = atomic_load_explicit(&mem->size, memory_order_acquire);
	return ua - start < size && atomic_load_explicit(&mem->version, memory_order_relaxed) == version;
}

/* The region that an entry points into, which keeps it from going. */
static struct tce_memory *region_of(struct tce_mm *tmm, uint64_t ua)
{
	for_each_place(tmm, places, mem) if (has_entry_at(mem, ua)) return mem;
	return NULL;
}

void tce_memory_unmapped(struct tce_mm *tmm, uint64_t ua)
{
	struct tce_memory *mem = region_of(tmm, ua);

	if (mem)
		tce_memory_sub(mem, 1);
}

void tce_unmapping_end(struct tce_unmapping *unmapping)
{
	if (unmapping->mem)
		tce_memory_sub(unmapping->mem, unmapping->entries);
	unmapping->mem = NULL;
	unmapping->entries = 0;
}

void tce_unmapping_elsewhere(struct tce_unmapping *unmapping, uint64_t ua)
{
	tce_unmapping_end(unmapping);
	unmapping->mem = region_of(unmapping->tmm, ua);
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
	atomic_fetch_add(&mem->version, 1);
	atomic_store_explicit(&mem->ua, ua, memory_order_release);
	atomic_store_explicit(&mem->size, size, memory_order_release);
	atomic_store_explicit(&mem->page_shift, MIN(ram_shift, (unsigned int)__builtin_ctzll(ua | size)),
			      memory_order_relaxed);
	mem->used = 1;
	atomic_store(&mem->state, TCE_MEMORY_LIVE);
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

	atomic_store(&mem->state, TCE_MEMORY_LEAVING);
	*entries = sum(mem);
	if (*entries) {
		atomic_store(&mem->state, TCE_MEMORY_LIVE);
		return false;
	}
	cds_list_for_each_entry (use, &tmm->domains, node)
		iommu_domain_sync(use->domain);
	atomic_store(&mem->state, TCE_MEMORY_NONE); /* not before: in a fork it stays as it was */
	mm_uncharge(tmm->mm, size / UVFIO_PAGE_SIZE);
	return true;
}

int tce_memory_unregister(struct tce_mm *tmm, struct tce_memory *mem)
{
	uint64_t entries;
	int rc = 0;

	pthread_mutex_lock(&tmm->lock);
	if (mem->used == 1 && !release(tmm, mem, &entries))
		rc = WHY(-EBUSY, "%llu %s into it", (unsigned long long)entries,
			 entries == 1 ? "entry of a TCE table points" : "entries of TCE tables point");
	else
		mem->used--;
	pthread_mutex_unlock(&tmm->lock);
	return rc;
}

void tce_memory_leave(struct tce_mm *tmm, struct tce_memory *mem)
{
	uint64_t entries;

	pthread_mutex_lock(&tmm->lock);
	if (!--mem->used) {
		atomic_fetch_add(&tmm->left, 1); /* first: who takes the last entry out looks at it then */
		if (release(tmm, mem, &entries))
			atomic_fetch_sub(&tmm->left, 1);
	}
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
		struct tce_memory_info info = { mem->ua, mem->size, tce_memory_entries(mem), mem->page_shift,
						mem->used };

		if (taken(mem))
			fn(arg, &info);
	}
	pthread_mutex_unlock(&tmm->lock);
}
