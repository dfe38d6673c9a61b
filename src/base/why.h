/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why an ioctl fails, in words: said where the mistake is found, printed by the ioctl engine behind the
 * errno. One text per thread, the first one said since why_clear(). While ioctls are not traced it costs a
 * load and a branch, and only where something fails.
 */
#ifndef UVFIO_BASE_WHY_H
#define UVFIO_BASE_WHY_H

#include "base/trace.h"

/* The error itself, with its reason: return WHY(-EINVAL, "size is 0"); */
#define WHY(error, ...)                                                                                      \
	({                                                                                                   \
		if (trace_on(TRACE_IOCTL))                                                                   \
			why_say(__VA_ARGS__);                                                                \
		(error);                                                                                     \
	})

void why_say(const char *fmt, ...) __printf(1, 2);
void why_clear(void);
const char *why_text(void); /* "" when nothing was said; until the next why_clear() */

#endif
