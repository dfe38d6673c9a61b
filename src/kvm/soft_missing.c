/* SPDX-License-Identifier: BSD-2-Clause */
/* A build without software vCPUs. */
#include "kvm/soft.h"

#include <stdio.h>

int soft_cpu_init(char *why, size_t len)
{
	snprintf(why, len,
		 "this uvfio was built without software vCPUs: Unicorn's headers (Debian: "
		 "libunicorn-dev) were missing");
	return -ENOENT;
}
