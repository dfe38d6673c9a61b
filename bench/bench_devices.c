/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device models under their drivers: ordinary VFIO clients, started by bench/run under `uvfio run`.
 *
 *   bench_devices ioat    copies through a ring, beside memcpy; one long chain; a doorbell's way there and
 * back bench_devices nvme    a read at depth 1 bench_devices idle N  CPU time of N open devices with nothing
 * to do
 */
#include "bench.h"
#include "vfio.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define BDF      "0000:00:01.0"
#define BAR_SIZE 0x4000
#define MIB      (1ULL << 20)

/* Where things are: IOVA = address within memory. */
#define RINGS   0
#define BUFFERS (16 * MIB)
#define MEMORY  (80 * MIB)

static int container;
static uint8_t *memory;
static volatile uint8_t *bar;

static void set_up(void)
{
	int device;

	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (container < 0)
		err(1, "/dev/vfio/vfio");
	device = vfio_open_device(container, BDF);
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		err(1, "mmap");
	memset(memory, 1, MEMORY);
	vfio_map(container, 0, memory, MEMORY);
	bar = vfio_start_device(device, BAR_SIZE);
}

/* As drivers poll: the other thread of the core may be the device's. */
static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

/* ---- the floor of a doorbell: to another thread and back */

static _Atomic uint32_t ball;

static void futex_wait(uint32_t while_it_is)
{
	while (atomic_load(&ball) == while_it_is)
		syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, while_it_is, NULL, NULL, 0);
}

