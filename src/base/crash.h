/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A crash in a device model's callback: named in one line before the process dies of it.
 *
 * SIGSEGV and SIGBUS arrive at base/fault, which asks here when the signal is about to kill. For the others
 * there is a handler of ours where the program has none; the program is shown the default action. A signal
 * that a handler of the program gets is the program's affair, and nothing is said.
 */
#ifndef UVFIO_BASE_CRASH_H
#define UVFIO_BASE_CRASH_H

#include "base/base.h"

#include <signal.h>

/* Set once, before threads: crashes of plug-ins are to be named in this process. */
extern bool crash_naming;
/* Where the line goes instead of standard error; in a signal handler. */
extern void (*crash_told)(const char *line);

/* A plug-in is about to be loaded: install the handlers, once. Nothing happens without crash_naming. */
void crash_watch(void);

/* sig is about to kill the process; it was raised at context. In a signal handler. */
void crash_report(int sig, const siginfo_t *info, const void *context);

/* Is that handler of the kernel's ours, so that the program has the default action? */
bool crash_handler_is(sighandler_t handler);

#endif
