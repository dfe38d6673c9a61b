/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are kept open because another process may have a descriptor of them: see share.h.
 *
 * The file's description has a lock on its memfd. A second description, the probe, finds out whether that is
 * still there: a thread waits for it (and then has the lock itself, which nobody minds), and hold_reap()
 * asks, for those who cannot wait for a thread to wake up: who opens a group right after a child has ended
 * must find it free.
 *
 * lock protects the list and what is in it; releasing a file happens without it. Who is about to release one
 * says so (settling), so that hold_reap() can wait until it has been done.
 */
#include "base/thread.h"
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/share.h"

#include <string.h>
#include <urcu/list.h>

struct hold {
	struct file *file; /* with a reference; NULL when let go */
	int probe;
	struct cds_list_head node;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(holds);
static pthread_cond_t settled = PTHREAD_COND_INITIALIZER;
static _Atomic unsigned int nr_held; /* and those that are settling */
static unsigned int nr_settling;

/* A lock on the whole file that conflicts with any other's. */
static struct flock whole(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

/* Nobody has a descriptor of the file any more. Under the lock. */
static bool is_gone(const struct hold *hold)
{
	struct flock fl = whole(F_WRLCK);

	return !fcntl(hold->probe, F_OFD_GETLK, &fl) && fl.l_type == F_UNLCK;
}

void hold_settle_begin(void)
{
	pthread_mutex_lock(&lock);
	nr_settling++;
	atomic_fetch_add(&nr_held, 1);
	pthread_mutex_unlock(&lock);
}

void hold_settle_end(void)
{
	pthread_mutex_lock(&lock);
	atomic_fetch_sub(&nr_held, 1);
	if (!--nr_settling)
		pthread_cond_broadcast(&settled);
	pthread_mutex_unlock(&lock);
}

/* Under the lock: the file that settle() is to put, once, without it. */
static struct file *let_go(struct hold *hold)
{
	struct file *file = hold->file;

	hold->file = NULL;
	if (file)
		nr_settling++;
	return file;
}

static void settle(struct file *file)
{
	if (!file)
		return;
	file_put(file);
	hold_settle_end();
}

static void *wait_for_end(void *arg)
{
	struct hold *hold = arg;
	struct flock fl = whole(F_WRLCK);
	struct file *file;

	while (fcntl(hold->probe, F_OFD_SETLKW, &fl) < 0 && errno == EINTR) {
	}
	pthread_mutex_lock(&lock);
	file = let_go(hold);
	cds_list_del(&hold->node);
	pthread_mutex_unlock(&lock);
	private_fd_close(hold->probe);
	free(hold);
	settle(file);
	return NULL;
}

static bool is_held(const struct file *file)
{
	struct hold *hold;

	cds_list_for_each_entry (hold, &holds, node)
		if (hold->file == file)
			return true;
	return false;
}

/*
 * A duplicate of fd that is certainly a descriptor of file: the number may have been closed, and be something
 * else, since it was looked up. -EBADF then.
 */
static int pin_description(const struct file *file, int fd)
{
	int copy = private_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	struct stat st;

	if (copy < 0)
		return -errno;
	if (!fstat(copy, &st) && st.st_dev == file->dev && st.st_ino == file->ino)
		return copy;
	private_fd_close(copy);
	return -EBADF;
}

/* The second description, with our address written for whom the descriptor reaches. */
static int open_probe(const struct file *file, int fd)
{
	const struct wire_address *address = serve_address();
	struct wire_address record;
	char path[32];
	int probe;

	if (!address)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	probe = private_fd(open(path, O_RDWR | O_CLOEXEC));
	if (probe < 0)
		return -errno;
	if (file->ops->descriptor) /* a pipe has no room for it: only what is inherited is shared */
		return probe;
	record = *address;
	record.dev = file->dev;
	record.ino = file->ino;
	if (pwrite(probe, &record, sizeof(record), 0) == sizeof(record))
		return probe;
	private_fd_close(probe);
	return -EIO;
}

/* Under the lock. */
static int add_hold(struct file *file, int fd)
{
	struct flock fl = whole((file->oflags & O_ACCMODE) == O_WRONLY ? F_WRLCK : F_RDLCK);
	struct hold *hold = calloc(1, sizeof(*hold));
	pthread_t thread;
	int rc;

	if (!hold)
		return -ENOMEM;
	hold->probe = open_probe(file, fd);
	rc = hold->probe;
	if (rc < 0)
		goto free_hold;
	if (fcntl(fd, F_OFD_SETLK, &fl) < 0) {
		rc = -errno;
		goto close_probe;
	}
	hold->file = file;
	file_get(file); /* the caller has one too: putting it back under the lock releases nothing */
	rc = thread_start(&thread, "uvfio-hold", wait_for_end, hold);
	if (rc)
		goto put_file;
	pthread_detach(thread);
	atomic_fetch_add(&nr_held, 1);
	cds_list_add(&hold->node, &holds);
	return 0;
put_file:
	file_put(file);
close_probe:
	private_fd_close(hold->probe);
free_hold:
	free(hold);
	return rc;
}

int hold_file(struct file *file, int fd)
{
	int rc = 0, copy;

	pthread_mutex_lock(&lock);
	if (!is_held(file)) {
		copy = pin_description(file, fd);
		rc = copy < 0 ? copy : add_hold(file, copy);
		private_fd_close(copy);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

/* A file to let go of; NULL: none, and nobody else is letting go of one. */
static struct file *reap_one(void)
{
	struct file *file = NULL;
	struct hold *hold;

	pthread_mutex_lock(&lock);
	cds_list_for_each_entry (hold, &holds, node) {
		if (hold->file && is_gone(hold)) {
			file = let_go(hold);
			break;
		}
	}
	while (!file && nr_settling)
		pthread_cond_wait(&settled, &lock);
	pthread_mutex_unlock(&lock);
	return file;
}

void hold_reap(void)
{
	struct file *file;

	while (unlikely(atomic_load(&nr_held)) && (file = reap_one()))
		settle(file);
}

void hold_forked(void)
{
	struct hold *hold, *next;

	pthread_mutex_init(&lock, NULL);
	cds_list_for_each_entry_safe (hold, next, &holds, node) {
		private_fd_close(hold->probe);
		if (hold->file)
			file_put(hold->file);
		free(hold);
	}
	CDS_INIT_LIST_HEAD(&holds);
	atomic_store(&nr_held, 0);
	pthread_cond_init(&settled, NULL);
	nr_settling = 0;
}
