/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the driver of an instance reaches the program's memory: VFIO's calls, traced, and with a line where one
 * fails. The program has made the mistake where nothing is mapped as it should be: that is a DMA fault, told
 * for each place. All else is the driver's affair, or the user's, and told once for each call and reason.
 *
 * A driver may hold a lock of its own here that its dma_unmap takes, so nothing waits for a callback.
 */
#include "base/log.h"
#include "iommu/dma_fault.h"
#include "mdev/impl.h"

#include <stdio.h>
#include <string.h>

#define PROT_ALL (UVFIO_MDEV_PIN_READ | UVFIO_MDEV_PIN_WRITE)

struct use {
	const char *name; /* of the call, without uvfio_mdev_ */
	uint64_t iova;
	size_t len;
	bool write;
};

static struct mdev_device *of_pub(struct uvfio_mdev *pub)
{
	return container_of(pub, struct mdev_device, pub);
}

static void trace_use(const struct mdev_device *mdev, const struct use *use, int rc)
{
	char result[256];

	if (rc < 0)
		why_error(rc, result, sizeof(result));
	else
		snprintf(result, sizeof(result), "%d", rc);
	trace_emit(TRACE_DMA, mdev->vdev.name, use->name, 0, "iova=0x%llx len=%zu%s = %s",
		   (unsigned long long)use->iova, use->len, use->write ? " write" : "", result);
}

static void tell_fault(struct mdev_device *mdev, const struct use *use, struct dma_fault *fault)
{
	char near[320];

	stat_add(STAT_FAULTS, 1);
	atomic_fetch_add_explicit(&mdev->no_dma.faults, 1, memory_order_relaxed);
	if (dma_fault_is_quiet(&mdev->no_dma))
		return;
	snprintf(fault->what, sizeof(fault->what), "uvfio_mdev_%s", use->name);
	vfio_describe_memory(&mdev->vdev, fault->at, near, sizeof(near));
	dma_fault_tell(&mdev->no_dma, fault, near);
}

static __attribute__((cold, noinline)) void tell(struct mdev_device *mdev, const struct use *use, int rc)
{
	struct dma_fault fault = { .iova = use->iova, .len = use->len, .write = use->write };
	uint64_t place = (uintptr_t)mdev ^ (uintptr_t)use->name << 8 ^ (uint64_t)-rc << 48;

	if (dma_fault_noted(rc, &fault))
		tell_fault(mdev, use, &fault);
	else
		uvfio_err_once(place, "%s: uvfio_mdev_%s() of 0x%llx, %zu bytes, returned %d (%s)%s%s",
			       mdev->who, use->name, (unsigned long long)use->iova, use->len, rc,
			       strerrordesc_np(-rc), *why_text() ? ": " : "", why_text());
}

static inline int done(struct mdev_device *mdev, const struct use *use, int rc)
{
	if (trace_on(TRACE_DMA))
		trace_use(mdev, use, rc);
	if (unlikely(rc < 0))
		tell(mdev, use, rc);
	return rc;
}

static int pin(struct mdev_device *mdev, uint64_t iova, unsigned int npage, unsigned int prot, void **pages)
{
	struct mm_page found[UVFIO_MDEV_PIN_MAX];
	unsigned int iommu_prot = (prot & UVFIO_MDEV_PIN_READ ? IOMMU_READ : 0) |
				  (prot & UVFIO_MDEV_PIN_WRITE ? IOMMU_WRITE : 0);
	int rc;

	if (unlikely(npage > UVFIO_MDEV_PIN_MAX))
		return WHY_ALWAYS(-E2BIG, "more than %u pages", UVFIO_MDEV_PIN_MAX);
	if (unlikely(prot & ~PROT_ALL))
		return WHY_ALWAYS(-EPERM, "prot is 0x%x: there are UVFIO_MDEV_PIN_READ and _WRITE", prot);
	rc = vfio_pin_pages(&mdev->vdev, iova, npage, iommu_prot, found);
	for (int i = 0; i < rc; i++)
		pages[i] = found[i].host;
	return rc;
}

int mdev_pin_pages(struct uvfio_mdev *pub, uint64_t iova, unsigned int npage, unsigned int prot, void **pages)
{
	struct use use = { "pin_pages", iova, (size_t)npage * UVFIO_PAGE_SIZE, prot & UVFIO_MDEV_PIN_WRITE };

	return done(of_pub(pub), &use, pin(of_pub(pub), iova, npage, prot, pages));
}

int mdev_unpin_pages(struct uvfio_mdev *pub, uint64_t iova, unsigned int npage)
{
	struct use use = { "unpin_pages", iova, (size_t)npage * UVFIO_PAGE_SIZE, false };

	return done(of_pub(pub), &use, vfio_unpin_pages(&of_pub(pub)->vdev, iova, npage));
}

int mdev_dma_rw(struct uvfio_mdev *pub, uint64_t iova, void *data, size_t len, bool write)
{
	struct use use = { "dma_rw", iova, len, write };

	return done(of_pub(pub), &use, vfio_dma_rw(&of_pub(pub)->vdev, iova, data, len, write));
}
