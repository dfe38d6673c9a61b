/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of another process: its operations, which ask the owner (see share.h).
 *
 * In the child of a fork an inherited file stays the structure it was, with these operations in place of its
 * own; the copies of the owner's objects behind it are left alone. They come into their own when the owner
 * ends with nothing done since the fork.
 *
 * What is said under owners_lock() (owner.h) protects also which operations a file has, and who opens nodes
 * for us.
 */
#include "base/trace.h"
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/owner.h"
#include "intercept/share.h"

#include <string.h>

struct remote_file {
	struct owner *owner;
	const struct file_ops *ops; /* what it was before the fork; NULL for a file that came later */
	void *priv;
	int *fds; /* plain memory of its mappings */
	unsigned int nr_fds;
};

static const struct file_ops remote_ops;
static struct owner *parent; /* it opens nodes for us; NULL: we do */
static uint64_t ioctls_at_fork, own_ioctls;

bool remote_is(const struct file *file)
{
	return file->ops == &remote_ops;
}

static void restore_file(struct file *file, void *owner)
{
	struct remote_file *remote = file->priv;

	if (!remote_is(file) || remote->owner != owner || !remote->ops)
		return;
	file->priv = remote->priv;
	atomic_thread_fence(memory_order_release); /* who sees the operations sees what they work on */
	file->ops = remote->ops;
	free(remote);
}

/* The owner is gone. Its files are ours when it was our parent and nothing has been done with them since the
 * fork. */
static void lose(struct owner *owner)
{
	uint64_t ioctls = atomic_load(&stats[STAT_IOCTLS]) - ioctls_at_fork;

	owner_hang_up(owner);
	owner->dead = true;
	if (owner != parent)
		return;
	parent = NULL;
	if (owner->answered || ioctls != own_ioctls) {
		intercept_forget_machine();
		return;
	}
	file_for_each(restore_file, owner);
	intercept_take_over();
}

/* Under the lock. 0: the answer is in owner_answer. -EPIPE: there is no owner (any more). */
static int request(struct owner *owner, const struct wire_msg *msg, const void *data, size_t len)
{
	int rc = owner_request(owner, msg, data, len);

	if (rc && !owner->dead)
		lose(owner);
	return rc;
}

/*
 * Ask the owner of file. 0: the answer is in owner_answer; -EIO: the file is lost; 1: the file is ours now,
 * call its own operation.
 */
static int request_on(struct file *file, struct wire_msg *msg, const void *data, size_t len)
{
	struct remote_file *remote = file->priv;

	if (!remote_is(file))
		return 1;
	msg->dev = file->dev;
	msg->ino = file->ino;
	if (!request(remote->owner, msg, data, len))
		return 0;
	return remote_is(file) ? -EIO : 1;
}

/* A structure for a file of owner's. With a reference, or NULL. */
static struct file *new_remote_file(struct owner *owner, const struct wire_msg *msg)
{
	struct file *file = file_by_inode(msg->dev, msg->ino);
	struct remote_file *remote;

	if (file)
		return file;
	remote = calloc(1, sizeof(*remote));
	if (!remote)
		return NULL;
	remote->owner = owner;
	file = file_alloc(&remote_ops, remote, msg->oflags & ~O_CLOEXEC, msg->path);
	if (!file) {
		free(remote);
		return NULL;
	}
	file->dev = msg->dev;
	file->ino = msg->ino;
	return file;
}

