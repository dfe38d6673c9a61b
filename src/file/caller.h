/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who makes a call. The core never assumes that it runs in the client's process: a client's memory and its
 * descriptors are reached through a caller only. Today there are two: this process, and a forked child that
 * asks its parent (intercept/remote).
 */
#ifndef UVFIO_FILE_CALLER_H
#define UVFIO_FILE_CALLER_H

#include "base/base.h"

struct caller;
struct file;
struct mm;

struct caller_ops {
	/* Copy between our memory and the caller's. 0 or -EFAULT. */
	int (*copy_in)(const struct caller *caller, void *dst, uint64_t src, size_t len);
	int (*copy_out)(const struct caller *caller, uint64_t dst, const void *src, size_t len);
	/* A duplicate (close-on-exec) of the caller's descriptor, to be closed by us. -EBADF. */
	int (*dup_fd)(const struct caller *caller, int fd);
	/* Our file behind the caller's descriptor, with a reference: 0, -EBADF (no descriptor), -EBADFD (not
	 * ours). */
	int (*get_file)(const struct caller *caller, int fd, struct file **file);
	/* Give the caller a descriptor for file; consumes the reference also on failure. oflags: O_CLOEXEC..
	 * -EMFILE. */
	int (*install)(const struct caller *caller, struct file *file, int oflags);
	/* The same for an ioctl that does not return the number: it is written, 32 bits, to at in the
	 * caller's memory. 0, or also -EFAULT. The last that the ioctl does. */
	int (*install_at)(const struct caller *caller, struct file *file, int oflags, uint64_t at);
};

struct caller {
	const struct caller_ops *ops;
	struct mm *mm; /* the caller's address space; mappings made by the caller hold a reference to it */
	pid_t pid;
};

static inline int copy_in(const struct caller *c, void *dst, uint64_t src, size_t len)
{
	return c->ops->copy_in(c, dst, src, len);
}

static inline int copy_out(const struct caller *c, uint64_t dst, const void *src, size_t len)
{
	return c->ops->copy_out(c, dst, src, len);
}

#endif
