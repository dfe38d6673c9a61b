/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buffers of the mock's devices. Pages of a buffer are in its list until they go. To revoke marks them first,
 * and then takes every area of them out of its domains: an area that is made meanwhile finds the mark.
 *
 * Lock order: the list of all tables, a table's lock; the buffer's lock is taken alone.
 */
#include "iommufd/dmabuf.h"

#include "base/why.h"

#include <stdlib.h>
#include <string.h>

struct iommufd_dmabuf {
	_Atomic uint32_t refs; /* of the file, and of pages */
	pthread_mutex_t lock;
	bool revoked;                  /* under the lock */
	struct cds_list_head attached; /* struct attached; under the lock */
	uint64_t size;
	void *memory;
};

struct attached {
	struct cds_list_head node;
	struct iopt_pages *pages;
};

static void put(struct iommufd_dmabuf *dmabuf)
{
	if (atomic_fetch_sub(&dmabuf->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&dmabuf->lock);
	free(dmabuf->memory);
	free(dmabuf);
}

static void release(struct file *file)
{
	put(file->priv);
}

static const struct file_ops dmabuf_ops = { .name = "dmabuf", .release = release };

bool iommufd_dmabuf_is(const struct file *file)
{
	return file->ops == &dmabuf_ops;
}

int iommufd_dmabuf_create(uint64_t size, struct file **file)
{
	struct iommufd_dmabuf *dmabuf = iommufd_zalloc(sizeof(*dmabuf));

	if (!dmabuf)
		return -ENOMEM;
	dmabuf->refs = 1;
	dmabuf->size = size;
	pthread_mutex_init(&dmabuf->lock, NULL);
	CDS_INIT_LIST_HEAD(&dmabuf->attached);
	dmabuf->memory = iommufd_should_fail() ? NULL : aligned_alloc(UVFIO_PAGE_SIZE, size);
	*file = dmabuf->memory ? file_alloc(&dmabuf_ops, dmabuf, 0, "/dmabuf:") : NULL;
	if (!*file) {
		put(dmabuf);
		return -ENOMEM;
	}
	memset(dmabuf->memory, 0, size);
	return 0;
}

static int attach(struct iommufd_dmabuf *dmabuf, struct iopt_pages *pages)
{
	struct attached *attached = iommufd_zalloc(sizeof(*attached));
	int ret = 0;

	if (!attached)
		return -ENOMEM;
	attached->pages = pages;
	pthread_mutex_lock(&dmabuf->lock);
	if (dmabuf->revoked)
		ret = WHY(-ENODEV, "the device has taken its buffer back");
	else
		cds_list_add(&attached->node, &dmabuf->attached);
	pthread_mutex_unlock(&dmabuf->lock);
	if (ret)
		free(attached);
	return ret;
}

int iopt_pages_dmabuf(struct iommufd_ctx *ctx, struct file *file, uint64_t start, uint64_t len, bool writable,
		      struct iopt_pages **out)
{
	uint64_t start_byte = start % UVFIO_PAGE_SIZE;
	struct iommufd_dmabuf *dmabuf = file->priv;
	struct mm *self = mm_self();
	struct iopt_pages *pages;
	int ret;

	if (start + (len - 1) >= dmabuf->size) {
		mm_put(self);
		return WHY(-EINVAL, "the buffer has 0x%llx bytes", (unsigned long long)dmabuf->size);
	}
	pages = iopt_pages_alloc(ctx, IOPT_PAGES_DMABUF, self, self, start_byte, len, writable);
	mm_put(self);
	if (!pages)
		return -ENOMEM;
	pages->ext->origin = start - start_byte;
	pages->va = (uint64_t)(uintptr_t)dmabuf->memory + pages->ext->origin;
	ret = attach(dmabuf, pages);
	if (ret) {
		iopt_pages_put(pages);
		return ret;
	}
	atomic_fetch_add(&dmabuf->refs, 1);
	pages->ext->dmabuf = dmabuf;
	*out = pages;
	return 0;
}

void iommufd_dmabuf_detach(struct iopt_pages *pages)
{
	struct iommufd_dmabuf *dmabuf = pages->ext->dmabuf;
	struct attached *attached;

	pthread_mutex_lock(&dmabuf->lock);
	cds_list_for_each_entry (attached, &dmabuf->attached, node) {
		if (attached->pages != pages)
			continue;
		cds_list_del(&attached->node);
		free(attached);
		break;
	}
	pthread_mutex_unlock(&dmabuf->lock);
	put(dmabuf);
}

static void revoke_area(void *arg, struct io_pagetable *iopt, struct iopt_area *area)
{
	(void)arg;
	if (!atomic_load(&area->pages->revoked) || area->revoked)
		return;
	if (iopt->nr_domains)
		iopt_area_unfill(iopt, area);
	area->revoked = true;
}

void iommufd_dmabuf_revoke(struct file *file, bool revoked)
{
	struct iommufd_dmabuf *dmabuf = file->priv;
	struct attached *attached;

	pthread_mutex_lock(&dmabuf->lock);
	dmabuf->revoked = revoked;
	cds_list_for_each_entry (attached, &dmabuf->attached, node)
		atomic_store(&attached->pages->revoked, true);
	pthread_mutex_unlock(&dmabuf->lock);
	iopt_test_each_area(revoke_area, NULL);
}
