/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address spaces that are files: a memfd, or a file on tmpfs or hugetlbfs. The whole file is mapped into this
 * process for as long as the address space is held, so that pinned pages have an address here. The file may
 * shrink at any time: what is gone is found out when it is looked at, and copies survive it.
 */
#include "iommu/mm_private.h"

#include "base/fault.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

struct file_mm {
	struct mm mm;
	uint64_t size; /* in whole pages */
	bool writable;
};

static bool is_memory(int fd)
{
	struct statfs fs;

	return !syscall(SYS_fstatfs, fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

static int map_file(struct file_mm *file, int fd)
{
	int prot = PROT_READ | (file->writable ? PROT_WRITE : 0);
	long at = syscall(SYS_mmap, NULL, file->size, prot, MAP_SHARED | MAP_NORESERVE, fd, (off_t)0);

	if (at == -1)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	file->mm.base = (char *)at;
	mm_note_change((uint64_t)at, file->size);
	return 0;
}

int mm_of_file(int fd, struct mm **mm)
{
	long flags = syscall(SYS_fcntl, fd, F_GETFL);
	struct file_mm *file;
	struct stat st;
	int ret;

	if (flags < 0)
		return -EBADF;
	if (syscall(SYS_fstat, fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 || !is_memory(fd))
		return -EINVAL;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->size = align_up((uint64_t)st.st_size, UVFIO_PAGE_SIZE);
	file->writable = (flags & O_ACCMODE) == O_RDWR;
	ret = map_file(file, fd);
	if (ret)
		goto free_file;
	ret = mm_add(&file->mm);
	if (ret)
		goto unmap;
	*mm = &file->mm;
	return 0;
unmap:
	syscall(SYS_munmap, file->mm.base, file->size);
free_file:
	free(file);
	return ret;
}

void mm_file_free(struct mm *mm)
{
	struct file_mm *file = container_of(mm, struct file_mm, mm);

	syscall(SYS_munmap, mm->base, file->size);
	mm_note_change((uint64_t)(uintptr_t)mm->base, file->size);
	free(file);
}

static bool is_within(const struct file_mm *file, uint64_t va, uint64_t len, bool write)
{
	return va < file->size && len <= file->size - va && (file->writable || !write);
}

/* Is the last page there still? Then so are the ones before. */
int mm_file_check(struct mm *mm, uint64_t va, uint64_t len, bool write)
{
	const struct file_mm *file = container_of(mm, struct file_mm, mm);
	uint64_t last;

	if (!is_within(file, va, len, write))
		return -EFAULT;
	last = align_down(va + (len - 1), UVFIO_PAGE_SIZE);
	if (syscall(SYS_madvise, mm->base + last, UVFIO_PAGE_SIZE, MADV_POPULATE_READ) && errno == EFAULT)
		return -EFAULT;
	return 0;
}

int mm_file_copy(struct mm *mm, void *local, uint64_t va, size_t len, bool write)
{
	const struct file_mm *file = container_of(mm, struct file_mm, mm);

	if (!is_within(file, va, len, write))
		return -EFAULT;
	return write ? copy_nofault(mm->base + va, local, len) : copy_nofault(local, mm->base + va, len);
}
