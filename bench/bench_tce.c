/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCE hypercalls of a PAPR guest: what each costs, and a stream of mapping, DMA and unmapping with and
 * without them. The guest is this program: it makes the calls that an emulator would make for one.
 *
 * In the stream, "to a VMM" is: every TCE is told to another process, which is woken, does MAP_DMA or
 * UNMAP_DMA, and wakes the guest's; the doorbell goes the same way, once for each 64 KiB.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uvfio/kvm.h>

#define PG      4096ull
#define MIB     (1ull << 20)
#define MEMORY  (64 * MIB) /* of the guest */
#define PAGES   (MEMORY / PG)
#define ENTRIES (1ull << 20) /* of the window */
#define LIOBN   0x80000000ull
#define RW      3u
#define BDF     "0000:00:01.0"
#define CHUNK   (64 * 1024ull)
#define LIST    (MEMORY - PG) /* the guest's page for lists */

static struct uvfio_machine *machine;
static int container, group, device, vm_fd, kv, table;
static struct uvfio_kvm *vm;
static struct uvfio_kvm_cpu *cpus[4];
static uint8_t *memory;
static uint64_t bar_at;

static void check(const char *what, long rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "bench_tce: %s: %s\n", what, strerror((int)-rc));
	exit(1);
}

/* ---- the machine, the VM */

static void kick(void *arg)
{
	(void)arg;
}

static void open_machine(void)
{
	struct vfio_iommu_spapr_tce_remove remove = { .argsz = sizeof(remove) };
	struct vfio_iommu_spapr_tce_create create = {
		.argsz = sizeof(create), .page_shift = 12, .window_size = ENTRIES * PG, .levels = 1
	};
	struct vfio_iommu_spapr_register_memory reg = { .argsz = sizeof(reg), .size = MEMORY };
	char why[256];

	check("uvfio_catch_faults", uvfio_catch_faults());
	machine = uvfio_machine_new("iommu type=spapr,memlock=unlimited\ndevice ioat,addr=" BDF ",group=1\n",
				    why, sizeof(why));
	if (!machine) {
		fprintf(stderr, "bench_tce: %s\n", why);
		exit(1);
	}
	container = uvfio_open(machine, "/dev/vfio/vfio", O_RDWR);
	group = uvfio_open(machine, "/dev/vfio/1", O_RDWR);
	check("SET_CONTAINER", uvfio_ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	check("SET_IOMMU", uvfio_ioctl(container, VFIO_SET_IOMMU, (void *)VFIO_SPAPR_TCE_v2_IOMMU));
	device = (int)uvfio_ioctl(group, VFIO_GROUP_GET_DEVICE_FD, (void *)(uintptr_t)BDF);
	check("GET_DEVICE_FD", device);
	check("REMOVE", uvfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_REMOVE, &remove));
	check("CREATE", uvfio_ioctl(container, VFIO_IOMMU_SPAPR_TCE_CREATE, &create));
	reg.vaddr = (uintptr_t)memory;
	check("REGISTER", uvfio_ioctl(container, VFIO_IOMMU_SPAPR_REGISTER_MEMORY, &reg));
}

static long set_attr(uint64_t attr, const void *arg)
{
	struct kvm_device_attr in = { .group = KVM_DEV_VFIO_GROUP, .attr = attr, .addr = (uintptr_t)arg };

	return uvfio_ioctl(kv, KVM_SET_DEVICE_ATTR, &in);
}

static void tie(void)
{
	struct kvm_vfio_spapr_tce arg = { group, table };

	check("SET_SPAPR_TCE", set_attr(KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, &arg));
}

