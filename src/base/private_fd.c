/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/private_fd.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_FD 65536
static _Atomic uint64_t is_private[MAX_FD / 64];

/* The upper quarter of what the program may have, or of MAX_FD. */
static int lowest_private(void)
{
	struct rlimit limit;
	rlim_t top = MAX_FD;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < top)
		top = limit.rlim_cur;
	return (int)(top - top / 4);
}

int private_fd(int fd)
{
	int high;

	if (fd < 0)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, lowest_private());
	if (high >= 0) {
		close(fd);
		fd = high;
	}
	if (fd < MAX_FD)
		atomic_fetch_or(&is_private[fd / 64], BIT64(fd % 64));
	return fd;
}

void private_fd_close(int fd)
{
	if (fd < 0)
		return;
	if (fd < MAX_FD)
		atomic_fetch_and(&is_private[fd / 64], ~BIT64(fd % 64));
	close(fd);
}

bool private_fd_is(int fd)
{
	if (fd < 0 || fd >= MAX_FD)
		return false;
	return atomic_load_explicit(&is_private[fd / 64], memory_order_relaxed) & BIT64(fd % 64);
}

int private_fd_next(int from)
{
	for (int fd = from; fd >= 0 && fd < MAX_FD; fd++) {
		if (!atomic_load_explicit(&is_private[fd / 64], memory_order_relaxed))
			fd |= 63;
		else if (private_fd_is(fd))
			return fd;
	}
	return -1;
}
