/* SPDX-License-Identifier: BSD-2-Clause */
/* The software vCPU: what `--kvm=soft` switches on. */
#ifndef UVFIO_KVM_SOFT_H
#define UVFIO_KVM_SOFT_H

#include "base/base.h"

/*
 * From now on VMs have vCPUs, which the Unicorn library executes. 0; -ENOENT, -ENOEXEC: it is not there, or
 * cannot be used, with what is missing in why.
 */
int soft_cpu_init(char *why, size_t len);

#endif
