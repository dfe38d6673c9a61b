/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: stat in all its forms, and access.
 *
 * Nodes are sockets in the session directory, so an answer that says "socket" is looked at again, and any
 * other is not. The 64-bit forms are the same structure on every ABI that we run on.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"

#include <string.h>
#include <sys/sysmacros.h>

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one structure serves both forms");

static inline bool maybe_node(const struct stat *st)
{
	return unlikely(S_ISSOCK(st->st_mode)) && session.on && st->st_dev == session.dev;
}

static void mend_node(int dirfd, const char *path, bool follow, struct stat *st)
{
	struct path_buf name;

	if (node_name(dirfd, path, follow, &name))
		node_stat(name.text, st);
}

static int stat_path(int dirfd, const char *path, struct stat *st, int flags);

/* What the kernel says about our descriptor is about a memfd: say what a node, or an anonymous inode, would
 * have. */
static int stat_our_fd(struct file *file, struct stat *st)
{
	int saved_errno = errno;

	if (!strncmp(file->path, "/dev/", 5) || !strncmp(file->path, "/sys/", 5)) {
		if (!stat_path(AT_FDCWD, file->path, st, 0))
			return 0;
		errno = saved_errno;
		node_stat(file->path, st); /* its device has gone */
		return 0;
	}
	st->st_mode = 0600;
	st->st_nlink = 1;
	st->st_size = 0;
	st->st_blocks = 0;
	return 0;
}

static int stat_fd(int fd, struct stat *st)
{
	int r = REAL(fstat)(fd, st);
	struct file *file;

	if (r < 0 || likely(!session.on))
		return r;
	file = fdtable_get(fd);
	if (unlikely(file)) {
		r = stat_our_fd(file, st);
		file_put(file);
	} else if (maybe_node(st)) {
		mend_node(fd, "", true, st);
	}
	return r;
}

static int stat_path(int dirfd, const char *path, struct stat *st, int flags)
{
	int fd = flags & AT_SYMLINK_NOFOLLOW ? -1 : path_own_fd(path, "fd");
	struct path_buf buf;
	const char *host;
	int r;

	if (unlikely(fd >= 0))
		return stat_fd(fd, st);
	if ((flags & AT_EMPTY_PATH) && path && !*path && dirfd >= 0)
		return stat_fd(dirfd, st);
	host = path_to_host(dirfd, path, &buf);
	r = host ? REAL(fstatat)(AT_FDCWD, host, st, flags) : REAL(fstatat)(dirfd, path, st, flags);
	if (!r && maybe_node(st))
		mend_node(host ? AT_FDCWD : dirfd, host ? host : path, !(flags & AT_SYMLINK_NOFOLLOW), st);
	return r;
}

int hooked_stat(const char *path, struct stat *st, bool follow)
{
	return stat_path(AT_FDCWD, path, st, follow ? 0 : AT_SYMLINK_NOFOLLOW);
}

EXPORT int stat(const char *path, struct stat *st)
{
	return stat_path(AT_FDCWD, path, st, 0);
}

EXPORT int stat64(const char *path, struct stat64 *st)
{
	return stat_path(AT_FDCWD, path, (struct stat *)(void *)st, 0);
}

