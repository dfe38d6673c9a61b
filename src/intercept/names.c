/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: calls that take a path and need nothing but its translation. The tree is the user's own: what they
 * change in it lasts as long as the session.
 */
#include "intercept/intercept.h"

#include <linux/magic.h>

/* params name the path `path`, and the directory that it is relative to `dirfd` where there is one. */
#define NAMED(type, name, params, args)                                                                      \
	EXPORT type name params                                                                              \
	{                                                                                                    \
		struct path_buf buf;                                                                         \
		const char *host = path_to_host(AT_FDCWD, path, &buf);                                       \
                                                                                                             \
		if (host)                                                                                    \
			path = host;                                                                         \
		return REAL(name) args;                                                                      \
	}

#define NAMED_AT(type, name, params, args)                                                                   \
	EXPORT type name params                                                                              \
	{                                                                                                    \
		struct path_buf buf;                                                                         \
		const char *host = path_to_host(dirfd, path, &buf);                                          \
                                                                                                             \
		if (host)                                                                                    \
			path = host;                                                                         \
		return REAL(name) args;                                                                      \
	}

NAMED(int, chmod, (const char *path, mode_t mode), (path, mode))
NAMED(int, chown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
NAMED(int, lchown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
NAMED_AT(int, fchmodat, (int dirfd, const char *path, mode_t mode, int flags), (dirfd, path, mode, flags))
NAMED_AT(int, fchownat, (int dirfd, const char *path, uid_t uid, gid_t gid, int flags),
	 (dirfd, path, uid, gid, flags))
NAMED(ssize_t, getxattr, (const char *path, const char *name, void *value, size_t len),
      (path, name, value, len))
NAMED(ssize_t, lgetxattr, (const char *path, const char *name, void *value, size_t len),
      (path, name, value, len))
NAMED(ssize_t, listxattr, (const char *path, char *list, size_t len), (path, list, len))
NAMED(ssize_t, llistxattr, (const char *path, char *list, size_t len), (path, list, len))
NAMED(int, statvfs, (const char *restrict path, struct statvfs *restrict st), (path, st))
NAMED(int, statvfs64, (const char *restrict path, struct statvfs64 *restrict st), (path, st))
NAMED(int, truncate, (const char *path, off_t len), (path, len))
NAMED(int, truncate64, (const char *path, off64_t len), (path, len))
NAMED(int, utimes, (const char *path, const struct timeval times[2]), (path, times))
NAMED_AT(int, utimensat, (int dirfd, const char *path, const struct timespec times[2], int flags),
	 (dirfd, path, times, flags))
NAMED(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))

/* Those who look whether /sys is what they think it is (libudev does) find sysfs. */
#define STATFS(name, type)                                                                                   \
	EXPORT int name(const char *path, struct type *st)                                                   \
	{                                                                                                    \
		struct path_buf buf;                                                                         \
		const char *host = path_to_host(AT_FDCWD, path, &buf);                                       \
		const char *name_ = host ? path_to_program(host) : NULL;                                     \
		int r = REAL(name)(host ? host : path, st);                                                  \
                                                                                                             \
		if (!r && name_ && name_[1] == 's')                                                          \
			st->f_type = SYSFS_MAGIC;                                                            \
		return r;                                                                                    \
	}

STATFS(statfs, statfs)
STATFS(statfs64, statfs64)

#define FSTATFS(name, type)                                                                                  \
	EXPORT int name(int fd, struct type *st)                                                             \
	{                                                                                                    \
		struct path_buf buf;                                                                         \
		int r = REAL(name)(fd, st);                                                                  \
                                                                                                             \
		if (!r && session.on && path_of_fd(fd, &buf) && buf.text[1] == 's')                          \
			st->f_type = SYSFS_MAGIC;                                                            \
		return r;                                                                                    \
	}

FSTATFS(fstatfs, statfs)
FSTATFS(fstatfs64, statfs64)
