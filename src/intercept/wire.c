/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets between processes of a session: see wire.h. */
#include "intercept/wire.h"

#include "intercept/intercept.h"

#include <string.h>
#include <sys/un.h>

int wire_send(int sock, const struct wire_msg *msg, const void *data, size_t len, const int *fds,
	      unsigned int nr_fds)
{
	char control[CMSG_SPACE(WIRE_FDS * sizeof(int))] = { 0 };
	struct iovec iov[2] = {
		{ (void *)(uintptr_t)msg, sizeof(*msg) },
		{ (void *)(uintptr_t)data, len },
	};
	struct msghdr out = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };
	ssize_t n;

	if (nr_fds) {
		struct cmsghdr *c;

		out.msg_control = control;
		out.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&out);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nr_fds * sizeof(int));
	}
	do {
		n = sendmsg(sock, &out, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static void take_fds(struct msghdr *in, struct wire_packet *packet)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c; c = CMSG_NXTHDR(in, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		packet->nr_fds = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(packet->fds, CMSG_DATA(c), packet->nr_fds * sizeof(int));
	}
	for (unsigned int i = 0; i < packet->nr_fds; i++)
		packet->fds[i] = private_fd(packet->fds[i]);
}

int wire_receive(int sock, struct wire_packet *packet)
{
	char control[CMSG_SPACE(WIRE_FDS * sizeof(int))];
	struct iovec iov[2] = {
		{ &packet->msg, sizeof(packet->msg) },
		{ packet->data, sizeof(packet->data) },
	};
	struct msghdr in = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	packet->nr_fds = 0;
	packet->len = 0;
	do {
		n = recvmsg(sock, &in, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -EPIPE;
	take_fds(&in, packet);
	if ((size_t)n < sizeof(packet->msg)) {
		while (packet->nr_fds)
			private_fd_close(packet->fds[--packet->nr_fds]);
		return -EPROTO;
	}
	packet->len = (size_t)n - sizeof(packet->msg);
	packet->msg.path[sizeof(packet->msg.path) - 1] = 0;
	return 0;
}

/* An abstract socket: it needs no directory, and is gone with its owner. */
static socklen_t fill_address(const struct wire_address *address, struct sockaddr_un *un)
{
	int n;

	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	n = snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "uvfio-");
	for (size_t i = 0; i < sizeof(address->name); i++)
		n += snprintf(un->sun_path + 1 + n, sizeof(un->sun_path) - 1 - (size_t)n, "%02x",
			      address->name[i]);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

int wire_listen(const struct wire_address *address)
{
	int sock = private_fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	struct sockaddr_un un;
	socklen_t len = fill_address(address, &un);
	int rc;

	if (sock < 0)
		return -errno;
	if (!bind(sock, (struct sockaddr *)&un, len) && !listen(sock, 64))
		return sock;
	rc = -errno;
	private_fd_close(sock);
	return rc;
}

int wire_connect(const struct wire_address *address)
{
	int sock = private_fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	struct wire_msg hello = { .kind = WIRE_HELLO };
	struct sockaddr_un un;
	socklen_t len = fill_address(address, &un);
	int rc;

	if (sock < 0)
		return -errno;
	rc = connect(sock, (struct sockaddr *)&un, len) ? -errno : 0;
	if (!rc)
		rc = wire_send(sock, &hello, address->token, sizeof(address->token), NULL, 0);
	if (!rc)
		return sock;
	private_fd_close(sock);
	return rc;
}
