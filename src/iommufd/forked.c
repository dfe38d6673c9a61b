/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The objects in the child of a fork: locks that other threads of the parent may have held are made anew, and
 * the calls that were under way there, which nobody ends here, are no users any more.
 */
#include "iommufd/eventq.h"
#include "iommufd/impl.h"

/* Who else counts as a call under way: a vdevice, in its device. */
static uint32_t lasting(const struct iommufd_object *obj)
{
	const struct iommufd_device *idev = (const struct iommufd_device *)obj;

	return obj->type == IOMMUFD_OBJ_DEVICE && idev->vdev ? 2 : 1;
}

static void end_calls(struct iommufd_object *obj)
{
	uint32_t calls = atomic_load(&obj->wait_cnt) - lasting(obj);

	atomic_fetch_sub(&obj->wait_cnt, calls);
	atomic_fetch_sub(&obj->users, calls);
}

static void viommu_forked(struct iommufd_viommu *viommu)
{
	pthread_mutex_init(&viommu->vdevs_lock, NULL);
	pthread_rwlock_init(&viommu->veventqs_lock, NULL);
}

static void ioas_forked(struct iommufd_ioas *ioas)
{
	pthread_mutex_init(&ioas->mutex, NULL);
	iopt_forked(&ioas->iopt);
}

static void hwpt_forked(struct iommufd_hw_pagetable *hwpt)
{
	if (hwpt->domain && hwpt->domain->ops->forked)
		hwpt->domain->ops->forked(hwpt->domain);
}

void iommufd_object_forked(void *arg, struct iommufd_object *obj)
{
	(void)arg;
	end_calls(obj);
	switch (obj->type) {
	case IOMMUFD_OBJ_DEVICE:
		pthread_mutex_init(&((struct iommufd_device *)obj)->igroup->lock, NULL);
		break;
	case IOMMUFD_OBJ_HWPT_PAGING:
	case IOMMUFD_OBJ_HWPT_NESTED:
		hwpt_forked((struct iommufd_hw_pagetable *)obj);
		break;
	case IOMMUFD_OBJ_IOAS:
		ioas_forked((struct iommufd_ioas *)obj);
		break;
	case IOMMUFD_OBJ_ACCESS:
		pthread_mutex_init(&((struct iommufd_access *)obj)->ioas_lock, NULL);
		break;
	case IOMMUFD_OBJ_FAULT:
		pthread_mutex_init(&((struct iommufd_fault *)obj)->mutex, NULL);
		iommufd_eventq_forked((struct iommufd_eventq *)obj);
		break;
	case IOMMUFD_OBJ_VEVENTQ:
		iommufd_eventq_forked((struct iommufd_eventq *)obj);
		break;
	case IOMMUFD_OBJ_VIOMMU:
		viommu_forked((struct iommufd_viommu *)obj);
		break;
	default:
		break;
	}
}
