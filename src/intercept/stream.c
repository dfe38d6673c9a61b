/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: standard streams. A stream on a node has one of our descriptors below it: fileno() and ioctl() work
 * on it. What the C library itself reads from it goes to the kernel, which has nothing there. What it writes
 * lands in the descriptor's memory; flushing, closing and reopening the stream have it carried out where that
 * is a file of sysfs.
 *
 * A stream stays locked from its flush to the end of what that carries out, as it does during a write(2).
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/section.h"
#include "intercept/share.h"
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

/* What the C library has written to fd, a descriptor of file, is carried out. 0 or -errno. */
static int carry_out(int fd, struct file *file)
{
	int rc = IN_SECTION(machine_attribute_flush(file));

	if (rc)
		REAL(lseek64)(fd, 0, SEEK_SET); /* nothing is left of it */
	return MIN(rc, 0);
}

static int flush_to_file(int fd)
{
	struct file *file = fdtable_get(fd);
	int rc;

	if (!file)
		return 0;
	section_begin();
	rc = carry_out(fd, file);
	file_put(file);
	section_end();
	return rc;
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

typedef int flush_fn(FILE *stream);

/* What is flushed is the file's before it goes, and may be refused. */
static int flush_ours(flush_fn *flush, FILE *stream, int fd)
{
	int saved_errno = errno, r, rc = 0;

	flockfile(stream);
	section_begin(); /* no thread is cancelled with the lock */
	r = flush(stream);
	if (!r) {
		rc = flush_to_file(fd);
		if (rc)
			stream->_flags |= _IO_ERR_SEEN; /* for ferror() */
		errno = rc ? -rc : saved_errno;
	}
	section_end();
	funlockfile(stream);
	return r || rc ? EOF : 0;
}

static void carry_out_one(int fd, struct file *file, void *arg)
{
	int *first = arg, rc = carry_out(fd, file);

	*first = *first ? *first : rc;
}

/* All streams: which of them has written to a file of ours is not known. */
static int flush_all(flush_fn *flush)
{
	int saved_errno = errno, r = flush(NULL), rc = 0;

	if (!session.on || intercept_foreign_process() || !intercept_machine_if_made())
		return r;
	if (r)
		saved_errno = errno;
	section_begin();
	fdtable_for_each(carry_out_one, &rc);
	section_end();
	errno = rc ? -rc : saved_errno;
	return rc ? EOF : r;
}

static int flush_any(flush_fn *flush, FILE *stream)
{
	int fd;

	if (!stream)
		return flush_all(flush);
	return is_ours(stream, &fd) ? flush_ours(flush, stream, fd) : flush(stream);
}

EXPORT int fflush(FILE *stream)
{
	return flush_any(&REAL(fflush), stream);
}

EXPORT int fflush_unlocked(FILE *stream)
{
	return flush_any(&REAL(fflush_unlocked), stream);
}

/* ---- the process's end */

/* The C library's list of streams, which it exports without a header. */
FILE *_IO_iter_begin(void) __attribute__((weak));
FILE *_IO_iter_end(void) __attribute__((weak));
FILE *_IO_iter_next(FILE *iter) __attribute__((weak));
FILE *_IO_iter_file(FILE *iter) __attribute__((weak));
void _IO_list_lock(void) __attribute__((weak));
void _IO_list_unlock(void) __attribute__((weak));

static void flush_last(FILE *stream)
{
	bool locked = !ftrylockfile(stream);

	REAL(fflush_unlocked)(stream);
	if (locked)
		funlockfile(stream);
}

void streams_end(void)
{
	FILE *iter;
	int fd;

	if (!_IO_iter_begin || !_IO_list_lock)
		return;
	_IO_list_lock();
	for (iter = _IO_iter_begin(); iter != _IO_iter_end(); iter = _IO_iter_next(iter))
		if (is_ours(_IO_iter_file(iter), &fd))
			flush_last(_IO_iter_file(iter));
	_IO_list_unlock();
}

/* ---- closing and reopening */

/* The stream's descriptor is about to be closed by the C library. 0 or -errno of flushing it. */
static int forget(FILE *stream, int fd)
{
	int saved_errno = errno, rc;

	rc = flush_ours(&REAL(fflush), stream, fd) ? -errno : 0;
	close_in_table(fd);
	errno = saved_errno;
	return rc;
}

EXPORT int fclose(FILE *stream)
{
	int saved_errno, fd, rc, r;

	if (!is_ours(stream, &fd))
		return REAL(fclose)(stream);
	rc = forget(stream, fd);
	r = REAL(fclose)(stream);
	saved_errno = errno;
	section_begin();
	hold_reap();
	section_end();
	errno = saved_errno;
	return rc ? (int)ret_errno(rc) : r;
}

typedef FILE *reopen_fn(const char *path, const char *mode, FILE *stream);

static bool is_node(const char *host)
{
	int saved_errno = errno;
	struct stat st;
	bool is = !REAL(stat)(host, &st) && S_ISSOCK(st.st_mode);

	errno = saved_errno;
	return is;
}

/* The C library opens what may be opened by everyone, and closes what the stream had. NULL: just that. */
static FILE *reopen_nothing(reopen_fn *real, const char *mode, FILE *stream, int error)
{
	real("", mode, stream);
	errno = error;
	return NULL;
}

/* As the C library does it: what is new takes the number of what was open. old: that is ours; -1: it is not.
 */
static FILE *reopen_node(reopen_fn *real, const char *path, const char *mode, FILE *stream, int old)
{
	int flags = mode_flags(mode), fd = hooked_open(path, flags), saved_errno = errno;

	if (old >= 0)
		close_in_table(old);
	if (fd < 0)
		return reopen_nothing(real, mode, stream, saved_errno);
	stream = real("/dev/null", mode, stream);
	saved_errno = errno;
	if (stream)
		hooked_dup3(fd, fileno(stream), flags & O_CLOEXEC);
	close_in_table(fd);
	REAL(close)(fd);
	errno = saved_errno;
	return stream;
}

static FILE *reopen_stream(reopen_fn *real, const char *path, const char *mode, FILE *stream)
{
	struct path_buf buf;
	const char *host = path_to_host(AT_FDCWD, path, &buf);
	int fd, old = is_ours(stream, &fd) ? fd : -1;
	char again[32];

	if (old >= 0)
		flush_ours(&REAL(fflush), stream, old);
	if (!session.on || (!path && old < 0))
		return real(path, mode, stream);
	if (!path)
		snprintf(again, sizeof(again), "/proc/self/fd/%d", old);
	if (!path || is_node(host ? host : path))
		return reopen_node(real, path ? path : again, mode, stream, old);
	if (old >= 0)
		close_in_table(old);
	if (host && would_make(host, mode))
		return reopen_nothing(real, mode, stream, errno);
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
