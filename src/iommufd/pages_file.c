/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is a file of the caller's: IOMMU_IOAS_MAP_FILE.
 *
 * The file (a memfd, or another of tmpfs or hugetlbfs) is mapped into this process, where the program does
 * not know of it, and that is the memory behind the pages. One such mapping serves all pages of the same file
 * that it has room for, as a program maps a file piece by piece. Descriptors are not kept.
 *
 * As in the kernel, other kinds of file are found out when the pages are first needed, and so is an end of
 * the file that comes before theirs: -EINVAL.
 */
#include "iommufd/iopt_private.h"

#include "base/private_fd.h"
#include "base/why.h"
#include "iommufd/dmabuf.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A part of a file, mapped. */
struct iopt_file {
	struct iopt_file *next;
	uint32_t refs; /* under files_lock, as the list */
	bool writable;
	dev_t dev;
	ino_t ino;
	uint64_t start, size; /* of the part, in the file */
	uint64_t va;
};

/* So much more of a file than it has may be mapped. */
#define ROOM_MAX ((uint64_t)64 << 30)

static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct iopt_file *files;

void iopt_file_forked(void)
{
	pthread_mutex_init(&files_lock, NULL);
}

static void unmap_file(struct iopt_file *file)
{
	syscall(SYS_munmap, file->va, file->size);
	mm_note_change(file->va, file->size);
	free(file);
}

void iopt_file_put(struct iopt_file *file)
{
	struct iopt_file **at = &files;

	pthread_mutex_lock(&files_lock);
	if (--file->refs) {
		pthread_mutex_unlock(&files_lock);
		return;
	}
	while (*at != file)
		at = &(*at)->next;
	*at = file->next;
	pthread_mutex_unlock(&files_lock);
	unmap_file(file);
}

/* Under files_lock. */
static struct iopt_file *find_file(const struct stat *st, uint64_t start, uint64_t end, bool writable)
{
	for (struct iopt_file *f = files; f; f = f->next)
		if (f->dev == st->st_dev && f->ino == st->st_ino && f->writable == writable &&
		    start >= f->start && end <= f->start + f->size)
			return f;
	return NULL;
}

/* For reading first: a file of hugetlbfs that is mapped writable grows to the end of the mapping. */
static bool map_part(struct iopt_file *file, int fd)
{
	long va = syscall(SYS_mmap, NULL, file->size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, file->start);

	if (va == -1)
		return false;
	file->va = (uint64_t)va;
	file->writable = !syscall(SYS_mprotect, va, file->size, PROT_READ | PROT_WRITE);
	return true;
}

/* A descriptor may be for reading only, where the pages of the file are not. */
static bool map_fd(struct iopt_file *file, int fd)
{
	bool done = map_part(file, fd);
	char path[32];
	long again;

	if (done && file->writable)
		return true;
	if (!done && errno != EACCES)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
	if (again < 0)
		return done;
	if (done)
		syscall(SYS_munmap, file->va, file->size);
	done = map_part(file, (int)again);
	syscall(SYS_close, again);
	return done;
}

/*
 * The part of the file to map for [start, end). A program may append to a file, or map what lies beyond its
 * end, page by page, and has no more than some ten thousand mappings: so there is room for what comes next.
 */
static void choose_part(struct iopt_file *file, const struct stat *st, uint64_t start, uint64_t end)
{
	uint64_t unit = MAX((uint64_t)st->st_blksize, UVFIO_PAGE_SIZE); /* a huge page of hugetlbfs */
	uint64_t whole = align_up((uint64_t)st->st_size, unit), all = MAX(whole, align_up(end, unit));

	if (all <= ROOM_MAX) {
		file->size = BIT64(64 - __builtin_clzll(all - 1));
	} else if (end <= whole) {
		file->size = align_up(whole, ROOM_MAX);
	} else {
		file->start = align_down(start, unit);
		file->size = align_up(end, unit) - file->start;
	}
}