/* The answer brought a descriptor of a new file: its number here, or -errno. */
static int take_new_file(struct owner *owner)
{
	struct file *file;
	int fd;

	if (owner_answer.nr_fds != 1)
		return -EIO;
	fd = fcntl(owner_answer.fds[0], owner_answer.msg.oflags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	private_fd_close(owner_answer.fds[0]);
	if (fd < 0)
		return -EMFILE;
	file = new_remote_file(owner, &owner_answer.msg);
	if (!file || !fdtable_adopt(fd)) {
		close(fd);
		fd = -ENOMEM;
	}
	if (file)
		file_put(file);
	return fd;
}

/* The same, where the number is to stand in memory: what the ioctl returns. */
static long place_new_file(struct owner *owner, const struct caller *caller)
{
	uint64_t at = owner_answer.msg.fd_at;
	long result = owner_answer.msg.result;
	int fd = take_new_file(owner);

	if (fd < 0 || !at)
		return fd;
	if (!copy_out(caller, at, &fd, sizeof(fd)))
		return result;
	fdtable_close(fd);
	close(fd);
	return -EFAULT;
}

static long remote_ioctl(struct file *file, const struct caller *caller, uint32_t cmd, uint64_t arg)
{
	struct wire_msg msg = { .kind = WIRE_IOCTL, .cmd = cmd, .arg = arg };
	sigset_t saved;
	long rc;

	owners_lock(&saved);
	own_ioctls++;
	rc = request_on(file, &msg, NULL, 0);
	if (!rc)
		rc = owner_answer.msg.new_file
			     ? place_new_file(((struct remote_file *)file->priv)->owner, caller)
			     : owner_answer.msg.result;
	else if (rc == 1)
		rc = INT64_MIN;
	owners_unlock(&saved);
	if (rc != INT64_MIN)
		return rc;
	return file->ops->ioctl ? file->ops->ioctl(file, caller, cmd, arg) : -ENOTTY;
}

static ssize_t transfer(struct file *file, struct wire_msg *msg, bool *own)
{
	sigset_t saved;
	ssize_t rc;

	owners_lock(&saved);
	rc = request_on(file, msg, NULL, 0);
	*own = rc == 1;
	if (!rc)
		rc = owner_answer.msg.result;
	owners_unlock(&saved);
	return rc;
}

static ssize_t remote_read(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			   uint64_t off)
{
	struct wire_msg msg = { .kind = WIRE_READ, .arg = buf, .len = len, .off = off };
	bool own;
	ssize_t rc = transfer(file, &msg, &own);

	return own ? file_read(file, caller, buf, len, off) : rc;
}

static ssize_t remote_write(struct file *file, const struct caller *caller, uint64_t buf, size_t len,
			    uint64_t off)
{
	struct wire_msg msg = { .kind = WIRE_WRITE, .arg = buf, .len = len, .off = off };
	bool own;
	ssize_t rc = transfer(file, &msg, &own);

	return own ? file_write(file, caller, buf, len, off) : rc;
}

/* The plan in the answer, with the descriptors that came with it, which the file keeps. */
static int take_plan(struct remote_file *remote, struct mmap_plan *plan)
{
	unsigned int used = 0;
	int *fds;

	if (owner_answer.len != sizeof(*plan))
		return -EIO;
	fds = realloc(remote->fds, (remote->nr_fds + owner_answer.nr_fds + 1) * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	remote->fds = fds;
	memcpy(plan, owner_answer.data, sizeof(*plan));
	for (unsigned int i = 0; i < plan->nr && i < MMAP_MAX_SEGMENTS; i++)
		if (plan->segments[i].fd >= 0)
			plan->segments[i].fd = used < owner_answer.nr_fds ? owner_answer.fds[used++] : -1;
	memcpy(fds + remote->nr_fds, owner_answer.fds, owner_answer.nr_fds * sizeof(*fds));
	remote->nr_fds += owner_answer.nr_fds;
	return 0;
}

static int remote_mmap(struct file *file, struct mmap_plan *plan)
{
	struct wire_msg msg = { .kind = WIRE_MMAP };
	sigset_t saved;
	bool own;
	int rc;

	owners_lock(&saved);
	rc = request_on(file, &msg, plan, sizeof(*plan));
	own = rc == 1;
	if (!rc)
		rc = (int)owner_answer.msg.result;
	if (!rc)
		rc = take_plan(file->priv, plan);
	owners_unlock(&saved);
	return own ? file_mmap(file, plan) : rc;
}

static int remote_mmio(struct file *file, uint64_t off, void *data, unsigned int len, bool write)
{
	struct wire_msg msg = { .kind = WIRE_MMIO, .off = off, .len = len, .write = write };
	sigset_t saved;
	bool own;
	int rc;

	owners_lock(&saved);
	rc = request_on(file, &msg, data, len);
	own = rc == 1;
	if (!rc)
		rc = owner_answer.msg.result || owner_answer.len != len ? -EIO : 0;
	if (!rc && !write)
		memcpy(data, owner_answer.data, len);
	owners_unlock(&saved);
	if (own)
		return file->ops->mmio ? file->ops->mmio(file, off, data, len, write) : -EIO;
	return rc;
}

static void remote_release(struct file *file)
{
	struct remote_file *remote = file->priv;

	for (unsigned int i = 0; i < remote->nr_fds; i++)
		private_fd_close(remote->fds[i]);
	free(remote->fds);
	free(remote);
}

static const struct file_ops remote_ops = {
	.name = "remote",
	.release = remote_release,
	.ioctl = remote_ioctl,
	.read = remote_read,
	.write = remote_write,
	.mmap = remote_mmap,
	.mmio = remote_mmio,
	.asked_for_nothing = true,
};

bool remote_open(const char *name, int oflags, int *fd)
{
	struct wire_msg msg = { .kind = WIRE_OPEN, .oflags = oflags };
	sigset_t saved;
	bool done = false;

	if (!parent || strlen(name) >= sizeof(msg.path))
		return false;
	strcpy(msg.path, name);
	owners_lock(&saved);
	if (parent && !request(parent, &msg, NULL, 0)) {
		*fd = owner_answer.msg.new_file ? take_new_file(parent) : (int)owner_answer.msg.result;
		done = true;
	}
	owners_unlock(&saved);
	return done;
}

bool remote_charges(pid_t pid, struct status_charges *charges)
{
	struct wire_msg msg = { .kind = WIRE_CHARGES, .arg = (uint64_t)pid };
	sigset_t saved;
	bool done = false;

	if (!parent)
		return false;
	owners_lock(&saved);
	if (parent && !request(parent, &msg, NULL, 0)) {
		charges->pinned = owner_answer.msg.arg;
		charges->locked = owner_answer.msg.len;
		done = true;
	}
	owners_unlock(&saved);
	return done;
}

/* The owner's address as it stands in the memfd: false when fd is something else. */
static bool read_address(int fd, struct wire_address *address)
{
	struct stat st;
	char path[32];
	ssize_t n;
	int copy;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink || st.st_size != sizeof(*address))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, O_RDONLY | O_CLOEXEC);
	if (copy < 0)
		return false;
	n = pread(copy, address, sizeof(*address), 0);
	close(copy);
	return n == sizeof(*address) && !memcmp(address->magic, WIRE_MAGIC, sizeof(WIRE_MAGIC)) &&
	       address->dev == st.st_dev && address->ino == st.st_ino;
}

