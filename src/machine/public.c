/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library's public calls. Thin: a descriptor is looked up, the core does the rest.
 *
 * A descriptor stays in the table while it is in use: uvfio_close() in another thread takes the number away
 * at once and the file when the last call in it has returned.
 */
#include "uvfio/machine.h"

#include "base/fault.h"
#include "base/trace.h"
#include "file/fdtable.h"
#include "iommu/client.h"
#include "machine/machine.h"
#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#include <stdio.h>
#include <unistd.h>

#define MMIO_MAX 64 /* bytes of one access */

struct uvfio_machine *uvfio_machine_new(const char *description, char *err, size_t err_len)
{
	struct uvfio_machine *machine;
	char line[1024] = "";

	client_is_self(); /* of all machines: its memory is what the devices reach */
	machine = machine_new(description ? description : "device " MACHINE_DEFAULT_DEVICE "\n", NULL, line,
			      sizeof(line));

	if (err && err_len)
		snprintf(err, err_len, "%s", machine ? "" : line);
	return machine;
}

void uvfio_machine_free(struct uvfio_machine *machine)
{
	if (machine)
		machine_free(machine);
}

int uvfio_open(struct uvfio_machine *machine, const char *path, int flags)
{
	struct file *file;
	int rc = machine_open(machine, path, flags, &file);

	return rc ? rc : fdtable_install(file, flags);
}

long uvfio_ioctl(int fd, unsigned long request, void *arg)
{
	struct file *file = fdtable_get(fd);
	long ret;

	if (!file)
		return -EBADF;
	ret = file_ioctl(file, &self_caller, request, (uint64_t)(uintptr_t)arg);
	file_put(file);
	return ret;
}

/* A struct uvfio_memory is an address space. */
static struct mm *to_mm(struct uvfio_memory *memory)
{
	return (struct mm *)memory;
}

int uvfio_memory_of_process(int pidfd, struct uvfio_memory **memory)
{
	struct mm *mm;
	int rc = mm_of_pidfd(pidfd, &mm);

	if (!rc)
		*memory = (struct uvfio_memory *)mm;
	return rc;
}

int uvfio_memory_of_file(int fd, struct uvfio_memory **memory)
{
	struct mm *mm;
	int rc = mm_of_file(fd, &mm);

	if (!rc)
		*memory = (struct uvfio_memory *)mm;
	return rc;
}

void uvfio_memory_put(struct uvfio_memory *memory)
{
	if (memory)
		mm_put(to_mm(memory));
}

long uvfio_map(struct uvfio_memory *memory, int fd, unsigned long request, void *arg)
{
	struct caller caller = { .ops = self_caller.ops, .mm = to_mm(memory), .pid = self_caller.pid };
	struct file *file;
	long ret;

	if (request != VFIO_IOMMU_MAP_DMA && request != IOMMU_IOAS_MAP && request != IOMMU_IOAS_MAP_FILE &&
	    request != IOMMU_IOAS_CHANGE_PROCESS)
		return -EINVAL;
	file = fdtable_get(fd);
	if (!file)
		return -EBADF;
	ret = file_ioctl(file, &caller, request, (uint64_t)(uintptr_t)arg);
	file_put(file);
	return ret;
}

ssize_t uvfio_pread(int fd, void *buf, size_t len, off_t offset)
{
	struct file *file = fdtable_get(fd);
	ssize_t ret;

	if (!file)
		return -EBADF;
	ret = offset < 0 ? -EINVAL
			 : file_read(file, &self_caller, (uint64_t)(uintptr_t)buf, len, (uint64_t)offset);
	file_put(file);
	return ret;
}

ssize_t uvfio_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	struct file *file = fdtable_get(fd);
	ssize_t ret;

	if (!file)
		return -EBADF;
	ret = offset < 0 ? -EINVAL
			 : file_write(file, &self_caller, (uint64_t)(uintptr_t)buf, len, (uint64_t)offset);
	file_put(file);
	return ret;
}

static int mmio(int fd, uint64_t offset, void *data, unsigned int len, bool write)
{
	struct file *file = fdtable_get(fd);
	int ret = -ENODEV;

	if (!file)
		return -EBADF;
	if (!len || len > MMIO_MAX)
		ret = -EINVAL;
	else if (file->ops->mmio)
		ret = file->ops->mmio(file, offset, data, len, write);
	file_put(file);
	return ret;
}

int uvfio_mmio_read(int fd, uint64_t offset, void *data, unsigned int len)
{
	return mmio(fd, offset, data, len, false);
}

int uvfio_mmio_write(int fd, uint64_t offset, const void *data, unsigned int len)
{
	return mmio(fd, offset, (void *)(uintptr_t)data, len, true);
}

int uvfio_close(int fd)
{
	if (!fdtable_is_ours(fd))
		return -EBADF;
	fdtable_close(fd);
	return close(fd) ? -errno : 0;
}

int uvfio_catch_faults(void)
{
	return fault_handler_install(NULL);
}

int uvfio_set_trace(const char *categories)
{
	uint32_t mask = 0;
	const char *bad;
	int rc = *categories ? trace_parse_categories(categories, &mask, &bad) : 0;

	return rc ? rc : trace_start(mask, 0, NULL);
}

const char *uvfio_version(void)
{
	return UVFIO_VERSION;
}
