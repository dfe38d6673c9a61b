/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A mediated driver to start from: an engine that checksums memory, shared out to programs.
 *
 * A program gives it a page of memory, the ring, with room for 128 jobs, and says by TAIL how many jobs it
 * has put there since the ring was given (job n is entry n % 128). The engine does them in order, writes sum
 * and status into the entry, and raises INTx or MSI.
 *
 *   0x00  RING    I/O address of the ring, a multiple of 4096; low 32 bits. Begins anew
 *   0x04          high 32 bits: to be written first
 *   0x08  TAIL    how many jobs there are
 *   0x0c  STATE   0: there is no ring, 1: there is one, 2: it could not be had
 *
 * The ring is used again and again: it is pinned. What a job is about is used once: it is copied. lock
 * protects all of struct checksum; it is not held while memory is copied, because dma_unmap takes it.
 */
#include <pthread.h>
#include <string.h>
#include <uvfio/mdev.h>

enum { RING = 0x00, RING_HIGH = 0x04, TAIL = 0x08, STATE = 0x0c, REGISTERS = 0x10 };
enum { NO_RING, READY, FAILED };
enum { PENDING, DONE, ERROR };
#define JOBS 128u

struct job {
	uint64_t address;
	uint32_t length, sum, status, unused[3];
};

struct checksum {
	pthread_mutex_t lock;
	struct uvfio_worker *worker;
	uint64_t address; /* of the ring */
	struct job *ring; /* pinned; or NULL */
	uint32_t number;  /* the ring's: the next may be at the same address */
	uint32_t tail, head, state;
	uint32_t high; /* of the next ring's address */
	uint8_t config[256];
};

/* ---- the ring. The lock is held. */

static void drop_ring(struct uvfio_mdev *mdev, struct checksum *c)
{
	if (c->ring)
		uvfio_mdev_unpin_pages(mdev, c->address, 1);
	c->ring = NULL;
	c->state = NO_RING;
}

static void take_ring(struct uvfio_mdev *mdev, struct checksum *c, uint64_t address)
{
	void *page = NULL;
	int rc;

	drop_ring(mdev, c);
	c->tail = c->head = 0;
	c->number++;
	c->address = address;
	rc = uvfio_mdev_pin_pages(mdev, address, 1, UVFIO_MDEV_PIN_READ | UVFIO_MDEV_PIN_WRITE, &page);
	if (rc == 1 && !page) /* the memory of another process: no pointer can be had */
		uvfio_mdev_unpin_pages(mdev, address, 1);
	c->ring = page;
	c->state = page ? READY : FAILED;
}

/* ---- jobs */

/* Adler-32, as zlib has it. 0: memory cannot be read. */
static int sum_up(struct uvfio_mdev *mdev, uint64_t address, uint32_t length, uint32_t *sum)
{
	struct checksum *c = mdev->dev.priv;
	uint32_t a = 1, b = 0, n;
	uint8_t part[4096];

	for (; length; length -= n, address += n) {
		n = length < sizeof(part) ? length : sizeof(part);
		if (uvfio_worker_stopping(c->worker) || uvfio_mdev_dma_rw(mdev, address, part, n, false))
			return 0;
		for (uint32_t i = 0; i < n; i++) {
			a = (a + part[i]) % 65521;
			b = (b + a) % 65521;
		}
	}
	*sum = b << 16 | a;
	return 1;
}

/* The program may change the entry at any time: it is read once. False: there is none. */
static bool next_job(struct checksum *c, struct job *job, uint32_t *ring)
{
	bool there;

	pthread_mutex_lock(&c->lock);
	there = c->ring && c->head != c->tail;
	if (there)
		memcpy(job, &c->ring[c->head % JOBS], sizeof(*job));
	*ring = c->number;
	pthread_mutex_unlock(&c->lock);
	return there;
}

