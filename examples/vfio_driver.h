/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every driver on VFIO begins with: from a PCI address, or the UUID of a mediated device, to registers,
 * memory for the device, and interrupts. Nothing in it knows of uvfio: bind a device to vfio-pci, and it runs
 * on hardware.
 *
 * The device is opened by its own node (its cdev) and an IOMMUFD, where there are such nodes and this is
 * compiled with the headers of Linux 6.6 or newer; else through its group and a container.
 *
 * A step that fails ends the program with status 1 and says which it was.
 */
#ifndef VFIO_DRIVER_H
#define VFIO_DRIVER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef VFIO_DEVICE_BIND_IOMMUFD
#include <linux/iommufd.h>
#endif

struct vfio_driver {
	const char *bdf;              /* or UUID */
	int container, group, device; /* group is -1 when container is an IOMMUFD */
};

static inline void failed(const char *why)
{
	fprintf(stderr, ": %s\n", why);
	exit(1);
}

/* A system call has succeeded; errno is still what it said. */
#define check(ok, ...)                                                                                       \
	do {                                                                                                 \
		if (!(ok)) {                                                                                 \
			int error = errno;                                                                   \
			fprintf(stderr, __VA_ARGS__);                                                        \
			failed(strerror(error));                                                             \
		}                                                                                            \
	} while (0)

/* A value is the right one. */
#define expect(ok, ...)                                                                                      \
	do {                                                                                                 \
		if (!(ok)) {                                                                                 \
			fprintf(stderr, __VA_ARGS__);                                                        \
			failed("not what it should be");                                                     \
		}                                                                                            \
	} while (0)

/* Where sysfs has the device: of an address or a UUID. */
static inline void vfio_sysfs_path(const char *bdf, const char *file, char *path, size_t len)
{
	snprintf(path, len, "/sys/bus/%s/devices/%s/%s", strchr(bdf, ':') ? "pci" : "mdev", bdf, file);
}

/* The number of the IOMMU group that the device is in. */
static inline int vfio_group_of(const char *bdf)
{
	char path[128], target[256];
	ssize_t n;

	vfio_sysfs_path(bdf, "iommu_group", path, sizeof(path));
	n = readlink(path, target, sizeof(target) - 1);
	check(n > 0, "%s", path);
	target[n] = 0;
	return atoi(strrchr(target, '/') + 1);
}

static inline void vfio_open_group(struct vfio_driver *d)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char path[64];

	d->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	check(d->container >= 0, "/dev/vfio/vfio");
	expect(ioctl(d->container, VFIO_GET_API_VERSION) == VFIO_API_VERSION, "the version of VFIO");
	expect(ioctl(d->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) == 1, "the type of the IOMMU");
	snprintf(path, sizeof(path), "/dev/vfio/%d", vfio_group_of(d->bdf));
	d->group = open(path, O_RDWR | O_CLOEXEC);
	check(d->group >= 0, "%s", path);
	check(!ioctl(d->group, VFIO_GROUP_GET_STATUS, &status), "VFIO_GROUP_GET_STATUS");
	expect(status.flags & VFIO_GROUP_FLAGS_VIABLE, "%s: all devices of a group must be bound to vfio-pci",
	       path);
	check(!ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container), "VFIO_GROUP_SET_CONTAINER");
	check(!ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
	d->device = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->bdf);
	check(d->device >= 0, "VFIO_GROUP_GET_DEVICE_FD");
}

#ifdef VFIO_DEVICE_BIND_IOMMUFD
/* The device's own node, or -1: there is none, or this user may not open it. */
static inline int vfio_open_node(const char *bdf)
{
	char path[128], node[300] = "";
	struct dirent *entry;
	DIR *dir;

	vfio_sysfs_path(bdf, "vfio-dev", path, sizeof(path));
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "vfio", 4))
			snprintf(node, sizeof(node), "/dev/vfio/devices/%s", entry->d_name);
	if (dir)
		closedir(dir);
	return open(node, O_RDWR | O_CLOEXEC);
}

/*
 * The device does its DMA in an address space (IOAS) of the IOMMUFD. IOMMU_IOAS_MAP maps memory in it; so
 * does VFIO_IOMMU_MAP_DMA below, when IOMMU_VFIO_IOAS has said that it is the one that a container's requests
 * mean.
 */
static inline void vfio_attach_ioas(struct vfio_driver *d)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct iommu_vfio_ioas compat = { .size = sizeof(compat), .op = IOMMU_VFIO_IOAS_SET };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };

	check(!ioctl(d->container, IOMMU_IOAS_ALLOC, &alloc), "IOMMU_IOAS_ALLOC");
	compat.ioas_id = attach.pt_id = alloc.out_ioas_id;
	check(!ioctl(d->device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
	check(!ioctl(d->container, IOMMU_VFIO_IOAS, &compat), "IOMMU_VFIO_IOAS");
}

/* 0: not this way. */
static inline int vfio_open_cdev(struct vfio_driver *d)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };

	d->device = vfio_open_node(d->bdf);
	if (d->device < 0)
		return 0;
	d->group = -1;
	d->container = bind.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	check(d->container >= 0, "/dev/iommu");
	check(!ioctl(d->device, VFIO_DEVICE_BIND_IOMMUFD, &bind), "VFIO_DEVICE_BIND_IOMMUFD");
	vfio_attach_ioas(d);
	return 1;
}
#endif

