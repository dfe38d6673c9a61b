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
 * - A hook calls the core in a section (section.h): a handler of the program waits until it is over.
 * - A hook does not allocate for a path or a descriptor that is not ours.
 *
 * Vocabulary: the program's path is what it says ("/dev/vfio/vfio"), the host path is the real file in the
 * session directory that stands for it (SESSION/dev/vfio/vfio). A node is a path that the machine opens
 * itself.
 */
#ifndef UVFIO_INTERCEPT_INTERCEPT_H
#define UVFIO_INTERCEPT_INTERCEPT_H

#include "base/private_fd.h"
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

/* The same after calls that may have changed errno on their way to success. saved: what it was before. */
static inline long ret_errno_or(long r, int saved)
{
	errno = r < 0 ? (int)-r : saved;
	return r < 0 ? -1 : r;
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
 * Path translation (paths.c).
 *
 * path_to_host() looks at a path that the program gave, relative to dirfd (AT_FDCWD, or a directory). NULL:
 * it is not ours, use it as it is (errno untouched). Otherwise the absolute path to use instead, in buf.
 */
struct path_buf {
	char text[PATH_MAX];
};

bool path_may_be_ours(int dirfd, const char *path); /* cheap; never wrong in saying false */
const char *path_to_host_slow(int dirfd, const char *path, struct path_buf *buf);

static inline const char *path_to_host(int dirfd, const char *path, struct path_buf *buf)
{
	if (likely(!session.on || !path || !path_may_be_ours(dirfd, path)))
		return NULL;
	return path_to_host_slow(dirfd, path, buf);
}

/* A host path as the program knows it: a pointer into it, or NULL when it is not inside the session. */
const char *path_to_program(const char *host);

/* The program's path of what fd is open on: true, with *buf the path, when that is in the session. errno
 * stays.
 */
bool path_of_fd(int fd, struct path_buf *buf);

/* The working directory has changed (or the program starts): relative paths may mean something else now. */
void path_note_cwd(void);

/* N when path names a descriptor of ours in this process ("/proc/self/fd/N", ...), else -1. dir: "fd",
 * "fdinfo". */
int path_own_fd_slow(const char *path, const char *dir);

static inline int path_own_fd(const char *path, const char *dir)
{
	if (likely(!session.on || !path || path[0] != '/' || (path[1] != 'p' && path[1] != 'd')))
		return -1;
	return path_own_fd_slow(path, dir);
}

/*
 * Nodes (nodes.c). The program's path of the node that a socket of the session stands for: true, with *buf
 * the path, when what dirfd and path name (follow: through a final link) is one.
 */
bool node_name(int dirfd, const char *path, bool follow, struct path_buf *buf);
/* Open the node: a descriptor, or -errno. */
int node_open(const char *name, int oflags);
/* A descriptor that the program before this one in this process has left open: is it of a file of sysfs? */
void node_inherit(int fd);
/* Make what stat() said about a socket of the session what it would say about the node. */
void node_stat(const char *name, struct stat *st);

/* What follows "/proc/self/", or the same with our process id, in path; NULL: it is another path. */
const char *path_in_own_proc(const char *path);

/* The status file of a process to which pinned memory is charged (status.c): a descriptor; -1: path is
 * another, or nothing is charged. errno stays. */
int status_open(const char *path, int oflags);

/* A file of the kernel's failure injection (failnth.c). A descriptor; -ENOENT: path is none; -errno. */
int failnth_open(const char *path, int oflags);

/* What /proc/self/fdinfo/N says about a descriptor of ours, as an open file (fdinfo.c). A descriptor, or -1
 * and errno. */
int fdinfo_open(int fd, int oflags);

/* open(), dup3(), and stat() (follow) or lstat(), as the program has them, for the files of this directory
 * that need those. */
int hooked_open(const char *path, int flags);
int hooked_dup3(int fd, int to, int flags);
int hooked_stat(const char *path, struct stat *st, bool follow);
/* Why what is not there at host cannot be made there: nothing can, or its directory is not there either. */
int make_errno(const char *host);

/*
 * True when this is not the process whose state lies in this memory: the child of vfork(), which must not
 * touch it, and that of a raw clone(). Costs a system call.
 */
bool intercept_foreign_process(void);

/* The process ends: what its streams still have for files of ours is written (stream.c). No other stream is
 * waited for. */
void streams_end(void);

/* For vfio_group_claim (claim.c). */
int claim_group(unsigned int group, bool noiommu, bool claim);
void claims_forked(void);
void claims_forget(void); /* those of a parent that is gone */

#endif
