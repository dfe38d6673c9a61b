/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest's write costs that an ioeventfd takes, over the write(2) to the eventfd itself, and what it
 * costs to assign and deassign one.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uvfio/kvm.h>

#define WRITES   20000
#define TURNS    20 /* in each run: the best one counts */
#define BASE     0x100000000ull
#define STRIDE   64
#define THREADS  4
#define REMOVALS 20000

static int vm_fd, event;
static struct uvfio_kvm *vm;

static void fail(const char *what, long rc)
{
	fprintf(stderr, "bench_kvm: %s: %s\n", what, strerror((int)-rc));
	exit(1);
}

static void ioeventfd(uint64_t addr, uint64_t value, uint32_t flags, int fd)
{
	struct kvm_ioeventfd io = { .addr = addr, .len = 4, .datamatch = value, .flags = flags, .fd = fd };
	long rc = uvfio_ioctl(vm_fd, KVM_IOEVENTFD, &io);

	if (rc)
		fail("KVM_IOEVENTFD", rc);
}

static void new_vm(void)
{
	static int kvm = -1;

	if (kvm < 0)
		kvm = uvfio_kvm_open(O_RDWR);
	else
		uvfio_close(vm_fd);
	uvfio_kvm_put(vm);
	vm_fd = (int)uvfio_ioctl(kvm, KVM_CREATE_VM, NULL);
	vm = uvfio_kvm_get(vm_fd);
	if (!vm)
		fail("KVM_CREATE_VM", vm_fd);
}

/* ---- dispatch */

static double time_floor(void)
{
	uint64_t one = 1;
	double start = bench_now_ns();

	for (int i = 0; i < WRITES; i++)
		if (write(event, &one, sizeof(one)) < 0)
			fail("write", -errno);
	return (bench_now_ns() - start) / WRITES;
}

static double time_dispatch(uint64_t addr, uint32_t value)
{
	double start = bench_now_ns();

	for (int i = 0; i < WRITES; i++)
		if (uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, addr, sizeof(value), &value) != sizeof(value))
			fail("uvfio_kvm_io", -EIO);
	return (bench_now_ns() - start) / WRITES;
}

static void drain(void)
{
	uint64_t count;

	if (read(event, &count, sizeof(count)) < 0)
		fail("read", -errno);
}

static void dispatch(const char *name, uint64_t addr, uint32_t value, double allowed, const char *target)
{
	double floors[RUNS], ours[RUNS], over[RUNS], floor, t;

	for (int run = 0; run < RUNS; run++) {
		floors[run] = ours[run] = 1e9;
		for (int turn = 0; turn < TURNS; turn++) {
			t = time_floor();
			floors[run] = t < floors[run] ? t : floors[run];
			t = time_dispatch(addr, value);
			ours[run] = t < ours[run] ? t : ours[run];
			drain();
		}
		over[run] = ours[run] - floors[run];
	}
	floor = bench_median(floors, RUNS);
	t = bench_median(over, RUNS);
	bench_row(name, floor + t, "ns", "write(2) to the eventfd", floor, target, t <= allowed);
}

static void dispatches(void)
{
	new_vm();
	ioeventfd(BASE, 0, 0, event);
	dispatch("a write that an ioeventfd takes, 1 registered", BASE, 1, 25, "floor + 25 ns");
	for (unsigned int i = 1; i < 100000; i++)
		ioeventfd(BASE + i * STRIDE, 0, 0, event);
	dispatch("  100,000 at other addresses", BASE + 77777 * STRIDE, 1, 40, "floor + 40 ns");
	new_vm();
	for (unsigned int i = 0; i < 10000; i++)
		ioeventfd(BASE, i, KVM_IOEVENTFD_FLAG_DATAMATCH, event);
	dispatch("  10,000 values at its address", BASE, 9999, 40, "floor + 40 ns");
}

/* ---- assign, deassign */

