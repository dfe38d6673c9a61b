/* SPDX-License-Identifier: BSD-2-Clause */
/* Mappings of a BAR: every way in which clients make, cut, move, replace and abandon them. */
#include "client.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

#define PAGE ((size_t)4096)
#define CAP  0x00
#define VS   0x08
#define MS   0x0c /* INTMS: set bits of the mask; INTMC at 0x10 clears them */
#define MC   0x10
#define AQA  0x24

static off_t bar;
static size_t bar_size;
static sigjmp_buf env;

static void caught(int sig)
{
	siglongjmp(env, sig);
}

/* The signal that an access raises, or 0. */
static int probe(volatile void *at, bool write)
{
	struct sigaction sa = { .sa_handler = caught }, old_segv, old_bus;
	int sig;

	CHECK(!sigaction(SIGSEGV, &sa, &old_segv) && !sigaction(SIGBUS, &sa, &old_bus));
	sig = sigsetjmp(env, 1);
	if (!sig && write)
		*(volatile uint32_t *)at = 0;
	else if (!sig)
		(void)*(volatile uint32_t *)at;
	CHECK(!sigaction(SIGSEGV, &old_segv, NULL) && !sigaction(SIGBUS, &old_bus, NULL));
	return sig;
}

static uint32_t reg32(const volatile char *at, size_t off)
{
	return *(const volatile uint32_t *)(const volatile void *)(at + off);
}

static char *map(int fd, void *at, size_t len, int prot, int flags, size_t off)
{
	char *p = mmap(at, len, prot, MAP_SHARED | flags, fd, bar + (off_t)off);

	CHECK(p != MAP_FAILED);
	return p;
}

static void values(int fd)
{
	char *p = map(fd, NULL, bar_size, PROT_READ | PROT_WRITE, 0, 0), direct[256], copy[256];

	CHECK(pread(fd, direct, sizeof(direct), bar) == sizeof(direct));
	for (size_t i = 0; i < 64; i++)
		CHECK(((volatile char *)p)[i] == direct[i]);
	CHECK(reg32(p, VS) == 0x10400);
	CHECK(*(volatile uint64_t *)(void *)p == *(uint64_t *)(void *)direct);
	memcpy(copy, p, sizeof(copy));
	CHECK(!memcmp(copy, direct, sizeof(copy)));
	*(volatile uint32_t *)(void *)(p + AQA) = 0x001f001f;
	CHECK(reg32(p, AQA) == 0x001f001f);
	CHECK(pread(fd, direct, 4, bar + AQA) == 4 && *(uint32_t *)(void *)direct == 0x001f001f);
	*(volatile uint32_t *)(void *)(p + MS) |= 1;
	CHECK(reg32(p, MS) == 1 && reg32(p, MC) == 1);
	*(volatile uint32_t *)(void *)(p + MC) = 1;
	CHECK(reg32(p, MS) == 0);
	CHECK(!munmap(p, bar_size));
	CHECK(probe(p, false) == SIGSEGV);
}

static void several(int fd)
{
	char *a = map(fd, NULL, PAGE, PROT_READ | PROT_WRITE, 0, 0);
	char *b = map(fd, NULL, 2 * PAGE, PROT_WRITE, 0, 0);
	char *c = map(fd, NULL, PAGE, PROT_READ, 0, 0);
	char *d = map(fd, NULL, PAGE, PROT_NONE, 0, 0);

	CHECK(a != b && b != c && a != c);
	*(volatile uint32_t *)(void *)(b + AQA) = 0x00030003;
	CHECK(reg32(a, AQA) == 0x00030003 && reg32(c, AQA) == 0x00030003);
	CHECK(probe(c + AQA, false) == 0);
	CHECK(probe(c + AQA, true) == SIGSEGV);
	CHECK(probe(d + AQA, false) == SIGSEGV);
	CHECK(!mprotect(c, PAGE, PROT_READ | PROT_WRITE));
	CHECK(probe(c + AQA, true) == 0 && reg32(a, AQA) == 0);
	FAILS(mprotect(c, PAGE, PROT_READ | PROT_EXEC), EACCES);
	CHECK(reg32(c, VS) == 0x10400);
	CHECK(!mlock(c, PAGE) && !munlock(c, PAGE));
	CHECK(!mlock2(c, PAGE, MLOCK_ONFAULT) && !munlock(c, PAGE));
	FAILS(mlock2((char *)16, PAGE, 0), ENOMEM); /* AddressSanitizer does nothing in mlock() */
	CHECK(!mprotect(c, PAGE, PROT_NONE));
	CHECK(probe(c + AQA, false) == SIGSEGV);
	CHECK(!mprotect(d, PAGE, PROT_READ) && reg32(d, VS) == 0x10400);
	CHECK(!munmap(a, PAGE) && !munmap(b, 2 * PAGE) && !munmap(c, PAGE) && !munmap(d, PAGE));
}

