/* SPDX-License-Identifier: BSD-2-Clause */
/* Every way to reach a file by its path: the nodes, sysfs, links, directories, and what is not ours. */
#include "client.h"

#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static void opens(void)
{
	int dir, fd;

	CHECK((fd = open("/dev/vfio/vfio", O_RDWR)) >= 0 && !close(fd));
	CHECK((fd = open64("//dev/./vfio//vfio", O_RDWR)) >= 0 && !close(fd));
	CHECK((fd = open("/usr/../dev/vfio/../vfio/vfio", O_RDWR | O_CLOEXEC)) >= 0);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && !close(fd));
	CHECK((fd = openat(AT_FDCWD, "/dev/vfio/vfio", O_RDWR)) >= 0 && !close(fd));
	CHECK((dir = open("/dev/vfio", O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK((fd = openat(dir, "vfio", O_RDWR)) >= 0);
	CHECK(ioctl(fd, VFIO_GET_API_VERSION) == VFIO_API_VERSION && !close(fd));
	CHECK((fd = openat64(dir, "../vfio/vfio", O_RDWR)) >= 0 && !close(fd));
	close(dir);
	CHECK((dir = open("/dev", O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK((fd = openat(dir, "vfio/vfio", O_RDWR)) >= 0 && !close(fd));
	close(dir);
	CHECK((fd = open("/dev/vfio/vfio", O_RDWR | O_NONBLOCK)) >= 0);
	CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK) && !close(fd));
	CHECK((fd = open("/dev/char/10:196", O_RDWR)) >= 0);
	CHECK(ioctl(fd, VFIO_GET_API_VERSION) == VFIO_API_VERSION && !close(fd));

	FAILS(open("/dev/vfio/noiommu-0", O_RDWR), ENOENT);
	FAILS(open("/dev/vfio/12345", O_RDWR), ENOENT);
	FAILS(open("/dev/vfio/vfio/", O_RDWR), ENOTDIR);
	FAILS(open("/dev/vfio/vfio", O_RDWR | O_DIRECTORY), ENOTDIR);
	FAILS(open("/dev/vfio/new", O_RDWR | O_CREAT, 0600), EACCES);
	FAILS(open("/sys/bus/pci/devices/none/remove", O_WRONLY | O_CREAT, 0600), ENOENT);
	FAILS(open("/dev/vfio/vfio", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	CHECK((fd = open("/dev/iommu", O_RDWR)) >= 0 && !close(fd));
	CHECK((fd = open("/dev/vfio/devices/vfio0", O_RDWR)) >= 0 && !close(fd));
	FAILS(open("/dev/vfio/devices/vfio1", O_RDWR), ENOENT);
	FAILS(open("/dev/vfio/devices/vfio00", O_RDWR), ENOENT);
	FAILS(open("/dev/vfio/devices/vfio0", O_RDWR | O_DIRECTORY), ENOTDIR);
	CHECK((fd = open("/dev/vfio/../null", O_RDWR)) >= 0 && write(fd, "x", 1) == 1 && !close(fd));
}

static void read_text(const char *path, char *buf, size_t len)
{
	FILE *f = fopen(path, "r");

	CHECK(f);
	CHECK(fgets(buf, (int)len, f));
	CHECK(!fclose(f));
}

static void streams(void)
{
	char text[64];
	FILE *f;

	read_text(SYSDEV "/class", text, sizeof(text));
	CHECK(!strcmp(text, "0x010802\n"));
	f = fopen("/dev/null", "r");
	CHECK(f);
	CHECK(freopen(SYSDEV "/class", "r", f));
	CHECK(fgets(text, sizeof(text), f) && !strcmp(text, "0x010802\n"));
	CHECK(!fclose(f));
	CHECK(!fopen(SYSDEV "/new", "w") && errno == EACCES);
	FAILS(access(SYSDEV "/new", F_OK), ENOENT);
	errno = 0;
	f = fopen64("/dev/vfio/vfio", "r+e");
	CHECK(f && !errno);
	CHECK(ioctl(fileno(f), VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU) == 1);
	CHECK(!fclose(f));
	f = fmemopen(text, sizeof(text), "r");
	CHECK(f);
	errno = 0;
	CHECK(!fclose(f) && !errno);
}

static void is_container_node(const struct stat *st)
{
	CHECK(S_ISCHR(st->st_mode));
	CHECK((st->st_mode & 0777) == 0666);
	CHECK(st->st_rdev == makedev(10, 196));
}

static void stats(void)
{
	struct stat st, at;
	struct statx stx;
	int fd, dir;

	CHECK(!stat("/dev/vfio/vfio", &st));
	is_container_node(&st);
	CHECK(!lstat("/dev/vfio/vfio", &at));
	is_container_node(&at);
	CHECK(at.st_ino == st.st_ino);
	CHECK((dir = open("/dev/vfio", O_PATH)) >= 0);
	CHECK(!fstatat(dir, "vfio", &st, 0));
	is_container_node(&st);
	CHECK(!statx(dir, "vfio", 0, STATX_BASIC_STATS, &stx));
	CHECK(S_ISCHR(stx.stx_mode) && stx.stx_rdev_major == 10 && stx.stx_rdev_minor == 196);
	close(dir);
	CHECK((fd = open("/dev/vfio/vfio", O_RDWR)) >= 0);
	CHECK(!fstat(fd, &st));
	is_container_node(&st);
	CHECK(!fstatat(fd, "", &st, AT_EMPTY_PATH));
	is_container_node(&st);
	CHECK(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx));
	CHECK(S_ISCHR(stx.stx_mode) && stx.stx_rdev_minor == 196);
	close(fd);
	CHECK((fd = open("/dev/vfio/vfio", O_PATH)) >= 0);
	CHECK(!fstat(fd, &st));
	is_container_node(&st);
	FAILS(ioctl(fd, VFIO_GET_API_VERSION), EBADF);
	close(fd);
	CHECK(!stat(group_path(), &st) && S_ISCHR(st.st_mode) && major(st.st_rdev) != 10);
	CHECK(!stat("/dev/vfio", &st) && S_ISDIR(st.st_mode));
	CHECK(!stat("/sys/module/vfio_pci", &st) && S_ISDIR(st.st_mode));
	CHECK(!stat("/sys/module", &st) && S_ISDIR(st.st_mode));
	CHECK(!lstat(SYSDEV, &st) && S_ISLNK(st.st_mode));
	CHECK(!lstat(SYSDEV "/", &st) && S_ISDIR(st.st_mode));
	CHECK(!stat("/dev/null", &st) && st.st_rdev == makedev(1, 3));
	CHECK(!access("/dev/vfio/vfio", R_OK | W_OK) && !faccessat(AT_FDCWD, SYSDEV "/vendor", R_OK, 0));
	CHECK(!eaccess(SYSDEV "/vendor", R_OK) && !euidaccess("/dev/vfio/vfio", R_OK));
	FAILS(access(SYSDEV "/sriov_numvfs", F_OK), ENOENT);
	FAILS(access("/sys/kernel/debug/iommu/intel", F_OK), ENOENT);
}

static void links(void)
{
	char text[PATH_MAX], proc[64], *path;
	int fd, dir;
	ssize_t n;

	CHECK((n = readlink(SYSDEV "/driver", text, sizeof(text) - 1)) > 0);
	text[n] = 0;
	CHECK(!strcmp(strrchr(text, '/'), "/vfio-pci"));
	CHECK((dir = open(SYSDEV, O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK(readlinkat(dir, "iommu_group", text, sizeof(text)) > 0);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", dir);
	CHECK((n = readlink(proc, text, sizeof(text) - 1)) > 0);
	text[n] = 0;
	CHECK(!strcmp(text, "/sys/devices/pci0000:00/" BDF));
	CHECK(readlink(proc, text, 7) == 7 && !strncmp(text, "/sys/de", 7));
	close(dir);

	CHECK(realpath(SYSDEV, text) && !strcmp(text, "/sys/devices/pci0000:00/" BDF));
	CHECK((path = realpath(SYSDEV "/subsystem", NULL)) && !strcmp(path, "/sys/bus/pci"));
	free(path);
	CHECK((path = canonicalize_file_name(SYSDEV "/driver")) &&
	      !strcmp(path, "/sys/bus/pci/drivers/vfio-pci"));
	free(path);
	CHECK(realpath("/dev/vfio/vfio", text) && !strcmp(text, "/dev/vfio/vfio"));
	CHECK(realpath("/usr/bin/..", text) && !strcmp(text, "/usr"));
	CHECK(!realpath(SYSDEV "/nothing", text) && errno == ENOENT);

	CHECK((fd = open("/dev/vfio/vfio", O_RDWR)) >= 0);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	CHECK(readlink(proc, text, sizeof(text)) == 14 && !memcmp(text, "/dev/vfio/vfio", 14));
	CHECK(readlink(proc, text, 5) == 5 && !memcmp(text, "/dev/", 5));
	CHECK(realpath(proc, text) && !strcmp(text, "/dev/vfio/vfio"));
	snprintf(proc, sizeof(proc), "/proc/%d/fd/%d", (int)getpid(), fd);
	CHECK(readlink(proc, text, sizeof(text)) == 14);
	CHECK((dir = open(proc, O_RDWR)) >= 0 && ioctl(dir, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
	close(dir);
	close(fd);
}

static void working_directory(void)
{
	char cwd[PATH_MAX], *name;
	struct stat st;
	int fd;

	CHECK(!chdir(SYSDEV));
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/sys/devices/pci0000:00/" BDF));
	CHECK(getcwd(cwd, 40) && !strcmp(cwd, "/sys/devices/pci0000:00/" BDF));
	CHECK(!getcwd(cwd, 10) && errno == ERANGE);
	CHECK((name = get_current_dir_name()) && !strncmp(name, "/sys/", 5));
	free(name);
	CHECK(!access("vendor", R_OK));
	CHECK(!stat("../../../../dev/vfio/vfio", &st));
	is_container_node(&st);
	CHECK((fd = open("../../../../dev/null", O_RDWR)) >= 0 && !close(fd));
	CHECK(!chdir("/dev/vfio"));
	CHECK((fd = open("vfio", O_RDWR)) >= 0 && !close(fd));
	CHECK((fd = open("./../vfio/vfio", O_RDWR)) >= 0 && !close(fd));
	CHECK(!stat("../null", &st) && st.st_rdev == makedev(1, 3));
	CHECK(!chdir("/"));
	CHECK((fd = open("dev/vfio/vfio", O_RDWR)) >= 0 && !close(fd));
	CHECK(!access("sys/bus/pci/devices/" BDF "/vendor", R_OK));
	CHECK((fd = open("/dev/vfio", O_RDONLY)) >= 0 && !fchdir(fd) && !close(fd));
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/dev/vfio"));
	CHECK(!chdir("/usr/bin") && !access("../bin/env", X_OK));
	CHECK((fd = open("../../dev/vfio/vfio", O_RDWR)) >= 0 && !close(fd));
}

static int count_entries(const char *path, const char *wanted, int type)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int n = 0;

	CHECK(dir);
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, wanted))
			CHECK(entry->d_type == type);
		n += !strcmp(entry->d_name, wanted);
	}
	CHECK(!closedir(dir));
	return n;
}

static int only_devices(const struct dirent *entry)
{
	return entry->d_type == DT_CHR;
}

static void directories(void)
{
	struct dirent **list;
	glob_t found;
	int n;

	CHECK(count_entries("/sys/bus/pci/devices", BDF, DT_LNK) == 1);
	CHECK(count_entries("/dev/vfio", "vfio", DT_CHR) == 1);
	CHECK(count_entries("/sys/kernel/iommu_groups", strrchr(group_path(), '/') + 1, DT_DIR) == 1);
	n = scandir("/dev/vfio", &list, NULL, alphasort);
	CHECK(n >= 4);
	CHECK(!strcmp(list[n - 1]->d_name, "vfio") && list[n - 1]->d_type == DT_CHR);
	while (n)
		free(list[--n]);
	free(list);
	n = scandir("/dev/vfio", &list, only_devices, alphasort);
	CHECK(n == 2 && !strcmp(list[1]->d_name, "vfio") && list[1]->d_type == DT_CHR);
	while (n)
		free(list[--n]);
	free(list);
	CHECK(!glob("/sys/devices/virtual/iommu/dmar*/intel-iommu/cap", 0, NULL, &found));
	CHECK(found.gl_pathc == 1 &&
	      !strcmp(found.gl_pathv[0], "/sys/devices/virtual/iommu/dmar0/intel-iommu/cap"));
	globfree(&found);
	CHECK(!glob("/dev/vfio/*", GLOB_NOSORT, NULL, &found) && found.gl_pathc >= 2);
	globfree(&found);
	CHECK(!glob("/sys/bus/p[c]i/devices/*/vendor", 0, NULL, &found) && found.gl_pathc >= 1);
	globfree(&found);
	CHECK(glob("/sys/bus/pci/devices/nothing*", 0, NULL, &found) == GLOB_NOMATCH);
	CHECK(!glob("/usr/*", 0, NULL, &found) && found.gl_pathc > 2);
	globfree(&found);
}

static int seen_nodes, seen_all;

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	CHECK(!strncmp(path, "/dev/vfio", 9) && strlen(path + ftw->base) > 0 &&
	      !strchr(path + ftw->base, '/'));
	seen_all++;
	seen_nodes += type == FTW_F && S_ISCHR(st->st_mode);
	return 0;
}

static int visit_plain(const char *path, const struct stat *st, int type)
{
	CHECK(!strncmp(path, "/sys/kernel/iommu_groups", 24) && (type != FTW_D || S_ISDIR(st->st_mode)));
	seen_all++;
	return 0;
}

static void walks(void)
{
	struct statfs fs;
	char name[8];
	int dir;

	CHECK(!nftw("/dev/vfio", visit, 8, FTW_PHYS));
	CHECK(seen_nodes == 3 && seen_all == 5); /* and two directories */
	seen_all = 0;
	CHECK(!ftw("/sys/kernel/iommu_groups", visit_plain, 8) && seen_all > 3);
	CHECK(!statfs(SYSDEV, &fs) && fs.f_type == SYSFS_MAGIC);
	CHECK((dir = open("/sys/bus/pci", O_PATH)) >= 0);
	CHECK(!fstatfs(dir, &fs) && fs.f_type == SYSFS_MAGIC && !close(dir));
	CHECK((dir = open("/dev/vfio", O_RDONLY)) >= 0);
	CHECK(!fstatfs(dir, &fs) && fs.f_type != SYSFS_MAGIC && !close(dir));
	errno = 0;
	CHECK(getxattr("/dev/vfio/vfio", "user.none", name, sizeof(name)) < 0 && errno != ENOENT);
	CHECK(!chmod("/dev/vfio/vfio", 0666) && !chown("/dev/vfio/vfio", getuid(), getgid()));
}

/* Names are made and removed in the session, or not at all; never on the host. */
static void changes(void)
{
	static const char *const made = "/dev/vfio/made";
	struct timespec now[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };
	char text[16];
	int dir;

	FAILS(mkdir("/sys/bus/pci", 0700), EEXIST);
	FAILS(mkdir("/sys/bus/pci/new", 0700), EPERM);
	FAILS(mknod("/sys/bus/pci/new", S_IFREG | 0600, 0), EPERM);
	FAILS(symlink("x", SYSDEV "/new"), EPERM);
	FAILS(unlink(SYSDEV "/vendor"), EPERM);
	FAILS(unlink(SYSDEV "/new"), ENOENT);
	FAILS(rmdir("/sys/kernel/iommu_groups"), EPERM);
	FAILS(remove(SYSDEV "/vendor"), EPERM);
	FAILS(rename(SYSDEV "/vendor", SYSDEV "/new"), EPERM);
	FAILS(link(SYSDEV "/vendor", SYSDEV "/new"), EPERM);
	CHECK(!access(SYSDEV "/vendor", F_OK));
	FAILS(mkdir("/dev/vfio", 0700), EEXIST);
	FAILS(mknod("/dev/vfio/vfio", S_IFCHR | 0600, makedev(10, 196)), EEXIST);
	FAILS(rename("/dev/vfio/vfio", "/tmp/vfio"), EXDEV);
	FAILS(link("/dev/null", made), EXDEV);
	CHECK(!symlink("vfio", made) && readlink(made, text, sizeof(text)) == 4);
	CHECK(!rename(made, "/dev/vfio/renamed") && !unlink("/dev/vfio/renamed"));
	CHECK((dir = open("/dev/vfio", O_PATH)) >= 0);
	CHECK(!mkdirat(dir, "made", 0700) && !access("/dev/vfio/made", X_OK));
	CHECK(!unlinkat(dir, "made", AT_REMOVEDIR) && !close(dir));
	CHECK(!mkdir(made, 0700) && !rmdir(made));
	CHECK(!truncate(SYSDEV "/driver_override", 0) && !utimensat(AT_FDCWD, "/dev/vfio/vfio", now, 0));
	FAILS(unlink(made), ENOENT);
}

int main(void)
{
	opens();
	streams();
	stats();
	links();
	directories();
	walks();
	changes();
	working_directory();
	return 0;
}
