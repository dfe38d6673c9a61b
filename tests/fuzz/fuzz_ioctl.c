/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: the ioctl tables of containers, groups and device files, and reads and writes of a device's
 * regions.
 *
 * The input is a sequence of calls on files: two containers, and the groups and devices of two functions and
 * of a mediated device. An argument lies at the very end of a page that no accessible one follows. Addresses
 * that an ioctl makes the core write to are moved into memory set aside for it: a client that names its own
 * memory wrongly harms only itself, but here that would be the fuzzer.
 */
#include "input.h"

#include "uvfio/machine.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/* The same for a machine with another IOMMU, and containers for it. */
#ifndef FUZZ_IOMMU
#define FUZZ_IOMMU  "iommu type=type1"
#define FUZZ_TYPE   VFIO_TYPE1v2_IOMMU
#define FUZZ_GROUPS 3u /* bits of open_all() that work */
#endif

#define PAGE      4096u
#define ARENA     (1u << 20)
#define MAX_FILES 12
#define FIRST     5 /* of the devices */
#define MDEV      "75766669-6f00-4000-8000-000000000001"
#define MAX_CALLS 64

static struct uvfio_machine *machine;
static uint8_t *arg_page, *arena;
static int event;
static int files[MAX_FILES];

static void set_up(void)
{
	char err[256];

	machine = uvfio_machine_new(FUZZ_IOMMU "\ndevice nvme,size=1M,threads=1,addr=0000:00:01.0,group=1\n"
					       "device nvme,size=1M,threads=1,addr=0000:00:01.1,group=2\n"
					       "device mtty,type=mtty-2\n",
				    err, sizeof(err));
	arg_page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	arena = mmap(NULL, ARENA + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!machine || arg_page == MAP_FAILED || arena == MAP_FAILED || event < 0 ||
	    mprotect(arg_page + PAGE, PAGE, PROT_NONE) || mprotect(arena + ARENA, PAGE, PROT_NONE))
		abort();
}

/* Bits of attach: which groups join the first container, each with its device opened. */
static void open_all(unsigned int attach)
{
	static const char *const names[] = { "0000:00:01.0", MDEV };
	const int groups[] = { 2, 4 };
	bool has_iommu = false;

	files[0] = uvfio_open(machine, "/dev/vfio/vfio", O_RDWR);
	files[1] = uvfio_open(machine, "/dev/vfio/vfio", O_RDWR);
	files[2] = uvfio_open(machine, "/dev/vfio/1", O_RDWR);
	files[3] = uvfio_open(machine, "/dev/vfio/2", O_RDWR);
	files[4] = uvfio_open(machine, "/dev/vfio/256", O_RDWR);
	for (int i = 0; i < FIRST; i++)
		if (files[i] < 0)
			abort();
	for (int i = FIRST; i < MAX_FILES; i++)
		files[i] = -1;
	for (int i = 0; i < 2; i++) {
		if (!(attach & FUZZ_GROUPS & 1u << i))
			continue;
		if (uvfio_ioctl(files[groups[i]], VFIO_GROUP_SET_CONTAINER, &files[0]) ||
		    (!has_iommu && uvfio_ioctl(files[0], VFIO_SET_IOMMU, (void *)FUZZ_TYPE)))
			abort();
		has_iommu = true;
		files[FIRST + i] = (int)uvfio_ioctl(files[groups[i]], VFIO_GROUP_GET_DEVICE_FD,
						    (void *)(uintptr_t)names[i]);
		if (files[FIRST + i] < 0)
			abort();
	}
}

static void close_all(void)
{
	for (int i = MAX_FILES - 1; i >= 0; i--)
		if (files[i] >= 0)
			uvfio_close(files[i]);
}

/* Keep what the core may write to (or the device, later) inside the arena. */
static void into_arena(uint8_t *arg, size_t len, size_t offset)
{
	uint64_t address;

	if (len < offset + sizeof(address))
		return;
	memcpy(&address, arg + offset, sizeof(address));
	address = (uintptr_t)arena + address % (ARENA / 2);
	memcpy(arg + offset, &address, sizeof(address));
}

