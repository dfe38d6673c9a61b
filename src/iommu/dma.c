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
 */
#include "iommu/dma_private.h"

#include "base/log.h"
#include "base/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t dma_patience = 5000000000;

static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;

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

/* The device is in both domains' lists while sections may still use the old one. */
void iommu_dev_attach(struct iommu_dev *dev, struct iommu_domain *domain)
{
	pthread_mutex_lock(&users_lock);
	atomic_store(&dev->domain, domain);
	wait_dev(dev);
	cds_list_del_init(&dev->domain_node);
	if (domain)
		cds_list_add(&dev->domain_node, &domain->devs);
	pthread_mutex_unlock(&users_lock);
}

struct uvfio_dma *dma_user_new(struct iommu_dev *dev, struct uvfio_device *owner)
{
	struct dma_user *user = aligned_alloc(64, align_up(sizeof(*user), 64));

	if (!user)
		return NULL;
	memset(user, 0, sizeof(*user));
	user->dma.dev = owner;
	user->dev = dev;
	user->epoch = 1;
	pthread_mutex_lock(&users_lock);
	cds_list_add(&user->node, &dev->users);
	pthread_mutex_unlock(&users_lock);
	return &user->dma;
}

void dma_user_free(struct uvfio_dma *dma)
{
	struct dma_user *user;

	if (!dma)
		return;
	user = to_user(dma);
	pthread_mutex_lock(&users_lock);
	cds_list_del(&user->node);
	pthread_mutex_unlock(&users_lock);
	free(user);
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
		new_generation(user, generation);
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
