/* SPDX-License-Identifier: BSD-2-Clause */
/* Forked children: with nothing open, with the parent's files, of children, and those that outlive the
 * parent. */
#include "client.h"

#include <dirent.h>
#include <grp.h>
#include <pthread.h>
#include <sys/eventfd.h>

static char page[4096] __attribute__((aligned(4096)));

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

static uint32_t read_ids(int device)
{
	uint32_t ids = 0;

	CHECK(pread(device, &ids, 4, (off_t)client_config(device)) == 4 && ids && ids != 0xffffffff);
	return ids;
}

static void nothing_open(void *arg)
{
	struct client c = client_open();

	(void)arg;
	CHECK(!client_map(c.container, page, 0x100000, 4096));
	CHECK(client_unmap(c.container, 0x100000, 4096) == 4096);
	read_ids(c.device);
	client_close(&c);
	CHECK(group_is_free());
}

/* An eventfd of the child's own signals. */
static void interrupt(const struct client *c)
{
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
	uint64_t count = 0;

	irq.fd = eventfd(0, 0);
	CHECK(irq.fd >= 0 && !ioctl(c->device, VFIO_DEVICE_SET_IRQS, &irq));
	CHECK(!ioctl(c->device, VFIO_DEVICE_SET_IRQS, &fire));
	CHECK(read(irq.fd, &count, 8) == 8 && count == 1);
	irq.fd = 12345;
	FAILS(ioctl(c->device, VFIO_DEVICE_SET_IRQS, &irq), EBADF);
}

/* Version register of the controller, in a mapping made here. */
static void registers(int device)
{
	uint32_t version = 0;
	volatile uint32_t *bar = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);

	CHECK(bar != MAP_FAILED);
	CHECK(pread(device, &version, 4, 8) == 4);
	CHECK(bar[2] == version && version >> 16 == 1);
	CHECK(!munmap((void *)(uintptr_t)bar, 4096));
}

static volatile uint32_t *inherited_bar;

static void *many_ioctls(void *arg)
{
	struct client *c = arg;

	for (int i = 0; i < 200; i++) {
		struct vfio_device_info info = { .argsz = sizeof(info) };

		CHECK(!ioctl(c->device, VFIO_DEVICE_GET_INFO, &info) && info.num_irqs == 5);
	}
	return NULL;
}

static unsigned int count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int nr = 0;

	CHECK(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr - 2;
}

