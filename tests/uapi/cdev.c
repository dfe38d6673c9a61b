/* SPDX-License-Identifier: BSD-2-Clause */
/* A device's own node: before, during and after it is bound to an IOMMUFD. */
#include "client.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define IOVA   0x1000000ull
#define CONFIG ((off_t)7 << 40)

struct bind {
	uint32_t argsz, flags;
	int32_t iommufd;
	uint32_t devid;
	uint64_t token;
	uint8_t tail[64];
};

static long device_info(int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	return do_ioctl(fd, VFIO_DEVICE_GET_INFO, &info);
}

/* ---- the node */

/* "MAJOR:MINOR" in a file. */
static dev_t numbers_in(const char *path)
{
	unsigned int major_nr, minor_nr;
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u:%u", &major_nr, &minor_nr), 2);
	fclose(f);
	return makedev(major_nr, minor_nr);
}

static void test_node(struct client *c)
{
	char link[64], node[128] = "", path[256];
	struct stat st, by_path;
	int again;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", c->device);
	assert_true(readlink(link, node, sizeof(node) - 1) > 0);
	assert_int_equal(strncmp(node, "/dev/vfio/devices/vfio", 22), 0);
	assert_int_equal(fstat(c->device, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/%s/dev", bdf(),
		 strrchr(node, '/') + 1);
	assert_true(st.st_rdev == numbers_in(path));
	snprintf(path, sizeof(path), "/sys/class/vfio-dev/%s/dev", strrchr(node, '/') + 1);
	assert_true(st.st_rdev == numbers_in(path));
	assert_int_equal(stat(node, &by_path), 0);
	assert_true(S_ISCHR(by_path.st_mode) && by_path.st_rdev == st.st_rdev);
	snprintf(path, sizeof(path), "/dev/char/%u:%u", major(st.st_rdev), minor(st.st_rdev));
	again = open(path, O_RDWR | O_CLOEXEC);
	assert_true(again >= 0);
	assert_int_equal(fstat(again, &by_path), 0);
	assert_true(by_path.st_rdev == st.st_rdev);
	close_fd(&again);
	assert_int_equal(stat("/dev/vfio/devices", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(stat("/dev/iommu", &st), 0);
	assert_true(S_ISCHR(st.st_mode) && major(st.st_rdev) == 10);
}

/* ---- before it is bound */

static void check_unbound(int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	uint32_t pt = 1;
	char byte;

	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_GET_INFO, &info), -EINVAL);
	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_GET_INFO, NULL), -EINVAL);
	assert_int_equal(do_ioctl_value(fd, VFIO_DEVICE_RESET, 0), -EINVAL);
	assert_int_equal(do_ioctl_value(fd, _IO(VFIO_TYPE, 255), 0), -EINVAL);
	assert_int_equal(attach_pt(fd, &pt), -EINVAL);
	assert_int_equal(detach_pt(fd), -EINVAL);
	assert_int_equal(pread(fd, &byte, 1, CONFIG), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(pread(fd, &byte, 0, CONFIG), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(pwrite(fd, &byte, 1, CONFIG), -1);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(mmap(NULL, PG, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(errno, EINVAL);
}

static long bind_with(int fd, uint32_t argsz, uint32_t flags, int iommufd)
{
	struct bind arg = { .argsz = argsz, .flags = flags, .iommufd = iommufd };

	return do_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &arg);
}

static void test_bind_arguments(struct client *c)
{
	int fd, event = eventfd(0, EFD_CLOEXEC), container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	struct bind tail = { .argsz = 32, .iommufd = c->container, .tail = { [4] = 1 } };
	struct bind token = { .argsz = 24, .flags = 1, .iommufd = c->container };
	uint8_t uuid[16] = { 1 };

	close_fd(&c->device);
	fd = open_cdev(bdf(), O_RDWR);
	assert_true(fd >= 0);
	check_unbound(fd);
	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, NULL), -EFAULT);
	assert_int_equal(bind_with(fd, 0, 0, c->container), -EINVAL);
	assert_int_equal(bind_with(fd, 15, 0, c->container), -EINVAL);
	for (unsigned int bit = 1; bit < 32; bit++)
		assert_int_equal(bind_with(fd, 16, 1u << bit, c->container), -EINVAL);
	assert_int_equal(bind_with(fd, 16, 0, -1), -EINVAL);
	assert_int_equal(bind_with(fd, 16, 2, -1), -EINVAL);
	assert_int_equal(bind_with(fd, 16, 0, 1000), -EBADF);
	assert_int_equal(bind_with(fd, 16, 0, event), -EBADFD);
	assert_int_equal(bind_with(fd, 16, 0, container), -EBADFD);
	assert_int_equal(bind_with(fd, 16, 0, fd), -EBADFD);
	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &tail), -E2BIG);
	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &token), -EFAULT);
	token.token = (uintptr_t)uuid;
	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &token), -EINVAL);
	check_unbound(fd);
	close_fd(&fd);
	for (uint32_t argsz = 16; argsz <= 88; argsz++) {
		fd = open_cdev(bdf(), O_RDWR);
		assert_int_equal(bind_with(fd, argsz, 0, c->container), 0);
		close_fd(&fd);
	}
	close_fd(&event);
	close_fd(&container);
}