static void open_vm(void)
{
	static const struct uvfio_kvm_cpu_ops ops = { .kick = kick };
	struct kvm_userspace_memory_region slot = { .memory_size = MEMORY,
						    .userspace_addr = (uintptr_t)memory };
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_create_spapr_tce_64 tce = { .liobn = LIOBN, .page_shift = 12, .size = ENTRIES };
	int sys = uvfio_kvm_open(O_RDWR);

	vm_fd = (int)uvfio_ioctl(sys, KVM_CREATE_VM, (void *)KVM_VM_PPC_HV);
	check("KVM_CREATE_VM", vm_fd);
	vm = uvfio_kvm_get(vm_fd);
	check("slot", uvfio_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot));
	for (unsigned int i = 0; i < 4; i++)
		check("vCPU", uvfio_kvm_cpu_new(vm, i, &ops, NULL, &cpus[i]));
	check("KVM_CREATE_DEVICE", uvfio_ioctl(vm_fd, KVM_CREATE_DEVICE, &create));
	kv = (int)create.fd;
	table = (int)uvfio_ioctl(vm_fd, KVM_CREATE_SPAPR_TCE_64, &tce);
	check("KVM_CREATE_SPAPR_TCE_64", table);
	check("GROUP_ADD", set_attr(KVM_DEV_VFIO_GROUP_ADD, &group));
	tie();
}

static void hcall(unsigned int cpu, uint64_t number, uint64_t ioba, uint64_t a, uint64_t b)
{
	uint64_t args[] = { LIOBN, ioba, a, b };
	long rc = uvfio_kvm_hcall(cpus[cpu], number, args, NULL);

	if (!rc)
		return;
	fprintf(stderr, "bench_tce: hypercall 0x%llx at 0x%llx: %ld\n", (unsigned long long)number,
		(unsigned long long)ioba, rc);
	exit(1);
}

static uint64_t tce_of(uint64_t n)
{
	return n % (PAGES - 1) * PG | RW;
}

/* ---- what each costs */

#define BATCH 1000u

static double time_puts(unsigned int cpu, uint64_t first, bool map)
{
	double start = bench_now_ns();

	for (uint64_t i = 0; i < BATCH; i++)
		hcall(cpu, UVFIO_H_PUT_TCE, (first + i) * PG, map ? tce_of(i) : 0, 0);
	return (bench_now_ns() - start) / BATCH;
}

/* At free entries, besides others that are mapped. */
static void puts_at(const char *mapped)
{
	double map[RUNS], unmap[RUNS], again[RUNS], t;
	char name[80];

	for (int run = 0; run < RUNS; run++) {
		map[run] = unmap[run] = again[run] = 1e9;
		for (int turn = 0; turn < 50; turn++) {
			t = time_puts(0, ENTRIES - BATCH, true);
			map[run] = t < map[run] ? t : map[run];
			t = time_puts(0, ENTRIES - BATCH, true);
			again[run] = t < again[run] ? t : again[run];
			t = time_puts(0, ENTRIES - BATCH, false);
			unmap[run] = t < unmap[run] ? t : unmap[run];
		}
	}
	snprintf(name, sizeof(name), "H_PUT_TCE maps, %s entries", mapped);
	t = bench_median(map, RUNS);
	bench_row(name, t, "ns", NULL, 0, "60 ns", t <= 60);
	t = bench_median(unmap, RUNS);
	bench_row("  unmaps", t, "ns", NULL, 0, "60 ns", t <= 60);
	t = bench_median(again, RUNS);
	bench_row("  maps what is mapped", t, "ns", NULL, 0, "60 ns", t <= 60);
}

static void make_list(uint64_t first)
{
	uint64_t *list = (uint64_t *)(void *)(memory + LIST);

	for (uint64_t i = 0; i < 512; i++)
		list[i] = __builtin_bswap64(tce_of(first + i));
}

static void lists(void)
{
	double map[RUNS], unmap[RUNS], start;

	make_list(0);
	for (int run = 0; run < RUNS; run++) {
		map[run] = unmap[run] = 1e9;
		for (int turn = 0; turn < 100; turn++) {
			start = bench_now_ns();
			hcall(0, UVFIO_H_PUT_TCE_INDIRECT, (ENTRIES - 512) * PG, LIST, 512);
			start = (bench_now_ns() - start) / 512;
			map[run] = start < map[run] ? start : map[run];
			start = bench_now_ns();
			hcall(0, UVFIO_H_STUFF_TCE, (ENTRIES - 512) * PG, 0, 512);
			start = (bench_now_ns() - start) / 512;
			unmap[run] = start < unmap[run] ? start : unmap[run];
		}
	}
	start = bench_median(map, RUNS);
	bench_row("H_PUT_TCE_INDIRECT of 512, each", start, "ns", NULL, 0, "15 ns", start <= 15);
	start = bench_median(unmap, RUNS);
	bench_row("H_STUFF_TCE of 512, each", start, "ns", NULL, 0, "6 ns", start <= 6);
}

