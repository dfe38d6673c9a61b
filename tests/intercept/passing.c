/* SPDX-License-Identifier: BSD-2-Clause */
/* Our descriptors through a socket and back into the same process. */
#include "client.h"

static void send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	CHECK(sendmsg(sock, &msg, 0) == 1);
}

static int receive_fd(int sock, bool many)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte;
	struct iovec iov = { &byte, 1 };
	struct mmsghdr msg = { .msg_hdr = { .msg_iov = &iov,
					    .msg_iovlen = 1,
					    .msg_control = control,
					    .msg_controllen = sizeof(control) } };
	int fd;

	if (many)
		CHECK(recvmmsg(sock, &msg, 1, 0, NULL) == 1);
	else
		CHECK(recvmsg(sock, &msg.msg_hdr, MSG_CMSG_CLOEXEC) == 1);
	CHECK(CMSG_FIRSTHDR(&msg.msg_hdr));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg.msg_hdr)), sizeof(fd));
	return fd;
}

int main(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct client c = client_open();
	int pair[2], device, container;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	send_fd(pair[0], c.device);
	device = receive_fd(pair[1], false);
	CHECK(device >= 0 && device != c.device);
	CHECK(!close(c.device));
	CHECK(!ioctl(device, VFIO_DEVICE_GET_INFO, &info) && (info.flags & VFIO_DEVICE_FLAGS_PCI));

	/* nobody has the container while it is under way */
	send_fd(pair[0], c.container);
	CHECK(!close(c.container));
	container = receive_fd(pair[1], true);
	CHECK(ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
	FAILS(open(group_path(), O_RDWR), EBUSY);

	/* neither the sender nor the receiver keeps it */
	send_fd(pair[0], device);
	CHECK(!close(device) && !close(c.group) && !close(container));
	FAILS(open(group_path(), O_RDWR), EBUSY);
	close(pair[0]);
	close(pair[1]);
	for (int i = 0; i < 100 && (device = open(group_path(), O_RDWR)) < 0; i++)
		usleep(20000);
	CHECK(device >= 0);
	return 0;
}
