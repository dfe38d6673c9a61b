/* SPDX-License-Identifier: BSD-2-Clause */
/* A mediated driver that measures what the calls of <uvfio/mdev.h> cost: see pinner.h. */
#include "pinner.h"

#include "bench.h"

#include <string.h>
#include <uvfio/mdev.h>

#define PG  UVFIO_MDEV_PAGE_SIZE
#define RW  (UVFIO_MDEV_PIN_READ | UVFIO_MDEV_PIN_WRITE)
#define BUF 65536u

struct pinner {
	uint32_t registers[3];
	char buf[BUF] __attribute__((aligned(64)));
	void *pages[UVFIO_MDEV_PIN_MAX];
};

static uint64_t rnd(void)
{
	static uint64_t seed = 88172645463325252u;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static int pin(struct uvfio_mdev *mdev, const struct pinner_job *job, uint64_t page, unsigned int n)
{
	struct pinner *pinner = mdev->dev.priv;
	int rc = uvfio_mdev_pin_pages(mdev, job->base + page * PG, n, RW, pinner->pages);

	return rc < 0 ? rc : 0;
}

static int unpin(struct uvfio_mdev *mdev, const struct pinner_job *job, uint64_t page, unsigned int n)
{
	return uvfio_mdev_unpin_pages(mdev, job->base + page * PG, n);
}

static int pin_many(struct uvfio_mdev *mdev, const struct pinner_job *job)
{
	int rc = 0;

	for (uint64_t i = 0; !rc && i < job->n; i++) {
		uint64_t page = i / (job->gap - 1) * job->gap + i % (job->gap - 1);

		rc = job->what == PINNER_PIN ? pin(mdev, job, page, 1) : unpin(mdev, job, page, 1);
	}
	return rc;
}

static int pairs(struct uvfio_mdev *mdev, const struct pinner_job *job)
{
	int rc = 0;

	for (uint64_t i = 0; !rc && i < job->times; i++) {
		uint64_t page = rnd() % job->span | (job->gap - 1);

		rc = pin(mdev, job, page, (unsigned int)job->n);
		if (!rc)
			rc = unpin(mdev, job, page, (unsigned int)job->n);
	}
	return rc;
}

static int reads(struct uvfio_mdev *mdev, const struct pinner_job *job)
{
	struct pinner *pinner = mdev->dev.priv;
	int rc = 0;

	for (uint64_t i = 0; !rc && i < job->times; i++)
		rc = uvfio_mdev_dma_rw(mdev, job->base + i % 64 * 64, pinner->buf, job->n, false);
	return rc;
}

static int carry_out(struct uvfio_mdev *mdev, const struct pinner_job *job)
{
	switch (job->what) {
	case PINNER_PIN:
	case PINNER_UNPIN:
		return job->gap > 1 ? pin_many(mdev, job) : -EINVAL;
	case PINNER_PAIRS:
		return job->span && job->n <= UVFIO_MDEV_PIN_MAX ? pairs(mdev, job) : -EINVAL;
	case PINNER_READ:
		return job->n <= BUF ? reads(mdev, job) : -EINVAL;
	default:
		return -ENOSYS;
	}
}

static int run_job(struct uvfio_mdev *mdev, uint64_t iova)
{
	struct pinner_job job;
	double start;
	int rc = uvfio_mdev_dma_rw(mdev, iova, &job, sizeof(job), false);

	if (rc)
		return rc;
	start = bench_now_ns();
	job.error = carry_out(mdev, &job);
	job.ns = (bench_now_ns() - start) / (double)(job.times ? job.times : 1);
	return uvfio_mdev_dma_rw(mdev, iova, &job, sizeof(job), true);
}

static int pinner_read(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, void *buf,
		       unsigned int size)
{
	(void)mdev;
	(void)region;
	(void)offset;
	memset(buf, 0, size);
	return 0;
}

static int pinner_write(struct uvfio_mdev *mdev, unsigned int region, uint64_t offset, const void *buf,
			unsigned int size)
{
	struct pinner *pinner = mdev->dev.priv;

	(void)region;
	if (size != 4)
		return -EINVAL;
	memcpy(&pinner->registers[offset / 4], buf, 4);
	if (offset != 8)
		return 0;
	return run_job(mdev, pinner->registers[0] | (uint64_t)pinner->registers[1] << 32);
}

/* The client unmaps nothing that is pinned. */
static void pinner_dma_unmap(struct uvfio_mdev *mdev, uint64_t iova, uint64_t length)
{
	(void)mdev;
	(void)iova;
	(void)length;
}

static const struct uvfio_mdev_type types[] = {
	{ .name = "1", .regions = { [0] = { 12 } } },
	{ .name = NULL },
};

static const struct uvfio_mdev_driver driver = {
	.name = PINNER_PARENT,
	.summary = "measures what pinning costs a driver",
	.priv_size = sizeof(struct pinner),
	.device_api = "vfio-pci",
	.max_instances = 8,
	.types = types,
	.ops = {
		.read = pinner_read,
		.write = pinner_write,
		.dma_unmap = pinner_dma_unmap,
	},
};

UVFIO_MDEV_PLUGIN(driver);