/* The device works for its owner; nobody does its work a second time here. */
static void grandchild(void *arg)
{
	struct client *c = arg;

	CHECK(count_threads() == 1);
	read_ids(c->device);
	CHECK(ioctl(c->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1);
}

static void *volatile wrong = (void *)16; /* not for the compiler to see through */

static void with_files(void *arg)
{
	struct client *c = arg;
	struct vfio_group_status status = { .argsz = sizeof(status) };
	pthread_t threads[2];
	char buf[4096];
	struct stat st;
	int copy, fd;

	CHECK(!ioctl(c->group, VFIO_GROUP_GET_STATUS, &status) && status.flags == 3);
	FAILS(client_map(c->container, page, 0x100000, 4096), EEXIST);
	CHECK(!client_map(c->container, page, 0x200000, 4096));
	FAILS(client_map(c->container, (void *)1, 0x300000, 4096), EINVAL);
	CHECK(pread(c->device, buf, 4096, (off_t)client_config(c->device)) == 4096);
	FAILS(pread(c->device, wrong, 4, (off_t)client_config(c->device)), EFAULT);
	interrupt(c);
	registers(c->device);
	CHECK(inherited_bar[2] >> 16 == 1);
	CHECK(!fstat(c->container, &st) && S_ISCHR(st.st_mode));
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&threads[i], NULL, many_ioctls, c));
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(threads[i], NULL));

	CHECK((copy = dup(c->device)) >= 0);
	CHECK(!close(c->device));
	c->device = copy;
	read_ids(copy);
	FAILS(open(group_path(), O_RDWR), EBUSY);
	CHECK((fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC)) >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(ioctl(fd, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	FAILS(ioctl(c->group, VFIO_GROUP_SET_CONTAINER, &fd), EINVAL);
	CHECK(!close(fd));
	CHECK((fd = ioctl(c->group, VFIO_GROUP_GET_DEVICE_FD, BDF)) >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	read_ids(fd);
	CHECK(!close(fd));
	in_child(grandchild, c);
}

/* The child leaves a mapping, and the parent's files as they were. */
static void parent_and_child(void)
{
	struct client c = client_open();
	struct vfio_device_info info = { .argsz = sizeof(info) };

	inherited_bar = mmap(NULL, 4096, PROT_READ, MAP_SHARED, c.device, 0);
	CHECK(inherited_bar != MAP_FAILED);
	CHECK(!client_map(c.container, page, 0x100000, 4096));
	in_child(with_files, &c);
	in_child(grandchild, &c);
	CHECK(!ioctl(c.device, VFIO_DEVICE_GET_INFO, &info));
	CHECK(client_unmap(c.container, 0x200000, 4096) == 4096);
	CHECK(!munmap((void *)(uintptr_t)inherited_bar, 4096));
	client_close(&c);
	CHECK(group_is_free());
}

/* Another user's child is served as well. */
static void dropped_privileges(void *arg)
{
	struct client *c = arg;

	if (!getuid())
		CHECK(!setgroups(0, NULL) && !setgid(65534) && !setuid(65534));
	read_ids(c->device);
}

static void wait_for_byte(void *arg)
{
	char byte;

	CHECK(read(*(int *)arg, &byte, 1) == 0);
}

/* The last descriptor is the child's. */
static void child_keeps_files(void)
{
	struct client c = client_open();
	int pipes[2], status;
	pid_t pid;

	in_child(dropped_privileges, &c);
	CHECK(!pipe(pipes));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(pipes[1]);
		wait_for_byte(&pipes[0]);
		read_ids(c.device);
		_exit(0);
	}
	client_close(&c);
	CHECK(!group_is_free());
	close(pipes[1]);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	CHECK(group_is_free());
	close(pipes[0]);
}

/* A child that lives on, and has closed its copies, does not keep the group. */
static void child_closes_files(void)
{
	struct client c = client_open();
	int closed[2], go[2];
	char byte;
	pid_t pid;

	CHECK(!pipe(closed) && !pipe(go));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(go[1]);
		client_close(&c);
		CHECK(write(closed[1], "y", 1) == 1);
		_exit(read(go[0], &byte, 1) != 0);
	}
	CHECK(read(closed[0], &byte, 1) == 1);
	client_close(&c);
	CHECK(group_is_free());
	close(go[1]);
	close(go[0]);
	close(closed[0]);
	close(closed[1]);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

static void write_register(int device, off_t offset, uint32_t value)
{
	CHECK(pwrite(device, &value, 4, offset) == 4);
}

/* The controller is enabled, which is work for its threads. */
static void controller_works(int device)
{
	uint32_t status = 0;

	write_register(device, 0x24, 0x001f001f);
	write_register(device, 0x28, 0x100000);
	write_register(device, 0x30, 0x101000);
	write_register(device, 0x14, 0x00460001);
	for (int i = 0; i < 1000 && !status; i++) {
		CHECK(pread(device, &status, 4, 0x1c) == 4);
		if (!status)
			usleep(10000);
	}
	CHECK(status == 1);
}

/* As daemon() does it: the parent opens, forks, and ends. touch: it does something in between. */
static void outlive(bool touch)
{
	int pipes[2], go[2];
	char answer = 0;
	pid_t pid;

	CHECK(!pipe(pipes) && !pipe(go));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		struct client c = client_open();

		read_ids(c.device);
		if (fork()) {
			if (touch)
				read_ids(c.device);
			_exit(0);
		}
		close(go[1]);
		wait_for_byte(&go[0]);
		if (touch) {
			struct vfio_device_info info = { .argsz = sizeof(info) };

			FAILS(ioctl(c.device, VFIO_DEVICE_GET_INFO, &info), EIO);
			client_close(&c);
			CHECK(group_is_free());
		} else {
			read_ids(c.device);
			registers(c.device);
			interrupt(&c);
			controller_works(c.device);
			CHECK(!client_map(c.container, page, 0x100000, 4096));
			client_close(&c);
			CHECK(group_is_free());
		}
		CHECK(write(pipes[1], "y", 1) == 1);
		_exit(0);
	}
	CHECK(waitpid(pid, NULL, 0) == pid);
	close(pipes[1]);
	CHECK(!group_is_free());
	close(go[1]);
	CHECK(read(pipes[0], &answer, 1) == 1 && answer == 'y');
	close(pipes[0]);
	close(go[0]);
	for (int i = 0; i < 100 && !group_is_free(); i++)
		usleep(10000);
	CHECK(group_is_free());
}

int main(void)
{
	in_child(nothing_open, NULL);
	nothing_open(NULL);
	in_child(nothing_open, NULL);
	parent_and_child();
	child_keeps_files();
	child_closes_files();
	outlive(false);
	outlive(true);
	return 0;
}