/* ---- threads on different entries */

#define ROUNDS 100
#define TRIES  10 /* in each run: the best one counts */

static pthread_barrier_t barrier;

static double cpu_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

struct vcpu {
	pthread_t thread;
	unsigned int cpu;
	double start, end, cpu_ns;
};

/* Evenly: a scheduler may take longer to spread them than they run. */
static void pin(unsigned int n)
{
	const unsigned int online = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(n % online, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	const uint64_t first = vcpu->cpu * 2 * BATCH;
	double cpu_start;

	pin(vcpu->cpu);
	pthread_barrier_wait(&barrier);
	vcpu->start = bench_now_ns();
	cpu_start = cpu_now_ns();
	for (int i = 0; i < ROUNDS; i++) {
		time_puts(vcpu->cpu, first, true);
		time_puts(vcpu->cpu, first, false);
	}
	vcpu->cpu_ns = cpu_now_ns() - cpu_start;
	vcpu->end = bench_now_ns();
	return NULL;
}

/* For a call of each: the time until all are ready, and what a processor worked for one. */
static void time_threads(unsigned int threads, double *wall, double *cpu)
{
	const double calls = 2.0 * ROUNDS * BATCH;
	struct vcpu vcpus[4];
	double start = 1e18, end = 0, sum = 0;

	pthread_barrier_init(&barrier, NULL, threads);
	for (unsigned int i = 0; i < threads; i++) {
		vcpus[i].cpu = i;
		if (pthread_create(&vcpus[i].thread, NULL, vcpu_thread, &vcpus[i]))
			exit(1);
	}
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(vcpus[i].thread, NULL);
		start = vcpus[i].start < start ? vcpus[i].start : start;
		end = vcpus[i].end > end ? vcpus[i].end : end;
		sum += vcpus[i].cpu_ns;
	}
	if ((end - start) / calls < *wall) {
		*wall = (end - start) / calls;
		*cpu = sum / (threads * calls);
	}
	pthread_barrier_destroy(&barrier);
}

/* Four times the work, by as many processors as there are: what they have in common is what is lost. */
static void threads(void)
{
	const long online = sysconf(_SC_NPROCESSORS_ONLN);
	const double share = 4.0 / (online < 4 ? (double)online : 4.0);
	double wall[2][RUNS], cpu[2][RUNS], one, four;
	char against[80];

	for (int run = 0; run < RUNS; run++) {
		wall[0][run] = wall[1][run] = cpu[0][run] = cpu[1][run] = 1e9;
		for (int i = 0; i < TRIES; i++) {
			time_threads(1, &wall[0][run], &cpu[0][run]);
			time_threads(4, &wall[1][run], &cpu[1][run]);
		}
	}
	one = bench_median(wall[0], RUNS) * share;
	four = bench_median(wall[1], RUNS);
	snprintf(against, sizeof(against), "one thread, times 4 by %ld processors", online < 4 ? online : 4);
	bench_row("H_PUT_TCE by each of four threads", four, "ns", against, one, "1.1 of it",
		  four <= 1.1 * one);
	one = bench_median(cpu[0], RUNS);
	four = bench_median(cpu[1], RUNS);
	bench_row("  processor time", four, "ns", "one thread", one, "1.1 of it", four <= 1.1 * one);
}

/* ---- a table of a million entries */

static double resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		check("/proc/self/statm", -EIO);
	fclose(f);
	return (double)(pages * PG);
}

/* Hardware's entry, the user-space view, and the guest's. */
static void fill(void)
{
	double before = resident();

	for (uint64_t n = 0; n < 1000000; n++)
		hcall(0, UVFIO_H_PUT_TCE, n * PG, tce_of(n), 0);
	bench_row("memory of a mapped entry, of 1,000,000", (resident() - before) / 1e6, "bytes", NULL, 0,
		  NULL, false);
}

