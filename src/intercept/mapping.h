/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mappings of our files: what mmap(), munmap(), mprotect() and mremap() do where one of ours is involved.
 * Results are those of the system calls: an address or 0, or -errno.
 */
#ifndef UVFIO_INTERCEPT_MAPPING_H
#define UVFIO_INTERCEPT_MAPPING_H

#include "file/file.h"

/* A mapping of file; the reference stays the caller's. */
long mapping_new(struct file *file, uint64_t at, uint64_t len, int prot, int flags, uint64_t off);

/* A foreign mmap() with MAP_FIXED over something of ours. */
long mapping_replace(uint64_t at, uint64_t len, int prot, int flags, int fd, uint64_t off);
long mapping_unmap(uint64_t at, uint64_t len);
long mapping_protect(uint64_t at, uint64_t len, int prot);
/* to counts with MREMAP_FIXED only. */
long mapping_move(uint64_t at, uint64_t old_len, uint64_t new_len, int flags, uint64_t to);
long mapping_advise(int advice);

#endif