EXPORT int lstat(const char *path, struct stat *st)
{
	return stat_path(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int lstat64(const char *path, struct stat64 *st)
{
	return stat_path(AT_FDCWD, path, (struct stat *)(void *)st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int fstat(int fd, struct stat *st)
{
	return stat_fd(fd, st);
}

EXPORT int fstat64(int fd, struct stat64 *st)
{
	return stat_fd(fd, (struct stat *)(void *)st);
}

EXPORT int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return stat_path(dirfd, path, st, flags);
}

EXPORT int fstatat64(int dirfd, const char *path, struct stat64 *st, int flags)
{
	return stat_path(dirfd, path, (struct stat *)(void *)st, flags);
}

/* The forms of programs that were linked before glibc 2.33. Versions 0 and 1 are the same structure here. */
EXPORT int __xstat(int version, const char *path, struct stat *st)
{
	return (unsigned int)version > 1 ? REAL(__xstat)(version, path, st)
					 : stat_path(AT_FDCWD, path, st, 0);
}

EXPORT int __xstat64(int version, const char *path, struct stat64 *st)
{
	return __xstat(version, path, (struct stat *)(void *)st);
}

EXPORT int __lxstat(int version, const char *path, struct stat *st)
{
	if ((unsigned int)version > 1)
		return REAL(__lxstat)(version, path, st);
	return stat_path(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

EXPORT int __lxstat64(int version, const char *path, struct stat64 *st)
{
	return __lxstat(version, path, (struct stat *)(void *)st);
}

EXPORT int __fxstat(int version, int fd, struct stat *st)
{
	return (unsigned int)version > 1 ? REAL(__fxstat)(version, fd, st) : stat_fd(fd, st);
}

EXPORT int __fxstat64(int version, int fd, struct stat64 *st)
{
	return __fxstat(version, fd, (struct stat *)(void *)st);
}

EXPORT int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
	if ((unsigned int)version > 1)
		return REAL(__fxstatat)(version, dirfd, path, st, flags);
	return stat_path(dirfd, path, st, flags);
}

EXPORT int __fxstatat64(int version, int dirfd, const char *path, struct stat64 *st, int flags)
{
	return __fxstatat(version, dirfd, path, (struct stat *)(void *)st, flags);
}

/* Take over into stx what is different about st. */
static void mend_statx(struct statx *stx, const struct stat *st)
{
	stx->stx_mode = (uint16_t)st->st_mode;
	stx->stx_nlink = (uint32_t)st->st_nlink;
	stx->stx_ino = st->st_ino;
	stx->stx_size = (uint64_t)st->st_size;
	stx->stx_blocks = (uint64_t)st->st_blocks;
	stx->stx_rdev_major = major(st->st_rdev);
	stx->stx_rdev_minor = minor(st->st_rdev);
	stx->stx_dev_major = major(st->st_dev);
	stx->stx_dev_minor = minor(st->st_dev);
}

static int statx_any(int dirfd, const char *path, int flags, unsigned int mask, struct statx *stx)
{
	bool empty = (flags & AT_EMPTY_PATH) && path && !*path;
	int r, fd = flags & AT_SYMLINK_NOFOLLOW ? -1 : path_own_fd(path, "fd");
	const char *host = NULL;
	struct path_buf buf;
	struct stat st;

	if (!empty && fd < 0)
		host = path_to_host(dirfd, path, &buf);
	if (host)
		dirfd = AT_FDCWD;
	r = REAL(statx)(dirfd, host ? host : path, flags, mask, stx);
	if (r < 0 || likely(!session.on))
		return r;
	if (empty)
		fd = dirfd;
	if (fdtable_is_ours(fd) ||
	    (S_ISSOCK(stx->stx_mode) && makedev(stx->stx_dev_major, stx->stx_dev_minor) == session.dev)) {
		r = stat_path(dirfd, host ? host : path, &st, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
		if (!r)
			mend_statx(stx, &st);
	}
	return r;
}

EXPORT int statx(int dirfd, const char *restrict path, int flags, unsigned int mask,
		 struct statx *restrict stx)
{
	return statx_any(dirfd, path, flags, mask, stx);
}

static int access_any(int dirfd, const char *path, int mode, int flags)
{
	struct path_buf buf;
	const char *host = path_to_host(dirfd, path, &buf);

	if (host)
		dirfd = AT_FDCWD;
	return REAL(faccessat)(dirfd, host ? host : path, mode, flags);
}

EXPORT int access(const char *path, int mode)
{
	struct path_buf buf;
	const char *host = path_to_host(AT_FDCWD, path, &buf);

	return REAL(access)(host ? host : path, mode);
}

EXPORT int faccessat(int dirfd, const char *path, int mode, int flags)
{
	return access_any(dirfd, path, mode, flags);
}

EXPORT int euidaccess(const char *path, int mode)
{
	return access_any(AT_FDCWD, path, mode, AT_EACCESS);
}

EXPORT int eaccess(const char *path, int mode)
{
	return access_any(AT_FDCWD, path, mode, AT_EACCESS);
}
