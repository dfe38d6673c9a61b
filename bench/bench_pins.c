/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs the driver of a mediated device to pin, unpin, read and write, in the process of an ordinary
 * client, on a container and on an IOAS; and what a device with an IOMMU costs that joins late. The driver is
 * the plug-in pinner.c, which measures itself. bench/run starts this under `uvfio run` with an NVMe
 * controller and the plug-in; it knows nothing of uvfio (see bench_iommufd.c for the headers).
 */
#include "bench.h"
#include "pinner.h"

#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define UUID     "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
#define MDEV     "/sys/bus/mdev/devices/" UUID
#define BDF      "0000:00:01.0"
#define PG       4096ULL
#define JOB      0x10000ULL /* IOVA */
#define BASE     (1ULL << 32)
#define OTHERS   (1ULL << 40)
#define MANY     1000000ULL
#define NR_PAGES (2 * MANY + 1024)

/* How the client reaches its device. */
static struct {
	const char *name;
	bool ioas;
	int memory;        /* container or IOMMUFD */
	int group, device; /* group: of a container */
	uint32_t ioas_id;
} via;

static struct pinner_job *job; /* a page */
static char *memory;           /* NR_PAGES, reserved */

static void check(long rc, const char *what)
{
	if (rc < 0)
		err(1, "%s: %s", via.name, what);
}

static int open_node(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	check(fd, path);
	return fd;
}

/* ---- devices */

static int open_group(const char *device)
{
	char link[PATH_MAX] = "", path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/iommu_group", device);
	check(readlink(path, link, sizeof(link) - 1), path);
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	return open_node(path);
}

static int open_cdev(const char *device)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = via.memory };
	char path[PATH_MAX];
	struct dirent *entry;
	int fd = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/vfio-dev", device);
	dir = opendir(path);
	check(dir ? 0 : -1, path);
	while ((entry = readdir(dir)))
		if (*entry->d_name != '.') {
			snprintf(path, sizeof(path), "/dev/vfio/devices/%.40s", entry->d_name);
			fd = open_node(path);
		}
	closedir(dir);
	check(fd < 0 ? -1 : ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind), "VFIO_DEVICE_BIND_IOMMUFD");
	return fd;
}

static void attach(int device)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = via.ioas_id };

	check(ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg), "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
}

static void detach(int device)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	check(ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg), "VFIO_DEVICE_DETACH_IOMMUFD_PT");
}

static void map(uint64_t iova, const void *va, uint64_t size)
{
	struct vfio_iommu_type1_dma_map dma = { .argsz = sizeof(dma),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)va,
						.iova = iova,
						.size = size };
	struct iommu_ioas_map ioas = { .size = sizeof(ioas),
				       .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE |
						IOMMU_IOAS_MAP_FIXED_IOVA,
				       .ioas_id = via.ioas_id,
				       .user_va = (uintptr_t)va,
				       .length = size,
				       .iova = iova };

	if (via.ioas)
		check(ioctl(via.memory, IOMMU_IOAS_MAP, &ioas), "IOMMU_IOAS_MAP");
	else
		check(ioctl(via.memory, VFIO_IOMMU_MAP_DMA, &dma), "VFIO_IOMMU_MAP_DMA");
}

static void start_container(void)
{
	via.memory = open_node("/dev/vfio/vfio");
	via.group = open_group(MDEV);
	check(ioctl(via.group, VFIO_GROUP_SET_CONTAINER, &via.memory), "VFIO_GROUP_SET_CONTAINER");
	check(ioctl(via.memory, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), "VFIO_SET_IOMMU");
	via.device = ioctl(via.group, VFIO_GROUP_GET_DEVICE_FD, UUID);
	check(via.device, "VFIO_GROUP_GET_DEVICE_FD");
}

static void start_ioas(void)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	via.memory = open_node("/dev/iommu");
	check(ioctl(via.memory, IOMMU_IOAS_ALLOC, &alloc), "IOMMU_IOAS_ALLOC");
	via.ioas_id = alloc.out_ioas_id;
	via.device = open_cdev(MDEV);
	attach(via.device);
}

