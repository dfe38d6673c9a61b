/* SPDX-License-Identifier: BSD-2-Clause */
/* Hooks: descriptors that travel over sockets. One of ours is recognised on arrival by its inode (share.h).
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/section.h"
#include "intercept/share.h"

#include <string.h>

/* Call fn for every descriptor that msg carries. */
static void for_each_fd(const struct msghdr *msg, void (*fn)(int fd))
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; CMSG_LEN(at + sizeof(int)) <= c->cmsg_len; at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
			fn(fd);
		}
	}
}

static void adopt(int fd)
{
	if (!fdtable_adopt(fd))
		remote_adopt(fd);
}

/* On its way it is open, whoever closes it here. */
static void send_off(int fd)
{
	struct file *file = fdtable_get(fd);

	if (!file)
		return;
	if (!remote_is(file))
		hold_file(file, fd);
	file_put(file);
}

static inline void look_at(const struct msghdr *msg, void (*fn)(int fd))
{
	if (unlikely(session.on && msg && msg->msg_control && msg->msg_controllen >= CMSG_LEN(sizeof(int)))) {
		int saved_errno = errno;

		section_begin();
		for_each_fd(msg, fn);
		section_end();
		errno = saved_errno;
	}
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	look_at(msg, send_off);
	return REAL(sendmsg)(fd, msg, flags);
}

EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags)
{
	for (unsigned int i = 0; i < n; i++)
		look_at(&msgs[i].msg_hdr, send_off);
	return REAL(sendmmsg)(fd, msgs, n, flags);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t r = REAL(recvmsg)(fd, msg, flags);

	if (r >= 0)
		look_at(msg, adopt);
	return r;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int n, int flags, struct timespec *timeout)
{
	int r = REAL(recvmmsg)(fd, msgs, n, flags, timeout);

	for (int i = 0; i < r; i++)
		look_at(&msgs[i].msg_hdr, adopt);
	return r;
}