static void attaching(void)
{
	double add[RUNS], del[RUNS], start;

	for (int run = 0; run < RUNS; run++) {
		start = bench_now_ns();
		check("GROUP_DEL", set_attr(KVM_DEV_VFIO_GROUP_DEL, &group));
		del[run] = (bench_now_ns() - start) / 1000;
		check("GROUP_ADD", set_attr(KVM_DEV_VFIO_GROUP_ADD, &group));
		start = bench_now_ns();
		tie();
		add[run] = (bench_now_ns() - start) / 1000;
	}
	bench_row("attach a group to a table of 1,048,576 entries", bench_median(add, RUNS), "us", NULL, 0,
		  NULL, false);
	bench_row("  detach it", bench_median(del, RUNS), "us", NULL, 0, NULL, false);
}

/* ---- the stream: 64 KiB are mapped (source and destination), copied by the engine, unmapped */

#define RING (MEMORY - 2 * MIB) /* in the guest's memory, and mapped there all the time */
#define DONE (RING + MIB)
#define SRC  (8 * MIB)
#define DST  (16 * MIB)

enum request { MAP = 1, UNMAP, DOORBELL };

/* Between the guest's process and the VMM's. */
struct shared {
	_Atomic uint32_t turn; /* 0: the guest's; 1: the VMM's */
	enum request request;
	uint64_t at;
	_Atomic bool stop;
};

static struct shared *shared;
static uint16_t submitted;

static void ioctl_map(uint64_t at, bool map)
{
	struct vfio_iommu_type1_dma_map in = { .argsz = sizeof(in),
					       .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
					       .vaddr = (uintptr_t)memory + at,
					       .iova = at,
					       .size = PG };
	struct vfio_iommu_type1_dma_unmap out = { .argsz = sizeof(out), .iova = at, .size = PG };

	check("MAP_DMA", map ? uvfio_ioctl(container, VFIO_IOMMU_MAP_DMA, &in)
			     : uvfio_ioctl(container, VFIO_IOMMU_UNMAP_DMA, &out));
}

static void store(uint64_t at, uint64_t value, unsigned int len)
{
	check("BAR", uvfio_mmio_write(device, bar_at + at, &value, len));
}

static void start_engine(void)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command = 6;

	check("REGION_INFO", uvfio_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info));
	check("COMMAND", uvfio_pwrite(device, &command, 2, (off_t)info.offset + 4) - 2);
	info.index = VFIO_PCI_BAR0_REGION_INDEX;
	check("REGION_INFO", uvfio_ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info));
	bar_at = info.offset;
	for (uint64_t at = RING; at < RING + 2 * MIB - PG; at += PG)
		hcall(0, UVFIO_H_PUT_TCE, at, at | RW, 0);
	store(0x84, 0x20, 1);
	store(0x80, 0x0c, 2);
	store(0x98, DONE, 8);
	for (uint64_t i = 0; i < 64; i++) {
		uint64_t *desc = (uint64_t *)(void *)(memory + RING + i * 64);

		desc[0] = CHUNK | 8ull << 32; /* completion is written */
		desc[1] = SRC;
		desc[2] = DST;
		desc[3] = RING + (i + 1) % 64 * 64;
	}
	store(0x90, RING, 8);
}

static uint64_t next_done(void)
{
	return RING + (uint64_t)((submitted - 1) % 64) * 64;
}

/* The guest's thread of the engine: wait for the completion of what was submitted last. */
static void await_engine(void)
{
	volatile uint64_t *done = (volatile uint64_t *)(void *)(memory + DONE);

	while ((*done & ~0x3full) != next_done())
		if ((*done & 7) == 3) {
			fprintf(stderr, "bench_tce: the engine has halted\n");
			exit(1);
		} else {
			__builtin_ia32_pause();
		}
}

static void by_hcall(enum request request, uint64_t at)
{
	if (request == DOORBELL)
		store(0x86, at, 2);
	else
		hcall(0, UVFIO_H_PUT_TCE, at, request == MAP ? at | RW : 0, 0);
}

