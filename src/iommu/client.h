/* SPDX-License-Identifier: BSD-2-Clause */
/* Who the library's client is: the calling process. */
#ifndef UVFIO_IOMMU_CLIENT_H
#define UVFIO_IOMMU_CLIENT_H

/* self_caller has this process's memory from now on. Any thread, any number of times. */
void client_is_self(void);

#endif
