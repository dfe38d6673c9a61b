/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program that the launcher's tests run: what its first argument says.
 *   fds          print every open descriptor above 2
 *   count-int    print "ready", wait for SIGTERM, print how many SIGINT came before it
 *   sleep        print "ready" and sleep
 *   map HOW      map three pages, unmap one, and end by exit, _exit or kill, or close everything
 *   ignored      print which of SIGINT and SIGCHLD are ignored, and how many signals are blocked
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static volatile sig_atomic_t interrupts, terminated;

static void on_signal(int sig)
{
	if (sig == SIGINT)
		interrupts = interrupts + 1;
	else
		terminated = 1;
}

static int print_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int fd = (int)strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] != '.' && fd > 2 && fd != dirfd(dir))
			printf("%d\n", fd);
	}
	return dir ? closedir(dir) : 1;
}

static int count_interrupts(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t both, old;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, &old);
	puts("ready");
	fflush(stdout);
	while (!terminated)
		sigsuspend(&old);
	printf("%d\n", (int)interrupts);
	return 0;
}

static int print_ignored(void)
{
	struct sigaction action;
	sigset_t blocked;
	int count = 0;

	sigaction(SIGINT, NULL, &action);
	printf("int %s\n", action.sa_handler == SIG_IGN ? "ignored" : "default");
	sigaction(SIGCHLD, NULL, &action);
	printf("chld %s\n", action.sa_handler == SIG_IGN ? "ignored" : "default");
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (int sig = 1; sig < NSIG; sig++)
		count += sigismember(&blocked, sig) == 1;
	printf("blocked %d\n", count);
	return 0;
}

/* The group of the only device, in a new container. */
static int open_container(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open("/dev/vfio/1", O_RDWR);

	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -1;
	return container;
}

static int leave_mappings(const char *how)
{
	static char pages[3 * 4096] __attribute__((aligned(4096)));
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map), .flags = 3, .size = 4096 };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .size = 4096 };
	int container = open_container(), last = container;

	for (; map.iova < sizeof(pages); map.iova += map.size) {
		map.vaddr = (uintptr_t)pages + map.iova;
		if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
			return 1;
	}
	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return 1;
	while (!strcmp(how, "close") && !close(last))
		last++;
	if (!strcmp(how, "_exit"))
		_exit(0);
	if (!strcmp(how, "kill"))
		kill(getpid(), SIGKILL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "fds"))
		return print_fds();
	if (!strcmp(what, "count-int"))
		return count_interrupts();
	if (!strcmp(what, "map"))
		return leave_mappings(argc > 2 ? argv[2] : "");
	if (!strcmp(what, "ignored"))
		return print_ignored();
	if (strcmp(what, "sleep"))
		return 99;
	puts("ready");
	fflush(stdout);
	sleep(60);
	return 0;
}
