/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: directories. They are real ones in the session directory, so that only their names need translation,
 * and the type of a node when it is asked for here.
 *
 * The C library calls itself without passing by our hooks: scandir() and glob() need their own. glob() is
 * given our hooks as the functions that it walks directories with.
 */
#include "intercept/intercept.h"

#include <string.h>

/* What a socket in dir stands for: a device node, a file of sysfs; or it is one, of the host's. */
static unsigned char type_in(DIR *dir)
{
	struct path_buf buf;

	if (!path_of_fd(dirfd(dir), &buf))
		return DT_SOCK;
	return buf.text[1] == 's' ? DT_REG : DT_CHR;
}

/* The host's /dev has an entry that is hidden by --kvm=off. */
static bool is_hidden_kvm(void)
{
	int saved_errno = errno;
	struct path_buf buf;
	struct stat st = { 0 };
	const char *host = path_to_host(AT_FDCWD, "/dev/kvm", &buf);
	bool hidden = host && REAL(lstat)(host, &st);

	errno = saved_errno;
	return hidden;
}

static bool is_dev(DIR *dir)
{
	int saved_errno = errno;
	char link[32], name[8] = "";
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd(dir));
	n = REAL(readlink)(link, name, sizeof(name));
	errno = saved_errno;
	return n == 4 && !memcmp(name, "/dev", 4);
}

static inline bool hides(DIR *dir, const char *name)
{
	return unlikely(!strcmp(name, "kvm")) && session.on && is_dev(dir) && is_hidden_kvm();
}

EXPORT DIR *opendir(const char *path)
{
	struct path_buf buf;
	const char *host = path_to_host(AT_FDCWD, path, &buf);

	return REAL(opendir)(host ? host : path);
}

EXPORT struct dirent *readdir(DIR *dir)
{
	struct dirent *entry = REAL(readdir)(dir);

	if (entry && hides(dir, entry->d_name))
		entry = REAL(readdir)(dir);
	if (entry && unlikely(entry->d_type == DT_SOCK) && session.on)
		entry->d_type = type_in(dir);
	return entry;
}

EXPORT struct dirent64 *readdir64(DIR *dir)
{
	struct dirent64 *entry = REAL(readdir64)(dir);

	if (entry && hides(dir, entry->d_name))
		entry = REAL(readdir64)(dir);
	if (entry && unlikely(entry->d_type == DT_SOCK) && session.on)
		entry->d_type = type_in(dir);
	return entry;
}

#define READDIR_R(name, type)                                                                                \
	EXPORT int name(DIR *restrict dir, struct type *restrict entry, struct type **restrict result)       \
	{                                                                                                    \
		int r = REAL(name)(dir, entry, result);                                                      \
                                                                                                             \
		if (!r && *result && hides(dir, (*result)->d_name))                                          \
			r = REAL(name)(dir, entry, result);                                                  \
                                                                                                             \
		if (!r && *result && (*result)->d_type == DT_SOCK && session.on)                             \
			(*result)->d_type = type_in(dir);                                                    \
		return r;                                                                                    \
	}

READDIR_R(readdir_r, dirent)
READDIR_R(readdir64_r, dirent64)

/* The program's filter sees an entry before scandir() keeps a copy of it. Per thread, and put back after. */
#define SCANDIR(name, type)                                                                                  \
	static __thread int (*name##_filter)(const struct type *);                                           \
	static __thread unsigned char name##_node; /* what a socket stands for */                            \
                                                                                                             \
	static int name##_mend(const struct type *entry)                                                     \
	{                                                                                                    \
		if (entry->d_type == DT_SOCK)                                                                \
			((struct type *)(uintptr_t)entry)->d_type = name##_node;                             \
		return !name##_filter || name##_filter(entry);                                               \
	}                                                                                                    \
                                                                                                             \
	EXPORT int name(const char *restrict path, struct type ***restrict list,                             \
			int (*filter)(const struct type *),                                                  \
			int (*compare)(const struct type **, const struct type **))                          \
	{                                                                                                    \
		struct path_buf buf;                                                                         \
		const char *host = path_to_host(AT_FDCWD, path, &buf), *own;                                 \
		unsigned char node = name##_node;                                                            \
		int (*saved)(const struct type *) = name##_filter;                                           \
		int n;                                                                                       \
                                                                                                             \
		if (!host)                                                                                   \
			return REAL(name)(path, list, filter, compare);                                      \
		own = path_to_program(host);                                                                 \
		name##_node = own && own[1] == 's' ? DT_REG : DT_CHR;                                        \
		name##_filter = filter;                                                                      \
		n = REAL(name)(host, list, name##_mend, compare);                                            \
		name##_filter = saved;                                                                       \
		name##_node = node;                                                                          \
		return n;                                                                                    \
	}

SCANDIR(scandir, dirent)
SCANDIR(scandir64, dirent64)

static void *glob_opendir(const char *path)
{
	return opendir(path);
}

static struct dirent *glob_readdir(void *dir)
{
	return readdir(dir);
}

static struct dirent64 *glob_readdir64(void *dir)
{
	return readdir64(dir);
}

static void glob_closedir(void *dir)
{
	closedir(dir);
}

static int glob_stat(const char *restrict path, struct stat *restrict st)
{
	return hooked_stat(path, st, true);
}

static int glob_lstat(const char *restrict path, struct stat *restrict st)
{
	return hooked_stat(path, st, false);
}

static int glob_stat64(const char *restrict path, struct stat64 *restrict st)
{
	return hooked_stat(path, (struct stat *)(void *)st, true);
}

static int glob_lstat64(const char *restrict path, struct stat64 *restrict st)
{
	return hooked_stat(path, (struct stat *)(void *)st, false);
}

#define GLOB(name, type, readdir_fn, stat_fn, lstat_fn)                                                      \
	EXPORT int name(const char *restrict pattern, int flags, int (*on_error)(const char *, int),         \
			type *restrict out)                                                                  \
	{                                                                                                    \
		int r;                                                                                       \
                                                                                                             \
		if (!session.on || (flags & GLOB_ALTDIRFUNC))                                                \
			return REAL(name)(pattern, flags, on_error, out);                                    \
		out->gl_opendir = glob_opendir;                                                              \
		out->gl_readdir = readdir_fn;                                                                \
		out->gl_closedir = glob_closedir;                                                            \
		out->gl_stat = stat_fn;                                                                      \
		out->gl_lstat = lstat_fn;                                                                    \
		r = REAL(name)(pattern, flags | GLOB_ALTDIRFUNC, on_error, out);                             \
		out->gl_flags &= ~GLOB_ALTDIRFUNC;                                                           \
		return r;                                                                                    \
	}

GLOB(glob, glob_t, glob_readdir, glob_stat, glob_lstat)
GLOB(glob64, glob64_t, glob_readdir64, glob_stat64, glob_lstat64)
