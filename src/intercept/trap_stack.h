/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacks for what a trap does. A program's alternate stack may have 8 KiB, of which the signal frame takes
 * half; a device that writes a trace line needs more than the rest. So a trap is carried out on a stack of
 * ours.
 */
#ifndef UVFIO_INTERCEPT_TRAP_STACK_H
#define UVFIO_INTERCEPT_TRAP_STACK_H

/* Make them; at each trapped mapping. 0 or -errno. */
int trap_stacks_init(void);

/* fn(arg) on one of them, or, when all are in use, on the stack that we are on. Safe in a signal handler. */
void trap_stack_call(void (*fn)(void *arg), void *arg);

#endif
