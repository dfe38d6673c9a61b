/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls of the core, and the program's signal handlers.
 *
 * A handler may make any call that a program may: on Linux an ioctl() or a pread() of a descriptor is as good
 * in a handler as elsewhere. In the core there are locks. So while a thread is in a section no handler of the
 * program runs in it: one that is due is put off until the section is over, with the signal left pending for
 * this thread, and everything blocked meanwhile. That costs nothing as long as no signal comes.
 *
 * Nor is a thread cancelled in a section: an ioctl() is no place where that could happen.
 *
 * The core allocates in some calls: a handler that interrupted malloc() may not make those.
 *
 * It works because the kernel's handler is ours for each signal that an instruction does not raise (signals.c
 * installs it in place of the program's).
 */
#ifndef UVFIO_INTERCEPT_SECTION_H
#define UVFIO_INTERCEPT_SECTION_H

#include "base/base.h"

#include <pthread.h>
#include <signal.h>

struct section {
	unsigned int depth;
	bool due;      /* a signal is pending; all are blocked, mask is what to go back to */
	uint64_t mask; /* as the kernel has it */
	int cancel_state;
};

extern __thread struct section section __attribute__((tls_model("initial-exec"), visibility("hidden")));

void section_signals(void);
void section_init(void); /* calls of the core that ask (base/interruption.h) are told of signals */

/* For what makes no system call. */
static inline void section_begin_short(void)
{
	section.depth++;
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void section_end_short(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	section.depth--;
	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely(section.due) && !section.depth)
		section_signals();
}

static inline void section_begin(void)
{
	section_begin_short();
	if (section.depth == 1)
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &section.cancel_state);
}

static inline void section_end(void)
{
	if (section.depth == 1 && section.cancel_state != PTHREAD_CANCEL_DISABLE)
		pthread_setcancelstate(section.cancel_state, NULL);
	section_end_short();
}

/* The value of an expression that is evaluated in a section. */
#define IN_SECTION(expr)                                                                                     \
	({                                                                                                   \
		__typeof__(expr) value_;                                                                     \
                                                                                                             \
		section_begin();                                                                             \
		value_ = (expr);                                                                             \
		section_end();                                                                               \
		value_;                                                                                      \
	})

/*
 * The program sets a handler for sig, with these flags: what the kernel is to be given, and in *before what
 * the program had set last. restore: the kernel would not have it.
 */
sighandler_t section_handler(int sig, sighandler_t handler, int flags, sighandler_t *before);
void section_handler_restore(int sig, sighandler_t before);
/* What the kernel says is set, as the program knows it. */
sighandler_t section_handler_shown(sighandler_t kernels, sighandler_t before);

#endif
