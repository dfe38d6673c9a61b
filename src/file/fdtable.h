/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptors of this process that belong to our files.
 *
 * Every open file has a real descriptor (a memfd), so that poll, dup, fork and close-on-exec keep their
 * meaning. The table maps descriptor numbers to files. fdtable_get() costs an array load for a foreign
 * descriptor. The interposed calls keep the table true: each names the system call that it follows.
 */
#ifndef UVFIO_FILE_FDTABLE_H
#define UVFIO_FILE_FDTABLE_H

#include "file/file.h"

/* The file behind fd with a reference, or NULL when fd is not ours. Takes no lock. */
struct file *fdtable_get(int fd);

/* Cheaper than fdtable_get when only the answer counts. */
bool fdtable_is_ours(int fd);

/* A new descriptor for file; consumes the reference, also on failure. oflags: O_CLOEXEC. -EMFILE, -ENOMEM. */
int fdtable_install(struct file *file, int oflags);

/* fd, which is nobody's yet, is a descriptor of file from now on; consumes the reference, also on failure. */
int fdtable_set(int fd, struct file *file);

/* newfd now is another descriptor of oldfd's file (dup, dup2, F_DUPFD): call after the real call succeeded.
 */
void fdtable_dup(int oldfd, int newfd);

/* A descriptor arrived from elsewhere (SCM_RIGHTS, pidfd_getfd): recognise it by its inode. True when ours.
 */
bool fdtable_adopt(int fd);

/* The number is being closed: forget it and drop its reference. Call before the real close. */
void fdtable_close(int fd);

/* The same for first..last (close_range, closefrom). */
void fdtable_close_range(unsigned int first, unsigned int last);

/* Walk all of our descriptors. */
void fdtable_for_each(void (*fn)(int fd, struct file *file, void *arg), void *arg);

/* The caller that stands for this process; mm is set by iommu/mm at start. */
extern struct caller self_caller;

#endif
