/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The C library as our own code sees it.
 *
 * The preload library is linked with --wrap=NAME for every function that it interposes (meson.build): a call
 * of `open` in the core, or in a file of this directory that does not define it, becomes __wrap_open, which
 * is the real one. A link error about __wrap_NAME means that our code now calls NAME, and that a line is
 * missing here.
 */
#include "intercept/real.h"

#include <stdarg.h>

#define OWN(type, name, params, args)                                                                        \
	type __wrap_##name params;                                                                           \
	type __wrap_##name params                                                                            \
	{                                                                                                    \
		return REAL(name) args;                                                                      \
	}

/* The third argument, which only some calls of open() have, is harmless to fetch on every ABI that we run on.
 */
#define OWN_OPEN(name, params, before, last)                                                                 \
	int __wrap_##name params;                                                                            \
	int __wrap_##name params                                                                             \
	{                                                                                                    \
		va_list ap;                                                                                  \
		mode_t mode;                                                                                 \
                                                                                                             \
		va_start(ap, last);                                                                          \
		mode = va_arg(ap, mode_t);                                                                   \
		va_end(ap);                                                                                  \
		return REAL(name) before;                                                                    \
	}

#define OWN_VARIADIC(name, params, before, last)                                                             \
	int __wrap_##name params;                                                                            \
	int __wrap_##name params                                                                             \
	{                                                                                                    \
		va_list ap;                                                                                  \
		unsigned long arg;                                                                           \
                                                                                                             \
		va_start(ap, last);                                                                          \
		arg = va_arg(ap, unsigned long);                                                             \
		va_end(ap);                                                                                  \
		return REAL(name) before;                                                                    \
	}

OWN_OPEN(open, (const char *path, int flags, ...), (path, flags, mode), flags)
OWN_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), flags)
OWN_OPEN(openat, (int dirfd, const char *path, int flags, ...), (dirfd, path, flags, mode), flags)
OWN_OPEN(openat64, (int dirfd, const char *path, int flags, ...), (dirfd, path, flags, mode), flags)
OWN_VARIADIC(fcntl, (int fd, int cmd, ...), (fd, cmd, arg), cmd)
OWN_VARIADIC(fcntl64, (int fd, int cmd, ...), (fd, cmd, arg), cmd)
OWN_VARIADIC(ioctl, (int fd, unsigned long request, ...), (fd, request, arg), request)

int __wrap_dprintf(int fd, const char *format, ...);
int __wrap_dprintf(int fd, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = REAL(vdprintf)(fd, format, ap);
	va_end(ap);
	return n;
}

OWN(FILE *, fopen, (const char *path, const char *mode), (path, mode))
OWN(FILE *, fopen64, (const char *path, const char *mode), (path, mode))
OWN(int, close, (int fd), (fd))
OWN(int, fclose, (FILE * file), (file))
OWN(int, fflush, (FILE * file), (file))
OWN(int, dup, (int fd), (fd))
OWN(int, dup2, (int fd, int to), (fd, to))
OWN(int, dup3, (int fd, int to, int flags), (fd, to, flags))
OWN(ssize_t, read, (int fd, void *buf, size_t len), (fd, buf, len))
OWN(ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len))
OWN(ssize_t, pread, (int fd, void *buf, size_t len, off_t off), (fd, buf, len, off))
OWN(ssize_t, pread64, (int fd, void *buf, size_t len, off64_t off), (fd, buf, len, off))
OWN(ssize_t, pwrite, (int fd, const void *buf, size_t len, off_t off), (fd, buf, len, off))
OWN(ssize_t, pwrite64, (int fd, const void *buf, size_t len, off64_t off), (fd, buf, len, off))
OWN(ssize_t, readv, (int fd, const struct iovec *iov, int n), (fd, iov, n))
OWN(ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n))
OWN(ssize_t, preadv, (int fd, const struct iovec *iov, int n, off_t off), (fd, iov, n, off))
OWN(ssize_t, preadv64, (int fd, const struct iovec *iov, int n, off64_t off), (fd, iov, n, off))
OWN(ssize_t, preadv2, (int fd, const struct iovec *iov, int n, off_t off, int flags),
    (fd, iov, n, off, flags))
