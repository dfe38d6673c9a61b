/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What memory a container may map: all of it up to a window's size (v1, ENABLE), or what is registered (v2).
 */
#include "iommu/spapr/spapr_private.h"

#include "base/failpoint.h"
#include "base/why.h"

#include <stdlib.h>

int spapr_enable(struct spapr *spapr, struct mm *mm)
{
	const uint64_t pages = spapr->hw.window_size / UVFIO_PAGE_SIZE;
	int rc;

	pthread_mutex_lock(&spapr->lock);
	rc = spapr->enabled ? WHY(-EBUSY, "it is enabled") : spapr_set_mm(spapr, mm);
	if (!rc)
		rc = tce_charge(spapr->mm, spapr->params, pages);
	if (!rc) {
		spapr->locked = pages;
		atomic_store(&spapr->enabled, true);
	}
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

void spapr_disable(struct spapr *spapr)
{
	pthread_mutex_lock(&spapr->lock);
	if (spapr->locked)
		mm_uncharge(spapr->mm, spapr->locked);
	spapr->locked = 0;
	atomic_store(&spapr->enabled, false);
	pthread_mutex_unlock(&spapr->lock);
}

static int misaligned(uint64_t ua, uint64_t size)
{
	return WHY(-EINVAL, "vaddr 0x%llx and size 0x%llx have to be whole pages, and not to wrap",
		   (unsigned long long)ua, (unsigned long long)size);
}

/* Under the lock: room for one more in the container's list. */
static int make_room(struct spapr *spapr)
{
	unsigned int room = MAX(spapr->room * 2, 16u);
	struct tce_memory **more;

	if (spapr->nr_registered < spapr->room)
		return 0;
	more = failpoint() ? NULL : reallocarray(spapr->registered, room, sizeof(struct tce_memory *));
	if (!more)
		return -ENOMEM;
	spapr->registered = more;
	spapr->room = room;
	return 0;
}

/* Under the lock: where just that stands in the container's list, or nr_registered. */
static unsigned int find(const struct spapr *spapr, uint64_t ua, uint64_t size)
{
	unsigned int i = 0;

	while (i < spapr->nr_registered &&
	       (spapr->registered[i]->ua != ua || spapr->registered[i]->size != size))
		i++;
	return i;
}

static int add(struct spapr *spapr, uint64_t ua, uint64_t size)
{
	struct tce_memory *mem;
	int rc;

	if (find(spapr, ua, size) < spapr->nr_registered)
		return WHY(-EBUSY, "it is registered already, by this container");
	rc = make_room(spapr);
	if (!rc)
		rc = tce_memory_register(spapr->memory, spapr->params, spapr->hw.ram_shift, ua, size, &mem);
	if (rc)
		return rc;
	spapr->registered[spapr->nr_registered++] = mem;
	atomic_store(&spapr->enabled, true);
	return 0;
}

int spapr_register(struct spapr *spapr, struct mm *mm, uint64_t ua, uint64_t size)
{
	uint64_t end;
	int rc;

	pthread_mutex_lock(&spapr->lock);
	rc = spapr_set_mm(spapr, mm);
	if (!rc && (!is_aligned(ua | size, UVFIO_PAGE_SIZE) || add_overflows(ua, size, &end)))
		rc = misaligned(ua, size);
	if (!rc)
		rc = add(spapr, ua, size);
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}

static int unregister(struct spapr *spapr, struct tce_memory *mem)
{
	tce_memory_pays_no_more(mem, spapr);
	return tce_memory_unregister(spapr->memory, mem);
}

int spapr_unregister(struct spapr *spapr, uint64_t ua, uint64_t size)
{
	unsigned int i;
	int rc;

	if (!is_aligned(ua | size, UVFIO_PAGE_SIZE))
		return misaligned(ua, size);
	pthread_mutex_lock(&spapr->lock);
	i = find(spapr, ua, size);
	if (i == spapr->nr_registered)
		rc = WHY(-ENOENT, "just that, 0x%llx bytes at 0x%llx, is not registered by this container",
			 (unsigned long long)size, (unsigned long long)ua);
	else
		rc = unregister(spapr, spapr->registered[i]);
	if (!rc)
		spapr->registered[i] = spapr->registered[--spapr->nr_registered];
	pthread_mutex_unlock(&spapr->lock);
	return rc;
}
