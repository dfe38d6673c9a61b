/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of ours that a started program inherits, as `-object iommufd,fd=N` has it. */
#include "client.h"

#include <spawn.h>

extern char **environ;

/* The started program: descriptors as arguments. */
static int started(char **argv)
{
	int container = atoi(argv[2]), group = atoi(argv[3]), device;
	struct vfio_group_status status = { .argsz = sizeof(status) };
	uint32_t ids = 0;
	int other;

	CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	CHECK(!ioctl(group, VFIO_GROUP_GET_STATUS, &status) && status.flags == 3);
	CHECK((device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF)) >= 0);
	CHECK(pread(device, &ids, 4, (off_t)client_config(device)) == 4 && ids && ids != 0xffffffff);
	FAILS(open(group_path(), O_RDWR), EBUSY);
	CHECK((other = open("/dev/vfio/vfio", O_RDWR)) >= 0);
	FAILS(ioctl(group, VFIO_GROUP_SET_CONTAINER, &other), EINVAL);
	FAILS(client_map(container, &ids, 0, 0), EINVAL);
	return 0;
}

static void ends_well(pid_t pid)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
	char container[16], group[16];
	char *args[] = { argv[0], (char *)"started", container, group, NULL };
	char command[1024];
	struct client c;
	FILE *pipe;
	pid_t pid;

	if (argc == 4)
		return started(argv);
	c = client_open();
	snprintf(container, sizeof(container), "%d", c.container);
	snprintf(group, sizeof(group), "%d", c.group);
	CHECK(!posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ));
	ends_well(pid);
	pid = fork();
	if (!pid) {
		execv("/proc/self/exe", args);
		_exit(1);
	}
	ends_well(pid);
	CHECK(!close(c.device));
	client_close(&c);
	CHECK((c.group = open(group_path(), O_RDWR)) >= 0);
	close(c.group);

	/* through a shell */
	for (int i = 0; i < 2; i++) {
		c = client_open();
		snprintf(command, sizeof(command), "exec %s started %d %d", argv[0], c.container, c.group);
		if (i)
			CHECK((pipe = popen(command, "r")) && pclose(pipe) == 0);
		else
			CHECK(system(command) == 0);
		client_close(&c);
	}

	/* vfork() tells nobody; clearing the flag does */
	c = client_open();
	CHECK(!ioctl(c.group, FIOCLEX) && !ioctl(c.group, FIONCLEX));
	pid = vfork();
	if (!pid) {
		execv("/proc/self/exe", args);
		_exit(1);
	}
	ends_well(pid);
	CHECK(!close(c.device));
	client_close(&c);
	c = client_open();
	CHECK(!fcntl(c.group, F_SETFD, FD_CLOEXEC) && !fcntl(c.group, F_SETFD, 0));
	pid = vfork();
	if (!pid) {
		execv("/proc/self/exe", args);
		_exit(1);
	}
	ends_well(pid);
	return 0;
}
