/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices, their users, and DMA sections.
 *
 * A user says that it is inside by making its section number odd, with full ordering, before it reads the
 * device's domain. Who takes something away from sections (an entry, a domain) does so first, then looks for
 * odd numbers, and waits until each of these has changed. A section is short, but may hold a system call: the
 * wait spins, then sleeps.
 *
 * users_lock protects the lists of users and of a domain's devices. It is held while waiting: sections never
 * take it.
 *
 * Who must not wait for it looks at the domain's arrays of users. So a user's memory stays a user's: what is
 * freed is kept for the next one, and a section number is never anything else.
 */
#include "iommu/dma_private.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t dma_patience = 5000000000;

static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(free_users); /* under users_lock */

void dma_forked(void)
{
	pthread_mutex_init(&users_lock, NULL);
}

void iommu_dev_init(struct iommu_dev *dev, const char *name)
{
	*dev = (struct iommu_dev){ .name = name };
	CDS_INIT_LIST_HEAD(&dev->users);
	CDS_INIT_LIST_HEAD(&dev->domain_node);
}

void iommu_dev_destroy(struct iommu_dev *dev)
{
	iommu_dev_attach(dev, NULL);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/* A holder that was preempted needs this processor: sleeping gives it up for less long than yielding does. */
void dma_back_off(unsigned int round)
{
	struct timespec nap = { .tv_nsec = 10000 };

	if (round < 200)
		cpu_relax();
	else
		nanosleep(&nap, NULL);
}

/* Under users_lock. */
static void tell_wait(const struct iommu_dev *dev)
{
	uvfio_err(
		"%s: the unmapping of memory waits for a DMA section: uvfio_dma_end() has to be called soon "
		"after uvfio_dma_begin()",
		dev->name);
}

/* Under users_lock. */
static void wait_user(const struct dma_user *user)
{
	uint64_t section = atomic_load(&user->section), start;
	bool told = false;

	if (likely(!(section & 1)))
		return;
	start = trace_now();
	for (unsigned int round = 0; atomic_load(&user->section) == section; round++) {
		dma_back_off(round);
		if (told || round % 1024 != 1023 || trace_now() - start < dma_patience)
			continue;
		tell_wait(user->dev);
		told = true;
	}
}

/* Under users_lock. */
static void wait_dev(const struct iommu_dev *dev)
{
	struct dma_user *user;

	cds_list_for_each_entry (user, &dev->users, node)
		wait_user(user);
}

void dma_wait_sections(struct iommu_domain *domain)
{
	struct iommu_dev *dev;

	pthread_mutex_lock(&users_lock);
	cds_list_for_each_entry (dev, &domain->devs, domain_node)
		wait_dev(dev);
	pthread_mutex_unlock(&users_lock);
}

/* ---- the users that a domain knows of. Under users_lock. */

/* The first place that is free, after those that never were taken a new one; NULL: no memory. */
static _Atomic(struct dma_user *) *user_place(struct domain_users *users)
{
	for (;; users = atomic_load(&users->next)) {
		uint32_t i = 0, nr = atomic_load(&users->nr);

		while (i < nr && atomic_load(&users->user[i]))
			i++;
		if (i < DOMAIN_USERS) {
			atomic_store(&users->nr, MAX(nr, i + 1));
			return &users->user[i];
		}
		if (!atomic_load(&users->next))
			atomic_store(&users->next, failpoint() ? NULL : calloc(1, sizeof(*users)));
		if (!atomic_load(&users->next))
			return NULL;
	}
}

/* Before its sections can use the domain. */
static void add_user(struct iommu_domain *domain, struct dma_user *user)
{
	_Atomic(struct dma_user *) *place = user_place(&domain->users);

	if (place)
		atomic_store(place, user);
	else
		atomic_store(&domain->crowded, true);
}

/* When none of its sections uses the domain any more. */
static void remove_user(struct iommu_domain *domain, const struct dma_user *user)
{
	for (struct domain_users *users = &domain->users; users; users = atomic_load(&users->next))
		for (uint32_t i = 0; i < atomic_load(&users->nr); i++)
			if (atomic_load(&users->user[i]) == user)
				atomic_store(&users->user[i], NULL);
}

void dma_free_users(struct iommu_domain *domain)
{
	struct domain_users *users = atomic_load(&domain->users.next), *next;

	for (; users; users = next) {
		next = atomic_load(&users->next);
		free(users);
	}
}

bool dma_sections_open(struct iommu_domain *domain)
{
	for (struct domain_users *users = &domain->users; users; users = atomic_load(&users->next)) {
		uint32_t nr = atomic_load(&users->nr);

		for (uint32_t i = 0; i < nr; i++) {
			struct dma_user *user = atomic_load(&users->user[i]);

			if (user && atomic_load(&user->section) & 1)
				return true;
		}
	}
	return atomic_load(&domain->crowded);
}

/* The device is in both domains' lists while sections may still use the old one. */
void iommu_dev_attach(struct iommu_dev *dev, struct iommu_domain *domain)
{
	struct iommu_domain *old;
	struct dma_user *user;

	pthread_mutex_lock(&users_lock);
	old = atomic_load(&dev->domain);
	cds_list_for_each_entry (user, &dev->users, node)
		if (domain && domain != old)
			add_user(domain, user);
	atomic_store(&dev->domain, domain);
	wait_dev(dev);
	cds_list_for_each_entry (user, &dev->users, node)
		if (old && domain != old)
			remove_user(old, user);
	cds_list_del_init(&dev->domain_node);
	if (domain)
		cds_list_add(&dev->domain_node, &domain->devs);
	pthread_mutex_unlock(&users_lock);
}

static struct dma_user *new_user(void)
{
	struct dma_user *user = aligned_alloc(64, align_up(sizeof(*user), 64));

	if (user)
		atomic_init(&user->section, 0);
	return user;
}

/* One that was freed, or NULL. */
static struct dma_user *used_user(void)
{
	struct dma_user *user = NULL;

	pthread_mutex_lock(&users_lock);
	if (!cds_list_empty(&free_users)) {
		user = cds_list_first_entry(&free_users, struct dma_user, node);
		cds_list_del(&user->node);
	}
	pthread_mutex_unlock(&users_lock);
	return user;
}

struct uvfio_dma *dma_user_new(struct iommu_dev *dev, struct uvfio_device *owner)
{
	struct dma_user *user = used_user();
	struct iommu_domain *domain;

	if (!user)
		user = new_user();
	if (!user)
		return NULL;
	memset((char *)user + offsetof(struct dma_user, dma), 0,
	       sizeof(*user) - offsetof(struct dma_user, dma));
	user->dma.dev = owner;
	user->dev = dev;
	user->epoch = 1;
	pthread_mutex_lock(&users_lock);
	cds_list_add(&user->node, &dev->users);
	domain = atomic_load(&dev->domain);
	if (domain)
		add_user(domain, user);
	pthread_mutex_unlock(&users_lock);
	return &user->dma;
}

/* A fork may have left its thread behind in one. Its number says so also for the next owner. */
static void end_section(struct dma_user *user)
{
	const uint64_t section = atomic_load(&user->section);

	if (section & 1)
		atomic_store(&user->section, section + 1);
}

void dma_user_free(struct uvfio_dma *dma)
{
	struct iommu_domain *domain;
	struct dma_user *user;

	if (!dma)
		return;
	user = to_user(dma);
	pthread_mutex_lock(&users_lock);
	cds_list_del(&user->node);
	domain = atomic_load(&user->dev->domain);
	if (domain)
		remove_user(domain, user);
	end_section(user);
	cds_list_add(&user->node, &free_users);
	pthread_mutex_unlock(&users_lock);
}

/* Entries were taken away since this user's last section: forget all translations. */
static void new_generation(struct dma_user *user, uint64_t generation)
{
	user->generation = generation;
	user->tracking = atomic_load_explicit(&user->domain->dirty_tracking, memory_order_relaxed);
	user->big_size = 0;
	if (++user->epoch > UVFIO_PAGE_MASK) {
		memset(user->tlb, 0, sizeof(user->tlb));
		user->epoch = 1;
	}
}

/* Before an entry is read. generation was the domain's. */
static uint64_t see_generation(struct iommu_domain *domain, uint64_t generation)
{
	while (!(generation & GENERATION_SEEN))
		if (atomic_compare_exchange_strong(&domain->generation, &generation,
						   generation | GENERATION_SEEN))
			generation |= GENERATION_SEEN;
	atomic_thread_fence(memory_order_seq_cst);
	return generation;
}

void dma_begin(struct uvfio_dma *dma)
{
	struct dma_user *user = to_user(dma);
	struct iommu_domain *domain;
	uint64_t generation;

	if (user->depth++)
		return;
	atomic_store(&user->section, atomic_load_explicit(&user->section, memory_order_relaxed) + 1);
	domain = atomic_load(&user->dev->domain);
	user->domain = domain;
	if (!domain)
		return;
	generation = atomic_load(&domain->generation);
	if (unlikely(generation != user->generation))
		new_generation(user, see_generation(domain, generation));
}

static void count_bytes(struct dma_user *user)
{
	if (user->read)
		stat_add(STAT_DMA_READ_BYTES, user->read);
	if (user->written)
		stat_add(STAT_DMA_WRITE_BYTES, user->written);
	user->read = user->written = 0;
}

void dma_end(struct uvfio_dma *dma)
{
	struct dma_user *user = to_user(dma);

	if (--user->depth)
		return;
	count_bytes(user);
	atomic_store_explicit(&user->section, atomic_load_explicit(&user->section, memory_order_relaxed) + 1,
			      memory_order_release);
	if (unlikely(user->nr_faults))
		dma_fault_report(user);
}
