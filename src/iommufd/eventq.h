/* SPDX-License-Identifier: BSD-2-Clause */
/* What fault queues and vIOMMU event queues share: their file, and how poll() hears of events (eventq.c). */
#ifndef UVFIO_IOMMUFD_EVENTQ_H
#define UVFIO_IOMMUFD_EVENTQ_H

#include "iommufd/impl.h"

/*
 * eventq->obj has been allocated. Make the file; path: what its descriptor is a link to. 0 or -errno; the
 * descriptor's maker is eventq_descriptor, or eventq_descriptor_readable when poll() never says POLLOUT.
 */
int iommufd_eventq_init(struct iommufd_eventq *eventq, struct iommufd_ctx *ctx, const struct file_ops *ops,
			const char *path);
int iommufd_eventq_descriptor(struct file *file, int oflags);
int iommufd_eventq_descriptor_readable(struct file *file, int oflags);
void iommufd_eventq_release(struct file *file);
void iommufd_eventq_forked(struct iommufd_eventq *eventq);

/*
 * The end of the handler that made it: answer with the first len bytes of ucmd->arg, and a descriptor at
 * offset fd_at in them. On failure the file is gone.
 */
int iommufd_eventq_respond(struct iommufd_eventq *eventq, struct iommufd_ucmd *ucmd, size_t fd_at,
			   size_t len);

/* An event has come; there is none any more. eventq->lock is held. */
void iommufd_eventq_ring(struct iommufd_eventq *eventq);
void iommufd_eventq_hush(struct iommufd_eventq *eventq);

#endif
