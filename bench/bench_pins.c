/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs a driver of a mediated device to pin, unpin, read and write (library, no ioctl), and what a
 * device with an IOMMU costs that joins its container late.
 */
#include "bench.h"

#include "base/fault.h"
#include "iommu/type1.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PG       UVFIO_PAGE_SIZE
#define RW       (IOMMU_READ | IOMMU_WRITE)
#define BASE     BIT64(32)
#define MANY     1000000u
#define NR_PAGES (2 * (uint64_t)MANY + 1024)

static struct iommu_params params;
static struct type1 *iommu;
static struct type1_pinner *pinner;
static struct mm *mm;
static char *memory; /* NR_PAGES, reserved */
static struct mm_page pages[512];

static void check(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "bench_pins: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static void no_unmap(void *owner, uint64_t iova, uint64_t size)
{
	(void)owner;
	(void)iova;
	(void)size;
}

static void start(void)
{
	iommu = type1_new(&params, true);
	check(iommu ? type1_attach_emulated(iommu) : -ENOMEM, "attach");
	pinner = type1_pinner_new(iommu, "bench", no_unmap, NULL);
	check(pinner ? 0 : -ENOMEM, "pinner");
}

static void stop(void)
{
	type1_pinner_free(pinner);
	type1_detach_emulated(iommu);
	type1_free(iommu);
}

static void map_all(void)
{
	check(type1_map(iommu, mm, BASE, (uint64_t)(uintptr_t)memory, NR_PAGES * PG, RW, false), "map");
}

static void pin(uint64_t page, uint64_t n)
{
	check(type1_pin_pages(pinner, BASE + page * PG, n, RW, pages), "pin");
}

static void unpin(uint64_t page, uint64_t n)
{
	check(type1_unpin_pages(pinner, BASE + page * PG, n), "unpin");
}

static uint64_t rnd(void)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Pin and unpin n pages, from the last one of a stretch of gap pages on, below span. */
static double pair_ns(uint64_t span, uint64_t gap, uint64_t n, int ops)
{
	double v[RUNS];

	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		for (int i = 0; i < ops; i++) {
			uint64_t page = rnd() % span | (gap - 1);

			pin(page, n);
			unpin(page, n);
		}
		v[r] = (bench_now_ns() - t) / ops;
	}
	return bench_median(v, RUNS);
}

/* All pages are pinned but each gap'th (a power of two): those are pinned and unpinned. */
static void bench_pairs(uint64_t pins, uint64_t gap, const char *name, const char *text, double target)
{
	double ns;

	start();
	map_all();
	for (uint64_t i = 0; i < pins; i++) {
		uint64_t page = i / (gap - 1) * gap + i % (gap - 1);

		pin(page, 1);
		(void)*(volatile char *)&memory[(page | (gap - 1)) * PG];
	}
	ns = pair_ns(pins / (gap - 1) * gap, gap, 1, 100000);
	stop();
	bench_row(name, ns, "ns", NULL, 0, text, !text || ns <= target);
}

static void bench_512(void)
{
	double ns;

	start();
	map_all();
	ns = pair_ns(1024, 2, 512, 5000) / 512;
	stop();
	bench_row("pin+unpin 512 pages, a page", ns, "ns", NULL, 0, "<= 20 ns", ns <= 20);
}

