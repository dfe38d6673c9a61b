/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device nodes. In the session directory a node is a socket: opening it fails with ENXIO by whatever road a
 * program came (a translated path, a link, a directory descriptor), and only then do we ask which one it is.
 */
#include "base/why.h"
#include "file/fdtable.h"
#include "intercept/control.h"
#include "intercept/intercept.h"
#include "intercept/section.h"
#include "intercept/share.h"
#include "machine/machine.h"

#include <string.h>
#include <sys/sysmacros.h>

/* Files of sysfs that do something when they are written are nodes, too. */

/* What F_GETFL says of the flags that a node was opened with, beside the access mode. */
#define STATUS_FLAGS (O_NONBLOCK | O_APPEND)

static bool fd_node_name(int fd, struct path_buf *buf)
{
	struct stat st;

	if (!path_of_fd(fd, buf))
		return false;
	if (!strncmp(buf->text, "/dev/", 5))
		return true;
	return !strncmp(buf->text, "/sys/", 5) && !REAL(fstat)(fd, &st) && S_ISSOCK(st.st_mode);
}

bool node_name(int dirfd, const char *path, bool follow, struct path_buf *buf)
{
	int saved_errno = errno;
	bool is_node;
	int fd;

	if (!*path) {
		is_node = fd_node_name(dirfd, buf);
	} else {
		fd = REAL(openat)(dirfd, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
		is_node = fd >= 0 && fd_node_name(fd, buf);
		if (fd >= 0)
			REAL(close)(fd);
	}
	errno = saved_errno;
	return is_node;
}

static int open_here(const char *name, int oflags)
{
	struct uvfio_machine *machine = intercept_machine();
	struct file *file;
	int rc;

	if (!machine)
		return -ENXIO;
	control_resume();
	hold_reap();
	rc = machine_open(machine, name, oflags, &file);
	return rc ? rc : fdtable_install(file, oflags);
}

static void trace_open(const char *name, int rc)
{
	char error[256];

	if (rc >= 0)
		trace_emit(TRACE_FILE, NULL, "open", 0, "%s = %d", name, rc);
	else
		trace_emit(TRACE_FILE, NULL, "open", 0, "%s = -1 %s", name,
			   why_error(rc, error, sizeof(error)));
}

int node_open(const char *name, int oflags)
{
	int rc;

	section_begin();
	if (trace_on(TRACE_FILE))
		why_clear();
	if (!remote_open(name, oflags, &rc))
		rc = open_here(name, oflags);
	section_end();
	if (rc >= 0 && (oflags & STATUS_FLAGS))
		fcntl(rc, F_SETFL, fcntl(rc, F_GETFL) | (oflags & STATUS_FLAGS));
	if (trace_on(TRACE_FILE))
		trace_open(name, rc);
	return rc;
}

void node_stat(const char *name, struct stat *st)
{
	struct uvfio_machine *machine = intercept_machine();
	mode_t mode;
	dev_t rdev;

	if (!machine || machine_node_rdev(machine, name, &rdev, &mode))
		return;
	st->st_mode = mode & S_IFMT ? mode : S_IFCHR | mode;
	st->st_rdev = rdev;
	st->st_size = S_ISREG(st->st_mode) ? (off_t)UVFIO_PAGE_SIZE : 0; /* a file of sysfs */
	st->st_blocks = 0;
}

void node_inherit(int fd)
{
	char link[32], name[256];
	struct file *file;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = REAL(readlink)(link, name, sizeof(name) - 1);
	if (n < 0)
		return;
	name[n] = 0;
	if (!machine_inherits(name) || fdtable_is_ours(fd) || fdtable_adopt(fd) || !intercept_machine())
		return;
	section_begin();
	if (!machine_inherit(intercept_machine(), fd, name, &file))
		fdtable_set(fd, file);
	section_end();
}
