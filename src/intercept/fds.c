/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: descriptors that come and go by number, and ioctl().
 *
 * Our private descriptors do not exist for the program: closing one, or duplicating over it, is EBADF, and a
 * sweep (close_range) goes around them.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/kvm_host.h"
#include "intercept/section.h"
#include "intercept/share.h"

#include <linux/close_range.h>
#include <stdarg.h>

static __attribute__((noinline)) int close_ours(int fd)
{
	int saved_errno = errno, r;

	if (intercept_foreign_process())
		return REAL(close)(fd);
	section_begin();
	fdtable_close(fd);
	errno = saved_errno;
	r = REAL(close)(fd);
	saved_errno = errno;
	hold_reap();
	section_end();
	errno = saved_errno;
	return r;
}

EXPORT int close(int fd)
{
	if (unlikely(fdtable_is_ours(fd))) {
		return close_ours(fd);
	} else if (unlikely(private_fd_is(fd))) {
		errno = EBADF;
		return -1;
	}
	return REAL(close)(fd);
}

/* The private descriptors in [first, last] stay. */
static int close_between(unsigned int first, unsigned int last, int flags)
{
	int kept;

	while (first <= last) {
		kept = first > INT_MAX ? -1 : private_fd_next((int)first);
		if (kept < 0 || (unsigned int)kept > last)
			return REAL(close_range)(first, last, flags);
		if ((unsigned int)kept > first && REAL(close_range)(first, (unsigned int)kept - 1, flags) < 0)
			return -1;
		first = (unsigned int)kept + 1;
	}
	return 0;
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	int r;

	if (!session.on || first > last || (flags & ~(int)CLOSE_RANGE_UNSHARE))
		return REAL(close_range)(first, last, flags);
	if (intercept_foreign_process())
		return close_between(first, last, flags);
	section_begin();
	fdtable_close_range(first, last);
	r = close_between(first, last, flags);
	hold_reap();
	section_end();
	return r;
}

EXPORT void closefrom(int low)
{
	if (!session.on || close_range(low < 0 ? 0 : (unsigned int)low, ~0u, 0) < 0)
		REAL(closefrom)(low);
}

static inline int note_dup(int from, int to)
{
	if (unlikely(to >= 0 && (fdtable_is_ours(from) || fdtable_is_ours(to))) &&
	    !intercept_foreign_process()) {
		section_begin();
		fdtable_dup(from, to);
		section_end();
	}
	return to;
}

EXPORT int dup(int fd)
{
	return note_dup(fd, REAL(dup)(fd));
}

EXPORT int dup2(int fd, int to)
{
	if (unlikely(private_fd_is(to))) {
		errno = EBADF;
		return -1;
	}
	return note_dup(fd, REAL(dup2)(fd, to));
}

int hooked_dup3(int fd, int to, int flags)
{
	if (unlikely(private_fd_is(to))) {
		errno = EBADF;
		return -1;
	}
	return note_dup(fd, REAL(dup3)(fd, to, flags));
}

EXPORT int dup3(int fd, int to, int flags)
{
	return hooked_dup3(fd, to, flags);
}

static inline int fcntl_any(int (*real)(int, int, ...), int fd, int cmd, unsigned long arg)
{
	int r = real(fd, cmd, arg);

	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		return note_dup(fd, r);
	if (cmd == F_SETFD && !(arg & FD_CLOEXEC) && unlikely(fdtable_is_ours(fd)) &&
	    !intercept_foreign_process())
		intercept_share_files(); /* meant for a program that is to be started */
	return r;
}

EXPORT int fcntl(int fd, int cmd, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, cmd);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	return fcntl_any(&REAL(fcntl), fd, cmd, arg);
}

EXPORT int fcntl64(int fd, int cmd, ...)
{
	unsigned long arg;
	va_list ap;

	va_start(ap, cmd);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	return fcntl_any(&REAL(fcntl64), fd, cmd, arg);
}

/* Requests about the descriptor, which the kernel carries out before it asks the file. */
static bool is_about_descriptor(uint32_t request)
{
	return request == FIOCLEX || request == FIONCLEX || request == FIONBIO || request == FIOASYNC;
}

static __attribute__((noinline)) int ioctl_descriptor(int fd, unsigned long request, unsigned long arg)
{
	int r = REAL(ioctl)(fd, request, arg);

	if (!r && (uint32_t)request == FIONCLEX && !intercept_foreign_process())
		intercept_share_files();
	return r;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct file *file;
	unsigned long arg;
	int saved_errno;
	va_list ap;
	long r;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	file = fdtable_get(fd);
	if (likely(!file))
		return unlikely(is_of_kvm(request)) ? kvm_host_ioctl(fd, request, arg)
						    : REAL(ioctl)(fd, request, arg);
	saved_errno = errno;
	if (unlikely(is_about_descriptor((uint32_t)request))) {
		file_put(file);
		return ioctl_descriptor(fd, request, arg);
	}
	section_begin();
	r = file_ioctl(file, &self_caller, request, arg);
	file_put(file);
	section_end();
	return (int)ret_errno_or(r, saved_errno);
}
