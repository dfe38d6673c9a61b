/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What mapping, unmapping, translation and device copies cost, at the level of the library (no ioctl). One line a
 * figure: name, value, unit, compared with, ratio, target, "met" or "not met"; tabs between. Medians of 7.
 */
#include "base/fault.h"
#include "iommu/type1.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PG     UVFIO_PAGE_SIZE
#define RW     (IOMMU_READ | IOMMU_WRITE)
#define ROUNDS 7
#define BASE   BIT64(32)

static struct iommu_params params;
static struct type1 *iommu;
static struct iommu_dev dev;
static struct iommu_dev *devs[1] = { &dev };
static struct dma_user *user;
static struct mm *mm;
static char *memory; /* 1024 pages */
static bool all_met = true;

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), by_value);
	return v[ROUNDS / 2];
}

/* target: for the ratio when there is something to compare with, else for the value. */
static void row(const char *name, double value, const char *unit, const char *with, double ratio, const char *target,
		bool met)
{
	printf("%s\t%.4g\t%s\t%s\t%.3g\t%s\t%s\n", name, value, unit, with, ratio, target, met ? "met" : "not met");
	fflush(stdout);
	all_met &= met;
}

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
	double v[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double t = now_ns();

		for (int i = 0; i < ops; i++) {
			uint64_t k = rnd(), iova = BASE + (k % n * 2 + 1) * PG;

			map(iova, va_of(k >> 32), PG);
			unmap(iova, PG);
		}
		v[r] = (now_ns() - t) / ops;
	}
	return median(v);
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
		row(cases[i].name, ns / 1e3, "us", "-", 0, cases[i].text, ns <= cases[i].target);
	}
}

static double big_pair_ns(uint64_t iova, uint64_t va, uint64_t size, int ops)
{
	double v[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double t = now_ns();

		for (int i = 0; i < ops; i++) {
			map(iova, va, size);
			unmap(iova, size);
		}
		v[r] = (now_ns() - t) / ops;
	}
	return median(v);
}

static void bench_terabyte(void)
{
	uint64_t size = BIT64(40);
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	double small, big;

	check(at == MAP_FAILED ? -errno : 0, "reserve 1 TiB");
	start();
	fill(10);
	small = big_pair_ns(BASE + 4 * 2 * PG + PG, va_of(0), PG, 100000);
	big = big_pair_ns(size, (uint64_t)(uintptr_t)at, size, 20000);
	row("map+unmap 1T, aligned", big / 1e3, "us", "4K", big / small, "<= 2", big <= 2 * small);
	big = big_pair_ns(align_down((uint64_t)(uintptr_t)at, 2 << 20), (uint64_t)(uintptr_t)at, size, 20000);
	row("map+unmap 1T, at its address", big / 1e3, "us", "4K", big / small, "<= 2", big <= 2 * small);
	stop();
	munmap(at, size);
}

static void bench_one_unmap(void)
{
	uint64_t n = 60000;
	double v[2][ROUNDS];

	start();
	for (int r = 0; r < ROUNDS; r++) {
		double t;

		for (uint64_t i = 0; i < n; i++)
			map(BASE + i * PG, va_of(i), PG);
		t = now_ns();
		unmap(BASE, n * PG);
		v[0][r] = now_ns() - t;
		fill(n);
		t = now_ns();
		check(type1_unmap(iommu, 0, 0, TYPE1_UNMAP_ALL, NULL, &n), "unmap");
		v[1][r] = now_ns() - t;
		n = 60000;
	}
	stop();
	row("one unmap of 60000", median(v[0]) / 1e6, "ms", "-", 0, "< 2.4 ms", median(v[0]) < 2.4e6);
	row("one unmap of 60000 apart", median(v[1]) / 1e6, "ms", "-", 0, "< 2.4 ms", median(v[1]) < 2.4e6);
}

static double read_ns(uint64_t n, int ops)
{
	double v[ROUNDS];
	char byte[8];

	for (int r = 0; r < ROUNDS; r++) {
		double t = now_ns();

		for (int i = 0; i < ops; i++)
			check(dma_read(user, BASE + rnd() % n * PG, byte, 8, "bench"), "read");
		v[r] = (now_ns() - t) / ops;
	}
	return median(v);
}

/* A translation alone: dma_map_iov within a section, minus the loop and the random number. */
static double translate_ns(uint64_t n, int ops)
{
	double v[ROUNDS], loop;
	volatile uint64_t sink = 0;

	for (int r = 0; r < ROUNDS; r++) {
		double t = now_ns();

		for (int i = 0; i < ops; i++)
			sink = BASE + rnd() % n * PG;
		loop = now_ns() - t;
		t = now_ns();
		dma_begin(user);
		for (int i = 0; i < ops; i++) {
			struct iovec iov[1];
			unsigned int nr = 0;

			check(dma_map_iov(user, BASE + rnd() % n * PG, 8, false, iov, &nr, 1, "bench"), "iov");
		}
		dma_end(user);
		v[r] = (now_ns() - t - loop) / ops;
	}
	(void)sink;
	return median(v);
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
	row("memory per mapping at 1000000", bytes, "bytes", "-", 0, "<= 128", bytes <= 128);
	ns = translate_ns(64, 1000000);
	row("translation, cached", ns, "ns", "-", 0, "<= 10 ns", ns <= 10);
	ns = translate_ns(n, 1000000);
	row("translation, uncached at 1000000", ns, "ns", "-", 0, "<= 40 ns", ns <= 40);
	ns = read_ns(64, 1000000);
	row("8-byte device read, cached", ns, "ns", "-", 0, "-", true);
	stop();
}

static double copy_ns(bool device, char *buf, size_t len, int ops)
{
	double v[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double t = now_ns();

		for (int i = 0; i < ops; i++) {
			size_t at = (size_t)i % 16 * len;

			if (device)
				check(dma_read(user, BASE + at, buf, len, "bench"), "read");
			else
				memcpy(buf, memory + at, len);
			__asm__ volatile("" ::"r"(buf) : "memory");
		}
		v[r] = (now_ns() - t) / ops;
	}
	return median(v);
}

static void bench_copy(void)
{
	size_t len = 65536;
	char *buf = aligned_alloc(4096, len);
	double plain, dma;

	start();
	for (uint64_t i = 0; i < 256; i++)
		map(BASE + i * PG, va_of(i), PG);
	plain = copy_ns(false, buf, len, 5000);
	dma = copy_ns(true, buf, len, 5000);
	row("64K device read", dma / 1e3, "us", "memcpy", plain / dma, ">= 0.9", plain / dma >= 0.9);
	check(fault_handler_install(NULL), "fault handler");
	plain = copy_ns(false, buf, len, 5000);
	dma = copy_ns(true, buf, len, 5000);
	row("64K device read, handler installed", dma / 1e3, "us", "memcpy", plain / dma, ">= 0.9",
	    plain / dma >= 0.9);
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
	user = dma_user_new(&dev);
	check(user ? 0 : -ENOMEM, "user");
	bench_pairs();
	bench_terabyte();
	bench_one_unmap();
	bench_translate();
	bench_copy();
	dma_user_free(user);
	mm_put(mm);
	return all_met ? 0 : 1;
}
