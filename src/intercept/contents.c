/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: calls that work on what is stored in a file. Nothing is stored in ours; the kernel would work on the
 * memfd behind the descriptor.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"

static inline bool either_ours(int a, int b)
{
	return unlikely(fdtable_is_ours(a) || fdtable_is_ours(b));
}

#define REFUSED(type, name, params, args, ours, code)                                                        \
	EXPORT type name params                                                                              \
	{                                                                                                    \
		if (unlikely(ours))                                                                          \
			return (type)ret_errno(-(code));                                                     \
		return REAL(name) args;                                                                      \
	}

REFUSED(int, fsync, (int fd), (fd), fdtable_is_ours(fd), EINVAL)
REFUSED(int, fdatasync, (int fd), (fd), fdtable_is_ours(fd), EINVAL)
REFUSED(int, ftruncate, (int fd, off_t len), (fd, len), fdtable_is_ours(fd), EINVAL)
REFUSED(int, ftruncate64, (int fd, off64_t len), (fd, len), fdtable_is_ours(fd), EINVAL)
REFUSED(int, fallocate, (int fd, int mode, off_t off, off_t len), (fd, mode, off, len), fdtable_is_ours(fd),
	ENODEV)
REFUSED(int, fallocate64, (int fd, int mode, off64_t off, off64_t len), (fd, mode, off, len),
	fdtable_is_ours(fd), ENODEV)
REFUSED(ssize_t, sendfile, (int out, int in, off_t *off, size_t len), (out, in, off, len),
	either_ours(out, in), EINVAL)
REFUSED(ssize_t, sendfile64, (int out, int in, off64_t *off, size_t len), (out, in, off, len),
	either_ours(out, in), EINVAL)
REFUSED(ssize_t, copy_file_range,
	(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned int flags),
	(in, in_off, out, out_off, len, flags), either_ours(out, in), EINVAL)

/* These return the error. */
EXPORT int posix_fallocate(int fd, off_t off, off_t len)
{
	return unlikely(fdtable_is_ours(fd)) ? ENODEV : REAL(posix_fallocate)(fd, off, len);
}

EXPORT int posix_fallocate64(int fd, off64_t off, off64_t len)
{
	return unlikely(fdtable_is_ours(fd)) ? ENODEV : REAL(posix_fallocate64)(fd, off, len);
}
