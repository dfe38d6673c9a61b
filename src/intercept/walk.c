/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: walks of a tree that the C library does by itself. A walk that begins in the session is done there,
 * and the program's function is called with its own paths.
 *
 * The function in use is kept per thread, and put back after a walk within a walk.
 */
#include "intercept/intercept.h"

struct walk {
	int (*ftw)(const char *path, const struct stat *st, int type);
	int (*nftw)(const char *path, const struct stat *st, int type, struct FTW *ftw);
};

static __thread struct walk walking;

/* stat() as the program has it; only nodes differ from what the walk found. */
static const struct stat *mend(const char *name, const struct stat *st, int type, struct stat *copy)
{
	if (type == FTW_NS || !S_ISSOCK(st->st_mode))
		return st;
	*copy = *st;
	node_stat(name, copy);
	return copy;
}

static int call_ftw(const char *path, const struct stat *st, int type)
{
	const char *name = path_to_program(path);
	struct stat copy;

	if (!name)
		return walking.ftw(path, st, type);
	return walking.ftw(name, mend(name, st, type, &copy), type);
}

static int call_nftw(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *name = path_to_program(path);
	struct FTW moved = *ftw;
	struct stat copy;

	if (!name)
		return walking.nftw(path, st, type, ftw);
	moved.base -= (int)(name - path);
	return walking.nftw(name, mend(name, st, type, &copy), type, &moved);
}

/* The 64-bit forms differ in the name of the structure only. */
typedef int (*ftw_fn)(const char *path, const struct stat *st, int type);
typedef int (*nftw_fn)(const char *path, const struct stat *st, int type, struct FTW *ftw);

static int walk_host(const char *host, const struct walk *how, int nr_fds, int flags)
{
	struct walk saved = walking;
	int r;

	walking = *how;
	r = how->ftw ? REAL(ftw)(host, call_ftw, nr_fds) : REAL(nftw)(host, call_nftw, nr_fds, flags);
	walking = saved;
	return r;
}

EXPORT int ftw(const char *path, ftw_fn fn, int nr_fds)
{
	struct path_buf buf;
	const char *host = path_to_host(AT_FDCWD, path, &buf);

	return host ? walk_host(host, &(struct walk){ .ftw = fn }, nr_fds, 0) : REAL(ftw)(path, fn, nr_fds);
}

EXPORT int ftw64(const char *path, __ftw64_func_t fn, int nr_fds)
{
	return ftw(path, (ftw_fn)(void *)fn, nr_fds);
}

EXPORT int nftw(const char *path, nftw_fn fn, int nr_fds, int flags)
{
	struct path_buf buf;
	const char *host = path_to_host(AT_FDCWD, path, &buf);

	return host ? walk_host(host, &(struct walk){ .nftw = fn }, nr_fds, flags)
		    : REAL(nftw)(path, fn, nr_fds, flags);
}

EXPORT int nftw64(const char *path, __nftw64_func_t fn, int nr_fds, int flags)
{
	return nftw(path, (nftw_fn)(void *)fn, nr_fds, flags);
}