static void start(void)
{
	if (via.ioas)
		start_ioas();
	else
		start_container();
	map(JOB, job, PG);
}

static void stop(void)
{
	close(via.device);
	if (!via.ioas)
		close(via.group);
	close(via.memory);
}

/* ---- jobs */

static double run(struct pinner_job what)
{
	uint32_t registers[3] = { (uint32_t)JOB, JOB >> 32, 1 };

	*job = what;
	if (pwrite(via.device, registers, sizeof(registers), 0) != sizeof(registers))
		err(1, "%s: the driver's registers", via.name);
	if (job->error)
		errx(1, "%s: job %u: %s", via.name, (unsigned int)what.what, strerror((int)-job->error));
	return job->ns;
}

static double median(struct pinner_job what)
{
	double v[RUNS];

	for (int r = 0; r < RUNS; r++)
		v[r] = run(what);
	return bench_median(v, RUNS);
}

static const char *named(const char *what)
{
	static char name[120];

	snprintf(name, sizeof(name), "%s: %s", via.name, what);
	return name;
}

/* All pages are pinned but each gap'th (a power of two): those are pinned and unpinned. */
static void bench_pairs(uint64_t pins, uint64_t gap, const char *name, double target)
{
	uint64_t span = pins / (gap - 1) * gap;
	char text[32];
	double ns;

	start();
	map(BASE, memory, NR_PAGES * PG);
	for (uint64_t page = 0; page < span; page++)
		(void)*(volatile char *)&memory[page * PG];
	run((struct pinner_job){ PINNER_PIN, BASE, gap, 0, pins, 1, 0, 0 });
	ns = median((struct pinner_job){ PINNER_PAIRS, BASE, gap, span, 1, 100000, 0, 0 });
	run((struct pinner_job){ PINNER_UNPIN, BASE, gap, 0, pins, 1, 0, 0 });
	stop();
	snprintf(text, sizeof(text), "<= %.0f ns", target);
	bench_row(named(name), ns, "ns", NULL, 0, text, ns <= target);
}

static void bench_512(void)
{
	double ns;

	start();
	map(BASE, memory, NR_PAGES * PG);
	ns = median((struct pinner_job){ PINNER_PAIRS, BASE, 2, 1024, 512, 5000, 0, 0 }) / 512;
	stop();
	bench_row(named("pin+unpin 512 pages, a page"), ns, "ns", NULL, 0, "<= 20 ns", ns <= 20);
}

static double memcpy_ns(size_t len, char *buf, int ops)
{
	double t = bench_now_ns();

	for (int i = 0; i < ops; i++) {
		memcpy(buf, memory + (uint64_t)i % 64 * 64, len);
		__asm__ volatile("" ::"r"(buf) : "memory");
	}
	return (bench_now_ns() - t) / ops;
}

static void bench_rw(void)
{
	double large[RUNS], plain[RUNS], ns, floor;
	char *buf = aligned_alloc(PG, 65536);

	start();
	map(BASE, memory, NR_PAGES * PG);
	memset(memory, 1, 32 * PG);
	ns = median((struct pinner_job){ PINNER_READ, BASE, 0, 0, 64, 50000, 0, 0 });
	bench_row(named("dma_rw of 64 bytes"), ns, "ns", NULL, 0, "<= 60 ns", ns <= 60);
	for (int r = 0; r < RUNS; r++) {
		large[r] = run((struct pinner_job){ PINNER_READ, BASE, 0, 0, 65536, 5000, 0, 0 });
		plain[r] = memcpy_ns(65536, buf, 5000);
	}
	stop();
	ns = bench_median(large, RUNS);
	floor = bench_median(plain, RUNS);
	bench_row(named("dma_rw of 64 KiB"), ns / 1e3, "us", "memcpy", floor / 1e3, ">= 0.9 of memcpy",
		  floor >= 0.9 * ns);
	free(buf);
}

/* ---- memory of another process */

static double bare_ns(pid_t pid, size_t len, char *buf, int ops)
{
	double t = bench_now_ns();

	for (int i = 0; i < ops; i++) {
		struct iovec here = { buf, len }, there = { memory + (uint64_t)i % 64 * 64, len };

		if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)len)
			err(1, "process_vm_readv");
	}
	return (bench_now_ns() - t) / ops;
}

