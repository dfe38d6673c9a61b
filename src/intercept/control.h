/* SPDX-License-Identifier: BSD-2-Clause */
/* The launcher's way into this process's machine: `uvfio ctl` (control.c). */
#ifndef UVFIO_INTERCEPT_CONTROL_H
#define UVFIO_INTERCEPT_CONTROL_H

#include "base/base.h"

/* The machine has just been made, from this description. */
void control_start(const char *description);
/* This is the child of a fork. */
void control_forked(void);

extern _Atomic bool control_due;
void control_resume_slow(void);

/* The machine is going to be used: in the child of a fork, connect again. */
static inline void control_resume(void)
{
	if (unlikely(atomic_load_explicit(&control_due, memory_order_relaxed)))
		control_resume_slow();
}

#endif
