/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hooks: reading and writing.
 *
 * The file position of one of our files is kept where it belongs, in the kernel's open file description: the
 * memfd's own position, which nothing else uses. Vectors are carried out one element at a time, as the kernel
 * does for a file without vector operations.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/section.h"

#include <stdarg.h>
#include <string.h>

#define MAX_RW   ((size_t)INT_MAX & ~(size_t)UVFIO_PAGE_MASK)
#define USER_END BIT64(47)

/* Nothing moves when the buffer as a whole cannot be one; what the file has against the call comes first. */
static ssize_t rw_at(struct file *file, bool write_it, const void *buf, size_t len, off64_t off)
{
	uint64_t at = (uint64_t)(uintptr_t)buf, end;
	int rc;

	if (off < 0)
		return -EINVAL;
	if (add_overflows(at, len, &end) || end > USER_END) {
		rc = file_may(file, write_it);
		return rc ? rc : -EFAULT;
	}
	len = MIN(len, MAX_RW);
	return write_it ? file_write(file, &self_caller, at, len, (uint64_t)off)
			: file_read(file, &self_caller, at, len, (uint64_t)off);
}

static int copy_element(struct iovec *part, const struct iovec *iov, int i)
{
	return copy_in(&self_caller, part, (uint64_t)(uintptr_t)&iov[i], sizeof(*part));
}

/* As the kernel looks at a vector before it begins: 0, -EINVAL or -EFAULT. */
static int check_vector(const struct iovec *iov, int n)
{
	struct iovec part;

	if (n < 0 || n > IOV_MAX)
		return -EINVAL;
	for (int i = 0; i < n; i++) {
		if (copy_element(&part, iov, i))
			return -EFAULT;
		if ((ssize_t)part.iov_len < 0)
			return -EINVAL;
	}
	return 0;
}

static ssize_t rw_vector(struct file *file, bool write_it, const struct iovec *iov, int n, off64_t off,
			 bool seekable)
{
	ssize_t done = 0;

	for (int i = 0; i < n; i++) {
		struct iovec part;
		ssize_t r;

		if (copy_element(&part, iov, i))
			r = -EFAULT;
		else
			r = rw_at(file, write_it, part.iov_base, part.iov_len, seekable ? off + done : off);
		if (r < 0)
			return done ? done : r;
		done += r;
		if ((size_t)r < part.iov_len)
			break;
	}
	return done;
}

/* Read or write at the position of fd, and move it. A queue has none: it is at 0. */
static ssize_t rw_next(struct file *file, int fd, bool write_it, const struct iovec *iov, int n)
{
	off64_t off = REAL(lseek64)(fd, 0, SEEK_CUR);
	ssize_t r = rw_vector(file, write_it, iov, n, MAX(off, 0), off >= 0);

	if (r > 0 && off >= 0)
		REAL(lseek64)(fd, off + r, SEEK_SET);
	return r;
}

static __attribute__((noinline)) ssize_t ours_at(struct file *file, bool write_it, const void *buf,
						 size_t len, off64_t off)
{
	int saved_errno = errno;
	ssize_t r;

	section_begin();
	r = rw_at(file, write_it, buf, len, off);
	file_put(file);
	section_end();
	return ret_errno_or(r, saved_errno);
}

static __attribute__((noinline)) ssize_t ours_next(struct file *file, int fd, bool write_it,
						   const struct iovec *iov, int n)
{
	int saved_errno = errno;
	ssize_t r;

	section_begin();
	r = rw_next(file, fd, write_it, iov, n);
	file_put(file);
	section_end();
	return ret_errno_or(r, saved_errno);
}

static __attribute__((noinline)) ssize_t ours_vector(struct file *file, int fd, bool write_it,
						     const struct iovec *iov, int n, off64_t off, int flags)
{
	int saved_errno = errno;
	ssize_t r;

	section_begin();
	r = off < -1 ? -EINVAL : file_may(file, write_it);
	if (!r)
		r = check_vector(iov, n);
	if (!r && flags)
		r = -EOPNOTSUPP;
	else if (!r)
		r = off == -1 ? rw_next(file, fd, write_it, iov, n)
			      : rw_vector(file, write_it, iov, n, off, true);
	file_put(file);
	section_end();
	return ret_errno_or(r, saved_errno);
}

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
	struct file *file = fdtable_get(fd);

	if (likely(!file))
		return REAL(read)(fd, buf, len);
	return ours_next(file, fd, false, &(struct iovec){ buf, len }, 1);
}

EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t buf_len)
{
	return len > buf_len ? REAL(__read_chk)(fd, buf, len, buf_len) : read(fd, buf, len);
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	struct file *file = fdtable_get(fd);

	if (likely(!file))
		return REAL(write)(fd, buf, len);
	return ours_next(file, fd, true, &(struct iovec){ (void *)(uintptr_t)buf, len }, 1);
}

/* ---- printing to a descriptor: the C library's write(2) of it could not be seen */

int __vasprintf_chk(char **text, int flag, const char *format, va_list ap);

