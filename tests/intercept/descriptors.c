/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors: duplicates, sweeps, what is closed when, and a child of vfork() that closes everything. */
#include "client.h"

#include <linux/close_range.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

/* The group can be opened only once: whether it is open says whether its last descriptor is gone. */
static bool group_is_free(void)
{
	int fd = open(group_path(), O_RDWR);

	if (fd < 0) {
		CHECK(errno == EBUSY);
		return false;
	}
	CHECK(!close(fd));
	return true;
}

static void duplicates(void)
{
	int fd = open(group_path(), O_RDWR), copies[5], null = open("/dev/null", O_RDWR);
	struct vfio_group_status status = { .argsz = sizeof(status) };

	CHECK(fd >= 0 && null >= 0 && !group_is_free());
	CHECK((copies[0] = dup(fd)) >= 0);
	CHECK((copies[1] = fcntl(fd, F_DUPFD, 100)) >= 100);
	CHECK((copies[2] = fcntl(fd, F_DUPFD_CLOEXEC, 0)) >= 0 && fcntl(copies[2], F_GETFD) == FD_CLOEXEC);
	CHECK(dup2(fd, 200) == 200 && dup2(fd, fd) == fd);
	CHECK(dup3(fd, 201, O_CLOEXEC) == 201);
	copies[3] = 200;
	copies[4] = 201;
	FAILS(dup3(fd, fd, 0), EINVAL);
	CHECK(!close(fd));
	for (int i = 0; i < 5; i++)
		CHECK(!ioctl(copies[i], VFIO_GROUP_GET_STATUS, &status) && status.flags == 1);
	CHECK(!close(copies[0]) && !close(copies[1]) && !close(copies[2]));
	CHECK(!group_is_free());
	CHECK(dup2(null, 200) == 200);
	CHECK(!group_is_free());
	FAILS(ioctl(200, VFIO_GROUP_GET_STATUS, &status), ENOTTY);
	CHECK(dup3(null, 201, 0) == 201);
	CHECK(group_is_free());
	close(200);
	close(201);
	close(null);
}

