/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors of our own in someone else's process: kept at high numbers, out of the way of programs that
 * count on getting low ones, and remembered, so that the interposed close() does not let a program close them
 * by sweeping.
 */
#ifndef UVFIO_BASE_PRIVATE_FD_H
#define UVFIO_BASE_PRIVATE_FD_H

#include "base/base.h"

/* Take over fd: move it up (close-on-exec), remember it. Returns the new number; a negative fd is passed
 * through. */
int private_fd(int fd);
void private_fd_close(int fd); /* negative: nothing */
int private_fd_next(int from); /* the lowest private descriptor that is not below from, or -1 */
bool private_fd_is(int fd);    /* takes no lock */

#endif
