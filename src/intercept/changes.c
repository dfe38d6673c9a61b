/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: calls that make and remove names. The host's own directories are never touched. /dev in the session
 * is the user's own, for as long as the session lasts; in sysfs nobody makes or removes a name.
 */
#include "intercept/intercept.h"

/* Would sysfs refuse? Then with errno. */
static bool refused(const char *host, bool makes)
{
	const char *name = path_to_program(host);
	struct stat st;
	bool there;

	if (!name || name[1] != 's')
		return false;
	there = !REAL(lstat)(host, &st);
	if (makes)
		errno = there ? EEXIST : EPERM;
	else if (there)
		errno = EPERM;
	return true;
}

#define CHANGES(name, dir, makes, params, args)                                                              \
	EXPORT int name params                                                                               \
	{                                                                                                    \
		struct path_buf buf;                                                                         \
		const char *host = path_to_host(dir, path, &buf);                                            \
                                                                                                             \
		if (host && refused(host, makes))                                                            \
			return -1;                                                                           \
		if (host)                                                                                    \
			path = host;                                                                         \
		return REAL(name) args;                                                                      \
	}

CHANGES(mkdir, AT_FDCWD, true, (const char *path, mode_t mode), (path, mode))
CHANGES(mkdirat, dirfd, true, (int dirfd, const char *path, mode_t mode), (dirfd, path, mode))
CHANGES(mknod, AT_FDCWD, true, (const char *path, mode_t mode, dev_t dev), (path, mode, dev))
CHANGES(mknodat, dirfd, true, (int dirfd, const char *path, mode_t mode, dev_t dev), (dirfd, path, mode, dev))
CHANGES(symlink, AT_FDCWD, true, (const char *to, const char *path), (to, path))
CHANGES(symlinkat, dirfd, true, (const char *to, int dirfd, const char *path), (to, dirfd, path))
CHANGES(unlink, AT_FDCWD, false, (const char *path), (path))
CHANGES(unlinkat, dirfd, false, (int dirfd, const char *path, int flags), (dirfd, path, flags))
CHANGES(rmdir, AT_FDCWD, false, (const char *path), (path))
CHANGES(remove, AT_FDCWD, false, (const char *path), (path))

static bool in_session(const char *host)
{
	return host && path_to_program(host);
}

/* Both paths in the session, or neither: else they are on two file systems. */
#define MOVES(name, dir, to_dir, params, args)                                                               \
	EXPORT int name params                                                                               \
	{                                                                                                    \
		struct path_buf buf, to_buf;                                                                 \
		const char *host = path_to_host(dir, path, &buf);                                            \
		const char *to_host = path_to_host(to_dir, to, &to_buf);                                     \
                                                                                                             \
		if (in_session(host) != in_session(to_host))                                                 \
			return (int)ret_errno(-EXDEV);                                                       \
		if (in_session(host) && (refused(host, false) || refused(to_host, true)))                    \
			return -1;                                                                           \
		if (host)                                                                                    \
			path = host;                                                                         \
		if (to_host)                                                                                 \
			to = to_host;                                                                        \
		return REAL(name) args;                                                                      \
	}

MOVES(rename, AT_FDCWD, AT_FDCWD, (const char *path, const char *to), (path, to))
MOVES(renameat, dirfd, to_dirfd, (int dirfd, const char *path, int to_dirfd, const char *to),
      (dirfd, path, to_dirfd, to))
MOVES(renameat2, dirfd, to_dirfd,
      (int dirfd, const char *path, int to_dirfd, const char *to, unsigned int flags),
      (dirfd, path, to_dirfd, to, flags))
MOVES(link, AT_FDCWD, AT_FDCWD, (const char *path, const char *to), (path, to))
MOVES(linkat, dirfd, to_dirfd, (int dirfd, const char *path, int to_dirfd, const char *to, int flags),
      (dirfd, path, to_dirfd, to, flags))
