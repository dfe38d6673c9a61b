/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of VFIO_DEVICE_FEATURE that do not depend on the feature. */
#include "vfio/feature.h"

#include "base/why.h"
#include "uapi/vfio.h"

#define FEATURE_OPS   ((uint32_t)(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET))
#define FEATURE_KNOWN ((uint32_t)(VFIO_DEVICE_FEATURE_MASK | VFIO_DEVICE_FEATURE_PROBE) | FEATURE_OPS)

int vfio_feature_check_flags(uint32_t flags)
{
	if (flags & ~FEATURE_KNOWN)
		return WHY(-EINVAL, "flags 0x%x: known are 0x%x", flags, FEATURE_KNOWN);
	if (!(flags & VFIO_DEVICE_FEATURE_PROBE) && (flags & FEATURE_OPS) == FEATURE_OPS)
		return WHY(-EINVAL, "GET and SET together are for PROBE only");
	return 0;
}

int vfio_feature_check(uint32_t flags, size_t argsz, uint32_t supported_ops, size_t minsz)
{
	uint32_t ops = flags & FEATURE_OPS;

	if (ops & ~supported_ops)
		return WHY(-EINVAL, "the feature cannot be %s",
			   ops & ~supported_ops & VFIO_DEVICE_FEATURE_GET ? "read (GET)" : "written (SET)");
	if (flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (!ops)
		return WHY(-EINVAL, "one of GET, SET and PROBE");
	if (argsz < minsz)
		return WHY(-EINVAL, "argsz leaves %zu bytes for the feature's data, at least %zu", argsz,
			   minsz);
	return 1;
}

bool vfio_feature_core(uint32_t flags, int *err)
{
	switch (flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
	case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		*err = -ENOTTY;
		return true;
	default:
		return false;
	}
}
