/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that allocate, lock or wait end a test that makes them while they are forbidden. Included by one file
 * of a test's. Sanitizers have functions of their own in these places. Names are the headers'.
 */
#ifndef UVFIO_IOMMU_SPAPR_TEST_FORBID_H
#define UVFIO_IOMMU_SPAPR_TEST_FORBID_H

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED
#endif

static __thread bool forbidden;

#ifndef SANITIZED
static void check(const char *call)
{
	char line[80];
	int n;

	if (!forbidden)
		return;
	n = snprintf(line, sizeof(line), "# %s is called where nothing may wait\n", call);
	if (write(STDOUT_FILENO, line, (size_t)n) > 0)
		_exit(1);
}

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t nr, size_t size);
extern void *__libc_realloc(void *at, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *at);

void *malloc(size_t size)
{
	check("malloc");
	return __libc_malloc(size);
}

void *calloc(size_t __nmemb, size_t __size)
{
	check("calloc");
	return __libc_calloc(__nmemb, __size);
}

void *realloc(void *__ptr, size_t __size)
{
	check("realloc");
	return __libc_realloc(__ptr, __size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	check("aligned_alloc");
	return __libc_memalign(alignment, size);
}

void free(void *__ptr)
{
	check("free");
	__libc_free(__ptr);
}

/* The next definition of a function: the system's. */
#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	check("pthread_mutex_lock");
	return NEXT(pthread_mutex_lock)(mutex);
}

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	check("pthread_mutex_trylock");
	return NEXT(pthread_mutex_trylock)(mutex);
}

int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	check("pthread_rwlock_rdlock");
	return NEXT(pthread_rwlock_rdlock)(lock);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	check("pthread_rwlock_wrlock");
	return NEXT(pthread_rwlock_wrlock)(lock);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	check("fallocate");
	return NEXT(fallocate)(fd, mode, offset, len);
}

int nanosleep(const struct timespec *__requested_time, struct timespec *__remaining)
{
	check("nanosleep");
	return NEXT(nanosleep)(__requested_time, __remaining);
}
#endif

#endif