/* Reserve, map over a part of it, and give the rest back. */
static void reserved(int fd)
{
	size_t len = (size_t)1 << 30, end;
	char *p = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *q;

	CHECK(p != MAP_FAILED);
	q = map(fd, p + 16 * PAGE, bar_size, PROT_READ | PROT_WRITE, MAP_FIXED, 0);
	CHECK(q == p + 16 * PAGE && reg32(q, VS) == 0x10400);
	end = 16 * PAGE + bar_size;
	CHECK(!munmap(p + end, len - end));
	CHECK(reg32(q, VS) == 0x10400);
	/* once more over itself, shifted by a page */
	q = map(fd, p + 15 * PAGE, 2 * PAGE, PROT_READ, MAP_FIXED, 0);
	CHECK(reg32(q, VS) == 0x10400);
	CHECK(reg32(q + PAGE, 0) == reg32(q + PAGE, 0));
	CHECK(probe(p, false) == SIGSEGV);
	CHECK(!munmap(p, end));
	CHECK(probe(q, false) == SIGSEGV);
}

static void pieces(int fd)
{
	char *p = map(fd, NULL, bar_size, PROT_READ | PROT_WRITE, 0, 0), *q;

	CHECK(!munmap(p + PAGE, PAGE));
	CHECK(probe(p + PAGE, false) == SIGSEGV);
	CHECK(reg32(p, VS) == 0x10400 && probe(p + 2 * PAGE, false) == 0);
	q = mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(q == p);
	memset(q, 0xff, PAGE);
	CHECK(reg32(p, VS) == 0xffffffff && probe(p + 2 * PAGE, false) == 0);
	/* one call over our pages, a hole, and others' pages */
	FAILS(mprotect(p, bar_size, PROT_READ), ENOMEM);
	CHECK(!munmap(p, bar_size));
	/* our pages between others' */
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	map(fd, p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED, 0);
	CHECK(!mprotect(p, 4 * PAGE, PROT_READ));
	CHECK(probe(p, true) == SIGSEGV && probe(p + PAGE + AQA, true) == SIGSEGV &&
	      reg32(p + PAGE, VS) == 0x10400);
	CHECK(!mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE));
	CHECK(probe(p, true) == 0 && probe(p + PAGE + AQA, true) == 0 && probe(p + 2 * PAGE, true) == 0);
	FAILS(mprotect(p + 1, PAGE, PROT_READ), EINVAL);
	FAILS(munmap(p + PAGE + 1, PAGE), EINVAL);
	CHECK(reg32(p + PAGE, VS) == 0x10400);
	CHECK(!munmap(p, 4 * PAGE));
}

