/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open files.
 *
 * A file is one open file description: what open(), or an ioctl that returns a descriptor, makes. It is kept
 * alive by its descriptors (dup, fork) and by every call under way in it; the last one to go runs release.
 * A subsystem gives it a table of operations and a private pointer.
 */
#ifndef UVFIO_FILE_FILE_H
#define UVFIO_FILE_FILE_H

#include "base/base.h"
#include "file/caller.h"

struct file;

/* One stretch of a mapping that a file's mmap operation allows. */
struct mmap_segment {
	uint64_t offset; /* from the start of the request, bytes, page aligned */
	uint64_t length;
	int fd; /* plain memory: a descriptor that belongs to the file, to be mapped shared; -1: trapped */
	uint64_t fd_offset;
};

#define MMAP_MAX_SEGMENTS 16

struct mmap_plan {
	uint64_t offset;                                 /* in: file offset of the request */
	uint64_t length;                                 /* in: bytes, page aligned */
	int prot, flags;                                 /* in: as given to mmap() */
	unsigned int nr;                                 /* out */
	struct mmap_segment segments[MMAP_MAX_SEGMENTS]; /* out: ascending, without gaps */
	/*
	 * out: what the mapping keeps open instead of the file, with a reference for who asked; its release
	 * says that the last of the mapping is gone. NULL: the file.
	 */
	struct file *holder;
};

struct file_ops {
	const char *name;
	void (*release)(struct file *file); /* last reference gone; cannot fail */
	/* cmd: the low 32 bits of the request. The result is what ioctl() returns, or a negative errno. NULL:
	 * -ENOTTY. */
	long (*ioctl)(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg);
	/* pread/pwrite at off. buf is the caller's address. NULL: -EINVAL. */
	ssize_t (*read)(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			uint64_t off);
	ssize_t (*write)(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			 uint64_t off);
	/* Fill plan->segments. 0 or -errno. NULL: -ENODEV. */
	int (*mmap)(struct file *file, struct mmap_plan *plan);
	/* A trapped load or store of 1..64 bytes at file offset off. 0, or -EIO for a bus error. Runs in a
	 * signal handler. */
	int (*mmio)(struct file *file, uint64_t off, void *data, unsigned int len, bool write);
	/*
	 * A descriptor to stand for the file, its receiver's from then on, or -errno: for poll(), which asks
	 * the kernel. No other file has its inode. NULL: a memfd.
	 */
	int (*descriptor)(struct file *file, int oflags);
	bool asked_for_nothing; /* reads and writes of 0 bytes are carried out, too */
};

struct file {
	_Atomic uint32_t refs;
	int oflags; /* O_ACCMODE | O_NONBLOCK ... as opened */
	const struct file_ops *ops;
	void *priv;
	uint64_t dev, ino; /* of its descriptor: its identity, set once when it is installed */
	struct file *next; /* all files, or the free ones; under the pool's lock */
	char path[256];    /* what readlink(/proc/self/fd/N) must say, e.g. "/dev/vfio/vfio" or
			      "anon_inode:[vfio-device]" */
};

/* A new file with one reference, or NULL. */
struct file *file_alloc(const struct file_ops *ops, void *priv, int oflags, const char *path);
void file_get(struct file *file);
void file_put(struct file *file); /* may run release */

/*
 * Files are type-stable memory: file_get_if_live() may be called with a pointer that was a file a moment ago.
 * False when its last reference is gone; the caller must then check again that the file is the one it wanted.
 */
bool file_get_if_live(struct file *file);

/* The live file with this identity, with a reference, or NULL. */
struct file *file_by_inode(uint64_t dev, uint64_t ino);

/* Call fn for every live file, descriptors or not. fn may neither make nor release one. */
void file_for_each(void (*fn)(struct file *file, void *arg), void *arg);

/* This is the child of a fork. */
void file_forked(void);

/* The calls, as the system calls have them, once a descriptor has been looked up. */
long file_ioctl(struct file *file, const struct caller *caller, unsigned long cmd, uint64_t arg);
ssize_t file_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len, uint64_t off);
ssize_t file_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len, uint64_t off);
/* What is wrong with reading, or writing, at all: 0, -EBADF, -EINVAL. */
int file_may(const struct file *file, bool write_it);
int file_mmap(struct file *file, struct mmap_plan *plan);

#endif
