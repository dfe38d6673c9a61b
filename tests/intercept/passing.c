/* SPDX-License-Identifier: BSD-2-Clause */
/* Our descriptors through a socket: to another process, and back into the same one. */
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

/* A process that has no part in the files but what it is sent, and would like to have the group itself. */
static void stranger(int sock)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	uint32_t ids = 0;
	int device = receive_fd(sock, false), copy, fd;

	FAILS(open(group_path(), O_RDWR), EBUSY);
	CHECK(!ioctl(device, VFIO_DEVICE_GET_INFO, &info) && (info.flags & VFIO_DEVICE_FLAGS_PCI));
	CHECK(pread(device, &ids, 4, (off_t)client_config(device)) == 4 && ids && ids != 0xffffffff);
	CHECK((copy = dup(device)) >= 0 && !close(device));
	CHECK(write(sock, "x", 1) == 1 && read(sock, &(char){ 0 }, 1) == 1);
	FAILS(open(group_path(), O_RDWR), EBUSY);
	CHECK(!ioctl(copy, VFIO_DEVICE_GET_INFO, &info));
	CHECK(!close(copy));
	for (int i = 0; i < 100 && (fd = open(group_path(), O_RDWR)) < 0; i++)
		usleep(20000);
	CHECK(fd >= 0);
}

static void to_a_stranger(void)
{
	int pair[2], status;
	struct client c;
	pid_t pid;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(pair[0]);
		stranger(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	c = client_open();
	send_fd(pair[0], c.device);
	CHECK(read(pair[0], &(char){ 0 }, 1) == 1);
	client_close(&c);
	CHECK(write(pair[0], "x", 1) == 1);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	close(pair[0]);
}

int main(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct client c;
	int pair[2], device, container;

	to_a_stranger();
	c = client_open();
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