static inline void vfio_driver_open(struct vfio_driver *d, const char *bdf)
{
	d->bdf = bdf;
#ifdef VFIO_DEVICE_BIND_IOMMUFD
	if (vfio_open_cdev(d))
		return;
#endif
	vfio_open_group(d);
}

static inline void vfio_driver_close(struct vfio_driver *d)
{
	close(d->device);
	if (d->group >= 0)
		close(d->group);
	close(d->container);
}

static inline struct vfio_region_info vfio_region(const struct vfio_driver *d, unsigned int index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	check(!ioctl(d->device, VFIO_DEVICE_GET_REGION_INFO, &info), "VFIO_DEVICE_GET_REGION_INFO");
	return info;
}

/* Vendor and device as one number: 0xDDDDVVVV. */
static inline uint32_t vfio_pci_id(const struct vfio_driver *d)
{
	struct vfio_region_info config = vfio_region(d, VFIO_PCI_CONFIG_REGION_INDEX);
	uint32_t id;

	check(pread(d->device, &id, 4, (off_t)config.offset) == 4, "reading configuration space");
	return id;
}

/* Let the device decode its BARs and reach memory. */
static inline void vfio_enable_dma(const struct vfio_driver *d)
{
	struct vfio_region_info config = vfio_region(d, VFIO_PCI_CONFIG_REGION_INDEX);
	off_t at = (off_t)config.offset + PCI_COMMAND;
	uint16_t command;

	check(pread(d->device, &command, 2, at) == 2, "reading configuration space");
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	check(pwrite(d->device, &command, 2, at) == 2, "writing configuration space");
}

/* A BAR, mapped: a pointer to registers. */
static inline volatile uint8_t *vfio_map_bar(const struct vfio_driver *d, unsigned int bar)
{
	struct vfio_region_info info = vfio_region(d, bar);
	void *at;

	expect(info.flags & VFIO_REGION_INFO_FLAG_MMAP, "BAR %u can be mapped", bar);
	at = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, d->device, (off_t)info.offset);
	check(at != MAP_FAILED, "mapping BAR %u", bar);
	return at;
}

/* Memory that the device finds at the I/O address iova. */
static inline void *vfio_dma_memory(const struct vfio_driver *d, uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.iova = iova,
						.size = size };
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(memory != MAP_FAILED, "%zu bytes of memory", size);
	map.vaddr = (uintptr_t)memory;
	check(!ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map), "VFIO_IOMMU_MAP_DMA");
	return memory;
}

static inline void vfio_dma_free(const struct vfio_driver *d, uint64_t iova, void *memory, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = size };

	check(!ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &unmap), "VFIO_IOMMU_UNMAP_DMA");
	munmap(memory, size);
}

static inline int vfio_set_irqs(const struct vfio_driver *d, uint32_t index, uint32_t flags,
				const int *eventfd)
{
	union {
		struct vfio_irq_set set;
		char bytes[sizeof(struct vfio_irq_set) + sizeof(int)];
	} arg = { .set = { .argsz = sizeof(arg), .flags = flags, .index = index, .count = 1 } };

	if (eventfd)
		memcpy(arg.bytes + sizeof(arg.set), eventfd, sizeof(int));
	return ioctl(d->device, VFIO_DEVICE_SET_IRQS, &arg);
}

/* An eventfd that the first interrupt of an index (VFIO_PCI_MSIX_IRQ_INDEX, ...) writes to. */
static inline int vfio_irq_enable(const struct vfio_driver *d, uint32_t index)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	check(fd >= 0, "eventfd");
	check(!vfio_set_irqs(d, index, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, &fd),
	      "VFIO_DEVICE_SET_IRQS");
	return fd;
}

/* INTx masks itself when it comes. */
static inline void vfio_intx_unmask(const struct vfio_driver *d)
{
	check(!vfio_set_irqs(d, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK,
			     NULL),
	      "unmasking INTx");
}

static inline void vfio_irq_disable(const struct vfio_driver *d, uint32_t index, int fd)
{
	struct vfio_irq_set none = { .argsz = sizeof(none),
				     .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				     .index = index };

	check(!ioctl(d->device, VFIO_DEVICE_SET_IRQS, &none), "VFIO_DEVICE_SET_IRQS");
	close(fd);
}

/* Wait for an interrupt; how many there were since the last time. 0: none within ms milliseconds. */
static inline uint64_t vfio_irq_wait(int fd, int ms)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	if (poll(&ready, 1, ms) == 1)
		check(read(fd, &count, sizeof(count)) == sizeof(count), "reading an eventfd");
	return count;
}

/* Registers, as in the kernel: one access of that width. */
static inline uint32_t readl(const volatile void *reg)
{
	return *(const volatile uint32_t *)reg;
}

static inline void writel(uint32_t value, volatile void *reg)
{
	*(volatile uint32_t *)reg = value;
}

static inline uint64_t readq(const volatile void *reg)
{
	return *(const volatile uint64_t *)reg;
}

static inline void writeq(uint64_t value, volatile void *reg)
{
	*(volatile uint64_t *)reg = value;
}

#endif
