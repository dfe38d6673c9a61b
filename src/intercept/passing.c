/* SPDX-License-Identifier: BSD-2-Clause */
/* Hooks: descriptors that travel over sockets. One of ours is recognised on arrival by its inode. */
#include "file/fdtable.h"
#include "intercept/intercept.h"

#include <string.h>

static void adopt_all(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			fdtable_adopt(fd);
		}
	}
}

static inline void received(struct msghdr *msg)
{
	if (unlikely(session.on && msg->msg_control && msg->msg_controllen >= CMSG_LEN(sizeof(int)))) {
		int saved_errno = errno;

		adopt_all(msg);
		errno = saved_errno;
	}
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t r = REAL(recvmsg)(fd, msg, flags);

	if (r >= 0)
		received(msg);
	return r;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags, struct timespec *timeout)
{
	int r = REAL(recvmmsg)(fd, msgs, n, flags, timeout);

	for (int i = 0; i < r; i++)
		received(&msgs[i].msg_hdr);
	return r;
}
