/* SPDX-License-Identifier: BSD-2-Clause */
/* Helper threads in someone else's process: all signals blocked that no instruction raises, a small stack, a
 * name. */
#ifndef UVFIO_BASE_THREAD_H
#define UVFIO_BASE_THREAD_H

#include "base/base.h"

#include <pthread.h>

/* Start a joinable thread. name: at most 15 characters. 0 or -EAGAIN, -ENOMEM. */
int thread_start(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg);

/* Take a lock in a signal handler, unless that lasts for long: this thread may have it. */
bool thread_lock_patiently(pthread_mutex_t *lock);
bool thread_rdlock_patiently(pthread_rwlock_t *lock);

#endif
