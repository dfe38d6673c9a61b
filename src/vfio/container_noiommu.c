/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The no-IOMMU back end of a container: nothing stands between the devices and memory.
 *
 * In the kernel such a device uses physical addresses. Here the memory of the program that set the IOMMU
 * stands for the machine's: an address on the bus is a virtual address of that program. It is made of one
 * domain that maps each address to itself, so that devices need to know nothing about it.
 *
 * The kernel asks for CAP_SYS_RAWIO here; there is nothing here that it would protect.
 */
#include "vfio/internal.h"

#include "base/trace.h"
#include "file/ioctl.h"
#include "uapi/vfio.h"

#include <stdlib.h>

/* User space, without the page at address 0. */
#define BUS_START UVFIO_PAGE_SIZE
#define BUS_END   0x7ffffffff000ull

struct vfio_noiommu {
	struct iommu_params params; /* with the width and the ranges of a bare bus */
	struct iommu_domain *domain;
	struct mm *mm; /* a reference */
};

static long noiommu_check_extension(struct vfio_container *container, void *data, uint64_t ext)
{
	(void)data;
	return ext == VFIO_NOIOMMU_IOMMU && vfio_noiommu_allowed(container);
}

struct vfio_noiommu *vfio_noiommu_new(const struct iommu_params *params, struct mm *mm)
{
	struct vfio_noiommu *noiommu = calloc(1, sizeof(*noiommu));

	if (!noiommu)
		return NULL;
	noiommu->params = *params;
	noiommu->params.width = 48;
	noiommu->params.nr_reserved = 0;
	noiommu->domain = iommu_domain_alloc(&noiommu->params);
	if (!noiommu->domain)
		goto err_free;
	if (iommu_domain_map(noiommu->domain, BUS_START, BUS_END - BUS_START, mm, BUS_START,
			     IOMMU_READ | IOMMU_WRITE))
		goto err_domain;
	noiommu->mm = mm_get(mm);
	return noiommu;

err_domain:
	iommu_domain_free(noiommu->domain);
err_free:
	free(noiommu);
	return NULL;
}

void vfio_noiommu_free(struct vfio_noiommu *noiommu)
{
	iommu_domain_unmap(noiommu->domain, BUS_START, BUS_END - BUS_START);
	iommu_domain_free(noiommu->domain);
	mm_put(noiommu->mm);
	free(noiommu);
}

void vfio_noiommu_forked(struct vfio_noiommu *noiommu)
{
	iommu_domain_forked(noiommu->domain);
}

struct iommu_domain *vfio_noiommu_domain(struct vfio_noiommu *noiommu)
{
	return noiommu->domain;
}

/* ---- the back end */

static int noiommu_open(struct vfio_container *container, uint64_t type, struct mm *mm, void **data)
{
	if (type != VFIO_NOIOMMU_IOMMU)
		return -EINVAL;
	*data = vfio_noiommu_new(vfio_container_params(container), mm);
	return *data ? 0 : -ENOMEM;
}

static void noiommu_release(void *data)
{
	vfio_noiommu_free(data);
}

static void noiommu_forked(void *data)
{
	vfio_noiommu_forked(data);
}

static void noiommu_detach_group(void *data, struct iommu_dev *const *devs, unsigned int nr)
{
	(void)data;
	while (nr--)
		iommu_dev_attach(devs[nr], NULL);
}

static int noiommu_attach_group(void *data, struct iommu_dev *const *devs, unsigned int nr)
{
	struct vfio_noiommu *noiommu = data;

	for (unsigned int i = 0; i < nr; i++)
		iommu_dev_attach(devs[i], noiommu->domain);
	return 0;
}

static long noiommu_ioctl(void *data, struct file *file, const struct caller *caller, uint32_t cmd,
			  uint64_t arg)
{
	(void)data;
	(void)caller;
	(void)arg;
	if (trace_on(TRACE_IOCTL))
		ioctl_trace_foreign(file, cmd, trace_now(), -ENOTTY,
				    "the container is without an IOMMU: devices use the program's addresses");
	return -ENOTTY;
}

const struct vfio_iommu_driver vfio_noiommu_driver = {
	.name = "vfio-noiommu",
	.types = "this container has NOIOMMU_IOMMU (8) only",
	.check_extension = noiommu_check_extension,
	.open = noiommu_open,
	.release = noiommu_release,
	.attach_group = noiommu_attach_group,
	.detach_group = noiommu_detach_group,
	.ioctl = noiommu_ioctl,
	.forked = noiommu_forked,
	.noiommu = true,
};
