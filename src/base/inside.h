/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which callback of which device model this thread is in: what a report says when it crashes there.
 *
 * Values, not a chain of pointers: a program's handler may leave a callback by siglongjmp(), and what is kept
 * here is then about a frame that is gone. Who reads it compares the stack pointer with the frame.
 */
#ifndef UVFIO_BASE_INSIDE_H
#define UVFIO_BASE_INSIDE_H

#include "base/base.h"

struct inside {
	const char *who;   /* "0000:00:01.0 (/path/x.so)"; NULL: in no callback */
	const char *what;  /* "read callback" */
	const void *frame; /* the callback's stack lies below */
};

extern __thread struct inside inside_now __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Around the call of a callback; what begin returns is for end. */
static inline __attribute__((always_inline)) struct inside inside_begin(const char *who, const char *what)
{
	struct inside before = inside_now;

	inside_now = (struct inside){ who, what, __builtin_frame_address(0) };
	atomic_signal_fence(memory_order_seq_cst);
	return before;
}

static inline __attribute__((always_inline)) void inside_end(const struct inside *before)
{
	atomic_signal_fence(memory_order_seq_cst);
	inside_now = *before;
}

#endif
