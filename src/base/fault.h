/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies that survive a fault, and the one place that owns our SIGSEGV and SIGBUS handler.
 *
 * The handler is installed only when the first trapped BAR mapping is made, a plug-in is loaded, a driver of
 * a mediated device uses the program's memory, or a library user asks for it: User Mode Linux and others own
 * SIGSEGV, so a process that does nothing of all this never sees a handler of ours. While
 * it is installed, copy_nofault() is a plain memcpy with a recovery point; until then it asks the kernel to
 * copy (process_vm_readv/writev on ourselves), which is slower and just as safe.
 *
 * Anything that is not ours goes to the program's own action, kept here by the interposed sigaction().
 */
#ifndef UVFIO_BASE_FAULT_H
#define UVFIO_BASE_FAULT_H

#include "base/base.h"

#include <signal.h>

/* This is the child of a fork. */
void fault_forked(void);

/* What became of a SIGSEGV. */
enum fault_verdict {
	FAULT_NOT_OURS, /* the program gets it */
	FAULT_DONE,     /* the instruction has been carried out: the context's registers are updated */
	FAULT_BUS,      /* the program gets SIGBUS at this instruction instead */
};

/* Called in the signal handler for a SIGSEGV that an instruction raised. */
typedef enum fault_verdict (*fault_trap_fn)(siginfo_t *info, void *ucontext);

/* This thread's own, asked first, for SIGBUS, too; NULL: there is none. What it leaves the context with is
 * where the thread goes on. */
extern __thread fault_trap_fn fault_thread_trap
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/*
 * Install the handlers (idempotent, thread-safe), and unblock the two signals in the calling thread. trap:
 * NULL when there is none (one that is installed stays). 0 or -errno.
 */
int fault_handler_install(fault_trap_fn trap);
bool fault_handler_installed(void);

/*
 * Called in the signal handler when a thread is in a callback of who, a device or its driver, and touches
 * what is not mapped. True: it is now. One for all.
 */
typedef bool (*fault_lost_fn)(uintptr_t at, const char *who);
void fault_lost_handler(fault_lost_fn fn);

/* In this process all changes of actions go by way of fault_program_action(). Once, before threads. */
void fault_handler_offer(void);
/* It would make what follows cheaper: install it where that has been offered. Failing does not matter. */
void fault_handler_want(void);

/* The program is about to handle or ignore one of the signals that people end a program with, or has (deadly)
 * left it to the default action: our handler blocks it, or not. Other signals: nothing happens. */
void fault_ending_signal(int sig, bool deadly);

/*
 * The program's view of its own action for SIGSEGV or SIGBUS while ours is installed: what the interposed
 * sigaction() stores and returns; before that, the kernel's. Either pointer may be NULL. signum is SIGSEGV or
 * SIGBUS. 0 or -EINVAL.
 */
int fault_program_action(int signum, const struct sigaction *act, struct sigaction *old);

/*
 * While a handler of the program's for sig (SIGSEGV or SIGBUS) runs, its signal is not really blocked: a mark
 * in the thread's mask stands for that. Is the mark in mask? And the signal that is the mark, as a bit of the
 * mask.
 */
bool fault_mask_deferred(uint64_t mask, int sig);
uint64_t fault_mask_mark(int sig);

/* The signals that a thread of ours blocks: all but those that an instruction raises. */
void fault_thread_sigmask(sigset_t *set);

/*
 * memcpy(dst, src, len) where one side is memory that the program may have unmapped or protected.
 * Returns 0 or -EFAULT; a part may have been copied then. A copy of exactly 1, 2, 4, 8 or 16 bytes is one
 * store.
 */
int copy_nofault(void *dst, const void *src, size_t len);

/* Can the byte there be written? It is, with what it was, in one step. Only with the handler. 0 or -EFAULT.
 */
int touch_nofault(void *at);

/*
 * copy_nofault for a short argument (at most a few KiB) of the calling thread's own ioctl. foreign is the
 * side that the program gave. Memory above our own frame on the same stack needs no precaution at all.
 */
int copy_arg_nofault(void *dst, const void *src, size_t len, const void *foreign);

#endif
