/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locked memory: what is charged to an address space, and how much may be.
 *
 * A file's memory is charged to the process that made the address space of it.
 */
#include "iommu/mm_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

long long proc_number(const char *path, const char *key)
{
	size_t len = strlen(key);
	char buf[4096];
	const char *line = buf;
	ssize_t n;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	n = syscall(SYS_read, fd, buf, sizeof(buf) - 1);
	syscall(SYS_close, fd);
	buf[MAX(n, (ssize_t)0)] = '\0';
	while ((line = strchr(line, '\n')))
		if (!strncmp(++line, key, len) && line[len] == ':')
			return strtoll(line + len + 1, NULL, 10);
	return 0;
}

/* Pages that the process has locked by mlock(): they count against the same limit. */
static uint64_t mlocked_pages(const struct mm *mm)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)mm->pid);
	return (uint64_t)proc_number(path, "VmLck") / (UVFIO_PAGE_SIZE / 1024);
}

uint64_t mm_memlock_room(struct mm *mm, uint64_t limit_pages)
{
	uint64_t used;

	mm = mm_payer(mm);
	if (limit_pages == UINT64_MAX)
		return UINT64_MAX;
	used = mlocked_pages(mm) + atomic_load(&mm->locked_pages);
	return used < limit_pages ? limit_pages - used : 0;
}

int mm_charge(struct mm *mm, uint64_t pages, uint64_t limit_pages)
{
	uint64_t mlocked, locked, total;

	mm = mm_payer(mm);
	mlocked = limit_pages == UINT64_MAX ? 0 : mlocked_pages(mm);
	locked = atomic_load(&mm->locked_pages);
	do {
		if (add_overflows(locked, pages, &total) || add_overflows(total, mlocked, &total) ||
		    total > limit_pages)
			return -ENOMEM;
	} while (!atomic_compare_exchange_weak(&mm->locked_pages, &locked, locked + pages));
	return 0;
}

void mm_uncharge(struct mm *mm, uint64_t pages)
{
	uint64_t was = atomic_fetch_sub_explicit(&mm_payer(mm)->locked_pages, pages, memory_order_relaxed);

	assert(was >= pages);
	(void)was;
}

bool mm_may_lock_all(struct mm *mm)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3,
						   mm_payer(mm)->self ? 0 : mm_payer(mm)->pid };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &header, data) && data[0].effective & BIT32(CAP_IPC_LOCK);
}

uint64_t mm_memlock_limit(struct mm *mm)
{
	pid_t pid = mm_payer(mm)->self ? 0 : mm_payer(mm)->pid;
	struct rlimit limit;

	if (mm_may_lock_all(mm) || prlimit(pid, RLIMIT_MEMLOCK, NULL, &limit) ||
	    limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur / UVFIO_PAGE_SIZE;
}
