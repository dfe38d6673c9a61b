/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary client of /dev/iommu that measures what mapping and unmapping cost. It knows nothing of uvfio
 * (the headers of it that are included stand in for those of the system, which may be too old); bench/run
 * starts it under `uvfio run`.
 */
#include "bench.h"

#include "uapi/iommufd.h"
#include "uapi/vfio.h"

#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE       4096ULL
#define HUGE       (2ULL << 20)
#define BASE       (1ULL << 32)
#define PAGES      1024U /* of memory */
#define DIRTY_SIZE (64ULL << 30)

static int iommufd, device;
static uint32_t devid, ioas;
static char *memory;

static void call(unsigned long request, void *arg, const char *what)
{
	if (ioctl(iommufd, request, arg))
		err(1, "%s", what);
}

static uint64_t map_flags(uint32_t flags, uint64_t iova, const void *va, uint64_t size)
{
	struct iommu_ioas_map arg = { .size = sizeof(arg),
				      .flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE | flags,
				      .ioas_id = ioas,
				      .user_va = (uintptr_t)va,
				      .length = size,
				      .iova = iova };

	call(IOMMU_IOAS_MAP, &arg, "IOMMU_IOAS_MAP");
	return arg.iova;
}

static void map(uint64_t iova, const void *va, uint64_t size)
{
	map_flags(IOMMU_IOAS_MAP_FIXED_IOVA, iova, va, size);
}

static uint64_t map_anywhere(const void *va, uint64_t size)
{
	return map_flags(0, 0, va, size);
}

static void unmap(uint64_t iova, uint64_t size)
{
	struct iommu_ioas_unmap arg = { .size = sizeof(arg), .ioas_id = ioas, .iova = iova, .length = size };

	call(IOMMU_IOAS_UNMAP, &arg, "IOMMU_IOAS_UNMAP");
}

static void *va_of(uint64_t page)
{
	return memory + page % PAGES * PAGE;
}

static void new_ioas(void)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };

	call(IOMMU_IOAS_ALLOC, &arg, "IOMMU_IOAS_ALLOC");
	ioas = arg.out_ioas_id;
}

static void destroy(uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	call(IOMMU_DESTROY, &arg, "IOMMU_DESTROY");
}

static void attach(uint32_t pt)
{
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = pt };

	if (ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg))
		err(1, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
}

static void detach(void)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	if (ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg))
		err(1, "VFIO_DEVICE_DETACH_IOMMUFD_PT");
}

static void start(void)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };

	iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (iommufd < 0)
		err(1, "/dev/iommu");
	device = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
	if (device < 0)
		err(1, "/dev/vfio/devices/vfio0");
	bind.iommufd = iommufd;
	if (ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		err(1, "VFIO_DEVICE_BIND_IOMMUFD");
	devid = bind.out_devid;
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	memset(memory, 1, PAGES * PAGE);
}

static uint64_t rnd(void)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* One page, in a random hole among n others. */
static double pair_ns(uint64_t n, int ops)
{
	double v[RUNS];

	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		for (int i = 0; i < ops; i++) {
			uint64_t k = rnd(), iova = BASE + (k % n * 2 + 1) * PAGE;

			map(iova, va_of(k >> 32), PAGE);
			unmap(iova, PAGE);
		}
		v[r] = (bench_now_ns() - t) / ops;
	}
	return bench_median(v, RUNS);
}

static void pairs_among(uint64_t n, double target)
{
	char name[80], text[40];
	double plain, domain;

	new_ioas();
	for (uint64_t i = 0; i < n; i++)
		map(BASE + i * 2 * PAGE, va_of(i), PAGE);
	plain = pair_ns(n, 50000);
	attach(ioas);
	domain = pair_ns(n, 50000);
	detach();
	destroy(ioas);
	snprintf(name, sizeof(name), "IOAS_MAP+UNMAP 4K at %llu", (unsigned long long)n);
	snprintf(text, sizeof(text), "<= %.1f us", target / 1e3);
	bench_row(name, plain / 1e3, "us", NULL, 0, text, plain <= target);
	snprintf(name, sizeof(name), "IOAS_MAP+UNMAP 4K at %llu, with a domain", (unsigned long long)n);
	snprintf(text, sizeof(text), "<= 1.4 x %.1f us", target / 1e3);
	bench_row(name, domain / 1e3, "us", "without", plain / 1e3, text, domain <= 1.4 * target);
}

/* n adjacent ones, and one more, whose IOVA is chosen. Only the map is measured. */
static double chosen_ns(int ops)
{
	double v[RUNS];

	for (int r = 0; r < RUNS; r++) {
		double sum = 0;

		for (int i = 0; i < ops; i++) {
			double t = bench_now_ns();
			uint64_t iova = map_anywhere(va_of((uint64_t)i), PAGE);

			sum += bench_now_ns() - t;
			unmap(iova, PAGE);
		}
		v[r] = sum / ops;
	}
	return bench_median(v, RUNS);
}

/* The hole is where one of the adjacent ones was unmapped. */
static double chosen_hole_ns(uint64_t n, int ops)
{
	double v[RUNS];

	for (int r = 0; r < RUNS; r++) {
		double sum = 0;

		for (int i = 0; i < ops; i++) {
			double t;

			unmap(PAGE + rnd() % n * PAGE, PAGE);
			t = bench_now_ns();
			map_anywhere(va_of((uint64_t)i), PAGE);
			sum += bench_now_ns() - t;
		}
		v[r] = sum / ops;
	}
	return bench_median(v, RUNS);
}

