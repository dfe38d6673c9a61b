/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The trap engine: loads and stores on pages without access become calls of the file's mmio operation.
 *
 * A fault on a trapped range (io_table.h) is decoded and carried out in the signal handler, with the reader's
 * count taken, so that the file cannot go away under it. Nothing else is held when the program gets a signal
 * instead, so that its handler may leave by siglongjmp().
 */
#ifndef UVFIO_INTERCEPT_TRAP_H
#define UVFIO_INTERCEPT_TRAP_H

#include "base/base.h"

/* Make ready: the decoder, our SIGSEGV handler, peer-to-peer access. At each trapped mapping. 0 or -errno. */
int trap_init(void);

/*
 * What a program of this process would do by an instruction: len bytes at va, in trapped ranges and in plain
 * memory. 0, -EFAULT (SIGSEGV) or -EIO (SIGBUS). A piece of 8 bytes at most reaches a file at a time.
 */
int trap_access(uint64_t va, void *data, size_t len, bool write);

/*
 * From now on the memory calls report what they change to iommu/mm, and mm believes what it has been told
 * (memory.c). To be called before the first mapping for DMA is checked; idempotent, any thread.
 */
void memory_notes_start(void);

#endif
