/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that does everything wrong with two mediated devices, mtty and the example checksum, and with the
 * files create and remove: random ioctls, sizes, pointers, offsets, registers, jobs, mappings that come and
 * go under pins. Nothing may crash or hang, nothing outside of what is mapped may change, and in the end both
 * devices work.
 *
 *     uvfio run --device mtty,type=mtty-2 --device checksum.so -- hostile [SEED [OPERATIONS]]
 */
#define PARENT "mtty"
#include "mdev.h"

#include "hostile/hostile.h"

#include <dirent.h>
#include <linux/serial_reg.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <time.h>

#define MTTY      "75766669-6f00-4000-8000-000000000001"
#define CHECKSUM  "75766669-6f00-4000-8000-000000000002"
#define PG        4096u
#define PAGES     16u /* of the arena, each mapped at IOVA_BASE + its place, or not */
#define IOVA_BASE 0x100000ull

enum { RING = 0x00, RING_HIGH = 0x04, TAIL = 0x08, STATE = 0x0c };

struct job {
	uint64_t address;
	uint32_t length, sum, status, unused[3];
};

static struct client clients[2]; /* they share the container */
static uint8_t *arena, *foreign, *edge, *nowhere, *readonly;
static bool mapped[PAGES];
static int event;
static unsigned long seed, done;

void die(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "hostile: seed %lu, operation %lu: ", seed, done);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static uint8_t *pages(unsigned int n, int prot)
{
	void *at = mmap(NULL, n * PG, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(at != MAP_FAILED);
	return at;
}

static void open_second(struct client *c, const char *uuid)
{
	c->container = clients[0].container;
	c->group = open(group_of(uuid), O_RDWR | O_CLOEXEC);
	CHECK(c->group >= 0 && !ioctl(c->group, VFIO_GROUP_SET_CONTAINER, &c->container));
	c->device = ioctl(c->group, VFIO_GROUP_GET_DEVICE_FD, uuid);
	CHECK(c->device >= 0);
}

static void set_up(void)
{
	arena = pages(PAGES, PROT_READ | PROT_WRITE);
	foreign = pages(PAGES, PROT_READ | PROT_WRITE);
	memset(foreign, 0x5a, PAGES * PG);
	edge = pages(3, PROT_READ | PROT_WRITE);
	CHECK(!mprotect(edge + 2 * PG, PG, PROT_NONE));
	nowhere = pages(1, PROT_NONE);
	readonly = pages(1, PROT_READ);
	event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK(event >= 0);
	clients[0] = open_mdev(MTTY);
	open_second(&clients[1], CHECKSUM);
}

/* ---- memory */

static bool map(unsigned int page)
{
	struct vfio_iommu_type1_dma_map arg = { .argsz = sizeof(arg),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)(arena + page * PG),
						.iova = IOVA_BASE + page * PG,
						.size = PG };

	return !ioctl(clients[0].container, VFIO_IOMMU_MAP_DMA, &arg);
}

static void toggle(void)
{
	unsigned int page = random_below(PAGES);
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap),
						    .iova = IOVA_BASE + page * PG,
						    .size = PG };

	if (mapped[page]) {
		CHECK(!ioctl(clients[0].container, VFIO_IOMMU_UNMAP_DMA, &unmap) && unmap.size == PG);
	} else {
		CHECK(map(page));
	}
	mapped[page] = !mapped[page];
}

/* ---- ioctls */

/* An argument of len bytes at the very end of accessible memory, or a bad pointer. */
static void *argument(size_t len)
{
	void *bad[] = {
		NULL, (void *)8, nowhere, readonly, edge + 2 * PG - len / 2, (void *)(UINTPTR_MAX - 3)
	};

	return one_in(8) ? bad[random_below(6)] : edge + 2 * PG - len;
}

static void random_words(uint8_t *at, size_t len)
{
	for (size_t i = 0; i + 4 <= len; i += 4) {
		uint32_t word = one_in(3)   ? random_below(8)
				: one_in(4) ? (uint32_t)event
					    : (uint32_t)random_odd_value();

		memcpy(at + i, &word, 4);
	}
}

