/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Failures on demand, for tests of what follows a failure: what the kernel has as /proc/thread-self/fail-nth.
 *
 * A thread counts down the failpoints that it passes; the one at which the count gets to 0 fails, once. Only
 * builds with the option iommufd_test have them; there one costs a load of a thread-local variable.
 */
#ifndef UVFIO_BASE_FAILPOINT_H
#define UVFIO_BASE_FAILPOINT_H

#include "base/base.h"

#ifdef UVFIO_IOMMUFD_TEST

extern __thread unsigned int failpoint_count __attribute__((tls_model("initial-exec")));

/* The nth failpoint of this thread from here on fails; 0: none does. */
static inline void failpoint_set(unsigned int nth)
{
	failpoint_count = nth;
}

/* What is left of nth; 0: it has failed, or none was set. */
static inline unsigned int failpoint_get(void)
{
	return failpoint_count;
}

/* Here is a failpoint: true when it fails. */
static inline bool failpoint(void)
{
	return unlikely(failpoint_count) && !--failpoint_count;
}

#else

static inline void failpoint_set(unsigned int nth)
{
	(void)nth;
}

static inline unsigned int failpoint_get(void)
{
	return 1;
}

static inline bool failpoint(void)
{
	return false;
}

#endif
#endif