static void test_bind_at_the_end_of_memory(struct client *c)
{
	uint8_t *two = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct bind arg = { .argsz = 16, .iommufd = c->container };
	int fd;

	close_fd(&c->device);
	fd = open_cdev(bdf(), O_RDWR);
	munmap(two + PG, PG);
	memcpy(two + PG - 16, &arg, 16);
	/* the id cannot be written: as if nothing had happened */
	mprotect(two, PG, PROT_READ);
	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, two + PG - 16), -EFAULT);
	check_unbound(fd);
	mprotect(two, PG, PROT_READ | PROT_WRITE);
	arg.argsz = 17;
	memcpy(two + PG - 16, &arg, 16);
	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, two + PG - 16), -EFAULT);
	arg.argsz = 16;
	memcpy(two + PG - 16, &arg, 16);
	assert_int_equal(do_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, two + PG - 16), 0);
	assert_int_equal(device_info(fd), 0);
	munmap(two, PG);
	close_fd(&fd);
}

/* ---- one at a time */

static void test_one_is_bound(struct client *c)
{
	int second = open_cdev(bdf(), O_RDWR), other = open_iommufd();

	assert_true(second >= 0);
	assert_int_equal(bind_cdev(c->device, c->container, NULL), -EINVAL);
	assert_int_equal(bind_cdev(c->device, other, NULL), -EINVAL);
	assert_int_equal(bind_cdev(second, c->container, NULL), -EINVAL);
	assert_int_equal(bind_cdev(second, other, NULL), -EINVAL);
	check_unbound(second);
	assert_int_equal(device_info(c->device), 0);
	close_fd(&c->device);
	assert_int_equal(bind_cdev(second, other, NULL), 0);
	assert_int_equal(device_info(second), 0);
	close_fd(&second);
	close_fd(&other);
}