static void finish_job(struct uvfio_mdev *mdev, const struct job *job, uint32_t ring)
{
	struct checksum *c = mdev->dev.priv;
	struct job *entry;

	pthread_mutex_lock(&c->lock);
	if (c->ring && c->number == ring) { /* it may have been unmapped meanwhile */
		entry = &c->ring[c->head++ % JOBS];
		entry->sum = job->sum;
		__atomic_store_n(&entry->status, job->status, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&c->lock);
	uvfio_mdev_irq(mdev, 0);
}

static void work(struct uvfio_worker *worker)
{
	struct uvfio_mdev *mdev = worker->arg;
	struct job job;
	uint32_t ring;

	while (!uvfio_worker_stopping(worker) && next_job(mdev->dev.priv, &job, &ring)) {
		job.status = sum_up(mdev, job.address, job.length, &job.sum) ? DONE : ERROR;
		finish_job(mdev, &job, ring);
	}
}

/* ---- regions: any thread of the program, several at once */

static int checksum_read(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
			 unsigned int size)
{
	struct checksum *c = mdev->dev.priv;
	uint32_t value[REGISTERS / 4];

	pthread_mutex_lock(&c->lock);
	value[RING / 4] = (uint32_t)c->address;
	value[RING_HIGH / 4] = (uint32_t)(c->address >> 32);
	value[TAIL / 4] = c->tail;
	value[STATE / 4] = c->state;
	memcpy(buf, region == UVFIO_MDEV_CONFIG ? c->config + offset : (uint8_t *)value + offset, size);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

/* Registers are written 4 bytes at a time; configuration space cannot be. */
static int checksum_write(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
			  unsigned int size)
{
	struct checksum *c = mdev->dev.priv;
	uint32_t value;

	if (region == UVFIO_MDEV_CONFIG || size != 4)
		return 0;
	memcpy(&value, buf, 4);
	pthread_mutex_lock(&c->lock);
	if (offset == RING_HIGH)
		c->high = value;
	if (offset == RING)
		take_ring(mdev, c, ((uint64_t)c->high << 32 | value) & ~(uint64_t)(UVFIO_MDEV_PAGE_SIZE - 1));
	if (offset == TAIL && value - c->head <= JOBS)
		c->tail = value;
	pthread_mutex_unlock(&c->lock);
	if (offset == TAIL)
		uvfio_worker_kick(c->worker);
	return 0;
}

/* ---- the instance */

static void checksum_dma_unmap(struct uvfio_mdev *mdev, uint64_t iova, uint64_t length)
{
	struct checksum *c = mdev->dev.priv;

	pthread_mutex_lock(&c->lock);
	if (c->ring && c->address >= iova && c->address - iova < length)
		drop_ring(mdev, c);
	pthread_mutex_unlock(&c->lock);
}

/* Reset and close: no worker runs. */
static void checksum_close(struct uvfio_mdev *mdev)
{
	checksum_dma_unmap(mdev, 0, UINT64_MAX);
}

static int checksum_reset(struct uvfio_mdev *mdev)
{
	checksum_dma_unmap(mdev, 0, UINT64_MAX);
	return 0;
}

static int checksum_create(struct uvfio_mdev *mdev)
{
	static const uint8_t
		config[] = { 0x34, 0x12, 0x5c, 0xc5, 0, 0, 0, 0, 0, 0, 0x00, 0x12 /* processor */ };
	struct checksum *c = mdev->dev.priv;

	memcpy(c->config, config, sizeof(config));
	pthread_mutex_init(&c->lock, NULL);
	c->worker = uvfio_worker_new(&mdev->dev, "checksum", work, mdev);
	return c->worker ? 0 : -ENOMEM;
}

static void checksum_forked(struct uvfio_mdev *mdev)
{
	struct checksum *c = mdev->dev.priv;

	pthread_mutex_init(&c->lock, NULL);
}

static const struct uvfio_mdev_type types[] = {
	{ .name = "ring",
	  .pretty_name = "Checksum engine",
	  .description = "Adler-32 of memory, 128 jobs at a time",
	  .regions = { [0] = { REGISTERS }, [UVFIO_MDEV_CONFIG] = { 256 } },
	  .irqs = { [UVFIO_MDEV_INTX] = { .count = 1, .maskable = true, .automasked = true },
		    [UVFIO_MDEV_MSI] = { .count = 1 } } },
	{ .name = NULL },
};

static const struct uvfio_mdev_driver checksum = {
	.name = "checksum",
	.summary = "checksums memory",
	.priv_size = sizeof(struct checksum),
	.device_api = "vfio-pci",
	.max_instances = 16,
	.types = types,
	.ops = { .create = checksum_create,
		 .close = checksum_close,
		 .reset = checksum_reset,
		 .read = checksum_read,
		 .write = checksum_write,
		 .dma_unmap = checksum_dma_unmap,
		 .forked = checksum_forked },
};
UVFIO_MDEV_PLUGIN(checksum);
