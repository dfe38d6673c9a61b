/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc/PID/status of a process whose memory is pinned for devices: the kernel knows nothing of that, so that
 * VmPin and VmLck are written anew. A process to which nothing is charged has the kernel's file.
 */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "intercept/section.h"
#include "intercept/share.h"
#include "iommu/mm.h"
#include "machine/machine.h"

#include <string.h>

#define KIB_PER_PAGE (UVFIO_PAGE_SIZE / 1024)

void status_charges(pid_t pid, struct status_charges *charges)
{
	struct uvfio_machine *machine = intercept_machine_if_made();
	struct mm *mm;

	if (!machine || mm_of_pid(pid, &mm))
		return;
	charges->pinned = atomic_load(&mm->pinned_pages) * KIB_PER_PAGE;
	charges->locked = machine_locked_pages(machine, mm) * KIB_PER_PAGE;
	mm_put(mm);
}

/* Whose status is path? 0: nobody's. */
static pid_t status_pid(const char *path)
{
	const char *name = path_in_own_proc(path);
	char *end;
	long pid;

	if (name)
		return strcmp(name, "status") ? 0 : getpid();
	if (strncmp(path, "/proc/", 6) || path[6] < '1' || path[6] > '9')
		return 0;
	pid = strtol(path + 6, &end, 10);
	return strcmp(end, "/status") || pid > INT_MAX ? 0 : (pid_t)pid;
}

/* "VmLck:\t      16 kB": the same with more. */
static void write_line(int to, const char *line, size_t len, uint64_t more)
{
	const char *colon = memchr(line, ':', len);

	if (more && colon)
		dprintf(to, "%.*s:\t%8llu kB\n", (int)(colon - line), line,
			strtoull(colon + 1, NULL, 10) + (unsigned long long)more);
	else
		dprintf(to, "%.*s\n", (int)len, line);
}

static void write_status(int to, const char *text, const struct status_charges *charges)
{
	const char *end;

	for (; (end = strchr(text, '\n')); text = end + 1) {
		uint64_t more = 0;

		if (!strncmp(text, "VmLck:", 6))
			more = charges->locked;
		else if (!strncmp(text, "VmPin:", 6))
			more = charges->pinned;
		write_line(to, text, (size_t)(end - text), more);
	}
}

static ssize_t read_status(const char *path, char *text, size_t size)
{
	int fd = REAL(open)(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = REAL(read)(fd, text, size - 1);
	REAL(close)(fd);
	text[MAX(n, (ssize_t)0)] = 0;
	return n;
}

int status_open(const char *path, int oflags)
{
	pid_t pid = status_pid(path);
	struct status_charges charges = { 0 };
	int saved_errno = errno, fd = -1;
	char text[8192];

	if (!pid || (oflags & O_ACCMODE) != O_RDONLY)
		return -1;
	section_begin();
	if (!remote_charges(pid, &charges))
		status_charges(pid, &charges);
	section_end();
	if ((charges.pinned || charges.locked) && read_status(path, text, sizeof(text)) > 0)
		fd = memfd_create("status", oflags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd >= 0) {
		write_status(fd, text, &charges);
		lseek(fd, 0, SEEK_SET);
	}
	errno = saved_errno;
	return fd;
}