static void test_against_the_group(struct client *c)
{
	int second = open_cdev(bdf(), O_RDWR), third = open_cdev(sibling(), O_RDWR), container;

	assert_int_equal(open_group(bdf()), -EBUSY);
	assert_int_equal(open_group(sibling()), -EBUSY);
	close_fd(&c->device);
	c->group = open_group(bdf()); /* files that are not bound do not count */
	assert_true(c->group >= 0);
	assert_int_equal(bind_cdev(second, c->container, NULL), -EBUSY);
	assert_int_equal(bind_cdev(third, c->container, NULL), -EBUSY);
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	assert_int_equal(set_container(c->group, container), 0);
	assert_int_equal(do_ioctl_value(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	c->device = get_device(c->group, bdf());
	assert_true(c->device >= 0);
	assert_int_equal(bind_cdev(c->device, c->container, NULL), -EINVAL); /* it came from the group */
	assert_int_equal(detach_pt(c->device), -ENOTTY);
	close_fd(&c->group);
	assert_int_equal(bind_cdev(second, c->container, NULL), -EBUSY); /* the device has it open */
	close_fd(&c->device);
	assert_int_equal(bind_cdev(second, c->container, NULL), 0);
	close_fd(&second);
	close_fd(&third);
	close_fd(&container);
}

static void test_devices_of_a_group(struct client *c)
{
	int second = open_cdev(sibling(), O_RDWR), other = open_iommufd();
	uint32_t first_id = c->ioas, ioas;

	assert_int_equal(bind_cdev(second, other, NULL), -EPERM); /* they do DMA for one owner */
	assert_int_equal(bind_cdev(second, c->container, NULL), 0);
	assert_int_equal(ioas_alloc(c->container, &ioas), 0);
	assert_int_equal(attach_pt(second, &ioas), -EINVAL); /* nor can the IOMMU tell them apart */
	assert_int_equal(attach_pt(second, &first_id), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	close_fd(&c->device);
	assert_int_equal(open_group(bdf()), -EBUSY);
	assert_int_equal(device_info(second), 0);
	close_fd(&second);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
	close_fd(&other);
}

/* ---- attaching */

static long attach_with(int fd, uint32_t argsz, uint32_t flags, uint32_t pt, uint32_t pasid)
{
	struct vfio_device_attach_iommufd_pt arg = { argsz, flags, pt, pasid };

	return do_ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static long detach_with(int fd, uint32_t argsz, uint32_t flags)
{
	struct vfio_device_detach_iommufd_pt arg = { argsz, flags, 0 };

	return do_ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

static void fill_attach(struct client *c, void *arg)
{
	((struct vfio_device_attach_iommufd_pt *)arg)->pt_id = c->ioas;
}

static void fill_detach(struct client *c, void *arg)
{
	(void)c;
	(void)arg;
}

static void test_sizes(struct client *c)
{
	const struct sweep attach = {
		c->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, 12, 12, fill_attach, 0, NULL
	};
	const struct sweep detach = { c->device, VFIO_DEVICE_DETACH_IOMMUFD_PT, 8, 8, fill_detach, 0, NULL };

	sweep_argsz(c, &attach);
	sweep_argsz(c, &detach);
}

static void test_attach(struct client *c)
{
	uint32_t other, pt, devid = 0;

	assert_int_equal(ioas_alloc(c->container, &other), 0);
	assert_int_equal(attach_with(c->device, 12, 2, c->ioas, 0), -EINVAL);
	assert_int_equal(attach_with(c->device, 12, 1, c->ioas, 0), -EINVAL);
	assert_int_equal(attach_with(c->device, 12, 0, 0, 0), -ENOENT);
	assert_int_equal(attach_with(c->device, 12, 0, UINT32_MAX, 0), -ENOENT);
	assert_int_equal(attach_with(c->device, 16, 1, c->ioas, 1), -EINVAL); /* no PASIDs */
	assert_int_equal(detach_with(c->device, 8, 2), -EINVAL);
	assert_int_equal(detach_with(c->device, 8, 1), -EINVAL);
	assert_int_equal(detach_with(c->device, 12, 1), 0);
	/* replaced, and what cannot be replaced stays */
	assert_int_equal(destroy_id(c->container, c->ioas), -EBUSY);
	pt = other;
	assert_int_equal(attach_pt(c->device, &pt), 0);
	assert_int_not_equal(pt, other); /* the table that was made for it */
	assert_int_equal(destroy_id(c->container, c->ioas), 0);
	assert_int_equal(attach_with(c->device, 12, 0, c->ioas, 0), -ENOENT);
	assert_int_equal(destroy_id(c->container, other), -EBUSY);
	assert_int_equal(detach_pt(c->device), 0);
	assert_int_equal(detach_pt(c->device), 0);
	assert_int_equal(destroy_id(c->container, other), 0);
	/* the device itself is an object, and no page table */
	close_fd(&c->device);
	c->device = open_cdev(bdf(), O_RDWR);
	assert_int_equal(bind_cdev(c->device, c->container, &devid), 0);
	assert_int_equal(attach_with(c->device, 12, 0, devid, 0), -EINVAL);
	assert_int_equal(destroy_id(c->container, devid), -EBUSY);
	close_fd(&c->device);
	assert_int_equal(destroy_id(c->container, devid), -ENOENT);
}

static void test_id_that_cannot_be_written(struct client *c)
{
	struct vfio_device_attach_iommufd_pt *arg =
		mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(detach_pt(c->device), 0);
	*arg = (struct vfio_device_attach_iommufd_pt){ .argsz = 12, .pt_id = c->ioas };
	mprotect(arg, PG, PROT_READ);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, arg), -EFAULT);
	assert_int_equal(destroy_id(c->container, c->ioas), 0); /* not attached */
	munmap(arg, PG);
}

/* ---- the end */

static void test_iommufd_closed_first(struct client *c)
{
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), 0);
	close_fd(&c->container);
	assert_int_equal(device_info(c->device), 0);
	assert_int_equal(detach_pt(c->device), 0);
	close_fd(&c->device);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
}

static void test_duplicates(struct client *c)
{
	int copy = dup(c->device);

	close_fd(&c->device);
	assert_int_equal(device_info(copy), 0);
	assert_int_equal(open_group(bdf()), -EBUSY);
	close_fd(&copy);
	c->group = open_group(bdf());
	assert_true(c->group >= 0);
}

static void test_mapped_bar_holds_the_device(struct client *c)
{
	struct vfio_region_info region = { .argsz = sizeof(region) };
	int second = open_cdev(bdf(), O_RDWR);
	void *bar;

	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_REGION_INFO, &region), 0);
	bar = mmap(NULL, PG, PROT_READ, MAP_SHARED, c->device, (off_t)region.offset);
	assert_ptr_not_equal(bar, MAP_FAILED);
	close_fd(&c->device);
	assert_int_equal(bind_cdev(second, c->container, NULL), -EINVAL);
	munmap(bar, PG);
	assert_int_equal(bind_cdev(second, c->container, NULL), 0);
	close_fd(&second);
}

