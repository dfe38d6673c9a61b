/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary VFIO client, as anyone would write it against <linux/vfio.h>, that measures what its calls
 * cost. It knows nothing of uvfio; bench/run starts it under `uvfio run`.
 *
 *   bench_client            every figure, one line each
 *   bench_client foreign    nanoseconds of an ioctl on a descriptor that is not VFIO's
 *   bench_client rss N      resident memory in KiB with N mappings; N = 0: VFIO is not even opened
 */
#include "bench.h"
#include "vfio.h"

#define BDF         "0000:00:01.0"
#define PAGE        4096ULL
#define IOVA_OTHERS (1ULL << 32) /* where the other mappings are, a hole after each */
#define IOVA_PAIR   (1ULL << 40) /* where the measured pair is: above them */
#define TIB         (1ULL << 40)

struct client {
	int container, device;
	uint64_t config, bar; /* offsets of the regions */
	char *memory;         /* MEMORY_SIZE bytes, never touched */
	double getppid_ns;
};

#define MEMORY_SIZE (8ULL << 30)

static void *reserve(uint64_t size)
{
	void *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap of %llu bytes", (unsigned long long)size);
	return p;
}

static void client_open(struct client *c)
{
	c->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (c->container < 0)
		err(1, "/dev/vfio/vfio");
	c->device = vfio_open_device(c->container, BDF);
	c->config = vfio_region_offset(c->device, VFIO_PCI_CONFIG_REGION_INDEX);
	c->bar = vfio_region_offset(c->device, VFIO_PCI_BAR0_REGION_INDEX);
	c->memory = reserve(MEMORY_SIZE);
}

static void map(struct client *c, uint64_t iova, const void *va, uint64_t size)
{
	vfio_map(c->container, iova, va, size);
}

static void unmap(struct client *c, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg), .iova = iova, .size = size };

	if (ioctl(c->container, VFIO_IOMMU_UNMAP_DMA, &arg) || arg.size != size)
		err(1, "VFIO_IOMMU_UNMAP_DMA of %#llx", (unsigned long long)iova);
}

static uint64_t other_iova(uint64_t i)
{
	return IOVA_OTHERS + 2 * i * PAGE;
}

static void map_others(struct client *c, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		map(c, other_iova(i), c->memory + i * PAGE, PAGE);
}

static void unmap_all(struct client *c)
{
	struct vfio_iommu_type1_dma_unmap arg = { .argsz = sizeof(arg), .flags = VFIO_DMA_UNMAP_FLAG_ALL };

	if (ioctl(c->container, VFIO_IOMMU_UNMAP_DMA, &arg))
		err(1, "VFIO_IOMMU_UNMAP_DMA of everything");
}

/* ---- one run of each thing: nanoseconds per call */

typedef double (*run_fn)(struct client *c, uint64_t arg);

static double run_getppid(struct client *c, uint64_t calls)
{
	double start = bench_now_ns();

	(void)c;
	for (uint64_t i = 0; i < calls; i++)
		(void)getppid();
	return (bench_now_ns() - start) / (double)calls;
}

