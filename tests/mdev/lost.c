/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program unmaps memory that a driver, the plug-in tally.c, has pinned: the driver's pointer stays valid.
 * The program's own mistakes stay its own. On a container, and with "iommufd" on an IOAS.
 */
#define PARENT "tally"
#include "mdev.h"

#include "uapi/iommufd.h"

#include <dirent.h>
#include <sys/wait.h>

enum { PIN = 1, UNPIN, STORE, COPY_IN };

#define IOVA 0x10000

static uint32_t ioas_id;

static int command(int device, uint32_t iova, uint32_t what)
{
	uint32_t registers[3] = { iova, what };

	CHECK(pwrite(device, registers, 8, 0) == 8);
	CHECK(pread(device, registers, 12, 0) == 12);
	return (int)registers[2];
}

static int open_cdev(void)
{
	DIR *dir = opendir(DEVICES ONE "/vfio-dev");
	struct dirent *entry;
	char path[300] = "";

	CHECK(dir);
	while ((entry = readdir(dir)))
		if (*entry->d_name != '.')
			snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	closedir(dir);
	return open(path, O_RDWR | O_CLOEXEC);
}

static struct client open_ioas(void)
{
	struct client c = { .container = open("/dev/iommu", O_RDWR | O_CLOEXEC), .group = -1 };
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = c.container };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };

	c.device = open_cdev();
	CHECK(c.container >= 0 && c.device >= 0 && !ioctl(c.device, VFIO_DEVICE_BIND_IOMMUFD, &bind));
	CHECK(!ioctl(c.container, IOMMU_IOAS_ALLOC, &alloc));
	ioas_id = attach.pt_id = alloc.out_ioas_id;
	CHECK(!ioctl(c.device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach));
	return c;
}

static void map(const struct client *c, void *memory, uint64_t size)
{
	struct vfio_iommu_type1_dma_map dma = { .argsz = sizeof(dma),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)memory,
						.iova = IOVA,
						.size = size };
	struct iommu_ioas_map ioas = { .size = sizeof(ioas),
				       .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE |
						IOMMU_IOAS_MAP_FIXED_IOVA,
				       .ioas_id = ioas_id,
				       .user_va = (uintptr_t)memory,
				       .length = size,
				       .iova = IOVA };

	CHECK(!(ioas_id ? ioctl(c->container, IOMMU_IOAS_MAP, &ioas)
			: ioctl(c->container, VFIO_IOMMU_MAP_DMA, &dma)));
}

static void dies_there(volatile char *at)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		*at = 1;
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

int main(int argc, char **argv)
{
	char *memory = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ioas = argc > 1 && !strcmp(argv[1], "iommufd");
	struct client c;

	CHECK(!create("tally-page", ONE));
	c = ioas ? open_ioas() : open_mdev(ONE);
	map(&c, memory, 4 * 4096);
	CHECK(command(c.device, IOVA + 0x1000, PIN) == 1);
	CHECK(!munmap(memory, 4 * 4096));
	dies_there(memory + 4096); /* no driver */
	CHECK(!command(c.device, IOVA, STORE));
	CHECK(!command(c.device, IOVA, STORE) && !command(c.device, IOVA + 0x1000, COPY_IN));
	CHECK(command(c.device, IOVA, COPY_IN) == -EFAULT && command(c.device, IOVA, PIN) == -EFAULT);
	dies_there(memory);
	CHECK(!command(c.device, IOVA + 0x1000, UNPIN));
	CHECK(!close(c.device) && (ioas || !close(c.group)) && !close(c.container));
	CHECK(!remove_mdev(ONE));
	return 0;
}
