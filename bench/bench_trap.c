/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a load or store costs on a mapped register of the NVMe controller, as an ordinary client makes it,
 * compared with a bare SIGSEGV round trip: a load from a page without access, and a handler that skips the
 * instruction. So that both can be measured in turns, the handlers are exchanged by the system call itself.
 */
#include "bench.h"

#include <err.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define BDF        "0000:00:01.0"
#define PAGE       4096u
#define ACCESSES   4000
#define TURNS      31
#define NVME_VS    0x08
#define NVME_INTMS 0x0c

/* As rt_sigaction() takes it. */
struct action {
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

void skip_restorer(void);
__asm__(".pushsection .text\n"
	"skip_restorer:\n"
	"	mov $15, %eax\n"
	"	syscall\n"
	".popsection\n");

#define LOAD_LENGTH 2 /* mov (%rdi), %eax */

static void skip(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	uc->uc_mcontext.gregs[REG_RIP] += LOAD_LENGTH;
}

static double loads(const volatile char *at)
{
	double start = bench_now_ns();
	uint32_t value;

	for (int i = 0; i < ACCESSES; i++)
		__asm__ volatile("movl (%1), %0" : "=a"(value) : "D"(at) : "memory");
	return (bench_now_ns() - start) / ACCESSES;
}

static double stores(volatile char *at)
{
	double start = bench_now_ns();

	for (int i = 0; i < ACCESSES; i++)
		__asm__ volatile("movl %1, (%0)" : : "D"(at), "a"(0) : "memory");
	return (bench_now_ns() - start) / ACCESSES;
}

static void exchange(const struct action *act, struct action *old)
{
	if (syscall(SYS_rt_sigaction, SIGSEGV, act, old, sizeof(uint64_t)))
		err(1, "rt_sigaction");
}

static double bare(const volatile char *page)
{
	struct action act = { skip, SA_SIGINFO | 0x04000000, skip_restorer, 0 }, old;
	double ns;

	exchange(&act, &old);
	ns = loads(page);
	exchange(&old, NULL);
	return ns;
}

static char *map_registers(void)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX };
	char link[PATH_MAX], path[PATH_MAX];
	ssize_t n = readlink("/sys/bus/pci/devices/" BDF "/iommu_group", link, sizeof(link) - 1);
	int container, group, device;
	char *registers;

	if (n < 0)
		err(1, "iommu_group of " BDF);
	link[n] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(link, '/') + 1);
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (container < 0 || group < 0)
		err(1, "%s", path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		err(1, "VFIO_SET_IOMMU");
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, BDF);
	if (device < 0 || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info))
		err(1, "VFIO_DEVICE_GET_REGION_INFO");
	registers = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);
	if (registers == MAP_FAILED)
		err(1, "mmap of BAR 0");
	return registers;
}

int main(void)
{
	double floor[TURNS], load[TURNS], store[TURNS], base, median;
	char *registers = map_registers(), text[64];
	char *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		err(1, "mmap");
	for (int i = 0; i < TURNS; i++) {
		floor[i] = bare(page);
		load[i] = loads(registers + NVME_VS);
		store[i] = stores(registers + NVME_INTMS);
	}
	base = bench_median(floor, TURNS);
	snprintf(text, sizeof(text), "a bare SIGSEGV round trip: %.0f ns", base);
	median = bench_median(load, TURNS);
	bench_row("load from a mapped register", median, "ns", text, base, "<= 1.3", median <= 1.3 * base);
	median = bench_median(store, TURNS);
	bench_row("store to a mapped register", median, "ns", text, base, "<= 1.3", median <= 1.3 * base);
	return 0;
}
