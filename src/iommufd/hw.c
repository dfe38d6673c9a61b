/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all hardware below IOMMUFD shares: groups and who owns them, and the copying of data that a driver of
 * an IOMMU gets from user space.
 */
#include "iommufd/hw.h"

#include "base/why.h"

#include <string.h>

void iommu_group_init(struct iommu_group *group, unsigned int id)
{
	*group = (struct iommu_group){ .id = id };
	pthread_mutex_init(&group->lock, NULL);
}

void iommu_group_destroy(struct iommu_group *group)
{
	pthread_mutex_destroy(&group->lock);
}

int iommu_group_claim(struct iommu_group *group, void *owner)
{
	int rc = 0;

	pthread_mutex_lock(&group->lock);
	if (group->owner_count && group->owner != owner)
		rc = WHY(-EPERM, "group %u belongs to another IOMMUFD or container", group->id);
	else
		group->owner_count++;
	if (!rc)
		group->owner = owner;
	pthread_mutex_unlock(&group->lock);
	return rc;
}

void iommu_group_release(struct iommu_group *group)
{
	pthread_mutex_lock(&group->lock);
	if (!--group->owner_count)
		group->owner = NULL;
	pthread_mutex_unlock(&group->lock);
}

int iommufd_copy_user_data(void *dst, const struct iommufd_user_data *data, uint32_t type, size_t size,
			   size_t min_len)
{
	if (data->type != type)
		return WHY(-EINVAL, "data of type %u, it must be %u", data->type, type);
	if (data->len < min_len || data->len > size)
		return WHY(-EINVAL, "%u bytes of data, type %u has %zu", data->len, type, size);
	memset((char *)dst + data->len, 0, size - data->len);
	return copy_in(data->caller, dst, data->uptr, data->len);
}

int iommufd_copy_user_array(void *dst, const struct iommufd_user_array *array, uint32_t index, uint32_t type,
			    size_t size, size_t min_len)
{
	struct iommufd_user_data entry = {
		.caller = array->caller,
		.type = array->type,
		.uptr = array->uptr + (uint64_t)array->entry_len * index,
		.len = array->entry_len,
	};

	if (index >= array->entry_num)
		return -EINVAL;
	return iommufd_copy_user_data(dst, &entry, type, size, min_len);
}
