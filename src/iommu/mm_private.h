/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of mm: what the kernel knows of a process's memory. */
#ifndef UVFIO_IOMMU_MM_PRIVATE_H
#define UVFIO_IOMMU_MM_PRIVATE_H

#include "iommu/mm.h"

/* One past the highest address a process can map; an entry of a page table holds no higher one. */
#define MM_VA_END ((uint64_t)1 << 47)

struct vma {
	uint64_t start, end;
	bool readable, writable;
	bool file; /* may be shorter than the mapping */
	bool bar;  /* a BAR's plain memory */
	bool shared;
	uint64_t dev, inode, offset; /* what of which file, or shared memory; inode 0: of none */
};

/*
 * The mapping that holds va: 0; -ENOENT: none; -EBADF: of this process, and the kernel cannot be asked;
 * another negative errno: the process is gone.
 */
int maps_query(struct mm *mm, uint64_t va, struct vma *out);
/* A shared mapping of this process that has the byte at offset of that inode: 0, or -ENOENT. */
int maps_find_shared(uint64_t dev, uint64_t inode, uint64_t offset, struct vma *out);
void maps_forked(void);
void mm_check_forked(void);

/* What the kernel says in the line "KEY:" of a file like /proc/PID/status, which is not its first: a number;
 * 0: nothing. */
long long proc_number(const char *path, const char *key);

/* How many of the len bytes at va are alike: in BARs noted MM_IO (*io), or not. */
size_t mm_io_span(uint64_t va, size_t len, bool *io);

/*
 * What outlives another process (mm_shared.c): memory that it shared with us. Noted while it lives; under the
 * lock there.
 */
struct shared_part {
	uint64_t start, end;
	uint64_t dev, inode, offset;
};
struct shared_parts {
	unsigned int nr;
	struct shared_part parts[16];
};
struct other_mm {
	struct mm mm;
	int pidfd;
	_Atomic uint64_t seen_at; /* when it last was there: ns */
	struct shared_parts shared;
};

/* Give a new address space its place in the table, and its first reference. -ENOMEM. */
int mm_add(struct mm *mm);

/* Those that are files (mm_file.c). */
void mm_file_free(struct mm *mm);
int mm_file_copy(struct mm *mm, void *local, uint64_t va, size_t len, bool write);
int mm_file_check(struct mm *mm, uint64_t va, uint64_t len, bool write);

void shared_note(struct other_mm *mm, const struct vma *vma);
/* Copy what is at va of a process that is gone. 0 or -EFAULT. */
int shared_copy(struct other_mm *mm, void *local, uint64_t va, size_t len, bool write);
void shared_forked(void);

#endif
