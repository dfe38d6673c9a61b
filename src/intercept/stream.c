/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: standard streams. A stream on a node has one of our descriptors below it: fileno() and ioctl() work
 * on it. What the C library itself reads from it goes to the kernel, which has nothing there. What it writes
 * lands in the descriptor's memory; fflush() and fclose() have it carried out where that is a file of sysfs.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/section.h"
#include "machine/machine.h"

#include <string.h>

static void close_in_table(int fd)
{
	section_begin();
	fdtable_close(fd);
	section_end();
}

static int mode_flags(const char *mode)
{
	int flags = *mode == 'r' ? O_RDONLY : O_WRONLY;

	if (strchr(mode, '+'))
		flags = O_RDWR;
	return flags | (strchr(mode, 'e') ? O_CLOEXEC : 0);
}

static FILE *open_node_stream(const char *path, const char *mode)
{
	FILE *stream;
	int fd;

	fd = hooked_open(path, mode_flags(mode));
	if (fd < 0)
		return NULL;
	stream = fdopen(fd, mode);
	if (!stream) {
		close_in_table(fd);
		REAL(close)(fd);
	}
	return stream;
}

/* Nothing can be made in these trees. */
static bool would_make(const char *host, const char *mode)
{
	int saved_errno = errno;

	if (*mode == 'r' || !REAL(access)(host, F_OK) || errno != ENOENT) {
		errno = saved_errno;
		return false;
	}
	errno = make_errno(host);
	return true;
}

static FILE *open_status_stream(const char *path, const char *mode)
{
	int fd = status_open(path, mode_flags(mode));
	FILE *stream = fd >= 0 ? fdopen(fd, mode) : NULL;

	if (fd >= 0 && !stream)
		REAL(close)(fd);
	return stream;
}

static FILE *open_stream(FILE *(*real)(const char *, const char *), const char *path, const char *mode)
{
	struct path_buf buf;
	const char *host = path_to_host(AT_FDCWD, path, &buf);
	int saved_errno = errno;
	FILE *stream;

	if (host && would_make(host, mode))
		return NULL;
	if (session.on && path && !strncmp(path, "/proc/", 6) && (stream = open_status_stream(path, mode)))
		return stream;
	stream = real(host ? host : path, mode);
	if (unlikely(!stream && errno == ENXIO && session.on)) {
		errno = saved_errno;
		return open_node_stream(path, mode);
	}
	return stream;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	return open_stream(&REAL(fopen), path, mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
	return open_stream(&REAL(fopen64), path, mode);
}

/* What the C library has written to the stream's descriptor is carried out. 0 or -errno. */
static int flush_to_file(int fd)
{
	struct file *file = fdtable_get(fd);
	int rc;

	if (!file)
		return 0;
	section_begin();
	rc = machine_attribute_flush(file);
	file_put(file);
	section_end();
	if (rc)
		REAL(lseek64)(fd, 0, SEEK_SET); /* nothing is left of it */
	return MIN(rc, 0);
}

static bool is_ours(FILE *stream, int *fd)
{
	int saved_errno = errno;

	if (likely(!session.on || !stream))
		return false;
	*fd = fileno(stream);
	errno = saved_errno; /* a stream in memory has no descriptor, and says so */
	return unlikely(fdtable_is_ours(*fd)) && !intercept_foreign_process();
}

static int flush_ours(FILE *stream, int fd)
{
	int saved_errno = errno, r = REAL(fflush)(stream), rc = r ? 0 : flush_to_file(fd);

	if (r)
		return r;
	if (rc)
		stream->_flags |= _IO_ERR_SEEN; /* for ferror() */
	errno = rc ? -rc : saved_errno;
	return rc ? EOF : 0;
}

EXPORT int fflush(FILE *stream)
{
	int fd;

	return is_ours(stream, &fd) ? flush_ours(stream, fd) : REAL(fflush)(stream);
}

/* The stream's descriptor is about to be closed by the C library. 0 or -errno: what it has is the file's
 * before the file goes, and may be refused. */
static int forget(FILE *stream)
{
	int saved_errno = errno, fd, rc;

	if (!is_ours(stream, &fd))
		return 0;
	rc = flush_ours(stream, fd) ? -errno : 0;
	close_in_table(fd);
	errno = saved_errno;
	return rc;
}

static FILE *reopen_stream(FILE *(*real)(const char *, const char *, FILE *), const char *path,
			   const char *mode, FILE *stream)
{
	struct path_buf buf;
	const char *host = path_to_host(AT_FDCWD, path, &buf);

	if (path)
		forget(stream);
	return real(host ? host : path, mode, stream);
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
	return reopen_stream(&REAL(freopen), path, mode, stream);
}

EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
	return reopen_stream(&REAL(freopen64), path, mode, stream);
}

EXPORT int fclose(FILE *stream)
{
	int rc = forget(stream), r = REAL(fclose)(stream);

	return rc ? (int)ret_errno(rc) : r;
}