/* A child that has mapped its memory. */
static pid_t start_other(void)
{
	int told[2];
	char byte;
	pid_t child;

	check(pipe(told), "pipe");
	child = fork();
	check(child, "fork");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(memory, 2, 32 * PG);
		map(BASE, memory, 1024 * PG);
		check(write(told[1], "", 1), "write");
		for (;;)
			pause();
	}
	close(told[1]);
	if (read(told[0], &byte, 1) != 1)
		errx(1, "%s: the other process cannot map its memory", via.name);
	close(told[0]);
	return child;
}

static void bench_other(size_t len, const char *name)
{
	double ours[RUNS], bare[RUNS], ns, floor;
	char *buf = aligned_alloc(PG, 65536);
	pid_t child;

	start();
	child = start_other();
	for (int r = 0; r < RUNS; r++) {
		ours[r] = run((struct pinner_job){ PINNER_READ, BASE, 0, 0, len, 5000, 0, 0 });
		bare[r] = bare_ns(child, len, buf, 5000);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	stop();
	ns = bench_median(ours, RUNS);
	floor = bench_median(bare, RUNS);
	bench_row(named(name), ns / 1e3, "us", "process_vm_readv", floor / 1e3, "<= 1.2", ns <= 1.2 * floor);
	free(buf);
}

/* ---- a device with an IOMMU joins n mappings of a page, of which n / 6 are pinned */

static double join_ns(int other)
{
	double t = bench_now_ns();

	if (via.ioas)
		attach(other);
	else
		check(ioctl(other, VFIO_GROUP_SET_CONTAINER, &via.memory), "VFIO_GROUP_SET_CONTAINER");
	t = bench_now_ns() - t;
	if (via.ioas)
		detach(other);
	else
		check(ioctl(other, VFIO_GROUP_UNSET_CONTAINER), "VFIO_GROUP_UNSET_CONTAINER");
	return t;
}

static double hot_add_ms(uint64_t n)
{
	double v[RUNS];
	int other;

	start();
	other = via.ioas ? open_cdev("/sys/bus/pci/devices/" BDF) : open_group("/sys/bus/pci/devices/" BDF);
	for (uint64_t i = 0; i < n; i++)
		map(BASE + i * 2 * PG, memory + i % 1024 * PG, PG);
	for (uint64_t i = 0; i < n; i += 6)
		run((struct pinner_job){ PINNER_PIN, BASE + i * 2 * PG, 2, 0, 1, 1, 0, 0 });
	for (int r = 0; r < RUNS; r++)
		v[r] = join_ns(other);
	close(other);
	stop();
	return bench_median(v, RUNS) / 1e6;
}

static void bench_hot_add(void)
{
	double few = hot_add_ms(6000), many = hot_add_ms(60000);

	bench_row(named("a backed device joins 60000 mappings, 10000 pins"), many, "ms",
		  "10 times 6000 and 1000", 10 * few, "linear", many <= 20 * few);
}

static void bench_all(const char *name, bool ioas)
{
	via.name = name;
	via.ioas = ioas;
	bench_pairs(10, 2, "pin+unpin a page at 10 pins", 150);
	bench_pairs(MANY, 16, "pin+unpin a page at 1000000 pins", 250);
	bench_pairs(MANY, 2, "pin+unpin a page at 1000000 pins, on every other page", 250);
	bench_512();
	bench_rw();
	bench_other(64, "dma_rw of 64 bytes of another process");
	bench_other(65536, "dma_rw of 64 KiB of another process");
	bench_hot_add();
}

int main(void)
{
	static const char create[] =
		"/sys/class/mdev_bus/" PINNER_PARENT "/mdev_supported_types/" PINNER_TYPE "/create";
	int fd = open(create, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, UUID, strlen(UUID)) < 0)
		err(1, "%s", create);
	close(fd);
	job = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memory = mmap(NULL, NR_PAGES * PG, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (job == MAP_FAILED || memory == MAP_FAILED)
		err(1, "mmap");
	bench_all("container", false);
	bench_all("IOAS", true);
	return 0;
}
