/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What mapping, unmapping, translation and device copies cost, at the level of the library (no ioctl).
 */
#include "bench.h"

#include "base/fault.h"
#include "iommu/type1.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PG   UVFIO_PAGE_SIZE
#define RW   (IOMMU_READ | IOMMU_WRITE)
#define BASE BIT64(32)

static struct iommu_params params;
static struct type1 *iommu;
static struct iommu_dev dev;
static struct iommu_dev *devs[1] = { &dev };
static struct uvfio_dma *user;
static struct mm *mm;
static char *memory; /* 1024 pages */

static void check(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "bench_iommu: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static uint64_t va_of(uint64_t page)
{
	return (uint64_t)(uintptr_t)memory + page % 1024 * PG;
}

static void map(uint64_t iova, uint64_t va, uint64_t size)
{
	check(type1_map(iommu, mm, iova, va, size, RW, false), "map");
}

static void unmap(uint64_t iova, uint64_t size)
{
	uint64_t got;

	check(type1_unmap(iommu, iova, size, 0, NULL, &got), "unmap");
	if (got != size)
		check(-EIO, "unmap came short");
}

static void start(void)
{
	iommu = type1_new(&params, true);
	check(iommu ? type1_attach(iommu, devs, 1) : -ENOMEM, "attach");
}

static void stop(void)
{
	type1_detach(iommu, devs, 1);
	type1_free(iommu);
}

/* n mappings of one page, a page apart. */
static void fill(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		map(BASE + i * 2 * PG, va_of(i), PG);
}

/* n mappings of one page, adjacent, of memory that is not. */
static void fill_dense(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		map(BASE + i * PG, va_of(i * 7), PG);
}

static uint64_t rnd(void)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Map and unmap one page, in a random hole among n others. */
static double pair_ns(uint64_t n, int ops)
{
	double v[RUNS];

	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		for (int i = 0; i < ops; i++) {
			uint64_t k = rnd(), iova = BASE + (k % n * 2 + 1) * PG;

			map(iova, va_of(k >> 32), PG);
			unmap(iova, PG);
		}
		v[r] = (bench_now_ns() - t) / ops;
	}
	return bench_median(v, RUNS);
}

static void bench_pairs(void)
{
	static const struct {
		uint64_t n;
		double target;
		const char *name, *text;
	} cases[] = {
		{ 10, 500, "map+unmap 4K at 10", "<= 0.5 us" },
		{ 1000, 600, "map+unmap 4K at 1000", "<= 0.6 us" },
		{ 60000, 800, "map+unmap 4K at 60000", "<= 0.8 us" },
		{ 1000000, 1300, "map+unmap 4K at 1000000", "<= 1.3 us" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double ns;

		start();
		fill(cases[i].n);
		ns = pair_ns(cases[i].n, 100000);
		stop();
		bench_row(cases[i].name, ns / 1e3, "us", NULL, 0, cases[i].text, ns <= cases[i].target);
	}
}

static double big_pair_ns(uint64_t iova, uint64_t va, uint64_t size, int ops)
{
	double t = bench_now_ns();

	for (int i = 0; i < ops; i++) {
		map(iova, va, size);
		unmap(iova, size);
	}
	return (bench_now_ns() - t) / ops;
}

static void bench_terabyte(void)
{
	uint64_t size = BIT64(40), own;
	void *at =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	double small[RUNS], aligned[RUNS], same[RUNS], page, big;

	check(at == MAP_FAILED ? -errno : 0, "reserve 1 TiB");
	own = (uint64_t)(uintptr_t)at;
	start();
	fill(10);
	for (int r = 0; r < RUNS; r++) {
		small[r] = big_pair_ns(BASE + 9 * PG, va_of(0), PG, 20000);
		aligned[r] = big_pair_ns(size, own, size, 20000);
		same[r] = big_pair_ns(own, own, size, 20000);
	}
	stop();
	page = bench_median(small, RUNS);
	big = bench_median(aligned, RUNS);
	bench_row("map+unmap 1 TiB reserved", big / 1e3, "us", "4 KiB", page / 1e3, "<= 2 times",
		  big <= 2 * page);
	big = bench_median(same, RUNS);
	bench_row("map+unmap 1 TiB, IOVA = address", big / 1e3, "us", "4 KiB", page / 1e3, "<= 2 times",
		  big <= 2 * page);
	munmap(at, size);
}

static void bench_one_unmap(void)
{
	uint64_t n = 60000;
	double v[2][RUNS], ns;

	start();
	for (int r = 0; r < RUNS; r++) {
		double t;

		for (uint64_t i = 0; i < n; i++)
			map(BASE + i * PG, va_of(i), PG);
		t = bench_now_ns();
		unmap(BASE, n * PG);
		v[0][r] = bench_now_ns() - t;
		fill(n);
		t = bench_now_ns();
		check(type1_unmap(iommu, 0, 0, TYPE1_UNMAP_ALL, NULL, &n), "unmap");
		v[1][r] = bench_now_ns() - t;
		n = 60000;
	}
	stop();
	ns = bench_median(v[0], RUNS);
	bench_row("one unmap of 60000", ns / 1e6, "ms", NULL, 0, "< 2.4 ms", ns < 2.4e6);
	ns = bench_median(v[1], RUNS);
	bench_row("one unmap of 60000 apart", ns / 1e6, "ms", NULL, 0, "< 2.4 ms", ns < 2.4e6);
}

/* A translation alone: dma_map_iov within a section, minus the loop and the random number. */
static double translate_ns(uint64_t n, int ops)
{
	double v[RUNS], loop;
	volatile uint64_t sink = 0;

	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		for (int i = 0; i < ops; i++)
			sink = BASE + rnd() % n * PG;
		loop = bench_now_ns() - t;
		t = bench_now_ns();
		dma_begin(user);
		for (int i = 0; i < ops; i++) {
			struct iovec iov[1];
			unsigned int nr = 0;

			check(dma_map(user, BASE + rnd() % n * PG, 8, false, iov, &nr, 1, "bench"), "iov");
		}
		dma_end(user);
		v[r] = (bench_now_ns() - t - loop) / ops;
	}
	(void)sink;
	return bench_median(v, RUNS);
}