/* flag: of the checked forms; 0: of the others. */
static int print(int fd, int flag, const char *format, va_list ap)
{
	struct file *file = fdtable_get(fd);
	ssize_t written = 0;
	char *text;
	int len;

	if (likely(!file))
		return flag ? REAL(__vdprintf_chk)(fd, flag, format, ap) : REAL(vdprintf)(fd, format, ap);
	len = __vasprintf_chk(&text, flag, format, ap);
	if (len > 0)
		written = ours_next(file, fd, true, &(struct iovec){ text, (size_t)len }, 1);
	else
		file_put(file);
	if (len >= 0)
		free(text);
	return written == len ? len : -1;
}

#define PRINT(fd, flag, format)                                                                              \
	({                                                                                                   \
		va_list ap_;                                                                                 \
		int n_;                                                                                      \
                                                                                                             \
		va_start(ap_, format);                                                                       \
		n_ = print(fd, flag, format, ap_);                                                           \
		va_end(ap_);                                                                                 \
		n_;                                                                                          \
	})

EXPORT int vdprintf(int fd, const char *format, va_list ap)
{
	return print(fd, 0, format, ap);
}

EXPORT int dprintf(int fd, const char *format, ...)
{
	return PRINT(fd, 0, format);
}

EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list ap)
{
	return print(fd, flag, format, ap);
}

EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...)
{
	return PRINT(fd, flag, format);
}

/* ---- at an offset */

EXPORT ssize_t pread64(int fd, void *buf, size_t len, off64_t off)
{
	struct file *file = fdtable_get(fd);

	if (likely(!file))
		return REAL(pread64)(fd, buf, len, off);
	return ours_at(file, false, buf, len, off);
}

EXPORT ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	return pread64(fd, buf, len, off);
}

EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t off, size_t buf_len)
{
	return len > buf_len ? REAL(__pread64_chk)(fd, buf, len, off, buf_len) : pread64(fd, buf, len, off);
}

EXPORT ssize_t __pread_chk(int fd, void *buf, size_t len, off_t off, size_t buf_len)
{
	return len > buf_len ? REAL(__pread_chk)(fd, buf, len, off, buf_len) : pread64(fd, buf, len, off);
}

EXPORT ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t off)
{
	struct file *file = fdtable_get(fd);

	if (likely(!file))
		return REAL(pwrite64)(fd, buf, len, off);
	return ours_at(file, true, buf, len, off);
}

EXPORT ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return pwrite64(fd, buf, len, off);
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	struct file *file = fdtable_get(fd);

	return likely(!file) ? REAL(readv)(fd, iov, n) : ours_vector(file, fd, false, iov, n, -1, 0);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	struct file *file = fdtable_get(fd);

	return likely(!file) ? REAL(writev)(fd, iov, n) : ours_vector(file, fd, true, iov, n, -1, 0);
}

/* preadv() knows no "current position": -1 is wrong there, and -1 only with the second version. */
static off64_t not_current(off64_t off)
{
	return off < 0 ? INT64_MIN : off;
}

EXPORT ssize_t preadv64(int fd, const struct iovec *iov, int n, off64_t off)
{
	struct file *file = fdtable_get(fd);

	if (likely(!file))
		return REAL(preadv64)(fd, iov, n, off);
	return ours_vector(file, fd, false, iov, n, not_current(off), 0);
}

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int n, off_t off)
{
	return preadv64(fd, iov, n, off);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t off)
{
	struct file *file = fdtable_get(fd);

	if (likely(!file))
		return REAL(pwritev64)(fd, iov, n, off);
	return ours_vector(file, fd, true, iov, n, not_current(off), 0);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	return pwritev64(fd, iov, n, off);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off64_t off, int flags)
{
	struct file *file = fdtable_get(fd);

	if (likely(!file))
		return REAL(preadv64v2)(fd, iov, n, off, flags);
	return ours_vector(file, fd, false, iov, n, off, flags);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return preadv64v2(fd, iov, n, off, flags);
}

EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off64_t off, int flags)
{
	struct file *file = fdtable_get(fd);

	if (likely(!file))
		return REAL(pwritev64v2)(fd, iov, n, off, flags);
	return ours_vector(file, fd, true, iov, n, off, flags);
}

EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	return pwritev64v2(fd, iov, n, off, flags);
}

EXPORT off64_t lseek64(int fd, off64_t off, int whence)
{
	struct file *file;
	bool still;

	if (likely(!fdtable_is_ours(fd)))
		return REAL(lseek64)(fd, off, whence);
	/* as in Linux, those of KVM say yes and stay where they are */
	section_begin();
	file = fdtable_get(fd);
	still = file && !strncmp(file->ops->name, "kvm-", 4) && strcmp(file->ops->name, "kvm-device") != 0;
	if (file)
		file_put(file);
	section_end();
	if (still && whence >= SEEK_SET && whence <= SEEK_HOLE)
		return 0;
	errno = still ? EINVAL : ESPIPE;
	return -1;
}

EXPORT off_t lseek(int fd, off_t off, int whence)
{
	return lseek64(fd, off, whence);
}
