/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes behind the namespaces: the user's image, or a sparse file that stands for RAM (in the session's
 * directory, so that the programs of a session see the same contents; else a memfd).
 *
 * Everything goes by system calls on positions, never through a mapping: a full file system or a file that
 * someone cuts short is an error status then, and not a SIGBUS in someone else's process.
 */
#include "devices/nvme/nvme.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RAM_SIZE (256ull << 20)

/* ---- opening */

/* As one would write it. */
static const char *size_text(uint64_t size, char buf[24])
{
	static const char suffixes[] = "KMGT";
	unsigned int i = 0;

	while (size && size % 1024 == 0 && suffixes[i]) {
		size /= 1024;
		i++;
	}
	snprintf(buf, 24, "%llu%.*s", (unsigned long long)size, i ? 1 : 0, &suffixes[i ? i - 1 : 0]);
	return buf;
}

static int open_failed(const char *path, int error, char *err, size_t err_len)
{
	if (error == ENOENT)
		snprintf(err, err_len, "nvme: file=%s: %s; make an image first: truncate -s 256M '%s'", path,
			 strerror(error), path);
	else
		snprintf(err, err_len, "nvme: file=%s: %s%s", path, strerror(error),
			 error == EACCES || error == EROFS ? "; it must be writable, or give readonly=on"
			 : error == EISDIR                 ? "; give a regular file or a block device"
							   : "");
	return -error;
}

static int open_image(const char *path, bool readonly, uint64_t *size, char *err, size_t err_len)
{
	struct stat st;
	off_t end;
	int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return open_failed(path, errno, err, err_len);
	end = fstat(fd, &st) ? -1 : lseek(fd, 0, SEEK_END);
	if (end < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))) {
		snprintf(err, err_len, "nvme: file=%s: is neither a regular file nor a block device", path);
		close(fd);
		return -EINVAL;
	}
	*size = (uint64_t)end;
	return fd;
}