static void sweeps(void)
{
	int fd = open(group_path(), O_RDWR);

	CHECK(fd >= 0);
	CHECK(!close_range((unsigned int)fd, ~0u, CLOSE_RANGE_CLOEXEC));
	CHECK(!group_is_free() && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(!close_range((unsigned int)fd, ~0u, 0));
	FAILS(fcntl(fd, F_GETFD), EBADF);
	CHECK(group_is_free());
	FAILS(close_range(5, 4, 0), EINVAL);
	CHECK((fd = open(group_path(), O_RDWR)) >= 0);
	closefrom(fd);
	CHECK(group_is_free());
	CHECK((fd = open(group_path(), O_RDWR)) >= 0);
	for (int i = 3; i < 70000; i++)
		close(i);
	CHECK(group_is_free());
}

/* What a device needs for itself lives on when the program closes all that it does not know. */
static void private_descriptors(void)
{
	struct client c = client_open();
	int fds[3] = { c.container, c.group, c.device };
	uint64_t cfg = client_config(c.device), count = 0;
	struct {
		struct vfio_irq_set set;
		int fd;
	} irq = { .set = { .argsz = sizeof(irq),
			   .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			   .index = VFIO_PCI_REQ_IRQ_INDEX,
			   .count = 1 } };
	struct vfio_irq_set fire = { .argsz = sizeof(fire),
				     .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				     .index = VFIO_PCI_REQ_IRQ_INDEX,
				     .count = 1 };
	uint16_t vendor = 0;
	int highest = 0;

	irq.fd = eventfd(0, EFD_NONBLOCK);
	CHECK(irq.fd >= 0);
	for (int i = 0; i < 3; i++)
		highest = fds[i] > highest ? fds[i] : highest;
	highest = irq.fd > highest ? irq.fd : highest;
	CHECK(!ioctl(c.device, VFIO_DEVICE_SET_IRQS, &irq));
	for (int i = highest + 1; i < 70000; i++)
		CHECK(close(i) < 0 || i < 100);
	closefrom(highest + 1);
	for (int i = highest + 1; i < 65536; i++)
		if (fcntl(i, F_GETFD) >= 0)
			FAILS(dup2(irq.fd, i), EBADF);
	CHECK(pread(c.device, &vendor, 2, (off_t)cfg) == 2 && vendor != 0 && vendor != 0xffff);
	CHECK(!ioctl(c.device, VFIO_DEVICE_SET_IRQS, &fire));
	CHECK(read(irq.fd, &count, 8) == 8 && count == 1);
	close(irq.fd);
	client_close(&c);
}

static void vfork_child(void)
{
	int fd = open(group_path(), O_RDWR), status;
	struct vfio_group_status answer = { .argsz = sizeof(answer) };
	pid_t pid;

	CHECK(fd >= 0);
	pid = vfork();
	if (!pid) {
		close_range(3, ~0u, CLOSE_RANGE_UNSHARE);
		close(fd);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(!ioctl(fd, VFIO_GROUP_GET_STATUS, &answer) && answer.flags == 1);
	CHECK(!group_is_free());
	CHECK(!close(fd));
	CHECK(group_is_free());
}

/* What the kernel does with any descriptor, and the C libraries of some languages use instead of fcntl(). */
static void requests_of_every_file(void)
{
	struct client c = client_open();
	int fds[3] = { c.container, c.group, c.device }, on = 1, off = 0;

	for (int i = 0; i < 3; i++) {
		CHECK(!ioctl(fds[i], FIOCLEX) && fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
		CHECK(!ioctl(fds[i], FIONCLEX) && fcntl(fds[i], F_GETFD) == 0);
		CHECK(!ioctl(fds[i], FIONBIO, &on) && (fcntl(fds[i], F_GETFL) & O_NONBLOCK));
		CHECK(!ioctl(fds[i], FIONBIO, &off) && !(fcntl(fds[i], F_GETFL) & O_NONBLOCK));
		FAILS(ioctl(fds[i], FIOASYNC, &on), ENOTTY);
		FAILS(ioctl(fds[i], FIONREAD, &on), ENOTTY);
	}
	client_close(&c);
}

/* Nothing is stored in our files, whatever stands behind the descriptor. */
static void no_contents(void)
{
	struct client c = client_open();
	int fds[3] = { c.container, c.group, c.device }, null = open("/dev/null", O_RDWR);

	for (int i = 0; i < 3; i++) {
		FAILS(fsync(fds[i]), EINVAL);
		FAILS(fdatasync(fds[i]), EINVAL);
		FAILS(ftruncate(fds[i], 100), EINVAL);
		FAILS(ftruncate64(fds[i], 0), EINVAL);
		FAILS(fallocate(fds[i], 0, 0, 4096), ENODEV);
		FAILS(fallocate64(fds[i], 0, 0, 4096), ENODEV);
		CHECK(posix_fallocate(fds[i], 0, 4096) == ENODEV);
		CHECK(posix_fallocate64(fds[i], 0, 4096) == ENODEV);
		FAILS(sendfile(null, fds[i], NULL, 16), EINVAL);
		FAILS(copy_file_range(fds[i], NULL, null, NULL, 16, 0), EINVAL);
	}
	close(null);
	client_close(&c);
}

static void foreign(void)
{
	int null = open("/dev/null", O_RDWR), pipes[2], n = 0;

	CHECK(null >= 0 && !pipe(pipes));
	FAILS(ioctl(null, VFIO_GET_API_VERSION), ENOTTY);
	FAILS(ioctl(-1, VFIO_GET_API_VERSION), EBADF);
	FAILS(ioctl(12345, VFIO_GET_API_VERSION), EBADF);
	CHECK(write(pipes[1], "abc", 3) == 3 && !ioctl(pipes[0], FIONREAD, &n) && n == 3);
	FAILS(close(12345), EBADF);
	FAILS(close(-1), EBADF);
	close(pipes[0]);
	close(pipes[1]);
	close(null);
}

/* A number that was closed behind our back, and means something else now. */
static void reused(void)
{
	int fd = open("/dev/vfio/vfio", O_RDWR), file;

	CHECK(fd >= 0 && !syscall(SYS_close, fd));
	CHECK((file = open("/dev/zero", O_RDONLY)) == fd);
	CHECK(read(file, &(char){ 1 }, 1) == 1);
	FAILS(ioctl(file, VFIO_GET_API_VERSION), ENOTTY);
	CHECK(!close(file));
}

static void close_order(void)
{
	struct client c = client_open();

	CHECK(client_map(c.container, &c, 0, 0) == -1 && errno == EINVAL);
	CHECK(!close(c.container) && !close(c.group));
	CHECK(!group_is_free());
	CHECK(!close(c.device));
	CHECK(group_is_free());
	c = client_open();
	CHECK(fcntl(c.device, F_GETFD) == FD_CLOEXEC);
	FAILS(ioctl(c.group, VFIO_GROUP_UNSET_CONTAINER), EBUSY);
	client_close(&c);
	CHECK(group_is_free());
}

int main(void)
{
	duplicates();
	sweeps();
	requests_of_every_file();
	no_contents();
	foreign();
	reused();
	close_order();
	vfork_child();
	private_descriptors();
	return 0;
}
