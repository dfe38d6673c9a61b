/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of address spaces, and copies.
 *
 * Index 0 is never given out; index 1 is this process, which is static and always there. Another process is
 * held by a pidfd, so that its number cannot come to mean a new process while a mapping of it exists; a file
 * by a mapping of it (mm_file.c).
 *
 * Locking: mm_lock protects the table's slots and the ids; a reader of a slot holds a reference by other
 * means. A count that has reached zero is never raised again. Nothing is locked inside mm_lock.
 */
#include "iommu/mm_private.h"

#include "base/fault.h"
#include "base/id.h"
#include "base/private_fd.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MM_MAX 65536

int (*mm_io_access)(uint64_t va, void *data, size_t len, bool write);

static struct mm self_mm = { .refs = 1, .index = MM_SELF_INDEX, .self = true };
static _Atomic(struct mm *) table[MM_MAX] = { [MM_SELF_INDEX] = &self_mm };
static pthread_mutex_t mm_lock = PTHREAD_MUTEX_INITIALIZER;
static struct id_allocator ids;

static __attribute__((constructor)) void mm_start(void)
{
	self_mm.pid = getpid();
}

struct mm *mm_self(void)
{
	return mm_get(&self_mm);
}

void mm_forked(void)
{
	pthread_mutex_init(&mm_lock, NULL);
	self_mm.pid = getpid();
	maps_forked();
	mm_check_forked();
	shared_forked();
}

struct mm *mm_by_index(uint16_t index)
{
	return atomic_load_explicit(&table[index], memory_order_acquire);
}

struct mm *mm_get(struct mm *mm)
{
	atomic_fetch_add_explicit(&mm->refs, 1, memory_order_relaxed);
	return mm;
}

static bool mm_get_live(struct mm *mm)
{
	uint32_t refs = atomic_load(&mm->refs);

	while (refs)
		if (atomic_compare_exchange_weak(&mm->refs, &refs, refs + 1))
			return true;
	return false;
}

void mm_put_many(struct mm *mm, uint32_t n)
{
	if (atomic_fetch_sub_explicit(&mm->refs, n, memory_order_acq_rel) != n || mm->self)
		return;
	assert(!atomic_load(&mm->locked_pages) && !atomic_load(&mm->pinned_pages));
	pthread_mutex_lock(&mm_lock);
	atomic_store(&table[mm->index], NULL);
	id_free(&ids, mm->index);
	pthread_mutex_unlock(&mm_lock);
	if (mm->base) {
		mm_file_free(mm);
		return;
	}
	private_fd_close(container_of(mm, struct other_mm, mm)->pidfd);
	free(container_of(mm, struct other_mm, mm));
}

void mm_put(struct mm *mm)
{
	mm_put_many(mm, 1);
}

static bool is_gone(const struct mm *mm)
{
	const struct other_mm *other = container_of(mm, struct other_mm, mm);
	struct pollfd pfd = { .fd = other->pidfd, .events = POLLIN };

	return syscall(SYS_poll, &pfd, 1, 0) != 0;
}

bool mm_is_gone(struct mm *mm)
{
	return !mm->self && !mm->base && is_gone(mm);
}

/* Under mm_lock. */
static struct mm *find_by_pid(pid_t pid)
{
	for (uint32_t i = MM_SELF_INDEX + 1; i < MM_MAX && i < ids.words * 64; i++) {
		struct mm *mm = atomic_load(&table[i]);

		if (mm && mm->pid == pid && !is_gone(mm) && mm_get_live(mm))
			return mm;
	}
	return NULL;
}

/* Under mm_lock. */
static int add_locked(struct mm *mm)
{
	uint32_t index;
	int ret;

	if (!ids.words) {
		id_init(&ids, MM_MAX);
		if (id_reserve(&ids, 0) || id_reserve(&ids, MM_SELF_INDEX))
			ids.limit = 0;
	}
	ret = id_alloc(&ids, &index);
	if (ret)
		return -ENOMEM;
	mm->refs = 1;
	mm->index = (uint16_t)index;
	atomic_store(&table[index], mm);
	return 0;
}

int mm_add(struct mm *mm)
{
	int ret;

	pthread_mutex_lock(&mm_lock);
	ret = add_locked(mm);
	pthread_mutex_unlock(&mm_lock);
	return ret;
}

/* Under mm_lock. Takes over pidfd, of the process pid. */
static int new_by_pidfd(pid_t pid, int pidfd, struct mm **out)
{
	struct other_mm *other = calloc(1, sizeof(*other));

	if (!other)
		goto close_pidfd;
	other->mm.pid = pid;
	other->pidfd = private_fd(pidfd);
	if (add_locked(&other->mm))
		goto free_other;
	*out = &other->mm;
	return 0;
free_other:
	pidfd = other->pidfd;
	free(other);
close_pidfd:
	private_fd_close(pidfd);
	return -ENOMEM;
}

/* Under mm_lock. */
static int new_by_pid(pid_t pid, struct mm **out)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pidfd < 0)
		return errno == ESRCH || errno == EINVAL ? -ESRCH : -ENOMEM;
	return new_by_pidfd(pid, pidfd, out);
}

