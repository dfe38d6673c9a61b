/* SPDX-License-Identifier: BSD-2-Clause */
/* /proc/self/fdinfo/N of our descriptors: what the kernel prints about such a file. */
#include "file/fdtable.h"
#include "intercept/intercept.h"
#include "vfio/vfio.h"

#include <string.h>

/* What the kernel adds to every open() of a 64-bit program, and to a memfd, but not to a file that an ioctl
 * makes. */
#define LARGEFILE 0100000u

/* "vfio-device-syspath: /sys/devices/pci0000:00/0000:00:01.0\n" for a device file, else nothing. */
static void syspath_line(struct file *file, char *line, size_t len)
{
	struct vfio_device *vdev = vfio_file_device(file);
	char link[PATH_MAX], path[PATH_MAX];
	const char *name;

	line[0] = 0;
	if (!vdev)
		return;
	if (snprintf(link, sizeof(link), "%s/sys/bus/pci/devices/%s", session.dir, vdev->name) >= PATH_MAX)
		return;
	if (!realpath(link, path) || !(name = path_to_program(path)))
		return;
	snprintf(line, len, "vfio-device-syspath: %s\n", name);
}

int fdinfo_open(int fd, int oflags)
{
	struct file *file = fdtable_get(fd);
	char line[PATH_MAX + 32];
	int flags = fcntl(fd, F_GETFL), cloexec = fcntl(fd, F_GETFD), info;

	if (!file) {
		errno = ENOENT;
		return -1;
	}
	if ((oflags & O_ACCMODE) != O_RDONLY) {
		file_put(file);
		errno = EACCES;
		return -1;
	}
	syspath_line(file, line, sizeof(line));
	if (strncmp(file->path, "/dev/", 5))
		flags &= ~(int)LARGEFILE;
	info = memfd_create("fdinfo", oflags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (info >= 0) {
		dprintf(info, "pos:\t%lld\nflags:\t0%o\nmnt_id:\t16\nino:\t%llu\n%s",
			(long long)lseek(fd, 0, SEEK_CUR),
			(unsigned int)flags | (cloexec & FD_CLOEXEC ? O_CLOEXEC : 0),
			(unsigned long long)file->ino, line);
		lseek(info, 0, SEEK_SET);
	}
	file_put(file);
	return info;
}
