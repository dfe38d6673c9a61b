/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mock's vIOMMUs: nested domains behind them, invalidation of their devices' caches, two hardware queues
 * of which the second depends on the first, and two pages to be mapped, whose first word is what user space
 * gave.
 */
#include "base/private_fd.h"
#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES_SIZE (2 * UVFIO_PAGE_SIZE)

struct mock_hw_queue;

struct mock_viommu {
	struct iommufd_viommu core;
	struct mock_domain *parent;
	struct mock_hw_queue *queues[IOMMU_TEST_HW_QUEUE_MAX]; /* under core.vdevs_lock */
	int pages;                                             /* a memfd, or -1 */
	uint64_t mmap_offset;
};

struct mock_hw_queue {
	struct iommufd_hw_queue core;
	struct mock_hw_queue *prev; /* in use for as long as this one is there */
	uint32_t index;
};

static struct mock_viommu *mock_of(struct iommufd_viommu *viommu)
{
	return container_of(viommu, struct mock_viommu, core);
}

struct iommufd_viommu *mock_viommu_core(struct mock_viommu *viommu)
{
	return &viommu->core;
}

static int mock_viommu_alloc_nested(struct iommufd_viommu *viommu, uint32_t flags,
				    const struct iommufd_user_data *data, struct iommufd_domain **domain)
{
	return mock_nested_alloc(flags, data, mock_of(viommu), domain);
}

/* ---- invalidation */

/* As the kernel copies one of an array: shorter ones are filled up with 0, what longer ones have more is 0.
 */
static int copy_entry(struct iommu_viommu_invalidate_selftest *entry, const struct iommufd_user_array *array,
		      uint32_t index)
{
	uint64_t from = array->uptr + (uint64_t)index * array->entry_len;
	uint32_t len = MIN(array->entry_len, (uint32_t)sizeof(*entry));
	unsigned char byte;

	*entry = (struct iommu_viommu_invalidate_selftest){ 0 };
	if (copy_in(array->caller, entry, from, len))
		return -EFAULT;
	for (uint32_t at = len; at < array->entry_len; at++) {
		if (copy_in(array->caller, &byte, from + at, 1))
			return -EFAULT;
		if (byte)
			return WHY(-E2BIG, "entry %u: bytes behind it are not 0", index);
	}
	return 0;
}

static int invalidate_one(struct iommufd_viommu *viommu, const struct iommu_viommu_invalidate_selftest *inv)
{
	struct iommufd_hw_dev *hw;
	struct mock_dev *mdev;

	if (inv->flags & ~IOMMU_TEST_INVALIDATE_FLAG_ALL)
		return WHY(-EOPNOTSUPP, "flags 0x%x", inv->flags);
	if (inv->cache_id >= MOCK_DEV_CACHE_NUM)
		return WHY(-EINVAL, "there is no cache %u", inv->cache_id);
	pthread_mutex_lock(&viommu->vdevs_lock);
	hw = iommufd_viommu_find_dev(viommu, inv->vdev_id);
	mdev = hw ? container_of(hw, struct mock_dev, hw) : NULL;
	for (uint32_t id = 0; mdev && id < MOCK_DEV_CACHE_NUM; id++)
		if (id == inv->cache_id || (inv->flags & IOMMU_TEST_INVALIDATE_FLAG_ALL))
			atomic_store(&mdev->cache[id], 0);
	pthread_mutex_unlock(&viommu->vdevs_lock);
	return mdev ? 0 : WHY(-EINVAL, "the guest has no device 0x%x", inv->vdev_id);
}