static void fix_argument(uint32_t cmd, uint8_t *arg, size_t len)
{
	int32_t fd;

	/* These numbers mean different things on a container and on a device: what is harmless is fixed as
	 * well. */
	if (cmd == VFIO_IOMMU_MAP_DMA)
		into_arena(arg, len, offsetof(struct vfio_iommu_type1_dma_map, vaddr));
	if (cmd == VFIO_IOMMU_UNMAP_DMA)
		into_arena(arg, len,
			   sizeof(struct vfio_iommu_type1_dma_unmap) + offsetof(struct vfio_bitmap, data));
	if (cmd == VFIO_IOMMU_DIRTY_PAGES)
		into_arena(arg, len,
			   sizeof(struct vfio_iommu_type1_dirty_bitmap) +
				   offsetof(struct vfio_iommu_type1_dirty_bitmap_get, bitmap.data));
	if (cmd == VFIO_IOMMU_SPAPR_REGISTER_MEMORY || cmd == VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY)
		into_arena(arg, len, offsetof(struct vfio_iommu_spapr_register_memory, vaddr));
	/* Descriptors: one of ours by its place in the list, or the eventfd. */
	if (cmd == VFIO_GROUP_SET_CONTAINER && len >= sizeof(fd)) {
		memcpy(&fd, arg, sizeof(fd));
		fd = files[(uint32_t)fd % MAX_FILES];
		memcpy(arg, &fd, sizeof(fd));
	}
	if ((cmd == VFIO_DEVICE_SET_IRQS || cmd == VFIO_DEVICE_IOEVENTFD) && len >= 24 && arg[len - 1] & 1)
		memcpy(arg + (cmd == VFIO_DEVICE_SET_IRQS ? 20 : len - 4), &event, sizeof(event));
}

static void keep(int fd)
{
	for (int i = FIRST; i < MAX_FILES; i++)
		if (files[i] < 0) {
			files[i] = fd;
			return;
		}
	uvfio_close(fd);
}

static void call_ioctl(struct input *in, int fd)
{
	uint64_t selector = take(in, 1);
	uint32_t cmd =
		selector < 240 ? VFIO_GET_API_VERSION + (uint32_t)selector % 24 : (uint32_t)take(in, 4);
	size_t len = take(in, 1);
	uint8_t *arg = arg_page + PAGE - len;
	long ret;

	take_bytes(in, arg, len);
	if (cmd == VFIO_CHECK_EXTENSION || cmd == VFIO_SET_IOMMU) {
		uvfio_ioctl(fd, cmd, (void *)(uintptr_t)(len % 12));
		return;
	}
	if (cmd == VFIO_GROUP_GET_DEVICE_FD && selector & 1) {
		len = selector & 4 ? sizeof(MDEV) : 13;
		arg = arg_page + PAGE - len;
		memcpy(arg, selector & 4 ? MDEV : selector & 2 ? "0000:00:01.0" : "0000:00:01.1", len);
	}
	fix_argument(cmd, arg, len);
	ret = uvfio_ioctl(fd, cmd, arg);
	if (cmd == VFIO_GROUP_GET_DEVICE_FD && ret >= 0)
		keep((int)ret);
}

static void call_region(struct input *in, int fd, bool write)
{
	uint64_t offset = (take(in, 1) % 10) << 40 | take(in, 2);
	size_t len = take(in, 1);
	uint8_t *arg = arg_page + PAGE - len;

	if (write) {
		take_bytes(in, arg, len);
		uvfio_pwrite(fd, arg, len, (off_t)offset);
	} else {
		uvfio_pread(fd, arg, len, (off_t)offset);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (!machine)
		set_up();
	open_all((unsigned int)take(&in, 1) & 3);
	for (int calls = 0; in.left && calls < MAX_CALLS; calls++) {
		uint64_t choice = take(&in, 1);
		int *file = &files[take(&in, 1) % MAX_FILES];

		if (*file < 0)
			continue;
		if (choice >> 3 == 31) {
			uvfio_close(*file);
			*file = -1;
		} else if (choice >> 6 == 2) {
			call_region(&in, *file, choice & 32);
		} else {
			call_ioctl(&in, *file);
		}
	}
	close_all();
	return 0;
}
