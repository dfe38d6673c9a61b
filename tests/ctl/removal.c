/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device is removed at every point of its driver's life, in an orderly way and by surprise, while somebody
 * else resets it, raises errors and lists what there is; and comes back. UVFIO_REMOVALS: how often.
 *
 * The driver does what a good one does: it lets go of the device when it is asked to (REQ) or told that it is
 * lost (ERR), and tries again until the device is back. Whatever does not come to an end is a failure.
 */
#include "machine/machine.h"

#include <uvfio/machine.h>

#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BDF    "0000:00:01.0"
#define DEVICE "device nvme,size=1M,addr=" BDF ",group=1"
#define IOVA   0x100000
#define BAR(x) ((off_t)(x)) /* region 0 */

/* NVMe registers, and the doorbell of the admin queue */
enum { CC = 0x14, CSTS = 0x1c, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, DOORBELL = 0x1000 };

static struct uvfio_machine *machine;
static _Atomic bool end;
static _Atomic unsigned long opened, commands, asked, lost;
static char memory[3 * 4096] __attribute__((aligned(4096))); /* both queues, and data */

static __attribute__((noreturn)) void die(const char *what, long result)
{
	printf("not ok 1 - %s: %ld\n", what, result);
	exit(1);
}

struct driver {
	int container, group, device, err, req;
};

/* Is the device to be given back? */
static bool let_go(const struct driver *d)
{
	uint64_t count;

	if (read(d->err, &count, sizeof(count)) == sizeof(count)) {
		lost++;
		return true;
	}
	if (read(d->req, &count, sizeof(count)) != sizeof(count))
		return false;
	asked++;
	return true;
}

static uint32_t load(const struct driver *d, off_t at)
{
	uint32_t value = 0;
	ssize_t n = uvfio_pread(d->device, &value, sizeof(value), BAR(at));

	return n == sizeof(value) || n == -EIO ? value : (die("pread", n), 0);
}

static void store(const struct driver *d, off_t at, uint64_t value, size_t len)
{
	ssize_t n = uvfio_pwrite(d->device, &value, len, BAR(at));

	if (n != (ssize_t)len && n != -EIO)
		die("pwrite", n);
}

static void set_event(const struct driver *d, unsigned int index, int fd)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(int32_t)] __attribute__((aligned(8)));
	struct vfio_irq_set *set = (void *)buf;
	long rc;

	*set = (struct vfio_irq_set){ .argsz = sizeof(buf),
				      .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				      .index = index,
				      .count = 1 };
	memcpy(set->data, &fd, sizeof(int32_t));
	rc = uvfio_ioctl(d->device, VFIO_DEVICE_SET_IRQS, set);
	if (rc)
		die("SET_IRQS", rc);
}

/* Until cond, or the device is to be given back: false. */
#define UNTIL(d, cond)                                                                                       \
	({                                                                                                   \
		bool met_ = false, go_ = false;                                                              \
                                                                                                             \
		while (!(met_ = (cond)) && !(go_ = let_go(d)))                                               \
			usleep(20);                                                                          \
		met_ && !go_;                                                                                \
	})

static bool enable(const struct driver *d)
{
	struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
	uint16_t command = 6;

	if (uvfio_ioctl(d->device, VFIO_DEVICE_GET_REGION_INFO, &config))
		die("REGION_INFO", 0);
	uvfio_pwrite(d->device, &command, sizeof(command), (off_t)config.offset + 4);
	store(d, CC, 0, 4);
	store(d, AQA, 0x001f001f, 4);
	store(d, ASQ, IOVA, 8);
	store(d, ACQ, IOVA + 4096, 8);
	memset(memory, 0, sizeof(memory));
	store(d, CC, 0x460001, 4);
	return UNTIL(d, load(d, CSTS) & 1);
}

/* IDENTIFY: opcode 6, of the controller. */
static bool identify(const struct driver *d, unsigned int n)
{
	uint32_t *sqe = (uint32_t *)(void *)(memory + n * 64);
	uint16_t *status = (uint16_t *)(void *)(memory + 4096 + n * 16 + 14);

	memset(sqe, 0, 64);
	sqe[0] = 6 | n << 16;
	sqe[6] = IOVA + 8192;
	sqe[10] = 1;
	store(d, DOORBELL, n + 1, 4);
	if (!UNTIL(d, __atomic_load_n(status, __ATOMIC_ACQUIRE) & 1))
		return false;
	commands++;
	return true;
}

static void use(const struct driver *d)
{
	if (let_go(d) || !enable(d))
		return;
	for (unsigned int n = 0; n < 8; n++)
		if (!identify(d, n) || let_go(d))
			return;
	uvfio_ioctl(d->device, VFIO_DEVICE_RESET, NULL);
}

