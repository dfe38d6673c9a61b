/* SPDX-License-Identifier: BSD-2-Clause */
/* The device in this process, through the library: every byte of it under the sanitizers. */
#include "hostile.h"

#include "uvfio/machine.h"

#include <fcntl.h>
#include <stdio.h>

static struct uvfio_machine *machine;
static int bar = -1;

void port_setup(void)
{
	char config[128], err[256];

	snprintf(config, sizeof(config), "device %s\n", driver_device);
	machine = uvfio_machine_new(config, err, sizeof(err));
	if (!machine)
		die("%s", err);
}

void port_teardown(void)
{
	uvfio_machine_free(machine);
}

int port_open(const char *path)
{
	return uvfio_open(machine, path, O_RDWR | O_CLOEXEC);
}

long port_ioctl(int fd, unsigned long request, void *arg)
{
	return uvfio_ioctl(fd, request, arg);
}

ssize_t port_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	return uvfio_pread(fd, buf, len, (off_t)offset);
}

ssize_t port_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	return uvfio_pwrite(fd, buf, len, (off_t)offset);
}

void port_close(int fd)
{
	if (uvfio_close(fd))
		die("close failed");
}

void port_map_bar(int fd, uint64_t size)
{
	(void)size;
	bar = fd;
}

void port_unmap_bar(void)
{
	bar = -1;
}

/* A bus error (memory decoding is off) reads as all ones, as on a bus. */
void port_load(uint64_t offset, void *data, unsigned int size)
{
	if (uvfio_mmio_read(bar, offset, data, size))
		__builtin_memset(data, 0xff, size);
}

void port_store(uint64_t offset, const void *data, unsigned int size)
{
	(void)uvfio_mmio_write(bar, offset, data, size);
}
