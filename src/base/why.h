/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a call fails, in words: said where the mistake is found, printed behind the errno by who traces the
 * call: the ioctl engine, and what opens, maps, reads and writes. One text per thread, the first one said
 * since why_clear(). While neither ioctls nor files are traced it costs a load and a branch, and only where
 * something fails.
 */
#ifndef UVFIO_BASE_WHY_H
#define UVFIO_BASE_WHY_H

#include "base/trace.h"

/* The error itself, with its reason: return WHY(-EINVAL, "size is 0"); */
#define WHY(error, ...)                                                                                      \
	({                                                                                                   \
		if (trace_on((enum trace_category)(TRACE_IOCTL | TRACE_FILE)))                               \
			why_say(__VA_ARGS__);                                                                \
		(error);                                                                                     \
	})

/* The same, said last and traced or not, for who reports it in another way. */
#define WHY_ALWAYS(error, ...)                                                                               \
	({                                                                                                   \
		why_clear();                                                                                 \
		why_say(__VA_ARGS__);                                                                        \
		(error);                                                                                     \
	})

void why_say(const char *fmt, ...) __printf(1, 2);
void why_clear(void);
/* "EBUSY: somebody has it", of -EBUSY: what stands behind "= -1 ". */
const char *why_error(long error, char *buf, size_t len);
const char *why_text(void); /* "" when nothing was said; until the next why_clear() */

#endif
