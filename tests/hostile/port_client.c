/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device through system calls, for `uvfio run`. Registers are reached through the mapped BAR and, now and
 * then, by pread and pwrite; a bus error (memory decoding is off) reads as all ones.
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uint8_t *bar;
static uint64_t bar_size;
static int bar_fd = -1;
static sigjmp_buf bus_error;

static void on_bus_error(int sig)
{
	(void)sig;
	siglongjmp(bus_error, 1);
}

void port_setup(void)
{
	struct sigaction act = { .sa_handler = on_bus_error };

	sigaction(SIGBUS, &act, NULL);
}

void port_teardown(void)
{
}

int port_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

long port_ioctl(int fd, unsigned long request, void *arg)
{
	int rc = ioctl(fd, request, arg);

	return rc < 0 ? -errno : rc;
}

ssize_t port_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

ssize_t port_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pwrite(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

void port_close(int fd)
{
	if (close(fd))
		die("close failed: %s", strerror(errno));
}

void port_map_bar(int fd, uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		die("the BAR cannot be mapped: %s", strerror(errno));
	bar = at;
	bar_size = size;
	bar_fd = fd;
}

void port_unmap_bar(void)
{
	munmap((void *)(uintptr_t)bar, bar_size);
	bar = NULL;
}

static void load(uint64_t offset, void *data, unsigned int size)
{
	volatile const uint8_t *at = bar + offset;

	switch (size) {
	case 1:
		*(uint8_t *)data = *at;
		break;
	case 2:
		*(uint16_t *)data = *(volatile const uint16_t *)at;
		break;
	case 4:
		*(uint32_t *)data = *(volatile const uint32_t *)at;
		break;
	default:
		*(uint64_t *)data = *(volatile const uint64_t *)at;
	}
}

static void store(uint64_t offset, const void *data, unsigned int size)
{
	volatile uint8_t *at = bar + offset;

	switch (size) {
	case 1:
		*at = *(const uint8_t *)data;
		break;
	case 2:
		*(volatile uint16_t *)at = *(const uint16_t *)data;
		break;
	case 4:
		*(volatile uint32_t *)at = *(const uint32_t *)data;
		break;
	default:
		*(volatile uint64_t *)at = *(const uint64_t *)data;
	}
}

void port_load(uint64_t offset, void *data, unsigned int size)
{
	if (one_in(8)) {
		if (pread(bar_fd, data, size, (off_t)offset) != (ssize_t)size)
			memset(data, 0xff, size);
	} else if (sigsetjmp(bus_error, 1)) {
		memset(data, 0xff, size);
	} else {
		load(offset, data, size);
	}
}

void port_store(uint64_t offset, const void *data, unsigned int size)
{
	if (one_in(8)) {
		if (pwrite(bar_fd, data, size, (off_t)offset) < 0)
			return;
	} else if (!sigsetjmp(bus_error, 1)) {
		store(offset, data, size);
	}
}