/* In the child: 0, or where it went wrong. */
static int use_in_child(struct client *c)
{
	uint32_t pt = c->ioas;
	int second;

	if (device_info(c->device))
		return 1;
	second = open_cdev(bdf(), O_RDWR);
	if (second < 0 || bind_cdev(second, c->container, NULL) != -EINVAL)
		return 2;
	close_fd(&second);
	if (open_group(bdf()) != -EBUSY)
		return 3;
	if (map(c, RW, c->memory, IOVA, PG))
		return 4;
	if (detach_pt(c->device) || attach_pt(c->device, &pt))
		return 5;
	close_fd(&c->device);
	return 0;
}

static void test_fork(struct client *c)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(use_in_child(c));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(device_info(c->device), 0);
	assert_int_equal(map(c, RW, c->memory, IOVA, PG), -EEXIST);
}

/* Opened after the fork, in a process of its own: what the parent has bound it does not get. */
static void test_other_process(struct client *c)
{
	int status, pipe_fds[2];
	char byte = 0;
	pid_t pid;

	close_fd(&c->device);
	close_fd(&c->container);
	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid) {
		int iommufd, cdev;

		if (read(pipe_fds[0], &byte, 1) != 1)
			_exit(1);
		iommufd = open_iommufd();
		cdev = open_cdev(bdf(), O_RDWR);
		if (iommufd < 0 || cdev < 0)
			_exit(2);
		if (bind_cdev(cdev, iommufd, NULL) >= 0 || open_group(bdf()) != -EBUSY)
			_exit(3);
		_exit(0);
	}
	c->container = open_iommufd();
	c->device = open_cdev(bdf(), O_RDWR);
	assert_int_equal(bind_cdev(c->device, c->container, NULL), 0);
	assert_int_equal(write(pipe_fds[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* Both descriptors to a process that has opened nothing, as a VMM gets them. */
static void send_fds(int sock, int first, int second)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { .buf = "" };
	struct iovec part = { .iov_base = "x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	*head = (struct cmsghdr){ CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(head), (int[]){ first, second }, 2 * sizeof(int));
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

static int use_passed(struct client *c, int sock)
{
	char byte, control[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8)));
	struct iovec part = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	int fds[2];
	struct stat st;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		return 1;
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fds));
	if (fstat(fds[0], &st) || !S_ISCHR(st.st_mode) || !major(st.st_rdev))
		return 2;
	if (bind_cdev(fds[0], fds[1], NULL) || device_info(fds[0]))
		return 3;
	c->container = fds[1];
	if (ioas_alloc(fds[1], &c->ioas) || attach_pt(fds[0], &(uint32_t){ c->ioas }))
		return 4;
	return map(c, RW, c->memory, IOVA, PG) ? 5 : 0;
}

