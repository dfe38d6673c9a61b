/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of a process that has ended. Its pages stay what they were for as long as they are mapped for a
 * device, as the kernel has them pinned; here they can still be reached when they are shared memory that this
 * process has mapped, too, which a child's memory mostly is when anyone but the child wants to see it.
 *
 * lock protects what is noted of all processes.
 */
#include "base/fault.h"
#include "iommu/mm_private.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void shared_forked(void)
{
	pthread_mutex_init(&lock, NULL);
}

void shared_note(struct other_mm *mm, const struct vma *vma)
{
	struct shared_parts *shared = &mm->shared;
	struct shared_part part = { vma->start, vma->end, vma->dev, vma->inode, vma->offset };
	unsigned int i = 0;

	if (!vma->shared || !vma->inode)
		return;
	pthread_mutex_lock(&lock);
	while (i < shared->nr && shared->parts[i].start != vma->start)
		i++;
	if (i < ARRAY_SIZE(shared->parts)) {
		shared->parts[i] = part;
		shared->nr = MAX(shared->nr, i + 1);
	}
	pthread_mutex_unlock(&lock);
}

static bool find_part(struct other_mm *mm, uint64_t va, struct shared_part *out)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < mm->shared.nr && !found; i++) {
		*out = mm->shared.parts[i];
		found = va >= out->start && va < out->end;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

int shared_copy(struct other_mm *mm, void *local, uint64_t va, size_t len, bool write)
{
	struct shared_part part;
	struct vma own;

	while (len) {
		uint64_t offset, n;
		void *at;

		if (!find_part(mm, va, &part))
			return -EFAULT;
		offset = part.offset + (va - part.start);
		if (maps_find_shared(part.dev, part.inode, offset, &own))
			return -EFAULT;
		at = (void *)(uintptr_t)(own.start + (offset - own.offset));
		n = MIN(part.end - va, own.end - (uintptr_t)at);
		n = MIN(n, len);
		if (write ? copy_nofault(at, local, n) : copy_nofault(local, at, n))
			return -EFAULT;
		local = (char *)local + n;
		va += n;
		len -= n;
	}
	return 0;
}
