/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client that makes mistakes, for the tests of what uvfio says about them: its first argument names one.
 *   ioctls       every kind of ioctl that fails
 *   bus          an access to a mapped BAR while memory decode is off
 *   map          one mapping is made and unmapped
 *   threads      an ioctl in a thread with a name
 *   exec HOW PATH ARGUMENTS...  execute PATH by the call HOW, or ("empty") without an environment
 */
#include "../intercept/client.h"

#include <pthread.h>
#include <sys/resource.h>

extern char **environ;

static uint8_t memory[16384] __attribute__((aligned(4096)));

static void map(int container, uint64_t iova, void *at, uint64_t size, uint32_t flags, uint32_t argsz)
{
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = argsz, .flags = flags, .vaddr = (uintptr_t)at, .iova = iova, .size = size
	};

	ioctl(container, VFIO_IOMMU_MAP_DMA, &arg);
}

static void wrong_maps(int container)
{
	const uint32_t rw = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, full = 32;
	void *constant = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *cut = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap((char *)cut + 8192, 4096);
	map(container, 0, memory, 4096, rw, 8);
	map(container, 0, memory, 4096, 0x40, full);
	map(container, 0, memory, 0, rw, full);
	map(container, 0, memory, 4096, 0, full);
	map(container, 0x123, memory, 4096, rw, full);
	map(container, 0, memory + 1, 4096, rw, full);
	map(container, 0, memory, 4097, rw, full);
	map(container, UINT64_MAX - 4095, memory, 8192, rw, full);
	map(container, 1ull << 60, memory, 4096, rw, full);
	map(container, 0xfee00000, memory, 4096, rw, full);
	map(container, 0x100000, memory, 8192, rw, full);
	map(container, 0x101000, memory, 8192, rw, full);
	map(container, 0x200000, constant, 8192, rw, full);
	map(container, 0x200000, cut, 16384, rw, full);
	ioctl(container, VFIO_IOMMU_MAP_DMA, 8);
	map(container, 0x200000, memory, 4096, rw, full);
	map(container, 0x300000, memory, 4096, rw, full);
}

static void wrong_unmaps(int container)
{
	client_unmap(container, 0x100000, 0);
	client_unmap(container, 0x100001, 4096);
	client_unmap(container, 0x100000, 4096);
	client_unmap(container, 0x100000, 4097);
}

static void set_irqs(int device, uint32_t index, uint32_t start, uint32_t count, uint32_t flags)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set), .index = index, .start = start, .count = count, .flags = flags
	};

	ioctl(device, VFIO_DEVICE_SET_IRQS, &set);
}

static void wrong_on_device(int device)
{
	struct vfio_region_info region = { .argsz = sizeof(region), .index = 12 };
	struct vfio_irq_info irq = { .argsz = sizeof(irq), .index = 9 };

	ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region);
	ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &irq);
	set_irqs(device, VFIO_PCI_MSIX_IRQ_INDEX, 4000, 5000,
		 VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER);
	set_irqs(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, 0x100);
	set_irqs(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER);
	set_irqs(device, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1,
		 VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
	ioctl(device, VFIO_DEVICE_RESET);
}

static int wrong_ioctls(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = open(group_path(), O_RDWR), zero = 0,
	    none = 999;
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int device;

	ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF);
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &zero);
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &none);
	ioctl(group, VFIO_GROUP_UNSET_CONTAINER);
	CHECK(!ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
	ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF);
	ioctl(container, VFIO_IOMMU_MAP_DMA, NULL);
	ioctl(container, VFIO_SET_IOMMU, 77);
	CHECK(!ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	ioctl(group, VFIO_GROUP_GET_DEVICE_FD, "0000:00:09.0");
	ioctl(group, VFIO_DEVICE_GET_INFO, &info);
	ioctl(group, VFIO_IOMMU_MAP_DMA, &info);
	ioctl(container, 0x1234, &info);
	wrong_maps(container);
	wrong_unmaps(container);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF);
	CHECK(device >= 0);
	wrong_on_device(device);
	return 0;
}

static int bus_error(void)
{
	struct client c = client_open();
	uint16_t command = 0;
	volatile uint32_t *regs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, c.device, 0);

	CHECK(regs != MAP_FAILED);
	CHECK(pwrite(c.device, &command, 2, (off_t)client_config(c.device) + 4) == 2);
	return (int)regs[7];
}

static int one_mapping(void)
{
	struct client c = client_open();

	CHECK(!client_map(c.container, memory, 0x10000, 8192));
	CHECK(client_unmap(c.container, 0x10000, 8192) == 8192);
	return 0;
}

static void *run_ioctl(void *arg)
{
	pthread_setname_np(pthread_self(), "my-\"thread\"");
	CHECK(ioctl(*(int *)arg, VFIO_GET_API_VERSION) == 0);
	return NULL;
}

static int in_thread(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	pthread_t thread;

	CHECK(ioctl(container, VFIO_GET_API_VERSION) == 0);
	CHECK(!pthread_create(&thread, NULL, run_ioctl, &container) && !pthread_join(thread, NULL));
	return 0;
}

/* HOW PATH [ARGS...] */
static int execute(const char *how, char **argv)
{
	char *const nothing[] = { NULL };

	if (!strcmp(how, "execv"))
		execv(argv[0], argv);
	else if (!strcmp(how, "execvp"))
		execvp(argv[0], argv);
	else if (!strcmp(how, "execl"))
		execl(argv[0], argv[0], argv[1], (char *)NULL);
	else if (!strcmp(how, "execlp"))
		execlp(argv[0], argv[0], argv[1], (char *)NULL);
	else if (!strcmp(how, "execle"))
		execle(argv[0], argv[0], argv[1], (char *)NULL, environ);
	else if (!strcmp(how, "empty"))
		execve(argv[0], argv, nothing);
	else
		execve(argv[0], argv, environ);
	return 99;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	if (!strcmp(what, "ioctls"))
		return wrong_ioctls();
	if (!strcmp(what, "bus"))
		return bus_error();
	if (!strcmp(what, "map"))
		return one_mapping();
	if (!strcmp(what, "threads"))
		return in_thread();
	return argc > 3 ? execute(argv[2], argv + 3) : 99;
}