static void device_ioctl(int fd)
{
	static const size_t sizes[] = { 0, 4, 8, 12, 16, 20, 24, 28, 32, 48, 64, 256, 2048 };
	unsigned long cmd = one_in(10) ? (uint32_t)random64() : _IO(VFIO_TYPE, VFIO_BASE + random_below(24));
	size_t len = sizes[random_below(sizeof(sizes) / sizeof(*sizes))];
	uint8_t *arg = argument(len);
	uint32_t argsz = one_in(3) ? (uint32_t)random_odd_value() : (uint32_t)len;
	long rc;

	random_words(edge + 2 * PG - len, len);
	if (len >= 4)
		memcpy(edge + 2 * PG - len, &argsz, 4);
	rc = ioctl(fd, cmd, arg);
	CHECK(rc >= -1 && rc < PG);
}

static int set_irqs(int fd, uint32_t index, uint32_t flags, uint32_t start, uint32_t count, int32_t value)
{
	struct {
		struct vfio_irq_set set;
		int32_t data[4];
	} arg = { .set = { .argsz = sizeof(arg),
			   .flags = flags,
			   .index = index,
			   .start = start,
			   .count = count },
		  .data = { value, value, value, value } };

	return ioctl(fd, VFIO_DEVICE_SET_IRQS, &arg);
}

static void irqs(int fd)
{
	uint64_t count;

	set_irqs(fd, random_below(6), 1u << random_below(3) | 8u << random_below(3), random_below(3),
		 random_below(4),
		 one_in(4)   ? -1
		 : one_in(8) ? fd
			     : event);
	if (one_in(4))
		CHECK(read(event, &count, sizeof(count)) == sizeof(count) || errno == EAGAIN);
}

/* ---- regions */

static void region(int fd)
{
	uint64_t at = one_in(4) ? random64() >> 1
				: (uint64_t)random_below(12) << 40 |
					  (one_in(4) ? random_odd_value() >> 24 : random_below(300));
	size_t len = one_in(8) ? random_below(2 * PG) : 1 + random_below(12);
	void *buf = argument(len);
	ssize_t rc = one_in(2) ? pread(fd, buf, len, (off_t)(at & INT64_MAX))
			       : pwrite(fd, buf, len, (off_t)(at & INT64_MAX));

	CHECK(rc == (ssize_t)len || (rc < 0 && (errno == EFAULT || errno == EINVAL)));
}

static void put(unsigned int offset, uint32_t value)
{
	CHECK(pwrite(clients[1].device, &value, 4, AT(0, offset)) == 4);
}

static uint64_t some_iova(void)
{
	return one_in(6) ? random_odd_value() : IOVA_BASE + random_below(PAGES * PG);
}

static void engine(void)
{
	struct job *jobs = (struct job *)arena;
	uint64_t at = some_iova();

	switch (random_below(4)) {
	case 0:
		put(RING_HIGH, one_in(8) ? (uint32_t)random64() : 0);
		put(RING, (uint32_t)at);
		break;
	case 1:
		put(TAIL, one_in(4) ? (uint32_t)random_odd_value() : random_below(200));
		break;
	default:
		jobs += random_below(PAGES * PG / sizeof(*jobs));
		*jobs = (struct job){ .address = at,
				      .length = one_in(10) ? (uint32_t)random_odd_value()
							   : random_below(9000) };
		break;
	}
}

/* ---- create and remove */

static void garbage(char *text, size_t len)
{
	static const char *const words[] = { MTTY,       CHECKSUM,
					     ONE,        ONE "\n",
					     ONE "\n\n", "1",
					     "0",        "x",
					     "",         "\n",
					     ONE ONE,    "83b8f4f2-509f-382f-3c1e-e6bfe0fa100g",
					     "-1",       "99999999999999999999" };
	const char *word = words[random_below(sizeof(words) / sizeof(*words))];

	snprintf(text, len, "%s", word);
	if (one_in(6))
		memset(text, 'a', random_below((uint32_t)len));
	if (one_in(4) && *text)
		text[random_below((uint32_t)strlen(text))] = (char)random64();
}