static void bench_translate(void)
{
	uint64_t n = 1000000;
	struct mallinfo2 before = mallinfo2(), after;
	double ns, bytes;

	start();
	fill_dense(n);
	after = mallinfo2();
	bytes = (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd);
	bytes = (bytes + (double)iommu_domain_table_bytes(atomic_load(&dev.domain))) / (double)n;
	bench_row("memory per mapping at 1000000", bytes, "bytes", NULL, 0, "<= 128 bytes", bytes <= 128);
	ns = translate_ns(64, 1000000);
	bench_row("translation, cached", ns, "ns", NULL, 0, "<= 10 ns", ns <= 10);
	ns = translate_ns(n, 1000000);
	bench_row("translation, uncached at 1000000", ns, "ns", NULL, 0, "<= 40 ns", ns <= 40);
	stop();
}

static double copy_ns(bool device, char *buf, size_t len, int ops)
{
	double t = bench_now_ns();

	for (int i = 0; i < ops; i++) {
		size_t at = (size_t)i % 16 * len;

		if (device)
			check(dma_read(user, BASE + at, buf, len, "bench"), "read");
		else
			memcpy(buf, memory + at, len);
		__asm__ volatile("" ::"r"(buf) : "memory");
	}
	return (bench_now_ns() - t) / ops;
}

static void compare_copy(const char *name, char *buf, size_t len, const char *target)
{
	double plain[RUNS], dma[RUNS], p, d;

	for (int r = 0; r < RUNS; r++) {
		plain[r] = copy_ns(false, buf, len, 5000);
		dma[r] = copy_ns(true, buf, len, 5000);
	}
	p = bench_median(plain, RUNS);
	d = bench_median(dma, RUNS);
	bench_row(name, d / 1e3, "us", "memcpy", p / 1e3, target, p >= 0.9 * d);
}

static double short_read_ns(int ops)
{
	double v[RUNS];
	char buf[64];

	for (int r = 0; r < RUNS; r++) {
		double t = bench_now_ns();

		for (int i = 0; i < ops; i++)
			check(dma_read(user, BASE + (uint64_t)i % 64 * 64, buf, 64, "bench"), "read");
		v[r] = (bench_now_ns() - t) / ops;
	}
	return bench_median(v, RUNS);
}

static void bench_copy(void)
{
	size_t len = 65536;
	char *buf = aligned_alloc(PG, len);

	start();
	for (uint64_t i = 0; i < 256; i++)
		map(BASE + i * PG, va_of(i), PG);
	compare_copy("64 KiB device read before any BAR is mapped", buf, len, NULL);
	check(fault_handler_install(NULL), "fault handler");
	compare_copy("64 KiB device read", buf, len, ">= 0.9 of memcpy");
	bench_row("64-byte device read", short_read_ns(200000), "ns", NULL, 0, NULL, true);
	stop();
	free(buf);
}

int main(void)
{
	iommu_params_default(&params);
	params.dma_entries = 2000000;
	mm = mm_self();
	mm_trust_notes(true);
	memory = mmap(NULL, 1024 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(memory == MAP_FAILED ? -errno : 0, "mmap");
	memset(memory, 1, 1024 * PG);
	iommu_dev_init(&dev, "bench");
	atomic_store(&dev.enabled, true);
	user = dma_user_new(&dev, NULL);
	check(user ? 0 : -ENOMEM, "user");
	bench_pairs();
	bench_terabyte();
	bench_one_unmap();
	bench_translate();
	bench_copy();
	dma_user_free(user);
	mm_put(mm);
	return 0;
}