/* All of the array is copied before the first entry is carried out. */
static int mock_viommu_invalidate(struct iommufd_viommu *viommu, struct iommufd_user_array *array)
{
	struct iommu_viommu_invalidate_selftest *entries;
	uint32_t nr = array->entry_num;
	int rc = 0;

	array->entry_num = 0;
	if (array->type != IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST)
		return WHY(-EINVAL, "data of type 0x%x", array->type);
	if (!nr)
		return 0;
	entries = iommufd_calloc(nr, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (uint32_t i = 0; i < nr && !rc; i++)
		rc = copy_entry(&entries[i], array, i);
	while (!rc && array->entry_num < nr) {
		rc = invalidate_one(viommu, &entries[array->entry_num]);
		if (!rc)
			array->entry_num++;
	}
	free(entries);
	return rc;
}

/* ---- hardware queues */

static size_t mock_hw_queue_size(struct iommufd_viommu *viommu, uint32_t type)
{
	(void)viommu;
	return type == IOMMU_HW_QUEUE_TYPE_SELFTEST ? sizeof(struct mock_hw_queue) : 0;
}

static void mock_hw_queue_destroy(struct iommufd_hw_queue *core)
{
	struct mock_hw_queue *queue = container_of(core, struct mock_hw_queue, core);

	pthread_mutex_lock(&core->viommu->vdevs_lock);
	mock_of(core->viommu)->queues[queue->index] = NULL;
	if (queue->prev)
		iommufd_object_unuse(&queue->prev->core.obj);
	pthread_mutex_unlock(&core->viommu->vdevs_lock);
}

/* Under core.vdevs_lock. */
static int place_queue(struct mock_viommu *mock, struct mock_hw_queue *queue, const struct mm_page *base)
{
	uint32_t index = queue->index;
	struct mm_page page;

	if (mock->queues[index])
		return -EEXIST;
	if (index && !mock->queues[index - 1])
		return -EIO;
	if (mock_domain_translate(mock->parent, queue->core.base_addr, &page) || page.mm != base->mm ||
	    page.va != base->va)
		return -EFAULT;
	if (index) {
		queue->prev = mock->queues[index - 1];
		iommufd_object_use(&queue->prev->core.obj);
	}
	mock->queues[index] = queue;
	queue->core.destroy = mock_hw_queue_destroy;
	return 0;
}

static int mock_hw_queue_init(struct iommufd_hw_queue *core, uint32_t index, const struct mm_page *base)
{
	struct mock_hw_queue *queue = container_of(core, struct mock_hw_queue, core);
	int rc;

	if (index >= IOMMU_TEST_HW_QUEUE_MAX)
		return -EINVAL;
	queue->index = index;
	pthread_mutex_lock(&core->viommu->vdevs_lock);
	rc = place_queue(mock_of(core->viommu), queue, base);
	pthread_mutex_unlock(&core->viommu->vdevs_lock);
	return rc;
}

/* ---- beginning and end */

static void free_pages(struct mock_viommu *mock)
{
	if (mock->mmap_offset)
		iommufd_viommu_destroy_mmap(&mock->core, mock->mmap_offset);
	private_fd_close(mock->pages);
}

static void mock_viommu_destroy(struct iommufd_viommu *viommu)
{
	free_pages(mock_of(viommu));
}

static const struct iommufd_viommu_ops mock_viommu_ops = {
	.destroy = mock_viommu_destroy,
	.alloc_domain_nested = mock_viommu_alloc_nested,
	.cache_invalidate = mock_viommu_invalidate,
	.get_hw_queue_size = mock_hw_queue_size,
	.hw_queue_init = mock_hw_queue_init,
};

int mock_viommu_size(struct iommufd_hw_dev *hw, uint32_t type, size_t *size)
{
	(void)hw;
	*size = sizeof(struct mock_viommu);
	return type == IOMMU_VIOMMU_TYPE_SELFTEST ? 0 : -EOPNOTSUPP;
}

static int make_pages(struct mock_viommu *mock, uint32_t word)
{
	if (iommufd_should_fail())
		return -ENOMEM;
	mock->pages = private_fd(memfd_create("uvfio-mock", MFD_CLOEXEC));
	if (mock->pages < 0 || ftruncate(mock->pages, PAGES_SIZE) ||
	    pwrite(mock->pages, &word, sizeof(word), 0) != sizeof(word))
		return -ENOMEM;
	return iommufd_viommu_alloc_mmap(&mock->core, mock->pages, PAGES_SIZE, &mock->mmap_offset);
}

static int loop_back(struct mock_viommu *mock, const struct iommufd_user_data *data)
{
	const size_t min_len = offsetof(struct iommu_viommu_selftest, out_mmap_offset);
	struct iommu_viommu_selftest loop;
	int rc;

	rc = iommufd_copy_user_data(&loop, data, IOMMU_VIOMMU_TYPE_SELFTEST, sizeof(loop), min_len);
	if (!rc)
		rc = make_pages(mock, loop.in_data);
	if (rc)
		return rc;
	loop.out_data = loop.in_data;
	loop.out_mmap_length = PAGES_SIZE;
	loop.out_mmap_offset = mock->mmap_offset;
	return copy_out(data->caller, data->uptr, &loop, data->len);
}

int mock_viommu_init(struct iommufd_viommu *viommu, struct iommufd_domain *parent,
		     const struct iommufd_user_data *data)
{
	struct mock_viommu *mock = mock_of(viommu);
	int rc = 0;

	mock->pages = -1;
	if (data)
		rc = loop_back(mock, data);
	if (rc) {
		free_pages(mock);
		return rc;
	}
	mock->parent = to_mock_domain(parent);
	viommu->ops = &mock_viommu_ops;
	return 0;
}