static int open_ram(const struct uvfio_device *dev, char *err, size_t err_len)
{
	char path[4096];
	int fd, n;

	if (!dev->state_dir) {
		fd = memfd_create("uvfio-nvme", MFD_CLOEXEC);
		path[0] = '\0';
	} else {
		n = snprintf(path, sizeof(path), "%s/nvme%u.ram", dev->state_dir, dev->instance);
		if (n < 0 || (size_t)n >= sizeof(path))
			errno = ENAMETOOLONG, fd = -1;
		else
			fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	if (fd < 0) {
		fd = -errno;
		snprintf(err, err_len, "nvme: the memory behind the device %s: %s", path, strerror(-fd));
	}
	return fd;
}

static int grow_to(int fd, uint64_t have, uint64_t size, const char *what, char *err, size_t err_len)
{
	char text[24];
	int rc;

	if (size <= have)
		return 0;
	if (!ftruncate(fd, (off_t)size))
		return 0;
	rc = -errno;
	snprintf(err, err_len, "nvme: size=%s: %s cannot be made that large: %s", size_text(size, text), what,
		 strerror(-rc));
	return rc;
}

static int check_size(uint64_t size, uint64_t lba, const char *what, char *err, size_t err_len)
{
	if (!size)
		snprintf(err, err_len, "nvme: %s is empty; give size=BYTES, for example size=256M", what);
	else if (size % lba)
		snprintf(err, err_len, "nvme: %s: %llu bytes are not a multiple of the block size (lba=%llu)",
			 what, (unsigned long long)size, (unsigned long long)lba);
	else
		return 0;
	return -EINVAL;
}

int nvme_media_open(struct nvme_media *media, const struct nvme_options *opts, struct uvfio_device *dev,
		    char *err, size_t err_len)
{
	uint64_t have = 0, size = opts->size;
	char what[512], text[24];
	int fd, rc;

	if (opts->file) {
		fd = open_image(opts->file, opts->readonly, &have, err, err_len);
		snprintf(what, sizeof(what), opts->size ? "size" : "file=%s", opts->file);
		if (!size)
			size = have;
	} else {
		fd = open_ram(dev, err, err_len);
		snprintf(what, sizeof(what), "size");
		if (!size)
			size = RAM_SIZE;
	}
	if (fd < 0)
		return fd;
	rc = check_size(size, opts->lba, what, err, err_len);
	if (!rc && size > have && opts->file && opts->readonly) {
		snprintf(err, err_len,
			 "nvme: size=%s: file=%s has only %llu bytes and cannot grow with readonly=on",
			 size_text(size, text), opts->file, (unsigned long long)have);
		rc = -EINVAL;
	}
	if (!rc && !opts->file)
		have = (uint64_t)lseek(fd, 0, SEEK_END);
	if (!rc)
		rc = grow_to(fd, have, size, opts->file ? opts->file : "the memory", err, err_len);
	if (rc) {
		close(fd);
		return rc;
	}
	media->dev = dev;
	media->fd = uvfio_private_fd(dev, fd);
	media->readonly = opts->readonly;
	media->size = size;
	return 0;
}

void nvme_media_close(struct nvme_media *media)
{
	if (media->fd < 0)
		return;
	uvfio_private_fd_close(media->dev, media->fd);
	media->fd = -1;
}

/* ---- moving data */

static void skip(struct iovec **iov, unsigned int *nr, size_t n)
{
	while (*nr && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		++*iov;
		--*nr;
	}
	if (*nr) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

static ssize_t move(int fd, bool write, struct iovec *iov, unsigned int nr, uint64_t offset, int flags)
{
	/* Directly: the C library's entry points may be interposed, and by ourselves. */
	return syscall(write ? SYS_pwritev2 : SYS_preadv2, fd, iov, (unsigned long)nr, (unsigned long)offset,
		       0UL, flags);
}

static int move_all(struct nvme_media *media, bool write, struct iovec *iov, unsigned int nr, uint64_t offset,
		    int flags, size_t *moved)
{
	*moved = 0;
	while (nr) {
		ssize_t n = move(media->fd, write, iov, nr, offset + *moved, flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		*moved += (size_t)n;
		skip(&iov, &nr, (size_t)n);
	}
	return 0;
}

int nvme_media_read(struct nvme_media *media, struct iovec *iov, unsigned int nr, uint64_t offset,
		    bool nowait, size_t *moved)
{
	ssize_t n = -1;

	if (nowait && !atomic_load_explicit(&media->no_nowait, memory_order_relaxed)) {
		*moved = 0;
		n = move(media->fd, false, iov, nr, offset, RWF_NOWAIT);
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (n < 0 && errno == EOPNOTSUPP)
			atomic_store(&media->no_nowait, true);
		else if (n < 0)
			return -errno;
	}
	if (n > 0) {
		int rc;

		skip(&iov, &nr, (size_t)n);
		rc = move_all(media, false, iov, nr, offset + (uint64_t)n, 0, moved);
		*moved += (size_t)n;
		return rc;
	}
	return move_all(media, false, iov, nr, offset, 0, moved);
}

int nvme_media_write(struct nvme_media *media, struct iovec *iov, unsigned int nr, uint64_t offset, bool sync,
		     size_t *moved)
{
	return move_all(media, true, iov, nr, offset, sync ? RWF_DSYNC : 0, moved);
}

int nvme_media_flush(struct nvme_media *media)
{
	return fdatasync(media->fd) ? -errno : 0;
}

/* ---- zeroes and holes */

static int write_zeroes(struct nvme_media *media, uint64_t offset, uint64_t len)
{
	static const uint8_t zeroes[32768];
	size_t moved;
	int rc = 0;

	while (len && !rc) {
		struct iovec iov = { (void *)(uintptr_t)zeroes, MIN(len, (uint64_t)sizeof(zeroes)) };

		rc = move_all(media, true, &iov, 1, offset, 0, &moved);
		offset += moved;
		len -= moved;
	}
	return rc;
}

static int allocate(struct nvme_media *media, int mode, uint64_t offset, uint64_t len)
{
	while (fallocate(media->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len))
		if (errno != EINTR)
			return -errno;
	return 0;
}

int nvme_media_deallocate(struct nvme_media *media, uint64_t offset, uint64_t len)
{
	int rc;

	if (atomic_load_explicit(&media->no_punch, memory_order_relaxed))
		return -EOPNOTSUPP;
	rc = allocate(media, FALLOC_FL_PUNCH_HOLE, offset, len);
	if (rc == -EOPNOTSUPP || rc == -ENODEV)
		atomic_store(&media->no_punch, true);
	return rc == -ENODEV ? -EOPNOTSUPP : rc;
}

int nvme_media_zero(struct nvme_media *media, uint64_t offset, uint64_t len, bool deallocate)
{
	int rc;

	if (deallocate) {
		rc = nvme_media_deallocate(media, offset, len);
		if (rc != -EOPNOTSUPP)
			return rc;
	}
	if (!atomic_load_explicit(&media->no_zero_range, memory_order_relaxed)) {
		rc = allocate(media, FALLOC_FL_ZERO_RANGE, offset, len);
		if (!rc)
			return 0;
		if (rc != -EOPNOTSUPP && rc != -ENODEV && rc != -EINVAL)
			return rc;
		atomic_store(&media->no_zero_range, true);
	}
	return write_zeroes(media, offset, len);
}

uint64_t nvme_media_used(struct nvme_media *media, uint64_t offset, uint64_t len)
{
	off_t at = (off_t)offset, end = (off_t)(offset + len);
	uint64_t used = 0;

	/* The steps are bounded: a badly fragmented file is counted as full behind them. */
	for (int i = 0; i < 4096 && at < end; i++) {
		off_t data = lseek(media->fd, at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno == ENXIO)
			return used;
		if (data < 0)
			return len;
		if (data >= end)
			return used;
		hole = lseek(media->fd, data, SEEK_HOLE);
		if (hole < 0)
			return len;
		used += (uint64_t)(MIN(hole, end) - data);
		at = hole;
	}
	return at < end ? used + (uint64_t)(end - at) : used;
}