static void by_ioctl(enum request request, uint64_t at)
{
	if (request == DOORBELL)
		store(0x86, at, 2);
	else
		ioctl_map(at, request == MAP);
}

static void pass(uint32_t from, uint32_t to)
{
	atomic_store(&shared->turn, to);
	syscall(SYS_futex, &shared->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
	while (atomic_load(&shared->turn) != from)
		syscall(SYS_futex, &shared->turn, FUTEX_WAIT, to, NULL, NULL, 0);
}

static void by_vmm(enum request request, uint64_t at)
{
	shared->request = request;
	shared->at = at;
	pass(0, 1);
}

#define CHUNKS 50
#define TURNS  5 /* in each run: the best one counts */

static double stream(void (*ask)(enum request request, uint64_t at))
{
	double start = bench_now_ns();

	for (int i = 0; i < CHUNKS; i++) {
		for (uint64_t at = 0; at < CHUNK; at += PG) {
			ask(MAP, SRC + at);
			ask(MAP, DST + at);
		}
		submitted++;
		ask(DOORBELL, submitted);
		await_engine();
		for (uint64_t at = 0; at < CHUNK; at += PG) {
			ask(UNMAP, SRC + at);
			ask(UNMAP, DST + at);
		}
	}
	return CHUNKS * CHUNK / ((bench_now_ns() - start) / 1e9) / 1e6;
}

/* The guest is a child, this process the VMM. The child's count of submissions comes back. */
static double stream_by_vmm(void)
{
	double *result = (double *)(void *)(shared + 1);
	uint16_t *count = (uint16_t *)(void *)(result + 1);
	pid_t guest;

	atomic_store(&shared->turn, 0);
	atomic_store(&shared->stop, false);
	guest = fork();
	if (!guest) {
		*result = stream(by_vmm);
		*count = submitted;
		atomic_store(&shared->stop, true);
		atomic_store(&shared->turn, 1);
		syscall(SYS_futex, &shared->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
		_exit(0);
	}
	while (atomic_load(&shared->turn) != 1)
		syscall(SYS_futex, &shared->turn, FUTEX_WAIT, 0, NULL, NULL, 0);
	while (!atomic_load(&shared->stop)) {
		by_ioctl(shared->request, shared->at);
		pass(1, 0);
	}
	waitpid(guest, NULL, 0);
	submitted = *count;
	return *result;
}

static double max(double a, double b)
{
	return a > b ? a : b;
}

static void streams(void)
{
	double vmm[RUNS], same[RUNS], fast[RUNS], v, s, f;

	start_engine();
	for (int run = 0; run < RUNS; run++) {
		vmm[run] = same[run] = fast[run] = 0;
		for (int turn = 0; turn < TURNS; turn++) {
			vmm[run] = max(vmm[run], stream_by_vmm());
			same[run] = max(same[run], stream(by_ioctl));
			fast[run] = max(fast[run], stream(by_hcall));
		}
	}
	v = bench_median(vmm, RUNS);
	s = bench_median(same, RUNS);
	f = bench_median(fast, RUNS);
	bench_row("map, copy 64 KiB, unmap: each TCE to a VMM of its own", v, "MB/s", NULL, 0, NULL, false);
	bench_row("  VMM in the same thread", s, "MB/s", NULL, 0, NULL, false);
	bench_row("  by hypercalls", f, "MB/s", "to a VMM of its own", v, ">= 4.6 of it", f >= 4.6 * v);
	bench_row("  by hypercalls", f, "MB/s", "VMM in the same thread", s, NULL, false);
}

int main(void)
{
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared = mmap(NULL, PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || shared == MAP_FAILED)
		return 1;
	memset(memory, 1, MEMORY);
	open_machine();
	open_vm();
	for (uint64_t n = 0; n < 10; n++)
		hcall(0, UVFIO_H_PUT_TCE, n * PG, tce_of(n), 0);
	puts_at("10");
	lists();
	threads();
	fill();
	puts_at("1,000,000");
	attaching();
	hcall(0, UVFIO_H_STUFF_TCE, 0, 0, ENTRIES);
	streams();
	return 0;
}
