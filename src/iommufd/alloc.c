/* SPDX-License-Identifier: BSD-2-Clause */
/* Where memory comes from, and where it does not come from when a test wants to see what happens then. */
#include "base/failpoint.h"
#include "base/why.h"
#include "iommufd/impl.h"

#include <stdlib.h>

bool iommufd_should_fail(void)
{
	const bool fails = failpoint();

	return fails ? WHY(fails, "a failure was injected") : false;
}

void *iommufd_calloc(size_t nr, size_t size)
{
	return iommufd_should_fail() ? NULL : calloc(nr, size);
}

void *iommufd_zalloc(size_t size)
{
	return iommufd_calloc(1, size);
}