static double run_own_ioctl(struct client *c, uint64_t calls)
{
	double start = bench_now_ns();

	for (uint64_t i = 0; i < calls; i++)
		if (ioctl(c->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
			errx(1, "VFIO_GET_API_VERSION");
	return (bench_now_ns() - start) / (double)calls;
}

/* The pair above all other mappings, at another page each time. */
static double run_pair(struct client *c, uint64_t calls)
{
	char *va = c->memory + MEMORY_SIZE - (PAGE << 10);
	double start = bench_now_ns();

	for (uint64_t i = 0; i < calls; i++) {
		uint64_t iova = IOVA_PAIR + (i % 1024) * PAGE;

		map(c, iova, va + (i % 1024) * PAGE, PAGE);
		unmap(c, iova, PAGE);
	}
	return (bench_now_ns() - start) / (double)calls;
}

/* The pair in random holes between the arg other mappings. */
static double run_pair_random(struct client *c, uint64_t others)
{
	const uint64_t calls = 20000;
	uint64_t x = 88172645463325252ULL;
	double start = bench_now_ns();

	for (uint64_t i = 0; i < calls; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		map(c, other_iova(x % others) + PAGE, c->memory + (x % others) * PAGE, PAGE);
		unmap(c, other_iova(x % others) + PAGE, PAGE);
	}
	return (bench_now_ns() - start) / (double)calls;
}

/* Mapping the same size bytes (arg) of memory sixteen times, a TiB apart; the unmaps are not timed. */
static double run_map_only(struct client *c, uint64_t size)
{
	static char *tib;
	const uint64_t times = 16;
	double start, ns;

	if (!tib)
		tib = reserve(TIB);
	start = bench_now_ns();
	for (uint64_t i = 1; i <= times; i++)
		map(c, i * TIB, tib, size);
	ns = (bench_now_ns() - start) / (double)times;
	for (uint64_t i = 1; i <= times; i++)
		unmap(c, i * TIB, size);
	return ns;
}

static double run_unmap_many(struct client *c, uint64_t mappings)
{
	double start;

	for (uint64_t i = 0; i < mappings; i++)
		map(c, IOVA_OTHERS + i * PAGE, c->memory + i * PAGE, PAGE);
	start = bench_now_ns();
	unmap(c, IOVA_OTHERS, mappings * PAGE);
	return bench_now_ns() - start;
}

static double run_pread(struct client *c, uint64_t at)
{
	const uint64_t calls = 100000;
	uint32_t value;
	double start = bench_now_ns();

	for (uint64_t i = 0; i < calls; i++)
		if (pread(c->device, &value, sizeof(value), (off_t)at) != sizeof(value))
			err(1, "pread");
	return (bench_now_ns() - start) / (double)calls;
}

/* Writes what stands there. */
static double run_pwrite(struct client *c, uint64_t at)
{
	const uint64_t calls = 100000;
	uint32_t value;
	double start;

	if (pread(c->device, &value, sizeof(value), (off_t)at) != sizeof(value))
		err(1, "pread");
	start = bench_now_ns();
	for (uint64_t i = 0; i < calls; i++)
		if (pwrite(c->device, &value, sizeof(value), (off_t)at) != sizeof(value))
			err(1, "pwrite");
	return (bench_now_ns() - start) / (double)calls;
}

/* ---- rows */

/* Medians of RUNS runs of a and b in turns. */
static double interleaved(struct client *c, run_fn a, uint64_t arg_a, run_fn b, uint64_t arg_b, double *floor)
{
	double values[RUNS], floors[RUNS];

	for (unsigned int i = 0; i < RUNS; i++) {
		values[i] = a(c, arg_a);
		floors[i] = b(c, arg_b);
	}
	*floor = bench_median(floors, RUNS);
	return bench_median(values, RUNS);
}

static void bench_own_ioctl(struct client *c)
{
	double floor, ns = interleaved(c, run_own_ioctl, 1000000, run_getppid, 1000000, &floor);

	c->getppid_ns = floor;
	bench_row("ioctl on our descriptor (GET_API_VERSION)", ns, "ns", "getppid()", floor, "ratio <= 1",
		  ns <= floor);
}

static void bench_pairs(struct client *c)
{
	static const struct {
		uint64_t others;
		double target_us;
		const char *name, *target;
	} rows[] = {
		{ 10, 0.5, "MAP+UNMAP 4 KiB, 10 other mappings", "<= 0.5" },
		{ 1000, 0.6, "MAP+UNMAP 4 KiB, 1,000 other mappings", "<= 0.6" },
		{ 60000, 0.8, "MAP+UNMAP 4 KiB, 60,000 other mappings", "<= 0.8" },
		{ 1000000, 1.3, "MAP+UNMAP 4 KiB, 1,000,000 other mappings", "<= 1.3" },
	};
	uint64_t there = 0;
	double us, floor;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		map_others(c, there, rows[i].others);
		there = rows[i].others;
		us = interleaved(c, run_pair, 20000, run_getppid, 20000, &floor) / 1000;
		bench_row(rows[i].name, us, "us", "2 x getppid()", 2 * floor / 1000, rows[i].target,
			  us <= rows[i].target_us);
	}
	us = interleaved(c, run_pair_random, there, run_getppid, 20000, &floor) / 1000;
	bench_row("the same in random holes between them", us, "us", "2 x getppid()", 2 * floor / 1000, NULL,
		  true);
	unmap_all(c);
}

static void bench_sizes(struct client *c)
{
	double floor, ns = interleaved(c, run_map_only, TIB, run_map_only, PAGE, &floor);

	bench_row("MAP of 1 TiB of reserved memory", ns, "ns", "MAP of 4 KiB", floor, "ratio <= 2",
		  ns <= 2 * floor);
	ns = interleaved(c, run_unmap_many, 60000, run_getppid, 60000, &floor);
	bench_row("one UNMAP of 60,000 mappings", ns / 1e6, "ms", "60,000 x getppid()", 60000 * floor / 1e6,
		  "<= 2.4", ns / 1e6 <= 2.4);
}

static void bench_regions(struct client *c)
{
	const struct {
		const char *name;
		run_fn run;
		uint64_t at;
	} rows[] = {
		{ "config space, pread of 4 bytes", run_pread, c->config + 0x00 },
		{ "config space, pwrite of 4 bytes", run_pwrite, c->config + 0x3c },
		{ "BAR, pread of 4 bytes", run_pread, c->bar + 0x08 },
		{ "BAR, pwrite of 4 bytes", run_pwrite, c->bar + 0x24 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double floor, ns = interleaved(c, rows[i].run, rows[i].at, run_getppid, 100000, &floor);

		bench_row(rows[i].name, ns, "ns", "getppid()", floor, "<= 100", ns <= 100);
	}
}

/* ---- modes for bench/run, which compares with and without uvfio */

static void foreign(void)
{
	int fd[2], pending;
	double values[RUNS];

	if (pipe(fd))
		err(1, "pipe");
	for (unsigned int run = 0; run < RUNS; run++) {
		const unsigned int calls = 200000;
		double start = bench_now_ns();

		for (unsigned int i = 0; i < calls; i++)
			if (ioctl(fd[0], FIONREAD, &pending))
				err(1, "FIONREAD");
		values[run] = (bench_now_ns() - start) / calls;
	}
	printf("%.2f\n", bench_median(values, RUNS));
}

static void rss(uint64_t mappings)
{
	struct client c;
	long pages = 0;
	FILE *f;

	if (mappings) {
		client_open(&c);
		map_others(&c, 0, mappings);
	}
	f = fopen("/proc/self/statm", "re");
	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		err(1, "/proc/self/statm");
	fclose(f);
	printf("%ld\n", pages * 4);
}

int main(int argc, char **argv)
{
	struct client c;

	if (argc == 2 && !strcmp(argv[1], "foreign")) {
		foreign();
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "rss")) {
		rss(strtoull(argv[2], NULL, 10));
		return 0;
	}
	client_open(&c);
	bench_own_ioctl(&c);
	bench_regions(&c);
	bench_pairs(&c);
	bench_sizes(&c);
	return 0;
}
