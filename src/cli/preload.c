/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the preload library is: next to the command, installed or in the build tree. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libuvfio-preload.so"

#ifndef UVFIO_LIBDIR
#define UVFIO_LIBDIR "lib"
#endif

/* The directory of this very command. */
static int own_directory(char dir[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);
	char *slash;

	if (n < 0)
		return -errno;
	dir[n] = 0;
	slash = strrchr(dir, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	return 0;
}

/* Is the library at path? Then path becomes its canonical form. */
static bool found(char path[PATH_MAX])
{
	char real[PATH_MAX];

	if (access(path, R_OK) || !realpath(path, real))
		return false;
	strcpy(path, real);
	return true;
}

int preload_find(char path[PATH_MAX])
{
	static const char *const places[] = {
		"../lib/uvfio/" LIBRARY, /* PREFIX/bin/uvfio */
		"../" UVFIO_LIBDIR
		"/uvfio/" LIBRARY,       /* the same, where libraries have a directory per architecture */
		"../intercept/" LIBRARY, /* the build tree */
	};
	const char *given = getenv("UVFIO_PRELOAD");
	char dir[PATH_MAX];

	if (given && *given) {
		if ((size_t)snprintf(path, PATH_MAX, "%s", given) < PATH_MAX && found(path))
			return 0;
		complain("UVFIO_PRELOAD: %s cannot be read: %s", given, strerror(errno));
		return EXIT_ERROR;
	}
	if (own_directory(dir)) {
		complain("/proc/self/exe cannot be read: set UVFIO_PRELOAD to the path of " LIBRARY);
		return EXIT_ERROR;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++)
		if ((size_t)snprintf(path, PATH_MAX, "%s/%s", dir, places[i]) < PATH_MAX && found(path))
			return 0;
	complain("the preload library is missing: expected %s/../lib/uvfio/" LIBRARY
		 ": install uvfio again, or set UVFIO_PRELOAD to its path",
		 dir);
	return EXIT_ERROR;
}
