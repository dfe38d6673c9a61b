/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing a device file in every form, and what the other files say to it. */
#include "client.h"

#include <sys/uio.h>

/* Not for the compiler to see through. */
static void *volatile nowhere;
static struct iovec *volatile wrong = (struct iovec *)16;
static volatile int minus_one = -1;

static void forms(int fd, off_t cfg)
{
	uint32_t whole = 0, got = 0;
	uint16_t halves[2] = { 0, 0 };
	struct iovec iov[2] = { { &halves[0], 2 }, { &halves[1], 2 } };

	CHECK(pread(fd, &whole, 4, cfg) == 4 && whole != 0xffffffff && whole != 0);
	CHECK(pread64(fd, &got, 4, cfg) == 4 && got == whole);
	CHECK(preadv(fd, iov, 2, cfg) == 4 && !memcmp(halves, &whole, 4));
	memset(halves, 0, 4);
	CHECK(preadv64(fd, iov, 2, cfg) == 4 && !memcmp(halves, &whole, 4));
	memset(halves, 0, 4);
	CHECK(preadv2(fd, iov, 2, cfg, 0) == 4 && !memcmp(halves, &whole, 4));
	FAILS(preadv2(fd, iov, 2, cfg, RWF_NOWAIT), EOPNOTSUPP);
	FAILS(pread(fd, &got, 4, -4), EINVAL);
	FAILS(preadv(fd, iov, 2, -1), EINVAL);
	FAILS(preadv(fd, iov, minus_one, cfg), EINVAL);
	FAILS(preadv(fd, wrong, 2, cfg), EFAULT);
	FAILS(pread(fd, nowhere, 4, cfg), EFAULT);
	iov[1].iov_base = NULL;
	CHECK(preadv(fd, iov, 2, cfg) == 2);
	/* a length that cannot be: nothing moves, not even what comes before it */
	got = 0;
	iov[0] = (struct iovec){ &got, 4 };
	iov[1] = (struct iovec){ halves, (size_t)minus_one };
	FAILS(preadv(fd, iov, 2, cfg), EINVAL);
	FAILS(readv(fd, iov, 2), EINVAL);
	FAILS(pread(fd, &got, (size_t)minus_one, cfg), EFAULT);
	FAILS(read(fd, &got, (size_t)minus_one), EFAULT);
	CHECK(got == 0);
	FAILS(lseek(fd, 0, SEEK_CUR), ESPIPE);
	FAILS(lseek64(fd, cfg, SEEK_SET), ESPIPE);
}

static void writes(int fd, off_t cfg)
{
	uint8_t line = 0x5a, old = 0, got = 0;
	struct iovec iov = { &line, 1 };

	CHECK(pread(fd, &old, 1, cfg + 0x3c) == 1);
	CHECK(pwrite(fd, &line, 1, cfg + 0x3c) == 1);
	CHECK(pread(fd, &got, 1, cfg + 0x3c) == 1 && got == 0x5a);
	line = 0xa5;
	CHECK(pwritev(fd, &iov, 1, cfg + 0x3c) == 1);
	CHECK(pread(fd, &got, 1, cfg + 0x3c) == 1 && got == 0xa5);
	line = 0x11;
	CHECK(pwritev2(fd, &iov, 1, cfg + 0x3c, 0) == 1);
	CHECK(pread(fd, &got, 1, cfg + 0x3c) == 1 && got == 0x11);
	CHECK(pwrite64(fd, &old, 1, cfg + 0x3c) == 1);
}

/* The position belongs to the open file: duplicates share it. BAR0 lies at position 0. */
static void position(int fd)
{
	uint32_t direct[3], next = 0;
	struct iovec iov = { &next, 4 };
	int copy = dup(fd);

	CHECK(copy >= 0);
	CHECK(pread(fd, direct, 12, 0) == 12);
	CHECK(read(fd, &next, 4) == 4 && next == direct[0]);
	CHECK(read(copy, &next, 4) == 4 && next == direct[1]);
	CHECK(readv(fd, &iov, 1) == 4 && next == direct[2]);
	CHECK(!close(copy));
}

static void others(const struct client *c)
{
	char buf[8] = "";

	FAILS(read(c->container, buf, 8), EINVAL);
	FAILS(write(c->container, buf, 8), EINVAL);
	FAILS(pread(c->group, buf, 8, 0), EINVAL);
	FAILS(pread(c->group, buf, (size_t)minus_one, 0), EINVAL);
	FAILS(readv(c->group, wrong, 1), EINVAL);
	FAILS(pwrite(c->group, buf, 8, 0), EINVAL);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, c->container, 0) == MAP_FAILED && errno == ENODEV);
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, c->group, 0) == MAP_FAILED && errno == ENODEV);
}

static void fdinfo(int fd)
{
	char path[64], text[1024];
	ssize_t n;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	CHECK((info = open(path, O_RDONLY)) >= 0);
	CHECK((n = read(info, text, sizeof(text) - 1)) > 0);
	text[n] = 0;
	CHECK(strstr(text, "flags:\t02000002\n"));
	CHECK(strstr(text, "vfio-device-syspath: /sys/devices/pci0000:00/" BDF "\n"));
	close(info);
}

int main(void)
{
	struct client c = client_open();
	off_t cfg = (off_t)client_config(c.device);
	struct stat st;

	forms(c.device, cfg);
	writes(c.device, cfg);
	position(c.device);
	others(&c);
	fdinfo(c.device);
	CHECK(!fstat(c.device, &st) && !(st.st_mode & S_IFMT));
	client_close(&c);
	return 0;
}