static void changes_at(unsigned int registered)
{
	const unsigned int batch = 1000;
	double assign[RUNS], deassign[RUNS], start, t;
	char name[80];

	new_vm();
	for (unsigned int i = 0; i < registered; i++)
		ioeventfd(BASE + i * STRIDE, 0, 0, event);
	for (int run = 0; run < RUNS; run++) {
		start = bench_now_ns();
		for (unsigned int i = 0; i < batch; i++)
			ioeventfd(8 * i, 0, 0, event);
		assign[run] = (bench_now_ns() - start) / batch;
		start = bench_now_ns();
		for (unsigned int i = 0; i < batch; i++)
			ioeventfd(8 * i, 0, KVM_IOEVENTFD_FLAG_DEASSIGN, event);
		deassign[run] = (bench_now_ns() - start) / batch;
	}
	t = bench_median(assign, RUNS);
	snprintf(name, sizeof(name), "KVM_IOEVENTFD assign, %u registered", registered);
	bench_row(name, t, "ns", NULL, 0, "<= 1000 ns", t <= 1000);
	t = bench_median(deassign, RUNS);
	snprintf(name, sizeof(name), "  deassign, %u registered", registered);
	bench_row(name, t, "ns", NULL, 0, "<= 1000 ns", t <= 1000);
}

/* An eventfd that was not seen before is more work. */
static void new_eventfds(void)
{
	const unsigned int batch = 500;
	double assign[RUNS], deassign[RUNS], start;
	static int fds[500];

	new_vm();
	for (int run = 0; run < RUNS; run++) {
		for (unsigned int i = 0; i < batch; i++)
			fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		start = bench_now_ns();
		for (unsigned int i = 0; i < batch; i++)
			ioeventfd(8 * i, 0, 0, fds[i]);
		assign[run] = (bench_now_ns() - start) / batch;
		start = bench_now_ns();
		for (unsigned int i = 0; i < batch; i++)
			ioeventfd(8 * i, 0, KVM_IOEVENTFD_FLAG_DEASSIGN, fds[i]);
		deassign[run] = (bench_now_ns() - start) / batch;
		for (unsigned int i = 0; i < batch; i++)
			close(fds[i]);
	}
	bench_row("  assign, an eventfd of its own each", bench_median(assign, RUNS), "ns", NULL, 0, NULL,
		  true);
	bench_row("  deassign of these", bench_median(deassign, RUNS), "ns", NULL, 0, NULL, true);
}

/* ---- deassign while others dispatch */

static atomic_bool stop;
static _Atomic uint64_t dispatched;

static void *dispatcher(void *arg)
{
	uint64_t addr = *(const uint64_t *)arg, n = 0;
	uint32_t value = 1;

	for (; !atomic_load_explicit(&stop, memory_order_relaxed); n++)
		uvfio_kvm_io(vm, UVFIO_KVM_MMIO, true, addr, sizeof(value), &value);
	atomic_fetch_add(&dispatched, n);
	return NULL;
}

/* same: the threads write where what is deassigned is, else each to an entry that stays. */
static void deassign_under_load(bool same, const char *name, const char *target)
{
	static double times[REMOVALS];
	pthread_t threads[THREADS];
	uint64_t addr[THREADS];

	new_vm();
	atomic_store(&stop, false);
	for (int i = 0; i < THREADS; i++) {
		addr[i] = same ? 0 : BASE + i * STRIDE;
		if (!same)
			ioeventfd(addr[i], 0, 0, event);
		pthread_create(&threads[i], NULL, dispatcher, &addr[i]);
	}
	for (int i = 0; i < REMOVALS; i++) {
		double start;

		ioeventfd(0, 0, 0, event);
		start = bench_now_ns();
		ioeventfd(0, 0, KVM_IOEVENTFD_FLAG_DEASSIGN, event);
		times[i] = bench_now_ns() - start;
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	qsort(times, REMOVALS, sizeof(times[0]), bench_compare);
	bench_row(name, times[REMOVALS * 99 / 100] / 1000, "us", "its median", times[REMOVALS / 2] / 1000,
		  target, times[REMOVALS * 99 / 100] < 50000);
}

int main(void)
{
	event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	dispatches();
	changes_at(1);
	changes_at(1000);
	changes_at(100000);
	new_eventfds();
	deassign_under_load(false, "deassign p99, four threads dispatching", "< 50 us");
	deassign_under_load(true, "  all of them to what is deassigned", NULL);
	return 0;
}
