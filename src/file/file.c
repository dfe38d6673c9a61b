/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open files: a pool of type-stable structures with reference counts.
 *
 * The memory of a file is used for files only, so that a descriptor can be looked up without a lock: a looker
 * takes a reference unless the count is zero, and checks afterwards that the descriptor still means this
 * file.
 *
 * pool_lock protects the list of all files and the free list; no other lock is taken inside it.
 */
#include "file/file.h"

#include "base/why.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FILES_PER_BLOCK 64

struct file_block {
	struct file_block *next;
	struct file files[FILES_PER_BLOCK];
};

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct file_block *blocks;
static struct file *free_files;

static bool add_block(void)
{
	struct file_block *block = calloc(1, sizeof(*block));

	if (!block)
		return false;
	for (size_t i = 0; i < FILES_PER_BLOCK; i++) {
		block->files[i].next = free_files;
		free_files = &block->files[i];
	}
	block->next = blocks;
	blocks = block;
	return true;
}

struct file *file_alloc(const struct file_ops *ops, void *priv, int oflags, const char *path)
{
	struct file *file = NULL;

	pthread_mutex_lock(&pool_lock);
	if (free_files || add_block()) {
		file = free_files;
		free_files = file->next;
	}
	pthread_mutex_unlock(&pool_lock);
	if (!file)
		return NULL;
	file->oflags = oflags;
	file->ops = ops;
	file->priv = priv;
	file->dev = file->ino = 0;
	strncpy(file->path, path, sizeof(file->path) - 1);
	atomic_store(&file->refs, 1);
	return file;
}

void file_get(struct file *file)
{
	atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
}

bool file_get_if_live(struct file *file)
{
	uint32_t refs = atomic_load_explicit(&file->refs, memory_order_relaxed);

	do {
		if (!refs)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&file->refs, &refs, refs + 1, memory_order_acquire,
							memory_order_relaxed));
	return true;
}

void file_put(struct file *file)
{
	if (atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (trace_on(TRACE_FILE))
		trace_emit(TRACE_FILE, NULL, "release", 0, "%s", file->path);
	file->ops->release(file);
	pthread_mutex_lock(&pool_lock);
	file->next = free_files;
	free_files = file;
	pthread_mutex_unlock(&pool_lock);
}

struct file *file_by_inode(uint64_t dev, uint64_t ino)
{
	struct file *found = NULL;

	pthread_mutex_lock(&pool_lock);
	for (struct file_block *block = blocks; block && !found; block = block->next) {
		for (size_t i = 0; i < FILES_PER_BLOCK; i++) {
			struct file *file = &block->files[i];

			if (file->ino == ino && file->dev == dev && file_get_if_live(file)) {
				found = file;
				break;
			}
		}
	}
	pthread_mutex_unlock(&pool_lock);
	return found;
}

void file_for_each(void (*fn)(struct file *file, void *arg), void *arg)
{
	pthread_mutex_lock(&pool_lock);
	for (struct file_block *block = blocks; block; block = block->next)
		for (size_t i = 0; i < FILES_PER_BLOCK; i++)
			if (atomic_load(&block->files[i].refs))
				fn(&block->files[i], arg);
	pthread_mutex_unlock(&pool_lock);
}

void file_forked(void)
{
	pthread_mutex_init(&pool_lock, NULL);
}

long file_ioctl(struct file *file, const struct caller *caller, unsigned long cmd, uint64_t arg)
{
	stat_add(STAT_IOCTLS, 1);
	if (!file->ops->ioctl)
		return -ENOTTY;
	return file->ops->ioctl(file, caller, (uint32_t)cmd, arg);
}

int file_may(const struct file *file, bool write_it)
{
	if ((file->oflags & O_ACCMODE) == (write_it ? O_RDONLY : O_WRONLY))
		return -EBADF;
	return (write_it ? file->ops->write : file->ops->read) ? 0 : -EINVAL;
}

static inline ssize_t transfer(struct file *file, const struct caller *caller, bool write_it, uint64_t buf,
			       size_t len, uint64_t off)
{
	int rc = file_may(file, write_it);

	if (rc || (!len && !file->ops->asked_for_nothing))
		return rc;
	return (write_it ? file->ops->write : file->ops->read)(file, caller, buf, len, off);
}

/* What succeeds is traced by what the file stands for: config, bar. An empty queue is no mistake. */
static __attribute__((noinline, cold)) ssize_t traced(struct file *file, const struct caller *caller,
						      bool write_it, uint64_t buf, size_t len, uint64_t off)
{
	char error[256];
	ssize_t rc;

	why_clear();
	rc = transfer(file, caller, write_it, buf, len, off);
	if (rc < 0 && rc != -EAGAIN)
		trace_emit(TRACE_FILE, NULL, write_it ? "write" : "read", 0,
			   "%s offset=0x%llx length=0x%zx = -1 %s", file->path, (unsigned long long)off, len,
			   why_error(rc, error, sizeof(error)));
	return rc;
}

ssize_t file_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len, uint64_t off)
{
	return trace_on(TRACE_FILE) ? traced(file, caller, false, buf, len, off)
				    : transfer(file, caller, false, buf, len, off);
}

ssize_t file_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len, uint64_t off)
{
	return trace_on(TRACE_FILE) ? traced(file, caller, true, buf, len, off)
				    : transfer(file, caller, true, buf, len, off);
}

int file_mmap(struct file *file, struct mmap_plan *plan)
{
	plan->nr = 0;
	plan->holder = NULL;
	if (!file->ops->mmap)
		return -ENODEV;
	return file->ops->mmap(file, plan);
}