static void test_passed_to_another_process(struct client *c)
{
	int status, pair[2];
	pid_t pid;

	close_fd(&c->device);
	close_fd(&c->container);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (!pid)
		_exit(use_passed(c, pair[1]));
	c->container = open_iommufd();
	c->device = open_cdev(bdf(), O_RDWR);
	send_fds(pair[0], c->device, c->container);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(device_info(c->device), 0); /* bound by the other */
	close_fd(&pair[0]);
	close_fd(&pair[1]);
}

static void test_many_rounds(struct client *c)
{
	for (int i = 0; i < 200; i++) {
		reopen_device(c);
		assert_int_equal(device_info(c->device), 0);
	}
}

/* ---- hot reset: by who owns the devices */

struct reset_info {
	uint32_t argsz, flags, count;
	struct {
		uint32_t devid;
		uint16_t segment;
		uint8_t bus, devfn;
	} dev[8];
};

static void test_hot_reset(struct client *c)
{
	struct reset_info info = { .argsz = 12 };
	struct {
		uint32_t argsz, flags, count;
		int32_t fd;
	} reset = { .argsz = 12 };
	uint32_t devid;

	close_fd(&c->device);
	c->device = open_cdev(bdf(), O_RDWR);
	assert_int_equal(bind_cdev(c->device, c->container, &devid), 0);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), -ENOSPC);
	assert_int_equal(info.count, 1);
	assert_int_equal(info.flags, 0);
	info.argsz = sizeof(info);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &info), 0);
	assert_int_equal(info.count, 1);
	assert_int_equal(info.flags, 3);
	assert_int_equal(info.dev[0].devid, devid);
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_PCI_HOT_RESET, &reset), 0);
	reset.argsz = 16;
	reset.count = 1;
	reset.fd = c->container;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
	reset.count = 0;
	reset.flags = 1;
	assert_int_equal(do_ioctl(c->device, VFIO_DEVICE_PCI_HOT_RESET, &reset), -EINVAL);
}

int main(void)
{
	static const struct test tests[] = {
		T_NATIVE(test_node),
		T_NATIVE(test_bind_arguments),
		T_NATIVE(test_bind_at_the_end_of_memory),
		T_NATIVE(test_one_is_bound),
		T_NATIVE(test_against_the_group),
		T_NATIVE(test_devices_of_a_group),
		T_NATIVE(test_sizes),
		T_NATIVE(test_attach),
		T_NATIVE(test_id_that_cannot_be_written),
		T_NATIVE(test_iommufd_closed_first),
		T_NATIVE(test_duplicates),
		T_NATIVE(test_mapped_bar_holds_the_device),
		T_NATIVE(test_fork),
		T_NATIVE(test_other_process),
		T_NATIVE(test_passed_to_another_process),
		T_NATIVE(test_many_rounds),
		T_NATIVE(test_hot_reset),
	};

	return run_in_modes("cdev", tests, COUNT(tests));
}
