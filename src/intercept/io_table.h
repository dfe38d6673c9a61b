/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stretches of this process's memory that are mappings of our files: plain ones (the kernel's shared
 * pages) and trapped ones (pages without access, carried out by the trap engine). Each holds a reference to
 * its file.
 *
 * The table is an immutable sorted array behind a pointer. Readers, the signal handler among them, take no
 * lock: they count themselves in and out, and whoever replaces the table waits for those that may use the old
 * one. So when a change is committed no access through a removed mapping is under way, and its file has been
 * let go.
 *
 * Lock: one for all changes, held with signals blocked, over the real system call too, so that table and
 * pages change together. Nothing of the core is called with it held but the notes to iommu/mm. Tables come
 * from the real mmap(), not from malloc(), which may be the program's.
 */
#ifndef UVFIO_INTERCEPT_IO_TABLE_H
#define UVFIO_INTERCEPT_IO_TABLE_H

#include "file/file.h"

#include <signal.h>

struct io_range {
	uint64_t start, end; /* addresses, page aligned */
	struct file *file;
	uint64_t offset; /* in the file, of start */
	int prot;        /* what the program asked for */
	bool trapped;
};

/* Be ready for a fork. The first change does it, too. */
void io_table_prepare(void);

/* Readers. What is found is valid until io_read_unlock() with the number that io_read_lock() gave. */
unsigned int io_read_lock(void);
void io_read_unlock(unsigned int section);
const struct io_range *io_find(uint64_t va);

/* Is anything of ours in [start, end)? Costs two loads for most addresses. */
bool io_overlaps(uint64_t start, uint64_t end);

/* A change under way: a copy of the table, edited in place. */
struct io_change {
	struct io_table *old, *next;
	sigset_t mask;
};

/* Begin: takes the lock. 0 or -ENOMEM (nothing is held then). The calls that follow cannot fail. */
int io_change_begin(struct io_change *change);
void io_change_remove(struct io_change *change, uint64_t start, uint64_t end);
void io_change_add(struct io_change *change, const struct io_range *range); /* where nothing is */
void io_change_protect(struct io_change *change, uint64_t start, uint64_t end, int prot);
/* The first range of the edited table with an end above va, or NULL. */
const struct io_range *io_change_next(const struct io_change *change, uint64_t va);
void io_change_commit(struct io_change *change); /* may run a file's release, after the lock is dropped */
void io_change_abort(struct io_change *change);

/* Room for what one change adds and cuts, beyond twice the ranges that there are. */
#define IO_CHANGE_EXTRA 64

#endif
