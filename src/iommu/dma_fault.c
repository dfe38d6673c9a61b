/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA faults: noted inside a section, told when it is over, because the telling asks the owner of the domain
 * for the mappings nearby and so takes the owner's lock. A note holds a reference to the domain; the owner
 * withdraws its describe function before it goes.
 */
#include "iommu/dma_private.h"

#include "base/log.h"
#include "base/trace.h"

#include <stdio.h>
#include <string.h>

/* A broken driver can fault at a new place every microsecond: nobody reads more lines than these. */
#define REPORTS_MAX 256

int dma_fault_add(struct dma_user *user, const struct dma_fault *fault, const char *what)
{
	struct dma_fault *note = &user->faults[user->nr_faults];

	stat_add(STAT_FAULTS, 1);
	atomic_fetch_add_explicit(&user->dev->faults, 1, memory_order_relaxed);
	if (user->nr_faults == FAULTS_MAX)
		return -EFAULT;
	*note = *fault;
	note->domain = user->domain;
	if (note->domain)
		iommu_domain_get(note->domain);
	snprintf(note->what, sizeof(note->what), "%s", what ? what : "");
	user->nr_faults++;
	return -EFAULT;
}

static void describe_nearby(struct iommu_domain *domain, uint64_t iova, char *buf, size_t len)
{
	buf[0] = '\0';
	if (!domain)
		return;
	pthread_mutex_lock(&domain->describe_lock);
	if (domain->describe)
		domain->describe(domain->owner, iova, buf, len);
	pthread_mutex_unlock(&domain->describe_lock);
}

static const struct iommu_advice usual = {
	.map = "VFIO_IOMMU_MAP_DMA or IOMMU_IOAS_MAP",
	.unmap = "IOMMU_IOAS_UNMAP or VFIO_IOMMU_UNMAP_DMA",
	.read = "VFIO_DMA_MAP_FLAG_READ or IOMMU_IOAS_MAP_READABLE",
	.write = "VFIO_DMA_MAP_FLAG_WRITE or IOMMU_IOAS_MAP_WRITEABLE",
};

/* What is wrong, and what the program should have done. */
static void explain(const struct dma_fault *fault, char *buf, size_t len)
{
	const struct iommu_advice *own = fault->domain ? fault->domain->advice : NULL;
	const struct iommu_advice *advice = own ? own : &usual;

	switch (fault->kind) {
	case DMA_NO_DOMAIN:
		snprintf(buf, len,
			 "the device is in no container; attach its group, or the device to an IOAS of "
			 "/dev/iommu, and map the memory first");
		break;
	case DMA_NO_IOMMU:
		snprintf(buf, len,
			 "a mediated device has no IOMMU behind it: its driver uses uvfio_mdev_dma_rw(), or "
			 "uvfio_mdev_pin_pages()");
		break;
	case DMA_NO_MASTER:
		snprintf(buf, len, "bus mastering is off; set bit 2 of the PCI command register first");
		break;
	case DMA_NOT_MAPPED:
		snprintf(buf, len,
			 "nothing is mapped there; map it with %s, and unmap it only when the device is done "
			 "with it",
			 advice->map);
		break;
	case DMA_NO_PERMISSION:
		snprintf(buf, len, "the mapping does not allow it; map with %s",
			 fault->write && !fault->lacks_read ? advice->write : advice->read);
		break;
	case DMA_LOST:
		snprintf(buf, len,
			 "the memory behind the mapping, at %#llx, was unmapped or protected by the process; "
			 "use %s before munmap",
			 (unsigned long long)fault->va, advice->unmap);
		break;
	case DMA_EXITED:
		snprintf(buf, len,
			 "the process whose memory this is, at %#llx, has exited; unmap it, or map other "
			 "memory there",
			 (unsigned long long)fault->va);
		break;
	}
}

static void told(struct iommu_dev *dev)
{
	if (atomic_fetch_add(&dev->faults_reported, 1) == REPORTS_MAX - 1)
		uvfio_err("%s: further DMA faults of this device are only counted; --trace=fault shows them",
			  dev->name);
}

bool dma_fault_is_quiet(struct iommu_dev *dev)
{
	return atomic_load_explicit(&dev->faults_reported, memory_order_relaxed) >= REPORTS_MAX &&
	       !trace_on(TRACE_FAULT);
}

void dma_fault_tell(struct iommu_dev *dev, const struct dma_fault *fault, const char *near)
{
	uint64_t place = (uintptr_t)dev * 31 + (fault->at >> UVFIO_PAGE_SHIFT) * 16 +
			 (uint64_t)fault->kind * 2 + fault->write;
	char why[200], what[56] = "";
	uint32_t reported = atomic_load_explicit(&dev->faults_reported, memory_order_relaxed);

	explain(fault, why, sizeof(why));
	if (fault->what[0])
		snprintf(what, sizeof(what), " (%s)", fault->what);
	if (trace_on(TRACE_FAULT))
		trace_emit(TRACE_FAULT, dev->name, "dma_fault", 0,
			   "%s iova=0x%llx of=0x%llx len=%zu%s: %s; %s", fault->write ? "write" : "read",
			   (unsigned long long)fault->at, (unsigned long long)fault->iova, fault->len, what,
			   why, near);
	if (reported < REPORTS_MAX &&
	    uvfio_err_once(place, "%s: DMA fault: %s of %zu bytes at IOVA %#llx failed at %#llx%s: %s%s%s",
			   dev->name, fault->write ? "write" : "read", fault->len,
			   (unsigned long long)fault->iova, (unsigned long long)fault->at, what, why,
			   near[0] ? "; " : "", near))
		told(dev);
}

static void report(struct iommu_dev *dev, const struct dma_fault *fault)
{
	char near[320];

	if (dma_fault_is_quiet(dev))
		return;
	describe_nearby(fault->domain, fault->at, near, sizeof(near));
	dma_fault_tell(dev, fault, near);
}

void dma_fault_report(struct dma_user *user)
{
	struct dma_fault faults[FAULTS_MAX];
	unsigned int nr = user->nr_faults;

	memcpy(faults, user->faults, nr * sizeof(faults[0]));
	user->nr_faults = 0;
	for (unsigned int i = 0; i < nr; i++) {
		report(user->dev, &faults[i]);
		if (faults[i].domain)
			iommu_domain_put(faults[i].domain);
	}
}

/* ---- of devices without an IOMMU */

static __thread struct {
	int error;
	enum dma_fault_kind kind;
	uint64_t at, va;
	bool lacks_read;
} noted;

int dma_fault_note(int error, struct dma_fault fault)
{
	noted.error = error;
	noted.kind = fault.kind;
	noted.at = fault.at;
	noted.va = fault.va;
	noted.lacks_read = fault.lacks_read;
	return error;
}

bool dma_fault_noted(int error, struct dma_fault *fault)
{
	bool is = noted.error == error;

	noted.error = 0;
	if (!is)
		return false;
	fault->kind = noted.kind;
	fault->at = noted.at;
	fault->va = noted.va;
	fault->lacks_read = noted.lacks_read;
	return true;
}
