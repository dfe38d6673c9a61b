/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/thread.h"
#include "base/fault.h"

#include <time.h>

#define STACK_SIZE (256 * 1024)

int thread_start(pthread_t *thread, const char *name, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int rc;

	rc = pthread_attr_init(&attr);
	if (rc)
		return -rc;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	fault_thread_sigmask(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (!rc)
		pthread_setname_np(*thread, name);
	return -rc;
}

/* For a second. */
static bool again(unsigned int *tries)
{
	struct timespec nap = { .tv_nsec = 100000 };

	nanosleep(&nap, NULL);
	return ++*tries < 10000;
}

bool thread_lock_patiently(pthread_mutex_t *lock)
{
	unsigned int tries = 0;

	while (pthread_mutex_trylock(lock))
		if (!again(&tries))
			return false;
	return true;
}

bool thread_rdlock_patiently(pthread_rwlock_t *lock)
{
	unsigned int tries = 0;

	while (pthread_rwlock_tryrdlock(lock))
		if (!again(&tries))
			return false;
	return true;
}