static struct file *adopt(int fd, bool inherited)
{
	struct wire_msg msg = { .kind = WIRE_LOOKUP };
	struct wire_address address;
	struct file *file = NULL;
	struct owner *owner;
	sigset_t saved;

	if (!read_address(fd, &address))
		return NULL;
	msg.dev = address.dev;
	msg.ino = address.ino;
	owners_lock(&saved);
	owner = owner_at(&address);
	if (owner && !request(owner, &msg, NULL, 0) && !owner_answer.msg.result)
		file = new_remote_file(owner, &owner_answer.msg);
	if (file && inherited)
		parent = owner;
	owners_unlock(&saved);
	if (file)
		fdtable_adopt(fd);
	return file;
}

bool remote_adopt(int fd)
{
	struct file *file = adopt(fd, false);

	if (file)
		file_put(file);
	return file;
}

void remote_inherit(int fd)
{
	struct file *file = adopt(fd, true);

	if (file)
		file_put(file);
}

/* In the child of a fork, alone: file_for_each() with the owner. */
static void make_remote(struct file *file, void *owner)
{
	struct remote_file *remote;

	if (remote_is(file))
		return;
	remote = calloc(1, sizeof(*remote));
	if (!remote)
		return;
	remote->owner = owner;
	remote->ops = file->ops;
	remote->priv = file->priv;
	file->ops = &remote_ops;
	file->priv = remote;
}

void remote_before_fork(void)
{
	ioctls_at_fork = atomic_load(&stats[STAT_IOCTLS]);
}

void remote_forked(const struct wire_address *address)
{
	struct owner *owner;

	owners_forked();
	if (!address)
		return;
	owner = owner_at(address);
	if (!owner)
		return;
	parent = owner;
	own_ioctls = 0;
	file_for_each(make_remote, owner);
}