OWN(ssize_t, preadv64v2, (int fd, const struct iovec *iov, int n, off64_t off, int flags),
    (fd, iov, n, off, flags))
OWN(ssize_t, pwritev, (int fd, const struct iovec *iov, int n, off_t off), (fd, iov, n, off))
OWN(ssize_t, pwritev64, (int fd, const struct iovec *iov, int n, off64_t off), (fd, iov, n, off))
OWN(off_t, lseek, (int fd, off_t off, int whence), (fd, off, whence))
OWN(off64_t, lseek64, (int fd, off64_t off, int whence), (fd, off, whence))
OWN(DIR *, opendir, (const char *path), (path))
OWN(struct dirent *, readdir, (DIR * dir), (dir))
OWN(struct dirent64 *, readdir64, (DIR * dir), (dir))
OWN(ssize_t, readlink, (const char *path, char *buf, size_t len), (path, buf, len))
OWN(ssize_t, readlinkat, (int dirfd, const char *path, char *buf, size_t len), (dirfd, path, buf, len))
OWN(char *, realpath, (const char *path, char *resolved), (path, resolved))
OWN(char *, getcwd, (char *buf, size_t len), (buf, len))
OWN(int, stat, (const char *path, struct stat *st), (path, st))
OWN(int, stat64, (const char *path, struct stat64 *st), (path, st))
OWN(int, lstat, (const char *path, struct stat *st), (path, st))
OWN(int, lstat64, (const char *path, struct stat64 *st), (path, st))
OWN(int, fstat, (int fd, struct stat *st), (fd, st))
OWN(int, fstat64, (int fd, struct stat64 *st), (fd, st))
OWN(int, fstatat, (int dirfd, const char *path, struct stat *st, int flags), (dirfd, path, st, flags))
OWN(int, fstatat64, (int dirfd, const char *path, struct stat64 *st, int flags), (dirfd, path, st, flags))
OWN(int, access, (const char *path, int mode), (path, mode))
OWN(int, faccessat, (int dirfd, const char *path, int mode, int flags), (dirfd, path, mode, flags))
OWN(int, chmod, (const char *path, mode_t mode), (path, mode))
OWN(int, fchmodat, (int dirfd, const char *path, mode_t mode, int flags), (dirfd, path, mode, flags))
OWN(int, statfs, (const char *path, struct statfs *st), (path, st))
OWN(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
OWN(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
OWN(void *, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t off),
    (at, len, prot, flags, fd, off))
OWN(void *, mmap64, (void *at, size_t len, int prot, int flags, int fd, off64_t off),
    (at, len, prot, flags, fd, off))
OWN(int, munmap, (void *at, size_t len), (at, len))
OWN(int, mprotect, (void *at, size_t len, int prot), (at, len, prot))
OWN(int, madvise, (void *at, size_t len, int advice), (at, len, advice))
OWN(int, mkdirat, (int dirfd, const char *path, mode_t mode), (dirfd, path, mode))
OWN(int, mknodat, (int dirfd, const char *path, mode_t mode, dev_t dev), (dirfd, path, mode, dev))
OWN(int, rename, (const char *path, const char *to), (path, to))
OWN(int, renameat, (int dirfd, const char *path, int to_dirfd, const char *to), (dirfd, path, to_dirfd, to))
OWN(int, symlinkat, (const char *to, int dirfd, const char *path), (to, dirfd, path))
OWN(int, unlinkat, (int dirfd, const char *path, int flags), (dirfd, path, flags))
OWN(int, fdatasync, (int fd), (fd))
OWN(int, ftruncate, (int fd, off_t len), (fd, len))
OWN(int, ftruncate64, (int fd, off64_t len), (fd, len))
OWN(int, fallocate, (int fd, int mode, off_t off, off_t len), (fd, mode, off, len))
OWN(int, fallocate64, (int fd, int mode, off64_t off, off64_t len), (fd, mode, off, len))
OWN(int, sigaction, (int sig, const struct sigaction *act, struct sigaction *old), (sig, act, old))
OWN(int, sigprocmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))
OWN(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))