static void futex_pass(uint32_t to)
{
	atomic_store(&ball, to);
	syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#define THROWS 5000

static void *partner(void *arg)
{
	(void)arg;
	for (int i = 0; i < THROWS; i++) {
		futex_wait(0);
		futex_pass(0);
	}
	return NULL;
}

static double ping_pong(void)
{
	pthread_t thread;
	double start;

	atomic_store(&ball, 0);
	if (pthread_create(&thread, NULL, partner, NULL))
		errx(1, "pthread_create");
	start = bench_now_ns();
	for (int i = 0; i < THROWS; i++) {
		futex_pass(1);
		futex_wait(1);
	}
	start = (bench_now_ns() - start) / THROWS;
	pthread_join(thread, NULL);
	return start;
}

/* ---- IOAT */

struct desc {
	uint32_t size, control;
	uint64_t src, dst, next, rest[4];
};

#define COMPL     (1u << 3)
#define NULL_DESC (1u << 5)
#define DONE      (RINGS + 8 * MIB) /* where completions are written */

static void store16(unsigned int at, uint16_t value)
{
	*(volatile uint16_t *)(bar + at) = value;
}

static void store64(unsigned int at, uint64_t value)
{
	*(volatile uint64_t *)(bar + at) = value;
}

static void ioat_start(void)
{
	bar[0x84] = 0x20;
	store16(0x80, 0x0c);
	store64(0x98, DONE);
}

static volatile uint64_t *done_word(void)
{
	return (volatile uint64_t *)(void *)(memory + DONE);
}

/* Start nr descriptors of the ring and spin until the last one's completion. */
static void ioat_run(unsigned int nr, uint64_t last)
{
	*done_word() = 0;
	store64(0x90, RINGS);
	store16(0x86, (uint16_t)nr);
	for (; (*done_word() & ~0x3fULL) != last || (*done_word() & 7) > 1; relax())
		if ((*done_word() & 7) == 3)
			errx(1, "the engine has halted: CHANERR %#x", *(volatile uint32_t *)(bar + 0xa8));
}

static void make_chain(unsigned int nr, uint64_t size)
{
	struct desc *ring = (struct desc *)(void *)memory;

	for (unsigned int i = 0; i < nr; i++)
		ring[i] = (struct desc){ (uint32_t)size,
					 i + 1 == nr ? COMPL : 0,
					 BUFFERS + i * size,
					 BUFFERS + (nr + i) * size,
					 (i + 1) % nr * sizeof(*ring),
					 { 0 } };
}

/* A run is short, some 100 us for 4 KiB: many of them, after a few that bring memory and CPU up. */
static void bench_copies(uint64_t size, unsigned int nr, const char *name, double target)
{
	enum { WARM_UP = 10, MANY = 51 };
	double ours[MANY], floor[MANY], ratio, mib = (double)(nr * size) / (double)MIB;
	char text[32];

	make_chain(nr, size);
	for (int turn = -WARM_UP; turn < MANY; turn++) {
		int run = turn < 0 ? 0 : turn;
		double start = bench_now_ns();

		ioat_run(nr, (nr - 1) * sizeof(struct desc));
		ours[run] = bench_now_ns() - start;
		start = bench_now_ns();
		for (unsigned int i = 0; i < nr; i++)
			memcpy(memory + BUFFERS + (nr + i) * size, memory + BUFFERS + i * size, size);
		floor[run] = bench_now_ns() - start;
	}
	ratio = bench_median(floor, MANY) / bench_median(ours, MANY);
	snprintf(text, sizeof(text), ">= %g of memcpy", target);
	printf("%s\t%.4g\tMiB/s\tmemcpy: %.4g\t%.2f\t%s\t%s\n", name, mib / bench_median(ours, MANY) * 1e9,
	       mib / bench_median(floor, MANY) * 1e9, ratio, text, ratio >= target ? "met" : "not met");
	fflush(stdout);
}

/* A descriptor that is its own next one. */
static void bench_long_chain(void)
{
	struct desc *ring = (struct desc *)(void *)memory;
	double start, s;

	*ring = (struct desc){ MIB, 0, BUFFERS, BUFFERS + MIB, 0, { 0 } };
	store64(0x90, RINGS);
	start = bench_now_ns();
	store16(0x86, 65535);
	while ((*(volatile uint64_t *)(bar + 0x88) & 7) == 0)
		usleep(10000);
	s = (bench_now_ns() - start) / 1e9;
	if ((*(volatile uint64_t *)(bar + 0x88) & 7) != 1)
		errx(1, "the long chain did not end well");
	bench_row("IOAT: one chain of 65,535 x 1 MiB", s, "s", NULL, 0, "< 60", s < 60);
}

static void bench_doorbell(void)
{
	struct desc *ring = (struct desc *)(void *)memory;
	double ours[RUNS], floor[RUNS], a, b;

	*ring = (struct desc){ 8, COMPL | NULL_DESC, 0, 0, 0, { 0 } };
	for (int run = 0; run < RUNS; run++) {
		double start;

		store64(0x90, RINGS);
		start = bench_now_ns();
		for (int i = 1; i <= THROWS; i++) {
			*done_word() = 1ULL << 63;
			store16(0x86, (uint16_t)i);
			while (*done_word() >> 63)
				relax();
		}
		ours[run] = (bench_now_ns() - start) / THROWS;
		floor[run] = ping_pong();
	}
	a = bench_median(ours, RUNS);
	b = bench_median(floor, RUNS);
	bench_row("IOAT: doorbell to completion", a, "ns", "futex ping-pong", b, "<= 3 times", a <= 3 * b);
}

static void bench_ioat(void)
{
	set_up();
	ioat_start();
	bench_copies(4096, 1024, "IOAT: copies of 4 KiB", 0.5);
	bench_copies(65536, 256, "IOAT: copies of 64 KiB", 0.85);
	bench_copies(MIB, 32, "IOAT: copies of 1 MiB", 0.9);
	bench_doorbell();
	bench_long_chain();
}

/* ---- NVMe */

#define ASQ  0x0000ULL
#define ACQ  0x1000ULL
#define SQ   0x2000ULL
#define CQ   0x3000ULL
#define SIZE 16u

struct queue {
	uint64_t sq, cq;
	unsigned int id, tail, head, phase;
};

/* Submit and spin for the completion. */
static void nvme_command(struct queue *q, const uint32_t sqe[16])
{
	volatile uint16_t *cqe = (volatile uint16_t *)(void *)(memory + q->cq + q->head * 16ULL);

	memcpy(memory + q->sq + q->tail * 64ULL, sqe, 64);
	q->tail = (q->tail + 1) % SIZE;
	*(volatile uint32_t *)(bar + 0x1000 + 8ULL * q->id) = q->tail;
	while ((cqe[7] & 1u) != q->phase)
		relax();
	if (cqe[7] >> 1)
		errx(1, "NVMe status %#x", cqe[7] >> 1);
	q->head = (q->head + 1) % SIZE;
	q->phase ^= !q->head;
	*(volatile uint32_t *)(bar + 0x1004 + 8ULL * q->id) = q->head;
}

static void nvme_start(struct queue *io)
{
	struct queue admin = { ASQ, ACQ, 0, 0, 0, 1 };
	uint32_t cq[16] = { 0x05 }, sq[16] = { 0x01 };

	*io = (struct queue){ SQ, CQ, 1, 0, 0, 1 };
	memset(memory, 0, 0x4000);
	*(volatile uint32_t *)(bar + 0x24) = (SIZE - 1) << 16 | (SIZE - 1);
	store64(0x28, ASQ);
	store64(0x30, ACQ);
	*(volatile uint32_t *)(bar + 0x14) = 0x00460001;
	while (!(*(volatile uint32_t *)(bar + 0x1c) & 1))
		usleep(1000);
	cq[6] = CQ;
	cq[10] = sq[10] = (SIZE - 1) << 16 | 1;
	cq[11] = 1;
	nvme_command(&admin, cq);
	sq[6] = SQ;
	sq[11] = 1 << 16 | 1;
	nvme_command(&admin, sq);
}

static void bench_nvme(void)
{
	uint32_t read[16] = { 0x02, 1 };
	double ours[RUNS], floor[RUNS], copy[RUNS], a, b;
	struct queue io;

	set_up();
	nvme_start(&io);
	read[6] = BUFFERS;
	read[12] = 7;
	for (int run = 0; run < RUNS; run++) {
		double start = bench_now_ns();

		for (int i = 0; i < THROWS; i++) {
			read[10] = (uint32_t)(i % 1024) * 8;
			nvme_command(&io, read);
		}
		ours[run] = (bench_now_ns() - start) / THROWS;
		start = bench_now_ns();
		for (uint64_t i = 0; i < THROWS; i++)
			memcpy(memory + BUFFERS, memory + BUFFERS + (i % 1024 + 1) * 4096, 4096);
		copy[run] = (bench_now_ns() - start) / THROWS;
		floor[run] = ping_pong();
	}
	a = bench_median(ours, RUNS);
	b = bench_median(floor, RUNS) + bench_median(copy, RUNS) / 3;
	bench_row("NVMe: read of 4 KiB from RAM, depth 1", a, "ns", "futex ping-pong, and a third of memcpy",
		  b, "<= 3 times", a <= 3 * b);
}

/* ---- idle */

static double cpu_seconds(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)use.ru_utime.tv_sec + (double)use.ru_stime.tv_sec +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void bench_idle(int nr)
{
	double start, percent;
	char bdf[24], name[48];

	set_up();
	for (int i = 2; i <= nr; i++) {
		snprintf(bdf, sizeof(bdf), "0000:00:%02x.0", (unsigned int)i);
		vfio_start_device(vfio_open_device(container, bdf), BAR_SIZE);
	}
	sleep(1);
	start = cpu_seconds();
	sleep(5);
	percent = (cpu_seconds() - start) / 5 * 100;
	snprintf(name, sizeof(name), "%d open devices with nothing to do", nr);
	bench_row(name, percent, "% of a CPU", NULL, 0, "< 0.1", percent < 0.1);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "ioat"))
		bench_ioat();
	else if (argc == 2 && !strcmp(argv[1], "nvme"))
		bench_nvme();
	else if (argc == 3 && !strcmp(argv[1], "idle"))
		bench_idle(atoi(argv[2]));
	else
		errx(2, "usage: bench_devices ioat|nvme|idle N");
	return 0;
}