static void with_device(struct driver *d)
{
	struct vfio_iommu_type1_dma_map map = { .argsz = sizeof(map),
						.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
						.vaddr = (uintptr_t)memory,
						.iova = IOVA,
						.size = sizeof(memory) };
	long rc = uvfio_ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container);

	if (!rc)
		rc = uvfio_ioctl(d->container, VFIO_SET_IOMMU, (void *)VFIO_TYPE1v2_IOMMU);
	if (!rc)
		rc = uvfio_ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map);
	/* The group goes with its only device, at any moment before it is open. */
	d->device = rc ? -1 : (int)uvfio_ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, (void *)BDF);
	if (d->device < 0)
		return;
	opened++;
	set_event(d, VFIO_PCI_ERR_IRQ_INDEX, d->err);
	set_event(d, VFIO_PCI_REQ_IRQ_INDEX, d->req);
	use(d);
	uvfio_close(d->device);
}

static void *drive(void *arg)
{
	struct driver d = { .err = eventfd(0, EFD_NONBLOCK), .req = eventfd(0, EFD_NONBLOCK) };

	while (!end) {
		uint64_t count;

		d.container = uvfio_open(machine, "/dev/vfio/vfio", O_RDWR);
		d.group = uvfio_open(machine, "/dev/vfio/1", O_RDWR);
		if (d.group >= 0)
			with_device(&d);
		else
			usleep(100);
		uvfio_close(d.group);
		uvfio_close(d.container);
		while (read(d.err, &count, sizeof(count)) > 0 || read(d.req, &count, sizeof(count)) > 0)
			continue;
	}
	close(d.err);
	close(d.req);
	return arg;
}

/* What others may do at any time. */
static void *disturb(void *arg)
{
	static const char *const what[] = { "devices", "groups", "containers", "mappings" };
	FILE *nowhere = fopen("/dev/null", "we");
	unsigned int seed = 1;
	char err[256];

	while (!end && nowhere) {
		unsigned int n = (unsigned int)rand_r(&seed);

		machine_list(machine, what[n % 4], nowhere);
		if (n % 16 == 0)
			machine_reset_device(machine, BDF, err, sizeof(err));
		if (n % 64 == 1)
			machine_raise_error(machine, BDF, err, sizeof(err));
		usleep(n % 300);
	}
	if (nowhere)
		fclose(nowhere);
	return arg;
}

static void count_removed(void *arg, const char *bdf)
{
	if (strcmp(bdf, BDF))
		die(bdf, 0);
	atomic_fetch_add((_Atomic unsigned int *)arg, 1);
}

static void remove_and_add(unsigned int *seed, _Atomic unsigned int *removed)
{
	bool surprise = rand_r(seed) % 2;
	char err[256] = "", *line = NULL;

	/* Mostly early in the driver's life, sometimes late. */
	usleep((unsigned int)rand_r(seed) % (1u << rand_r(seed) % 13));
	if (machine_remove_device(machine, BDF, surprise, count_removed, removed, err, sizeof(err)))
		die(err, 0);
	if (!surprise && rand_r(seed) % 4 == 0)
		machine_remove_device(machine, BDF, true, NULL, NULL, err, sizeof(err)); /* or gone by now */
	machine_wait_removed(machine);
	if (machine_add_device(machine, DEVICE, &line, err, sizeof(err)))
		die(err, 0);
	free(line);
}

int main(void)
{
	const char *text = getenv("UVFIO_REMOVALS");
	unsigned int rounds = text ? (unsigned int)atoi(text) : 150, seed = 7;
	_Atomic unsigned int removed = 0;
	pthread_t driver, other;
	char err[256] = "";

	printf("1..1\n");
	alarm(280); /* nothing may wait for ever */
	machine = uvfio_machine_new(DEVICE "\n", err, sizeof(err));
	if (!machine)
		die(err, 0);
	pthread_create(&driver, NULL, drive, NULL);
	pthread_create(&other, NULL, disturb, NULL);
	for (unsigned int i = 0; i < rounds; i++)
		remove_and_add(&seed, &removed);
	while (commands < 8) /* and the device works as before */
		usleep(1000);
	end = true;
	pthread_join(driver, NULL);
	pthread_join(other, NULL);
	uvfio_machine_free(machine);
	printf("# opened %lu, commands %lu, asked to let go %lu, lost %lu\n", opened, commands, asked, lost);
	if (removed != rounds || !opened)
		die("removals", removed);
	printf("ok 1 - %u removals\n", rounds);
	return 0;
}
