/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the interposed calls share: rules, session, machine, paths, private descriptors.
 *
 * Rules for code in another process
 * - Only interposed functions are exported (EXPORT); everything else is hidden.
 * - Our own code never meets our own hooks. The library is linked with --wrap for each function in
 *   own_calls.c: `open` in the core, or in a file of this directory that does not define it, is the C
 * library's. A file that defines a hook calls the real one as REAL(name). There is therefore no "inside"
 * flag.
 * - Nothing happens before the program touches something of ours: without UVFIO_SESSION every hook is a jump.
 * - errno is the program's: untouched on success, set on failure (ret_errno).
 * - No hook holds a lock while it calls the core, the core holds none while it calls the program.
 * - A hook does not allocate for a path or a descriptor that is not ours.
 *
 * Vocabulary: the program's path is what it says ("/dev/vfio/vfio"), the host path is the real file in the
 * session directory that stands for it (SESSION/dev/vfio/vfio). A node is a path that the machine opens
 * itself.
 */
#ifndef UVFIO_INTERCEPT_INTERCEPT_H
#define UVFIO_INTERCEPT_INTERCEPT_H

#include "intercept/real.h"

#include <limits.h>

struct uvfio_machine;
struct file;

#define EXPORT __attribute__((visibility("default")))

/* A result of the core (0, a value, or -errno) as the C library returns it. */
static inline long ret_errno(long r)
{
	if (unlikely(r < 0)) {
		errno = (int)-r;
		return -1;
	}
	return r;
}

/* The session, from the environment. on is false when there is none; it never changes once the program runs.
 */
struct session {
	bool on;
	char dir[PATH_MAX]; /* canonical, without a final slash */
	size_t dir_len;
	dev_t dev; /* of the file system that holds it */
};

extern struct session session;

/* The machine of this process, made at the first call. NULL (and one line on stderr, once) when it cannot be
 * made. */
struct uvfio_machine *intercept_machine(void);
/* The same without making it: NULL when nothing has needed it yet. */
struct uvfio_machine *intercept_machine_if_made(void);

/*
 * Path translation.
 *
 * path_to_host() looks at a path that the program gave, relative to dirfd (AT_FDCWD, or a directory): NULL
 * when it is not ours (use it as it is; errno untouched), otherwise buf->host, with buf->name (the program's
 * absolute path, normalised) set too.
 */
struct path_buf {
	char host[PATH_MAX];
	const char *name; /* points into host, behind the session's directory */
};

const char *path_to_host_slow(int dirfd, const char *path, struct path_buf *buf);
bool path_may_be_ours(const char *path); /* cheap; never wrong in saying false */

static inline const char *path_to_host(int dirfd, const char *path, struct path_buf *buf)
{
	if (likely(!session.on || !path || !path_may_be_ours(path)))
		return NULL;
	return path_to_host_slow(dirfd, path, buf);
}

/* A path in the session directory as the program knows it: a pointer into host, or NULL when it is not
 * inside. */
const char *path_to_program(const char *host);

/*
 * Private descriptors: of ours, not the program's. They have high numbers, close on exec, and survive a
 * program that closes everything; it cannot dup over them.
 */
int private_fd(
	int fd); /* moves fd (closing the old number) and returns the private number, or -errno (fd closed) */
void private_fd_close(int fd);
bool private_fd_is(int fd);

/* Open files of ours that the process has; used to decide what fork has to do. */
bool intercept_has_open_files(void);

#endif