/* Under files_lock. */
static int map_new(int fd, const struct stat *st, uint64_t start, uint64_t end, struct iopt_file **out)
{
	struct iopt_file *file;

	if (end > INT64_MAX)
		return -EINVAL;
	file = iommufd_zalloc(sizeof(*file));
	if (!file)
		return -ENOMEM;
	choose_part(file, st, start, end);
	if (!map_fd(file, fd)) {
		free(file);
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	}
	mm_note_change(file->va, file->size);
	file->dev = st->st_dev;
	file->ino = st->st_ino;
	file->next = files;
	files = file;
	*out = file;
	return 0;
}

/* *out stays as it is when there cannot be such pages of the file. */
static int get_file(int fd, uint64_t start, uint64_t end, struct iopt_file **out)
{
	struct iopt_file *file;
	struct stat st;
	int ret = 0;

	if (syscall(SYS_fstat, fd, &st))
		return -errno;
	pthread_mutex_lock(&files_lock);
	file = find_file(&st, start, end, true);
	if (!file)
		file = find_file(&st, start, end, false);
	if (!file)
		ret = map_new(fd, &st, start, end, &file);
	if (!ret) {
		file->refs++;
		*out = file;
	}
	pthread_mutex_unlock(&files_lock);
	return ret == -EINVAL ? 0 : ret;
}

static bool is_memory_file(int fd)
{
	struct statfs fs;

	return !syscall(SYS_fstatfs, fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

/* fd is ours. file: NULL, or one of our own kind, which is no memory. */
static int pages_of_fd(struct iommufd_ctx *ctx, const struct caller *caller, int fd, bool ours,
		       uint64_t start, uint64_t len, bool writable, struct iopt_pages **out)
{
	uint64_t first = align_down(start, UVFIO_PAGE_SIZE), end = align_up(start + len, UVFIO_PAGE_SIZE);
	struct iopt_file *file = NULL;
	struct mm *self = mm_self();
	struct iopt_pages *pages;
	int ret = 0;

	if (syscall(SYS_fcntl, fd, F_GETFL) & O_PATH)
		ret = -EBADF;
	else if (len > UINT64_MAX - UVFIO_PAGE_SIZE)
		ret = WHY(-EINVAL, "length is too large");
	else if (!ours && is_memory_file(fd) && end > first)
		ret = get_file(fd, first, end, &file);
	pages = ret ? NULL
		    : iopt_pages_alloc(ctx, IOPT_PAGES_FILE, self, caller->mm, start - first, len, writable);
	mm_put(self);
	if (!pages) {
		if (file)
			iopt_file_put(file);
		return ret ? ret : -ENOMEM;
	}
	pages->ext->file = file;
	pages->ext->origin = first;
	pages->va = file ? file->va + (first - file->start) : 0;
	*out = pages;
	return 0;
}

int iopt_pages_file(struct iommufd_ctx *ctx, const struct caller *caller, int fd, uint64_t start,
		    uint64_t len, bool writable, struct iopt_pages **pages)
{
	struct file *ours = NULL;
	int ret = caller->ops->get_file(caller, fd, &ours), own;

	if (!ret && iommufd_dmabuf_is(ours)) {
		ret = iopt_pages_dmabuf(ctx, ours, start, len, writable, pages);
		file_put(ours);
		return ret;
	}
	if (!ret)
		file_put(ours);
	own = caller->ops->dup_fd(caller, fd);
	if (own < 0)
		return WHY(own, "%d is no descriptor", fd);
	ret = pages_of_fd(ctx, caller, own, !ret, start, len, writable, pages);
	private_fd_close(own);
	return ret;
}

int iopt_file_check(const struct iopt_pages *pages, uint64_t first, uint64_t last)
{
	uint64_t va = pages->va + last * UVFIO_PAGE_SIZE;

	(void)first;
	if (!pages->ext->file)
		return WHY_ALWAYS(-EINVAL, "the file is no memfd, and not on tmpfs or hugetlbfs");
	if (syscall(SYS_madvise, va, UVFIO_PAGE_SIZE, MADV_POPULATE_READ) && errno == EFAULT)
		return WHY_ALWAYS(-EINVAL, "the file ends before the mapping");
	return 0;
}