static void chosen_among(uint64_t n, double target)
{
	char name[80], text[40];
	double end, hole;

	new_ioas();
	for (uint64_t i = 0; i < n; i++)
		map_anywhere(va_of(i), PAGE);
	end = chosen_ns(20000);
	hole = chosen_hole_ns(n, 20000);
	destroy(ioas);
	snprintf(text, sizeof(text), "<= %.1f us", target / 1e3);
	snprintf(name, sizeof(name), "IOAS_MAP at an IOVA we choose, %llu adjacent", (unsigned long long)n);
	bench_row(name, end / 1e3, "us", NULL, 0, text, end <= target);
	snprintf(name, sizeof(name), "the same, into a hole among them");
	bench_row(name, hole / 1e3, "us", NULL, 0, text, hole <= target);
}

static void bench_huge(void)
{
	char *at = mmap(NULL, 8 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	double v[RUNS], ns;
	const int ops = 50000;

	if (at == MAP_FAILED)
		err(1, "mmap");
	new_ioas();
	attach(ioas);
	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		for (int i = 0; i < ops; i++) {
			map(BASE, at + (uint64_t)i % 4 * HUGE, HUGE);
			unmap(BASE, HUGE);
		}
		v[r] = (bench_now_ns() - t) / ops;
	}
	detach();
	destroy(ioas);
	ns = bench_median(v, RUNS);
	bench_row("IOAS_MAP+UNMAP 2M with a domain", ns / 1e3, "us", NULL, 0, "<= 1 us", ns <= 1000);
	munmap(at, 8 * HUGE);
}

static void fill(uint64_t n, uint64_t step)
{
	for (uint64_t i = 0; i < n; i++)
		map(BASE + i * step, va_of(i), PAGE);
}

static void unmap_everything(const char *name, uint64_t n, uint64_t step, bool domain)
{
	double v[RUNS], ns;

	new_ioas();
	if (domain)
		attach(ioas);
	for (int r = 0; r < RUNS; r++) {
		double t;

		fill(n, step);
		t = bench_now_ns();
		unmap(0, UINT64_MAX);
		v[r] = bench_now_ns() - t;
	}
	if (domain)
		detach();
	destroy(ioas);
	ns = bench_median(v, RUNS);
	bench_row(name, ns / 1e6, "ms", NULL, 0, "< 2.4 ms", ns < 2.4e6);
}

static void bench_attach(uint64_t n)
{
	double v[RUNS], ns;

	new_ioas();
	fill(n, 2 * PAGE);
	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		attach(ioas);
		v[r] = bench_now_ns() - t;
		detach();
	}
	destroy(ioas);
	ns = bench_median(v, RUNS);
	bench_row("attach to an IOAS of 60000 areas", ns / 1e6, "ms", NULL, 0, NULL, true);
	bench_row("  the same, for each area", ns / (double)n, "ns", NULL, 0, NULL, true);
}

static void read_dirty(uint32_t hwpt, uint64_t *bits)
{
	struct iommu_hwpt_get_dirty_bitmap arg = { .size = sizeof(arg),
						   .hwpt_id = hwpt,
						   .iova = BASE * 64,
						   .length = DIRTY_SIZE,
						   .page_size = PAGE,
						   .data = (uintptr_t)bits };

	call(IOMMU_HWPT_GET_DIRTY_BITMAP, &arg, "IOMMU_HWPT_GET_DIRTY_BITMAP");
}

/* The device has written nothing: what it costs to find that out. */
static void bench_dirty(void)
{
	struct iommu_hwpt_alloc hwpt = { .size = sizeof(hwpt), .flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING };
	struct iommu_hwpt_set_dirty_tracking on = { .size = sizeof(on),
						    .flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE };
	char *at = mmap(NULL, DIRTY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);
	uint64_t *bits = calloc(DIRTY_SIZE / PAGE / 64, 8);
	double v[RUNS], ns;

	if (at == MAP_FAILED || !bits)
		err(1, "mmap");
	new_ioas();
	hwpt.dev_id = devid;
	hwpt.pt_id = ioas;
	call(IOMMU_HWPT_ALLOC, &hwpt, "IOMMU_HWPT_ALLOC");
	map(BASE * 64, at, DIRTY_SIZE);
	on.hwpt_id = hwpt.out_hwpt_id;
	call(IOMMU_HWPT_SET_DIRTY_TRACKING, &on, "IOMMU_HWPT_SET_DIRTY_TRACKING");
	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		read_dirty(hwpt.out_hwpt_id, bits);
		v[r] = bench_now_ns() - t;
	}
	destroy(hwpt.out_hwpt_id);
	destroy(ioas);
	ns = bench_median(v, RUNS);
	bench_row("dirty bitmap of 64 GiB", ns / 1e6, "ms", NULL, 0, NULL, true);
	bench_row("  the same, for each 4K page", ns / (double)(DIRTY_SIZE / PAGE), "ns", NULL, 0, NULL,
		  true);
	munmap(at, DIRTY_SIZE);
	free(bits);
}

int main(void)
{
	start();
	pairs_among(10, 600);
	pairs_among(10000, 800);
	pairs_among(60000, 900);
	pairs_among(1000000, 1500);
	chosen_among(60000, 1000);
	chosen_among(1000000, 1500);
	bench_huge();
	unmap_everything("IOAS_UNMAP of everything, 60000", 60000, PAGE, false);
	unmap_everything("the same, with a domain", 60000, PAGE, true);
	unmap_everything("the same, apart, with a domain", 60000, 2 * PAGE, true);
	bench_attach(60000);
	bench_dirty();
	return 0;
}
