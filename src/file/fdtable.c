/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptor numbers to files: a table of two levels whose entries are read and exchanged atomically.
 *
 * An entry owns one reference to its file. A reader takes its reference with file_get_if_live() and looks at
 * the entry again: when it has changed meanwhile, the number was closed (and perhaps reused) and the reader
 * starts anew.
 */
#include "file/fdtable.h"

#include "base/fault.h"
#include "base/private_fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEAF_BITS 12
#define LEAF_SIZE (1 << LEAF_BITS)
#define NR_LEAVES 1024

typedef _Atomic(struct file *) slot_t;

static _Atomic(slot_t *) leaves[NR_LEAVES];

static slot_t *find_slot(int fd)
{
	unsigned int leaf = (unsigned int)fd >> LEAF_BITS;
	slot_t *slots;

	if (leaf >= NR_LEAVES)
		return NULL;
	slots = atomic_load_explicit(&leaves[leaf], memory_order_acquire);
	return slots ? &slots[fd & (LEAF_SIZE - 1)] : NULL;
}

static slot_t *make_slot(int fd)
{
	unsigned int leaf = (unsigned int)fd >> LEAF_BITS;
	slot_t *none = NULL;
	slot_t *slots;

	if (leaf >= NR_LEAVES)
		return NULL;
	if (!atomic_load(&leaves[leaf])) {
		slots = calloc(LEAF_SIZE, sizeof(*slots));
		if (!slots)
			return NULL;
		if (!atomic_compare_exchange_strong(&leaves[leaf], &none, slots))
			free(slots);
	}
	return find_slot(fd);
}

bool fdtable_is_ours(int fd)
{
	slot_t *slot = find_slot(fd);

	return slot && atomic_load_explicit(slot, memory_order_relaxed);
}

struct file *fdtable_get(int fd)
{
	slot_t *slot = find_slot(fd);
	struct file *file;

	if (likely(!slot))
		return NULL;
	for (;;) {
		file = atomic_load_explicit(slot, memory_order_acquire);
		if (!file)
			return NULL;
		if (!file_get_if_live(file))
			continue;
		if (likely(atomic_load_explicit(slot, memory_order_acquire) == file))
			return file;
		file_put(file);
	}
}

/* Put file, whose reference is consumed, into a slot. */
static void set_slot(slot_t *slot, struct file *file)
{
	struct file *old = atomic_exchange_explicit(slot, file, memory_order_acq_rel);

	if (old)
		file_put(old);
}

/* A descriptor whose description has the access mode that the file was opened with. */
static int new_descriptor(const struct file *file, int oflags)
{
	int cloexec = oflags & O_CLOEXEC;
	char path[32];
	int mem, fd;

	mem = memfd_create("uvfio", cloexec ? MFD_CLOEXEC : 0);
	if (mem < 0)
		return -errno;
	if ((file->oflags & O_ACCMODE) == O_RDWR)
		return mem;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", mem);
	fd = open(path, (file->oflags & O_ACCMODE) | cloexec);
	if (fd < 0)
		return mem; /* without /proc: only F_GETFL differs */
	close(mem);
	return fd;
}

int fdtable_set(int fd, struct file *file)
{
	slot_t *slot = make_slot(fd);
	struct stat st;

	if (!slot || fstat(fd, &st) < 0) {
		file_put(file);
		return slot ? -EMFILE : -ENOMEM;
	}
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	set_slot(slot, file);
	return fd;
}

int fdtable_install(struct file *file, int oflags)
{
	int fd = file->ops->descriptor ? file->ops->descriptor(file, oflags) : new_descriptor(file, oflags);
	int rc;

	if (fd < 0) {
		file_put(file);
		return fd;
	}
	rc = fdtable_set(fd, file);
	if (rc < 0)
		close(fd);
	return rc;
}

void fdtable_dup(int oldfd, int newfd)
{
	struct file *file;
	slot_t *slot;

	if (oldfd == newfd)
		return;
	file = fdtable_get(oldfd);
	slot = file ? make_slot(newfd) : find_slot(newfd);
	if (slot)
		set_slot(slot, file);
	else if (file)
		file_put(file);
}

bool fdtable_adopt(int fd)
{
	struct file *file;
	struct stat st;
	slot_t *slot;

	if (fstat(fd, &st) < 0)
		return false;
	file = file_by_inode(st.st_dev, st.st_ino);
	if (!file)
		return false;
	slot = make_slot(fd);
	if (!slot) {
		file_put(file);
		return false;
	}
	set_slot(slot, file);
	return true;
}

void fdtable_close(int fd)
{
	slot_t *slot = find_slot(fd);

	if (slot && atomic_load_explicit(slot, memory_order_relaxed))
		set_slot(slot, NULL);
}

void fdtable_close_range(unsigned int first, unsigned int last)
{
	last = MIN(last, (unsigned int)NR_LEAVES * LEAF_SIZE - 1);
	for (unsigned int fd = first; fd <= last; fd++) {
		if (!atomic_load(&leaves[fd >> LEAF_BITS]))
			fd |= LEAF_SIZE - 1;
		else
			fdtable_close((int)fd);
	}
}

void fdtable_for_each(void (*fn)(int fd, struct file *file, void *arg), void *arg)
{
	for (int leaf = 0; leaf < NR_LEAVES; leaf++) {
		if (!atomic_load(&leaves[leaf]))
			continue;
		for (int fd = leaf * LEAF_SIZE; fd < (leaf + 1) * LEAF_SIZE; fd++) {
			struct file *file = fdtable_get(fd);

			if (file) {
				fn(fd, file, arg);
				file_put(file);
			}
		}
	}
}

static int self_copy_in(const struct caller *caller, void *dst, uint64_t src, size_t len)
{
	const void *from = (const void *)(uintptr_t)src;

	(void)caller;
	return copy_arg_nofault(dst, from, len, from);
}

static int self_copy_out(const struct caller *caller, uint64_t dst, const void *src, size_t len)
{
	void *to = (void *)(uintptr_t)dst;

	(void)caller;
	return copy_arg_nofault(to, src, len, to);
}

/* As fget() has it: no such number, or a descriptor that stands for a path only. */
static bool is_open(int fd)
{
	int fl = fd < 0 ? -1 : fcntl(fd, F_GETFL);

	return fl >= 0 && !(fl & O_PATH);
}

static int self_dup_fd(const struct caller *caller, int fd)
{
	int copy;

	(void)caller;
	if (!is_open(fd))
		return -EBADF;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return copy < 0 ? -errno : private_fd(copy);
}

static int self_get_file(const struct caller *caller, int fd, struct file **file)
{
	(void)caller;
	if (fd < 0)
		return -EBADF;
	*file = fdtable_get(fd);
	if (*file)
		return 0;
	return is_open(fd) ? -EBADFD : -EBADF;
}

static int self_install(const struct caller *caller, struct file *file, int oflags)
{
	(void)caller;
	return fdtable_install(file, oflags);
}

static int self_install_at(const struct caller *caller, struct file *file, int oflags, uint64_t at)
{
	int fd = fdtable_install(file, oflags);

	if (fd < 0)
		return fd;
	if (!self_copy_out(caller, at, &fd, sizeof(fd)))
		return 0;
	fdtable_close(fd);
	close(fd);
	return -EFAULT;
}

static const struct caller_ops self_ops = {
	.copy_in = self_copy_in,
	.copy_out = self_copy_out,
	.dup_fd = self_dup_fd,
	.get_file = self_get_file,
	.install = self_install,
	.install_at = self_install_at,
};

struct caller self_caller = { .ops = &self_ops };
