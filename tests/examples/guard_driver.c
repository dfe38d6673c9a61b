/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opens the device at 0000:00:01.0, or GROUP and NAME of the command line, and does what each letter says:
 *   p, P, m, M  reads, writes a register with pread(), pwrite(); through a mapping
 *   n           maps the registers
 *   r           resets the device
 *   u, U        maps and unmaps memory for DMA; the same, and that is refused (EBUSY, EDEADLK)
 *   w           writes a register while memory is mapped, then unmaps it
 *   C           closes the device
 *   R           removes the mediated device that it has opened, from a thread
 *   l           waits for a line of input
 *   c           from now on ends when SIGSEGV comes; f: goes on behind the access
 *   i, d        handles SIGINT; takes the default action again
 *   s           every signal has the default action
 *   x           crashes
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uint32_t *registers;
static sigjmp_buf back;
static int container, device;
static volatile char *volatile nowhere;

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void leave(int sig)
{
	(void)sig;
	if (write(STDOUT_FILENO, "handled\n", 8) != 8)
		_exit(1);
	_exit(3);
}

static void jump(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void open_all(const char *group_path, const char *name)
{
	int group = open(group_path, O_RDWR);

	container = open("/dev/vfio/vfio", O_RDWR);
	need(container >= 0 && group >= 0, "open");
	need(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container), "VFIO_GROUP_SET_CONTAINER");
	need(!ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
	need(device >= 0, "VFIO_GROUP_GET_DEVICE_FD");
}

static void map(void)
{
	void *at;

	if (registers)
		return;
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	need(at != MAP_FAILED, "mmap");
	registers = at;
}

static void map_and_unmap(char what)
{
	static char memory[4096] __attribute__((aligned(4096)));
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ,
						.vaddr = (uintptr_t)memory,
						.size = sizeof(memory) };
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .size = sizeof(memory) };
	uint32_t value = 1;

	need(!ioctl(container, VFIO_IOMMU_MAP_DMA, &map), "VFIO_IOMMU_MAP_DMA");
	if (what != 'u')
		need(pwrite(device, &value, 4, 0) == 4, "pwrite");
	if (what == 'U')
		need(ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) && (errno == EBUSY || errno == EDEADLK),
		     "VFIO_IOMMU_UNMAP_DMA");
	else
		need(!ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap), "VFIO_IOMMU_UNMAP_DMA");
}

static void *remove_it(void *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s/remove", (char *)name);
	fd = open(path, O_WRONLY);
	need(fd >= 0 && write(fd, "1", 1) == 1, path);
	close(fd);
	return NULL;
}

static void begin_removal(char *name)
{
	pthread_t thread;

	need(!pthread_create(&thread, NULL, remove_it, name), "pthread_create");
	usleep(200000);
}

static void check_actions(void)
{
	for (int sig = 1; sig < 32; sig++) {
		struct sigaction action;

		need(!sigaction(sig, NULL, &action), "sigaction");
		need(action.sa_handler == SIG_DFL && !action.sa_flags, "a default action");
	}
}

static void act(char what)
{
	uint32_t value = 0;

	if (what == 'p')
		need(pread(device, &value, 4, 0) == 4, "pread");
	if (what == 'P')
		need(pwrite(device, &value, 4, 0) == 4, "pwrite");
	if (what == 'n')
		map();
	if (what == 'm')
		value = registers[1];
	if (what == 'M')
		registers[1] = value;
	if (what == 'r')
		need(!ioctl(device, VFIO_DEVICE_RESET), "VFIO_DEVICE_RESET");
	if (what == 'u' || what == 'U' || what == 'w')
		map_and_unmap(what);
	if (what == 'C')
		need(!close(device), "close");
	if (what == 'l')
		getchar();
	if (what == 'c')
		signal(SIGSEGV, leave);
	if (what == 'i')
		signal(SIGINT, leave);
	if (what == 'd')
		need(signal(SIGINT, SIG_DFL) == leave, "the handler that was set");
	if (what == 's')
		check_actions();
	if (what == 'x') {
		signal(SIGSEGV, SIG_DFL);
		*nowhere = 1;
	}
}

int main(int argc, char **argv)
{
	uint16_t command = 2;

	open_all(argc > 3 ? argv[2] : "/dev/vfio/1", argc > 3 ? argv[3] : "0000:00:01.0");
	need(pwrite(device, &command, 2, ((off_t)VFIO_PCI_CONFIG_REGION_INDEX << 40) + 4) == 2, "command");
	for (const char *what = argv[1]; *what; what++) {
		if (*what == 'm' || *what == 'M')
			map();
		if (*what == 'R')
			begin_removal(argv[3]);
		else if (*what == 'f')
			signal(SIGSEGV, jump);
		else if (!sigsetjmp(back, 1))
			act(*what);
	}
	puts("done");
	return 0;
}
