/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that end when a signal comes. In the preload library a signal of the program's is put off until the
 * core is left: a call that takes long asks to be told, and returns -EINTR.
 */
#ifndef UVFIO_BASE_INTERRUPTION_H
#define UVFIO_BASE_INTERRUPTION_H

#include "base/base.h"

struct interruption {
	void (*fn)(void *arg); /* in the signal handler, in this thread; NULL: nobody asks */
	void *arg;
};

extern __thread struct interruption interruption __attribute__((tls_model("initial-exec")));

/* Is a signal put off in this thread? And the mask that the thread has when the core is left (as the kernel
 * has it): set it, and get the old one. */
struct interruption_ops {
	bool (*due)(void);
	void (*set_mask)(uint64_t set, uint64_t *old);
};

void interruption_set_ops(const struct interruption_ops *ops);
bool interruption_due(void);
void interruption_set_mask(uint64_t set, uint64_t *old);

#endif
