/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/failpoint.h"

#ifdef UVFIO_IOMMUFD_TEST
__thread unsigned int failpoint_count;
#endif
