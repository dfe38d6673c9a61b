/* SPDX-License-Identifier: BSD-2-Clause */
/* Engines and memory through VFIO. */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BAR_SIZE 0x4000
#define DEVICES  "/sys/bus/pci/devices"
#define RW       (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)
#define SMALL    (64 * KIB)

int container;
struct engine engines[MAX_ENGINES];
unsigned int nr_engines;

static uint8_t *area, *small_area;
bool windows;

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

/* ---- memory */

/* One window for all that is ever mapped: its table is made where something is. */
static void make_window(void)
{
	struct vfio_iommu_spapr_tce_remove remove = { .argsz = sizeof(remove) };
	struct vfio_iommu_spapr_tce_create create = {
		.argsz = sizeof(create), .page_shift = 12, .window_size = 1ull << 48, .levels = 4
	};

	must(!ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove), "remove the default window");
	must(!ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &create), "make a window");
}

static void register_memory(void *at, uint64_t size)
{
	struct vfio_iommu_spapr_register_memory reg = { sizeof(reg), 0, (uintptr_t)at, size };

	must(!ioctl(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &reg) || errno == EBUSY || errno == EINVAL,
	     "register memory");
}

long dma_map(uint64_t iova, void *at, uint64_t size, uint32_t flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .vaddr = (uintptr_t)at, .iova = iova, .size = size
	};

	if (windows)
		register_memory(at, size);
	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

long dma_unmap(uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .iova = iova, .size = size };

	return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -1 : (long)unmap.size;
}

static void make_memory(void)
{
	area = mmap(NULL, AREA_SIZE + 2 * SMALL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(area != MAP_FAILED, "memory");
	small_area = area + AREA_SIZE;
	must(!dma_map(AREA, area + HALF, HALF, RW), "map the first half");
	must(!dma_map(MIDDLE, area, HALF, RW), "map the second half");
	must(!dma_map(READ_ONLY, small_area, SMALL, VFIO_DMA_MAP_FLAG_READ), "map to read");
	/* A window's entry for writing is for reading, too. */
	if (!windows)
		must(!dma_map(WRITE_ONLY, small_area + SMALL, SMALL, VFIO_DMA_MAP_FLAG_WRITE),
		     "map to write");
}

void *memory(uint64_t iova)
{
	return iova < MIDDLE ? area + HALF + (iova - AREA) : area + (iova - MIDDLE);
}

void *read_only_memory(void)
{
	return small_area;
}

void *write_only_memory(void)
{
	return small_area + SMALL;
}

/* ---- configuration space */

uint32_t config_read(struct engine *e, uint64_t offset, unsigned int size)
{
	uint32_t value = 0;

	CHECK(pread(e->device, &value, size, (off_t)(e->config + offset)) == (ssize_t)size);
	return value;
}

void config_write(struct engine *e, uint64_t offset, uint32_t value, unsigned int size)
{
	CHECK(pwrite(e->device, &value, size, (off_t)(e->config + offset)) == (ssize_t)size);
}

uint8_t find_capability(struct engine *e, uint8_t id)
{
	uint8_t at = (uint8_t)config_read(e, PCI_CAPABILITY_LIST, 1);

	while (at && config_read(e, at, 1) != id)
		at = (uint8_t)config_read(e, at + 1u, 1);
	return at;
}

void bus_master(struct engine *e)
{
	uint32_t command = config_read(e, PCI_COMMAND, 2);

	config_write(e, PCI_COMMAND, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

void device_reset(struct engine *e)
{
	CHECK(!ioctl(e->device, VFIO_DEVICE_RESET));
	bus_master(e);
}

/* ---- engines */

static bool is_engine(const char *bdf)
{
	char path[300], text[16] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/class", bdf);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 && strtoul(text, NULL, 16) == 0x088000;
}

static int open_group(const char *bdf)
{
	char path[300], link[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/iommu_group", bdf);
	n = readlink(path, link, sizeof(link) - 1);
	must(n > 0, path);
	link[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	fd = open(path, O_RDWR);
	must(fd >= 0, path);
	return fd;
}

void engine_open(struct engine *e)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };

	e->device = ioctl(e->group, VFIO_GROUP_GET_DEVICE_FD, e->bdf);
	must(e->device >= 0, e->bdf);
	must(!ioctl(e->device, VFIO_DEVICE_GET_REGION_INFO, &info), "config space");
	e->config = info.offset;
	must(!ioctl(e->device, VFIO_DEVICE_GET_REGION_INFO, &bar), "BAR 0");
	must(bar.size == BAR_SIZE && bar.flags & VFIO_REGION_INFO_FLAG_MMAP, "BAR 0 of 16 KiB, to be mapped");
	e->bar = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, e->device, (off_t)bar.offset);
	must(e->bar != MAP_FAILED, "map BAR 0");
	bus_master(e);
	e->ring = RINGS + (uint64_t)(e - engines) * MIB;
	e->cmp = e->ring + 512 * KIB;
	e->xfercap = r8(e, XFERCAP) & 31u;
	e->cap = r32(e, DMACAP);
	e->version = r8(e, CBVER);
}

void engine_close(struct engine *e)
{
	must(!munmap((void *)(uintptr_t)e->bar, BAR_SIZE), "unmap BAR 0");
	must(!close(e->device), "close");
}

void engines_open(void)
{
	struct dirent *entry;
	DIR *dir = opendir(DEVICES);

	must(dir, DEVICES);
	container = open("/dev/vfio/vfio", O_RDWR);
	must(container >= 0, "/dev/vfio/vfio");
	while ((entry = readdir(dir)) && nr_engines < MAX_ENGINES)
		if (is_engine(entry->d_name)) {
			struct engine *e = &engines[nr_engines++];

			snprintf(e->bdf, sizeof(e->bdf), "%.15s", entry->d_name);
			e->group = open_group(e->bdf);
			must(!ioctl(e->group, VFIO_GROUP_SET_CONTAINER, &container), "SET_CONTAINER");
		}
	closedir(dir);
	must(nr_engines > 0, "a copy engine");
	windows = ioctl(container, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_v2_IOMMU) == 1;
	must(!ioctl(container, VFIO_SET_IOMMU, windows ? VFIO_SPAPR_TCE_v2_IOMMU : VFIO_TYPE1v2_IOMMU),
	     "SET_IOMMU");
	if (windows)
		make_window();
	make_memory();
	for (unsigned int i = 0; i < nr_engines; i++)
		engine_open(&engines[i]);
}

void engines_close(void)
{
	for (unsigned int i = 0; i < nr_engines; i++) {
		engine_close(&engines[i]);
		must(!close(engines[i].group), "close");
	}
	must(!close(container), "close");
	munmap(area, AREA_SIZE + 2 * SMALL);
}

/* ---- interrupts */

void set_irq(struct engine *e, unsigned int index, int event)
{
	_Alignas(struct vfio_irq_set) uint8_t arg[sizeof(struct vfio_irq_set) + sizeof(event)];
	struct vfio_irq_set set = { .argsz = sizeof(arg),
				    .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				    .index = index,
				    .count = 1 };

	if (event < 0) {
		set.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
		set.count = 0;
	}
	memcpy(arg, &set, sizeof(set));
	memcpy(arg + sizeof(set), &event, sizeof(event));
	CHECK(!ioctl(e->device, VFIO_DEVICE_SET_IRQS, arg));
}

uint64_t drain(int event)
{
	uint64_t n = 0;

	return read(event, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

uint64_t wait_event(int event)
{
	struct pollfd poll_fd = { event, POLLIN, 0 };

	CHECK(poll(&poll_fd, 1, 5000) == 1);
	return drain(event);
}