static void moves(int fd)
{
	char *p = map(fd, NULL, bar_size, PROT_READ | PROT_WRITE, 0, 0), *q;
	char *to = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(to != MAP_FAILED);
	FAILS(mremap(p, bar_size, bar_size + PAGE, MREMAP_MAYMOVE), EFAULT);
	FAILS(mremap(p, bar_size, PAGE, MREMAP_FIXED, to), EINVAL);
	CHECK(mremap(p, bar_size, bar_size, 0) == p && reg32(p, VS) == 0x10400);
	q = mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE);
	CHECK(q == to + PAGE && reg32(q, VS) == 0x10400);
	CHECK(probe(p, false) == SIGSEGV && probe(p + 2 * PAGE, false) == 0);
	CHECK(mremap(q, 2 * PAGE, PAGE, 0) == q);
	CHECK(probe(q + PAGE, false) == SIGSEGV && reg32(q, VS) == 0x10400);
	/* someone else's pages over ours */
	CHECK(mremap(to, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	CHECK(probe(q, true) == 0 && reg32(q, VS) == 0);
	CHECK(!munmap(to, 8 * PAGE) && !munmap(p, bar_size));
}

static void advice(int fd)
{
	char *p = map(fd, NULL, bar_size, PROT_READ | PROT_WRITE, 0, 0);

	CHECK(!madvise(p, bar_size, MADV_HUGEPAGE) && !madvise(p, bar_size, MADV_DONTFORK));
	FAILS(madvise(p, bar_size, MADV_DONTNEED), EINVAL);
	CHECK(reg32(p, VS) == 0x10400);
	CHECK(!munmap(p, bar_size));
	/* a descriptor does not matter to anonymous memory */
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	CHECK(p != MAP_FAILED && probe(p, true) == 0 && reg32(p, VS) == 0 && !munmap(p, PAGE));
}

/* The device stays open until the last piece of the last mapping goes. */
static void keeps_open(void)
{
	struct client c = client_open();
	char *p = map(c.device, NULL, bar_size, PROT_READ, 0, 0);
	int group;

	close(c.device);
	close(c.group);
	close(c.container);
	FAILS(open(group_path(), O_RDWR), EBUSY);
	CHECK(reg32(p, VS) == 0x10400);
	CHECK(!munmap(p, PAGE));
	FAILS(open(group_path(), O_RDWR), EBUSY);
	CHECK(!munmap(p + PAGE, bar_size - PAGE));
	group = open(group_path(), O_RDWR);
	CHECK(group >= 0);
	close(group);
}

/* Peer to peer: a BAR as the target of DMA. */
static void dma_target(const struct client *c)
{
	char *p = map(c->device, NULL, PAGE, PROT_READ | PROT_WRITE, 0, 0);
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m), .flags = 3, .vaddr = (uintptr_t)p, .iova = 1 << 20, .size = PAGE
	};
	struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = 1 << 20, .size = PAGE };

	CHECK(!ioctl(c->container, VFIO_IOMMU_MAP_DMA, &m));
	CHECK(!ioctl(c->container, VFIO_IOMMU_UNMAP_DMA, &u) && u.size == PAGE);
	CHECK(!munmap(p, PAGE));
	FAILS(ioctl(c->container, VFIO_IOMMU_MAP_DMA, &m), EFAULT);
}

static volatile bool stop;
static char *steady;

static void *touch(void *arg)
{
	(void)arg;
	do
		CHECK(reg32(steady, VS) == 0x10400);
	while (!stop);
	return NULL;
}

static void threads(int fd)
{
	pthread_t t[3];

	steady = map(fd, NULL, PAGE, PROT_READ, 0, 0);
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_create(&t[i], NULL, touch, NULL));
	for (int i = 0; i < 300; i++) {
		char *p = map(fd, NULL, bar_size, PROT_READ | PROT_WRITE, 0, 0);

		CHECK(reg32(p, VS) == 0x10400);
		CHECK(!mprotect(p, PAGE, PROT_READ) && !munmap(p + PAGE, PAGE));
		CHECK(reg32(p, VS) == 0x10400 && !munmap(p, bar_size));
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_join(t[i], NULL));
	CHECK(!munmap(steady, PAGE));
}

int main(void)
{
	struct client c = client_open();
	struct vfio_region_info info = { .argsz = sizeof(info), .index = VFIO_PCI_BAR0_REGION_INDEX };

	CHECK(!ioctl(c.device, VFIO_DEVICE_GET_REGION_INFO, &info) && info.size >= 4 * PAGE);
	bar = (off_t)info.offset;
	bar_size = info.size;
	values(c.device);
	several(c.device);
	reserved(c.device);
	pieces(c.device);
	moves(c.device);
	advice(c.device);
	dma_target(&c);
	threads(c.device);
	client_close(&c);
	keeps_open();
	return 0;
}