int mm_of_pid(pid_t pid, struct mm **mm)
{
	int ret = 0;

	if (pid == getpid()) {
		*mm = mm_self();
		return 0;
	}
	pthread_mutex_lock(&mm_lock);
	*mm = find_by_pid(pid);
	if (!*mm)
		ret = new_by_pid(pid, mm);
	pthread_mutex_unlock(&mm_lock);
	return ret;
}

/* The process of a pidfd; 0 or less: it has been waited for, is in no namespace of ours, or this is none. */
static pid_t pid_of(int pidfd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	return (pid_t)proc_number(path, "Pid");
}

/* Under mm_lock. The number was read while the process could still be ending: look at the pidfd again. */
static int of_pidfd(pid_t pid, int pidfd, struct mm **mm)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int own;

	if (syscall(SYS_poll, &pfd, 1, 0))
		return -ESRCH;
	*mm = find_by_pid(pid);
	if (*mm)
		return 0;
	own = (int)syscall(SYS_fcntl, pidfd, F_DUPFD_CLOEXEC, 0);
	return own < 0 ? -ENOMEM : new_by_pidfd(pid, own, mm);
}

int mm_of_pidfd(int pidfd, struct mm **mm)
{
	pid_t pid = pid_of(pidfd);
	int ret;

	if (syscall(SYS_fcntl, pidfd, F_GETFD) < 0)
		return -EBADF;
	if (!pid)
		return -EINVAL;
	if (pid < 0)
		return -ESRCH;
	if (pid == getpid()) {
		*mm = mm_self();
		return 0;
	}
	pthread_mutex_lock(&mm_lock);
	ret = of_pidfd(pid, pidfd, mm);
	pthread_mutex_unlock(&mm_lock);
	return ret;
}

void mm_describe(struct mm *mm, char *buf, size_t len)
{
	if (mm->base)
		snprintf(buf, len, "a file of process %d", (int)getpid());
	else
		snprintf(buf, len, "process %d%s", (int)mm->pid, mm_is_gone(mm) ? " (exited)" : "");
}

/*
 * Asking costs as much as a fifth of a short copy, so it is done once in this time. In so short a time no
 * process ends, is waited for, and leaves its number to another; one that has only ended has no memory, as
 * the copy finds out.
 */
#define ASK_AGAIN_NS 10000u

static bool is_gone_before_copy(struct other_mm *other)
{
	struct timespec ts;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	if (now - atomic_load_explicit(&other->seen_at, memory_order_relaxed) < ASK_AGAIN_NS)
		return false;
	if (is_gone(&other->mm))
		return true;
	atomic_store_explicit(&other->seen_at, now, memory_order_relaxed);
	return false;
}

static int copy_other(struct mm *mm, void *local, uint64_t va, size_t len, bool write)
{
	struct iovec here = { local, len }, there = { (void *)(uintptr_t)va, len };
	struct other_mm *other = container_of(mm, struct other_mm, mm);
	ssize_t n;

	if (mm->base)
		return mm_file_copy(mm, local, va, len, write);
	if (is_gone_before_copy(other))
		return shared_copy(other, local, va, len, write);
	if (write)
		n = process_vm_writev(mm->pid, &here, 1, &there, 1, 0);
	else
		n = process_vm_readv(mm->pid, &here, 1, &there, 1, 0);
	if (n < 0 && errno == ESRCH) /* it is just going */
		return shared_copy(other, local, va, len, write);
	return n == (ssize_t)len ? 0 : -EFAULT;
}

/* Memory and BARs by turns. */
static int copy_mixed(void *local, uint64_t va, size_t len, bool write)
{
	while (len) {
		bool io;
		size_t n = mm_io_span(va, len, &io);
		void *remote = (void *)(uintptr_t)va;
		int ret;

		if (io)
			ret = mm_io_access ? mm_io_access(va, local, n, write) : -EFAULT;
		else
			ret = write ? copy_nofault(remote, local, n) : copy_nofault(local, remote, n);
		if (ret)
			return -EFAULT;
		local = (char *)local + n;
		va += n;
		len -= n;
	}
	return 0;
}

int mm_read(struct mm *mm, void *dst, uint64_t va, size_t len)
{
	if (va >= MM_VA_END || len > MM_VA_END - va)
		return -EFAULT;
	return mm->self ? copy_mixed(dst, va, len, false) : copy_other(mm, dst, va, len, false);
}

int mm_write(struct mm *mm, uint64_t va, const void *src, size_t len)
{
	void *local = (void *)(uintptr_t)src; /* only read from */

	if (va >= MM_VA_END || len > MM_VA_END - va)
		return -EFAULT;
	return mm->self ? copy_mixed(local, va, len, true) : copy_other(mm, local, va, len, true);
}

int mm_copy_memory(struct mm *mm, uint64_t va, void *local, size_t len, bool write)
{
	void *remote = (void *)(uintptr_t)va;

	if (!mm->self)
		return write ? mm_write(mm, va, local, len) : mm_read(mm, local, va, len);
	if (va >= MM_VA_END || len > MM_VA_END - va)
		return -EFAULT;
	return write ? copy_nofault(remote, local, len) : copy_nofault(local, remote, len);
}