static double rw_ns(size_t len, void *buf, int ops)
{
	double t = bench_now_ns();

	for (int i = 0; i < ops; i++)
		check(type1_dma_rw(pinner, BASE + (uint64_t)i % 64 * 64, buf, len, false), "read");
	return (bench_now_ns() - t) / ops;
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

static void bench_small(const char *name, const char *text)
{
	double v[RUNS], ns;
	char buf[64];

	start();
	map_all();
	memset(memory, 1, 32 * PG);
	for (int r = 0; r < RUNS; r++)
		v[r] = rw_ns(sizeof(buf), buf, 50000);
	stop();
	ns = bench_median(v, RUNS);
	bench_row(name, ns, "ns", NULL, 0, text, ns <= 60);
}

static void bench_rw(void)
{
	double large[RUNS], plain[RUNS], ns, floor;
	char *buf = aligned_alloc(PG, 65536);

	start();
	map_all();
	memset(memory, 1, 32 * PG);
	for (int r = 0; r < RUNS; r++) {
		large[r] = rw_ns(65536, buf, 5000);
		plain[r] = memcpy_ns(65536, buf, 5000);
	}
	stop();
	ns = bench_median(large, RUNS);
	floor = bench_median(plain, RUNS);
	bench_row("type1_dma_rw 64 KiB", ns / 1e3, "us", "memcpy", floor / 1e3, ">= 0.9 of memcpy",
		  floor >= 0.9 * ns);
	free(buf);
}

static double bare_ns(pid_t pid, size_t len, char *buf, int ops)
{
	double t = bench_now_ns();

	for (int i = 0; i < ops; i++) {
		struct iovec here = { buf, len }, there = { memory + (uint64_t)i % 64 * 64, len };

		if (process_vm_readv(pid, &here, 1, &there, 1, 0) != (ssize_t)len)
			check(-errno, "process_vm_readv");
	}
	return (bench_now_ns() - t) / ops;
}

static void bench_other(size_t len, const char *name)
{
	double ours[RUNS], bare[RUNS], ns, floor;
	char *buf = aligned_alloc(PG, 65536);
	struct mm *other;
	pid_t child = fork();

	if (!child)
		for (;;)
			pause();
	check(mm_of_pid(child, &other), "child");
	start();
	check(type1_map(iommu, other, BASE, (uint64_t)(uintptr_t)memory, 1024 * PG, RW, false), "map");
	for (int r = 0; r < RUNS; r++) {
		ours[r] = rw_ns(len, buf, 5000);
		bare[r] = bare_ns(child, len, buf, 5000);
	}
	stop();
	mm_put(other);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ns = bench_median(ours, RUNS);
	floor = bench_median(bare, RUNS);
	bench_row(name, ns / 1e3, "us", "process_vm_readv", floor / 1e3, "<= 1.2", ns <= 1.2 * floor);
	free(buf);
}

/* A device with an IOMMU joins n mappings of a page, of which n / 6 are pinned. */
static double hot_add_ms(uint64_t n)
{
	struct iommu_dev dev, *devs[1] = { &dev };
	double v[RUNS];

	iommu_dev_init(&dev, "bench");
	start();
	for (uint64_t i = 0; i < n; i++)
		check(type1_map(iommu, mm, BASE + i * 2 * PG, (uint64_t)(uintptr_t)memory + i % 1024 * PG, PG,
				RW, false),
		      "map");
	for (uint64_t i = 0; i < n; i += 6)
		pin(i * 2, 1);
	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		check(type1_attach(iommu, devs, 1), "attach");
		v[r] = bench_now_ns() - t;
		type1_detach(iommu, devs, 1);
	}
	stop();
	iommu_dev_destroy(&dev);
	return bench_median(v, RUNS) / 1e6;
}

static void bench_hot_add(void)
{
	double few = hot_add_ms(6000), many = hot_add_ms(60000);

	bench_row("backed device joins 60000 mappings, 10000 pins", many, "ms", "10 times 6000 and 1000",
		  10 * few, "linear", many <= 20 * few);
}

int main(void)
{
	iommu_params_default(&params);
	params.dma_entries = 2000000;
	mm = mm_self();
	mm_trust_notes(true);
	memory = mmap(NULL, NR_PAGES * PG, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	check(memory == MAP_FAILED ? -errno : 0, "mmap");
	/* until there is a fault handler the kernel is asked whether a page is there, and to copy */
	bench_pairs(10, 2, "pin+unpin a page at 10 pins, before any BAR is mapped", NULL, 0);
	bench_pairs(MANY, 16, "pin+unpin a page at 1000000 pins, before any BAR is mapped", NULL, 0);
	bench_small("type1_dma_rw 64 bytes, before any BAR is mapped", NULL);
	check(fault_handler_install(NULL), "fault handler");
	bench_pairs(10, 2, "pin+unpin a page at 10 pins", "<= 150 ns", 150);
	bench_pairs(MANY, 16, "pin+unpin a page at 1000000 pins", "<= 250 ns", 250);
	bench_pairs(MANY, 2, "pin+unpin a page at 1000000 pins, on every other page", "<= 250 ns", 250);
	bench_small("type1_dma_rw 64 bytes", "<= 60 ns");
	bench_512();
	bench_rw();
	bench_other(64, "type1_dma_rw 64 bytes of another process");
	bench_other(65536, "type1_dma_rw 64 KiB of another process");
	bench_hot_add();
	mm_put(mm);
	return 0;
}
