/* SPDX-License-Identifier: BSD-2-Clause */
#include "iommu/client.h"

#include "file/fdtable.h"
#include "iommu/mm.h"

#include <pthread.h>

static void become_client(void)
{
	self_caller.mm = mm_self();
}

void client_is_self(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, become_client);
}
