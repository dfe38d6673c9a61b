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
};

/*
 * The mapping that holds va: 0; -ENOENT: none; -EBADF: of this process, and the kernel cannot be asked;
 * another negative errno: the process is gone.
 */
int maps_query(struct mm *mm, uint64_t va, struct vma *out);
void maps_forked(void);
void mm_check_forked(void);

/* How many of the len bytes at va are alike: in BARs noted MM_IO (*io), or not. */
size_t mm_io_span(uint64_t va, size_t len, bool *io);

#endif