static void commands(void)
{
	char text[300] = "", path[128];
	int rc;

	garbage(text, sizeof(text));
	if (one_in(2)) {
		rc = create(one_in(8) ? "mtty-9" : one_in(2) ? "mtty-1" : "mtty-2", text);
		CHECK(!rc || rc == -EINVAL || rc == -EEXIST || rc == -ENOSPC || rc == -ENOENT);
	} else if (strncmp(text, MTTY, 34)) { /* a removal of what we have open would wait for us */
		snprintf(path, sizeof(path), DEVICES "%.36s/remove", one_in(3) ? text : ONE);
		if (one_in(2))
			strcpy(text, "1");
		rc = write_file(path, text, strlen(text));
		CHECK(rc <= 0);
	}
}

/* Everything but what was there is taken away again: this program has nothing of it open. */
static void remove_others(void)
{
	DIR *dir = opendir(DEVICES);
	struct dirent *entry;
	char uuid[40];

	CHECK(dir);
	while ((entry = readdir(dir))) {
		snprintf(uuid, sizeof(uuid), "%.36s", entry->d_name);
		if (*uuid != '.' && strcmp(uuid, MTTY) && strcmp(uuid, CHECKSUM))
			CHECK(!remove_mdev(uuid));
	}
	closedir(dir);
	CHECK(file_says(TYPES "mtty-1/available_instances", "22\n"));
}

/* ---- all of it */

static void operation(void)
{
	int fd = clients[random_below(2)].device;
	unsigned int what = random_below(100);

	if (what < 35)
		device_ioctl(fd);
	else if (what < 50)
		irqs(fd);
	else if (what < 75)
		region(fd);
	else if (what < 90)
		engine();
	else if (what < 98)
		toggle();
	else if (one_in(8))
		commands();
}

static void check_foreign(void)
{
	for (unsigned int i = 0; i < PAGES * PG; i++)
		if (foreign[i] != 0x5a)
			die("memory that is not mapped has changed");
}

static void it_works(void)
{
	struct job *ring = (struct job *)arena;
	uint8_t echo[2] = { 'h', 0 };
	unsigned int tries = 0;

	CHECK(!ioctl(clients[1].device, VFIO_DEVICE_RESET));
	for (unsigned int page = 0; page < 2; page++)
		CHECK(mapped[page] || map(page));
	put(RING_HIGH, 0);
	put(RING, IOVA_BASE);
	ring[0] = (struct job){ .address = IOVA_BASE + PG, .length = 1 };
	arena[PG] = 7;
	put(TAIL, 1);
	while (!__atomic_load_n(&ring[0].status, __ATOMIC_ACQUIRE) && tries++ < 10000)
		usleep(1000);
	CHECK(ring[0].status == 1 && ring[0].sum == (8u << 16 | 8));
	echo[1] = UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT;
	CHECK(pwrite(clients[0].device, &echo[1], 1, AT(1, UART_FCR)) == 1);
	echo[1] = 0;
	CHECK(pwrite(clients[0].device, &echo[1], 1, AT(1, UART_LCR)) == 1);
	CHECK(pwrite(clients[0].device, echo, 1, AT(1, UART_TX)) == 1);
	CHECK(pread(clients[0].device, echo + 1, 1, AT(1, UART_RX)) == 1 && echo[1] == 'h');
}

int main(int argc, char **argv)
{
	unsigned long operations = argc > 2 ? strtoul(argv[2], NULL, 0) : 100000;

	seed = argc > 1 ? strtoul(argv[1], NULL, 0) : (unsigned long)time(NULL);
	printf("hostile: seed %lu, %lu operations\n", seed, operations);
	fflush(stdout);
	random_seed(seed);
	alarm(180);
	set_up();
	for (; done < operations; done++) {
		operation();
		if (done % 1024 == 0)
			check_foreign();
	}
	check_foreign();
	remove_others();
	it_works();
	CHECK(!close(clients[1].device) && !close(clients[1].group));
	close_mdev(&clients[0]);
	return 0;
}
