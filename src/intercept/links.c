/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: links, resolved paths and the working directory. What comes back from the kernel is a host path; the
 * program gets to see its own.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"

#include <stdlib.h>
#include <string.h>

static ssize_t give(const char *text, char *buf, size_t len)
{
	size_t n = MIN(strlen(text), len);

	memcpy(buf, text, n);
	return (ssize_t)n;
}

/* A link to a host path, read again as a whole and cut to what the program knows. */
static __attribute__((noinline)) ssize_t read_host_link(int dirfd, const char *path, char *buf, size_t len)
{
	char whole[PATH_MAX + 1];
	const char *name;
	ssize_t n = REAL(readlinkat)(dirfd, path, whole, sizeof(whole) - 1);

	if (n < 0)
		return n;
	whole[n] = 0;
	name = path_to_program(whole);
	return give(name ? name : whole, buf, len);
}

static ssize_t readlink_any(int dirfd, const char *path, char *buf, size_t len)
{
	int fd = path_own_fd(path, "fd");
	struct file *file = fd >= 0 ? fdtable_get(fd) : NULL;
	struct path_buf path_buf;
	const char *host;
	ssize_t n;

	if (unlikely(file) && len) {
		n = give(file->path, buf, len);
		file_put(file);
		return n;
	}
	if (unlikely(file))
		file_put(file);
	host = path_to_host(dirfd, path, &path_buf);
	if (host) {
		dirfd = AT_FDCWD;
		path = host;
	}
	n = REAL(readlinkat)(dirfd, path, buf, len);
	if (unlikely(n > 0 && session.on && buf[0] == '/' &&
		     !memcmp(buf, session.dir, MIN((size_t)n, session.dir_len))))
		return read_host_link(dirfd, path, buf, len);
	return n;
}

EXPORT ssize_t readlink(const char *restrict path, char *restrict buf, size_t len)
{
	return readlink_any(AT_FDCWD, path, buf, len);
}

EXPORT ssize_t readlinkat(int dirfd, const char *restrict path, char *restrict buf, size_t len)
{
	return readlink_any(dirfd, path, buf, len);
}

EXPORT ssize_t __readlink_chk(const char *path, char *buf, size_t len, size_t buf_len)
{
	return len > buf_len ? REAL(__readlink_chk)(path, buf, len, buf_len)
			     : readlink_any(AT_FDCWD, path, buf, len);
}

EXPORT ssize_t __readlinkat_chk(int dirfd, const char *path, char *buf, size_t len, size_t buf_len)
{
	return len > buf_len ? REAL(__readlinkat_chk)(dirfd, path, buf, len, buf_len)
			     : readlink_any(dirfd, path, buf, len);
}

/* Cut a host path in place. */
static char *as_program(char *path)
{
	const char *name = path ? path_to_program(path) : NULL;

	if (unlikely(name))
		memmove(path, name, strlen(name) + 1);
	return path;
}

/* /proc/self/fd/N of ours: a node has a path, anything else has none. */
static char *resolve_own_fd(int fd, char *resolved)
{
	struct file *file = fdtable_get(fd);
	char *path = NULL;

	if (file && file->path[0] == '/')
		path = resolved ? strcpy(resolved, file->path) : strdup(file->path);
	else
		errno = ENOENT;
	if (file)
		file_put(file);
	return path;
}

EXPORT char *realpath(const char *restrict path, char *restrict resolved)
{
	int fd = path_own_fd(path, "fd");
	struct path_buf buf;
	const char *host;

	if (unlikely(fd >= 0))
		return resolve_own_fd(fd, resolved);
	host = path_to_host(AT_FDCWD, path, &buf);
	return as_program(REAL(realpath)(host ? host : path, resolved));
}

EXPORT char *__realpath_chk(const char *path, char *resolved, size_t resolved_len)
{
	return resolved_len < PATH_MAX ? REAL(__realpath_chk)(path, resolved, resolved_len)
				       : realpath(path, resolved);
}

EXPORT char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}

EXPORT char *getcwd(char *buf, size_t len)
{
	char whole[PATH_MAX];
	char *cwd = REAL(getcwd)(buf, len);

	if (cwd || likely(!session.on) || errno != ERANGE || !REAL(getcwd)(whole, sizeof(whole)))
		return as_program(cwd);
	/* The host path was too long for buf; the program's may fit. */
	if (!path_to_program(whole) || strlen(as_program(whole)) >= len) {
		errno = ERANGE;
		return NULL;
	}
	return buf ? strcpy(buf, whole) : strdup(whole);
}

EXPORT char *__getcwd_chk(char *buf, size_t len, size_t buf_len)
{
	return len > buf_len ? REAL(__getcwd_chk)(buf, len, buf_len) : getcwd(buf, len);
}

EXPORT char *get_current_dir_name(void)
{
	return as_program(REAL(get_current_dir_name)());
}

EXPORT int chdir(const char *path)
{
	struct path_buf buf;
	const char *host = path_to_host(AT_FDCWD, path, &buf);
	int r = REAL(chdir)(host ? host : path);

	if (!r && session.on)
		path_note_cwd();
	return r;
}

EXPORT int fchdir(int fd)
{
	int r = REAL(fchdir)(fd);

	if (!r && session.on)
		path_note_cwd();
	return r;
}
