/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking the kernel about a process's mappings: the PROCMAP_QUERY ioctl of /proc/PID/maps where there is one,
 * else the text of that file.
 *
 * The descriptor of our own file stays open as a private one. It speaks of the memory of the process that
 * opened it, so a forked child opens its own. Plain system calls: nothing here may come back through an
 * interposed one.
 */
#include "base/private_fd.h"
#include "iommu/mm_private.h"
#include "uapi/procmap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int self_fd = -1;
static _Atomic bool no_ioctl; /* this kernel has none */

void maps_forked(void)
{
	private_fd_close(atomic_exchange(&self_fd, -1));
}

static int open_maps(pid_t pid)
{
	char path[40] = "/proc/self/maps";
	long fd;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

static int self_maps(void)
{
	int fd = atomic_load_explicit(&self_fd, memory_order_relaxed), none = -1;

	if (fd >= 0)
		return fd;
	fd = private_fd(open_maps(0));
	if (fd >= 0 && !atomic_compare_exchange_strong(&self_fd, &none, fd)) {
		private_fd_close(fd);
		fd = none;
	}
	return fd;
}

/* Shared anonymous memory and huge pages have an inode too, but no end of a file. */
static bool is_nameless(const char *name)
{
	return !strncmp(name, "/dev/zero", 9) || !strncmp(name, "/anon_hugepage", 14);
}

static bool has_file(int fd, struct procmap_query q)
{
	char name[64] = "";

	q.query_addr = q.vma_start;
	q.build_id_size = 0;
	q.vma_name_size = sizeof(name);
	q.vma_name_addr = (uintptr_t)name;
	return syscall(SYS_ioctl, fd, PROCMAP_QUERY, &q) < 0 || !is_nameless(name);
}

static int query_ioctl(int fd, uint64_t va, struct vma *out)
{
	struct procmap_query q = { .size = sizeof(q), .query_addr = va };

	if (syscall(SYS_ioctl, fd, PROCMAP_QUERY, &q) < 0)
		return -errno;
	*out = (struct vma){
		.start = q.vma_start,
		.end = q.vma_end,
		.readable = q.vma_flags & PROCMAP_QUERY_VMA_READABLE,
		.writable = q.vma_flags & PROCMAP_QUERY_VMA_WRITABLE,
		.file = q.inode && has_file(fd, q),
	};
	return 0;
}

/* "55d0-55e0 rw-p 00000000 fd:01 1234 /path": true when it holds va. */
static bool parse_line(const char *line, uint64_t va, struct vma *out)
{
	unsigned long long start, end, inode;
	int path = 0;
	char perms[5];

	if (sscanf(line, "%llx-%llx %4s %*x %*x:%*x %llu %n", &start, &end, perms, &inode, &path) != 4)
		return false;
	*out = (struct vma){ start, end, perms[0] == 'r', perms[1] == 'w',
			     inode && !is_nameless(line + path) };
	return va >= start && va < end;
}

static int query_text(int fd, uint64_t va, struct vma *out)
{
	char buf[8192 + 1];
	size_t have = 0;
	off_t at = 0;

	for (;;) {
		long n = syscall(SYS_pread64, fd, buf + have, sizeof(buf) - 1 - have, at);
		char *line = buf, *nl;

		if (n < 0)
			return -errno;
		at += n;
		have += (size_t)n;
		buf[have] = '\0';
		while ((nl = strchr(line, '\n'))) {
			*nl = '\0';
			if (parse_line(line, va, out))
				return 0;
			line = nl + 1;
		}
		have -= (size_t)(line - buf);
		if (!n || have == sizeof(buf) - 1)
			return -ENOENT;
		memmove(buf, line, have);
	}
}

static int query(int fd, uint64_t va, struct vma *out)
{
	int ret = -ENOTTY;

	if (!atomic_load_explicit(&no_ioctl, memory_order_relaxed))
		ret = query_ioctl(fd, va, out);
	if (ret == -ENOTTY) {
		atomic_store_explicit(&no_ioctl, true, memory_order_relaxed);
		ret = query_text(fd, va, out);
	}
	return ret;
}

int maps_query(struct mm *mm, uint64_t va, struct vma *out)
{
	int fd = mm->self ? self_maps() : open_maps(mm->pid), ret;

	if (fd < 0)
		return mm->self ? -EBADF : fd;
	ret = query(fd, va, out);
	if (!mm->self)
		syscall(SYS_close, fd);
	return ret;
}
