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
#include <sys/sysmacros.h>
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

static void note_name(struct vma *vma, const char *name)
{
	static const char bar[] = "/memfd:" MM_BAR_MEMFD;

	vma->file = vma->inode && !is_nameless(name);
	vma->bar = !strncmp(name, bar, sizeof(bar) - 1);
}

/* A name that is longer than ours is that of some file. */
static void query_name(int fd, struct procmap_query q, struct vma *out)
{
	char name[64] = "";

	q.query_addr = q.vma_start;
	q.build_id_size = 0;
	q.vma_name_size = sizeof(name);
	q.vma_name_addr = (uintptr_t)name;
	note_name(out, syscall(SYS_ioctl, fd, PROCMAP_QUERY, &q) < 0 ? "" : name);
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
		.shared = q.vma_flags & PROCMAP_QUERY_VMA_SHARED,
		.dev = makedev(q.dev_major, q.dev_minor),
		.inode = q.inode,
		.offset = q.vma_offset,
	};
	if (q.inode)
		query_name(fd, q, out);
	return 0;
}

/* "55d0-55e0 rw-p 00000000 fd:01 1234 /path" */
static bool parse_line(const char *line, struct vma *out)
{
	unsigned long long start, end, offset, inode;
	unsigned int dev_major, dev_minor;
	int path = 0;
	char perms[5];

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, perms, &offset, &dev_major,
		   &dev_minor, &inode, &path) != 7)
		return false;
	*out = (struct vma){
		.start = start,
		.end = end,
		.readable = perms[0] == 'r',
		.writable = perms[1] == 'w',
		.shared = perms[3] == 's',
		.dev = makedev(dev_major, dev_minor),
		.inode = inode,
		.offset = offset,
	};
	note_name(out, line + path);
	return true;
}

/* The first mapping that is wanted, or -ENOENT. */
static int find_in_text(int fd, bool (*wanted)(const struct vma *vma, const struct vma *key),
			const struct vma *key, struct vma *out)
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
			if (parse_line(line, out) && wanted(out, key))
				return 0;
			line = nl + 1;
		}
		have -= (size_t)(line - buf);
		if (!n || have == sizeof(buf) - 1)
			return -ENOENT;
		memmove(buf, line, have);
	}
}

static bool is_at(const struct vma *vma, const struct vma *key)
{
	return key->start >= vma->start && key->start < vma->end;
}

static bool shows(const struct vma *vma, const struct vma *key)
{
	return vma->shared && vma->inode == key->inode && vma->dev == key->dev &&
	       key->offset >= vma->offset && key->offset - vma->offset < vma->end - vma->start;
}

int maps_find_shared(uint64_t dev, uint64_t inode, uint64_t offset, struct vma *out)
{
	int fd = self_maps();

	return fd < 0 ? -ENOENT
		      : find_in_text(fd, shows, &(struct vma){ .dev = dev, .inode = inode, .offset = offset },
				     out);
}

static int query(int fd, uint64_t va, struct vma *out)
{
	int ret = -ENOTTY;

	if (!atomic_load_explicit(&no_ioctl, memory_order_relaxed))
		ret = query_ioctl(fd, va, out);
	if (ret == -ENOTTY) {
		atomic_store_explicit(&no_ioctl, true, memory_order_relaxed);
		ret = find_in_text(fd, is_at, &(struct vma){ .start = va }, out);
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
