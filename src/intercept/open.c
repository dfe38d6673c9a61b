/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: opening by path.
 *
 * All of them become openat(), which is what the C library makes of them. A path of ours is opened in the
 * session directory; ENXIO says that it was a node.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/section.h"

#include <stdarg.h>
#include <string.h>

/* Opening /proc/self/fd/N: a node is opened anew; a file without a path cannot be, as in the kernel. */
static int reopen(int fd, int flags)
{
	struct file *file = fdtable_get(fd);
	int rc = -ENXIO, saved_errno = errno;

	if (!file) {
		errno = ENOENT;
		return -1;
	}
	if (file->path[0] == '/')
		rc = node_open(file->path, flags);
	file_put(file);
	return (int)ret_errno_or(rc, saved_errno);
}

/* The kernel gave this number: if it was ours, it has been closed by a road that we do not see. */
static inline int fresh(int fd)
{
	if (unlikely(fdtable_is_ours(fd)) && !intercept_foreign_process()) {
		section_begin();
		fdtable_close(fd);
		section_end();
	}
	return fd;
}

int make_errno(const char *host)
{
	const char *name = strrchr(host, '/');
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%.*s", name ? (int)(name - host) : 0, host);
	return *dir && REAL(faccessat)(AT_FDCWD, dir, F_OK, 0) ? errno : EACCES;
}

static __attribute__((noinline)) int open_slow(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd = path_own_fd(path, "fd"), saved_errno = errno;
	struct path_buf buf;
	const char *host;

	if (fd >= 0 && !(flags & (O_PATH | O_NOFOLLOW)))
		return reopen(fd, flags);
	fd = path_own_fd(path, "fdinfo");
	if (fd >= 0)
		return fdinfo_open(fd, flags);
	fd = status_open(path, flags);
	if (fd >= 0)
		return fresh(fd);
	host = path_to_host(dirfd, path, &buf);
	if (host && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) &&
	    !REAL(faccessat)(AT_FDCWD, host, F_OK, 0)) {
		errno = EEXIST;
		return -1;
	}
	if (host)
		fd = REAL(openat)(AT_FDCWD, host, flags & ~O_CREAT);
	else
		fd = REAL(openat)(dirfd, path, flags, mode);
	if (fd >= 0)
		return fresh(fd);
	if (host && (flags & O_CREAT) && errno == ENOENT)
		errno = make_errno(host);
	if (!host && errno == ENOENT && (fd = failnth_open(path, flags)) != -ENOENT)
		return (int)ret_errno_or(fd, saved_errno);
	if (errno != ENXIO)
		return -1;
	if (node_name(host ? AT_FDCWD : dirfd, host ? host : path, true, &buf))
		return (int)ret_errno_or(node_open(buf.text, flags), saved_errno);
	/* It may have been removed since: then this says ENOENT. */
	if (host)
		(void)REAL(faccessat)(AT_FDCWD, host, F_OK, 0);
	return -1;
}

static inline int open_any(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	if (unlikely(session.on && path && (path_may_be_ours(dirfd, path) || !strncmp(path, "/proc", 5))))
		return open_slow(dirfd, path, flags, mode);
	fd = REAL(openat)(dirfd, path, flags, mode);
	if (unlikely(fd < 0 && errno == ENXIO && session.on))
		return open_slow(dirfd, path, flags, mode);
	return fresh(fd);
}

int hooked_open(const char *path, int flags)
{
	return open_any(AT_FDCWD, path, flags, 0);
}

#define GET_MODE(flags, mode)                                                                                \
	do {                                                                                                 \
		va_list ap;                                                                                  \
                                                                                                             \
		va_start(ap, flags);                                                                         \
		mode = (flags) & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;                           \
		va_end(ap);                                                                                  \
	} while (0)

EXPORT int open(const char *path, int flags, ...)
{
	mode_t mode;

	GET_MODE(flags, mode);
	return open_any(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
	mode_t mode;

	GET_MODE(flags, mode);
	return open_any(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORT int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode;

	GET_MODE(flags, mode);
	return open_any(dirfd, path, flags, mode);
}

EXPORT int openat64(int dirfd, const char *path, int flags, ...)
{
	mode_t mode;

	GET_MODE(flags, mode);
	return open_any(dirfd, path, flags | O_LARGEFILE, mode);
}

/* The checked forms abort when a mode is missing: the real ones do that. */
static bool lacks_mode(int flags)
{
	return flags & O_CREAT || (flags & __O_TMPFILE) == __O_TMPFILE;
}

EXPORT int __open_2(const char *path, int flags)
{
	return lacks_mode(flags) ? REAL(__open_2)(path, flags) : open_any(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
{
	return lacks_mode(flags) ? REAL(__open64_2)(path, flags) : open_any(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int dirfd, const char *path, int flags)
{
	return lacks_mode(flags) ? REAL(__openat_2)(dirfd, path, flags) : open_any(dirfd, path, flags, 0);
}

EXPORT int __openat64_2(int dirfd, const char *path, int flags)
{
	return lacks_mode(flags) ? REAL(__openat64_2)(dirfd, path, flags) : open_any(dirfd, path, flags, 0);
}

EXPORT int creat(const char *path, mode_t mode)
{
	return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int creat64(const char *path, mode_t mode)
{
	return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode);
}
