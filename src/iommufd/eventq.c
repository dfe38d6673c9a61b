/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files from which user space reads events.
 *
 * poll() and epoll ask the kernel, so what stands for such a file must be readable there when, and only when,
 * there is something to read: a pipe, the bell. Each event puts a byte in it (which wakes those up that wait
 * for an edge, too), and who reads the last event empties it. Nobody but us reads or writes the bytes. The
 * program's descriptors are opened anew, so that they have flags of their own.
 *
 * read() never blocks: without an event it returns 0.
 */
#include "iommufd/eventq.h"

#include "base/private_fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_RUNG 256 /* bytes in the bell: a page of the pipe, at most */

static int reopen(int fd, int oflags)
{
	char path[32];
	int rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = open(path, oflags);
	return rc < 0 ? -errno : rc;
}

/* One private descriptor of both ends, or -errno. */
static int make_bell(void)
{
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	rc = private_fd(reopen(ends[0], O_RDWR | O_CLOEXEC | O_NONBLOCK));
	close(ends[0]);
	close(ends[1]);
	return rc;
}

int iommufd_eventq_init(struct iommufd_eventq *eventq, struct iommufd_ctx *ctx, const struct file_ops *ops,
			const char *path)
{
	int rc;

	pthread_mutex_init(&eventq->lock, NULL);
	CDS_INIT_LIST_HEAD(&eventq->deliver);
	eventq->ctx = ctx;
	eventq->bell = -1;
	if (iommufd_should_fail())
		return -ENOMEM;
	rc = make_bell();
	if (rc < 0)
		return rc;
	eventq->file = file_alloc(ops, eventq, O_RDWR, path);
	if (!eventq->file) {
		private_fd_close(rc);
		return -ENOMEM;
	}
	eventq->bell = rc;
	iommufd_object_use(&eventq->obj);
	iommufd_ctx_get(ctx);
	return 0;
}

int iommufd_eventq_descriptor(struct file *file, int oflags)
{
	struct iommufd_eventq *eventq = file->priv;

	return reopen(eventq->bell, O_RDWR | (oflags & O_CLOEXEC));
}

int iommufd_eventq_descriptor_readable(struct file *file, int oflags)
{
	struct iommufd_eventq *eventq = file->priv;

	return reopen(eventq->bell, O_RDONLY | (oflags & O_CLOEXEC));
}

void iommufd_eventq_release(struct file *file)
{
	struct iommufd_eventq *eventq = file->priv;
	struct iommufd_ctx *ctx = eventq->ctx;
	int bell;

	pthread_mutex_lock(&eventq->lock);
	bell = eventq->bell;
	eventq->bell = -1;
	eventq->file = NULL;
	pthread_mutex_unlock(&eventq->lock);
	private_fd_close(bell);
	iommufd_object_unuse(&eventq->obj);
	iommufd_ctx_put(ctx);
}

void iommufd_eventq_forked(struct iommufd_eventq *eventq)
{
	pthread_mutex_init(&eventq->lock, NULL);
}

int iommufd_eventq_respond(struct iommufd_eventq *eventq, struct iommufd_ucmd *ucmd, size_t fd_at, size_t len)
{
	int rc = iommufd_ucmd_respond(ucmd, len);

	if (rc) {
		file_put(eventq->file);
		return rc;
	}
	return ucmd->caller->ops->install_at(ucmd->caller, eventq->file, O_CLOEXEC, ucmd->uptr + fd_at);
}

void iommufd_eventq_ring(struct iommufd_eventq *eventq)
{
	if (eventq->bell >= 0 && eventq->rung < MAX_RUNG && write(eventq->bell, "", 1) == 1)
		eventq->rung++;
}

void iommufd_eventq_hush(struct iommufd_eventq *eventq)
{
	char bytes[MAX_RUNG];

	if (eventq->bell >= 0 && eventq->rung && read(eventq->bell, bytes, sizeof(bytes)) < 0)
		return;
	eventq->rung = 0;
}
